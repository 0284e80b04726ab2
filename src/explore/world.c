// SPDX-License-Identifier: GPL-2.0-only
/*
 * One execution. The engine primes each thread of the scenario (runs it to its first visible
 * operation), then lets ex_schedule() pass control from thread to thread until one of them finds
 * that the execution is over and switches back to the engine. An execution that is given up just
 * drops its stacks.
 *
 * Set-up and check run under a policy of their own, without search: go on while you can.
 */
#include "world.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct ex_world *ex_world;

enum { RUNS_ON_FIBERS = 4096 };

int ex_world_init(void)
{
	struct ex_world *w;

	if (ex_world)
		return 0;
	w = ex_pages(sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->path = ex_pages(EX_STEPS_MAX * sizeof(*w->path));
	w->events = ex_pages(EX_EVENTS_MAX * sizeof(*w->events));
	w->notes = ex_pages(EX_NOTES_BYTES);
	w->saved = ex_pages(sizeof(*w->saved));
	for (unsigned i = 0; i < EX_THREADS_MAX; i++)
		if (ex_fiber_init(&w->fiber[i], EX_STACK_BYTES))
			return -ENOMEM;
	if (!w->path || !w->events || !w->notes || !w->saved || ex_arena_init() ||
	    ex_clocks_init() || ex_weak_init())
		return -ENOMEM;
	ex_world = w;
	return 0;
}

void ex_world_end(void)
{
	struct ex_world *w = ex_world;

	if (!w)
		return;
	for (unsigned i = 0; i < EX_THREADS_MAX; i++) {
		ex_fiber_destroy(&w->fiber[i]);
		ex_pages_free(w->saved_stack[i], EX_STACK_BYTES);
	}
	ex_pages_free(w->path, EX_STEPS_MAX * sizeof(*w->path));
	ex_pages_free(w->events, EX_EVENTS_MAX * sizeof(*w->events));
	ex_pages_free(w->notes, EX_NOTES_BYTES);
	ex_pages_free(w->saved, sizeof(*w->saved));
	ex_arena_end();
	ex_clocks_end();
	ex_pages_free(w, sizeof(*w));
	ex_world = NULL;
}

/* ---- switching ---- */

/*
 * What TSan is told: an execution happens after the engine let it start (starts), and the engine
 * goes on after all that threads did (stops). Between threads only their operations order anything.
 */
static void switch_to(struct ex_world *w, struct ex_fiber *from, struct ex_fiber *to)
{
	ex_tsan_release(from == &w->engine ? &w->starts : &w->stops);
	ex_fiber_switch(from, to);
	if (from != &w->engine)
		ex_tsan_acquire(&w->starts);
}

static void go_to(struct ex_world *w, struct ex_fiber *from, int tid)
{
	w->cur = &w->sim.th[tid];
	switch_to(w, from, &w->fiber[tid]);
}

/* Back to the engine for good. */
_Noreturn static void leave(struct ex_world *w)
{
	struct ex_fiber *self = &w->fiber[ex_tid(w, w->cur)];

	switch_to(w, self, &w->engine);
	__builtin_unreachable();
}

void ex_stop(enum explore_verdict v, const char *fmt, ...)
{
	struct ex_world *w = ex_world;
	va_list ap;

	ex_observe_crashed();
	if (w->verdict == EXPLORE_OK) {
		w->verdict = v;
		va_start(ap, fmt);
		ex_format(w->text, sizeof(w->text), fmt, ap);
		va_end(ap);
	}
	leave(w);
}

_Noreturn void ex_rewind(struct ex_world *w)
{
	w->rewind = true;
	leave(w);
}

void ex_models_begin(struct ex_world *w)
{
	w->clocks = false;
	w->redo_nr = 0;
	ex_order_begin();
}

/* ---- who may run ---- */

static bool grace_over(const struct ex_world *w, uint64_t at)
{
	uint32_t live = w->sim.live;

	if (w->opt && w->opt->drop_rule == RULE_GRACE)
		return true;
	for (; live; live &= live - 1) {
		const struct ex_thread *t = &w->sim.th[__builtin_ctz(live)];

		if (t->reader_depth && t->reader_since < at)
			return false;
	}
	return true;
}

bool ex_runs_out(const struct ex_thread *t)
{
	if (t->op.kind == EX_EVENT_WAIT)
		return ((const struct rt_event *)t->op.addr)->seq == (uint32_t)t->op.arg;
	return !t->signalled;
}

bool ex_op_enabled(const struct ex_world *w, const struct ex_thread *t)
{
	const struct ex_op *op = &t->op;

	switch (op->kind) {
	case EX_MUTEX_LOCK:
	case EX_SPIN_LOCK:
		return ((const struct ex_lock *)op->addr)->owner == 0;
	case EX_READ_LOCK:
		return ((const struct rt_rwlock *)op->addr)->l.owner == 0;
	case EX_WRITE_LOCK:
		return ((const struct rt_rwlock *)op->addr)->l.owner == 0 &&
		       ((const struct rt_rwlock *)op->addr)->readers == 0;
	case EX_COND_WAKE:
		return (t->signalled || op->timed || w->sim.spurious > 0) &&
		       ((const struct ex_lock *)(uintptr_t)op->arg)->owner == 0;
	case EX_EVENT_WAIT:
		return op->timed || ((const struct rt_event *)op->addr)->seq != (uint32_t)op->arg;
	case EX_JOIN:
		return w->sim.th[op->arg].done;
	case EX_RCU_SYNCED:
	case EX_GP_END:
		return grace_over(w, op->arg);
	case EX_RCU_RUN:
		return grace_over(w, op->arg) &&
		       w->sim.gp_seq >= ((const struct rt_rcu_head *)op->addr)->gp;
	case EX_GP_START:
		return w->sim.gp_seq < w->sim.gp_want;
	case EX_RCU_COND_SYNC:
		return w->sim.gp_seq >= op->arg;
	case EX_RCU_DRAINED:
		return w->sim.rcu_done >= op->arg;
	default:
		return true;
	}
}

static uint32_t enabled_threads(const struct ex_world *w, uint32_t *lazy)
{
	uint32_t en = w->sim.live & ~w->sim.waiting, spurious = 0;

	*lazy = 0;
	for (uint32_t m = w->sim.live & w->sim.waiting; m; m &= m - 1) {
		int tid = __builtin_ctz(m);
		const struct ex_thread *t = &w->sim.th[tid];

		if (!ex_op_enabled(w, t))
			continue;
		en |= 1u << tid;
		if (t->op.timed && ex_runs_out(t))
			*lazy |= 1u << tid;
		if (w->sim.spurious && t->op.kind == EX_COND_WAKE && !t->op.timed && !t->signalled)
			spurious |= 1u << tid;
	}
	if (__builtin_expect(!spurious, 1))
		return en;
	*lazy |= spurious;
	return en & ~spurious ? en : 0; /* nobody may count on a wake-up for no reason */
}

/* @busy: threads that can go on without time running out. */
static bool finished(const struct ex_world *w, uint32_t busy)
{
	if (w->sim.left > 0)
		return false;
	if (w->opt->drop_rule == RULE_QUIESCE)
		return true;
	return !busy && !w->sim.rcu_first && !(w->sim.live & 1u << EX_RCU);
}

/* ---- the scheduling point ---- */

static void no_thread_left(struct ex_world *w)
{
	ex_deadlock(w);
	leave(w);
}

static void record_step(struct ex_world *w, struct ex_step step)
{
	if (w->step >= EX_STEPS_MAX)
		ex_stop(EXPLORE_LIVELOCK, "%u steps: too many to record", w->step);
	w->path[w->step++] = step;
	if (w->step > w->max_steps)
		ex_livelock(w);
}

static struct ex_step sched_step(const struct ex_world *w, int picked, int dflt)
{
	struct ex_step s = { (uint8_t)picked, (uint8_t)dflt, EX_NO_THREAD, false, 0 };

	if (w->last) {
		s.last = (uint8_t)ex_tid(w, w->last);
		s.own_nr = w->last->steps;
	}
	return s;
}

enum { EXECUTION_OVER = -1 };

static int explore_next(struct ex_world *w, const struct ex_thread *self)
{
	struct ex_choice c;
	int picked;

	bool redo = w->step < w->redo_nr;

	c.enabled = enabled_threads(w, &c.lazy);
	ex_fair_update(w, c.enabled);
	if (__builtin_expect(redo, 0))
		w->born = 0; /* the strategy knows of them */
	else if (w->strat->state)
		w->strat->state(w);
	if (finished(w, c.enabled & ~c.lazy))
		return EXECUTION_OVER;
	if (!c.enabled)
		no_thread_left(w);
	c.cand = ex_fair_filter(w, c.enabled);
	c.self = self && (c.cand & 1u << ex_tid(w, self)) ? ex_tid(w, self) : -1;
	c.yielded = self && self->yielded;
	c.dflt = ex_default(&c, w->last ? ex_tid(w, w->last) : EX_FIRST - 1);
	w->branch_steps += (c.cand & (c.cand - 1)) != 0;
	picked = __builtin_expect(redo, 0) ? w->path[w->step].picked : w->strat->pick(w, &c);
	if (picked == EX_PRUNE) {
		w->pruned = true;
		leave(w);
	}
	w->preempted = self && picked != ex_tid(w, self) && (c.enabled & 1u << ex_tid(w, self)) &&
		       !c.yielded;
	record_step(w, sched_step(w, picked, c.dflt));
	return picked;
}

/* Outside the search: go on while you can, then round robin; sleepers last. */
static int plain_next(struct ex_world *w, const struct ex_thread *self)
{
	struct ex_choice c = { .self = -1 };

	c.enabled = enabled_threads(w, &c.lazy);
	if (!c.enabled)
		no_thread_left(w);
	c.cand = c.enabled;
	if (self && c.cand & 1u << ex_tid(w, self))
		c.self = ex_tid(w, self);
	c.yielded = self && self->yielded;
	if (++w->plain_steps > 50000000)
		ex_stop(EXPLORE_LIVELOCK, "%s does not end",
			w->phase == EX_SETUP ? "the set-up" : "the check");
	return ex_default(&c, w->last ? ex_tid(w, w->last) : 0);
}

/* @self: has announced its operation; NULL: the thread has ended. */
static void schedule(struct ex_world *w, struct ex_thread *self)
{
	int here = ex_tid(w, w->cur);
	int next = w->phase == EX_EXPLORE ? explore_next(w, self) : plain_next(w, self);

	if (next == EXECUTION_OVER) /* a thread that lives on is gone on with in the check */
		switch_to(w, &w->fiber[here], &w->engine);
	else if (next != here)
		go_to(w, &w->fiber[here], next);
}

/* ---- performing an operation ---- */

static void hash_op(struct ex_thread *t, const struct ex_op *op)
{
	uint64_t h = ex_mix(t->hash, op->kind);
	struct ex_obj *o1 = op->o1, *o2 = op->o2;

	if (o1)
		h = ex_mix(h, o1->wr);
	if (o1 && op->flags & EX_WR)
		h = ex_mix(h, o1->rd);
	if (o2)
		h = ex_mix(ex_mix(h, o2->wr), o2->rd);
	if (o1 && op->flags & EX_WR) {
		o1->wr = h;
		o1->rd = 0;
	} else if (o1) {
		o1->rd += ex_mix(h, 77);
	}
	if (o2) {
		o2->wr = h;
		o2->rd = 0;
	}
	t->hash = h;
}

static void perform(struct ex_world *w, struct ex_thread *t)
{
	ex_arena_check_access(w, &t->op, t->op.o1, t->op.o2);
	if (w->phase == EX_EXPLORE) {
		hash_op(t, &t->op);
		if (__builtin_expect(w->step > w->redo_nr, 1)) {
			w->op_count[t->op.kind]++;
			w->steps_total++;
			if (w->strat->commit)
				w->strat->commit(w, t);
		}
		if (w->recording)
			ex_record(w, t);
	}
	w->sim.waiting &= ~(1u << ex_tid(w, t));
	t->steps++;
	t->run_len = w->last == t ? t->run_len + 1 : 1;
	t->yielded = t->op.flags & EX_YIELDS || (t->op.timed && ex_runs_out(t));
	w->last = t;
}

static void check_atomic(const struct ex_thread *t, enum ex_kind kind, const struct ex_site *site)
{
	if (!(ex_kind_flags[kind] & EX_BLOCKS))
		return;
	if (t->spin_depth)
		ex_stop(EXPLORE_ATOMIC, "%s: %s %s at %s:%d while holding a spinlock", t->name,
			ex_kind_names[kind], site->what, ex_short_file(site->file), site->line);
	if (t->reader_depth)
		ex_stop(EXPLORE_ATOMIC, "%s: %s %s at %s:%d inside an RCU reader", t->name,
			ex_kind_names[kind], site->what, ex_short_file(site->file), site->line);
}

static void announce(struct ex_world *w, struct ex_thread *t)
{
	ex_arena_check_access(w, &t->op, t->op.o1,
			      t->op.o2); /* before anything asks it whether it is free */
	if (t->op.flags & EX_COND)
		w->sim.waiting |= 1u << ex_tid(w, t);
	if (w->priming) {
		struct ex_thread *starter = w->cur_primer;

		w->priming = false;
		w->cur = starter;
		switch_to(w, &w->fiber[ex_tid(w, t)], w->primer);
	} else {
		schedule(w, t);
	}
	perform(w, t);
}

void ex_point(enum ex_kind kind, struct ex_obj *o1, struct ex_obj *o2, const void *addr,
	      uint64_t arg, const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	struct ex_thread *t = w->cur;

	if (__builtin_expect(w->peeking, 0))
		return;
	check_atomic(t, kind, site);
	t->op = (struct ex_op){
		(uint8_t)kind, ex_kind_flags[kind], false, site, o1, o2, addr, arg
	};
	announce(w, t);
}

void ex_point_timed(enum ex_kind kind, struct ex_obj *o1, const void *addr, uint64_t arg,
		    const struct ex_site *site)
{
	struct ex_thread *t = ex_world->cur;

	check_atomic(t, kind, site);
	t->op = (struct ex_op){
		(uint8_t)kind, ex_kind_flags[kind], true, site, o1, NULL, addr, arg
	};
	announce(ex_world, t);
}

void ex_point_wake(struct ex_obj *cond, struct ex_lock *l, const void *addr, bool timed,
		   const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	struct ex_thread *t = w->cur;

	t->op = (struct ex_op){ EX_COND_WAKE, ex_kind_flags[EX_COND_WAKE],
				timed,        site,
				cond,         &l->o,
				addr,         (uintptr_t)l };
	announce(w, t);
}

void ex_value(uint64_t v)
{
	struct explore_event *ev = ex_world->event;

	if (__builtin_expect(ev != NULL, 0)) {
		ev->value = v;
		ev->has_value = true;
	}
}

unsigned ex_data(unsigned n)
{
	struct ex_world *w = ex_world;
	int picked;

	if (n <= 1 || w->phase != EX_EXPLORE)
		return 0;
	picked = w->step < w->redo_nr ? w->path[w->step].picked : w->strat->data(w, n);
	w->cur->hash = ex_mix(w->cur->hash, (uint64_t)picked + 1000);
	record_step(w, (struct ex_step){ (uint8_t)picked, 0, (uint8_t)ex_tid(w, w->cur), true,
					 w->cur->data_nr++ });
	return (unsigned)picked;
}

/* ---- threads ---- */

static void thread_ended(struct ex_world *w, struct ex_thread *t)
{
	if (t->held_nr)
		ex_stop(EXPLORE_MISUSE, "%s ends holding %s, taken at %s:%d", t->name,
			t->held[0].site->what, ex_short_file(t->held[0].site->file),
			t->held[0].site->line);
	if (t->reader_depth)
		ex_stop(EXPLORE_MISUSE, "%s ends inside an RCU reader", t->name);
	if (t->joinable)
		ex_point(EX_EXIT, &t->life, NULL, NULL, 0, EX_SITE(""));
	t->done = true;
	w->sim.live &= ~(1u << ex_tid(w, t));
	if (w->phase == EX_EXPLORE && !t->background && ex_tid(w, t) >= EX_FIRST)
		w->sim.left--;
}

static void thread_entry(void)
{
	struct ex_world *w = ex_world;
	struct ex_thread *t = w->cur;

	ex_fiber_entered(&w->fiber[ex_tid(w, t)]);
	ex_tsan_acquire(&w->starts);
	if (t->parent)
		ex_sync_acquire(t->parent);
	t->fn(t->arg);
	ex_sync_release(t);
	thread_ended(w, t);
	if (w->priming) { /* no visible operation at all */
		w->priming = false;
		w->cur = w->cur_primer;
		switch_to(w, &w->fiber[ex_tid(w, t)], w->primer);
	}
	if (ex_tid(w, t) == EX_MAIN)
		leave(w);
	schedule(w, NULL);
	__builtin_unreachable();
}

/* Runs @tid to its first visible operation, from the engine or from the thread that starts it. */
static void prime(struct ex_world *w, int tid, struct ex_fiber *from)
{
	struct ex_fiber *outer = w->primer;
	struct ex_thread *starter = w->cur, *outer_starter = w->cur_primer;
	bool nested = w->priming;

	ex_fiber_make(&w->fiber[tid], thread_entry);
	w->primer = from;
	w->cur_primer = starter;
	w->priming = true;
	go_to(w, from, tid);
	w->primer = outer;
	w->cur_primer = outer_starter;
	w->priming = nested;
	w->cur = starter;
}

static void thread_init(struct ex_world *w, int tid, void (*fn)(void *), void *arg,
			const char *name)
{
	struct ex_thread *t = &w->sim.th[tid];

	ex_fill_raw(t, 0, offsetof(struct ex_thread, held));
	t->fn = fn;
	t->arg = arg;
	t->fair_s = ~0u;
	t->hash = ex_mix(w->phase, (uint64_t)tid);
	for (unsigned i = 0; i < sizeof(t->name) - 1 && name[i]; i++)
		t->name[i] = name[i];
	w->sim.live |= 1u << tid;
	if ((unsigned)tid >= w->sim.thread_nr)
		w->sim.thread_nr = (unsigned)tid + 1;
}

int ex_spawn(void (*fn)(void *arg), void *arg, const char *name)
{
	struct ex_world *w = ex_world;
	int tid = (int)w->sim.thread_nr;

	if (tid >= EX_THREADS_MAX)
		return -1;
	thread_init(w, tid, fn, arg, name);
	w->sim.th[tid].joinable = true;
	w->sim.th[tid].parent = w->cur;
	ex_sync_release(w->cur);
	w->sim.th[tid].hash = ex_mix(w->cur->hash, (uint64_t)tid);
	w->sim.th[tid].background = w->phase != EX_EXPLORE || w->cur->background;
	if (!w->sim.th[tid].background)
		w->sim.left++;
	w->born |= 1u << tid;
	prime(w, tid, &w->fiber[ex_tid(w, w->cur)]);
	return tid;
}

static void rcu_main(void *arg)
{
	struct ex_world *w = arg;

	while (w->sim.rcu_first) {
		struct rt_rcu_head *head = w->sim.rcu_first;

		ex_point(EX_RCU_RUN, &w->sim.rcu, NULL, head, head->at, head->site);
		w->sim.rcu_first = head->next;
		if (!w->sim.rcu_first)
			w->sim.rcu_last = NULL;
		ex_sync_acquire(&w->sim.rcu);
		head->fn(head);
		ex_sync_release(&w->sim.rcu_done);
		ex_point(EX_RCU_RAN, &w->sim.rcu, NULL, NULL, 0, EX_SITE(""));
		w->sim.rcu_done++;
	}
}

void ex_start_rcu(struct ex_world *w)
{
	uint64_t hash = w->cur->hash;
	uint32_t steps = w->sim.th[EX_RCU].steps, data_nr = w->sim.th[EX_RCU].data_nr;

	if (w->sim.live & 1u << EX_RCU)
		return;
	thread_init(w, EX_RCU, rcu_main, w, "rcu");
	w->sim.th[EX_RCU].steps =
		steps; /* its next life: deviations are told by what it has done */
	w->sim.th[EX_RCU].data_nr = data_nr;
	w->sim.th[EX_RCU].background = true;
	w->sim.th[EX_RCU].hash = hash;
	w->born |= 1u << EX_RCU;
	prime(w, EX_RCU, &w->fiber[ex_tid(w, w->cur)]);
}

void ex_start_background(struct ex_world *w, void (*fn)(void *arg), const char *name)
{
	uint64_t hash = w->cur->hash;
	int tid = (int)w->sim.thread_nr;

	if (tid >= EX_THREADS_MAX)
		ex_stop(EXPLORE_MISUSE, "more than %d threads", EX_THREADS_MAX);
	thread_init(w, tid, fn, w, name);
	w->sim.th[tid].background = true;
	w->sim.th[tid].hash = ex_mix(hash, (uint64_t)tid);
	w->born |= 1u << tid;
	prime(w, tid, &w->fiber[ex_tid(w, w->cur)]);
}

/* ---- set-up, execution, check ---- */

static void main_setup(void *arg)
{
	struct ex_world *w = arg;

	if (w->scn->setup)
		w->scn->setup(w->state);
}

static void main_check(void *arg)
{
	struct ex_world *w = arg;

	if (w->scn->check)
		w->scn->check(w->state);
}

static void run_main(struct ex_world *w, enum ex_phase phase, void (*fn)(void *))
{
	w->phase = phase;
	w->last = NULL;
	w->plain_steps = 0;
	thread_init(w, EX_MAIN, fn, w, "main");
	ex_fiber_make(&w->fiber[EX_MAIN], thread_entry);
	w->in_fiber = true;
	go_to(w, &w->engine, EX_MAIN);
	w->in_fiber = false;
	ex_tsan_acquire(&w->stops);
	w->phase = EX_IDLE;
}

static void save_stacks(struct ex_world *w)
{
	for (unsigned i = 0; i < EX_THREADS_MAX; i++) {
		struct ex_fiber *f = &w->fiber[i];

		w->saved_stack_bytes[i] = 0;
		if (!(w->sim.live & 1u << i))
			continue;
		if (!w->saved_stack[i])
			w->saved_stack[i] = ex_pages(EX_STACK_BYTES);
		w->sim.sp[i] = f->sp;
		w->saved_stack_bytes[i] = (size_t)(f->stack + f->bytes - (char *)f->sp);
		ex_copy_raw(w->saved_stack[i], f->sp, w->saved_stack_bytes[i]);
	}
}

static size_t sim_bytes(const struct ex_sim *s)
{
	return offsetof(struct ex_sim, th) + s->thread_nr * sizeof(s->th[0]);
}

bool ex_world_setup(struct ex_world *w)
{
	ex_fill_raw(&w->sim, 0, sizeof(w->sim));
	ex_arena_clear();
	w->name_nr = 0;
	w->verdict = EXPLORE_OK;
	w->event = NULL;
	w->recording = false;
	w->sim.thread_nr = EX_FIRST + w->scn->thread_nr;
	ex_fiber_adopt(&w->engine);
	w->cur = &w->sim.th[EX_MAIN];
	w->phase = EX_SETUP;
	w->state = ex_alloc(64, w->scn->state_bytes + 1, true, EX_SITE("state"));
	run_main(w, EX_SETUP, main_setup);
	if (w->verdict != EXPLORE_OK)
		return false;
	/* ASan's marks about live frames and TSan's stack of calls a copy would not bring back. */
	w->saved_ok = ex_arena_save() && !((EX_ASAN || EX_TSAN) && w->sim.live);
	save_stacks(w);
	ex_copy_raw(w->saved, &w->sim, sim_bytes(&w->sim));
	return true;
}

/* A thread that is dropped leaves its calls on TSan's stack of them, which has an end. */
static void renew_fibers(struct ex_world *w)
{
	if (!EX_TSAN || ++w->runs_on_fibers < RUNS_ON_FIBERS)
		return;
	w->runs_on_fibers = 0;
	for (unsigned i = 0; i < EX_THREADS_MAX; i++)
		ex_fiber_renew(&w->fiber[i]);
}

static void restore(struct ex_world *w)
{
	renew_fibers(w);
	if (!w->saved_ok) {
		ex_world_setup(w);
		return;
	}
	ex_copy_raw(&w->sim, w->saved, offsetof(struct ex_sim, th));
	for (unsigned i = EX_RCU; i < w->saved->thread_nr; i++)
		if (i < EX_FIRST || i >= EX_FIRST + w->scn->thread_nr) /* the rest start anew */
			ex_copy_raw(&w->sim.th[i], &w->saved->th[i],
				    offsetof(struct ex_thread, held) +
					    w->saved->th[i].held_nr * sizeof(struct ex_held));
	ex_arena_restore();
	for (uint32_t m = w->sim.live; m; m &= m - 1) {
		int i = __builtin_ctz(m);

		w->fiber[i].sp = w->sim.sp[i];
		ex_copy_raw(w->fiber[i].sp, w->saved_stack[i], w->saved_stack_bytes[i]);
	}
}

/* Whoever is picked first runs; the rest follows from there. */
static void kick_entry(void)
{
	struct ex_world *w = ex_world;

	ex_fiber_entered(&w->fiber[EX_MAIN]);
	ex_tsan_acquire(&w->starts);
	schedule(w, NULL);
	__builtin_unreachable();
}

static void prime_all(struct ex_world *w)
{
	static const char letters[EXPLORE_THREADS_MAX][2] = {
		"A", "B", "C", "D", "E", "F", "G", "H"
	};

	w->sim.left = w->scn->thread_nr;
	w->sim.alloc_fails = w->opt->alloc_fails;
	w->sim.migrations = w->opt->migrations;
	w->sim.spurious = w->opt->spurious;
	for (uint32_t m = w->sim.live; m; m &= m - 1)
		w->sim.th[__builtin_ctz(m)].background = true;
	for (unsigned i = 0; i < w->scn->thread_nr; i++) {
		const char *name = w->scn->threads[i].name;

		thread_init(w, (int)(EX_FIRST + i), w->scn->threads[i].fn, w->state,
			    name ? name : letters[i]);
	}
	for (unsigned i = 0; i < w->scn->thread_nr && w->verdict == EXPLORE_OK && !w->rewind; i++)
		prime(w, (int)(EX_FIRST + i), &w->engine);
}

/* The class of the execution: what each thread went through, and in which order with others. */
static uint64_t trace_hash(const struct ex_world *w)
{
	uint64_t h = 0;

	for (unsigned i = EX_RCU; i < w->sim.thread_nr; i++)
		h += ex_mix(w->sim.th[i].hash, i);
	return h;
}

static void run_once(struct ex_world *w)
{
	restore(w);
	w->verdict = EXPLORE_OK;
	w->text[0] = '\0';
	w->step = w->branch_steps = w->born = 0;
	w->pruned = w->priming = w->rewind = false;
	w->last = NULL;
	w->event = NULL;
	w->event_nr = w->notes_nr = 0;
	w->primer = NULL;
	w->cur = NULL;
	w->recording = w->record_next;
	w->phase = EX_EXPLORE;
	w->in_fiber = true;
	ex_fair_reset(w);
	ex_observe_start(w);
	ex_clocks_begin(w->clocks);
	ex_weak_begin(w->opt->weak);
	ex_order_execution();
	prime_all(w);
	if (w->verdict == EXPLORE_OK && !w->rewind) {
		ex_fiber_make(&w->fiber[EX_MAIN], kick_entry);
		go_to(w, &w->engine, EX_MAIN);
	}
	w->in_fiber = false;
	ex_clocks_on = ex_weak_on = false;
	ex_tsan_acquire(&w->stops);
}

void ex_world_run(struct ex_world *w)
{
	w->strat->begin(w);
	w->redo_nr = 0;
	w->clocks |= w->opt->weak;
	run_once(w);
	while (w->rewind) {
		w->redo_nr = w->step;
		run_once(w);
	}
	w->path_nr = w->step;
	w->trace_hash = trace_hash(w);
	w->event = NULL;
	ex_observe_stop(w);
	if (w->pruned || w->verdict != EXPLORE_OK)
		return;
	if (w->step > w->longest)
		w->longest = w->step;
	w->sim.spurious = 0;
	run_main(w, EX_CHECK, main_check);
	if (w->verdict == EXPLORE_OK)
		ex_arena_check_leaks(w);
	if (w->verdict == EXPLORE_OK)
		ex_order_check(w);
}
