/* SPDX-License-Identifier: GPL-2.0-only */
/* What the explorer's pictures show of an allocator along the way. */
#ifndef RACE_SMALL_OBSERVE_H
#define RACE_SMALL_OBSERVE_H

#include <mbfs/alloc.h>

#include "explore/explore.h"

/*
 * Every group and its PAs. explore_peek() is on.
 * @emptied: kept for the run, starts as 0: PAs that have been seen without blocks
 */
void small_observe(struct mbfs_alloc *a, uint64_t *emptied, struct explore_obs *obs);
/* The same in one line: where the free blocks are. */
void small_observe_text(struct mbfs_alloc *a, uint64_t *emptied, char *to, size_t bytes);

#endif
