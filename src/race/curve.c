// SPDX-License-Identifier: GPL-2.0-only
#include "race/curve.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>

enum { THREADS_MIN = 2 };

/* One run: 1 it deadlocked, 0 it ended. */
static int try_one(const struct race_curve *c, struct race_curve_point *p, unsigned threads,
		   struct mbfs_diag *diag)
{
	struct race_config cfg = c->cfg;
	struct race_result res;
	int err;

	cfg.threads = threads;
	cfg.reserve = p->reserve;
	p->runs++;
	err = race_run(&cfg, &res, diag);
	if (err)
		return err;
	if (res.interrupted)
		return diag_set(diag, -EINTR, "interrupted");
	if (res.deadlock) {
		p->first = threads;
		p->after_ns = res.elapsed_ns;
		return 1;
	}
	if (res.livelock || !res.check_ok)
		return diag_set(diag, -EPROTO, "%u writers: %s", threads, res.note);
	p->held = threads;
	return 0;
}

int race_curve_point(const struct race_curve *c, struct race_curve_point *p,
		     struct mbfs_diag *diag)
{
	unsigned threads = THREADS_MIN;
	int got;

	MBFS_ASSERT(p->reserve > 0 && c->threads_max >= THREADS_MIN);
	p->held = p->first = p->runs = 0;
	for (;;) {
		got = try_one(c, p, threads, diag);
		if (got || threads == c->threads_max)
			break;
		threads = threads > c->threads_max / 2 ? c->threads_max : threads * 2;
	}
	while (got >= 0 && p->first > p->held + 1 && p->first > THREADS_MIN)
		got = try_one(c, p, p->held + (p->first - p->held) / 2, diag);
	return got < 0 ? got : 0;
}

/*
 * Each object is held by somebody who waits for another, so nobody holds more than all but one of
 * what he needs: reserve objects of each pool, by so many.
 */
unsigned race_curve_floor(const struct race_config *cfg, unsigned reserve)
{
	unsigned needs = strcmp(cfg->workload->name, "three") == 0 ? 3 : 2;

	if (cfg->variant.holds)
		return 0;
	return (needs * reserve + needs - 2) / (needs - 1);
}
