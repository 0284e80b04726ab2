// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: each variant does at its decision points what its file says. Method: one PA holds the last
 * blocks; a first thread takes it apart and is held up at a widened point, a second one asks
 * meanwhile.
 */
#include <errno.h>
#include <string.h>

#include "alloc/alloc_priv.h"
#include "rt/work.h"
#include "support/t_alloc.h"

enum { BLKS = 512, HELD_UP_US = 300000, STEP_NS = 1000000, STEPS_MAX = 5000, VARIANTS = 10 };

struct asker {
	struct mbfs_alloc *a;
	struct mbfs_run run;
	uint64_t ns;
	int err;
};

static void ask(void *arg)
{
	struct mbfs_alloc_req req = { .len = 1 };
	struct asker *k = arg;
	uint64_t start = rt_now_ns();

	k->err = mbfs_alloc_blocks(k->a, NULL, &req, NULL, &k->run);
	k->ns = rt_now_ns() - start;
}

/* All blocks are in one file's PA but one that the file has. */
static struct mbfs_alloc *full_of_pa(const char *variant, enum mbfs_alloc_point point,
				     struct t_file *f)
{
	struct mbfs_alloc_shape shape = { .blk_nr = BLKS,
					  .blks_per_grp = BLKS,
					  .block_bytes = 4096 };
	struct mbfs_alloc_tune tune;
	struct mbfs_alloc_stats stats;
	struct mbfs_alloc *a;

	mbfs_alloc_tune_default(&tune);
	tune.enospc = variant;
	tune.cpus = 4;
	tune.widen_us[point] = HELD_UP_US;
	ck_assert_int_eq(mbfs_alloc_open_mem(&shape, &tune, NULL, &a), 0);
	t_file_open(a, 1, f);
	/* 300 blocks of a file of 1.2 MiB go for 2 MiB: all 512. */
	ck_assert_int_eq(t_file_grow(a, f, 300, MBFS_ALLOC_DATA), 0);
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_eq(stats.pa_blks, BLKS - 300);
	return a;
}

/* The other thread has taken the PA apart, or is held up while it does; false: it never came so
 * far. */
static bool wait_for_other(struct mbfs_alloc *a)
{
	struct group *g = group_at(a, 0);

	for (int i = 0; i < STEPS_MAX; i++) {
		struct pa *pa;
		bool there;

		rt_spin_lock(&g->lock);
		pa = TAILQ_FIRST(&g->pas);
		there = !pa;
		if (pa) {
			rt_spin_lock(&pa->lock);
			there = pa->deleted;
			rt_spin_unlock(&pa->lock);
		}
		rt_spin_unlock(&g->lock);
		if (there)
			return true;
		rt_sleep_ns(STEP_NS);
	}
	return false;
}

static const char *const variants[] = {
	"pre-5.8", "bb-free", "rfc-2020",  "5.8",       "5.10",
	"5.17",    "6.0",     "6.0-fixed", "begin-end", "claim-wait"
};

static void give_back(struct asker *k)
{
	if (!k->err)
		ck_assert_int_eq(mbfs_alloc_free(k->a, NULL, &k->run), 0);
}

/* Passes of the allocator so far reach @nr. */
static bool wait_for_passes(struct mbfs_alloc *a, uint64_t nr)
{
	struct mbfs_alloc_stats stats;

	for (int i = 0; i < STEPS_MAX; i++) {
		mbfs_alloc_stats(a, &stats);
		if (stats.passes >= nr)
			return true;
		rt_sleep_ns(STEP_NS);
	}
	return false;
}

/*
 * Goal: the seed's two threads. Both find every buddy empty; the first sweeps, the second then
 * finds no PA. Only pre-5.8 takes that for the truth. Method: both are held up between the two.
 */
