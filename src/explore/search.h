/* SPDX-License-Identifier: GPL-2.0-only */
/* search.h - the strategies: who runs next, and which schedule comes after this one. */
#ifndef EXPLORE_SEARCH_H
#define EXPLORE_SEARCH_H

#include "world.h"

/* ---- search_random.c ---- */
extern const struct ex_strategy ex_strategy_random, ex_strategy_pct, ex_strategy_pos;
void ex_random_start(uint64_t seed, uint64_t schedules);

/* ---- search_dfs.c ---- */
struct ex_dfs_config {
	int bound; /* < 0: none */
	bool cache, sleep, dpor, delay;
	bool local; /* no preemption before an operation on what is not shared */
	uint64_t schedules; /* 0: no limit */
};
extern const struct ex_strategy ex_strategy_dfs, ex_strategy_dpor;
/* -ENOMEM */
int ex_dfs_start(const struct explore_options *opt, const struct ex_dfs_config *cfg);
bool ex_dfs_exhausted(void);
void ex_dfs_end(void);

/* ---- shared.c: objects that threads share ---- */
int ex_shared_start(void); /* none are known; -ENOMEM */
void ex_shared_end(void);
void ex_shared_note(const struct ex_world *w, const struct ex_thread *t); /* t's operation runs */
bool ex_shared_local(const struct ex_op *op); /* it commutes with what others do */
uint64_t ex_shared_grown(void); /* changes when an object turned out to be shared */

/* ---- dpor.c: events of the execution and their races, for search_dfs.c ---- */
int ex_dpor_start(const struct explore_options *opt);
void ex_dpor_begin(uint32_t fresh); /* first node whose operation is not the last execution's */
void ex_dpor_state(struct ex_world *w, uint32_t depth);
void ex_dpor_commit(struct ex_world *w, struct ex_thread *t, uint32_t node);
void ex_dpor_end(void);
/* search_dfs.c's: thread @tid must be tried at @node; it was not enabled there: @could may do. */
bool ex_dfs_was_candidate(uint32_t node, int tid);
void ex_dfs_backtrack(uint32_t node, int tid, uint32_t could);

/* ---- set.c: a set of 64-bit hashes, each with a number ---- */
struct ex_set {
	struct ex_set_slot {
		uint64_t key;
		int64_t value;
	} * slots;
	uint64_t room, nr, sum;
};
int ex_set_init(struct ex_set *s, uint64_t room); /* a power of two; it grows */
void ex_set_end(struct ex_set *s);
/* The slot of @key, new (value INT64_MIN) if *was_new; NULL when there is no memory. */
struct ex_set_slot *ex_set_get(struct ex_set *s, uint64_t key, bool *was_new);

/* ---- token.c ---- */
void ex_token_write(const struct ex_world *w, uint64_t seed, char *to, size_t bytes);

/* ---- replay.c: follow given deviations from the default policy ---- */
struct ex_deviation {
	uint32_t step;   /* by step, or */
	uint32_t own_nr; /* by the last thread and the operations it had done */
	uint8_t last, to;
	bool data, off;
};
extern const struct ex_strategy ex_strategy_steps, ex_strategy_owner;
void ex_replay_start(struct ex_deviation *dev, unsigned nr, uint64_t stop_at);
/* Deviations were all met, as they were when recorded. */
bool ex_replay_matched(void);
int ex_token_switches(const char *text, struct ex_deviation *dev, unsigned max);

/* ---- minimise.c ---- */
/* Of the last execution. */
unsigned ex_deviations(const struct ex_world *w, struct ex_deviation *dev, unsigned max);
/* @dev has room for 2 * @max. */
unsigned ex_minimise(struct ex_world *w, struct ex_deviation *dev, unsigned nr, unsigned max,
		     enum explore_verdict v, uint64_t *reruns);

#endif
