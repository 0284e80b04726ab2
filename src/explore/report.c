// SPDX-License-Identifier: GPL-2.0-only
/* What broke, in words; the events of a recorded execution; what objects are called. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

void ex_format(char *to, size_t bytes, const char *fmt, va_list ap)
{
	vsnprintf(to, bytes, fmt, ap);
}

int ex_print(char *to, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(to, bytes, fmt, ap);
	va_end(ap);
	return n < 0 ? 0 : (size_t)n >= bytes ? (int)bytes - 1 : n;
}

void ex_text(struct ex_world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ex_format(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
}

/* The last two parts of a path. */
const char *ex_short_file(const char *file)
{
	const char *cut[2] = { file, file };

	for (const char *p = file; *p; p++)
		if (*p == '/') {
			cut[0] = cut[1];
			cut[1] = p + 1;
		}
	return cut[0];
}

/* ---- hooks of base/ ---- */

void base_assert_failed(const char *expr, const char *file, int line, const char *func)
{
	struct ex_world *w = ex_world;

	if (!w || w->phase == EX_IDLE) {
		fprintf(stderr, "mbfs: %s:%d: %s: assertion failed: %s\n", file, line, func, expr);
		__builtin_trap();
	}
	ex_stop(EXPLORE_ASSERT, "%s: %s:%d: %s: assertion failed: %s", w->cur->name,
		ex_short_file(file), line, func, expr);
}

/* What the code under test logs becomes a line of the trace. */
void log_msg(enum log_level level, const char *fmt, ...)
{
	char line[400];
	va_list ap;

	(void)level;
	if (!ex_world || !ex_world->recording)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	explore_note("%s", line);
}

/* ---- verdicts ---- */

static const char *holder_of(const struct ex_world *w, const struct ex_op *op,
			     const struct ex_site **since)
{
	const struct ex_lock *l = NULL;

	if (op->kind == EX_MUTEX_LOCK || op->kind == EX_SPIN_LOCK)
		l = op->addr;
	else if (op->kind == EX_READ_LOCK || op->kind == EX_WRITE_LOCK)
		l = &((const struct rt_rwlock *)op->addr)->l;
	else if (op->kind == EX_COND_WAKE)
		l = (const struct ex_lock *)(uintptr_t)op->arg;
	if (l && l->owner) {
		*since = l->taken;
		return w->sim.th[l->owner - 1].name;
	}
	if (op->kind == EX_JOIN)
		return w->sim.th[op->arg].name;
	return NULL;
}

/* "T waits for X at file:line, held by U since file:line" */
static int describe_wait(struct ex_world *w, const struct ex_thread *t, char *to, size_t bytes)
{
	const struct ex_op *op = &t->op;
	const struct ex_site *since = NULL;
	const char *holder = holder_of(w, op, &since);
	int n = ex_print(to, bytes, "%s waits: %s %s at %s:%d", t->name, ex_kind_names[op->kind],
			 op->addr ? ex_obj_name(w, op->addr, op->site) : op->site->what,
			 ex_short_file(op->site->file), op->site->line);

	if (holder)
		n += ex_print(to + n, bytes - (size_t)n, ", held by %s", holder);
	if (since)
		n += ex_print(to + n, bytes - (size_t)n, " since %s:%d", ex_short_file(since->file),
			      since->line);
	for (uint32_t m = w->sim.live; op->kind == EX_RCU_SYNCED && m; m &= m - 1) {
		const struct ex_thread *u = &w->sim.th[__builtin_ctz(m)];

		if (u->reader_depth)
			n += ex_print(to + n, bytes - (size_t)n, ", %s is in a reader", u->name);
	}
	return n;
}

static int describe_all(struct ex_world *w, char *to, size_t bytes)
{
	size_t at = 0;

	for (uint32_t m = w->sim.live; m && at < bytes - 200; m &= m - 1) {
		int tid = __builtin_ctz(m);

		if (w->sim.th[tid].background && tid != EX_RCU)
			continue;
		if (at)
			at += (size_t)ex_print(to + at, bytes - at, "; ");
		at += (size_t)describe_wait(w, &w->sim.th[tid], to + at, bytes - at);
	}
	return (int)at;
}

