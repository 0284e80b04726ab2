// SPDX-License-Identifier: GPL-2.0-only
/* The orphan list: order on disk, what a crash leaves, damaged lists. */
#include <errno.h>
#include <string.h>

#include "disk/csum.h"
#include "disk/format.h"
#include "inode/inode_priv.h"
#include "rt/work.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum { NR = 6, FILE_BYTES = 100000 };

static void with_tx(struct inode *in, int (*fn)(struct inode *in, struct mbfs_tx *tx))
{
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(in->env->log, 20, &tx), 0);
	ck_assert_int_eq(fn(in, tx), 0);
	tx_stop(tx);
}

static void fill(struct inode *in, size_t bytes)
{
	uint8_t *buf = malloc(bytes);

	memset(buf, 0x77, bytes);
	ck_assert_int_eq(file_write(in, &t_fs_root, buf, bytes, 0, 0), (ssize_t)bytes);
	free(buf);
}

/* NR unlinked files that are still open. */
static void make_orphans(struct t_fs *fs, struct inode **in)
{
	char name[16];

	for (int i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		in[i] = t_fs_create(fs, name, S_IFREG | 0600);
		fill(in[i], FILE_BYTES);
		t_fs_unlink(fs, name);
	}
}

/* The list as it lies on disk after a write-out has the in-core order. */
static void check_list(struct t_fs *fs, struct inode *const *want, int nr)
{
	const struct super *s = &fs->super;
	mbfs_ino_t ino = s->geo.inode_nr
				 ? le32_get(((const struct mbfs_super_disk *)s->raw)->last_orphan)
				 : 0;

	ck_assert_int_eq(t_fs_sync(fs), 0);
	for (int i = 0; i < nr; i++) {
		uint8_t raw[256];

		ck_assert_uint_eq(ino, want[i]->ino);
		ck_assert_int_eq(inode_raw_read(&fs->env, ino, raw), 0);
		ino = le32_get(((const struct mbfs_inode_disk *)raw)->dtime);
	}
	ck_assert_uint_eq(ino, 0);
}

/* Goal: any inode may leave the list, the rest stays linked. Method: each of NR first, then all. */
START_TEST(any_may_leave)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	uint64_t blks = t_fs_free_blks(fs), inodes = t_fs_free_inodes(fs);
	struct inode *in[NR], *left[NR];
	int nr = 0;

	make_orphans(fs, in);
	for (int i = 0; i < NR; i++)
		left[i] = in[NR - 1 - i]; /* newest first */
	check_list(fs, left, NR);
	inode_put(in[_i]);
	for (int i = NR - 1; i >= 0; i--)
		if (i != _i)
			left[nr++] = in[i];
	check_list(fs, left, nr);
	for (int i = 0; i < NR; i++)
		if (i != _i)
			inode_put(in[i]);
	check_list(fs, left, 0);
	ck_assert_uint_eq(t_fs_free_blks(fs), blks);
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: pins keep an unlinked inode readable; forgetting it frees it. Method: pin, put, read,
 * unpin. */
START_TEST(pinned_orphans_live)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	uint64_t inodes = t_fs_free_inodes(fs);
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0600), *again;
	mbfs_ino_t ino = in->ino;
	uint8_t byte;

	fill(in, 10);
	inode_pin(in);
	inode_pin(in);
	t_fs_unlink(fs, "f");
	inode_put(in);
	ck_assert_int_eq(inode_get(&fs->env, ino, &again), 0);
	ck_assert_int_eq(file_read(again, &byte, 1, 9), 1);
	ck_assert_uint_eq(byte, 0x77);
	inode_put(again);
	inode_unpin(&fs->env, ino, 1);
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes - 1);
	inode_unpin(&fs->env, ino, 5); /* more than there are */
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes);
	ck_assert_int_eq(inode_get(&fs->env, ino, &again), -ESTALE);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: what a crash leaves on the list is freed at the next mount. Method: sync, crash, clean up.
 */
START_TEST(a_crash_leaves_nothing)
{
	struct mbfs_bdev *mem = t_image_mem(_i ? "-b 4096" : "-b 1024", 32 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	uint64_t inodes = t_fs_free_inodes(fs), blks = t_fs_free_blks(fs);
	struct inode *in[NR];

	make_orphans(fs, in);
	ck_assert_int_eq(t_fs_sync(fs), 0);
	for (int i = 0; i < NR; i++)
		inode_pin(in[i]);
	for (int i = 0; i < NR; i++)
		inode_put(in[i]);
	t_fs_crash(fs);
	fs = t_fs_open(mem, NULL);
	ck_assert_int_eq(orphan_cleanup(&fs->env), 0);
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes);
	ck_assert_uint_eq(t_fs_free_blks(fs), blks);
	ck_assert_uint_eq(fs->orphan_head, 0);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: a truncate that a crash cut short is finished. Method: its first step by hand, then a
 * crash. */
START_TEST(a_short_truncate_is_finished)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0600);
	uint8_t buf[3000];

	fill(in, FILE_BYTES);
	with_tx(in, orphan_add);
	rt_mutex_lock(&in->fields);
	in->size_bytes = 1500;
	rt_mutex_unlock(&in->fields);
	with_tx(in, inode_dirty);
	ck_assert_int_eq(t_fs_sync(fs), 0);
	inode_put(in);
	t_fs_crash(fs);
	fs = t_fs_open(mem, NULL);
	ck_assert_int_eq(orphan_cleanup(&fs->env), 0);
	in = t_fs_find(fs, "f");
	ck_assert_uint_eq(in->size_bytes, 1500);
	ck_assert_uint_eq(in->blocks_512, fs->super.geo.block_bytes == 1024 ? 4 : 8);
	/* And its tail is zero. */
	ck_assert_int_eq(file_truncate(in, 3000), 0);
	ck_assert_int_eq(file_read(in, buf, 3000, 0), 3000);
	for (int i = 0; i < 3000; i++)
		if (buf[i] != (i < 1500 ? 0x77 : 0))
			ck_abort_msg("byte %d is %#x", i, buf[i]);
	inode_put(in);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: cutting an unlinked file leaves it on the list. Method: cut, then a crash. */
