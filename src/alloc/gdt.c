// SPDX-License-Identifier: GPL-2.0-only
/*
 * Group descriptors. On disk they lie in the descriptor table's blocks; in memory each is decoded
 * into a struct gdt_group with a lock of its own, so that allocations in different groups share
 * nothing. The decoded ones are the truth while mounted. The table's buffers are brought up to date
 * by gdt_seal(), once per write-out and only for groups that changed, so that the checksum over a
 * bitmap is computed once per write-out and not once per allocated block.
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

struct gdt_group {
	struct rt_spin lock;                     /* RANK_GDESC */
	struct gdesc d;                          /* places [const], the rest [lock] */
	uint32_t block_csum, inode_csum;         /* [lock] of the bitmaps, as stored */
	struct buf *block_bitmap, *inode_bitmap; /* [lock] pinned, or NULL; once set they stay */
};

struct gdt {
	const struct mbfs_geo *geo;
	bool has_flags;         /* [const] flags and itable_unused mean something */
	uint32_t desc_per_blk;  /* [const] */
	uint32_t desc_blk_nr;   /* [const] */
	struct buf **desc_bufs; /* [const] held */
	struct gdt_group *grps; /* [const] geo->grp_nr */
	rt_u32 *changed;        /* [atomic] bit grp % 32 of word grp / 32 */
	struct rt_mutex seal;   /* RANK_GDT_SEAL */
	struct sysmap *sysmap;  /* [const] */
};

