// SPDX-License-Identifier: GPL-2.0-only
/*
 * A failing schedule is told with few switches, whichever strategy met it: two toys that fail at
 * once, one that needs a third thread, and the real allocator's two best known losses.
 */
#include "support/t.h"

#include <string.h>

#include "explore/scenarios.h"
#include "race/small_explore.h"

enum { SEEDS = 20, SWITCHES_MAX = 4 };

static struct explore_result res;

static bool draws(enum explore_strategy by)
{
	return by == EXPLORE_RANDOM || by == EXPLORE_PCT || by == EXPLORE_POS;
}

/* @rare: a walk finds it in one of some ten thousand schedules: it may miss. */
static void all_short(const struct explore_scenario *s, bool rare)
{
	for (enum explore_strategy by = EXPLORE_PORTFOLIO; by < EXPLORE_REPLAY; by++) {
		bool may_miss = rare && by == EXPLORE_RANDOM;

		for (unsigned seed = 1; seed <= (draws(by) ? SEEDS : 1); seed++) {
			struct explore_options opt = { .strategy = by,
						       .bound = 2,
						       .seed = seed,
						       .schedules = may_miss ? 2000 : 40000 };

			explore_run(s, &opt, &res);
			if (may_miss && res.outcome == EXPLORE_BUDGET)
				continue;
			ck_assert_msg(res.outcome == EXPLORE_FOUND, "%s by %s, seed %u", s->name,
				      explore_strategy_name(by), seed);
			ck_assert_msg(res.switches <= SWITCHES_MAX,
				      "%s by %s, seed %u: %u switches, %u when found: %s", s->name,
				      explore_strategy_name(by), seed, res.switches,
				      res.switches_found, res.token);
			ck_assert_uint_le(res.switches, res.switches_found);
			ck_assert_uint_gt(res.event_nr, 0);
		}
	}
}

/* Goal: few switches in scenarios whose shortest failures are known. Method: 20 seeds. */
START_TEST(toys_are_short)
{
	static const char *const names[] = { "abba", "cond3", "lost-wakeup", "v1-3", "halves" };

	all_short(&toy_find(names[_i])->s, false);
}
END_TEST

/* Goal: the same on hundreds of operations. Method: the allocator's ENOSPC race, 20 seeds. */
START_TEST(races_are_short)
{
	static const char *const variants[] = { "pre-5.8", "rfc-2020" };
	struct small_explore race;

	small_explore_make(small_match("enospc", 0), variants[_i], &race);
	all_short(&race.s, _i == 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("minimise");
	TCase *tc = tcase_create("minimise");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, toys_are_short, 0, 5);
	tcase_add_loop_test(tc, races_are_short, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
