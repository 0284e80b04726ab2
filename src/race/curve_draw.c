// SPDX-License-Identifier: GPL-2.0-only
/*
 * The curve as a picture: both axes logarithmic to base 2, a line and a dot for what was measured,
 * a dashed line below which no deadlock can be, and the command that repeats it.
 */
#include "race/curve.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 720, HEIGHT = 460, LEFT = 70, RIGHT = 30, TOP = 56, BOTTOM = 96, LINE_CHARS = 88 };

struct paper {
	FILE *out;
	double x_max, y_max; /* log2 of the axes' ends; they begin at 1 */
};

static double x_of(const struct paper *p, double reserve)
{
	return LEFT + log2(reserve) / p->x_max * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct paper *p, double threads)
{
	return HEIGHT - BOTTOM - log2(threads) / p->y_max * (HEIGHT - TOP - BOTTOM);
}

static double log_end(double most)
{
	double end = ceil(log2(most));

	return end < 1 ? 1 : end;
}

void race_svg_text(FILE *out, const char *text, int x, int y)
{
	unsigned at = 0;

	fprintf(out, "<tspan x=\"%d\" y=\"%d\">", x, y);
	for (; *text; text++) {
		if (*text == ' ' && at + strcspn(text + 1, " ") > LINE_CHARS) {
			fprintf(out, "</tspan><tspan x=\"%d\" dy=\"14\">  ", x + 14);
			at = 0;
		}
		at++;
		if (*text == '&')
			fputs("&amp;", out);
		else if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '>')
			fputs("&gt;", out);
		else
			putc(*text, out);
	}
	fputs("</tspan>", out);
}

static void axes(const struct paper *p)
{
	for (double i = 0; i <= p->x_max; i++) {
		double x = x_of(p, exp2(i));

		fprintf(p->out,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
			"<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
			x, TOP, x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, exp2(i));
	}
	for (double i = 0; i <= p->y_max; i++) {
		double y = y_of(p, exp2(i));

		fprintf(p->out,
			"<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
			"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n",
			LEFT, y, WIDTH - RIGHT, y, LEFT - 8, y + 4, exp2(i));
	}
	fprintf(p->out,
		"<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">objects in the reserve of each "
		"pool</text>\n<text x=\"18\" y=\"%d\" text-anchor=\"middle\" "
		"transform=\"rotate(-90 18 %d)\">writers</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 40, (TOP + HEIGHT - BOTTOM) / 2,
		(TOP + HEIGHT - BOTTOM) / 2);
}

/* A line through the points that have a value. */
static void line(const struct paper *p, const struct race_curve *c, const char *class,
		 bool measured)
{
	fprintf(p->out, "<polyline class=\"%s\" points=\"", class);
	for (unsigned i = 0; i < c->nr; i++) {
		const struct race_curve_point *at = &c->point[i];
		unsigned y = measured ? at->first : race_curve_floor(&c->cfg, at->reserve);

		if (y)
			fprintf(p->out, "%.1f,%.1f ", x_of(p, at->reserve), y_of(p, y));
	}
	fputs("\"/>\n", p->out);
}

static void dots(const struct paper *p, const struct race_curve *c)
{
	for (unsigned i = 0; i < c->nr; i++) {
		const struct race_curve_point *at = &c->point[i];
		unsigned y = at->first ? at->first : c->threads_max;

		fprintf(p->out,
			"<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/><text x=\"%.1f\" "
			"y=\"%.1f\" text-anchor=\"middle\">%s%u</text>\n",
			at->first ? "dot" : "none", x_of(p, at->reserve), y_of(p, y),
			x_of(p, at->reserve), y_of(p, y) - 9, at->first ? "" : "> ", y);
	}
}

int race_curve_svg(FILE *out, const struct race_curve *c, const char *command)
{
	struct paper p = { .out = out };
	unsigned x = 1, y = 2;

	for (unsigned i = 0; i < c->nr; i++) {
		unsigned first = c->point[i].first ? c->point[i].first : c->threads_max;

		x = c->point[i].reserve > x ? c->point[i].reserve : x;
		y = first > y ? first : y;
	}
	p.x_max = log_end(x);
	p.y_max = log_end(y);
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
		"<style>.grid{stroke:#ddd}.seen{fill:none;stroke:#b3261e;stroke-width:2}"
		".floor{fill:none;stroke:#555;stroke-dasharray:5 4}.dot{fill:#b3261e}"
		".none{fill:#fff;stroke:#b3261e}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
		"<text x=\"%d\" y=\"22\" font-size=\"15\">%s, %s, %s: the fewest writers that "
		"deadlocked</text>\n"
		"<text x=\"%d\" y=\"41\" fill=\"#555\">dashed: with fewer nobody can, by counting; "
		"each run %.3g s</text>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, c->cfg.scenario->name, c->cfg.variant.name,
		c->cfg.workload->name, LEFT, (double)c->cfg.run_ms / 1000);
	axes(&p);
	line(&p, c, "floor", false);
	line(&p, c, "seen", true);
	dots(&p, c);
	fputs("<text font-family=\"monospace\" font-size=\"11\" fill=\"#555\">", out);
	race_svg_text(out, command, LEFT, HEIGHT - BOTTOM + 66);
	fputs("</text>\n</svg>\n", out);
	return ferror(out) ? -EIO : 0;
}
