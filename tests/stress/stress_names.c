/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on names from many threads at once, in few directories and with few names, so that
 * they meet; then a count of everything, and e2fsck. For TSan and the lock ranks.
 */
#include "support/t_image.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "inode/dir_priv.h"
#include "rt/work.h"
#include "support/t_fs.h"

enum { THREADS = 6, STEPS = 1500, DIRS = 5, NAMES = 60 };

struct shared {
	struct t_fs *fs;
	struct rt_mutex rename; /* RANK_RENAME, as src/fs has it */
	struct inode *dir[DIRS];
};
struct worker {
	struct shared *sh;
	uint64_t seed;
	struct rt_thread *thread;
};

static void name_of(char *buf, struct rt_rand *r)
{
	int n = (int)rt_rand_below(r, NAMES), len = sprintf(buf, "%d", n);

	if (n % 4 == 0)
		memset(buf + len, 'w', 150);
	buf[len + (n % 4 == 0 ? 150 : 0)] = 0;
}

static bool see(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
		uint64_t next)
{
	(void)name, (void)len, (void)ino, (void)d_type;
	*(uint64_t *)arg = next;
	return true;
}

/* What may go wrong because somebody else was faster. */
static void expect(int err)
{
	switch (err) {
	case 0:
	case -ENOENT:
	case -EEXIST:
	case -ENOTEMPTY:
	case -EISDIR:
	case -ENOTDIR:
	case -EINVAL:
	case -EPERM:
	case -EBUSY:
	case -ENODATA:
		return;
	default:
		ck_abort_msg("unexpected result %d", err);
	}
}

static void do_create(struct inode *dir, const char *name, struct rt_rand *r)
{
	static const mode_t types[] = { S_IFREG, S_IFREG, S_IFDIR, S_IFLNK };
	mode_t type = types[rt_rand_below(r, 4)];
	struct inode *in;
	int err = namei_create(dir, &t_fs_user, name, type | 0755, 0, S_ISLNK(type) ? "x" : NULL,
			       &in);

	expect(err);
	if (!err)
		inode_put(in);
}

static void do_attributes(struct shared *sh, struct inode *dir, const char *name, struct rt_rand *r)
{
	struct mbfs_attr want = { .mode = 0600 };
	struct inode *in;
	struct mbfs_tx *tx;
	char value[300] = "v";
	int err = namei_lookup(dir, name, &in);

	expect(err);
	if (err)
		return;
	if (!tx_start(sh->fs->log, XATTR_CREDITS, &tx)) {
		expect(xattr_set(in, tx, "user.x", rt_rand_below(r, 3) ? value : NULL,
				 rt_rand_below(r, sizeof(value)), 0, 0));
		tx_stop(tx);
	}
	expect(xattr_get(in, "user.x", value, sizeof(value)) < 0 ? -ENODATA : 0);
	expect(namei_setattr(in, MBFS_SET_MODE, &want));
	inode_put(in);
}

static void do_rename(struct shared *sh, struct inode *dir, const char *name, struct inode *to,
		      const char *to_name, struct rt_rand *r)
{
	bool cross = dir != to;

	if (cross)
		rt_mutex_lock(&sh->rename);
	expect(namei_rename(dir, name, to, to_name, (unsigned)rt_rand_below(r, 3), 0));
	if (cross)
		rt_mutex_unlock(&sh->rename);
}

static void do_link(struct inode *dir, const char *name, struct inode *to, const char *to_name)
{
	struct inode *in;
	int err = namei_lookup(dir, name, &in);

	expect(err);
	if (err)
		return;
	expect(namei_link(in, to, to_name, 0));
	inode_put(in);
}

static void do_read(struct inode *dir)
{
	uint64_t cookie = 0;

	rt_read_lock(&dir->rw);
	expect(dir_iterate(dir, 0, see, &cookie));
	rt_read_unlock(&dir->rw);
}

static void work(void *arg)
{
	struct worker *w = arg;
	struct rt_rand r = { w->seed };
	char name[200], to_name[200];

	for (unsigned i = 0; i < STEPS; i++) {
		struct inode *dir = w->sh->dir[rt_rand_below(&r, DIRS)];
		struct inode *to = w->sh->dir[rt_rand_below(&r, DIRS)];

		name_of(name, &r);
		name_of(to_name, &r);
		switch (rt_rand_below(&r, 10)) {
		case 0:
		case 1:
		case 2:
			do_create(dir, name, &r);
			break;
		case 3:
			expect(namei_unlink(dir, name));
			break;
		case 4:
			expect(namei_rmdir(dir, name));
			break;
		case 5:
			do_link(dir, name, to, to_name);
			break;
		case 6:
			do_attributes(w->sh, dir, name, &r);
			break;
		case 7:
			do_read(dir);
			break;
		default:
			do_rename(w->sh, dir, name, to, to_name, &r);
		}
		if (i % 200 == 0)
			ck_assert_int_eq(tx_writeout(w->sh->fs->log), 0);
	}
}

/* Goal: no race, deadlock or damage, whatever meets. Method: random operations; the directories are
 * above each other in a chain, so that renames go up and down. */
START_TEST(threads_that_meet_leave_a_sound_image)
{
	struct mbfs_bdev *mem = t_image_mem(_i ? "-b 1024" : "", 64 << 20);
	struct shared sh = { .fs = t_fs_open(mem, NULL) };
	struct worker w[THREADS];
	uint64_t seed = t_seed();
	struct inode *root = t_fs_root_dir(sh.fs);

	rt_mutex_init(&sh.rename, RANK_RENAME);
	for (unsigned i = 0; i < DIRS; i++) {
		struct inode *parent = i > 1 ? sh.dir[i - 2] : root;

		ck_assert_int_eq(namei_create(parent, &t_fs_root, i % 2 ? "odd" : "even",
					      S_IFDIR | 0755, 0, NULL, &sh.dir[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .sh = &sh, .seed = seed + i };
		ck_assert_int_eq(rt_thread_start(work, &w[i], "names", &w[i].thread), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		rt_thread_join(w[i].thread);
	for (unsigned i = 0; i < DIRS; i++)
		inode_put(sh.dir[i]);
	inode_put(root);
	rt_mutex_destroy(&sh.rename);
	t_fs_close_clean(sh.fs);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stress_names");
	TCase *tc = tcase_create("names");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, threads_that_meet_leave_a_sound_image, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
T_IMAGE_MAIN(suite)
