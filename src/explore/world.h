/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * world.h - the engine from the inside: one execution, its threads and its scheduling points.
 *
 * A thread announces its next visible operation (ex_point), the scheduler picks a thread among the
 * enabled ones, inline, on the stack of the thread that asks, and switches only if it picks
 * another. The thread that is picked performs its operation and goes on to its next point.
 */
#ifndef EXPLORE_WORLD_H
#define EXPLORE_WORLD_H

#include <stdarg.h>

#include "arena.h"
#include "explore.h"
#include "fiber.h"
#include "kinds.h"
#include "model.h"
#include "order.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/sync.h"

enum {
	EX_THREADS_MAX = 16,
	EX_MAIN = 0,  /* set-up and check */
	EX_RCU = 1,   /* runs callbacks */
	EX_FIRST = 2, /* the scenario's first thread */
	EX_HELD_MAX = 24,
	EX_STACK_BYTES = 256 << 10,
	EX_STEPS_MAX = 1 << 20,
	EX_EVENTS_MAX = 1 << 18,
	EX_NAMES_MAX = 256,
	EX_NOTES_BYTES = 1 << 20,
};

struct ex_op {
	uint8_t kind, flags;
	bool timed; /* EX_COND_WAKE, EX_EVENT_WAIT: may run out */
	const struct ex_site *site;
	struct ex_obj *o1, *o2; /* NULL: none. o2 is always written */
	const void *addr;       /* the object as the program knows it */
	uint64_t arg;
};

struct ex_held {
	const void *lock;
	const struct ex_site *site;
	enum lock_rank rank;
	const void *key; /* its class: where it was initialised */
	bool nested, read;
};

struct ex_thread {
	struct ex_op op; /* pending */
	uint64_t hash;   /* of all that happened before its last operation */
	uint32_t steps;
	bool background; /* the execution does not wait for it */
	bool joinable, signalled, yielded, done;
	uint8_t spin_depth, reader_depth;
	uint8_t held_nr;
	uint64_t reader_since;
	uint32_t fair_e, fair_d, fair_s, fair_p; /* CHESS; bit per thread */
	uint32_t run_len;                        /* steps since another thread ran or it yielded */
	uint32_t seeds, data_nr, cpu_shift; /* cpu_shift: from migrations */
	void (*fn)(void *arg);
	void *arg;
	struct ex_thread *parent; /* NULL: the engine's */
	struct ex_obj life;
	char name[16];
	struct ex_held held[EX_HELD_MAX]; /* last: only those in use are copied */
};

enum ex_phase { EX_IDLE, EX_SETUP, EX_EXPLORE, EX_CHECK };

/* What the set-up made and each execution starts from: copied back, with the arena. */
struct ex_sim {
	void *sp[EX_THREADS_MAX];
	uint32_t live, waiting; /* bit per thread; waiting: its operation has EX_COND */
	unsigned thread_nr;     /* slots in use */
	unsigned left;          /* the scenario's threads still running */
	uint64_t now_ns, seq;   /* seq counts RCU moments */
	struct rt_rcu_head *rcu_first, *rcu_last;
	uint64_t rcu_queued, rcu_done;
	uint64_t gp_seq, gp_want, gp_since; /* polled grace periods: ops_rcu.c */
	bool gp_thread;
	unsigned rcu_workers;
	uint64_t fail_at;
	bool fail_struck;
	struct ex_obj rcu, clock, fences;
	uint32_t yielders;
	unsigned alloc_fails, migrations, spurious; /* budgets left */
	struct ex_thread th[EX_THREADS_MAX]; /* last: only those in use are copied */
};

/* One decision: by what, and what the default policy would have picked. */
struct ex_step {
	uint8_t picked, dflt;
	uint8_t last; /* thread that ran before (data: that asks), NO_THREAD: none */
	bool data;
	uint32_t own_nr; /* operations (data: choices) it had done */
};
enum { EX_NO_THREAD = 255 };

struct ex_choice {
	uint32_t cand, enabled, lazy; /* lazy: sleepers that would run out of time */
	int self;                     /* could go on; -1: cannot */
	bool yielded;                 /* self's last operation gave way */
	int dflt;
};

enum { EX_PRUNE = -1 };

struct ex_world;
struct ex_strategy {
	void (*begin)(struct ex_world *w);
	int (*pick)(struct ex_world *w, const struct ex_choice *c); /* a thread, or EX_PRUNE */
	int (*data)(struct ex_world *w, unsigned n);
	void (*state)(struct ex_world *w);                       /* NULL, or at each point */
	void (*commit)(struct ex_world *w, struct ex_thread *t); /* NULL, or as each op runs */
	bool (*next)(struct ex_world *w); /* after an execution: is there one more? */
};

