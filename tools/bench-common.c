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
