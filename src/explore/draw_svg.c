// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interleaving as a picture: a lane per thread, a dot per operation, coloured by kind, dashed
 * lines where control passes from one thread to another, the verdict below.
 */
#include "draw.h"

enum { LANE = 380, ROW = 18, LEFT = 50, TOP = 46 };

static void lanes(FILE *out, const struct ex_drawing *d, unsigned height)
{
	for (unsigned c = 0; c < d->columns; c++) {
		unsigned x = LEFT + c * LANE;
		const char *name = d->res->thread_name[d->thread[c]];

		fprintf(out, "<text x=\"%u\" y=\"24\" class=\"t\">", x);
		ex_draw_xml(out, name ? name : "?");
		fprintf(out,
			"</text>\n<line x1=\"%u\" y1=\"34\" x2=\"%u\" y2=\"%u\" "
			"stroke=\"#ccc\"/>\n",
			x, x, height - 40);
	}
}

static void dot(FILE *out, const struct explore_event *ev, unsigned x, unsigned y)
{
	char label[DRAW_LABEL_BYTES];

	ex_draw_label(ev, label, sizeof(label));
	fprintf(out, "<circle cx=\"%u\" cy=\"%u\" r=\"4\" fill=\"%s\"/>", x, y,
		ex_draw_colour(ev->kind));
	fprintf(out, "<text x=\"%u\" y=\"%u\">", x + 10 + 8u * (ev->depth < 6 ? ev->depth : 6),
		y + 4);
	ex_draw_xml(out, label);
	if (ev->file)
		fprintf(out, "<title>step %u, %s:%d %s()</title>", ev->step, ev->file, ev->line,
			ev->func);
	fprintf(out, "</text>\n<text x=\"4\" y=\"%u\" class=\"n\">%u</text>\n", y + 4, ev->step);
}

static unsigned rows_of(const struct ex_drawing *d)
{
	unsigned rows = 0;

	for (uint32_t i = 0; i < d->res->event_nr; i++)
		rows += d->shown[i] != 0 && (d->shown[i] == 1 || !i || d->shown[i - 1] != 2);
	return rows;
}

static void body(FILE *out, const struct ex_drawing *d)
{
	unsigned y = TOP, last_x = 0;

	for (uint32_t i = 0; i < d->res->event_nr; i++) {
		const struct explore_event *ev = &d->res->events[i];
		unsigned x = LEFT + d->column[i] * LANE;

		if (!d->shown[i] || (d->shown[i] == 2 && i && d->shown[i - 1] == 2))
			continue;
		if (last_x && last_x != x)
			fprintf(out,
				"<line x1=\"%u\" y1=\"%u\" x2=\"%u\" y2=\"%u\" "
				"stroke=\"%s\" stroke-dasharray=\"4 3\"/>\n",
				last_x, y - ROW, x, y, ev->preempted ? "#c0392b" : "#999");
		if (d->shown[i] == 2)
			fprintf(out, "<text x=\"%u\" y=\"%u\">...</text>\n", x + 10, y + 4);
		else
			dot(out, ev, x, y);
		last_x = x;
		y += ROW;
	}
	fprintf(out, "<text x=\"4\" y=\"%u\" class=\"v\">", y + ROW);
	ex_draw_xml(out, explore_verdict_name(d->res->verdict));
	fputs(": ", out);
	ex_draw_xml(out, d->res->text);
	fputs("</text>\n", out);
}

int explore_draw_svg(FILE *out, const struct explore_result *res)
{
	struct ex_drawing d;
	unsigned height, width;
	int err = ex_draw_begin(&d, res, true);

	if (err)
		return err;
	height = TOP + (rows_of(&d) + 3) * ROW;
	width = LEFT + (d.columns ? d.columns : 1) * LANE;
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"viewBox=\"0 0 %u %u\">\n<style>text{font:12px monospace}"
		".t{font-weight:bold;font-size:14px}.n{fill:#999;font-size:10px}"
		".v{fill:#c0392b;font-weight:bold}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
		width, height, width, height);
	lanes(out, &d, height);
	body(out, &d);
	fputs("</svg>\n", out);
	ex_draw_end(&d);
	return ex_draw_result(out);
}
