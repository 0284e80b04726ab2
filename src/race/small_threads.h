/* SPDX-License-Identifier: GPL-2.0-only */
/* Small scenarios (small.h) by real threads, round after round. */
#ifndef RACE_SMALL_THREADS_H
#define RACE_SMALL_THREADS_H

#include "race/small.h"

struct small_tally {
	uint64_t rounds, lost; /* lost: rounds in which something broke */
	uint64_t ns;
	bool stuck;	       /* a round did not end: livelock or deadlock; it was killed */
	bool died;	       /* by a signal */
	char text[SMALL_TEXT_BYTES]; /* what broke first; empty: nothing */
};

/*
 * small_threads_run - in a child process, so that nothing it does can hurt the caller
 * @rounds:   0: until @run_ms have passed
 * @grace_ms: a round that takes longer is stuck
 * Errors: -errno the run could not be set up (@diag says why); what broke is in @out.
 */
int small_threads_run(const struct small_scenario *s, const char *variant, uint64_t rounds,
		      uint64_t run_ms, uint64_t grace_ms, struct small_tally *out,
		      struct mbfs_diag *diag);

#endif
