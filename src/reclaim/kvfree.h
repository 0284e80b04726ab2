/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reclaim/kvfree.h - free what readers may still see: pointers are collected in pages, one virtual
 * CPU's together, and freed in bulk once a grace period of RCU has gone by.
 *
 *	kvfree_rcu()		   the object has a head in it: never fails, never sleeps for long
 *	kvfree_rcu_mightsleep()	   it has none
 *	kvfree_flush()		   all that was queued before is freed, or being freed by others
 *
 * Where a pointer is kept, in this order:
 *	1. in the page of this virtual CPU;
 *	2. the page is full: in a fresh one, one that was freed before or from memory;
 *	3. there is none: in the object's head; without one, in a head of its own from memory;
 *	4. nor that: the caller waits for readers and frees the object, if he may sleep: he holds
 *	   no rt_spin and is in no reader. That is known exactly, in every build;
 *	5. else he is told, and keeps the object.
 * Under an rt_spin nothing is asked of memory: 2 is what lies at hand, and 3 without a head fails.
 *
 * Who frees: a caller who may sleep, when his page is full, frees what of his CPU readers have
 * left behind. The thread of rt/rcu frees what lies about: about 15 ms after the last call nothing
 * does. If high_water objects of a CPU wait, callers who may sleep wait for readers and free them:
 * memory is bounded, unless floods come from callers who may not sleep; for them the thread is
 * woken.
 */
#ifndef RECLAIM_KVFREE_H
#define RECLAIM_KVFREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/containers.h"
#include "rt/percpu.h"

struct kvfree;

/* In an object that is freed by kvfree_rcu(); kvfree's from then on. */
struct kvfree_head {
	STAILQ_ENTRY(kvfree_head) link;
	void *obj;
};

enum { KVFREE_PAGE_NR_MAX = 508, KVFREE_HIGH_WATER = 2048 };

/* Where pages and heads come from; tests and scenarios decide here when there are none. */
struct kvfree_backing {
	void *(*alloc)(void *ctx, size_t bytes); /* NULL: there is none */
	void (*free)(void *ctx, void *mem);
};

struct kvfree_config {
	const struct rt_cpus *cpus; /* kept */
	/*
	 * Frees objects that no reader sees any more; NULL: rt_free() of each. Called from the
	 * functions below where the caller may sleep, with the locks that he holds, and from
	 * callbacks of RCU: it takes no lock that a caller may hold.
	 */
	void (*free)(void *ctx, void *const *objs, unsigned nr);
	void *ctx;                            /* for free and backing */
	unsigned page_nr;                     /* pointers in a page; 0: as many as make sense */
	unsigned high_water;                  /* objects; 0: KVFREE_HIGH_WATER */
	const struct kvfree_backing *backing; /* kept; NULL: rt_alloc() */
};

struct kvfree_stats {
	uint64_t queued, freed;     /* objects; what was freed by who waited is in both */
	uint64_t in_heads, in_ones; /* of queued: in their own head; in a head from memory */
	uint64_t inline_waits;      /* of queued: who gave it waited, having no memory */
	uint64_t refused;           /* calls that were told to keep the object */
	uint64_t floods;            /* calls that waited for readers at the high-water mark */
	uint64_t pages, page_fails; /* got from memory; asked for in vain (heads too) */
	uint64_t spared;            /* pages that were emptied, and kept to be filled again */
	unsigned waiting_max;       /* the most that ever waited on one virtual CPU */
};

/* Errors: -ENOMEM; -EINVAL: a number makes no sense. */
int kvfree_open(const struct kvfree_config *cfg, struct kvfree **out);
/* Waits for readers, and frees all. Nobody is in a call. NULL is fine. May sleep. */
void kvfree_close(struct kvfree *k);

/* Context: any that may take RANK_KVFREE. May sleep only where the caller may. */
void kvfree_rcu(struct kvfree *k, void *obj, struct kvfree_head *head);

/*
 * kvfree_rcu_mightsleep - the same of an object that has no head
 * Errors: -EAGAIN: no memory, and the caller holds an rt_spin or is in a reader; the object is
 * his as before. He may give it again later, or wait for readers himself. Context: as
 * kvfree_rcu().
 */
int kvfree_rcu_mightsleep(struct kvfree *k, void *obj) MBFS_MUST_CHECK;

/* Not in a reader, nor under an rt_spin. */
void kvfree_flush(struct kvfree *k);

/* Each number is exact when nobody is in a call. */
void kvfree_stats(const struct kvfree *k, struct kvfree_stats *out);

#endif
