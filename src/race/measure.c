// SPDX-License-Identifier: GPL-2.0-only
/*
 * A bout: threads do batches until the time is up, which begins with the first of them. The reading
 * of the clock that ends a batch begins the next one. Each keeps the times of its last batches;
 * percentiles are of all threads' together.
 */
#include "race/measure.h"

#include "race/team.h"

#include "base/check.h"
#include "rt/mem.h"
#include "rt/sync.h"

#include <errno.h>
#include <stdlib.h>

enum { SAMPLES = 1 << 15, WARM_UP = 16, CLOCK_READINGS = 100, CLOCK_MEANS = 20 };

struct runner {
	uint64_t begun, ended, batches;
	uint64_t kept; /* samples so far */
	float *ns;     /* of batches, the last SAMPLES */
} __attribute__((aligned(128)));

struct bout {
	const struct race_bout *b;
	rt_u64 until_ns; /* [atomic] set by the first */
	double clock_ns;
	struct runner *runners;
};

/* The least of some means: whoever was preempted meanwhile does not count. */
double race_clock_cost_ns(void)
{
	double least = 0, mean;

	for (unsigned k = 0; k < CLOCK_MEANS; k++) {
		uint64_t from = rt_now_ns(), to = from;

		for (unsigned i = 0; i < CLOCK_READINGS; i++)
			to = rt_now_ns();
		mean = (double)(to - from) / CLOCK_READINGS;
		least = k && least < mean ? least : mean;
	}
	return least;
}

static void runner_main(void *arg, unsigned idx)
{
	struct bout *bout = arg;
	const struct race_bout *b = bout->b;
	struct runner *r = &bout->runners[idx];
	uint64_t from, to, until = 0;

	for (unsigned i = 0; i < WARM_UP; i++)
		b->batch(b->arg, idx);
	r->begun = from = rt_now_ns();
	if (rt_u64_cas(&bout->until_ns, &until, from + b->run_ns))
		until = from + b->run_ns;
	do {
		bool counts = b->batch(b->arg, idx);

		to = rt_now_ns();
		if (counts) {
			r->batches++;
			r->ns[r->kept++ % SAMPLES] = (float)(to - from);
		}
		from = to;
	} while (to < until);
	r->ended = to;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static double per_op(const struct bout *bout, float ns)
{
	return ns > bout->clock_ns ? (ns - bout->clock_ns) / bout->b->ops : 0;
}

/* The threads' samples lie side by side: first close the gaps. */
static void percentiles(const struct bout *bout, struct race_pace *out)
{
	float *all = bout->runners[0].ns;
	size_t nr = 0;

	for (unsigned i = 0; i < bout->b->threads; i++) {
		const struct runner *r = &bout->runners[i];

		for (uint64_t k = 0; k < r->kept && k < SAMPLES; k++)
			all[nr++] = r->ns[k];
	}
	if (!nr)
		return;
	qsort(all, nr, sizeof(*all), by_value);
	out->p50_ns = per_op(bout, all[nr / 2]);
	out->p99_ns = per_op(bout, all[nr * 99 / 100]);
	out->max_ns = per_op(bout, all[nr - 1]);
}

static void sum_up(const struct bout *bout, struct race_pace *out)
{
	uint64_t begun = UINT64_MAX, ended = 0, batches = 0, least = UINT64_MAX, most = 0;

	*out = (struct race_pace){ 0 };
	for (unsigned i = 0; i < bout->b->threads; i++) {
		const struct runner *r = &bout->runners[i];

		batches += r->batches;
		begun = r->begun < begun ? r->begun : begun;
		ended = r->ended > ended ? r->ended : ended;
		least = r->batches < least ? r->batches : least;
		most = r->batches > most ? r->batches : most;
	}
	out->per_s = (double)batches * bout->b->ops * 1e9 / (double)(ended - begun);
	out->least = most ? (double)least / (double)most : 0;
	percentiles(bout, out);
}

int race_bout_run(const struct race_bout *b, struct race_pace *out)
{
	struct bout bout = { .b = b, .clock_ns = race_clock_cost_ns() };
	float *ns = rt_zalloc((size_t)b->threads * SAMPLES * sizeof(*ns));
	uint64_t elapsed;
	int err = -ENOMEM;

	MBFS_ASSERT(b->threads > 0 && b->threads <= RACE_BOUT_THREADS_MAX && b->ops > 0);
	bout.runners = rt_zalloc_aligned(128, b->threads * sizeof(*bout.runners));
	if (ns && bout.runners) {
		for (unsigned i = 0; i < b->threads; i++)
			bout.runners[i].ns = ns + (size_t)i * SAMPLES;
		err = race_team_run(b->threads, runner_main, &bout, &elapsed);
	}
	if (!err)
		sum_up(&bout, out);
	rt_free(bout.runners);
	rt_free(ns);
	return err;
}
