// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: whatever meets in one file, reads, writes, changes of the size and of the blocks, with many
 * writes under way at once, each byte is what its last writer put there, or zero; never what the
 * disk had before. Method: a mounted image whose free blocks are poisoned, on a device that carries
 * out transfers on threads of its own (rows 0, 1) or at once (row 2). One file is divided among the
 * threads, each with a naive twin of its part; another is truncated and reserved again and again
 * while all write and read it. e2fsck at the end.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <mbfs/fs.h>

#include "base/check.h"
#include "rt/work.h"
#include "rt/wq.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum { THREADS = 4, STEPS = 300, DEPTH = 6, PART = 96 << 10, IO_MAX = 20000, POISON = 0xEE };

struct shared {
	struct mbfs_fs *fs;
	struct mbfs_file *own, *torn; /* divided among the threads; everybody's */
	rt_u32 stop;
};

struct worker {
	struct shared *sh;
	unsigned id;
	uint64_t seed;
	struct rt_thread *thread;
	uint8_t twin[PART];
	uint8_t buf[DEPTH][IO_MAX], back[PART];
};

static const struct mbfs_cred root_cred;

struct flight {
	struct rt_completion over;
	ssize_t put; /* as it landed */
	size_t bytes;
	ssize_t started;
};

static void landed(void *arg, ssize_t put)
{
	struct flight *fl = arg;

	fl->put = put;
	rt_complete(&fl->over);
}

/* Several writes of this thread's part at once, which do not overlap; then the twin knows them. */
static void write_own(struct worker *w, struct rt_rand *r)
{
	uint64_t base = (uint64_t)w->id * PART, at = rt_rand_below(r, PART / 2);
	struct flight fl[DEPTH];
	unsigned nr = 0;

	while (nr < DEPTH && at < PART) {
		size_t bytes = 1 + rt_rand_below(r, rt_rand_below(r, 2) ? 700 : IO_MAX - 1);

		if (bytes > PART - at)
			bytes = PART - at;
		memset(w->buf[nr], (int)(1 + rt_rand_below(r, 200)), bytes);
		memcpy(w->twin + at, w->buf[nr], bytes);
		rt_completion_init(&fl[nr].over);
		fl[nr].bytes = bytes;
		fl[nr].started = mbfs_file_write_start(w->sh->own, &root_cred, w->buf[nr], bytes,
						       base + at, NULL, landed, &fl[nr]);
		at += bytes + rt_rand_below(r, 3) * rt_rand_below(r, 5000);
		nr++;
	}
	for (unsigned i = 0; i < nr; i++) {
		ssize_t put = fl[i].started;

		if (put == -EINPROGRESS) {
			rt_completion_wait(&fl[i].over);
			put = fl[i].put;
		}
		rt_completion_destroy(&fl[i].over);
		ck_assert_int_eq(put, (ssize_t)fl[i].bytes);
	}
}

static void read_own(struct worker *w, struct rt_rand *r)
{
	uint64_t at = rt_rand_below(r, PART);
	size_t bytes = 1 + rt_rand_below(r, (uint32_t)(PART - at));
	ssize_t got = mbfs_file_read(w->sh->own, w->back, bytes, (uint64_t)w->id * PART + at);

	/* Nobody has written past its own part: only the end of the file is short. */
	ck_assert_int_ge(got, 0);
	ck_assert_msg(!memcmp(w->back, w->twin + at, (size_t)got), "thread %u at %llu", w->id,
		      (unsigned long long)at);
	for (size_t i = (size_t)got; i < bytes; i++)
		if (w->twin[at + i])
			ck_abort_msg("thread %u: the file ends before what it wrote", w->id);
}

/* The file that everybody changes: a byte is zero or was written by a thread. */
static void look_torn(struct worker *w, struct rt_rand *r)
{
	ssize_t got = mbfs_file_read(w->sh->torn, w->back, PART, rt_rand_below(r, PART));

	ck_assert_int_ge(got, 0);
	for (ssize_t i = 0; i < got; i++)
		if (w->back[i] > THREADS)
			ck_abort_msg("byte %#x that nobody wrote", w->back[i]);
}

