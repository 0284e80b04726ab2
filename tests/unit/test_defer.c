// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: what a handle frees is nobody else's before that is down, in whatever moment a crash comes.
 * Method: first the list of what waits (journal/late.c), by itself. Then files on a small image
 * that is nearly full come and go, and the power is cut at one write after the other; e2fsck
 * repairs, and every byte found must be zero or that of the name under which it is found.
 * MBFS_LONG=1: cut at more of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "inode/inode_priv.h"
#include "rt/mem.h"
#include "support/t_fs.h"
#include "support/t_image.h"

/* ---- the list ---- */

enum { BLOCK = 1024, BLKS = 64 };

static struct mbfs_bdev *mem, *dev;
static struct buf_cache *cache;
static struct txlog *txlog;
static struct {
	unsigned calls;
	uint64_t start, len;
	int err;
} ran;

static void log_open(const struct mbfs_fault_plan *plan)
{
	static const struct mbfs_fault_plan none;

	memset(&ran, 0, sizeof(ran));
	ck_assert_int_eq(mbfs_bdev_open_mem(BLKS * BLOCK, &mem), 0);
	ck_assert_int_eq(mbfs_bdev_open_fault(mem, plan ? plan : &none, &dev), 0);
	ck_assert_int_eq(buf_cache_open(dev, BLOCK, NULL, 1 << 20, &cache), 0);
	ck_assert_int_eq(txlog_open(cache, &txlog), 0);
}

static void log_close(void)
{
	txlog_close(txlog);
	buf_cache_close(cache);
	mbfs_bdev_close(dev);
	mbfs_bdev_close(mem);
}

static int run(void *ctx, struct mbfs_tx *tx, uint64_t start, uint32_t len)
{
	(void)ctx;
	ck_assert_ptr_nonnull(tx);
	ran.calls++;
	ran.start = start;
	ran.len += len;
	return ran.err;
}

static struct mbfs_tx *handle(void)
{
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(txlog, 1, &tx), 0);
	return tx;
}

static void late(struct mbfs_tx *tx, uint64_t start, uint32_t len)
{
	ck_assert_int_eq(tx_late_ready(tx), 0);
	tx_late(tx, &(struct tx_late){ .run = run, .start = start, .len = len });
}

START_TEST(nothing_runs_before_its_handle_is_down)
{
	struct mbfs_tx *tx;

	log_open(NULL);
	tx = handle();
	late(tx, 7, 2);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(ran.calls, 0);
	ck_assert_uint_eq(txlog_late_nr(txlog), 0);
	tx_stop(tx);
	ck_assert_uint_eq(ran.calls, 0);
	ck_assert_uint_eq(txlog_late_nr(txlog), 1);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(ran.calls, 1);
	ck_assert_uint_eq(ran.start, 7);
	ck_assert_uint_eq(txlog_late_nr(txlog), 0);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(ran.calls, 1);
	log_close();
}
END_TEST

START_TEST(neighbours_are_joined)
{
	struct mbfs_tx *tx;

	log_open(NULL);
	tx = handle();
	for (uint64_t i = 0; i < 10; i++)
		late(tx, 20 + i, 1);
	late(tx, 40, 1);
	tx_stop(tx);
	ck_assert_uint_eq(txlog_late_nr(txlog), 2);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(ran.calls, 2);
	ck_assert_uint_eq(ran.len, 11);
	log_close();
}
END_TEST

/* A write, or the flush, of the first write-out fails. */
START_TEST(a_failed_write_out_runs_nothing)
{
	static const struct mbfs_fault_plan plans[] = { { .fail_write_at = 1 },
							{ .fail_flush_at = 1 } };
	static const struct buf_kind kind = { .name = "test block" };
	struct mbfs_tx *tx;
	struct buf *b;

	/* One fault strikes one call; a run of one block is not tried again. */
	log_open(&plans[_i]);
	tx = handle();
	ck_assert_int_eq(buf_get_new(cache, 3, &kind, NULL, &b), 0);
	tx_dirty(tx, b);
	buf_put(b);
	late(tx, 9, 1);
	tx_stop(tx);
	ck_assert_int_eq(tx_writeout(txlog), -EIO);
	ck_assert_uint_eq(ran.calls, 0);
	ck_assert_uint_eq(txlog_late_nr(txlog), 1);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(ran.calls, 1);
	log_close();
}
END_TEST

