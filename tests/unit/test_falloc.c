// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: the modes of fallocate at their edges: who is refused, what a full image and faults leave.
 * Method: files on real images; e2fsck at the end. What they do in the middle: model_file.c, and
 * tests/fuse/falloc.sh against the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "rt/mem.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum { BLOCK = 4096, BLKS = 40, BYTES = BLKS * BLOCK };
enum {
	KEEP = FALLOC_FL_KEEP_SIZE,
	PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	ZERO = FALLOC_FL_ZERO_RANGE,
	COLLAPSE = FALLOC_FL_COLLAPSE_RANGE,
	INSERT = FALLOC_FL_INSERT_RANGE,
};
#define FILE_MAX (UINT32_MAX * (uint64_t)BLOCK)

static struct mbfs_bdev *mem;
static uint8_t data[BYTES], back[2 * BYTES];

static void setup(void)
{
	mem = t_image_mem("-b 4096 -m 0", 16 << 20);
	for (size_t i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(1 + i / BLOCK + i % 7);
}

static void teardown(void)
{
	mbfs_bdev_close(mem);
}

static struct inode *file_new(struct t_fs *fs)
{
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0644);

	ck_assert_int_eq(file_write(in, &t_fs_root, data, BYTES, 0, 0), BYTES);
	return in;
}

static int falloc(struct inode *in, int mode, uint64_t off, uint64_t bytes)
{
	return file_fallocate(in, &t_fs_root, mode, off, bytes, NULL);
}

/* ---- who is refused ---- */

static const struct {
	int mode;
	uint64_t off, bytes;
	int err;
} refusals[] = {
	{ FALLOC_FL_PUNCH_HOLE, 0, BLOCK, -EOPNOTSUPP }, /* the size would stay all the same */
	{ PUNCH | ZERO, 0, BLOCK, -EOPNOTSUPP },
	{ COLLAPSE | KEEP, 0, BLOCK, -EOPNOTSUPP },
	{ INSERT | KEEP, 0, BLOCK, -EOPNOTSUPP },
	{ INSERT | COLLAPSE, 0, BLOCK, -EOPNOTSUPP },
	{ FALLOC_FL_UNSHARE_RANGE, 0, BLOCK, -EOPNOTSUPP },
	{ 1 << 20, 0, BLOCK, -EOPNOTSUPP },
	{ PUNCH, 0, 0, -EINVAL },
	{ ZERO, 0, 0, -EINVAL },
	{ COLLAPSE, 0, 0, -EINVAL },
	{ COLLAPSE, 1, BLOCK, -EINVAL },
	{ COLLAPSE, 0, BLOCK + 1, -EINVAL },
	{ COLLAPSE, 0, BYTES, -EINVAL }, /* that would be a truncate */
	{ COLLAPSE, BYTES - BLOCK, BLOCK, -EINVAL },
	{ COLLAPSE, BLOCK, FILE_MAX, -EFBIG },
	{ COLLAPSE, BLOCK, UINT64_MAX - BLOCK + 1, -EFBIG },
	{ INSERT, 1, BLOCK, -EINVAL },
	{ INSERT, 0, BLOCK - 1, -EINVAL },
	{ INSERT, BYTES, BLOCK, -EINVAL }, /* so would this */
	{ INSERT, BYTES, FILE_MAX - BYTES, -EINVAL },
	{ INSERT, BLOCK, FILE_MAX - 5 * BLOCK, -EFBIG },
	{ INSERT, 0, 1ull << 44, -EFBIG },
	{ INSERT, 0, UINT64_MAX - BLOCK + 1, -EFBIG },
	{ ZERO, 1ull << 44, 1, -EFBIG },
	{ ZERO, UINT64_MAX - 1, 5, -EFBIG },
	{ PUNCH, BYTES, FILE_MAX - BYTES, 0 }, /* there is nothing */
	{ PUNCH, BLOCK, FILE_MAX, -EFBIG },
	{ PUNCH, FILE_MAX, BLOCK, -EFBIG },
	{ PUNCH, BYTES, UINT64_MAX - BYTES, -EFBIG },
};

