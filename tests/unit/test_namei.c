/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations on names, on twins of the rooms below (t_bed): results, attributes, faults. */
#include "support/t.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "inode/namei_priv.h"
#include "rt/mem.h"
#include "rt/work.h"
#include "support/t_bed.h"
#include "support/t_tree.h"

enum { TYPED = GEO_FILETYPE | GEO_EXT_ATTR | GEO_DIR_NLINK | GEO_DIR_INDEX | GEO_CSUM };

static const struct t_bed_opts small = { 1024, 16384, TYPED, 256 };
static const struct mbfs_cred user = { 1000, 100, 022 };

static struct inode *root(void)
{
	return t_bed_inode(MBFS_ROOT_INO);
}

static struct inode *make(struct inode *dir, const char *name, mode_t mode)
{
	struct inode *in;

	ck_assert_int_eq(
		namei_create(dir, &user, name, mode, 0, S_ISLNK(mode) ? "target" : NULL, &in), 0);
	return in;
}

/* ---- results ---- */

enum { CREATE, MKDIR, LINK, UNLINK, RMDIR, RENAME, LOOKUP };
static char long_name[300];
static const struct {
	int op;
	const char *name, *new_name;
	unsigned flags;
	int err;
} refusals[] = {
	{ CREATE, "file", NULL, 0, -EEXIST },
	{ CREATE, "", NULL, 0, -ENOENT },
	{ CREATE, "a/b", NULL, 0, -EINVAL },
	{ CREATE, ".", NULL, 0, -EEXIST },
	{ CREATE, long_name, NULL, 0, -ENAMETOOLONG },
	{ MKDIR, "..", NULL, 0, -EEXIST },
	{ MKDIR, "file", NULL, 0, -EEXIST },
	{ LINK, "file", NULL, 0, -EEXIST },
	{ LINK, ".", NULL, 0, -EEXIST },
	{ UNLINK, "none", NULL, 0, -ENOENT },
	{ UNLINK, "full", NULL, 0, -EISDIR },
	{ UNLINK, "..", NULL, 0, -EISDIR },
	{ RMDIR, "file", NULL, 0, -ENOTDIR },
	{ RMDIR, "full", NULL, 0, -ENOTEMPTY },
	{ RMDIR, ".", NULL, 0, -EINVAL },
	{ RMDIR, "..", NULL, 0, -ENOTEMPTY },
	{ RMDIR, "none", NULL, 0, -ENOENT },
	{ RENAME, "none", "x", 0, -ENOENT },
	{ RENAME, "file", "full", 0, -EISDIR },
	{ RENAME, "empty", "file", 0, -ENOTDIR },
	{ RENAME, "empty", "full", 0, -ENOTEMPTY },
	{ RENAME, "file", "file2", MBFS_RENAME_NOREPLACE, -EEXIST },
	{ RENAME, "file", "none", MBFS_RENAME_EXCHANGE, -ENOENT },
	{ RENAME, "file", "x", 3, -EINVAL },
	{ RENAME, "file", "x", 4, -EINVAL },
	{ RENAME, ".", "x", 0, -EBUSY },
	{ RENAME, "file", "..", 0, -EBUSY },
	{ RENAME, "file", long_name, 0, -ENAMETOOLONG },
	{ RENAME, "file", "file", 0, 0 },
	{ RENAME, "file", "hard", 0, 0 },
	{ LOOKUP, "none", NULL, 0, -ENOENT },
	{ LOOKUP, "file", NULL, 0, 0 },
	{ LOOKUP, "hard", NULL, 0, 0 },
	{ LOOKUP, "..", NULL, 0, 0 },
	{ LOOKUP, long_name, NULL, 0, -ENAMETOOLONG },
};

