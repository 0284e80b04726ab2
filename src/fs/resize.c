// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growing while mounted and in use.
 *
 * On the image, in this order; a crash at any point leaves what e2fsck -fy makes whole:
 *
 *   1 the device becomes longer                     old size; nothing leads there
 *   2 bitmaps (and tables) of the new groups        likewise, past the old end. Flush
 *   3 the resize inode gives blocks to the table    old size; e2fsck makes the resize inode anew
 *     and their descriptors are written there       from what the superblock says. Flush
 *   4 the superblock: size, counts, reserve         new size from here on. Flush
 *   5 the last of the old groups gets its new       its new blocks may be marked used: e2fsck
 *     blocks free                                   frees them
 *   6 backups                                       e2fsck takes old ones
 *
 * What fails before 4 is undone, an image file gets its old length.
 *
 * In memory: all that can fail is done before 4, and undone if it fails; then descriptors, bounds,
 * inode bitmaps and groups are published, each before what leads to it: who has a block of a new
 * group got it from the allocator, the last one to know of it.
 *
 * Meanwhile everybody works. Who finds no space waits for the end and looks once more, at most
 * holding locks up to IALLOC (24); this thread takes none of those below but its own (3) and
 * FS_STATE, which no allocation waits under: a trim, which has it, asks for one place only and does
 * not wait.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "fs/fs_priv.h"

/* One growth under way. */
struct growth {
	struct mbfs_fs *fs;
	struct mbfs_geo old, size;
	struct mbfs_diag *diag;
	bool told; /* the image may say that it is larger */
};

void fs_resize_open(struct mbfs_fs *fs)
{
	rt_mutex_init(&fs->resize.lock, RANK_FS_RESIZE);
}

void fs_resize_close(struct mbfs_fs *fs)
{
	kvfree_close(fs->resize.dead);
	rt_mutex_destroy(&fs->resize.lock);
}

/* Old arrays are few, and may be large. Made by the first growth. */
static int dead_open(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	const struct kvfree_config cfg = { .cpus = &fs->env.cpus, .page_nr = 32, .high_water = 32 };
	int err = fs->resize.dead ? 0 : kvfree_open(&cfg, &fs->resize.dead);

	return err ? diag_set(g->diag, err, "no memory to grow") : 0;
}

/* ---- steps 1 and 2, and all memory ---- */
static int device_grow(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	int err = mbfs_bdev_grow(fs->dev, g->size.blk_nr << g->size.block_bits);

	if (err)
		return diag_set(g->diag, err,
				"the image cannot be extended to %" PRIu64 " MiB (%s); nothing has "
				"changed", (uint64_t)(g->size.blk_nr >> (20 - g->size.block_bits)),
				strerror(-err));
	buf_cache_grow(fs->bufs);
	return 0;
}

/* Nothing has been put there that anybody knows of. */
static void device_not(struct growth *g)
{
	mbfs_bdev_grow_undo(g->fs->dev);
	buf_cache_grow(g->fs->bufs);
}

static int memory_ready(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	int err = ialloc_grow_ready(&fs->env, g->size.grp_nr);

	if (err)
		return diag_set(g->diag, err, "no memory for %u groups", g->size.grp_nr);
	err = alloc_grow_ready(fs->alloc, g->size.blk_nr, g->diag);
	if (err)
		ialloc_grow_not(&fs->env);
	return err;
}

static void memory_not(struct growth *g)
{
	alloc_grow_not(g->fs->alloc);
	ialloc_grow_not(&g->fs->env);
}

/* ---- step 3 ---- */
static bool has_reserve(const struct mbfs_geo *geo)
{
	return (geo->features & GEO_RESIZE_INODE) && !(geo->features & GEO_META_BG);
}

static void gdt_undo(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	struct mbfs_tx *tx;
	int err = tx_start(fs->log, RESIZE_CREDITS, &tx);

	if (!err) {
		gdt_grow_not(fs->gdt, tx, &g->size);
		if (has_reserve(&g->old))
			err = resize_ino_put(&fs->env, tx, &g->old);
		tx_stop(tx);
	}
	if (!err)
		return;
	log_err("the resize inode is half changed: run \"e2fsck -f IMAGE\"");
	rt_u32_set(&fs->damaged, 1);
}

static int table_write(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	struct mbfs_tx *tx;
	int err = tx_start(fs->log, RESIZE_CREDITS, &tx);

	if (err)
		return err;
	if (has_reserve(&g->old) && g->size.grp_nr > g->old.grp_nr)
		err = resize_ino_put(&fs->env, tx, &g->size);
	if (!err)
		err = gdt_grow_write(fs->gdt, tx, &g->size);
	tx_stop(tx);
	return err ? err : fs_sync(fs);
}

/* ---- step 4 ---- */
/* What the new blocks add to the counts, and how many of them can never hold data. */
static void count_new(struct growth *g, uint64_t *free_blks, uint64_t *own_blks)
{
	uint64_t all = g->size.blk_nr - g->old.blk_nr, in_groups = 0, free = 0;

	for (mbfs_grp_t grp = g->old.grp_nr; grp < g->size.grp_nr; grp++) {
		struct gdesc d;

		gdt_read(g->fs->gdt, grp, &d);
		free += d.free_blks;
		in_groups += geo_grp_len(&g->size, grp);
	}
	*own_blks = in_groups - free;
	*free_blks = all - *own_blks;
}