/* Goal: what is refused changes nothing. Method: the errors are those of Linux 6.18's ext4, noted
 * from the same calls there. */
START_TEST(refusals_change_nothing)
{
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = file_new(fs);

	ck_assert_int_eq(falloc(in, refusals[_i].mode, refusals[_i].off, refusals[_i].bytes),
			 refusals[_i].err);
	ck_assert_uint_eq(in->size_bytes, BYTES);
	ck_assert_int_eq(file_read(in, back, BYTES, 0), BYTES);
	ck_assert_mem_eq(back, data, BYTES);
	inode_put(in);
	t_fs_close_clean(fs);
}
END_TEST

/* A truncate to nothing of a file of BLKS blocks that cannot free them. */
static struct inode *file_half_cut(struct t_fs *fs)
{
	struct inode *in = file_new(fs);
	int err = 0;

	/* What is kept from one time to the next is not allocated again: then from the start. */
	for (uint64_t nth = 1, tries = 0; !in->trim_due; nth++) {
		ck_assert_uint_lt(tries++, 20);
		ck_assert_int_eq(file_write(in, &t_fs_root, data, BYTES, 0, 0), BYTES);
		rt_mem_fail_at(nth);
		err = file_truncate(in, 0);
		if (!rt_mem_fail_struck())
			nth = 0;
		rt_mem_fail_at(0);
	}
	ck_assert_int_eq(err, -ENOMEM);
	ck_assert_uint_eq(in->size_bytes, 0);
	return in;
}

/* Goal: what is reserved past the size stays reserved, though a truncate before could not free what
 * was there. Method: the size moves after it, by which the truncate is made good. */
START_TEST(a_reservation_outlives_a_truncate_that_failed)
{
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = file_half_cut(fs);

	ck_assert_int_eq(falloc(in, _i ? KEEP : KEEP | ZERO, 2 * BLOCK, 3 * BLOCK), 0);
	ck_assert_int_eq(file_truncate(in, BYTES), 0);
	ck_assert_uint_eq(in->blocks_512, 3 * BLOCK / 512);
	ck_assert_int_eq(file_read(in, back, BYTES, 0), BYTES);
	for (size_t i = 0; i < BYTES; i++)
		ck_assert_uint_eq(back[i], 0);
	inode_put(in);
	t_fs_close_clean(fs);
}
END_TEST

/* Goal: blocks reserved up to the last possible one cannot be moved off the end. */
START_TEST(nothing_moves_off_the_end)
{
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = file_new(fs);
	uint64_t max = file_size_max(in);

	ck_assert_int_eq(falloc(in, KEEP, max - 2 * BLOCK, BLOCK), 0);
	ck_assert_int_eq(falloc(in, INSERT, 0, 2 * BLOCK), -EINVAL);
	ck_assert_int_eq(falloc(in, INSERT, 0, BLOCK), 0);
	ck_assert_int_eq(falloc(in, INSERT, 0, BLOCK), -EINVAL);
	ck_assert_int_eq(file_read(in, back, BYTES, BLOCK), BYTES);
	ck_assert_mem_eq(back, data, BYTES);
	inode_put(in);
	t_fs_close_clean(fs);
}
END_TEST

/* ---- blocks ---- */

/* Goal: blocks are given back, those past the size too, and a zeroed range keeps its own. */
START_TEST(blocks_come_back)
{
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = file_new(fs);
	uint64_t all = t_fs_free_blks(fs);

	ck_assert_int_eq(falloc(in, PUNCH, BLOCK, 9 * BLOCK), 0);
	ck_assert_uint_eq(t_fs_free_blks(fs), all + 9);
	ck_assert_int_eq(falloc(in, ZERO, 0, 20 * BLOCK), 0);
	ck_assert_uint_eq(t_fs_free_blks(fs), all);
	ck_assert_int_eq(falloc(in, KEEP, BYTES, 10 * BLOCK), 0);
	ck_assert_int_eq(falloc(in, PUNCH, BYTES + 1, 1 << 30), 0);
	ck_assert_uint_eq(t_fs_free_blks(fs), all - 1); /* it began inside a block */
	ck_assert_int_eq(falloc(in, COLLAPSE, 0, 30 * BLOCK), 0);
	ck_assert_uint_eq(t_fs_free_blks(fs), all - 1 + 30);
	ck_assert_uint_eq(in->size_bytes, 10 * BLOCK);
	inode_put(in);
	t_fs_close_clean(fs);
}
END_TEST

