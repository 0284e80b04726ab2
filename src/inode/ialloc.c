// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inode numbers: one bitmap per group, counted in the group's descriptor.
 *
 * Per group: clear bits of the bitmap == free_inodes of the descriptor, and no bit at or after
 * inodes_per_grp - itable_unused is set. A group that was never used (INODE_UNINIT) has no bitmap on disk: it
 * is made in memory, and written when its first inode is. Table blocks are zeroed before the
 * first inode in them is used, unless mkfs did (INODE_ZEROED).
 *
 * Placement: a file goes to its directory's group, a directory below the root near its parent, a directory
 * in the root to the flex group with the most free inodes and blocks; then to whatever group has room.
 *
 * Concurrency: one lock per group (IALLOC), held across the first read of its bitmap and the zeroing of
 * buffers; inside it the descriptor (GDESC) and the buffers.
 */
#include "inode/inode_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

static const struct buf_kind bitmap_kind = { .name = "inode bitmap" };

int ialloc_open(struct inode_cache *c)
{
	mbfs_grp_t nr = c->env->geo->grp_nr;

	c->groups = rt_zalloc(nr * sizeof(*c->groups));
	if (!c->groups)
		return -ENOMEM;
	for (mbfs_grp_t i = 0; i < nr; i++)
		rt_mutex_init(&c->groups[i].lock, RANK_IALLOC);
	return 0;
}

void ialloc_close(struct inode_cache *c)
{
	for (mbfs_grp_t i = 0; i < c->env->geo->grp_nr; i++) {
		buf_put(c->groups[i].bitmap);
		rt_mutex_destroy(&c->groups[i].lock);
	}
	rt_free(c->groups);
}

int ialloc_locate(struct inode_env *env, mbfs_ino_t ino, mbfs_blk_t *blk, uint32_t *off_bytes)
{
	const struct mbfs_geo *geo = env->geo;
	struct gdesc desc;
	uint64_t at;

	if (ino == 0 || ino > geo->inode_nr)
		return -EUCLEAN;
	gdt_read(env->gdt, (ino - 1) / geo->inodes_per_grp, &desc);
	at = (uint64_t)((ino - 1) % geo->inodes_per_grp) * geo->inode_bytes;
	*blk = desc.inode_table + (at >> geo->block_bits);
	*off_bytes = (uint32_t)(at & (geo->block_bytes - 1));
	return 0;
}

static bool is_uninit(const struct mbfs_geo *geo, const struct gdesc *desc)
{
	return (geo->features & (GEO_CSUM | GEO_GDT_CSUM)) && (desc->flags & GDESC_INODE_UNINIT);
}

static void bitmap_make(const struct mbfs_geo *geo, struct buf *buf)
{
	buf_lock(buf);
	bits_set(buf->data, geo->inodes_per_grp, geo->block_bytes * 8 - geo->inodes_per_grp);
	buf_unlock(buf);
}

/* The group's bitmap, read or made at its first use. lock held. */
static int group_load_locked(struct inode_env *env, mbfs_grp_t grp)
{
	static const struct buf_owner nobody;
	struct ialloc_group *g = &env->cache->groups[grp];
	struct gdesc desc;
	struct buf *buf;
	bool ok;
	int err;

	if (g->bitmap)
		return 0;
	gdt_read(env->gdt, grp, &desc);
	if (is_uninit(env->geo, &desc)) {
		err = buf_get_new(env->bufs, desc.inode_bitmap, &bitmap_kind, &nobody, &buf);
		if (err)
			return err;
		bitmap_make(env->geo, buf);
	} else {
		err = buf_get(env->bufs, desc.inode_bitmap, &bitmap_kind, &nobody, &buf);
		if (err)
			return err;
		buf_lock(buf);
		ok = gdt_inode_bitmap_csum_ok(env->gdt, grp, buf->data);
		buf_unlock(buf);
		if (!ok) {
			log_err("inode bitmap of group %u: wrong checksum; run e2fsck -f on the image", grp);
			buf_put(buf);
			return -EBADMSG;
		}
	}
	gdt_pin_inode_bitmap(env->gdt, grp, buf);
	g->bitmap = buf;
	return 0;
}

