// SPDX-License-Identifier: GPL-2.0-only
/*
 * Races of an execution, by source sets (Abdulla, Aronis, Jonsson, Sagonas, POPL 2014): vector
 * clocks over the events so far. Two operations race if they depend on each other and neither
 * happens before the other. Then the other order must be tried from the node where the first of
 * them was chosen: what came after it without depending on it, and then the second. Any thread that
 * may begin that sequence (an initial) will do; if the node is to try one of them anyway, nothing
 * is added. To try the second operation's thread whether or not it is an initial, as Flanagan and
 * Godefroid do, loses classes together with sleep sets: it may sleep, and what would have to go
 * first is never tried (test_random.c, iriw).
 *
 * All three are needed: an operation is compared with all events so far when it is announced, and
 * again when it runs; the event that has just run with what all other threads have announced - also
 * in states that end up pruned or deadlocked. A lock is compared with who took it, not with the
 * unlock that let it go on: these two cannot change places.
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

/* The first events of threads among what came after some event and does not depend on it. */
struct after {
	uint32_t threads;
	uint32_t own[EX_THREADS_MAX];
	const uint32_t *clock[EX_THREADS_MAX];
};

static void after_find(const struct event *e, struct after *v)
{
	uint32_t seen = 0;

	v->threads = 0;
	for (const struct event *j = e + 1; j < dp.events + dp.nr; j++) {
		if (seen & 1u << j->tid)
			continue;
		seen |= 1u << j->tid;
		if (happened_before(e, j->clock))
			continue; /* and all that its thread did later */
		v->threads |= 1u << j->tid;
		v->own[j->tid] = j->own;
		v->clock[j->tid] = j->clock;
	}
}

/* Threads whose first event in @v comes after no other of @v. */
static uint32_t initials(const struct after *v)
{
	uint32_t out = v->threads;

	for (uint32_t m = v->threads; m; m &= m - 1) {
		int q = __builtin_ctz(m);

		for (uint32_t k = v->threads & ~(1u << q); k; k &= k - 1) {
			int r = __builtin_ctz(k);

			if (v->clock[q][r] >= v->own[r])
				out &= ~(1u << q);
		}
	}
	return out;
}

/* Try @t's announced operation, which has @clock, before @e. False: nobody could begin with that.
 */
static bool reverse(const struct event *e, int t, const uint32_t *clock)
{
	struct after v;

	after_find(e, &v);
	if (!(v.threads & 1u << t)) { /* it has done nothing since */
		v.threads |= 1u << t;
		v.own[t] = UINT32_MAX;
		v.clock[t] = clock;
	}
	return ex_dfs_backtrack(e->node, initials(&v), t);
}

static uint32_t last_access(const struct ex_obj *obj, bool wr)
{
	const struct slot *s = slot_of(obj);

	return !s->obj ? NONE : wr ? s->last : s->last_write;
}

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

/* All that @op of @tid happens after, if it runs now. */
static void op_clock(const struct ex_op *op, int tid, uint32_t *clock)
{
	ex_copy_raw(clock, dp.clock[tid], sizeof(dp.clock[tid]));
	if (op->kind == EX_FREE) {
		for (uint32_t i = dp.nr; i-- > 0;) {
			const struct event *b = &dp.events[i];

			if (!happened_before(b, clock) && ex_ops_dependent(&b->op, op))
				join(clock, b->clock);
		}
		return;
	}
	if (op->o1)
		join_object(clock, op->o1, op->flags & EX_WR);
	if (op->o2)
		join_object(clock, op->o2, true);
	for (uint32_t i = dp.last_free; i != NONE; i = dp.events[i].free_before)
		if (in_block(&dp.events[i].op, op))
			join(clock, dp.events[i].clock);
}

/* From the latest access of @obj back, all that @t's operation races with directly. */
static void scan_object(const struct ex_op *op, const struct ex_obj *obj, bool wr, int t,
			const uint32_t *clock)
{
	uint32_t i = last_access(obj, wr);
	bool between = false; /* an access that older writes happen before */

	while (i != NONE) {
		const struct access *a = access_of(i);
		const struct event *e = &dp.events[i / 2];

		if (happened_before(e, dp.clock[t])) {
			if (a->wr)
				return; /* and so did all that is older */
		} else if (wr || a->wr) {
			if (a->wr && between)
				return;
			/* What lets a waiting operation go on is no race with it. */
			if (reverse(e, t, clock) &&
			    (!(op->flags & EX_COND) || e->op.flags & EX_COND)) {
				if (a->wr)
					return;
				between = true;
			}
		}
		i = wr ? a->older : a->write_before;
	}
}

static void scan_all(const struct ex_op *op, int t, const uint32_t *clock)
{
	for (uint32_t i = dp.nr; i-- > 0;) {
		const struct event *e = &dp.events[i];

		if (!happened_before(e, dp.clock[t]) && ex_ops_dependent(&e->op, op))
			reverse(e, t, clock);
	}
}

static void scan_races(struct ex_world *w, int t)
{
	const struct ex_op *op = &w->sim.th[t].op;
	uint32_t clock[EX_THREADS_MAX];

	op_clock(op, t, clock);
	if (op->kind == EX_FREE) {
		scan_all(op, t, clock);
		return;
	}
	if (op->o1)
		scan_object(op, op->o1, op->flags & EX_WR, t, clock);
	if (op->o2)
		scan_object(op, op->o2, true, t, clock);
	for (uint32_t i = dp.last_free; i != NONE; i = dp.events[i].free_before)
		if (!happened_before(&dp.events[i], dp.clock[t]) &&
		    in_block(&dp.events[i].op, op))
			reverse(&dp.events[i], t, clock);
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
		if (w->sim.live & 1u << t && dp.drop_rule != RULE_SCAN_POSTED)
			scan_races(w, t);
	}
	if (last >= 0 && w->sim.live & 1u << last && dp.drop_rule != RULE_SCAN_POSTED)
		scan_races(w, last);
}

/* ---- events ---- */

void ex_dpor_commit(struct ex_world *w, struct ex_thread *t, uint32_t node)
{
	int tid = ex_tid(w, t);
	struct event *e = &dp.events[dp.nr];

	if (dp.nr + 1 >= EVENTS_MAX)
		ex_stop(EXPLORE_LIVELOCK, "%u operations: too long for dpor", dp.nr);
	if (dp.drop_rule !=
	    RULE_SCAN_AGAIN) /* what others did meanwhile may have to go before it */
		scan_races(w, tid);
	e->op = t->op;
	e->tid = (uint8_t)tid;
	e->node = node;
	e->own_before = dp.last[tid];
	e->own = 1 + (dp.last[tid] == NONE ? 0 : dp.events[dp.last[tid]].own);
	e->free_before = dp.last_free;
	e->at[0] = (struct access){ .obj = t->op.o1, .wr = t->op.flags & EX_WR };
	e->at[1] = (struct access){ .obj = t->op.o2, .wr = true };
	op_clock(&e->op, tid, e->clock);
	e->clock[tid] = e->own;
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
			reverse(e, u, dp.clock[u]);
	}
}
