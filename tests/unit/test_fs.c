// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library's mount on images in memory: made by mkfs.ext4 through a file, judged by e2fsck -fn.
 * Skips where e2fsprogs is missing.
 */
#include <mbfs/fs.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rt/mem.h"
#include "rt/work.h"
#include "support/t.h"

enum { STATE_OFF = 1024 + 58, SMALL_BYTES = 8 << 20, SKIP = 77 };

struct image {
	struct mbfs_bdev *dev;
	uint8_t *bytes;
	uint64_t nr;
};

static struct image img;
static const struct mbfs_cred root_cred = { 0, 0, 022 };

/* ---- images ---- */
static void temp_name(char *path)
{
	int fd;

	strcpy(path, "/tmp/mbfs-test-fs.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void image_make(uint64_t bytes, const char *mkfs_args)
{
	char path[64], cmd[512];
	int fd;

	temp_name(path);
	ck_assert_int_eq(truncate(path, (off_t)bytes), 0);
	snprintf(cmd, sizeof(cmd), "PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F %s %s 2>/dev/null",
		 mkfs_args, path);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_int_eq(mbfs_bdev_open_mem(bytes, &img.dev), 0);
	img.bytes = mbfs_bdev_mem_bytes(img.dev);
	img.nr = bytes;
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, img.bytes, bytes), (ssize_t)bytes);
	close(fd);
	unlink(path);
}

static void image_free(void)
{
	mbfs_bdev_close(img.dev);
}

/* Status of e2fsck -fn on what the device holds. */
static int image_fsck(void)
{
	char path[64], cmd[512];
	int fd, status;

	temp_name(path);
	fd = open(path, O_WRONLY);
	ck_assert_int_eq(write(fd, img.bytes, img.nr), (ssize_t)img.nr);
	close(fd);
	snprintf(cmd, sizeof(cmd),
		 "PATH=$PATH:/sbin:/usr/sbin; e2fsck -fn %s >%s.out 2>&1; rc=$?; "
		 "[ $rc = 0 ] && ! grep -q 'Fix?' %s.out || { cat %s.out; rc=4; }; rm -f %s.out; "
		 "exit $rc",
		 path, path, path, path, path);
	status = system(cmd);
	unlink(path);
	return WEXITSTATUS(status);
}

static uint8_t *image_copy(void)
{
	uint8_t *copy = malloc(img.nr);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, img.bytes, img.nr);
	return copy;
}

static bool image_is_clean(void)
{
	return (img.bytes[STATE_OFF] & 3) == 1;
}

static bool with_discard;

static struct mbfs_fs *mount_rw(struct mbfs_bdev *dev)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag, notes;
	struct mbfs_fs *fs;
	int err;

	mbfs_mount_opts_default(&opts);
	opts.discard = with_discard;
	err = mbfs_fs_mount(dev, &opts, &diag, &notes, &fs);
	ck_assert_msg(!err, "mount: %d %s", err, diag.text);
	return fs;
}

static mbfs_ino_t make_file(struct mbfs_fs *fs, const char *name, const void *data, size_t bytes)
{
	struct mbfs_attr attr;
	struct mbfs_file *f;

	ck_assert_int_eq(
		mbfs_fs_mknod(fs, &root_cred, MBFS_ROOT_INO, name, S_IFREG | 0644, 0, &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDWR, &f), 0);
	ck_assert_int_eq(mbfs_file_write(f, &root_cred, data, bytes, 0), (ssize_t)bytes);
	mbfs_file_release(f);
	mbfs_fs_forget(fs, attr.ino, 1);
	return attr.ino;
}

static void check_file(struct mbfs_fs *fs, const char *name, const void *data, size_t bytes)
{
	char *buf = malloc(bytes + 1);
	struct mbfs_attr attr;
	struct mbfs_file *f;

	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, name, &attr), 0);
	ck_assert_uint_eq(attr.size_bytes, bytes);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDONLY, &f), 0);
	ck_assert_int_eq(mbfs_file_read(f, buf, bytes + 1, 0), (ssize_t)bytes);
	ck_assert_mem_eq(buf, data, bytes);
	mbfs_file_release(f);
	mbfs_fs_forget(fs, attr.ino, 1);
	free(buf);
}

static void setup_small(void)
{
	image_make(SMALL_BYTES, "-b 1024 -O ^has_journal");
}

