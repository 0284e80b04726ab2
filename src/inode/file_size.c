// SPDX-License-Identifier: GPL-2.0-only
/*
 * Truncate, and freeing all of a file. The rules are in file.c's essay.
 *
 * A truncate first sets the size, then frees what is past it in bounded handles. If one handle may
 * not be enough the inode is on the orphan list from before the first to after the last, so that a
 * crash in between is finished at the next mount. It stays there if freeing fails: written blocks
 * past i_size are damage, and must not come back when the file grows. So freeing is tried again
 * (file_settle()) before the next change of the file, when the cache is closed, and at the next
 * mount.
 */
#include <errno.h>

#include "base/bits.h"
#include "base/check.h"
#include "inode/inode_priv.h"

#define LBLK_END (1ull << 32)

/* One extent_remove() takes at least this many extents. */
enum { REMOVE_EXTENTS_MIN = 64 };

/* One step of freeing the blocks of [*at, end). */
static int free_step(struct inode *in, struct mbfs_tx *tx, uint64_t *at, uint64_t end)
{
	uint64_t next = *at, freed = 0;
	int err = extent_remove(&in->tree, tx, (mbfs_lblk_t)*at, end, &next, &freed);

	inode_add_blocks(in, -(int64_t)freed);
	file_dirty_held(in, tx);
	/* Without progress it would go round for ever. */
	if (!err && next <= *at)
		err = -EUCLEAN;
	*at = next;
	return err;
}

int file_free_range(struct inode *in, uint64_t at, uint64_t end)
{
	struct buf *table;
	int err = table_hold(in, &table);

	if (err)
		return err;
	while (!err && at < end) {
		struct mbfs_tx *tx;

		err = tx_start(in->env->log, EXTENT_CREDITS + 1, &tx);
		if (err)
			break;
		err = free_step(in, tx, &at, end);
		tx_stop(tx);
	}
	buf_put(table);
	return err;
}

int file_trim(struct inode *in)
{
	return file_free_range(in, div_up(in->size_bytes, in->env->geo->block_bytes), LBLK_END);
}

/* A link whose text is in the inode has no blocks to free, nor has a device. */
static bool has_blocks(struct inode *in)
{
	uint64_t attr_512;
	bool has;

	if (inode_is_reg(in) || inode_is_dir(in))
		return true;
	if (!inode_is_link(in))
		return false;
	/* A neighbour on the orphan list may be writing this inode back. */
	rt_mutex_lock(&in->fields);
	attr_512 = in->xattr_blk ? in->env->geo->block_bytes / 512 : 0;
	has = (in->flags & INODE_FL_EXTENTS) || in->blocks_512 != attr_512;
	rt_mutex_unlock(&in->fields);
	return has;
}

int file_free_blocks(struct inode *in)
{
	int err = 0;

	rt_write_lock(&in->rw);
	file_discard(in);
	if (has_blocks(in))
		err = file_free_range(in, 0, LBLK_END);
	rt_write_unlock(&in->rw);
	return err;
}

/* ---- truncate ---- */

void file_touched(struct inode *in, struct mbfs_tx *tx)
{
	rt_mutex_lock(&in->fields);
	inode_now(&in->mtime);
	in->ctime = in->mtime;
	rt_mutex_unlock(&in->fields);
	file_dirty_held(in, tx);
}

void file_resized(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes)
{
	file_size_set(in, tx, size_bytes);
	file_touched(in, tx);
}

static int truncate_up(struct inode *in, uint64_t size_bytes)
{
	struct mbfs_tx *tx;
	int err;

	if (size_bytes > file_size_max(in))
		return -EFBIG;
	err = file_zero_tail(in, in->size_bytes);
	if (!err)
		err = tx_start(in->env->log, 2, &tx);
	if (err)
		return err;
	file_resized(in, tx, size_bytes);
	tx_stop(tx);
	return 0;
}

/* Can freeing take more than one handle? No more extents than blocks. */
static bool is_long(struct inode *in)
{
	uint64_t blks;

	rt_mutex_lock(&in->fields);
	blks = in->blocks_512 * 512 >> in->env->geo->block_bits;
	rt_mutex_unlock(&in->fields);
	return !in->tree.mapped || blks > REMOVE_EXTENTS_MIN;
}

/* Is it on the list for a truncate? Unlinked ones are there until they are freed. A hint: the last
 * name may go meanwhile. */
static bool is_listed(struct inode *in)
{
	bool listed;

	rt_mutex_lock(&in->fields);
	listed = in->on_orphan_list && in->nlink;
	rt_mutex_unlock(&in->fields);
	return listed;
}

/* Off the list again, if a truncate put it there. */
static int unlist(struct inode *in)
{
	struct mbfs_tx *tx;
	int err;

	if (!is_listed(in))
		return 0;
	err = tx_start(in->env->log, 2, &tx);
	if (err)
		return err;
	orphan_del_linked(in, tx);
	tx_stop(tx);
	return 0;
}

int file_settle(struct inode *in)
{
	int err;

	if (!in->trim_due)
		return 0;
	err = file_trim(in);
	if (err)
		return err;
	in->trim_due = false;
	return unlist(in);
}

/* The size, and the first step. From the moment the size is set there is no way back. */
static int truncate_begin(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes, uint64_t *at)
{
	int err = is_long(in) ? orphan_add(in, tx) : 0;

	if (err)
		return err;
	err = file_zero_tail(in, size_bytes);
	if (err) {
		orphan_del_linked(in, tx);
		return err;
	}
	file_resized(in, tx, size_bytes);
	in->trim_due = true;
	err = free_step(in, tx, at, LBLK_END);
	if (err)
		(void)orphan_add(in, tx); /* cannot fail: its table block is held */
	return err;
}

static int truncate_down(struct inode *in, uint64_t size_bytes)
{
	uint64_t at = div_up(size_bytes, in->env->geo->block_bytes);
	struct mbfs_tx *tx;
	int err;

	file_discard(in);
	err = tx_start(in->env->log, EXTENT_CREDITS + 4, &tx);
	if (err)
		return err;
	err = truncate_begin(in, tx, size_bytes, &at);
	tx_stop(tx);
	if (!err)
		err = file_free_range(in, at, LBLK_END);
	if (err)
		return err;
	in->trim_due = false;
	return unlist(in);
}

static int truncate_locked(struct inode *in, uint64_t size_bytes)
{
	/* Also to the same size: blocks reserved past the end go. */
	return size_bytes > in->size_bytes ? truncate_up(in, size_bytes)
					   : truncate_down(in, size_bytes);
}

int file_truncate(struct inode *in, uint64_t size_bytes)
{
	struct file_change c;
	int err = file_change_check(in, false);

	if (!err)
		err = file_change_begin(in, &c, size_bytes, size_bytes, CHANGE_SIZE, NULL);
	if (err)
		return err;
	err = truncate_locked(in, size_bytes);
	if (!err)
		file_change_gone(&c, size_bytes, IO_END);
	file_change_end(&c);
	return err;
}
