/* SPDX-License-Identifier: GPL-2.0-only */
#include "support/t_fs.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "rt/mem.h"
#include "support/t_image.h"

const struct mbfs_cred t_fs_root = { 0, 0, 022 }, t_fs_user = { 1000, 1000, 022 };

/* ---- the superblock, as src/fs would keep it ---- */

static mbfs_ino_t orphan_head(void *ctx)
{
	struct t_fs *fs = ctx;
	mbfs_ino_t ino;

	rt_mutex_lock(&fs->lock);
	ino = fs->orphan_head;
	rt_mutex_unlock(&fs->lock);
	return ino;
}

static void orphan_head_set(void *ctx, struct mbfs_tx *tx, mbfs_ino_t ino)
{
	struct t_fs *fs = ctx;

	(void)tx;
	rt_mutex_lock(&fs->lock);
	fs->orphan_head = ino;
	super_set_last_orphan(&fs->super, ino);
	rt_mutex_unlock(&fs->lock);
}

static void need_large_file(void *ctx, struct mbfs_tx *tx)
{
	struct t_fs *fs = ctx;

	(void)tx;
	rt_mutex_lock(&fs->lock);
	super_set_large_file(&fs->super);
	rt_mutex_unlock(&fs->lock);
}

static const struct inode_super_ops super_ops = {
	.orphan_head = orphan_head,
	.orphan_head_set = orphan_head_set,
	.need_large_file = need_large_file,
};

static void seal(void *arg, struct mbfs_tx *tx)
{
	gdt_seal(arg, tx);
}

/* ---- open and close ---- */

static void dismantle(struct t_fs *fs)
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
	rt_rcu_barrier();
	if (fs->dev)
		mbfs_bdev_close(fs->dev);
	rt_mutex_destroy(&fs->lock);
	free(fs);
}

static int open_alloc(struct t_fs *fs, struct mbfs_diag *diag)
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
	struct mbfs_alloc_tune tune;

	mbfs_alloc_tune_default(&tune);
	tune.cpus = 2;
	return mbfs_alloc_open(&shape, &tune, &store_disk_ops, fs->store, diag, &fs->alloc);
}

static int open_rooms(struct t_fs *fs, const struct t_fs_opts *opts, struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	int err = buf_cache_open(fs->dev, geo->block_bytes, geo, 8 << 20, &fs->bufs);

	if (!err)
		err = txlog_open(fs->bufs, &fs->log);
	if (!err && opts->read_only)
		txlog_set_read_only(fs->log);
	if (!err)
		err = gdt_open(geo, fs->bufs, diag, &fs->gdt);
	if (err)
		return err;
	fs->seal = (struct txlog_hook){ .pre_write = seal, .arg = fs->gdt };
	txlog_hook_add(fs->log, &fs->seal);
	err = store_disk_open(geo, fs->bufs, fs->gdt, &fs->store);
	if (!err)
		err = open_alloc(fs, diag);
	if (err)
		return err;
	fs->env = (struct inode_env){
		.geo = geo,
		.dev = fs->dev,
		.bufs = fs->bufs,
		.log = fs->log,
		.gdt = fs->gdt,
		.alloc = fs->alloc,
		.extents = { geo, fs->bufs, fs->alloc },
		.read_only = opts->read_only,
		.super_ops = &super_ops,
		.super_ctx = fs,
	};
	err = endio_env_open(NULL, fs->dev->async, &file_endio_ops, &fs->env.endio);
	if (!err)
		err = file_memory_open(&fs->env, 2, false);
	if (err)
		return err;
	return inode_cache_open(&fs->env, opts->max_cached ? opts->max_cached : 1000,
				&fs->env.cache);
}

int t_fs_try_open(struct mbfs_bdev *mem, const struct t_fs_opts *opts, struct t_fs **out)
{
	static const struct mbfs_fault_plan no_faults;
	static const struct t_fs_opts defaults;
	struct t_fs *fs = calloc(1, sizeof(*fs));
	struct mbfs_diag diag = { "" };
	int err;

	if (!opts)
		opts = &defaults;
	fs->mem = mem;
	rt_mutex_init(&fs->lock, RANK_SUPER);
	err = mbfs_bdev_open_fault(mem, opts->plan ? opts->plan : &no_faults, &fs->dev);
	if (!err)
		err = super_load(fs->dev, &fs->super, &diag);
	if (!err) {
		fs->orphan_head = fs->super.last_orphan;
		err = open_rooms(fs, opts, &diag);
	}
	if (err) {
		if (diag.text[0])
			printf("t_fs: %s\n", diag.text);
		dismantle(fs);
		return err;
	}
	*out = fs;
	return 0;
}