START_TEST(who_finds_nothing_gets_what_waits)
{
	struct mbfs_tx *tx, *own;
	uint64_t seen;

	log_open(NULL);
	own = handle();
	seen = tx_late_seen(own);
	ck_assert(!tx_late_release(own, seen));
	late(own, 5, 1);
	ck_assert(!tx_late_release(own, seen)); /* its handle is open */
	tx = handle();
	late(tx, 6, 1);
	tx_stop(tx);
	ck_assert(tx_late_release(own, seen));
	ck_assert_uint_eq(ran.start, 6);
	/* It was there already: look again, without a write-out. */
	ck_assert(tx_late_release(own, seen));
	ck_assert(!tx_late_release(own, tx_late_seen(own)));
	ck_assert_uint_eq(ran.calls, 1);
	tx_stop(own);
	log_close();
}
END_TEST

START_TEST(errors_are_kept_and_room_can_be_refused)
{
	struct mbfs_tx *tx;

	log_open(NULL);
	tx = handle();
	rt_mem_fail_at(1);
	ck_assert_int_eq(tx_late_ready(tx), -ENOMEM);
	rt_mem_fail_at(0);
	late(tx, 5, 1);
	tx_stop(tx);
	ck_assert_int_eq(txlog_late_err(txlog), 0);
	ran.err = -EUCLEAN;
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_int_eq(txlog_late_err(txlog), -EUCLEAN);
	/* What waits when all ends is dropped. */
	tx = handle();
	late(tx, 8, 1);
	tx_stop(tx);
	log_close();
	ck_assert_uint_eq(ran.calls, 1);
}
END_TEST

/* ---- power cuts ---- */

/*
 * File n has only bytes n, its attribute too, and is called "fN"; directory "d" has some more. Few
 * blocks and few inodes: what is freed is wanted at once.
 */
enum { IDS_MAX = 200, LIVE_MAX = 6, STEPS = 90, FREE_BLKS = 110, FILLER = 255, VALUE_BYTES = 500 };

struct scene {
	struct t_fs *fs;
	struct rt_rand rand;
	uint64_t cut; /* the write at which the power is cut; 0: never */
	struct {
		unsigned id; /* 0: none */
		bool in_dir;
	} file[LIVE_MAX];
	unsigned next_id;
	bool has_dir;
};

static unsigned draw(struct scene *s, unsigned below)
{
	return (unsigned)(rt_rand_next(&s->rand) >> 33) % below;
}

static void file_name(unsigned id, char *out)
{
	sprintf(out, "f%u", id);
}

static struct inode *parent(struct scene *s, bool in_dir)
{
	return in_dir ? t_fs_find(s->fs, "d") : t_fs_root_dir(s->fs);
}

static struct inode *find(struct scene *s, unsigned i)
{
	struct inode *dir = parent(s, s->file[i].in_dir), *in;
	char name[16];

	file_name(s->file[i].id, name);
	ck_assert_int_eq(namei_lookup(dir, name, &in), 0);
	inode_put(dir);
	return in;
}

/* Every other block, so that the tree soon needs nodes. */
static void write_blocks(struct scene *s, struct inode *in, unsigned id)
{
	unsigned nr = 1 + draw(s, 16), first = draw(s, 4);
	uint8_t buf[BLOCK];

	memset(buf, (int)id, sizeof(buf));
	for (unsigned i = 0; i < nr; i++) {
		ssize_t put = file_write(in, &t_fs_user, buf, BLOCK, (first + i) * 2ull * BLOCK, 0);

		ck_assert(put == BLOCK || put == -ENOSPC);
	}
}

