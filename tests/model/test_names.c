/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names and attributes on real images: made by mkfs.ext4, debugfs or the kernel, changed by our
 * rooms put together, judged by e2fsck -fn, debugfs and the kernel.
 */
#include "support/t_image.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "inode/dir_priv.h"
#include "rt/mem.h"
#include "support/t_fs.h"
#include "support/t_tree.h"

/* tune: debugfs requests after mkfs. */
static const struct {
	const char *mkfs, *tune;
	unsigned mib;
	unsigned files;
} rows[] = {
	{ "", "", 64, 4000 },
	{ "-b 1024", "", 64, 6000 },
	{ "-b 2048 -O ^64bit,^flex_bg", "", 64, 4000 },
	{ "-b 65536 -N 8192", "", 128, 4000 },
	{ "-b 1024 -O ^metadata_csum", "set_super_value def_hash_version tea\n", 64, 4000 },
	{ "-b 1024 -I 128", "set_super_value def_hash_version legacy\n", 64, 3000 },
	{ "-b 1024 -O ^dir_index", "", 64, 700 },
	{ "-b 1024 -O ^filetype,^dir_nlink", "set_super_value flags 2\n", 64, 3000 },
	{ "-b 65536 -N 8192 -O ^metadata_csum", "", 128, 4000 },
};

static struct mbfs_bdev *row_image(int row)
{
	struct mbfs_bdev *mem = t_image_mem(rows[row].mkfs, (uint64_t)rows[row].mib << 20);

	if (*rows[row].tune)
		t_image_debugfs(mem, rows[row].tune);
	return mem;
}

static void name_of(char *buf, uint32_t n)
{
	int len = sprintf(buf, "%s%u-", n % 2 ? "\xc3\xa9t\xc3\xa9" : "f", n);
	uint32_t pad = n % 7 == 0 ? 180 : n % 40;

	memset(buf + len, 'p', pad);
	buf[(uint32_t)len + pad] = 0;
}

static void make(struct inode *dir, const char *name, mode_t mode)
{
	struct inode *in;
	int err = namei_create(dir, &t_fs_root, name, mode, 0, S_ISLNK(mode) ? "to" : NULL, &in);

	ck_assert_msg(!err, "%s: %d", name, err);
	inode_put(in);
}

static bool exists(struct inode *dir, const char *name)
{
	struct inode *in;
	int err = namei_lookup(dir, name, &in);

	ck_assert(!err || err == -ENOENT);
	if (!err)
		inode_put(in);
	return !err;
}

/* ---- what we make ---- */

/* Goal: directories that grow, shrink and grow again are sound in every geometry and hash. Method:
 * thousands of files, every second removed, read back in a new mount; e2fsck. */