/* ---- tests ---- */
/* Goal: probing and a read-only mount write nothing. Method: compare all bytes; count writes. */
START_TEST(probe_and_ro_mount_change_nothing)
{
	struct mbfs_fault_plan plan = { 0 };
	struct mbfs_fault_counts counts;
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag, notes;
	uint8_t *before = image_copy();
	struct mbfs_bdev *dev;
	struct mbfs_attr attr;
	struct mbfs_fs *fs;
	bool read_only;

	ck_assert_int_eq(mbfs_bdev_open_fault(img.dev, &plan, &dev), 0);
	mbfs_mount_opts_default(&opts);
	ck_assert_int_eq(mbfs_fs_probe(dev, &opts, &diag, &notes, &read_only), 0);
	ck_assert(!read_only);
	opts.read_only = true;
	ck_assert_int_eq(mbfs_fs_probe(dev, &opts, &diag, &notes, &read_only), 0);
	ck_assert(read_only);
	ck_assert_int_eq(mbfs_fs_mount(dev, &opts, &diag, &notes, &fs), 0);
	ck_assert(mbfs_fs_read_only(fs));
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "lost+found", &attr), 0);
	ck_assert_int_eq(mbfs_fs_mkdir(fs, &root_cred, MBFS_ROOT_INO, "d", 0755, &attr), -EROFS);
	ck_assert_int_eq(mbfs_fs_unlink(fs, MBFS_ROOT_INO, "lost+found"), -EROFS);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	mbfs_bdev_fault_counts(dev, &counts);
	ck_assert_uint_eq(counts.writes, 0);
	mbfs_bdev_close(dev);
	ck_assert_mem_eq(before, img.bytes, img.nr);
	free(before);
}
END_TEST

/* Goal: the mark is there while mounted and gone after. Method: look at the state's bytes. */
START_TEST(mounted_image_is_marked_not_clean)
{
	struct mbfs_fs *fs = mount_rw(img.dev);

	ck_assert(!image_is_clean());
	make_file(fs, "f", "data", 4);
	ck_assert_int_eq(mbfs_fs_sync(fs), 0);
	ck_assert(!image_is_clean());
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert(image_is_clean());
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

/* Goal: what was written is there after a remount. Method: every kind of object, twice mounted. */
START_TEST(tree_survives_remount)
{
	static const char *const kinds[] = { "file", "dir", "link", "fifo" };
	struct mbfs_fs *fs = mount_rw(img.dev);
	struct mbfs_attr attr;
	char target[64];

	make_file(fs, "file", "content", 7);
	ck_assert_int_eq(mbfs_fs_mkdir(fs, &root_cred, MBFS_ROOT_INO, "dir", 0755, &attr), 0);
	ck_assert_int_eq(mbfs_fs_symlink(fs, &root_cred, MBFS_ROOT_INO, "link", "file", &attr), 0);
	ck_assert_int_eq(
		mbfs_fs_mknod(fs, &root_cred, MBFS_ROOT_INO, "fifo", S_IFIFO | 0600, 0, &attr), 0);
	ck_assert_int_eq(mbfs_fs_setxattr(fs, &root_cred, MBFS_ROOT_INO, "user.a", "b", 1, 0), 0);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert_int_eq(image_fsck(), 0);

	fs = mount_rw(img.dev);
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(kinds); i++)
		ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, kinds[i], &attr), 0);
	check_file(fs, "file", "content", 7);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "link", &attr), 0);
	ck_assert_int_eq(mbfs_fs_readlink(fs, attr.ino, target, sizeof(target)), 0);
	ck_assert_str_eq(target, "file");
	ck_assert_int_eq(mbfs_fs_getxattr(fs, MBFS_ROOT_INO, "user.a", target, sizeof(target)), 1);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

/* Goal: names are refused as the kernel would. Method: a table. */
START_TEST(bad_names_and_flags_are_refused)
{
	struct mbfs_fs *fs = mount_rw(img.dev);
	struct mbfs_attr attr;
	struct mbfs_file *f;
	char name[300];

	memset(name, 'n', 256);
	name[256] = 0;
	ck_assert_int_eq(mbfs_fs_mkdir(fs, &root_cred, MBFS_ROOT_INO, name, 0755, &attr),
			 -ENAMETOOLONG);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, name, &attr), -ENAMETOOLONG);
	name[255] = 0;
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, name, &attr), -ENOENT);
	ck_assert_int_eq(mbfs_fs_mkdir(fs, &root_cred, MBFS_ROOT_INO, "a/b", 0755, &attr), -EINVAL);
	ck_assert_int_eq(mbfs_fs_rename(fs, &root_cred, MBFS_ROOT_INO, "x",
					MBFS_ROOT_INO, "y", 4), -EINVAL);
	ck_assert_int_eq(mbfs_fs_rename(fs, &root_cred, MBFS_ROOT_INO, "x",
					MBFS_ROOT_INO, "y", 0), -ENOENT);
	ck_assert_int_eq(mbfs_fs_rmdir(fs, MBFS_ROOT_INO, ".."), -ENOTEMPTY);
	ck_assert_int_eq(mbfs_file_open(fs, MBFS_ROOT_INO, O_RDWR, &f), -EISDIR);
	ck_assert_int_lt(mbfs_file_open(fs, 1, O_RDONLY, &f), 0);
	ck_assert_int_lt(mbfs_file_open(fs, UINT32_MAX, O_RDONLY, &f), 0);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, ".", &attr), 0);
	ck_assert_uint_eq(attr.ino, MBFS_ROOT_INO);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "..", &attr), 0);
	ck_assert_uint_eq(attr.ino, MBFS_ROOT_INO);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
}
END_TEST