/* Descriptors carry checksums of their own, one each: see desc_load(). */
static const struct buf_kind desc_kind = { .name = "group descriptors" };

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
static void desc_encode(const struct gdt *gdt, mbfs_grp_t grp, const struct gdt_group *g,
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

static uint8_t *desc_raw(const struct gdt *gdt, mbfs_grp_t grp, struct buf **buf)
{
	*buf = gdt->desc_bufs[grp / gdt->desc_per_blk];
	return (*buf)->data + (size_t)(grp % gdt->desc_per_blk) * gdt->geo->desc_bytes;
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

static int desc_verify(const struct gdt *gdt, mbfs_grp_t grp, struct mbfs_diag *diag)
{
	const struct mbfs_geo *geo = gdt->geo;
	const struct gdesc *d = &gdt->grps[grp].d;
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
	desc_decode(gdt, raw, &gdt->grps[grp]);
	buf_unlock(b);
	if (!csum_ok)
		return diag_set(
			diag, -EBADMSG,
			"descriptor of group %u: checksum is wrong; run e2fsck -f on the image",
			grp);
	return desc_verify(gdt, grp, diag);
}

static const struct gdesc *desc_of(void *ctx, mbfs_grp_t grp)
{
	const struct gdt *gdt = ctx;

	return &gdt->grps[grp].d;
}

static int table_read(struct gdt *gdt, struct buf_cache *bufs, struct mbfs_diag *diag)
{
	int err;

	for (uint32_t i = 0; i < gdt->desc_blk_nr; i++) {
		mbfs_blk_t blk = sysmap_desc_blk(gdt->geo, i);

		err = buf_get(bufs, blk, &desc_kind, NULL, &gdt->desc_bufs[i]);
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
	gdt->desc_per_blk = geo->block_bytes / geo->desc_bytes;
	gdt->desc_blk_nr = (uint32_t)div_up(geo->grp_nr, gdt->desc_per_blk);
	rt_mutex_init(&gdt->seal, RANK_GDT_SEAL);
	gdt->desc_bufs = rt_zalloc(gdt->desc_blk_nr * sizeof(struct buf *));
	gdt->changed = rt_zalloc(div_up(geo->grp_nr, 32) * sizeof(rt_u32));
	gdt->grps = rt_zalloc(geo->grp_nr * sizeof(*gdt->grps));
	if (!gdt->desc_bufs || !gdt->changed || !gdt->grps)
		goto err_gdt;
	for (mbfs_grp_t grp = 0; grp < geo->grp_nr; grp++)
		rt_spin_init(&gdt->grps[grp].lock, RANK_GDESC);
	err = table_read(gdt, bufs, diag);
	if (!err)
		err = sysmap_open(geo, desc_of, gdt, diag, &gdt->sysmap);
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

void gdt_close(struct gdt *gdt)
{
	if (!gdt)
		return;
	for (mbfs_grp_t grp = 0; gdt->grps && grp < gdt->geo->grp_nr; grp++) {
		buf_put(gdt->grps[grp].block_bitmap);
		buf_put(gdt->grps[grp].inode_bitmap);
		rt_spin_destroy(&gdt->grps[grp].lock);
	}
	for (uint32_t i = 0; gdt->desc_bufs && i < gdt->desc_blk_nr; i++)
		buf_put(gdt->desc_bufs[i]);
	sysmap_close(gdt->sysmap);
	rt_mutex_destroy(&gdt->seal);
	rt_free(gdt->desc_bufs);
	rt_free(gdt->changed);
	rt_free(gdt->grps);
	rt_free(gdt);
}

/* ---- use ---- */
static struct gdt_group *group_of(struct gdt *gdt, mbfs_grp_t grp)
{
	MBFS_ASSERT(grp < gdt->geo->grp_nr);
	return &gdt->grps[grp];
}

void gdt_read(struct gdt *gdt, mbfs_grp_t grp, struct gdesc *out)
{
	struct gdt_group *g = group_of(gdt, grp);

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
	rt_u32 *word = &gdt->changed[grp / 32];
	uint32_t bit = 1u << grp % 32, old = rt_u32_read_acquire(word);

	while (!(old & bit) && !rt_u32_cas(word, &old, old | bit))
		;
}

void gdt_update(struct gdt *gdt, struct mbfs_tx *tx, mbfs_grp_t grp, const struct gdesc_delta *d)
{
	struct gdt_group *g = group_of(gdt, grp);
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

static void pin(struct gdt_group *g, struct buf **slot, struct buf *buf)
{
	struct buf *old;

	buf_hold(buf);
	rt_spin_lock(&g->lock);
	old = *slot;
	*slot = buf;
	rt_spin_unlock(&g->lock);
	buf_put(old);
}

void gdt_pin_inode_bitmap(struct gdt *gdt, mbfs_grp_t grp, struct buf *buf)
{
	struct gdt_group *g = group_of(gdt, grp);

	pin(g, &g->inode_bitmap, buf);
}

void gdt_pin_block_bitmap(struct gdt *gdt, mbfs_grp_t grp, struct buf *buf)
{
	struct gdt_group *g = group_of(gdt, grp);

	pin(g, &g->block_bitmap, buf);
}

/* Short descriptors have room for half of it. */
static uint32_t bitmap_csum(const struct mbfs_geo *geo, const uint8_t *bits, uint32_t nr)
{
	uint32_t csum = csum_bitmap(geo, bits, nr / 8);

	return geo->desc_bytes > MBFS_GDESC_OLD_BYTES ? csum : csum & 0xffff;
}

bool gdt_inode_bitmap_csum_ok(struct gdt *gdt, mbfs_grp_t grp, const uint8_t *bits)
{
	struct gdt_group *g = group_of(gdt, grp);
	uint32_t stored;

	if (!(gdt->geo->features & GEO_CSUM))
		return true;
	rt_spin_lock(&g->lock);
	stored = g->inode_csum;
	rt_spin_unlock(&g->lock);
	return bitmap_csum(gdt->geo, bits, gdt->geo->inodes_per_grp) == stored;
}

bool gdt_block_bitmap_csum_ok(struct gdt *gdt, mbfs_grp_t grp, const uint8_t *bits)
{
	struct gdt_group *g = group_of(gdt, grp);
	uint32_t stored;

	if (!(gdt->geo->features & GEO_CSUM))
		return true;
	rt_spin_lock(&g->lock);
	stored = g->block_csum;
	rt_spin_unlock(&g->lock);
	return bitmap_csum(gdt->geo, bits, gdt->geo->blks_per_grp) == stored;
}

/* ---- sealing ---- */
static uint32_t pinned_csum(const struct mbfs_geo *geo, struct buf *b, uint32_t nr)
{
	uint32_t csum;

	buf_lock(b);
	csum = bitmap_csum(geo, b->data, nr);
	buf_unlock(b);
	return csum;
}

/* Holds seal. A bitmap that is still only implied by its flag has no checksum. */
static void seal_group(struct gdt *gdt, struct mbfs_tx *tx, mbfs_grp_t grp)
{
	const struct mbfs_geo *geo = gdt->geo;
	struct gdt_group *g = &gdt->grps[grp], now;
	struct buf *b;
	uint8_t *raw;

	rt_spin_lock(&g->lock);
	now.d = g->d;
	now.block_csum = g->block_csum;
	now.inode_csum = g->inode_csum;
	now.block_bitmap = g->block_bitmap;
	now.inode_bitmap = g->inode_bitmap;
	rt_spin_unlock(&g->lock);
	if ((geo->features & GEO_CSUM) && now.block_bitmap && !(now.d.flags & GDESC_BLOCK_UNINIT))
		now.block_csum = pinned_csum(geo, now.block_bitmap, geo->blks_per_grp);
	if ((geo->features & GEO_CSUM) && now.inode_bitmap && !(now.d.flags & GDESC_INODE_UNINIT))
		now.inode_csum = pinned_csum(geo, now.inode_bitmap, geo->inodes_per_grp);
	rt_spin_lock(&g->lock);
	g->block_csum = now.block_csum;
	g->inode_csum = now.inode_csum;
	rt_spin_unlock(&g->lock);
	raw = desc_raw(gdt, grp, &b);
	buf_lock(b);
	desc_encode(gdt, grp, &now, raw);
	tx_dirty(tx, b);
	buf_unlock(b);
}

void gdt_seal(struct gdt *gdt, struct mbfs_tx *tx)
{
	const uint32_t words = (uint32_t)div_up(gdt->geo->grp_nr, 32);

	rt_mutex_lock(&gdt->seal);
	for (uint32_t i = 0; i < words; i++) {
		uint32_t bits;

		if (!rt_u32_read_acquire(&gdt->changed[i]))
			continue;
		bits = rt_u32_xchg(&gdt->changed[i], 0);
		for (; bits; bits &= bits - 1)
			seal_group(gdt, tx, i * 32 + (uint32_t)__builtin_ctz(bits));
	}
	rt_mutex_unlock(&gdt->seal);
}

void gdt_totals(struct gdt *gdt, uint64_t *free_blks, uint64_t *free_inodes, uint64_t *used_dirs)
{
	*free_blks = *free_inodes = *used_dirs = 0;
	for (mbfs_grp_t grp = 0; grp < gdt->geo->grp_nr; grp++) {
		struct gdesc d;

		gdt_read(gdt, grp, &d);
		*free_blks += d.free_blks;
		*free_inodes += d.free_inodes;
		*used_dirs += d.used_dirs;
	}
}

bool gdt_is_system(struct gdt *gdt, mbfs_blk_t start, uint32_t len)
{
	return sysmap_hit(gdt->sysmap, start, len);
}

const struct sysmap *gdt_sysmap(const struct gdt *gdt)
{
	return gdt->sysmap;
}