/* Zero the table blocks that inode @idx is the first to reach into. */
static int table_reach(struct inode_env *env, struct mbfs_tx *tx, const struct gdesc *desc, uint32_t idx)
{
	static const struct buf_owner nobody;
	const struct mbfs_geo *geo = env->geo;
	uint64_t used = geo->inodes_per_grp - (is_uninit(geo, desc) ? geo->inodes_per_grp : desc->itable_unused);
	uint64_t blk = div_up(used * geo->inode_bytes, geo->block_bytes);
	uint64_t last = ((uint64_t)idx * geo->inode_bytes) >> geo->block_bits;
	int err;

	if (!(geo->features & (GEO_CSUM | GEO_GDT_CSUM)) || (desc->flags & GDESC_INODE_ZEROED))
		return 0;
	for (; blk <= last; blk++) {
		struct buf *buf;

		err = buf_get_new(env->bufs, desc->inode_table + blk, &itable_kind, &nobody, &buf);
		if (err)
			return err;
		tx_dirty(tx, buf);
		buf_put(buf);
	}
	return 0;
}

static void group_take(struct inode_env *env, struct mbfs_tx *tx, mbfs_grp_t grp, const struct gdesc *desc,
		       uint32_t idx, bool is_dir)
{
	const struct mbfs_geo *geo = env->geo;
	struct ialloc_group *g = &env->cache->groups[grp];
	uint32_t unused = geo->inodes_per_grp - idx - 1;
	struct gdesc_delta d = { .free_inodes = -1, .used_dirs = is_dir };

	if (geo->features & (GEO_CSUM | GEO_GDT_CSUM)) {
		d.clear_flags = GDESC_INODE_UNINIT;
		d.set_itable_unused = is_uninit(geo, desc) || unused < desc->itable_unused;
		d.itable_unused = unused;
	}
	buf_lock(g->bitmap);
	bit_set(g->bitmap->data, idx);
	tx_dirty(tx, g->bitmap);
	buf_unlock(g->bitmap);
	gdt_update(env->gdt, tx, grp, &d);
	g->hint = idx + 1;
}

/* -ENOSPC: no inode free in this group. */
static int group_new(struct inode_env *env, struct mbfs_tx *tx, mbfs_grp_t grp, bool is_dir, mbfs_ino_t *out)
{
	const struct mbfs_geo *geo = env->geo;
	struct ialloc_group *g = &env->cache->groups[grp];
	struct gdesc desc;
	uint32_t idx, first = grp == 0 ? geo->first_ino - 1 : 0;
	int err;

	gdt_read(env->gdt, grp, &desc);
	if (desc.free_inodes == 0)
		return -ENOSPC;
	rt_mutex_lock(&g->lock);
	err = group_load_locked(env, grp);
	if (err)
		goto out;
	gdt_read(env->gdt, grp, &desc);
	idx = bits_next_clear(g->bitmap->data, g->hint > first ? g->hint : first, geo->inodes_per_grp);
	err = -ENOSPC;
	if (idx >= geo->inodes_per_grp || desc.free_inodes == 0)
		goto out;
	err = table_reach(env, tx, &desc, idx);
	if (err)
		goto out;
	group_take(env, tx, grp, &desc, idx, is_dir);
	*out = grp * geo->inodes_per_grp + idx + 1;
out:
	rt_mutex_unlock(&g->lock);
	return err;
}

