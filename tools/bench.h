/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench.h - the parts of mbfs-bench. Each prints lines for people to stdout and, with --json, one
 * JSON object a line. Numbers never decide the exit status: 0 measured, 1 could not measure.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include "race/race.h"

#include <stdio.h>

enum { BENCH_TIMES_MAX = 100, BENCH_LIST_MAX = 8, BENCH_FILES_MAX = 64, BENCH_THREADS_MAX = 64 };

/* Numbers of an option: 1,16,64 */
struct bench_list {
	unsigned nr, v[BENCH_LIST_MAX];
};

struct bench_args {
	FILE *json;	    /* NULL: none */
	unsigned times;	    /* repetitions, the median counts */
	unsigned seconds;   /* of one measurement over a mount */
	unsigned ms;	    /* of one measurement of range, state, mempool, kvfree, growth */
	const char *only;   /* cases whose name contains it; NULL: all */
	const char *mbfsd;  /* daemon */
	const char *dir;
	const char *variant;
	uint64_t size_bytes;
	uint64_t seed;
	/* aio, onefile */
	struct bench_list depths, files;
	struct bench_list threads; /* onefile */
	unsigned engine; /* enum bench_engine */
	unsigned peers;	 /* bits of enum bench_peer_kind; 0: all */
	const char *mount_opts[BENCH_LIST_MAX]; /* each is a mount of its own */
	unsigned mount_opts_nr;
	const char *also[BENCH_LIST_MAX]; /* other daemons */
	unsigned also_nr;
};

/* True when the case is to be run. */
bool bench_wanted(const struct bench_args *a, const char *name);
/* Of @nr <= BENCH_TIMES_MAX values; 0 of none. */
double bench_median(const double *values, unsigned nr);
/* 0..nr-1 in random order. */
void bench_shuffle(uint32_t *order, uint32_t nr, uint64_t *seed);
/* The median cost of reading the clock. */
uint64_t bench_clock_cost_ns(void);

int bench_alloc(const struct bench_args *a);
int bench_rcu(const struct bench_args *a);
int bench_rcu_costs(const struct bench_args *a);
int bench_mount(const struct bench_args *a);
int bench_aio(const struct bench_args *a);
int bench_onefile(const struct bench_args *a);
int bench_write(const struct bench_args *a);
int bench_range(const struct bench_args *a);
int bench_state(const struct bench_args *a);
int bench_kvfree(const struct bench_args *a);
int bench_growth(const struct bench_args *a);
int bench_buf(const struct bench_args *a);
int bench_pool(const struct bench_args *a);

#endif
