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
 */
#include "search.h"

#include <errno.h>

enum { EVENTS_MAX = 1 << 17 };

struct event {
	struct ex_op op;
	uint8_t tid;
	uint32_t node, own; /* own: of its thread's events, from 1 */
	uint32_t clock[EX_THREADS_MAX];
};

static struct {
	struct event *events;
	uint32_t nr;
	uint32_t own[EX_THREADS_MAX];
	uint32_t clock[EX_THREADS_MAX][EX_THREADS_MAX];
	unsigned drop_rule;
} dp;

int ex_dpor_start(const struct explore_options *opt)
{
	dp.drop_rule = opt->drop_rule;
	if (!dp.events)
		dp.events = ex_pages(EVENTS_MAX * sizeof(*dp.events));
	return dp.events ? 0 : -ENOMEM;
}

void ex_dpor_end(void)
{
	ex_pages_free(dp.events, EVENTS_MAX * sizeof(*dp.events));
	dp.events = NULL;
}

void ex_dpor_begin(struct ex_world *w)
{
	(void)w;
	dp.nr = 0;
	ex_fill_raw(dp.own, 0, sizeof(dp.own));
	ex_fill_raw(dp.clock, 0, sizeof(dp.clock));
}

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

/* @t's announced operation races with event @e: order them the other way round. */
static void backtrack(const struct event *e, int t)
{
	uint32_t could = 0;

	/* Threads whose later events lead to t's operation: one of them instead of t. */
	for (const struct event *j = e + 1; j < dp.events + dp.nr; j++)
		if (j->own <= dp.clock[t][j->tid])
			could |= 1u << j->tid;
	ex_dfs_backtrack(e->node, t, could);
}

static void scan_posted(struct ex_world *w, int t)
{
	const struct ex_op *op = &w->sim.th[t].op;

	if (dp.drop_rule == RULE_SCAN_POSTED)
		return;
	for (uint32_t i = dp.nr; i-- > 0;) {
		const struct event *e = &dp.events[i];

		if (e->tid == t || e->own <= dp.clock[t][e->tid] || !ex_ops_dependent(&e->op, op))
			continue;
		backtrack(e, t);
		if (ex_dfs_was_candidate(e->node, t))
			return;
	}
}

/* At each scheduling point. */
void ex_dpor_state(struct ex_world *w)
{
	int last = w->last ? ex_tid(w, w->last) : -1;

	for (uint32_t m = w->born; m; m &= m - 1) {
		int t = __builtin_ctz(m);

		if (last >= 0)
			join(dp.clock[t], dp.clock[last]);
		if (w->sim.live & 1u << t)
			scan_posted(w, t);
	}
	w->born = 0;
	if (last >= 0 && w->sim.live & 1u << last)
		scan_posted(w, last);
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
	e->own = ++dp.own[tid];
	ex_copy_raw(e->clock, dp.clock[tid], sizeof(e->clock));
	for (uint32_t i = dp.nr; i-- > 0;) {
		const struct event *b = &dp.events[i];

		if (b->own > e->clock[b->tid] && ex_ops_dependent(&b->op, &e->op))
			join(e->clock, b->clock);
	}
	e->clock[tid] = e->own;
	ex_copy_raw(dp.clock[tid], e->clock, sizeof(e->clock));
	dp.nr++;
	if (dp.drop_rule == RULE_SCAN_PENDING)
		return;
	for (uint32_t m = w->sim.live & ~(1u << tid); m; m &= m - 1) {
		int u = __builtin_ctz(m);

		if (ex_ops_dependent(&e->op, &w->sim.th[u].op))
			backtrack(e, u);
	}
}
