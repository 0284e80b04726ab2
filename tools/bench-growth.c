// SPDX-License-Identifier: GPL-2.0-only
/*
 * What growing costs: allocations per second beside a thread that adds groups and without it
 * (race/measure_growth.c does it); and the time a whole growth takes, of a mounted file system on a
 * sparse file, with all that is written to it.
 */
#include "bench-grid.h"
#include "race/fixture.h"
#include "race/team.h"

#include <mbfs/fs.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { FROM_GIB = 1, TO_GIB = 1024, ROOM_BYTES = 64 << 20 };

static const enum race_growth none = RACE_GROWTH_NONE, paced = RACE_GROWTH_PACED,
			      fast = RACE_GROWTH_FAST;

static const struct bench_row rows[] = {
	{ "1 thread, no growth", 1, 0, &none },
	{ "1 thread, a group each ms", 1, 0, &paced },
	{ "1 thread, group after group", 1, 0, &fast },
	{ "2 threads, no growth", 2, 3, &none },
	{ "2 threads, a group each ms", 2, 3, &paced },
	{ "2 threads, group after group", 2, 3, &fast },
	{ "8 threads, no growth", 8, 6, &none },
	{ "8 threads, a group each ms", 8, 6, &paced },
	{ "8 threads, group after group", 8, 6, &fast },
};

static const char *const who[] = { "mbfs" };

static int measure(void *ctx, const struct bench_row *row, unsigned idx, uint64_t run_ns,
		   struct race_pace *out)
{
	(void)ctx;
	(void)idx;
	return race_growth_measure(*(const enum race_growth *)row->work, row->threads, run_ns, out);
}

/* ---- a whole growth ---- */

static int grow_once(const char *image, double *seconds, struct mbfs_diag *diag)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag notes;
	struct mbfs_bdev *dev;
	struct mbfs_fs *fs;
	uint64_t from;
	int err = mbfs_bdev_open_file(image, 0, 0, diag, &dev);

	if (err)
		return err;
	mbfs_mount_opts_default(&opts);
	opts.fakeroot = true;
	err = mbfs_fs_mount(dev, &opts, diag, &notes, &fs);
	if (err)
		goto out_dev;
	from = race_now_ns();
	err = mbfs_fs_resize(fs, (uint64_t)TO_GIB << 30, diag);
	*seconds = (double)(race_now_ns() - from) / 1e9;
	if (mbfs_fs_unmount(fs) && !err)
		err = -EIO;
out_dev:
	mbfs_bdev_close(dev);
	return err;
}

static int grow_in(const char *dir, double *seconds, struct mbfs_diag *diag)
{
	char image[RACE_PATH_BYTES], log[RACE_PATH_BYTES];
	int err;

	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(log, sizeof(log), "%s/log", dir);
	err = race_image_make(image, (uint64_t)FROM_GIB << 30, 4096, NULL, log, diag);
	if (!err)
		err = grow_once(image, seconds, diag);
	unlink(image);
	unlink(log);
	return err;
}

static int whole(const struct bench_args *a)
{
	static const char name[] = "1 GiB to 1 TiB, a sparse file";
	char dir[RACE_PATH_BYTES / 2];
	struct mbfs_diag diag = { "" };
	double s[BENCH_TIMES_MAX];
	int err;

	if (!bench_wanted(a, name))
		return 0;
	err = race_tmpdir_make(a->dir, ROOM_BYTES, dir, sizeof(dir), &diag);
	if (!err) {
		for (unsigned i = 0; !err && i < a->times; i++)
			err = grow_in(dir, &s[i], &diag);
		rmdir(dir);
	}
	if (err) {
		fprintf(stderr, "mbfs-bench: growth: %s: %s\n", name,
			diag.text[0] ? diag.text : strerror(-err));
		return 1;
	}
	printf("%-43s %.3f s\n", name, bench_median(s, a->times));
	if (a->json)
		fprintf(a->json, "{\"bench\":\"growth\",\"case\":\"%s\",\"seconds\":%.4f,"
				 "\"times\":%u}\n", name, bench_median(s, a->times), a->times);
	return 0;
}

int bench_growth(const struct bench_args *a)
{
	const struct bench_grid g = {
		.bench = "growth",
		.title = "a block got while groups are added",
		.rows = rows,
		.row_nr = sizeof(rows) / sizeof(rows[0]),
		.who = who,
		.who_nr = 1,
		.extra = "grps/s",
		.extra_off = offsetof(struct race_pace, grown_per_s),
		.measure = measure,
	};
	int err = bench_grid_run(a, &g);

	return whole(a) || err;
}
