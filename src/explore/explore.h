/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explore.h - run a scenario under many schedules, or under all of them.
 *
 * A scenario is a set-up, two or more threads and a check at the end. The set-up runs once; its
 * memory (rt_alloc only, no globals) is copied back before each execution. An execution is over
 * when the scenario's threads have returned, no RCU callback is queued and all other threads wait
 * (at most for time to pass); then the check runs, single-threaded, and tears down what the set-up
 * made: what is still allocated after it is a leak.
 *
 * One OS thread, one scenario at a time. Code under test is compiled against src/explore/rt_backend
 * and may be called from within explore_run() only.
 */
#ifndef EXPLORE_EXPLORE_H
#define EXPLORE_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "explore/model.h"

enum {
	EXPLORE_THREADS_MAX = 8, /* of a scenario */
	EXPLORE_TEXT_BYTES = 1024,
	EXPLORE_DETAIL_BYTES = 8192,
	EXPLORE_TOKEN_BYTES = 4096,
	EXPLORE_KINDS_MAX = 64,
};

struct explore_obs;

struct explore_scenario {
	const char *name, *variant; /* no ':' in them */
	size_t state_bytes;         /* size of the state: zeroed, passed to all functions */
	const void *arg;            /* constant; explore_arg() */
	void (*setup)(void *state); /* may be NULL */
	unsigned thread_nr;
	struct {
		const char *name; /* NULL: A, B, ... */
		void (*fn)(void *state);
	} threads[EXPLORE_THREADS_MAX];
	void (*check)(void *state); /* at quiescence; may be NULL */
	bool may_leak;              /* the check tears nothing down */
	/*
	 * Tells the values that the pictures show, with explore_show_*(); NULL: none. Called at the
	 * start of the execution that is recorded and after each of its events, as explore_peek()
	 * is on; never while searching. The world stands still: locks may be held by others.
	 */
	void (*observe)(void *state, struct explore_obs *obs);
};

enum explore_strategy {
	EXPLORE_PORTFOLIO, /* dfs 0, 1, 2, then pct, pos, random in turns */
	EXPLORE_RANDOM,
	EXPLORE_PCT,
	EXPLORE_POS,
	EXPLORE_DFS, /* preemption-bounded with a happens-before cache; bound < 0: all schedules */
	EXPLORE_SLEEP, /* all schedules, sleep sets */
	EXPLORE_DPOR,  /* one schedule or a few of each trace: DPOR with sleep sets */
	EXPLORE_REPLAY,
	EXPLORE_STRATEGY_NR
};

struct explore_progress {
	uint64_t schedules, ns;
	uint64_t traces; /* with jobs: at most so many are distinct */
	uint64_t left;   /* schedules, an estimate; 0: not known */
	double unseen;   /* as in explore_result */
};

struct explore_options {
	enum explore_strategy strategy;
	int bound;          /* dfs: preemptions; < 0: no bound */
	bool no_cache;      /* dfs: without the cache */
	bool no_local;      /* dfs: preempt also before operations on what threads do not share */
	bool delay_bound;   /* dfs: a switch costs its distance in round-robin order */
	unsigned depth;     /* pct: 0: 2, 3, 4 in turns */
	uint64_t seed;      /* random, pct, pos */
	uint64_t schedules; /* at most; 0: no limit (dfs, sleep, dpor), 10,000 (others), 100,000
			       (portfolio). With shards: dfs, sleep, dpor: of each shard */
	uint64_t max_steps; /* livelock; 0: 20 times the longest run, at least 20,000 */
	bool go_on;         /* count failures instead of stopping at the first */
	bool no_minimise;
	unsigned jobs;            /* processes; 0, 1: no other than this one; not with TSan */
	unsigned shard, shards;   /* part shard of 1..shards of the search; 0: all of it */
	bool histogram;           /* fill explore_result.objects; 7 % slower on enospc */
	unsigned cpus;            /* virtual CPUs of rt_cpus_init(c, 0); 0: 2 */
	unsigned alloc_fails;     /* so many allocations of a run may fail: a choice at each */
	const char *token;        /* replay */
	uint64_t stop_at;         /* replay: SIGTRAP before this step; 0: never */
	unsigned migrations;      /* so many times a run rt_cpu() may name another CPU: a choice */
	unsigned spurious;        /* so many times a run a condition may wake for no reason */
	bool weak;                /* atomics as weak as C11 has them (README) */
	bool no_lock_order;       /* leave contradicting lock orders to the deadlock */
	unsigned drop_rule;       /* tests: the scheduler's rule to leave out (explore_rule) */
	uint64_t (*now_ns)(void); /* for seconds and progress; NULL: none */
	uint64_t budget_ns;       /* with now_ns; 0: no limit */
	void (*progress)(const struct explore_progress *now); /* with now_ns, twice a second */
	bool (*stop)(void);                                   /* asked now and then */
};

