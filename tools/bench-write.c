// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library's own cost of a write: random writes of 4 KiB on a device in memory, without FUSE and
 * without a disk. A quarter of the image is allocated with fallocate and written twice, all of its
 * blocks in random order: first "unwritten", each write converting its block, then "written".
 * One thread; two that share one file; two with a file each; eight that share one; those that share
 * one also with one lock for the whole file. Reading the clock is subtracted.
 */
#include "bench.h"
#include "race/fixture.h"
#include "race/team.h"

#include <mbfs/fs.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096, THREADS_MAX = 8 };

static const struct layout {
	const char *name;
	unsigned threads, files;
	bool whole; /* rangelock=off */
} layouts[] = {
	{ "1 thread", 1, 1, false },
	{ "2 threads, one file", 2, 1, false },
	{ "2 threads, one file, rangelock=off", 2, 1, true },
	{ "2 threads, own files", 2, 2, false },
	{ "8 threads, one file", 8, 1, false },
	{ "8 threads, one file, rangelock=off", 8, 1, true },
};
enum { LAYOUT_NR = sizeof(layouts) / sizeof(layouts[0]) };

enum { UNWRITTEN, WRITTEN, STATE_NR };
static const char *const state_names[STATE_NR] = { "unwritten", "written" };

struct writer {
	const uint32_t *order;
	uint32_t nr;
	struct mbfs_file *file;
	struct race_hist lat;
	int err;
};

struct writers {
	uint64_t clock_ns;
	struct writer w[THREADS_MAX];
};

struct figures {
	double rate[BENCH_TIMES_MAX], p50[BENCH_TIMES_MAX], p99[BENCH_TIMES_MAX];
};

/* ---- an image in memory ---- */

static int image_copy(int fd, struct mbfs_bdev *dev)
{
	uint8_t *bytes = mbfs_bdev_mem_bytes(dev);
	off_t at = 0, end;
	ssize_t got;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		for (; at < end; at += got) {
			got = pread(fd, bytes + at, (size_t)(end - at), at);
			if (got <= 0)
				return got ? -errno : -EIO;
		}
	}
	return 0;
}

static int device_open(const struct bench_args *args, struct mbfs_bdev **out,
		       struct mbfs_diag *diag)
{
	char dir[RACE_PATH_BYTES / 2], image[RACE_PATH_BYTES], log[RACE_PATH_BYTES];
	int fd, err = race_tmpdir_make(args->dir, args->size_bytes, dir, sizeof(dir), diag);

	if (err)
		return err;
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	err = race_image_make(image, args->size_bytes, BLOCK, NULL, log, diag);
	if (!err)
		err = mbfs_bdev_open_mem(args->size_bytes, out);
	if (!err) {
		/* Its pages are there before the first write. */
		memset(mbfs_bdev_mem_bytes(*out), 0, args->size_bytes);
		fd = open(image, O_RDONLY | O_CLOEXEC);
		err = fd < 0 ? -errno : image_copy(fd, *out);
		if (fd >= 0)
			close(fd);
		if (err)
			mbfs_bdev_close(*out);
	}
	unlink(image);
	unlink(log);
	rmdir(dir);
	return err;
}

static int fs_open(const struct bench_args *args, const struct layout *l, struct mbfs_bdev *dev,
		   struct mbfs_fs **fs, struct mbfs_diag *diag)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag notes = { "" };

	mbfs_mount_opts_default(&opts);
	opts.fakeroot = true;
	opts.rangelock_off = l->whole;
	if (args->variant)
		opts.tune.enospc = args->variant;
	return mbfs_fs_mount(dev, &opts, diag, &notes, fs);
}

/* ---- writing ---- */

static void writer_main(void *arg, unsigned idx)
{
	static const struct mbfs_cred cred = { 0, 0, 022 };
	struct writers *all = arg;
	struct writer *w = &all->w[idx];
	uint8_t *buf = aligned_alloc(BLOCK, BLOCK);

	w->err = buf ? 0 : -ENOMEM;
	if (buf)
		memset(buf, 0x5a, BLOCK);
	for (uint32_t i = 0; !w->err && i < w->nr; i++) {
		uint64_t from = race_now_ns(), ns;
		ssize_t put =
			mbfs_file_write(w->file, &cred, buf, BLOCK, (uint64_t)w->order[i] * BLOCK);

		ns = race_now_ns() - from;
		race_hist_add(&w->lat, ns > all->clock_ns ? ns - all->clock_ns : 0);
		if (put != BLOCK)
			w->err = put < 0 ? (int)put : -EIO;
	}
	free(buf);
}

static int pass(struct writers *all, const struct layout *l, struct figures *f, unsigned turn)
{
	uint64_t ns, writes = 0;
	struct race_hist *lat = calloc(1, sizeof(*lat));
	int err;

	if (!lat)
		return -ENOMEM;
	for (unsigned i = 0; i < l->threads; i++)
		memset(&all->w[i].lat, 0, sizeof(all->w[i].lat));
	err = race_team_run(l->threads, writer_main, all, &ns);
	for (unsigned i = 0; i < l->threads; i++) {
		err = err ? err : all->w[i].err;
		writes += all->w[i].nr;
		race_hist_merge(lat, &all->w[i].lat);
	}
	f->rate[turn] = (double)writes * 1e9 / (double)(ns ? ns : 1);
	f->p50[turn] = (double)race_hist_at(lat, 500);
	f->p99[turn] = (double)race_hist_at(lat, 990);
	free(lat);
	return err;
}

