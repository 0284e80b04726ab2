// SPDX-License-Identifier: GPL-2.0-only
/* Inodes in memory: eviction, numbers that are not in use, damaged bytes, many threads. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "disk/csum.h"
#include "disk/inode_codec.h"
#include "inode/inode_priv.h"
#include "rt/work.h"
#include "support/t_fs.h"
#include "support/t_image.h"

/* Goal: no more unused inodes stay than asked for, and none loses a thing. Method: many files, a
 * small cache. */
START_TEST(evicted_inodes_come_back)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, &(struct t_fs_opts){ .max_cached = 8 });
	struct mbfs_attr was[100], is;
	mbfs_ino_t ino[100];
	struct inode *in;
	char name[16];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		in = t_fs_create(fs, name, S_IFREG | 0600);
		ck_assert_int_eq(file_write(in, &t_fs_root, name, 3, (uint64_t)i * 500, 0), 3);
		inode_attr(in, &was[i]);
		ino[i] = in->ino;
		inode_put(in);
		ck_assert_uint_le(inode_cache_nr(fs->env.cache), 10);
	}
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(inode_get(&fs->env, ino[i], &in), 0);
		inode_attr(in, &is);
		ck_assert_uint_eq(is.gen, was[i].gen);
		ck_assert_uint_eq(is.size_bytes, was[i].size_bytes);
		ck_assert_uint_eq(is.blocks_512, was[i].blocks_512);
		ck_assert_uint_eq(is.mode, was[i].mode);
		ck_assert(!memcmp(&is.mtime, &was[i].mtime, sizeof(is.mtime)));
		ck_assert(!memcmp(&is.btime, &was[i].btime, sizeof(is.btime)));
		inode_put(in);
	}
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: numbers that name no file are told apart. Method: free, reserved, impossible ones. */
START_TEST(numbers_not_in_use_are_refused)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in;

	ck_assert_int_eq(inode_get(&fs->env, 500, &in), -ESTALE);
	ck_assert_int_eq(inode_get(&fs->env, fs->super.geo.inode_nr, &in), -ESTALE);
	ck_assert_int_eq(inode_get(&fs->env, 0, &in), -EUCLEAN);
	ck_assert_int_eq(inode_get(&fs->env, 1, &in), -EUCLEAN);
	ck_assert_int_eq(inode_get(&fs->env, 8, &in), -EUCLEAN);
	ck_assert_int_eq(inode_get(&fs->env, fs->super.geo.inode_nr + 1, &in), -EUCLEAN);
	inode_unpin(&fs->env, 500, 1);
	ck_assert_uint_eq(inode_cache_nr(fs->env.cache), 0);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- damage ---- */

static uint8_t *raw_of(struct t_fs *fs, mbfs_ino_t ino)
{
	mbfs_blk_t blk;
	uint32_t off;

	ck_assert_int_eq(ialloc_locate(&fs->env, ino, &blk, &off), 0);
	return mbfs_bdev_mem_bytes(fs->mem) + blk * fs->super.geo.block_bytes + off;
}

/* All that can be done with an inode, whatever comes of it. */
static void exercise(struct t_fs *fs, mbfs_ino_t ino)
{
	static uint8_t buf[50000];
	struct inode *in;
	char name[300];
	struct mbfs_tx *tx;
	mbfs_ino_t found;
	uint8_t type;

	if (inode_get(&fs->env, ino, &in))
		return;
	(void)!file_read(in, buf, sizeof(buf), 0);
	(void)!file_read(in, buf, sizeof(buf), in->size_bytes - 100);
	(void)file_seek(in, 0, SEEK_DATA);
	(void)file_seek(in, 1000, SEEK_HOLE);
	(void)!xattr_list(in, NULL, 0);
	(void)!xattr_get(in, "user.small", name, sizeof(name));
	if (S_ISLNK(in->mode))
		(void)namei_readlink(in, name, sizeof(name));
	if (inode_is_dir(in)) {
		rt_read_lock(&in->rw);
		(void)dir_find(in, "f1", 2, &found, &type);
		rt_read_unlock(&in->rw);
	}
	(void)!file_write(in, &t_fs_root, buf, 5000, 12345, 0);
	(void)!file_write(in, &t_fs_root, buf, 5000, 0, FILE_APPEND);
	(void)file_fallocate(in, &t_fs_root, 0, 100000, 20000, NULL);
	(void)file_truncate(in, 5001);
	(void)file_truncate(in, 0);
	ck_assert_int_eq(tx_start(fs->log, 50, &tx), 0);
	(void)xattr_set(in, tx, "user.new", "value", 5, 0, 0);
	(void)inode_dirty(in, tx);
	if (orphan_add(in, tx) == 0) {
		rt_mutex_lock(&in->fields);
		in->nlink = 0;
		rt_mutex_unlock(&in->fields);
	}
	tx_stop(tx);
	inode_put(in);
}

static const char *const victims[] = { "d0", "f1", "fast", "slow", "sparse" };

static mbfs_ino_t victim_ino(struct t_fs *fs, const char *name)
{
	struct inode *dir = t_fs_find(fs, "d0"), *in;
	mbfs_ino_t ino = dir->ino;

	if (!strcmp(name, "f1")) {
		ck_assert_int_eq(namei_lookup(dir, name, &in), 0);
		ino = in->ino;
		inode_put(in);
	} else if (strcmp(name, "d0")) {
		in = t_fs_find(fs, name);
		ino = in->ino;
		inode_put(in);
	}
	inode_put(dir);
	return ino;
}

/* Goal: no byte of an inode can do harm. Method: change each, with a good checksum, then do
 * everything. */
