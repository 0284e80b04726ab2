// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executions that follow given deviations from the default policy: by step, as a token says them,
 * or by (thread, operations it has done), which do not shift when one of them is left out.
 */
#include "search.h"

#include <signal.h>

static struct {
	struct ex_deviation *dev;
	unsigned nr, at;
	uint64_t stop_at;
	bool stray;
} rep;

void ex_replay_start(struct ex_deviation *dev, unsigned nr, uint64_t stop_at)
{
	rep.dev = dev;
	rep.nr = nr;
	rep.stop_at = stop_at;
}

bool ex_replay_matched(void)
{
	return rep.at == rep.nr && !rep.stray;
}

static void replay_begin(struct ex_world *w)
{
	(void)w;
	rep.at = 0;
	rep.stray = false;
}

static bool replay_next(struct ex_world *w)
{
	(void)w;
	return false;
}

static const struct ex_deviation *next_at(const struct ex_world *w, bool data)
{
	const struct ex_deviation *d = rep.at < rep.nr ? &rep.dev[rep.at] : NULL;

	if (rep.stop_at && w->step + 1 == rep.stop_at)
		raise(SIGTRAP); /* under gdb: explore_event.step of the next operation */
	if (!d || d->step != w->step)
		return NULL;
	rep.at++;
	if (d->data != data)
		rep.stray = true;
	return d;
}

static int steps_pick(struct ex_world *w, const struct ex_choice *c)
{
	const struct ex_deviation *d = next_at(w, false);

	if (d && d->to < EX_THREADS_MAX && c->cand & 1u << d->to)
		return d->to;
	if (d)
		rep.stray = true;
	return c->dflt;
}

static int steps_data(struct ex_world *w, unsigned n)
{
	const struct ex_deviation *d = next_at(w, true);

	if (d && d->to < n)
		return d->to;
	if (d)
		rep.stray = true;
	return 0;
}

static const struct ex_deviation *owned(unsigned last, uint32_t own_nr, bool data)
{
	for (unsigned i = 0; i < rep.nr; i++) {
		const struct ex_deviation *d = &rep.dev[i];

		if (!d->off && d->last == last && d->own_nr == own_nr && d->data == data)
			return d;
	}
	return NULL;
}

static int owner_pick(struct ex_world *w, const struct ex_choice *c)
{
	const struct ex_deviation *d =
		w->last ? owned((unsigned)ex_tid(w, w->last), w->last->steps, false)
			: owned(EX_NO_THREAD, 0, false);

	return d && c->cand & 1u << d->to ? d->to : c->dflt;
}

static int owner_data(struct ex_world *w, unsigned n)
{
	const struct ex_deviation *d = owned((unsigned)ex_tid(w, w->cur), w->cur->data_nr, true);

	return d && d->to < n ? d->to : 0;
}

const struct ex_strategy ex_strategy_steps = {
	.begin = replay_begin,
	.pick = steps_pick,
	.data = steps_data,
	.next = replay_next,
};
const struct ex_strategy ex_strategy_owner = {
	.begin = replay_begin,
	.pick = owner_pick,
	.data = owner_data,
	.next = replay_next,
};
