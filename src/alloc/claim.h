/* SPDX-License-Identifier: GPL-2.0-only */
/* How many blocks are promised to somebody. The essay is in claim.c. */
#ifndef ALLOC_CLAIM_H
#define ALLOC_CLAIM_H

#include <mbfs/alloc.h>

#include "rt/percpu.h"
#include "rt/sync.h"

struct claim {
	rt_u64 central;	     /* [atomic] blocks nobody claimed; all of them in exact mode */
	rt_u32 mode; /* [atomic] sharded, switching, exact: see claim.c. Written under lock */
	struct rt_mutex lock; /* RANK_CLAIM, mode changes */
	struct rt_counter shards; /* [atomic] blocks nobody claimed, kept near one CPU */
	struct rt_counter claimed; /* [atomic] claims outstanding; statistics */
	uint64_t low, high;  /* [racy: a mark] below low: exact; above high: shards again */
	uint64_t batch;	     /* [const] */
	uint64_t resv;	     /* [racy: a mark] left to root */
};

int claim_open(struct mbfs_alloc *a, uint64_t free_nr);
void claim_close(struct mbfs_alloc *a);
bool claim_take(struct mbfs_alloc *a, unsigned cpu, uint64_t n, bool root);
/* Blocks are free to everybody again. */
void claim_give(struct mbfs_alloc *a, unsigned cpu, uint64_t n);
/* More of the device, and how much of it all is left to root from now on. */
void claim_grow(struct mbfs_alloc *a, uint64_t n, uint64_t resv);
void claim_lose(struct mbfs_alloc *a, uint64_t n); /* fenced: they are nobody's any more */
uint64_t claim_free(struct mbfs_alloc *a);         /* unclaimed, as good as can be told */

static inline uint64_t claim_resv(const struct claim *c)
{
	return rt_read_once(c->resv);
}

#endif
