// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fewest deviations from the default policy that still fail in the same way: leave out halves,
 * quarters, ... single ones, as long as the verdict stays. Deviations are kept by thread and the
 * operations it has done, so leaving one out does not move the others.
 */
#include "search.h"

enum { RERUNS_MAX = 1000 };

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

/* @dev: in: of a failing execution; out: of a shorter one. Returns how many. */
unsigned ex_minimise(struct ex_world *w, struct ex_deviation *dev, unsigned nr, unsigned max,
		     enum explore_verdict v, uint64_t *reruns)
{
	unsigned len = nr > 1 ? nr / 2 : 1;
	bool shorter;

	for (;;) {
		shorter = false;
		for (unsigned at = 0; at < nr && *reruns < RERUNS_MAX;) {
			unsigned now;

			if (!fails_without(w, dev, nr, at, len, v, reruns)) {
				at += len;
				continue;
			}
			/* Without them others may have lost their meaning: take what did happen. */
			now = ex_deviations(w, dev + max, max);
			if (now >= nr) {
				for (unsigned i = 0; i < nr; i++)
					dev[i].off = false;
				at += len;
				continue;
			}
			for (unsigned i = 0; i < now; i++)
				dev[i] = dev[max + i];
			nr = now;
			shorter = true;
		}
		if (*reruns >= RERUNS_MAX || (len == 1 && !shorter))
			return nr;
		len = len > 1 ? len / 2 : 1;
	}
}
