// SPDX-License-Identifier: GPL-2.0-only
/*
 * The map is a sorted array of ranges, neighbours merged, none overlapping; and for each group the
 * index of the first range that ends past the group's start. A look-up is a division and, on any
 * usual image, one to three comparisons, because a group holds few ranges: its own superblock and
 * tables, or with flex_bg those of its whole flex group in one piece.
 *
 * Where things are (Source: ext4 disk layout, "Layout", "Meta Block Groups", "Sparse Super Block
 * V2"): a group with a superblock starts with it; the descriptor table and its reserve follow,
 * whole, as long as the group is below first_meta_bg or there is no meta_bg. Above, the table's
 * part for one meta group (as many groups as one block of descriptors describes) is in the first,
 * second and last group of it, after the superblock if there is one.
 */
#include "alloc/sysmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "reclaim/kvfree.h"
#include "rt/mem.h"

struct sys_range {
	mbfs_blk_t start;
	uint32_t len;
	mbfs_grp_t grp; /* whose it is, for messages */
};

/* [const] after sysmap_open() */
struct sysmap {
	struct kvfree_head dead;
	struct mbfs_geo geo; /* as it was when the map was made */
	mbfs_grp_t from;     /* groups from here on */
	uint32_t nr;
	struct sys_range *ranges; /* behind this struct, of one piece with it */
	uint32_t *first;          /* likewise; by group */
};

/* At most: the boot block; per group a superblock with a table, two bitmaps and an inode table. */
enum { RANGES_PER_GRP = 4 };

static bool is_power_of(mbfs_grp_t n, unsigned base)
{
	while (n % base == 0)
		n /= base;
	return n == 1;
}

bool sysmap_has_super(const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	if (grp == 0)
		return true;
	if (geo->features & GEO_SPARSE_SUPER2)
		return grp == geo->backup_grp[0] || grp == geo->backup_grp[1];
	if (grp == 1 || !(geo->features & GEO_SPARSE_SUPER))
		return true;
	return is_power_of(grp, 3) || is_power_of(grp, 5) || is_power_of(grp, 7);
}

static uint32_t desc_per_blk(const struct mbfs_geo *geo)
{
	return geo->block_bytes / geo->desc_bytes;
}

/* Is part @idx of the table kept only in its own meta group? */
static bool is_meta_part(const struct mbfs_geo *geo, uint32_t idx)
{
	return (geo->features & GEO_META_BG) && idx >= geo->first_meta_bg;
}

mbfs_blk_t sysmap_desc_blk(const struct mbfs_geo *geo, uint32_t idx)
{
	mbfs_grp_t grp;

	if (!is_meta_part(geo, idx))
		return geo->first_blk + 1 + idx;
	grp = idx * desc_per_blk(geo);
	return geo_grp_start(geo, grp) + sysmap_has_super(geo, grp);
}

uint32_t sysmap_itable_len(const struct mbfs_geo *geo)
{
	return (uint32_t)div_up((uint64_t)geo->inodes_per_grp * geo->inode_bytes, geo->block_bytes);
}

/* Blocks that a group starts with: superblock, descriptors, reserve. */
uint64_t sysmap_head_len(const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	bool super = sysmap_has_super(geo, grp);
	uint32_t per = desc_per_blk(geo), in_meta = grp % per;

	if (is_meta_part(geo, grp / per))
		return super + (in_meta == 0 || in_meta == 1 || in_meta == per - 1 ? 1u : 0u);
	if (!super)
		return 0;
	if (geo->features & GEO_META_BG)
		return 1 + (uint64_t)geo->first_meta_bg;
	return 1 + (uint64_t)geo->desc_blk_nr + geo->resv_gdt_blks;
}

static int cmp_start(const void *x, const void *y)
{
	const struct sys_range *a = x, *b = y;

	return a->start < b->start ? -1 : a->start > b->start;
}

static void range_add(struct sysmap *map, mbfs_grp_t grp, mbfs_blk_t start, uint64_t len)
{
	if (len)
		map->ranges[map->nr++] = (struct sys_range){ start, (uint32_t)len, grp };
}

static int ranges_collect(struct sysmap *map, const struct gdesc *(*desc)(void *, mbfs_grp_t),
			  void *ctx, struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = &map->geo;
	const uint32_t itable_len = sysmap_itable_len(geo);

	if (map->from == 0)
		range_add(map, 0, 0, geo->first_blk);
	for (mbfs_grp_t grp = map->from; grp < geo->grp_nr; grp++) {
		const struct gdesc *d = desc(ctx, grp);
		uint64_t head = sysmap_head_len(geo, grp);

		if (head > geo_grp_len(geo, grp))
			return diag_set(
				diag, -EUCLEAN,
				"group %u is shorter than its own superblock and descriptors; "
				"run e2fsck -f on the image",
				grp);
		range_add(map, grp, geo_grp_start(geo, grp), head);
		range_add(map, grp, d->block_bitmap, 1);
		range_add(map, grp, d->inode_bitmap, 1);
		range_add(map, grp, d->inode_table, itable_len);
	}
	return 0;
}

