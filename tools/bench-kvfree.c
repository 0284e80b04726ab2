// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects freed after a grace period: kvfree and pending beside their peers. race/measure_kvfree.c
 * does it.
 */
#include "bench-grid.h"

#include <stddef.h>

static const struct bench_row rows[] = {
	{ "64 bytes, 1 thread", 1, 0, NULL },
	{ "64 bytes, 2 threads", 2, 0, NULL },
	{ "64 bytes, 8 threads", 8, 0, NULL },
};

static const enum race_kvfree_way ways[] = { RACE_KVFREE_PLAIN,    RACE_KVFREE_HEAD,
					     RACE_KVFREE_PENDING,  RACE_KVFREE_RT_CALL,
					     RACE_KVFREE_CALL_RCU, RACE_KVFREE_AT_ONCE };
static const char *const way_names[] = { "kvfree",      "with head", "pending",
					 "rt_rcu_call", "call_rcu",  "free" };

static int measure(void *ctx, const struct bench_row *row, unsigned who, uint64_t run_ns,
		   struct race_pace *out)
{
	(void)ctx;
	return race_kvfree_measure(ways[who], row->threads, run_ns, out);
}

int bench_kvfree(const struct bench_args *a)
{
	const struct bench_grid g = {
		.bench = "kvfree",
		.title = "objects got, and given to be freed",
		.rows = rows,
		.row_nr = sizeof(rows) / sizeof(rows[0]),
		.who = way_names,
		.who_nr = sizeof(ways) / sizeof(ways[0]),
		.extra = "cpu_ns",
		.extra_off = offsetof(struct race_pace, cpu_ns),
		.measure = measure,
	};

	return bench_grid_run(a, &g);
}
