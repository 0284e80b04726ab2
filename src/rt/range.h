/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/range.h - byte-range locks: ranges of one space (a file's bytes) locked shared or exclusive.
 * One implementation for both back ends (range.c). The node is the caller's, so that locking cannot
 * fail and allocates nothing.
 *
 * First come, first served: a request waits for all earlier ones that overlap it, held or waiting,
 * unless both are shared. So nobody starves, and a reader may wait behind a writer that waits.
 *
 * Who holds a range may sleep. Several ranges of one space may be held by a thread if it took them
 * in ascending order and none overlap; a second one that overlaps waits for ever.
 */
#ifndef RT_RANGE_H
#define RT_RANGE_H

#include "base/containers.h"
#include "rt/sync.h"

struct rt_range {
	TAILQ_ENTRY(rt_range) link; /* [space lock] */
	uint64_t first, last;	    /* [const while linked] both included */
	bool exclusive;		    /* [const while linked] */
	rt_u32 held;		    /* [atomic] write [space lock] */
};

TAILQ_HEAD(rt_range_list, rt_range);

struct rt_range_space {
	struct rt_spin lock;	     /* RANK_RANGE */
	struct rt_range_list ranges; /* [lock] held and waiting, in the order they came */
	struct rt_event moved;	     /* somebody was let in */
	enum lock_rank rank;	     /* [const] */
};

/* @rank: who locks a range holds no lock of this rank or above. */
void rt_range_init(struct rt_range_space *s, enum lock_rank rank);
void rt_range_destroy(struct rt_range_space *s); /* nothing is locked */

/*
 * rt_range_lock - wait until [first, last] is @r's
 * @r: linked until rt_range_unlock(), its memory stays where it is
 * Context: may sleep.
 */
void rt_range_lock(struct rt_range_space *s, struct rt_range *r, uint64_t first, uint64_t last,
		   bool exclusive);
/* False, and @r is not linked, if it would have to wait. Context: any without RANK_RANGE. */
bool rt_range_trylock(struct rt_range_space *s, struct rt_range *r, uint64_t first, uint64_t last,
		      bool exclusive);
void rt_range_unlock(struct rt_range_space *s, struct rt_range *r);

#endif