START_TEST(an_unlinked_file_that_is_cut_stays_listed)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	uint64_t inodes = t_fs_free_inodes(fs);
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0600);

	fill(in, FILE_BYTES);
	t_fs_unlink(fs, "f");
	ck_assert_int_eq(file_truncate(in, 10), 0);
	ck_assert_uint_eq(fs->orphan_head, in->ino);
	ck_assert_int_eq(t_fs_sync(fs), 0);
	inode_pin(in);
	inode_put(in);
	t_fs_crash(fs);
	fs = t_fs_open(mem, NULL);
	ck_assert_int_eq(orphan_cleanup(&fs->env), 0);
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Point the entry @from of the list of a crashed image elsewhere. */
static void relink(struct mbfs_bdev *mem, mbfs_ino_t from, mbfs_ino_t to)
{
	struct t_fs *fs = t_fs_open(mem, &(struct t_fs_opts){ .read_only = true });
	const struct mbfs_geo *geo = &fs->super.geo;
	mbfs_blk_t blk;
	uint32_t off;
	uint8_t *raw;

	ck_assert_int_eq(ialloc_locate(&fs->env, from, &blk, &off), 0);
	raw = mbfs_bdev_mem_bytes(mem) + blk * geo->block_bytes + off;
	((struct mbfs_inode_disk *)raw)->dtime = le32_of(to);
	csum_inode_set(geo, from, le32_get(((struct mbfs_inode_disk *)raw)->generation), raw);
	t_fs_crash(fs);
}

/* Goal: damaged lists are refused before anything changes. Method: a crash, then bend the list. */
START_TEST(damaged_lists_are_refused)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in[NR];
	mbfs_ino_t ino[NR], to;
	uint8_t *was;

	make_orphans(fs, in);
	ck_assert_int_eq(t_fs_sync(fs), 0);
	for (int i = 0; i < NR; i++) {
		ino[i] = in[i]->ino;
		inode_pin(in[i]);
		inode_put(in[i]);
	}
	t_fs_crash(fs);
	to = _i == 0   ? ino[NR - 1]
	     : _i == 1 ? ino[0]
	     : _i == 2 ? ino[2]
	     : _i == 3 ? 8
	     : _i == 4 ? 0x7fffffff
		       : 600;
	relink(mem, ino[0], to);
	was = malloc(mem->size_bytes);
	memcpy(was, mbfs_bdev_mem_bytes(mem), mem->size_bytes);
	fs = t_fs_open(mem, NULL);
	ck_assert_int_eq(orphan_cleanup(&fs->env), -EUCLEAN);
	ck_assert_uint_eq(tx_dirty_bytes(fs->log), 0);
	t_fs_crash(fs);
	ck_assert(!memcmp(was, mbfs_bdev_mem_bytes(mem), mem->size_bytes));
	free(was);
	mbfs_bdev_close(mem);
}
END_TEST

enum { RACES = 3000, PAUSE_STEP = 64 };

struct cutter {
	struct inode *in;
	rt_u32 go; /* the number of the race that is on; 0: the last was it */
	rt_u32 done;
};

static void cut_main(void *arg)
{
	struct cutter *c = arg;

	for (uint32_t race = 1; race <= RACES; race++) {
		while (rt_u32_read_acquire(&c->go) != race)
			rt_yield();
		ck_assert_int_eq(file_truncate(c->in, 0), 0);
		rt_u32_set_release(&c->done, race);
	}
}

/* Goal: a truncate that ends while the last name goes leaves the file on the list. Method: both at
 * once, so that they end at about the same time: who was late is sooner the next time. */
START_TEST(a_truncate_leaves_the_list_to_an_unlink)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct rt_rand r = { t_seed() };
	struct cutter c = { 0 };
	struct rt_thread *thread;
	uint32_t pause = 0;

	ck_assert_int_eq(rt_thread_start(cut_main, &c, "cut", &thread), 0);
	for (uint32_t race = 1; race <= RACES; race++) {
		uint32_t step = rt_rand_below(&r, PAUSE_STEP);

		c.in = t_fs_create(fs, "f", S_IFREG | 0600);
		fill(c.in, FILE_BYTES);
		rt_u32_set_release(&c.go, race);
		for (uint32_t i = 0; i < pause; i++)
			(void)rt_u32_read_acquire(&c.go);
		t_fs_unlink(fs, "f");
		if (rt_u32_read_acquire(&c.done) != race)
			pause += step;
		else
			pause -= pause < step ? pause : step;
		while (rt_u32_read_acquire(&c.done) != race)
			rt_yield();
		ck_assert_msg(c.in->on_orphan_list, "race %u: it is not on the list", race);
		inode_put(c.in);
	}
	rt_thread_join(thread);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("orphan");
	TCase *tc = tcase_create("orphan");

	tcase_add_loop_test(tc, any_may_leave, 0, NR);
	tcase_add_test(tc, pinned_orphans_live);
	tcase_add_loop_test(tc, a_crash_leaves_nothing, 0, 2);
	tcase_add_test(tc, a_short_truncate_is_finished);
	tcase_add_test(tc, an_unlinked_file_that_is_cut_stays_listed);
	tcase_add_test(tc, a_truncate_leaves_the_list_to_an_unlink);
	tcase_add_loop_test(tc, damaged_lists_are_refused, 0, 6);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
