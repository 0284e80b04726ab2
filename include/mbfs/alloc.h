/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The multi-block allocator as a library. It needs no disk and no FUSE: on plain memory with
 * mbfs_alloc_open_mem(), or over any store of bitmaps with mbfs_alloc_open().
 *
 * All calls are safe from many threads at once unless they say otherwise.
 */
#ifndef MBFS_ALLOC_H
#define MBFS_ALLOC_H

#include <mbfs/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbfs_alloc;	/* the allocator of one file system */
struct mbfs_alloc_file; /* what it remembers of one file: its preallocations */

/* Shape of the space, constant but for mbfs_alloc_grow(): groups of blks_per_grp blocks from
 * first_blk on; one cluster = one block for now (bigalloc later). */
struct mbfs_alloc_shape {
	mbfs_blk_t blk_nr;     /* counted from block 0 */
	uint32_t first_blk;    /* 0 or 1 */
	uint32_t blks_per_grp; /* at most 8 * block_bytes */
	uint32_t block_bytes;  /* power of two, 1024..65536 */
	uint32_t log_grps_per_flex;
	uint64_t resv_blk_nr;  /* left to requests with MBFS_ALLOC_ROOT */
};

/* Places where a thread can be held up, to stretch a race (mbfs-race --widen NAME=USEC). */
enum mbfs_alloc_point {
	MBFS_POINT_CLAIM_SCAN,   /* claim-scan: between the claim and the first look at a group */
	MBFS_POINT_MARK_PUBLISH, /* mark-publish: blocks marked used in the buddy, PA not yet
				    visible */
	MBFS_POINT_PA_BUSY,	 /* pa-busy: blocks taken from a PA, which is busy until they are
				    marked on disk */
	MBFS_POINT_SCAN_DISCARD, /* scan-discard: a pass found nothing, PAs not yet swept */
	MBFS_POINT_DETACH_FREE,  /* detach-free: PAs detached from the group, blocks not yet back;
				    where the group's lock is held the delay burns the CPU */
	MBFS_POINT_DELETED_FREE, /* deleted-free: PA marked deleted, blocks not yet back */
	MBFS_POINT_GROW_FILL,	 /* grow-fill: groups are counted, their slots not yet filled; of
				    resize=count-first only */
	MBFS_POINT_FIND_USE,	 /* find-use: the array of groups fetched, not yet looked into; of
				    resize=pre-5.6 only, and it burns the CPU */
	MBFS_POINT_NR
};

/* Defaults: mbfs_alloc_tune_default(). Units are blocks unless the name says otherwise. */
struct mbfs_alloc_tune {
	const char *enospc;	 /* variant by name */
	const char *resize;	 /* likewise; NULL: mbfs */
	unsigned cpus;		 /* virtual CPUs; 0: the real ones */
	uint32_t group_prealloc; /* mb_group_prealloc 512 */
	uint32_t stream_req;	 /* mb_stream_req 16 */
	uint32_t order2_req;	 /* mb_order2_req 2 */
	uint32_t max_to_scan;	 /* mb_max_to_scan 200 */
	uint32_t min_to_scan;	 /* mb_min_to_scan 10 */
	uint32_t best_avail_max_trim_order; /* 3 */
	uint32_t widen_us[MBFS_POINT_NR];   /* 0: no delay */
	/* true: free counts and PA lists are looked at under the group's lock only; false: first
	 * without it, as the kernel does. Slower; to tell races of the looks from others. */
	bool locked_checks;
	/* NULL, or called at the points whose widen_us is not 0, instead of the delay. Holds no
	 * lock there (detach-free: only where a sweep has dropped the group's lock). */
	void (*at_point)(void *arg, enum mbfs_alloc_point point);
	/* NULL, or called before a call sleeps until somebody else gives blocks back: what that
	 * one may be waiting for has to be submitted now, as the kernel's schedule() does with a
	 * plug. Holds no lock. A variant that spins never calls it. */
	void (*before_wait)(void *arg);
	void *hook_arg;
};

/* Variants in the order of DESIGN.md's table; NULL past the end. @holds: expected never to lose.
 * @window: the delay point that makes it lose; MBFS_POINT_NR: none is known. */
struct mbfs_alloc_variant {
	const char *name, *kernel, *commit, *summary;
	bool holds;
	enum mbfs_alloc_point window;
};
MBFS_API const struct mbfs_alloc_variant *mbfs_alloc_variant_at(unsigned idx);
MBFS_API const struct mbfs_alloc_variant *mbfs_alloc_variant_find(const char *name);

/* How the arrays are replaced that have a place for each group, when there are more groups. In the
 * order of history; NULL past the end. The first two are wrong and end in a crash. */
