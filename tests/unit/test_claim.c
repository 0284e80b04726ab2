// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: claims never exceed what is free, and none fails while enough is unclaimed, in either mode.
 * Method: one thread over the edge between the modes; several threads that claim and give back at
 * random.
 */
#include "alloc/alloc_priv.h"
#include "rt/work.h"
#include "support/t_alloc.h"

/* Goal: all that is free can be claimed from one CPU, though other CPUs' shards hold some. */
START_TEST(claim_reaches_other_shards)
{
	struct mbfs_alloc *a = t_alloc("claim-wait", 4096, 1 << 18, 32768, 0, 8);
	uint64_t all = claim_free(a);

	for (unsigned cpu = 0; cpu < 8; cpu++)
		ck_assert(claim_take(a, cpu, 1, false));
	ck_assert(claim_take(a, 3, all - 8, false));
	ck_assert(!claim_take(a, 0, 1, false));
	claim_give(a, 5, 1);
	ck_assert(claim_take(a, 0, 1, false));
	claim_give(a, 0, all);
	ck_assert_uint_eq(claim_free(a), all);
	for (unsigned cpu = 0; cpu < 8; cpu++)
		rt_counter_add(&a->claim.claimed, cpu, 0);
	mbfs_alloc_close(a);
}
END_TEST

/* Goal: the reserve is left to root. */
START_TEST(reserve_is_for_root)
{
	struct mbfs_alloc_shape shape = { .blk_nr = 1000, .blks_per_grp = 1000, .block_bytes = 4096,
					  .resv_blk_nr = 50 };
	struct mbfs_alloc_req req = { .len = 10, .flags = 0 };
	struct mbfs_alloc_tune tune;
	struct mbfs_alloc *a;
	struct mbfs_run run, all[1000];
	unsigned nr = 0, blks = 0;

	mbfs_alloc_tune_default(&tune);
	ck_assert_int_eq(mbfs_alloc_open_mem(&shape, &tune, NULL, &a), 0);
	while (mbfs_alloc_blocks(a, NULL, &req, NULL, &run) == 0) {
		all[nr++] = run;
		blks += run.len;
	}
	ck_assert_uint_eq(blks, 950);
	ck_assert_uint_eq(mbfs_alloc_avail_nr(a), 0);
	ck_assert_uint_eq(mbfs_alloc_free_nr(a), 50);
	req.flags = MBFS_ALLOC_ROOT;
	while (mbfs_alloc_blocks(a, NULL, &req, NULL, &run) == 0) {
		all[nr++] = run;
		blks += run.len;
	}
	ck_assert_uint_eq(blks, 1000);
	while (nr-- > 0)
		ck_assert_int_eq(mbfs_alloc_free(a, NULL, &all[nr]), 0);
	t_alloc_close(a);
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };

struct worker {
	struct mbfs_alloc *a;
	unsigned cpu;
	uint64_t seed, failed;
	rt_u64 *outstanding;
	uint64_t limit;
};

static void work(void *arg)
{
	struct worker *w = arg;
	struct rt_rand rand = { w->seed };

	for (int i = 0; i < ROUNDS; i++) {
		/* Four threads with a quarter each always fit: none may fail. */
		uint64_t n = 1 + rt_rand_below(&rand, w->limit);

		if (!claim_take(w->a, w->cpu, n, false)) {
			w->failed++;
			continue;
		}
		MBFS_ASSERT(rt_u64_add_return(w->outstanding, n) <= THREADS * w->limit);
		rt_u64_add_return(w->outstanding, -n);
		rt_counter_add(&w->a->claim.claimed, w->cpu, -n);
		claim_give(w->a, w->cpu, n);
	}
}

/* Goal: no false failure and no overcommit with threads in both modes. Row _i: size of the device.
 */
START_TEST(threads_that_fit_never_fail)
{
	static const uint64_t blks[] = { 4000, 40000, 400000 };
	struct mbfs_alloc *a = t_alloc("claim-wait", 4096, blks[_i], 32768, 0, THREADS);
	uint64_t all = claim_free(a), seed = t_seed();
	struct worker w[THREADS];
	struct rt_thread *t[THREADS];
	rt_u64 outstanding = { 0 };

	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ a, i, seed + i, 0, &outstanding, all / THREADS };
		ck_assert_int_eq(rt_thread_start(work, &w[i], "claim", &t[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_uint_eq(w[i].failed, 0);
	ck_assert_uint_eq(claim_free(a), all);
	t_alloc_close(a);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("claim");
	TCase *tc = tcase_create("claim");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, claim_reaches_other_shards);
	tcase_add_test(tc, reserve_is_for_root);
	tcase_add_loop_test(tc, threads_that_fit_never_fail, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
