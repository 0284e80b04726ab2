// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: two pools against a naive twin that only counts: who gets an object, from where, and where
 * a freed one goes. Method: random allocations, reservations, frees, resizes and shrinks by one
 * thread that never waits, memory there or not at random; every number compared after each step.
 * Row _i: objects in the magazine.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "support/t_pool.h"

enum { POOLS = 2, STEPS = 10000, HELD_MAX = 40, MIN_MAX = 6 };

/* One CPU. */
struct twin {
	unsigned min_nr, in_reserve, in_magazine, low_water;
	uint64_t from_magazine, from_allocator, from_reserve, frees, failed;
};

struct bed {
	struct rt_cpus cpus;
	struct mempool_domain *d;
	struct mempool *p[POOLS];
	struct t_backing back[POOLS];
	struct twin w[POOLS];
	void *held[POOLS][HELD_MAX];
	unsigned held_nr[POOLS], magazine_nr;
};

static void compare(const struct bed *b)
{
	for (unsigned i = 0; i < POOLS; i++) {
		const struct twin *w = &b->w[i];
		struct mempool_stats st;

		mempool_stats(b->p[i], &st);
		ck_assert_uint_eq(st.min_nr, w->min_nr);
		ck_assert_uint_eq(st.in_reserve, w->in_reserve);
		ck_assert_uint_eq(st.in_magazines, w->in_magazine);
		ck_assert_uint_eq(st.low_water, w->low_water);
		ck_assert_uint_eq(st.from_magazine, w->from_magazine);
		ck_assert_uint_eq(st.from_allocator, w->from_allocator);
		ck_assert_uint_eq(st.from_reserve, w->from_reserve);
		ck_assert_uint_eq(st.frees, w->frees);
		ck_assert_uint_eq(st.failed, w->failed);
		ck_assert_uint_eq(st.in_use, b->held_nr[i]);
		ck_assert_uint_eq(st.allocs, st.frees + st.in_use);
		ck_assert_uint_eq(st.waits + st.from_wait + st.retries, 0);
		ck_assert_uint_eq(rt_u32_read(&b->back[i].out),
				  b->held_nr[i] + w->in_reserve + w->in_magazine);
		ck_assert_int_eq(mempool_is_low(b->p[i]), w->in_reserve < w->min_nr);
	}
}

/* ---- the twin's rules ---- */

static void twin_free(struct bed *b, unsigned i)
{
	struct twin *w = &b->w[i];

	w->frees++;
	if (w->in_reserve < w->min_nr)
		w->in_reserve++;
	else if (w->in_magazine < b->magazine_nr)
		w->in_magazine++;
}

static unsigned least(unsigned x, unsigned y)
{
	return x < y ? x : y;
}

/* Can @nr[i] of each pool be had with @memory[i] tries that succeed? If so they are taken. What a
 * failed call had from magazines goes to a reserve that is short, else to memory. */
static bool twin_take(struct bed *b, const unsigned *nr, const unsigned *memory, bool reserve_first)
{
	unsigned mag[POOLS], alloc[POOLS], res[POOLS];
	bool lacks = false, all_in_reserve = true, all = true;

	for (unsigned i = 0; i < POOLS; i++) {
		mag[i] = least(nr[i], b->w[i].in_magazine);
		lacks = lacks || mag[i] < nr[i];
		all_in_reserve = all_in_reserve && nr[i] - mag[i] <= b->w[i].in_reserve;
	}
	for (unsigned i = 0; i < POOLS; i++) {
		alloc[i] = reserve_first && all_in_reserve ? 0 : least(nr[i] - mag[i], memory[i]);
		res[i] = nr[i] - mag[i] - alloc[i];
		all = all && res[i] <= b->w[i].in_reserve;
	}
	for (unsigned i = 0; i < POOLS; i++) {
		struct twin *w = &b->w[i];

		w->in_magazine -= mag[i];
		if (!all) {
			w->in_reserve = least(w->min_nr, w->in_reserve + mag[i] + alloc[i]);
			w->failed += nr[i] > 0;
			continue;
		}
		w->from_magazine += mag[i];
		w->from_allocator += alloc[i];
		w->from_reserve += res[i];
		w->in_reserve -= res[i];
		w->low_water = least(w->low_water, w->in_reserve);
	}
	return all;
}

/* ---- steps ---- */

