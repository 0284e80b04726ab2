/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small scenarios whose schedules can be counted, for the tests of the explorer itself. Each table
 * row says how many happens-before classes there are and how many of them fail.
 */
#ifndef TESTS_EXPLORE_SCENARIOS_H
#define TESTS_EXPLORE_SCENARIOS_H

#include "explore/explore.h"

struct toy {
	struct explore_scenario s;
	uint64_t traces, failing; /* pinned; 0 traces: not pinned */
	uint64_t schedules;       /* of full dfs without a cache; 0: not pinned */
	enum explore_verdict verdict;
};

extern const struct toy toys[];
extern const unsigned toy_nr;
const struct toy *toy_find(const char *name);

#endif
