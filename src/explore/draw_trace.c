// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace as Chrome's JSON, which Perfetto opens, at 1 ms a step: a slice of 900 us per
 * operation, around them slices for critical sections that nest; flows where a lock changes hands
 * and from an RCU callback's queueing to its run; grace periods and what the scenario tells in
 * words as asynchronous slices, its numbers as counters; the verdict as an instant.
 */
#include "draw.h"

#include <string.h>

enum { STEP_US = 1000, SLICE_US = 900, SECTION_US = 20, HELD_MAX = 64 };

struct trace {
	FILE *out;
	const struct ex_drawing *d;
	unsigned next_id;
};

static unsigned long long at_us(uint32_t i)
{
	return 100 + (unsigned long long)i * STEP_US;
}

static void head(FILE *out, const struct explore_result *res)
{
	fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", out);
	fputs("{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"mbfs\"}}",
	      out);
	for (unsigned i = 0; i < res->thread_nr; i++) {
		if (!res->thread_name[i])
			continue;
		fprintf(out,
			",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\","
			"\"args\":{\"name\":\"",
			i);
		ex_draw_json(out, res->thread_name[i]);
		fputs("\"}}", out);
	}
}

/* One record; @name is escaped. */
static void record(const struct trace *t, char ph, unsigned tid, unsigned long long ts,
		   const char *cat, const char *name)
{
	fprintf(t->out, ",\n{\"ph\":\"%c\",\"pid\":1,\"tid\":%u,\"ts\":%llu,\"cat\":\"", ph, tid,
		ts);
	ex_draw_json(t->out, cat);
	fputs("\",\"name\":\"", t->out);
	ex_draw_json(t->out, name);
	fputc('"', t->out);
}

static void slice(const struct trace *t, uint32_t i)
{
	const struct explore_event *ev = &t->d->res->events[i];
	char label[DRAW_LABEL_BYTES];

	ex_draw_label(t->d, i, label, sizeof(label));
	record(t, 'X', ev->thread, at_us(i), ex_kind_names[ev->kind], label);
	fprintf(t->out, ",\"dur\":%d,\"args\":{\"step\":%u,\"enabled\":%u", SLICE_US, ev->step,
		ev->enabled);
	if (ev->has_value)
		fprintf(t->out, ",\"value\":\"%llu\"", (unsigned long long)ev->value);
	if (ev->file)
		fprintf(t->out, ",\"source\":\"%s:%d %s\"", ev->file, ev->line, ev->func);
	fprintf(t->out, "%s}}", ev->preempted ? ",\"preempted\":true" : "");
}

/* Of each thread, what it holds: only what is given back in reverse order nests as slices do. */
static void sections(const struct trace *t)
{
	const struct explore_event *ev = t->d->res->events;
	uint32_t held[EX_THREADS_MAX][HELD_MAX];
	unsigned nr[EX_THREADS_MAX] = { 0 };

	for (uint32_t i = 0; i < t->d->event_nr; i++) {
		unsigned tid = ev[i].thread, k;
		char name[200];

		if (ex_draw_takes_lock(&ev[i]) && nr[tid] < HELD_MAX)
			held[tid][nr[tid]++] = i;
		if (!ex_draw_leaves(ev[i].kind))
			continue;
		for (k = nr[tid]; k > 0 && ev[held[tid][k - 1]].obj != ev[i].obj;)
			k--;
		if (k == 0)
			continue;
		if (k == nr[tid]) {
			uint32_t from = held[tid][k - 1];

			ex_print(name, sizeof(name), "holds %s",
				 t->d->row[from].name ? t->d->row[from].name : "?");
			record(t, 'X', tid, at_us(from) - SECTION_US, "section", name);
			fprintf(t->out, ",\"dur\":%llu}",
				at_us(i) - at_us(from) + SLICE_US + 2 * SECTION_US);
		}
		for (nr[tid]--; k <= nr[tid]; k++) /* out of order: what came later does not nest */
			held[tid][k - 1] = held[tid][k];
	}
}

