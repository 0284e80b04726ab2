// SPDX-License-Identifier: GPL-2.0-only
/*
 * Group descriptors. On disk they lie in the descriptor table's blocks; in memory each is decoded
 * into a struct gdt_group with a lock of its own, so that allocations in different groups share
 * nothing. The decoded ones are the truth while mounted. The table's buffers are brought up to date
 * by gdt_seal(), once per write-out and only for groups that changed, so that the checksum over a
 * bitmap is computed once per write-out and not once per allocated block.
 *
 * A struct gdt_blk is one block of the table on disk with its groups; they are in a table that
 * grows with the file system (reclaim/table.h). Where the metadata of the groups found at mount
 * lies never changes: sysmap; that of the groups that came later is in a map of its own, replaced
 * under RCU.
 *
 * changed has a bit per group. An update changes the counters and then sets the bit, both under the
 * group's lock; seal takes a word of bits away and then reads the counters under the lock. So an
 * update whose bit seal did not take sets it again, and one whose bit it took is seen by it.
 * Bitmaps the same way: who changes one calls gdt_update() after it.
 *
 * Seals run one at a time (lock seal): the later one must not put down older counters, and a
 * write-out must not pass while another's seal still holds bits it took.
 *
 * A bitmap checksum is put in when a bitmap changes hands with the write-out, not at the instant
 * its block is copied: an update in between leaves on disk a bitmap with a checksum one step behind
 * until the next write-out. At unmount, and after a sync of an idle file system, they agree; a
 * crash in between needs e2fsck anyway (no journal yet).
 *
 * Locks: seal (56) outside a group's (58) and outside buffers' (66), these two never nested. No I/O
 * after gdt_open(): all buffers are held.
 */
#include "alloc/gdt.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "disk/csum.h"
#include "disk/format.h"
#include "rt/mem.h"


/* Descriptors carry checksums of their own, one each: see desc_load(). */
const struct buf_kind gdt_desc_kind = { .name = "group descriptors" };

/* ---- codec ---- */
static uint32_t wide_csum(const struct mbfs_geo *geo, mbfs_le16 lo, mbfs_le16 hi)
{
	return le16_get(lo) |
	       (geo->desc_bytes > MBFS_GDESC_OLD_BYTES ? (uint32_t)le16_get(hi) << 16 : 0);
}

static uint32_t disk_bytes(const struct mbfs_geo *geo)
{
	return geo->desc_bytes < sizeof(struct mbfs_gdesc_disk) ? geo->desc_bytes
								: sizeof(struct mbfs_gdesc_disk);
}

/* With old, short descriptors all _hi fields read as zero. */
static void desc_decode(const struct gdt *gdt, const uint8_t *raw, struct gdt_group *g)
{
	struct mbfs_gdesc_disk dd = { 0 };
	struct gdesc *d = &g->d;

	memcpy(&dd, raw, disk_bytes(gdt->geo));
	d->block_bitmap = le32_get(dd.block_bitmap_lo) | (mbfs_blk_t)le32_get(dd.block_bitmap_hi)
								 << 32;
	d->inode_bitmap = le32_get(dd.inode_bitmap_lo) | (mbfs_blk_t)le32_get(dd.inode_bitmap_hi)
								 << 32;
	d->inode_table = le32_get(dd.inode_table_lo) | (mbfs_blk_t)le32_get(dd.inode_table_hi)
							       << 32;
	d->free_blks = le16_get(dd.free_blocks_lo) | (uint32_t)le16_get(dd.free_blocks_hi) << 16;
	d->free_inodes = le16_get(dd.free_inodes_lo) | (uint32_t)le16_get(dd.free_inodes_hi) << 16;
	d->used_dirs = le16_get(dd.used_dirs_lo) | (uint32_t)le16_get(dd.used_dirs_hi) << 16;
	if (gdt->has_flags) {
		d->itable_unused = le16_get(dd.itable_unused_lo) |
				   (uint32_t)le16_get(dd.itable_unused_hi) << 16;
		d->flags = le16_get(dd.flags);
	}
	g->block_csum = wide_csum(gdt->geo, dd.block_bitmap_csum_lo, dd.block_bitmap_csum_hi);
	g->inode_csum = wide_csum(gdt->geo, dd.inode_bitmap_csum_lo, dd.inode_bitmap_csum_hi);
}

