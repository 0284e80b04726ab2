// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of an execution, after Flanagan and Godefroid (POPL 2005): vector clocks over the events so
 * far. Two operations race if they depend on each other and neither happens before the other; then
 * the other order must be tried from where the first of them was chosen.
 *
 * Both halves are needed: the operation a thread has just announced is compared with all events so
 * far, and the event that has just run with what all other threads have announced - also in states
 * that end up pruned or deadlocked. If the thread could not run where the race was found, whatever
 * leads to it is tried there, and the search for an earlier place goes on.
 *
 * Cost: an operation looks only at the accesses of its own objects, back to a write that happens
 * before it, for that write happens after all older accesses. A free is the exception: it depends
 * on all that touches its block, and is compared with all. What the schedules before and after a
 * backtrack have in common is kept, not computed again.
 */
#include "search.h"

#include <errno.h>

enum { EVENTS_MAX = 1 << 17, SLOTS_BITS = 19, SLOTS = 1 << SLOTS_BITS };
enum { NONE = UINT32_MAX };

/* An event's access to one of its objects. Accesses of an object are a list, latest first. */
struct access {
	const struct ex_obj *obj; /* NULL: none */
	uint32_t older;           /* access: event * 2 + which; NONE: the first */
	uint32_t write_before;    /* the last write, when this came */
	bool wr;
};

struct event {
	struct ex_op op;
	uint8_t tid;
	uint32_t node, own;  /* own: of its thread's events, from 1 */
	uint32_t own_before; /* event of the same thread before it, or NONE */
	uint32_t free_before;
	struct access at[2];
	uint32_t clock[EX_THREADS_MAX];
};

/* A thread began: after all that its starter had done. */
struct birth {
	uint32_t depth, events; /* when: nodes, events so far */
	uint8_t tid;
	uint32_t clock[EX_THREADS_MAX];
};

struct slot {
	const struct ex_obj *obj;
	uint32_t last, last_write; /* accesses */
};

static struct {
	struct event *events;
	struct birth *births;
	struct slot *slots;
	uint32_t nr, birth_nr, slot_nr;
	uint32_t last_free; /* event */
	uint32_t last[EX_THREADS_MAX];
	uint32_t clock[EX_THREADS_MAX][EX_THREADS_MAX];
	unsigned drop_rule;
} dp;

static void forget_all(void)
{
	dp.nr = dp.birth_nr = dp.slot_nr = 0;
	dp.last_free = NONE;
	ex_fill_raw(dp.last, 0xff, sizeof(dp.last));
	ex_fill_raw(dp.clock, 0, sizeof(dp.clock));
	ex_pages_free(dp.slots, SLOTS * sizeof(*dp.slots));
	dp.slots = ex_pages(SLOTS * sizeof(*dp.slots));
}

int ex_dpor_start(const struct explore_options *opt)
{
	dp.drop_rule = opt->drop_rule;
	if (!dp.events)
		dp.events = ex_pages(EVENTS_MAX * sizeof(*dp.events));
	if (!dp.births)
		dp.births = ex_pages(EVENTS_MAX * sizeof(*dp.births));
	forget_all();
	return dp.events && dp.births && dp.slots ? 0 : -ENOMEM;
}

void ex_dpor_end(void)
{
	ex_pages_free(dp.events, EVENTS_MAX * sizeof(*dp.events));
	ex_pages_free(dp.births, EVENTS_MAX * sizeof(*dp.births));
	ex_pages_free(dp.slots, SLOTS * sizeof(*dp.slots));
	dp.events = NULL;
	dp.births = NULL;
	dp.slots = NULL;
}

/* ---- accesses by object ---- */

static struct access *access_of(uint32_t i)
{
	return &dp.events[i / 2].at[i % 2];
}

/* The slot of @obj, or the empty one where it belongs. */
static struct slot *slot_of(const struct ex_obj *obj)
{
	uint64_t at = ((uintptr_t)obj >> 3) * 0x9E3779B97F4A7C15ull >> (64 - SLOTS_BITS);

	while (dp.slots[at].obj && dp.slots[at].obj != obj)
		at = (at + 1) & (SLOTS - 1);
	return &dp.slots[at];
}

static void access_add(uint32_t i)
{
	struct access *a = access_of(i);
	struct slot *s;

	if (!a->obj)
		return;
	s = slot_of(a->obj);
	if (!s->obj) {
		*s = (struct slot){ a->obj, NONE, NONE };
		dp.slot_nr++;
	}
	a->older = s->last;
	a->write_before = s->last_write;
	s->last = i;
	if (a->wr)
		s->last_write = i;
}

static void access_drop(uint32_t i)
{
	const struct access *a = access_of(i);
	struct slot *s;

	if (!a->obj)
		return;
	s = slot_of(a->obj);
	s->last = a->older;
	s->last_write = a->write_before;
}

/* Objects that only dropped events had stay behind as empty slots: now and then start anew. */
static void slots_renew(void)
{
	if (dp.slot_nr < SLOTS / 4 * 3)
		return;
	ex_fill_raw(dp.slots, 0, SLOTS * sizeof(*dp.slots));
	dp.slot_nr = 0;
	for (uint32_t i = 0; i < dp.nr * 2; i++)
		access_add(i);
}

