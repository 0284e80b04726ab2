// SPDX-License-Identifier: GPL-2.0-only
/*
 * Block-mapped files, as ext2 and ext3 made them: 12 direct pointers, then one each to trees of
 * one, two and three levels of pointer blocks. They can be read and freed, not extended. Source:
 * Documentation/filesystems/ext4, "Direct/Indirect Block Addressing".
 */
#include "extent/extent_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

enum { DIRECT_NR = 12, LEVELS_MAX = 3 };

static const struct buf_kind indirect_kind = { .name = "indirect block" };

static uint32_t ptr_get(const uint8_t *block, uint32_t i)
{
	mbfs_le32 v;

	memcpy(&v, block + (size_t)i * sizeof(v), sizeof(v));
	return le32_get(v);
}

/* Where a file block's pointer is: the root slot, and the index in each pointer block below it. */
struct indirect_where {
	uint32_t slot;		      /* in the root */
	uint32_t levels;	      /* pointer blocks between the root and the data, 0..3 */
	uint32_t idx[LEVELS_MAX];     /* top down */
	uint64_t span;		      /* file blocks that the root slot covers */
	uint64_t first;		      /* first of them */
};

static int indirect_locate(const struct extent_tree *t, uint64_t lblk, struct indirect_where *w)
{
	uint32_t bits = t->env->geo->block_bits - 2; /* log2 of the pointers in a block */
	uint64_t rest = lblk;

	memset(w, 0, sizeof(*w));
	if (rest < DIRECT_NR) {
		w->slot = (uint32_t)rest;
		w->span = 1;
		w->first = lblk;
		return 0;
	}
	rest -= DIRECT_NR;
	for (uint32_t n = 1; n <= LEVELS_MAX; n++) {
		if (rest < 1ull << bits * n) {
			w->slot = DIRECT_NR + n - 1;
			w->levels = n;
			w->span = 1ull << bits * n;
			w->first = lblk - rest;
			for (uint32_t i = 0; i < n; i++)
				w->idx[i] =
					(uint32_t)(rest >> bits * (n - 1 - i)) & ((1u << bits) - 1);
			return 0;
		}
		rest -= 1ull << bits * n;
	}
	return -EFBIG;
}

static int ptr_check(const struct extent_tree *t, uint32_t blk)
{
	if (blk == 0 || (blk > t->env->geo->first_blk && blk < geo_blk_nr(t->env->geo)))
		return 0;
	log_err("inode %u: block pointer %u is outside the device; run e2fsck -f", t->ino, blk);
	return -EUCLEAN;
}

static int indirect_get(struct extent_tree *t, uint32_t blk, struct buf **out)
{
	struct buf_owner owner = { .ino = t->ino, .gen = t->gen };

	return buf_get(t->env->bufs, blk, &indirect_kind, &owner, out);
}

/*
 * Go down to the pointer block that holds lblk's pointer. *out NULL: it is the root, or a hole on
 * the way; then *hole is how many file blocks from lblk's subtree's start are missing at once.
 */
static int indirect_descend(struct extent_tree *t, const struct indirect_where *w, struct buf **out,
			    uint64_t *hole)
{
	uint32_t blk = ptr_get(t->root, w->slot), bits = t->env->geo->block_bits - 2;
	struct buf *buf = NULL;
	int err = ptr_check(t, blk);

	*out = NULL;
	*hole = 0;
	for (uint32_t i = 0; i < w->levels && !err; i++) {
		if (blk == 0) {
			buf_put(buf);
			*hole = 1ull << bits * (w->levels - i);
			return 0;
		}
		buf_put(buf);
		buf = NULL;
		err = indirect_get(t, blk, &buf);
		if (!err && i + 1 < w->levels) {
			blk = ptr_get(buf->data, w->idx[i]);
			err = ptr_check(t, blk);
		}
	}
	if (err)
		buf_put(buf);
	else
		*out = buf;
	return err;
}

int indirect_map(struct extent_tree *t, mbfs_lblk_t lblk, uint32_t max_len, struct extent_map *out)
{
	struct indirect_where w;
	const uint8_t *block;
	uint32_t at, end, blk, len = 1;
	struct buf *buf;
	uint64_t hole;
	int err = indirect_locate(t, lblk, &w);

	out->lblk = lblk;
	out->state = EXTENT_HOLE;
	out->pblk = 0;
	out->len = max_len;
	if (err == -EFBIG)
		return 0; /* beyond what such a file can have */
	if (!err)
		err = indirect_descend(t, &w, &buf, &hole);
	if (err)
		return err;
	if (hole) {
		uint64_t left = hole - ((lblk - w.first) & (hole - 1));

		out->len = left < max_len ? (uint32_t)left : max_len;
		return 0;
	}
	block = buf ? buf->data : t->root;
	at = buf ? w.idx[w.levels - 1] : w.slot;
	end = buf ? t->env->geo->block_bytes / 4 : DIRECT_NR;
	blk = ptr_get(block, at);
	while (at + len < end && len < max_len &&
	       ptr_get(block, at + len) == (blk ? blk + len : 0))
		len++;
	buf_put(buf);
	out->len = len;
	if (blk == 0)
		return 0;
	err = ptr_check(t, blk);
	if (!err)
		err = ptr_check(t, blk + len - 1);
	out->pblk = blk;
	out->state = EXTENT_WRITTEN;
	return err;
}

