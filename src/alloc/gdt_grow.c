// SPDX-License-Identifier: GPL-2.0-only
/*
 * The descriptor table grows. The steps, each by the one thread that grows the file system:
 *
 *   ready   new groups are placed (place.c), decoded descriptors and a map of their blocks made;
 *	     their bitmaps, and tables that no flag says are unused, are written past the end of
 *	     the file system, where nothing leads to
 *   write   descriptors are put into their blocks: behind the last ones of a block, or into new
 *	     blocks of the table
 *   grow    everybody sees them
 *
 * Nobody looks at a group past gdt->grp_nr, so descriptors may be filled in in blocks of the table
 * that others use, and blocks may be added to the table before their groups count.
 */
#include <errno.h>
#include <string.h>

#include "alloc/gdt.h"
#include "base/bits.h"
#include "disk/csum.h"
#include "disk/format.h"
#include "rt/mem.h"

static struct gdesc *new_desc(void *ctx, mbfs_grp_t grp)
{
	return &gdt_group_of(ctx, grp)->d;
}

static uint32_t blks_for(const struct gdt *gdt, mbfs_grp_t grp_nr)
{
	return (uint32_t)div_up(grp_nr, gdt->per_blk);
}

/* Blocks of the table that a growth to @grp_nr groups adds: [*first, the result). */
static uint32_t new_blks(const struct gdt *gdt, mbfs_grp_t grp_nr, uint32_t *first)
{
	*first = blks_for(gdt, gdt->grp_nr);
	return blks_for(gdt, grp_nr);
}

/* Memory for the new blocks. A growth that came to nothing may have left some. */
static int blks_ready(struct gdt *gdt, mbfs_grp_t grp_nr)
{
	const uint32_t had = table_nr(&gdt->blks), nr = blks_for(gdt, grp_nr);
	int err;

	if (nr <= had)
		return 0;
	err = table_ready(&gdt->blks, nr);
	if (err)
		return err;
	for (uint32_t i = had; i < nr; i++)
		gdt_blk_init(gdt, table_new(&gdt->blks, i));
	table_grow(&gdt->blks, gdt->dead);
	return 0;
}

static int write_at(struct gdt *gdt, struct mbfs_bdev *dev, mbfs_blk_t blk, const uint8_t *data)
{
	const uint32_t bytes = gdt->geo->block_bytes;

	return mbfs_bdev_write(dev, blk * bytes, data, bytes);
}

/* The bitmap of inodes and the table, where descriptors have no flag that says they are unused. */
static int inodes_write(struct gdt *gdt, struct mbfs_bdev *dev, const struct gdesc *d,
			uint8_t *bits)
{
	const struct mbfs_geo *geo = gdt->geo;
	int err;

	memset(bits, 0, geo->block_bytes);
	bits_set(bits, geo->inodes_per_grp, geo->block_bytes * 8 - geo->inodes_per_grp);
	err = write_at(gdt, dev, d->inode_bitmap, bits);
	return err ? err : buf_wipe(gdt->bufs, d->inode_table, sysmap_itable_len(geo));
}

/*
 * A bitmap may be left out if nothing but the group's own bitmaps and table is in use, and it has
 * no padding. (As in resize2fs, not with a backup either.) How much that is.
 */
static uint32_t own_in(const struct mbfs_geo *size, mbfs_grp_t grp, const struct gdesc *d)
{
	const mbfs_blk_t start = geo_grp_start(size, grp), end = start + geo_grp_len(size, grp);
	uint32_t nr = 0;

	nr += d->block_bitmap >= start && d->block_bitmap < end;
	nr += d->inode_bitmap >= start && d->inode_bitmap < end;
	if (d->inode_table >= start && d->inode_table < end)
		nr += sysmap_itable_len(size);
	return nr;
}

/* What is free in one new group, what its flags are, and its bitmaps. @bits: a block. */
static int group_write(struct gdt *gdt, struct mbfs_bdev *dev, const struct mbfs_geo *size,
		       const struct sysmap *map, mbfs_grp_t grp, uint8_t *bits)
{
	struct gdt_group *g = gdt_group_of(gdt, grp);
	const uint32_t len = geo_grp_len(size, grp);
	int err = 0;

	memset(bits, 0, size->block_bytes);
	sysmap_bits(map, grp, bits);
	g->d.free_blks = bits_count_clear(bits, 0, len);
	g->d.free_inodes = size->inodes_per_grp;
	g->d.used_dirs = 0;
	g->d.itable_unused = gdt->has_flags ? size->inodes_per_grp : 0;
	g->d.flags = gdt->has_flags ? GDESC_INODE_UNINIT : 0;
	if (gdt->has_flags && grp != size->grp_nr - 1 &&
	    len - g->d.free_blks == own_in(size, grp, &g->d))
		g->d.flags |= GDESC_BLOCK_UNINIT;
	g->block_csum = g->inode_csum = 0;
	if (!(g->d.flags & GDESC_BLOCK_UNINIT)) {
		bits_set(bits, len, size->block_bytes * 8 - len);
		g->block_csum = gdt_bitmap_csum(size, bits, size->blks_per_grp);
		err = write_at(gdt, dev, g->d.block_bitmap, bits);
	}
	if (!err && !gdt->has_flags)
		err = inodes_write(gdt, dev, &g->d, bits);
	return err;
}