START_TEST(sweep_after_sweep)
{
	const char *name = variants[_i];
	bool loses = _i == 0;
	struct asker first = { 0 }, second = { 0 };
	struct mbfs_alloc_stats stats;
	struct rt_thread *t;
	struct t_file f;
	uint64_t passes;

	first.a = second.a = full_of_pa(name, MBFS_POINT_SCAN_DISCARD, &f);
	mbfs_alloc_stats(first.a, &stats);
	passes = stats.passes;
	ck_assert_int_eq(rt_thread_start(ask, &first, "first", &t), 0);
	ck_assert(wait_for_passes(first.a, passes + 1));
	rt_sleep_ns(HELD_UP_US * 1000ull / 4); /* it is asleep: the second one wakes up later */
	ask(&second);
	rt_thread_join(t);
	ck_assert_msg(first.err == 0, "%s: the thread that freed the blocks got none", name);
	ck_assert_msg(second.err == (loses ? -ENOSPC : 0), "%s: %d", name, second.err);
	mbfs_alloc_stats(first.a, &stats);
	ck_assert_uint_eq(stats.false_enospc, loses);
	give_back(&first);
	give_back(&second);
	t_file_close(first.a, &f);
	t_alloc_close(first.a);
}
END_TEST

/*
 * Goal: a sweep is under way, under the group's lock: who looks at counter and list without it
 * sees neither the PA nor its blocks. pre-5.8 and the RFC's patch go by that. Method: the first
 * thread is held up between detaching and freeing.
 */
START_TEST(look_without_lock_during_sweep)
{
	const char *name = variants[_i];
	bool loses = _i == 0 || _i == 2;
	struct asker first = { 0 }, second = { 0 };
	struct rt_thread *t;
	struct t_file f;

	first.a = second.a = full_of_pa(name, MBFS_POINT_DETACH_FREE, &f);
	ck_assert_int_eq(rt_thread_start(ask, &first, "first", &t), 0);
	for (int i = 0; i < STEPS_MAX && rt_u32_read(&group_at(first.a, 0)->pa_nr) > 0; i++)
		rt_sleep_ns(STEP_NS);
	ask(&second);
	rt_thread_join(t);
	ck_assert_int_eq(first.err, 0);
	ck_assert_msg(second.err == (loses ? -ENOSPC : 0), "%s: %d", name, second.err);
	give_back(&first);
	give_back(&second);
	t_file_close(first.a, &f);
	t_alloc_close(first.a);
}
END_TEST

static void grow_by_one(void *arg)
{
	struct t_file *f = arg;

	/* The next block of its PA: busy until it is marked on disk. */
	ck_assert_int_eq(t_file_grow(f->f->a, f, 1, MBFS_ALLOC_DATA), 0);
}

/*
 * Goal: a busy PA. Up to 5.10 a sweep waits for it (the ABBA of 8c80fb312d7a); 5.17 and 6.0 sweep
 * three times and lose to a user that is slow (W3); ours go on as long as somebody is busy.
 */
START_TEST(sweep_against_busy)
{
	const char *name = variants[_i];
	bool loses = _i == 5 || _i == 6;
	struct asker second = { 0 };
	struct rt_thread *t;
	struct t_file f;
	struct pa *pa;
	uint32_t busy = 0;

	second.a = full_of_pa(name, MBFS_POINT_PA_BUSY, &f);
	pa = TAILQ_FIRST(&group_at(second.a, 0)->pas);
	ck_assert_int_eq(rt_thread_start(grow_by_one, &f, "user", &t), 0);
	for (int i = 0; i < STEPS_MAX && busy == 0; i++) {
		rt_sleep_ns(STEP_NS);
		rt_spin_lock(&pa->lock);
		busy = pa->busy;
		rt_spin_unlock(&pa->lock);
	}
	ck_assert_uint_eq(busy, 1);
	ask(&second);
	rt_thread_join(t);
	ck_assert_msg(second.err == (loses ? -ENOSPC : 0), "%s: %d", name, second.err);
	give_back(&second);
	t_file_close(second.a, &f);
	t_alloc_close(second.a);
}
END_TEST

static void close_file(void *arg)
{
	mbfs_alloc_file_discard(arg);
}

