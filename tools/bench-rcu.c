// SPDX-License-Identifier: GPL-2.0-only
/* Sections of RCU readers and barriers, beside the library's below. race/measure_rcu.c does it. */
#include "bench-grid.h"

static const enum race_rcu_what whats[] = { RACE_RCU_SECTION, RACE_RCU_IDLE, RACE_RCU_QUEUED };

static const struct bench_row rows[] = {
	{ "a reader's section", 1, 0, &whats[0] },
	{ "until all is done, nothing queued", 1, 1, &whats[1] },
	{ "until all is done, 1000 objects", 1, 2, &whats[2] },
};

static const enum race_rcu_way ways[] = { RACE_RCU_RT, RACE_RCU_KVFREE, RACE_RCU_PENDING,
					  RACE_RCU_STOCK };
static const char *const way_names[] = { "rt", "kvfree", "pending", "liburcu" };

static int measure(void *ctx, const struct bench_row *row, unsigned who, uint64_t run_ns,
		   struct race_pace *out)
{
	(void)ctx;
	return race_rcu_cost(ways[who], *(const enum race_rcu_what *)row->work, run_ns, out);
}

int bench_rcu_costs(const struct bench_args *a)
{
	const struct bench_grid g = {
		.bench = "rcu",
		.title = "RCU: sections, barriers and flushes",
		.rows = rows,
		.row_nr = sizeof(rows) / sizeof(rows[0]),
		.who = way_names,
		.who_nr = sizeof(ways) / sizeof(ways[0]),
		.measure = measure,
	};

	return bench_grid_run(a, &g);
}
