// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of files: read, write, truncate, fallocate, seek.
 *
 * What a reader may see is what was written or zeros, whatever fails in between. Two rules keep that: blocks
 * are allocated unwritten and become written only after their bytes are on the device; and bytes of a written
 * block behind the end of the file are zeros (a write fills its last block with zeros, a truncate zeroes
 * the tail it leaves).
 *
 * A write goes in pieces. Each: handle 1 allocates; the data goes to the device with no handle open; handle 2
 * converts and moves the size and times. A file's size so never covers blocks that are not
 * written, holes apart.
 *
 * Concurrency: rw shared for read and seek, exclusive for the rest, held across device I/O; so the extent
 * map of a file does not change under a reader. Inside: handles, tree.lock, fields, the allocator.
 */
#include "inode/inode_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

enum {
	WRITE_MAX_BYTES = 1 << 20, /* of one piece: keeps handles small and the exclusive lock short */
	BLOCK_MAP_LEVELS = 3,
};

uint64_t file_size_max(const struct inode *in)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t per_blk = geo->block_bytes / 4, blks = 12;

	if (in->flags & INODE_FL_EXTENTS)
		return ((1ull << 32) - 1) << geo->block_bits;
	for (uint64_t i = 0, n = per_blk; i < BLOCK_MAP_LEVELS; i++, n *= per_blk)
		blks += n;
	if (blks > (1ull << 32) - 1)
		blks = (1ull << 32) - 1;
	return blks << geo->block_bits;
}

static uint64_t file_blks(const struct inode *in, uint64_t size_bytes)
{
	return div_up(size_bytes, in->env->geo->block_bytes);
}

static unsigned alloc_flags(const struct inode *in, const struct mbfs_cred *cred)
{
	const struct mbfs_geo *geo = in->env->geo;
	bool root = in->env->fakeroot || cred->uid == 0 || cred->uid == geo->resv_uid ||
		    (geo->resv_gid && cred->gid == geo->resv_gid);

	return MBFS_ALLOC_DATA | (root ? MBFS_ALLOC_ROOT : 0);
}

/* ---- read ---- */

/* One run in one state; returns how many bytes it gave. */
static int read_run(struct inode *in, uint8_t *dst, size_t bytes, uint64_t off, size_t *done)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint32_t in_blk = (uint32_t)(off & (geo->block_bytes - 1));
	uint64_t want = div_up(in_blk + bytes, geo->block_bytes), span;
	struct extent_map map;
	int err = extent_map(&in->tree, (mbfs_lblk_t)(off >> geo->block_bits), (uint32_t)want, &map);

	if (err)
		return err;
	span = ((uint64_t)map.len << geo->block_bits) - in_blk;
	*done = span < bytes ? (size_t)span : bytes;
	if (map.state == EXTENT_WRITTEN)
		return mbfs_bdev_read(in->env->dev, (map.pblk << geo->block_bits) + in_blk, dst, *done);
	memset(dst, 0, *done);
	return 0;
}

ssize_t file_read(struct inode *in, void *buf, size_t bytes, uint64_t off)
{
	uint8_t *dst = buf;
	size_t got = 0, step;
	int err = 0;

	rt_read_lock(&in->rw);
	if (off >= in->size_bytes)
		bytes = 0;
	else if (bytes > in->size_bytes - off)
		bytes = (size_t)(in->size_bytes - off);
	while (got < bytes && !err) {
		err = read_run(in, dst + got, bytes - got, off + got, &step);
		if (!err)
			got += step;
	}
	rt_read_unlock(&in->rw);
	return got > 0 || !err ? (ssize_t)got : err;
}

/* ---- size and times ---- */

static void need_large_file(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes)
{
	const struct inode_super_ops *ops = in->env->super_ops;

	if (size_bytes > INT32_MAX)
		ops->need_large_file(in->env->super_ctx, tx);
}

static void fields_changed(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes)
{
	rt_mutex_lock(&in->fields);
	in->size_bytes = size_bytes;
	inode_now(&in->mtime);
	in->ctime = in->mtime;
	rt_mutex_unlock(&in->fields);
	need_large_file(in, tx, size_bytes);
}

