// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: writes under way survive a device that fails and memory that runs out: each is answered
 * once, nothing stays locked, no byte shows that was never written, who has the file open is told
 * once, and the image is sound. Method: many writes at once through the mount's own calls, on a
 * device whose transfers are carried out by threads; each write to the device and each allocation
 * fails in turn, once or from then on. The blocks that are free are poisoned. A hang ends the test
 * by its time limit.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mbfs/fs.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/sync.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum { WRITES = 14, PIECE = 6000, FILE_BYTES = 64 << 10, BYTE = 0x11, POISON = 0xA5 };

/* A mount over threads over faults over memory. */
struct bed {
	struct mbfs_bdev *mem, *fault, *pool;
	struct mbfs_fs *fs;
	mbfs_ino_t ino;
	struct mbfs_file *f[2]; /* two who have it open; the second with O_DIRECT */
};

static struct mbfs_bdev *image(void)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024 -N 64 -O ^has_journal,^resize_inode", 3 << 20);

	t_fs_poison(mem, POISON);
	return mem;
}

/* 0, or the error of mounting, with all closed but @mem. */
static int bed_open(struct bed *b, struct mbfs_bdev *mem, const struct mbfs_fault_plan *plan)
{
	struct mbfs_mount_opts opts;
	int err;

	mbfs_mount_opts_default(&opts);
	opts.commit_s = 3600;
	*b = (struct bed){ .mem = mem };
	ck_assert_int_eq(mbfs_bdev_open_fault(mem, plan, &b->fault), 0);
	ck_assert_int_eq(mbfs_bdev_open_pool(b->fault, 3, &b->pool), 0);
	err = mbfs_fs_mount(b->pool, &opts, NULL, NULL, &b->fs);
	if (err) {
		mbfs_bdev_close(b->pool);
		mbfs_bdev_close(b->fault);
	}
	return err;
}

/* *faults: how many there were in all. */
static int bed_close(struct bed *b, uint64_t *faults)
{
	struct mbfs_fault_counts counts;
	int err;

	for (int i = 0; i < 2; i++)
		if (b->f[i])
			mbfs_file_release(b->f[i]);
	err = mbfs_fs_unmount(b->fs);
	mbfs_bdev_close(b->pool);
	mbfs_bdev_fault_counts(b->fault, &counts);
	mbfs_bdev_close(b->fault);
	*faults = counts.faults;
	return err;
}

static int bed_file(struct bed *b)
{
	struct mbfs_attr attr;
	int err = mbfs_fs_mknod(b->fs, &t_fs_root, MBFS_ROOT_INO, "f", S_IFREG | 0600, 0, &attr);

	if (!err)
		err = mbfs_file_open(b->fs, attr.ino, O_RDWR, &b->f[0]);
	if (!err)
		err = mbfs_file_open(b->fs, attr.ino, O_RDWR | O_DIRECT, &b->f[1]);
	return err;
}

static uint64_t writes(struct bed *b)
{
	struct mbfs_fault_counts counts;

	mbfs_bdev_fault_counts(b->fault, &counts);
	return counts.writes;
}

/* ---- writes under way ---- */

struct under_way {
	struct rt_completion answers; /* not an event: its waiter frees it */
	struct one {
		struct under_way *all;
		size_t bytes;
		ssize_t put;
		rt_u32 done;
	} one[WRITES];
};

static void answer(void *arg, ssize_t put)
{
	struct one *w = arg;
	struct under_way *all = w->all;

	w->put = put;
	ck_assert_uint_eq(rt_u32_add_return(&w->done, 1), 1);
	rt_complete(&all->answers);
}

/* Over holes, over reserved blocks, over each other, past the end; whole blocks and parts. */
static void writes_start(struct bed *b, struct under_way *u, const uint8_t *buf)
{
	memset(u, 0, sizeof(*u));
	rt_completion_init(&u->answers);
	for (unsigned i = 0; i < WRITES; i++) {
		struct one *w = &u->one[i];
		uint64_t off = i * 4099ull % FILE_BYTES;
		ssize_t put;

		w->all = u;
		w->bytes = i % 3 ? PIECE : 4096;
		if (i % 3 == 0)
			off &= ~1023ull;
		put = mbfs_file_write_start(b->f[i % 2], &t_fs_root, buf, w->bytes, off, NULL,
					    answer, w);
		if (put != -EINPROGRESS)
			answer(w, put);
	}
}

