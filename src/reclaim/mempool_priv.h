/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the mempool share: pool, magazine, call. The essay is mempool.c's. */
#ifndef RECLAIM_MEMPOOL_PRIV_H
#define RECLAIM_MEMPOOL_PRIV_H

#include "reclaim/mempool.h"

#include "base/check.h"
#include "base/containers.h"
#include "rt/mark.h"
#include "rt/sync.h"

/*
 * One virtual CPU's part of a pool: objects at hand, and counts. busy is a lock of one exchange
 * that alloc and free only try: who finds it taken goes on as if the magazine were empty or full.
 * An rt_spin would cost as much as the rest of both together.
 */
struct mempool_slot {
	rt_u32 busy;
	unsigned nr;         /* in objs [busy] */
	uint64_t gets, puts; /* objects taken out and put in, in calls [busy] */
	/* What calls took or gave elsewhere; from_magazine corrects gets. */
	rt_stat from_magazine, from_allocator, frees;
	void *objs[]; /* magazine_nr of them, the last is the warmest [busy] */
};

/* A call that lacks something; linked while it waits. On the stack of the caller. */
struct mempool_call {
	const struct mempool_want *want;  /* [const] */
	unsigned want_nr;                 /* [const] */
	void **objs;                      /* the caller's; who hands over fills it */
	unsigned have[MEMPOOL_WANTS_MAX]; /* objects in hand of each want, in front in its row */
	unsigned magazine[MEMPOOL_WANTS_MAX]; /* of them, from magazines */
	TAILQ_ENTRY(mempool_call) link;       /* [domain] */
	bool served;                          /* [domain] */
	struct rt_event ev;                   /* signalled once, under the domain's lock */
};

/* lock: RANK_MEMPOOL. */
struct mempool_domain {
	struct rt_spin lock;
	const struct rt_cpus *cpus;                      /* [const] */
	TAILQ_HEAD(mempool_queue, mempool_call) waiters; /* as they came [lock] */
	unsigned pool_nr;                                /* open [lock] */
};

/*
 * (1) reserve[0..in_reserve) is what is in reserve; in_reserve <= min_nr but within a lock hold and
 *     while it is resized.
 * (2) wanted == the sum of what those who wait want of this pool.
 * (3) No call that waits could be served: for each there is a pool where what is in reserve is less
 *     than what it and those before it want.
 * (4) is_short == (in_reserve < min_nr || wanted > 0).
 */
struct mempool {
	/* What the fast path reads: hardly ever written. */
	rt_u32 is_short;            /* write [domain], read [racy: mempool.c says why] */
	unsigned magazine_nr;       /* [const] */
	const struct rt_cpus *cpus; /* [const] */
	char *slots;                /* [const] of each virtual CPU a struct mempool_slot */
	size_t slot_bytes;          /* [const] */
	struct mempool_domain *d;   /* [const] */
	const char *name;           /* [const] */
	size_t bytes, align;        /* [const] */
	enum mempool_order order;   /* [const] */
	uint64_t retry_ns;          /* [const] */
	const struct mempool_backing *backing; /* [const] */
	void *ctx;                             /* [const] */

	/* Under the domain's lock. */
	void **reserve __attribute__((aligned(64))); /* room for min_nr + 1 */
	unsigned min_nr, in_reserve, low_water;
	unsigned claimed; /* by those before the one looked at; 0 outside of a scan */
	uint64_t wanted;
	uint64_t from_reserve, from_wait, failed, waits, wait_ns, wait_max_ns;
	bool resizing;
	rt_stat retries;
};

/* ---- memory: mempool.c ---- */

void *mempool_memory_get(struct mempool *p, bool may_wait);
void mempool_memory_put(struct mempool *p, void *obj);
/* An object that no call owns any more: to who waits, the reserve, or memory. Counts nothing. */
void mempool_put_back(struct mempool *p, void *obj);

/* ---- the reserve: mempool_reserve.c ---- */

/* An object more; returns one that is too much, or NULL. Domain's lock held. */
void *mempool_put_locked(struct mempool *p, void *obj) MBFS_MUST_CHECK;
void mempool_mark_short_locked(struct mempool *p);
/* All of mempool_reserve() but the check of its arguments. */
int mempool_call(struct mempool_domain *d, struct mempool_call *c, enum mempool_mode mode);

/* ---- magazines: below and mempool_magazine.c ---- */

int mempool_slots_open(struct mempool *p);
/* Some of up to @nr objects from any magazine but the caller's. */
unsigned mempool_magazines_steal(struct mempool *p, void **objs, unsigned nr);
/* Adds up the slots' part of @out. */
void mempool_slots_stats(const struct mempool *p, struct mempool_stats *out);

static inline struct mempool_slot *mempool_slot(const struct mempool *p, unsigned cpu)
{
	return (struct mempool_slot *)(void *)(p->slots + p->slot_bytes * cpu);
}
static inline struct mempool_slot *mempool_slot_here(const struct mempool *p)
{
	return mempool_slot(p, rt_cpu(p->cpus));
}
static inline bool mempool_slot_try(struct mempool_slot *s)
{
	return rt_u32_xchg(&s->busy, 1) == 0;
}
static inline void mempool_slot_release(struct mempool_slot *s)
{
	rt_u32_set_release(&s->busy, 0);
}

/* Up to @nr objects of this CPU's magazine; how many. */
static inline unsigned mempool_magazine_get(struct mempool *p, void **objs, unsigned nr)
{
	struct mempool_slot *s;

	if (!p->magazine_nr)
		return 0;
	s = mempool_slot_here(p);
	if (!mempool_slot_try(s))
		return 0;
	if (nr > rt_plain_read(s->nr))
		nr = s->nr;
	rt_plain_write(s->nr, s->nr - nr);
	s->gets += nr;
	for (unsigned i = 0; i < nr; i++)
		objs[i] = s->objs[s->nr + i];
	mempool_slot_release(s);
	return nr;
}

/* One, or NULL: the above without its loop. */
static inline void *mempool_magazine_get_one(struct mempool *p)
{
	struct mempool_slot *s;
	void *obj = NULL;

	if (!p->magazine_nr)
		return NULL;
	s = mempool_slot_here(p);
	if (!mempool_slot_try(s))
		return NULL;
	if (rt_plain_read(s->nr)) {
		obj = s->objs[s->nr - 1];
		rt_plain_write(s->nr, s->nr - 1);
		s->gets++;
	}
	mempool_slot_release(s);
	return obj;
}

static inline bool mempool_magazine_put(struct mempool *p, void *obj)
{
	struct mempool_slot *s;
	bool fits;

	if (!p->magazine_nr)
		return false;
	s = mempool_slot_here(p);
	if (!mempool_slot_try(s))
		return false;
	fits = rt_plain_read(s->nr) < p->magazine_nr;
	if (fits) {
		s->objs[s->nr] = obj;
		rt_plain_write(s->nr, s->nr + 1);
		s->puts++;
	}
	mempool_slot_release(s);
	return fits;
}

#endif