static int refusal_try(unsigned i, struct inode *file)
{
	const char *n = refusals[i].name;
	struct inode *in;

	switch (refusals[i].op) {
	case CREATE:
		return namei_create(root(), &user, n, S_IFREG, 0, NULL, &in);
	case MKDIR:
		return namei_create(root(), &user, n, S_IFDIR, 0, NULL, &in);
	case LINK:
		return namei_link(file, root(), n, 0);
	case UNLINK:
		return namei_unlink(root(), n);
	case RMDIR:
		return namei_rmdir(root(), n);
	case LOOKUP:
		return namei_lookup(root(), n, &in);
	default:
		return namei_rename(root(), n, root(), refusals[i].new_name, refusals[i].flags, 0);
	}
}

/* Goal: every refusal of every operation. Method: a small tree, one table. */
START_TEST(each_operation_refuses_what_it_should)
{
	struct inode *file, *full;

	memset(long_name, 'n', 256);
	t_bed_open(&small);
	file = make(root(), "file", S_IFREG | 0644);
	make(root(), "file2", S_IFREG | 0644);
	make(root(), "empty", S_IFDIR | 0755);
	full = make(root(), "full", S_IFDIR | 0755);
	make(full, "x", S_IFREG | 0644);
	ck_assert_int_eq(namei_link(file, root(), "hard", 0), 0);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(refusals); i++) {
		int err = refusal_try(i, file);

		ck_assert_msg(err == refusals[i].err, "row %u: %d", i, err);
		t_bed_check();
	}
	ck_assert_int_eq(namei_link(full, root(), "l", 0), -EPERM);
	ck_assert_int_eq(namei_rename(root(), "full", full, "in", 0, 0), -EINVAL);
	ck_assert_int_eq(namei_rename(full, "x", root(), "full", 0, 0), -ENOTEMPTY);
	ck_assert_int_eq(namei_rename(full, "x", root(), "full", MBFS_RENAME_EXCHANGE, 0), -EINVAL);
	ck_assert_uint_eq(file->nlink, 2);
	t_bed_close();
}
END_TEST

/* Goal: limits and flags of inodes. Method: set the fields by hand. */
START_TEST(counts_flags_and_states_are_respected)
{
	struct mbfs_attr want = { .mode = 0600 };
	struct inode *file, *dir, *in;
	char target[1025];

	t_bed_open(&small);
	file = make(root(), "file", S_IFREG | 0644);
	dir = make(root(), "dir", S_IFDIR | 0755);
	file->nlink = 65000;
	ck_assert_int_eq(namei_link(file, root(), "l", 0), -EMLINK);
	file->nlink = 1;
	dir->nlink = 65000;
	make(dir, "sub", S_IFDIR | 0755);
	ck_assert_uint_eq(dir->nlink, 1);
	ck_assert_int_eq(namei_rmdir(dir, "sub"), 0);
	ck_assert_uint_eq(dir->nlink, 1);
	bed.geo.features &= ~(uint32_t)GEO_DIR_NLINK;
	dir->nlink = 65000;
	ck_assert_int_eq(namei_create(dir, &user, "sub", S_IFDIR, 0, NULL, &in), -EMLINK);
	dir->nlink = 2;
	file->flags |= INODE_FL_IMMUTABLE;
	ck_assert_int_eq(namei_unlink(root(), "file"), -EPERM);
	ck_assert_int_eq(namei_link(file, root(), "l", 0), -EPERM);
	ck_assert_int_eq(namei_rename(root(), "file", dir, "f", 0, 0), -EPERM);
	file->flags &= ~(uint32_t)INODE_FL_IMMUTABLE;
	ck_assert_int_eq(namei_setattr(file, MBFS_SET_MODE, &want), 0);
	file->flags |= INODE_FL_APPEND;
	ck_assert_int_eq(namei_setattr(file, MBFS_SET_MODE, &want), -EPERM);
	ck_assert_int_eq(namei_setattr(file, MBFS_SET_MTIME_NOW, &want), 0);
	file->flags |= INODE_FL_IMMUTABLE;
	ck_assert_int_eq(namei_setattr(file, MBFS_SET_MTIME_NOW, &want), -EPERM);
	file->flags &= ~(uint32_t)(INODE_FL_IMMUTABLE | INODE_FL_APPEND);
	dir->flags |= INODE_FL_APPEND;
	make(dir, "more", S_IFREG | 0644);
	ck_assert_int_eq(namei_unlink(dir, "more"), -EPERM);
	dir->flags &= ~(uint32_t)INODE_FL_APPEND;
	ck_assert_int_eq(namei_unlink(dir, "more"), 0);
	inode_hold(dir);
	ck_assert_int_eq(namei_rmdir(root(), "dir"), 0);
	ck_assert_int_eq(namei_create(dir, &user, "x", S_IFREG, 0, NULL, &in), -ENOENT);
	ck_assert_int_eq(namei_rename(root(), "file", dir, "f", 0, 0), -ENOENT);
	memset(target, 't', 1024);
	target[1024] = 0;
	ck_assert_int_eq(namei_create(root(), &user, "s", S_IFLNK, 0, target, &in), -ENAMETOOLONG);
	ck_assert_int_eq(namei_create(root(), &user, "s", S_IFLNK, 0, "", &in), -ENOENT);
	bed.env.read_only = true;
	ck_assert_int_eq(namei_create(root(), &user, "x", S_IFREG, 0, NULL, &in), -EROFS);
	bed.env.read_only = false;
	t_bed_check();
	t_bed_close();
}
END_TEST

