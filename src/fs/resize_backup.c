// SPDX-License-Identifier: GPL-2.0-only
/*
 * The copies of superblock and group descriptors, in the groups that have them. Written last, past
 * the buffers: nobody reads them but e2fsck, and it takes old ones as well.
 */
#include <string.h>

#include "fs/fs_priv.h"
#include "rt/mem.h"

static uint64_t pos(const struct mbfs_geo *geo, mbfs_blk_t blk)
{
	return blk << geo->block_bits;
}

static int super_copy(struct mbfs_fs *fs, mbfs_grp_t grp)
{
	struct super copy;

	rt_mutex_lock(&fs->super_lock);
	copy = fs->super;
	rt_mutex_unlock(&fs->super_lock);
	super_backup(&copy, grp);
	return mbfs_bdev_write(fs->dev, pos(&copy.geo, geo_grp_start(&copy.geo, grp)), copy.raw,
			       sizeof(copy.raw));
}

/* Blocks of the table that are kept whole in each backup. */
static uint32_t whole_nr(const struct mbfs_geo *geo)
{
	return geo->features & GEO_META_BG && geo->first_meta_bg < geo->desc_blk_nr
		       ? geo->first_meta_bg
		       : geo->desc_blk_nr;
}

static int whole_copies(struct mbfs_fs *fs, uint64_t *done_nr)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	const uint32_t nr = whole_nr(geo), per = geo->block_bytes / geo->desc_bytes;
	uint8_t *table = rt_alloc((uint64_t)(nr + 1) << geo->block_bits);
	int err = table ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && i < nr; i++)
		gdt_blk_copy(fs->gdt, i, table + pos(geo, i));
	for (mbfs_grp_t grp = 1; !err && grp < geo->grp_nr; grp++) {
		rt_write_once(*done_nr, *done_nr + 1);
		if (!sysmap_has_super(geo, grp))
			continue;
		err = super_copy(fs, grp);
		/* A group of its own meta group has no copy of the whole. */
		if (err || !nr || (geo->features & GEO_META_BG && grp / per >= nr))
			continue;
		err = mbfs_bdev_write(fs->dev, pos(geo, geo_grp_start(geo, grp) + 1), table,
				      pos(geo, nr));
	}
	rt_free(table);
	return err;
}

/* meta_bg: the second and the last group of each meta group have a copy of its block. */
static int meta_copies(struct mbfs_fs *fs)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	const uint32_t per = geo->block_bytes / geo->desc_bytes;
	uint8_t *blk = rt_alloc(geo->block_bytes);
	int err = blk ? 0 : -ENOMEM;

	for (uint32_t i = whole_nr(geo); !err && i < geo->desc_blk_nr; i++) {
		const mbfs_grp_t first = i * per, where[2] = { first + 1, first + per - 1 };

		gdt_blk_copy(fs->gdt, i, blk);
		for (int k = 0; !err && k < 2; k++) {
			mbfs_grp_t grp = where[k];

			if (grp < geo->grp_nr && grp > first)
				err = mbfs_bdev_write(fs->dev,
						      pos(geo, geo_grp_start(geo, grp) +
								       sysmap_has_super(geo, grp)),
						      blk, geo->block_bytes);
		}
	}
	rt_free(blk);
	return err;
}

int resize_backups(struct mbfs_fs *fs, uint64_t *done_nr)
{
	int err = whole_copies(fs, done_nr);

	if (!err)
		err = meta_copies(fs);
	return err ? err : mbfs_bdev_flush(fs->dev);
}
