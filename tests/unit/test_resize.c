// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growing a mounted image on a device in memory: whatever fails or cuts the power, the image has
 * its old or its new size and no file has changed. Sizes, layouts and programs over a mount are
 * tests/fuse/resize.sh's.
 *
 * Moments to fail at are drawn, one of each of some equal parts of a growth, always the same;
 * MBFS_LONG=1 takes every read, write, flush and allocation.
 */
#include <errno.h>
#include <fcntl.h>
#include <mbfs/fs.h>
#include <string.h>
#include <unistd.h>

#include "rt/mem.h"
#include "support/t_image.h"

enum { OLD_KIB = 4600, NEW_KIB = 20 << 10, KEEP_BYTES = 100000, KIB = 1024 };

/* Blocks of 1 KiB in groups of 1 MiB, the last one short: to 20 MiB it needs a new block of
 * descriptors, and gets groups with backups. The second has descriptors without flags: all tables
 * are written. */
static const char *const images[] = {
	"-b 1024 -g 1024 -O ^has_journal -E resize=300000",
	"-b 1024 -g 1024 -O ^has_journal,^metadata_csum,^uninit_bg,^flex_bg -E resize=300000",
	"-b 1024 -g 1024 -O ^has_journal,meta_bg,^resize_inode",
};
enum { IMAGES = 3 };

/* Parts of a growth where the power is cut and where a device fails; see picked(). */
enum { CUTS = 12, FAULTS = 8, ALLOCS_APART = 6, TAIL = 30, SEED = 0x6d6266 };

static const struct mbfs_cred root_cred = { 0 };
static struct mbfs_bdev *pristine[IMAGES]; /* a little of everything is in it */

static struct mbfs_fs *mount(struct mbfs_bdev *dev)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag, notes;
	struct mbfs_fs *fs;
	int err;

	mbfs_mount_opts_default(&opts);
	opts.commit_s = 100000; /* writes come from this thread only: they can be counted */
	err = mbfs_fs_mount(dev, &opts, &diag, &notes, &fs);
	ck_assert_msg(!err, "mount: %d %s", err, diag.text);
	return fs;
}

static void file_write(struct mbfs_fs *fs, const char *name)
{
	uint8_t *data = malloc(KEEP_BYTES);
	struct mbfs_attr attr;
	struct mbfs_file *f;

	for (uint64_t i = 0; i < KEEP_BYTES; i++)
		data[i] = t_image_byte(i);
	ck_assert_int_eq(
		mbfs_fs_mknod(fs, &root_cred, MBFS_ROOT_INO, name, S_IFREG | 0644, 0, &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDWR, &f), 0);
	ck_assert_int_eq(mbfs_file_write(f, &root_cred, data, KEEP_BYTES, 0), KEEP_BYTES);
	mbfs_file_release(f);
	mbfs_fs_forget(fs, attr.ino, 1);
	free(data);
}

static void file_check(struct mbfs_fs *fs, const char *name)
{
	uint8_t *data = malloc(KEEP_BYTES);
	struct mbfs_attr attr;
	struct mbfs_file *f;
	uint64_t same = 0;

	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, name, &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDONLY, &f), 0);
	ck_assert_int_eq(mbfs_file_read(f, data, KEEP_BYTES, 0), KEEP_BYTES);
	/* Check writes each assertion down: one for all bytes. */
	while (same < KEEP_BYTES && data[same] == t_image_byte(same))
		same++;
	ck_assert_msg(same == KEEP_BYTES, "%s: byte %" PRIu64, name, same);
	mbfs_file_release(f);
	mbfs_fs_forget(fs, attr.ino, 1);
	free(data);
}