static void step_take(struct bed *b, struct rt_rand *rand)
{
	unsigned nr[POOLS] = { 0 }, memory[POOLS], want_nr = 0, got = 0;
	const bool single = rt_rand_below(rand, 2);
	bool reserve_first = false, expect;
	struct mempool_want want[POOLS];
	void *objs[POOLS * MIN_MAX];

	for (unsigned i = 0; i < POOLS; i++) {
		memory[i] = (unsigned)rt_rand_below(rand, 2) * (unsigned)rt_rand_below(rand, 8);
		t_backing_set(&b->back[i], memory[i], memory[i]);
		nr[i] = single ? 0 : (unsigned)rt_rand_below(rand, b->w[i].min_nr + 1);
	}
	if (single)
		nr[rt_rand_below(rand, POOLS)] = 1;
	for (unsigned i = 0; i < POOLS; i++)
		if (b->held_nr[i] + nr[i] > HELD_MAX)
			return;
	for (unsigned i = 0; i < POOLS; i++)
		if (!single || nr[i])
			want[want_nr++] = (struct mempool_want){ b->p[i], nr[i] };
	/* Not to wait it must be sure to find it: only where the twin's reserve has it all. */
	reserve_first = rt_rand_below(rand, 2) && nr[0] <= b->w[0].in_reserve &&
			nr[1] <= b->w[1].in_reserve;
	expect = twin_take(b, nr, memory, reserve_first);
	if (single) {
		objs[0] = mempool_alloc(want[0].pool,
					reserve_first ? MEMPOOL_RESERVE_FIRST : MEMPOOL_NOWAIT);
		ck_assert_int_eq(objs[0] != NULL, expect);
	} else {
		ck_assert_int_eq(
			mempool_reserve(b->d, want, want_nr,
					reserve_first ? MEMPOOL_RESERVE_FIRST : MEMPOOL_NOWAIT,
					objs),
			expect ? 0 : -EAGAIN);
	}
	for (unsigned i = 0; expect && i < POOLS; i++)
		for (unsigned k = 0; k < nr[i]; k++) {
			memset(objs[got], (int)i, 16); /* it is ours alone: ASan, and the free */
			b->held[i][b->held_nr[i]++] = objs[got++];
		}
}

static void step_free(struct bed *b, struct rt_rand *rand)
{
	unsigned i = (unsigned)rt_rand_below(rand, POOLS), k;

	if (!b->held_nr[i])
		return;
	k = (unsigned)rt_rand_below(rand, b->held_nr[i]);
	mempool_free(b->p[i], b->held[i][k]);
	b->held[i][k] = b->held[i][--b->held_nr[i]];
	twin_free(b, i);
}

static void step_resize(struct bed *b, struct rt_rand *rand)
{
	unsigned i = (unsigned)rt_rand_below(rand, POOLS);
	unsigned to = 1 + (unsigned)rt_rand_below(rand, MIN_MAX);
	unsigned memory = (unsigned)rt_rand_below(rand, MIN_MAX);
	struct twin *w = &b->w[i];
	const bool fails = to > w->min_nr && memory < to - w->min_nr;

	t_backing_set(&b->back[i], 0, memory);
	ck_assert_int_eq(mempool_resize(b->p[i], to), fails ? -ENOMEM : 0);
	if (fails || to == w->min_nr)
		return;
	w->in_reserve = to > w->min_nr ? w->in_reserve + to - w->min_nr : least(w->in_reserve, to);
	w->low_water = w->in_reserve;
	w->min_nr = to;
}

static void step_shrink(struct bed *b, struct rt_rand *rand)
{
	struct twin *w;
	unsigned i = (unsigned)rt_rand_below(rand, POOLS);

	w = &b->w[i];
	mempool_shrink(b->p[i]);
	w->in_reserve = least(w->min_nr, w->in_reserve + w->in_magazine);
	w->in_magazine = 0;
}

START_TEST(random_operations_match_the_twin)
{
	static const unsigned magazine_nr[] = { 0, 1, 4 };
	struct rt_rand rand = { t_seed() };
	static struct bed b;

	memset(&b, 0, sizeof(b));
	b.magazine_nr = magazine_nr[_i];
	rt_cpus_init(&b.cpus, 1);
	ck_assert_int_eq(mempool_domain_open(&b.cpus, &b.d), 0);
	for (unsigned i = 0; i < POOLS; i++) {
		struct mempool_config cfg = { .name = "p",
					      .bytes = 16,
					      .min_nr = 2 + i,
					      .magazine_nr = b.magazine_nr,
					      .backing = &t_backing_ops,
					      .ctx = &b.back[i] };

		t_backing_set(&b.back[i], 0, cfg.min_nr);
		ck_assert_int_eq(mempool_open(b.d, &cfg, &b.p[i]), 0);
		b.w[i].min_nr = b.w[i].in_reserve = b.w[i].low_water = cfg.min_nr;
	}
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned what = (unsigned)rt_rand_below(&rand, 100);

		if (what < 45)
			step_take(&b, &rand);
		else if (what < 95)
			step_free(&b, &rand);
		else if (what < 99)
			step_resize(&b, &rand);
		else
			step_shrink(&b, &rand);
		compare(&b);
	}
	for (unsigned i = 0; i < POOLS; i++)
		while (b.held_nr[i]) {
			mempool_free(b.p[i], b.held[i][--b.held_nr[i]]);
			twin_free(&b, i);
		}
	compare(&b);
	for (unsigned i = 0; i < POOLS; i++) {
		mempool_close(b.p[i]);
		ck_assert_uint_eq(rt_u32_read(&b.back[i].out), 0);
	}
	mempool_domain_close(b.d);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mempool-model");
	TCase *tc = tcase_create("mempool-model");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, random_operations_match_the_twin, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
