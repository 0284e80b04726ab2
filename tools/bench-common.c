// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the parts of mbfs-bench share.
 */
#include "bench.h"
#include "race/team.h"

#include <stdlib.h>
#include <string.h>

bool bench_wanted(const struct bench_args *a, const char *name)
{
	return !a->only || strstr(name, a->only);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double bench_median(const double *values, unsigned nr)
{
	double copy[BENCH_TIMES_MAX];

	if (nr == 0)
		return 0;
	memcpy(copy, values, nr * sizeof(copy[0]));
	qsort(copy, nr, sizeof(copy[0]), by_value);
	return nr % 2 ? copy[nr / 2] : (copy[nr / 2 - 1] + copy[nr / 2]) / 2;
}

void bench_shuffle(uint32_t *order, uint32_t nr, uint64_t *seed)
{
	for (uint32_t i = 0; i < nr; i++)
		order[i] = i;
	for (uint32_t i = nr; i > 1; i--) {
		uint32_t j = (uint32_t)(race_rand(seed) % i), was = order[j];

		order[j] = order[i - 1];
		order[i - 1] = was;
	}
}

uint64_t bench_clock_cost_ns(void)
{
	static const unsigned times = 20000;
	struct race_hist *h = calloc(1, sizeof(*h));
	uint64_t from, cost;

	if (!h)
		return 0;
	for (unsigned i = 0; i < times; i++) {
		from = race_now_ns();
		race_hist_add(h, race_now_ns() - from);
	}
	cost = race_hist_at(h, 500);
	free(h);
	return cost;
}
