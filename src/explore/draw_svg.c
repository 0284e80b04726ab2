// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interleaving as a picture that stands alone: a lane per thread, a dot per operation, coloured
 * by kind, dashed lines where control passes on, arrows where a lock or a callback does, source
 * lines and the scenario's values at the right, verdict and legend below. Widths are reckoned from
 * the number of characters: any monospace font of that size will do.
 */
#include "draw.h"

#include <string.h>

enum {
	SVG_LINES = 60,
	ROW = 19,
	LEFT = 52,
	HEAD = 18,
	TOP = 26,
	LABEL_X = 11,
	INDENT = 12,
	BRIEF = 46,
	LANE_MIN = 120,
	WIDTH_MIN = 660,
};

struct paper {
	FILE *out;
	const struct ex_drawing *d;
	unsigned lane_x[DRAW_COLUMNS_MAX + 1];
	unsigned where_x, brief_x, width, height, y;
};

/* Of so many characters at 12 px, with some room for wider fonts. */
static unsigned text_px(size_t chars)
{
	return (unsigned)(chars * 76 / 10);
}

static bool is_line(const struct ex_drawing *d, uint32_t i)
{
	return d->row[i].shown && d->row[i].times && d->row[i].column != DRAW_NO_COLUMN;
}

static unsigned rows_between(const struct ex_drawing *d, uint32_t from, uint32_t to)
{
	unsigned rows = 0;

	for (uint32_t i = from; i < to; i++)
		rows += is_line(d, i) + (d->cycle_len && i == d->cycle_from);
	return rows;
}

static unsigned row_y(const struct ex_drawing *d, uint32_t i)
{
	return TOP + rows_between(d, 0, i + 1) * ROW;
}

static unsigned row_text(const struct ex_drawing *d, uint32_t i, char *to, size_t bytes)
{
	char moves[DRAW_LABEL_BYTES / 2];
	size_t n;

	ex_draw_label(d, i, to, bytes);
	n = strlen(to);
	if (d->row[i].times > 1)
		n += (size_t)ex_print(to + n, bytes - n, " (%u times)", d->row[i].times);
	if (ex_draw_moves(d->res, i, moves, sizeof(moves)))
		n += (size_t)ex_print(to + n, bytes - n, "  {%s}", moves);
	return (unsigned)n;
}

static unsigned depth_px(const struct ex_drawing *d, uint32_t i)
{
	return INDENT * (d->row[i].depth < 6u ? d->row[i].depth : 6u);
}

static void measure(struct paper *p)
{
	const struct ex_drawing *d = p->d;
	unsigned lane[DRAW_COLUMNS_MAX], where = 6;
	char text[DRAW_LABEL_BYTES];

	for (unsigned c = 0; c < DRAW_COLUMNS_MAX; c++)
		lane[c] = LANE_MIN;
	for (uint32_t i = 0; i < d->event_nr; i++) {
		unsigned *px = &lane[d->row[i].column % DRAW_COLUMNS_MAX], n;

		if (!is_line(d, i))
			continue;
		n = LABEL_X + depth_px(d, i) + text_px(row_text(d, i, text, sizeof(text))) + 14;
		*px = n > *px ? n : *px;
		if (d->res->events[i].file)
			n = (unsigned)ex_print(text, sizeof(text), "%s:%d", d->res->events[i].file,
					       d->res->events[i].line);
		where = d->res->events[i].file && n > where ? n : where;
	}
	p->lane_x[0] = LEFT;
	for (unsigned c = 0; c < d->columns; c++)
		p->lane_x[c + 1] = p->lane_x[c] + lane[c];
	p->where_x = p->lane_x[d->columns];
	p->brief_x = p->where_x + text_px(where) + 8;
	p->width = p->brief_x + BRIEF * d->briefs + 12;
	if (p->width < WIDTH_MIN)
		p->width = WIDTH_MIN;
}

static void put_text(const struct paper *p, unsigned x, unsigned y, const char *class,
		     const char *text)
{
	fprintf(p->out, "<text x=\"%u\" y=\"%u\" class=\"%s\">", x, y, class);
	ex_draw_xml(p->out, text);
	fputs("</text>\n", p->out);
}

