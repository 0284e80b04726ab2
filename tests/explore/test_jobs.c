// SPDX-License-Identifier: GPL-2.0-only
/*
 * A search by several processes, and by shards, comes to what one process comes to: the same
 * verdict, the same claim, the same classes of schedules; and outlives the death of a worker.
 */
#include "support/t.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explore/scenarios.h"
#include "explore/search.h"

static struct explore_result one, res;

static const struct search {
	enum explore_strategy strategy;
	int bound;
	bool cache, local;
} searches[] = {
	{ EXPLORE_DFS, -1, false, false },   { EXPLORE_DFS, -1, true, false },
	{ EXPLORE_DFS, -1, false, true },    { EXPLORE_DFS, 0, false, false },
	{ EXPLORE_DFS, 1, false, false },    { EXPLORE_DFS, 1, true, true },
	{ EXPLORE_DFS, 2, true, false },     { EXPLORE_DFS, 2, false, true },
	{ EXPLORE_SLEEP, -1, false, false }, { EXPLORE_DPOR, -1, false, false },
};
enum { SEARCHES = sizeof(searches) / sizeof(searches[0]) };

static struct explore_options go_on(const struct search *by)
{
	return (struct explore_options){ .strategy = by->strategy,
					 .bound = by->bound,
					 .no_cache = !by->cache,
					 .no_local = !by->local,
					 .go_on = true,
					 .no_minimise = true,
					 .max_steps = 500 };
}

static bool countable(const struct toy *t)
{
	return (t->verdict == EXPLORE_OK || t->verdict == EXPLORE_FAIL ||
		t->verdict == EXPLORE_DEADLOCK) &&
	       strcmp(t->s.name, "v1-4") != 0; /* as the others, and takes a minute without cache */
}

/* Where there is no cache, no race to run after and nothing to learn about what is shared, not even
 * the number of schedules differs. */
static bool same_number(const struct search *by)
{
	return by->strategy != EXPLORE_DPOR && !by->cache && !by->local;
}

static void check_same(const struct toy *t, const struct search *by, const char *what)
{
	char row[100];

	snprintf(row, sizeof(row), "%s by %s %d, cache %d, local %d, %s", t->s.name,
		 explore_strategy_name(by->strategy), by->bound, by->cache, by->local, what);
	ck_assert_msg(res.traces == one.traces && res.trace_sum == one.trace_sum,
		      "%s: %" PRIu64 " classes, not %" PRIu64, row, res.traces, one.traces);
	ck_assert_msg(res.failing == one.failing && res.failing_sum == one.failing_sum,
		      "%s: %" PRIu64 " fail, not %" PRIu64, row, res.failing, one.failing);
	if (same_number(by))
		ck_assert_msg(res.schedules == one.schedules && res.failures == one.failures,
			      "%s: %" PRIu64 " schedules, not %" PRIu64, row, res.schedules,
			      one.schedules);
}

/* Goal: jobs change nothing. Method: all toys, searched by 1, 2 and 3 processes. */
START_TEST(jobs_agree)
{
	const struct toy *t = &toys[_i];

	if (!countable(t))
		return;
	for (unsigned i = 0; i < SEARCHES; i++) {
		struct explore_options opt = go_on(&searches[i]);

		explore_run(&t->s, &opt, &one);
		for (opt.jobs = 2; opt.jobs <= 3; opt.jobs++) {
			explore_run(&t->s, &opt, &res);
			check_same(t, &searches[i], "jobs");
			ck_assert_int_eq(res.outcome, one.outcome);
			ck_assert_int_eq(res.verdict, one.verdict);
			ck_assert_int_eq(res.bound, one.bound);
			ck_assert_uint_eq(res.left, 0);
		}
	}
}
END_TEST

static void unite(struct ex_set *all, const struct ex_set *some)
{
	bool was_new;

	for (uint64_t i = 0; i < some->room; i++)
		if (some->slots[i].key)
			ex_set_get(all, some->slots[i].key, &was_new);
}

