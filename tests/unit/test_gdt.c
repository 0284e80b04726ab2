// SPDX-License-Identifier: GPL-2.0-only
/* Group descriptors: known bytes, the way back to disk, damage, faults. Images are mkfs.ext4's. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "rt/mem.h"
#include "support/t_groups.h"
#include "support/t_image.h"

static const struct buf_kind bitmap_kind = { .name = "bitmap of a test" };

static struct mbfs_bdev *mem;
static struct t_groups_bed bed;
static struct gdt *gdt;

static void open_image(unsigned layout)
{
	struct mbfs_diag diag = { "" };
	int err;

	mem = t_groups_image(layout);
	t_groups_open(&bed, mem, NULL);
	err = gdt_open(bed.geo, bed.bufs, &diag, &gdt);
	ck_assert_msg(!err, "%s", diag.text);
}

static void close_image(void)
{
	gdt_close(gdt);
	t_groups_close(&bed);
	mbfs_bdev_close(mem);
}

static uint8_t *block(mbfs_blk_t blk)
{
	return mbfs_bdev_mem_bytes(mem) + blk * bed.geo->block_bytes;
}

/* Goal: descriptors mean what dumpe2fs says, and the same blocks are metadata. Row _i: layout. */
START_TEST(descriptors_are_as_dumpe2fs_reads_them)
{
	uint64_t free_blks, free_inodes, dirs, sums[3] = { 0 };
	struct t_groups want;

	open_image((unsigned)_i);
	t_groups_ask(mem, bed.geo, &want);
	for (mbfs_grp_t grp = 0; grp < bed.geo->grp_nr; grp++) {
		const struct gdesc *w = &want.grps[grp].d;
		struct gdesc d;

		gdt_read(gdt, grp, &d);
		ck_assert_uint_eq(d.block_bitmap, w->block_bitmap);
		ck_assert_uint_eq(d.inode_bitmap, w->inode_bitmap);
		ck_assert_uint_eq(d.inode_table, w->inode_table);
		ck_assert_uint_eq(d.free_blks, w->free_blks);
		ck_assert_uint_eq(d.free_inodes, w->free_inodes);
		ck_assert_uint_eq(d.used_dirs, w->used_dirs);
		ck_assert_uint_eq(d.itable_unused, w->itable_unused);
		ck_assert_uint_eq(d.flags, w->flags);
		sums[0] += w->free_blks, sums[1] += w->free_inodes, sums[2] += w->used_dirs;
		if (!(d.flags & GDESC_BLOCK_UNINIT))
			ck_assert(gdt_block_bitmap_csum_ok(gdt, grp, block(d.block_bitmap)));
		if (!(d.flags & GDESC_INODE_UNINIT))
			ck_assert(gdt_inode_bitmap_csum_ok(gdt, grp, block(d.inode_bitmap)));
	}
	gdt_totals(gdt, &free_blks, &free_inodes, &dirs);
	ck_assert_uint_eq(free_blks, sums[0]);
	ck_assert_uint_eq(free_inodes, sums[1]);
	ck_assert_uint_eq(dirs, sums[2]);
	for (mbfs_blk_t b = 0; b < bed.geo->blk_nr; b++)
		ck_assert_msg(gdt_is_system(gdt, b, 1) == want.system[b], "block %" PRIu64, b);
	ck_assert(gdt_is_system(gdt, bed.geo->blk_nr - 1, 2)); /* not on the device */
	t_groups_free(&want);
	close_image();
}
END_TEST

/* Goal: a bitmap with another bit has another checksum, if the image has any. */
START_TEST(bitmap_checksums_are_checked)
{
	struct gdesc d;
	bool csum;

	open_image((unsigned)_i);
	csum = bed.geo->features & GEO_CSUM;
	gdt_read(gdt, 0, &d);
	block(d.block_bitmap)[bed.geo->blks_per_grp / 8 - 1] ^= 1;
	block(d.inode_bitmap)[bed.geo->inodes_per_grp / 8 - 1] ^= 1;
	ck_assert(gdt_block_bitmap_csum_ok(gdt, 0, block(d.block_bitmap)) == !csum);
	ck_assert(gdt_inode_bitmap_csum_ok(gdt, 0, block(d.inode_bitmap)) == !csum);
	close_image();
}
END_TEST

static void pin_all(void)
{
	for (mbfs_grp_t grp = 0; grp < bed.geo->grp_nr; grp++) {
		struct gdesc d;
		struct buf *b;

		gdt_read(gdt, grp, &d);
		ck_assert_int_eq(buf_get(bed.bufs, d.block_bitmap, &bitmap_kind, NULL, &b), 0);
		gdt_pin_block_bitmap(gdt, grp, b);
		buf_put(b);
		ck_assert_int_eq(buf_get(bed.bufs, d.inode_bitmap, &bitmap_kind, NULL, &b), 0);
		gdt_pin_inode_bitmap(gdt, grp, b);
		buf_put(b);
	}
}