static void lanes(const struct paper *p, unsigned bottom)
{
	const struct ex_drawing *d = p->d;

	for (unsigned c = 0; c < d->columns; c++) {
		const char *name = d->res->thread_name[d->thread[c]];
		char title[64];

		ex_print(title, sizeof(title), d->thread[c] == EX_RCU ? "%s" : "%s (cpu%u)",
			 name ? name : "?", d->thread[c] - EX_FIRST);
		put_text(p, p->lane_x[c], HEAD, "t", title);
		fprintf(p->out, "<path class=\"l\" d=\"M%u 26V%u\"/>\n", p->lane_x[c], bottom);
	}
	put_text(p, 4, HEAD, "n", "step");
	put_text(p, p->where_x, HEAD, "n", "source");
	for (unsigned b = 0; b < d->briefs; b++)
		put_text(p, p->brief_x + BRIEF * (b + 1), HEAD, "n r",
			 d->res->values[d->brief[b]].brief);
}

static void row(struct paper *p, uint32_t i, struct ex_state *st)
{
	const struct explore_event *ev = &p->d->res->events[i];
	unsigned x = p->lane_x[p->d->row[i].column];
	char text[DRAW_LABEL_BYTES];

	fprintf(p->out, "<circle class=\"f-%s\" cx=\"%u\" cy=\"%u\" r=\"4\"/>",
		ex_draw_classes[ex_draw_class(ev->kind)].id, x, p->y);
	row_text(p->d, i, text, sizeof(text));
	fprintf(p->out, "<text x=\"%u\" y=\"%u\" class=\"f-%s\">", x + LABEL_X + depth_px(p->d, i),
		p->y + 4, ex_draw_classes[ex_draw_class(ev->kind)].id);
	ex_draw_xml(p->out, text);
	if (ev->file)
		fprintf(p->out, "<title>step %u, %s:%d %s()</title>", ev->step, ev->file, ev->line,
			ev->func);
	fputs("</text>\n", p->out);
	ex_print(text, sizeof(text), "%u", ev->step);
	put_text(p, 4, p->y + 4, "n", text);
	if (ev->file) {
		ex_print(text, sizeof(text), "%s:%d", ev->file, ev->line);
		put_text(p, p->where_x, p->y + 4, "n", text);
	}
	for (unsigned b = 0; b < p->d->briefs && st->moved; b++) {
		const struct explore_change *c = st->now[p->d->brief[b]];

		put_text(p, p->brief_x + BRIEF * (b + 1), p->y + 4, "v r", c ? c->text : "-");
	}
}

static void rows(struct paper *p)
{
	const struct ex_drawing *d = p->d;
	struct ex_state st = { .at = 0 };
	unsigned last_x = 0;
	uint32_t next;
	char text[120];

	ex_state_go(d, &st, 0);
	st.moved = true;
	p->y = TOP;
	for (uint32_t i = 0; i < d->event_nr; i++) {
		if (d->cycle_len && i == d->cycle_from) {
			p->y += ROW;
			ex_print(text, sizeof(text),
				 "from here again and again: %u steps a round, %u rounds",
				 d->cycle_len, d->cycle_times);
			put_text(p, LEFT + LABEL_X, p->y + 4, "n", text);
		}
		if (!is_line(d, i))
			continue;
		for (next = i + 1; next < d->event_nr && !is_line(d, next);)
			next++;
		p->y += ROW;
		ex_state_go(d, &st, next);
		if (last_x && last_x != p->lane_x[d->row[i].column])
			fprintf(p->out, "<path class=\"%s\" d=\"M%u %uv6H%uv6\"/>\n",
				d->row[i].cut ? "c" : "s", last_x, p->y - ROW + 4,
				p->lane_x[d->row[i].column]);
		row(p, i, &st);
		st.moved = false;
		last_x = p->lane_x[d->row[i].column];
	}
}

static void arrows(const struct paper *p)
{
	const struct ex_drawing *d = p->d;

	for (uint32_t i = 0; i < d->event_nr; i++) {
		uint32_t from = d->row[i].from - 1;
		unsigned x1, x2, y1, y2;

		if (!d->row[i].from || !is_line(d, i) || !is_line(d, from))
			continue;
		x1 = p->lane_x[d->row[from].column];
		x2 = p->lane_x[d->row[i].column];
		y1 = row_y(d, from);
		y2 = row_y(d, i);
		/* beside the lanes and between the rows, where no words are */
		fprintf(p->out,
			"<path class=\"a\" marker-end=\"url(#tip)\" d=\"M%u %uh-6V%uH%uV%uh6\"/>\n",
			x1 - 5, y1, y2 - ROW / 2 + 2, x2 - 12, y2);
	}
}

