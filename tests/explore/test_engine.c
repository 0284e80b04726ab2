// SPDX-License-Identifier: GPL-2.0-only
/* Verdicts, replay, minimising, determinism, snapshots and pictures. */
#include "support/t.h"

#include <signal.h>
#include <string.h>

#include "base/check.h"
#include "explore/explore.h"
#include "explore/scenarios.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/work.h"

static struct explore_result res, again;

/* ---- replay ---- */

/* Goal: a token gives the same execution, always. Method: 1,000 failing schedules of ten toys. */
START_TEST(tokens_replay)
{
	static const char *const names[] = { "lossy",     "mp",          "trylock",    "abba",
					     "halves",    "lost-wakeup", "event-late", "free-now",
					     "no-reader", "choose" };
	const struct toy *t = toy_find(names[_i]);

	for (unsigned seed = 0; seed < 100; seed++) {
		struct explore_options opt = { .strategy = EXPLORE_RANDOM,
					       .seed = seed,
					       .schedules = 2000,
					       .no_minimise = seed % 2 };
		char token[EXPLORE_TOKEN_BYTES];

		explore_run(&t->s, &opt, &res);
		ck_assert_int_eq(res.outcome, EXPLORE_FOUND);
		memcpy(token, res.token, sizeof(token));
		opt = (struct explore_options){ .strategy = EXPLORE_REPLAY,
						.token = token,
						.seed = seed };
		explore_run(&t->s, &opt, &again);
		ck_assert_int_eq(again.outcome, EXPLORE_FOUND);
		ck_assert_str_eq(again.token, res.token);
		ck_assert_str_eq(again.text, res.text);
		ck_assert_uint_eq(again.event_nr, res.event_nr);
	}
}
END_TEST

/* Goal: what is no token of this build says why. Method: broken ones. */
START_TEST(tokens_refused)
{
	const struct toy *t = toy_find("lossy");
	struct explore_options opt = { .strategy = EXPLORE_REPLAY };
	char token[300];

	opt.token = "rubbish";
	ck_assert_int_eq(explore_run(&t->s, &opt, &res), EXPLORE_BAD_USE);
	opt.token = "mbx1:" MBFS_VERSION ":0123456789ab:lossy::0:1A";
	ck_assert_int_eq(explore_run(&t->s, &opt, &res), EXPLORE_BAD_USE);
	ck_assert_ptr_nonnull(strstr(res.text, "0123456789ab"));
	ck_assert_ptr_nonnull(strstr(res.text, MBFS_COMMIT));
	opt.token = token;
	snprintf(token, sizeof(token), "mbx1:%s:%s:other::0:1A", MBFS_VERSION, MBFS_COMMIT);
	ck_assert_int_eq(explore_run(&t->s, &opt, &res), EXPLORE_BAD_USE);
	snprintf(token, sizeof(token), "mbx1:%s:%s:lossy::0:1A,1B", MBFS_VERSION, MBFS_COMMIT);
	ck_assert_int_eq(explore_run(&t->s, &opt, &res), EXPLORE_BAD_USE);
	snprintf(token, sizeof(token), "mbx1:%s:%s:lossy::0:90A", MBFS_VERSION, MBFS_COMMIT);
	ck_assert_int_eq(explore_run(&t->s, &opt, &res), EXPLORE_BAD_USE);
}
END_TEST

/* Goal: --stop-at stops. Method: SIGTRAP is expected. */
START_TEST(stops_at_a_step)
{
	char token[300];
	struct explore_options opt = { .strategy = EXPLORE_REPLAY, .token = token, .stop_at = 2 };

	snprintf(token, sizeof(token), "mbx1:%s:%s:lossy::0:1B", MBFS_VERSION, MBFS_COMMIT);
	explore_run(&toy_find("lossy")->s, &opt, &res);
}
END_TEST

