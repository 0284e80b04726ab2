// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nodes at hand: the memory of one who changes states (io_state.c).
 *
 * Equation: nr == length of the chain first, next, ...; nr <= keep between calls. Every object of
 * the pool is in one chain, in one tree, or in the pool.
 *
 * A fill takes one after the other while that goes without waiting. When it does not, it gives all
 * back and takes them with one mempool_reserve(): who waits has nothing in hand that another waits
 * for. One thread at a time; no lock of its own.
 */
#include "extent/io_state_priv.h"

#include "base/check.h"

void io_memory_init(struct io_memory *m, struct mempool *pool, unsigned keep)
{
	MBFS_ASSERT(pool && keep >= IO_OP_NODES && keep <= IO_KEEP_MAX);
	*m = (struct io_memory){ .pool = pool, .keep = keep };
}

void io_memory_give(struct io_memory *m, struct io_state *s)
{
	s->next = m->first;
	m->first = s;
	m->nr++;
}

struct io_state *io_memory_take(struct io_memory *m)
{
	struct io_state *s = m->first;

	MBFS_ASSERT(s && m->nr > 0);
	m->first = s->next;
	m->nr--;
	return s;
}

void io_memory_put(struct mempool *pool, struct io_state *chain)
{
	while (chain) {
		struct io_state *next = chain->next;

		mempool_free(pool, chain);
		chain = next;
	}
}

void io_memory_add(struct io_memory *m, void *obj)
{
	MBFS_ASSERT(obj && m->nr < m->keep);
	io_memory_give(m, obj);
}

void io_memory_end(struct io_memory *m)
{
	io_memory_put(m->pool, m->first);
	m->first = NULL;
	m->nr = 0;
}

bool io_memory_try_fill(struct io_memory *m)
{
	while (m->nr < m->keep) {
		void *obj = mempool_alloc(m->pool, MEMPOOL_NOWAIT);

		if (!obj)
			return false;
		io_memory_give(m, obj);
	}
	return true;
}

void io_memory_fill(struct io_memory *m)
{
	struct mempool_want want = { .pool = m->pool, .nr = m->keep };
	void *objs[IO_KEEP_MAX];
	int err;

	if (io_memory_try_fill(m))
		return;
	io_memory_end(m);
	err = mempool_reserve(mempool_domain(m->pool), &want, 1, MEMPOOL_WAIT, objs);
	MBFS_ASSERT(!err); /* who waits gets them */
	for (unsigned i = 0; i < want.nr; i++)
		io_memory_give(m, objs[i]);
}
