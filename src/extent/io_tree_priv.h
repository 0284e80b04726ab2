/* SPDX-License-Identifier: GPL-2.0-only */
/* extent/io_tree_priv.h - what the files of an io_tree share: io_lock.c, io_tree.c, io_state.c. */
#ifndef EXTENT_IO_TREE_PRIV_H
#define EXTENT_IO_TREE_PRIV_H

#include "extent/io_tree.h"

/* ---- io_lock.c ---- */

/*
 * io_lock_queue, io_lock_cancel - what a lock does before and instead of its wait
 * queue: true: nothing is in its way, and it is held (or passive, and not linked); else it waits:
 * l->held says until when, a signal of its event that it has changed. Without a thread, a test can
 * have as many that wait as it likes.
 * cancel: -EINTR, it is gone; 0: it was let in before it could leave.
 */
bool io_lock_queue(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
		   enum io_lock_mode mode, struct io_cancel *c);
int io_lock_cancel(struct io_tree *t, struct io_lock *l);

/*
 * io_locks_next - the first bytes at or after @from that somebody has locked or waits to lock, up
 * to the next that nobody does: IO_LOCKED of io_tree_test() and io_tree_find_first()
 * @start, @end: [out] @from <= start < end; untouched if there are none (false)
 * Context: takes all shard locks; holds none of rank RANK_IO_RANGE or above.
 */
bool io_locks_next(struct io_tree *t, uint64_t from, uint64_t *start, uint64_t *end);
/* No request is linked. Nobody else uses the tree. */
bool io_locks_empty(const struct io_tree *t);
/* The invariants of io_tree.c's essay. Nobody comes or goes meanwhile; there may be who waits. */
int io_locks_check(struct io_tree *t, struct mbfs_diag *diag);

#endif
