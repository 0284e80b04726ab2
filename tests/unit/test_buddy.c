// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: chunks, counters and runs of one group are what the bitmap says, after any marking and
 * freeing. Method: small cases by hand; thousands of random ranges with buddy_check(), which
 * rebuilds from the bitmap.
 */
#include <string.h>

#include "alloc/alloc_priv.h"
#include "base/bits.h"
#include "support/t_alloc.h"

static struct mbfs_alloc *a;
static struct group *g;

static void setup(void)
{
	struct mbfs_run run;
	struct mbfs_alloc_req req = { .len = 1 };

	a = t_alloc("claim-wait", 1024, 8192, 8192, 1, 1);
	/* The first allocation loads the group. */
	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &run), 0);
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &run), 0);
	g = group_at(a, 0);
}

static void teardown(void)
{
	mbfs_alloc_close(a);
}

static void ok(void)
{
	struct mbfs_diag diag = { { 0 } };
	int err;

	rt_spin_lock(&g->lock);
	err = buddy_check(a, g, &diag);
	rt_spin_unlock(&g->lock);
	ck_assert_msg(err == 0, "%s", diag.text);
}

static void mark(mbfs_clu_t start, uint32_t len)
{
	rt_spin_lock(&g->lock);
	buddy_mark(a, g, start, len);
	rt_spin_unlock(&g->lock);
}

static void give(mbfs_clu_t start, uint32_t len)
{
	rt_spin_lock(&g->lock);
	buddy_free(a, g, start, len);
	rt_spin_unlock(&g->lock);
}

/* Goal: freeing two buddies rebuilds their parent. Method: free in the order of row _i. */
START_TEST(free_merges_buddies)
{
	static const mbfs_clu_t rows[][2] = { { 0, 4 }, { 4, 0 } };

	mark(0, 8192);
	ck_assert_int_eq(g->largest, -1);
	give(rows[_i][0], 4);
	ck_assert_int_eq(g->largest, 2);
	give(rows[_i][1], 4);
	ck_assert_int_eq(g->largest, 3);
	ck_assert_uint_eq(g->counts[2], 0);
	ok();
	give(8, 8192 - 8);
	ok();
}
END_TEST

/* Goal: a run that is not aligned is found as pieces, and its neighbours stay free. */
START_TEST(mark_splits_chunks)
{
	mark(3, 2);
	ok();
	ck_assert_uint_eq(rt_u32_read(&g->free_nr), 8190);
	ck_assert_uint_eq(rt_u32_read(&g->fragments), 2);
	give(3, 2);
	ok();
	ck_assert_uint_eq(rt_u32_read(&g->fragments), 1);
}
END_TEST

/* Goal: take finds a chunk exactly when one of that size exists. */
START_TEST(take_needs_a_chunk_of_the_order)
{
	mbfs_clu_t start;

	mark(0, 8192);
	ck_assert(!buddy_take(a, g, 1, &start));
	give(5, 1);
	ck_assert(buddy_take(a, g, 1, &start));
	ck_assert_uint_eq(start, 5);
	ck_assert(!buddy_take(a, g, 2, &start));
	give(6, 2);
	ck_assert(buddy_take(a, g, 2, &start));
	ck_assert_uint_eq(start, 6);
	/* 5..7 is a run of three, but no chunk of four. */
	ck_assert(!buddy_take(a, g, 3, &start));
	give(0, 5);
	give(8, 8192 - 8);
	ok();
}
END_TEST

/* Goal: any order of marks and frees. Method: random ranges; buddy_check() now and then and at the
 * end. */
START_TEST(random_ranges_keep_the_invariants)
{
	struct rt_rand rand = { t_seed() };

	for (int step = 0; step < 20000; step++) {
		mbfs_clu_t at = (mbfs_clu_t)rt_rand_below(&rand, 8192);
		uint32_t len =
			1 + (uint32_t)rt_rand_below(&rand, rt_rand_below(&rand, 10) ? 40 : 3000);

		if (len > 8192 - at)
			len = 8192 - at;
		if (bit_test(g->bits, at))
			give(at, bits_next_clear(g->bits, at, at + len) - at);
		else
			mark(at, bits_next_set(g->bits, at, at + len) - at);
		if (step % 200 == 0)
			ok();
	}
	ok();
	for (mbfs_clu_t at = bits_next_set(g->bits, 0, 8192), end; at < 8192;
	     at = bits_next_set(g->bits, end, 8192)) {
		end = bits_next_clear(g->bits, at, 8192);
		give(at, end - at);
	}
	ok();
	ck_assert_uint_eq(g->counts[a->order_nr - 1], 8192u >> (a->order_nr - 1));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("buddy");
	TCase *tc = tcase_create("buddy");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, free_merges_buddies, 0, 2);
	tcase_add_test(tc, mark_splits_chunks);
	tcase_add_test(tc, take_needs_a_chunk_of_the_order);
	tcase_add_test(tc, random_ranges_keep_the_invariants);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
