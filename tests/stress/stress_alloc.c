// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: real threads near full, for the variants that hold: no ENOSPC when everything fits, nothing
 * given twice, the equations at the end. Under TSan also: no data race, for every variant. Method:
 * each thread fills its share, checks that every block is its own, frees it, again.
 */
#include <errno.h>
#include <string.h>

#include "rt/rcu.h"
#include "rt/work.h"
#include "support/t_alloc.h"

enum { THREADS = 8, BLKS = 3840, SHARE = BLKS * 8 / 10 / THREADS, ROUNDS = 60 };

struct shared {
	struct mbfs_alloc *a;
	rt_u32 owner[BLKS];
};

struct worker {
	struct shared *sh;
	unsigned id;
	uint64_t seed, enospc;
	bool lost; /* a block that somebody else has */
};

static void own(struct worker *w, const struct mbfs_run *run, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < run->len; i++) {
		uint32_t old = from;

		if (!rt_u32_cas(&w->sh->owner[run->start + i], &old, to))
			w->lost = true;
	}
}

static void work(void *arg)
{
	struct worker *w = arg;
	struct rt_rand rand = { w->seed };
	struct t_file f;

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned flags =
			MBFS_ALLOC_DATA | (rt_rand_below(&rand, 2) ? MBFS_ALLOC_FALLOC : 0);

		t_file_open(w->sh->a, w->id, &f);
		while (f.blks < SHARE && w->enospc < 1000) {
			uint32_t want = 1 + (uint32_t)rt_rand_below(&rand, 24);

			if (want > SHARE - f.blks)
				want = (uint32_t)(SHARE - f.blks);
			if (t_file_grow(w->sh->a, &f, want, flags))
				w->enospc++;
			else
				own(w, &f.runs[f.run_nr - 1], 0, w->id + 1);
		}
		for (unsigned i = 0; i < f.run_nr; i++)
			own(w, &f.runs[i], w->id + 1, 0);
		t_file_close(w->sh->a, &f);
	}
}

static void run(const char *variant, uint32_t per_grp, uint64_t *enospc)
{
	static struct shared sh;
	struct rt_thread *t[THREADS];
	struct worker w[THREADS];
	uint64_t seed = t_seed();

	memset(&sh, 0, sizeof(sh));
	*enospc = 0;
	sh.a = t_alloc(variant, 65536, BLKS, per_grp, 0, 4);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .sh = &sh, .id = i, .seed = seed + i };
		ck_assert_int_eq(rt_thread_start(work, &w[i], "stress", &t[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_msg(!w[i].lost, "a block was given to two files");
		*enospc += w[i].enospc;
	}
	ck_assert_uint_eq(mbfs_alloc_free_nr(sh.a), BLKS);
	t_alloc_close(sh.a);
}

static const char *const holding[] = { "6.0-fixed", "begin-end", "claim-wait" };
static const char *const losing[] = { "pre-5.8", "bb-free", "5.10", "5.17", "6.0" };

START_TEST(holding_variants_never_say_enospc)
{
	uint64_t enospc;

	run(holding[_i / 2], _i % 2 ? 512 : 65528, &enospc);
	ck_assert_uint_eq(enospc, 0);
}
END_TEST

/* Goal: variants that may lose still never lose or double a block. */
START_TEST(losing_variants_keep_the_equations)
{
	uint64_t enospc;

	run(losing[_i], 65528, &enospc);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stress_alloc");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, holding_variants_never_say_enospc, 0, 6);
	tcase_add_loop_test(tc, losing_variants_keep_the_equations, 0, 5);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
