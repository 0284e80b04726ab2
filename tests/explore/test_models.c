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
#include "rt/wq.h"

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

/* ---- lock order ---- */

struct locks {
	struct rt_mutex a, b, c, same[2];
	struct rt_rwlock rw;
	struct rt_wq *wq;
	struct rt_work work;
	rt_u32 turn;
};

static void order_work(struct rt_work *work)
{
	struct locks *l = container_of(work, struct locks, work);

	rt_mutex_lock(&l->a);
	rt_mutex_unlock(&l->a);
}

static void order_setup(void *state)
{
	struct locks *l = state;

	rt_mutex_init(&l->a, RANK_NONE);
	rt_mutex_init(&l->b, RANK_NONE);
	rt_mutex_init(&l->c, RANK_NONE);
	for (unsigned i = 0; i < 2; i++)
		rt_mutex_init(&l->same[i], RANK_NONE);
	rt_rwlock_init(&l->rw, RANK_NONE);
	rt_work_init(&l->work, order_work);
	explore_check(rt_wq_create("wq", 1, &l->wq) == 0);
}

static void order_check(void *state)
{
	struct locks *l = state;

	rt_wq_destroy(l->wq);
}

#define TWO(name, first, second)             \
	static void name(void *state)        \
	{                                    \
		struct locks *l = state;     \
                                             \
		rt_mutex_lock(&l->first);    \
		rt_mutex_lock(&l->second);   \
		rt_mutex_unlock(&l->second); \
		rt_mutex_unlock(&l->first);  \
	}
TWO(take_ab, a, b)
TWO(take_ba, b, a)
TWO(take_bc, b, c)
TWO(take_ca, c, a)
TWO(take_same, same[0], same[1])

static void try_ba(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->b);
	if (rt_mutex_trylock(&l->a))
		rt_mutex_unlock(&l->a);
	rt_mutex_unlock(&l->b);
}
static void tried_ba(void *state) /* what a trylock took is held */
{
	struct locks *l = state;

	if (!rt_mutex_trylock(&l->b))
		return;
	rt_mutex_lock(&l->a);
	rt_mutex_unlock(&l->a);
	rt_mutex_unlock(&l->b);
}
static void nested_same(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->same[0]);
	rt_mutex_lock_nested(&l->same[1]);
	rt_mutex_unlock(&l->same[1]);
	rt_mutex_unlock(&l->same[0]);
}
static void read_then_a(void *state)
{
	struct locks *l = state;

	rt_read_lock(&l->rw);
	rt_mutex_lock(&l->a);
	rt_mutex_unlock(&l->a);
	rt_read_unlock(&l->rw);
}
static void a_then_read(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->a);
	rt_read_lock(&l->rw);
	rt_read_unlock(&l->rw);
	rt_mutex_unlock(&l->a);
}
static void a_then_write(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->a);
	rt_write_lock(&l->rw);
	rt_write_unlock(&l->rw);
	rt_mutex_unlock(&l->a);
}
static void just_write(void *state)
{
	struct locks *l = state;

	rt_write_lock(&l->rw);
	rt_write_unlock(&l->rw);
}
static void flush_under_a(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->a);
	rt_wq_flush_work(l->wq, &l->work); /* not queued yet in the first execution */
	rt_mutex_unlock(&l->a);
}
static void flush_bare(void *state)
{
	struct locks *l = state;

	rt_wq_flush_work(l->wq, &l->work);
}
static void queue_it(void *state)
{
	struct locks *l = state;

	rt_wq_queue(l->wq, &l->work);
}
static void by_choice(void *state) /* the halves in different executions */
{
	if (explore_choose(2))
		take_ab(state);
	else
		take_ba(state);
}
static void nothing(void *state)
{
	(void)state;
}