/* Whether one of them has failed. */
static bool writes_wait(struct under_way *u)
{
	bool failed = false;

	for (unsigned i = 0; i < WRITES; i++)
		rt_completion_wait(&u->answers);
	rt_completion_destroy(&u->answers);
	for (unsigned i = 0; i < WRITES; i++) {
		const struct one *w = &u->one[i];

		ck_assert_msg(w->put == -EIO || w->put == -ENOMEM ||
				      (w->put >= 0 && (size_t)w->put <= w->bytes),
			      "write %u: %zd", i, w->put);
		failed |= w->put != (ssize_t)w->bytes;
	}
	return failed;
}

/* What is read is what was written, or zero; -EIO and -ENOMEM may be. */
static void expect_own(struct bed *b)
{
	static uint8_t buf[2 * FILE_BYTES];
	ssize_t got = mbfs_file_read(b->f[0], buf, sizeof(buf), 0);

	ck_assert(got >= 0 || got == -EIO || got == -ENOMEM);
	for (ssize_t i = 0; i < got; i++)
		ck_assert_msg(!buf[i] || buf[i] == BYTE, "byte %zd is %02x", i, buf[i]);
}

/* ---- one failure ---- */

enum fault { WRITE_ONCE, WRITE_STICKY, MEM_ONCE, FAULT_NR };

static bool is_fault(int err)
{
	return err == -EIO || err == -ENOMEM;
}

/* All of the scene; false if a failure kept it from being made. */
static bool scene(struct bed *b, const uint8_t *buf)
{
	struct under_way u;
	int err = bed_file(b);

	if (!err)
		err = mbfs_file_fallocate(b->f[0], &t_fs_root, 0, 8192, 20000, NULL);
	if (err) {
		ck_assert(is_fault(err));
		if (!b->f[1])
			return false;
	}
	writes_start(b, &u, buf);
	(void)writes_wait(&u);
	expect_own(b);
	for (int i = 0; i < 2; i++) {
		err = mbfs_file_fsync(b->f[i], false);
		ck_assert(!err || is_fault(err));
	}
	/* It would wait for ever for a range that is still locked. */
	err = mbfs_file_truncate(b->f[0], 5000);
	ck_assert(!err || is_fault(err));
	err = mbfs_file_truncate(b->f[0], FILE_BYTES);
	ck_assert(!err || is_fault(err));
	expect_own(b);
	return true;
}

/* @nth fails; false: there were fewer. */
static bool scene_with_fault(struct mbfs_bdev *mem, enum fault kind, uint64_t nth)
{
	struct mbfs_fault_plan plan = { .fail_write_at = kind == MEM_ONCE ? 0 : nth,
					.sticky = kind == WRITE_STICKY };
	static uint8_t buf[PIECE];
	uint64_t faults;
	bool struck;
	struct bed b;
	int err;

	memset(buf, BYTE, sizeof(buf));
	err = bed_open(&b, mem, &plan);
	if (err) {
		ck_assert(is_fault(err));
		return true;
	}
	rt_mem_fail_at(kind == MEM_ONCE ? nth : 0);
	(void)scene(&b, buf);
	struck = kind == MEM_ONCE && rt_mem_fail_struck();
	rt_mem_fail_at(0);
	if (kind != WRITE_STICKY) {
		/* It has passed: whatever had to be told is told, or is by now. */
		for (int i = 0; b.f[1] && i < 2; i++)
			(void)mbfs_file_fsync(b.f[i], false);
		for (int i = 0; b.f[1] && i < 2 && (kind == MEM_ONCE || writes(&b) > nth); i++)
			ck_assert_int_eq(mbfs_file_fsync(b.f[i], false), 0);
	}
	err = bed_close(&b, &faults);
	struck |= faults > 0;
	ck_assert(!err || faults);
	return struck;
}