static void update_and_seal(const struct gdesc_delta *d)
{
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(bed.log, 100, &tx), 0);
	for (mbfs_grp_t grp = 0; grp < bed.geo->grp_nr; grp++)
		gdt_update(gdt, tx, grp, d);
	gdt_seal(gdt, tx);
	tx_stop(tx);
	ck_assert_int_eq(tx_writeout(bed.log), 0);
}

/* In one block. */
static uint64_t bytes_differ(const uint8_t *a, const uint8_t *b)
{
	uint64_t nr = 0;

	if (memcmp(a, b, bed.geo->block_bytes) == 0)
		return 0;
	for (uint32_t i = 0; i < bed.geo->block_bytes; i++)
		nr += a[i] != b[i];
	return nr;
}

/*
 * Goal: what is put down is what mke2fs put down, checksums too, in the first copy alone. Method:
 * count something and count it back, each with a write-out; the whole image is as it was.
 */
START_TEST(sealed_descriptors_are_mke2fs_bytes)
{
	static const struct gdesc_delta there = { .used_dirs = 3 }, back = { .used_dirs = -3 };
	uint64_t changed = 0, from, to;
	uint8_t *base;

	open_image((unsigned)_i);
	pin_all();
	base = malloc(mem->size_bytes);
	memcpy(base, mbfs_bdev_mem_bytes(mem), mem->size_bytes);
	update_and_seal(&there);
	from = (bed.geo->first_blk + 1ull) * bed.geo->block_bytes;
	to = from + (uint64_t)bed.geo->desc_blk_nr * bed.geo->block_bytes;
	for (uint64_t at = 0; at < mem->size_bytes; at += bed.geo->block_bytes) {
		uint64_t differ = bytes_differ(base + at, mbfs_bdev_mem_bytes(mem) + at);

		changed += differ;
		ck_assert_msg(!differ || (at >= from && at < to) ||
				      (bed.geo->features & GEO_META_BG),
			      "block at %" PRIu64 " is in no descriptor", at);
	}
	ck_assert_uint_ge(changed, bed.geo->grp_nr); /* every group counts three more */
	update_and_seal(&back);
	ck_assert(memcmp(base, mbfs_bdev_mem_bytes(mem), mem->size_bytes) == 0);
	free(base);
	ck_assert_int_eq(t_image_fsck(mem), 0);
	close_image();
}
END_TEST

/* Goal: counters that were wrong on disk end at their bounds, and do not wrap. */
START_TEST(counters_do_not_wrap)
{
	static const struct gdesc_delta down = { INT32_MIN, INT32_MIN, INT32_MIN,
						 7,         true,      GDESC_INODE_ZEROED };
	static const struct gdesc_delta up = { INT32_MAX, INT32_MAX, INT32_MAX, 9, false, 0 };
	mbfs_grp_t last;
	struct gdesc d;

	open_image(0);
	last = bed.geo->grp_nr - 1;
	update_and_seal(&down);
	gdt_read(gdt, last, &d);
	ck_assert(d.free_blks == 0 && d.free_inodes == 0 && d.used_dirs == 0);
	ck_assert_uint_eq(d.itable_unused, 7);
	ck_assert(!(d.flags & GDESC_INODE_ZEROED));
	update_and_seal(&up);
	gdt_read(gdt, last, &d);
	ck_assert_uint_eq(d.free_blks, geo_grp_len(bed.geo, last));
	ck_assert_uint_eq(d.free_inodes, bed.geo->inodes_per_grp);
	ck_assert_uint_eq(d.used_dirs, bed.geo->inodes_per_grp);
	ck_assert_uint_eq(d.itable_unused, 7);
	close_image();
}
END_TEST

/* ---- damage ---- */

static int try_open(struct mbfs_diag *diag)
{
	struct gdt *now;
	int err;

	*diag = (struct mbfs_diag){ "" };
	t_groups_open(&bed, mem, NULL);
	err = gdt_open(bed.geo, bed.bufs, diag, &now);
	if (!err)
		gdt_close(now);
	t_groups_close(&bed);
	return err;
}

/* Goal: no bit of a descriptor can turn. Rows: crc32c over 64 bytes, and crc16 and crc32c over 32.
 */
