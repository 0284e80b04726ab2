// SPDX-License-Identifier: GPL-2.0-only
/*
 * A matrix as a picture: the median time of a call by the number of writers, both logarithmic; a
 * line for each variant, workload and number of virtual CPUs, and the command that repeats it.
 */
#include "race/curve.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/check.h"

enum { WIDTH = 820, HEIGHT = 520, LEFT = 80, RIGHT = 190, TOP = 50, BOTTOM = 96 };

struct paper {
	FILE *out;
	const struct race_dot *dot;
	unsigned nr;
	double x_max, y_min, y_max; /* x: log2 of writers, from 0; y: log10 of ns */
};

static double x_of(const struct paper *p, unsigned threads)
{
	return LEFT + log2(threads) / p->x_max * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct paper *p, double ns)
{
	return HEIGHT - BOTTOM -
	       (log10(ns < 1 ? 1 : ns) - p->y_min) / (p->y_max - p->y_min) *
		       (HEIGHT - TOP - BOTTOM);
}

static void extent(struct paper *p)
{
	uint64_t least = UINT64_MAX, most = 1;
	unsigned threads = 2;

	for (unsigned i = 0; i < p->nr; i++) {
		uint64_t ns = p->dot[i].p50_ns ? p->dot[i].p50_ns : 1;

		least = ns < least ? ns : least;
		most = ns > most ? ns : most;
		threads = p->dot[i].threads > threads ? p->dot[i].threads : threads;
	}
	p->x_max = ceil(log2(threads));
	p->y_min = floor(log10((double)(least < most ? least : most)));
	p->y_max = ceil(log10((double)most + 1));
	if (p->y_max <= p->y_min)
		p->y_max = p->y_min + 1;
}

static void axes(const struct paper *p)
{
	char ns[16];

	for (unsigned i = 0; i <= (unsigned)p->x_max; i++)
		fprintf(p->out,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
			"<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%u</text>\n",
			x_of(p, 1u << i), TOP, x_of(p, 1u << i), HEIGHT - BOTTOM, x_of(p, 1u << i),
			HEIGHT - BOTTOM + 18, 1u << i);
	for (double i = p->y_min; i <= p->y_max; i++)
		fprintf(p->out,
			"<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
			"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			LEFT, y_of(p, exp10(i)), WIDTH - RIGHT, y_of(p, exp10(i)), LEFT - 8,
			y_of(p, exp10(i)) + 4, race_human_ns(ns, (uint64_t)exp10(i)));
	fprintf(p->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">writers</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38);
}

static bool same_line(const struct race_dot *a, const struct race_dot *b)
{
	return strcmp(a->variant, b->variant) == 0 && strcmp(a->workload, b->workload) == 0 &&
	       a->cpus == b->cpus;
}

/* The first of its line. */
static bool is_first(const struct paper *p, unsigned idx)
{
	for (unsigned i = 0; i < idx; i++)
		if (same_line(&p->dot[i], &p->dot[idx]))
			return false;
	return true;
}

/* @nr: of the line; its colour, and its place in the legend. */
static void line(const struct paper *p, const struct race_dot *first, unsigned nr)
{
	static const char *const colours[] = { "#b3261e", "#1a5fb4", "#26762b", "#8a5a00",
					       "#6b3fa0", "#00707a", "#a0336b", "#555555" };
	const char *colour = colours[nr % MBFS_ARRAY_SIZE(colours)];

	fprintf(p->out, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"",
		colour);
	for (unsigned i = 0; i < p->nr; i++)
		if (same_line(first, &p->dot[i]))
			fprintf(p->out, "%.1f,%.1f ", x_of(p, p->dot[i].threads),
				y_of(p, (double)p->dot[i].p50_ns));
	fputs("\"/>\n", p->out);
	for (unsigned i = 0; i < p->nr; i++)
		if (same_line(first, &p->dot[i]))
			fprintf(p->out, "<circle fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n",
				colour, x_of(p, p->dot[i].threads),
				y_of(p, (double)p->dot[i].p50_ns));
	fprintf(p->out, "<text x=\"%d\" y=\"%u\" fill=\"%s\">%s, %s, %u CPUs</text>\n",
		WIDTH - RIGHT + 12, TOP + 12 + 16 * nr, colour, first->variant, first->workload,
		first->cpus);
}

int race_matrix_svg(FILE *out, const char *title, const struct race_dot *dot, unsigned nr,
		    const char *command)
{
	struct paper p = { .out = out, .dot = dot, .nr = nr };
	unsigned lines = 0;

	extent(&p);
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
		"<style>.grid{stroke:#ddd}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
		"<text x=\"%d\" y=\"26\" font-size=\"15\">%s: median time of a call</text>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, title);
	axes(&p);
	for (unsigned i = 0; i < nr; i++)
		if (is_first(&p, i))
			line(&p, &dot[i], lines++);
	fputs("<text font-family=\"monospace\" font-size=\"11\" fill=\"#555\">", out);
	race_svg_text(out, command, LEFT, HEIGHT - BOTTOM + 66);
	fputs("</text>\n</svg>\n", out);
	return ferror(out) ? -EIO : 0;
}