/* Only what changes at run time; the rest of the descriptor stays as it was. */
void gdt_desc_encode(const struct gdt *gdt, mbfs_grp_t grp, const struct gdt_group *g,
		     uint8_t *raw)
{
	struct mbfs_gdesc_disk dd = { 0 };
	const struct gdesc *d = &g->d;

	memcpy(&dd, raw, disk_bytes(gdt->geo));
	dd.free_blocks_lo = le16_of((uint16_t)d->free_blks);
	dd.free_blocks_hi = le16_of((uint16_t)(d->free_blks >> 16));
	dd.free_inodes_lo = le16_of((uint16_t)d->free_inodes);
	dd.free_inodes_hi = le16_of((uint16_t)(d->free_inodes >> 16));
	dd.used_dirs_lo = le16_of((uint16_t)d->used_dirs);
	dd.used_dirs_hi = le16_of((uint16_t)(d->used_dirs >> 16));
	if (gdt->has_flags) {
		dd.itable_unused_lo = le16_of((uint16_t)d->itable_unused);
		dd.itable_unused_hi = le16_of((uint16_t)(d->itable_unused >> 16));
		dd.flags = le16_of(d->flags);
	}
	if (gdt->geo->features & GEO_CSUM) {
		dd.block_bitmap_csum_lo = le16_of((uint16_t)g->block_csum);
		dd.block_bitmap_csum_hi = le16_of((uint16_t)(g->block_csum >> 16));
		dd.inode_bitmap_csum_lo = le16_of((uint16_t)g->inode_csum);
		dd.inode_bitmap_csum_hi = le16_of((uint16_t)(g->inode_csum >> 16));
	}
	memcpy(raw, &dd, disk_bytes(gdt->geo));
	if (gdt->has_flags) {
		dd.checksum = le16_of(csum_gdesc(gdt->geo, grp, raw));
		memcpy(raw, &dd, disk_bytes(gdt->geo));
	}
}

static bool desc_csum_ok(const struct gdt *gdt, mbfs_grp_t grp, const uint8_t *raw)
{
	struct mbfs_gdesc_disk dd = { 0 };

	if (!gdt->has_flags)
		return true;
	memcpy(&dd, raw, disk_bytes(gdt->geo));
	return le16_get(dd.checksum) == csum_gdesc(gdt->geo, grp, raw);
}

static uint8_t *desc_raw(struct gdt *gdt, mbfs_grp_t grp, struct buf **buf)
{
	*buf = gdt_blk_of(gdt, grp)->buf;
	return (*buf)->data + (size_t)(grp & (gdt->per_blk - 1)) * gdt->geo->desc_bytes;
}

/* ---- opening ---- */
/* [start, start + len) is where a group's metadata may be. */
static bool place_ok(const struct mbfs_geo *geo, mbfs_grp_t grp, mbfs_blk_t start, uint64_t len)
{
	mbfs_blk_t from = geo->first_blk, to = geo->blk_nr;

	if (!(geo->features & GEO_FLEX_BG)) {
		from = geo_grp_start(geo, grp);
		to = from + geo_grp_len(geo, grp);
	}
	return start >= from && start < to && len <= to - start;
}

static int desc_verify(struct gdt *gdt, mbfs_grp_t grp, struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = gdt->geo;
	const struct gdesc *d = &gdt_group_of(gdt, grp)->d;
	const char *what = NULL;

	if (!place_ok(geo, grp, d->block_bitmap, 1))
		what = "its block bitmap is said to be where none can be";
	else if (!place_ok(geo, grp, d->inode_bitmap, 1))
		what = "its inode bitmap is said to be where none can be";
	else if (!place_ok(geo, grp, d->inode_table, sysmap_itable_len(geo)))
		what = "its inode table is said to be where none can be";
	else if (d->free_inodes > geo->inodes_per_grp || d->itable_unused > geo->inodes_per_grp ||
		 d->used_dirs > geo->inodes_per_grp)
		what = "it counts more inodes than it has";
	if (!what)
		return 0;
	return diag_set(diag, -EUCLEAN, "descriptor of group %u: %s; run e2fsck -f on the image",
			grp, what);
}

static int desc_load(struct gdt *gdt, mbfs_grp_t grp, struct mbfs_diag *diag)
{
	struct buf *b;
	uint8_t *raw = desc_raw(gdt, grp, &b);
	bool csum_ok;

	buf_lock(b);
	csum_ok = desc_csum_ok(gdt, grp, raw);
	desc_decode(gdt, raw, gdt_group_of(gdt, grp));
	buf_unlock(b);
	if (!csum_ok)
		return diag_set(
			diag, -EBADMSG,
			"descriptor of group %u: checksum is wrong; run e2fsck -f on the image",
			grp);
	return desc_verify(gdt, grp, diag);
}

