// SPDX-License-Identifier: GPL-2.0-only
/*
 * An io_tree: byte-range locks (io_lock.c) and states of bytes (io_state.c) of one file.
 *
 * ---- Locks ----
 *
 * Requests, held and waiting, are in trees by their bytes. A narrow one, all in one region of
 * 64 KiB, is in the tree of its region's shard; a wide one is in t->wide. Two narrow ones that
 * overlap have one region, so one shard. A narrow request needs its shard's lock, a wide one those
 * of all shards, in ascending order: so who holds any shard lock may read t->wide, and threads in
 * disjoint parts of a file do not meet. With env->whole each request is of all bytes, in shard 0.
 *
 * Equations, under the locks of a request's shards:
 *	(1) blockers(r) = requests x linked, seq(x) < seq(r), that overlap r and stand in its way:
 *	    x exclusive, or x shared and r exclusive. A passive one stands in nobody's way.
 *	(2) held(r) = (blockers(r) == 0)
 *	(3) seq is the order of arrival of all that overlap.
 *
 * arrive	counts the x of (1), all that are linked; takes a number; links itself.
 * unlock	unlinks itself, and takes one from each later one it stood in the way of: (1). Who
 * takes the last sets held and signals that one's event: (2). Counts only fall, so each waiter is
 *		woken once, when it may enter, and none is overtaken by one that came later.
 * cancel	a waiter leaves as an unlock does, so those behind it go on; unless it is held by
 * then.
 *
 * (3): a shard numbers its requests. A wide one takes the highest number of all shards and one, and
 * all shards go on from there. So a narrow request has a lower number than it if it was linked
 * before, a higher one if after; and wide ones, narrow ones of one shard, have numbers in their
 * order.
 *
 * Who changes blockers(r) holds a shard lock of r's, but for a wide r two may hold two: the count
 * is atomic, and who takes the last one sees what the others did before (read-modify-writes order
 * them). Nobody touches r after that but the one who took the last, under his shard lock.
 *
 * Memory: r is its caller's and may go after unlock, which takes all locks of its shards, so also
 * that of who let r in, and is ordered after his last access. An io_cancel is not unlocked: who
 * waited with one passes through the locks before he returns.
 *
 * Lock path: RANK_IO_RANGE alone, nothing inside. A waiter holds none.
 */
#include "extent/io_state_priv.h"
#include "extent/io_tree_priv.h"

#include "base/check.h"

void io_tree_init(struct io_tree *t, struct io_env *env, enum lock_rank rank)
{
	t->env = env;
	t->rank = rank;
	RB_INIT(&t->wide);
	for (unsigned i = 0; i < IO_SHARDS; i++) {
		rt_spin_init(&t->shard[i].lock, RANK_IO_RANGE);
		RB_INIT(&t->shard[i].locks);
		t->shard[i].seq = 0;
	}
	rt_spin_init(&t->lock, RANK_IO_STATE);
	RB_INIT(&t->states);
	t->gen = t->state_nr = t->node_nr = 0;
}

void io_tree_destroy(struct io_tree *t)
{
	MBFS_ASSERT(io_locks_empty(t));
	io_states_drop(t);
	for (unsigned i = 0; i < IO_SHARDS; i++)
		rt_spin_destroy(&t->shard[i].lock);
	rt_spin_destroy(&t->lock);
}

int io_tree_check(struct io_tree *t, struct mbfs_diag *diag)
{
	int err = io_locks_check(t, diag);

	return err ? err : io_states_check(t, diag);
}