/* Goal: shards together are the whole. Method: the union of their sets is that of one process. */
START_TEST(shards_agree)
{
	const struct toy *t = &toys[_i];

	if (!countable(t))
		return;
	for (unsigned i = 0; i < SEARCHES; i++) {
		struct explore_options opt = go_on(&searches[i]);
		struct ex_set traces, failing;
		uint64_t schedules = 0, failures = 0;

		explore_run(&t->s, &opt, &one);
		ck_assert(!ex_set_init(&traces, 1 << 12) && !ex_set_init(&failing, 1 << 8));
		opt.shards = 3;
		for (opt.shard = 1; opt.shard <= 3; opt.shard++) {
			opt.jobs = opt.shard == 2 ? 2 : 1;
			explore_run(&t->s, &opt, &res);
			ck_assert_int_ne(res.outcome, EXPLORE_BUDGET);
			unite(&traces, &ex_run.traces);
			unite(&failing, &ex_run.failing);
			schedules += res.schedules;
			failures += res.failures;
		}
		res.schedules = schedules;
		res.failures = failures;
		res.traces = traces.nr;
		res.trace_sum = traces.sum;
		res.failing = failing.nr;
		res.failing_sum = failing.sum;
		check_same(t, &searches[i], "shards");
		ex_set_end(&traces);
		ex_set_end(&failing);
	}
}
END_TEST

/* Goal: what is drawn depends on the seed alone. Method: 2 and 3 jobs, 2 shards; all strategies. */
START_TEST(draws_agree)
{
	static const enum explore_strategy by[] = { EXPLORE_RANDOM, EXPLORE_PCT, EXPLORE_POS,
						    EXPLORE_PORTFOLIO };
	const struct toy *t = toy_find("v1-3");
	struct explore_options opt = { .strategy = by[_i],
				       .seed = 7,
				       .go_on = true,
				       .no_minimise = true,
				       .schedules = 5000,
				       .jobs = 2 };
	struct ex_set traces;

	explore_run(&t->s, &opt, &one);
	ck_assert_uint_ge(one.schedules, 5000);
	ck_assert(one.unseen >= 0 && one.unseen < 1);
	opt.jobs = 3;
	explore_run(&t->s, &opt, &res);
	ck_assert_uint_eq(res.schedules, one.schedules);
	ck_assert_uint_eq(res.trace_sum, one.trace_sum);
	ck_assert(!(res.unseen < one.unseen) && !(res.unseen > one.unseen));
	ck_assert(!ex_set_init(&traces, 1 << 12));
	opt.shards = 2;
	for (opt.shard = 1; opt.shard <= 2; opt.shard++) {
		explore_run(&t->s, &opt, &res);
		unite(&traces, &ex_run.traces);
	}
	if (by[_i] != EXPLORE_PORTFOLIO) /* its shards draw as if nothing had been searched */
		ck_assert_uint_eq(traces.sum, one.trace_sum);
	ex_set_end(&traces);
}
END_TEST

/* Goal: each verdict is found by each strategy with jobs too. Method: all toys, 3 jobs. */
START_TEST(jobs_find)
{
	const struct toy *t = &toys[_i];

	for (enum explore_strategy s = EXPLORE_PORTFOLIO; s < EXPLORE_REPLAY; s++) {
		struct explore_options opt = { .strategy = s,
					       .no_lock_order = true,
					       .bound = 2,
					       .seed = 5,
					       .schedules = 5000,
					       .max_steps = 500,
					       .jobs = 3 };

		explore_run(&t->s, &opt, &res);
		ck_assert_msg(res.verdict == t->verdict, "%s by %s: %s: %s", t->s.name,
			      explore_strategy_name(s), explore_verdict_name(res.verdict),
			      res.text);
		ck_assert(t->verdict == EXPLORE_OK || res.token[0]);
	}
}
END_TEST

/* ---- a worker that dies ---- */

struct word {
	rt_u32 a;
};

static void writes(void *state)
{
	struct word *w = state;

	rt_u32_set(&w->a, 1);
	rt_u32_set(&w->a, 2);
	rt_u32_set(&w->a, 3);
}

static void dies_at_2(void *state)
{
	struct word *w = state;

	if (rt_u32_read(&w->a) == 2)
		raise(SIGKILL);
	explore_point();
}

static const struct explore_scenario fatal = { .name = "fatal",
					       .state_bytes = sizeof(struct word),
					       .thread_nr = 2,
					       .threads = { { NULL, writes },
							    { NULL, dies_at_2 } } };

/* Goal: a schedule that kills the process is a finding with a token that repeats it, and with go_on
 * the rest is still searched. Method: a thread that kills its process when it reads 2. */