static void step_create(struct scene *s, unsigned i)
{
	struct inode *dir, *in;
	char name[16];
	int err;

	s->file[i].id = ++s->next_id;
	s->file[i].in_dir = s->has_dir && draw(s, 2);
	file_name(s->next_id, name);
	dir = parent(s, s->file[i].in_dir);
	err = namei_create(dir, &t_fs_root, name, S_IFREG | 0600, 0, NULL, &in);
	inode_put(dir);
	if (err) {
		ck_assert_int_eq(err, -ENOSPC);
		s->file[i].id = 0;
		return;
	}
	write_blocks(s, in, s->next_id);
	inode_put(in);
}

static void step_unlink(struct scene *s, unsigned i)
{
	struct inode *dir = parent(s, s->file[i].in_dir);
	char name[16];

	file_name(s->file[i].id, name);
	ck_assert_int_eq(namei_unlink(dir, name), 0);
	inode_put(dir);
	s->file[i].id = 0;
}

static void step_change(struct scene *s, unsigned i)
{
	struct inode *in = find(s, i);
	uint8_t value[VALUE_BYTES];
	struct mbfs_tx *tx;
	int err = 0;

	switch (draw(s, 4)) {
	case 0:
		err = file_truncate(in, draw(s, 8) * BLOCK);
		break;
	case 1:
		memset(value, (int)s->file[i].id, sizeof(value));
		ck_assert_int_eq(tx_start(s->fs->log, XATTR_CREDITS, &tx), 0);
		err = xattr_set(in, tx, "user.v", draw(s, 3) ? value : NULL, sizeof(value), 0, 0);
		tx_stop(tx);
		break;
	default:
		write_blocks(s, in, s->file[i].id);
	}
	ck_assert(!err || err == -ENOSPC || err == -ENODATA);
	inode_put(in);
}

static void step_dir(struct scene *s)
{
	struct inode *root = t_fs_root_dir(s->fs), *in;
	int err;

	if (!s->has_dir) {
		err = namei_create(root, &t_fs_root, "d", S_IFDIR | 0700, 0, NULL, &in);
		ck_assert(!err || err == -ENOSPC);
		s->has_dir = !err;
		if (!err)
			inode_put(in);
	} else {
		for (unsigned i = 0; i < LIVE_MAX; i++)
			if (s->file[i].id && s->file[i].in_dir)
				step_unlink(s, i);
		ck_assert_int_eq(namei_rmdir(root, "d"), 0);
		s->has_dir = false;
	}
	inode_put(root);
}

static uint64_t writes(struct scene *s)
{
	struct mbfs_fault_counts counts;

	mbfs_bdev_fault_counts(s->fs->dev, &counts);
	return counts.writes;
}

/* How many writes it made, up to the cut. */
static uint64_t scene_run(struct mbfs_bdev *image, uint64_t seed, uint64_t cut)
{
	const struct mbfs_fault_plan plan = { .cut_at = cut };
	struct scene s = { .fs = t_fs_open(image, &(struct t_fs_opts){ .plan = &plan }),
			   .rand = { seed } };
	uint64_t nr;

	for (unsigned n = 0; n < STEPS && (!cut || writes(&s) < cut); n++) {
		unsigned i = draw(&s, LIVE_MAX), what = draw(&s, 10);

		if (what == 0)
			step_dir(&s);
		else if (what <= 2)
			ck_assert_int_eq(t_fs_sync(s.fs), 0);
		else if (!s.file[i].id)
			step_create(&s, i);
		else if (what <= 5)
			step_unlink(&s, i);
		else
			step_change(&s, i);
	}
	nr = writes(&s);
	t_fs_crash(s.fs);
	return nr;
}

static void check_bytes(const uint8_t *p, size_t bytes, unsigned id, const char *what)
{
	for (size_t i = 0; i < bytes; i++)
		ck_assert_msg(!p[i] || p[i] == id, "%s of file %u: byte %zu is %u's", what, id, i,
			      p[i]);
}

static void check_file(struct inode *in, unsigned id)
{
	static uint8_t buf[64 * BLOCK];
	ssize_t got = file_read(in, buf, sizeof(buf), 0);

	ck_assert_int_ge(got, 0);
	check_bytes(buf, (size_t)got, id, "data");
	got = xattr_get(in, "user.v", buf, sizeof(buf));
	if (got > 0)
		check_bytes(buf, (size_t)got, id, "attribute");
}

