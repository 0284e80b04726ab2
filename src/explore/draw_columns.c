// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interleaving as columns of text, one per thread, in the style of kernel commit messages:
 * indented inside critical sections, source lines and the scenario's values at the right, the
 * verdict in the end. '!' marks where another thread was preempted.
 */
#include "draw.h"

#include <string.h>

enum {
	LINE_COLUMNS = 100,
	DIAGRAM_LINES = 25, /* head and verdict among them */
	HEAD_LINES = 2,
	COLUMN_MIN = 12,
	INDENT_MAX = 4,
	GAP = 2,
	WHERE_BYTES = 120,
};

struct layout {
	unsigned width[DRAW_COLUMNS_MAX];
	unsigned gutter; /* before the first column: its preemptions */
	unsigned where, brief[DRAW_BRIEF_MAX];
	bool func; /* room for the function's name */
};

static void title_of(const struct ex_drawing *d, unsigned column, char *to, size_t bytes)
{
	unsigned tid = d->thread[column];
	const char *name = d->res->thread_name[tid];

	ex_print(to, bytes, tid == EX_RCU ? "%s" : "%s (cpu%u)", name ? name : "?", tid - EX_FIRST);
}

/* Indent, words and how often; its length. */
static unsigned row_text(const struct ex_drawing *d, uint32_t i, char *to, size_t bytes)
{
	unsigned depth = d->row[i].depth < INDENT_MAX ? d->row[i].depth : INDENT_MAX;
	char label[DRAW_LABEL_BYTES], moves[DRAW_LABEL_BYTES / 2];
	int n;

	ex_draw_moves(d->res, i, moves, sizeof(moves));
	ex_draw_label(d, i, label, sizeof(label));
	if (d->row[i].plain && moves[0])
		label[0] = '\0';
	if (moves[0]) {
		size_t used = strlen(label);

		ex_print(label + used, sizeof(label) - used, "%s{%s}", used ? " " : "", moves);
	}
	n = ex_print(to, bytes, "%*s%s", (int)(depth * 2), "", label);
	if (d->row[i].times > 1)
		n += ex_print(to + n, bytes - (size_t)n, " (%u times)", d->row[i].times);
	return (unsigned)n;
}

static unsigned where_text(const struct explore_event *ev, bool func, char *to, size_t bytes)
{
	const char *base = ev->file ? strrchr(ev->file, '/') : NULL;

	to[0] = '\0';
	if (!ev->file)
		return 0;
	return (unsigned)ex_print(to, bytes, func ? "%s:%d %s()" : "%s:%d",
				  base ? base + 1 : ev->file, ev->line, ev->func);
}

static unsigned total(const struct ex_drawing *d, const struct layout *l)
{
	unsigned sum = l->gutter + l->where;

	for (unsigned c = 0; c < d->columns; c++)
		sum += l->width[c] + GAP;
	for (unsigned b = 0; b < d->briefs; b++)
		sum += l->brief[b] + 1;
	return sum;
}

static void measure_where(const struct ex_drawing *d, struct layout *l, bool func)
{
	char text[WHERE_BYTES];

	l->func = func;
	l->where = 0;
	for (uint32_t i = 0; i < d->event_nr; i++) {
		unsigned n = d->row[i].shown && d->row[i].times
				     ? where_text(&d->res->events[i], func, text, sizeof(text))
				     : 0;

		l->where = n > l->where ? n : l->where;
	}
}

/* As wide as the words are; if that is too much, the widest column gives way. */
static void measure(const struct ex_drawing *d, struct layout *l)
{
	char text[DRAW_LABEL_BYTES];

	*l = (struct layout){ .where = 0 };
	for (unsigned c = 0; c < d->columns; c++) {
		title_of(d, c, text, sizeof(text));
		l->width[c] = (unsigned)strlen(text) + 4;
	}
	for (uint32_t i = 0; i < d->event_nr; i++) {
		unsigned *width = &l->width[d->row[i].column % DRAW_COLUMNS_MAX], n;

		if (!d->row[i].shown || !d->row[i].times)
			continue;
		if (d->row[i].cut && d->row[i].column == 0)
			l->gutter = GAP;
		n = row_text(d, i, text, sizeof(text));
		*width = n > *width ? n : *width;
	}
	for (unsigned b = 0; b < d->briefs; b++)
		l->brief[b] = (unsigned)strlen(d->res->values[d->brief[b]].brief);
	measure_where(d, l, true);
	if (total(d, l) > LINE_COLUMNS)
		measure_where(d, l, false);
	while (total(d, l) > LINE_COLUMNS) {
		unsigned widest = 0;

		for (unsigned c = 1; c < d->columns; c++)
			if (l->width[c] > l->width[widest])
				widest = c;
		if (l->width[widest] <= COLUMN_MIN)
			break;
		l->width[widest]--;
	}
}

static void put(FILE *out, const char *line)
{
	size_t n = strlen(line);

	while (n > 0 && line[n - 1] == ' ')
		n--;
	fprintf(out, "%.*s\n", (int)n, line);
}