/* Goal: an unlinked file lives while open or pinned, and is freed after. Method: read it; count
 * inodes. */
START_TEST(unlinked_file_lives_while_open)
{
	struct mbfs_fs *fs = mount_rw(img.dev);
	struct mbfs_statfs before, after;
	struct mbfs_attr attr;
	struct mbfs_file *f;
	char buf[8];

	mbfs_fs_statfs(fs, &before);
	make_file(fs, "f", "data", 4);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "f", &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDONLY, &f), 0);
	ck_assert_int_eq(mbfs_fs_unlink(fs, MBFS_ROOT_INO, "f"), 0);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "f", &attr), -ENOENT);
	mbfs_fs_forget(fs, mbfs_file_ino(f), 1);
	ck_assert_int_eq(mbfs_file_read(f, buf, 8, 0), 4);
	ck_assert_mem_eq(buf, "data", 4);
	mbfs_file_release(f);
	mbfs_fs_statfs(fs, &after);
	ck_assert_uint_eq(before.ffree, after.ffree);
	ck_assert_uint_eq(before.bfree, after.bfree);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

/* Goal: an unmount with files open, unlinked and pinned leaves a clean image. Method: leave all
 * behind. */
START_TEST(unmount_releases_what_is_open)
{
	struct mbfs_fs *fs = mount_rw(img.dev);
	struct mbfs_attr attr;
	struct mbfs_file *f;

	make_file(fs, "open", "data", 4);
	make_file(fs, "gone", "data", 4);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "open", &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDWR, &f), 0);
	ck_assert_int_eq(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "gone", &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDWR, &f), 0);
	ck_assert_int_eq(mbfs_fs_unlink(fs, MBFS_ROOT_INO, "gone"), 0);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert(image_is_clean());
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

/* Goal: a mount without memory fails whole. Method: the n-th allocation fails, for every n. */
START_TEST(mount_survives_every_failed_allocation)
{
	uint8_t *before = image_copy();
	struct mbfs_diag diag, notes;
	struct mbfs_mount_opts opts;
	bool struck = true;

	mbfs_mount_opts_default(&opts);
	for (uint64_t n = 1; struck; n++) {
		struct mbfs_fs *fs;
		int err;

		ck_assert_uint_lt(n, 100000);
		memcpy(img.bytes, before, img.nr);
		rt_mem_fail_at(n);
		err = mbfs_fs_mount(img.dev, &opts, &diag, &notes, &fs);
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		if (err) {
			ck_assert_msg(err == -ENOMEM, "allocation %" PRIu64 ": %d %s", n, err,
				      diag.text);
			ck_assert_msg(diag.text[0], "allocation %" PRIu64 ": no message", n);
			ck_assert_mem_eq(before, img.bytes, img.nr);
		} else {
			ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
		}
	}
	free(before);
}
END_TEST

/* Goal: a mount with a failing device fails whole. Method: the n-th read, write or flush fails. */
START_TEST(mount_survives_every_device_fault)
{
	uint8_t *before = image_copy();
	struct mbfs_diag diag, notes;
	struct mbfs_mount_opts opts;
	bool struck = true;

	mbfs_mount_opts_default(&opts);
	for (uint64_t n = 1; struck; n++) {
		struct mbfs_fault_plan plan = { .fail_read_at = _i == 0 ? n : 0,
						.fail_write_at = _i == 1 ? n : 0,
						.fail_flush_at = _i == 2 ? n : 0 };
		struct mbfs_fault_counts counts;
		struct mbfs_bdev *dev;
		struct mbfs_fs *fs;
		int err;

		ck_assert_uint_lt(n, 10000);
		memcpy(img.bytes, before, img.nr);
		ck_assert_int_eq(mbfs_bdev_open_fault(img.dev, &plan, &dev), 0);
		err = mbfs_fs_mount(dev, &opts, &diag, &notes, &fs);
		mbfs_bdev_fault_counts(dev, &counts);
		struck = counts.faults > 0;
		if (err) {
			ck_assert_msg(err == -EIO, "fault %" PRIu64 ": %d %s", n, err, diag.text);
			ck_assert_mem_eq(before, img.bytes, img.nr);
		} else {
			mbfs_fs_unmount(fs);
		}
		mbfs_bdev_close(dev);
	}
	free(before);
}
END_TEST

