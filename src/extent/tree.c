// SPDX-License-Identifier: GPL-2.0-only
/*
 * The extent tree: from file block to device block.
 *
 * The mapping is a set of extents that do not overlap, sorted by file block, in the leaves of a B+
 * tree whose root is in the inode. For every index entry: key == first key of the child it points
 * at, and all keys of a child are below the next entry's key. Both are what e2fsck checks.
 *
 *   operation   effect on the mapping                              on the tree
 *   allocate    a hole becomes unwritten              one entry more, or a neighbour grows
 *   convert     unwritten becomes written             0, 1 or 2 entries more; neighbours merge
 *   remove      becomes a hole, the blocks are freed  entries go or shrink; one more in the middle
 *   shift       what follows a block moves            keys change: tree_shift.c
 *
 * An operation that needs room first makes it (path_make_room()), in steps of one split each: the
 * mapping is the same after every step, so running out of blocks half way leaves nothing to undo.
 * Then it edits the bytes of one leaf and the keys above it, which cannot fail. Likewise a removal
 * first makes sure that all it is about to free can be freed (cut_ready()).
 *
 * Concurrency: tree->lock, shared for map, exclusive for the rest, held across reads of tree
 * blocks. Inside it the allocator's locks (LG and up), then the buffers'.
 */
#include "extent/extent_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

void extent_tree_init(struct extent_tree *t, const struct extent_env *env)
{
	memset(t, 0, sizeof(*t));
	t->env = env;
	rt_rwlock_init(&t->lock, RANK_EXTENT);
}

void extent_tree_destroy(struct extent_tree *t)
{
	rt_rwlock_destroy(&t->lock);
}

void extent_tree_format(struct extent_tree *t)
{
	node_format(t->root, EXTENT_ROOT_BYTES, 0);
	t->mapped = true;
	t->root_dirty = true;
}

int extent_tree_verify_root(const struct extent_tree *t)
{
	return !t->mapped || extent_node_ok(t->env->geo, t->root, EXTENT_ROOT_BYTES) ? 0 : -EUCLEAN;
}

/* The state at @lblk according to its leaf. */
static void map_at(const struct extent_path *p, mbfs_lblk_t lblk, uint32_t max_len,
		   struct extent_map *out)
{
	const uint8_t *leaf = p->level[p->depth].node;
	int32_t at = p->level[p->depth].at;
	uint64_t end;

	out->lblk = lblk;
	if (at >= 0) {
		struct extent_leaf l = node_leaf(leaf, (uint32_t)at);

		if (lblk < (uint64_t)l.lblk + l.len) {
			out->len = l.len - (lblk - l.lblk);
			out->pblk = l.pblk + (lblk - l.lblk);
			out->state = l.unwritten ? EXTENT_UNWRITTEN : EXTENT_WRITTEN;
			if (out->len > max_len)
				out->len = max_len;
			return;
		}
	}
	if ((uint32_t)(at + 1) < node_entries(leaf))
		end = node_key(leaf, (uint32_t)(at + 1));
	else
		end = path_next_key(p);
	out->state = EXTENT_HOLE;
	out->pblk = 0;
	/* Beyond the last possible block there is nothing but hole. */
	out->len = end <= lblk || end - lblk > max_len ? max_len : (uint32_t)(end - lblk);
}

int extent_map(struct extent_tree *t, mbfs_lblk_t lblk, uint32_t max_len, struct extent_map *out)
{
	struct extent_path p;
	int err;

	MBFS_ASSERT(max_len > 0);
	rt_read_lock(&t->lock);
	if (!t->mapped) {
		err = indirect_map(t, lblk, max_len, out);
	} else {
		err = path_find(t, lblk, &p);
		if (!err) {
			map_at(&p, lblk, max_len, out);
			path_put(&p);
		}
	}
	rt_read_unlock(&t->lock);
	return err;
}

static uint32_t len_max(bool unwritten)
{
	return unwritten ? EXTENT_UNWRITTEN_MAX : EXTENT_WRITTEN_MAX;
}