/* An image of OLD_KIB on a device of NEW_KIB. */
static void setup_once(void)
{
	for (int i = 0; i < IMAGES; i++) {
		struct mbfs_bdev *small = t_image_mem(images[i], (uint64_t)OLD_KIB * KIB);
		struct mbfs_fs *fs;

		ck_assert_int_eq(mbfs_bdev_open_mem((uint64_t)NEW_KIB * KIB, &pristine[i]), 0);
		memcpy(mbfs_bdev_mem_bytes(pristine[i]), mbfs_bdev_mem_bytes(small),
		       (size_t)OLD_KIB * KIB);
		mbfs_bdev_close(small);
		/* What was there before has to be found unused, not zero. */
		memset(mbfs_bdev_mem_bytes(pristine[i]) + (size_t)OLD_KIB * KIB, 0xa5,
		       (size_t)2000 * KIB);
		fs = mount(pristine[i]);
		file_write(fs, "keep");
		ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	}
}

static void teardown_once(void)
{
	for (int i = 0; i < IMAGES; i++)
		mbfs_bdev_close(pristine[i]);
}

static struct mbfs_bdev *copy_of(struct mbfs_bdev *from)
{
	struct mbfs_bdev *to;

	ck_assert_int_eq(mbfs_bdev_open_mem(from->size_bytes, &to), 0);
	memcpy(mbfs_bdev_mem_bytes(to), mbfs_bdev_mem_bytes(from), from->size_bytes);
	return to;
}

static uint64_t size_of(struct mbfs_fs *fs)
{
	struct mbfs_resize_state state;

	mbfs_fs_resize_state(fs, &state);
	return state.size_bytes / KIB;
}

/* Clean, with a file from before, and @more from after. */
static void image_check(struct mbfs_bdev *mem, bool more)
{
	struct mbfs_fs *fs;

	ck_assert_int_eq(t_image_fsck(mem), 0);
	fs = mount(mem);
	file_check(fs, "keep");
	if (more)
		file_check(fs, "more");
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
}

