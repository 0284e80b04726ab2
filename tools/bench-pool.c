// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory pools: an object got and freed, from each place where a pool may find one, beside
 * malloc(); and several objects of several pools got together or one by one. race/measure_pool.c
 * does it.
 */
#include "bench-grid.h"

#include <stddef.h>

#define LOAD(...) (&(const struct race_pool_load){ __VA_ARGS__ })
#define THREADS(at, text, src, n)                                                                  \
	{ text ", 1 thread", 1, at, LOAD(1, src, 1, n) },                                          \
	{ text ", 2 threads", 2, at, LOAD(2, src, 1, n) },                                         \
	{ text ", 8 threads", 8, at, LOAD(8, src, 1, n) }
#define POOLS(at, text, src)                                                                       \
	{ "1 pool, " text, 1, at, LOAD(1, src, 1, 1) },                                            \
	{ "2 pools, " text, 1, at + 1, LOAD(1, src, 2, 1) },                                       \
	{ "4 pools, " text, 1, at + 2, LOAD(1, src, 4, 1) },                                       \
	{ "4 pools, " text ", 2 threads", 2, at + 2, LOAD(2, src, 4, 1) }

static const struct bench_row rows[] = {
	THREADS(0, "magazine", RACE_POOL_MAGAZINE, 1),
	THREADS(3, "magazine, 16 at once", RACE_POOL_MAGAZINE, 16),
	THREADS(6, "allocator", RACE_POOL_ALLOCATOR, 1),
	THREADS(9, "reserve", RACE_POOL_RESERVE, 1),
	POOLS(12, "magazine", RACE_POOL_MAGAZINE),
	POOLS(16, "allocator", RACE_POOL_ALLOCATOR),
	POOLS(20, "reserve", RACE_POOL_RESERVE),
};

static const enum race_pool_way ways[] = { RACE_POOL_ONE_BY_ONE, RACE_POOL_TOGETHER,
					   RACE_POOL_MALLOC };
static const char *const way_names[] = { "alloc", "reserve()", "malloc" };

static int measure(void *ctx, const struct bench_row *row, unsigned who, uint64_t run_ns,
		   struct race_pace *out)
{
	(void)ctx;
	return race_pool_measure(ways[who], row->work, run_ns, out);
}

int bench_pool(const struct bench_args *a)
{
	const struct bench_grid g = {
		.bench = "mempool",
		.title = "objects got and freed",
		.rows = rows,
		.row_nr = sizeof(rows) / sizeof(rows[0]),
		.who = way_names,
		.who_nr = sizeof(ways) / sizeof(ways[0]),
		.extra = "share",
		.extra_off = offsetof(struct race_pace, share),
		.measure = measure,
	};

	return bench_grid_run(a, &g);
}