/* Sort, refuse overlaps, merge neighbours. */
static int ranges_merge(struct sysmap *map, struct mbfs_diag *diag)
{
	struct sys_range *r = map->ranges;
	uint32_t kept = 0;

	if (map->nr == 0)
		return 0; /* no group has come, only blocks of the last one */
	qsort(r, map->nr, sizeof(*r), cmp_start);
	for (uint32_t i = 1; i < map->nr; i++) {
		mbfs_blk_t end = r[kept].start + r[kept].len;

		if (r[i].start < end)
			return diag_set(diag, -EUCLEAN,
					"block %llu: metadata of groups %u and %u overlap; "
					"run e2fsck -f on the image",
					(unsigned long long)r[i].start, r[kept].grp, r[i].grp);
		if (r[i].start == end && (uint64_t)r[kept].len + r[i].len <= UINT32_MAX) {
			r[kept].len += r[i].len;
			r[kept].grp = r[i].grp; /* the one a next overlap is with */
		} else {
			r[++kept] = r[i];
		}
	}
	map->nr = kept + 1;
	return 0;
}

static void index_make(struct sysmap *map)
{
	uint32_t i = 0;

	for (mbfs_grp_t grp = map->from; grp < map->geo.grp_nr; grp++) {
		mbfs_blk_t start = grp ? geo_grp_start(&map->geo, grp) : 0;

		while (i < map->nr && map->ranges[i].start + map->ranges[i].len <= start)
			i++;
		map->first[grp - map->from] = i;
	}
}

/* One piece of memory, for kvfree: what was collected in @loose, which has room to spare. */
static struct sysmap *pack(const struct sysmap *loose)
{
	const size_t ranges_bytes = loose->nr * sizeof(*loose->ranges);
	const size_t first_bytes = (size_t)(loose->geo.grp_nr - loose->from) * sizeof(uint32_t);
	struct sysmap *map = rt_alloc(sizeof(*map) + ranges_bytes + first_bytes);

	if (!map)
		return NULL;
	*map = *loose;
	map->ranges = (struct sys_range *)(map + 1);
	map->first = (uint32_t *)(map->ranges + map->nr);
	memcpy(map->ranges, loose->ranges, ranges_bytes);
	return map;
}

int sysmap_open(const struct mbfs_geo *geo, mbfs_grp_t from,
		const struct gdesc *(*desc)(void *ctx, mbfs_grp_t grp), void *ctx,
		struct mbfs_diag *diag, struct sysmap **out)
{
	const uint64_t grps = geo->grp_nr - from;
	struct sysmap loose = { .geo = *geo, .from = from };
	struct sysmap *map = NULL;
	int err;

	loose.ranges = rt_alloc((grps * RANGES_PER_GRP + 1) * sizeof(*loose.ranges));
	if (!loose.ranges)
		return -ENOMEM;
	err = ranges_collect(&loose, desc, ctx, diag);
	if (!err)
		err = ranges_merge(&loose, diag);
	if (!err) {
		map = pack(&loose);
		err = map ? 0 : -ENOMEM;
	}
	rt_free(loose.ranges);
	if (err)
		return err;
	index_make(map);
	*out = map;
	return 0;
}

void sysmap_close(struct sysmap *map)
{
	rt_free(map);
}

void sysmap_close_later(struct sysmap *map, struct kvfree *dead)
{
	if (map)
		kvfree_rcu(dead, map, &map->dead);
}

mbfs_grp_t sysmap_grp_nr(const struct sysmap *map)
{
	return map->geo.grp_nr;
}

mbfs_blk_t sysmap_end(const struct sysmap *map)
{
	return map->geo.blk_nr;
}

bool sysmap_hit(const struct sysmap *map, mbfs_blk_t start, uint32_t len)
{
	const struct mbfs_geo *geo = &map->geo;
	mbfs_grp_t grp;
	uint32_t i;

	if (start >= geo->blk_nr || len > geo->blk_nr - start)
		return true;
	grp = start < geo->first_blk ? 0
				     : (mbfs_grp_t)((start - geo->first_blk) / geo->blks_per_grp);
	for (i = grp < map->from ? 0 : map->first[grp - map->from]; i < map->nr; i++)
		if (map->ranges[i].start + map->ranges[i].len > start)
			return map->ranges[i].start < start + len;
	return false;
}

bool sysmap_bits(const struct sysmap *map, mbfs_grp_t grp, uint8_t *bits)
{
	const mbfs_blk_t grp_start = geo_grp_start(&map->geo, grp);
	mbfs_blk_t grp_end;

	if (grp < map->from || grp >= map->geo.grp_nr)
		return false;
	grp_end = grp_start + geo_grp_len(&map->geo, grp);
	for (uint32_t i = map->first[grp - map->from]; i < map->nr; i++) {
		const struct sys_range *r = &map->ranges[i];
		mbfs_blk_t from = r->start > grp_start ? r->start : grp_start;
		mbfs_blk_t to = r->start + r->len < grp_end ? r->start + r->len : grp_end;

		if (r->start >= grp_end)
			break;
		if (from < to) /* else it is the boot block, before group 0 */
			bits_set(bits, (uint32_t)(from - grp_start), (uint32_t)(to - from));
	}
	return true;
}