struct ex_world {
	struct ex_sim sim;
	struct ex_thread *cur;
	enum ex_phase phase;
	bool priming, recording, record_next, pruned;
	bool peeking; /* explore_peek() */
	bool clocks, rewind; /* look for data races; run the execution again, */
	uint32_t redo_nr;    /* up to this step without asking the strategy */
	bool in_fiber; /* code under test runs, or the scheduler on its stack */
	const struct explore_scenario *scn;
	const struct explore_options *opt;
	void *state;
	const struct ex_strategy *strat;
	struct ex_thread *last; /* last to have run an operation */
	uint32_t last_enabled;
	uint32_t step;         /* decisions of this execution */
	uint64_t plain_steps;  /* of the set-up or the check */
	uint32_t branch_steps; /* of those with a choice */
	uint64_t max_steps, longest;
	struct ex_step *path; /* what was decided */
	uint32_t path_nr;
	uint32_t born; /* bit per thread started since the last scheduling point */
	enum explore_verdict verdict;
	char text[EXPLORE_TEXT_BYTES];
	uint64_t trace_hash;
	uint64_t op_count[EXPLORE_KINDS_MAX], steps_total;
	struct explore_event *events, *event; /* event: the one being performed */
	uint32_t event_nr;
	char *notes;
	uint32_t notes_nr;
	bool preempted;
	struct {
		const void *obj;
		const char *name;
	} names[EX_NAMES_MAX];
	unsigned name_nr;
	struct ex_fiber engine, fiber[EX_THREADS_MAX];
	char starts, stops; /* TSan's, world.c */
	unsigned runs_on_fibers;
	struct ex_thread *cur_primer;
	struct ex_fiber *primer; /* who started the thread that runs to its first point */
	struct ex_sim *saved;
	char *saved_stack[EX_THREADS_MAX];
	size_t saved_stack_bytes[EX_THREADS_MAX];
	bool saved_ok;
};

extern struct ex_world *ex_world;

/* ---- world.c ---- */
int ex_world_init(void);
void ex_world_end(void);
/* Runs the set-up and keeps a copy; false: verdict says why. */
bool ex_world_setup(struct ex_world *w);
/* One execution under w->strat. */
void ex_world_run(struct ex_world *w);
void ex_point(enum ex_kind kind, struct ex_obj *o1, struct ex_obj *o2, const void *addr,
	      uint64_t arg, const struct ex_site *site);
void ex_point_timed(enum ex_kind kind, struct ex_obj *o1, const void *addr, uint64_t arg,
		    const struct ex_site *site);
void ex_point_wake(struct ex_obj *cond, struct ex_lock *l, const void *addr, bool timed,
		   const struct ex_site *site);
void ex_value(uint64_t v); /* of the operation just performed, for the trace */
/* Of a timed operation: it is possible only because its time may run out. */
bool ex_runs_out(const struct ex_thread *t);
bool ex_op_enabled(const struct ex_world *w, const struct ex_thread *t);
bool ex_ops_dependent(const struct ex_op *a, const struct ex_op *b);
int ex_spawn(void (*fn)(void *arg), void *arg, const char *name); /* its number; -1: too many */
/* A search begins: forget what models learnt in the last one. */
void ex_models_begin(struct ex_world *w);
/* Runs the execution again up to here: something has to be watched from its start. */
_Noreturn void ex_rewind(struct ex_world *w);
void ex_start_rcu(struct ex_world *w);
/* A thread of the engine's own in the next free slot; the execution does not wait for it. */
void ex_start_background(struct ex_world *w, void (*fn)(void *arg), const char *name);
_Noreturn void ex_stop(enum explore_verdict v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
unsigned ex_data(unsigned n);
static inline int ex_tid(const struct ex_world *w, const struct ex_thread *t)
{
	return (int)(t - w->sim.th);
}
static inline uint64_t ex_mix(uint64_t a, uint64_t b)
{
	uint64_t z = (a + 0x9E3779B97F4A7C15ull) ^ (b * 0xD6E8FEB86659FD93ull);

	z = (z ^ (z >> 32)) * 0xD6E8FEB86659FD93ull;
	z = (z ^ (z >> 29)) * 0x94D049BB133111EBull;
	return z ^ (z >> 32);
}

/* ---- fair.c ---- */
void ex_fair_reset(struct ex_world *w);
void ex_fair_update(struct ex_world *w, uint32_t enabled);
uint32_t ex_fair_filter(const struct ex_world *w, uint32_t enabled);
int ex_default(const struct ex_choice *c, int last);

/* ---- report.c ---- */
int ex_print(char *to, size_t bytes, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ex_text(struct ex_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ex_format(char *to, size_t bytes, const char *fmt, va_list ap);
void ex_deadlock(struct ex_world *w);
void ex_livelock(struct ex_world *w);
void ex_note_waits(struct ex_world *w);
void ex_detail(struct ex_world *w, char *to, size_t bytes); /* where each thread stands */
const char *ex_obj_name(struct ex_world *w, const void *addr, const struct ex_site *site);
void ex_record(struct ex_world *w, struct ex_thread *t);
const char *ex_short_file(const char *file);
char ex_letter(int tid);

/* ---- observe.c: of the execution that is recorded ---- */
int ex_observe_init(void);
void ex_observe_end(void);
void ex_observe_start(struct ex_world *w);
void ex_observe(struct ex_world *w);      /* after each event */
void ex_observe_stop(struct ex_world *w); /* when it is over, on the engine's stack */
bool ex_observe_crashed(void); /* does not return if observe() did it; else false */
void ex_observe_tell(struct explore_result *res);

/* ---- stack.c ---- */
/* "f < g < h" of a thread that stands still; returns its length, 0: cannot tell. */
int ex_stack_text(const struct ex_fiber *f, char *to, size_t bytes);

#endif
