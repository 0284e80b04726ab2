// SPDX-License-Identifier: GPL-2.0-only
/*
 * A whole mounted file system under the explorer: two users make, write and remove files of one
 * directory of a small image. Goal: the equations hold after every schedule, and unmount is clean.
 */
#include "support/t.h"

#include <mbfs/blkdev.h>
#include <mbfs/fs.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "explore/explore.h"

enum { IMAGE_BYTES = 256 << 10, ROOT_INO = 2 };

static uint8_t image[IMAGE_BYTES];

static bool image_make(void)
{
	char path[] = "/tmp/explore-XXXXXX", command[200];
	int fd = mkstemp(path);
	bool ok = false;

	if (fd < 0)
		return false;
	snprintf(command, sizeof(command),
		 "mkfs.ext4 -q -F -b 1024 -N 32 -O ^has_journal,^resize_inode %s %dk >/dev/null "
		 "2>&1",
		 path, IMAGE_BYTES >> 10);
	ok = system(command) == 0 && pread(fd, image, IMAGE_BYTES, 0) == IMAGE_BYTES;
	close(fd);
	unlink(path);
	return ok;
}

struct bed {
	struct mbfs_bdev *dev;
	struct mbfs_fs *fs;
};

static void bed_setup(void *state)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag = { "" }, notes = { "" };
	struct bed *b = state;
	int err;

	explore_check(explore_bdev_open(image, IMAGE_BYTES, &b->dev) == 0);
	mbfs_mount_opts_default(&opts);
	opts.tune.cpus = 2;
	opts.cache_bytes = 1 << 20;
	err = mbfs_fs_mount(b->dev, &opts, &diag, &notes, &b->fs);
	if (err)
		explore_fail("mount: %d %s", err, diag.text);
}

static void bed_user(void *state)
{
	static const char *const names[] = { "one", "two" };
	const struct mbfs_cred cred = { 0 };
	struct mbfs_file *f;
	struct mbfs_attr attr;
	struct bed *b = state;
	unsigned me = explore_thread();
	int err = mbfs_fs_mknod(b->fs, &cred, ROOT_INO, names[me], S_IFREG | 0644, 0, &attr);

	if (err) {
		explore_fail("mknod: %d", err);
		return;
	}
	explore_check(mbfs_file_open(b->fs, attr.ino, O_WRONLY, &f) == 0);
	explore_check(mbfs_file_write(f, &cred, "some bytes", 10, 0) == 10);
	mbfs_file_release(f);
	if (me)
		explore_check(mbfs_fs_unlink(b->fs, ROOT_INO, names[me]) == 0);
	mbfs_fs_forget(b->fs, attr.ino, 1);
}

static void bed_check(void *state)
{
	struct mbfs_diag diag = { "" };
	struct bed *b = state;

	if (mbfs_fs_check(b->fs, &diag))
		explore_fail("check: %s", diag.text);
	explore_check(mbfs_fs_unmount(b->fs) == 0);
	mbfs_bdev_close(b->dev);
}

static struct explore_result res;

START_TEST(two_users)
{
	struct explore_scenario s = { .name = "fs",
				      .state_bytes = sizeof(struct bed),
				      .setup = bed_setup,
				      .thread_nr = 2,
				      .threads = { { NULL, bed_user }, { NULL, bed_user } },
				      .check = bed_check };
	struct explore_options opt = {
		.strategy = (enum explore_strategy)_i, .bound = 1, .seed = 1, .schedules = 300
	};

	ck_assert(image_make());
	explore_run(&s, &opt, &res);
	printf("%s: %llu schedules, %.0f operations a run\n",
	       explore_strategy_name((enum explore_strategy)_i), (unsigned long long)res.schedules,
	       (double)res.steps / (double)res.schedules);
	ck_assert_msg(res.outcome != EXPLORE_FOUND, "%s: %s", explore_verdict_name(res.verdict),
		      res.text);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fs-explore");
	TCase *tc = tcase_create("fs-explore");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, two_users, EXPLORE_RANDOM, EXPLORE_DFS + 1);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN_IF(suite, system("command -v mkfs.ext4 >/dev/null") == 0, "mkfs.ext4 is not installed")
