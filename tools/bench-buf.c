// SPDX-License-Identifier: GPL-2.0-only
/* Metadata buffers that are evicted and read again. race/measure_buf.c does it. */
#include "bench-grid.h"

#include <stddef.h>

static const unsigned block_bytes[] = { 1024, 4096, 65536 };

static const struct bench_row rows[] = {
	{ "1 KiB, 1 thread", 1, 0, &block_bytes[0] },
	{ "1 KiB, 8 threads", 8, 0, &block_bytes[0] },
	{ "4 KiB, 1 thread", 1, 2, &block_bytes[1] },
	{ "4 KiB, 8 threads", 8, 2, &block_bytes[1] },
	{ "64 KiB, 1 thread", 1, 4, &block_bytes[2] },
	{ "64 KiB, 8 threads", 8, 4, &block_bytes[2] },
};

static const char *const who[] = { "buf_get" };

static int measure(void *ctx, const struct bench_row *row, unsigned col, uint64_t run_ns,
		   struct race_pace *out)
{
	(void)ctx, (void)col;
	return race_buf_measure(*(const unsigned *)row->work, row->threads, run_ns, out);
}

int bench_buf(const struct bench_args *a)
{
	const struct bench_grid g = {
		.bench = "buf",
		.title = "buffers got that are not in the cache, and put",
		.rows = rows,
		.row_nr = sizeof(rows) / sizeof(rows[0]),
		.who = who,
		.who_nr = 1,
		.extra = "cpu_ns",
		.extra_off = offsetof(struct race_pace, cpu_ns),
		.measure = measure,
	};

	return bench_grid_run(a, &g);
}