const struct gdesc *gdt_desc_of(void *ctx, mbfs_grp_t grp)
{
	return &gdt_group_of(ctx, grp)->d;
}

static int table_read(struct gdt *gdt, struct buf_cache *bufs, struct mbfs_diag *diag)
{
	int err;

	for (uint32_t i = 0; i < table_nr(&gdt->blks); i++) {
		mbfs_blk_t blk = sysmap_desc_blk(gdt->geo, i);
		struct gdt_blk *b = table_at(&gdt->blks, i);

		err = buf_get(bufs, blk, &gdt_desc_kind, NULL, &b->buf);
		if (err)
			return diag_set(diag, err, "group descriptors in block %llu: %s",
					(unsigned long long)blk, strerror(-err));
	}
	for (mbfs_grp_t grp = 0; grp < gdt->geo->grp_nr; grp++) {
		err = desc_load(gdt, grp, diag);
		if (err)
			return err;
	}
	return 0;
}

int gdt_open(const struct mbfs_geo *geo, struct buf_cache *bufs, struct mbfs_diag *diag,
	     struct gdt **out)
{
	struct gdt *gdt = rt_zalloc(sizeof(*gdt));
	int err = -ENOMEM;

	MBFS_ASSERT(geo->grp_nr > 0 && geo->desc_bytes >= MBFS_GDESC_OLD_BYTES);
	if (!gdt)
		return -ENOMEM;
	gdt->geo = geo;
	gdt->has_flags = geo->features & (GEO_CSUM | GEO_GDT_CSUM);
	gdt->bufs = bufs;
	gdt->per_blk = geo->block_bytes / geo->desc_bytes;
	gdt->per_blk_bits = order_floor(gdt->per_blk);
	gdt->grp_nr = geo->grp_nr;
	rt_mutex_init(&gdt->seal, RANK_GDT_SEAL);
	err = table_open(&gdt->blks, (uint32_t)div_up(geo->grp_nr, gdt->per_blk),
			 sizeof(struct gdt_blk) + gdt->per_blk * sizeof(struct gdt_group));
	if (err)
		goto err_gdt;
	for (uint32_t i = 0; i < table_nr(&gdt->blks); i++)
		gdt_blk_init(gdt, table_at(&gdt->blks, i));
	err = table_read(gdt, bufs, diag);
	if (!err)
		err = sysmap_open(geo, 0, gdt_desc_of, gdt, diag, &gdt->sysmap);
	if (err)
		goto err_gdt;
	*out = gdt;
	return 0;

err_gdt:
	if (err == -ENOMEM)
		diag_set(diag, err, "no memory for %u group descriptors", geo->grp_nr);
	gdt_close(gdt);
	return err;
}

void gdt_blk_init(struct gdt *gdt, struct gdt_blk *b)
{
	for (uint32_t i = 0; i < gdt->per_blk; i++)
		rt_spin_init(&b->grps[i].lock, RANK_GDESC);
}

void gdt_blk_destroy(struct gdt *gdt, struct gdt_blk *b)
{
	for (uint32_t i = 0; i < gdt->per_blk; i++) {
		buf_put(rt_ptr_read(&b->grps[i].block_bitmap));
		buf_put(b->grps[i].inode_bitmap);
		rt_spin_destroy(&b->grps[i].lock);
	}
	buf_put(b->buf);
}

void gdt_close(struct gdt *gdt)
{
	if (!gdt)
		return;
	for (uint32_t i = 0; i < table_size(&gdt->blks); i++)
		gdt_blk_destroy(gdt, table_new(&gdt->blks, i));
	table_close(&gdt->blks);
	sysmap_close(gdt->sysmap);
	sysmap_close(rt_ptr_read(&gdt->grown));
	rt_mutex_destroy(&gdt->seal);
	rt_free(gdt);
}

/* ---- use ---- */
void gdt_read(struct gdt *gdt, mbfs_grp_t grp, struct gdesc *out)
{
	struct gdt_group *g = gdt_group_of(gdt, grp);

	rt_spin_lock(&g->lock);
	*out = g->d;
	rt_spin_unlock(&g->lock);
}

