// SPDX-License-Identifier: GPL-2.0-only
/* The store of block bitmaps on disk: known bits, updates, damage, faults. Images are mkfs.ext4's.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "rt/mem.h"
#include "support/t_groups.h"
#include "support/t_image.h"

static const struct mbfs_alloc_store_ops *const ops = &store_disk_ops;

static struct mbfs_bdev *mem;
static struct t_groups_bed bed;
static struct gdt *gdt;
static struct store_disk *store;
static uint8_t *bits;
static struct txlog_hook seal_hook;

static void seal(void *arg, struct mbfs_tx *tx)
{
	gdt_seal(arg, tx);
}

static void open_store(const struct mbfs_fault_plan *plan)
{
	struct mbfs_diag diag = { "" };
	int err;

	t_groups_open(&bed, mem, plan);
	err = gdt_open(bed.geo, bed.bufs, &diag, &gdt);
	ck_assert_msg(!err, "%s", diag.text);
	seal_hook = (struct txlog_hook){ .pre_write = seal, .arg = gdt };
	txlog_hook_add(bed.log, &seal_hook);
	ck_assert_int_eq(store_disk_open(bed.geo, bed.bufs, gdt, &store), 0);
	/* Exactly what the contract promises to fill: whole words. */
	bits = malloc((bed.geo->blks_per_grp + 63) / 64 * 8);
}

static void close_store(void)
{
	store_disk_close(store);
	gdt_close(gdt);
	t_groups_close(&bed);
	free(bits);
}

static void check_bits(const struct t_groups *want, mbfs_grp_t grp)
{
	uint32_t len = geo_grp_len(bed.geo, grp), all = (bed.geo->blks_per_grp + 63) / 64 * 64;
	mbfs_blk_t start = geo_grp_start(bed.geo, grp);

	for (uint32_t i = 0; i < all; i++)
		ck_assert_msg(bit_test(bits, i) == (i >= len || !want->unused[start + i]),
			      "group %u, block %u of %u", grp, i, len);
}

/* What a bitmap on disk has past its group's end is nobody's to trust; no checksum forbids it. */
static void padding_clear(const struct t_groups *want)
{
	mbfs_grp_t last = bed.geo->grp_nr - 1;
	uint32_t len = geo_grp_len(bed.geo, last);

	if (bed.geo->features & GEO_CSUM)
		return;
	bits_clear(mbfs_bdev_mem_bytes(mem) +
			   want->grps[last].d.block_bitmap * bed.geo->block_bytes,
		   len, 8 * bed.geo->block_bytes - len);
}

/* Goal: the allocator is told what dumpe2fs says, of uninit groups too; the same from a copy. */
START_TEST(bits_are_as_dumpe2fs_reads_them)
{
	struct t_groups want;
	bool uninit = false;

	mem = t_groups_image((unsigned)_i);
	open_store(NULL);
	t_groups_ask(mem, bed.geo, &want);
	padding_clear(&want);
	for (mbfs_grp_t grp = 0; grp < bed.geo->grp_nr; grp++) {
		uint32_t free_nr = 0;
		bool bad = true;

		ck_assert_int_eq(ops->grp_info(store, grp, &free_nr, &bad), 0);
		ck_assert(!bad);
		ck_assert_uint_eq(free_nr, want.grps[grp].d.free_blks);
		uninit |= want.grps[grp].d.flags & GDESC_BLOCK_UNINIT;
		for (int again = 0; again < 2; again++) {
			memset(bits, 0x5a, (bed.geo->blks_per_grp + 63) / 64 * 8);
			ck_assert_int_eq(ops->bitmap_load(store, grp, bits), 0);
			check_bits(&want, grp);
		}
		memset(bits, 0x5a, (bed.geo->blks_per_grp + 63) / 64 * 8);
		ops->bitmap_copy(store, grp, bits);
		check_bits(&want, grp);
	}
	for (mbfs_blk_t b = 0; b < bed.geo->blk_nr; b++)
		ck_assert_int_eq(ops->is_system(store, b, 1), want.system[b]);
	printf("%s: %s\n", t_layouts[_i].args, uninit ? "some groups uninit" : "no group uninit");
	t_groups_free(&want);
	close_store();
	mbfs_bdev_close(mem);
}
END_TEST

static void update(mbfs_grp_t grp, mbfs_clu_t start, uint32_t len, bool used)
{
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(bed.log, 10, &tx), 0);
	ops->bitmap_update(store, tx, grp, start, len, used);
	tx_stop(tx);
}

