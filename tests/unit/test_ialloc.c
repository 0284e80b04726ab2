// SPDX-License-Identifier: GPL-2.0-only
/* Inode numbers: taken, given back, placed, on real images and by many threads. */
#include <errno.h>
#include <string.h>

#include "disk/csum.h"
#include "inode/inode_priv.h"
#include "rt/work.h"
#include "support/t_fs.h"
#include "support/t_image.h"

static int take(struct t_fs *fs, const struct inode *parent, mode_t mode, mbfs_ino_t *out)
{
	struct mbfs_tx *tx;
	int err;

	ck_assert_int_eq(tx_start(fs->log, 50, &tx), 0);
	err = ialloc_new(&fs->env, tx, parent, mode, out);
	tx_stop(tx);
	return err;
}

static int give(struct t_fs *fs, mbfs_ino_t ino, bool is_dir)
{
	struct mbfs_tx *tx;
	int err;

	ck_assert_int_eq(tx_start(fs->log, 50, &tx), 0);
	err = ialloc_free(&fs->env, tx, ino, is_dir);
	tx_stop(tx);
	return err;
}

static const char *const layouts[] = {
	"-b 1024 -N 1024",
	"-b 4096 -O ^flex_bg -g 2048",
	"-b 1024 -O ^metadata_csum,^64bit,uninit_bg",
	"-b 1024 -O ^metadata_csum,^uninit_bg,^flex_bg -I 128",
	"-b 2048 -E lazy_itable_init=1 -g 4096 -G 4",
};

/* Goal: every inode but reserved ones is given once, then -ENOSPC; all can be given back. Method:
 * take all. */