/* Counters come from the disk: a wrong one must not wrap around. */
static uint32_t add_bounded(uint32_t n, int32_t delta, uint32_t max)
{
	int64_t sum = (int64_t)n + delta;

	return sum < 0 ? 0 : sum > max ? max : (uint32_t)sum;
}

static void mark_changed(struct gdt *gdt, mbfs_grp_t grp)
{
	const uint32_t at = grp & (gdt->per_blk - 1);
	rt_u32 *word = &gdt_blk_of(gdt, grp)->changed[at / 32];
	uint32_t bit = 1u << at % 32, old = rt_u32_read_acquire(word);

	while (!(old & bit) && !rt_u32_cas(word, &old, old | bit))
		;
}

void gdt_update(struct gdt *gdt, struct mbfs_tx *tx, mbfs_grp_t grp, const struct gdesc_delta *d)
{
	struct gdt_group *g = gdt_group_of(gdt, grp);
	const struct mbfs_geo *geo = gdt->geo;

	(void)tx; /* the descriptor's block is dirtied by gdt_seal() */
	rt_spin_lock(&g->lock);
	g->d.free_blks = add_bounded(g->d.free_blks, d->free_blks, geo_grp_len(geo, grp));
	g->d.free_inodes = add_bounded(g->d.free_inodes, d->free_inodes, geo->inodes_per_grp);
	g->d.used_dirs = add_bounded(g->d.used_dirs, d->used_dirs, geo->inodes_per_grp);
	if (d->set_itable_unused && gdt->has_flags)
		g->d.itable_unused = d->itable_unused;
	g->d.flags &= (uint16_t)~d->clear_flags;
	mark_changed(gdt, grp);
	rt_spin_unlock(&g->lock);
}

void gdt_pin_inode_bitmap(struct gdt *gdt, mbfs_grp_t grp, struct buf *buf)
{
	struct gdt_group *g = gdt_group_of(gdt, grp);
	struct buf *old;

	buf_hold(buf);
	rt_spin_lock(&g->lock);
	old = g->inode_bitmap;
	g->inode_bitmap = buf;
	rt_spin_unlock(&g->lock);
	buf_put(old);
}

void gdt_pin_block_bitmap(struct gdt *gdt, mbfs_grp_t grp, struct buf *buf)
{
	struct gdt_group *g = gdt_group_of(gdt, grp);

	buf_hold(buf);
	buf_put(rt_ptr_xchg(&g->block_bitmap, buf));
}

struct buf *gdt_block_bitmap(struct gdt *gdt, mbfs_grp_t grp)
{
	return rt_ptr_read_acquire(&gdt_group_of(gdt, grp)->block_bitmap);
}

/* Short descriptors have room for half of it. */
uint32_t gdt_bitmap_csum(const struct mbfs_geo *geo, const uint8_t *bits, uint32_t nr)
{
	uint32_t csum = csum_bitmap(geo, bits, nr / 8);

	return geo->desc_bytes > MBFS_GDESC_OLD_BYTES ? csum : csum & 0xffff;
}

bool gdt_inode_bitmap_csum_ok(struct gdt *gdt, mbfs_grp_t grp, const uint8_t *bits)
{
	struct gdt_group *g = gdt_group_of(gdt, grp);
	uint32_t stored;

	if (!(gdt->geo->features & GEO_CSUM))
		return true;
	rt_spin_lock(&g->lock);
	stored = g->inode_csum;
	rt_spin_unlock(&g->lock);
	return gdt_bitmap_csum(gdt->geo, bits, gdt->geo->inodes_per_grp) == stored;
}

bool gdt_block_bitmap_csum_ok(struct gdt *gdt, mbfs_grp_t grp, const uint8_t *bits)
{
	struct gdt_group *g = gdt_group_of(gdt, grp);
	uint32_t stored;

	if (!(gdt->geo->features & GEO_CSUM))
		return true;
	rt_spin_lock(&g->lock);
	stored = g->block_csum;
	rt_spin_unlock(&g->lock);
	return gdt_bitmap_csum(gdt->geo, bits, gdt->geo->blks_per_grp) == stored;
}

/* ---- sealing ---- */
static uint32_t pinned_csum(const struct mbfs_geo *geo, struct buf *b, uint32_t nr)
{
	uint32_t csum;

	buf_lock(b);
	csum = gdt_bitmap_csum(geo, b->data, nr);
	buf_unlock(b);
	return csum;
}

