/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rows.h - a small scenario of a room, searched in every way: for tests that have a table of them.
 * What is found ends the test, and says what and by which token it is repeated.
 */
#ifndef T_ROWS_H
#define T_ROWS_H

#include "support/t.h"

#include "explore/explore.h"

static inline enum explore_outcome search(const struct explore_scenario *s,
					  struct explore_options opt)
{
	static struct explore_result res;

	explore_run(s, &opt, &res);
	printf("%s: %s%s: %" PRIu64 " schedules, %" PRIu64 " classes, longest %" PRIu64 "\n",
	       s->name, explore_strategy_name(opt.strategy), opt.weak ? ", weak" : "",
	       res.schedules, res.traces, res.longest);
	ck_assert_msg(res.outcome != EXPLORE_FOUND, "%s: %s: %s\n%s\n(%s)", s->name,
		      explore_verdict_name(res.verdict), res.text, res.detail, res.token);
	return res.outcome;
}

/* Every schedule to @bound preemptions; < 0: every one. */
static inline void search_all(const struct explore_scenario *s, int bound, unsigned alloc_fails)
{
	ck_assert_int_eq(search(s, (struct explore_options){ .strategy = EXPLORE_DFS,
							     .bound = bound,
							     .alloc_fails = alloc_fails }),
			 EXPLORE_EXHAUSTED);
}

/* Further away than any bound; and with atomics as weak as C11 has them. */
static inline void search_far(const struct explore_scenario *s, uint64_t seed, unsigned alloc_fails)
{
	static const enum explore_strategy by[] = { EXPLORE_PCT, EXPLORE_POS, EXPLORE_RANDOM };

	for (unsigned i = 0; i < 6; i++)
		search(s, (struct explore_options){ .strategy = by[i % 3],
						    .seed = seed,
						    .schedules = 2000,
						    .alloc_fails = alloc_fails,
						    .weak = i >= 3 });
}

#endif
