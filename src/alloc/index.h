/* SPDX-License-Identifier: GPL-2.0-only */
/* Indexes of groups by order, read without a lock. The essay is in index.c. */
#ifndef ALLOC_INDEX_H
#define ALLOC_INDEX_H

#include <mbfs/types.h>

#include "reclaim/table.h"
#include "rt/percpu.h"
#include "rt/sync.h"

enum {
	ORDER_MAX = 17, /* of a chunk: block_bits + 1 with 64 KiB blocks */
	ORDER_NR = ORDER_MAX + 1,
};

enum { INDEX_SEG_WORDS = 64, INDEX_SEG_GRPS = 64 * INDEX_SEG_WORDS };
#define INDEX_NONE UINT32_MAX /* no group */

/* One order in a segment of INDEX_SEG_GRPS groups, on cache lines of its own: a group that moves
 * between two orders disturbs nobody who looks at the others. */
struct index_part {
	rt_u64 top;		       /* [atomic] a bit for each word that is not 0 */
	rt_u64 words[INDEX_SEG_WORDS]; /* [atomic] a bit for each group */
} __attribute__((aligned(RT_SLOT_BYTES)));

/* For each order a bitmap over all groups, searched from the goal on. See index.c. */
struct group_index {
	struct table segs;	/* each order_nr of struct index_part */
	rt_u64 orders;		/* [atomic] a bit for each order that has a group */
} __attribute__((aligned(RT_SLOT_BYTES)));

int index_open(struct group_index *ix, mbfs_grp_t grp_nr, unsigned order_nr);
void index_close(struct group_index *ix); /* also one that failed to open, or all zero */
/* Room for @grp_nr groups; it stays if nobody needs it after all. Errors: -ENOMEM. */
MBFS_MUST_CHECK int index_grow(struct group_index *ix, mbfs_grp_t grp_nr, struct kvfree *dead);
/* From order *at to @to, -1: from or to none. Group lock held. */
void index_move(struct group_index *ix, mbfs_grp_t grp, int8_t *at, int8_t to);
bool index_has(const struct group_index *ix, unsigned order, mbfs_grp_t grp);
/* Bit per order in [from, end) that may have a group. */
uint64_t index_orders(const struct group_index *ix, unsigned from, unsigned end);
/* The first group at or after @from that is in @order, or INDEX_NONE. */
mbfs_grp_t index_next(const struct group_index *ix, unsigned order, mbfs_grp_t from);

#endif