static int alloc_file_open(struct inode *in)
{
	struct mbfs_alloc_file *f;
	int err;

	if (in->tree.file)
		return 0;
	err = mbfs_alloc_file_open(in->env->alloc, in->ino, &f);
	if (!err)
		in->tree.file = f;
	return err;
}

/* ---- write ---- */

/* Bytes into blocks that nobody wrote yet: what the write leaves out of its first and last block is zeros. */
static int write_fresh(struct inode *in, const struct extent_map *map, const uint8_t *src, size_t bytes,
		       uint32_t in_blk)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t span = div_up(in_blk + bytes, geo->block_bytes) << geo->block_bits;
	uint8_t *copy;
	int err;

	if (in_blk == 0 && bytes == span)
		return mbfs_bdev_write(in->env->dev, map->pblk << geo->block_bits, src, bytes);
	copy = rt_alloc(span);
	if (!copy)
		return -ENOMEM;
	memset(copy, 0, in_blk);
	memcpy(copy + in_blk, src, bytes);
	memset(copy + in_blk + bytes, 0, span - in_blk - bytes);
	err = mbfs_bdev_write(in->env->dev, map->pblk << geo->block_bits, copy, span);
	rt_free(copy);
	return err;
}

static int write_map(struct inode *in, mbfs_lblk_t lblk, uint32_t len, uint64_t end_bytes, unsigned flags,
		     struct extent_map *map)
{
	uint64_t size = in->size_bytes > end_bytes ? in->size_bytes : end_bytes;
	struct mbfs_tx *tx;
	uint32_t blks;
	int err, err_dirty;

	/* Overwriting, the common case of databases and images, needs no handle. */
	err = extent_map(&in->tree, lblk, len, map);
	if (err || map->state != EXTENT_HOLE)
		return err;
	err = tx_start(in->env->log, EXTENT_CREDITS, &tx);
	if (err)
		return err;
	err = extent_allocate(&in->tree, tx, lblk, map->len, file_blks(in, size), flags, map, &blks);
	if (!err)
		inode_add_blocks(in, blks);
	/* Also after an error: the tree may have grown a level for nothing. */
	err_dirty = inode_dirty(in, tx);
	tx_stop(tx);
	return err ? err : err_dirty;
}

static int write_done(struct inode *in, const struct extent_map *map, uint32_t blks, uint64_t end_bytes)
{
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, EXTENT_CREDITS, &tx), err_dirty;

	if (err)
		return err;
	if (map->state == EXTENT_UNWRITTEN)
		err = extent_convert(&in->tree, tx, map->lblk, blks);
	if (!err)
		fields_changed(in, tx, end_bytes > in->size_bytes ? end_bytes : in->size_bytes);
	err_dirty = inode_dirty(in, tx);
	tx_stop(tx);
	return err ? err : err_dirty;
}

static int write_piece(struct inode *in, const uint8_t *src, size_t bytes, uint64_t off, unsigned flags,
		       size_t *done)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint32_t in_blk = (uint32_t)(off & (geo->block_bytes - 1));
	uint32_t blks = (uint32_t)div_up(in_blk + bytes, geo->block_bytes);
	struct extent_map map;
	uint64_t span;
	int err = write_map(in, (mbfs_lblk_t)(off >> geo->block_bits), blks, off + bytes, flags, &map);

	if (err)
		return err;
	if (map.len < blks)
		blks = map.len;
	span = ((uint64_t)blks << geo->block_bits) - in_blk;
	if (bytes > span)
		bytes = (size_t)span;
	if (map.state == EXTENT_WRITTEN)
		err = mbfs_bdev_write(in->env->dev, (map.pblk << geo->block_bits) + in_blk, src, bytes);
	else
		err = write_fresh(in, &map, src, bytes, in_blk);
	if (!err)
		err = write_done(in, &map, blks, off + bytes);
	if (!err)
		*done = bytes;
	return err;
}

