// SPDX-License-Identifier: GPL-2.0-only
/* Nodes and paths: finding a leaf, splitting, growing and shrinking the tree. */
#include "extent/extent_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "disk/csum.h"

static int node_verify(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
		       const uint8_t *data, uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;

	(void)blk;
	if (le16_get(((const struct mbfs_extent_head_disk *)data)->magic) != MBFS_EXTENT_MAGIC)
		return -EUCLEAN;
	if (!csum_extent_ok(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes))
		return -EBADMSG;
	/* A node below the root is never empty. */
	return extent_node_ok(geo, data, bytes) && node_entries(data) > 0 ? 0 : -EUCLEAN;
}

static void node_seal(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk, uint8_t *data,
		      uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;

	(void)blk;
	csum_extent_set(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes);
}

const struct buf_kind extent_node_kind = {
	.name = "extent block",
	.verify = node_verify,
	.seal = node_seal,
};

static struct buf_owner owner_of(const struct extent_tree *t)
{
	return (struct buf_owner){ .ino = t->ino, .gen = t->gen };
}

/* The last entry whose key is <= lblk; -1 if the first key is greater. */
static int32_t node_search(const uint8_t *node, mbfs_lblk_t lblk)
{
	int32_t lo = 0, hi = (int32_t)node_entries(node);

	while (lo < hi) {
		int32_t mid = lo + (hi - lo) / 2;

		if (node_key(node, (uint32_t)mid) <= lblk)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo - 1;
}

void path_put(struct extent_path *p)
{
	for (uint32_t i = 1; i <= p->depth; i++)
		buf_put(p->level[i].buf);
	p->depth = 0;
}

/* Does the child lie in [from, end), as the entry that points at it and the next one say? */
static bool child_fits(const uint8_t *child, uint32_t depth, uint64_t from, uint64_t end)
{
	uint32_t last = node_entries(child) - 1;
	struct extent_leaf l;

	if (node_depth(child) != depth || node_key(child, 0) < from)
		return false;
	if (depth > 0)
		return node_key(child, last) < end;
	l = node_leaf(child, last);
	return (uint64_t)l.lblk + l.len <= end;
}

int path_find(struct extent_tree *t, mbfs_lblk_t lblk, struct extent_path *p)
{
	struct buf_owner owner = owner_of(t);
	uint8_t *node = t->root;
	uint32_t depth = node_depth(node);
	uint64_t end = EXTENT_LBLK_END;

	p->depth = 0;
	p->level[0].buf = NULL;
	p->level[0].node = node;
	for (uint32_t i = 0; i < depth; i++) {
		int32_t at = node_search(node, lblk);
		struct buf *buf;
		int err;

		if (at < 0)
			at = 0; /* left of everything: the first leaf is the place */
		p->level[i].at = at;
		if ((uint32_t)at + 1 < node_entries(node))
			end = node_key(node, (uint32_t)at + 1);
		err = buf_get(t->env->bufs, node_child(node, (uint32_t)at), &extent_node_kind,
			      &owner, &buf);
		if (err) {
			path_put(p);
			return err;
		}
		p->depth = i + 1;
		p->level[i + 1].buf = buf;
		p->level[i + 1].node = buf->data;
		/* Depth falling by one each time is also what ends the descent in a damaged tree.
		 */
		if (!child_fits(buf->data, depth - i - 1, node_key(node, (uint32_t)at), end)) {
			log_err("inode %u: extent block %llu does not fit its parent; run e2fsck "
				"-f",
				t->ino, (unsigned long long)buf->blk);
			path_put(p);
			return -EUCLEAN;
		}
		node = buf->data;
	}
	p->level[depth].at = node_search(node, lblk);
	return 0;
}

uint64_t path_next_key(const struct extent_path *p)
{
	for (uint32_t i = p->depth; i-- > 0;) {
		uint32_t next = (uint32_t)p->level[i].at + 1;

		if (next < node_entries(p->level[i].node))
			return node_key(p->level[i].node, next);
	}
	return EXTENT_LBLK_END;
}

void level_begin(struct extent_path *p, uint32_t level)
{
	if (p->level[level].buf)
		buf_lock(p->level[level].buf);
}

void level_end(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t level)
{
	if (p->level[level].buf) {
		buf_unlock(p->level[level].buf);
		tx_dirty(tx, p->level[level].buf);
	} else {
		t->root_dirty = true;
	}
}

void path_fix_keys(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p)
{
	for (uint32_t i = p->depth; i-- > 0;) {
		uint32_t at = (uint32_t)p->level[i].at;
		mbfs_lblk_t key = node_key(p->level[i + 1].node, 0);

		if (node_key(p->level[i].node, at) == key)
			return;
		level_begin(p, i);
		node_set_key(p->level[i].node, at, key);
		level_end(t, tx, p, i);
		if (at > 0)
			return;
	}
}

static int node_block_new(struct extent_tree *t, struct mbfs_tx *tx, mbfs_blk_t goal,
			  unsigned flags, struct buf **out)
{
	struct mbfs_alloc_req req = {
		.len = 1,
		.goal = goal ? goal : t->goal,
		.flags = MBFS_ALLOC_NO_PREALLOC | (flags & MBFS_ALLOC_ROOT),
	};
	struct buf_owner owner = owner_of(t);
	struct mbfs_run run;
	int err = alloc_blocks(t->env->alloc, NULL, &req, tx, &run), err_free;

	if (err)
		return err;
	err = buf_wipe(t->env->bufs, run.start, run.len);
	if (!err)
		err = buf_get_new(t->env->bufs, run.start, &extent_node_kind, &owner, out);
	if (!err) {
		t->meta_blks++;
		return 0;
	}
	err_free = mbfs_alloc_free(t->env->alloc, tx, &run);
	if (err_free)
		log_err("inode %u: block %llu is lost until e2fsck: %s", t->ino,
			(unsigned long long)run.start, strerror(-err_free));
	return err;
}

static void node_block_free(struct extent_tree *t, struct mbfs_tx *tx, mbfs_blk_t blk)
{
	const struct mbfs_run run = { .start = blk, .len = 1 };

	alloc_free_late(t->env->alloc, tx, &run, true);
	t->meta_blks--;
}

/* One more level: the root's entries move into a block, the root points at it. */
static int tree_grow(struct extent_tree *t, struct mbfs_tx *tx, unsigned flags)
{
	uint32_t bytes = t->env->geo->block_bytes, depth = node_depth(t->root);
	struct buf *buf;
	int err;

	if (depth == EXTENT_DEPTH_MAX)
		return -EFBIG;
	err = node_block_new(t, tx, 0, flags, &buf);
	if (err)
		return err;
	buf_lock(buf);
	node_format(buf->data, bytes, depth);
	memcpy(node_entry(buf->data, 0), node_entry(t->root, 0),
	       EXTENT_ROOT_BYTES - sizeof(struct mbfs_extent_head_disk));
	node_set_entries(buf->data, node_entries(t->root));
	buf_unlock(buf);
	tx_dirty(tx, buf);
	node_put_idx(t->root, 0, node_key(buf->data, 0), buf->blk);
	node_set_entries(t->root, 1);
	node_set_depth(t->root, depth + 1);
	t->root_dirty = true;
	buf_put(buf);
	return 0;
}

/*
 * Split the full node at @level in two; its parent has room. Half of the entries move right, but
 * only the last one when the new block goes behind all: files that grow at the end then fill their
 * nodes.
 */
static int node_split(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
		      uint32_t level, unsigned flags)
{
	uint8_t *node = p->level[level].node, *parent = p->level[level - 1].node;
	uint32_t nr = node_entries(node), keep = nr / 2, at = (uint32_t)p->level[level - 1].at + 1;
	struct buf *buf;
	int err;

	if (p->level[level].at == (int32_t)nr - 1 && path_next_key(p) == EXTENT_LBLK_END)
		keep = nr - 1;
	err = node_block_new(t, tx, p->level[level].buf->blk, flags, &buf);
	if (err)
		return err;
	buf_lock(buf);
	node_format(buf->data, t->env->geo->block_bytes, node_depth(node));
	memcpy(node_entry(buf->data, 0), node_entry(node, keep),
	       (size_t)(nr - keep) * sizeof(struct mbfs_extent_leaf_disk));
	node_set_entries(buf->data, nr - keep);
	buf_unlock(buf);
	tx_dirty(tx, buf);
	level_begin(p, level);
	node_set_entries(node, keep);
	level_end(t, tx, p, level);
	level_begin(p, level - 1);
	node_shift_up(parent, at);
	node_put_idx(parent, at, node_key(buf->data, 0), buf->blk);
	level_end(t, tx, p, level - 1);
	buf_put(buf);
	return 0;
}

int path_make_room(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t need,
		   unsigned flags, struct extent_path *p)
{
	/* Every turn splits one node or adds one level. */
	for (;;) {
		uint32_t level = p->depth;
		int err;

		if (node_entries(p->level[level].node) + need <= node_max(p->level[level].node))
			return 0;
		/* The highest node that has to be split: its parent has room. */
		while (level > 0 && node_entries(p->level[level - 1].node) ==
					    node_max(p->level[level - 1].node))
			level--;
		err = level == 0 ? tree_grow(t, tx, flags) : node_split(t, tx, p, level, flags);
		path_put(p);
		if (!err)
			err = path_find(t, lblk, p);
		if (err)
			return err;
	}
}

static int node_free_ready(const struct extent_tree *t, struct mbfs_tx *tx, mbfs_blk_t blk)
{
	const struct mbfs_run run = { .start = blk, .len = 1 };

	return alloc_free_late_ready(t->env->alloc, tx, &run);
}

int path_delete_ready(const struct extent_tree *t, struct mbfs_tx *tx, const struct extent_path *p)
{
	int err = 0;

	for (uint32_t i = p->depth; i > 0 && !err && node_entries(p->level[i].node) == 1; i--)
		err = node_free_ready(t, tx, p->level[i].buf->blk);
	return err;
}

void path_delete(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t at)
{
	uint32_t level = p->depth;

	for (;;) {
		level_begin(p, level);
		node_shift_down(p->level[level].node, at);
		level_end(t, tx, p, level);
		if (node_entries(p->level[level].node) > 0 || level == 0)
			break;
		node_block_free(t, tx, p->level[level].buf->blk);
		buf_put(p->level[level].buf);
		p->level[level].buf = NULL;
		p->depth = --level;
		at = (uint32_t)p->level[level].at;
	}
	if (level == 0 && node_entries(t->root) == 0)
		node_set_depth(t->root, 0);
	else if (at == 0 && level > 0)
		path_fix_keys(t, tx, p);
}

/*
 * All entries of the root's children into @node, if they fit and the children are leaves or the
 * only child. *pulled: how many; 0: they do not fit.
 */
static int children_pull(struct extent_tree *t, uint8_t *node, uint32_t *pulled)
{
	struct buf_owner owner = owner_of(t);
	uint32_t nr = 0, kids = node_entries(t->root), depth = node_depth(t->root);
	int err = 0;

	*pulled = 0;
	for (uint32_t i = 0; i < kids && !err; i++) {
		struct buf *buf;
		uint32_t more;

		err = buf_get(t->env->bufs, node_child(t->root, i), &extent_node_kind, &owner,
			      &buf);
		if (err)
			return err;
		more = node_entries(buf->data);
		if (node_depth(buf->data) + 1 != depth)
			err = -EUCLEAN;
		else if (nr + more <= node_max(t->root))
			memcpy(node_entry(node, nr), node_entry(buf->data, 0),
			       (size_t)more * sizeof(struct mbfs_extent_leaf_disk));
		nr += more;
		buf_put(buf);
		if (nr > node_max(t->root))
			return err;
	}
	*pulled = err ? 0 : nr;
	return err;
}

int tree_collapse(struct extent_tree *t, struct mbfs_tx *tx)
{
	while (node_depth(t->root) > 0) {
		uint8_t node[EXTENT_ROOT_BYTES];
		mbfs_blk_t kids[4];
		uint32_t nr, kid_nr = node_entries(t->root);
		int err = children_pull(t, node, &nr);

		if (err || nr == 0)
			return err;
		MBFS_ASSERT(kid_nr <= MBFS_ARRAY_SIZE(kids));
		for (uint32_t i = 0; i < kid_nr; i++) {
			kids[i] = node_child(t->root, i);
			/* A tree deeper than need be is sound; a block that is lost is not. */
			if (node_free_ready(t, tx, kids[i]))
				return 0;
		}
		memcpy(node_entry(t->root, 0), node_entry(node, 0),
		       (size_t)nr * sizeof(struct mbfs_extent_leaf_disk));
		node_set_entries(t->root, nr);
		node_set_depth(t->root, node_depth(t->root) - 1);
		t->root_dirty = true;
		for (uint32_t i = 0; i < kid_nr; i++)
			node_block_free(t, tx, kids[i]);
	}
	return 0;
}