int gdt_grow_ready(struct gdt *gdt, struct mbfs_bdev *dev, const struct mbfs_geo *size,
		   struct kvfree *dead, uint64_t *done_nr, struct mbfs_diag *diag)
{
	uint8_t *bits = rt_alloc(size->block_bytes);
	int err;

	gdt->dead = dead;
	err = bits ? blks_ready(gdt, size->grp_nr) : -ENOMEM;
	MBFS_ASSERT(!gdt->next_map && size->grp_nr >= gdt->grp_nr);
	if (!err) {
		place_groups(size, gdt->grp_nr, new_desc, gdt);
		err = sysmap_open(size, sysmap_grp_nr(gdt->sysmap), gdt_desc_of, gdt, diag,
				  &gdt->next_map);
	}
	for (mbfs_grp_t grp = gdt->grp_nr; !err && grp < size->grp_nr; grp++) {
		err = group_write(gdt, dev, size, gdt->next_map, grp, bits);
		rt_write_once(*done_nr, *done_nr + 1);
	}
	rt_free(bits);
	if (!err)
		return 0;
	sysmap_close(gdt->next_map);
	gdt->next_map = NULL;
	if (err == -EUCLEAN)
		return err; /* sysmap_open() has said it */
	return diag_set(diag, err, "the bitmaps of new groups cannot be written (%s): it has its "
			"old size", err == -EIO ? "the disk of the image fails, or is full"
						: strerror(-err));
}

/* A descriptor from nothing. */
static void desc_write(struct gdt *gdt, struct mbfs_tx *tx, mbfs_grp_t grp)
{
	const struct gdt_group *g = gdt_group_of(gdt, grp);
	struct buf *b = gdt_blk_of(gdt, grp)->buf;
	const uint32_t bytes = gdt->geo->desc_bytes;
	uint8_t *raw = b->data + (size_t)(grp & (gdt->per_blk - 1)) * bytes;
	struct mbfs_gdesc_disk dd = {
		.block_bitmap_lo = le32_of((uint32_t)g->d.block_bitmap),
		.inode_bitmap_lo = le32_of((uint32_t)g->d.inode_bitmap),
		.inode_table_lo = le32_of((uint32_t)g->d.inode_table),
		.block_bitmap_hi = le32_of((uint32_t)(g->d.block_bitmap >> 32)),
		.inode_bitmap_hi = le32_of((uint32_t)(g->d.inode_bitmap >> 32)),
		.inode_table_hi = le32_of((uint32_t)(g->d.inode_table >> 32)),
	};

	buf_lock(b);
	memset(raw, 0, bytes);
	memcpy(raw, &dd, bytes < sizeof(dd) ? bytes : sizeof(dd));
	gdt_desc_encode(gdt, grp, g, raw);
	tx_dirty(tx, b);
	buf_unlock(b);
}

int gdt_grow_write(struct gdt *gdt, struct mbfs_tx *tx, const struct mbfs_geo *size)
{
	uint32_t first, end = new_blks(gdt, size->grp_nr, &first);

	for (uint32_t i = first; i < end; i++) {
		struct gdt_blk *b = table_at(&gdt->blks, i);
		int err = buf_get_new(gdt->bufs, sysmap_desc_blk(size, i), &gdt_desc_kind, NULL,
				      &b->buf);

		if (err)
			return err;
	}
	for (mbfs_grp_t grp = gdt->grp_nr; grp < size->grp_nr; grp++)
		desc_write(gdt, tx, grp);
	return 0;
}

void gdt_grow(struct gdt *gdt, const struct mbfs_geo *size)
{
	struct sysmap *old = rt_ptr_read(&gdt->grown);

	rt_rcu_assign(&gdt->grown, gdt->next_map);
	gdt->next_map = NULL;
	sysmap_close_later(old, gdt->dead);
	rt_write_once(gdt->grp_nr, size->grp_nr);
}

void gdt_grow_past(struct gdt *gdt, const struct mbfs_alloc_tune *tune)
{
	alloc_grow_past(tune, &gdt->blks);
}

void gdt_grow_not(struct gdt *gdt, struct mbfs_tx *tx, const struct mbfs_geo *size)
{
	uint32_t first, end = new_blks(gdt, size->grp_nr, &first);

	for (uint32_t i = first; i < end; i++) {
		struct gdt_blk *b = table_at(&gdt->blks, i);

		if (!b || !b->buf)
			continue;
		buf_forget(gdt->bufs, tx, b->buf->blk, 1);
		buf_put(b->buf);
		b->buf = NULL;
	}
	sysmap_close(gdt->next_map);
	gdt->next_map = NULL;
}

void gdt_blk_copy(struct gdt *gdt, uint32_t idx, uint8_t *out)
{
	const struct gdt_blk *b = table_at(&gdt->blks, idx);

	buf_lock(b->buf);
	memcpy(out, b->buf->data, gdt->geo->block_bytes);
	buf_unlock(b->buf);
}
