// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the searches find: the same classes of schedules whichever way they are searched, the pinned
 * numbers, the closed forms; and that this test would notice if a rule of the scheduler were
 * missing.
 */
#include "support/t.h"

#include <string.h>

#include "explore/explore.h"
#include "explore/scenarios.h"

static struct explore_result res, full;

static struct explore_options count_all(enum explore_strategy strategy, bool cache)
{
	return (struct explore_options){ .strategy = strategy,
					 .bound = -1,
					 .no_cache = !cache,
					 .no_local = !cache,
					 .go_on = true,
					 .max_steps = 500,
					 .no_lock_order = true,
					 .schedules = 500000 };
}

/* A verdict in the middle of a run leaves the others where they happen to be: no class of its own.
 */
static bool countable(const struct toy *t)
{
	return t->verdict == EXPLORE_OK || t->verdict == EXPLORE_FAIL ||
	       t->verdict == EXPLORE_DEADLOCK;
}

static const struct search {
	enum explore_strategy strategy;
	bool cache;
} searches[] = { { EXPLORE_DFS, true }, { EXPLORE_SLEEP, false }, { EXPLORE_DPOR, false } };

/* Every reduction finds what the plain search of all schedules finds; @row in texts. */
static bool agree(const struct toy *t, unsigned drop_rule)
{
	struct explore_options opt = count_all(EXPLORE_DFS, false);
	bool same = true;

	explore_run(&t->s, &opt, &full);
	for (unsigned i = 0; i < sizeof(searches) / sizeof(searches[0]); i++) {
		opt = count_all(searches[i].strategy, searches[i].cache);
		opt.drop_rule = drop_rule;
		explore_run(&t->s, &opt, &res);
		if (res.traces == full.traces && res.failing == full.failing &&
		    res.trace_sum == full.trace_sum && res.failing_sum == full.failing_sum)
			continue;
		same = false;
		if (!drop_rule)
			printf("%s: %s: %" PRIu64 " classes, %" PRIu64
			       " fail; all schedules: %" PRIu64 ", %" PRIu64 "\n",
			       t->s.name, explore_strategy_name(searches[i].strategy), res.traces,
			       res.failing, full.traces, full.failing);
	}
	return same;
}

/* Goal: no reduction loses a class. Method: the sets of all and of failing classes, four ways. */
START_TEST(searches_agree)
{
	const struct toy *t = &toys[_i];

	if (!countable(t))
		return;
	ck_assert_msg(agree(t, RULE_NONE), "%s", t->s.name);
	ck_assert_int_eq(full.outcome == EXPLORE_FOUND, t->verdict != EXPLORE_OK);
	if (t->traces) {
		ck_assert_msg(full.traces == t->traces, "%s: %" PRIu64 " classes", t->s.name,
			      full.traces);
		ck_assert_msg(full.failing == t->failing, "%s: %" PRIu64 " fail", t->s.name,
			      full.failing);
	}
	if (t->schedules)
		ck_assert_msg(full.schedules == t->schedules, "%s: %" PRIu64 " schedules",
			      t->s.name, full.schedules);
	printf("%-12s %6" PRIu64 " schedules, %4" PRIu64 " classes, %3" PRIu64 " fail\n", t->s.name,
	       full.schedules, full.traces, full.failing);
}
END_TEST

/* Goal: each verdict is found by each strategy, and what is right passes. Method: all toys. */
START_TEST(strategies_find)
{
	const struct toy *t = &toys[_i];

	for (enum explore_strategy s = EXPLORE_PORTFOLIO; s < EXPLORE_REPLAY; s++) {
		struct explore_options opt = {
			.strategy = s, .bound = 2, .seed = 5, .schedules = 5000, .max_steps = 500,
			.no_lock_order = true
		};

		explore_run(&t->s, &opt, &res);
		ck_assert_msg(res.verdict == t->verdict, "%s by %s: %s: %s", t->s.name,
			      explore_strategy_name(s), explore_verdict_name(res.verdict),
			      res.text);
	}
}
END_TEST

/* Goal: two threads of a and b independent points have C(a+b, a) schedules and one class. */
static unsigned point_nr[2];

static void points(void *state)
{
	(void)state;
	for (unsigned i = 0; i < point_nr[explore_thread()]; i++)
		explore_point();
}

START_TEST(closed_form)
{
	struct explore_scenario s = { .name = "points",
				      .thread_nr = 2,
				      .threads = { { NULL, points }, { NULL, points } } };
	struct explore_options opt = count_all(EXPLORE_DFS, false);

	for (unsigned a = 1; a <= 7; a++)
		for (unsigned b = 1; b <= 7; b++) {
			uint64_t choose = 1;

			for (unsigned i = 1; i <= a; i++)
				choose = choose * (b + i) / i;
			point_nr[0] = a;
			point_nr[1] = b;
			explore_run(&s, &opt, &res);
			ck_assert_uint_eq(res.schedules, choose);
			ck_assert_uint_eq(res.traces, 1);
			ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
		}
}
END_TEST

