/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pools.h - an operation needs an object of each of several mempools: the ways to take them, from
 * the patch of 2011 (shared seed 001_6ffad1843fbe8906) to ours. There is no memory but the reserves
 * once the pools are open.
 *
 * Compiled for real threads (mempool.c) and for the explorer (small_mempool.c). Who takes part has
 * a hand, in which he notes what he holds and waits for, for whoever looks on.
 */
#ifndef RACE_POOLS_H
#define RACE_POOLS_H

#include "race/variant.h"
#include "reclaim/mempool.h"
#include "rt/sync.h"

enum { POOLS_MAX = 3 };

struct pools {
	struct rt_cpus cpus;
	struct mempool_domain *domain;
	struct mempool *pool[POOLS_MAX];
	unsigned how;     /* [const] row of the variant */
	unsigned need_nr; /* [const] objects that an operation needs */
	unsigned pool_nr; /* [const] 1 if one object contains them all */
	rt_u32 dry;       /* [atomic] the allocator has nothing any more */
};

/* Written by one thread, read by any; a bit per pool. */
struct pools_hand {
	rt_u32 holds, wants;           /* [atomic] */
	rt_u64 held_at_ns[POOLS_MAX];  /* [atomic] since when, of what it holds */
	rt_u64 wants_at_ns;            /* [atomic] since when it waits */
	bool timed;                    /* [const] since when is noted, too */
};

/* What a variant's reserve has if nobody says another number, in objects of each pool. */
unsigned pools_reserve_default(const char *variant);
/* How many pools there are for an operation that needs @need_nr objects. */
unsigned pools_nr(const char *variant, unsigned need_nr);
/* "A" */
const char *pools_name(unsigned pool);

/*
 * pools_open - @reserve objects in each pool, then no memory
 * @need_nr: 2..POOLS_MAX; @cpus: virtual CPUs. Errors: -ENOMEM.
 */
int pools_open(struct pools *p, const char *variant, unsigned need_nr, unsigned reserve,
	       unsigned cpus);
void pools_close(struct pools *p); /* every object is back */

/*
 * pools_take - the objects of one operation of thread @me, which needs pool @me first, then the
 * next, and so on around: two threads side by side need them in opposite order
 * @objs: [out] of which pools_nr() are set
 * Context: may sleep; for ever, with a variant that deadlocks.
 */
void pools_take(struct pools *p, unsigned me, struct pools_hand *hand, void *objs[POOLS_MAX]);
void pools_give(struct pools *p, struct pools_hand *hand, void *objs[POOLS_MAX]);

#endif