/* Rules of the scheduler and the reductions; leaving one out must break a test. */
enum explore_rule {
	RULE_NONE,
	RULE_DISABLED_BY,  /* fairness: the D set */
	RULE_FAIR,         /* fairness at all */
	RULE_SCAN_PENDING, /* dpor: races of pending operations of other threads */
	RULE_SCAN_POSTED,  /* dpor: races of an operation when it is posted */
	RULE_SCAN_AGAIN,   /* dpor: and once more when it runs */
	RULE_SLEEP_WAKE,   /* sleep sets: wake a thread when a dependent operation ran */
	RULE_CACHE_BUDGET, /* cache: compare what is left of the bound */
	RULE_CACHE_THREAD, /* cache: the thread that runs belongs to the state */
	RULE_QUIESCE,      /* run RCU callbacks to the end */
	RULE_GRACE,        /* callbacks wait for readers */
	RULE_UNLOCK_POINT, /* a scheduling point at unlock */
	RULE_LOCAL_AGAIN,  /* search again when objects turned out to be shared */
	RULE_LOCAL_FREE,   /* freeing a block writes all that is in it */
	RULE_NR,

	/* of the models: tests/explore/test_models.c */
	RULE_GP_WHOLE = RULE_NR, /* a cookie waits for a whole grace period, not one going on */
};

enum explore_verdict {
	EXPLORE_OK,
	EXPLORE_ASSERT,
	EXPLORE_FAIL, /* explore_fail() */
	EXPLORE_DEADLOCK,
	EXPLORE_LIVELOCK,
	EXPLORE_RANK,   /* lock ranks */
	EXPLORE_ATOMIC, /* sleeps or allocates under a spinlock or in an RCU reader */
	EXPLORE_UAF,
	EXPLORE_DOUBLE_FREE,
	EXPLORE_LEAK,
	EXPLORE_MISUSE, /* unlocks what it does not hold, ends with locks held, ... */
	EXPLORE_CRASH,  /* SIGSEGV and its like; with jobs: whatever ended a process */
	EXPLORE_NONDET, /* the scenario is not deterministic */
	EXPLORE_RACE,   /* marked plain accesses that nothing orders */
	EXPLORE_ORDER,  /* locks taken in contradicting orders; nothing worse happened */
	EXPLORE_VERDICT_NR
};

enum explore_outcome { EXPLORE_BUDGET, EXPLORE_EXHAUSTED, EXPLORE_FOUND, EXPLORE_BAD_USE };

struct explore_event {
	uint32_t step;
	uint8_t thread, kind;
	bool preempted; /* the thread that ran before could have gone on */
	bool has_value;
	uint8_t depth;    /* locks and sections it is inside */
	uint32_t enabled; /* bit per thread */
	uint64_t value;
	const void *obj;
	const char *name, *file, *func, *note; /* note: explore_note()'s text */
	int line;
};

/* What a scenario's observe() tells: names, and each change of a value. */
struct explore_value {
	const char *name;  /* "group 0: free" */
	const char *brief; /* what the columns call it; NULL: they leave it out */
};
struct explore_change {
	uint32_t after; /* so many events had happened; 0: at the start */
	uint32_t value; /* index of its name */
	bool is_number;
	int64_t number;
	const char *text; /* what is shown; NULL: it is gone */
};

/* Visible operations on an object, in all executions. Objects of one name are counted as one. */
struct explore_object {
	char name[56];
	uint64_t ops;
	uint32_t threads; /* bit per thread that used it; from bit 2: the scenario's */
};

