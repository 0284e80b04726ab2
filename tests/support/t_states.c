// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_states.h"

#include <string.h>

#include "base/check.h"
#include "rt/mem.h"

/* The twin: every object is an allocation of its own. */
struct mempool {
	struct t_states *x;
};

void *mempool_alloc(struct mempool *p, enum mempool_mode mode)
{
	uint64_t fail_at = rt_u64_read(&p->x->fail_at);
	void *obj;

	if (mode == MEMPOOL_NOWAIT && rt_u64_add_return(&p->x->attempts, 1) >= fail_at && fail_at)
		return NULL;
	obj = rt_alloc(io_state_bytes());
	MBFS_ASSERT(obj);
	rt_u64_add(&p->x->out, 1);
	return obj;
}

void mempool_free(struct mempool *p, void *obj)
{
	rt_u64_add(&p->x->out, -1ull);
	rt_free(obj);
}

struct mempool_domain *mempool_domain(const struct mempool *p)
{
	return (struct mempool_domain *)(void *)p->x;
}

int mempool_reserve(struct mempool_domain *d, const struct mempool_want *want, unsigned want_nr,
		    enum mempool_mode mode, void **objs)
{
	struct t_states *x = (struct t_states *)(void *)d;

	MBFS_ASSERT(want_nr == 1 && want->pool == x->env.states && mode == MEMPOOL_WAIT);
	rt_u64_add(&x->waits, 1);
	if (rt_u64_read(&x->out))
		rt_u64_add(&x->in_hand, 1);
	for (unsigned i = 0; i < want->nr; i++)
		objs[i] = mempool_alloc(want->pool, MEMPOOL_WAIT);
	return 0;
}

void t_states_open(struct t_states *x)
{
	memset(x, 0, sizeof(*x));
	x->env.states = rt_zalloc(sizeof(*x->env.states));
	MBFS_ASSERT(x->env.states);
	x->env.states->x = x;
	io_tree_init(&x->tree, &x->env, RANK_INODE_RANGE);
}

void t_states_close(struct t_states *x)
{
	io_tree_destroy(&x->tree);
	MBFS_ASSERT(rt_u64_read(&x->out) == 0);
	rt_free(x->env.states);
}
