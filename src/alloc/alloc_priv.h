/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of src/alloc share. The essay is in alloc.c. */
#ifndef ALLOC_ALLOC_PRIV_H
#define ALLOC_ALLOC_PRIV_H

#include <mbfs/alloc.h>

#include "alloc/claim.h"
#include "alloc/enospc/enospc.h"
#include "alloc/index.h"
#include "base/bits.h"
#include "base/containers.h"
#include "reclaim/kvfree.h"
#include "reclaim/table.h"
#include "rt/percpu.h"
#include "rt/rcu.h"
#include "rt/sync.h"

enum {
	LG_LIST_NR = 10,    /* locality-group lists, by order of what is left */
	LG_TRIM_ABOVE = 8, LG_TRIM_TO = 5, /* PAs of one list */
	STREAM_GOAL_MAX = 64,
};

/* Per-CPU statistics; the sums are struct mbfs_alloc_stats. */
enum stat {
	STAT_REQS,
	STAT_SUCCESS,
	STAT_BLOCKS,
	STAT_FREES,
	STAT_BLOCKS_FREED,
	STAT_SCANNED,
	STAT_EXTENTS,
	STAT_GOAL_HITS,
	STAT_STREAM_GOAL_HITS,
	STAT_LEN_GOAL_HITS,
	STAT_POW2_HITS,
	STAT_BREAKS,
	STAT_LOST,
	STAT_BUDDIES,
	STAT_PREALLOCATED,
	STAT_DISCARDED,
	STAT_PA_INODE,
	STAT_PA_GROUP,
	STAT_ENOSPC,
	STAT_FALSE_ENOSPC,
	STAT_CLAIM_FAILED,
	STAT_PASSES,
	STAT_SWEEPS,
	STAT_RETRIES,
	STAT_CAP_HITS,
	STAT_SEQ_MISMATCHES,
	STAT_BARRIERS,
	STAT_BARRIER_NS,
	STAT_WAITS,
	STAT_WAIT_NS,
	STAT_SLOW,
	STAT_PA_NR,
	STAT_PA_BLKS, /* now, not so far: they also fall */
	STAT_CR_CONSIDERED,
	STAT_CR_HITS = STAT_CR_CONSIDERED + MBFS_CR_NR,
	STAT_CR_USELESS = STAT_CR_HITS + MBFS_CR_NR,
	STAT_SLOW_HIST = STAT_CR_USELESS + MBFS_CR_NR,
	STAT_NR = STAT_SLOW_HIST + MBFS_HIST_NR,
};

/* ---- groups ---- */

enum group_state { GROUP_LOADED = 1, GROUP_BAD = 2 };

TAILQ_HEAD(pa_list, pa);

/*
 * One block group in memory, from open to close.
 * lock: RANK_GROUP. load_lock: RANK_GROUP_LOAD, held while the bitmap is read for the first time.
 * (1) A bit of bits[] is clear <=> the block lies in exactly one chunk of the buddy.
 * (2) free_nr == clear bits; fragments == maximal runs of them; counts[k] == chunks of order k.
 * (3) The blocks of a PA that are not used yet are set in bits[], clear in the disk bitmap.
 * (4) The group is in index.order at largest_order and in index.frag at the order of free_nr /
 * fragments, or in none when nothing is free.
 */
struct group {
	struct rt_spin lock;
	struct rt_mutex load_lock;
	rt_u32 state; /* [atomic] enum group_state; 0: not loaded, counters from the descriptor */
	rt_u32 free_nr;	   /* write [lock], read [racy: hint for scans] */
	rt_u32 fragments;  /* likewise */
	rt_u32 pa_nr; /* PAs on the list; write [lock], read [racy: empty groups are passed over] */
	mbfs_grp_t idx;	   /* [const] */
	uint32_t len;	   /* [lock] blocks in it; read [racy] too: it only rises */
	int8_t largest;	   /* [lock] order of the largest chunk; -1: none */
	int8_t in_order, in_frag; /* [lock] where the indexes have it; -1: nowhere */
	uint32_t first_free; /* [lock] no free block before it */
	uint32_t counts[ORDER_NR]; /* [lock] chunks of each order */
	uint8_t *bits;	   /* [lock] 1 = in use; also not free for others while in a PA */
	uint8_t *chunks[ORDER_NR]; /* [lock] from order 1 on: 1 = a free chunk of this order starts
				      here */
	struct pa_list pas; /* [lock] */
	int load_err;	   /* [load_lock] why it is bad */
};

