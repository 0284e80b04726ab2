/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * alloc/alloc.h - what the rooms above the allocator use besides <mbfs/alloc.h>: group descriptors
 * over buffers (gdt.c) and the store that keeps the allocator's bitmaps on disk (store_disk.c).
 */
#ifndef ALLOC_ALLOC_H
#define ALLOC_ALLOC_H

#include <mbfs/alloc.h>

#include "disk/geo.h"
#include "journal/journal.h"

struct kvfree;
struct gdt;

/* ---- where things are: sysmap.c; pure functions of the superblock ---- */
/* Does the group start with a superblock, the first one or a copy? */
bool sysmap_has_super(const struct mbfs_geo *geo, mbfs_grp_t grp);
/* The block of the descriptor table's part @idx (idx-th block of the table). */
mbfs_blk_t sysmap_desc_blk(const struct mbfs_geo *geo, uint32_t idx);
/* Blocks that a group starts with: superblock, descriptors, reserve. */
uint64_t sysmap_head_len(const struct mbfs_geo *geo, mbfs_grp_t grp);
/* Length of every group's inode table, in blocks. */
uint32_t sysmap_itable_len(const struct mbfs_geo *geo);

/* One group descriptor, decoded. */
struct gdesc {
	mbfs_blk_t block_bitmap, inode_bitmap, inode_table;
	uint32_t free_blks, free_inodes, used_dirs, itable_unused;
	uint16_t flags; /* GDESC_* */
};
enum { GDESC_INODE_UNINIT = 1, GDESC_BLOCK_UNINIT = 2, GDESC_INODE_ZEROED = 4 };

/*
 * gdt_open - read and verify all group descriptors, decode them into memory
 * Errors: -EUCLEAN a location is outside the device or overlaps; -EBADMSG checksum; -EIO; -ENOMEM.
 *         @diag names the group and the remedy.
 */
int gdt_open(const struct mbfs_geo *geo, struct buf_cache *bufs, struct mbfs_diag *diag,
	     struct gdt **out);
void gdt_close(struct gdt *gdt);

/* A copy of one descriptor. Takes RANK_GDESC. */
void gdt_read(struct gdt *gdt, mbfs_grp_t grp, struct gdesc *out);

/*
 * Change counters and flags of one descriptor; deltas may be negative. The bitmap checksums are put
 * in at gdt_seal(). Takes RANK_GDESC; no I/O, cannot fail.
 */
struct gdesc_delta {
	int32_t free_blks, free_inodes, used_dirs;
	uint32_t itable_unused;	   /* new value, if set_itable_unused */
	bool set_itable_unused;
	uint16_t clear_flags;
};
void gdt_update(struct gdt *gdt, struct mbfs_tx *tx, mbfs_grp_t grp, const struct gdesc_delta *d);

/* The inode bitmap's buffer is @buf from now on (referenced by gdt until close), so that gdt_seal()
 * can put its checksum into the descriptor. The same for the block bitmap. */
void gdt_pin_inode_bitmap(struct gdt *gdt, mbfs_grp_t grp, struct buf *buf);
void gdt_pin_block_bitmap(struct gdt *gdt, mbfs_grp_t grp, struct buf *buf);
/* The one that was pinned, or NULL. No lock. */
struct buf *gdt_block_bitmap(struct gdt *gdt, mbfs_grp_t grp);
/* Checksum stored for a bitmap in the descriptor: right or not (true if the image has none). */
bool gdt_inode_bitmap_csum_ok(struct gdt *gdt, mbfs_grp_t grp, const uint8_t *bits);
bool gdt_block_bitmap_csum_ok(struct gdt *gdt, mbfs_grp_t grp, const uint8_t *bits);

/*
 * gdt_seal - encode every changed descriptor with its bitmap checksums into the descriptor blocks
 * Called by the write-out before it writes buffers (a pre-write hook), with no RANK_BUF held.
 */
