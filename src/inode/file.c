// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a file: read, write, seek. file_size.c has what changes the size or reserves blocks.
 *
 * Equation: a byte of a file is what its block has if the block is written and the byte lies below
 * i_size; else it is zero. Two rules keep what the disk held before from showing:
 *
 *  (1) A block is converted to written only after all of its bytes are down: what the writer does
 *      not give of a fresh block is written as zeros with it.
 *  (2) In a written block the bytes past i_size are zero on disk: a truncate makes them so, and
 *      whatever moves i_size over a gap does it again, for images that others have written.
 *
 * A write goes in pieces of at most a run of blocks in one state:
 *
 *   hole        allocate as unwritten (a handle)      then as unwritten
 *   unwritten   data to the device; convert, size, times (a handle)
 *   written     data to the device; size, times (a handle)
 *
 * The size follows the data piece by piece, so a write that ends early has put down what it says.
 * If a conversion fails half way the size covers what was converted: a written block past i_size is
 * damage.
 *
 * Locks: rw (10), shared for read and seek, exclusive for the rest, held across device I/O. Inside
 * it the handles, the tree (20), the allocator's, fields (28). No buffer is locked across I/O. The
 * table block is held from the start of a change, so that inode_dirty() cannot fail in the middle.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "inode/inode_priv.h"
#include "rt/mem.h"

enum { CHUNK_BYTES = 1 << 20, DIRECT_BLKS = 12 };

/* ---- limits and rights ---- */

uint64_t file_size_max(const struct inode *in)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t ptrs = geo->block_bytes / 4, blks = UINT32_MAX;

	if (!in->tree.mapped) {
		uint64_t reach = DIRECT_BLKS + ptrs + ptrs * ptrs + ptrs * ptrs * ptrs;

		blks = reach < blks ? reach : blks;
	}
	/* Without huge_file i_blocks counts sectors in 32 bits. */
	if (!(geo->features & GEO_HUGE_FILE) && blks > UINT32_MAX >> (geo->block_bits - 9))
		blks = UINT32_MAX >> (geo->block_bits - 9);
	return blks << geo->block_bits;
}

unsigned file_alloc_flags(const struct inode *in, const struct mbfs_cred *cred)
{
	return MBFS_ALLOC_DATA | inode_root_flags(in->env, cred);
}

int file_change_check(const struct inode *in, bool grows)
{
	if (in->env->read_only)
		return -EROFS;
	if (!inode_is_reg(in))
		return inode_is_dir(in) ? -EISDIR : -EINVAL;
	return grows && !in->tree.mapped ? -EOPNOTSUPP : 0;
}

int file_alloc_open(struct inode *in)
{
	if (in->tree.file)
		return 0;
	return mbfs_alloc_file_open(in->env->alloc, in->ino, &in->tree.file);
}

void file_discard(struct inode *in)
{
	rt_read_lock(&in->rw);
	if (in->tree.file)
		mbfs_alloc_file_discard(in->tree.file);
	rt_read_unlock(&in->rw);
}

void file_size_set(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes)
{
	const struct inode_env *env = in->env;
	bool was_large, is_large = size_bytes > INT32_MAX;

	rt_mutex_lock(&in->fields);
	was_large = in->size_bytes > INT32_MAX;
	in->size_bytes = size_bytes;
	rt_mutex_unlock(&in->fields);
	if (is_large && !was_large && !(env->geo->features & GEO_LARGE_FILE))
		env->super_ops->need_large_file(env->super_ctx, tx);
}

/* Blocks of the map that are metadata are damage: they may not be written over. */
static int data_check(struct inode *in, const struct extent_map *map)
{
	if (!gdt_is_system(in->env->gdt, map->pblk, map->len))
		return 0;
	return inode_damaged(in->env, in->ino,
			     "blocks of the file system itself are mapped as its data", -EUCLEAN);
}

/* ---- read ---- */

