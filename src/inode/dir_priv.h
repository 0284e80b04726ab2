/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/dir_priv.h - what the directory files share.
 *
 * dir_block.c  the bytes of one block: pure functions, and the buffer kinds
 * dir.c        a directory as names: linear ones, growth, the calls of inode.h; the essay
 * htree.c      hashed directories       dir_iter.c  reading in an order that stays
 */
#ifndef INODE_DIR_PRIV_H
#define INODE_DIR_PRIV_H

#include "disk/dirent_codec.h"
#include "inode/dirhash.h"
#include "inode/inode.h"

/* ---- dir_block.c: leaves ---- @block has passed leaf_verify(). */

extern const struct buf_kind dir_leaf_kind, dir_root_kind, dir_node_kind;

/* Contents, without checksums: 0 or -EUCLEAN. */
int leaf_verify(const struct mbfs_geo *geo, const uint8_t *block);
int dx_root_verify(const struct mbfs_geo *geo, const uint8_t *block);
int dx_node_verify(const struct mbfs_geo *geo, const uint8_t *block);

/* An entry of a leaf: where it starts, and the one before it (== off for the first). In bytes. */
struct leaf_pos {
	uint32_t off, prev_off;
};

/* The offset of the record after the one at @off; leaf_verify() says that it is sound. */
static inline uint32_t leaf_next(const struct mbfs_geo *geo, const uint8_t *block, uint32_t off)
{
	return off + dirent_rec_len(block + off, geo->block_bytes);
}

void leaf_format(const struct mbfs_geo *geo, uint8_t *block); /* empty */
bool leaf_find(const struct mbfs_geo *geo, const uint8_t *block, const char *name, size_t len,
	       struct leaf_pos *out);
/* No entry in use but "." and "..". */
bool leaf_is_empty(const struct mbfs_geo *geo, const uint8_t *block);
/* Into the first record with room; entries already there stay where they are. False: no room. */
bool leaf_insert(const struct mbfs_geo *geo, uint8_t *block, const char *name, size_t len,
		 mbfs_ino_t ino, uint8_t type);
bool leaf_has_room(const struct mbfs_geo *geo, const uint8_t *block, size_t len);
/* Its room goes to the record before it; others stay where they are. */
void leaf_delete(const struct mbfs_geo *geo, uint8_t *block, const struct leaf_pos *pos);
/* Bytes that the entries in use need. */
uint32_t leaf_live_bytes(const struct mbfs_geo *geo, const uint8_t *block);
/* The entries of @from together, in order, the free room at the end of @to. */
void leaf_pack(const struct mbfs_geo *geo, const uint8_t *from, uint8_t *to);

/* One entry while a leaf is sorted: its hash and where it is. */
struct leaf_item {
	uint32_t hash;
	uint32_t off;
};
/* At most this many entries fit in a block. */
static inline uint32_t leaf_items_max(const struct mbfs_geo *geo)
{
	return geo->block_bytes / DIRENT_MIN_BYTES;
}

/*
 * leaf_split - about half of the bytes of a leaf, by hash, into each of two others
 * @from:      [in] the full leaf; its entries from offset @start on, two or more, are split
 * @low, @high: [out] whole blocks
 * @items:     [in] scratch, leaf_items_max()
 * Returns the lowest hash in @high, with bit 0 set when @low has an entry of that hash too.
 */
uint32_t leaf_split(const struct mbfs_geo *geo, const struct dir_hasher *hasher,
		    const uint8_t *from, uint32_t start, uint8_t *low, uint8_t *high,
		    struct leaf_item *items);

/* ---- dir_block.c: index blocks ---- */

/* Make a root of a block: "." and "..", and one slot for @child. */
void dx_root_format(const struct mbfs_geo *geo, uint8_t *block, mbfs_ino_t self, mbfs_ino_t parent,
		    uint8_t version, mbfs_lblk_t child);
void dx_node_format(const struct mbfs_geo *geo, uint8_t *block);
/* A slot after slot @at; there is room. */
void dx_insert(uint8_t *slots, uint32_t at, uint32_t hash, mbfs_lblk_t child);
/* The last slot whose hash is <= @hash. */
uint32_t dx_search(const uint8_t *slots, uint32_t hash);

/* "." and ".." at the start of block 0 of any directory: offset of "..". -EUCLEAN. */
int dots_verify(const struct mbfs_geo *geo, const uint8_t *block, uint32_t *dotdot_off);

/* The format's file type of a d_type (0 in images without filetype), and back. */
uint8_t dirent_type_of(const struct mbfs_geo *geo, uint8_t d_type);
uint8_t dirent_type_to_d(const struct mbfs_geo *geo, uint8_t type);

/* ---- dir.c ---- */

static inline uint32_t dir_blk_nr(const struct inode *dir)
{
	return (uint32_t)(dir->size_bytes >> dir->env->geo->block_bits);
}
static inline bool dir_is_indexed(const struct inode *dir)
{
	return dir->flags & INODE_FL_INDEX;
}
/* Entries of this directory may be moved inside their block: cookies are hashes. */
static inline bool dir_is_hashed(const struct inode *dir)
{
	return dir_is_indexed(dir) ||
	       (dir_blk_nr(dir) == 1 && (dir->env->geo->features & GEO_DIR_INDEX));
}

