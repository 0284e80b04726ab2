// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fewest deviations from the default policy that still fail in the same way. Leave out halves,
 * quarters, ... single ones, as long as the verdict stays; deviations are kept by thread and the
 * operations it has done, so leaving one out does not move the others. Where that sticks, two are
 * left out at a time; then all schedules with fewer deviations are searched, first those with none,
 * then with one, ..., as far as a budget of executions goes.
 */
#include "search.h"

enum { RERUNS_MAX = 1000, PAIRS_MAX = 24, DEEPER_MAX = 20000, ENOUGH = 2 };

unsigned ex_deviations(const struct ex_world *w, struct ex_deviation *dev, unsigned max)
{
	unsigned nr = 0;

	for (uint32_t i = 0; i < w->path_nr && nr < max; i++) {
		const struct ex_step *s = &w->path[i];

		if (s->picked != s->dflt)
			dev[nr++] = (struct ex_deviation){ .step = i,
							   .own_nr = s->own_nr,
							   .last = s->last,
							   .to = s->picked,
							   .data = s->data };
	}
	return nr;
}

static bool fails_without(struct ex_world *w, struct ex_deviation *dev, unsigned nr, unsigned from,
			  unsigned len, enum explore_verdict v, uint64_t *reruns)
{
	for (unsigned i = from; i < from + len && i < nr; i++)
		dev[i].off = true;
	ex_replay_start(dev, nr, 0);
	w->strat = &ex_strategy_owner;
	ex_world_run(w);
	++*reruns;
	if (w->verdict == v)
		return true;
	for (unsigned i = from; i < from + len && i < nr; i++)
		dev[i].off = false;
	return false;
}

/* The last execution failed with fewer than @nr: take what it did. Returns how many. */
static unsigned take(struct ex_world *w, struct ex_deviation *dev, unsigned nr, unsigned max)
{
	unsigned now = ex_deviations(w, dev + max, max);

	if (now >= nr) {
		for (unsigned i = 0; i < nr; i++)
			dev[i].off = false;
		return nr;
	}
	for (unsigned i = 0; i < now; i++)
		dev[i] = dev[max + i];
	return now;
}

static unsigned leave_out(struct ex_world *w, struct ex_deviation *dev, unsigned nr, unsigned max,
			  enum explore_verdict v, uint64_t *reruns)
{
	unsigned len = nr > 1 ? nr / 2 : 1;
	bool shorter;

	for (;;) {
		shorter = false;
		for (unsigned at = 0; at < nr && *reruns < RERUNS_MAX;) {
			unsigned now = nr;

			/* Without them others may have lost their meaning. */
			if (fails_without(w, dev, nr, at, len, v, reruns))
				now = take(w, dev, nr, max);
			if (now == nr)
				at += len;
			shorter |= now < nr;
			nr = now;
		}
		if (*reruns >= RERUNS_MAX || (len == 1 && !shorter))
			return nr;
		len = len > 1 ? len / 2 : 1;
	}
}

/* Any two of them; where they are neighbours leave_out() has tried it. */
static unsigned leave_out_pairs(struct ex_world *w, struct ex_deviation *dev, unsigned nr,
				unsigned max, enum explore_verdict v, uint64_t *reruns)
{
	for (unsigned i = 0; i < nr && nr <= PAIRS_MAX; i++) {
		for (unsigned k = i + 1; k < nr && *reruns < RERUNS_MAX; k++) {
			unsigned now = nr;

			dev[i].off = true;
			if (fails_without(w, dev, nr, k, 1, v, reruns))
				now = take(w, dev, nr, max);
			if (now < nr)
				return now;
			dev[i].off = false;
		}
	}
	return nr;
}

/* Schedules with at most @bound deviations. Returns how many the first failing one has, or @nr. */
static unsigned search_fewer(struct ex_world *w, struct ex_deviation *dev, unsigned nr,
			     unsigned max, enum explore_verdict v, unsigned bound, uint64_t *left,
			     uint64_t *reruns)
{
	const struct ex_dfs_config cfg = { .bound = (int)bound, .cache = true, .deviations = true };

	if (ex_dfs_start(w->opt, &cfg))
		return nr;
	w->strat = &ex_strategy_dfs;
	while (*left > 0) {
		--*left;
		++*reruns;
		ex_world_run(w);
		if (w->verdict == v)
			return take(w, dev, nr, max);
		if (!ex_strategy_dfs.next(w))
			break;
	}
	return nr;
}

/* @dev: in: of a failing execution; out: of a shorter one. Returns how many. */
unsigned ex_minimise(struct ex_world *w, struct ex_deviation *dev, unsigned nr, unsigned max,
		     enum explore_verdict v, uint64_t *reruns)
{
	uint64_t left = DEEPER_MAX;
	unsigned was;

	do {
		was = nr = leave_out(w, dev, nr, max, v, reruns);
		if (nr > ENOUGH)
			nr = leave_out_pairs(w, dev, nr, max, v, reruns);
	} while (nr < was);
	for (unsigned bound = 0; nr > ENOUGH && bound < nr && left > 0; bound++)
		nr = search_fewer(w, dev, nr, max, v, bound, &left, reruns);
	return nr;
}