/* ---- preallocations ---- */

enum pa_kind { PA_FILE, PA_GROUP };

/*
 * A preallocation: blocks taken from the buddy that still count as free.
 * File PAs: a file's blocks [lblk, lblk + len) will be at [start, start + len); used[] says which
 * are taken. Group PAs: taken from the front; start and len move. lock: RANK_PA. Freed by RCU once
 * out of the group's list and its owner's container. A PA with busy > 0 has a user between choosing
 * blocks and marking them on disk: nobody discards it. One that is deleted gives no blocks any
 * more; who set deleted takes it apart.
 */
struct pa {
	struct kvfree_head dead;
	struct rt_spin lock;
	struct mbfs_alloc *a;	/* [const] */
	enum pa_kind kind;	/* [const] */
	struct group *grp;	/* [const] */
	struct mbfs_alloc_file *file; /* [const] owner of a PA_FILE */
	unsigned lg_cpu;	/* [const] owner of a PA_GROUP */
	mbfs_lblk_t lblk;	/* [const] */
	mbfs_clu_t start;	/* [lock] in the group */
	uint32_t len;		/* [lock] */
	uint32_t free;		/* [lock] blocks not taken */
	uint32_t busy;		/* [lock] */
	bool deleted;		/* [lock] */
	bool unlinked;		/* [lock] out of its owner's container */
	int8_t lg_list;		/* [lg lock] -1: in none */
	TAILQ_ENTRY(pa) group_link; /* [group lock] */
	TAILQ_ENTRY(pa) owner_list; /* PA_GROUP: [lg lock]; private lists while being taken apart */
	RB_ENTRY(pa) owner_tree;    /* PA_FILE: [file lock] */
	uint8_t used[];		/* [lock] PA_FILE: a bit for each block */
};

RB_HEAD(pa_tree, pa);
RB_PROTOTYPE(pa_tree, pa, owner_tree, pa_cmp)

struct mbfs_alloc_file {
	struct mbfs_alloc *a; /* [const] */
	uint64_t id;	      /* [const] */
	struct rt_spin lock;  /* RANK_PA_TREE */
	struct pa_tree pas;   /* [lock] by lblk, no overlaps */
	rt_u32 pa_nr;	      /* [atomic] PAs that still point at the file */
};

/* One virtual CPU's preallocations for small files. */
struct locality_group {
	struct rt_spin lock; /* RANK_LG */
	struct pa_list lists[LG_LIST_NR]; /* [lock] by order of free */
	uint32_t nr[LG_LIST_NR];	  /* [lock] */
} __attribute__((aligned(RT_SLOT_BYTES)));

struct stat_slot {
	rt_stat v[STAT_NR];
} __attribute__((aligned(RT_SLOT_BYTES)));

/* See grow.c. But for seq and ended the one who grows it has it to himself. */
struct alloc_growth {
	uint32_t seq; /* [racy: a hint] odd: under way */
	struct rt_event ended;
	mbfs_blk_t blk_nr;
	uint64_t free_nr;  /* in the new groups */
	uint32_t last_len; /* of the last old group */
	struct kvfree *dead; /* for what is replaced; NULL: none */
};