/* Goal: an unmount that could not write everything leaves the mark. Method: every later write fails
 * once. */
START_TEST(failed_unmount_leaves_image_not_clean)
{
	uint8_t *before = image_copy();
	bool struck = true;

	for (uint64_t n = 2; struck; n++) {
		struct mbfs_fault_plan plan = { .fail_write_at = _i == 0 ? n : 0,
						.fail_flush_at = _i == 1 ? n : 0,
						.sticky = true };
		struct mbfs_fault_counts counts;
		struct mbfs_attr attr;
		struct mbfs_bdev *dev;
		struct mbfs_fs *fs;
		int err;

		ck_assert_uint_lt(n, 1000);
		memcpy(img.bytes, before, img.nr);
		ck_assert_int_eq(mbfs_bdev_open_fault(img.dev, &plan, &dev), 0);
		fs = mount_rw(dev);
		err = mbfs_fs_mkdir(fs, &root_cred, MBFS_ROOT_INO, "d", 0755, &attr);
		ck_assert(err == 0 || err == -EIO);
		err = mbfs_fs_unmount(fs);
		mbfs_bdev_fault_counts(dev, &counts);
		struck = counts.faults > 0;
		ck_assert_int_eq(err, struck ? -EIO : 0);
		/* A flush that failed after the last write leaves a mark nobody can judge. */
		if (struck && _i == 0)
			ck_assert(!image_is_clean());
		if (!struck) {
			ck_assert(image_is_clean());
			ck_assert_int_eq(image_fsck(), 0);
		}
		mbfs_bdev_close(dev);
	}
	free(before);
}
END_TEST

/* Goal: damage found while mounted is remembered for e2fsck. Method: break lost+found's block, look
 * inside. */
START_TEST(damage_marks_image_with_errors)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag, notes;
	struct mbfs_attr attr;
	struct mbfs_fs *fs = mount_rw(img.dev);
	bool found = false;

	/* The entry "lost+found" of the root's block: its record length becomes nonsense. */
	for (uint64_t off = 0; off + 1024 <= img.nr && !found; off += 1024)
		if (!memcmp(img.bytes + off + 32, "lost+found", 10) && img.bytes[off + 8] == '.') {
			img.bytes[off + 28] = 3;
			found = true;
		}
	ck_assert(found);
	ck_assert_int_lt(mbfs_fs_lookup(fs, MBFS_ROOT_INO, "lost+found", &attr), 0);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert(!image_is_clean());
	mbfs_mount_opts_default(&opts);
	ck_assert_int_eq(mbfs_fs_mount(img.dev, &opts, &diag, &notes, &fs), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(diag.text, "e2fsck"));
}
END_TEST

/* ---- faults while mounted ---- */
static int write_some(struct mbfs_fs *fs, mbfs_ino_t ino, uint64_t off, size_t bytes)
{
	char data[9000];
	struct mbfs_file *f;
	ssize_t put;
	int err = mbfs_file_open(fs, ino, O_RDWR, &f);

	if (err)
		return err;
	memset(data, 'x', sizeof(data));
	put = mbfs_file_write(f, &root_cred, data, bytes, off);
	err = put < 0 ? (int)put : 0;
	if (!err)
		err = mbfs_file_fallocate(f, &root_cred, 0, 100000, 50000, NULL);
	if (!err)
		err = mbfs_file_truncate(f, 3000);
	mbfs_file_release(f);
	return err;
}