static const struct {
	void (*fn[3])(void *state);
	enum explore_verdict verdict;
	uint64_t at; /* schedule in which it is told; 0: a later one */
} orders[] = {
	{ { take_ab, take_ba, nothing }, EXPLORE_ORDER, 1 },
	{ { take_ab, take_ab, take_bc }, EXPLORE_OK, 0 },
	{ { take_ab, take_bc, take_ca }, EXPLORE_ORDER, 1 },
	{ { take_ab, try_ba, nothing }, EXPLORE_OK, 0 },
	{ { take_ab, tried_ba, nothing }, EXPLORE_ORDER, 1 },
	{ { take_same, nothing, nothing }, EXPLORE_ORDER, 1 },
	{ { nested_same, nothing, nothing }, EXPLORE_OK, 0 },
	{ { read_then_a, a_then_read, nothing }, EXPLORE_OK, 0 },
	{ { read_then_a, a_then_read, just_write }, EXPLORE_ORDER, 1 },
	{ { read_then_a, a_then_write, nothing }, EXPLORE_ORDER, 1 },
	{ { flush_under_a, queue_it, nothing }, EXPLORE_ORDER, 1 },
	{ { flush_bare, queue_it, take_ab }, EXPLORE_OK, 0 },
	{ { by_choice, nothing, nothing }, EXPLORE_ORDER, 0 },
};

/* Goal: orders that contradict each other are told in an execution that passes; with both places of
 * both; and nothing else is. Method: row _i; and the deadlock itself when order is not looked at.
 */
START_TEST(lock_orders)
{
	struct explore_scenario s = { .name = "order",
				      .state_bytes = sizeof(struct locks),
				      .setup = order_setup,
				      .thread_nr = 3,
				      .check = order_check };

	for (unsigned i = 0; i < 3; i++)
		s.threads[i].fn = orders[_i].fn[i];
	search(&s, OPT(EXPLORE_DFS, .bound = 0));
	ck_assert_msg(res.verdict == orders[_i].verdict, "%s: %s",
		      explore_verdict_name(res.verdict), res.text);
	if (orders[_i].verdict == EXPLORE_OK)
		return;
	ck_assert(orders[_i].at ? res.first == orders[_i].at : res.first > 1);
	ck_assert_ptr_nonnull(strstr(res.text, "test_models.c:"));
	if (_i == 0) {
		ck_assert_ptr_nonnull(strstr(res.text, "l->a"));
		ck_assert_ptr_nonnull(strstr(res.text, "; l->b"));
		search(&s, OPT(EXPLORE_DFS, .bound = 1, .no_lock_order = true));
		ck_assert_int_eq(res.verdict, EXPLORE_DEADLOCK);
	}
}
END_TEST

/* ---- migration, wake-ups for no reason ---- */

struct place {
	struct rt_cpus cpus;
	struct rt_counter k;
	struct rt_mutex m;
	struct rt_cond c;
	unsigned goods;
};

static void place_setup(void *state)
{
	struct place *p = state;

	rt_cpus_init(&p->cpus, 3);
	explore_check(rt_counter_init(&p->k, &p->cpus) == 0);
	rt_mutex_init(&p->m, RANK_NONE);
	rt_cond_init(&p->c);
}

static void place_check(void *state)
{
	struct place *p = state;

	rt_counter_destroy(&p->k);
}

static uint64_t places; /* bit per pair of CPUs seen */

static void asks_twice(void *state)
{
	struct place *p = state;
	unsigned first = rt_cpu(&p->cpus);

	places |= 1ull << (first * 3 + rt_cpu(&p->cpus));
}

static void adds_where_it_was(void *state)
{
	struct place *p = state;
	unsigned cpu = rt_cpu(&p->cpus);

	rt_counter_add(&p->k, cpu, 1);
	if (rt_counter_read(&p->k, rt_cpu(&p->cpus)) == 0)
		explore_fail("another CPU's slot");
}

/* Goal: every placement within the budget, and none beyond. Method: pairs of answers; a thread that
 * relies on staying where it is. */