/*
 * Goal: window W2. A file takes its own PA apart; a sweep meets it deleted. Open in mainline,
 * closed in ours. rfc-2020 and 5.8 do not lose here, they spin: the PA is still on the list, and
 * their own sweeps move the sum.
 */
START_TEST(sweep_against_file_discard)
{
	const char *name = variants[_i];
	bool loses = _i <= 6 && _i != 2 && _i != 3;
	struct asker second = { 0 };
	struct mbfs_alloc_stats stats;
	struct rt_thread *t;
	struct t_file f;

	second.a = full_of_pa(name, MBFS_POINT_DELETED_FREE, &f);
	ck_assert_int_eq(rt_thread_start(close_file, f.f, "close", &t), 0);
	ck_assert(wait_for_other(second.a));
	ask(&second);
	rt_thread_join(t);
	/* Having spun, rfc-2020 may meet the very hold in which the blocks come back: it looks at
	 * list and counter without the lock. */
	if (_i != 2 || second.err != -ENOSPC)
		ck_assert_msg(second.err == (loses ? -ENOSPC : 0), "%s: %d", name, second.err);
	mbfs_alloc_stats(second.a, &stats);
	if (_i == 2 || _i == 3)
		ck_assert_uint_gt(stats.passes, 20); /* Ye Bin's dead loop */
	if (!second.err) {
		/* It waited for the blocks: it cannot have had them before the other went on. */
		ck_assert_uint_gt(second.ns, HELD_UP_US * 1000ull / 4);
		ck_assert_int_eq(mbfs_alloc_free(second.a, NULL, &second.run), 0);
	}
	t_file_close(second.a, &f);
	t_alloc_close(second.a);
}
END_TEST

/* Goal: claim-wait sleeps, it does not spin. */
START_TEST(claim_wait_sleeps)
{
	struct asker second = { 0 };
	struct mbfs_alloc_stats stats;
	struct rt_thread *t;
	struct t_file f;

	second.a = full_of_pa("claim-wait", MBFS_POINT_DELETED_FREE, &f);
	ck_assert_int_eq(rt_thread_start(close_file, f.f, "close", &t), 0);
	ck_assert(wait_for_other(second.a));
	ask(&second);
	rt_thread_join(t);
	mbfs_alloc_stats(second.a, &stats);
	ck_assert_int_eq(second.err, 0);
	ck_assert_uint_ge(stats.waits, 1);
	ck_assert_uint_le(stats.passes, 8);
	ck_assert_int_eq(mbfs_alloc_free(second.a, NULL, &second.run), 0);
	t_file_close(second.a, &f);
	t_alloc_close(second.a);
}
END_TEST

/* Goal: the table is complete, and a claim that fails is a true ENOSPC for every variant. */
START_TEST(full_is_full_for_everybody)
{
	struct mbfs_alloc *a = t_alloc(variants[_i], 4096, 100, 104, 0, 2);
	struct mbfs_alloc_req req = { .len = 100 };
	struct mbfs_alloc_stats stats;
	struct mbfs_run run, none;

	ck_assert_str_eq(mbfs_alloc_variant_at((unsigned)_i)->name, variants[_i]);
	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &run), 0);
	ck_assert_uint_eq(run.len, 100);
	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &none), -ENOSPC);
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_eq(stats.enospc, 1);
	ck_assert_uint_eq(stats.false_enospc, 0);
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &run), 0);
	t_alloc_close(a);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("enospc");
	TCase *tc = tcase_create("enospc");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, sweep_after_sweep, 0, VARIANTS);
	tcase_add_loop_test(tc, look_without_lock_during_sweep, 0, VARIANTS);
	tcase_add_loop_test(tc, sweep_against_busy, 0, VARIANTS);
	tcase_add_loop_test(tc, sweep_against_file_discard, 0, VARIANTS);
	tcase_add_test(tc, claim_wait_sleeps);
	tcase_add_loop_test(tc, full_is_full_for_everybody, 0, VARIANTS);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