START_TEST(all_numbers_are_given_once)
{
	struct mbfs_bdev *mem = t_image_mem(layouts[_i], 32 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	uint32_t nr = fs->super.geo.inode_nr, taken = 0;
	uint8_t *seen = calloc(1, nr + 1);
	uint64_t free_nr = t_fs_free_inodes(fs);
	struct inode *root = t_fs_root_dir(fs);
	mbfs_ino_t ino;
	bool used;

	while (!take(fs, root, taken % 5 ? S_IFREG : S_IFDIR, &ino)) {
		if (ino < fs->super.geo.first_ino || ino > nr || seen[ino])
			ck_abort_msg("inode %u is given, the %u-th", ino, taken);
		seen[ino] = taken % 5 ? 1 : 2;
		taken++;
	}
	ck_assert_uint_eq(taken, free_nr);
	ck_assert_int_eq(take(fs, root, S_IFREG, &ino), -ENOSPC);
	for (ino = 1; ino <= nr; ino++) {
		if (!seen[ino])
			continue;
		if (ialloc_in_use(&fs->env, ino, &used) || !used || give(fs, ino, seen[ino] == 2))
			ck_abort_msg("inode %u", ino);
	}
	inode_put(root);
	ck_assert_uint_eq(t_fs_free_inodes(fs), free_nr);
	t_fs_close_clean(fs);
	free(seen);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: files in new groups leave a clean image. Method: directories and files by name, then
 * e2fsck. */
START_TEST(new_groups_are_initialised)
{
	struct mbfs_bdev *mem = t_image_mem(layouts[_i], 32 << 20);
	struct t_fs *fs;
	char name[32];

	t_fs_poison(mem, 0xA5);
	fs = t_fs_open(mem, NULL);
	for (int i = 0; i < 60; i++) {
		struct inode *dir, *in;

		snprintf(name, sizeof(name), "dir%d", i);
		dir = t_fs_create(fs, name, S_IFDIR | 0755);
		for (int j = 0; j < 3; j++) {
			snprintf(name, sizeof(name), "f%d", j);
			ck_assert_int_eq(namei_create(dir, &t_fs_root, name,
						      j ? S_IFREG | 0600 : S_IFIFO | 0600, 0, NULL,
						      &in),
					 0);
			inode_put(in);
		}
		inode_put(dir);
	}
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: directories of the root spread, files stay with theirs. Method: groups of their numbers. */
START_TEST(directories_spread_and_files_stay)
{
	struct mbfs_bdev *mem =
		t_image_mem("-b 1024 -g 1024 -O ^flex_bg,^resize_inode,^has_journal", 32 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	bool hit[64] = { false };
	unsigned groups = 0;
	char name[32];

	for (int i = 0; i < 16; i++) {
		struct inode *dir, *in;
		mbfs_grp_t grp;

		snprintf(name, sizeof(name), "dir%d", i);
		dir = t_fs_create(fs, name, S_IFDIR | 0755);
		grp = ialloc_grp(&fs->super.geo, dir->ino);
		groups += !hit[grp % 64];
		hit[grp % 64] = true;
		ck_assert_int_eq(
			namei_create(dir, &t_fs_root, "file", S_IFREG | 0600, 0, NULL, &in), 0);
		ck_assert_uint_eq(ialloc_grp(&fs->super.geo, in->ino), grp);
		inode_put(in);
		inode_put(dir);
	}
	ck_assert_uint_ge(groups, 8);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: wrong frees are refused. Method: free twice, reserved, out of range. */
START_TEST(wrong_frees_are_damage)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *root = t_fs_root_dir(fs);
	mbfs_ino_t ino;

	ck_assert_int_eq(take(fs, root, S_IFREG, &ino), 0);
	ck_assert_int_eq(give(fs, ino, false), 0);
	ck_assert_int_eq(give(fs, ino, false), -EUCLEAN);
	ck_assert_int_eq(give(fs, 2, true), -EUCLEAN);
	ck_assert_int_eq(give(fs, 0, false), -EUCLEAN);
	ck_assert_int_eq(give(fs, fs->super.geo.inode_nr + 1, false), -EUCLEAN);
	inode_put(root);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: a damaged bitmap costs its group, not the others. Method: flip a bit of group 0's. */
START_TEST(damaged_groups_are_passed_over)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024 -N 2048", 32 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *root;
	struct gdesc d;
	mbfs_ino_t ino;
	bool used;

	gdt_read(fs->gdt, 0, &d);
	t_fs_crash(fs);
	mbfs_bdev_mem_bytes(mem)[d.inode_bitmap * 1024 + 5] ^= 0x10;
	fs = t_fs_open(mem, NULL);
	root = t_fs_root_dir(fs);
	ck_assert_int_eq(take(fs, root, S_IFREG, &ino), 0);
	ck_assert_uint_ne(ialloc_grp(&fs->super.geo, ino), 0);
	ck_assert_int_eq(ialloc_in_use(&fs->env, 20, &used), -EBADMSG);
	ck_assert_int_eq(give(fs, 20, false), -EBADMSG);
	inode_put(root);
	t_fs_crash(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- many threads ---- */

enum { THREADS = 4, ROUNDS = 400, KEEP = 16 };

struct taker {
	struct t_fs *fs;
	struct inode *root;
	rt_u32 *owner; /* by number: 1 while somebody has it */
	struct rt_rand rand;
	int bad;
};

static void taker_main(void *arg)
{
	struct taker *t = arg;
	mbfs_ino_t have[KEEP] = { 0 };

	for (int i = 0; i < ROUNDS + KEEP; i++) {
		mbfs_ino_t *slot = &have[i % KEEP];
		struct mbfs_tx *tx;

		if (tx_start(t->fs->log, 50, &tx)) {
			t->bad++;
			return;
		}
		if (*slot) {
			t->bad += rt_u32_xchg(&t->owner[*slot], 0) != 1;
			t->bad += ialloc_free(&t->fs->env, tx, *slot, *slot & 1) != 0;
			*slot = 0;
		}
		if (i < ROUNDS) {
			/* The kind is decided before the number: take again until they agree. */
			bool is_dir = rt_rand_below(&t->rand, 2);

			t->bad += ialloc_new(&t->fs->env, tx, t->root, is_dir ? S_IFDIR : S_IFREG,
					     slot) != 0;
			t->bad += rt_u32_xchg(&t->owner[*slot], 1) != 0;
			if (is_dir != (*slot & 1)) {
				t->bad += rt_u32_xchg(&t->owner[*slot], 0) != 1;
				t->bad += ialloc_free(&t->fs->env, tx, *slot, is_dir) != 0;
				*slot = 0;
			}
		}
		tx_stop(tx);
	}
}

/* Goal: two threads never have the same number. Method: an owner per number. */
START_TEST(threads_get_different_numbers)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024 -N 1024", 32 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	rt_u32 *owner = calloc(fs->super.geo.inode_nr + 1, sizeof(*owner));
	struct inode *root = t_fs_root_dir(fs);
	struct rt_thread *thread[THREADS];
	struct taker taker[THREADS];
	uint64_t free_nr = t_fs_free_inodes(fs), seed = t_seed();

	for (int i = 0; i < THREADS; i++) {
		taker[i] = (struct taker){ fs, root, owner, { seed + (uint64_t)i }, 0 };
		ck_assert_int_eq(rt_thread_start(taker_main, &taker[i], "taker", &thread[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		rt_thread_join(thread[i]);
		ck_assert_int_eq(taker[i].bad, 0);
	}
	inode_put(root);
	ck_assert_uint_eq(t_fs_free_inodes(fs), free_nr);
	t_fs_close_clean(fs);
	free(owner);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	const int nr = (int)(sizeof(layouts) / sizeof(layouts[0]));
	Suite *s = suite_create("ialloc");
	TCase *tc = tcase_create("ialloc");

	tcase_add_loop_test(tc, all_numbers_are_given_once, 0, nr);
	tcase_add_loop_test(tc, new_groups_are_initialised, 0, nr);
	tcase_add_test(tc, directories_spread_and_files_stay);
	tcase_add_test(tc, wrong_frees_are_damage);
	tcase_add_test(tc, damaged_groups_are_passed_over);
	tcase_add_test(tc, threads_get_different_numbers);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
