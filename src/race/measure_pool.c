// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects from memory pools, from each place where a pool may find them, and malloc() beside it.
 * The pools are of one domain, of as many virtual CPUs as the machine has. That the allocator has
 * nothing is said by its stand-in, once the reserve is filled.
 */
#include "race/measure.h"

#include "base/check.h"
#include "reclaim/mempool.h"
#include "rt/mem.h"
#include "rt/sync.h"

#include <errno.h>

enum { BATCH = 64, OBJECT_BYTES = 64, MAGAZINE = 8 * RACE_POOL_HELD_MAX };

/* Of one thread's objects. Several may meet in a magazine, and go elsewhere: that is reported. */
#define SHARE_MIN 0.9

struct pools {
	const struct race_pool_load *load;
	struct rt_cpus cpus;
	rt_u32 empty; /* [atomic] the allocator has nothing */
	struct mempool_domain *domain;
	struct mempool *pool[RACE_POOLS_MAX];
	struct mempool_want want[RACE_POOLS_MAX];
};

static void *backing_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct pools *p = ctx;

	(void)align, (void)may_wait;
	return rt_u32_read(&p->empty) ? NULL : rt_alloc(bytes);
}

static void backing_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

/* What is got is touched: who asks for an object writes to it. */
static inline __attribute__((always_inline)) void touch(void *obj)
{
	MBFS_ASSERT(obj);
	*(volatile char *)obj = 1;
}

static inline __attribute__((always_inline)) void get(struct pools *p, enum race_pool_way way,
						      void **objs)
{
	unsigned nr = p->load->nr, at = 0;

	if (way == RACE_POOL_TOGETHER) {
		int err = mempool_reserve(p->domain, p->want, p->load->pools, MEMPOOL_WAIT, objs);

		MBFS_ASSERT(!err);
		for (; at < p->load->pools * nr; at++)
			touch(objs[at]);
		return;
	}
	for (unsigned k = 0; k < p->load->pools; k++)
		for (unsigned i = 0; i < nr; i++, at++) {
			objs[at] = way == RACE_POOL_MALLOC
					   ? rt_alloc(OBJECT_BYTES)
					   : mempool_alloc(p->pool[k], MEMPOOL_WAIT);
			touch(objs[at]);
		}
}

static inline __attribute__((always_inline)) void put(struct pools *p, enum race_pool_way way,
						      void **objs)
{
	unsigned nr = p->load->nr, at = 0;

	for (unsigned k = 0; k < p->load->pools; k++)
		for (unsigned i = 0; i < nr; i++, at++)
			if (way == RACE_POOL_MALLOC)
				rt_free(objs[at]);
			else
				mempool_free(p->pool[k], objs[at]);
}

#define LOOP(name, way)                                          \
	static bool name(void *arg, unsigned idx)                \
	{                                                        \
		void *objs[RACE_POOLS_MAX * RACE_POOL_HELD_MAX]; \
                                                                 \
		(void)idx;                                       \
		for (unsigned i = 0; i < BATCH; i++) {           \
			get(arg, way, objs);                     \
			put(arg, way, objs);                     \
		}                                                \
		return true;                                     \
	}
LOOP(one_by_one, RACE_POOL_ONE_BY_ONE)
LOOP(together, RACE_POOL_TOGETHER)
LOOP(plain, RACE_POOL_MALLOC)

static void pools_close(struct pools *p)
{
	rt_u32_set(&p->empty, 0);
	for (unsigned i = 0; i < RACE_POOLS_MAX; i++)
		mempool_close(p->pool[i]);
	if (p->domain)
		mempool_domain_close(p->domain);
}

static int pools_open(struct pools *p)
{
	static const struct mempool_backing backing = { backing_alloc, backing_free };
	struct mempool_config cfg = {
		.name = "measured",
		.bytes = OBJECT_BYTES,
		/* Enough for all threads: what is measured does not wait for objects. */
		.min_nr = p->load->threads * p->load->nr,
		.magazine_nr = p->load->source == RACE_POOL_MAGAZINE ? MAGAZINE : 0,
		.order = MEMPOOL_KERNEL,
		.backing = &backing,
		.ctx = p,
	};
	int err;

	rt_cpus_init(&p->cpus, 0);
	err = mempool_domain_open(&p->cpus, &p->domain);
	for (unsigned i = 0; !err && i < p->load->pools; i++) {
		err = mempool_open(p->domain, &cfg, &p->pool[i]);
		p->want[i] = (struct mempool_want){ p->pool[i], p->load->nr };
	}
	if (!err)
		rt_u32_set(&p->empty, p->load->source == RACE_POOL_RESERVE);
	return err;
}

/* Of the objects of the pool that had least from there, how many came from where they were to. */
static double share_of_source(const struct pools *p)
{
	double least = 1;

	for (unsigned i = 0; i < p->load->pools; i++) {
		struct mempool_stats st;
		uint64_t nr;
		double share;

		mempool_stats(p->pool[i], &st);
		nr = p->load->source == RACE_POOL_MAGAZINE    ? st.from_magazine
		     : p->load->source == RACE_POOL_ALLOCATOR ? st.from_allocator
							      : st.from_reserve;
		share = st.allocs ? (double)nr / (double)st.allocs : 0;
		least = share < least ? share : least;
	}
	return least;
}

int race_pool_measure(enum race_pool_way way, const struct race_pool_load *l, uint64_t run_ns,
		      struct race_pace *out)
{
	struct pools p = { .load = l };
	struct race_bout bout = {
		.threads = l->threads,
		.run_ns = run_ns,
		.ops = BATCH,
		.batch = way == RACE_POOL_TOGETHER ? together
			 : way == RACE_POOL_MALLOC ? plain
						   : one_by_one,
		.arg = &p,
	};
	int err;

	MBFS_ASSERT(l->pools > 0 && l->pools <= RACE_POOLS_MAX);
	MBFS_ASSERT(l->nr > 0 && l->nr <= RACE_POOL_HELD_MAX);
	if (way == RACE_POOL_MALLOC && l->source == RACE_POOL_RESERVE)
		return -ENOTSUP;
	err = pools_open(&p);
	if (!err)
		err = race_bout_run(&bout, out);
	if (!err) {
		out->share = way == RACE_POOL_MALLOC ? 1 : share_of_source(&p);
		if (l->threads == 1 && out->share < SHARE_MIN)
			err = -EILSEQ;
	}
	pools_close(&p);
	return err;
}