/* Does @b continue @a, and may they be one? */
static bool can_merge(const struct extent_leaf *a, const struct extent_leaf *b)
{
	return a->unwritten == b->unwritten && (uint64_t)a->lblk + a->len == b->lblk &&
	       a->pblk + a->len == b->pblk && a->len + b->len <= len_max(a->unwritten);
}

void path_merge(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
		       uint32_t at)
{
	uint8_t *leaf = p->level[p->depth].node;

	level_begin(p, p->depth);
	/* First with the one behind, then with the one before: @at stays right in between. */
	for (int side = 0; side < 2; side++) {
		uint32_t first = side == 0 ? at : at - 1;
		struct extent_leaf a, b;

		if ((side == 1 && at == 0) || first + 1 >= node_entries(leaf))
			continue;
		a = node_leaf(leaf, first);
		b = node_leaf(leaf, first + 1);
		if (!can_merge(&a, &b))
			continue;
		a.len += b.len;
		node_put_leaf(leaf, first, &a);
		node_shift_down(leaf, first + 1);
	}
	level_end(t, tx, p, p->depth);
}

void path_insert(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
			uint32_t at, const struct extent_leaf *l)
{
	level_begin(p, p->depth);
	node_shift_up(p->level[p->depth].node, at);
	node_put_leaf(p->level[p->depth].node, at, l);
	level_end(t, tx, p, p->depth);
	if (at == 0)
		path_fix_keys(t, tx, p);
}

void path_set(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p, uint32_t at,
		     const struct extent_leaf *l)
{
	level_begin(p, p->depth);
	node_put_leaf(p->level[p->depth].node, at, l);
	level_end(t, tx, p, p->depth);
	if (at == 0)
		path_fix_keys(t, tx, p);
}

/* Insert into a hole; p is the path to it. Puts p on error. */
static int tree_insert(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
		       const struct extent_leaf *l, unsigned flags)
{
	uint8_t *leaf = p->level[p->depth].node;
	int32_t at = p->level[p->depth].at;
	struct extent_leaf near;
	int err;

	if (at >= 0) {
		near = node_leaf(leaf, (uint32_t)at);
		if (can_merge(&near, l)) {
			near.len += l->len;
			path_set(t, tx, p, (uint32_t)at, &near);
			path_merge(t, tx, p, (uint32_t)at);
			return 0;
		}
	}
	if ((uint32_t)(at + 1) < node_entries(leaf)) {
		near = node_leaf(leaf, (uint32_t)(at + 1));
		if (can_merge(l, &near)) {
			near.lblk = l->lblk;
			near.pblk = l->pblk;
			near.len += l->len;
			path_set(t, tx, p, (uint32_t)(at + 1), &near);
			return 0;
		}
	}
	err = path_make_room(t, tx, l->lblk, 1, flags, p);
	if (err)
		return err;
	path_insert(t, tx, p, (uint32_t)(p->level[p->depth].at + 1), l);
	return 0;
}

/* Where the file's blocks on both sides of a hole are, for the allocator's goal. */
static void req_neighbours(const struct extent_tree *t, const struct extent_path *p,
			   mbfs_lblk_t lblk, struct mbfs_alloc_req *req)
{
	const uint8_t *leaf = p->level[p->depth].node;
	int32_t at = p->level[p->depth].at;

	if (at >= 0) {
		struct extent_leaf l = node_leaf(leaf, (uint32_t)at);

		req->lleft = l.lblk + l.len - 1;
		req->pleft = l.pblk + l.len - 1;
		/* As if the blocks in between had been allocated in one go. */
		req->goal = l.pblk + l.len + (lblk - l.lblk - l.len);
	}
	if ((uint32_t)(at + 1) < node_entries(leaf)) {
		struct extent_leaf l = node_leaf(leaf, (uint32_t)(at + 1));

		req->lright = l.lblk;
		req->pright = l.pblk;
		if (!req->goal && l.pblk > l.lblk - lblk)
			req->goal = l.pblk - (l.lblk - lblk);
	}
	if (!req->goal || req->goal >= geo_blk_nr(t->env->geo))
		req->goal = t->goal;
}

