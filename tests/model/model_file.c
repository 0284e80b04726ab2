// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a file against an array of bytes: random writes, reads, truncates, fallocates (all
 * modes) and seeks, on real images of all block sizes whose free blocks are full of 0xA5.
 *
 * The twin knows two windows of the file, one at its start and one past 4 GiB; nothing is written
 * elsewhere, so all else must read as zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum { WINDOW_NR = 2, STEPS = 800 };

static const uint64_t window_at[WINDOW_NR] = { 0, (5ull << 30) + 12345 };

struct model {
	struct mbfs_bdev *mem;
	struct t_fs *fs;
	struct inode *in;
	struct rt_rand rand;
	uint64_t window_bytes, size;
	uint8_t *twin[WINDOW_NR], *buf;
	unsigned step;
};

static void check_byte_range(struct model *m, uint64_t off, const uint8_t *got, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		uint8_t want = 0;

		for (unsigned w = 0; w < WINDOW_NR; w++)
			if (off + i >= window_at[w] && off + i < window_at[w] + m->window_bytes)
				want = m->twin[w][off + i - window_at[w]];
		if (got[i] != want)
			ck_abort_msg("step %u: byte %" PRIu64 " is %#x, not %#x", m->step, off + i,
				     got[i], want);
	}
}

static uint64_t random_off(struct model *m)
{
	uint64_t from = window_at[rt_rand_below(&m->rand, WINDOW_NR)], near = 0;
	uint64_t at = from + rt_rand_below(&m->rand, m->window_bytes);
	uint64_t block = m->fs->super.geo.block_bytes;

	/* Block boundaries and their neighbours are where mistakes live. */
	switch (rt_rand_below(&m->rand, 4)) {
	case 0:
		near = at / block * block;
		break;
	case 1:
		near = at / block * block + block - 1;
		break;
	}
	return near >= from && near < from + m->window_bytes ? near : at;
}

static size_t random_len(struct model *m, uint64_t off)
{
	uint64_t block = m->fs->super.geo.block_bytes, max = 0;
	uint64_t len = 1 + rt_rand_below(&m->rand,
					 rt_rand_below(&m->rand, 4) ? 2 * block : m->window_bytes);

	for (unsigned w = 0; w < WINDOW_NR; w++)
		if (off >= window_at[w] && off < window_at[w] + m->window_bytes)
			max = window_at[w] + m->window_bytes - off;
	return (size_t)(len < max ? len : max);
}

static void do_write(struct model *m)
{
	bool append = rt_rand_below(&m->rand, 16) == 0 && m->size < m->window_bytes;
	uint64_t off = append ? m->size : random_off(m);
	size_t len = random_len(m, off);

	for (size_t i = 0; i < len; i++)
		m->buf[i] = (uint8_t)(1 + rt_rand_below(&m->rand, 0xA0));
	ck_assert_int_eq(file_write(m->in, &t_fs_root, m->buf, len, append ? 0 : off,
				    append ? FILE_APPEND : 0),
			 (ssize_t)len);
	for (unsigned w = 0; w < WINDOW_NR; w++)
		if (off >= window_at[w] && off < window_at[w] + m->window_bytes)
			memcpy(m->twin[w] + (off - window_at[w]), m->buf, len);
	if (off + len > m->size)
		m->size = off + len;
}

static void do_read(struct model *m)
{
	uint64_t off = random_off(m);
	size_t len = random_len(m, off), want = off >= m->size        ? 0
						: len < m->size - off ? len
								      : (size_t)(m->size - off);

	memset(m->buf, 0xEE, len);
	ck_assert_int_eq(file_read(m->in, m->buf, len, off), (ssize_t)want);
	check_byte_range(m, off, m->buf, want);
}