static void put_head(FILE *out, const struct ex_drawing *d, const struct layout *l)
{
	char line[400], rule[400], title[64];
	size_t at = l->gutter;

	memset(line, ' ', at);
	memset(rule, ' ', at);
	for (unsigned c = 0; c < d->columns; c++) {
		title_of(d, c, title, sizeof(title));
		memset(rule + at, ' ', l->width[c] + GAP);
		memset(rule + at, '-', l->width[c]);
		at += (size_t)ex_print(line + at, sizeof(line) - at, "%-*s  ", (int)l->width[c],
				       title);
	}
	rule[at] = '\0';
	at += (size_t)ex_print(line + at, sizeof(line) - at, "%-*s", (int)l->where, "");
	for (unsigned b = 0; b < d->briefs; b++)
		at += (size_t)ex_print(line + at, sizeof(line) - at, " %s",
				       d->res->values[d->brief[b]].brief);
	put(out, line);
	put(out, rule);
}

/* The row of an event: words in its column, its source line, values that moved. */
static void put_event(FILE *out, const struct ex_drawing *d, const struct layout *l, uint32_t i,
		      const struct ex_state *st)
{
	const struct explore_event *ev = &d->res->events[i];
	char text[DRAW_LABEL_BYTES], where[WHERE_BYTES], line[800];
	size_t at = (size_t)ex_print(line, sizeof(line), "%-*s", (int)l->gutter,
				     d->row[i].cut && d->row[i].column == 0 ? "!" : "");

	for (unsigned c = 0; c < d->columns; c++) {
		bool here = c == d->row[i].column;
		unsigned n = here ? row_text(d, i, text, sizeof(text)) : 0;

		if (n > l->width[c]) {
			text[l->width[c] - 2] = '\0';
			strcat(text, "..");
		}
		at += (size_t)ex_print(
			line + at, sizeof(line) - at, "%-*s%s", (int)l->width[c], here ? text : "",
			c + 1 < d->columns && c + 1 == d->row[i].column && d->row[i].cut ? " !"
											 : "  ");
	}
	where_text(ev, l->func, where, sizeof(where));
	at += (size_t)ex_print(line + at, sizeof(line) - at, "%-*s", (int)l->where, where);
	for (unsigned b = 0; b < d->briefs && st->moved; b++) {
		const struct explore_change *c = st->now[d->brief[b]];

		at += (size_t)ex_print(line + at, sizeof(line) - at, " %*s", (int)l->brief[b],
				       c ? c->text : "-");
	}
	put(out, line);
}

/* "=> what", broken at blanks. Returns its lines; @out NULL: only counts. */
static unsigned put_verdict(FILE *out, const struct explore_result *res)
{
	char text[EXPLORE_TEXT_BYTES + 64];
	const char *at = text;
	unsigned lines = 0;

	/* A scenario's own words need no other. */
	ex_print(text, sizeof(text), "%s%s%s",
		 res->verdict == EXPLORE_FAIL ? "" : explore_verdict_name(res->verdict),
		 res->verdict == EXPLORE_FAIL ? "" : ": ", res->text);
	do {
		size_t room = LINE_COLUMNS - 3, n = strlen(at);

		if (n > room) {
			for (n = room; n > 20 && at[n] != ' ';)
				n--;
			n = at[n] == ' ' ? n : room;
		}
		if (out)
			fprintf(out, "%s%.*s\n", lines ? "   " : "=> ", (int)n, at);
		for (at += n; *at == ' ';)
			at++;
		lines++;
	} while (*at);
	return lines;
}

static void put_rows(FILE *out, const struct ex_drawing *d, const struct layout *l)
{
	struct ex_state st = { .at = 0 };
	bool in_round = false;
	uint32_t next = 0;

	ex_state_go(d, &st, 0);
	st.moved = true;
	for (uint32_t i = 0; i < d->event_nr; i = next) {
		for (next = i + 1;
		     next < d->event_nr && !(d->row[next].shown && d->row[next].times);)
			next++;
		if (!d->row[i].shown || !d->row[i].times)
			continue;
		if (d->cycle_len && i >= d->cycle_from && !in_round) {
			fprintf(out, "-- from here again and again, %u steps a round, %u rounds:\n",
				d->cycle_len, d->cycle_times);
			in_round = true;
		}
		ex_state_go(d, &st, next);
		put_event(out, d, l, i, &st);
		st.moved = false;
	}
}

int explore_draw_columns(FILE *out, const struct explore_result *res)
{
	unsigned lines = HEAD_LINES + put_verdict(NULL, res);
	bool hangs = res->verdict == EXPLORE_DEADLOCK || res->verdict == EXPLORE_LIVELOCK;
	struct ex_drawing d;
	struct layout l;
	int err;

	if (res->verdict == EXPLORE_LIVELOCK)
		lines++;
	err = ex_draw_begin(&d, res, lines < DIAGRAM_LINES - 4 ? DIAGRAM_LINES - lines : 4);
	if (err)
		return err;
	d.short_names = true;
	measure(&d, &l);
	if (d.columns)
		put_head(out, &d, &l);
	put_rows(out, &d, &l);
	put_verdict(out, res);
	if (hangs)
		fputs(res->detail, out);
	ex_draw_end(&d);
	return ex_draw_result(out);
}
