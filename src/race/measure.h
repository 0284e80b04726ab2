/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * measure.h - rooms of the library measured from inside, beside what one would use instead: for
 * mbfs-bench, which sees none of them. Real threads only.
 *
 * Operations that last some ten nanoseconds are timed in batches, with one reading of the clock for
 * each, which is subtracted: a percentile is one of the means of batches.
 */
#ifndef RACE_MEASURE_H
#define RACE_MEASURE_H

#include "race/race.h"

enum { RACE_BOUT_THREADS_MAX = 64 };

/* What reading the clock costs. */
double race_clock_cost_ns(void);

/* How fast it went. */
struct race_pace {
	double per_s;          /* operations of all threads together */
	double p50_ns, p99_ns; /* of one operation: means of batches */
	double max_ns;         /* the longest batch; where a wait is measured: the longest wait */
	double least;          /* what the slowest thread did, of what the fastest did: 0..1 */
	double cpu_ns;         /* of the whole process for one operation, where measured; else 0 */
	double grown_per_s;    /* groups that were added, where measured; else 0 */
	double share;          /* of a pool's objects, from where they were to come; else 0 */
};

/*
 * race_bout_run - threads that do batches of operations for a while
 * @batch: [in] @ops operations of thread @idx; false: not to be counted, as what restores a state
 * Errors: -ENOMEM; of starting threads.
 */
struct race_bout {
	unsigned threads; /* 1..RACE_BOUT_THREADS_MAX */
	uint64_t run_ns;
	unsigned ops; /* in a batch */
	bool (*batch)(void *arg, unsigned idx);
	void *arg;
};
int race_bout_run(const struct race_bout *b, struct race_pace *out);

/* ---- byte-range locks of one file: measure_range.c ---- */

enum race_range_kind {
	RACE_RANGE_TREE,   /* io_tree */
	RACE_RANGE_WHOLE,  /* io_tree of -o rangelock=off */
	RACE_RANGE_RWLOCK, /* one reader-writer lock of the whole file */
	RACE_RANGE_LIST,   /* one list of ranges under one spinlock */
	RACE_RANGE_NR
};

enum race_range_place {
	RACE_PLACE_REGIONS, /* each thread in a region of its own */
	RACE_PLACE_REGION,  /* all in one region, in blocks of their own */
	RACE_PLACE_SAME,    /* all want the same block: the waits are measured */
};

struct race_range_load {
	unsigned threads;
	enum race_range_place place;
	unsigned read_every;   /* every so manieth lock is shared; 0: none, 1: all */
	unsigned extend_every; /* ... is of the size to infinity, as an extending write; 0: none */
	bool copies;           /* 4 KiB under the lock */
	unsigned held;         /* ranges in the first thread's region that are held all the while */
};

/* Errors: -ENOTSUP: @kind cannot do this; -ENOMEM. */
int race_range_measure(enum race_range_kind kind, const struct race_range_load *l, uint64_t run_ns,
		       struct race_pace *out);

/* ---- states of bytes: measure_state.c ---- */

enum race_state_op {
	RACE_STATE_SET,     /* a bit on a part of a state: it becomes two or three */
	RACE_STATE_CLEAR,   /* the opposite: they become one */
	RACE_STATE_CONVERT, /* of a state to another, which splits and merges nothing */
	RACE_STATE_TEST,
	RACE_STATE_OP_NR
};

struct race_state_tree;

/*
 * race_state_tree_open - a tree of @nr states (places where the bits change)
 * @shuffled: they come to be in random order, as in a file that has been in use for long; else from
 *            the first to the last
 * Errors: -ENOMEM.
 */
int race_state_tree_open(unsigned nr, bool shuffled, uint64_t seed, struct race_state_tree **out);
void race_state_tree_close(struct race_state_tree *s);

/* @in_order: one state after the other, else at random; @hint: the operations give a hint. */
int race_state_tree_measure(struct race_state_tree *s, enum race_state_op op, bool in_order,
			    bool hint, uint64_t run_ns, struct race_pace *out);