/* Size and flags are sane: -EUCLEAN, -ENOTDIR. The first thing each call does. */
int dir_verify(const struct inode *dir);
/* Logs where a directory is damaged; returns -EUCLEAN. */
int dir_damaged(const struct inode *dir, mbfs_lblk_t lblk, const char *what);
/* Block @lblk, read and verified. -EUCLEAN also for holes and unwritten blocks. */
int dir_block(struct inode *dir, mbfs_lblk_t lblk, const struct buf_kind *kind, struct buf **out);
/* Block 0 as what it is. */
int dir_block0(struct inode *dir, struct buf **out);
void dir_default_hasher(const struct mbfs_geo *geo, struct dir_hasher *out);

/* Memory for leaf_pack() and leaf_split(), got before anything changes. */
struct dir_scratch {
	uint8_t *low, *high; /* a block each */
	struct leaf_item *items;
};
int dir_scratch_get(const struct mbfs_geo *geo, struct dir_scratch *out);
void dir_scratch_put(struct dir_scratch *s);

/* An entry that was found; @buf is referenced. */
struct dir_pos {
	struct buf *buf;
	mbfs_lblk_t lblk;
	struct leaf_pos at;
};

/* Find a name, or ".."; then change what was found, which cannot fail. Release with
 * buf_put(out->buf). */
int dir_locate(struct inode *dir, const char *name, size_t len, struct dir_pos *out);
int dir_locate_parent(struct inode *dir, struct dir_pos *out);
void dir_pos_del(struct inode *dir, struct mbfs_tx *tx, const struct dir_pos *pos);
void dir_pos_set(struct inode *dir, struct mbfs_tx *tx, const struct dir_pos *pos, mbfs_ino_t ino,
		 uint8_t d_type);

/* New blocks at the end of a directory, not yet counted in its size. */
struct dir_growth {
	mbfs_lblk_t lblk; /* of the first */
	uint32_t nr;
	struct buf *buf[2]; /* zero-filled, kind as asked, referenced */
	uint32_t flags_add; /* inode flags to set with the new size */
	uint64_t old_size_bytes;
	uint32_t old_flags;
};

/*
 * dir_grow - add @nr (1 or 2) blocks and count them in the inode; the caller then fills them, which
 * cannot fail, and calls dir_grow_done()
 * @flags_add: [in] inode flags set at the same time
 * Errors: -ENOSPC, -EOPNOTSUPP not mapped by extents, -EIO, -ENOMEM, -EUCLEAN. As before on error.
 */
int dir_grow(struct inode *dir, struct mbfs_tx *tx, unsigned alloc_flags, uint32_t nr,
	     const struct buf_kind *const *kinds, uint32_t flags_add, struct dir_growth *out);
void dir_grow_done(struct dir_growth *g);

/* What an insert in progress is about. */
struct dir_insert {
	struct inode *dir;
	struct mbfs_tx *tx;
	unsigned alloc_flags;
	const char *name;
	size_t len;
	mbfs_ino_t ino;
	uint8_t type; /* as on disk */
};

/* Overwrite a whole block. */
void dir_buf_fill(struct mbfs_tx *tx, struct buf *b, const uint8_t *from, uint32_t bytes);
/* Insert into this leaf if it has room. @may_pack: entries may be moved. -ENOSPC: no room; -ENOMEM.
 */
int dir_insert_into(const struct dir_insert *ins, struct buf *leaf, bool may_pack);

/* ---- htree.c ---- */

enum { DX_LEVELS_MAX = 2 };

/* The way from the root of the index to a leaf. */
struct dx_frame {
	struct buf *buf;
	uint8_t *slots;
	uint32_t at;
};
struct dx_path {
	struct dx_frame frame[DX_LEVELS_MAX];
	unsigned levels; /* frames in use */
	struct dir_hasher hasher;
};

/* Read the root: levels and hasher are then known. On error nothing is held. */
int dx_open(struct inode *dir, struct dx_path *path);
/* The way to the first leaf that may hold @hash. On error nothing is held. */
int dx_descend(struct inode *dir, struct dx_path *path, uint32_t hash);
void dx_path_put(struct dx_path *path);
static inline mbfs_lblk_t dx_path_leaf(const struct dx_path *path)
{
	const struct dx_frame *f = &path->frame[path->levels - 1];

	return dx_block(f->slots, f->at);
}
/* The hash at which the leaf starts, and that of the one after it; false: there is none. */
uint32_t dx_path_hash(const struct dx_path *path);
bool dx_path_peek(const struct dx_path *path, uint32_t *hash);
/* On to the next leaf; there is one. On error the path is as before. */
int dx_path_next(struct inode *dir, struct dx_path *path);

int dx_locate(struct inode *dir, const char *name, size_t len, struct dir_pos *out);
int dx_add(const struct dir_insert *ins);
/* The directory's one block is full: make it an index over two leaves, and insert. */
int dx_make(const struct dir_insert *ins, struct buf *block0);

#endif