START_TEST(death_is_a_finding)
{
	static const enum explore_strategy by[] = { EXPLORE_DFS, EXPLORE_DPOR, EXPLORE_RANDOM,
						    EXPLORE_PORTFOLIO };
	struct explore_options opt = {
		.strategy = by[_i], .bound = -1, .jobs = 2, .seed = 1, .schedules = 1000
	};
	int status;
	pid_t pid;

	ck_assert_int_eq(explore_run(&fatal, &opt, &res), EXPLORE_FOUND);
	ck_assert_int_eq(res.verdict, EXPLORE_CRASH);
	ck_assert_msg(strstr(res.text, "signal 9") && strstr(res.text, "read"), "%s", res.text);
	pid = fork();
	if (pid == 0) {
		opt = (struct explore_options){ .strategy = EXPLORE_REPLAY, .token = res.token };
		explore_run(&fatal, &opt, &one);
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: status %d",
		      res.token, status);
	opt.go_on = true;
	explore_run(&fatal, &opt, &res);
	ck_assert_int_eq(res.outcome, EXPLORE_FOUND);
	ck_assert_uint_ge(res.failures, 1);
	ck_assert_uint_gt(res.schedules, res.failures);
}
END_TEST

/* ---- estimates ---- */

static uint64_t left_after, schedules_after;
static unsigned asked;

static uint64_t fake_ns(void)
{
	return ++asked * 1000000000ull; /* each look at the clock is a second later */
}

static void look(const struct explore_progress *now)
{
	if (left_after)
		return;
	left_after = now->left;
	schedules_after = now->schedules;
}

static void points8(void *state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		explore_point();
}

/* Goal: what is said to be left is of the right size. Method: C(16, 8) = 12,870 schedules, the
 * first estimate that is told, without a bound and with one. */
START_TEST(left_is_about_right)
{
	static const int bounds[] = { -1, 2, 4 };
	struct explore_scenario s = { .name = "points",
				      .thread_nr = 2,
				      .threads = { { NULL, points8 }, { NULL, points8 } } };
	struct explore_options opt = { .strategy = EXPLORE_DFS,
				       .bound = bounds[_i],
				       .no_cache = true,
				       .no_local = true,
				       .now_ns = fake_ns,
				       .progress = look };
	double ratio;

	left_after = asked = 0;
	ck_assert_int_eq(explore_run(&s, &opt, &res), EXPLORE_EXHAUSTED);
	ck_assert_uint_gt(res.schedules, 64);
	ratio = (double)(left_after + schedules_after) / (double)res.schedules;
	printf("bound %d: %" PRIu64 " schedules, estimate after %" PRIu64 ": %.0f\n", bounds[_i],
	       res.schedules, schedules_after, ratio * (double)res.schedules);
	ck_assert_msg(ratio > 0.2 && ratio < 5, "%f", ratio);
	ck_assert_uint_eq(res.left, 0);
	opt.schedules = res.schedules / 2;
	explore_run(&s, &opt, &res);
	ck_assert_uint_gt(res.left, 0);
}
END_TEST

/* Goal: the histogram counts each operation once. Method: its sum is that of the kinds. */
START_TEST(histogram_is_whole)
{
	const struct toy *t = toy_find("v1-3");

	for (unsigned jobs = 1; jobs <= 2; jobs++) {
		struct explore_options opt = { .strategy = EXPLORE_DPOR,
					       .go_on = true,
					       .no_minimise = true,
					       .histogram = true,
					       .jobs = jobs };
		uint64_t kinds = 0, objects = 0;

		explore_run(&t->s, &opt, &res);
		for (unsigned i = 0; i < EXPLORE_KINDS_MAX; i++)
			kinds += res.op_count[i];
		ck_assert_uint_gt(res.object_nr, 0);
		for (unsigned i = 0; i < res.object_nr; i++)
			objects += res.objects[i].ops;
		ck_assert_uint_eq(kinds, objects);
		ck_assert_str_eq(res.objects[0].name, "g->lock");
		ck_assert_uint_eq(res.objects[0].threads, 7u << 2);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("jobs");
	TCase *tc = tcase_create("jobs");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, jobs_agree, 0, (int)toy_nr);
	tcase_add_loop_test(tc, shards_agree, 0, (int)toy_nr);
	tcase_add_loop_test(tc, draws_agree, 0, 4);
	tcase_add_loop_test(tc, jobs_find, 0, (int)toy_nr);
	tcase_add_loop_test(tc, death_is_a_finding, 0, 4);
	tcase_add_loop_test(tc, left_is_about_right, 0, 3);
	tcase_add_test(tc, histogram_is_whole);
	suite_add_tcase(s, tc);
	return s;
}

#ifdef __SANITIZE_THREAD__
T_MAIN_IF(suite, false, "TSan is not itself after a fork")
#else
T_MAIN(suite)
#endif