/* The flex group with the most room for a tree of its own: its first group. */
static mbfs_grp_t spread(struct inode_env *env)
{
	const struct mbfs_geo *geo = env->geo;
	uint32_t per_flex = 1u << geo->log_grps_per_flex;
	uint64_t best = 0;
	mbfs_grp_t best_grp = 0;

	for (mbfs_grp_t start = 0; start < geo->grp_nr; start += per_flex) {
		uint64_t inodes = 0, blks = 0, dirs = 0, room;

		for (mbfs_grp_t i = start; i < geo->grp_nr && i - start < per_flex; i++) {
			struct gdesc desc;

			gdt_read(env->gdt, i, &desc);
			inodes += desc.free_inodes;
			blks += desc.free_blks;
			dirs += desc.used_dirs;
		}
		room = (inodes < blks ? inodes : blks) / (dirs + 1);
		if (room > best) {
			best = room;
			best_grp = start;
		}
		if (geo->grp_nr - start <= per_flex)
			break; /* start must not wrap */
	}
	return best_grp;
}

int ialloc_new(struct inode_env *env, struct mbfs_tx *tx, const struct inode *parent, mode_t mode,
	       mbfs_ino_t *out)
{
	const struct mbfs_geo *geo = env->geo;
	mbfs_grp_t start = (parent->ino - 1) / geo->inodes_per_grp, grp;
	bool is_dir = S_ISDIR(mode);
	int err = -ENOSPC, err_grp = 0;

	if (is_dir && parent->ino == MBFS_ROOT_INO)
		start = spread(env);
	/* Near the parent first, then farther and farther away; last, every group in turn. */
	for (uint64_t step = 0; err && step < geo->grp_nr; step = step ? step * 2 : 1) {
		grp = (mbfs_grp_t)((start + step) % geo->grp_nr);
		err = group_new(env, tx, grp, is_dir, out);
		if (err && err != -ENOSPC)
			err_grp = err;
	}
	for (mbfs_grp_t i = 0; err && i < geo->grp_nr; i++) {
		grp = (mbfs_grp_t)(((uint64_t)start + i) % geo->grp_nr);
		err = group_new(env, tx, grp, is_dir, out);
		if (err && err != -ENOSPC)
			err_grp = err;
	}
	/* A group that cannot be read is a reason only if no other has an inode. */
	return err && err_grp ? err_grp : err;
}

int ialloc_free(struct inode_env *env, struct mbfs_tx *tx, mbfs_ino_t ino, bool is_dir)
{
	const struct mbfs_geo *geo = env->geo;
	mbfs_grp_t grp = (ino - 1) / geo->inodes_per_grp;
	uint32_t idx = (ino - 1) % geo->inodes_per_grp;
	struct gdesc_delta d = { .free_inodes = 1, .used_dirs = -(int32_t)is_dir };
	struct ialloc_group *g;
	int err;

	if (ino < geo->first_ino || ino > geo->inode_nr)
		return -EUCLEAN;
	g = &env->cache->groups[grp];
	rt_mutex_lock(&g->lock);
	err = group_load_locked(env, grp);
	if (!err && !bit_test(g->bitmap->data, idx)) {
		log_err("inode %u is freed but was free already; run e2fsck -f on the image", ino);
		err = -EUCLEAN;
	}
	if (!err) {
		buf_lock(g->bitmap);
		bit_clear(g->bitmap->data, idx);
		tx_dirty(tx, g->bitmap);
		buf_unlock(g->bitmap);
		gdt_update(env->gdt, tx, grp, &d);
		if (idx < g->hint)
			g->hint = idx;
	}
	rt_mutex_unlock(&g->lock);
	return err;
}

int ialloc_in_use(struct inode_env *env, mbfs_ino_t ino, bool *out)
{
	const struct mbfs_geo *geo = env->geo;
	struct ialloc_group *g;
	int err;

	if (ino == 0 || ino > geo->inode_nr)
		return -EUCLEAN;
	g = &env->cache->groups[(ino - 1) / geo->inodes_per_grp];
	rt_mutex_lock(&g->lock);
	err = group_load_locked(env, (ino - 1) / geo->inodes_per_grp);
	if (!err)
		*out = bit_test(g->bitmap->data, (ino - 1) % geo->inodes_per_grp);
	rt_mutex_unlock(&g->lock);
	return err;
}
