// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the explorer models beyond locks and atomics: each model finds the bug it is there for, and
 * lets pass what is right; with a rule of the model left out, right code fails or wrong code
 * passes.
 */
#include "support/t.h"

#include <string.h>

#include "base/check.h"
#include "explore/explore.h"
#include "rt/mem.h"
#include "rt/percpu.h"
#include "rt/rcu.h"
#include "rt/sync.h"

static struct explore_result res;

#define SCENARIO(nm, st, set, chk, nr, ...)                                        \
	{                                                                          \
		.name = nm, .state_bytes = sizeof(st), .setup = set, .check = chk, \
		.thread_nr = nr, .threads = { __VA_ARGS__ },                       \
	}
#define OPT(by, ...) ((struct explore_options){ .strategy = by, ##__VA_ARGS__ })
#define T(fn)            \
	{                \
		NULL, fn \
	}

static enum explore_verdict search(const struct explore_scenario *s, struct explore_options opt)
{
	if (opt.strategy == EXPLORE_DPOR || opt.strategy == EXPLORE_SLEEP)
		opt.bound = -1;
	if (!opt.max_steps)
		opt.max_steps = 2000;
	explore_run(s, &opt, &res);
	return res.verdict;
}

/* ---- polled grace periods ---- */

struct box {
	rt_u32 v;
};

struct boxes {
	rt_ptr box;
};

static void boxes_setup(void *state)
{
	struct boxes *b = state;
	struct box *box = rt_zalloc(sizeof(*box));

	rt_ptr_set(&b->box, box);
}

static void box_read(void *state)
{
	struct boxes *b = state;
	struct box *box;

	rt_rcu_read_lock();
	box = rt_rcu_dereference(&b->box);
	if (box)
		rt_u32_add(&box->v, 1);
	rt_rcu_read_unlock();
}

/* One grace period may be going on when the box is unpublished; that one does not count. */
static void box_drop_polled(void *state)
{
	struct boxes *b = state;
	struct rt_rcu_cookie cookie;
	struct box *box;

	rt_rcu_start_poll();
	box = rt_ptr_xchg(&b->box, NULL);
	cookie = rt_rcu_get_state();
	rt_rcu_cond_sync(cookie);
	rt_free(box);
}

static void box_drop_early_cookie(void *state)
{
	struct boxes *b = state;
	struct rt_rcu_cookie cookie = rt_rcu_start_poll();
	struct box *box = rt_ptr_xchg(&b->box, NULL);

	while (!rt_rcu_poll_state(cookie))
		rt_yield();
	rt_free(box);
}

static void box_drop_late_cookie(void *state)
{
	struct boxes *b = state;
	struct box *box = rt_ptr_xchg(&b->box, NULL);
	struct rt_rcu_cookie cookie = rt_rcu_start_poll();

	while (!rt_rcu_poll_state(cookie))
		rt_yield();
	rt_free(box);
}

static const struct explore_scenario polled = SCENARIO("polled", struct boxes, boxes_setup, NULL, 2,
						       T(box_read), T(box_drop_polled)),
				     early = SCENARIO("early-cookie", struct boxes, boxes_setup,
						      NULL, 2, T(box_read),
						      T(box_drop_early_cookie)),
				     late = SCENARIO("late-cookie", struct boxes, boxes_setup, NULL,
						     2, T(box_read), T(box_drop_late_cookie));

/* Goal: a cookie means what the contract says, for every schedule. Method: free after it; both ways
 * of searching; the rule of whole grace periods and that of readers left out. */
START_TEST(cookies)
{
	const enum explore_strategy all[] = { EXPLORE_SLEEP, EXPLORE_DPOR };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t sum = res.trace_sum;

		ck_assert_int_eq(search(&polled, OPT(all[i])), EXPLORE_OK);
		ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
		if (i > 0)
			ck_assert_uint_eq(res.trace_sum, sum);
	}
	ck_assert_int_eq(search(&polled, OPT(EXPLORE_DPOR, .drop_rule = RULE_GP_WHOLE)),
			 EXPLORE_UAF);
	ck_assert_int_eq(search(&polled, OPT(EXPLORE_DPOR, .drop_rule = RULE_GRACE)), EXPLORE_UAF);
	ck_assert_int_eq(search(&early, OPT(EXPLORE_DFS, .bound = 2)), EXPLORE_UAF);
	ck_assert_int_eq(search(&late, OPT(EXPLORE_DFS, .bound = 3)), EXPLORE_OK);
	ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("models");
	TCase *tc = tcase_create("models");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, cookies);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