static int super_commit(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	uint64_t blks, inodes, dirs, more, own;
	struct super before;
	int err;

	gdt_totals(fs->gdt, &blks, &inodes, &dirs);
	count_new(g, &more, &own);
	rt_mutex_lock(&fs->sync_lock);
	rt_mutex_lock(&fs->super_lock);
	before = fs->super;
	super_set_size(&fs->super, &g->size, own);
	super_set_free(&fs->super, blks + more,
		       inodes + (g->size.inode_nr - g->old.inode_nr));
	rt_mutex_unlock(&fs->super_lock);
	g->told = true;
	err = fs_super_write(fs);
	if (!err)
		err = mbfs_bdev_flush(fs->dev);
	if (err) {
		/* Whatever of it is down: the old one is written again. */
		rt_mutex_lock(&fs->super_lock);
		super_unset_size(&fs->super, &before);
		fs->super_dirty = true;
		rt_mutex_unlock(&fs->super_lock);
	}
	rt_mutex_unlock(&fs->sync_lock);
	return err;
}

/* ---- step 5: from here on nothing can fail ---- */
static void publish(struct growth *g, struct mbfs_tx *tx)
{
	struct mbfs_fs *fs = g->fs;
	uint64_t more, own;

	count_new(g, &more, &own);
	gdt_grow(fs->gdt, &g->size);
	rt_mutex_lock(&fs->super_lock);
	geo_set_size(&fs->super.geo, &g->size);
	fs->overhead_blks += own;
	rt_mutex_unlock(&fs->super_lock);
	ialloc_grow(&fs->env, fs->resize.dead);
	alloc_grow(fs->alloc, tx, g->size.resv_blk_nr);
}

static int commit(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	struct mbfs_tx *tx;
	int err = mbfs_bdev_flush(fs->dev); /* step 2 is down */

	if (!err)
		err = table_write(g);
	if (!err)
		err = tx_start(fs->log, RESIZE_CREDITS, &tx);
	if (!err) {
		err = super_commit(g);
		if (!err)
			publish(g, tx);
		tx_stop(tx);
	}
	if (!err)
		return 0;
	gdt_undo(g);
	memory_not(g);
	return diag_set(g->diag, err, "the image cannot be written (%s): it has its old size",
			strerror(-err));
}

static int grow(struct growth *g)
{
	struct mbfs_fs *fs = g->fs;
	int err = 0;

	if (has_reserve(&g->old) && g->size.grp_nr > g->old.grp_nr)
		err = resize_ino_check(&fs->env, g->diag);
	if (!err)
		err = gdt_grow_ready(fs->gdt, fs->dev, &g->size, fs->resize.dead, &fs->resize.done,
				     g->diag);
	if (err)
		return err;
	err = memory_ready(g);
	if (!err)
		return commit(g);
	gdt_undo(g);
	return err;
}

/* @want_bytes 0: as long as the device, in whole pages as resize2fs has it. */
static int plan(struct mbfs_fs *fs, uint64_t want_bytes, struct growth *g)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int err;

	if (!want_bytes && !fs->read_only) {
		err = mbfs_bdev_grow(fs->dev, 0);
		if (err)
			return diag_set(g->diag, err, "the size of the image cannot be told: %s",
					strerror(-err));
		want_bytes = mbfs_bdev_size(fs->dev) / page * page;
	}
	return resize_plan(fs, want_bytes >> geo->block_bits, &g->size, g->diag);
}

int mbfs_fs_resize(struct mbfs_fs *fs, uint64_t want_bytes, struct mbfs_diag *diag)
{
	struct growth g = { .fs = fs, .diag = diag };
	int err;

	diag->text[0] = 0;
	if (!rt_mutex_trylock(&fs->resize.lock))
		return diag_set(diag, -EBUSY, "it is growing already");
	g.old = fs->super.geo;
	err = plan(fs, want_bytes, &g);
	if (err || g.size.blk_nr == g.old.blk_nr)
		goto out;
	err = dead_open(&g);
	if (err)
		goto out;
	rt_write_once(fs->resize.done, 0);
	rt_write_once(fs->resize.total, g.size.grp_nr - g.old.grp_nr + (uint64_t)g.size.grp_nr);
	alloc_grow_begin(fs->alloc, fs->resize.dead);
	err = device_grow(&g);
	if (!err) {
		err = grow(&g);
		if (err && !g.told)
			device_not(&g);
	}
	alloc_grow_end(fs->alloc);
	if (!err && resize_backups(fs, &fs->resize.done))
		diag_set(diag, 0,
			 "it has grown, but backups of the superblock could not be written: run "
			 "\"e2fsck -f IMAGE\" when it is unmounted");
	fs_seen(fs, err);
out:
	rt_mutex_unlock(&fs->resize.lock);
	return err;
}

void mbfs_fs_resize_state(struct mbfs_fs *fs, struct mbfs_resize_state *out)
{
	const struct mbfs_geo *geo = &fs->super.geo;

	out->size_bytes = geo_blk_nr(geo) << geo->block_bits;
	out->device_bytes = mbfs_bdev_size(fs->dev);
	out->done = rt_read_once(fs->resize.done);
	out->total = rt_read_once(fs->resize.total);
}