static int hole_fill(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
		     uint64_t file_blks, unsigned flags, struct extent_map *out, uint32_t *blks)
{
	struct mbfs_alloc_req req = {
		.lblk = out->lblk,
		.len = out->len,
		.file_blks = file_blks,
		.flags = flags | (t->file ? MBFS_ALLOC_DATA : 0),
	};
	struct extent_leaf l = { .lblk = out->lblk, .unwritten = true };
	struct mbfs_run run;
	int err, err_free;

	if (req.len > EXTENT_UNWRITTEN_MAX)
		req.len = EXTENT_UNWRITTEN_MAX;
	req_neighbours(t, p, out->lblk, &req);
	err = alloc_blocks(t->env->alloc, t->file, &req, tx, &run);
	if (err) {
		path_put(p);
		return err;
	}
	l.len = run.len;
	l.pblk = run.start;
	err = t->is_data ? 0 : buf_wipe(t->env->bufs, run.start, run.len);
	if (err)
		path_put(p);
	else
		err = tree_insert(t, tx, p, &l, flags);
	if (err) {
		err_free = mbfs_alloc_free(t->env->alloc, tx, &run);
		if (err_free)
			log_err("inode %u: %u blocks at %llu are lost until e2fsck: %s", t->ino,
				run.len, (unsigned long long)run.start, strerror(-err_free));
		return err;
	}
	path_put(p);
	out->pblk = run.start;
	out->len = run.len;
	out->state = EXTENT_UNWRITTEN;
	*blks = run.len;
	return 0;
}

int extent_allocate(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t max_len,
		    uint64_t file_blks, unsigned flags, struct extent_map *out, uint32_t *blks)
{
	struct extent_map map;
	struct extent_path p;
	int err;

	MBFS_ASSERT(max_len > 0);
	*blks = 0;
	if (lblk >= EXTENT_LBLK_END)
		return -EFBIG;
	if (max_len > EXTENT_LBLK_END - lblk)
		max_len = (uint32_t)(EXTENT_LBLK_END - lblk);
	rt_write_lock(&t->lock);
	if (!t->mapped) {
		err = indirect_map(t, lblk, max_len, &map);
		if (!err && map.state == EXTENT_HOLE)
			err = -EOPNOTSUPP;
		goto out;
	}
	err = path_find(t, lblk, &p);
	if (err)
		goto out;
	map_at(&p, lblk, max_len, &map);
	if (map.state == EXTENT_HOLE)
		err = hole_fill(t, tx, &p, file_blks, flags, &map, blks); /* puts p */
	else
		path_put(&p);
out:
	rt_write_unlock(&t->lock);
	if (!err)
		*out = map;
	return err;
}

/*
 * Make [s, s + n) of the unwritten entry @at written; it lies inside the entry. The leaf has room
 * for as many more entries as this needs, 0 to 2.
 */
static void leaf_convert(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
			 uint32_t at, mbfs_lblk_t s, uint32_t n)
{
	struct extent_leaf e = node_leaf(p->level[p->depth].node, at), mid, tail;
	uint32_t before = s - e.lblk, after = e.len - before - n;

	mid = (struct extent_leaf){ .lblk = s, .len = n, .pblk = e.pblk + before };
	tail = (struct extent_leaf){
		.lblk = s + n, .len = after, .pblk = mid.pblk + n, .unwritten = true
	};
	if (before > 0) {
		e.len = before;
		path_set(t, tx, p, at, &e);
		path_insert(t, tx, p, ++at, &mid);
	} else {
		path_set(t, tx, p, at, &mid);
	}
	if (after > 0)
		path_insert(t, tx, p, at + 1, &tail);
	path_merge(t, tx, p, at);
}

/* The new entries that leaf_convert() will need at most, before merging. */
static uint32_t convert_need(const struct extent_leaf *e, mbfs_lblk_t s, uint32_t n)
{
	return (s > e->lblk) + (s + n < (uint64_t)e->lblk + e->len);
}

/*
 * The common case of sequential writes into a preallocated range: the converted blocks go to a
 * written neighbour and no entry is needed. False: it does not apply.
 */
