// SPDX-License-Identifier: GPL-2.0-only
/* The index of groups by order, against a naive twin, and under threads. */
#include <string.h>

#include "alloc/alloc_priv.h"
#include "rt/mem.h"
#include "rt/work.h"
#include "support/t.h"

enum { ORDERS = 5, STEPS = 4000, ROUNDS = 100000 };

static const mbfs_grp_t sizes[] = { 1, 63, 64, 65, 4095, 4096, 4097, 9000 };

static mbfs_grp_t naive_next(const int8_t *at, mbfs_grp_t nr, int order, mbfs_grp_t from)
{
	while (from < nr && at[from] != order)
		from++;
	return from < nr ? from : INDEX_NONE;
}

/* Goal: the index has each group in one order, and finds the next one. Method: random moves, few
 * groups in at a time, so that words and tops become zero. */
START_TEST(index_matches_twin)
{
	mbfs_grp_t nr = sizes[_i];
	struct rt_rand r = { t_seed() };
	struct group_index ix = { 0 };
	int8_t *at = rt_alloc(nr), *twin = rt_alloc(nr);

	ck_assert_ptr_nonnull(at);
	ck_assert_ptr_nonnull(twin);
	memset(at, -1, nr);
	memset(twin, -1, nr);
	ck_assert_int_eq(index_open(&ix, nr, ORDERS), 0);
	for (unsigned i = 0; i < STEPS; i++) {
		mbfs_grp_t grp = (mbfs_grp_t)rt_rand_below(&r, nr);
		mbfs_grp_t from = (mbfs_grp_t)rt_rand_below(&r, (uint64_t)nr + 1);
		int to = rt_rand_below(&r, 4) ? -1 : (int)rt_rand_below(&r, ORDERS);
		unsigned order = (unsigned)rt_rand_below(&r, ORDERS);

		index_move(&ix, grp, &at[grp], (int8_t)to);
		twin[grp] = (int8_t)to;
		ck_assert_int_eq(at[grp], to);
		ck_assert_uint_eq(index_next(&ix, order, from),
				  naive_next(twin, nr, (int)order, from));
		ck_assert_uint_eq(index_orders(&ix, order, ORDERS) >> order & 1,
				  naive_next(twin, nr, (int)order, 0) < nr);
		ck_assert_uint_eq(index_orders(&ix, 0, order) >> order, 0);
		ck_assert_int_eq(index_has(&ix, order, grp), to == (int)order);
	}
	index_close(&ix);
	rt_free(at);
	rt_free(twin);
}
END_TEST

struct pair {
	struct group_index ix;
	int8_t at[2]; /* group 0 is the main thread's */
	rt_u32 round; /* what the main thread has begun */
	rt_u32 done;  /* what the other one has ended */
};

/* In each odd round group 1 comes in, in each even one it goes. */
static void come_and_go(void *arg)
{
	struct pair *p = arg;
	unsigned spun = 0;

	for (uint32_t n = 1; n <= 2 * ROUNDS; n++) {
		while (rt_u32_read_acquire(&p->round) < n)
			if (++spun % 1024 == 0)
				rt_yield();
		if (rt_u32_read_acquire(&p->round) > 2 * ROUNDS)
			return;
		index_move(&p->ix, 1, &p->at[1], n % 2 ? 0 : -1);
		rt_u32_set_release(&p->done, n);
	}
}

/* Goal: a word that becomes zero while another group enters it is still found. Method: one thread
 * takes out the only group of a word while another puts its neighbour in; then the tops must know.
 */
START_TEST(word_is_left_and_entered_at_once)
{
	struct pair p = { .at = { -1, -1 } };
	uint64_t until = rt_now_ns() + 20000000000ull;
	struct rt_rand r = { t_seed() };
	struct rt_thread *t;

	ck_assert_int_eq(index_open(&p.ix, 2, 1), 0);
	ck_assert_int_eq(rt_thread_start(come_and_go, &p, "come-and-go", &t), 0);
	/* On a machine with other work two threads that wait for each other are slow. */
	for (uint32_t n = 1; n <= 2 * ROUNDS && rt_now_ns() < until; n++) {
		if (n % 2)
			index_move(&p.ix, 0, &p.at[0], 0);
		rt_u32_set_release(&p.round, n);
		/* The other thread is on its way: meet it at another point each time. */
		for (volatile uint64_t wait = rt_rand_below(&r, 300); wait > 0; wait--)
			;
		if (n % 2)
			index_move(&p.ix, 0, &p.at[0], -1);
		while (rt_u32_read_acquire(&p.done) < n)
			rt_yield();
		ck_assert_msg(index_next(&p.ix, 0, 0) == (n % 2 ? 1 : INDEX_NONE), "round %u", n);
	}
	rt_u32_set_release(&p.round, 2 * ROUNDS + 1);
	rt_thread_join(t);
	index_close(&p.ix);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("index");
	TCase *tc = tcase_create("index");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, index_matches_twin, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tc, word_is_left_and_entered_at_once);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
