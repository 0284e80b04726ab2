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

enum { NOTE_BYTES = 400 };

static bool note_room(const struct ex_world *w)
{
	return w->notes_nr + NOTE_BYTES <= EX_NOTES_BYTES && w->event_nr < EX_EVENTS_MAX;
}

/* An event of the current thread that is words only. There is room. */
static struct explore_event *add_note(struct ex_world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static struct explore_event *add_note(struct ex_world *w, const char *fmt, ...)
{
	struct explore_event *ev = &w->events[w->event_nr++];
	char *at = w->notes + w->notes_nr;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(at, NOTE_BYTES, fmt, ap);
	va_end(ap);
	w->notes_nr += (uint32_t)strlen(at) + 1;
	*ev = (struct explore_event){ .step = w->step,
				      .thread = (uint8_t)ex_tid(w, w->cur),
				      .kind = EX_NOTE,
				      .note = at,
				      .depth = w->cur->held_nr };
	return ev;
}

/* "T waits: lock m at file:line, held by U since file:line" */
static int describe_wait(struct ex_world *w, const struct ex_thread *t, char *to, size_t bytes)
{
	const struct ex_op *op = &t->op;
	const struct ex_site *since = NULL;
	const char *holder = holder_of(w, op, &since);
	int n = ex_print(to, bytes, "%s %s: %s %s at %s:%d", t->name,
			 ex_op_enabled(w, t) ? "goes on with" : "waits", ex_kind_names[op->kind],
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

/* Who has not ended: the scenario's, and RCU's while there are callbacks. */
static uint32_t threads_told(const struct ex_world *w)
{
	uint32_t told = 0;

	for (uint32_t m = w->sim.live; m; m &= m - 1) {
		int tid = __builtin_ctz(m);

		if (tid != EX_MAIN && (!w->sim.th[tid].background || tid == EX_RCU) &&
		    w->sim.th[tid].op.site)
			told |= 1u << tid;
	}
	return told;
}

static int describe_all(struct ex_world *w, char *to, size_t bytes)
{
	size_t at = 0;

	for (uint32_t m = threads_told(w); m && at < bytes - 200; m &= m - 1) {
		if (at)
			at += (size_t)ex_print(to + at, bytes - at, "; ");
		at += (size_t)describe_wait(w, &w->sim.th[__builtin_ctz(m)], to + at, bytes - at);
	}
	return (int)at;
}

/* The thread that @t waits for; -1: none, or several. */
static int waits_for(const struct ex_world *w, const struct ex_thread *t)
{
	const struct ex_lock *l = NULL;

	if (ex_op_enabled(w, t))
		return -1;
	switch (t->op.kind) {
	case EX_MUTEX_LOCK:
	case EX_SPIN_LOCK:
		l = t->op.addr;
		break;
	case EX_READ_LOCK:
	case EX_WRITE_LOCK:
		l = &((const struct rt_rwlock *)t->op.addr)->l;
		break;
	case EX_JOIN:
		return (int)t->op.arg;
	default:
		return -1;
	}
	if (!l->owner && t->op.kind == EX_WRITE_LOCK) {
		uint32_t readers = ((const struct rt_rwlock *)t->op.addr)->readers;

		return readers ? __builtin_ctz(readers) : -1;
	}
	return (int)l->owner - 1;
}

/* "A -> B -> A" if there is one; its length. */
static int describe_cycle(const struct ex_world *w, char *to, size_t bytes)
{
	size_t at = 0;

	for (uint32_t m = threads_told(w); m; m &= m - 1) {
		int start = __builtin_ctz(m), tid = start;
		unsigned hops = 0;

		do {
			tid = waits_for(w, &w->sim.th[tid]);
		} while (tid >= 0 && tid != start && ++hops < EX_THREADS_MAX);
		if (tid != start)
			continue;
		at += (size_t)ex_print(to, bytes, "wait-for cycle: %s", w->sim.th[start].name);
		do {
			tid = waits_for(w, &w->sim.th[tid]);
			at += (size_t)ex_print(to + at, bytes - at, " -> %s", w->sim.th[tid].name);
		} while (tid != start);
		at += (size_t)ex_print(to + at, bytes - at, "\n");
		break;
	}
	return (int)at;
}

static int describe_held(struct ex_world *w, const struct ex_thread *t, char *to, size_t bytes)
{
	size_t at = 0;

	for (unsigned i = 0; i < t->held_nr && at + 100 < bytes; i++) {
		const struct ex_held *h = &t->held[i];

		at += (size_t)ex_print(to + at, bytes - at, "    holds %s since %s:%d (%s)\n",
				       ex_obj_name(w, h->lock, h->site),
				       ex_short_file(h->site->file), h->site->line, h->site->func);
	}
	if (t->reader_depth)
		at += (size_t)ex_print(to + at, bytes - at, "    in an RCU reader\n");
	return (int)at;
}

/* Rows for what threads wait for: an operation that never happened is no event. */
void ex_note_waits(struct ex_world *w)
{
	struct ex_thread *cur = w->cur;

	for (uint32_t m = threads_told(w); m && w->verdict == EXPLORE_DEADLOCK; m &= m - 1) {
		int tid = __builtin_ctz(m);
		const struct ex_thread *t = &w->sim.th[tid];
		const struct ex_site *since = NULL;
		const char *holder = holder_of(w, &t->op, &since);

		w->cur = &w->sim.th[tid];
		if (!note_room(w) || ex_op_enabled(w, t))
			continue;
		add_note(w, "waits: %s(%s)%s%s", ex_kind_names[t->op.kind],
			 t->op.addr ? ex_obj_name(w, t->op.addr, t->op.site) : "",
			 holder ? ", held by " : "", holder ? holder : "")
			->file = ex_short_file(t->op.site->file);
		w->events[w->event_nr - 1].obj = t->op.addr;
		w->events[w->event_nr - 1].line = t->op.site->line;
		w->events[w->event_nr - 1].func = t->op.site->func;
	}
	w->cur = cur;
}

/* By what the thread did that ran last; not by what all of them wait for. */
static bool failed_itself(const struct ex_world *w)
{
	return w->verdict != EXPLORE_DEADLOCK && w->verdict != EXPLORE_LIVELOCK;
}

/* Where each thread stands: what it waits for, what it holds, who called it. On no thread's stack.
 */
void ex_detail(struct ex_world *w, char *to, size_t bytes)
{
	size_t at = (size_t)describe_cycle(w, to, bytes);
	char stack[600];

	for (uint32_t m = threads_told(w); m && at + 1000 < bytes; m &= m - 1) {
		int tid = __builtin_ctz(m);
		const struct ex_thread *t = &w->sim.th[tid];

		if (t == w->cur && failed_itself(w))
			at += (size_t)ex_print(to + at, bytes - at, "%s failed after %s:%d (%s)",
					       t->name, ex_short_file(t->op.site->file),
					       t->op.site->line, t->op.site->func);
		else
			at += (size_t)describe_wait(w, t, to + at, bytes - at);
		at += (size_t)ex_print(to + at, bytes - at, "\n");
		at += (size_t)describe_held(w, t, to + at, bytes - at);
		if (ex_stack_text(&w->fiber[tid], stack, sizeof(stack)))
			at += (size_t)ex_print(to + at, bytes - at, "    in %s\n", stack);
	}
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
	char text[NOTE_BYTES];
	va_list ap;

	if (w->peeking || !w->recording || w->phase != EX_EXPLORE || !note_room(w))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ex_observe(w);
	add_note(w, "%s", text);
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
	ex_observe(w);
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