struct mbfs_alloc {
	struct mbfs_alloc_shape shape;	/* [const]; blk_nr rises [racy: a bound] */
	struct mbfs_alloc_tune tune;	/* [const] */
	const struct enospc_policy *policy; /* [const] */
	const struct mbfs_alloc_store_ops *store; /* [const] */
	void *store_ctx;		/* [const] */
	void (*store_close)(void *ctx);	/* [const] NULL: the store is the caller's */
	struct rt_cpus cpus;		/* [const] */
	unsigned order_nr;		/* [const] orders in use: block_bits + 2 */
	struct table groups;		/* struct group */
	struct group_index by_order, by_frag;
	struct claim claim;
	struct locality_group *lgs;	/* [const] one per virtual CPU */
	rt_u64 stream_goal[STREAM_GOAL_MAX]; /* [racy: a hint] of large requests, by file */
	unsigned stream_nr;		/* [const] */
	struct rt_counter seq;		/* discard_pa_seq */
	struct rt_counter begin, end;	/* begin-end: blocks leaving for a buddy, blocks arrived */
	struct rt_event arrive;		/* claim-wait: blocks or a PA have become available */
	rt_u32 waiters_nr;		/* [atomic] threads that will look at arrive */
	rt_u32 bad_nr;			/* [atomic] groups fenced off */
	struct alloc_growth grow;
	struct kvfree *dead_pas;	/* [const] */
	struct stat_slot *stats;	/* [atomic] one per virtual CPU */
	rt_u64 slow_max_ns, barrier_max_ns; /* [atomic] */
	rt_u64 late_nr; /* [racy: for statfs] freed, to be given back: free_late.c */
	mbfs_alloc_freed freed;		/* [const after mount] NULL: nobody wants to know */
	void *freed_arg;
};

/* One call of mbfs_alloc_blocks(). */
struct alloc_ctx {
	struct mbfs_alloc *a;
	struct mbfs_alloc_file *file;
	const struct mbfs_alloc_req *req;
	struct mbfs_tx *tx;
	unsigned cpu;
	uint32_t len;	     /* claimed: at most this much is given */
	/* what the allocator goes for: the request, normalised */
	mbfs_lblk_t want_lblk;
	uint32_t want_len;
	mbfs_blk_t want_goal;
	bool group_pa;	     /* small: from and into a locality group */
	bool no_hoard;	     /* a retry: exactly the request, nothing kept */
	bool strict;	     /* look at free counts under the lock (EXT4_MB_STRICT_CHECK) */
	struct pa *new_pa;   /* made before any lock is taken; NULL: nothing to keep */
	/* found */
	struct group *grp;
	mbfs_clu_t start;
	uint32_t found;
	struct mbfs_run got;
	int load_err;	     /* a group could not be loaded */
	bool waited;	     /* more than one pass, or waited: its time counts as slow */
	struct enospc_state enospc;
};

static inline void stat_add(struct mbfs_alloc *a, unsigned cpu, unsigned stat, uint64_t n)
{
	rt_stat_add(&a->stats[cpu].v[stat], n);
}

/* alloc.c: the delay, or what the tune has instead. */
void alloc_point_held(struct mbfs_alloc *a, enum mbfs_alloc_point point);

static inline void alloc_point(struct mbfs_alloc *a, enum mbfs_alloc_point point)
{
	if (__builtin_expect(a->tune.widen_us[point] != 0, 0))
		alloc_point_held(a, point);
}

/* Before sleeping for what others hold. */
static inline void alloc_before_wait(struct mbfs_alloc *a)
{
	if (a->tune.before_wait)
		a->tune.before_wait(a->tune.hook_arg);
}

/* The same under a spinlock: no sleep. */
static inline void alloc_point_locked(struct mbfs_alloc *a, enum mbfs_alloc_point point)
{
	uint64_t until;

	if (__builtin_expect(a->tune.widen_us[point] == 0, 1))
		return;
	until = rt_now_ns() + a->tune.widen_us[point] * 1000ull;
	while (rt_now_ns() < until)
		;
}

/* Blocks are about to be marked used or free in a buddy; as mb_mark_used() and mb_free_blocks(). */
static inline void bump_buddy(struct mbfs_alloc *a, unsigned cpu)
{
	if (a->policy->bump & BUMP_BUDDY)
		rt_counter_add_ordered(&a->seq, cpu, 1);
}

/* Blocks of the device; the groups are there before. */
static inline mbfs_blk_t blk_nr_of(const struct mbfs_alloc *a)
{
	return rt_read_once(a->shape.blk_nr);
}

static inline mbfs_grp_t grp_nr_of(const struct mbfs_alloc *a)
{
	return table_nr(&a->groups);
}
static inline mbfs_grp_t grps_for(const struct mbfs_alloc *a, mbfs_blk_t blk_nr)
{
	return (mbfs_grp_t)div_up(blk_nr - a->shape.first_blk, a->shape.blks_per_grp);
}
static inline struct group *group_at(const struct mbfs_alloc *a, mbfs_grp_t idx)
{
	return table_at(&a->groups, idx); /* NULL: it is not there yet */
}