static bool convert_shift(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
			  uint32_t at, mbfs_lblk_t s, uint32_t n)
{
	uint8_t *leaf = p->level[p->depth].node;
	struct extent_leaf e = node_leaf(leaf, at), near;
	struct extent_leaf part = { .lblk = s, .len = n, .pblk = e.pblk + (s - e.lblk) };

	if (n == e.len)
		return false;
	if (s == e.lblk && at > 0) {
		near = node_leaf(leaf, at - 1);
		if (!can_merge(&near, &part))
			return false;
		near.len += n;
		e = (struct extent_leaf){ e.lblk + n, e.len - n, e.pblk + n, true };
		path_set(t, tx, p, at - 1, &near);
		path_set(t, tx, p, at, &e);
		return true;
	}
	if ((uint64_t)s + n == (uint64_t)e.lblk + e.len && at + 1 < node_entries(leaf)) {
		near = node_leaf(leaf, at + 1);
		if (!can_merge(&part, &near))
			return false;
		near = (struct extent_leaf){ s, near.len + n, part.pblk, false };
		e.len -= n;
		path_set(t, tx, p, at, &e);
		path_set(t, tx, p, at + 1, &near);
		return true;
	}
	return false;
}

/* Convert what of [lblk, end) the entry at lblk has; *next is where to go on. */
static int convert_step(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint64_t end,
			uint64_t *next)
{
	struct extent_path p;
	struct extent_map map;
	uint32_t len = (uint32_t)(end - lblk > UINT32_MAX ? UINT32_MAX : end - lblk), at;
	struct extent_leaf e;
	int err = path_find(t, lblk, &p);

	if (err)
		return err;
	map_at(&p, lblk, len, &map);
	*next = (uint64_t)lblk + map.len;
	if (map.state != EXTENT_UNWRITTEN)
		goto out;
	at = (uint32_t)p.level[p.depth].at;
	if (convert_shift(t, tx, &p, at, lblk, map.len))
		goto out;
	e = node_leaf(p.level[p.depth].node, at);
	err = path_make_room(t, tx, lblk, convert_need(&e, lblk, map.len), MBFS_ALLOC_ROOT, &p);
	if (err)
		return err;
	leaf_convert(t, tx, &p, (uint32_t)p.level[p.depth].at, lblk, map.len);
out:
	path_put(&p);
	return 0;
}

int extent_convert(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t len)
{
	uint64_t next = lblk, end = (uint64_t)lblk + len;
	int err = 0;

	if (!t->mapped)
		return 0; /* blocks of block-mapped files are always written */
	rt_write_lock(&t->lock);
	while (!err && next < end)
		err = convert_step(t, tx, (mbfs_lblk_t)next, end, &next);
	rt_write_unlock(&t->lock);
	return err;
}

int path_seek(struct extent_tree *t, mbfs_lblk_t lblk, struct extent_path *p, bool *found)
{
	int32_t at = p->level[p->depth].at;
	const uint8_t *leaf = p->level[p->depth].node;
	uint64_t next;
	int err;

	*found = true;
	if (at >= 0) {
		struct extent_leaf l = node_leaf(leaf, (uint32_t)at);

		if (lblk < (uint64_t)l.lblk + l.len)
			return 0;
	}
	if ((uint32_t)(at + 1) < node_entries(leaf)) {
		p->level[p->depth].at = at + 1;
		return 0;
	}
	next = path_next_key(p);
	*found = next < EXTENT_LBLK_END;
	if (!*found)
		return 0;
	path_put(p);
	err = path_find(t, (mbfs_lblk_t)next, p);
	if (!err && p->level[p->depth].at < 0)
		p->level[p->depth].at = 0;
	return err;
}

/* Unmap [s, f) of entry e at @at, which it overlaps; a middle part needs room for one more entry.
 */