/* Before the pointer is cleared: a block that can then not be freed would be lost. */
static int blk_free_ready(const struct extent_tree *t, struct mbfs_tx *tx, uint32_t blk)
{
	const struct mbfs_run run = { .start = blk, .len = 1 };

	return alloc_free_late_ready(t->env->alloc, tx, &run);
}

static void blk_free(struct extent_tree *t, struct mbfs_tx *tx, uint32_t blk, bool meta)
{
	const struct mbfs_run run = { .start = blk, .len = 1 };

	if (meta)
		t->meta_blks--;
	/* A directory's data blocks have buffers too. */
	alloc_free_late(t->env->alloc, tx, &run, meta || !t->is_data);
}

static void ptr_clear(struct extent_tree *t, struct mbfs_tx *tx, struct buf *buf, uint32_t i)
{
	if (!buf) {
		memset(t->root + (size_t)i * 4, 0, 4);
		t->root_dirty = true;
		return;
	}
	buf_lock(buf);
	memset(buf->data + (size_t)i * 4, 0, 4);
	buf_unlock(buf);
	tx_dirty(tx, buf);
}

/* Free the data that the pointers [at, end) of one block lead to. */
static int free_data(struct extent_tree *t, struct mbfs_tx *tx, struct buf *buf, uint32_t at,
		     uint32_t end, uint64_t *freed_blks)
{
	int err = 0;

	for (; at < end && !err; at++) {
		uint32_t blk = ptr_get(buf ? buf->data : t->root, at);

		err = ptr_check(t, blk);
		if (!err && blk)
			err = blk_free_ready(t, tx, blk);
		if (err || blk == 0)
			continue;
		ptr_clear(t, tx, buf, at);
		(*freed_blks)++;
		blk_free(t, tx, blk, false);
	}
	return err;
}

static bool all_zero(const struct extent_tree *t, const struct buf *buf)
{
	for (uint32_t i = 0; i < t->env->geo->block_bytes / 4; i++)
		if (ptr_get(buf->data, i))
			return false;
	return true;
}

/* Free the pointer blocks on the way to @w that have become empty, from the lowest up. */
static int free_empty(struct extent_tree *t, struct mbfs_tx *tx, const struct indirect_where *w)
{
	for (uint32_t levels = w->levels; levels > 0; levels--) {
		struct indirect_where low = *w, up = *w;
		struct buf *buf, *parent;
		uint64_t hole;
		uint32_t blk;
		int err;

		/* The same way, but only @levels (and one fewer) pointer blocks deep. */
		low.levels = levels;
		up.levels = levels - 1;
		err = indirect_descend(t, &low, &buf, &hole);
		if (err)
			return err;
		if (hole)
			continue;
		blk = (uint32_t)buf->blk;
		if (!all_zero(t, buf)) {
			buf_put(buf);
			return 0;
		}
		buf_put(buf);
		err = blk_free_ready(t, tx, blk);
		if (!err)
			err = indirect_descend(t, &up, &parent, &hole);
		if (err)
			return err;
		ptr_clear(t, tx, parent, parent ? w->idx[levels - 2] : w->slot);
		buf_put(parent);
		blk_free(t, tx, blk, true);
	}
	return 0;
}

/* One pointer block's worth from @lblk to the end of the file. */
int indirect_remove(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint64_t *next,
		    uint64_t *freed_blks)
{
	uint32_t per_blk = t->env->geo->block_bytes / 4;
	struct indirect_where w;
	struct buf *buf;
	uint64_t hole;
	int err = indirect_locate(t, lblk, &w);

	*next = 1ull << 32;
	if (err == -EFBIG)
		return 0;
	*next = lblk;
	if (w.levels == 0) {
		err = free_data(t, tx, NULL, w.slot, DIRECT_NR, freed_blks);
		if (!err)
			*next = DIRECT_NR;
		return err;
	}
	err = indirect_descend(t, &w, &buf, &hole);
	if (err)
		return err;
	if (hole) {
		*next = w.first + (((lblk - w.first) / hole) + 1) * hole;
	} else {
		err = free_data(t, tx, buf, w.idx[w.levels - 1], per_blk, freed_blks);
		buf_put(buf);
		if (!err)
			err = free_empty(t, tx, &w);
		if (!err)
			*next = w.first + ((lblk - w.first) / per_blk + 1) * per_blk;
	}
	if (!err && *next > UINT32_MAX)
		*next = 1ull << 32;
	return err;
}