/* Goal: on a full image punching, zeroing and collapsing work, and free what they free. */
START_TEST(a_full_image_is_no_obstacle)
{
	static const int modes[] = { PUNCH, ZERO, COLLAPSE };
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = file_new(fs), *other = t_fs_create(fs, "g", S_IFREG | 0644);

	ck_assert_int_eq(falloc(other, 0, 0, 64 << 20), -ENOSPC);
	ck_assert_int_eq(falloc(in, modes[_i], 8 * BLOCK, 8 * BLOCK), 0);
	ck_assert_int_eq(file_read(in, back, BYTES, 0), BYTES - (_i == 2 ? 8 * BLOCK : 0));
	ck_assert_mem_eq(back, data, 8 * BLOCK);
	ck_assert_mem_eq(back + (_i == 2 ? 8 : 16) * BLOCK, data + 16 * BLOCK, BYTES - 16 * BLOCK);
	inode_put(in);
	inode_put(other);
	t_fs_close_clean(fs);
}
END_TEST

/* ---- faults ---- */

/* Bytes outside [from, end) are as they were, those inside too or zero. */
static void check_partial(struct inode *in, uint64_t from, uint64_t end)
{
	ck_assert_int_eq(file_read(in, back, BYTES, 0), BYTES);
	for (uint64_t i = 0; i < BYTES; i++)
		if (back[i] != data[i] && (i < from || i >= end || back[i]))
			ck_abort_msg("byte %" PRIu64 " is %#x, was %#x", i, back[i], data[i]);
}

/*
 * After a fault of punch or zero every byte is the old one or zero. After one of collapse or insert
 * what lies before is as it was, and nothing shows that the file never had.
 */
static void check_faulty(struct inode *in, int mode, int err)
{
	const uint64_t off = 5 * BLOCK + 7, end = 25 * BLOCK + 9;
	uint64_t size = in->size_bytes;

	if (mode == PUNCH || mode == ZERO) {
		check_partial(in, off, end);
		for (uint64_t i = off; !err && i < end; i++)
			ck_assert_uint_eq(back[i], 0);
		return;
	}
	ck_assert(size == BYTES || size == BYTES + 4 * BLOCK || size == BYTES - 4 * BLOCK);
	ck_assert_int_eq(file_read(in, back, sizeof(back), 0), (ssize_t)size);
	ck_assert_mem_eq(back, data, 8 * BLOCK);
	for (uint64_t blk = 8; blk < size / BLOCK; blk++) {
		static const uint8_t zeros[BLOCK];
		bool known = !memcmp(back + blk * BLOCK, zeros, BLOCK);

		for (uint64_t i = 8; !known && i < BLKS; i++)
			known = !memcmp(back + blk * BLOCK, data + i * BLOCK, BLOCK);
		ck_assert(known);
	}
}

static void check_file(struct t_fs *fs, int mode, int err)
{
	struct inode *in = t_fs_find(fs, "f");

	check_faulty(in, mode, err);
	inode_put(in);
}

static int faulty_call(struct inode *in, int mode)
{
	if (mode == PUNCH || mode == ZERO)
		return falloc(in, mode, 5 * BLOCK + 7, 20 * BLOCK + 2);
	return falloc(in, mode, 8 * BLOCK, 4 * BLOCK);
}

static const int faulty_modes[] = { PUNCH, ZERO, COLLAPSE, INSERT };

