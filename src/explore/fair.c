// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fair scheduler of CHESS (Musuvathi and Qadeer, PLDI 2008). Of a thread t since it last gave
 * way: E(t) the threads enabled all the time, D(t) those that t disabled, S(t) those that ran. When
 * t gives way again it ranks below all of (E u D) \ S: they were kept waiting. t may run only when
 * no enabled thread ranks above it. So a spinning thread cannot starve what it spins for, and each
 * schedule of a program that ends under fair scheduling is still found.
 *
 * A thread that runs GIVES_WAY_AFTER operations in a row counts as giving way: a loop without
 * rt_yield() ends natively too, when its time slice does.
 */
#include "world.h"

enum { GIVES_WAY_AFTER = 1000 };

void ex_fair_reset(struct ex_world *w)
{
	w->sim.yielders = 0;
	w->last_enabled = 0;
}

static void gave_way(struct ex_world *w, struct ex_thread *t, uint32_t enabled)
{
	uint32_t bit = 1u << ex_tid(w, t), kept_waiting = 0;

	if (w->sim.yielders & bit)
		kept_waiting = (t->fair_e | t->fair_d) & ~t->fair_s & ~bit;
	else
		t->fair_p = 0;
	w->sim.yielders |= bit;
	t->fair_p |= kept_waiting;
	t->fair_e = enabled;
	t->fair_d = t->fair_s = 0;
	t->run_len = 0;
}

/* The last operation has run; @enabled are the threads enabled after it. */
void ex_fair_update(struct ex_world *w, uint32_t enabled)
{
	struct ex_thread *t = w->last;
	uint32_t bit;

	if (t && (w->sim.yielders || t->yielded || t->run_len >= GIVES_WAY_AFTER)) {
		bit = 1u << ex_tid(w, t);
		for (uint32_t m = w->sim.yielders; m; m &= m - 1) {
			struct ex_thread *u = &w->sim.th[__builtin_ctz(m)];

			u->fair_p &= ~bit;
			u->fair_e &= enabled;
			u->fair_s |= bit;
		}
		if (w->sim.yielders & bit && w->opt->drop_rule != RULE_DISABLED_BY)
			t->fair_d |= w->last_enabled & ~enabled;
		if (t->yielded || t->run_len >= GIVES_WAY_AFTER)
			gave_way(w, t, enabled);
	}
	w->last_enabled = enabled;
}

uint32_t ex_fair_filter(const struct ex_world *w, uint32_t enabled)
{
	uint32_t out = enabled;

	if (w->opt->drop_rule == RULE_FAIR)
		return enabled;
	for (uint32_t m = w->sim.yielders & enabled; m; m &= m - 1) {
		int tid = __builtin_ctz(m);

		if (w->sim.th[tid].fair_p & enabled)
			out &= ~(1u << tid);
	}
	return out ? out : enabled;
}

/* Go on with the running thread; else the next one after @last; sleepers whose time would run out
 * come last. */
int ex_default(const struct ex_choice *c, int last)
{
	uint32_t from = c->cand & ~c->lazy ? c->cand & ~c->lazy : c->cand;
	uint32_t above;

	if (c->self >= 0 && !c->yielded && from & 1u << c->self)
		return c->self;
	above = from & ~((2u << last) - 1);
	return __builtin_ctz(above ? above : from);
}