/* An entry that leads to any number, as a damaged image may have it. */
static void entry(struct inode *dir, const char *name, mbfs_ino_t ino)
{
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(bed.env.log, DIR_CREDITS, &tx), 0);
	rt_write_lock(&dir->rw);
	ck_assert_int_eq(dir_add(dir, tx, name, strlen(name), ino, DT_DIR, 0), 0);
	rt_write_unlock(&dir->rw);
	tx_stop(tx);
}

static void parent(struct inode *dir, mbfs_ino_t ino)
{
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(bed.env.log, DIR_CREDITS, &tx), 0);
	ck_assert_int_eq(dir_set_parent(dir, tx, ino), 0);
	tx_stop(tx);
}

/* Goal: trees that are none lead to an error, not to a hang. Method: circles of parents, a
 * directory in itself, entries of inodes that are not in use. */
START_TEST(damaged_trees_are_refused)
{
	struct inode *a, *b, *c, *in;

	t_bed_open(&small);
	a = make(root(), "a", S_IFDIR | 0755);
	b = make(a, "b", S_IFDIR | 0755);
	c = make(root(), "c", S_IFDIR | 0755);
	make(c, "file", S_IFREG | 0644);
	make(c, "dir", S_IFDIR | 0755);
	parent(a, b->ino);
	ck_assert_int_eq(namei_rename(c, "dir", b, "x", 0, 0), -EUCLEAN);
	ck_assert_int_eq(namei_rename(c, "file", a, "x", 0, 0), -EUCLEAN);
	parent(a, 4000);
	ck_assert_int_eq(namei_rename(c, "file", a, "x", 0, 0), -EUCLEAN);
	parent(a, MBFS_ROOT_INO);
	ck_assert_int_eq(namei_rename(c, "file", a, "x", 0, 0), 0);
	entry(c, "self", c->ino);
	ck_assert_int_eq(namei_rmdir(c, "self"), -EUCLEAN);
	ck_assert_int_eq(namei_unlink(c, "self"), -EUCLEAN);
	ck_assert_int_eq(namei_rename(c, "self", c, "other", 0, 0), -EUCLEAN);
	ck_assert_int_eq(namei_rename(c, "dir", c, "self", 0, 0), -EUCLEAN);
	ck_assert_int_lt(namei_rename(c, "self", a, "self", 0, 0), 0);
	entry(c, "nobody", 4001);
	ck_assert_int_eq(namei_lookup(c, "nobody", &in), -EUCLEAN);
	ck_assert_int_eq(namei_unlink(c, "nobody"), -EUCLEAN);
	ck_assert_int_eq(namei_rename(c, "nobody", c, "x", 0, 0), -EUCLEAN);
	t_bed_check();
	t_bed_close();
}
END_TEST