static int leaf_cut(struct extent_tree *t, struct mbfs_tx *tx, struct extent_path *p,
		    const struct extent_leaf *e, uint64_t s, uint64_t f)
{
	uint64_t e_end = (uint64_t)e->lblk + e->len;
	uint32_t at = (uint32_t)p->level[p->depth].at;
	struct extent_leaf head = *e, tail = *e;
	int err;

	head.len = (uint32_t)(s - e->lblk);
	tail.lblk = (mbfs_lblk_t)f;
	tail.pblk = e->pblk + (f - e->lblk);
	tail.len = (uint32_t)(e_end - f);
	if (head.len == 0 && tail.len == 0) {
		path_delete(t, tx, p, at);
	} else if (head.len == 0) {
		path_set(t, tx, p, at, &tail);
	} else if (tail.len == 0) {
		path_set(t, tx, p, at, &head);
	} else {
		err = path_make_room(t, tx, e->lblk, 1, MBFS_ALLOC_ROOT, p);
		if (err)
			return err;
		at = (uint32_t)p->level[p->depth].at;
		path_set(t, tx, p, at, &head);
		path_insert(t, tx, p, at + 1, &tail);
	}
	path_put(p);
	return 0;
}

/* Everything that can fail in freeing @run, cut out of @e: what is cut first would be lost then. */
static int cut_ready(const struct extent_tree *t, struct mbfs_tx *tx, const struct extent_path *p,
		     const struct extent_leaf *e, const struct mbfs_run *run)
{
	int err = alloc_free_late_ready(t->env->alloc, tx, run);

	return err || run->len < e->len ? err : path_delete_ready(t, tx, p);
}

/*
 * Data that the image can at most show as unwritten is nobody's at once: it shows zeros. That is
 * all unwritten data, for no written block ever becomes unwritten where it is.
 */
static bool frees_at_once(const struct extent_tree *t, const struct extent_leaf *e)
{
	return t->is_data && e->unwritten;
}

/* Remove from the first extent at or after *next; *next moves behind it. */
static int remove_step(struct extent_tree *t, struct mbfs_tx *tx, uint64_t end, uint64_t *next,
		       uint64_t *freed_blks)
{
	struct extent_path p;
	struct extent_leaf e;
	struct mbfs_run run;
	uint64_t s, f;
	bool found;
	int err = path_find(t, (mbfs_lblk_t)*next, &p);

	if (err)
		return err;
	err = path_seek(t, (mbfs_lblk_t)*next, &p, &found);
	if (err)
		return err;
	if (found)
		e = node_leaf(p.level[p.depth].node, (uint32_t)p.level[p.depth].at);
	if (!found || e.lblk >= end) {
		path_put(&p);
		*next = end;
		return 0;
	}
	s = *next > e.lblk ? *next : e.lblk;
	f = (uint64_t)e.lblk + e.len < end ? (uint64_t)e.lblk + e.len : end;
	run.start = e.pblk + (s - e.lblk);
	run.len = (uint32_t)(f - s);
	err = cut_ready(t, tx, &p, &e, &run);
	if (err) {
		path_put(&p);
		return err;
	}
	err = leaf_cut(t, tx, &p, &e, s, f); /* puts p */
	if (err)
		return err;
	*next = f;
	*freed_blks += run.len;
	if (frees_at_once(t, &e))
		return mbfs_alloc_free(t->env->alloc, tx, &run);
	alloc_free_late(t->env->alloc, tx, &run, !t->is_data);
	return 0;
}

int extent_remove(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint64_t end,
		  uint64_t *next, uint64_t *freed_blks)
{
	enum { STEPS_MAX = 64 };
	int err = 0;

	*next = lblk;
	*freed_blks = 0;
	rt_write_lock(&t->lock);
	if (!t->mapped) {
		err = end > EXTENT_LBLK_END ? indirect_remove(t, tx, lblk, next, freed_blks)
					    : -EOPNOTSUPP;
		goto out;
	}
	if (end > EXTENT_LBLK_END)
		end = EXTENT_LBLK_END;
	for (int i = 0; i < STEPS_MAX && *next < end && !err; i++)
		err = remove_step(t, tx, end, next, freed_blks);
	if (!err)
		err = tree_collapse(t, tx);
	if (*next >= EXTENT_LBLK_END)
		*next = 1ull << 32;
out:
	rt_write_unlock(&t->lock);
	return err;
}
