/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench-grid.h - rows of work by columns of who does it, measured in turns: all of a row seconds
 * apart, so that a machine that slows down hurts all alike.
 */
#ifndef TOOLS_BENCH_GRID_H
#define TOOLS_BENCH_GRID_H

#include "bench.h"
#include "race/measure.h"

struct bench_row {
	const char *name;
	unsigned threads;
	unsigned alone; /* the row of the same work by one thread; itself: none */
	const void *work;
};

struct bench_grid {
	const char *bench, *title;
	const struct bench_row *rows;
	unsigned row_nr;
	const char *const *who; /* the first is ours: the others are compared with it */
	unsigned who_nr;
	const char *extra; /* column of one more figure of struct race_pace; NULL: none */
	size_t extra_off;
	/* -ENOTSUP: @who has no such thing. */
	int (*measure)(void *ctx, const struct bench_row *row, unsigned who, uint64_t run_ns,
		       struct race_pace *out);
	void *ctx;
};

/* Measure what is wanted and print it. Errors: said on stderr; 1. */
int bench_grid_run(const struct bench_args *a, const struct bench_grid *g);

#endif
