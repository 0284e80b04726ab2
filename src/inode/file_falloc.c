// SPDX-License-Identifier: GPL-2.0-only
/*
 * fallocate: blocks of a file come and go. The rules are in file.c's essay.
 *
 *   mode        whole blocks of the range        parts of blocks  who is kept out
 *   0           holes become unwritten           as they are      of its blocks; to the end of all
 *                                                                 if the size moves
 *   KEEP_SIZE   the same                         as they are      of its blocks
 *   PUNCH_HOLE  freed, past the size too         zeros on disk    of its blocks
 *   ZERO_RANGE  written ones freed, then as 0    zeros on disk    as 0 and KEEP_SIZE
 *   COLLAPSE    freed, what follows moves there  not allowed      to the end of all
 *   INSERT      what follows moves behind them   not allowed      to the end of all
 *
 * A written block is not made unwritten in place: on disk it may be written still when it is freed
 * as unwritten and given to another file, whose bytes would show here after a crash.
 *
 * Each goes in bounded handles. After an error, or a crash, a part of the range is done; the times
 * are set first, so that no byte changes without them.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/bits.h"
#include "base/check.h"
#include "inode/inode_priv.h"

struct falloc {
	struct inode *in;
	unsigned flags;
	bool keep_size;
	uint64_t end_bytes;
};

/* Blocks from *at on, in one handle; the size follows. *at moves behind them. */
static int falloc_step(struct falloc *f, uint64_t *at, uint64_t end_blk)
{
	const struct mbfs_geo *geo = f->in->env->geo;
	uint64_t len = end_blk - *at, reach;
	struct extent_map map;
	struct mbfs_tx *tx;
	uint32_t blks;
	int err = tx_start(f->in->env->log, EXTENT_CREDITS + 1, &tx);

	if (err)
		return err;
	if (len > EXTENT_UNWRITTEN_MAX)
		len = EXTENT_UNWRITTEN_MAX;
	err = extent_allocate(&f->in->tree, tx, (mbfs_lblk_t)*at, (uint32_t)len, end_blk, f->flags,
			      &map, &blks);
	if (err) {
		file_dirty_held(f->in, tx);
		goto out;
	}
	inode_add_blocks(f->in, blks);
	*at += map.len;
	reach = *at << geo->block_bits;
	if (reach > f->end_bytes)
		reach = f->end_bytes;
	if (!f->keep_size && reach > file_size(f->in)) {
		file_resized(f->in, tx, reach);
	} else {
		rt_mutex_lock(&f->in->fields);
		inode_now(&f->in->ctime);
		rt_mutex_unlock(&f->in->fields);
		file_dirty_held(f->in, tx);
	}
out:
	tx_stop(tx);
	return err;
}

static int falloc_locked(struct falloc *f, uint64_t off)
{
	const struct mbfs_geo *geo = f->in->env->geo;
	uint64_t at = off >> geo->block_bits, end_blk = div_up(f->end_bytes, geo->block_bytes);
	int err = file_alloc_open(f->in);

	if (!err && !f->keep_size && f->end_bytes > file_size(f->in))
		err = file_zero_tail(f->in, file_size(f->in));
	/* What was reserved stays if blocks run out half way, as in ext4. */
	while (!err && at < end_blk)
		err = falloc_step(f, &at, end_blk);
	return err;
}

/* ---- what takes blocks away ---- */

/*
 * Before blocks go: the times, and what is preallocated goes first, for its place in the file is
 * bound to theirs.
 */
static int cut_begin(struct inode *in)
{
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, 2, &tx);

	if (err)
		return err;
	file_touched(in, tx);
	tx_stop(tx);
	file_discard(in);
	return 0;
}