/* Holes between the blocks: the tree has a leaf, and a move has work. */
static struct inode *file_with_holes(struct t_fs *fs)
{
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0644);

	for (unsigned i = 0; i < BLKS; i += 2)
		ck_assert_int_eq(file_write(in, &t_fs_root, data + i * BLOCK, BLOCK, i * BLOCK, 0),
				 BLOCK);
	for (unsigned i = 1; i < BLKS; i += 2)
		ck_assert_int_eq(file_write(in, &t_fs_root, data + i * BLOCK, BLOCK, i * BLOCK, 0),
				 BLOCK);
	return in;
}

/* Goal: no memory, once, at each allocation. */
START_TEST(each_allocation_may_fail)
{
	bool struck = true;
	unsigned nr = 0;

	for (uint64_t n = 1; struck; n++) {
		struct t_fs *fs = t_fs_open(mem, NULL);
		struct inode *in = file_with_holes(fs);
		int err;

		rt_mem_fail_at(n);
		err = faulty_call(in, faulty_modes[_i]);
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		nr += err != 0;
		ck_assert(err == 0 || (struck && err == -ENOMEM));
		check_faulty(in, faulty_modes[_i], err);
		ck_assert_int_eq(file_truncate(in, 0), 0);
		inode_put(in);
		t_fs_unlink(fs, "f");
		t_fs_close_clean(fs);
		ck_assert_uint_lt(n, 1000);
	}
	ck_assert_uint_gt(nr, 0);
}
END_TEST

/* The call, in a mount of its own, whose nth read or write fails. *struck: it came to that. */
static int faulty_mount(int mode, bool reads, uint64_t n, bool *struck)
{
	struct mbfs_fault_plan plan = { .fail_read_at = reads ? n : 0,
					.fail_write_at = reads ? 0 : n };
	struct t_fs_opts opts = { .plan = &plan };
	struct mbfs_fault_counts counts;
	struct inode *root, *in;
	struct t_fs *fs;
	int err = t_fs_try_open(mem, &opts, &fs);

	*struck = true;
	if (err)
		return err;
	err = inode_get(&fs->env, MBFS_ROOT_INO, &root);
	if (!err) {
		err = namei_lookup(root, "f", &in);
		inode_put(root);
	}
	if (!err) {
		err = faulty_call(in, mode);
		inode_put(in);
	}
	(void)t_fs_sync(fs);
	mbfs_bdev_fault_counts(fs->dev, &counts);
	*struck = counts.faults > 0;
	(void)t_fs_close(fs);
	return err;
}

/* Goal: each read and each write of the device fails once. Method: a cold cache, so that the tree
 * and the bitmaps are read by the call; what is left is seen by another mount. */
START_TEST(each_transfer_may_fail)
{
	int mode = faulty_modes[_i / 2];
	bool struck = true;
	unsigned nr = 0;

	for (uint64_t n = 1; struck; n++) {
		struct t_fs *fs = t_fs_open(mem, NULL);
		int err;

		inode_put(file_with_holes(fs));
		t_fs_close_clean(fs);
		err = faulty_mount(mode, _i % 2, n, &struck);
		nr += err != 0;
		ck_assert(err == 0 || err == -EIO);
		fs = t_fs_open(mem, NULL);
		check_file(fs, mode, err);
		t_fs_unlink(fs, "f");
		t_fs_close_clean(fs);
		ck_assert_uint_lt(n, 1000);
	}
	/* Collapse and insert write nothing but metadata, later. */
	ck_assert(nr > 0 || _i % 2 == 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("falloc");
	TCase *tc = tcase_create("falloc");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, refusals_change_nothing, 0, (int)MBFS_ARRAY_SIZE(refusals));
	tcase_add_loop_test(tc, a_reservation_outlives_a_truncate_that_failed, 0, 2);
	tcase_add_test(tc, nothing_moves_off_the_end);
	tcase_add_test(tc, blocks_come_back);
	tcase_add_loop_test(tc, a_full_image_is_no_obstacle, 0, 3);
	tcase_add_loop_test(tc, each_allocation_may_fail, 0, 4);
	tcase_add_loop_test(tc, each_transfer_may_fail, 0, 8);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
