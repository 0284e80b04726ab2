/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench.h - the parts of mbfs-bench. Each prints lines for people to stdout and, with --json, one
 * JSON object a line. Numbers never decide the exit status: 0 measured, 1 could not measure.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include "race/race.h"

#include <stdio.h>

enum { BENCH_TIMES_MAX = 100 };

struct bench_args {
	FILE *json;	    /* NULL: none */
	unsigned times;	    /* repetitions, the median counts */
	unsigned seconds;   /* of one measurement over a mount */
	const char *only;   /* cases whose name contains it; NULL: all */
	const char *mbfsd;  /* daemon */
	const char *dir;
	const char *variant;
	uint64_t size_bytes;
	uint64_t seed;
};

/* True when the case is to be run. */
bool bench_wanted(const struct bench_args *a, const char *name);
/* Of @nr <= BENCH_TIMES_MAX values; 0 of none. */
double bench_median(const double *values, unsigned nr);

int bench_alloc(const struct bench_args *a);
int bench_rcu(const struct bench_args *a);
int bench_mount(const struct bench_args *a);

#endif