/* Zeros to the bytes of [off, end) that share their block with others. */
static int zero_edges(struct inode *in, uint64_t off, uint64_t end)
{
	const uint64_t mask = in->env->geo->block_bytes - 1;
	uint64_t head_end = (off + mask) & ~mask, tail = end & ~mask;
	int err = 0;

	if (off < head_end)
		err = file_zero_part(in, off, end < head_end ? end : head_end);
	if (!err && tail < end && tail >= head_end)
		err = file_zero_part(in, tail, end);
	return err;
}

static int punch_locked(struct inode *in, uint64_t off, uint64_t end)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t size = file_size(in);
	int err = cut_begin(in);

	/* No byte of the last block is left: it goes whole. */
	if (off < size && end > size)
		end = div_up(end, geo->block_bytes) << geo->block_bits;
	if (!err)
		err = zero_edges(in, off, end);
	if (!err)
		err = file_free_range(in, div_up(off, geo->block_bytes), end >> geo->block_bits);
	return err;
}

static int free_written(struct inode *in, uint64_t at, uint64_t end)
{
	while (at < end) {
		struct extent_map map;
		int err = extent_map(&in->tree, (mbfs_lblk_t)at, (uint32_t)(end - at), &map);

		if (!err && map.state == EXTENT_WRITTEN)
			err = file_free_range(in, at, at + map.len);
		if (err)
			return err;
		at += map.len;
	}
	return 0;
}

static int zero_locked(struct falloc *f, uint64_t off)
{
	const struct mbfs_geo *geo = f->in->env->geo;
	int err = cut_begin(f->in);

	if (!err)
		err = zero_edges(f->in, off, f->end_bytes);
	if (!err)
		err = free_written(f->in, div_up(off, geo->block_bytes),
				   f->end_bytes >> geo->block_bits);
	return err ? err : falloc_locked(f, off);
}

/* ---- what moves blocks ---- */

/* What is at @from and behind moves by @by blocks; @end is that of the last extent. */
static int shift(struct inode *in, uint64_t from, int64_t by, uint64_t end)
{
	uint64_t at = by < 0 ? from : end;
	int err = 0;

	while (!err && (by < 0 ? at < EXTENT_SHIFTED : at > from)) {
		struct mbfs_tx *tx;

		err = tx_start(in->env->log, EXTENT_CREDITS + 1, &tx);
		if (err)
			break;
		err = extent_shift(&in->tree, tx, (mbfs_lblk_t)from, by, &at);
		file_dirty_held(in, tx);
		tx_stop(tx);
	}
	return err;
}

static int resize(struct inode *in, uint64_t size_bytes)
{
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, 2, &tx);

	if (err)
		return err;
	file_resized(in, tx, size_bytes);
	tx_stop(tx);
	return 0;
}

/* The size follows when all has moved: no written block is past it at any time. */
static int collapse_locked(struct inode *in, uint64_t off, uint64_t end)
{
	unsigned bits = in->env->geo->block_bits;
	uint64_t size = file_size(in), end_blk;
	int err;

	if (end >= size)
		return -EINVAL;
	err = extent_end(&in->tree, (mbfs_lblk_t)(off >> bits), &end_blk);
	if (!err)
		err = cut_begin(in);
	if (!err)
		err = file_free_range(in, off >> bits, end >> bits);
	if (!err)
		err = shift(in, end >> bits, -(int64_t)((end - off) >> bits), end_blk);
	return err ? err : resize(in, size - (end - off));
}

static int split_at(struct inode *in, uint64_t blk)
{
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, EXTENT_CREDITS + 1, &tx);

	if (err)
		return err;
	err = extent_split(&in->tree, tx, (mbfs_lblk_t)blk);
	file_dirty_held(in, tx);
	tx_stop(tx);
	return err;
}

