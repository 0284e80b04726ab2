// SPDX-License-Identifier: GPL-2.0-only
/* The explorer's half of test_both.c: compiled against src/explore. */
#include "explore/both.h"

#include "explore/explore.h"
#include "rt/sync.h"

static void add(void *state)
{
	rt_u32 *sum = state;

	rt_u32_set(sum, rt_u32_read(sum) + 1);
}

static void both_check(void *state)
{
	explore_check(rt_u32_read((rt_u32 *)state) == 2);
}

int both_explore_finds(void)
{
	static struct explore_result res;
	struct explore_scenario s = { .name = "both",
				      .state_bytes = sizeof(rt_u32),
				      .thread_nr = 2,
				      .threads = { { NULL, add }, { NULL, add } },
				      .check = both_check };
	struct explore_options opt = { .strategy = EXPLORE_PORTFOLIO };

	return explore_run(&s, &opt, &res) == EXPLORE_FOUND;
}