static int file_make(struct mbfs_fs *fs, unsigned idx, uint64_t bytes, struct mbfs_file **out)
{
	static const struct mbfs_cred cred = { 0, 0, 022 };
	struct mbfs_attr attr;
	char name[16];
	int err;

	snprintf(name, sizeof(name), "file%u", idx);
	err = mbfs_fs_mknod(fs, &cred, MBFS_ROOT_INO, name, S_IFREG | 0600, 0, &attr);
	if (err)
		return err;
	err = mbfs_file_open(fs, attr.ino, O_RDWR, out);
	if (err)
		return err;
	err = mbfs_file_fallocate(*out, &cred, 0, 0, bytes, NULL);
	if (err)
		mbfs_file_release(*out);
	return err;
}

/* Both passes, on a file system of its own. */
static int turn_run(const struct bench_args *args, const struct layout *l, uint32_t *order,
		    uint32_t nr, struct figures f[STATE_NR], unsigned turn)
{
	struct writers *all = calloc(1, sizeof(*all));
	struct mbfs_diag diag = { "" };
	struct mbfs_file *files[THREADS_MAX];
	uint32_t each = nr / l->threads;
	uint64_t seed = args->seed + turn;
	unsigned opened = 0;
	struct mbfs_bdev *dev;
	struct mbfs_fs *fs;
	int err = all ? device_open(args, &dev, &diag) : -ENOMEM, last;

	if (err)
		goto err_free;
	err = fs_open(args, l, dev, &fs, &diag);
	if (err)
		goto err_close;
	while (!err && opened < l->files) {
		err = file_make(fs, opened, (uint64_t)nr * BLOCK / l->files, &files[opened]);
		opened += !err;
	}
	all->clock_ns = bench_clock_cost_ns();
	for (unsigned st = 0; !err && st < STATE_NR; st++) {
		/* One file: each its part of the order; own files: each an order of its own. */
		if (l->files == 1)
			bench_shuffle(order, nr, &seed);
		for (unsigned i = 0; i < l->threads; i++) {
			if (l->files > 1)
				bench_shuffle(order + i * each, each, &seed);
			all->w[i].order = order + i * each;
			all->w[i].nr = each;
			all->w[i].file = files[i % l->files];
		}
		err = pass(all, l, &f[st], turn);
	}
	while (opened > 0)
		mbfs_file_release(files[--opened]);
	err = err ? err : mbfs_fs_check(fs, &diag);
	last = mbfs_fs_unmount(fs);
	err = err ? err : last;
err_close:
	mbfs_bdev_close(dev);
err_free:
	if (err)
		fprintf(stderr, "mbfs-bench: write: %s: %s\n", l->name,
			diag.text[0] ? diag.text : strerror(-err));
	free(all);
	return err;
}

static void print_layout(const struct bench_args *args, const struct layout *l,
			 const struct figures f[STATE_NR])
{
	double p50[STATE_NR], ratios[BENCH_TIMES_MAX];
	char t[3][16];

	for (unsigned st = 0; st < STATE_NR; st++) {
		double rate = bench_median(f[st].rate, args->times);
		double p99 = bench_median(f[st].p99, args->times);

		p50[st] = bench_median(f[st].p50, args->times);
		printf("%-34s %-9s %9s writes/s   p50 %9s   p99 %9s\n", l->name, state_names[st],
		       race_human_nr(t[0], rate), race_human_ns(t[1], (uint64_t)p50[st]),
		       race_human_ns(t[2], (uint64_t)p99));
		if (args->json)
			fprintf(args->json,
				"{\"bench\":\"write\",\"case\":\"%s\",\"state\":\"%s\","
				"\"writes_per_s\":%.0f,\"p50_ns\":%.0f,\"p99_ns\":%.0f,"
				"\"times\":%u}\n",
				l->name, state_names[st], rate, p50[st], p99, args->times);
	}
	for (unsigned i = 0; i < args->times; i++)
		ratios[i] = f[UNWRITTEN].rate[i] / f[WRITTEN].rate[i];
	printf("%-34s unwritten to written %.2f; a conversion costs %s\n", l->name,
	       bench_median(ratios, args->times),
	       race_human_ns(t[0], p50[0] > p50[1] ? (uint64_t)(p50[0] - p50[1]) : 0));
	fflush(stdout);
}

int bench_write(const struct bench_args *args)
{
	struct figures(*f)[STATE_NR] = calloc(LAYOUT_NR, sizeof(*f));
	uint32_t nr = (uint32_t)(args->size_bytes / 4 / BLOCK) / THREADS_MAX * THREADS_MAX;
	uint32_t *order = calloc(nr, sizeof(*order));
	int err = f && order ? 0 : -ENOMEM;

	for (unsigned turn = 0; !err && turn < args->times; turn++)
		for (unsigned i = 0; !err && i < LAYOUT_NR; i++)
			if (bench_wanted(args, layouts[i].name))
				err = turn_run(args, &layouts[i], order, nr, f[i], turn);
	for (unsigned i = 0; !err && i < LAYOUT_NR; i++)
		if (bench_wanted(args, layouts[i].name))
			print_layout(args, &layouts[i], f[i]);
	free(order);
	free(f);
	return err ? 1 : 0;
}