/* ---- locks ---- */

struct mover {
	unsigned flags;
	rt_u32 done;
};

static void mover_main(void *arg)
{
	struct mover *m = arg;
	int err = namei_rename(root(), "a", root(), m->flags ? "b" : "c", m->flags, 0);

	rt_u32_set(&m->done, err ? 2 : 1);
}

/*
 * Goal: a rename inside one directory waits for no directory in it that it does not replace: such a
 * wait closes a circle with a rename between directories and a removal. Method: hold them.
 */
START_TEST(rename_in_a_directory_does_not_lock_its_directories)
{
	struct mover m = { .flags = _i ? MBFS_RENAME_EXCHANGE : 0 };
	struct inode *a, *b;
	struct rt_thread *thread;

	t_bed_open(&small);
	a = make(root(), "a", S_IFDIR | 0755);
	b = make(root(), "b", S_IFDIR | 0755);
	rt_write_lock(&a->rw);
	rt_write_lock_nested(&b->rw);
	ck_assert_int_eq(rt_thread_start(mover_main, &m, "mover", &thread), 0);
	for (unsigned i = 0; i < 2000 && !rt_u32_read(&m.done); i++)
		rt_sleep_ns(1000000);
	ck_assert_uint_eq(rt_u32_read(&m.done), 1);
	rt_thread_join(thread);
	rt_write_unlock(&b->rw);
	rt_write_unlock(&a->rw);
	t_bed_check();
	t_bed_close();
}
END_TEST

/* Goal: a directory that was removed, like the one above it, is no damage. Method: move into it. */
START_TEST(rename_into_a_removed_directory_finds_nothing)
{
	struct inode *a, *b;

	t_bed_open(&small);
	a = make(root(), "a", S_IFDIR | 0755);
	b = make(a, "b", S_IFDIR | 0755);
	make(root(), "file", S_IFREG | 0644);
	ck_assert_int_eq(namei_rmdir(a, "b"), 0);
	inode_put(a);
	ck_assert_int_eq(namei_rmdir(root(), "a"), 0);
	ck_assert_int_eq(namei_rename(root(), "file", b, "x", 0, 0), -ENOENT);
	inode_put(b);
	t_bed_check();
	t_bed_close();
}
END_TEST

/* ---- attributes ---- */

/* Goal: owner, mode, times and links of new and changed files. Method: look at the fields. */
START_TEST(new_files_get_the_attributes_they_should)
{
	struct inode *dir, *sub, *file;
	struct timespec before;
	struct mbfs_attr want = { .mode = 06711, .uid = 70000, .gid = 80000, .mtime = { 5, 6 } };

	t_bed_open(&small);
	dir = make(root(), "dir", S_IFDIR | 0777);
	ck_assert_uint_eq(dir->mode, S_IFDIR | 0755);
	ck_assert_uint_eq(dir->uid, 1000);
	ck_assert_uint_eq(dir->gid, 100);
	ck_assert_uint_eq(dir->nlink, 2);
	ck_assert_uint_eq(root()->nlink, 3);
	dir->mode |= S_ISGID;
	dir->gid = 555;
	sub = make(dir, "sub", S_IFDIR | 0777);
	ck_assert_uint_eq(sub->mode, S_IFDIR | S_ISGID | 0755);
	ck_assert_uint_eq(sub->gid, 555);
	dir->mtime = dir->ctime = (struct timespec){ 1, 1 };
	inode_now(&before);
	file = make(dir, "file", S_IFREG | 0666);
	ck_assert_uint_eq(file->mode, S_IFREG | 0644);
	ck_assert_uint_eq(file->gid, 555);
	ck_assert_int_ge(dir->mtime.tv_sec, before.tv_sec);
	ck_assert_int_ge(dir->ctime.tv_sec, before.tv_sec);
	ck_assert_int_eq(namei_setattr(file,
				       MBFS_SET_MODE | MBFS_SET_UID | MBFS_SET_GID | MBFS_SET_MTIME,
				       &want),
			 0);
	ck_assert_uint_eq(file->mode, S_IFREG | 06711);
	ck_assert_uint_eq(file->uid, 70000);
	ck_assert_uint_eq(file->gid, 80000);
	ck_assert_int_eq(file->mtime.tv_sec, 5);
	ck_assert_int_eq(namei_setattr(dir, MBFS_SET_SIZE, &want), -EISDIR);
	ck_assert_uint_eq(make(root(), "l", S_IFLNK)->mode, S_IFLNK | 0777);
	t_bed_check();
	t_bed_close();
}
END_TEST