/* The size goes first, for the same reason. */
static int insert_locked(struct inode *in, uint64_t off, uint64_t end)
{
	unsigned bits = in->env->geo->block_bits;
	uint64_t size = file_size(in), end_blk, by = (end - off) >> bits;
	int err;

	if (end - off > file_size_max(in) - size)
		return -EFBIG;
	if (off >= size)
		return -EINVAL;
	err = extent_end(&in->tree, (mbfs_lblk_t)(off >> bits), &end_blk);
	if (err)
		return err;
	if (end_blk + by > EXTENT_SHIFTED) /* blocks reserved far past the size */
		return -EINVAL;
	/* Until the last block has moved the size is past its tail. */
	err = file_zero_tail(in, size);
	if (!err)
		err = cut_begin(in);
	if (!err)
		err = split_at(in, off >> bits);
	if (!err)
		err = resize(in, size + (end - off));
	return err ? err : shift(in, off >> bits, (int64_t)by, end_blk);
}

/* ---- locks and modes ---- */

/*
 * file_change_begin() for what may reach past the size: it takes all behind only if it will move
 * it, or if what a truncate has left there has to go first, lest it goes with what is reserved now.
 * Who has bytes past the size may read trim_due.
 */
static int falloc_begin(const struct falloc *f, struct file_change *c, uint64_t off,
			struct io_cancel *cancel)
{
	int err = file_change_begin(f->in, c, off, f->end_bytes, 0, cancel);

	if (err || f->end_bytes <= file_size(f->in) || (f->keep_size && !f->in->trim_due))
		return err;
	file_change_end(c);
	return file_change_begin(f->in, c, off, f->end_bytes, CHANGE_SIZE, cancel);
}

static int reserve(struct inode *in, const struct mbfs_cred *cred, int mode, uint64_t off,
		   uint64_t end, struct io_cancel *cancel)
{
	struct falloc f = {
		.in = in,
		.flags = file_alloc_flags(in, cred) | MBFS_ALLOC_FALLOC,
		.keep_size = mode & FALLOC_FL_KEEP_SIZE,
		.end_bytes = end,
	};
	struct file_change c;
	int err = falloc_begin(&f, &c, off, cancel);

	if (err)
		return err;
	err = mode & FALLOC_FL_ZERO_RANGE ? zero_locked(&f, off) : falloc_locked(&f, off);
	file_change_end(&c);
	return err;
}

static int move(struct inode *in, int mode, uint64_t off, uint64_t end, struct io_cancel *cancel)
{
	const uint64_t mask = in->env->geo->block_bytes - 1;
	struct file_change c;
	int err;

	if ((off | end) & mask)
		return -EINVAL;
	err = file_change_begin(in, &c, off, end, CHANGE_MOVES, cancel);
	if (err)
		return err;
	err = mode == FALLOC_FL_COLLAPSE_RANGE ? collapse_locked(in, off, end)
					       : insert_locked(in, off, end);
	if (!err)
		file_change_gone(&c, off, IO_END);
	file_change_end(&c);
	return err;
}

static int punch(struct inode *in, uint64_t off, uint64_t end, struct io_cancel *cancel)
{
	struct file_change c;
	int err = file_change_begin(in, &c, off, end, 0, cancel);

	if (err)
		return err;
	err = punch_locked(in, off, end);
	if (!err)
		file_change_gone(&c, off, end);
	file_change_end(&c);
	return err;
}

static bool mode_known(int mode)
{
	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
		return true;
	default:
		return false;
	}
}

/* What is refused, and with what, in which order, is as in the kernel: its VFS, then its ext4. */
int file_fallocate(struct inode *in, const struct mbfs_cred *cred, int mode, uint64_t off,
		   uint64_t bytes, struct io_cancel *cancel)
{
	uint64_t max = file_size_max(in);
	int err = file_change_check(in, true);

	if (err)
		return err;
	if (!bytes)
		return -EINVAL;
	if (!mode_known(mode))
		return -EOPNOTSUPP;
	if (off > max || bytes > max - off)
		return -EFBIG;
	if (mode & FALLOC_FL_PUNCH_HOLE)
		return punch(in, off, off + bytes, cancel);
	if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))
		return move(in, mode, off, off + bytes, cancel);
	return reserve(in, cred, mode, off, off + bytes, cancel);
}
