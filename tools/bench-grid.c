// SPDX-License-Identifier: GPL-2.0-only
/*
 * Figures are medians of the turns; a ratio is the median of the ratios of the turns.
 */
#include "bench-grid.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct cell {
	bool there;
	struct race_pace turns[BENCH_TIMES_MAX];
};

struct figures {
	const struct bench_args *args;
	const struct bench_grid *g;
	struct cell *cells; /* [row][who] */
};

static struct cell *cell_at(const struct figures *f, unsigned row, unsigned who)
{
	return &f->cells[row * f->g->who_nr + who];
}

static bool wanted(const struct figures *f, unsigned row)
{
	return bench_wanted(f->args, f->g->rows[row].name);
}

static int turn_run(const struct figures *f, unsigned turn)
{
	uint64_t run_ns = f->args->ms * 1000000ull;

	for (unsigned r = 0; r < f->g->row_nr; r++)
		for (unsigned w = 0; w < f->g->who_nr && wanted(f, r); w++) {
			struct cell *c = cell_at(f, r, w);
			int err = f->g->measure(f->g->ctx, &f->g->rows[r], w, run_ns,
						&c->turns[turn]);

			if (err && err != -ENOTSUP) {
				fprintf(stderr, "mbfs-bench: %s: %s, %s: %s\n", f->g->bench,
					f->g->rows[r].name, f->g->who[w],
					err == -EILSEQ ? "it did not measure what it says"
						       : strerror(-err));
				return err;
			}
			c->there = !err;
		}
	return 0;
}

static double median_at(const struct figures *f, const struct cell *c, size_t off)
{
	double v[BENCH_TIMES_MAX];

	for (unsigned t = 0; t < f->args->times; t++)
		v[t] = *(const double *)(const void *)((const char *)&c->turns[t] + off);
	return bench_median(v, f->args->times);
}

/* Of the rates; 0: one of them is not there. */
static double ratio(const struct figures *f, const struct cell *a, const struct cell *b)
{
	double v[BENCH_TIMES_MAX];

	if (a == b || !a->there || !b->there)
		return 0;
	for (unsigned t = 0; t < f->args->times; t++)
		v[t] = a->turns[t].per_s / b->turns[t].per_s;
	return bench_median(v, f->args->times);
}

static void print_ratio(double r)
{
	if (r > 0)
		printf(" %8.2fx", r);
	else
		printf(" %9s", "-");
}

/* Nanoseconds as they are: a tenth of one matters here. */
static const char *ns_text(char buf[16], double ns)
{
	if (ns >= 1000)
		return race_human_ns(buf, (uint64_t)ns);
	snprintf(buf, 16, "%.1f ns", ns);
	return buf;
}

static void print_cell(const struct figures *f, unsigned row, unsigned who)
{
	const struct bench_row *r = &f->g->rows[row];
	const struct cell *c = cell_at(f, row, who);
	double rate = median_at(f, c, offsetof(struct race_pace, per_s));
	double p50 = median_at(f, c, offsetof(struct race_pace, p50_ns));
	double p99 = median_at(f, c, offsetof(struct race_pace, p99_ns));
	double max = median_at(f, c, offsetof(struct race_pace, max_ns));
	double to_alone = ratio(f, c, cell_at(f, r->alone, who));
	double first = ratio(f, cell_at(f, row, 0), c);
	char t[4][16];

	printf("%-43s %-11s %9s %10s %10s %10s", r->name, f->g->who[who], race_human_nr(t[0], rate),
	       ns_text(t[1], p50), ns_text(t[2], p99), ns_text(t[3], max));
	if (f->g->extra)
		printf(" %7.2f", median_at(f, c, f->g->extra_off));
	print_ratio(to_alone);
	print_ratio(first);
	putchar('\n');
	if (!f->args->json)
		return;
	fprintf(f->args->json,
		"{\"bench\":\"%s\",\"case\":\"%s\",\"who\":\"%s\",\"threads\":%u,"
		"\"per_s\":%.0f,\"p50_ns\":%.1f,\"p99_ns\":%.1f,\"max_ns\":%.1f,"
		"\"to_alone\":%.3f,\"first_to_this\":%.3f,\"times\":%u",
		f->g->bench, r->name, f->g->who[who], r->threads, rate, p50, p99, max, to_alone,
		first, f->args->times);
	if (f->g->extra)
		fprintf(f->args->json, ",\"%s\":%.3f", f->g->extra,
			median_at(f, c, f->g->extra_off));
	fputs("}\n", f->args->json);
}

static void print_head(const struct bench_grid *g)
{
	printf("%-43s %-11s %9s %10s %10s %10s", g->title, "", "a second", "p50", "p99", "max");
	if (g->extra)
		printf(" %7s", g->extra);
	printf(" %9s %9s\n", "to alone", "first/it");
}

int bench_grid_run(const struct bench_args *a, const struct bench_grid *g)
{
	struct figures f = { .args = a, .g = g };
	int err = 0;

	f.cells = calloc((size_t)g->row_nr * g->who_nr, sizeof(*f.cells));
	if (!f.cells) {
		fprintf(stderr, "mbfs-bench: %s: out of memory\n", g->bench);
		return 1;
	}
	for (unsigned turn = 0; !err && turn < a->times; turn++)
		err = turn_run(&f, turn);
	if (!err)
		print_head(g);
	for (unsigned r = 0; !err && r < g->row_nr; r++)
		for (unsigned w = 0; w < g->who_nr; w++)
			if (cell_at(&f, r, w)->there)
				print_cell(&f, r, w);
	fflush(stdout);
	free(f.cells);
	return err ? 1 : 0;
}