void gdt_seal(struct gdt *gdt, struct mbfs_tx *tx);

/*
 * Growing, by one thread at a time; the essay is in gdt_grow.c.
 * gdt_grow_ready - new groups up to @size->grp_nr are made
 * @dev:     [in] already as long as @size says; bitmaps are written to it, past the old end
 * @size:    [in] the superblock as it will be
 * @dead:    [in] gets what is replaced, until gdt_grow()
 * @done_nr: [out] rises by one for each group; others may look with rt_read_once()
 * Errors: -ENOMEM, -EIO. Nothing has changed then. Context: does I/O.
 */
MBFS_MUST_CHECK int gdt_grow_ready(struct gdt *gdt, struct mbfs_bdev *dev,
				   const struct mbfs_geo *size, struct kvfree *dead,
				   uint64_t *done_nr, struct mbfs_diag *diag);
/* The descriptors go into buffers. Errors: -ENOMEM; call gdt_grow_not(). */
MBFS_MUST_CHECK int gdt_grow_write(struct gdt *gdt, struct mbfs_tx *tx,
				   const struct mbfs_geo *size);
/* The new groups count; or it was in vain, from gdt_grow_ready() on. */
void gdt_grow(struct gdt *gdt, const struct mbfs_geo *size);
void gdt_grow_not(struct gdt *gdt, struct mbfs_tx *tx, const struct mbfs_geo *size);
/* Just opened: its table will grow as the tune's variant says. */
void gdt_grow_past(struct gdt *gdt, const struct mbfs_alloc_tune *tune);
/* A block of the table, for its backups. @out: block_bytes */
void gdt_blk_copy(struct gdt *gdt, uint32_t idx, uint8_t *out);

/* Totals over all groups, for the superblock and statfs. */
void gdt_totals(struct gdt *gdt, uint64_t *free_blks, uint64_t *free_inodes, uint64_t *used_dirs);

/* True if any block of the range is a superblock, descriptor, bitmap or inode table block. */
bool gdt_is_system(struct gdt *gdt, mbfs_blk_t start, uint32_t len);

/*
 * alloc_free_ready - would mbfs_alloc_free() of this run succeed?
 * Loads the groups, which then stay loaded, so that after 0 the run can be taken out of its owner
 * and freed: it fails only if somebody else frees the same blocks in between, and then none is
 * lost. Errors: mbfs_alloc_free()'s. Context and locks: as there.
 */
MBFS_MUST_CHECK int alloc_free_ready(struct mbfs_alloc *a, const struct mbfs_run *run);

/*
 * alloc_free_late - a run that the image may still lead to is given back by a later write-out
 * @is_meta: its blocks have buffers
 * Cannot fail after one alloc_free_late_ready() of it in the same handle, whose errors are
 * alloc_free_ready()'s. What nothing on the image ever led to goes by mbfs_alloc_free(), at once.
 */
MBFS_MUST_CHECK int alloc_free_late_ready(struct mbfs_alloc *a, struct mbfs_tx *tx,
					  const struct mbfs_run *run);
void alloc_free_late(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run,
		     bool is_meta);
/* Blocks that wait for it: not free to the allocator, but to whoever asks what is free. */
uint64_t alloc_late_nr(struct mbfs_alloc *a);
/* As mbfs_alloc_blocks(); *claimed: there were blocks for it, whatever came of it. */
MBFS_MUST_CHECK int alloc_claim_and_find(struct mbfs_alloc *a, struct mbfs_alloc_file *f,
					 const struct mbfs_alloc_req *req, struct mbfs_tx *tx,
					 struct mbfs_run *got, bool *claimed);
/*
 * alloc_blocks - mbfs_alloc_blocks(), but if nothing is free while blocks wait for a write-out: it
 * has it done, and looks again. Context: as there, and RANK_WRITEOUT is taken.
 */
