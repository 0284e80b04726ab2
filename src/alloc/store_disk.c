// SPDX-License-Identifier: GPL-2.0-only
/*
 * The allocator's bitmaps on disk: block bitmaps in buffers, counted in group descriptors.
 *
 * A group is loaded once, under the allocator's GROUP_LOAD, and its bitmap's buffer is held from
 * then on: an update needs no I/O and cannot fail. What is loaded has been checked against
 * everything that is known about the group (checksum, its metadata blocks, its free count), so that
 * an allocator that trusts it can neither give metadata away nor count wrong. A group that fails is
 * the allocator's to fence off.
 *
 * The bitmap of a group marked BLOCK_UNINIT has never been written: only the group's metadata is in
 * use. It is made in memory; the first update clears the mark and thereby makes it real.
 *
 * Locks: update is called under the group's spinlock (40) and takes the buffer's (66), then the
 * descriptor's (58), one after the other: neither spans I/O or sleeps.
 */
#include <errno.h>
#include <string.h>

#include "alloc/gdt.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

struct store_disk {
	const struct mbfs_geo *geo;
	struct buf_cache *bufs;
	struct gdt *gdt;
};

/* Checked against the descriptor when a group is loaded. */
static const struct buf_kind block_bitmap_kind = { .name = "block bitmap" };

/* Bits of the allocator's copy: whole words. */
static uint32_t copy_bits(const struct mbfs_geo *geo)
{
	return (uint32_t)div_up(geo->blks_per_grp, 64) * 64;
}

static void pad(const struct mbfs_geo *geo, mbfs_grp_t grp, uint8_t *bits)
{
	uint32_t len = geo_grp_len(geo, grp);

	bits_set(bits, len, copy_bits(geo) - len);
}

static void copy_from(struct store_disk *s, mbfs_grp_t grp, struct buf *b, uint8_t *bits)
{
	buf_lock(b);
	memcpy(bits, b->data, copy_bits(s->geo) / 8);
	buf_unlock(b);
	pad(s->geo, grp, bits);
}

static int grp_info(void *ctx, mbfs_grp_t grp, uint32_t *free_nr, bool *bad)
{
	struct store_disk *s = ctx;
	struct gdesc d;

	gdt_read(s->gdt, grp, &d);
	/* Of groups that are being added the size is not known here yet; they are ours. */
	*bad = grp < geo_grp_nr(s->geo) && d.free_blks > geo_grp_len(s->geo, grp);
	*free_nr = *bad ? 0 : d.free_blks;
	return 0;
}

static int damaged(mbfs_grp_t grp, int err, const char *what)
{
	log_err("block bitmap of group %u: %s; run e2fsck -f on the image", grp, what);
	return err;
}

static int check_free(struct store_disk *s, mbfs_grp_t grp, const struct gdesc *d,
		      const uint8_t *bits)
{
	if (bits_count_clear(bits, 0, geo_grp_len(s->geo, grp)) == d->free_blks)
		return 0;
	return damaged(grp, -EUCLEAN, "the descriptor counts another number of free blocks");
}

/* The bitmap as mkfs would have written it. */
static int bitmap_make(struct store_disk *s, mbfs_grp_t grp, const struct gdesc *d, uint8_t *bits,
		       struct buf **out)
{
	uint32_t bytes = copy_bits(s->geo) / 8;
	struct buf *b;
	int err;

	memset(bits, 0, bytes);
	gdt_system_bits(s->gdt, grp, bits);
	pad(s->geo, grp, bits);
	err = check_free(s, grp, d, bits);
	if (err)
		return err;
	err = buf_get_new(s->bufs, d->block_bitmap, &block_bitmap_kind, NULL, &b);
	if (err)
		return err;
	buf_lock(b);
	memcpy(b->data, bits, bytes);
	memset(b->data + bytes, 0xff, s->geo->block_bytes - bytes);
	buf_unlock(b);
	*out = b;
	return 0;
}

static int bitmap_check(struct store_disk *s, mbfs_grp_t grp, const struct gdesc *d,
			const uint8_t *bits)
{
	const size_t bytes = copy_bits(s->geo) / 8;
	uint8_t *system = rt_zalloc(bytes);
	bool marked = true;

	if (!system)
		return -ENOMEM;
	gdt_system_bits(s->gdt, grp, system);
	for (size_t i = 0; i < bytes; i++)
		marked &= (system[i] & ~bits[i]) == 0;
	rt_free(system);
	if (!marked)
		return damaged(grp, -EUCLEAN, "blocks of the file system itself are marked free");
	return check_free(s, grp, d, bits);
}