ssize_t file_write(struct inode *in, const struct mbfs_cred *cred, const void *buf, size_t bytes, uint64_t off,
		   bool append)
{
	unsigned flags = alloc_flags(in, cred);
	uint64_t max = file_size_max(in);
	const uint8_t *src = buf;
	size_t put = 0, step;
	int err;

	rt_write_lock(&in->rw);
	if (append)
		off = in->size_bytes;
	err = bytes > 0 && off >= max ? -EFBIG : alloc_file_open(in);
	if (!err && bytes > max - off)
		bytes = (size_t)(max - off);
	while (put < bytes && !err) {
		size_t piece = bytes - put < WRITE_MAX_BYTES ? bytes - put : WRITE_MAX_BYTES;

		err = write_piece(in, src + put, piece, off + put, flags, &step);
		if (!err)
			put += step;
	}
	rt_write_unlock(&in->rw);
	return put > 0 || !err ? (ssize_t)put : err;
}

/* ---- fallocate ---- */

static int fallocate_run(struct inode *in, uint64_t lblk, uint64_t end_lblk, uint64_t end_bytes, bool keep,
			 unsigned flags, uint64_t *next)
{
	uint64_t left = end_lblk - lblk, reached;
	uint32_t len = left > EXTENT_UNWRITTEN_MAX ? EXTENT_UNWRITTEN_MAX : (uint32_t)left, blks;
	struct extent_map map;
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, EXTENT_CREDITS, &tx), err_dirty;

	if (err)
		return err;
	err = extent_allocate(&in->tree, tx, (mbfs_lblk_t)lblk, len,
			      file_blks(in, in->size_bytes > end_bytes ? in->size_bytes : end_bytes), flags,
			      &map, &blks);
	if (!err) {
		inode_add_blocks(in, blks);
		*next = lblk + map.len;
		reached = *next << in->env->geo->block_bits;
		if (reached > end_bytes)
			reached = end_bytes;
		if (!keep && reached > in->size_bytes)
			fields_changed(in, tx, reached);
	}
	err_dirty = inode_dirty(in, tx);
	tx_stop(tx);
	return err ? err : err_dirty;
}

int file_fallocate(struct inode *in, const struct mbfs_cred *cred, int mode, uint64_t off, uint64_t bytes)
{
	unsigned flags = alloc_flags(in, cred) | MBFS_ALLOC_FALLOC;
	uint32_t bits = in->env->geo->block_bits;
	uint64_t max = file_size_max(in), lblk, end;
	int err;

	if (mode & ~FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if (bytes == 0)
		return -EINVAL;
	if (off >= max || bytes > max - off)
		return -EFBIG;
	if (!(in->flags & INODE_FL_EXTENTS))
		return -EOPNOTSUPP;
	lblk = off >> bits;
	end = div_up(off + bytes, 1ull << bits);
	rt_write_lock(&in->rw);
	err = alloc_file_open(in);
	while (!err && lblk < end)
		err = fallocate_run(in, lblk, end, off + bytes, mode & FALLOC_FL_KEEP_SIZE, flags, &lblk);
	rt_write_unlock(&in->rw);
	return err;
}

/* ---- truncate ---- */

/* The bytes of the last block behind the new end become zeros, if they are on the device at all. */
static int tail_zero(struct inode *in, uint64_t size_bytes)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint32_t in_blk = (uint32_t)(size_bytes & (geo->block_bytes - 1)), len = geo->block_bytes - in_blk;
	struct extent_map map;
	uint8_t *zeros;
	int err;

	if (in_blk == 0)
		return 0;
	err = extent_map(&in->tree, (mbfs_lblk_t)(size_bytes >> geo->block_bits), 1, &map);
	if (err || map.state != EXTENT_WRITTEN)
		return err;
	zeros = rt_zalloc(len);
	if (!zeros)
		return -ENOMEM;
	err = mbfs_bdev_write(in->env->dev, (map.pblk << geo->block_bits) + in_blk, zeros, len);
	rt_free(zeros);
	return err;
}