/* Bytes of memory for one state: asked for, and by which the heap has grown (0: not known). */
void race_state_tree_bytes(const struct race_state_tree *s, double *asked, double *grown);

/* ---- memory pools: measure_pool.c ---- */

enum race_pool_source {
	RACE_POOL_MAGAZINE,
	RACE_POOL_ALLOCATOR, /* no magazine: malloc() behind the pool */
	RACE_POOL_RESERVE,   /* no magazine, and the allocator has nothing */
};

enum race_pool_way {
	RACE_POOL_ONE_BY_ONE, /* mempool_alloc() of each */
	RACE_POOL_TOGETHER,   /* one mempool_reserve() */
	RACE_POOL_MALLOC,     /* malloc() and free(), no pool */
};

enum { RACE_POOLS_MAX = 4, RACE_POOL_HELD_MAX = 16 };

struct race_pool_load {
	unsigned threads;
	enum race_pool_source source;
	unsigned pools; /* 1..RACE_POOLS_MAX */
	unsigned nr;    /* of each, 1..RACE_POOL_HELD_MAX: got, then freed */
};

/* One operation is to get all of them and to free them. Errors: -ENOTSUP: @way does not know
 * such a source; -EILSEQ: one thread's objects came from elsewhere; -ENOMEM. */
int race_pool_measure(enum race_pool_way way, const struct race_pool_load *l, uint64_t run_ns,
		      struct race_pace *out);

/* ---- objects freed after a grace period: measure_kvfree.c ---- */

enum race_kvfree_way {
	RACE_KVFREE_PLAIN,    /* kvfree_rcu_mightsleep() */
	RACE_KVFREE_HEAD,     /* kvfree_rcu() */
	RACE_KVFREE_RT_CALL,  /* rt_rcu_call() and throttle */
	RACE_KVFREE_CALL_RCU, /* of the library that rt is built on */
	RACE_KVFREE_AT_ONCE,  /* no grace period */
	RACE_KVFREE_PENDING,  /* pending_add() and throttle */
};

/* Errors: -ENOMEM; of starting threads. */
int race_kvfree_measure(enum race_kvfree_way way, unsigned threads, uint64_t run_ns,
			struct race_pace *out);

/* ---- allocation while groups are added: measure_growth.c ---- */

enum race_growth {
	RACE_GROWTH_NONE,
	RACE_GROWTH_PACED, /* a group each millisecond */
	RACE_GROWTH_FAST,  /* one after the other, without a pause */
};

/* Errors: -ENOMEM; -EILSEQ: no group was added; of starting threads; of the allocator. */
int race_growth_measure(enum race_growth how, unsigned threads, uint64_t run_ns,
			struct race_pace *out);

/* ---- what RCU costs: measure_rcu.c ---- */

enum race_rcu_way {
	RACE_RCU_RT,      /* rt_rcu_read_lock(), rt_rcu_barrier() */
	RACE_RCU_KVFREE,  /* kvfree_flush() */
	RACE_RCU_PENDING, /* pending_flush() */
	RACE_RCU_STOCK,   /* of the library that rt is built on */
};

enum race_rcu_what {
	RACE_RCU_SECTION, /* a reader's */
	RACE_RCU_IDLE,    /* until what is queued is done: nothing */
	RACE_RCU_QUEUED,  /* a thousand objects; to queue them is not measured */
};

/* Errors: -ENOTSUP: @way has no such thing; -ENOMEM; of starting threads. */
int race_rcu_cost(enum race_rcu_way way, enum race_rcu_what what, uint64_t run_ns,
		  struct race_pace *out);

/* ---- metadata buffers that are evicted and read again: measure_buf.c ---- */

/* Errors: -EILSEQ: it found buffers; -ENOMEM; of starting threads. */
int race_buf_measure(unsigned block_bytes, unsigned threads, uint64_t run_ns,
		     struct race_pace *out);

#endif