/* Goal: few switches are left. Method: long random failing schedules of lossy additions. */
static void lossy_long(void *state)
{
	rt_u32 *sum = state;

	for (int i = 0; i < 30; i++) {
		explore_point();
		rt_u32_set(sum, rt_u32_read(sum) + 1);
	}
}

static void lossy_long_check(void *state)
{
	explore_check(rt_u32_read((rt_u32 *)state) == 60);
}

START_TEST(minimises)
{
	struct explore_scenario s = { .name = "long",
				      .state_bytes = sizeof(rt_u32),
				      .thread_nr = 2,
				      .threads = { { NULL, lossy_long }, { NULL, lossy_long } },
				      .check = lossy_long_check };

	for (unsigned seed = 0; seed < 50; seed++) {
		struct explore_options opt = { .strategy = EXPLORE_RANDOM, .seed = seed };

		explore_run(&s, &opt, &res);
		ck_assert_int_eq(res.outcome, EXPLORE_FOUND);
		ck_assert_uint_ge(res.switches_found, 20);
		ck_assert_uint_le(res.switches, 3);
		ck_assert_uint_le(res.reruns, 200);
	}
}
END_TEST

/* ---- verdicts ---- */

struct box {
	struct rt_mutex m, n;
	struct rt_spin s;
	struct rt_cond c;
	struct rt_thread *t;
	rt_ptr p;
	char *bytes;
};

static void box_setup(void *state)
{
	struct box *b = state;

	rt_mutex_init(&b->m, RANK_GROUP);
	rt_mutex_init(&b->n, RANK_PA);
	rt_spin_init(&b->s, RANK_GDESC);
	rt_cond_init(&b->c);
}

static void v_rank(void *state)
{
	struct box *b = state;

	rt_mutex_lock(&b->n);
	rt_mutex_lock(&b->m);
}
static void v_recursive(void *state)
{
	struct box *b = state;

	rt_mutex_lock(&b->m);
	rt_mutex_lock_nested(&b->m);
}
static void v_not_held(void *state)
{
	struct box *b = state;

	rt_mutex_unlock(&b->m);
}
static void v_sleep_spin(void *state)
{
	struct box *b = state;

	rt_spin_lock(&b->s);
	rt_sleep_ns(1);
}
static void v_alloc_spin(void *state)
{
	struct box *b = state;

	rt_spin_lock(&b->s);
	b->bytes = rt_alloc(8);
}
static void v_mutex_reader(void *state)
{
	struct box *b = state;

	rt_rcu_read_lock();
	rt_mutex_lock(&b->m);
}
static void v_sync_reader(void *state)
{
	(void)state;
	rt_rcu_read_lock();
	rt_rcu_synchronize();
}
static void v_ends_locked(void *state)
{
	struct box *b = state;

	rt_mutex_lock(&b->m);
}
static void v_ends_reading(void *state)
{
	(void)state;
	rt_rcu_read_lock();
}
static void v_assert(void *state)
{
	(void)state;
	MBFS_ASSERT(state == NULL);
}
static void v_crash(void *state)
{
	volatile uintptr_t nowhere = 8;

	(void)state;
	explore_point();
	*(volatile int *)nowhere = 1;
}
static void v_overrun(void *state)
{
	char deep[1 << 19];

	(void)state;
	explore_point();
	for (unsigned i = sizeof(deep); i-- > 0;)
		((volatile char *)deep)[i] = 1;
}
static void v_late_write(void *state)
{
	struct box *b = state;

	b->bytes = rt_alloc(64);
	rt_free(b->bytes);
	b->bytes[9] = 1;
}
static void v_late_lock(void *state)
{
	struct rt_mutex *m = rt_zalloc(sizeof(*m));

	(void)state;
	rt_free(m);
	explore_point();
	rt_mutex_lock(m);
}
static void v_wait_unlocked(void *state)
{
	struct box *b = state;

	rt_cond_wait(&b->c, &b->m, 0);
}
static void v_leak(void *state)
{
	struct box *b = state;

	b->bytes = rt_strdup("lost");
}
static void v_destroy_held(void *state)
{
	struct box *b = state;

	rt_mutex_lock(&b->m);
	rt_mutex_destroy(&b->m);
}

