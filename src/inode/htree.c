/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hashed directories: an index of one or two levels (no largedir) from hashes to leaves.
 *
 * A slot's hash is the lowest of its leaf; the next slot's hash is above all of the leaf's, or
 * equal with bit 0 set: then names of that hash are on both sides of the border. So a search goes
 * to the last slot <= hash and on while the next slot's hash, bit 0 aside, is the one searched for.
 *
 * Insert into a full leaf: the leaf splits in two by hash, one more slot is needed. If the slot's
 * block is full, it splits in two and the root gets a slot; if it is the root itself, its slots
 * move down into a node of their own. If both levels are full: -ENOSPC, as ext4.
 */
#include "inode/dir_priv.h"

#include <errno.h>

#include "base/check.h"

static const struct buf_kind *const grow_kinds[] = { &dir_leaf_kind, &dir_node_kind };

int dx_open(struct inode *dir, struct dx_path *path)
{
	const struct mbfs_geo *geo = dir->env->geo;
	struct dx_frame *root = &path->frame[0];
	int err = dir_block(dir, 0, &dir_root_kind, &root->buf);

	if (err)
		return err;
	root->slots = root->buf->data + DX_ROOT_SLOTS_OFF;
	root->at = 0;
	path->levels = 1;
	dir_default_hasher(geo, &path->hasher);
	path->hasher.version = dx_root_version(root->buf->data);
	return 0;
}

void dx_path_put(struct dx_path *path)
{
	for (unsigned i = 0; i < path->levels; i++)
		buf_put(path->frame[i].buf);
	path->levels = 0;
}

/* The node that the root's current slot points to becomes frame 1. */
static int node_get(struct inode *dir, struct dx_path *path, struct dx_frame *out)
{
	const struct dx_frame *root = &path->frame[0];
	int err = dir_block(dir, dx_block(root->slots, root->at), &dir_node_kind, &out->buf);

	if (!err)
		out->slots = out->buf->data + DX_NODE_SLOTS_OFF;
	return err;
}

int dx_descend(struct inode *dir, struct dx_path *path, uint32_t hash)
{
	struct dx_frame *f = path->frame;
	int err;

	f[0].at = dx_search(f[0].slots, hash);
	if (!dx_root_levels(f[0].buf->data))
		return 0;
	err = node_get(dir, path, &f[1]);
	if (err) {
		dx_path_put(path);
		return err;
	}
	path->levels = 2;
	f[1].at = dx_search(f[1].slots, hash);
	return 0;
}

uint32_t dx_path_hash(const struct dx_path *path)
{
	const struct dx_frame *f = path->frame;

	if (path->levels == 2 && f[1].at)
		return dx_hash(f[1].slots, f[1].at);
	return dx_hash(f[0].slots, f[0].at);
}

bool dx_path_peek(const struct dx_path *path, uint32_t *hash)
{
	for (unsigned level = path->levels; level--;) {
		const struct dx_frame *f = &path->frame[level];

		if (f->at + 1 < dx_count(f->slots)) {
			*hash = dx_hash(f->slots, f->at + 1);
			return true;
		}
	}
	return false;
}

int dx_path_next(struct inode *dir, struct dx_path *path)
{
	struct dx_frame *f = path->frame, node;
	int err;

	if (f[path->levels - 1].at + 1 < dx_count(f[path->levels - 1].slots)) {
		f[path->levels - 1].at++;
		return 0;
	}
	MBFS_ASSERT(path->levels == 2 && f[0].at + 1 < dx_count(f[0].slots));
	f[0].at++;
	err = node_get(dir, path, &node);
	if (err) {
		f[0].at--;
		return err;
	}
	buf_put(f[1].buf);
	f[1] = node;
	f[1].at = 0;
	return 0;
}

static int leaf_get(struct inode *dir, const struct dx_path *path, struct buf **out)
{
	return dir_block(dir, dx_path_leaf(path), &dir_leaf_kind, out);
}