/*
 * Goal: updates reach bitmap and descriptor; an uninit group becomes a real one, its bitmap as
 * e2fsck makes it. Method: in each group take the last free blocks, look from the disk, give them
 * back; e2fsck is content, which checks each bit, count and checksum.
 */
START_TEST(updates_reach_the_disk)
{
	struct t_groups want;

	mem = t_groups_image((unsigned)_i);
	for (int give = 0; give < 2; give++) {
		open_store(NULL);
		if (!give)
			t_groups_ask(mem, bed.geo, &want);
		for (mbfs_grp_t grp = 0; grp < bed.geo->grp_nr; grp++) {
			uint32_t len = geo_grp_len(bed.geo, grp), nr = 0, now;
			mbfs_blk_t end = geo_grp_start(bed.geo, grp) + len;
			bool bad;

			while (nr < 20 && nr < len && want.unused[end - nr - 1])
				nr++;
			ck_assert_int_eq(ops->bitmap_load(store, grp, bits), 0);
			if (nr == 0)
				continue;
			ck_assert(bit_test(bits, len - 1) == (give == 1));
			update(grp, len - nr, nr, !give);
			ck_assert_int_eq(ops->grp_info(store, grp, &now, &bad), 0);
			ck_assert_uint_eq(now, want.grps[grp].d.free_blks - (give ? 0 : nr));
			ops->bitmap_copy(store, grp, bits);
			ck_assert(bit_test(bits, len - nr) == !give);
		}
		ck_assert_int_eq(tx_writeout(bed.log), 0);
		close_store();
	}
	t_groups_free(&want);
	ck_assert_int_eq(t_image_fsck(mem), 0);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- damage ---- */

enum damage {
	BIT_TURNED,
	BITS_SWAPPED,
	META_FREE,
	COUNT_LOW,
	COUNT_ABOVE,
	UNINIT_COUNT,
	DAMAGE_NR
};

static struct mbfs_gdesc_disk *desc(mbfs_grp_t grp)
{
	return (void *)t_groups_desc(mem, bed.geo, grp);
}

static void count_set(mbfs_grp_t grp, uint32_t free_nr)
{
	desc(grp)->free_blocks_lo = le16_of((uint16_t)free_nr);
	t_groups_desc_seal(mem, bed.geo, grp);
}

/* Group 0's bitmap has been written on all images. Which group is damaged. */
static mbfs_grp_t damage(enum damage what, const struct t_groups *want)
{
	uint32_t free_nr = want->grps[0].d.free_blks, len = geo_grp_len(bed.geo, 0);
	uint8_t *map =
		mbfs_bdev_mem_bytes(mem) + want->grps[0].d.block_bitmap * bed.geo->block_bytes;
	mbfs_grp_t grp = 0;

	switch (what) {
	case BIT_TURNED:
		bits_set(map, len - 1, 1);
		break;
	case BITS_SWAPPED: /* the count stays */
		bits_set(map, len - 1, 1);
		bits_clear(map, bits_next_clear(map, 0, len) - 1, 1);
		break;
	case META_FREE: /* the count agrees */
		bits_clear(map, (mbfs_clu_t)(want->grps[0].d.inode_table - bed.geo->first_blk), 1);
		count_set(0, free_nr + 1);
		break;
	case COUNT_LOW:
		count_set(0, free_nr - 1);
		break;
	case COUNT_ABOVE:
		count_set(0, len + 1);
		break;
	default:
		while (grp < bed.geo->grp_nr && !(want->grps[grp].d.flags & GDESC_BLOCK_UNINIT))
			grp++;
		if (grp < bed.geo->grp_nr)
			count_set(grp, want->grps[grp].d.free_blks - 1);
	}
	return grp;
}

/* Goal: a bitmap that does not fit what is known of its group is refused, again and again, and
 * nothing is kept. Rows: each damage on images with crc32c, crc16 and no checksums. */
START_TEST(damaged_bitmaps_are_refused)
{
	static const unsigned layouts[] = { 0, 1, 2 };
	static const int errs[DAMAGE_NR][3] = {
		[BIT_TURNED] = { -EBADMSG, -EUCLEAN, -EUCLEAN },
		[BITS_SWAPPED] = { -EBADMSG, 0, 0 }, /* a file's block: nothing says otherwise */
		[META_FREE] = { -EBADMSG, -EUCLEAN, -EUCLEAN },
		[COUNT_LOW] = { -EUCLEAN, -EUCLEAN, -EUCLEAN },
		[COUNT_ABOVE] = { -EUCLEAN, -EUCLEAN, -EUCLEAN },
		[UNINIT_COUNT] = { -EUCLEAN, -EUCLEAN, 0 }, /* the last has no uninit groups */
	};
	enum damage what = (enum damage)(_i / 3);
	struct t_groups want;
	uint32_t free_nr;
	mbfs_grp_t grp;
	bool bad;

	mem = t_groups_image(layouts[_i % 3]);
	open_store(NULL);
	t_groups_ask(mem, bed.geo, &want);
	grp = damage(what, &want);
	close_store();
	open_store(NULL);
	ck_assert(grp < bed.geo->grp_nr || (what == UNINIT_COUNT && !want.any_uninit));
	for (int again = 0; again < 2 && grp < bed.geo->grp_nr; again++) {
		ck_assert_int_eq(ops->bitmap_load(store, grp, bits), errs[what][_i % 3]);
		ck_assert_int_eq(ops->grp_info(store, grp, &free_nr, &bad), 0);
		ck_assert(bad == (what == COUNT_ABOVE));
	}
	ck_assert_int_eq(ops->bitmap_load(store, grp ? 0 : 1, bits), 0); /* the others are fine */
	t_groups_free(&want);
	close_store();
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- faults ---- */

/* Load all groups; the first error. */
static int load_all(void)
{
	int err = 0, first = 0;

	for (mbfs_grp_t grp = 0; grp < bed.geo->grp_nr; grp++) {
		err = ops->bitmap_load(store, grp, bits);
		first = first ? first : err;
		if (err) /* the next try works */
			ck_assert_int_eq(ops->bitmap_load(store, grp, bits), 0);
	}
	return first;
}

/* Goal: each read, allocation and write may fail, once; what is tried again works. */
START_TEST(each_call_may_fail)
{
	uint64_t reads, mems, writes, before;
	struct mbfs_fault_counts counts;
	bool struck = true;
	int err;

	mem = t_groups_image(3); /* without flex_bg each bitmap is a write of its own */
	open_store(NULL);
	mbfs_bdev_fault_counts(bed.dev, &counts);
	before = counts.reads;
	close_store();
	for (reads = 0; struck; reads++) {
		open_store(&(struct mbfs_fault_plan){ .fail_read_at = before + reads + 1 });
		err = load_all();
		mbfs_bdev_fault_counts(bed.dev, &counts);
		struck = counts.faults > 0;
		ck_assert_int_eq(err, struck ? -EIO : 0);
		close_store();
	}
	for (mems = 0, struck = true; struck; mems++) {
		open_store(NULL);
		store_disk_close(store);
		rt_mem_fail_at(mems + 1);
		err = store_disk_open(bed.geo, bed.bufs, gdt, &store);
		if (err)
			ck_assert_int_eq(store_disk_open(bed.geo, bed.bufs, gdt, &store), 0);
		err = err ? err : load_all();
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		ck_assert_int_eq(err, struck ? -ENOMEM : 0);
		close_store();
	}
	for (writes = 0, struck = true; struck; writes++) {
		open_store(&(struct mbfs_fault_plan){ .fail_write_at = writes + 1 });
		ck_assert_int_eq(load_all(), 0);
		for (mbfs_grp_t grp = 0; grp < bed.geo->grp_nr; grp++) {
			uint32_t last = geo_grp_len(bed.geo, grp) - 1;

			ops->bitmap_copy(store, grp, bits);
			update(grp, last, 1, !bit_test(bits, last));
		}
		struck = tx_writeout(bed.log) != 0;
		ck_assert_int_eq(tx_writeout(bed.log), 0);
		close_store();
		open_store(NULL); /* bits, counts and checksums agree again */
		ck_assert_int_eq(load_all(), 0);
		close_store();
	}
	printf("%" PRIu64 " reads, %" PRIu64 " allocations, %" PRIu64 " writes failed\n", reads - 1,
	       mems - 1, writes - 1);
	fflush(stdout);
	ck_assert(reads > 2 && mems > 4 && writes > 2);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("store_disk");
	TCase *tc = tcase_create("store_disk");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, bits_are_as_dumpe2fs_reads_them, 0, T_LAYOUT_NR);
	tcase_add_loop_test(tc, updates_reach_the_disk, 0, T_LAYOUT_NR);
	tcase_add_loop_test(tc, damaged_bitmaps_are_refused, 0, DAMAGE_NR * 3);
	tcase_add_test(tc, each_call_may_fail);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