static void do_truncate(struct model *m)
{
	uint64_t size =
		rt_rand_below(&m->rand, 8) ? random_off(m) : rt_rand_below(&m->rand, 6ull << 30);

	ck_assert_int_eq(file_truncate(m->in, size), 0);
	for (unsigned w = 0; w < WINDOW_NR; w++) {
		if (size <= window_at[w])
			memset(m->twin[w], 0, m->window_bytes);
		else if (size < window_at[w] + m->window_bytes)
			memset(m->twin[w] + (size - window_at[w]), 0,
			       m->window_bytes - (size - window_at[w]));
	}
	m->size = size;
}

static void do_fallocate(struct model *m)
{
	uint64_t off = random_off(m);
	size_t len = random_len(m, off);
	bool keep = rt_rand_below(&m->rand, 2);

	ck_assert_int_eq(
		file_fallocate(m->in, &t_fs_root, keep ? FALLOC_FL_KEEP_SIZE : 0, off, len, NULL),
		0);
	if (!keep && off + len > m->size)
		m->size = off + len;
}

static void twin_zero(struct model *m, uint64_t from, uint64_t end)
{
	for (unsigned w = 0; w < WINDOW_NR; w++) {
		uint64_t lo = from > window_at[w] ? from - window_at[w] : 0;
		uint64_t hi = end > window_at[w] ? end - window_at[w] : 0;

		if (hi > m->window_bytes)
			hi = m->window_bytes;
		if (lo < hi)
			memset(m->twin[w] + lo, 0, hi - lo);
	}
}

/* A hole or zeros for [from, end): there is no data in whole blocks of it afterwards. */
static void do_zero(struct model *m)
{
	static const int modes[] = { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE };
	int mode = modes[rt_rand_below(&m->rand, 3)];
	uint64_t off = random_off(m), mask = m->fs->super.geo.block_bytes - 1;
	uint64_t len = mode & FALLOC_FL_PUNCH_HOLE && rt_rand_below(&m->rand, 8) == 0
			       ? 6ull << 30
			       : random_len(m, off);
	uint64_t end = off + len, first = (off + mask) & ~mask, last = end & ~mask;
	int64_t data;

	ck_assert_int_eq(file_fallocate(m->in, &t_fs_root, mode, off, len, NULL), 0);
	twin_zero(m, off, end);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > m->size)
		m->size = end;
	if (first >= last || first >= m->size)
		return;
	data = file_seek(m->in, first, SEEK_DATA);
	if (data != -ENXIO && (uint64_t)data < last)
		ck_abort_msg("step %u: data at %" PRIi64 " of zeros", m->step, data);
}

/* Whole blocks come or go, and what follows moves, while the file is no longer than the first
 * window. */
static void do_move(struct model *m)
{
	uint64_t block = m->fs->super.geo.block_bytes, blks = m->window_bytes / block;
	uint64_t off = rt_rand_below(&m->rand, blks) * block;
	uint64_t len = (1 + rt_rand_below(&m->rand, 5)) * block;
	bool insert = rt_rand_below(&m->rand, 2);
	int err = 0, mode = insert ? FALLOC_FL_INSERT_RANGE : FALLOC_FL_COLLAPSE_RANGE;
	uint8_t *twin = m->twin[0];

	if (m->size > m->window_bytes) /* what follows would leave its window */
		return;
	if (insert ? off >= m->size : off + len >= m->size)
		err = -EINVAL;
	else if (insert && m->size + len > m->window_bytes)
		return;
	ck_assert_int_eq(file_fallocate(m->in, &t_fs_root, mode, off, len, NULL), err);
	if (err)
		return;
	if (insert) {
		memmove(twin + off + len, twin + off, m->size - off);
		memset(twin + off, 0, len);
		m->size += len;
	} else {
		memmove(twin + off, twin + off + len, m->size - off - len);
		m->size -= len;
		memset(twin + m->size, 0, len);
	}
}