void ex_deadlock(struct ex_world *w)
{
	if (w->verdict != EXPLORE_OK)
		return;
	w->verdict = EXPLORE_DEADLOCK;
	describe_all(w, w->text, sizeof(w->text));
}

void ex_livelock(struct ex_world *w)
{
	char what[EXPLORE_TEXT_BYTES - 200];

	describe_all(w, what, sizeof(what));
	ex_stop(EXPLORE_LIVELOCK, "%u steps of a fair schedule and no end: %s", w->step, what);
}

/* ---- the scenario's own words ---- */

void explore_fail(const char *fmt, ...)
{
	struct ex_world *w = ex_world;
	char text[EXPLORE_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!w->opt->go_on)
		ex_stop(EXPLORE_FAIL, "%s", text);
	if (w->verdict != EXPLORE_OK)
		return;
	w->verdict = EXPLORE_FAIL;
	ex_text(w, "%s", text);
}

void explore_note(const char *fmt, ...)
{
	struct ex_world *w = ex_world;
	struct explore_event *ev;
	va_list ap;
	char *at;
	int n;

	if (!w->recording || w->phase != EX_EXPLORE || w->notes_nr + 500 > EX_NOTES_BYTES ||
	    w->event_nr >= EX_EVENTS_MAX)
		return;
	at = w->notes + w->notes_nr;
	va_start(ap, fmt);
	n = vsnprintf(at, 400, fmt, ap);
	va_end(ap);
	w->notes_nr += (uint32_t)(n < 0 ? 0 : n >= 400 ? 399 : n) + 1;
	ev = &w->events[w->event_nr++];
	*ev = (struct explore_event){ .step = w->step,
				      .thread = (uint8_t)ex_tid(w, w->cur),
				      .kind = EX_NOTE,
				      .note = at,
				      .depth = w->cur->held_nr };
}

unsigned explore_choose(unsigned n)
{
	return ex_data(n);
}

void explore_point_at(const struct ex_site *site)
{
	ex_point(EX_POINT, NULL, NULL, NULL, 0, site);
}

void explore_name(const void *obj, const char *name)
{
	struct ex_world *w = ex_world;

	if (w->name_nr < EX_NAMES_MAX) {
		w->names[w->name_nr].obj = obj;
		w->names[w->name_nr++].name = name;
	}
}

const void *explore_arg(void)
{
	return ex_world->scn->arg;
}

unsigned explore_thread(void)
{
	int tid = ex_tid(ex_world, ex_world->cur);

	return tid < EX_FIRST ? 0 : (unsigned)tid - EX_FIRST;
}

/* ---- recording ---- */

/* Named by the scenario, or as the source spells the argument that first reached it. */
const char *ex_obj_name(struct ex_world *w, const void *addr, const struct ex_site *site)
{
	const char *what = site->what;

	if (!addr)
		return what;
	for (unsigned i = 0; i < w->name_nr; i++)
		if (w->names[i].obj == addr)
			return w->names[i].name;
	return *what == '&' ? what + 1 : what;
}

void ex_record(struct ex_world *w, struct ex_thread *t)
{
	const struct ex_op *op = &t->op;
	struct explore_event *ev;

	if (w->event_nr >= EX_EVENTS_MAX) {
		w->event = NULL;
		return;
	}
	ev = &w->events[w->event_nr++];
	*ev = (struct explore_event){
		.step = w->step,
		.thread = (uint8_t)ex_tid(w, t),
		.kind = op->kind,
		.preempted = w->preempted,
		.depth = (uint8_t)(t->held_nr + t->reader_depth),
		.enabled = w->last_enabled,
		.obj = op->addr ? op->addr : op->o1,
		.name = ex_obj_name(w, op->addr, op->site),
		.file = ex_short_file(op->site->file),
		.func = op->site->func,
		.line = op->site->line,
	};
	w->preempted = false;
	w->event = ev;
}

char ex_letter(int tid)
{
	return tid == EX_MAIN ? 'm' : tid == EX_RCU ? 'r' : (char)('A' + tid - EX_FIRST);
}
