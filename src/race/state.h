/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state.h - how operations on the states of bytes (extent/io_tree.h) come by their memory: three
 * ways, the variants of the scenarios extent-state-nofail (state_nofail.c) and state-*
 * (small_state.c). Compiled for real threads and for the explorer.
 *
 * All draw on the same pool and run the same code of the tree. What they differ in is when an
 * operation asks for its places, and what it does when there are none.
 */
#ifndef RACE_STATE_H
#define RACE_STATE_H

#include "extent/extent.h"
#include "race/variant.h"

struct state_way;

/* NULL: there is none of that name. */
const struct state_way *state_way_find(const char *variant);

/* All that a batch can need is asked for at its begin. */
bool state_way_reserves(const struct state_way *way);
/* There is a mempool, and so a reserve. */
bool state_way_waits(const struct state_way *way);

/* A thread's batch of operations: between begin and end its states may be in the tree. */
struct state_batch {
	const struct state_way *way;
	struct io_tree *tree;
	struct io_memory memory;
	struct io_hint hint;
	rt_stat waits; /* 1: for a place, in an operation; for who looks on */
};

/* @ops: that it will do at most. Context: may sleep; holds no other batch. */
void state_begin(struct state_batch *b, const struct state_way *way, struct io_tree *t,
		 unsigned ops);
/*
 * Each byte of [start, end) loses @clear and gets @set. False: no memory, so what was done is less
 * than that. Context: may sleep.
 */
MBFS_MUST_CHECK bool state_change(struct state_batch *b, uint64_t start, uint64_t end,
				  uint32_t clear, uint32_t set);
void state_end(struct state_batch *b);

/* Each byte of [start, end) has, of the bits of @mask, just @want. */
bool state_is(struct io_tree *t, uint64_t start, uint64_t end, uint32_t mask, uint32_t want);

#endif
