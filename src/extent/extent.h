/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * extent/extent.h - from file block to device block: the extent tree on disk, and block-mapped
 * files (read only). end_io.h: writes under way.
 * io_tree.h: what is going on in the bytes of a file.
 */
#ifndef EXTENT_EXTENT_H
#define EXTENT_EXTENT_H

#include "alloc/alloc.h"
#include "disk/geo.h"
#include "extent/end_io.h"
#include "extent/io_tree.h"
#include "journal/journal.h"

/* What every tree of one mount shares; constant. */
struct extent_env {
	const struct mbfs_geo *geo;
	struct buf_cache *bufs;
	struct mbfs_alloc *alloc;
};

enum { EXTENT_ROOT_BYTES = 60, EXTENT_WRITTEN_MAX = 32768, EXTENT_UNWRITTEN_MAX = 32767 };

/*
 * The tree of one inode. The inode embeds it, fills the const fields and the root at load, and
 * encodes root into the on-disk inode whenever root_dirty says so (the tree functions set it; the
 * inode clears it). lock: RANK_EXTENT, taken inside these functions; held across device reads of
 * tree nodes.
 */
struct extent_tree {
	const struct extent_env *env; /* [const] */
	struct mbfs_alloc_file *file; /* [const] for preallocation; may be NULL for directories */
	mbfs_ino_t ino;               /* [const] */
	uint32_t gen;                 /* [const] */
	bool mapped;                  /* [const] true: extents; false: indirect blocks */
	bool is_data;    /* [const] its blocks are file data; a directory's have buffers */
	mbfs_blk_t goal; /* [const] where an empty file's first block is wanted */
	struct rt_rwlock lock;
	uint8_t root[EXTENT_ROOT_BYTES]; /* i_block as on disk [lock] */
	bool root_dirty;                 /* [lock] */
	int64_t meta_blks; /* [lock] tree blocks allocated since the inode last looked: for i_blocks
			    */
};

enum extent_state { EXTENT_HOLE, EXTENT_UNWRITTEN, EXTENT_WRITTEN };

/* [lblk, lblk + len) is all in one state; pblk is its first device block unless it is a hole. */
struct extent_map {
	mbfs_lblk_t lblk;
	uint32_t len;
	mbfs_blk_t pblk;
	enum extent_state state;
};

void extent_tree_init(struct extent_tree *t, const struct extent_env *env);
void extent_tree_destroy(struct extent_tree *t);
void extent_tree_format(struct extent_tree *t); /* an empty root, for a new inode */
/* The root is plausible: for inodes just read. -EUCLEAN. */
int extent_tree_verify_root(const struct extent_tree *t);

/*
 * extent_map - the run that starts at @lblk: at most @max_len blocks, in one state, contiguous
 * Errors: -EIO, -EBADMSG, -EUCLEAN, -ENOMEM.
 */
int extent_map(struct extent_tree *t, mbfs_lblk_t lblk, uint32_t max_len, struct extent_map *out);

/*
 * extent_allocate - as extent_map(), but a hole at @lblk is filled: blocks are allocated and
 * inserted as unwritten extents. out->state is UNWRITTEN or WRITTEN; out->len may be less than
 * @max_len.
 * @flags: [in] of enum mbfs_alloc_flags; @file_blks: [in] size of the file in blocks, for the goal
 * @blks:  [out] data blocks newly allocated
 * Errors: -ENOSPC and extent_map()'s; the tree and the bitmaps are as before.
 */
int extent_allocate(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t max_len,
		    uint64_t file_blks, unsigned flags, struct extent_map *out, uint32_t *blks);

/*
 * extent_convert - unwritten blocks of [lblk, lblk + len) become written, merging with neighbours
 * Written ones and holes in the range stay as they are. Errors: as extent_allocate() (a split may
 * need a tree block; reserved blocks are used for it); on error a prefix may be converted.
 */
int extent_convert(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t len);

/*
 * extent_remove - unmap and free [lblk, end); end 2^32 is the end of the file
 * One call may stop early to keep the handle small: *next is where to go on (== end when done).
 * Errors: as extent_map() and mbfs_alloc_free(); what was removed so far is freed and stays so,
 * what was not is still mapped; *next is set.
 */
int extent_remove(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint64_t end,
		  uint64_t *next, uint64_t *freed_blks);

/*
 * extent_end - where the last extent ends; 0: there is none at or after @from's leaf
 * Reads all leaves from @from's on: damage there shows before extent_shift() meets it.
 * Errors: as extent_map(); -EOPNOTSUPP the file is mapped by block pointers.
 */
int extent_end(struct extent_tree *t, mbfs_lblk_t from, uint64_t *end);

/* extent_split - no extent reaches across the start of @lblk. Errors: as extent_convert(). */
int extent_split(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk);

/*
 * extent_shift - the extents from @from on move by @by blocks
 * @by: [in] < 0: so many blocks before @from are a hole; > 0: the last one stays below block
 *      2^32 - 1 (extent_end()), and extent_split() came before, where want of space shows
 * @at: [in, out] where to go on: first @from for by < 0, done at EXTENT_SHIFTED; else first the end
 *      of the last extent, done at @from
 * One call does a few leaves, to keep the handle small. Nobody else changes the tree from @from on
 * until it is done; below it, what merges across @from is split again. Errors: -EIO, -EBADMSG,
 * -EUCLEAN, -ENOMEM, for such a split -ENOSPC; what *at has passed has moved.
 */
int extent_shift(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t from, int64_t by,
		 uint64_t *at);
#define EXTENT_SHIFTED 0xFFFFFFFFull

/* Every node of the tree obeys the format and its keys bound its children; tests and fsck-like
 * tools. */
int extent_check(struct extent_tree *t, struct mbfs_diag *diag);

/* Handle credits that one call of the above can need. */
enum { EXTENT_CREDITS = 40 };

extern const struct buf_kind extent_node_kind;

#endif