struct t_fs *t_fs_open(struct mbfs_bdev *mem, const struct t_fs_opts *opts)
{
	struct t_fs *fs;

	ck_assert_int_eq(t_fs_try_open(mem, opts, &fs), 0);
	return fs;
}

int t_fs_sync(struct t_fs *fs)
{
	uint64_t blks, inodes, dirs;
	int err = tx_writeout(fs->log), super_err;

	/* What it has freed. */
	if (!err && tx_dirty_bytes(fs->log))
		err = tx_writeout(fs->log);

	gdt_totals(fs->gdt, &blks, &inodes, &dirs);
	super_set_free(&fs->super, blks, inodes);
	super_err = super_write(fs->dev, &fs->super);
	return err ? err : super_err;
}

int t_fs_close(struct t_fs *fs)
{
	struct mbfs_diag diag = { "" };
	int err;

	inode_cache_close(fs->env.cache);
	fs->env.cache = NULL;
	err = mbfs_alloc_check(fs->alloc, &diag);
	ck_assert_msg(!err, "%s", diag.text);
	for (int i = 0; i < 2 && !fs->env.read_only; i++) {
		err = t_fs_sync(fs);
		if (!err)
			break;
	}
	mbfs_alloc_close(fs->alloc);
	fs->alloc = NULL;
	dismantle(fs);
	return err;
}

void t_fs_crash(struct t_fs *fs)
{
	txlog_set_read_only(fs->log);
	fs->env.read_only = true;
	dismantle(fs);
}

void t_fs_close_clean(struct t_fs *fs)
{
	struct mbfs_bdev *mem = fs->mem;

	ck_assert_int_eq(t_fs_close(fs), 0);
	ck_assert_int_eq(t_image_fsck(mem), 0);
}

/* ---- names ---- */

struct inode *t_fs_root_dir(struct t_fs *fs)
{
	struct inode *root;

	ck_assert_int_eq(inode_get(&fs->env, MBFS_ROOT_INO, &root), 0);
	return root;
}

struct inode *t_fs_create(struct t_fs *fs, const char *name, mode_t mode)
{
	struct inode *root = t_fs_root_dir(fs), *in;
	int err = namei_create(root, &t_fs_root, name, mode, 0, NULL, &in);

	ck_assert_msg(!err, "create %s: %s", name, strerror(-err));
	inode_put(root);
	return in;
}

struct inode *t_fs_find(struct t_fs *fs, const char *name)
{
	struct inode *root = t_fs_root_dir(fs), *in;
	int err = namei_lookup(root, name, &in);

	ck_assert_msg(!err, "lookup %s: %s", name, strerror(-err));
	inode_put(root);
	return in;
}

void t_fs_unlink(struct t_fs *fs, const char *name)
{
	struct inode *root = t_fs_root_dir(fs);
	int err = namei_unlink(root, name);

	ck_assert_msg(!err, "unlink %s: %s", name, strerror(-err));
	inode_put(root);
}

/* ---- counts ---- */

uint64_t t_fs_free_blks(struct t_fs *fs)
{
	return mbfs_alloc_free_nr(fs->alloc) + alloc_late_nr(fs->alloc);
}

uint64_t t_fs_free_inodes(struct t_fs *fs)
{
	uint64_t blks, inodes, dirs;

	gdt_totals(fs->gdt, &blks, &inodes, &dirs);
	return inodes + ialloc_late_nr(&fs->env);
}

/* ---- poison ---- */

void t_fs_poison(struct mbfs_bdev *mem, uint8_t byte)
{
	struct t_fs *fs = t_fs_open(mem, &(struct t_fs_opts){ .read_only = true });
	const struct mbfs_geo *geo = &fs->super.geo;
	uint8_t *bits = calloc(1, geo->blks_per_grp / 8 + 8);

	for (mbfs_grp_t grp = 0; grp < geo->grp_nr; grp++) {
		uint32_t end = geo_grp_len(geo, grp);

		ck_assert_int_eq(store_disk_ops.bitmap_load(fs->store, grp, bits), 0);
		for (uint32_t i = bits_next_clear(bits, 0, end); i < end;
		     i = bits_next_clear(bits, i + 1, end))
			memset(mbfs_bdev_mem_bytes(mem) +
				       ((geo_grp_start(geo, grp) + i) << geo->block_bits),
			       byte, geo->block_bytes);
	}
	free(bits);
	dismantle(fs);
}