static int bitmap_read(struct store_disk *s, mbfs_grp_t grp, const struct gdesc *d, uint8_t *bits,
		       struct buf **out)
{
	struct buf *b;
	bool csum_ok;
	int err = buf_get(s->bufs, d->block_bitmap, &block_bitmap_kind, NULL, &b);

	if (err)
		return err;
	/* Without the buffer's lock: nothing changes a bitmap before its group is loaded. */
	csum_ok = gdt_block_bitmap_csum_ok(s->gdt, grp, b->data);
	copy_from(s, grp, b, bits);
	err = csum_ok ? bitmap_check(s, grp, d, bits) : damaged(grp, -EBADMSG, "checksum is wrong");
	if (err) {
		buf_put(b);
		return err;
	}
	*out = b;
	return 0;
}

static int bitmap_load(void *ctx, mbfs_grp_t grp, uint8_t *bits)
{
	struct store_disk *s = ctx;
	struct buf *b = gdt_block_bitmap(s->gdt, grp);
	struct gdesc d;
	int err;

	if (b) {
		copy_from(s, grp, b, bits);
		return 0;
	}
	gdt_read(s->gdt, grp, &d);
	if (d.free_blks > geo_grp_len(s->geo, grp))
		return damaged(grp, -EUCLEAN,
			       "the descriptor counts more free blocks than there are");
	err = d.flags & GDESC_BLOCK_UNINIT ? bitmap_make(s, grp, &d, bits, &b)
					   : bitmap_read(s, grp, &d, bits, &b);
	if (err)
		return err;
	gdt_pin_block_bitmap(s->gdt, grp, b); /* the allocator loads a group on one thread */
	buf_put(b);
	return 0;
}

static struct buf *loaded(struct store_disk *s, mbfs_grp_t grp)
{
	struct buf *b = gdt_block_bitmap(s->gdt, grp);

	MBFS_ASSERT(b);
	return b;
}

static void bitmap_update(void *ctx, struct mbfs_tx *tx, mbfs_grp_t grp, mbfs_clu_t start,
			  uint32_t len, bool used)
{
	struct store_disk *s = ctx;
	struct buf *b = loaded(s, grp);
	struct gdesc_delta d = {
		.free_blks = used ? -(int32_t)len : (int32_t)len,
		.clear_flags = GDESC_BLOCK_UNINIT,
	};

	MBFS_ASSERT(len > 0 && start < geo_grp_len(s->geo, grp) &&
		    len <= geo_grp_len(s->geo, grp) - start);
	buf_lock(b);
	MBFS_ASSERT_SLOW(used ? bits_all_clear(b->data, start, len)
			      : bits_all_set(b->data, start, len));
	if (used)
		bits_set(b->data, start, len);
	else
		bits_clear(b->data, start, len);
	tx_dirty(tx, b);
	buf_unlock(b);
	gdt_update(s->gdt, tx, grp, &d);
}

static void bitmap_copy(void *ctx, mbfs_grp_t grp, uint8_t *bits)
{
	struct store_disk *s = ctx;

	copy_from(s, grp, loaded(s, grp), bits);
}

static bool is_system(void *ctx, mbfs_blk_t start, uint32_t len)
{
	struct store_disk *s = ctx;

	return gdt_is_system(s->gdt, start, len);
}

const struct mbfs_alloc_store_ops store_disk_ops = {
	.grp_info = grp_info,
	.bitmap_load = bitmap_load,
	.bitmap_update = bitmap_update,
	.bitmap_copy = bitmap_copy,
	.is_system = is_system,
};

int store_disk_open(const struct mbfs_geo *geo, struct buf_cache *bufs, struct gdt *gdt,
		    struct store_disk **out)
{
	struct store_disk *s = rt_zalloc(sizeof(*s));

	MBFS_ASSERT(copy_bits(geo) <= 8 * geo->block_bytes);
	if (!s)
		return -ENOMEM;
	s->geo = geo;
	s->bufs = bufs;
	s->gdt = gdt;
	*out = s;
	return 0;
}

void store_disk_close(struct store_disk *s)
{
	rt_free(s);
}
