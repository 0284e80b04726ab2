/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * extent/io_tree.h - what is going on in the bytes of one file: who has locked which of them, and
 * what state they are in (in flight, unwritten, ...). DESIGN.md's "io_tree" is this room.
 *
 * Ranges are half-open, [start, end) with start < end; end IO_END is infinity.
 *
 * Two things, for they need different memory. A lock is the caller's own struct io_lock, so locking
 * needs none. States are a step function over the bytes: a tree of the places where it changes. An
 * operation on any range, however many states it covers, adds at most two such places, in at most
 * IO_OP_NODES nodes of the tree. So it cannot fail for who has so many at hand: struct io_memory,
 * filled beforehand, where waiting is allowed. That is why set, clear and convert return nothing.
 */
#ifndef EXTENT_IO_TREE_H
#define EXTENT_IO_TREE_H

#include <mbfs/types.h>

#include "base/containers.h"
#include "reclaim/mempool.h"
#include "rt/sync.h"

#define IO_END UINT64_MAX

enum io_bits {
	IO_LOCKED = 1u << 0, /* somebody has or waits for a lock: test and find only, never set */
	IO_IN_FLIGHT = 1u << 1, /* data is on its way to the device, or not yet part of the file */
	IO_UNWRITTEN = 1u << 2, /* blocks that become written when it has arrived */
	IO_DIRTY = 1u << 3,
	IO_ERROR = 1u << 4, /* a write of it has failed, and none has succeeded since */
	IO_USER_SHIFT = 8,  /* bits from here on, to 31, are the user's */
};
#define IO_USER(n) (1u << (IO_USER_SHIFT + (n)))

/* What the trees of one mount share. */
struct io_env {
	struct mempool *states; /* [const] objects of io_state_bytes(), IO_STATE_ALIGN */
	unsigned node_places;   /* [const] 1..80; 0: 80. Tests: fewer places fill a node */
	bool whole;             /* [const] every lock is of the whole file: -o rangelock=off */
	rt_stat waits, wait_ns, cancelled, wide; /* locks that slept; ended by a cancel; of several
						    regions */
};
size_t io_state_bytes(void);
enum { IO_STATE_ALIGN = 64 };

/* ---- locks ---- */

/*
 * A request that reaches over more than one region of so many bytes touches all shards of the tree,
 * others one. 64 KiB: what is read and written at random lies in one, and threads at work next to
 * each other have one each; what is longer takes 0.15 us for its lock, and 10 us or more to copy.
 */
enum { IO_REGION_BITS = 16, IO_SHARDS = 8, IO_OP_NODES = 2 };

enum io_lock_mode {
	IO_SHARED,
	IO_EXCLUSIVE,
	IO_PASSIVE, /* waits like a shared one, but nobody waits for it: io_tree_wait_range() */
};

/* Ends waits from outside. One wait at a time; lives longer than the wait and io_cancel() calls. */
struct io_cancel {
	rt_u32 cancelled; /* [atomic] */
	struct rt_event ev;
};
void io_cancel_init(struct io_cancel *c);
/* The wait that goes on with @c, and each to come, ends with -EINTR. Context: any, no locks needed.
 */
void io_cancel(struct io_cancel *c);

/* One request. The caller's memory from lock to unlock, at one place. */
struct io_lock {
	RB_ENTRY(io_lock) link;      /* [shard locks] */
	uint64_t start, end;         /* [const while linked] */
	uint64_t max_end;            /* of the subtree [shard locks] */
	uint64_t seq;                /* order of arrival [const while linked] */
	enum io_lock_mode mode;      /* [const while linked] */
	uint32_t shard;              /* its shard, or IO_SHARDS: in all [const while linked] */
	rt_u32 blockers;             /* [atomic] earlier ones that it waits for */
	rt_u32 held;                 /* [atomic] write [a shard lock of its] */
	struct rt_event own_ev, *ev; /* [const] where it waits: its own, or its cancel's */
};

struct io_state;
RB_HEAD(io_lock_tree, io_lock);
RB_HEAD(io_state_tree, io_state);

/* lock: RANK_IO_RANGE; several only in ascending order (_nested). */
struct io_shard {
	struct rt_spin lock;
	struct io_lock_tree locks; /* [lock] held and waiting, all in regions of this shard */
	uint64_t seq;              /* the highest number given to a request [lock] */
} __attribute__((aligned(64)));

/* Aligned to 64 bytes: allocate it, or what it is in, with rt_zalloc_aligned(). */
struct io_tree {
	struct io_env *env;       /* [const] */
	enum lock_rank rank;      /* [const] */
	struct io_lock_tree wide; /* write [all shard locks], read [any] */
	struct io_shard shard[IO_SHARDS];
	struct rt_spin lock;         /* RANK_IO_STATE */
	struct io_state_tree states; /* [lock] places where the bits change */
	uint64_t gen;      /* [lock] nodes removed so far: hints of another gen are stale */
	uint64_t state_nr; /* [lock] places */
	uint64_t node_nr;  /* [lock] nodes that they are in: objects of the pool */
};