static const struct {
	void (*fn)(void *state);
	enum explore_verdict verdict;
	bool native_crash; /* sanitizers report it themselves */
} verdicts[] = {
	{ v_rank, EXPLORE_RANK, false },
	{ v_recursive, EXPLORE_DEADLOCK, false },
	{ v_not_held, EXPLORE_RANK, false },
	{ v_sleep_spin, EXPLORE_ATOMIC, false },
	{ v_alloc_spin, EXPLORE_ATOMIC, false },
	{ v_mutex_reader, EXPLORE_ATOMIC, false },
	{ v_sync_reader, EXPLORE_ATOMIC, false },
	{ v_ends_locked, EXPLORE_MISUSE, false },
	{ v_ends_reading, EXPLORE_MISUSE, false },
	{ v_assert, EXPLORE_ASSERT, false },
	{ v_crash, EXPLORE_CRASH, true },
	{ v_overrun, EXPLORE_CRASH, true },
	{ v_late_lock, EXPLORE_UAF, false },
	{ v_late_write, EXPLORE_UAF, true },
	{ v_wait_unlocked, EXPLORE_MISUSE, false },
	{ v_leak, EXPLORE_LEAK, false },
	{ v_destroy_held, EXPLORE_MISUSE, false },
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* Goal: each misdeed has its verdict, and the next run is not disturbed. Method: row _i. */
START_TEST(misdeeds_are_told)
{
	struct explore_scenario s = { .name = "misdeed",
				      .state_bytes = sizeof(struct box),
				      .setup = box_setup,
				      .thread_nr = 1,
				      .threads = { { NULL, verdicts[_i].fn } } };
	struct explore_options opt = { .strategy = EXPLORE_DFS };

	if (SANITIZED && verdicts[_i].native_crash)
		return;
	for (unsigned twice = 0; twice < 2; twice++) {
		explore_run(&s, &opt, &res);
		ck_assert_msg(res.verdict == verdicts[_i].verdict, "%s: %s",
			      explore_verdict_name(res.verdict), res.text);
		if (res.verdict != EXPLORE_MISUSE)
			ck_assert_ptr_nonnull(strstr(res.text, "explore/test_engine.c:"));
	}
	opt.bound = -1;
	explore_run(&toy_find("adds")->s, &opt, &res);
	ck_assert_uint_eq(res.traces, 6);
}
END_TEST

/* ---- set-up, threads, memory, time ---- */

struct life {
	struct rt_mutex lock;
	struct rt_cond cond;
	struct rt_thread *worker;
	bool stop;
	unsigned jobs, done;
	char *text;
};

static void life_worker(void *arg)
{
	struct life *l = arg;

	rt_mutex_lock(&l->lock);
	while (!l->stop) {
		if (l->jobs > 0) {
			l->jobs--;
			l->done++;
		}
		rt_cond_wait(&l->cond, &l->lock, 1000000);
	}
	rt_mutex_unlock(&l->lock);
}

static void life_setup(void *state)
{
	struct life *l = state;

	rt_mutex_init(&l->lock, RANK_FS_STATE);
	rt_cond_init(&l->cond);
	l->text = rt_strdup("made in the set-up");
	explore_check(rt_thread_start(life_worker, l, "worker", &l->worker) == 0);
	rt_yield(); /* the worker gets as far as its wait: its stack is part of the copy */
	rt_yield();
}

static void life_job(void *state)
{
	struct life *l = state;

	rt_mutex_lock(&l->lock);
	l->jobs++;
	l->text[0]++; /* seen again in the next execution if the copy is not whole */
	rt_cond_signal(&l->cond);
	rt_mutex_unlock(&l->lock);
}

static void life_check(void *state)
{
	struct life *l = state;

	explore_check(l->text[0] == 'm' + 2);
	rt_mutex_lock(&l->lock);
	l->stop = true;
	rt_cond_signal(&l->cond);
	rt_mutex_unlock(&l->lock);
	rt_thread_join(l->worker);
	explore_check(l->jobs + l->done == 2);
	rt_cond_destroy(&l->cond);
	rt_mutex_destroy(&l->lock);
	rt_free(l->text);
}

static const struct explore_scenario life = {
	.name = "life",
	.state_bytes = sizeof(struct life),
	.setup = life_setup,
	.thread_nr = 2,
	.threads = { { NULL, life_job }, { NULL, life_job } },
	.check = life_check,
};

/* Goal: a thread the set-up left waiting is there again in each execution. Method: many of them. */
START_TEST(threads_of_the_setup_live_on)
{
	for (enum explore_strategy strategy = EXPLORE_RANDOM; strategy <= EXPLORE_DFS; strategy++) {
		struct explore_options opt = { .strategy = strategy,
					       .bound = 1,
					       .schedules = 3000 };

		explore_run(&life, &opt, &res);
		ck_assert_msg(res.verdict == EXPLORE_OK, "%s: %s",
			      explore_verdict_name(res.verdict), res.text);
		ck_assert_uint_ge(res.traces, 4);
	}
}
END_TEST

static void fails_setup(void *state)
{
	(void)state;
}

static void fails_thread(void *state)
{
	void *p = rt_alloc(10), *q = rt_alloc(10);

	(void)state;
	if (!p && !q)
		explore_fail("both");
	rt_free(p);
	rt_free(q);
}

/* Goal: allocations fail as often as asked. Method: 0, 1, 2 of two, and by number. */
START_TEST(allocations_fail)
{
	static const uint64_t want[] = { 1, 3, 4 };
	struct explore_scenario s = { .name = "fails",
				      .setup = fails_setup,
				      .thread_nr = 1,
				      .threads = { { NULL, fails_thread } } };

	for (unsigned n = 0; n < 3; n++) {
		struct explore_options opt = {
			.strategy = EXPLORE_DFS, .bound = -1, .alloc_fails = n, .go_on = true
		};

		explore_run(&s, &opt, &res);
		ck_assert_uint_eq(res.schedules, want[n]);
		ck_assert_uint_eq(res.failures, n == 2);
	}
}
END_TEST

static unsigned run_nr;

static void not_deterministic(void *state)
{
	(void)state;
	for (unsigned i = 0; i < 2 + run_nr++ % 2; i++)
		explore_point();
}

/* Goal: a scenario with state of its own is told from a bug. Method: a static counter. */
START_TEST(nondeterminism_is_told)
{
	struct explore_scenario s = { .name = "nondet",
				      .thread_nr = 2,
				      .threads = { { NULL, not_deterministic },
						   { NULL, not_deterministic } } };
	struct explore_options opt = { .strategy = EXPLORE_DFS, .bound = -1, .no_cache = true };

	if (SANITIZED)
		return; /* TSan rightly calls it a race */
	run_nr = 0;
	explore_run(&s, &opt, &res);
	ck_assert_int_eq(res.verdict, EXPLORE_NONDET);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("engine");
	TCase *tc = tcase_create("engine");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, tokens_replay, 0, 10);
	tcase_add_test(tc, tokens_refused);
	tcase_add_test_raise_signal(tc, stops_at_a_step, SIGTRAP);
	tcase_add_test(tc, minimises);
	tcase_add_loop_test(tc, misdeeds_are_told, 0, (int)MBFS_ARRAY_SIZE(verdicts));
	tcase_add_test(tc, threads_of_the_setup_live_on);
	tcase_add_test(tc, allocations_fail);
	tcase_add_test(tc, nondeterminism_is_told);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