/* ---- random ---- */

/* Goal: any sequence of operations gives what a naive tree gives. Method: see t_tree. */
START_TEST(random_operations_agree_with_a_naive_tree)
{
	struct rt_rand r = { t_seed() };
	struct t_tree *t;

	t_bed_open(&small);
	t = t_tree_new(root());
	for (unsigned i = 0; i < 6000; i++) {
		t_tree_step(t, &r);
		if (i % 500 == 0) {
			t_bed_reopen(NULL);
			t_tree_check(t);
			t_bed_check();
		}
	}
	t_tree_check(t);
	t_tree_free(t);
	t_bed_close();
}
END_TEST

/* ---- faults ---- */

enum fault { FAULT_MEMORY, FAULT_TWIN, FAULT_READ, FAULT_WRITE, FAULT_NR };
struct arm {
	enum fault f;
	uint64_t n;
};

static void arm_fault(void *arg)
{
	const struct arm *a = arg;
	struct mbfs_fault_plan plan = { .fail_read_at = a->f == FAULT_READ ? a->n : 0,
					.fail_write_at = a->f == FAULT_WRITE ? a->n : 0 };

	t_bed_reopen(&plan);
	rt_mem_fail_at(a->f == FAULT_MEMORY ? a->n : 0);
	t_bed_fail_at(a->f == FAULT_TWIN ? a->n : 0, -EIO);
}

static bool disarm_fault(void *arg)
{
	const struct arm *a = arg;
	struct mbfs_fault_counts counts;
	bool struck;

	mbfs_bdev_fault_counts(bed.dev, &counts);
	struck = a->f == FAULT_MEMORY ? rt_mem_fail_struck() :
		 a->f == FAULT_TWIN   ? t_bed_fail_struck() :
					counts.faults > 0;
	rt_mem_fail_at(0);
	t_bed_fail_at(0, 0);
	return struck;
}

/* Goal: an operation that fails leaves the tree as it was. Method: random operations, each with one
 * failing allocation, twin call, read or write somewhere in it; both trees are compared after each.
 */
START_TEST(a_failing_operation_changes_nothing)
{
	struct rt_rand r = { t_seed() };
	struct t_tree *t;

	t_bed_open(&small);
	t = t_tree_new(root());
	for (unsigned i = 0; i < 1500; i++) {
		struct arm a = { (enum fault)rt_rand_below(&r, FAULT_NR),
				 1 + rt_rand_below(&r, 12) };

		if (i < 200) {
			t_tree_step(t, &r);
			continue;
		}
		t_tree_step_faulty(t, &r, arm_fault, disarm_fault, &a);
		t_bed_reopen(NULL);
		t_tree_check(t);
		t_bed_check();
	}
	t_tree_free(t);
	t_bed_close();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("namei");
	TCase *tc = tcase_create("namei");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, each_operation_refuses_what_it_should);
	tcase_add_test(tc, counts_flags_and_states_are_respected);
	tcase_add_test(tc, damaged_trees_are_refused);
	tcase_add_loop_test(tc, rename_in_a_directory_does_not_lock_its_directories, 0, 2);
	tcase_add_test(tc, rename_into_a_removed_directory_finds_nothing);
	tcase_add_test(tc, new_files_get_the_attributes_they_should);
	tcase_add_test(tc, random_operations_agree_with_a_naive_tree);
	tcase_add_test(tc, a_failing_operation_changes_nothing);
	suite_add_tcase(s, tc);
	return s;
}
T_MAIN(suite)