MBFS_MUST_CHECK int alloc_blocks(struct mbfs_alloc *a, struct mbfs_alloc_file *f,
				 const struct mbfs_alloc_req *req, struct mbfs_tx *tx,
				 struct mbfs_run *got);

/*
 * Growing, in steps: what mbfs_alloc_grow() does in one. One thread, and only one growth at a time.
 * begin ... end: a request that finds nothing free waits for the end and looks once more.
 * @dead: gets the arrays that are replaced, see table_grow()
 */
void alloc_grow_begin(struct mbfs_alloc *a, struct kvfree *dead);
void alloc_grow_end(struct mbfs_alloc *a);
/*
 * alloc_grow_ready - everything that can fail; the store has the new groups already
 * Errors: -ENOMEM; those of the store for the last group, if that becomes longer. Nothing has
 * changed then. Context: does I/O.
 */
MBFS_MUST_CHECK int alloc_grow_ready(struct mbfs_alloc *a, mbfs_blk_t blk_nr,
				     struct mbfs_diag *diag);
/* After it: all can use the new blocks; or it was in vain. */
void alloc_grow(struct mbfs_alloc *a, struct mbfs_tx *tx, uint64_t resv_blk_nr);
void alloc_grow_not(struct mbfs_alloc *a);
/* For who finds no space, of whatever kind: seen = alloc_grow_seen(); look; nothing, but
 * alloc_grew(): look once more. The second may wait for the end of a growth; hold no spinlock. */
uint32_t alloc_grow_seen(const struct mbfs_alloc *a);
bool alloc_grew(struct mbfs_alloc *a, uint32_t seen);
/* @t, just opened, has something for each group: it will grow as the tune's variant says. */
struct table;
void alloc_grow_past(const struct mbfs_alloc_tune *tune, struct table *t);
const struct mbfs_alloc_tune *alloc_tune(const struct mbfs_alloc *a);

struct kvfree_stats;
/* Preallocations that have ended and that readers might still see. */
void alloc_dead_stats(const struct mbfs_alloc *a, struct kvfree_stats *out);

/*
 * A look at a world that stands still (explorer): no lock is taken, nothing is changed. Bitmaps are
 * of blks_per_grp bits, in whole 8-byte words.
 */
struct alloc_peek_group {
	bool loaded;
	uint32_t buddy_nr; /* blocks free in the buddy */
	uint32_t disk_nr;  /* clear in the disk bitmap, which is put into @disk */
};
struct alloc_peek_pa {
	uint64_t owner; /* file's id, or CPU */
	mbfs_clu_t start;
	uint32_t len, free, busy;
	uint32_t held; /* blocks that neither the buddy nor a file has; 0: given back */
	bool is_group, deleted;
	bool listed; /* on its group's list */
	bool owned;  /* in its file's tree or its CPU's lists */
};
struct alloc_peek_counters {
	mbfs_grp_t grp_nr;
	uint32_t blks_per_grp;
	uint64_t unclaimed, claimed, seq, begin, end, waiters;
};
void alloc_peek_group(const struct mbfs_alloc *a, mbfs_grp_t grp, uint8_t *disk,
		      struct alloc_peek_group *out);
/* @mem: what pa_make() allocated; youngest first, @taken starts as zeros. @alive: may be read.
 * False: it has no blocks yet, or those of another group. */
bool alloc_peek_pa(const void *mem, mbfs_grp_t grp, const uint8_t *disk, uint8_t *taken,
		   bool (*alive)(const void *p), struct alloc_peek_pa *out);
void alloc_peek_counters(struct mbfs_alloc *a, struct alloc_peek_counters *out);

/* The allocator's bitmaps over gdt and buffers. Close after the allocator. */
struct store_disk;
int store_disk_open(const struct mbfs_geo *geo, struct buf_cache *bufs, struct gdt *gdt,
		    struct store_disk **out);
void store_disk_close(struct store_disk *s);
extern const struct mbfs_alloc_store_ops store_disk_ops; /* ctx: struct store_disk * */

#endif
