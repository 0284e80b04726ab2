/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * curve.h - how many writers does it take until a scenario deadlocks, by the size of the reserves?
 */
#ifndef RACE_CURVE_H
#define RACE_CURVE_H

#include "race/race.h"

enum { RACE_CURVE_MAX = 32 };

struct race_curve_point {
	unsigned reserve;
	unsigned held;	/* so many writers ended their run; 0: not even two */
	unsigned first; /* so many deadlocked, the fewest that were seen to; 0: none up to the limit
			 */
	uint64_t after_ns; /* how soon */
	unsigned runs;
};

struct race_curve {
	struct race_config cfg; /* of each run, but for threads and reserve */
	unsigned threads_max;
	unsigned nr;
	struct race_curve_point point[RACE_CURVE_MAX];
};

/*
 * race_curve_point - the number of writers is doubled until a run deadlocks, then halved in between
 * @p: [in] reserve; [out] the rest
 * Errors: as race_run(); -EINTR: a signal; -EPROTO: a run broke, or hung without a deadlock.
 */
int race_curve_point(const struct race_curve *c, struct race_curve_point *p,
		     struct mbfs_diag *diag);

/* The fewest writers that can deadlock, by counting what they hold; 0: never. */
unsigned race_curve_floor(const struct race_config *cfg, unsigned reserve);

/* ---- curve_draw.c ---- */
/* @command: how to repeat it. -EIO when it could not be written. */
int race_curve_svg(FILE *out, const struct race_curve *c, const char *command);
/* @text in tspans, broken at spaces. */
void race_svg_text(FILE *out, const char *text, int x, int y);

/* ---- matrix_draw.c ---- */
/* One run of a matrix. */
struct race_dot {
	const char *variant, *workload;
	unsigned threads, cpus;
	uint64_t p50_ns;
};
/* Likewise. @dot: [in] @nr of them, 1 or more, those of a line in the order of threads */
int race_matrix_svg(FILE *out, const char *title, const struct race_dot *dot, unsigned nr,
		    const char *command);

#endif