static void change_torn(struct worker *w, struct rt_rand *r)
{
	uint64_t at = rt_rand_below(r, PART), bytes = 1 + rt_rand_below(r, IO_MAX - 1);

	switch (rt_rand_below(r, 8)) {
	case 0:
		ck_assert_int_eq(mbfs_file_truncate(w->sh->torn, rt_rand_below(r, 2) * at), 0);
		break;
	case 1:
	case 2:
		ck_assert_int_eq(mbfs_file_fallocate(w->sh->torn, &root_cred,
						     rt_rand_below(r, 2) ? FALLOC_FL_KEEP_SIZE : 0,
						     at, bytes, NULL),
				 0);
		break;
	case 3:
		ck_assert_int_eq(mbfs_file_fsync(w->sh->torn, false), 0);
		break;
	default:
		memset(w->buf[0], (int)w->id + 1, bytes);
		ck_assert_int_eq(mbfs_file_write(w->sh->torn, &root_cred, w->buf[0], bytes, at),
				 (ssize_t)bytes);
	}
}

static void work(void *arg)
{
	struct worker *w = arg;
	struct rt_rand r = { w->seed };

	for (unsigned i = 0; i < STEPS; i++) {
		write_own(w, &r);
		read_own(w, &r);
		change_torn(w, &r);
		look_torn(w, &r);
	}
}

static struct mbfs_file *file_new(struct mbfs_fs *fs, const char *name)
{
	struct mbfs_attr attr;
	struct mbfs_file *f;

	ck_assert_int_eq(
		mbfs_fs_mknod(fs, &root_cred, MBFS_ROOT_INO, name, S_IFREG | 0644, 0, &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDWR, &f), 0);
	mbfs_fs_forget(fs, attr.ino, 1);
	return f;
}

START_TEST(every_byte_is_its_writers_or_zero)
{
	struct mbfs_bdev *mem = t_image_mem(_i == 1 ? "-b 4096" : "-b 1024", 16 << 20), *dev = mem;
	struct worker *w = calloc(THREADS, sizeof(*w));
	uint64_t seed = t_seed();
	struct mbfs_diag diag;
	struct mbfs_mount_opts opts;
	struct shared sh;

	t_fs_poison(mem, POISON);
	if (_i < 2)
		ck_assert_int_eq(mbfs_bdev_open_pool(mem, 3, &dev), 0);
	mbfs_mount_opts_default(&opts);
	opts.tune.cpus = 4;
	ck_assert_int_eq(mbfs_fs_mount(dev, &opts, &diag, NULL, &sh.fs), 0);
	sh.own = file_new(sh.fs, "own");
	sh.torn = file_new(sh.fs, "torn");
	for (unsigned i = 0; i < THREADS; i++) {
		w[i].sh = &sh;
		w[i].id = i;
		w[i].seed = seed + i;
		ck_assert_int_eq(rt_thread_start(work, &w[i], "write", &w[i].thread), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		rt_thread_join(w[i].thread);
	for (unsigned i = 0; i < THREADS; i++) {
		ssize_t got = mbfs_file_read(sh.own, w[i].back, PART, (uint64_t)i * PART);

		ck_assert(got >= 0 && !memcmp(w[i].back, w[i].twin, (size_t)got));
	}
	mbfs_file_release(sh.own);
	mbfs_file_release(sh.torn);
	ck_assert_msg(!mbfs_fs_check(sh.fs, &diag), "%s", diag.text);
	ck_assert_int_eq(mbfs_fs_unmount(sh.fs), 0);
	ck_assert_int_eq(t_image_fsck(mem), 0);
	if (dev != mem)
		mbfs_bdev_close(dev);
	mbfs_bdev_close(mem);
	free(w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stress_write");
	TCase *tc = tcase_create("write");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, every_byte_is_its_writers_or_zero, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}
T_IMAGE_MAIN(suite)
