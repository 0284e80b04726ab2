// SPDX-License-Identifier: GPL-2.0-only
/* fallocate: blocks of a file come. The rules are in file.c's essay. */
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
	if (!f->keep_size && reach > f->in->size_bytes) {
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

	if (!err && !f->keep_size && f->end_bytes > f->in->size_bytes)
		err = file_zero_tail(f->in, f->in->size_bytes);
	/* What was reserved stays if blocks run out half way, as in ext4. */
	while (!err && at < end_blk)
		err = falloc_step(f, &at, end_blk);
	return err;
}

int file_fallocate(struct inode *in, const struct mbfs_cred *cred, int mode, uint64_t off,
		   uint64_t bytes)
{
	struct falloc f = {
		.in = in,
		.flags = file_alloc_flags(in, cred) | MBFS_ALLOC_FALLOC,
		.keep_size = mode & FALLOC_FL_KEEP_SIZE,
		.end_bytes = off + bytes,
	};
	struct file_change c;
	int err = file_change_check(in, true);

	if (mode & ~FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if (err)
		return err;
	if (!bytes)
		return -EINVAL;
	if (f.end_bytes < off || f.end_bytes > file_size_max(in))
		return -EFBIG;
	err = file_change_begin(in, &c, off, f.end_bytes, !f.keep_size);
	if (err)
		return err;
	err = falloc_locked(&f, off);
	file_change_end(&c);
	return err;
}
