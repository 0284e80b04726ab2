/* SPDX-License-Identifier: GPL-2.0-only */
/* The scenarios that the explorer can run, by name and variant. */
#ifndef RACE_EXPLORE_RACE_H
#define RACE_EXPLORE_RACE_H

#include <string.h>

#include "explore/explore.h"

struct explore_race {
	struct explore_scenario s;
	uint64_t room[4]; /* what s.arg points to */
};

/* The name of scenario @idx and what it is; NULL past the end. */
const char *explore_race_name(unsigned idx, const char **summary);
/* Fills @out, which must stay where it is while the scenario runs; false: no such name. */
bool explore_race_find(const char *name, const char *variant, struct explore_race *out);

#endif
