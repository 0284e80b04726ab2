// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large the file system can become: the superblock as it will be, or why not.
 *
 * As resize2fs decides it: a last group that is hardly longer than its own metadata is left out;
 * the share of reserved blocks stays.
 */
#include <inttypes.h>

#include "base/bits.h"
#include "base/check.h"
#include "fs/fs_priv.h"

enum { LAST_GROUP_LEAST = 50 }; /* blocks for data, or it is left out */

static unsigned long long mib(const struct mbfs_geo *geo, mbfs_blk_t blk_nr)
{
	return (unsigned long long)(blk_nr >> (20 - geo->block_bits));
}

static uint32_t per_desc_blk(const struct mbfs_geo *geo)
{
	return geo->block_bytes / geo->desc_bytes;
}

/* Everything but what the size decides. */
static int may_grow(struct mbfs_fs *fs, struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	bool errors;

	rt_mutex_lock(&fs->super_lock);
	errors = fs->state & MBFS_STATE_ERROR;
	rt_mutex_unlock(&fs->super_lock);
	if (fs->read_only)
		return diag_set(diag, -EROFS, "the file system is mounted read-only");
	if (rt_u32_read(&fs->damaged) || errors)
		return diag_set(diag, -EUCLEAN,
				"the file system has errors: unmount it and run \"e2fsck -f "
				"IMAGE\" first");
	if (geo->features & GEO_SPARSE_SUPER2)
		return diag_set(diag, -EOPNOTSUPP,
				"a file system with sparse_super2 cannot grow while mounted: "
				"unmount it and run \"resize2fs IMAGE\"");
	return 0;
}

/* Groups of that many blocks; drops a last group that is too short. */
static void fit_groups(struct mbfs_geo *size)
{
	for (;;) {
		const mbfs_blk_t all = size->blk_nr - size->first_blk;
		const uint32_t rest = (uint32_t)(all % size->blks_per_grp);
		uint64_t own;

		size->grp_nr = (mbfs_grp_t)div_up(all, size->blks_per_grp);
		own = 2 + sysmap_itable_len(size) + sysmap_head_len(size, size->grp_nr - 1);
		if (!rest || rest >= own + LAST_GROUP_LEAST)
			return;
		size->blk_nr -= rest;
	}
}

/* The largest file system whose descriptors have room. */
static mbfs_blk_t blks_max(const struct mbfs_geo *geo)
{
	uint64_t desc_blks = (uint64_t)geo->desc_blk_nr + geo->resv_gdt_blks;
	uint64_t blks = desc_blks * per_desc_blk(geo) * geo->blks_per_grp + geo->first_blk;
	uint64_t inode_blks = (uint64_t)(UINT32_MAX / geo->inodes_per_grp) * geo->blks_per_grp;

	if (geo->features & GEO_META_BG)
		blks = 1ull << 48;
	/* The resize inode has block numbers of 32 bits; so has all without 64bit. */
	if (((geo->features & GEO_RESIZE_INODE) || !(geo->features & GEO_64BIT)) &&
	    blks > UINT32_MAX)
		blks = UINT32_MAX;
	return blks < inode_blks ? blks : inode_blks;
}

static int too_large(const struct mbfs_geo *geo, struct mbfs_diag *diag)
{
	if (geo->features & GEO_META_BG)
		return diag_set(diag, -EFBIG,
				"it can grow to %llu MiB: the format has no more inode numbers or "
				"blocks", mib(geo, blks_max(geo)));
	return diag_set(diag, -EFBIG,
			"it can grow to %llu MiB: no more blocks are kept for its group "
			"descriptors; \"mkfs.ext4 -E resize=BLOCKS\" keeps room for more",
			mib(geo, blks_max(geo)));
}

int resize_plan(struct mbfs_fs *fs, mbfs_blk_t blk_nr, struct mbfs_geo *size,
		struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	int err = may_grow(fs, diag);

	if (err)
		return err;
	if (blk_nr < geo->blk_nr)
		return diag_set(diag, -EINVAL,
				"it has %llu MiB and cannot shrink while mounted: unmount it and "
				"run \"resize2fs IMAGE SIZE\"", mib(geo, geo->blk_nr));
	if (blk_nr > blks_max(geo))
		return too_large(geo, diag);
	*size = *geo;
	size->blk_nr = blk_nr;
	fit_groups(size);
	if (size->blk_nr < geo->blk_nr)
		size->blk_nr = geo->blk_nr;
	size->grp_nr = (mbfs_grp_t)div_up(size->blk_nr - geo->first_blk, geo->blks_per_grp);
	size->inode_nr = size->grp_nr * geo->inodes_per_grp;
	size->desc_blk_nr = (uint32_t)div_up(size->grp_nr, per_desc_blk(geo));
	if (!(geo->features & GEO_META_BG))
		size->resv_gdt_blks -= size->desc_blk_nr - geo->desc_blk_nr;
	size->resv_blk_nr = (uint64_t)((long double)geo->resv_blk_nr * size->blk_nr / geo->blk_nr);
	return 0;
}