START_TEST(thousands_of_names_pass_fsck)
{
	struct mbfs_bdev *mem = row_image(_i);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *root = t_fs_root_dir(fs), *dir;
	uint32_t nr = rows[_i].files;
	char name[300];

	make(root, "dir", S_IFDIR | 0755);
	ck_assert_int_eq(namei_lookup(root, "dir", &dir), 0);
	for (uint32_t n = 0; n < nr; n++) {
		name_of(name, n);
		make(dir, name, n % 50 ? S_IFREG | 0644 : S_IFDIR | 0755);
	}
	for (uint32_t n = 0; n < nr; n += 2) {
		name_of(name, n);
		ck_assert_int_eq(n % 50 ? namei_unlink(dir, name) : namei_rmdir(dir, name), 0);
	}
	inode_put(dir);
	inode_put(root);
	t_fs_close_clean(fs);

	fs = t_fs_open(mem, NULL);
	root = t_fs_root_dir(fs);
	ck_assert_int_eq(namei_lookup(root, "dir", &dir), 0);
	for (uint32_t n = 0; n < nr; n++) {
		name_of(name, n);
		ck_assert_int_eq(exists(dir, name), n % 2);
	}
	for (uint32_t n = 0; n < nr; n += 4) {
		name_of(name, n);
		make(dir, name, S_IFLNK);
	}
	ck_assert_int_eq(dir_is_indexed(dir), !strstr(rows[_i].mkfs, "^dir_index"));
	inode_put(dir);
	inode_put(root);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: 100,000 names in one directory. Method: links to one file's number; every second is
 * removed. */
START_TEST(hundred_thousand_names_pass_fsck)
{
	enum { NR = 100000 };
	struct mbfs_bdev *mem = t_image_mem("-N 110000", 256 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *root = t_fs_root_dir(fs);
	char name[64];

	for (uint32_t n = 0; n < NR; n++) {
		sprintf(name, "file-%u", n);
		make(root, name, S_IFREG | 0644);
	}
	for (uint32_t n = 0; n < NR; n += 2) {
		sprintf(name, "file-%u", n);
		ck_assert_int_eq(namei_unlink(root, name), 0);
	}
	for (uint32_t n = 0; n < NR; n += 1001) {
		sprintf(name, "file-%u", n);
		ck_assert_int_eq(exists(root, name), n % 2);
	}
	inode_put(root);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: any sequence of operations gives what a naive tree gives, and a sound image. Method: see
 * t_tree. */
START_TEST(random_operations_agree_with_a_naive_tree)
{
	struct rt_rand r = { t_seed() };
	struct mbfs_bdev *mem = row_image(_i);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *root = t_fs_root_dir(fs);
	struct t_tree *t = t_tree_new(root);

	for (unsigned i = 0; i < 4000; i++)
		t_tree_step(t, &r);
	t_tree_check(t);
	t_tree_free(t);
	inode_put(root);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- faults ---- */

enum fault { FAULT_MEMORY, FAULT_READ, FAULT_WRITE, FAULT_NR };
struct arm {
	struct t_fs *fs;
	enum fault f;
	uint64_t n;
};

static void arm_fault(void *arg)
{
	const struct arm *a = arg;

	rt_mem_fail_at(a->f == FAULT_MEMORY ? a->n : 0);
}

/* Whether the fault struck; if not, it is made to strike something harmless now. */
static bool disarm_fault(void *arg)
{
	const struct arm *a = arg;
	struct mbfs_fault_counts counts;
	bool struck = a->f == FAULT_MEMORY && rt_mem_fail_struck();
	uint8_t boot[512];

	rt_mem_fail_at(0);
	if (a->f == FAULT_MEMORY)
		return struck;
	mbfs_bdev_fault_counts(a->fs->dev, &counts);
	struck = counts.faults > 0;
	for (unsigned i = 0; i < 1000 && !counts.faults; i++) {
		int err = mbfs_bdev_read(a->fs->dev, 0, boot, sizeof(boot));

		if (!err)
			err = mbfs_bdev_write(a->fs->dev, 0, boot, sizeof(boot));
		(void)err;
		mbfs_bdev_fault_counts(a->fs->dev, &counts);
	}
	ck_assert(counts.faults);
	return struck;
}

/* The one group's bitmap is read: what the allocator does if it cannot be is not under test. */
static void warm(struct t_fs *fs)
{
	struct mbfs_alloc_req req = { .len = 1, .file_blks = 1, .flags = MBFS_ALLOC_NO_PREALLOC };
	struct mbfs_run run;
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(fs->log, 10, &tx), 0);
	ck_assert_int_eq(mbfs_alloc_blocks(fs->alloc, NULL, &req, tx, &run), 0);
	ck_assert_int_eq(mbfs_alloc_free(fs->alloc, tx, &run), 0);
	tx_stop(tx);
}

/* How many reads and writes it takes to come to the operation. */
static uint64_t open_cost(struct mbfs_bdev *mem, enum fault f)
{
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct mbfs_fault_counts counts;

	warm(fs);
	mbfs_bdev_fault_counts(fs->dev, &counts);
	ck_assert_int_eq(t_fs_close(fs), 0);
	return f == FAULT_READ ? counts.reads : counts.writes;
}

/* Goal: an operation that fails leaves the tree as it was, and nothing leaks. Method: each
 * operation in a new mount with cold caches, one allocation, read or write in it failing; both
 * trees are compared after each; e2fsck at the end, after a mount that frees what failed to be
 * freed. */
START_TEST(a_failing_operation_changes_nothing)
{
	struct rt_rand r = { t_seed() };
	struct mbfs_bdev *mem =
		t_image_mem(_i ? "-b 1024 -O ^has_journal" : "-O ^has_journal", 8 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *root = t_fs_root_dir(fs);
	struct t_tree *t = t_tree_new(root);

	for (unsigned i = 0; i < 600; i++)
		t_tree_step(t, &r);
	inode_put(root);
	t_fs_close_clean(fs);
	for (unsigned i = 0; i < 300; i++) {
		enum fault f = (enum fault)rt_rand_below(&r, FAULT_NR);
		uint64_t n = 1 + rt_rand_below(&r, 16),
			 cost = f == FAULT_MEMORY ? 0 : open_cost(mem, f);
		struct mbfs_fault_plan plan = { .fail_read_at = f == FAULT_READ ? cost + n : 0,
						.fail_write_at = f == FAULT_WRITE ? cost + n : 0 };
		struct t_fs_opts opts = { .plan = &plan };
		struct arm a = { .f = f, .n = n };

		a.fs = fs = t_fs_open(mem, &opts);
		warm(fs);
		/* Not by t_fs_root_dir(): the fault may strike it. */
		if (inode_get(&fs->env, MBFS_ROOT_INO, &root) &&
		    inode_get(&fs->env, MBFS_ROOT_INO, &root))
			ck_abort();
		t_tree_move(t, root);
		t_tree_step_faulty(t, &r, arm_fault, disarm_fault, &a);
		t_tree_check(t);
		inode_put(root);
		ck_assert_int_eq(t_fs_close(fs), 0);
	}
	t_tree_free(t);
	fs = t_fs_open(mem, NULL);
	ck_assert_int_eq(orphan_cleanup(&fs->env), 0);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- what others make ---- */

/* Goal: an index that libext2fs made is read, changed and stays one. Method: t_image's /big. */
START_TEST(directories_of_debugfs_are_read_and_changed)
{
	struct mbfs_bdev *mem = t_image_mem(rows[_i].mkfs, 64 << 20);
	struct t_fs *fs;
	struct inode *root, *big;
	uint32_t was, nr = 0;
	char name[300], *out;

	t_image_populate(mem, T_IMAGE_HTREE | T_IMAGE_LINKS | T_IMAGE_TREE);
	out = t_image_ask(mem, "ls -p /big");
	for (const char *at = out; (at = strchr(at, '\n')); at++)
		nr++;
	fs = t_fs_open(mem, NULL);
	root = t_fs_root_dir(fs);
	ck_assert_int_eq(namei_lookup(root, "big", &big), 0);
	ck_assert(dir_is_indexed(big));
	was = dir_blk_nr(big);
	/* Each line of ls -p is /inode/mode/uid/gid/name/size/ */
	for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n")) {
		char *field = line;

		for (unsigned k = 0; k < 4 && field; k++)
			field = strchr(field + 1, '/');
		/* Free records are listed with inode 0. */
		if (!strncmp(line, "/0/", 3) || !field || !strchr(field + 1, '/'))
			continue;
		*strchr(++field, '/') = 0;
		ck_assert_msg(exists(big, field), "%s", field);
		if (field[0] != '.' && strtoul(line + 1, NULL, 10) % 3 == 0)
			ck_assert_int_eq(namei_unlink(big, field), 0);
	}
	for (uint32_t n = 0; n < 1500; n++) {
		name_of(name, n);
		make(big, name, S_IFREG | 0600);
	}
	ck_assert_uint_gt(dir_blk_nr(big), was);
	ck_assert_uint_gt(nr, 1000);
	free(out);
	inode_put(big);
	inode_put(root);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: directories without extents are read and changed as far as their blocks reach; a new block
 * is refused and nothing else changes. Method: t_image's /big in an image like ext3's. */
START_TEST(block_mapped_directories_are_read_but_do_not_grow)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024 -O ^extent,^64bit,^metadata_csum", 64 << 20);
	struct t_fs *fs;
	struct inode *big, *in;
	uint64_t inodes;
	char name[300];
	int err = 0;

	t_image_populate(mem, T_IMAGE_HTREE);
	fs = t_fs_open(mem, NULL);
	big = t_fs_find(fs, "big");
	sprintf(name, "%05u-%090u", 17, 0);
	ck_assert(exists(big, name));
	ck_assert_int_eq(namei_unlink(big, name), 0);
	make(big, name, S_IFIFO | 0600);
	inodes = t_fs_free_inodes(fs);
	for (uint32_t n = 0; n < 3000 && !err; n++) {
		name_of(name, n);
		err = namei_create(big, &t_fs_root, name, S_IFREG | 0644, 0, NULL, &in);
		if (!err) {
			inode_put(in);
			inodes--;
		}
	}
	ck_assert_int_eq(err, -EOPNOTSUPP);
	ck_assert(!exists(big, name));
	ck_assert_int_eq(namei_create(big, &t_fs_root, "dir", S_IFDIR | 0755, 0, NULL, &in),
			 -EOPNOTSUPP);
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes);
	inode_put(big);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: both kinds of symbolic link read as debugfs made them. Method: t_image's /fast and /slow.
 */
START_TEST(symbolic_links_are_read_and_written)
{
	struct mbfs_bdev *mem = t_image_mem(rows[_i].mkfs, 64 << 20);
	struct t_fs *fs;
	struct inode *root, *in;
	static char target[1020], buf[4096];
	static const unsigned sizes[] = { 1, 59, 60, 61, 1019 };
	char name[16], *out;

	t_image_populate(mem, T_IMAGE_LINKS | T_IMAGE_TREE);
	fs = t_fs_open(mem, NULL);
	root = t_fs_root_dir(fs);
	ck_assert_int_eq(namei_lookup(root, "fast", &in), 0);
	ck_assert_int_eq(namei_readlink(in, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(strlen(buf), in->size_bytes);
	ck_assert_int_eq(namei_readlink(in, buf, in->size_bytes), -ERANGE);
	inode_put(in);
	ck_assert_int_eq(namei_lookup(root, "slow", &in), 0);
	ck_assert_int_eq(namei_readlink(in, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(strlen(buf), in->size_bytes);
	ck_assert_uint_ge(in->size_bytes, 60);
	inode_put(in);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(sizes); i++) {
		memset(target, 'a' + (int)i, sizes[i]);
		target[sizes[i]] = 0;
		sprintf(name, "l%u", i);
		ck_assert_int_eq(namei_create(root, &t_fs_user, name, S_IFLNK, 0, target, &in), 0);
		ck_assert_int_eq(namei_readlink(in, buf, sizeof(buf)), 0);
		ck_assert_str_eq(buf, target);
		inode_put(in);
	}
	inode_put(root);
	t_fs_close_clean(fs);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(sizes); i++) {
		sprintf(buf, "stat /l%u", i);
		out = t_image_ask(mem, buf);
		ck_assert_ptr_nonnull(strstr(out, "Type: symlink"));
		free(out);
	}
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- attributes ---- */

static int set(struct t_fs *fs, struct inode *in, const char *name, const void *value, size_t bytes)
{
	struct mbfs_tx *tx;
	int err = tx_start(fs->log, XATTR_CREDITS, &tx);

	if (err)
		return err;
	err = xattr_set(in, tx, name, value, bytes, 0, 0);
	tx_stop(tx);
	return err;
}

/* Goal: what debugfs set we read, what we set debugfs reads, in the inode and in a block. Method:
 * both. */
START_TEST(attributes_agree_with_debugfs)
{
	struct mbfs_bdev *mem = t_image_mem(rows[_i].mkfs, 64 << 20);
	struct t_fs *fs;
	struct inode *in, *dir;
	char value[700], buf[5000], *out;
	ssize_t got;

	t_image_populate(mem, T_IMAGE_TREE | T_IMAGE_XATTRS);
	fs = t_fs_open(mem, NULL);
	dir = t_fs_find(fs, "d0");
	ck_assert_int_eq(namei_lookup(dir, "f1", &in), 0);
	ck_assert_int_gt(xattr_get(in, "user.small", buf, sizeof(buf)), 0);
	inode_put(in);
	ck_assert_int_eq(namei_lookup(dir, "f2", &in), 0);
	ck_assert_int_gt(xattr_get(in, "user.big", buf, sizeof(buf)), 100);
	ck_assert_uint_ne(in->xattr_blk, 0);
	ck_assert_int_eq(set(fs, in, "user.big", NULL, 0), 0);
	inode_put(in);
	inode_put(dir);
	in = t_fs_create(fs, "mine", S_IFREG | 0644);
	memset(value, 'v', sizeof(value));
	ck_assert_int_eq(set(fs, in, "user.short", "0123456789", 10), 0);
	ck_assert_int_eq(set(fs, in, "user.long", value, 600), 0);
	ck_assert_int_eq(set(fs, in, "trusted.more", value, 100), 0);
	ck_assert_uint_ne(in->xattr_blk, 0);
	got = xattr_list(in, buf, sizeof(buf));
	ck_assert_int_eq(got, (ssize_t)(sizeof("user.short") + sizeof("user.long") +
					sizeof("trusted.more")));
	inode_put(in);
	t_fs_close_clean(fs);
	out = t_image_ask(mem, "ea_get /mine user.short");
	ck_assert_ptr_nonnull(strstr(out, "0123456789"));
	free(out);
	out = t_image_ask(mem, "ea_get /mine user.long");
	ck_assert_ptr_nonnull(strstr(out, "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"));
	free(out);

	t_image_debugfs(mem, "ea_set /mine user.theirs abcdef\nea_rm /mine user.short\n");
	fs = t_fs_open(mem, NULL);
	in = t_fs_find(fs, "mine");
	ck_assert_int_eq(xattr_get(in, "user.theirs", buf, sizeof(buf)), 6);
	ck_assert_mem_eq(buf, "abcdef", 6);
	ck_assert_int_eq(xattr_get(in, "user.short", buf, sizeof(buf)), -ENODATA);
	ck_assert_int_eq(xattr_get(in, "user.long", buf, sizeof(buf)), 600);
	inode_put(in);
	t_fs_unlink(fs, "mine");
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- the kernel ---- */

/* Runs a script with the image mounted by the kernel at $M; false: no loop mounts here. */
static bool kernel_do(struct mbfs_bdev *mem, const char *script)
{
	char *path = t_temp(), *out;
	int status;
	bool can;

	t_image_save(mem, path);
	out = t_runf(
		"M=%s.d; mkdir $M; mount -o loop,user_xattr %s $M 2>/dev/null && "
		"{ (set -e; cd $M; %s) && echo done-well; umount $M; } || echo no-mount; rmdir $M",
		path, path, script);
	can = !strstr(out, "no-mount");
	if (can)
		ck_assert_msg(strstr(out, "done-well"), "%s", out);
	else
		printf("skipped: no loop mounts here\n");
	free(out);
	if (can) {
		struct mbfs_bdev *back = t_image_load(path);

		memcpy(mbfs_bdev_mem_bytes(mem), mbfs_bdev_mem_bytes(back), mem->size_bytes);
		mbfs_bdev_close(back);
	}
	status = remove(path);
	ck_assert_int_eq(status, 0);
	free(path);
	return can;
}

/* Goal: we change an index that the kernel made, the kernel reads what we did, and the shared
 * attribute block it made is copied when one of its files changes. Method: kernel, ours, kernel;
 * e2fsck between. */
START_TEST(the_kernel_and_we_change_the_same_directory)
{
	struct mbfs_bdev *mem = t_image_mem(rows[_i].mkfs, 64 << 20);
	struct t_fs *fs;
	struct inode *root, *dir, *a, *b;
	char name[300], buf[600];

	if (!kernel_do(
		    mem,
		    "mkdir k; cd k; for i in $(seq 3000); do : > kernel-$i; done;"
		    "V=$(printf %0500d 7); : > ../a; : > ../b;"
		    "setfattr -n user.same -v $V ../a; setfattr -n user.same -v $V ../b; sync")) {
		mbfs_bdev_close(mem);
		return;
	}
	fs = t_fs_open(mem, NULL);
	root = t_fs_root_dir(fs);
	ck_assert_int_eq(namei_lookup(root, "k", &dir), 0);
	for (uint32_t n = 1; n <= 3000; n++) {
		sprintf(name, "kernel-%u", n);
		ck_assert_msg(exists(dir, name), "%s", name);
		if (n % 2)
			ck_assert_int_eq(namei_unlink(dir, name), 0);
		sprintf(name, "ours-%u", n);
		make(dir, name, S_IFREG | 0644);
	}
	ck_assert_int_eq(namei_lookup(root, "a", &a), 0);
	ck_assert_int_eq(namei_lookup(root, "b", &b), 0);
	ck_assert_int_eq(xattr_get(a, "user.same", buf, sizeof(buf)), 500);
	ck_assert_uint_eq(a->xattr_blk, b->xattr_blk);
	ck_assert_int_eq(set(fs, a, "user.same", buf, 499), 0);
	ck_assert_int_eq(set(fs, a, "user.other", "x", 1), 0);
	ck_assert_uint_ne(a->xattr_blk, b->xattr_blk);
	inode_put(b);
	inode_put(a);
	inode_put(dir);
	inode_put(root);
	t_fs_close_clean(fs);
	ck_assert(kernel_do(
		mem, "cd k; test $(ls | wc -l) = 4500; for i in 2 998 3000; do test -e kernel-$i;"
		     "done; for i in 1 999 2999; do test -e ours-$i; test ! -e kernel-$i; done;"
		     "getfattr -n user.other ../a; getfattr -n user.same ../b;"
		     "for i in $(seq 500); do rm ours-$i; : > again-$i; done"));
	ck_assert_int_eq(t_image_fsck(mem), 0);
	mbfs_bdev_close(mem);
}
END_TEST

static void add_case(Suite *s, const char *name, const TTest *test, int nr)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 240);
	_tcase_add_test(tc, test, 0, 0, 0, nr);
	suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
	Suite *s = suite_create("names");
	int nr = MBFS_ARRAY_SIZE(rows);

	add_case(s, "thousands", thousands_of_names_pass_fsck, nr);
	add_case(s, "many", hundred_thousand_names_pass_fsck, 1);
	add_case(s, "random", random_operations_agree_with_a_naive_tree, nr);
	add_case(s, "faults", a_failing_operation_changes_nothing, 2);
	add_case(s, "debugfs", directories_of_debugfs_are_read_and_changed, 2);
	add_case(s, "mapped", block_mapped_directories_are_read_but_do_not_grow, 1);
	add_case(s, "symlinks", symbolic_links_are_read_and_written, 4);
	add_case(s, "xattrs", attributes_agree_with_debugfs, 4);
	add_case(s, "kernel", the_kernel_and_we_change_the_same_directory, 2);
	return s;
}
T_IMAGE_MAIN(suite)
