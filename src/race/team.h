/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * team.h - threads that start together, a clock and random numbers, for benchmarks outside src/.
 */
#ifndef RACE_TEAM_H
#define RACE_TEAM_H

#include "race/race.h"

uint64_t race_now_ns(void);
void race_sleep_ms(uint64_t ms);
/* The next number of a sequence that @state determines. */
uint64_t race_rand(uint64_t *state);

/*
 * race_team_run - fn(arg, idx) in @nr threads that are let go at once
 * @elapsed_ns: [out] from there until the last has ended
 * Errors: -ENOMEM, -EAGAIN: no thread was let go.
 */
int race_team_run(unsigned nr, void (*fn)(void *arg, unsigned idx), void *arg,
		  uint64_t *elapsed_ns);

/*
 * race_rcu_measure - how long rt_rcu_barrier() takes with one callback queued
 * @readers: [in] threads that go in and out of read sections all the while
 * @lat:     [out] added to, @times entries
 */
int race_rcu_measure(unsigned readers, unsigned times, struct race_hist *lat);

#endif
