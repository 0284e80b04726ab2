/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading a directory in an order that stays while names come and go.
 *
 * The caller may stop after any entry and come back, through any number of calls, with the cookie
 * of the next. An entry that exists all the time must be seen exactly once, though the index splits
 * leaves meanwhile.
 *
 * Linear directories: entries never move, the cookie is the offset in bytes of the directory.
 *
 * Hashed ones (indexed, or one block that will be): cookies 0 and 1 are "." and "..", then
 *	2 + (major hash >> 1) << 32 | key << 8 | rank
 * in ascending order. key is 24 bits of a checksum of the name, rank numbers the entries that agree
 * in both, by name: only if names agree in 55 bits can a delete among them shift a rank. An entry's
 * "next" is its own cookie + 1. One leaf at a time is read and sorted, together with those that
 * continue its last hash, so that equal hashes are always ranked together. (ext4 uses the hash's
 * minor word as key; legacy has none.)
 */
#include "inode/dir_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/checksum.h"
#include "rt/mem.h"

enum {
	COOKIE_DOT = 0,
	COOKIE_DOTDOT = 1,
	COOKIE_FIRST = 2,
	RANK_MAX = 255, /* the entries past it share it: 256 names that agree in 55 bits are an
			   attack */
	BATCH_LEAVES_MAX = 64,
};

struct iter_item {
	uint64_t pos; /* cookie - COOKIE_FIRST */
	const uint8_t *d;
};

/* Some leaves and their entries, sorted. */
struct iter_batch {
	struct buf *leaf[BATCH_LEAVES_MAX];
	uint32_t leaf_nr;
	struct iter_item *item;
	uint32_t nr, room;
};

static void batch_clear(struct iter_batch *b)
{
	for (uint32_t i = 0; i < b->leaf_nr; i++)
		buf_put(b->leaf[i]);
	b->leaf_nr = 0;
	b->nr = 0;
}

static void batch_free(struct iter_batch *b)
{
	batch_clear(b);
	rt_free(b->item);
	rt_free(b);
}

static int batch_reserve(struct iter_batch *b, uint32_t more)
{
	struct iter_item *item;
	uint32_t room = b->nr + more;

	if (room <= b->room)
		return 0;
	item = rt_alloc(room * sizeof(*item));
	if (!item)
		return -ENOMEM;
	if (b->nr)
		memcpy(item, b->item, b->nr * sizeof(*item));
	rt_free(b->item);
	b->item = item;
	b->room = room;
	return 0;
}

static bool entry_is_dots(const uint8_t *d)
{
	return dirent_name_len(d) <= 2 && !memcmp(dirent_name(d), "..", dirent_name_len(d));
}

static uint64_t entry_pos(const struct dir_hasher *hasher, const uint8_t *d, uint32_t *hash)
{
	uint32_t len = dirent_name_len(d), key = crc32c(~0u, dirent_name(d), len) & 0xffffff;

	*hash = dir_hash(hasher, dirent_name(d), len, NULL);
	return (uint64_t)(*hash >> 1) << 32 | (uint64_t)key << 8;
}

/*
 * Add the entries of @leaf, whose reference the batch takes over. Their hashes must be in [low,
 * high]: an entry outside would be seen twice or never, for ever.
 */
static int batch_add(struct inode *dir, struct iter_batch *b, const struct dir_hasher *hasher,
		     mbfs_lblk_t lblk, struct buf *leaf, uint32_t low, uint32_t high)
{
	const struct mbfs_geo *geo = dir->env->geo;
	uint32_t end = dirent_leaf_end(geo), off, nr = 0, hash;
	int err;

	MBFS_ASSERT(b->leaf_nr < BATCH_LEAVES_MAX);
	b->leaf[b->leaf_nr++] = leaf;
	for (off = 0; off < end; off = leaf_next(geo, leaf->data, off))
		nr += dirent_ino(leaf->data + off) != 0;
	err = batch_reserve(b, nr);
	if (err)
		return err;
	for (off = 0; off < end; off = leaf_next(geo, leaf->data, off)) {
		const uint8_t *d = leaf->data + off;

		if (!dirent_ino(d) || entry_is_dots(d))
			continue;
		b->item[b->nr] = (struct iter_item){ entry_pos(hasher, d, &hash), d };
		if (hash < low || hash > high)
			return dir_damaged(dir, lblk, "a name in the wrong block of the index");
		b->nr++;
	}
	return 0;
}

static int iter_item_cmp(const void *a, const void *b)
{
	const struct iter_item *x = a, *y = b;
	uint32_t xlen = dirent_name_len(x->d), ylen = dirent_name_len(y->d);
	int cmp;

	if (x->pos != y->pos)
		return x->pos < y->pos ? -1 : 1;
	cmp = memcmp(dirent_name(x->d), dirent_name(y->d), xlen < ylen ? xlen : ylen);
	return cmp ? cmp : (int)xlen - (int)ylen;
}

static void batch_sort(struct iter_batch *b)
{
	uint32_t rank = 0;

	if (!b->nr)
		return;
	qsort(b->item, b->nr, sizeof(*b->item), iter_item_cmp);
	for (uint32_t i = 1; i < b->nr; i++) {
		bool same = b->item[i].pos == (b->item[i - 1].pos & ~(uint64_t)RANK_MAX);

		rank = same ? rank + 1 : 0;
		b->item[i].pos |= rank < RANK_MAX ? rank : RANK_MAX;
	}
}

/* What one call of dir_iterate() carries along. */
struct iter {
	struct inode *dir;
	uint64_t cookie;
	mbfs_dir_emit emit;
	void *arg;
};