/* One of everything that changes the image; goes on after errors, returns the first. */
static int workload(struct mbfs_fs *fs)
{
	struct mbfs_attr a, want = { .mode = 0600, .size_bytes = 20 };
	char name[64];
	int first = 0;

#define DO(call)                      \
	do {                          \
		int err_ = (call);    \
		if (err_ && !first)   \
			first = err_; \
	} while (0)
	if (!mbfs_fs_mkdir(fs, &root_cred, MBFS_ROOT_INO, "d", 0755, &a)) {
		for (unsigned i = 0; i < 40; i++) {
			struct mbfs_attr sub;

			snprintf(name, sizeof(name), "a-name-long-enough-to-fill-a-block-%u", i);
			if (!mbfs_fs_mknod(fs, &root_cred, a.ino, name, S_IFREG, 0, &sub))
				mbfs_fs_forget(fs, sub.ino, 1);
			else
				DO(-ENOMEM);
		}
		mbfs_fs_forget(fs, a.ino, 1);
	}
	if (!mbfs_fs_mknod(fs, &root_cred, MBFS_ROOT_INO, "f", S_IFREG | 0644, 0, &a)) {
		DO(write_some(fs, a.ino, 0, 5000));
		DO(write_some(fs, a.ino, 40000, 9000));
		DO(mbfs_fs_setxattr(fs, &root_cred, a.ino, "user.a", name, sizeof(name), 0));
		DO(mbfs_fs_setxattr(fs, &root_cred, a.ino, "user.b", name, 40, 0));
		DO(mbfs_fs_setattr(fs, a.ino, MBFS_SET_MODE | MBFS_SET_SIZE, &want, &a));
		mbfs_fs_forget(fs, a.ino, 1);
	}
	memset(name, 't', sizeof(name));
	name[sizeof(name) - 1] = 0;
	if (!mbfs_fs_symlink(fs, &root_cred, MBFS_ROOT_INO, "s", name, &a))
		mbfs_fs_forget(fs, a.ino, 1);
	DO(mbfs_fs_sync(fs));
	mbfs_fs_rename(fs, &root_cred, MBFS_ROOT_INO, "f", MBFS_ROOT_INO, "g", 0);
	mbfs_fs_unlink(fs, MBFS_ROOT_INO, "g");
	mbfs_fs_unlink(fs, MBFS_ROOT_INO, "s");
	mbfs_fs_rmdir(fs, MBFS_ROOT_INO, "d");
#undef DO
	return first;
}

/* Goal: a failed allocation fails one call and harms nothing. Method: the n-th of a workload fails.
 */
START_TEST(calls_survive_every_failed_allocation)
{
	uint8_t *before = image_copy();
	bool struck = true;

	for (uint64_t n = 1; struck; n++) {
		struct mbfs_fs *fs;
		int err;

		ck_assert_uint_lt(n, 20000);
		memcpy(img.bytes, before, img.nr);
		fs = mount_rw(img.dev);
		rt_mem_fail_at(n);
		err = workload(fs);
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		ck_assert_msg(!err || err == -ENOMEM, "allocation %" PRIu64 ": %d", n, err);
		ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
		ck_assert_msg(image_is_clean(), "allocation %" PRIu64, n);
		ck_assert_msg(!image_fsck(), "allocation %" PRIu64, n);
	}
	free(before);
}
END_TEST

/* Goal: a failed read fails one call and harms nothing; a failed write neither crashes nor hangs,
 * and the image is sound or marked. Method: the n-th of a workload fails. */
START_TEST(calls_survive_every_device_fault)
{
	uint8_t *before = image_copy();
	bool struck = true;

	for (uint64_t n = 1; struck; n++) {
		struct mbfs_fault_plan plan = { .fail_read_at = _i == 0 ? n : 0,
						.fail_write_at = _i == 1 ? n : 0,
						.torn_write_at = _i == 2 ? n : 0 };
		struct mbfs_fault_counts counts;
		struct mbfs_mount_opts opts;
		struct mbfs_diag diag, notes;
		struct mbfs_bdev *dev;
		struct mbfs_fs *fs;
		int err;

		ck_assert_uint_lt(n, 20000);
		memcpy(img.bytes, before, img.nr);
		ck_assert_int_eq(mbfs_bdev_open_fault(img.dev, &plan, &dev), 0);
		mbfs_mount_opts_default(&opts);
		err = mbfs_fs_mount(dev, &opts, &diag, &notes, &fs);
		if (!err) {
			workload(fs);
			err = mbfs_fs_unmount(fs);
			/* A torn superblock has the mark and a wrong checksum. A group that could
			 * not be read asks for e2fsck, which finds nothing. */
			if (_i == 1)
				ck_assert(!err || !image_is_clean());
			if (!err)
				ck_assert_msg(!image_fsck(), "fault %" PRIu64, n);
		}
		mbfs_bdev_fault_counts(dev, &counts);
		struck = counts.faults > 0;
		mbfs_bdev_close(dev);
	}
	free(before);
}
END_TEST

static bool count_entry(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
			uint64_t next)
{
	(void)name, (void)len, (void)ino, (void)d_type, (void)next;
	++*(unsigned *)arg;
	return true;
}

/*
 * Goal: who may use reserved blocks may do so for attributes and names as well. Method: a disk that
 * an ordinary user has filled; each call by that user and then by root.
 */