/* The verdict, broken at blanks; the legend. */
static void foot(struct paper *p, bool draw)
{
	char text[EXPLORE_TEXT_BYTES + 64];
	const char *at = text;
	size_t room = (p->width - 16) * 10 / 80;

	ex_print(text, sizeof(text), "%s: %s", explore_verdict_name(p->d->res->verdict),
		 p->d->res->text);
	p->y += ROW / 2;
	while (*at) {
		char line[400];
		size_t n = strlen(at);

		room = room < sizeof(line) ? room : sizeof(line) - 1;
		if (n > room) {
			for (n = room; n > 20 && at[n] != ' ';)
				n--;
			n = at[n] == ' ' ? n : room;
		}
		ex_print(line, sizeof(line), "%.*s", (int)n, at);
		p->y += ROW;
		if (draw)
			put_text(p, 4, p->y, "e", line);
		for (at += n; *at == ' ';)
			at++;
	}
	p->y += ROW + ROW / 2;
	for (unsigned c = 0, x = 8; c < DRAW_CLASSES && draw; c++) {
		fprintf(p->out, "<circle class=\"f-%s\" cx=\"%u\" cy=\"%u\" r=\"4\"/>",
			ex_draw_classes[c].id, x, p->y - 4);
		put_text(p, x + 8, p->y, "n", ex_draw_classes[c].what);
		x += text_px(strlen(ex_draw_classes[c].what)) + 28;
	}
	p->y += ROW;
	if (draw) {
		fprintf(p->out,
			"<path class=\"c\" d=\"M4 %uh26\"/><path class=\"s\" d=\"M180 %uh26\"/>"
			"<path class=\"a\" marker-end=\"url(#tip)\" d=\"M306 %uh24\"/>\n",
			p->y - 4, p->y - 4, p->y - 4);
		put_text(p, 36, p->y, "n", "preempts the other");
		put_text(p, 212, p->y, "n", "goes on");
		put_text(p, 338, p->y, "n", "lock or callback passed on, or waited for");
	}
	p->y += ROW / 2;
}

static void style(const struct paper *p)
{
	for (unsigned c = 0; c < DRAW_CLASSES; c++)
		fprintf(p->out, ".f-%s{fill:%s}", ex_draw_classes[c].id, ex_draw_classes[c].light);
	fputs("@media (prefers-color-scheme:dark){", p->out);
	for (unsigned c = 0; c < DRAW_CLASSES; c++)
		fprintf(p->out, ".f-%s{fill:%s}", ex_draw_classes[c].id, ex_draw_classes[c].dark);
	fputs(".g{fill:#16181d}.t,.v{fill:#e6e8ec}.n{fill:#a4abb8}.e{fill:#ff9a90}.l{stroke:#"
	      "383d47}"
	      ".c{stroke:#ff9a90}.s{stroke:#a4abb8}.a{stroke:#c7a6ff}.k{fill:#c7a6ff}}</style>\n",
	      p->out);
}

int explore_draw_svg(FILE *out, const struct explore_result *res)
{
	struct ex_drawing d;
	struct paper p = { .out = out, .d = &d };
	unsigned bottom;
	int err = ex_draw_begin(&d, res, SVG_LINES);

	if (err)
		return err;
	d.short_names = true;
	measure(&p);
	p.y = bottom = TOP + rows_between(&d, 0, d.event_nr) * ROW;
	foot(&p, false);
	p.height = p.y;
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"viewBox=\"0 0 %u %u\" role=\"img\">\n<title>",
		p.width, p.height, p.width, p.height);
	ex_draw_xml(out, res->text);
	fputs("</title>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" "
	      "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"k\" "
	      "d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
	      "<style>text{font:12px monospace}.g{fill:#fff}.t{font-weight:bold;fill:#1c1e22}"
	      ".v{font-weight:bold;fill:#1c1e22}.n{fill:#5c616b;font-size:11px}.r{text-anchor:end}"
	      ".e{fill:#a61b12;font-weight:bold}path{fill:none}.l{stroke:#d8dbe0}"
	      ".c{stroke:#a61b12;stroke-dasharray:5 3}.s{stroke:#8a8f99;stroke-dasharray:2 3}"
	      ".a{stroke:#6a3fb5;stroke-width:1.3;stroke-linejoin:round}.k{fill:#6a3fb5}",
	      out);
	style(&p);
	fputs("<rect class=\"g\" width=\"100%\" height=\"100%\"/>\n", out);
	lanes(&p, bottom + 6);
	arrows(&p);
	rows(&p);
	foot(&p, true);
	fputs("</svg>\n", out);
	ex_draw_end(&d);
	return ex_draw_result(out);
}
