/* SPDX-License-Identifier: GPL-2.0-only */
/* search.h - the strategies: who runs next, and which schedule comes after this one. */
#ifndef EXPLORE_SEARCH_H
#define EXPLORE_SEARCH_H

#include "world.h"

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

/* ---- search_random.c ---- */
extern const struct ex_strategy ex_strategy_random, ex_strategy_pct, ex_strategy_pos;
void ex_random_start(uint64_t seed, uint64_t schedules);

/* ---- search_dfs.c ---- */
/* A decision. Bits are threads, or values of a choice that is data. */
struct ex_node {
	uint32_t cand, todo, done, sleep, lazy;
	uint8_t chosen, dflt;
	int8_t self; /* -1: a switch costs nothing */
	bool is_data;
};
struct ex_dfs_config {
	int bound; /* < 0: none */
	bool cache, sleep, dpor, delay;
	bool local;         /* no preemption before an operation on what is not shared */
	bool deviations;    /* the bound is of deviations from the default policy */
	uint64_t schedules; /* 0: no limit */
};
extern const struct ex_strategy ex_strategy_dfs, ex_strategy_dpor;
/* -ENOMEM */
int ex_dfs_start(const struct explore_options *opt, const struct ex_dfs_config *cfg);
bool ex_dfs_exhausted(void);
double ex_dfs_done(void); /* 0..1: how much of the tree, an estimate */
void ex_dfs_end(void);
void ex_dfs_part(const struct ex_node *nodes, uint32_t nr);
bool ex_dfs_branch(uint32_t *at);
const struct ex_node *ex_dfs_nodes(void);
bool ex_dfs_choice(uint32_t at, unsigned idx, struct ex_node *out, double *share);

/* ---- split.c: the tree in parts ---- */
enum { EX_PARTS_MAX = 4096, EX_PLAN_NODES = 1 << 21 };
struct ex_plan {
	uint32_t nr, pool_nr;
	struct ex_part {
		uint32_t at;    /* its nodes in the pool */
		uint32_t nr;    /* of them, up to one that branches */
		uint32_t fixed; /* of them, with a choice made */
		double share;   /* of the tree, an estimate */
		bool leaf;
	} part[EX_PARTS_MAX];
	struct ex_node pool[EX_PLAN_NODES];
};
int ex_plan(struct ex_world *w, const struct ex_dfs_config *cfg, uint32_t want,
	    struct ex_plan *plan);

/* ---- run.c: what a search has come to ---- */
struct ex_run {
	struct explore_result *res;
	struct ex_set traces,
		failing;          /* traces: value 1: drawn once, and seen by no other search */
	struct ex_deviation *dev; /* of the first failure; twice EX_DEVIATIONS_MAX */
	unsigned dev_nr;
	bool found, exhausted;
	bool died;          /* the failure ended a process: it is not repeated in this one */
	bool draws;         /* the search that runs draws its schedules */
	uint64_t drawn_nr;  /* schedules drawn */
	uint64_t single_nr; /* traces with value 1 */
	uint64_t before_nr; /* schedules before the search that runs */
	uint64_t start_ns, told_ns;
};
extern struct ex_run ex_run;
enum { EX_DEVIATIONS_MAX = 1 << 15, EX_PORTFOLIO_SLICE = 2000 };
void ex_step_limit(struct ex_world *w);
/* Runs @strat to its end; true when the search is to go on with other means. */
bool ex_search(struct ex_world *w, const struct ex_strategy *strat, enum explore_strategy name);
bool ex_search_drawing(struct ex_world *w, enum explore_strategy name, uint64_t seed,
		       uint64_t schedules);
enum explore_strategy ex_portfolio_turn(uint64_t turn);
/* Schedules left of @nr done, when @done (0..1) of the tree are. */
uint64_t ex_left(uint64_t nr, double done);
void ex_trace_add(uint64_t key, int64_t times);

/* ---- jobs.c: a search by several processes ---- */
struct ex_stage {
	enum explore_strategy name; /* EXPLORE_PORTFOLIO: pct, pos, random in turns */
	bool draws;
	struct ex_dfs_config cfg; /* not draws */
	uint64_t schedules;       /* draws: in all; else at most; 0: no limit */
};
bool ex_jobs_wanted(const struct explore_options *opt);
/* As ex_search(). */
bool ex_jobs_stage(struct ex_world *w, const struct ex_stage *stage);
/* Some objects that threads share, the same ones for all shards. */
void ex_jobs_discover(struct ex_world *w);
/* After each execution of a worker; true: stop. */
bool ex_jobs_tick(const struct ex_world *w);

/* ---- objects.c: --histogram ---- */
void ex_objects_start(const struct ex_strategy **strat);
void ex_objects_tell(struct ex_world *w, struct explore_result *res);
void ex_objects_add(const struct explore_object *o);
void ex_objects_end(void);

/* ---- shared.c: objects that threads share ---- */
/* None are known; @jobs: processes forked from here learn together. -ENOMEM */
int ex_shared_start(bool jobs);
void ex_shared_end(void);
void ex_shared_note(const struct ex_world *w, const struct ex_thread *t); /* t's operation runs */
bool ex_shared_local(const struct ex_op *op); /* it commutes with what others do */
uint64_t ex_shared_grown(void);               /* changes when an object turned out to be shared */
uint64_t ex_shared_sum(void);                 /* of the set of shared objects */

/* ---- dpor.c: events of the execution and their races, for search_dfs.c ---- */
int ex_dpor_start(const struct explore_options *opt);
void ex_dpor_begin(uint32_t fresh); /* first node whose operation is not the last execution's */
void ex_dpor_state(struct ex_world *w, uint32_t depth);
void ex_dpor_commit(struct ex_world *w, struct ex_thread *t, uint32_t node);
void ex_dpor_end(void);
/* search_dfs.c's: one of @initials must be tried at @node, @prefer if it is one; false: none could
 * run. */
bool ex_dfs_backtrack(uint32_t node, uint32_t initials, int prefer);

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
