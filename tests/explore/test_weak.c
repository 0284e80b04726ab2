// SPDX-License-Identifier: GPL-2.0-only
/*
 * Weak memory: litmus tests with the exact set of their outcomes, which C11 (without load
 * buffering) allows; and the same under sequential consistency. Three ways of searching must agree.
 */
#include "support/t.h"

#include <string.h>

#include "base/check.h"
#include "explore/explore.h"
#include "rt/sync.h"

static struct explore_result res;
static uint64_t outcomes; /* bit per outcome seen: r0 + 3 * r1 + 9 * r2 + 27 * r3 */

struct regs {
	rt_u32 x, y;
	unsigned r[4];
};

static void setup(void *state)
{
	(void)state;
}

static void check(void *state)
{
	const struct regs *s = state;

	outcomes |= 1ull << (s->r[0] + 3 * s->r[1] + 9 * s->r[2] + 27 * s->r[3]) % 64;
}

#define THREAD(name, ...)                      \
	static void name(void *state)          \
	{                                      \
		struct regs *s = state;        \
		rt_u32 *x = &s->x, *y = &s->y; \
		unsigned *r = s->r;            \
                                               \
		(void)x, (void)y, (void)r;     \
		__VA_ARGS__                    \
	}

/* message passing: x is the data, y the flag */
THREAD(mp_w, rt_u32_set(x, 1); rt_u32_set(y, 1);)
THREAD(mp_w_rel, rt_u32_set(x, 1); rt_u32_set_release(y, 1);)
THREAD(mp_w_fence, rt_u32_set(x, 1); rt_fence(); rt_u32_set(y, 1);)
THREAD(mp_w_rmw, rt_u32_set(x, 1); rt_u32_add_return(y, 1);)
THREAD(mp_r, r[0] = rt_u32_read(y); r[1] = rt_u32_read(x);)
THREAD(mp_r_acq, r[0] = rt_u32_read_acquire(y); r[1] = rt_u32_read(x);)
THREAD(mp_r_fence, r[0] = rt_u32_read(y); rt_fence(); r[1] = rt_u32_read(x);)
/* store buffering */
THREAD(sb_0, rt_u32_set(x, 1); r[0] = rt_u32_read(y);)
THREAD(sb_1, rt_u32_set(y, 1); r[1] = rt_u32_read(x);)
THREAD(sb_0_ra, rt_u32_set_release(x, 1); r[0] = rt_u32_read_acquire(y);)
THREAD(sb_1_ra, rt_u32_set_release(y, 1); r[1] = rt_u32_read_acquire(x);)
THREAD(sb_0_f, rt_u32_set(x, 1); rt_fence(); r[0] = rt_u32_read(y);)
THREAD(sb_1_f, rt_u32_set(y, 1); rt_fence(); r[1] = rt_u32_read(x);)
/* coherence */
THREAD(co_w, rt_u32_set(x, 1); rt_u32_set(x, 2);)
THREAD(co_r, r[0] = rt_u32_read(x); r[1] = rt_u32_read(x);)
THREAD(co_w2, rt_u32_set(x, 2);)
THREAD(co_wr, rt_u32_set(x, 1); r[0] = rt_u32_read(x);)
/* a relaxed addition keeps a release sequence, a relaxed store ends it */
THREAD(rs_add, if (rt_u32_read(y) == 1) rt_u32_add(y, 1);)
THREAD(rs_set, if (rt_u32_read(y) == 1) rt_u32_set(y, 2);)
THREAD(rs_r, r[0] = rt_u32_read_acquire(y); r[1] = rt_u32_read(x);)
/* read-modify-writes take the newest */
THREAD(add, r[explore_thread()] = rt_u32_add_return(x, 1) == 2;)
/* independent reads of independent writes */
THREAD(ir_x, rt_u32_set_release(x, 1);)
THREAD(ir_y, rt_u32_set_release(y, 1);)
THREAD(ir_xy, r[0] = rt_u32_read_acquire(x); r[1] = rt_u32_read_acquire(y);)
THREAD(ir_yx, r[2] = rt_u32_read_acquire(y); r[3] = rt_u32_read_acquire(x);)
THREAD(ir_xy_f, r[0] = rt_u32_read_acquire(x); rt_fence(); r[1] = rt_u32_read_acquire(y);)
THREAD(ir_yx_f, r[2] = rt_u32_read_acquire(y); rt_fence(); r[3] = rt_u32_read_acquire(x);)
/* load buffering */
THREAD(lb_0, r[0] = rt_u32_read(x); rt_u32_set(y, 1);)
THREAD(lb_1, r[1] = rt_u32_read(y); rt_u32_set(x, 1);)

