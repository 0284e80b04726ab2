// SPDX-License-Identifier: GPL-2.0-only
/* What the explorer costs, in CPU time: bench_explore. Numbers, never pass or fail. */
#include <stdio.h>
#include <time.h>

#include "explore/explore.h"
#include "explore/fiber.h"
#include "rt/sync.h"

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- a switch ---- */

enum { SWITCHES = 20000000 };
static struct ex_fiber here, there;

static void bounce(void)
{
	ex_fiber_entered(&there);
	for (;;)
		ex_fiber_switch(&there, &here);
}

static void bench_switch(void)
{
	uint64_t start;

	ex_fiber_adopt(&here);
	if (ex_fiber_init(&there, 65536))
		return;
	ex_fiber_make(&there, bounce);
	start = now_ns();
	for (unsigned i = 0; i < SWITCHES / 2; i++)
		ex_fiber_switch(&here, &there);
	printf("switch: %.1f ns\n", (double)(now_ns() - start) / SWITCHES);
	ex_fiber_destroy(&there);
}

/* ---- scenarios of a given length: a shared lock and word, and a lock of one's own ---- */

struct shop {
	struct rt_mutex shared, own[3];
	rt_u64 sold, last;
};

static unsigned rounds;

static void shop_setup(void *state)
{
	struct shop *s = state;

	rt_mutex_init(&s->shared, RANK_NONE);
	for (unsigned i = 0; i < 3; i++)
		rt_mutex_init(&s->own[i], RANK_NONE);
}

static void shop_sell(void *state)
{
	struct shop *s = state;
	unsigned me = explore_thread();

	for (unsigned i = 0; i < rounds; i++) {
		rt_mutex_lock(&s->shared);
		rt_u64_add(&s->sold, 1);
		rt_mutex_unlock(&s->shared);
		(void)rt_u64_read(&s->last);
		rt_mutex_lock(&s->own[me]);
		rt_mutex_unlock(&s->own[me]);
		rt_u64_set(&s->last, i);
	}
}

static void bench_runs(unsigned nr, uint64_t schedules)
{
	static struct explore_result res;
	struct explore_scenario s = { .name = "shop",
				      .state_bytes = sizeof(struct shop),
				      .setup = shop_setup,
				      .thread_nr = 2,
				      .threads = { { NULL, shop_sell }, { NULL, shop_sell } } };

	rounds = nr;
	for (enum explore_strategy by = EXPLORE_RANDOM; by <= EXPLORE_DPOR; by++) {
		struct explore_options opt = { .strategy = by,
					       .bound = by == EXPLORE_DFS ? 2 : -1,
					       .schedules = schedules,
					       .now_ns = now_ns };

		explore_run(&s, &opt, &res);
		printf("%-7s %4.0f operations a run %9.0f schedules/s %6.1f ns/operation\n",
		       explore_strategy_name(by), (double)res.steps / (double)res.schedules,
		       (double)res.schedules * 1e9 / (double)res.ns,
		       (double)res.ns / (double)res.steps);
	}
}

int main(void)
{
	bench_switch();
	bench_runs(3, 500000);
	bench_runs(40, 20000);
	return 0;
}
