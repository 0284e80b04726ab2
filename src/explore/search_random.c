// SPDX-License-Identifier: GPL-2.0-only
/*
 * The searches that draw: a random walk; PCT (Burckhardt et al., ASPLOS 2010), random priorities
 * with d - 1 random points at which the running thread falls behind all others; POS (Yuan et al.,
 * CAV 2018), a random priority for each pending operation, drawn anew when a dependent one ran.
 *
 * PCT does not demote a thread at its first yields: the budget is drawn from 0..4 for each run, for
 * some bugs need a thread that stands still while another one yields again and again.
 */
#include "search.h"

#include <string.h>

enum { PCT_DEPTH_MAX = 16, PCT_YIELDS = 5 };

static struct {
	struct rt_rand rand;
	uint64_t left; /* schedules */
	uint64_t prio[EX_THREADS_MAX];
	unsigned yields[EX_THREADS_MAX], yield_budget;
	uint64_t demoted; /* priorities fall from here */
	unsigned depth, run_nr;
	uint32_t change_at[PCT_DEPTH_MAX], length; /* length: branching steps of the longest run */
} rnd;

static unsigned nth_bit(uint32_t mask, unsigned n)
{
	while (n-- > 0)
		mask &= mask - 1;
	return (unsigned)__builtin_ctz(mask);
}

void ex_random_start(uint64_t seed, uint64_t schedules)
{
	memset(&rnd, 0, sizeof(rnd));
	rnd.rand.state = seed * 0x9E3779B97F4A7C15ull + 12345;
	rnd.left = schedules;
	rnd.length = 1; /* grows with what is seen */
}

static bool random_next(struct ex_world *w)
{
	if (w->branch_steps > rnd.length)
		rnd.length = w->branch_steps;
	rnd.run_nr++;
	return rnd.left == 0 || --rnd.left > 0;
}

static int random_data(struct ex_world *w, unsigned n)
{
	(void)w;
	return (int)rt_rand_below(&rnd.rand, n);
}

/* ---- random walk ---- */

static void walk_begin(struct ex_world *w)
{
	(void)w;
}

static int walk_pick(struct ex_world *w, const struct ex_choice *c)
{
	unsigned nr = (unsigned)__builtin_popcount(c->cand);

	(void)w;
	if (nr == 1)
		return __builtin_ctz(c->cand);
	return (int)nth_bit(c->cand, (unsigned)rt_rand_below(&rnd.rand, nr));
}

const struct ex_strategy ex_strategy_random = {
	.begin = walk_begin,
	.pick = walk_pick,
	.data = random_data,
	.next = random_next,
};

/* ---- PCT ---- */

static void pct_begin(struct ex_world *w)
{
	rnd.depth = w->opt->depth ? w->opt->depth : 2 + rnd.run_nr % 3;
	if (rnd.depth > PCT_DEPTH_MAX)
		rnd.depth = PCT_DEPTH_MAX;
	for (unsigned i = 0; i < EX_THREADS_MAX; i++) {
		rnd.prio[i] = (1ull << 63) | rt_rand_next(&rnd.rand) >> 1;
		rnd.yields[i] = 0;
	}
	rnd.demoted = 1ull << 62;
	rnd.yield_budget = (unsigned)rt_rand_below(&rnd.rand, PCT_YIELDS);
	for (unsigned i = 0; i + 1 < rnd.depth; i++)
		rnd.change_at[i] = 1 + (uint32_t)rt_rand_below(&rnd.rand, rnd.length);
}

static int highest(uint32_t cand)
{
	int best = __builtin_ctz(cand);

	for (uint32_t m = cand; m; m &= m - 1)
		if (rnd.prio[__builtin_ctz(m)] > rnd.prio[best])
			best = __builtin_ctz(m);
	return best;
}

static int pct_pick(struct ex_world *w, const struct ex_choice *c)
{
	const struct ex_thread *last = w->last;
	int best;

	if (last && last->yielded && ++rnd.yields[ex_tid(w, last)] > rnd.yield_budget)
		rnd.prio[ex_tid(w, last)] = --rnd.demoted;
	if (!(c->cand & (c->cand - 1)))
		return __builtin_ctz(c->cand);
	best = highest(c->cand);
	for (unsigned i = 0; i + 1 < rnd.depth; i++)
		if (rnd.change_at[i] == w->branch_steps) {
			rnd.prio[best] = --rnd.demoted;
			best = highest(c->cand);
		}
	return best;
}

const struct ex_strategy ex_strategy_pct = {
	.begin = pct_begin,
	.pick = pct_pick,
	.data = random_data,
	.next = random_next,
};

/* ---- POS ---- */

static void pos_begin(struct ex_world *w)
{
	(void)w;
	for (unsigned i = 0; i < EX_THREADS_MAX; i++)
		rnd.prio[i] = rt_rand_next(&rnd.rand);
}

static int pos_pick(struct ex_world *w, const struct ex_choice *c)
{
	(void)w;
	return highest(c->cand);
}

static void pos_commit(struct ex_world *w, struct ex_thread *t)
{
	for (uint32_t m = w->sim.live; m; m &= m - 1) {
		struct ex_thread *u = &w->sim.th[__builtin_ctz(m)];

		if (u == t || ex_ops_dependent(&t->op, &u->op))
			rnd.prio[ex_tid(w, u)] = rt_rand_next(&rnd.rand);
	}
}

const struct ex_strategy ex_strategy_pos = {
	.begin = pos_begin,
	.pick = pos_pick,
	.data = random_data,
	.commit = pos_commit,
	.next = random_next,
};