static bool iter_emit(const struct iter *it, const uint8_t *d, uint64_t next)
{
	uint8_t d_type = dirent_type_to_d(it->dir->env->geo, dirent_type(d));

	return it->emit(it->arg, (const char *)dirent_name(d), dirent_name_len(d), dirent_ino(d),
			d_type, next);
}

/* False: the caller wants no more. */
static bool batch_emit(const struct iter *it, const struct iter_batch *b)
{
	for (uint32_t i = 0; i < b->nr; i++) {
		uint64_t cookie = b->item[i].pos + COOKIE_FIRST;

		if (cookie >= it->cookie && !iter_emit(it, b->item[i].d, cookie + 1))
			return false;
	}
	return true;
}

/* "." and ".."; *more false: the caller wants no more. */
static int dots_emit(const struct iter *it, bool *more)
{
	struct buf *b;
	uint32_t dotdot;
	int err;

	*more = true;
	if (it->cookie > COOKIE_DOTDOT)
		return 0;
	err = dir_block0(it->dir, &b);
	if (err)
		return err;
	if (dots_verify(it->dir->env->geo, b->data, &dotdot))
		err = dir_damaged(it->dir, 0, "\".\" and \"..\" are not where they should be");
	else
		*more = (it->cookie > COOKIE_DOT || iter_emit(it, b->data, COOKIE_DOTDOT)) &&
			iter_emit(it, b->data + dotdot, COOKIE_FIRST);
	buf_put(b);
	return err;
}

/* The one block of a small directory. */
static int small_iterate(const struct iter *it, struct iter_batch *b)
{
	struct dir_hasher hasher;
	struct buf *leaf;
	int err = dir_block0(it->dir, &leaf);

	if (err)
		return err;
	dir_default_hasher(it->dir->env->geo, &hasher);
	err = batch_add(it->dir, b, &hasher, 0, leaf, 0, UINT32_MAX);
	if (err)
		return err;
	batch_sort(b);
	batch_emit(it, b);
	return 0;
}

/*
 * The leaf at @path, and those after it that continue its last hash. The path stays at the last
 * leaf read; *next, *more: the hash after it, if there is one.
 */
static int batch_load(struct inode *dir, struct dx_path *path, struct iter_batch *b, uint32_t *next,
		      bool *more)
{
	for (;;) {
		uint32_t low = dx_path_hash(path) & ~1u;
		mbfs_lblk_t lblk = dx_path_leaf(path);
		struct buf *leaf;
		int err;

		*more = dx_path_peek(path, next);
		if (*more && (*next < low || !*next))
			return dir_damaged(dir, lblk, "index out of order");
		err = dir_block(dir, lblk, &dir_leaf_kind, &leaf);
		if (err)
			return err;
		/* Without bit 0 the next leaf's first hash is not in this one. */
		err = batch_add(dir, b, &path->hasher, lblk, leaf, low,
				!*more ? UINT32_MAX : *next & 1 ? *next : *next - 1);
		if (err || !*more || !(*next & 1) || b->leaf_nr == BATCH_LEAVES_MAX)
			return err;
		err = dx_path_next(dir, path);
		if (err)
			return err;
	}
}

static int indexed_iterate(const struct iter *it, struct iter_batch *b)
{
	uint64_t pos = it->cookie < COOKIE_FIRST ? 0 : it->cookie - COOKIE_FIRST;
	struct dx_path path;
	uint32_t next;
	bool more;
	int err;

	/* Past the highest hash: the end. */
	if (pos >> 32 >= 0x7fffffff)
		return 0;
	err = dx_open(it->dir, &path);
	if (!err)
		err = dx_descend(it->dir, &path, (uint32_t)(pos >> 32) << 1);
	if (err)
		return err;
	for (;;) {
		batch_clear(b);
		err = batch_load(it->dir, &path, b, &next, &more);
		if (err)
			break;
		batch_sort(b);
		if (!batch_emit(it, b) || !more)
			break;
		err = dx_path_next(it->dir, &path);
		if (err)
			break;
	}
	dx_path_put(&path);
	return err;
}

static int hashed_iterate(const struct iter *it)
{
	struct iter_batch *b;
	bool more;
	int err = dots_emit(it, &more);

	if (err || !more)
		return err;
	b = rt_zalloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	if (dir_is_indexed(it->dir))
		err = indexed_iterate(it, b);
	else
		err = small_iterate(it, b);
	batch_free(b);
	return err;
}

static int linear_iterate(const struct iter *it)
{
	const struct mbfs_geo *geo = it->dir->env->geo;
	uint32_t end = dirent_leaf_end(geo);
	uint64_t first = it->cookie >> geo->block_bits;

	for (uint64_t lblk = first; lblk < dir_blk_nr(it->dir); lblk++) {
		bool more = true;
		struct buf *b;
		int err = dir_block(it->dir, (mbfs_lblk_t)lblk, &dir_leaf_kind, &b);

		if (err)
			return err;
		for (uint32_t off = 0; off < end && more; off = leaf_next(geo, b->data, off)) {
			uint64_t cookie = (lblk << geo->block_bits) + off;

			if (cookie >= it->cookie && dirent_ino(b->data + off))
				more = iter_emit(it, b->data + off, cookie + 1);
		}
		buf_put(b);
		if (!more)
			break;
	}
	return 0;
}

int dir_iterate(struct inode *dir, uint64_t cookie, mbfs_dir_emit emit, void *arg)
{
	struct iter it = { dir, cookie, emit, arg };
	int err = dir_verify(dir);

	if (err)
		return err;
	return dir_is_hashed(dir) ? hashed_iterate(&it) : linear_iterate(&it);
}