#define O(r0, r1)          (1ull << ((r0) + 3 * (r1)))
#define O4(r0, r1, r2, r3) (1ull << ((r0) + 3 * (r1) + 9 * (r2) + 27 * (r3)) % 64)
#define ALL                (O(0, 0) | O(0, 1) | O(1, 0) | O(1, 1))
#define CO                 (O(0, 0) | O(0, 1) | O(0, 2) | O(1, 1) | O(1, 2) | O(2, 2))
#define IR3(a, b)          (O4(a, b, 0, 0) | O4(a, b, 0, 1) | O4(a, b, 1, 1))
#define IR_ALL                                                                             \
	(IR3(0, 0) | IR3(0, 1) | IR3(1, 0) | IR3(1, 1) | O4(0, 0, 1, 0) | O4(0, 1, 1, 0) | \
	 O4(1, 0, 1, 0) | O4(1, 1, 1, 0))

static const struct litmus {
	const char *name;
	void (*fn[4])(void *state);
	uint64_t weak, sc;
} tests[] = {
	{ "MP", { mp_w, mp_r }, ALL, ALL & ~O(1, 0) },
	{ "MP+rel+rlx", { mp_w_rel, mp_r }, ALL, ALL & ~O(1, 0) },
	{ "MP+rlx+acq", { mp_w, mp_r_acq }, ALL, ALL & ~O(1, 0) },
	{ "MP+rel+acq", { mp_w_rel, mp_r_acq }, ALL & ~O(1, 0), ALL & ~O(1, 0) },
	{ "MP+rmw+acq", { mp_w_rmw, mp_r_acq }, ALL & ~O(1, 0), ALL & ~O(1, 0) },
	{ "MP+fence+fence", { mp_w_fence, mp_r_fence }, ALL & ~O(1, 0), ALL & ~O(1, 0) },
	{ "MP+fence+rlx", { mp_w_fence, mp_r }, ALL, ALL & ~O(1, 0) },
	{ "MP+rlx+fence", { mp_w, mp_r_fence }, ALL, ALL & ~O(1, 0) },
	{ "MP+rel+fence", { mp_w_rel, mp_r_fence }, ALL & ~O(1, 0), ALL & ~O(1, 0) },
	{ "SB", { sb_0, sb_1 }, ALL, ALL & ~O(0, 0) },
	{ "SB+rel+acq", { sb_0_ra, sb_1_ra }, ALL, ALL & ~O(0, 0) },
	{ "SB+fences", { sb_0_f, sb_1_f }, ALL & ~O(0, 0), ALL & ~O(0, 0) },
	{ "SB+fence+rlx", { sb_0_f, sb_1 }, ALL, ALL & ~O(0, 0) },
	{ "CoRR", { co_w, co_r }, CO, CO },
	{ "CoWR", { co_wr, co_w2 }, O(1, 0) | O(2, 0), O(1, 0) | O(2, 0) },
	{ "RS+add",
	  { mp_w_rel, rs_add, rs_r },
	  O(0, 0) | O(0, 1) | O(1, 1) | O(2, 1),
	  O(0, 0) | O(0, 1) | O(1, 1) | O(2, 1) },
	{ "RS+set",
	  { mp_w_rel, rs_set, rs_r },
	  O(0, 0) | O(0, 1) | O(1, 1) | O(2, 1) | O(2, 0),
	  O(0, 0) | O(0, 1) | O(1, 1) | O(2, 1) },
	{ "RMW", { add, add }, O(1, 0) | O(0, 1), O(1, 0) | O(0, 1) },
	{ "IRIW+rel+acq", { ir_x, ir_y, ir_xy, ir_yx }, IR_ALL, IR_ALL & ~O4(1, 0, 1, 0) },
	{ "IRIW+fences",
	  { ir_x, ir_y, ir_xy_f, ir_yx_f },
	  IR_ALL & ~O4(1, 0, 1, 0),
	  IR_ALL & ~O4(1, 0, 1, 0) },
	{ "LB", { lb_0, lb_1 }, ALL & ~O(1, 1), ALL & ~O(1, 1) },
};

