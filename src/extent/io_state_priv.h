/* SPDX-License-Identifier: GPL-2.0-only */
/* extent/io_state_priv.h - a place where the states of a file's bytes change (io_state.c). */
#ifndef EXTENT_IO_STATE_PRIV_H
#define EXTENT_IO_STATE_PRIV_H

#include "extent/io_tree.h"

/*
 * A node is a KiB less malloc()'s own 16 bytes. Measured, p50 of a set or clear at random among
 * 10^6 places: 38 in a node take half as long again as 80, 160 a tenth less, 1 three times as long.
 */
enum { IO_PLACES = 80 };

/*
 * A node of the tree: places in ascending order, each the bits from there on to the next one. Or at
 * hand: one of a chain. What a search reads on its way down is in the first 64 bytes.
 */
struct io_state {
	union {
		RB_ENTRY(io_state) link; /* [lock of the tree] */
		struct io_state *next;   /* at hand */
	};
	uint32_t nr;               /* places, 1 or more [lock of the tree] */
	uint64_t start[IO_PLACES]; /* likewise */
	uint32_t bits[IO_PLACES];
};

/* ---- io_memory.c ---- */
struct io_state *io_memory_take(struct io_memory *m);             /* one is there (asserted) */
void io_memory_give(struct io_memory *m, struct io_state *s);     /* and no more than keep */
void io_memory_put(struct mempool *pool, struct io_state *chain); /* all go back */

/* ---- io_state.c ---- */
/* As io_tree_test() and io_tree_find_first(), of the bits but IO_LOCKED. */
bool io_states_test(struct io_tree *t, uint64_t start, uint64_t end, uint32_t bits, bool all);
bool io_states_find(struct io_tree *t, uint64_t from, uint32_t bits, struct io_run *out);
/* The run of bytes with the same states at @at, which may be none. */
void io_states_at(struct io_tree *t, uint64_t at, struct io_run *out);
/* All places go back to the pool. Nobody else is there. */
void io_states_drop(struct io_tree *t);
/* The invariants in io_state.c: 0 or -EUCLEAN with what is wrong. Takes the lock. */
int io_states_check(struct io_tree *t, struct mbfs_diag *diag);

#endif
