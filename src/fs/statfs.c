// SPDX-License-Identifier: GPL-2.0-only
/* What statfs(2) shows, and the equations over the whole file system. */
#include "fs/fs_priv.h"

#include <inttypes.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"

enum { NAME_BYTES_MAX = 255 };

static bool is_power_of(mbfs_grp_t n, mbfs_grp_t base)
{
	while (n > 1 && n % base == 0)
		n /= base;
	return n == 1;
}

/* Groups that keep a copy of the superblock. */
static bool has_super(const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	if (grp == 0)
		return true;
	if (geo->features & GEO_SPARSE_SUPER2)
		return grp == geo->backup_grp[0] || grp == geo->backup_grp[1];
	if (grp == 1 || !(geo->features & GEO_SPARSE_SUPER))
		return true;
	return is_power_of(grp, 3) || is_power_of(grp, 5) || is_power_of(grp, 7);
}

uint64_t fs_overhead(const struct super *s)
{
	const struct mbfs_geo *geo = &s->geo;
	uint64_t itable_blks =
		div_up((uint64_t)geo->inodes_per_grp * geo->inode_bytes, geo->block_bytes);
	uint64_t blks = geo->first_blk;

	if (super_overhead_blks(s) && super_overhead_blks(s) < geo->blk_nr)
		return super_overhead_blks(s);
	for (mbfs_grp_t grp = 0; grp < geo->grp_nr; grp++) {
		blks += itable_blks + 2;
		if (!has_super(geo, grp))
			continue;
		blks += 1;
		if (!(geo->features & GEO_META_BG))
			blks += geo->desc_blk_nr + geo->resv_gdt_blks;
	}
	if (geo->features & GEO_META_BG)
		blks += geo->desc_blk_nr * 3ull; /* each descriptor block and its two copies */
	return blks < geo->blk_nr ? blks : 0;
}

void mbfs_fs_statfs(struct mbfs_fs *fs, struct mbfs_statfs *out)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	uint64_t blks, dirs, half[2], resv;

	memset(out, 0, sizeof(*out));
	gdt_totals(fs->gdt, &blks, &out->ffree, &dirs);
	out->ffree += ialloc_late_nr(&fs->env);
	memcpy(half, geo->uuid, sizeof(half));
	out->block_bytes = geo->block_bytes;
	rt_mutex_lock(&fs->super_lock); /* the two fit together */
	out->blocks = geo->blk_nr - fs->overhead_blks;
	rt_mutex_unlock(&fs->super_lock);
	/* What waits for a write-out is had by whoever wants it: alloc_blocks(). */
	out->bfree = mbfs_alloc_free_nr(fs->alloc) + alloc_late_nr(fs->alloc);
	resv = geo_resv_blk_nr(geo);
	out->bavail = out->bfree > resv ? out->bfree - resv : 0;
	out->files = geo_inode_nr(geo);
	out->fsid = half[0] ^ half[1];
	out->name_max = NAME_BYTES_MAX;
}

mbfs_grp_t fs_bad_groups(struct mbfs_fs *fs, uint64_t *fenced_blks)
{
	struct mbfs_alloc_group_info info;
	struct gdesc desc;
	mbfs_grp_t nr = 0;

	*fenced_blks = 0;
	for (mbfs_grp_t grp = 0; grp < geo_grp_nr(&fs->super.geo); grp++) {
		if (mbfs_alloc_group_info(fs->alloc, grp, &info) || !info.bad)
			continue;
		gdt_read(fs->gdt, grp, &desc);
		*fenced_blks += desc.free_blks;
		nr++;
	}
	return nr;
}

int mbfs_fs_check(struct mbfs_fs *fs, struct mbfs_diag *diag)
{
	uint64_t blks, inodes, dirs, free_nr, fenced;
	int err = mbfs_alloc_check(fs->alloc, diag);

	if (err)
		return err;
	fs_bad_groups(fs, &fenced);
	gdt_totals(fs->gdt, &blks, &inodes, &dirs);
	free_nr = mbfs_alloc_free_nr(fs->alloc);
	if (free_nr != blks - fenced)
		return diag_set(diag, -EUCLEAN,
				"the allocator counts %" PRIu64 " free blocks, the descriptors of "
				"the groups in use %" PRIu64,
				free_nr, blks - fenced);
	if (inodes + dirs > fs->super.geo.inode_nr)
		return diag_set(diag, -EUCLEAN,
				"%" PRIu64 " free inodes and %" PRIu64 " directories are more than "
				"the %" PRIu32 " inodes there are",
				inodes, dirs, fs->super.geo.inode_nr);
	return 0;
}