static void flow(struct trace *t, uint32_t i)
{
	const struct explore_event *ev = &t->d->res->events[i], *from;

	if (!t->d->row[i].from)
		return;
	from = &t->d->res->events[t->d->row[i].from - 1];
	record(t, 's', from->thread, at_us(t->d->row[i].from - 1) + SLICE_US / 2, "flow",
	       ex_kind_names[from->kind]);
	fprintf(t->out, ",\"id\":%u}", t->next_id);
	record(t, 'f', ev->thread, at_us(i) + SLICE_US / 2, "flow", ex_kind_names[from->kind]);
	fprintf(t->out, ",\"bp\":\"e\",\"id\":%u}", t->next_id++);
}

static void span(struct trace *t, unsigned tid, const char *cat, const char *name,
		 unsigned long long from, unsigned long long to)
{
	record(t, 'b', tid, from, cat, name);
	fprintf(t->out, ",\"id\":%u}", t->next_id);
	record(t, 'e', tid, to, cat, name);
	fprintf(t->out, ",\"id\":%u}", t->next_id++);
}

/* From a callback's queueing to its run, or from one end of a wait to the other. */
static void grace(struct trace *t, uint32_t i)
{
	const struct explore_event *ev = t->d->res->events, *end = &ev[i];
	unsigned begins = end->kind == EX_RCU_RUN       ? EX_RCU_QUEUE
			  : end->kind == EX_RCU_SYNCED  ? EX_RCU_SYNC
			  : end->kind == EX_RCU_DRAINED ? EX_RCU_BARRIER
							: EX_KIND_NR;

	for (uint32_t k = i; begins != EX_KIND_NR && k-- > 0;) {
		if (ev[k].kind != begins ||
		    (begins == EX_RCU_QUEUE ? ev[k].obj != end->obj : ev[k].thread != end->thread))
			continue;
		span(t, ev[k].thread, "rcu",
		     begins == EX_RCU_BARRIER ? "rcu_barrier" : "grace period", at_us(k), at_us(i));
		return;
	}
}

static void values(struct trace *t)
{
	const struct explore_result *res = t->d->res;
	unsigned long long end = at_us(t->d->event_nr);

	for (uint32_t c = 0; c < res->change_nr; c++) {
		const struct explore_change *ch = &res->changes[c];
		unsigned long long from = ch->after ? at_us(ch->after - 1) + SLICE_US : 0, to = end;
		const char *name = res->values[ch->value].name;

		if (!ch->text || from > end)
			continue;
		if (ch->is_number) {
			record(t, 'C', 0, from, "state", name);
			fprintf(t->out, ",\"args\":{\"value\":%lld}}", (long long)ch->number);
			continue;
		}
		for (uint32_t k = c + 1; k < res->change_nr && to == end; k++)
			if (res->changes[k].value == ch->value && res->changes[k].after > ch->after)
				to = at_us(res->changes[k].after - 1) + SLICE_US;
		span(t, 0, name, ch->text, from, to < end ? to : end);
	}
}

int explore_draw_trace(FILE *out, const struct explore_result *res)
{
	struct ex_drawing d;
	struct trace t = { .out = out, .d = &d, .next_id = 1 };
	int err = ex_draw_begin(&d, res, 0);

	if (err)
		return err;
	head(out, res);
	for (uint32_t i = 0; i < d.event_nr; i++) {
		slice(&t, i);
		flow(&t, i);
		grace(&t, i);
	}
	sections(&t);
	values(&t);
	record(&t, 'i', 0, at_us(d.event_nr), "verdict", explore_verdict_name(res->verdict));
	fputs(",\"s\":\"g\",\"args\":{\"what\":\"", out);
	ex_draw_json(out, res->text);
	fputs("\",\"token\":\"", out);
	ex_draw_json(out, res->token);
	fputs("\"}}\n]}\n", out);
	ex_draw_end(&d);
	return ex_draw_result(out);
}