/* Between data and the next hole all may be anything; between hole and data all is zero. */
static void do_seek(struct model *m)
{
	uint64_t off = random_off(m);
	int64_t data = file_seek(m->in, off, SEEK_DATA), hole = file_seek(m->in, off, SEEK_HOLE);
	uint64_t end;

	if (off >= m->size) {
		ck_assert_int_eq(data, -ENXIO);
		ck_assert_int_eq(hole, -ENXIO);
		return;
	}
	ck_assert(hole >= (int64_t)off && hole <= (int64_t)m->size);
	ck_assert(data == -ENXIO || (data >= (int64_t)off && data < (int64_t)m->size));
	ck_assert(data == (int64_t)off || hole == (int64_t)off || data > hole || data == -ENXIO);
	end = data < 0 ? m->size : (uint64_t)data;
	for (unsigned w = 0; w < WINDOW_NR; w++)
		for (uint64_t i = 0; i < m->window_bytes; i++)
			if (window_at[w] + i >= off && window_at[w] + i < end && m->twin[w][i])
				ck_abort_msg("step %u: byte %" PRIu64 " is data", m->step,
					     window_at[w] + i);
}

static void check_all(struct model *m)
{
	struct mbfs_attr attr;

	inode_attr(m->in, &attr);
	ck_assert_uint_eq(attr.size_bytes, m->size);
	for (unsigned w = 0; w < WINDOW_NR; w++) {
		ssize_t got = file_read(m->in, m->buf, m->window_bytes, window_at[w]);

		ck_assert_int_ge(got, 0);
		check_byte_range(m, window_at[w], m->buf, (size_t)got);
	}
}

static void do_reopen(struct model *m)
{
	inode_put(m->in);
	t_fs_close_clean(m->fs);
	m->fs = t_fs_open(m->mem, NULL);
	m->in = t_fs_find(m->fs, "file");
	check_all(m);
}

static void step(struct model *m)
{
	uint64_t what = rt_rand_below(&m->rand, 100);

	if (what < 45)
		do_write(m);
	else if (what < 70)
		do_read(m);
	else if (what < 80)
		do_truncate(m);
	else if (what < 85)
		do_fallocate(m);
	else if (what < 88)
		do_zero(m);
	else if (what < 92)
		do_move(m);
	else
		do_seek(m);
}

static const struct {
	const char *args;
	uint64_t image_bytes, window_bytes;
} rows[] = {
	{ "-b 1024", 64 << 20, 512 << 10 },
	{ "-b 4096", 64 << 20, 1 << 20 },
	{ "-b 65536", 256 << 20, 3 << 20 },
	{ "-b 4096 -I 128 -O ^metadata_csum,^64bit,^flex_bg,^huge_file,^has_journal", 64 << 20,
	  1 << 20 },
	{ "-b 2048 -O metadata_csum_seed -g 4096", 64 << 20, 1 << 20 },
};

/* Goal: a file is what was written to it. Method: a twin in memory; e2fsck at the end of each life.
 */
START_TEST(file_is_what_was_written)
{
	struct model m = { .rand = { t_seed() }, .window_bytes = rows[_i].window_bytes };
	unsigned steps = rows[_i].window_bytes > 2 << 20 ? STEPS / 5 : STEPS;

	m.mem = t_image_mem(rows[_i].args, rows[_i].image_bytes);
	t_fs_poison(m.mem, 0xA5);
	m.fs = t_fs_open(m.mem, NULL);
	m.in = t_fs_create(m.fs, "file", S_IFREG | 0644);
	m.buf = malloc(m.window_bytes);
	for (unsigned w = 0; w < WINDOW_NR; w++)
		m.twin[w] = calloc(1, m.window_bytes);
	for (m.step = 0; m.step < steps; m.step++) {
		step(&m);
		if (m.step % (steps / 5) == steps / 5 - 1)
			do_reopen(&m);
	}
	ck_assert_int_eq(file_truncate(m.in, 0), 0);
	inode_put(m.in);
	t_fs_unlink(m.fs, "file");
	t_fs_close_clean(m.fs);
	for (unsigned w = 0; w < WINDOW_NR; w++)
		free(m.twin[w]);
	free(m.buf);
	mbfs_bdev_close(m.mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model_file");
	TCase *tc = tcase_create("model");

	tcase_set_timeout(tc, 60); /* mkfs and e2fsck, on a busy machine */
	tcase_add_loop_test(tc, file_is_what_was_written, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
