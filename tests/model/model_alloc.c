// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: the allocator against a naive twin, one byte per block: nothing is given twice, given out
 * of the device, or lost; the equations hold after every step. Method: random requests of all kinds
 * from several files, frees, discards, closes; row _i is the shape.
 */
#include <errno.h>
#include <string.h>

#include "support/t_alloc.h"

enum { FILES = 6, STEPS = 3000, BLKS_MAX = 40000 };

struct model {
	struct mbfs_alloc *a;
	struct t_file f[FILES];
	struct mbfs_run meta[STEPS];
	unsigned meta_nr;
	uint8_t owner[BLKS_MAX]; /* 0: free */
	uint64_t blks, used;
	uint32_t first;
};

static void take(struct model *m, const struct mbfs_run *run, uint8_t who)
{
	ck_assert_uint_ge(run->start, m->first);
	ck_assert_uint_le(run->start + run->len, m->first + m->blks);
	for (uint32_t i = 0; i < run->len; i++) {
		ck_assert_uint_eq(m->owner[run->start + i], 0);
		m->owner[run->start + i] = who;
	}
	m->used += run->len;
}

static void drop(struct model *m, const struct mbfs_run *run)
{
	memset(m->owner + run->start, 0, run->len);
	m->used -= run->len;
}

static void step_grow(struct model *m, struct rt_rand *rand)
{
	unsigned i = (unsigned)rt_rand_below(rand, FILES), before = m->f[i].run_nr;
	uint32_t len = 1 + (uint32_t)rt_rand_below(rand, rt_rand_below(rand, 8) ? 30 : 2000);
	unsigned flags = MBFS_ALLOC_DATA;
	int err;

	if (rt_rand_below(rand, 4) == 0)
		flags |= MBFS_ALLOC_FALLOC;
	if (rt_rand_below(rand, 8) == 0)
		flags |= MBFS_ALLOC_NO_PREALLOC;
	err = t_file_grow(m->a, &m->f[i], len, flags);
	if (err) {
		ck_assert_int_eq(err, -ENOSPC);
		ck_assert_uint_eq(m->used, m->blks); /* one caller: ENOSPC is exactly full */
		return;
	}
	take(m, &m->f[i].runs[before], (uint8_t)(i + 1));
}

static void step_meta(struct model *m, struct rt_rand *rand)
{
	struct mbfs_alloc_req req = {
		.len = 1 + (uint32_t)rt_rand_below(rand, 20),
		.goal = m->first + rt_rand_below(rand, m->blks),
	};
	struct mbfs_run run;
	int err;

	if (rt_rand_below(rand, 3) == 0)
		req.flags = rt_rand_below(rand, 2) ? MBFS_ALLOC_CONTIG : MBFS_ALLOC_GOAL_ONLY;
	err = mbfs_alloc_blocks(m->a, NULL, &req, NULL, &run);
	if (err) {
		ck_assert_int_eq(err, -ENOSPC);
		if (req.flags == 0)
			ck_assert_uint_eq(m->used, m->blks);
		return;
	}
	if (req.flags & MBFS_ALLOC_CONTIG)
		ck_assert_uint_eq(run.len, req.len);
	if (req.flags & MBFS_ALLOC_GOAL_ONLY)
		ck_assert_uint_eq(run.start, req.goal);
	take(m, &run, 255);
	m->meta[m->meta_nr++] = run;
}

static void step_free_meta(struct model *m, struct rt_rand *rand)
{
	unsigned i;

	if (m->meta_nr == 0)
		return;
	i = (unsigned)rt_rand_below(rand, m->meta_nr);
	drop(m, &m->meta[i]);
	ck_assert_int_eq(mbfs_alloc_free(m->a, NULL, &m->meta[i]), 0);
	m->meta[i] = m->meta[--m->meta_nr];
}

static void step_file(struct model *m, struct rt_rand *rand)
{
	unsigned i = (unsigned)rt_rand_below(rand, FILES);
	struct t_file *f = &m->f[i];

	if (rt_rand_below(rand, 3)) {
		mbfs_alloc_file_discard(f->f);
		return;
	}
	for (unsigned k = 0; k < f->run_nr; k++)
		drop(m, &f->runs[k]);
	t_file_close(m->a, f);
	t_file_open(m->a, i, f);
}

START_TEST(random_operations_match_the_twin)
{
	static const struct {
		uint32_t block_bytes, per_grp, first;
		uint64_t blks;
	} rows[] = { { 4096, 32768, 0, 40000 - 1 },
		     { 1024, 8192, 1, 20000 },
		     { 65536, 65528, 0, 3840 },
		     { 4096, 512, 0, 5000 } };
	static struct model m;
	struct rt_rand rand = { t_seed() };

	memset(&m, 0, sizeof(m));
	m.first = rows[_i].first;
	m.blks = rows[_i].blks - rows[_i].first;
	m.a = t_alloc("claim-wait", rows[_i].block_bytes, m.blks, rows[_i].per_grp, m.first, 3);
	for (unsigned i = 0; i < FILES; i++)
		t_file_open(m.a, i, &m.f[i]);
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t what = rt_rand_below(&rand, 100);

		if (what < 70)
			step_grow(&m, &rand);
		else if (what < 85)
			step_meta(&m, &rand);
		else if (what < 95)
			step_free_meta(&m, &rand);
		else
			step_file(&m, &rand);
		ck_assert_uint_eq(mbfs_alloc_free_nr(m.a), m.blks - m.used);
		if (step % 16 == 0 || m.blks < 10000)
			t_alloc_ok(m.a);
	}
	for (unsigned i = 0; i < FILES; i++)
		t_file_close(m.a, &m.f[i]);
	while (m.meta_nr > 0)
		step_free_meta(&m, &rand);
	ck_assert_uint_eq(mbfs_alloc_free_nr(m.a), m.blks);
	t_alloc_close(m.a);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model_alloc");
	TCase *tc = tcase_create("twin");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, random_operations_match_the_twin, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
