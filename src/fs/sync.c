// SPDX-License-Identifier: GPL-2.0-only
/*
 * Write-out: the superblock's changing fields, sync, and the thread that writes what has been dirty
 * for a while. The order and its reasons are in mount.c's essay.
 */
#include "fs/fs_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"

/* The write-out thread looks at the amount of dirty metadata this often. */
#define WRITER_LOOK_NS 250000000ull

/* So many frees that wait for a write-out get one: some 20 MiB of memory. */
enum { LATE_MANY = 1 << 18 };

/* ---- the superblock ---- */
void fs_super_state(struct mbfs_fs *fs, unsigned state)
{
	fs->state = (uint16_t)state;
	super_set_state(&fs->super, fs->state);
}

int fs_super_write(struct mbfs_fs *fs)
{
	struct super copy; /* written from here: the lock is a leaf and spans no I/O */
	int err;

	rt_mutex_lock(&fs->super_lock);
	if (rt_u32_read(&fs->damaged))
		fs_super_state(fs, fs->state | MBFS_STATE_ERROR);
	copy = fs->super;
	fs->super_dirty = false;
	rt_mutex_unlock(&fs->super_lock);
	err = super_write(fs->dev, &copy);
	if (err) {
		rt_mutex_lock(&fs->super_lock);
		fs->super_dirty = true;
		rt_mutex_unlock(&fs->super_lock);
	}
	return err;
}

static mbfs_ino_t orphan_head(void *ctx)
{
	struct mbfs_fs *fs = ctx;
	mbfs_ino_t ino;

	rt_mutex_lock(&fs->super_lock);
	ino = fs->orphan_head;
	rt_mutex_unlock(&fs->super_lock);
	return ino;
}

static void orphan_head_set(void *ctx, struct mbfs_tx *tx, mbfs_ino_t ino)
{
	struct mbfs_fs *fs = ctx;

	(void)tx;
	rt_mutex_lock(&fs->super_lock);
	fs->orphan_head = ino;
	super_set_last_orphan(&fs->super, ino);
	fs->super_dirty = true;
	rt_mutex_unlock(&fs->super_lock);
}

static void need_large_file(void *ctx, struct mbfs_tx *tx)
{
	struct mbfs_fs *fs = ctx;

	(void)tx;
	rt_mutex_lock(&fs->super_lock);
	super_set_large_file(&fs->super);
	fs->super_dirty = true;
	rt_mutex_unlock(&fs->super_lock);
}

static void damaged(void *ctx)
{
	struct mbfs_fs *fs = ctx;

	rt_u32_set(&fs->damaged, 1);
}

const struct inode_super_ops fs_super_ops = {
	.orphan_head = orphan_head,
	.orphan_head_set = orphan_head_set,
	.need_large_file = need_large_file,
	.damaged = damaged,
};

/* ---- sync ---- */
static bool super_is_dirty(struct mbfs_fs *fs)
{
	bool dirty;

	rt_mutex_lock(&fs->super_lock);
	dirty = fs->super_dirty || (rt_u32_read(&fs->damaged) && !(fs->state & MBFS_STATE_ERROR));
	rt_mutex_unlock(&fs->super_lock);
	return dirty;
}

static int sync_locked(struct mbfs_fs *fs)
{
	struct fs_trim_list before;
	int err = 0;

	if (super_is_dirty(fs))
		err = fs_super_write(fs);
	if (err)
		return err;
	fs_trim_begin(fs, &before);
	err = tx_writeout(fs->log);
	fs_trim_end(fs, &before, err);
	(void)fs_seen(fs, txlog_late_err(fs->log));
	return err;
}

int fs_settle(struct mbfs_fs *fs)
{
	int err = tx_writeout(fs->log);

	/* What it has freed. */
	if (!err && tx_dirty_bytes(fs->log))
		err = tx_writeout(fs->log);
	(void)fs_seen(fs, txlog_late_err(fs->log));
	return err;
}

/*
 * Callers that arrive while a write-out runs share the next one: a write-out that began after the
 * call covers all that the caller did before it. The fence pairs with the seq_cst increment: either
 * the write-out sees our dirty buffers or we do not count it.
 */
int fs_sync(struct mbfs_fs *fs)
{
	uint64_t need;
	int err;

	if (fs->read_only)
		return 0;
	rt_fence();
	need = rt_u64_read_acquire(&fs->sync_begun) + 1;
	rt_mutex_lock(&fs->sync_lock);
	if (rt_u64_read(&fs->sync_begun) < need) {
		rt_u64_add_return(&fs->sync_begun, 1);
		fs->sync_err = sync_locked(fs);
	}
	err = fs->sync_err;
	rt_mutex_unlock(&fs->sync_lock);
	return err;
}

int mbfs_fs_sync(struct mbfs_fs *fs)
{
	return fs_sync(fs);
}

/* ---- the write-out thread ---- */
/* False when the thread is to end. */
static bool writer_pause(struct mbfs_fs *fs)
{
	bool stop;

	rt_mutex_lock(&fs->writer_lock);
	if (!fs->writer_stop)
		rt_cond_wait(&fs->writer_cond, &fs->writer_lock, WRITER_LOOK_NS);
	stop = fs->writer_stop;
	rt_mutex_unlock(&fs->writer_lock);
	return !stop;
}

static void writer_main(void *arg)
{
	struct mbfs_fs *fs = arg;
	const uint64_t period_ns = fs->opts.commit_s * 1000000000ull;
	const uint64_t mark = fs->opts.cache_bytes / 4;
	uint64_t last = rt_now_ns();
	bool failed = false;

	while (writer_pause(fs)) {
		uint64_t dirty = tx_dirty_bytes(fs->log);
		bool due = rt_now_ns() - last >= period_ns;
		bool many = dirty > mark || txlog_late_nr(fs->log) > LATE_MANY;
		int err;

		/* A failing device is tried again once a period, not at every look. */
		if (!(due && (dirty || super_is_dirty(fs))) && !(many && !failed))
			continue;
		err = fs_sync(fs);
		if (err && !failed)
			log_err("write-out failed: %s", strerror(-err));
		failed = err != 0;
		last = rt_now_ns();
	}
}

int fs_writer_start(struct mbfs_fs *fs)
{
	return rt_thread_start(writer_main, fs, "mbfs-writer", &fs->writer);
}

void fs_writer_stop(struct mbfs_fs *fs)
{
	if (!fs->writer)
		return;
	rt_mutex_lock(&fs->writer_lock);
	fs->writer_stop = true;
	rt_cond_broadcast(&fs->writer_cond);
	rt_mutex_unlock(&fs->writer_lock);
	rt_thread_join(fs->writer);
	fs->writer = NULL;
}