/* From @map, which starts at the block of @off: up to @bytes; the count read. */
static ssize_t read_run(struct inode *in, const struct extent_map *map, uint8_t *buf, size_t bytes,
			uint64_t off)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t skip = off & (geo->block_bytes - 1);
	uint64_t run = ((uint64_t)map->len << geo->block_bits) - skip;
	int err = 0;

	if (run < bytes)
		bytes = (size_t)run;
	if (map->state == EXTENT_WRITTEN)
		err = mbfs_bdev_read(in->env->dev, (map->pblk << geo->block_bits) + skip, buf,
				     bytes);
	else
		memset(buf, 0, bytes);
	return err ? err : (ssize_t)bytes;
}

static ssize_t read_locked(struct inode *in, uint8_t *buf, size_t bytes, uint64_t off)
{
	const struct mbfs_geo *geo = in->env->geo;
	size_t done = 0;

	if (off >= in->size_bytes)
		return 0;
	if (bytes > in->size_bytes - off)
		bytes = (size_t)(in->size_bytes - off);
	while (done < bytes) {
		uint64_t at = off + done;
		mbfs_lblk_t lblk = (mbfs_lblk_t)(at >> geo->block_bits);
		uint64_t last = (off + bytes - 1) >> geo->block_bits;
		struct extent_map map;
		ssize_t got = extent_map(&in->tree, lblk, (uint32_t)(last - lblk + 1), &map);

		if (!got)
			got = read_run(in, &map, buf + done, bytes - done, at);
		if (got < 0)
			return done ? (ssize_t)done : got;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

ssize_t file_read(struct inode *in, void *buf, size_t bytes, uint64_t off)
{
	ssize_t got;

	if (!inode_is_reg(in))
		return inode_is_dir(in) ? -EISDIR : -EINVAL;
	if (bytes > SSIZE_MAX)
		bytes = SSIZE_MAX;
	rt_read_lock(&in->rw);
	got = read_locked(in, buf, bytes, off);
	rt_read_unlock(&in->rw);
	return got;
}

/* ---- write ---- */

/* One call of file_write(). */
struct write {
	struct inode *in;
	const uint8_t *buf;
	unsigned flags;	 /* for the allocator */
	uint64_t end;	 /* of all that is to be written */
	uint8_t *bounce; /* a block, or NULL: not needed yet */
};

int file_zero_tail(struct inode *in, uint64_t from)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint32_t skip = (uint32_t)(from & (geo->block_bytes - 1)), bytes = geo->block_bytes - skip;
	struct extent_map map;
	uint8_t *zeros;
	int err;

	if (!skip)
		return 0;
	err = extent_map(&in->tree, (mbfs_lblk_t)(from >> geo->block_bits), 1, &map);
	if (!err && map.state == EXTENT_WRITTEN)
		err = data_check(in, &map);
	if (err || map.state != EXTENT_WRITTEN)
		return err;
	zeros = rt_zalloc(bytes);
	if (!zeros)
		return -ENOMEM;
	err = mbfs_bdev_write(in->env->dev, (map.pblk << geo->block_bits) + skip, zeros, bytes);
	rt_free(zeros);
	return err;
}

/* A block of which only [skip, skip + bytes) comes from the caller, the rest zero. */
static int write_padded(struct write *w, mbfs_blk_t pblk, uint32_t skip, const uint8_t *buf,
			uint32_t bytes)
{
	const struct mbfs_geo *geo = w->in->env->geo;

	if (!w->bounce)
		w->bounce = rt_alloc(geo->block_bytes);
	if (!w->bounce)
		return -ENOMEM;
	memset(w->bounce, 0, geo->block_bytes);
	memcpy(w->bounce + skip, buf, bytes);
	return mbfs_bdev_write(w->in->env->dev, pblk << geo->block_bits, w->bounce,
			       geo->block_bytes);
}

/* All of the run's blocks that [off, off + bytes) touches get written whole. */
static int write_fresh(struct write *w, const struct extent_map *map, const uint8_t *buf,
		       size_t bytes, uint64_t off)
{
	const struct mbfs_geo *geo = w->in->env->geo;
	uint32_t skip = (uint32_t)(off & (geo->block_bytes - 1)), part;
	mbfs_blk_t pblk = map->pblk;
	size_t whole;
	int err;

	if (skip) {
		part = geo->block_bytes - skip;
		if (part > bytes)
			part = (uint32_t)bytes;
		err = write_padded(w, pblk++, skip, buf, part);
		if (err)
			return err;
		buf += part;
		bytes -= part;
	}
	whole = bytes >> geo->block_bits << geo->block_bits;
	if (whole) {
		err = mbfs_bdev_write(w->in->env->dev, pblk << geo->block_bits, buf, whole);
		if (err)
			return err;
		pblk += whole >> geo->block_bits;
	}
	return bytes > whole ? write_padded(w, pblk, 0, buf + whole, (uint32_t)(bytes - whole)) : 0;
}

/* Times and, if the file has grown, its size. */
static void write_mark(struct inode *in, struct mbfs_tx *tx, uint64_t end)
{
	int err;

	if (end > in->size_bytes)
		file_size_set(in, tx, end);
	rt_mutex_lock(&in->fields);
	inode_now(&in->mtime);
	in->ctime = in->mtime;
	rt_mutex_unlock(&in->fields);
	err = inode_dirty(in, tx);
	MBFS_ASSERT(!err); /* its table block is held */
}

/* A hole at the start of @map becomes unwritten blocks. */
static int write_allocate(struct write *w, uint32_t len, struct extent_map *map)
{
	const struct mbfs_geo *geo = w->in->env->geo;
	uint64_t size = w->end > w->in->size_bytes ? w->end : w->in->size_bytes;
	mbfs_lblk_t lblk = map->lblk;
	struct mbfs_tx *tx;
	uint32_t blks;
	int err = file_alloc_open(w->in);

	if (!err)
		err = tx_start(w->in->env->log, EXTENT_CREDITS + 1, &tx);
	if (err)
		return err;
	err = extent_allocate(&w->in->tree, tx, lblk, len, div_up(size, geo->block_bytes), w->flags,
			      map, &blks);
	if (!err) {
		int dirty_err;

		inode_add_blocks(w->in, blks);
		dirty_err = inode_dirty(w->in, tx);
		MBFS_ASSERT(!dirty_err);
	}
	tx_stop(tx);
	return err;
}

/* The piece [off, off + bytes) is down: say so. Returns the bytes that now belong to the file. */
static ssize_t write_commit(struct write *w, const struct extent_map *map, size_t bytes,
			    uint64_t off)
{
	const struct mbfs_geo *geo = w->in->env->geo;
	uint64_t skip = off & (geo->block_bytes - 1), done = bytes;
	struct mbfs_tx *tx;
	int err = tx_start(w->in->env->log, EXTENT_CREDITS + 1, &tx), map_err;

	if (err)
		return err;
	if (map->state == EXTENT_UNWRITTEN) {
		uint32_t len = (uint32_t)div_up(skip + bytes, geo->block_bytes);
		struct extent_map have;

		err = extent_convert(&w->in->tree, tx, map->lblk, len);
		if (err) {
			/* A prefix may be written now, and its data is down. */
			map_err = extent_map(&w->in->tree, map->lblk, len, &have);
			done = !map_err && have.state == EXTENT_WRITTEN ?
				       ((uint64_t)have.len << geo->block_bits) - skip : 0;
			if (done > bytes)
				done = bytes;
		}
	}
	if (done)
		write_mark(w->in, tx, off + done);
	else
		(void)inode_dirty(w->in, tx); /* the tree may have changed; held */
	tx_stop(tx);
	return done ? (ssize_t)done : err;
}

/* One piece of at most @bytes at @off; the count written. */
static ssize_t write_piece(struct write *w, const uint8_t *buf, size_t bytes, uint64_t off)
{
	const struct mbfs_geo *geo = w->in->env->geo;
	uint32_t skip = (uint32_t)(off & (geo->block_bytes - 1)), len;
	struct extent_map map;
	uint64_t run;
	int err;

	if (bytes > CHUNK_BYTES)
		bytes = CHUNK_BYTES;
	len = (uint32_t)div_up(skip + bytes, geo->block_bytes);
	err = extent_map(&w->in->tree, (mbfs_lblk_t)(off >> geo->block_bits), len, &map);
	if (!err && map.state == EXTENT_HOLE)
		err = write_allocate(w, map.len, &map);
	if (!err)
		err = data_check(w->in, &map);
	if (err)
		return err;
	run = ((uint64_t)map.len << geo->block_bits) - skip;
	if (run < bytes)
		bytes = (size_t)run;
	if (map.state == EXTENT_WRITTEN)
		err = mbfs_bdev_write(w->in->env->dev, (map.pblk << geo->block_bits) + skip, buf,
				      bytes);
	else
		err = write_fresh(w, &map, buf, bytes, off);
	return err ? err : write_commit(w, &map, bytes, off);
}

static ssize_t write_locked(struct write *w, size_t bytes, uint64_t off)
{
	uint64_t max = file_size_max(w->in);
	size_t done = 0;
	int err;

	if (off >= max)
		return -EFBIG;
	if (bytes > max - off)
		bytes = (size_t)(max - off);
	w->end = off + bytes;
	err = file_settle(w->in);
	if (!err && off > w->in->size_bytes)
		err = file_zero_tail(w->in, w->in->size_bytes);
	if (err)
		return err;
	while (done < bytes) {
		ssize_t put = write_piece(w, w->buf + done, bytes - done, off + done);

		if (put < 0)
			return done ? (ssize_t)done : put;
		done += (size_t)put;
	}
	return (ssize_t)done;
}

ssize_t file_write(struct inode *in, const struct mbfs_cred *cred, const void *buf, size_t bytes,
		   uint64_t off, bool append)
{
	struct write w = { .in = in, .buf = buf, .flags = file_alloc_flags(in, cred) };
	struct buf *table;
	ssize_t put = file_change_check(in, true);

	if (put || !bytes)
		return put;
	if (bytes > SSIZE_MAX)
		bytes = SSIZE_MAX;
	rt_write_lock(&in->rw);
	put = table_hold(in, &table);
	if (!put) {
		put = write_locked(&w, bytes, append ? in->size_bytes : off);
		buf_put(table);
	}
	rt_write_unlock(&in->rw);
	rt_free(w.bounce);
	return put;
}

/* ---- seek ---- */

static int64_t seek_locked(struct inode *in, uint64_t off, bool want_data)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t end_blk = div_up(in->size_bytes, geo->block_bytes), blk = off >> geo->block_bits;

	if (off >= in->size_bytes)
		return -ENXIO;
	while (blk < end_blk) {
		struct extent_map map;
		uint64_t at = blk << geo->block_bits;
		int err = extent_map(&in->tree, (mbfs_lblk_t)blk, (uint32_t)(end_blk - blk), &map);

		if (err)
			return err;
		if ((map.state == EXTENT_WRITTEN) == want_data)
			return (int64_t)(at > off ? at : off);
		blk += map.len;
	}
	return want_data ? -ENXIO : (int64_t)in->size_bytes;
}

int64_t file_seek(struct inode *in, uint64_t off, int whence)
{
	int64_t at;

	if (!inode_is_reg(in) || (whence != SEEK_DATA && whence != SEEK_HOLE))
		return -EINVAL;
	rt_read_lock(&in->rw);
	at = seek_locked(in, off, whence == SEEK_DATA);
	rt_read_unlock(&in->rw);
	return at;
}
