// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interleaving as columns of text, one per thread, in the style of kernel commit messages:
 * indented inside critical sections, source lines at the right when there is room, "..." where a
 * thread goes on alone, the verdict in the end. '!' marks a preemption.
 */
#include "draw.h"

#include <string.h>

enum { LINE_COLUMNS = 100, COLUMN_MIN = 24, COLUMN_MAX = 60, INDENT_MAX = 4 };

static void put(FILE *out, unsigned column, unsigned width, const char *text)
{
	fprintf(out, "%*s%s\n", (int)(column * width), "", text);
}

static void put_event(FILE *out, const struct ex_drawing *d, uint32_t i, unsigned width)
{
	const struct explore_event *ev = &d->res->events[i];
	char label[DRAW_LABEL_BYTES], where[80] = "", line[LINE_COLUMNS + 1];
	unsigned depth = ev->depth < INDENT_MAX ? ev->depth : INDENT_MAX, room = width - 2, used;

	if (depth && (ev->kind == EX_MUTEX_UNLOCK || ev->kind == EX_SPIN_UNLOCK ||
		      ev->kind == EX_READ_UNLOCK || ev->kind == EX_WRITE_UNLOCK ||
		      ev->kind == EX_RCU_UNLOCK))
		depth--;
	ex_draw_label(ev, label, sizeof(label));
	if (ev->file)
		ex_print(where, sizeof(where), "%s:%d", ex_short_file(ev->file), ev->line);
	if (room > LINE_COLUMNS)
		room = LINE_COLUMNS;
	used = (unsigned)ex_print(line, room + 1, "%s%*s%s", ev->preempted ? "!" : "",
				  (int)(depth * 2), "", label);
	if (where[0] && used + 2 + strlen(where) <= room)
		ex_print(line + used, sizeof(line) - used, "%*s%s",
			 (int)(room - used - strlen(where)), "", where);
	put(out, d->column[i], width, line);
}

static void put_head(FILE *out, const struct ex_drawing *d, unsigned width)
{
	char rule[COLUMN_MAX + 1];

	for (unsigned c = 0; c < d->columns; c++) {
		unsigned tid = d->thread[c];
		const char *name = d->res->thread_name[tid];
		char title[32];

		ex_print(title, sizeof(title), tid == EX_RCU ? "%s" : "%s (cpu%u)",
			 name ? name : "?", tid - EX_FIRST);
		fprintf(out, c + 1 < d->columns ? "%-*s" : "%.*s", (int)width, title);
	}
	fputc('\n', out);
	memset(rule, '-', sizeof(rule) - 1);
	rule[sizeof(rule) - 1] = '\0';
	for (unsigned c = 0; c < d->columns; c++)
		fprintf(out, "%.*s%s", (int)width - 2, rule, c + 1 < d->columns ? "  " : "\n");
}

int explore_draw_columns(FILE *out, const struct explore_result *res)
{
	struct ex_drawing d;
	unsigned width;
	int err = ex_draw_begin(&d, res, true);
	bool dots = false;

	if (err)
		return err;
	width = d.columns ? LINE_COLUMNS / d.columns : COLUMN_MAX;
	width = width < COLUMN_MIN ? COLUMN_MIN : width > COLUMN_MAX ? COLUMN_MAX : width;
	if (d.columns)
		put_head(out, &d, width);
	for (uint32_t i = 0; i < res->event_nr; i++) {
		if (d.shown[i] == 2 && !dots)
			put(out, d.column[i], width, "...");
		dots = d.shown[i] == 2 || (dots && !d.shown[i]);
		if (d.shown[i] == 1)
			put_event(out, &d, i, width);
	}
	fprintf(out, "=> %s: %s\n", explore_verdict_name(res->verdict), res->text);
	ex_draw_end(&d);
	return ex_draw_result(out);
}