struct mbfs_resize_variant {
	const char *name, *kernel, *commit, *summary;
	bool holds;
	enum mbfs_alloc_point window; /* as above */
};
MBFS_API const struct mbfs_resize_variant *mbfs_resize_variant_at(unsigned idx);
MBFS_API const struct mbfs_resize_variant *mbfs_resize_variant_find(const char *name);
MBFS_API const char *mbfs_alloc_point_name(enum mbfs_alloc_point point); /* NULL past the end */
MBFS_API void mbfs_alloc_tune_default(struct mbfs_alloc_tune *tune);

/* What the allocator asks of whoever keeps the bitmaps on disk. Clusters are from the group's
 * start. */
struct mbfs_alloc_store_ops {
	/*
	 * Counters of a group from its descriptor, at open: no I/O beyond the descriptor table.
	 * @bad: the descriptor is unusable; the group is fenced off.
	 */
	int (*grp_info)(void *ctx, mbfs_grp_t grp, uint32_t *free_nr, bool *bad);
	/*
	 * Fill @bits (blks_per_grp bits, rounded up to whole 8-byte words; 1 = in use, padding past
	 * the group's end set) from the disk bitmap and keep what update() needs in memory. May do
	 * I/O. -EIO, -EBADMSG (checksum), -EUCLEAN (metadata blocks not marked, or free_nr
	 * disagrees).
	 */
	int (*bitmap_load)(void *ctx, mbfs_grp_t grp, uint8_t *bits);
	/*
	 * Mark [start, start + len) of a loaded group used or free in the disk bitmap and count it
	 * in the descriptor. Called under the group's spinlock: no I/O, no waiting, cannot fail.
	 */
	void (*bitmap_update)(void *ctx, struct mbfs_tx *tx, mbfs_grp_t grp, mbfs_clu_t start,
			      uint32_t len, bool used);
	/* The disk bitmap of a loaded group as it now is, for checks. May be NULL. */
	void (*bitmap_copy)(void *ctx, mbfs_grp_t grp, uint8_t *bits);
	/* There will be @blk_nr blocks: grp_info() is asked of the new groups. -ENOMEM. Called with
	 * what there was if it came to nothing. May be NULL: the store knows them already. */
	int (*grow)(void *ctx, mbfs_blk_t blk_nr);
	/* True if any block of [start, start + len) is metadata that no file may get or free. */
	bool (*is_system)(void *ctx, mbfs_blk_t start, uint32_t len);
};

/* Errors: -EINVAL (diag names the option or the shape's fault), -ENOMEM, or the store's. */
MBFS_API MBFS_MUST_CHECK int mbfs_alloc_open(const struct mbfs_alloc_shape *shape,
					     const struct mbfs_alloc_tune *tune,
					     const struct mbfs_alloc_store_ops *store,
					     void *store_ctx, struct mbfs_diag *diag,
					     struct mbfs_alloc **out);
/* The same on a store of its own in memory: empty, every block free, no block is system. */
MBFS_API MBFS_MUST_CHECK int mbfs_alloc_open_mem(const struct mbfs_alloc_shape *shape,
						 const struct mbfs_alloc_tune *tune,
						 struct mbfs_diag *diag, struct mbfs_alloc **out);
/* Discards all preallocations and frees everything. All files are closed, no call is under way. */
MBFS_API void mbfs_alloc_close(struct mbfs_alloc *a);

/* One per file that allocates. Errors: -ENOMEM. Closing discards the file's preallocations. */
MBFS_API MBFS_MUST_CHECK int mbfs_alloc_file_open(struct mbfs_alloc *a, uint64_t id,
						  struct mbfs_alloc_file **out);
MBFS_API void mbfs_alloc_file_close(struct mbfs_alloc_file *f);
/* Give back all the file holds beyond what was allocated to it (last writer gone, truncate). */
MBFS_API void mbfs_alloc_file_discard(struct mbfs_alloc_file *f);

enum mbfs_alloc_flags {
	MBFS_ALLOC_DATA = 1u << 0,        /* file data: may be normalised and preallocated */
	MBFS_ALLOC_NO_PREALLOC = 1u << 1, /* exactly what is asked */
	MBFS_ALLOC_ROOT = 1u << 2,        /* may use the reserved blocks */
	MBFS_ALLOC_FALLOC = 1u << 3, /* explicit preallocation: not normalised, no PA of the rest */
	MBFS_ALLOC_GOAL_ONLY = 1u << 4, /* at the goal or -ENOSPC */
	MBFS_ALLOC_CONTIG = 1u << 5,    /* all of len in one run or -ENOSPC (a true one) */
};

struct mbfs_alloc_req {
	mbfs_lblk_t lblk;	/* where in the file; with len it may not pass 2^32 */
	uint32_t len;		/* blocks, >= 1 */
	mbfs_blk_t goal;	/* wanted start; 0: none */
	uint64_t file_blks;	/* size of the file in blocks, rounded up */
	mbfs_lblk_t lleft, lright;  /* nearest allocated file blocks either side, with ... */
	mbfs_blk_t pleft, pright;   /* ... their device blocks; 0: none */
	unsigned flags;		/* enum mbfs_alloc_flags */
};