/* Goal: bound n has exactly the schedules with at most n preemptions. Method: two threads of a and
 * b points: with k switches in all there are C(a-1, i) * C(b-1, j) ways to cut them. */
START_TEST(preemption_bound)
{
	static const uint64_t want[] = { 2, 2 + 2 + 3, 0 };
	struct explore_scenario s = { .name = "points",
				      .thread_nr = 2,
				      .threads = { { NULL, points }, { NULL, points } } };

	point_nr[0] = 3;
	point_nr[1] = 4;
	for (int bound = 0; want[bound]; bound++) {
		struct explore_options opt = count_all(EXPLORE_DFS, false);

		opt.bound = bound;
		explore_run(&s, &opt, &res);
		ck_assert_uint_eq(res.schedules, want[bound]);
	}
}
END_TEST

/* Goal: to leave out preemptions before operations on what is not shared loses no class, at no
 * bound. Method: the sets with and without, with and without the cache; and it saves schedules. */
START_TEST(local_agrees)
{
	const struct toy *t = &toys[_i];

	for (int bound = 0; countable(t) && bound < 4; bound++) {
		struct explore_options opt = count_all(EXPLORE_DFS, false);

		opt.bound = bound;
		opt.schedules = 200000;
		if (explore_run(&t->s, &opt, &full), full.schedules == opt.schedules)
			return;
		opt.no_local = false;
		for (unsigned cache = 0; cache < 2; cache++) {
			opt.no_cache = !cache;
			explore_run(&t->s, &opt, &res);
			ck_assert_msg(res.traces == full.traces &&
					      res.trace_sum == full.trace_sum &&
					      res.failing_sum == full.failing_sum,
				      "%s to %d: %" PRIu64 " classes, without %" PRIu64, t->s.name,
				      bound, full.traces, res.traces);
		}
	}
}
END_TEST

/* Goal: PCT keeps its promise p >= 1 / (n * k^(d-1)). Method: 20,000 runs of three toys, d = 2. */
START_TEST(pct_bound_holds)
{
	static const char *const names[] = { "abba", "lossy", "lost-wakeup" };

	for (unsigned i = 0; i < 3; i++) {
		const struct toy *t = toy_find(names[i]);
		struct explore_options opt = { .strategy = EXPLORE_PCT,
					       .depth = 2,
					       .go_on = true,
					       .schedules = 20000,
					       .no_minimise = true };

		explore_run(&t->s, &opt, &res);
		ck_assert_uint_ge(res.failures * t->s.thread_nr * res.longest, 20000);
	}
}
END_TEST

/* What is wrong when @rule is left out of all searches. */
static bool rule_matters(enum explore_rule rule)
{
	struct explore_options opt;

	for (unsigned i = 0; i < toy_nr; i++)
		if (countable(&toys[i]) && !agree(&toys[i], rule))
			return true;
	for (unsigned i = 0; i < toy_nr; i++)
		for (int bound = 0; bound < 3; bound++) {
			opt = (struct explore_options){ .strategy = EXPLORE_DFS,
							.bound = bound,
							.schedules = 5000,
							.max_steps = 500,
							.no_local =
								rule < RULE_LOCAL_AGAIN,
							.go_on = true };
			explore_run(&toys[i].s, &opt, &full);
			opt.drop_rule = rule;
			explore_run(&toys[i].s, &opt, &res);
			if (res.verdict != full.verdict || res.traces != full.traces ||
			    res.failing != full.failing)
				return true;
		}
	return false;
}

/* Goal: no rule can go missing unseen. Method: leave each out in turn. Those of dpor need programs
 * that nobody would write: test_random.c. */
START_TEST(each_rule_matters)
{
	if (_i == RULE_SCAN_PENDING || _i == RULE_SCAN_POSTED || _i == RULE_SCAN_AGAIN)
		return;
	ck_assert_msg(rule_matters((enum explore_rule)_i), "rule %d can be left out unseen", _i);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("searches");
	TCase *tc = tcase_create("searches");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, searches_agree, 0, (int)toy_nr);
	tcase_add_loop_test(tc, strategies_find, 0, (int)toy_nr);
	tcase_add_test(tc, closed_form);
	tcase_add_test(tc, preemption_bound);
	tcase_add_loop_test(tc, local_agrees, 0, (int)toy_nr);
	tcase_add_test(tc, pct_bound_holds);
	tcase_add_loop_test(tc, each_rule_matters, RULE_NONE + 1, RULE_NR);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