/* @rank: who locks a range holds no lock of this rank or above. */
void io_tree_init(struct io_tree *t, struct io_env *env, enum lock_rank rank);
/* Nothing is locked. States that are left are dropped. */
void io_tree_destroy(struct io_tree *t);

/*
 * io_tree_lock_range - wait until [start, end) is the caller's
 * First come, first served: a request waits for all that came before it, held or waiting, that
 * overlap it, unless both are shared; it is woken once, when the last of them has gone. Who holds
 * one may sleep, do I/O, and unlock on another thread. A thread may hold several of one tree if it
 * took them in ascending order and they do not overlap.
 * Context: may sleep; no lock of the tree's rank or above.
 */
void io_tree_lock_range(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
			enum io_lock_mode mode);
/* The same; -EINTR: cancelled while it waited, nothing is held. A cancel does not stop one that
 * need not wait. @c may be NULL. */
int io_tree_lock_range_intr(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
			    enum io_lock_mode mode, struct io_cancel *c);
/* False, and nothing is held, if it would have to wait. Context: any below RANK_IO_RANGE. */
bool io_tree_try_lock_range(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
			    enum io_lock_mode mode);
/* Context: any below RANK_IO_RANGE. */
void io_tree_unlock_range(struct io_tree *t, struct io_lock *l);
/*
 * io_tree_wait_range - until all that now hold or wait for bytes of [start, end) exclusively have
 * gone; blocks nobody, so it cannot make those to come wait. 0, or 1: it had to wait, or -EINTR as
 * above; @c may be NULL.
 */
int io_tree_wait_range(struct io_tree *t, uint64_t start, uint64_t end, struct io_cancel *c);

/* ---- states ---- */

/*
 * Nodes at hand. Who has IO_OP_NODES for each operation to come cannot be let down. What an
 * operation sets free is kept up to @keep, the rest goes back to the pool. One thread at a time.
 */
enum { IO_KEEP_MAX = 64 };
struct io_memory {
	struct mempool *pool;
	struct io_state *first;
	unsigned nr, keep;
};
/* @keep: IO_OP_NODES..IO_KEEP_MAX, and no more than the pool's reserve. */
void io_memory_init(struct io_memory *m, struct mempool *pool, unsigned keep);
void io_memory_add(struct io_memory *m, void *obj); /* an object of the pool; fewer than @keep */
/* Until @keep are at hand. May sleep: holds no object of the pool's domain but those in @m, which
 * it gives back before it waits. */
void io_memory_fill(struct io_memory *m);
/* As far as that goes without waiting: true if @keep are at hand. */
bool io_memory_try_fill(struct io_memory *m);
void io_memory_end(struct io_memory *m); /* all go back */

/*
 * Where the last operation was: the next one near it does not search from the root. Zeroed: none.
 * It holds nothing; it is the caller's, one thread at a time and of one tree.
 */
struct io_hint {
	struct io_state *at;
	uint64_t gen;
};

/*
 * io_tree_set, _clear, _convert - bits of [start, end) are set, cleared; or some cleared and some
 * set in one step
 * @m: [in, out] IO_OP_NODES or more at hand (asserted); @h: may be NULL
 * Context: any below RANK_IO_STATE and RANK_MEMPOOL; never sleeps, never fails.
 */
void io_tree_set(struct io_tree *t, struct io_memory *m, uint64_t start, uint64_t end,
		 uint32_t bits, struct io_hint *h);
void io_tree_clear(struct io_tree *t, struct io_memory *m, uint64_t start, uint64_t end,
		   uint32_t bits, struct io_hint *h);
void io_tree_convert(struct io_tree *t, struct io_memory *m, uint64_t start, uint64_t end,
		     uint32_t clear, uint32_t set, struct io_hint *h);

/*
 * Has some byte (@all: has each) of [start, end) all of @bits? Context: as above; with IO_LOCKED,
 * below RANK_IO_RANGE, and then of two moments: locks first.
 */
bool io_tree_test(struct io_tree *t, uint64_t start, uint64_t end, uint32_t bits, bool all);

/*
 * The first run of bytes with the same states at or after @from that has any of @bits. IO_LOCKED
 * counts as a state if it is asked for.
 */
struct io_run {
	uint64_t start, end; /* start >= from */
	uint32_t bits;
};
bool io_tree_find_first(struct io_tree *t, uint64_t from, uint32_t bits, struct io_run *out);

/* Invariants of both, for tests: 0 or -EUCLEAN with what is wrong. Nobody changes them meanwhile.
 */
int io_tree_check(struct io_tree *t, struct mbfs_diag *diag);

#endif