static int blocks_remove(struct inode *in, uint64_t lblk)
{
	const uint64_t end = 1ull << 32;

	while (lblk < end) {
		uint64_t freed = 0, next = lblk;
		struct mbfs_tx *tx;
		int err = tx_start(in->env->log, EXTENT_CREDITS, &tx), err_dirty;

		if (err)
			return err;
		err = extent_remove(&in->tree, tx, (mbfs_lblk_t)lblk, end, &next, &freed);
		inode_add_blocks(in, -(int64_t)freed);
		err_dirty = inode_dirty(in, tx);
		tx_stop(tx);
		if (err || err_dirty)
			return err ? err : err_dirty;
		MBFS_ASSERT(next > lblk);
		lblk = next;
	}
	return 0;
}

int file_cut(struct inode *in, uint64_t size_bytes)
{
	int err;

	if (S_ISLNK(in->mode))
		return 0;
	if (in->tree.file)
		mbfs_alloc_file_discard(in->tree.file);
	err = tail_zero(in, size_bytes);
	return err ? err : blocks_remove(in, file_blks(in, size_bytes));
}

/* The new size, and a place on the orphan list, in one handle: from here on a crash finishes the job. */
static int truncate_begin(struct inode *in, uint64_t size_bytes)
{
	uint64_t old = in->size_bytes;
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, EXTENT_CREDITS, &tx);

	if (err)
		return err;
	fields_changed(in, tx, size_bytes);
	err = size_bytes < old ? orphan_add(in, tx) : 0;
	if (!err)
		err = inode_dirty(in, tx);
	if (err) {
		rt_mutex_lock(&in->fields);
		in->size_bytes = old;
		rt_mutex_unlock(&in->fields);
	}
	tx_stop(tx);
	return err;
}

static int truncate_end(struct inode *in)
{
	struct mbfs_tx *tx;
	int err;

	if (in->nlink == 0)
		return 0; /* unlinked: it stays on the list until it is freed */
	err = tx_start(in->env->log, EXTENT_CREDITS, &tx);
	if (err)
		return err;
	err = orphan_del(in, tx);
	if (!err)
		err = inode_dirty(in, tx);
	tx_stop(tx);
	return err;
}

int file_truncate(struct inode *in, uint64_t size_bytes)
{
	bool shrinks, cuts;
	int err;

	if (size_bytes > file_size_max(in))
		return -EFBIG;
	rt_write_lock(&in->rw);
	shrinks = size_bytes < in->size_bytes;
	/* To the same size too: blocks allocated behind the end go, as in ext4. */
	cuts = size_bytes <= in->size_bytes;
	err = truncate_begin(in, size_bytes);
	if (!err && cuts)
		err = file_cut(in, size_bytes);
	if (!err && shrinks)
		err = truncate_end(in);
	rt_write_unlock(&in->rw);
	return err;
}

int file_free_blocks(struct inode *in)
{
	bool has_map = S_ISREG(in->mode) || S_ISDIR(in->mode) ||
		       (S_ISLNK(in->mode) && ((in->flags & INODE_FL_EXTENTS) ||
					      in->size_bytes >= EXTENT_ROOT_BYTES));

	return has_map ? blocks_remove(in, 0) : 0;
}

/* ---- seek ---- */

int64_t file_seek(struct inode *in, uint64_t off, int whence)
{
	uint32_t bits = in->env->geo->block_bits;
	int64_t at = -ENXIO;
	bool inside;
	int err = 0;

	rt_read_lock(&in->rw);
	inside = off < in->size_bytes;
	while (off < in->size_bytes) {
		struct extent_map map;
		uint64_t left = file_blks(in, in->size_bytes) - (off >> bits);

		err = extent_map(&in->tree, (mbfs_lblk_t)(off >> bits),
				 left > UINT32_MAX ? UINT32_MAX : (uint32_t)left, &map);
		if (err)
			break;
		if ((map.state == EXTENT_WRITTEN) == (whence == SEEK_DATA)) {
			at = (int64_t)off;
			break;
		}
		off = ((uint64_t)map.lblk + map.len) << bits;
	}
	/* Every file ends in a hole. */
	if (!err && at < 0 && whence == SEEK_HOLE && inside)
		at = (int64_t)in->size_bytes;
	rt_read_unlock(&in->rw);
	return err ? err : at;
}