START_TEST(reserved_blocks_are_for_names_and_attributes_too)
{
	static const struct mbfs_cred user = { 1000, 1000, 022 };
	struct mbfs_fs *fs = mount_rw(img.dev);
	mbfs_ino_t ino = make_file(fs, "f", "data", 4);
	char name[256], block[1024] = "";
	struct mbfs_attr dir, attr;
	struct mbfs_file *f;
	unsigned nr = 0;
	int err = 0;

	ck_assert_int_eq(mbfs_fs_mkdir(fs, &user, MBFS_ROOT_INO, "d", 0755, &dir), 0);
	ck_assert_int_eq(mbfs_file_open(fs, ino, O_WRONLY, &f), 0);
	for (uint64_t at = 0; mbfs_file_write(f, &user, block, sizeof(block), at) > 0;)
		at += sizeof(block);
	mbfs_file_release(f);
	memset(name, 'n', 250);
	name[250] = 0;
	for (; !err && nr < 9; nr++) {
		name[0] = (char)('0' + nr);
		err = mbfs_fs_link(fs, &user, ino, dir.ino, name, &attr);
	}
	ck_assert_int_eq(err, -ENOSPC);
	ck_assert_int_eq(
		mbfs_fs_rename(fs, &user, MBFS_ROOT_INO, "f", dir.ino, name, 0), -ENOSPC);
	ck_assert_int_eq(mbfs_fs_setxattr(fs, &user, ino, "user.a", block, 600, 0), -ENOSPC);
	if (_i)
		ck_assert_int_eq(mbfs_fs_link(fs, &root_cred, ino, dir.ino, name, &attr), 0);
	else
		ck_assert_int_eq(
			mbfs_fs_rename(fs, &root_cred, MBFS_ROOT_INO, "f", dir.ino, name, 0), 0);
	ck_assert_int_eq(mbfs_fs_setxattr(fs, &root_cred, ino, "user.a", block, 600, 0), 0);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

struct killer {
	struct mbfs_fs *fs;
	mbfs_ino_t ino;
	rt_u32 stop;
};

static void killer_main(void *arg)
{
	struct killer *k = arg;

	while (!rt_u32_read(&k->stop))
		if (mbfs_fs_kill_priv(k->fs, k->ino, true))
			rt_u32_set(&k->stop, 2);
}

/*
 * Goal: clearing setuid takes nothing back that a chmod at the same time has set. Method: a table;
 * then a thread that clears, while the mode goes to and fro.
 */
START_TEST(kill_priv_clears_what_it_should_and_only_that)
{
	static const mode_t modes[][2] = {
		{ 06755, 0755 }, { 02644, 02644 }, { 04600, 0600 }, { 01777, 01777 },
	};
	struct killer k = { .fs = mount_rw(img.dev) };
	struct rt_thread *thread;
	struct mbfs_attr attr, want;

	k.ino = make_file(k.fs, "f", "data", 4);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(modes); i++) {
		want.mode = modes[i][0];
		ck_assert_int_eq(mbfs_fs_setattr(k.fs, k.ino, MBFS_SET_MODE, &want, &attr), 0);
		ck_assert_int_eq(mbfs_fs_kill_priv(k.fs, k.ino, false), 0);
		ck_assert_int_eq(mbfs_fs_getattr(k.fs, k.ino, &attr), 0);
		ck_assert_uint_eq(attr.mode & 07777, modes[i][0]);
		ck_assert_int_eq(mbfs_fs_kill_priv(k.fs, k.ino, true), 0);
		ck_assert_int_eq(mbfs_fs_getattr(k.fs, k.ino, &attr), 0);
		ck_assert_uint_eq(attr.mode & 07777, modes[i][1]);
	}
	ck_assert_int_eq(mbfs_fs_setxattr(k.fs, &root_cred, k.ino, "security.capability", "c", 1,
					  0),
			 0);
	ck_assert_int_eq(rt_thread_start(killer_main, &k, "killer", &thread), 0);
	for (unsigned i = 0; i < 3000; i++) {
		want.mode = i & 1 ? 0600 : 06755;
		ck_assert_int_eq(mbfs_fs_setattr(k.fs, k.ino, MBFS_SET_MODE, &want, &attr), 0);
		rt_yield();
		ck_assert_int_eq(mbfs_fs_getattr(k.fs, k.ino, &attr), 0);
		if (i & 1)
			ck_assert_uint_eq(attr.mode & 07777, 0600);
	}
	ck_assert_uint_eq(rt_u32_read(&k.stop), 0);
	rt_u32_set(&k.stop, 1);
	rt_thread_join(thread);
	ck_assert_int_eq(mbfs_fs_getxattr(k.fs, k.ino, "security.capability", NULL, 0), -ENODATA);
	ck_assert_int_eq(mbfs_fs_unmount(k.fs), 0);
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

/*
 * Goal: damage that is met only after a call has returned is written down too. Method: a wrong
 * inode bitmap, found when the unlinked file is freed; written by unmount, and by a sync before.
 */
START_TEST(damage_while_freeing_marks_image_with_errors)
{
	struct mbfs_fs *fs = mount_rw(img.dev);
	uint32_t bitmap;

	make_file(fs, "f", "data", 4);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	memcpy(&bitmap, img.bytes + 2 * 1024 + 4, sizeof(bitmap)); /* of group 0 */
	img.bytes[(size_t)bitmap * 1024 + 20] ^= 1;
	fs = mount_rw(img.dev);
	ck_assert_int_eq(mbfs_fs_unlink(fs, MBFS_ROOT_INO, "f"), 0);
	if (_i) {
		ck_assert_int_eq(mbfs_fs_sync(fs), 0);
		ck_assert_uint_eq(img.bytes[STATE_OFF] & 3, 2);
	}
	ck_assert_int_eq(mbfs_fs_unmount(fs), -EUCLEAN);
	ck_assert_uint_eq(img.bytes[STATE_OFF] & 3, 2);
}
END_TEST

/* Goal: a time that the inode cannot hold is shown as it is kept. Method: before and after a
 * remount; rows: inodes with and without room for more than 32 bits. */
START_TEST(times_are_shown_as_they_are_kept)
{
	static const char *const mkfs[] = { "-O ^has_journal", "-O ^has_journal -I 128" };
	static const int64_t secs[] = { 20000000000ll, -3000000000ll, 3000000000ll, 5, -5 };
	struct mbfs_attr want = { 0 }, set, kept;
	struct mbfs_fs *fs;
	mbfs_ino_t ino;

	image_free();
	image_make(SMALL_BYTES, mkfs[_i]);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(secs); i++) {
		fs = mount_rw(img.dev);
		ino = make_file(fs, "f", "", 0);
		want.atime = want.mtime = (struct timespec){ secs[i], 123456789 };
		ck_assert_int_eq(mbfs_fs_setattr(fs, ino, MBFS_SET_ATIME | MBFS_SET_MTIME, &want,
						 &set), 0);
		ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
		fs = mount_rw(img.dev);
		ck_assert_int_eq(mbfs_fs_getattr(fs, ino, &kept), 0);
		ck_assert_mem_eq(&set.atime, &kept.atime, sizeof(kept.atime));
		ck_assert_mem_eq(&set.mtime, &kept.mtime, sizeof(kept.mtime));
		ck_assert_mem_eq(&set.ctime, &kept.ctime, sizeof(kept.ctime));
		ck_assert_int_eq(mbfs_fs_unlink(fs, MBFS_ROOT_INO, "f"), 0);
		ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	}
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

/* Goal: a listing has every name once. Method: a directory with an index; count. */
START_TEST(large_directory_lists_every_name)
{
	struct mbfs_fs *fs = mount_rw(img.dev);
	struct mbfs_attr attr, dir;
	struct mbfs_file *f;
	unsigned nr = 0;
	char name[32];

	ck_assert_int_eq(mbfs_fs_mkdir(fs, &root_cred, MBFS_ROOT_INO, "d", 0755, &dir), 0);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		ck_assert_int_eq(
			mbfs_fs_mknod(fs, &root_cred, dir.ino, name, S_IFREG | 0600, 0, &attr), 0);
		mbfs_fs_forget(fs, attr.ino, 1);
	}
	ck_assert_int_eq(mbfs_file_open(fs, dir.ino, O_RDONLY | O_DIRECTORY, &f), 0);
	ck_assert_int_eq(mbfs_dir_read(f, 0, count_entry, &nr), 0);
	ck_assert_uint_eq(nr, 1002);
	mbfs_file_release(f);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

/* Goal: statistics are one JSON object. Method: braces balance, and known members are there. */
START_TEST(stats_are_one_json_object)
{
	struct mbfs_fs *fs = mount_rw(img.dev);
	struct mbfs_diag diag;
	char *json;
	int depth = 0;

	make_file(fs, "f", "data", 4);
	ck_assert_int_eq(mbfs_fs_check(fs, &diag), 0);
	json = mbfs_fs_stats_json(fs);
	ck_assert_ptr_nonnull(json);
	for (const char *c = json; *c; c++) {
		depth += *c == '{';
		depth -= *c == '}';
		ck_assert_int_eq(depth == 0, !c[1]);
		ck_assert_int_ne(*c, '\n');
	}
	ck_assert_ptr_nonnull(strstr(json, "\"enospc\":\""));
	ck_assert_ptr_nonnull(strstr(json, "\"false_enospc\":0"));
	mbfs_fs_string_free(json);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
}
END_TEST

/* ---- threads ---- */
enum { WORKERS = 4, ROUNDS = 60 };

struct worker {
	struct mbfs_fs *fs;
	unsigned id;
	rt_u32 *errors;
};

static void worker_main(void *arg)
{
	struct worker *w = arg;
	char name[32], other[32], data[5000];

	memset(data, 'a' + (int)w->id, sizeof(data));
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct mbfs_attr attr;
		struct mbfs_file *f;

		snprintf(name, sizeof(name), "w%u-%u", w->id, i);
		snprintf(other, sizeof(other), "r%u-%u", w->id, i);
		if (mbfs_fs_mknod(w->fs, &root_cred, MBFS_ROOT_INO, name, S_IFREG | 0600, 0,
				  &attr) ||
		    mbfs_file_open(w->fs, attr.ino, O_RDWR, &f)) {
			rt_u32_add(w->errors, 1);
			return;
		}
		if (mbfs_file_write(f, &root_cred, data, sizeof(data), i * 700) != sizeof(data) ||
		    mbfs_fs_rename(w->fs, &root_cred, MBFS_ROOT_INO, name,
				   MBFS_ROOT_INO, other, 0) ||
		    (i % 8 == 0 && mbfs_file_fsync(f, false)) ||
		    (i % 2 && mbfs_fs_unlink(w->fs, MBFS_ROOT_INO, other)))
			rt_u32_add(w->errors, 1);
		mbfs_file_release(f);
		mbfs_fs_forget(w->fs, attr.ino, 1);
	}
}

