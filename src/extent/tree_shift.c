// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moving what follows a place in a file, for collapse and insert.
 *
 * Only keys change: an extent keeps its leaf, a leaf its node. So nothing is allocated, but for
 * the one extent that may have to be split first, and a leaf with the keys above it is one step
 * that cannot fail once its path is found. Leaves are taken from the left when moving left, from
 * the right when moving right: then each step leaves a sorted tree, with the gap, as wide as the
 * move, behind what has moved.
 */
#include <errno.h>

#include "base/check.h"
#include "extent/extent_priv.h"

/* Leaves in one call: each dirties a path. */
enum { LEAVES_MAX = 4 };

static int split_locked(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk)
{
	struct extent_leaf head, tail;
	struct extent_path p;
	uint32_t at;
	int err = path_find(t, lblk, &p);

	if (err)
		return err;
	if (p.level[p.depth].at < 0)
		goto out;
	head = node_leaf(p.level[p.depth].node, (uint32_t)p.level[p.depth].at);
	if (head.lblk == lblk || lblk >= (uint64_t)head.lblk + head.len)
		goto out;
	err = path_make_room(t, tx, lblk, 1, MBFS_ALLOC_ROOT, &p);
	if (err)
		return err;
	tail = (struct extent_leaf){
		.lblk = lblk,
		.len = head.len - (lblk - head.lblk),
		.pblk = head.pblk + (lblk - head.lblk),
		.unwritten = head.unwritten,
	};
	head.len = lblk - head.lblk;
	at = (uint32_t)p.level[p.depth].at;
	path_set(t, tx, &p, at, &head);
	path_insert(t, tx, &p, at + 1, &tail);
out:
	path_put(&p);
	return 0;
}

int extent_split(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk)
{
	int err;

	if (!t->mapped)
		return -EOPNOTSUPP;
	rt_write_lock(&t->lock);
	err = split_locked(t, tx, lblk);
	rt_write_unlock(&t->lock);
	return err;
}

int extent_end(struct extent_tree *t, mbfs_lblk_t from, uint64_t *end)
{
	uint64_t at = from, last = 0;
	int err = 0;

	if (!t->mapped)
		return -EOPNOTSUPP;
	rt_read_lock(&t->lock);
	while (at < EXTENT_LBLK_END) {
		struct extent_path p;
		const uint8_t *leaf;

		err = path_find(t, (mbfs_lblk_t)at, &p);
		if (err)
			break;
		leaf = p.level[p.depth].node;
		if (node_entries(leaf) > 0) {
			struct extent_leaf l = node_leaf(leaf, node_entries(leaf) - 1);

			last = (uint64_t)l.lblk + l.len;
		}
		at = path_next_key(&p);
		path_put(&p);
	}
	rt_read_unlock(&t->lock);
	if (!err)
		*end = last;
	return err;
}

/* Entries [first, last] of the leaf. */
static void entries_move(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
			 uint32_t first, uint32_t last, int64_t by)
{
	uint8_t *leaf = p->level[p->depth].node;

	level_begin(p, p->depth);
	for (uint32_t i = first; i <= last; i++)
		node_set_key(leaf, i, (mbfs_lblk_t)((int64_t)node_key(leaf, i) + by));
	level_end(t, tx, p, p->depth);
	if (first == 0)
		path_fix_keys(t, tx, p);
}

/* The leaf with the first extent at or after *at; *at moves behind its last one. */
static int step_left(struct extent_tree *t, struct mbfs_tx *tx, uint32_t by, uint64_t *at)
{
	struct extent_path p;
	struct extent_leaf last;
	uint32_t first, nr;
	bool found;
	int err = path_find(t, (mbfs_lblk_t)*at, &p);

	if (!err)
		err = path_seek(t, (mbfs_lblk_t)*at, &p, &found); /* puts p on error */
	if (err)
		return err;
	*at = found ? *at : EXTENT_LBLK_END;
	if (!found)
		goto out;
	first = (uint32_t)p.level[p.depth].at;
	nr = node_entries(p.level[p.depth].node);
	last = node_leaf(p.level[p.depth].node, nr - 1);
	MBFS_ASSERT(node_key(p.level[p.depth].node, first) >= *at);
	*at = (uint64_t)last.lblk + last.len;
	entries_move(t, tx, &p, first, nr - 1, -(int64_t)by);
	path_merge(t, tx, &p, first);
out:
	path_put(&p);
	return 0;
}

/* The leaf with the last extent that starts before *at; *at moves to its first one, or to @from. */
static int step_right(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t from, uint32_t by,
		      uint64_t *at)
{
	struct extent_path p;
	const uint8_t *leaf;
	int32_t first, last;
	uint64_t next = from;
	int err = path_find(t, (mbfs_lblk_t)(*at - 1), &p);

	if (err)
		return err;
	leaf = p.level[p.depth].node;
	first = last = p.level[p.depth].at;
	while (first >= 0 && node_key(leaf, (uint32_t)first) >= from)
		first--;
	first++;
	if (first == 0 && p.depth > 0) {
		/* All of the leaf. The one before it ends below this key. */
		uint32_t up = (uint32_t)p.level[p.depth - 1].at;

		next = node_key(p.level[p.depth - 1].node, up);
		if (next >= *at) /* left of all there is */
			next = from;
	}
	if (first <= last)
		entries_move(t, tx, &p, (uint32_t)first, (uint32_t)last, by);
	*at = next > from ? next : from;
	path_put(&p);
	return 0;
}

int extent_shift(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t from, int64_t by,
		 uint64_t *at)
{
	int err = 0;

	MBFS_ASSERT(t->mapped && (by > 0 || (uint64_t)-by <= from));
	rt_write_lock(&t->lock);
	/* A write below @from may have ended since the split: its blocks merge with those behind.
	 */
	if (by > 0)
		err = split_locked(t, tx, from);
	for (int i = 0; i < LEAVES_MAX && !err; i++) {
		if (by < 0 && *at < EXTENT_LBLK_END)
			err = step_left(t, tx, (uint32_t)-by, at);
		else if (by > 0 && *at > from)
			err = step_right(t, tx, from, (uint32_t)by, at);
	}
	rt_write_unlock(&t->lock);
	return err;
}
