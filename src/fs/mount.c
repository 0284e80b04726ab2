// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mount and unmount: how the rooms are put together, and when the image is marked.
 *
 * A mount has two halves. fs_assemble() reads and checks: superblock, what the user may do with it,
 * descriptors, allocator, root inode. It changes nothing, so mbfs_fs_probe() is that half and a
 * dismantling. Then a writable mount goes live: threads start, the superblock is marked not clean
 * and flushed *before* anything else may reach the image, and what a crash left on the orphan list
 * is freed. If that last step fails before any block was written the old superblock is put back.
 *
 *	opened		superblock -> buffers -> handles -> descriptors -> store -> allocator ->
 * inodes closed		the other way round
 *
 * Unmount: the write-out thread stops; open files are released; the inode cache is dropped, which
 * frees unlinked inodes; everything dirty is written and flushed, with the descriptors sealed by
 * the pre-write hook, then once more for what the first write-out has freed; the allocator gives
 * its preallocations back (memory only); only then the superblock, with recomputed totals, is
 * marked clean, written and flushed. Any error on this way leaves the mark "not clean", and damage
 * found while mounted leaves the mark "has errors": e2fsck is asked for either way.
 *
 * The journal of an image that has one stays empty and unused: mbfs keeps no journal yet, and the
 * not clean mark stands for it. A kernel or e2fsck that sees the mark after a crash checks the
 * image.
 *
 * What runs concurrently: all calls of the API with each other and with the write-out thread;
 * nothing with mount and unmount. Lock paths: sync_lock -> (all of write-out's); rename_lock ->
 * inodes; super_lock is a leaf taken under the orphan list's lock.
 */
#include "fs/fs_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

enum {
	DEFAULT_COMMIT_S = 5,
	CACHED_INODES = 65536,
};
#define DEFAULT_CACHE_BYTES (64ull << 20)

void mbfs_mount_opts_default(struct mbfs_mount_opts *opts)
{
	memset(opts, 0, sizeof(*opts));
	mbfs_alloc_tune_default(&opts->tune);
	opts->cache_bytes = DEFAULT_CACHE_BYTES;
	opts->commit_s = DEFAULT_COMMIT_S;
}

static void locks_init(struct mbfs_fs *fs)
{
	rt_mutex_init(&fs->super_lock, RANK_SUPER);
	rt_mutex_init(&fs->sync_lock, RANK_FS_STATE);
	rt_mutex_init(&fs->trim.lock, RANK_TRIM);
	rt_mutex_init(&fs->rename_lock, RANK_RENAME);
	rt_mutex_init(&fs->files_lock, RANK_FS_FILES);
	rt_mutex_init(&fs->writer_lock, RANK_FS_WRITER);
	rt_cond_init(&fs->writer_cond);
	LIST_INIT(&fs->files);
	fs_resize_open(fs);
}

static void fs_free(struct mbfs_fs *fs)
{
	fs_trim_close(fs);
	fs_resize_close(fs);
	rt_cond_destroy(&fs->writer_cond);
	rt_mutex_destroy(&fs->writer_lock);
	rt_mutex_destroy(&fs->files_lock);
	rt_mutex_destroy(&fs->rename_lock);
	rt_mutex_destroy(&fs->sync_lock);
	rt_mutex_destroy(&fs->super_lock);
	rt_free(fs);
}

static int load_super(struct mbfs_fs *fs, struct mbfs_diag *diag, struct mbfs_diag *notes)
{
	const struct mbfs_mount_opts *o = &fs->opts;
	bool ro = o->read_only || fs->dev->read_only;
	int err;

	err = super_load(fs->dev, &fs->super, diag);
	if (err)
		return err;
	if (fs->super.geo.block_bytes < fs->dev->align_bytes)
		return diag_set(
			diag, -EINVAL,
			"option direct needs blocks of at least %u bytes, and these are of %u; "
			"leave it out",
			fs->dev->align_bytes, fs->super.geo.block_bytes);
	fs->read_only = ro;
	fs->state = fs->super.state;
	fs->orphan_head = fs->super.last_orphan;
	err = super_mount_check(&fs->super, !ro, o->norecovery, o->errors_ok, &fs->read_only, diag,
				notes);
	fs->read_only |= ro;
	return err;
}

static int open_alloc(struct mbfs_fs *fs, struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	const struct mbfs_alloc_shape shape = {
		.blk_nr = geo->blk_nr,
		.first_blk = geo->first_blk,
		.blks_per_grp = geo->blks_per_grp,
		.block_bytes = geo->block_bytes,
		.log_grps_per_flex = geo->log_grps_per_flex,
		.resv_blk_nr = geo->resv_blk_nr,
	};

	return mbfs_alloc_open(&shape, &fs->opts.tune, &store_disk_ops, fs->store, diag,
			       &fs->alloc);
}

static int open_inodes(struct mbfs_fs *fs, struct mbfs_diag *diag)
{
	struct inode_env *env = &fs->env;
	struct inode *root;
	bool is_dir;
	int err;

	env->geo = &fs->super.geo;
	env->dev = fs->dev;
	env->bufs = fs->bufs;
	env->log = fs->log;
	env->gdt = fs->gdt;
	env->alloc = fs->alloc;
	env->extents = (struct extent_env){ &fs->super.geo, fs->bufs, fs->alloc };
	env->read_only = fs->read_only;
	err = endio_env_open(fs->opts.endio, fs->dev->async ? ENDIO_WORKERS : 0, &file_endio_ops,
			     &env->endio);
	if (err)
		return diag_set(diag, err, "no end-io engine \"%s\": %s",
				fs->opts.endio ? fs->opts.endio : "mbfs", strerror(-err));
	err = file_memory_open(env, fs->opts.tune.cpus, fs->opts.rangelock_off);
	if (err)
		return diag_set(diag, err, "out of memory for the reserves of reads and writes");
	env->fakeroot = fs->opts.fakeroot;
	env->super_ops = &fs_super_ops;
	env->super_ctx = fs;
	err = inode_cache_open(env, CACHED_INODES, &env->cache);
	if (err)
		return diag_set(diag, err, "out of memory");
	err = inode_get(env, MBFS_ROOT_INO, &root);
	if (err)
		return diag_set(diag, err == -ESTALE ? -EUCLEAN : err,
				"the root directory cannot be read (%s): run \"e2fsck -f IMAGE\"",
				strerror(-err));
	is_dir = inode_is_dir(root);
	inode_put(root);
	if (!is_dir)
		return diag_set(diag, -EUCLEAN,
				"the root inode is no directory: run \"e2fsck -f IMAGE\"");
	return 0;
}

static void seal_descriptors(void *arg, struct mbfs_tx *tx)
{
	gdt_seal(arg, tx);
}

/* Close whatever of the rooms is open, in reverse order. */
static void fs_dismantle(struct mbfs_fs *fs)
{
	if (fs->env.cache)
		inode_cache_close(fs->env.cache);
	ialloc_close(&fs->env);
	if (fs->alloc)
		mbfs_alloc_close(fs->alloc);
	rt_rcu_barrier();
	file_memory_close(&fs->env);
	endio_env_close(fs->env.endio);
	if (fs->store)
		store_disk_close(fs->store);
	if (fs->gdt)
		gdt_close(fs->gdt);
	if (fs->log)
		txlog_close(fs->log);
	if (fs->bufs)
		buf_cache_close(fs->bufs);
	if (fs->rcu_worker)
		rt_rcu_worker_stop();
	else
		rt_rcu_barrier();
	fs_free(fs);
}

static int open_rooms(struct mbfs_fs *fs, struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	int err;

	err = buf_cache_open(fs->dev, geo->block_bytes, geo, fs->opts.cache_bytes, &fs->bufs);
	if (!err)
		err = txlog_open(fs->bufs, &fs->log);
	if (err)
		return diag_set(diag, err, "out of memory for the metadata cache");
	if (fs->read_only)
		txlog_set_read_only(fs->log);
	err = gdt_open(geo, fs->bufs, diag, &fs->gdt);
	if (err)
		return err;
	fs->seal = (struct txlog_hook){ .pre_write = seal_descriptors, .arg = fs->gdt };
	txlog_hook_add(fs->log, &fs->seal);
	err = store_disk_open(geo, fs->bufs, fs->gdt, &fs->store);
	if (err)
		return diag_set(diag, err, "out of memory for the block bitmaps");
	err = open_alloc(fs, diag);
	if (err)
		return err;
	gdt_grow_past(fs->gdt, &fs->opts.tune);
	return open_inodes(fs, diag);
}

/* All that a mount checks; nothing is written. */
static int fs_assemble(struct mbfs_bdev *dev, const struct mbfs_mount_opts *opts,
		       struct mbfs_diag *diag, struct mbfs_diag *notes, struct mbfs_fs **out)
{
	struct mbfs_fs *fs = rt_zalloc(sizeof(*fs));
	int err;

	if (diag)
		diag->text[0] = 0;
	if (notes)
		notes->text[0] = 0;
	if (!fs)
		return diag_set(diag, -ENOMEM, "out of memory");
	locks_init(fs);
	fs->dev = dev;
	fs->opts = *opts;
	if (!fs->opts.cache_bytes)
		fs->opts.cache_bytes = DEFAULT_CACHE_BYTES;
	if (!fs->opts.commit_s)
		fs->opts.commit_s = DEFAULT_COMMIT_S;
	err = load_super(fs, diag, notes);
	if (!err)
		err = open_rooms(fs, diag);
	if (err) {
		if (diag && !diag->text[0])
			diag_set(diag, err, "the image cannot be mounted: %s", strerror(-err));
		fs_dismantle(fs);
		return err;
	}
	fs->overhead_blks = fs_overhead(&fs->super);
	*out = fs;
	return 0;
}

int mbfs_fs_probe(struct mbfs_bdev *dev, const struct mbfs_mount_opts *opts, struct mbfs_diag *diag,
		  struct mbfs_diag *notes, bool *read_only)
{
	struct mbfs_fs *fs;
	int err = fs_assemble(dev, opts, diag, notes, &fs);

	if (err)
		return err;
	*read_only = fs->read_only;
	fs_dismantle(fs);
	return 0;
}

/* The superblock as it was found, if nothing but it has been written since. */
static void take_mark_back(struct mbfs_fs *fs, const struct super *found)
{
	struct buf_stats stats;

	buf_cache_stats(fs->bufs, &stats);
	if (stats.writes)
		return;
	fs->super = *found;
	if (mbfs_bdev_write(fs->dev, MBFS_SUPER_OFF_BYTES, found->raw, sizeof(found->raw)) ||
	    mbfs_bdev_flush(fs->dev))
		log_err("the image stays marked not clean: run \"e2fsck -f IMAGE\"");
}

/* Mark the image not clean, then free the orphans of a crash. */
static int go_live(struct mbfs_fs *fs, struct mbfs_diag *diag)
{
	const struct super found = fs->super;
	int64_t now_s;
	uint32_t nsec;
	int err;

	rt_wall(&now_s, &nsec);
	fs_super_state(fs, fs->state & ~(unsigned)MBFS_STATE_VALID);
	super_count_mount(&fs->super, now_s);
	super_set_write_time(&fs->super, now_s);
	err = fs_super_write(fs);
	if (!err)
		err = mbfs_bdev_flush(fs->dev);
	if (err) {
		diag_set(diag, err, "the superblock cannot be written: %s", strerror(-err));
		take_mark_back(fs, &found);
		return err;
	}
	err = orphan_cleanup(&fs->env);
	if (err) {
		diag_set(diag, err, "unlinked inodes cannot be freed (%s): run \"e2fsck -f IMAGE\"",
			 strerror(-err));
		take_mark_back(fs, &found);
		return err;
	}
	fs->live = true;
	return 0;
}

int mbfs_fs_mount(struct mbfs_bdev *dev, const struct mbfs_mount_opts *opts, struct mbfs_diag *diag,
		  struct mbfs_diag *notes, struct mbfs_fs **out)
{
	struct mbfs_fs *fs;
	int err = fs_assemble(dev, opts, diag, notes, &fs);

	if (err)
		return err;
	err = rt_rcu_worker_start();
	if (err) {
		diag_set(diag, err, "no thread could be started: %s", strerror(-err));
		goto err_dismantle;
	}
	fs->rcu_worker = true;
	if (!fs->read_only) {
		fs_trim_open(fs);
		err = go_live(fs, diag);
		if (err)
			goto err_dismantle;
		err = fs_writer_start(fs);
		if (err)
			log_warn("no write-out thread (%s): metadata is written at fsync and "
				 "unmount",
				 strerror(-err));
	}
	*out = fs;
	return 0;

err_dismantle:
	fs_dismantle(fs);
	return err;
}

/* Everything is down: say so in the superblock. */
static int mark_clean(struct mbfs_fs *fs)
{
	uint64_t blks, inodes, dirs;
	int64_t now_s;
	uint32_t nsec;
	int err;

	/* Inodes that could not be freed are still on the list: the image is not whole. Where the
	 * list begins, and that there is damage, is for e2fsck to know. */
	if (fs->orphan_head != 0) {
		err = fs_super_write(fs);
		if (!err)
			err = mbfs_bdev_flush(fs->dev);
		return err ? err : -EUCLEAN;
	}
	gdt_totals(fs->gdt, &blks, &inodes, &dirs);
	super_set_free(&fs->super, blks, inodes);
	rt_wall(&now_s, &nsec);
	super_set_write_time(&fs->super, now_s);
	fs_super_state(
		fs, fs->state | (rt_u32_read(&fs->damaged) ? MBFS_STATE_ERROR : MBFS_STATE_VALID));
	err = fs_super_write(fs);
	return err ? err : mbfs_bdev_flush(fs->dev);
}

int mbfs_fs_unmount(struct mbfs_fs *fs)
{
	struct mbfs_diag diag = { "" };
	uint64_t fenced_blks;
	int err = 0;

	endio_env_drain(fs->env.endio);
	fs_writer_stop(fs);
	fs_files_release_all(fs);
	inode_cache_close(fs->env.cache);
	fs->env.cache = NULL;
	/* Calls that found another group instead have not reported it. */
	if (fs_bad_groups(fs, &fenced_blks))
		rt_u32_set(&fs->damaged, 1);
	if (MBFS_SLOW_CHECKS && mbfs_fs_check(fs, &diag)) {
		log_err("at unmount: %s", diag.text);
		MBFS_ASSERT(rt_u32_read(&fs->damaged));
	}
	if (fs->live) {
		err = fs_settle(fs);
		if (!err)
			err = fs_trim_rest(fs);
	}
	mbfs_alloc_close(fs->alloc);
	fs->alloc = NULL;
	if (fs->live) {
		if (!err)
			err = mark_clean(fs);
		if (err)
			log_err("the image stays marked not clean (%s): run \"e2fsck -f IMAGE\"",
				strerror(-err));
		else if (rt_u32_read(&fs->damaged))
			log_warn("damage was found while mounted: run \"e2fsck -f IMAGE\"");
	}
	fs_dismantle(fs);
	return err;
}

bool mbfs_fs_read_only(const struct mbfs_fs *fs)
{
	return fs->read_only;
}

struct mbfs_alloc *mbfs_fs_alloc(struct mbfs_fs *fs)
{
	return fs->alloc;
}