/* ---- what the last execution and this one have in common ---- */

static void clocks_again(uint32_t threads)
{
	for (uint32_t m = threads; m; m &= m - 1) {
		int t = __builtin_ctz(m);

		if (dp.last[t] == NONE)
			ex_fill_raw(dp.clock[t], 0, sizeof(dp.clock[t]));
		else
			ex_copy_raw(dp.clock[t], dp.events[dp.last[t]].clock, sizeof(dp.clock[t]));
	}
	for (uint32_t i = dp.birth_nr; i-- > 0 && threads;) {
		const struct birth *b = &dp.births[i];

		if (!(threads & 1u << b->tid))
			continue;
		threads &= ~(1u << b->tid);
		if (dp.last[b->tid] == NONE || dp.last[b->tid] < b->events)
			ex_copy_raw(dp.clock[b->tid], b->clock, sizeof(b->clock));
	}
}

/* Events of nodes from @fresh on are forgotten. */
void ex_dpor_begin(uint32_t fresh)
{
	uint32_t changed = 0;

	while (dp.nr > 0 && dp.events[dp.nr - 1].node >= fresh) {
		const struct event *e = &dp.events[--dp.nr];

		access_drop(dp.nr * 2 + 1);
		access_drop(dp.nr * 2);
		dp.last[e->tid] = e->own_before;
		dp.last_free = e->free_before;
		changed |= 1u << e->tid;
	}
	while (dp.birth_nr > 0 && dp.births[dp.birth_nr - 1].depth > fresh)
		changed |= 1u << dp.births[--dp.birth_nr].tid;
	clocks_again(changed);
	slots_renew();
}

/* ---- dependence ---- */

static bool in_block(const struct ex_op *free_op, const struct ex_op *op)
{
	uintptr_t from = (uintptr_t)free_op->addr, to = from + free_op->arg;
	const uintptr_t at[] = { (uintptr_t)op->addr, (uintptr_t)op->o1, (uintptr_t)op->o2 };

	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		if (at[i] >= from && at[i] < to)
			return true;
	return false;
}

bool ex_ops_dependent(const struct ex_op *a, const struct ex_op *b)
{
	if (a->kind == EX_FREE)
		return in_block(a, b);
	if (b->kind == EX_FREE)
		return in_block(b, a);
	if (a->o1 && a->o1 == b->o1 && (a->flags | b->flags) & EX_WR)
		return true;
	if (a->o2 && (a->o2 == b->o1 || a->o2 == b->o2))
		return true;
	return b->o2 && b->o2 == a->o1;
}

static void join(uint32_t *into, const uint32_t *from)
{
	for (unsigned i = 0; i < EX_THREADS_MAX; i++)
		if (from[i] > into[i])
			into[i] = from[i];
}

static bool happened_before(const struct event *e, const uint32_t *clock)
{
	return e->own <= clock[e->tid];
}

/* ---- races ---- */

/* @t's announced operation races with event @e: order them the other way round. */
static void backtrack(const struct event *e, int t)
{
	uint32_t could = 0;

	/* Threads whose later events lead to t's operation: one of them instead of t. */
	if (!ex_dfs_was_candidate(e->node, t))
		for (const struct event *j = e + 1; j < dp.events + dp.nr; j++)
			if (happened_before(j, dp.clock[t]))
				could |= 1u << j->tid;
	ex_dfs_backtrack(e->node, t, could);
}

/* True when the search for races of @t's operation ends here. */
static bool race(const struct event *e, int t)
{
	backtrack(e, t);
	return ex_dfs_was_candidate(e->node, t);
}

/* The latest of the accesses from @i back that races with @t's operation, or NONE. */
static uint32_t racing(uint32_t i, bool wr, const uint32_t *clock)
{
	while (i != NONE) {
		const struct access *a = access_of(i);

		if (happened_before(&dp.events[i / 2], clock)) {
			if (a->wr)
				return NONE; /* and so did all that is older */
		} else if (wr || a->wr) {
			return i;
		}
		i = wr ? a->older : a->write_before;
	}
	return NONE;
}

static uint32_t racing_free(uint32_t e, const struct ex_op *op, const uint32_t *clock)
{
	while (e != NONE &&
	       (happened_before(&dp.events[e], clock) || !in_block(&dp.events[e].op, op)))
		e = dp.events[e].free_before;
	return e;
}

static void scan_all(const struct ex_op *op, int t)
{
	for (uint32_t i = dp.nr; i-- > 0;) {
		const struct event *e = &dp.events[i];

		if (!happened_before(e, dp.clock[t]) && ex_ops_dependent(&e->op, op) && race(e, t))
			return;
	}
}

static uint32_t last_access(const struct ex_obj *obj, bool wr)
{
	const struct slot *s = slot_of(obj);

	return !s->obj ? NONE : wr ? s->last : s->last_write;
}