/* Goal: calls run side by side. Method: threads create, write, rename, sync and unlink; e2fsck. */
START_TEST(threads_work_side_by_side)
{
	struct worker workers[WORKERS];
	struct rt_thread *threads[WORKERS];
	struct mbfs_diag diag;
	struct mbfs_fs *fs;
	rt_u32 errors;

	with_discard = _i;
	fs = mount_rw(img.dev);
	rt_u32_set(&errors, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ fs, i, &errors };
		ck_assert_int_eq(rt_thread_start(worker_main, &workers[i], "worker", &threads[i]),
				 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		rt_thread_join(threads[i]);
	ck_assert_uint_eq(rt_u32_read(&errors), 0);
	ck_assert_msg(!mbfs_fs_check(fs, &diag), "%s", diag.text);
	ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert_int_eq(image_fsck(), 0);
}
END_TEST

static Suite *fs_suite(void)
{
	Suite *s = suite_create("fs");
	TCase *c = tcase_create("small");

	tcase_add_checked_fixture(c, setup_small, image_free);
	tcase_add_test(c, probe_and_ro_mount_change_nothing);
	tcase_add_test(c, mounted_image_is_marked_not_clean);
	tcase_add_test(c, tree_survives_remount);
	tcase_add_test(c, bad_names_and_flags_are_refused);
	tcase_add_test(c, unlinked_file_lives_while_open);
	tcase_add_test(c, unmount_releases_what_is_open);
	tcase_add_test(c, mount_survives_every_failed_allocation);
	tcase_add_loop_test(c, mount_survives_every_device_fault, 0, 3);
	tcase_add_loop_test(c, failed_unmount_leaves_image_not_clean, 0, 2);
	tcase_add_test(c, calls_survive_every_failed_allocation);
	tcase_add_loop_test(c, calls_survive_every_device_fault, 0, 3);
	tcase_add_test(c, damage_marks_image_with_errors);
	tcase_add_loop_test(c, reserved_blocks_are_for_names_and_attributes_too, 0, 2);
	tcase_add_test(c, kill_priv_clears_what_it_should_and_only_that);
	tcase_add_loop_test(c, damage_while_freeing_marks_image_with_errors, 0, 2);
	tcase_add_loop_test(c, times_are_shown_as_they_are_kept, 0, 2);
	tcase_add_test(c, large_directory_lists_every_name);
	tcase_add_test(c, stats_are_one_json_object);
	tcase_add_loop_test(c, threads_work_side_by_side, 0, 2); /* row 1: discard */
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	SRunner *runner;
	int failed;

	if (system("PATH=$PATH:/sbin:/usr/sbin; command -v mkfs.ext4 e2fsck >/dev/null")) {
		puts("SKIP: mkfs.ext4 or e2fsck is not installed");
		return SKIP;
	}
	runner = srunner_create(fs_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