static void check_names(struct inode *dir)
{
	for (unsigned id = 1; id < IDS_MAX; id++) {
		struct inode *in;
		char name[16];

		file_name(id, name);
		if (namei_lookup(dir, name, &in))
			continue;
		/* The name may have become a directory's only by reuse of its number. */
		ck_assert_msg(inode_is_reg(in), "file %u is something else", id);
		check_file(in, id);
		inode_put(in);
	}
}

/* After e2fsck -fy all that is found is what was written there. */
static void scene_check(struct mbfs_bdev *image)
{
	char *path = t_temp(), *out;
	struct mbfs_bdev *fixed;
	struct inode *root, *dir;
	struct t_fs *fs;

	t_image_save(image, path);
	out = t_runf("e2fsck -fy %s >/dev/null 2>&1; [ $? -le 1 ] && e2fsck -fn %s", path, path);
	free(out);
	fixed = t_image_load(path);
	unlink(path);
	free(path);
	fs = t_fs_open(fixed, &(struct t_fs_opts){ .read_only = true });
	root = t_fs_root_dir(fs);
	check_names(root);
	if (!namei_lookup(root, "d", &dir)) {
		if (inode_is_dir(dir))
			check_names(dir);
		inode_put(dir);
	}
	inode_put(root);
	t_fs_crash(fs);
	mbfs_bdev_close(fixed);
}

/* All but FREE_BLKS blocks are one file's; what is free is its byte too: nobody's. */
static struct mbfs_bdev *scene_image(void)
{
	struct mbfs_bdev *image =
		t_image_mem("-b 1024 -N 24 -m 0 -O ^has_journal,^resize_inode", 2 << 20);
	struct t_fs *fs;
	struct inode *in;
	uint8_t buf[BLOCK];

	t_fs_poison(image, FILLER);
	fs = t_fs_open(image, NULL);
	in = t_fs_create(fs, "filler", S_IFREG | 0600);
	memset(buf, FILLER, sizeof(buf));
	for (uint64_t i = 0; t_fs_free_blks(fs) > FREE_BLKS; i++)
		ck_assert_int_eq(file_write(in, &t_fs_root, buf, BLOCK, i * BLOCK, 0), BLOCK);
	inode_put(in);
	t_fs_close_clean(fs);
	return image;
}

START_TEST(whatever_the_moment_nothing_stale_shows)
{
	const unsigned cuts = getenv("MBFS_LONG") ? 40 : 10;
	struct mbfs_bdev *image = scene_image();
	uint8_t *base = malloc(image->size_bytes);
	uint64_t seed = (uint64_t)_i + 1, all, step;

	memcpy(base, mbfs_bdev_mem_bytes(image), image->size_bytes);
	all = scene_run(image, seed, 0);
	step = all / cuts + 1;
	for (uint64_t cut = 1 + seed % step; cut <= all; cut += step) {
		memcpy(mbfs_bdev_mem_bytes(image), base, image->size_bytes);
		(void)scene_run(image, seed, cut);
		scene_check(image);
	}
	printf("seed %" PRIu64 ": %" PRIu64 " writes, cut at every %" PRIu64 "th\n", seed, all,
	       step);
	ck_assert_uint_gt(all, 100);
	free(base);
	mbfs_bdev_close(image);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("defer");
	TCase *tc = tcase_create("list"), *cut = tcase_create("cut");

	tcase_add_test(tc, nothing_runs_before_its_handle_is_down);
	tcase_add_test(tc, neighbours_are_joined);
	tcase_add_loop_test(tc, a_failed_write_out_runs_nothing, 0, 2);
	tcase_add_test(tc, who_finds_nothing_gets_what_waits);
	tcase_add_test(tc, errors_are_kept_and_room_can_be_refused);
	suite_add_tcase(s, tc);
	tcase_set_timeout(cut, 120);
	tcase_add_loop_test(cut, whatever_the_moment_nothing_stale_shows, 0, 5);
	suite_add_tcase(s, cut);
	return s;
}

T_IMAGE_MAIN(suite)