/* Goal: it grows, files stay, new ones have room, and a second growth is nothing to do. */
START_TEST(grows)
{
	struct mbfs_bdev *mem = copy_of(pristine[_i]);
	struct mbfs_fs *fs = mount(mem);
	struct mbfs_statfs before, after;
	struct mbfs_diag diag;

	mbfs_fs_statfs(fs, &before);
	ck_assert_msg(!mbfs_fs_resize(fs, 9000 * KIB, &diag), "%s", diag.text);
	ck_assert_uint_eq(size_of(fs), 9000);
	file_write(fs, "more");
	ck_assert_msg(!mbfs_fs_resize(fs, 0, &diag), "%s", diag.text);
	ck_assert_uint_eq(size_of(fs), NEW_KIB);
	ck_assert_int_eq(mbfs_fs_resize(fs, 0, &diag), 0);
	mbfs_fs_statfs(fs, &after);
	ck_assert_uint_gt(after.files, 3 * before.files);
	ck_assert_uint_gt(after.bfree, 3 * before.bfree);
	ck_assert_uint_ge(after.blocks, after.bfree);
	ck_assert_msg(!mbfs_fs_check(fs, &diag), "%s", diag.text);
	file_check(fs, "keep");
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	image_check(mem, true);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: what cannot be is refused with a reason, and nothing has changed. */
START_TEST(refuses)
{
	struct mbfs_bdev *mem = copy_of(pristine[0]);
	struct mbfs_fs *fs = mount(mem);
	struct mbfs_diag diag;

	ck_assert_int_eq(mbfs_fs_resize(fs, 4000 * KIB, &diag), -EINVAL);
	ck_assert_ptr_nonnull(strstr(diag.text, "shrink"));
	ck_assert_int_eq(mbfs_fs_resize(fs, 1ull << 40, &diag), -EFBIG);
	ck_assert_ptr_nonnull(strstr(diag.text, "group descriptors"));
	ck_assert_int_eq(mbfs_fs_resize(fs, 2 * NEW_KIB * KIB, &diag), -ENOSPC); /* the device */
	ck_assert_ptr_nonnull(strstr(diag.text, "nothing has changed"));
	ck_assert_uint_eq(size_of(fs), OLD_KIB);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	image_check(mem, false);
	mbfs_bdev_close(mem);
}
END_TEST

/* Grow it on a device with this plan. Writes from @from up to @to were the growth's. */
static int grow_with(struct mbfs_bdev *mem, const struct mbfs_fault_plan *plan, bool again,
		     struct mbfs_fault_counts *from, struct mbfs_fault_counts *to, int *unmounted)
{
	struct mbfs_diag diag;
	struct mbfs_bdev *dev;
	struct mbfs_fs *fs;
	int err;

	ck_assert_int_eq(mbfs_bdev_open_fault(mem, plan, &dev), 0);
	fs = mount(dev);
	file_write(fs, "more");
	mbfs_bdev_fault_counts(dev, from);
	err = mbfs_fs_resize(fs, 0, &diag);
	mbfs_bdev_fault_counts(dev, to);
	ck_assert_msg(!err || diag.text[0], "%d without a reason", err);
	if (err && again) {
		ck_assert_uint_eq(size_of(fs), OLD_KIB);
		err = mbfs_fs_resize(fs, 0, &diag);
		ck_assert_msg(!err, "again: %s", diag.text);
	}
	*unmounted = mbfs_fs_unmount(fs);
	mbfs_bdev_close(dev);
	return err;
}

/* e2fsck repairs it: no file has changed. Its size in KiB. */
static uint64_t repair(struct mbfs_bdev **mem)
{
	char *path = t_temp(), *out;
	struct mbfs_fs *fs;
	uint64_t kib;
	int status;

	t_image_save(*mem, path);
	out = t_runf("e2fsck -fy %s >/dev/null 2>&1; [ $? -lt 4 ]", path);
	free(out);
	mbfs_bdev_close(*mem);
	*mem = t_image_load(path);
	ck_assert_int_eq(unlink(path), 0);
	free(path);
	status = t_image_fsck(*mem);
	ck_assert_int_eq(status, 0);
	fs = mount(*mem);
	file_check(fs, "keep");
	kib = size_of(fs);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	return kib;
}

static bool is_long(void)
{
	return getenv("MBFS_LONG");
}

/* Is the @n-th one to fail at? The first and the last are, and one of each of @parts of the rest;
 * the last of many, behind the tables, are parted on their own. */
static bool picked(uint64_t n, uint64_t first, uint64_t last, unsigned parts)
{
	const uint64_t tail = last - first > TAIL ? last - TAIL : first;
	const uint64_t start = n < tail ? first : tail, end = n < tail ? tail : last + 1;
	const uint64_t width = end - start > parts ? (end - start) / parts : 1;
	struct rt_rand r = { SEED + (n - start) / width };

	return is_long() || n == first || n == last ||
	       (n - start) % width == rt_rand_below(&r, width);
}

/* Goal: a power cut, or a daemon that is killed, at any write leaves what e2fsck makes whole, with
 * the old size or the new one. Method: cut before each write of the growth, and the next ones. */
START_TEST(cut_at_each_write)
{
	struct mbfs_fault_counts from, to, ignored;
	struct mbfs_bdev *mem = copy_of(pristine[_i]);
	struct mbfs_fault_plan plan = { 0 };
	unsigned old_nr = 0, new_nr = 0;
	uint64_t all;
	int unmounted;

	ck_assert_int_eq(grow_with(mem, &plan, false, &from, &to, &unmounted), 0);
	mbfs_bdev_close(mem);
	all = to.writes + 3 - from.writes;
	for (uint64_t n = from.writes + 1; n <= to.writes + 3; n++) {
		uint64_t kib;

		if (!picked(n, from.writes + 1, to.writes + 3, CUTS))
			continue;
		mem = copy_of(pristine[_i]);
		plan.cut_at = n;
		(void)grow_with(mem, &plan, false, &ignored, &ignored, &unmounted);
		kib = repair(&mem);
		ck_assert_msg(kib == OLD_KIB || kib == NEW_KIB, "cut at write %" PRIu64
			      ": %" PRIu64 " KiB", n, kib);
		old_nr += kib == OLD_KIB;
		new_nr += kib == NEW_KIB;
		mbfs_bdev_close(mem);
	}
	ck_assert_uint_gt(old_nr, 0);
	ck_assert_uint_gt(new_nr, 0);
	printf("%s: %" PRIu64 " writes; %u cuts left the old size, %u the new one\n", images[_i],
	       all, old_nr, new_nr);
}
END_TEST

enum what { FAIL_WRITE, TEAR_WRITE, FAIL_READ, FAIL_FLUSH, FAILS };

static void fail_at(enum what what, struct mbfs_fault_plan *plan, uint64_t n)
{
	*plan = (struct mbfs_fault_plan){ 0 };
	*(what == FAIL_WRITE   ? &plan->fail_write_at
	  : what == TEAR_WRITE ? &plan->torn_write_at
	  : what == FAIL_READ  ? &plan->fail_read_at
			       : &plan->fail_flush_at) = n;
}

static uint64_t count_of(enum what what, const struct mbfs_fault_counts *c)
{
	return what == FAIL_READ ? c->reads : what == FAIL_FLUSH ? c->flushes : c->writes;
}

/* Goal: an error of the device is reported, the image has its old size, and it grows when asked
 * again. Method: each read, write and flush of the growth fails once. */
START_TEST(device_fails_once)
{
	const enum what what = (enum what)(_i % FAILS);
	struct mbfs_bdev *const image = pristine[_i / FAILS];
	struct mbfs_fault_counts from, to, ignored;
	struct mbfs_bdev *mem = copy_of(image);
	struct mbfs_fault_plan plan = { 0 };
	uint64_t first, last;
	unsigned failed = 0;
	int unmounted;

	ck_assert_int_eq(grow_with(mem, &plan, false, &from, &to, &unmounted), 0);
	mbfs_bdev_close(mem);
	first = count_of(what, &from) + 1;
	last = count_of(what, &to);
	for (uint64_t n = first; n <= last; n++) {
		if (!picked(n, first, last, FAULTS))
			continue;
		mem = copy_of(image);
		fail_at(what, &plan, n);
		ck_assert_int_eq(grow_with(mem, &plan, true, &ignored, &ignored, &unmounted), 0);
		ck_assert_int_eq(unmounted, 0);
		image_check(mem, true);
		failed++;
		mbfs_bdev_close(mem);
	}
	printf("%u of %" PRIu64 "\n", failed, last + 1 - first);
}
END_TEST

/* The same without memory, once. */
START_TEST(no_memory)
{
	bool struck = true;

	for (uint64_t n = 1; struck; n += is_long() ? 1 : ALLOCS_APART) {
		struct mbfs_bdev *mem;
		struct mbfs_diag diag;
		struct mbfs_fs *fs;
		int err;

		ck_assert_uint_lt(n, 2000);
		mem = copy_of(pristine[_i]);
		fs = mount(mem);
		file_write(fs, "more");
		rt_mem_fail_at(n);
		err = mbfs_fs_resize(fs, 0, &diag);
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		if (err) {
			ck_assert_int_eq(err, -ENOMEM);
			ck_assert(diag.text[0]);
			ck_assert_uint_eq(size_of(fs), OLD_KIB);
			err = mbfs_fs_resize(fs, 0, &diag);
		}
		ck_assert_msg(!err, "allocation %" PRIu64 ": %s", n, diag.text);
		ck_assert_msg(!mbfs_fs_check(fs, &diag), "%s", diag.text);
		ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
		if (n % 5 == 0 || is_long())
			image_check(mem, true); /* the longest of it */
		mbfs_bdev_close(mem);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("resize");
	TCase *tc = tcase_create("resize");

	tcase_set_timeout(tc, 600);
	tcase_add_unchecked_fixture(tc, setup_once, teardown_once);
	tcase_add_loop_test(tc, grows, 0, IMAGES);
	tcase_add_test(tc, refuses);
	tcase_add_loop_test(tc, cut_at_each_write, 0, IMAGES);
	tcase_add_loop_test(tc, device_fails_once, 0, IMAGES * FAILS);
	tcase_add_loop_test(tc, no_memory, 0, IMAGES);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