START_TEST(any_bit_is_under_the_checksum)
{
	static const unsigned layouts[] = { 0, 1, 3 };
	struct mbfs_diag diag;
	uint32_t bytes;
	uint8_t *raw;

	open_image(layouts[_i]);
	raw = t_groups_desc(mem, bed.geo, 1);
	bytes = bed.geo->desc_bytes;
	ck_assert_uint_eq(bytes, _i ? 32 : 64);
	gdt_close(gdt);
	t_groups_close(&bed);
	for (uint32_t bit = 0; bit < bytes * 8; bit++) {
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_msg(try_open(&diag) == -EBADMSG, "bit %u", bit);
		ck_assert_ptr_nonnull(strstr(diag.text, "group 1:"));
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ck_assert_int_eq(try_open(&diag), 0);
	mbfs_bdev_close(mem);
}
END_TEST

/* What is wrong with group 1 under a right checksum. */
static void desc_damage(struct mbfs_gdesc_disk *d, const struct mbfs_geo *geo, int row)
{
	const struct mbfs_gdesc_disk was = *d;

	switch (row) {
	case 0:
		d->block_bitmap_lo = le32_of((uint32_t)geo->blk_nr);
		break;
	case 1:
		d->inode_bitmap_lo = le32_of((uint32_t)geo->blk_nr);
		break;
	case 2:
		d->inode_table_lo = le32_of((uint32_t)geo->blk_nr - 1);
		break; /* its end */
	case 3:
		d->block_bitmap_hi = le32_of(1);
		break;
	case 4:
		d->inode_bitmap_hi = le32_of(1);
		break;
	case 5:
		d->inode_table_hi = le32_of(1);
		break;
	case 6:
		d->block_bitmap_lo = le32_of(0);
		break; /* the boot block */
	case 7:
		d->inode_bitmap_lo = was.block_bitmap_lo;
		break; /* overlaps */
	case 8:
		d->block_bitmap_lo = le32_of(geo->first_blk + 1);
		break; /* on the descriptors */
	case 9:
		d->inode_table_lo = le32_of(le32_get(was.inode_table_lo) - 1);
		break;
	case 10:
		d->free_inodes_hi = le16_of(1);
		break;
	case 11:
		d->used_dirs_hi = le16_of(1);
		break;
	default:
		d->itable_unused_lo = le16_of((uint16_t)(geo->inodes_per_grp + 1));
	}
}

START_TEST(nonsense_under_a_right_checksum_is_refused)
{
	struct mbfs_diag diag;

	open_image(0);
	desc_damage((void *)t_groups_desc(mem, bed.geo, 1), bed.geo, _i);
	t_groups_desc_seal(mem, bed.geo, 1);
	gdt_close(gdt);
	t_groups_close(&bed);
	ck_assert_int_eq(try_open(&diag), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(diag.text, "e2fsck"));
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: without flex_bg a group's metadata is in the group. */
START_TEST(without_flex_bg_metadata_is_at_home)
{
	struct mbfs_gdesc_disk *d;
	struct mbfs_diag diag;

	open_image(2);
	d = (void *)t_groups_desc(mem, bed.geo, 1);
	d->block_bitmap_lo = le32_of((uint32_t)geo_grp_start(bed.geo, 2) + 4000);
	gdt_close(gdt);
	t_groups_close(&bed);
	ck_assert_int_eq(try_open(&diag), -EUCLEAN);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- faults ---- */

/* Goal: each read and each allocation may fail; the next try works. */
START_TEST(opening_may_fail_anywhere)
{
	uint64_t reads, mems;
	bool struck = true;
	struct gdt *now;

	mem = t_groups_image(4); /* meta_bg: the table has many blocks */
	for (reads = 0; struck; reads++) {
		struct mbfs_fault_plan plan = { .fail_read_at = reads + 2 }; /* the superblock's */
		struct mbfs_fault_counts counts;
		struct mbfs_diag diag = { "" };
		int err;

		t_groups_open(&bed, mem, &plan);
		err = gdt_open(bed.geo, bed.bufs, &diag, &now);
		mbfs_bdev_fault_counts(bed.dev, &counts);
		struck = counts.faults > 0;
		ck_assert_int_eq(err, struck ? -EIO : 0);
		ck_assert(!struck || strstr(diag.text, "descriptors"));
		ck_assert_uint_eq(counts.reads, struck ? reads + 2 : bed.geo->desc_blk_nr + 1);
		if (err)
			ck_assert_int_eq(gdt_open(bed.geo, bed.bufs, &diag, &now), 0);
		gdt_close(now);
		t_groups_close(&bed);
	}
	for (mems = 0, struck = true; struck; mems++) {
		struct mbfs_diag diag = { "" };
		int err;

		t_groups_open(&bed, mem, NULL);
		rt_mem_fail_at(mems + 1);
		err = gdt_open(bed.geo, bed.bufs, &diag, &now);
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		ck_assert(err == 0 || (struck && err == -ENOMEM));
		if (err)
			ck_assert_int_eq(gdt_open(bed.geo, bed.bufs, &diag, &now), 0);
		gdt_close(now);
		t_groups_close(&bed);
	}
	printf("%" PRIu64 " reads, %" PRIu64 " allocations failed\n", reads - 1, mems - 1);
	ck_assert(reads > 4 && mems > 4);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("gdt");
	TCase *tc = tcase_create("gdt");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, descriptors_are_as_dumpe2fs_reads_them, 0, T_LAYOUT_NR);
	tcase_add_loop_test(tc, bitmap_checksums_are_checked, 0, T_LAYOUT_NR);
	tcase_add_loop_test(tc, sealed_descriptors_are_mke2fs_bytes, 0, T_LAYOUT_NR);
	tcase_add_test(tc, counters_do_not_wrap);
	tcase_add_loop_test(tc, any_bit_is_under_the_checksum, 0, 3);
	tcase_add_loop_test(tc, nonsense_under_a_right_checksum_is_refused, 0, 13);
	tcase_add_test(tc, without_flex_bg_metadata_is_at_home);
	tcase_add_test(tc, opening_may_fail_anywhere);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
