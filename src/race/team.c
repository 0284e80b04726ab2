// SPDX-License-Identifier: GPL-2.0-only
#include "race/team.h"

#include "base/check.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/sync.h"
#include "rt/work.h"

#include <errno.h>

uint64_t race_now_ns(void)
{
	return rt_now_ns();
}

void race_sleep_ms(uint64_t ms)
{
	rt_sleep_ns(ms * 1000000);
}

uint64_t race_rand(uint64_t *state)
{
	struct rt_rand r = { *state };
	uint64_t n = rt_rand_next(&r);

	*state = r.state;
	return n;
}

struct team {
	void (*fn)(void *arg, unsigned idx);
	void *arg;
	rt_u32 ready, cancelled;
	struct rt_event go;
};

struct member {
	struct team *team;
	unsigned idx;
	struct rt_thread *thread;
};

static void member_main(void *arg)
{
	struct member *m = arg;
	uint32_t key = 0; /* the event's first key: signalled once, whenever that was */

	rt_u32_add_return(&m->team->ready, 1);
	rt_event_wait(&m->team->go, key);
	if (!rt_u32_read_acquire(&m->team->cancelled))
		m->team->fn(m->team->arg, m->idx);
}

int race_team_run(unsigned nr, void (*fn)(void *arg, unsigned idx), void *arg, uint64_t *elapsed_ns)
{
	struct member *members = rt_zalloc(nr * sizeof(*members));
	struct team team = { .fn = fn, .arg = arg };
	unsigned started;
	uint64_t from;
	int err = 0;

	if (!members)
		return -ENOMEM;
	rt_event_init(&team.go);
	for (started = 0; started < nr; started++) {
		members[started].team = &team;
		members[started].idx = started;
		err = rt_thread_start(member_main, &members[started], "bench",
				      &members[started].thread);
		if (err)
			break;
	}
	while (!err && rt_u32_read_acquire(&team.ready) < nr)
		rt_yield();
	rt_u32_set_release(&team.cancelled, err != 0);
	from = rt_now_ns();
	rt_event_signal(&team.go);
	while (started > 0)
		rt_thread_join(members[--started].thread);
	*elapsed_ns = rt_now_ns() - from;
	rt_free(members);
	return err;
}

/* ---- rcu ---- */
struct rcu_bench {
	unsigned times, readers;
	rt_u32 reading; /* [atomic] readers that have been in a section */
	rt_u32 stop;	/* [atomic] */
	struct race_hist *lat;
};

static void rcu_nothing(struct rt_rcu_head *head)
{
	(void)head;
}

/* Thread 0 calls the barrier, the others are readers. */
static void rcu_member(void *arg, unsigned idx)
{
	struct rcu_bench *b = arg;
	struct rt_rcu_head head;
	uint64_t from;

	for (bool first = true; idx > 0 && !rt_u32_read(&b->stop); first = false) {
		rt_rcu_read_lock();
		rt_rcu_read_unlock();
		if (first)
			rt_u32_add_return(&b->reading, 1);
	}
	while (idx == 0 && rt_u32_read_acquire(&b->reading) < b->readers)
		rt_yield();
	for (unsigned i = 0; idx == 0 && i < b->times; i++) {
		rt_rcu_call(&head, rcu_nothing);
		from = rt_now_ns();
		rt_rcu_barrier();
		race_hist_add(b->lat, rt_now_ns() - from);
	}
	if (idx == 0)
		rt_u32_set(&b->stop, 1);
}

int race_rcu_measure(unsigned readers, unsigned times, struct race_hist *lat)
{
	struct rcu_bench b = { .times = times, .readers = readers, .lat = lat };
	uint64_t elapsed;

	return race_team_run(readers + 1, rcu_member, &b, &elapsed);
}
