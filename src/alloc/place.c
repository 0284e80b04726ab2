// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the bitmaps and inode tables of new groups go. Always into the new groups: nothing on the
 * image leads there until the superblock says so, and nobody's blocks are in the way.
 *
 * Without flex_bg each group has its own, behind its superblock and descriptors. With flex_bg the
 * new groups of a flex group share the first of them: all block bitmaps, all inode bitmaps, all
 * tables, as mke2fs and resize2fs lay them out; past the heads of groups that have backups. If they
 * do not fit so (a short last group), each group has its own.
 */
#include "alloc/gdt.h"

/* A walk over blocks of groups [.., end) that are free but for the heads of the groups. */
struct cursor {
	const struct mbfs_geo *geo;
	mbfs_grp_t end;
	mbfs_blk_t at;
};

static mbfs_grp_t grp_of(const struct mbfs_geo *geo, mbfs_blk_t blk)
{
	return (mbfs_grp_t)((blk - geo->first_blk) / geo->blks_per_grp);
}

static mbfs_blk_t grp_end(const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	return geo_grp_start(geo, grp) + geo_grp_len(geo, grp);
}

/* The next @len blocks in a row; false: there are none. */
static bool cursor_take(struct cursor *c, uint32_t len, mbfs_blk_t *out)
{
	mbfs_grp_t grp = grp_of(c->geo, c->at);
	mbfs_blk_t at = c->at;

	for (; grp < c->end; grp++) {
		mbfs_blk_t start = geo_grp_start(c->geo, grp);
		uint64_t head = sysmap_head_len(c->geo, grp);

		if (head && at < start + head) {
			if (at + len > start) /* else it is before this group */
				at = start + head;
		}
		if (at + len <= grp_end(c->geo, grp))
			break;
	}
	if (grp >= c->end)
		return false;
	*out = at;
	c->at = at + len;
	return true;
}

static bool place_flex(const struct mbfs_geo *geo, mbfs_grp_t from, mbfs_grp_t to,
		       struct gdesc *(*desc)(void *ctx, mbfs_grp_t grp), void *ctx)
{
	struct cursor c = { geo, to, geo_grp_start(geo, from) };
	bool ok = true;

	for (mbfs_grp_t i = from; ok && i < to; i++)
		ok = cursor_take(&c, 1, &desc(ctx, i)->block_bitmap);
	for (mbfs_grp_t i = from; ok && i < to; i++)
		ok = cursor_take(&c, 1, &desc(ctx, i)->inode_bitmap);
	for (mbfs_grp_t i = from; ok && i < to; i++)
		ok = cursor_take(&c, sysmap_itable_len(geo), &desc(ctx, i)->inode_table);
	return ok;
}

void place_groups(const struct mbfs_geo *geo, mbfs_grp_t from,
		  struct gdesc *(*desc)(void *ctx, mbfs_grp_t grp), void *ctx)
{
	const unsigned bits = geo->features & GEO_FLEX_BG ? geo->log_grps_per_flex : 0;

	while (from < geo->grp_nr) {
		uint64_t next = ((uint64_t)(from >> bits) + 1) << bits;
		mbfs_grp_t to = next < geo->grp_nr ? (mbfs_grp_t)next : geo->grp_nr;
		bool ok = place_flex(geo, from, to, desc, ctx);

		for (; from < to; from++)
			if (!ok)
				(void)place_flex(geo, from, from + 1, desc, ctx);
	}
}
