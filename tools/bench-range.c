// SPDX-License-Identifier: GPL-2.0-only
/*
 * Byte-range locks of one file, in memory: what a lock and unlock costs that need not wait, how
 * threads scale that are in different bytes, and how long the longest wait is of those that want
 * the same ones. race/measure_range.c does it.
 */
#include "bench-grid.h"

#include <stddef.h>

#define LOAD(...) (&(const struct race_range_load){ __VA_ARGS__ })
#define REGIONS .place = RACE_PLACE_REGIONS
#define REGION .place = RACE_PLACE_REGION
#define SAME .place = RACE_PLACE_SAME
/* One row for each number of threads. The first is at @at. */
#define THREADS(at, text, ...)                                                                     \
	{ text ", 1 thread", 1, at, LOAD(.threads = 1, __VA_ARGS__) },                             \
	{ text ", 2 threads", 2, at, LOAD(.threads = 2, __VA_ARGS__) },                            \
	{ text ", 8 threads", 8, at, LOAD(.threads = 8, __VA_ARGS__) }
#define ALONE(at, text, ...) { text, 1, at, LOAD(.threads = 1, __VA_ARGS__) }

static const struct bench_row rows[] = {
	THREADS(0, "write, own regions", REGIONS),
	THREADS(3, "write, one region", REGION),
	THREADS(6, "read, own regions", REGIONS, .read_every = 1),
	THREADS(9, "read and write, own regions", REGIONS, .read_every = 2),
	THREADS(12, "write 4 KiB, own regions", REGIONS, .copies = true),
	THREADS(15, "write 4 KiB, one region", REGION, .copies = true),
	THREADS(18, "read and write 4 KiB, own regions", REGIONS, .read_every = 2, .copies = true),
	THREADS(21, "1 of 16 extends, own regions", REGIONS, .extend_every = 16),
	ALONE(24, "all extend, 1 thread", REGIONS, .extend_every = 1),
	ALONE(25, "write beside 16 held, 1 thread", REGIONS, .held = 16),
	ALONE(26, "write beside 128 held, 1 thread", REGIONS, .held = 128),
	THREADS(27, "write 4 KiB, the same block", SAME, .copies = true),
	THREADS(30, "read and write 4 KiB, the same block", SAME, .copies = true, .read_every = 2),
};

static const char *const kinds[RACE_RANGE_NR] = { "io_tree", "tree, whole", "rwlock", "list" };

static int measure(void *ctx, const struct bench_row *row, unsigned who, uint64_t run_ns,
		   struct race_pace *out)
{
	(void)ctx;
	return race_range_measure(who, row->work, run_ns, out);
}

int bench_range(const struct bench_args *a)
{
	const struct bench_grid g = {
		.bench = "range",
		.title = "locks of byte ranges",
		.rows = rows,
		.row_nr = sizeof(rows) / sizeof(rows[0]),
		.who = kinds,
		.who_nr = RACE_RANGE_NR,
		.extra = "least",
		.extra_off = offsetof(struct race_pace, least),
		.measure = measure,
	};

	return bench_grid_run(a, &g);
}
