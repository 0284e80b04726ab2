// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: our polled grace periods and those that liburcu has from 0.14 on say the same of the same
 * readers. Neither implies the other: each has grace periods of its own, and one may be over while
 * the other has not begun. What both must do is to say "over" not before the readers that were in
 * when the cookie was taken have left, and to say it at last. Method: readers count their entries
 * and exits and sleep in there now and then; who checks notes which are in, takes a cookie of each
 * kind, asks both again and again, and looks at the readers when one says "over". With an older
 * liburcu ours is checked alone, with a message.
 */
#include "support/t.h"

#include "rt/rcu.h"
#include "rt/sync.h"
#include "rt/work.h"

enum { READERS = 3, CHECKERS = 2, ROUNDS = 40, MS = 1000000 };
#define MOST_NS (5000ull * MS)
#ifdef HAVE_URCU_POLL
enum { KINDS = 2 };
#else
enum { KINDS = 1 };
#endif

static struct shared {
	rt_u64 at[READERS]; /* entries and exits: odd, it is in */
	rt_u32 stop, early[2], late[2];
	rt_u64 first[2]; /* who said it before the other */
	uint64_t seed;
} sh;

static void read_on(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct rt_rand rand = { sh.seed + me };

	while (!rt_u32_read_acquire(&sh.stop)) {
		rt_rcu_read_lock();
		rt_u64_add_return(&sh.at[me], 1);
		if (rt_rand_below(&rand, 2))
			rt_sleep_ns(rt_rand_below(&rand, 4 * MS));
		rt_u64_add_return(&sh.at[me], 1);
		rt_rcu_read_unlock();
		if (rt_rand_below(&rand, 2))
			rt_yield();
	}
}

struct cookies {
	struct rt_rcu_cookie ours;
#ifdef HAVE_URCU_POLL
	struct urcu_gp_poll_state stock;
#endif
};

static struct cookies take(void)
{
	struct cookies c;

	c.ours = rt_rcu_start_poll();
#ifdef HAVE_URCU_POLL
	c.stock = urcu_memb_start_poll_synchronize_rcu();
#endif
	return c;
}

static bool over(const struct cookies *c, unsigned kind)
{
	if (kind == 0)
		return rt_rcu_poll_state(c->ours);
#ifdef HAVE_URCU_POLL
	return urcu_memb_poll_state_synchronize_rcu(c->stock);
#else
	return false;
#endif
}

static void look(const uint64_t *were, unsigned kind)
{
	for (unsigned i = 0; i < READERS; i++)
		if (were[i] & 1 && rt_u64_read_acquire(&sh.at[i]) == were[i])
			rt_u32_add(&sh.early[kind], 1);
}

static void check_round(void)
{
	uint64_t were[READERS], from = rt_now_ns();
	bool said[2] = { false, KINDS == 1 };
	struct cookies c;

	for (unsigned i = 0; i < READERS; i++)
		were[i] = rt_u64_add_return(&sh.at[i], 0);
	c = take();
	while (!said[0] || !said[1]) {
		for (unsigned k = 0; k < KINDS; k++) {
			if (said[k] || !over(&c, k))
				continue;
			look(were, k);
			said[k] = true;
			rt_u64_add(&sh.first[k], !said[!k]);
		}
		if (rt_now_ns() - from > MOST_NS)
			break;
		rt_sleep_ns(MS / 20);
	}
	for (unsigned k = 0; k < 2; k++)
		rt_u32_add(&sh.late[k], !said[k]);
}

static void check_on(void *arg)
{
	(void)arg;
	rt_rcu_read_lock(); /* liburcu's wants registered threads */
	rt_rcu_read_unlock();
	for (unsigned i = 0; i < ROUNDS; i++)
		check_round();
}

START_TEST(both_wait_for_the_same_readers)
{
	struct rt_thread *t[READERS + CHECKERS];

	sh.seed = t_seed();
	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	for (unsigned i = 0; i < READERS + CHECKERS; i++)
		ck_assert_int_eq(rt_thread_start(i < READERS ? read_on : check_on,
						 (void *)(uintptr_t)i, "t", &t[i]),
				 0);
	for (unsigned i = READERS; i < READERS + CHECKERS; i++)
		rt_thread_join(t[i]);
	rt_u32_set_release(&sh.stop, 1);
	for (unsigned i = 0; i < READERS; i++)
		rt_thread_join(t[i]);
	rt_rcu_worker_stop();
	ck_assert_uint_eq(rt_u32_read(&sh.early[0]), 0);
	ck_assert_uint_eq(rt_u32_read(&sh.early[1]), 0);
	ck_assert_uint_eq(rt_u32_read(&sh.late[0]), 0);
	ck_assert_uint_eq(rt_u32_read(&sh.late[1]), 0);
#ifdef HAVE_URCU_POLL
	printf("ours was over first %" PRIu64 " times, liburcu's %" PRIu64 "\n",
	       rt_u64_read(&sh.first[0]), rt_u64_read(&sh.first[1]));
#else
	printf("this liburcu has no polled grace periods (0.14 has): ours is checked alone\n");
#endif
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("poll");
	TCase *tc = tcase_create("poll");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, both_wait_for_the_same_readers);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
