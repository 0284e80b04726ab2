// SPDX-License-Identifier: GPL-2.0-only
#include "rt/rcu.h"

#include <urcu/call-rcu.h>

#include "base/check.h"
#include "race/stock_rcu.h"

_Static_assert(sizeof(struct rcu_head) <= sizeof(((struct stock_rcu_item *)0)->head),
	       "there is room for liburcu's");

void stock_rcu_open(struct stock_rcu *s, unsigned workers)
{
	MBFS_ASSERT(workers >= 1 && workers <= STOCK_WORKERS_MAX);
	s->nr = workers;
	for (unsigned i = 0; i < workers; i++)
		s->worker[i] = urcu_memb_create_call_rcu_data(0, -1);
}

void stock_rcu_join(struct stock_rcu *s, unsigned idx)
{
	urcu_memb_set_thread_call_rcu_data(s->worker[idx % s->nr]);
}

/* TSan does not see that liburcu orders the call before the callback. */
static void ran(struct rcu_head *head)
{
	struct stock_rcu_item *item = container_of((void *)head, struct stock_rcu_item, head);

#if defined(__SANITIZE_THREAD__)
	__tsan_acquire(item);
#endif
	rt_u32_set_release(&item->ran, 1);
}

void stock_rcu_call(struct stock_rcu_item *item)
{
#if defined(__SANITIZE_THREAD__)
	__tsan_release(item);
#endif
	urcu_memb_call_rcu((struct rcu_head *)(void *)item->head, ran);
}

void stock_rcu_sections(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		urcu_memb_read_lock();
		urcu_memb_read_unlock();
	}
}

void stock_rcu_barrier(void)
{
	urcu_memb_barrier();
}