/* Holds seal. A bitmap that is still only implied by its flag has no checksum. */
static void seal_group(struct gdt *gdt, struct mbfs_tx *tx, mbfs_grp_t grp)
{
	const struct mbfs_geo *geo = gdt->geo;
	struct gdt_group *g = gdt_group_of(gdt, grp), now;
	struct buf *b;
	uint8_t *raw;

	rt_spin_lock(&g->lock);
	now.d = g->d;
	now.block_csum = g->block_csum;
	now.inode_csum = g->inode_csum;
	now.inode_bitmap = g->inode_bitmap;
	rt_spin_unlock(&g->lock);
	b = rt_ptr_read_acquire(&g->block_bitmap);
	if ((geo->features & GEO_CSUM) && b && !(now.d.flags & GDESC_BLOCK_UNINIT))
		now.block_csum = pinned_csum(geo, b, geo->blks_per_grp);
	if ((geo->features & GEO_CSUM) && now.inode_bitmap && !(now.d.flags & GDESC_INODE_UNINIT))
		now.inode_csum = pinned_csum(geo, now.inode_bitmap, geo->inodes_per_grp);
	rt_spin_lock(&g->lock);
	g->block_csum = now.block_csum;
	g->inode_csum = now.inode_csum;
	rt_spin_unlock(&g->lock);
	raw = desc_raw(gdt, grp, &b);
	buf_lock(b);
	gdt_desc_encode(gdt, grp, &now, raw);
	tx_dirty(tx, b);
	buf_unlock(b);
}

static void seal_blk(struct gdt *gdt, struct mbfs_tx *tx, struct gdt_blk *b, mbfs_grp_t first)
{
	for (uint32_t i = 0; i < div_up(gdt->per_blk, 32); i++) {
		uint32_t bits;

		if (!rt_u32_read_acquire(&b->changed[i]))
			continue;
		bits = rt_u32_xchg(&b->changed[i], 0);
		for (; bits; bits &= bits - 1)
			seal_group(gdt, tx, first + i * 32 + (uint32_t)__builtin_ctz(bits));
	}
}

void gdt_seal(struct gdt *gdt, struct mbfs_tx *tx)
{
	rt_mutex_lock(&gdt->seal);
	for (uint32_t i = 0, nr = table_nr(&gdt->blks); i < nr; i++) {
		struct gdt_blk *b = table_at(&gdt->blks, i);

		if (b)
			seal_blk(gdt, tx, b, i * gdt->per_blk);
	}
	rt_mutex_unlock(&gdt->seal);
}

void gdt_totals(struct gdt *gdt, uint64_t *free_blks, uint64_t *free_inodes, uint64_t *used_dirs)
{
	*free_blks = *free_inodes = *used_dirs = 0;
	for (mbfs_grp_t grp = 0, nr = rt_read_once(gdt->grp_nr); grp < nr; grp++) {
		struct gdesc d;

		gdt_read(gdt, grp, &d);
		*free_blks += d.free_blks;
		*free_inodes += d.free_inodes;
		*used_dirs += d.used_dirs;
	}
}

/* The same in the map of the groups that came later. */
static bool grown_is_system(const struct gdt *gdt, mbfs_blk_t start, uint32_t len)
{
	const struct sysmap *map;
	bool hit;

	rt_rcu_read_lock();
	map = rt_rcu_dereference(&gdt->grown);
	hit = !map || sysmap_hit(map, start, len);
	rt_rcu_read_unlock();
	return hit;
}

bool gdt_is_system(struct gdt *gdt, mbfs_blk_t start, uint32_t len)
{
	const mbfs_blk_t end = sysmap_end(gdt->sysmap);

	if (start < end && len <= end - start)
		return sysmap_hit(gdt->sysmap, start, len);
	if (start >= end)
		return grown_is_system(gdt, start, len);
	return sysmap_hit(gdt->sysmap, start, (uint32_t)(end - start)) ||
	       grown_is_system(gdt, end, len - (uint32_t)(end - start));
}

void gdt_system_bits(struct gdt *gdt, mbfs_grp_t grp, uint8_t *bits)
{
	if (sysmap_bits(gdt->sysmap, grp, bits))
		return;
	rt_rcu_read_lock();
	sysmap_bits(rt_rcu_dereference(&gdt->grown), grp, bits);
	rt_rcu_read_unlock();
}