/* Sound, or what a device leaves that has failed for good: e2fsck repairs it. */
static void judge(struct mbfs_bdev *mem, enum fault kind)
{
	char *path;

	if (kind == MEM_ONCE) {
		ck_assert_int_eq(t_image_fsck(mem), 0);
		return;
	}
	path = t_temp();
	t_image_save(mem, path);
	free(t_runf("e2fsck -fy %s >/dev/null 2>&1; [ $? -le 1 ] && e2fsck -fn %s", path, path));
	unlink(path);
	free(path);
}

START_TEST(any_one_failure_is_answered_and_survived)
{
	struct mbfs_bdev *mem = image();
	uint8_t *base = malloc(mem->size_bytes);
	uint64_t nth = 1;

	memcpy(base, mbfs_bdev_mem_bytes(mem), mem->size_bytes);
	for (;; nth++) {
		memcpy(mbfs_bdev_mem_bytes(mem), base, mem->size_bytes);
		if (!scene_with_fault(mem, (enum fault)_i, nth))
			break;
		if (nth % 4 == 0)
			judge(mem, (enum fault)_i);
		ck_assert_uint_lt(nth, 2000);
	}
	ck_assert_int_eq(t_image_fsck(mem), 0);
	printf("kind %d: %" PRIu64 " calls failed\n", _i, nth - 1);
	ck_assert_uint_gt(nth, 20);
	free(base);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- who is told ---- */

/* Goal: data that was lost is reported by the next fsync of each who has the file open, once.
 * Method: the only write of data fails, late, over written blocks and over reserved ones. */
START_TEST(lost_data_is_told_to_each_opener_once)
{
	struct mbfs_fault_plan plan = { 0 };
	struct mbfs_bdev *mem = image();
	uint8_t *base = malloc(mem->size_bytes), buf[4096];
	uint64_t faults;
	struct bed b;

	memset(buf, BYTE, sizeof(buf));
	memcpy(base, mbfs_bdev_mem_bytes(mem), mem->size_bytes);
	/* The first time only to learn how many writes come before. */
	for (int pass = 0; pass < 2; pass++) {
		ssize_t want = pass ? -EIO : (ssize_t)sizeof(buf);

		memcpy(mbfs_bdev_mem_bytes(mem), base, mem->size_bytes);
		ck_assert_int_eq(bed_open(&b, mem, &plan), 0);
		ck_assert_int_eq(bed_file(&b), 0);
		ck_assert_int_eq(mbfs_file_fallocate(b.f[0], &t_fs_root, 0, 0, sizeof(buf), NULL),
				 0);
		if (_i == 0)
			ck_assert_int_eq(mbfs_file_write(b.f[0], &t_fs_root, buf, sizeof(buf), 0),
					 sizeof(buf));
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(mbfs_file_fsync(b.f[i], false), 0);
		plan.fail_write_at = writes(&b) + 1;
		ck_assert_int_eq(mbfs_file_write(b.f[1], &t_fs_root, buf, sizeof(buf), 0), want);
		for (int i = 0; i < 4; i++)
			ck_assert_int_eq(mbfs_file_fsync(b.f[i % 2], false),
					 pass && i < 2 ? -EIO : 0);
		/* Nothing stays locked, and the next write goes down. */
		ck_assert_int_eq(mbfs_file_write(b.f[0], &t_fs_root, buf, sizeof(buf), 100),
				 sizeof(buf));
		expect_own(&b);
		ck_assert_int_eq(bed_close(&b, &faults), 0);
		ck_assert_uint_eq(faults, (uint64_t)pass);
		ck_assert_int_eq(t_image_fsck(mem), 0);
	}
	free(base);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("file_write");
	TCase *tc = tcase_create("told"), *faults = tcase_create("faults");

	tcase_add_loop_test(tc, lost_data_is_told_to_each_opener_once, 0, 2);
	suite_add_tcase(s, tc);
	tcase_set_timeout(faults, 200);
	tcase_add_loop_test(faults, any_one_failure_is_answered_and_survived, 0, FAULT_NR);
	suite_add_tcase(s, faults);
	return s;
}

T_IMAGE_MAIN(suite)