START_TEST(migrations)
{
	const struct explore_scenario s = SCENARIO("asks", struct place, place_setup, place_check,
						   1, T(asks_twice)),
				      relies = SCENARIO("relies", struct place, place_setup,
							place_check, 1, T(adds_where_it_was));
	static const uint64_t want[] = { 1, 1 | 2 | 4 | 1 << 4 | 1 << 8, 0777 };

	for (unsigned budget = 0; budget < 3; budget++) {
		places = 0;
		search(&s, OPT(EXPLORE_DFS, .bound = 0, .migrations = budget));
		ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
		ck_assert_uint_eq(places, want[budget]);
	}
	ck_assert_int_eq(search(&relies, OPT(EXPLORE_DFS, .bound = 0)), EXPLORE_OK);
	ck_assert_int_eq(search(&relies, OPT(EXPLORE_DFS, .bound = 0, .migrations = 1)),
			 EXPLORE_FAIL);
}
END_TEST

static void gives(void *state)
{
	struct place *p = state;

	rt_mutex_lock(&p->m);
	p->goods++;
	rt_cond_signal(&p->c);
	rt_mutex_unlock(&p->m);
}

static void takes_once(void *state) /* if for while */
{
	struct place *p = state;

	rt_mutex_lock(&p->m);
	if (!p->goods)
		rt_cond_wait(&p->c, &p->m, 0);
	explore_check(p->goods == 1);
	rt_mutex_unlock(&p->m);
}

static void takes(void *state)
{
	struct place *p = state;

	rt_mutex_lock(&p->m);
	while (!p->goods)
		rt_cond_wait(&p->c, &p->m, 0);
	rt_mutex_unlock(&p->m);
}

static void gives_silently(void *state)
{
	struct place *p = state;

	rt_mutex_lock(&p->m);
	p->goods++;
	rt_mutex_unlock(&p->m);
}

static void takes_timed(void *state)
{
	struct place *p = state;
	uint64_t start = rt_now_ns();

	rt_mutex_lock(&p->m);
	if (rt_cond_wait(&p->c, &p->m, 1000))
		explore_check(rt_now_ns() == start);
	else
		explore_check(rt_now_ns() == start + 1000);
	rt_mutex_unlock(&p->m);
}

/* Goal: waiting without a loop is found, with one it holds; a wake-up nobody gave rescues no one
 * from a lost one. Method: budgets 0 and 1. */
START_TEST(spurious_wakeups)
{
	const struct explore_scenario once = SCENARIO("once", struct place, place_setup,
						      place_check, 2, T(gives), T(takes_once)),
				      loop = SCENARIO("loop", struct place, place_setup,
						      place_check, 2, T(gives), T(takes)),
				      lost = SCENARIO("lost", struct place, place_setup,
						      place_check, 2, T(gives_silently), T(takes)),
				      timed = SCENARIO("timed", struct place, place_setup,
						       place_check, 1, T(takes_timed));

	ck_assert_int_eq(search(&once, OPT(EXPLORE_DFS, .bound = 2)), EXPLORE_OK);
	ck_assert_int_eq(search(&once, OPT(EXPLORE_DFS, .bound = 2, .spurious = 1)), EXPLORE_FAIL);
	ck_assert_int_eq(search(&loop, OPT(EXPLORE_DPOR, .spurious = 2)), EXPLORE_OK);
	ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
	ck_assert_int_eq(search(&lost, OPT(EXPLORE_DFS, .bound = 1, .spurious = 1)),
			 EXPLORE_DEADLOCK);
	ck_assert_int_eq(search(&timed, OPT(EXPLORE_DFS, .bound = 1, .spurious = 1)), EXPLORE_OK);
	ck_assert_uint_eq(res.schedules, 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("models");
	TCase *tc = tcase_create("models");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, cookies);
	tcase_add_test(tc, migrations);
	tcase_add_test(tc, spurious_wakeups);
	tcase_add_loop_test(tc, lock_orders, 0, (int)MBFS_ARRAY_SIZE(orders));
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