/* From the latest racing event back, until one where @t could have run instead. */
static void scan_posted(struct ex_world *w, int t)
{
	const struct ex_op *op = &w->sim.th[t].op;
	const uint32_t *clock = dp.clock[t];
	bool wr = op->flags & EX_WR;
	uint32_t i = NONE, k = NONE, e = dp.last_free, latest;

	if (dp.drop_rule == RULE_SCAN_POSTED)
		return;
	if (op->kind == EX_FREE) {
		scan_all(op, t);
		return;
	}
	if (op->o1)
		i = racing(last_access(op->o1, wr), wr, clock);
	if (op->o2)
		k = racing(last_access(op->o2, true), true, clock);
	e = racing_free(e, op, clock);
	while (i != NONE || k != NONE || e != NONE) {
		latest = i != NONE ? i / 2 : 0;
		if (k != NONE && k / 2 > latest)
			latest = k / 2;
		if (e != NONE && e > latest)
			latest = e;
		if (race(&dp.events[latest], t))
			return;
		if (i != NONE && i / 2 == latest)
			i = racing(wr ? access_of(i)->older : access_of(i)->write_before, wr,
				   clock);
		if (k != NONE && k / 2 == latest)
			k = racing(access_of(k)->older, true, clock);
		if (e == latest)
			e = racing_free(dp.events[e].free_before, op, clock);
	}
}

/* At each scheduling point, @depth nodes deep. */
void ex_dpor_state(struct ex_world *w, uint32_t depth)
{
	int last = w->last ? ex_tid(w, w->last) : -1;

	for (uint32_t m = w->born; m; m &= m - 1) {
		int t = __builtin_ctz(m);
		struct birth *b = &dp.births[dp.birth_nr];

		if (dp.birth_nr + 1 >= EVENTS_MAX)
			ex_stop(EXPLORE_LIVELOCK, "%u threads: too many for dpor", dp.birth_nr);
		if (last >= 0)
			join(dp.clock[t], dp.clock[last]);
		*b = (struct birth){ .depth = depth, .events = dp.nr, .tid = (uint8_t)t };
		ex_copy_raw(b->clock, dp.clock[t], sizeof(b->clock));
		dp.birth_nr++;
		if (w->sim.live & 1u << t)
			scan_posted(w, t);
	}
	if (last >= 0 && w->sim.live & 1u << last)
		scan_posted(w, last);
}

/* ---- events ---- */

/* All that the accesses of @obj so far happened after, and they themselves. */
static void join_object(uint32_t *clock, const struct ex_obj *obj, bool wr)
{
	uint32_t i = last_access(obj, wr);

	while (i != NONE) {
		const struct event *b = &dp.events[i / 2];

		if (!happened_before(b, clock))
			join(clock, b->clock);
		if (access_of(i)->wr)
			return;
		i = access_of(i)->older;
	}
}

static void clock_of(struct event *e)
{
	const struct ex_op *op = &e->op;

	ex_copy_raw(e->clock, dp.clock[e->tid], sizeof(e->clock));
	if (op->kind == EX_FREE) {
		for (uint32_t i = dp.nr; i-- > 0;) {
			const struct event *b = &dp.events[i];

			if (!happened_before(b, e->clock) && ex_ops_dependent(&b->op, op))
				join(e->clock, b->clock);
		}
	} else {
		if (op->o1)
			join_object(e->clock, op->o1, op->flags & EX_WR);
		if (op->o2)
			join_object(e->clock, op->o2, true);
		for (uint32_t i = dp.last_free; i != NONE; i = dp.events[i].free_before)
			if (in_block(&dp.events[i].op, op))
				join(e->clock, dp.events[i].clock);
	}
	e->clock[e->tid] = e->own;
}

void ex_dpor_commit(struct ex_world *w, struct ex_thread *t, uint32_t node)
{
	int tid = ex_tid(w, t);
	struct event *e = &dp.events[dp.nr];

	if (dp.nr + 1 >= EVENTS_MAX)
		ex_stop(EXPLORE_LIVELOCK, "%u operations: too long for dpor", dp.nr);
	e->op = t->op;
	e->tid = (uint8_t)tid;
	e->node = node;
	e->own_before = dp.last[tid];
	e->own = 1 + (dp.last[tid] == NONE ? 0 : dp.events[dp.last[tid]].own);
	e->free_before = dp.last_free;
	e->at[0] = (struct access){ .obj = t->op.o1, .wr = t->op.flags & EX_WR };
	e->at[1] = (struct access){ .obj = t->op.o2, .wr = true };
	clock_of(e);
	ex_copy_raw(dp.clock[tid], e->clock, sizeof(e->clock));
	access_add(dp.nr * 2);
	access_add(dp.nr * 2 + 1);
	dp.last[tid] = dp.nr;
	if (t->op.kind == EX_FREE)
		dp.last_free = dp.nr;
	dp.nr++;
	if (dp.drop_rule == RULE_SCAN_PENDING)
		return;
	for (uint32_t m = w->sim.live & ~(1u << tid); m; m &= m - 1) {
		int u = __builtin_ctz(m);

		if (ex_ops_dependent(&e->op, &w->sim.th[u].op))
			backtrack(e, u);
	}
}