/* Goal: the sets of outcomes, no more and no less. Method: row _i, all schedules, by three
 * searches. */
START_TEST(litmus)
{
	static const enum explore_strategy by[] = { EXPLORE_DFS, EXPLORE_SLEEP, EXPLORE_DPOR };
	const struct litmus *l = &tests[_i];
	struct explore_scenario s = {
		.name = l->name, .state_bytes = sizeof(struct regs), .setup = setup, .check = check
	};

	for (; s.thread_nr < 4 && l->fn[s.thread_nr]; s.thread_nr++)
		s.threads[s.thread_nr].fn = l->fn[s.thread_nr];
	for (unsigned i = 0; i < 6; i++) {
		struct explore_options opt = { .strategy = by[i / 2],
					       .bound = -1,
					       .weak = i % 2 == 0 };

		outcomes = 0;
		explore_run(&s, &opt, &res);
		ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
		ck_assert_msg(outcomes == (opt.weak ? l->weak : l->sc),
			      "%s, %s, %s: %#" PRIx64 " instead of %#" PRIx64, l->name,
			      explore_strategy_name(opt.strategy), opt.weak ? "weak" : "sc",
			      outcomes, opt.weak ? l->weak : l->sc);
	}
}
END_TEST

/* ---- explorer.md 6: the sequence is raised, then the list emptied ---- */

struct toy {
	rt_u32 seq, list;
};

static void toy_setup(void *state)
{
	struct toy *t = state;

	rt_u32_set(&t->list, 1);
}

#define TOY(name, between_w, between_r)                                        \
	static void name##_w(void *state)                                      \
	{                                                                      \
		struct toy *t = state;                                         \
                                                                               \
		rt_u32_add(&t->seq, 1);                                        \
		between_w;                                                     \
		rt_u32_set(&t->list, 0);                                       \
	}                                                                      \
	static void name##_r(void *state)                                      \
	{                                                                      \
		struct toy *t = state;                                         \
                                                                               \
		if (rt_u32_read(&t->list))                                     \
			return;                                                \
		between_r;                                                     \
		if (rt_u32_read(&t->seq) == 0)                                 \
			explore_fail("ENOSPC although blocks are in transit"); \
	}
TOY(bare, (void)0, (void)0)
TOY(wmb, rt_fence(), (void)0)
TOY(rmb, (void)0, rt_fence())
TOY(both, rt_fence(), rt_fence())

/* Goal: found weak, by a token that replays; not there under sequential consistency; both fences
 * are needed. Method: all four, exhaustively. */
START_TEST(seq_then_list)
{
	static const struct {
		void (*w)(void *state), (*r)(void *state);
		bool fails;
	} rows[] = { { bare_w, bare_r, true },
		     { wmb_w, wmb_r, true },
		     { rmb_w, rmb_r, true },
		     { both_w, both_r, false } };

	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(rows); i++) {
		struct explore_scenario s = { .name = "seq-list",
					      .state_bytes = sizeof(struct toy),
					      .setup = toy_setup,
					      .thread_nr = 2,
					      .threads = { { NULL, rows[i].w },
							   { NULL, rows[i].r } } };
		struct explore_options opt = { .strategy = EXPLORE_DFS, .bound = -1 };
		char token[EXPLORE_TOKEN_BYTES];

		explore_run(&s, &opt, &res);
		ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
		opt.weak = true;
		explore_run(&s, &opt, &res);
		ck_assert_int_eq(res.outcome, rows[i].fails ? EXPLORE_FOUND : EXPLORE_EXHAUSTED);
		if (!rows[i].fails)
			continue;
		memcpy(token, res.token, sizeof(token));
		opt = (struct explore_options){ .strategy = EXPLORE_REPLAY,
						.token = token,
						.weak = true };
		explore_run(&s, &opt, &res);
		ck_assert_int_eq(res.verdict, EXPLORE_FAIL);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("weak");
	TCase *tc = tcase_create("weak");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, litmus, 0, (int)MBFS_ARRAY_SIZE(tests));
	tcase_add_test(tc, seq_then_list);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