struct explore_result {
	enum explore_outcome outcome;
	enum explore_verdict verdict;
	enum explore_strategy strategy; /* that found it */
	int bound;                      /* dfs: of the last complete search, -1: none */
	uint64_t schedules;             /* executions, cut ones too */
	uint64_t cut;                   /* of those, given up as redundant */
	uint64_t steps, longest;
	uint64_t traces, failing;        /* distinct happens-before classes; of those, failing */
	uint64_t failures;               /* executions that failed */
	uint64_t first;                  /* schedule that failed first, from 1 */
	uint64_t trace_sum, failing_sum; /* order-free hashes of the two sets */
	uint64_t ns;
	uint64_t left; /* schedules that the last bounded or complete search had left, an estimate
			  (search_dfs.c); 0: none, or not known */
	double unseen; /* Good and Turing's estimate of the probability that one more draw is of a
			  class not seen; < 0: nothing was drawn */
	uint64_t shared_sum; /* dfs: of the set of objects it took for shared */
	const struct explore_object *objects; /* with histogram: most used first; as events */
	uint32_t object_nr;
	uint64_t op_count[EXPLORE_KINDS_MAX]; /* visible operations by kind */
	uint32_t switches, switches_found;    /* deviations of the token; before minimising */
	uint64_t reruns;                      /* executions that minimising took */
	char text[EXPLORE_TEXT_BYTES];        /* what broke, one line */
	char token[EXPLORE_TOKEN_BYTES];
	const struct explore_event *events; /* valid until the next explore_run() */
	uint32_t event_nr;
	const struct explore_value *values; /* likewise */
	uint32_t value_nr;
	const struct explore_change *changes; /* by @after */
	uint32_t change_nr;
	char detail[EXPLORE_DETAIL_BYTES]; /* where each thread stands, in lines; or "" */
	unsigned thread_nr;
	const char *thread_name[32]; /* by explore_event.thread; NULL: none */
};

/*
 * explore_run - search @s for a failing schedule
 * @res: [out] always filled
 * Returns res->outcome. Context: not re-entrant.
 */
enum explore_outcome explore_run(const struct explore_scenario *s,
				 const struct explore_options *opt, struct explore_result *res);
/* Gives back the engine's memory. */
void explore_shutdown(void);

/* Splits a token; false with a reason if it is none, or of another version or commit. */
struct explore_token {
	char version[16], commit[48], scenario[64], variant[64];
	uint64_t seed;
	const char *switches; /* into the text */
};
bool explore_token_parse(const char *text, struct explore_token *tok, char *why, size_t why_bytes);

const char *explore_verdict_name(enum explore_verdict v);
const char *explore_strategy_name(enum explore_strategy s);
const char *explore_kind_name(unsigned kind);

/* ---- from within a scenario ---- */
/* The execution fails with this verdict. Returns only with go_on: the execution then goes on. */
void explore_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define explore_check(cond) \
	((cond) ? (void)0 : explore_fail("%s:%d: %s", __FILE__, __LINE__, #cond))
/* A line in the trace; no scheduling point. */
void explore_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* 0 .. n-1, every one of them in some execution. */
unsigned explore_choose(unsigned n);
/* A scheduling point that depends on nothing. */
#define explore_point() explore_point_at(EX_SITE(""))
void explore_point_at(const struct ex_site *site);
/* What @obj (a lock, an atomic, ...) is called in traces. Call it in the set-up; a literal. */
void explore_name(const void *obj, const char *name);
/*
 * Between peek(true) and peek(false) nothing is a scheduling point and mutexes and spinlocks are
 * not taken: a look at the state as it is. Call nothing that changes it, or waits for others.
 */
void explore_peek(bool on);
/* For observe(). @name, @fmt: copied; @brief: a literal or NULL. The same @name once per call. */
void explore_show_number(struct explore_obs *obs, const char *name, const char *brief, int64_t n);
void explore_show_text(struct explore_obs *obs, const char *name, const char *brief,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* @p lies in memory that rt_alloc() gave out and that is not freed: reading it is safe. */
bool explore_is_alive(const void *p);
/* What the function @func allocated, youngest first; nr counts from 1, freed ones too. */
void explore_each_made_in(const char *func, void (*fn)(const void *p, unsigned nr, void *arg),
			  void *arg);
const void *explore_arg(void);
unsigned explore_thread(void); /* 0 .. thread_nr-1 in the scenario's threads */

/* A device of @bytes that starts as a copy of @image (NULL: zeros); for the set-up. -ENOMEM. */
struct mbfs_bdev;
int explore_bdev_open(const void *image, uint64_t bytes, struct mbfs_bdev **out);
const void *explore_bdev_bytes(struct mbfs_bdev *dev); /* for e2fsck, in the check */

/* ---- pictures (draw_*.c); -errno when it cannot be written ---- */
int explore_draw_columns(FILE *out, const struct explore_result *res);
int explore_draw_trace(FILE *out, const struct explore_result *res); /* Chrome JSON */
int explore_draw_svg(FILE *out, const struct explore_result *res);
int explore_draw_html(FILE *out, const struct explore_result *res);

#endif