/*
 * mbfs_alloc_blocks - allocate one run for a file
 * @f:   [in] NULL for metadata
 * @tx:  [in] open handle; NULL on plain memory
 * @got: [out] 1 <= got->len <= req->len; untouched on error
 * Errors: -ENOSPC none claimable (true), or a losing variant gave up (false; counted); -EIO,
 * -EBADMSG, -EUCLEAN a group needed could not be loaded; -ENOMEM. Nothing is allocated on error.
 * Context: may sleep and do I/O (first use of a group). Locks: RANK_LG .. RANK_GDESC inside; hold
 * nothing of rank >= RANK_LG, and nothing that a holder of blocks in transit may need. Source:
 * fs/ext4/mballoc.c, ext4_mb_new_blocks().
 */
MBFS_API MBFS_MUST_CHECK int mbfs_alloc_blocks(struct mbfs_alloc *a, struct mbfs_alloc_file *f,
					       const struct mbfs_alloc_req *req, struct mbfs_tx *tx,
					       struct mbfs_run *got);
/*
 * mbfs_alloc_free - give a run back; it may span groups
 * Errors: -EUCLEAN a block is system, outside the device or already free (nothing of that group is
 *         freed; logged); -EIO, -EBADMSG, -ENOMEM the group could not be loaded.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_alloc_free(struct mbfs_alloc *a, struct mbfs_tx *tx,
					     const struct mbfs_run *run);

/*
 * mbfs_alloc_grow - there are more blocks from now on, at the end
 * @blk_nr, @resv_blk_nr: [in] as in struct mbfs_alloc_shape; blk_nr is not less than it was
 * Others allocate and free meanwhile; a request that finds nothing free waits for it and looks once
 * more. One call at a time. Errors: -EINVAL; -ENOMEM; the store's, for the last group: nothing has
 * changed.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_alloc_grow(struct mbfs_alloc *a, mbfs_blk_t blk_nr,
					     uint64_t resv_blk_nr, struct mbfs_diag *diag);

/*
 * mbfs_alloc_free_hook - be told of every run that mbfs_alloc_free() has given back
 * Set once, before the first call that frees. It is called without locks of @a; it may not sleep
 * for long, and the blocks may be somebody else's by then.
 */
typedef void (*mbfs_alloc_freed)(void *arg, struct mbfs_tx *tx, const struct mbfs_run *run);
MBFS_API void mbfs_alloc_free_hook(struct mbfs_alloc *a, mbfs_alloc_freed fn, void *arg);

/* Live counters; sums without a snapshot. Names after /proc/fs/ext4/DEV/mb_stats where it has them.
 */
enum { MBFS_CR_NR = 5, MBFS_HIST_NR = 40 };
struct mbfs_alloc_stats {
	uint64_t blk_nr, free_nr, claimed_nr, pa_nr, pa_blks, groups_loaded;
	uint64_t reqs, success, blocks_allocated, frees, blocks_freed;
	uint64_t groups_scanned, groups_considered[MBFS_CR_NR], cr_hits[MBFS_CR_NR],
		cr_useless[MBFS_CR_NR], extents_scanned, goal_hits, stream_goal_hits, len_goal_hits,
		pow2_hits, breaks, lost, buddies_generated, preallocated, discarded, pa_hits_inode,
		pa_hits_group;
	/* the ENOSPC path; not in the kernel */
	uint64_t enospc, false_enospc, claim_failed, passes, sweeps, retries, cap_hits,
		seq_mismatches, barriers, barrier_ns, barrier_max_ns, waits, wait_ns;
	/* log2 histogram in ns of mbfs_alloc_blocks() calls that needed a second pass or ended in
	 * ENOSPC */
	uint64_t slow_calls, slow_max_ns, slow_hist[MBFS_HIST_NR];
};
MBFS_API void mbfs_alloc_stats(struct mbfs_alloc *a, struct mbfs_alloc_stats *out);

/* The live free-block counter (what statfs shows), and how much an ordinary user may still claim.
 */
MBFS_API uint64_t mbfs_alloc_free_nr(struct mbfs_alloc *a);
MBFS_API uint64_t mbfs_alloc_avail_nr(struct mbfs_alloc *a);

/* One group as /proc/fs/ext4/DEV/mb_groups prints it. -ERANGE past the end. */
struct mbfs_alloc_group_info {
	bool loaded, bad;
	uint32_t free_nr, fragments, first_free, counts[20];
};
MBFS_API int mbfs_alloc_group_info(struct mbfs_alloc *a, mbfs_grp_t grp,
				   struct mbfs_alloc_group_info *out);

/*
 * mbfs_alloc_check - the equations of DESIGN.md, over every loaded group
 * Quiescent: no other call is under way (else it may report what is only in transit).
 * Errors: -EUCLEAN, with what does not add up in @diag.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_alloc_check(struct mbfs_alloc *a, struct mbfs_diag *diag);

#ifdef __cplusplus
}
#endif

#endif
