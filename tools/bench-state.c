// SPDX-License-Identifier: GPL-2.0-only
/*
 * States of one file's bytes: operations on trees of a thousand to a million states, at random and
 * one after the other, and the memory of a state. race/measure_state.c does it.
 */
#include "bench-grid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct work {
	unsigned tree; /* of trees[] */
	bool in_order, hint;
};
#define WORK(...) (&(const struct work){ __VA_ARGS__ })

static const struct tree {
	unsigned nr;
	bool shuffled;
} trees[] = {
	{ 1000, true }, { 10000, true }, { 100000, true }, { 1000000, true }, { 1000000, false },
};
enum { TREE_NR = sizeof(trees) / sizeof(trees[0]) };

static const struct bench_row rows[] = {
	{ "random, 10^3 states", 1, 0, WORK(0, false, false) },
	{ "random, 10^4 states", 1, 1, WORK(1, false, false) },
	{ "random, 10^5 states", 1, 2, WORK(2, false, false) },
	{ "random, 10^6 states", 1, 3, WORK(3, false, false) },
	{ "random, 10^6 states made in order", 1, 4, WORK(4, false, false) },
	{ "in order, 10^6 states, no hint", 1, 5, WORK(4, true, false) },
	{ "in order, 10^6 states, hint", 1, 6, WORK(4, true, true) },
};
enum { ROW_NR = sizeof(rows) / sizeof(rows[0]) };

static const char *const ops[RACE_STATE_OP_NR] = { "set", "clear", "convert", "test" };

static int measure(void *ctx, const struct bench_row *row, unsigned who, uint64_t run_ns,
		   struct race_pace *out)
{
	struct race_state_tree *const *states = ctx;
	const struct work *w = row->work;

	if (who == RACE_STATE_TEST && w->hint)
		return -ENOTSUP;
	return race_state_tree_measure(states[w->tree], who, w->in_order, w->hint, run_ns, out);
}

static void print_bytes(const struct bench_args *a, unsigned tree, const struct race_state_tree *s)
{
	double asked, grown;

	race_state_tree_bytes(s, &asked, &grown);
	printf("%u states, made %s: %.0f bytes each", trees[tree].nr,
	       trees[tree].shuffled ? "in random order" : "in order", asked);
	if (grown > 0)
		printf("; the heap grew by %.1f each", grown);
	putchar('\n');
	if (a->json)
		fprintf(a->json,
			"{\"bench\":\"state\",\"case\":\"bytes\",\"states\":%u,\"shuffled\":%s,"
			"\"asked_bytes\":%.0f,\"grown_bytes\":%.1f}\n",
			trees[tree].nr, trees[tree].shuffled ? "true" : "false", asked, grown);
}

int bench_state(const struct bench_args *a)
{
	struct race_state_tree *states[TREE_NR] = { NULL };
	const struct bench_grid g = {
		.bench = "state",
		.title = "operations on states",
		.rows = rows,
		.row_nr = ROW_NR,
		.who = ops,
		.who_nr = RACE_STATE_OP_NR,
		.measure = measure,
		.ctx = states,
	};
	bool needed[TREE_NR] = { false };
	int err = 0;

	for (unsigned i = 0; i < ROW_NR; i++)
		if (bench_wanted(a, rows[i].name))
			needed[((const struct work *)rows[i].work)->tree] = true;
	for (unsigned i = 0; !err && i < TREE_NR; i++)
		if (needed[i])
			err = race_state_tree_open(trees[i].nr, trees[i].shuffled, a->seed,
						   &states[i]);
	if (err)
		fprintf(stderr, "mbfs-bench: state: %s\n", strerror(-err));
	else
		err = bench_grid_run(a, &g);
	for (unsigned i = 0; i < TREE_NR; i++) {
		if (!states[i])
			continue;
		if (!err)
			print_bytes(a, i, states[i]);
		race_state_tree_close(states[i]);
	}
	return err ? 1 : 0;
}