int dx_locate(struct inode *dir, const char *name, size_t len, struct dir_pos *out)
{
	const struct mbfs_geo *geo = dir->env->geo;
	struct dx_path path;
	uint32_t hash, next;
	int err = dx_open(dir, &path);

	if (err)
		return err;
	hash = dir_hash(&path.hasher, name, len, NULL);
	err = dx_descend(dir, &path, hash);
	if (err)
		return err;
	for (;;) {
		err = leaf_get(dir, &path, &out->buf);
		if (err)
			break;
		out->lblk = dx_path_leaf(&path);
		if (leaf_find(geo, out->buf->data, name, len, &out->at))
			break;
		buf_put(out->buf);
		err = -ENOENT;
		if (!dx_path_peek(&path, &next) || (next & ~1u) != hash)
			break;
		err = dx_path_next(dir, &path);
		if (err)
			break;
	}
	dx_path_put(&path);
	return err;
}

/* ---- insert ---- */

static bool frame_is_full(const struct dx_frame *f)
{
	return dx_count(f->slots) == dx_limit(f->slots);
}

/* Frame @level gets a slot after its current one. */
static void frame_insert(struct mbfs_tx *tx, struct dx_frame *f, uint32_t hash, mbfs_lblk_t child)
{
	buf_lock(f->buf);
	dx_insert(f->slots, f->at, hash, child);
	tx_dirty(tx, f->buf);
	buf_unlock(f->buf);
}

/* Fill a new node with the slots of @from from number @first on. */
static void node_fill(const struct mbfs_geo *geo, struct mbfs_tx *tx, struct buf *node,
		      const uint8_t *from, uint32_t first)
{
	uint32_t nr = dx_count(from) - first;
	uint8_t *s = node->data + DX_NODE_SLOTS_OFF;

	buf_lock(node);
	dx_node_format(geo, node->data);
	MBFS_ASSERT(nr <= dx_limit(s));
	memcpy(s + DX_SLOT_BYTES, from + (first + 1) * DX_SLOT_BYTES,
	       (size_t)(nr - 1) * DX_SLOT_BYTES);
	dx_set_count(s, nr);
	dx_set_block(s, 0, dx_block(from, first));
	tx_dirty(tx, node);
	buf_unlock(node);
}

/* The root is full and points to leaves: its slots go into @node, the root points to that alone. */
static void root_lower(const struct mbfs_geo *geo, struct mbfs_tx *tx, struct dx_path *path,
		       struct buf *node, mbfs_lblk_t node_lblk)
{
	struct dx_frame *f = path->frame;
	uint8_t *root = f[0].buf->data;

	node_fill(geo, tx, node, f[0].slots, 0);
	buf_lock(f[0].buf);
	dx_root_set_info(root, dx_root_version(root), 1);
	dx_set_count(f[0].slots, 1);
	dx_set_block(f[0].slots, 0, node_lblk);
	tx_dirty(tx, f[0].buf);
	buf_unlock(f[0].buf);
	buf_hold(node);
	f[1] = (struct dx_frame){ node, node->data + DX_NODE_SLOTS_OFF, f[0].at };
	f[0].at = 0;
	path->levels = 2;
}

/* The path's node is full: its upper half goes into @node; the path leads to where it led. */
static void node_split(const struct mbfs_geo *geo, struct mbfs_tx *tx, struct dx_path *path,
		       struct buf *node, mbfs_lblk_t node_lblk)
{
	struct dx_frame *f = path->frame;
	uint32_t cut = dx_count(f[1].slots) / 2, hash = dx_hash(f[1].slots, cut);

	node_fill(geo, tx, node, f[1].slots, cut);
	buf_lock(f[1].buf);
	dx_set_count(f[1].slots, cut);
	tx_dirty(tx, f[1].buf);
	buf_unlock(f[1].buf);
	frame_insert(tx, &f[0], hash, node_lblk);
	if (f[1].at < cut)
		return;
	buf_put(f[1].buf);
	buf_hold(node);
	f[1] = (struct dx_frame){ node, node->data + DX_NODE_SLOTS_OFF, f[1].at - cut };
	f[0].at++;
}

/*
 * Split @from (its entries from @start on) into the buffers @low, which may be @from's, and @high,
 * with the new entry where it belongs. Returns the hash that starts @high.
 */
