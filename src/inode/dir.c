/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Directories.
 *
 * A directory is a file of blocks; every block below its size is mapped and written. Three shapes:
 *   small    one block. Searched from end to end.
 *   indexed  INDEX flag: block 0 is the root of an index from hashes of names to leaves (htree.c).
 *            A small directory becomes this when it outgrows its block (with dir_index); it never
 *            goes back.
 *   linear   more blocks and no index (made without dir_index, or by other programs). Stays so.
 * In all of them a name is in exactly one leaf, at most once. A leaf's room is its records' slack.
 *
 * Effects: find and iterate change nothing. del and set change one leaf. add changes one leaf, or
 * adds one block (linear, leaf split), or two (the index itself splits, small becomes indexed). All
 * that can fail (memory, blocks, the inode's table block) is got first, by dir_grow() and
 * dir_scratch_get(); then the bytes change, which cannot fail. A growth that cannot be finished is
 * undone; blocks that even the undo could not give back lie beyond the size and are used by the
 * next growth.
 *
 * Concurrency: find and iterate hold dir->rw shared, all others exclusive, so directory blocks are
 * read without the buffer's lock. Writers take it, one at a time, around each change against the
 * write-out's copy; what takes longer than a copy (packing, splitting) is done in scratch memory
 * first.
 * Lock path: rw (10) -> extent tree (20) -> allocator -> fields (28) -> buffers (64, 66).
 *
 * Cookies: an entry keeps its cookie as long as it exists. Indexed and small: from the hash of the
 * name, so entries may move (dir_iter.c). Linear: from the offset, so entries never move. Small
 * directories of images without dir_index count as linear: they will be.
 */
#include "inode/dir_priv.h"

#include <dirent.h>
#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

int dir_damaged(const struct inode *dir, mbfs_lblk_t lblk, const char *what)
{
	log_err("directory inode %u, block %u: %s; run e2fsck -f on the image", dir->ino, lblk,
		what);
	return -EUCLEAN;
}

int dir_verify(const struct inode *dir)
{
	const struct mbfs_geo *geo = dir->env->geo;

	if (!inode_is_dir(dir))
		return -ENOTDIR;
	if (!dir->size_bytes || dir->size_bytes & (geo->block_bytes - 1) ||
	    dir->size_bytes >> geo->block_bits > UINT32_MAX)
		return dir_damaged(dir, 0, "impossible size");
	return 0;
}

void dir_default_hasher(const struct mbfs_geo *geo, struct dir_hasher *out)
{
	out->version = geo->def_hash_version % DIR_HASH_NR;
	out->is_unsigned = geo->hash_unsigned || geo->def_hash_version >= DIR_HASH_NR;
	memcpy(out->seed, geo->hash_seed, sizeof(out->seed));
}

int dir_block(struct inode *dir, mbfs_lblk_t lblk, const struct buf_kind *kind, struct buf **out)
{
	struct buf_owner owner = { dir->ino, dir->gen };
	struct extent_map map;
	int err;

	if (lblk >= dir_blk_nr(dir))
		return dir_damaged(dir, lblk, "block past the end of the directory");
	err = extent_map(&dir->tree, lblk, 1, &map);
	if (err)
		return err;
	if (map.state != EXTENT_WRITTEN)
		return dir_damaged(dir, lblk, "hole in a directory");
	return buf_get(dir->env->bufs, map.pblk, kind, &owner, out);
}

int dir_block0(struct inode *dir, struct buf **out)
{
	return dir_block(dir, 0, dir_is_indexed(dir) ? &dir_root_kind : &dir_leaf_kind, out);
}

int dir_scratch_get(const struct mbfs_geo *geo, struct dir_scratch *out)
{
	size_t items = leaf_items_max(geo) * sizeof(struct leaf_item);
	uint8_t *mem = rt_alloc(items + 2 * (size_t)geo->block_bytes);

	if (!mem)
		return -ENOMEM;
	out->items = (struct leaf_item *)(void *)mem;
	out->low = mem + items;
	out->high = out->low + geo->block_bytes;
	return 0;
}

void dir_scratch_put(struct dir_scratch *s)
{
	rt_free(s->items);
}

/* ---- growth ---- */

static int grow_block(struct inode *dir, struct mbfs_tx *tx, unsigned alloc_flags, mbfs_lblk_t lblk,
		      const struct buf_kind *kind, struct buf **out)
{
	struct buf_owner owner = { dir->ino, dir->gen };
	struct extent_map map;
	uint32_t blks = 0;
	int err;

	err = extent_allocate(&dir->tree, tx, lblk, 1, (uint64_t)lblk + 1,
			      alloc_flags | MBFS_ALLOC_NO_PREALLOC, &map, &blks);
	if (err)
		return err;
	inode_add_blocks(dir, blks);
	if (map.state != EXTENT_WRITTEN) {
		err = extent_convert(&dir->tree, tx, lblk, 1);
		if (err)
			return err;
	}
	return buf_get_new(dir->env->bufs, map.pblk, kind, &owner, out);
}

/* Give back what lies at and after @lblk. Best effort: see the essay. */
static void grow_undo(struct inode *dir, struct mbfs_tx *tx, struct dir_growth *g)
{
	const uint64_t end = (uint64_t)UINT32_MAX + 1;
	uint64_t next = g->lblk;

	for (uint32_t i = 0; i < g->nr; i++) {
		mbfs_blk_t blk;

		if (!g->buf[i])
			continue;
		blk = g->buf[i]->blk;
		buf_put(g->buf[i]);
		/* Before the block is free: after that its buffer may be somebody else's. */
		buf_forget(dir->env->bufs, tx, blk, 1);
	}
	while (next < end) {
		uint64_t from = next, freed = 0;
		int err = extent_remove(&dir->tree, tx, (mbfs_lblk_t)from, end, &next, &freed);

		inode_add_blocks(dir, -(int64_t)freed);
		if (err || next <= from)
			break;
	}
}

static void set_size(struct inode *dir, uint64_t size_bytes, uint32_t flags)
{
	rt_mutex_lock(&dir->fields);
	dir->size_bytes = size_bytes;
	dir->flags = flags;
	rt_mutex_unlock(&dir->fields);
}

int dir_grow(struct inode *dir, struct mbfs_tx *tx, unsigned alloc_flags, uint32_t nr,
	     const struct buf_kind *const *kinds, uint32_t flags_add, struct dir_growth *out)
{
	const struct mbfs_geo *geo = dir->env->geo;
	uint64_t old_size = dir->size_bytes, size = old_size + (uint64_t)nr * geo->block_bytes;
	uint32_t old_flags = dir->flags;
	int err = 0;

	MBFS_ASSERT(nr >= 1 && nr <= MBFS_ARRAY_SIZE(out->buf));
	*out = (struct dir_growth){ .lblk = dir_blk_nr(dir), .nr = nr };
	if (!dir->tree.mapped)
		return -EOPNOTSUPP;
	/* Without largedir a directory's size has 32 bits. */
	if (size > UINT32_MAX)
		return -ENOSPC;
	for (uint32_t i = 0; i < nr && !err; i++)
		err = grow_block(dir, tx, alloc_flags, out->lblk + i, kinds[i], &out->buf[i]);
	if (err)
		goto err_undo;
	set_size(dir, size, old_flags | flags_add);
	err = inode_dirty(dir, tx);
	if (!err)
		return 0;
	set_size(dir, old_size, old_flags);
err_undo:
	grow_undo(dir, tx, out);
	/* The root may have changed and back. If this fails, nothing of it was written before. */
	(void)inode_dirty(dir, tx);
	return err;
}

void dir_grow_done(struct dir_growth *g)
{
	for (uint32_t i = 0; i < g->nr; i++)
		buf_put(g->buf[i]);
}

/* ---- linear ---- */

static int linear_locate(struct inode *dir, const char *name, size_t len, struct dir_pos *out)
{
	const struct mbfs_geo *geo = dir->env->geo;
	uint32_t nr = dir_blk_nr(dir);

	for (mbfs_lblk_t lblk = 0; lblk < nr; lblk++) {
		struct buf *b;
		int err = dir_block(dir, lblk, &dir_leaf_kind, &b);

		if (err)
			return err;
		if (leaf_find(geo, b->data, name, len, &out->at)) {
			out->buf = b;
			out->lblk = lblk;
			return 0;
		}
		buf_put(b);
	}
	return -ENOENT;
}

void dir_buf_fill(struct mbfs_tx *tx, struct buf *b, const uint8_t *from, uint32_t bytes)
{
	buf_lock(b);
	memcpy(b->data, from, bytes);
	tx_dirty(tx, b);
	buf_unlock(b);
}

/* The leaf has the room, but not in one piece: pack it in scratch memory, insert, copy back. */
static int pack_insert(const struct dir_insert *ins, struct buf *leaf)
{
	const struct mbfs_geo *geo = ins->dir->env->geo;
	struct dir_scratch scratch;
	bool ok;
	int err = dir_scratch_get(geo, &scratch);

	if (err)
		return err;
	leaf_pack(geo, leaf->data, scratch.low);
	ok = leaf_insert(geo, scratch.low, ins->name, ins->len, ins->ino, ins->type);
	MBFS_ASSERT(ok);
	dir_buf_fill(ins->tx, leaf, scratch.low, geo->block_bytes);
	dir_scratch_put(&scratch);
	return 0;
}

int dir_insert_into(const struct dir_insert *ins, struct buf *leaf, bool may_pack)
{
	const struct mbfs_geo *geo = ins->dir->env->geo;
	uint32_t need = dirent_bytes((uint32_t)ins->len);

	if (leaf_has_room(geo, leaf->data, ins->len)) {
		bool ok;

		buf_lock(leaf);
		ok = leaf_insert(geo, leaf->data, ins->name, ins->len, ins->ino, ins->type);
		tx_dirty(ins->tx, leaf);
		buf_unlock(leaf);
		MBFS_ASSERT(ok);
		return 0;
	}
	if (!may_pack || leaf_live_bytes(geo, leaf->data) + need > dirent_leaf_end(geo))
		return -ENOSPC;
	return pack_insert(ins, leaf);
}

static int linear_append(const struct dir_insert *ins)
{
	static const struct buf_kind *const kinds[] = { &dir_leaf_kind };
	const struct mbfs_geo *geo = ins->dir->env->geo;
	struct dir_growth g;
	int err = dir_grow(ins->dir, ins->tx, ins->alloc_flags, 1, kinds, 0, &g);

	if (err)
		return err;
	buf_lock(g.buf[0]);
	leaf_format(geo, g.buf[0]->data);
	tx_dirty(ins->tx, g.buf[0]);
	buf_unlock(g.buf[0]);
	err = dir_insert_into(ins, g.buf[0], false);
	MBFS_ASSERT(!err);
	ins->dir->dir_goal = g.lblk;
	dir_grow_done(&g);
	return 0;
}

static int linear_add(const struct dir_insert *ins)
{
	struct inode *dir = ins->dir;
	uint32_t nr = dir_blk_nr(dir);
	mbfs_lblk_t lblk = dir->dir_goal < nr ? (mbfs_lblk_t)dir->dir_goal : 0;
	bool hashed = dir_is_hashed(dir);

	for (; lblk < nr; lblk++) {
		struct buf *b;
		int err = dir_block(dir, lblk, &dir_leaf_kind, &b);

		if (err)
			return err;
		err = dir_insert_into(ins, b, hashed);
		if (err == -ENOSPC && hashed)
			err = dx_make(ins, b);
		buf_put(b);
		if (err != -ENOSPC || hashed)
			return err;
		dir->dir_goal = lblk;
	}
	return linear_append(ins);
}

/* ---- the calls of inode.h ---- */

static bool name_is_dots(const char *name, size_t len)
{
	return (len == 1 || len == 2) && !memcmp(name, "..", len);
}

/* The entries "." and ".." of an indexed directory, which has them outside its leaves. */
static int root_locate(struct inode *dir, size_t len, struct dir_pos *out)
{
	int err = dir_block(dir, 0, &dir_root_kind, &out->buf);

	out->lblk = 0;
	out->at = (struct leaf_pos){ len == 1 ? 0 : DIRENT_MIN_BYTES, 0 };
	return err;
}

int dir_locate(struct inode *dir, const char *name, size_t len, struct dir_pos *out)
{
	int err = dir_verify(dir);

	if (err)
		return err;
	if (!len || len > DIRENT_NAME_MAX)
		return -ENOENT;
	if (!dir_is_indexed(dir))
		return linear_locate(dir, name, len, out);
	if (name_is_dots(name, len))
		return root_locate(dir, len, out);
	return dx_locate(dir, name, len, out);
}

int dir_find(struct inode *dir, const char *name, size_t len, mbfs_ino_t *ino, uint8_t *ftype)
{
	struct dir_pos pos;
	const uint8_t *d;
	int err = dir_locate(dir, name, len, &pos);

	if (err)
		return err;
	d = pos.buf->data + pos.at.off;
	*ino = dirent_ino(d);
	*ftype = dirent_type_to_d(dir->env->geo, dirent_type(d));
	buf_put(pos.buf);
	return 0;
}

int dir_add(struct inode *dir, struct mbfs_tx *tx, const char *name, size_t len, mbfs_ino_t ino,
	    uint8_t d_type, unsigned alloc_flags)
{
	struct dir_insert ins = { dir, tx, alloc_flags, name, len, ino,
				  dirent_type_of(dir->env->geo, d_type) };
	struct dir_pos pos;
	int err;

	MBFS_ASSERT(ino && ino <= geo_inode_nr(dir->env->geo));
	if (!len || len > DIRENT_NAME_MAX)
		return -ENAMETOOLONG;
	err = dir_locate(dir, name, len, &pos);
	if (!err) {
		buf_put(pos.buf);
		return -EEXIST;
	}
	if (err != -ENOENT)
		return err;
	return dir_is_indexed(dir) ? dx_add(&ins) : linear_add(&ins);
}

void dir_pos_del(struct inode *dir, struct mbfs_tx *tx, const struct dir_pos *pos)
{
	MBFS_ASSERT(pos->lblk || !dir_is_indexed(dir));
	buf_lock(pos->buf);
	leaf_delete(dir->env->geo, pos->buf->data, &pos->at);
	tx_dirty(tx, pos->buf);
	buf_unlock(pos->buf);
	if (dir->dir_goal > pos->lblk)
		dir->dir_goal = pos->lblk;
}

void dir_pos_set(struct inode *dir, struct mbfs_tx *tx, const struct dir_pos *pos, mbfs_ino_t ino,
		 uint8_t d_type)
{
	uint8_t *d = pos->buf->data + pos->at.off;

	MBFS_ASSERT(ino && ino <= geo_inode_nr(dir->env->geo));
	buf_lock(pos->buf);
	dirent_set_ino(d, ino);
	dirent_set_type(d, dirent_type_of(dir->env->geo, d_type));
	tx_dirty(tx, pos->buf);
	buf_unlock(pos->buf);
}

int dir_del(struct inode *dir, struct mbfs_tx *tx, const char *name, size_t len)
{
	struct dir_pos pos;
	int err;

	MBFS_ASSERT(!name_is_dots(name, len));
	err = dir_locate(dir, name, len, &pos);
	if (err)
		return err;
	dir_pos_del(dir, tx, &pos);
	buf_put(pos.buf);
	return 0;
}

int dir_set(struct inode *dir, struct mbfs_tx *tx, const char *name, size_t len, mbfs_ino_t ino,
	    uint8_t d_type)
{
	struct dir_pos pos;
	int err = dir_locate(dir, name, len, &pos);

	if (err)
		return err;
	dir_pos_set(dir, tx, &pos, ino, d_type);
	buf_put(pos.buf);
	return 0;
}

int dir_init(struct inode *dir, struct mbfs_tx *tx, mbfs_ino_t parent, unsigned alloc_flags)
{
	static const struct buf_kind *const kinds[] = { &dir_leaf_kind };
	const struct mbfs_geo *geo = dir->env->geo;
	uint8_t type = dirent_type_of(geo, DT_DIR);
	struct dir_growth g;
	bool ok;
	int err;

	MBFS_ASSERT(inode_is_dir(dir) && !dir->size_bytes);
	err = dir_grow(dir, tx, alloc_flags, 1, kinds, 0, &g);
	if (err)
		return err;
	buf_lock(g.buf[0]);
	leaf_format(geo, g.buf[0]->data);
	ok = leaf_insert(geo, g.buf[0]->data, ".", 1, dir->ino, type) &&
	     leaf_insert(geo, g.buf[0]->data, "..", 2, parent, type);
	tx_dirty(tx, g.buf[0]);
	buf_unlock(g.buf[0]);
	MBFS_ASSERT(ok);
	dir_grow_done(&g);
	return 0;
}

static int block_is_empty(struct inode *dir, mbfs_lblk_t lblk, bool *out)
{
	struct buf *b;
	int err = dir_block(dir, lblk, &dir_leaf_kind, &b);

	if (err)
		return err;
	*out = leaf_is_empty(dir->env->geo, b->data);
	buf_put(b);
	return 0;
}

static int indexed_is_empty(struct inode *dir, bool *out)
{
	struct dx_path path;
	uint32_t next;
	int err = dx_open(dir, &path);

	if (!err)
		err = dx_descend(dir, &path, 0);
	if (err)
		return err;
	*out = true;
	for (;;) {
		err = block_is_empty(dir, dx_path_leaf(&path), out);
		if (err || !*out || !dx_path_peek(&path, &next))
			break;
		err = dx_path_next(dir, &path);
		if (err)
			break;
	}
	dx_path_put(&path);
	return err;
}

int dir_is_empty(struct inode *dir, bool *out)
{
	int err = dir_verify(dir);

	if (err)
		return err;
	if (dir_is_indexed(dir))
		return indexed_is_empty(dir, out);
	*out = true;
	for (mbfs_lblk_t lblk = 0; lblk < dir_blk_nr(dir) && *out && !err; lblk++)
		err = block_is_empty(dir, lblk, out);
	return err;
}

int dir_locate_parent(struct inode *dir, struct dir_pos *out)
{
	int err = dir_verify(dir);

	if (!err)
		err = dir_block0(dir, &out->buf);
	if (err)
		return err;
	out->lblk = 0;
	out->at.prev_off = 0;
	if (!dots_verify(dir->env->geo, out->buf->data, &out->at.off))
		return 0;
	buf_put(out->buf);
	return dir_damaged(dir, 0, "\".\" and \"..\" are not where they should be");
}

int dir_parent(struct inode *dir, mbfs_ino_t *out)
{
	struct dir_pos pos;
	int err = dir_locate_parent(dir, &pos);

	if (err)
		return err;
	*out = dirent_ino(pos.buf->data + pos.at.off);
	buf_put(pos.buf);
	return 0;
}

int dir_set_parent(struct inode *dir, struct mbfs_tx *tx, mbfs_ino_t parent)
{
	struct dir_pos pos;
	int err = dir_locate_parent(dir, &pos);

	if (err)
		return err;
	dir_pos_set(dir, tx, &pos, parent, DT_DIR);
	buf_put(pos.buf);
	return 0;
}