static inline mbfs_blk_t group_start(const struct mbfs_alloc *a, const struct group *g)
{
	return (mbfs_blk_t)g->idx * a->shape.blks_per_grp + a->shape.first_blk;
}

static inline bool group_has(const struct group *g, uint32_t state)
{
	return rt_u32_read_acquire(&g->state) & state;
}

/* buddy.c: group lock held */
void buddy_mark(struct mbfs_alloc *a, struct group *g, mbfs_clu_t start, uint32_t len);
void buddy_free(struct mbfs_alloc *a, struct group *g, mbfs_clu_t start, uint32_t len);
void buddy_build(struct mbfs_alloc *a, struct group *g); /* chunks and counters from bits */
/* A free run of @want blocks out of a chunk of that order or more; false: none is that large. */
bool buddy_take(const struct mbfs_alloc *a, const struct group *g, uint32_t want,
		mbfs_clu_t *start);
/* The start of the first chunk of @order at or after @from; the group's length if none. */
mbfs_clu_t buddy_chunk_next(const struct group *g, unsigned order, mbfs_clu_t from);
int buddy_check(struct mbfs_alloc *a, struct group *g, struct mbfs_diag *diag);

/* group.c */
int groups_open(struct mbfs_alloc *a);
/* Of a device of @blk_nr blocks; what is free in it is added to *free_nr. It is in no index yet. */
int group_init(struct mbfs_alloc *a, mbfs_grp_t idx, mbfs_blk_t blk_nr, uint64_t *free_nr);
void groups_close(struct mbfs_alloc *a);
/* Load if needed. Errors: the store's; the group is fenced off then. No spinlock held. */
int group_load(struct mbfs_alloc *a, struct group *g);
void group_index_update(struct mbfs_alloc *a, struct group *g); /* lock held */

/* normalize.c */
void normalize(struct alloc_ctx *ac);
/* Size of the file after the request, in blocks. */
uint64_t request_end(const struct alloc_ctx *ac);
bool request_is_small(const struct alloc_ctx *ac);

/* scan.c: find and mark; ac->grp, start, found are set. -ENOSPC: nothing in any buddy. */
int scan(struct alloc_ctx *ac);

/* prealloc.c */
struct pa *pa_make(struct alloc_ctx *ac); /* NULL: no memory */
void pa_unmake(struct pa *pa);		  /* one that was never used; NULL is fine */
bool pa_use(struct alloc_ctx *ac); /* ac->got from a PA */
/* The buddy has given [start, start + found): use the request's part, keep the rest. Group lock
 * held; PA published here or, by the variant's decision, in pa_publish_late(). */
void pa_from_found(struct alloc_ctx *ac);
void pa_publish_late(struct alloc_ctx *ac);
void pa_container_add(struct alloc_ctx *ac); /* into the tree or list of its owner; no lock held */
int pa_graveyard_open(struct mbfs_alloc *a); /* of dead_pas; -ENOMEM */
void pa_container_del(struct pa *pa);	     /* out of it, and free by RCU; no lock held */
void lg_move_locked(struct locality_group *lg, struct pa *pa, int8_t to); /* -1: out of all lists */
void pa_owner_wait(struct mbfs_alloc_file *f);

/* free.c: blocks of one group, that are in use. Errors: group_load()'s; -EUCLEAN not in use. */
int free_in_group(struct mbfs_alloc *a, struct mbfs_tx *tx, unsigned cpu, struct group *g,
		  mbfs_clu_t start, uint32_t len);

/* discard.c: take apart PAs of one group until @need blocks are free; *busy: some were in use. */
uint32_t discard_group(struct alloc_ctx *ac, struct group *g, uint32_t need, bool *busy);
uint32_t discard_all(struct alloc_ctx *ac, uint32_t need, bool *busy);
void discard_file(struct mbfs_alloc_file *f);
void discard_lg(struct mbfs_alloc *a, unsigned cpu, unsigned list, unsigned keep);
/* Put the unused blocks of a deleted PA back. Group lock held. */
uint32_t pa_blocks_free_locked(struct mbfs_alloc *a, struct pa *pa);

/* Blocks or a PA have become available: wake who waits for that. No spinlock held. */
void alloc_notify(struct mbfs_alloc *a);

#endif