static uint32_t split_insert(const struct dir_insert *ins, const struct dir_hasher *hasher,
			     const uint8_t *from, uint32_t start, struct buf *low, struct buf *high,
			     const struct dir_scratch *s)
{
	const struct mbfs_geo *geo = ins->dir->env->geo;
	uint32_t hash = dir_hash(hasher, ins->name, ins->len, NULL);
	uint32_t border = leaf_split(geo, hasher, from, start, s->low, s->high, s->items);
	bool ok = leaf_insert(geo, hash >= (border & ~1u) ? s->high : s->low, ins->name, ins->len,
			      ins->ino, ins->type);

	MBFS_ASSERT(ok);
	dir_buf_fill(ins->tx, low, s->low, geo->block_bytes);
	dir_buf_fill(ins->tx, high, s->high, geo->block_bytes);
	return border;
}

static int split_add(const struct dir_insert *ins, struct dx_path *path, struct buf *leaf)
{
	const struct mbfs_geo *geo = ins->dir->env->geo;
	struct dx_frame *last = &path->frame[path->levels - 1];
	bool full = frame_is_full(last);
	struct dir_scratch scratch;
	struct dir_growth g;
	uint32_t border;
	int err;

	if (full && path->levels == DX_LEVELS_MAX && frame_is_full(&path->frame[0]))
		return -ENOSPC;
	err = dir_scratch_get(geo, &scratch);
	if (err)
		return err;
	err = dir_grow(ins->dir, ins->tx, ins->alloc_flags, full ? 2 : 1, grow_kinds, 0, &g);
	if (err)
		goto out_scratch;
	if (full && path->levels == 1)
		root_lower(geo, ins->tx, path, g.buf[1], g.lblk + 1);
	else if (full)
		node_split(geo, ins->tx, path, g.buf[1], g.lblk + 1);
	border = split_insert(ins, &path->hasher, leaf->data, 0, leaf, g.buf[0], &scratch);
	frame_insert(ins->tx, &path->frame[path->levels - 1], border, g.lblk);
	dir_grow_done(&g);
out_scratch:
	dir_scratch_put(&scratch);
	return err;
}

int dx_add(const struct dir_insert *ins)
{
	struct dx_path path;
	struct buf *leaf;
	int err = dx_open(ins->dir, &path);

	if (err)
		return err;
	err = dx_descend(ins->dir, &path, dir_hash(&path.hasher, ins->name, ins->len, NULL));
	if (err)
		return err;
	err = leaf_get(ins->dir, &path, &leaf);
	if (err)
		goto out_path;
	err = dir_insert_into(ins, leaf, true);
	if (err == -ENOSPC)
		err = split_add(ins, &path, leaf);
	buf_put(leaf);
out_path:
	dx_path_put(&path);
	return err;
}

int dx_make(const struct dir_insert *ins, struct buf *block0)
{
	static const struct buf_kind *const kinds[] = { &dir_leaf_kind, &dir_leaf_kind };
	const struct mbfs_geo *geo = ins->dir->env->geo;
	struct dir_scratch scratch;
	struct dir_hasher hasher;
	struct dir_growth g;
	mbfs_ino_t self, parent;
	uint32_t dotdot, border;
	int err;

	if (dots_verify(geo, block0->data, &dotdot))
		return dir_damaged(ins->dir, 0, "\".\" and \"..\" are not where they should be");
	self = dirent_ino(block0->data);
	parent = dirent_ino(block0->data + dotdot);
	dir_default_hasher(geo, &hasher);
	err = dir_scratch_get(geo, &scratch);
	if (err)
		return err;
	err = dir_grow(ins->dir, ins->tx, ins->alloc_flags, 2, kinds, INODE_FL_INDEX, &g);
	if (err)
		goto out_scratch;
	border = split_insert(ins, &hasher, block0->data, leaf_next(geo, block0->data, dotdot),
			      g.buf[0], g.buf[1], &scratch);
	buf_lock(block0);
	block0->kind = &dir_root_kind;
	dx_root_format(geo, block0->data, self, parent, hasher.version, g.lblk);
	dx_insert(block0->data + DX_ROOT_SLOTS_OFF, 0, border, g.lblk + 1);
	tx_dirty(ins->tx, block0);
	buf_unlock(block0);
	dir_grow_done(&g);
out_scratch:
	dir_scratch_put(&scratch);
	return err;
}