START_TEST(damaged_bytes_do_no_harm)
{
	struct mbfs_bdev *mem =
		t_image_mem("-b 1024 -O ^has_journal,^resize_inode -N 128", 4 << 20);
	struct t_fs *fs;
	uint8_t *base, *at;
	mbfs_ino_t ino;
	uint32_t inode_bytes;

	t_image_populate(mem, T_IMAGE_TREE | T_IMAGE_LINKS | T_IMAGE_XATTRS | T_IMAGE_EXTENTS);
	fs = t_fs_open(mem, &(struct t_fs_opts){ .read_only = true });
	ino = victim_ino(fs, victims[_i]);
	at = raw_of(fs, ino);
	inode_bytes = fs->super.geo.inode_bytes;
	t_fs_crash(fs);
	base = malloc(mem->size_bytes);
	memcpy(base, mbfs_bdev_mem_bytes(mem), mem->size_bytes);
	for (uint32_t i = 0; i < inode_bytes * 3; i++) {
		static const uint8_t change[] = { 0xff, 0x01, 0x80 };

		memcpy(mbfs_bdev_mem_bytes(mem), base, mem->size_bytes);
		at[i / 3] ^= change[i % 3];
		fs = t_fs_open(mem, NULL);
		csum_inode_set(&fs->super.geo, ino, inode_raw_gen(at), at);
		exercise(fs, ino);
		t_fs_crash(fs);
	}
	free(base);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: a wrong checksum is told as such. Method: one bit, without a new checksum. */
START_TEST(wrong_checksums_are_found)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs;
	struct inode *in;
	mbfs_ino_t ino;

	t_image_populate(mem, T_IMAGE_TREE);
	fs = t_fs_open(mem, &(struct t_fs_opts){ .read_only = true });
	ino = victim_ino(fs, "f1");
	raw_of(fs, ino)[60] ^= 1;
	t_fs_crash(fs);
	fs = t_fs_open(mem, NULL);
	ck_assert_int_eq(inode_get(&fs->env, ino, &in), -EBADMSG);
	ck_assert_int_eq(inode_get(&fs->env, ino, &in), -EBADMSG);
	t_fs_crash(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- many threads ---- */

enum { THREADS = 4, ROUNDS = 1500, NAMES = 6 };

struct worker {
	struct t_fs *fs;
	struct inode *root;
	rt_u32 *last_ino; /* a number that somebody saw, for handles out of nowhere */
	struct rt_rand rand;
	int bad;
};

static void use(struct worker *w, struct inode *in)
{
	uint8_t buf[2000] = { 1 };
	ssize_t got;

	rt_u32_set(w->last_ino, in->ino);
	switch (rt_rand_below(&w->rand, 4)) {
	case 0:
		inode_pin(in);
		inode_unpin(&w->fs->env, in->ino, 1);
		break;
	case 1:
		got = file_write(in, &t_fs_root, buf, sizeof(buf), rt_rand_below(&w->rand, 5000),
				 false);
		w->bad += got != sizeof(buf);
		break;
	case 2:
		got = file_read(in, buf, sizeof(buf), 0);
		w->bad += got < 0;
		break;
	case 3:
		w->bad += file_truncate(in, rt_rand_below(&w->rand, 3000)) != 0;
		file_discard(in);
		break;
	}
}

static void worker_main(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < ROUNDS; i++) {
		char name[8];
		struct inode *in;
		int err;

		snprintf(name, sizeof(name), "n%u", (unsigned)rt_rand_below(&w->rand, NAMES));
		switch (rt_rand_below(&w->rand, 5)) {
		case 0:
			err = namei_create(w->root, &t_fs_root, name, S_IFREG | 0600, 0, NULL, &in);
			w->bad += err && err != -EEXIST;
			break;
		case 1:
			err = namei_unlink(w->root, name);
			w->bad += err && err != -ENOENT;
			err = 1;
			break;
		case 2:
			err = inode_get(&w->fs->env, rt_u32_read(w->last_ino), &in);
			w->bad += err && err != -ESTALE;
			break;
		default:
			err = namei_lookup(w->root, name, &in);
			w->bad += err && err != -ENOENT;
		}
		if (err)
			continue;
		use(w, in);
		inode_put(in);
	}
}

/* Goal: nobody meets an inode that is going, and all of it is freed. Method: few names, many hands,
 * no cache. */
START_TEST(threads_race_for_few_names)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, &(struct t_fs_opts){ .max_cached = _i ? 100 : 1 });
	uint64_t blks = t_fs_free_blks(fs), inodes = t_fs_free_inodes(fs), seed = t_seed();
	struct inode *root = t_fs_root_dir(fs);
	struct rt_thread *thread[THREADS];
	struct worker worker[THREADS];
	rt_u32 last_ino;

	rt_u32_set(&last_ino, 12);
	for (int i = 0; i < THREADS; i++) {
		worker[i] = (struct worker){ fs, root, &last_ino, { seed + (uint64_t)i }, 0 };
		ck_assert_int_eq(rt_thread_start(worker_main, &worker[i], "worker", &thread[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		rt_thread_join(thread[i]);
		ck_assert_int_eq(worker[i].bad, 0);
	}
	for (int i = 0; i < NAMES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		(void)namei_unlink(root, name);
	}
	inode_put(root);
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes);
	ck_assert_uint_eq(t_fs_free_blks(fs), blks);
	ck_assert_uint_eq(fs->orphan_head, 0);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("inode");
	TCase *tc = tcase_create("inode");

	tcase_add_test(tc, evicted_inodes_come_back);
	tcase_add_test(tc, numbers_not_in_use_are_refused);
	tcase_add_loop_test(tc, damaged_bytes_do_no_harm, 0,
			    (int)(sizeof(victims) / sizeof(victims[0])));
	tcase_add_test(tc, wrong_checksums_are_found);
	tcase_add_loop_test(tc, threads_race_for_few_names, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
