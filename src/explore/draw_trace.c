// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace as Chrome's JSON, which Perfetto opens: one slice of 900 us per operation at 1 ms a
 * step, flows where a lock changes hands and from an RCU callback's queueing to its run, the
 * verdict as an instant.
 */
#include "draw.h"

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

static void slice(FILE *out, uint32_t at, const struct explore_event *ev)
{
	char label[DRAW_LABEL_BYTES];

	ex_draw_label(ev, label, sizeof(label));
	fprintf(out,
		",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"ts\":%llu,\"dur\":900,\"cat\":\"%s\","
		"\"name\":\"",
		ev->thread, (unsigned long long)at * 1000, ex_kind_names[ev->kind]);
	ex_draw_json(out, label);
	fprintf(out, "\",\"args\":{\"step\":%u,\"enabled\":%u", ev->step, ev->enabled);
	if (ev->has_value)
		fprintf(out, ",\"value\":\"%llu\"", (unsigned long long)ev->value);
	if (ev->file)
		fprintf(out, ",\"source\":\"%s:%d %s\"", ev->file, ev->line, ev->func);
	fprintf(out, "%s}}", ev->preempted ? ",\"preempted\":true" : "");
}

static bool gives(unsigned kind)
{
	return kind == EX_MUTEX_UNLOCK || kind == EX_SPIN_UNLOCK || kind == EX_WRITE_UNLOCK ||
	       kind == EX_READ_UNLOCK || kind == EX_RCU_QUEUE || kind == EX_EVENT_SIGNAL ||
	       kind == EX_COND_SIGNAL || kind == EX_COND_BROADCAST;
}

static bool takes(unsigned kind)
{
	return kind == EX_MUTEX_LOCK || kind == EX_SPIN_LOCK || kind == EX_WRITE_LOCK ||
	       kind == EX_READ_LOCK || kind == EX_RCU_RUN || kind == EX_EVENT_WAIT ||
	       kind == EX_COND_WAKE;
}

/* From the last event that gave @obj to this one, if that was another thread's. */
static void flow(FILE *out, const struct explore_result *res, uint32_t at, unsigned *next_id)
{
	const struct explore_event *ev = &res->events[at];

	for (uint32_t i = at; i-- > 0;) {
		const struct explore_event *from = &res->events[i];

		if (from->obj != ev->obj || !gives(from->kind))
			continue;
		if (from->thread == ev->thread)
			return;
		fprintf(out,
			",\n{\"ph\":\"s\",\"pid\":1,\"tid\":%u,\"ts\":%llu,\"id\":%u,"
			"\"cat\":\"flow\",\"name\":\"%s\"}",
			from->thread, (unsigned long long)i * 1000 + 450, *next_id,
			ex_kind_names[from->kind]);
		fprintf(out,
			",\n{\"ph\":\"f\",\"bp\":\"e\",\"pid\":1,\"tid\":%u,\"ts\":%llu,"
			"\"id\":%u,\"cat\":\"flow\",\"name\":\"%s\"}",
			ev->thread, (unsigned long long)at * 1000 + 450, *next_id,
			ex_kind_names[from->kind]);
		++*next_id;
		return;
	}
}

int explore_draw_trace(FILE *out, const struct explore_result *res)
{
	unsigned next_id = 1;

	head(out, res);
	for (uint32_t i = 0; i < res->event_nr; i++) {
		slice(out, i, &res->events[i]);
		if (takes(res->events[i].kind) && res->events[i].obj)
			flow(out, res, i, &next_id);
	}
	fprintf(out, ",\n{\"ph\":\"i\",\"s\":\"g\",\"pid\":1,\"tid\":0,\"ts\":%llu,\"name\":\"",
		(unsigned long long)res->event_nr * 1000);
	ex_draw_json(out, explore_verdict_name(res->verdict));
	fputs("\",\"args\":{\"what\":\"", out);
	ex_draw_json(out, res->text);
	fputs("\",\"token\":\"", out);
	ex_draw_json(out, res->token);
	fputs("\"}}\n]}\n", out);
	return ex_draw_result(out);
}
