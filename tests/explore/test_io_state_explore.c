// SPDX-License-Identifier: GPL-2.0-only
/*
 * The states of one tree under the explorer: two threads change ranges that overlap or touch, each
 * with its own memory and hint; under every schedule the result is that of one order or the other,
 * and every place is in the tree or given back.
 */
#include "support/t.h"

#include <string.h>

#include "explore/explore.h"
#include "support/t_states.h"

enum { A = IO_USER(0), B = IO_USER(1), OPS = 3, BYTES = 8 };

struct op {
	uint64_t start, end;
	uint32_t clear, set;
};

struct pair {
	const char *name;
	struct op before, user[2][OPS]; /* end 0: no more */
};

struct bed {
	struct t_states x;
	struct {
		struct io_memory mem;
		struct io_hint hint;
	} user[2];
};

static void apply(struct bed *b, unsigned user, const struct op *op)
{
	if (op->end)
		io_tree_convert(&b->x.tree, &b->user[user].mem, op->start, op->end, op->clear,
				op->set, &b->user[user].hint);
}

static void bed_setup(void *state)
{
	const struct pair *p = explore_arg();
	struct bed *b = state;

	t_states_open(&b->x);
	for (unsigned i = 0; i < 2; i++) {
		io_memory_init(&b->user[i].mem, b->x.env.states, OPS * IO_OP_NODES);
		io_memory_fill(&b->user[i].mem);
	}
	apply(b, 0, &p->before);
	io_memory_fill(&b->user[0].mem);
}

/* What only this thread changes is as it has left it, whatever the other does meanwhile. */
static void bed_user(void *state)
{
	const struct pair *p = explore_arg();
	unsigned me = explore_thread();
	struct bed *b = state;

	for (unsigned i = 0; i < OPS && p->user[me][i].end; i++) {
		const struct op *op = &p->user[me][i];

		apply(b, me, op);
		if (op->set)
			explore_check(io_tree_test(&b->x.tree, op->start, op->end, op->set, true));
	}
}

static void twin_apply(uint32_t *cell, const struct op *op)
{
	for (uint64_t i = op->start; i < op->end && i < BYTES; i++)
		cell[i] = (cell[i] & ~op->clear) | op->set;
}

/* The users' bits differ, so their order does not matter. */
static void bed_check(void *state)
{
	const struct pair *p = explore_arg();
	uint32_t cell[BYTES] = { 0 };
	struct bed *b = state;
	struct mbfs_diag diag = { "" };
	struct io_run run;

	twin_apply(cell, &p->before);
	for (unsigned i = 0; i < 2 * OPS; i++)
		twin_apply(cell, &p->user[i / OPS][i % OPS]);
	for (unsigned i = 0; i < BYTES; i++) {
		io_states_at(&b->x.tree, i, &run);
		if (run.bits != cell[i])
			explore_fail("byte %u: %#x, not %#x", i, run.bits, cell[i]);
	}
	if (io_states_check(&b->x.tree, &diag))
		explore_fail("%s", diag.text);
	explore_check(rt_u64_read(&b->x.out) ==
		      b->x.tree.node_nr + b->user[0].mem.nr + b->user[1].mem.nr);
	io_memory_end(&b->user[0].mem);
	io_memory_end(&b->user[1].mem);
	t_states_close(&b->x);
}

static const struct pair pairs[] = {
	{ "touch",
	  { 0 },
	  { { { 0, 2, 0, A }, { 2, 4, 0, A }, { 0, 4, A, 0 } },
	    { { 4, 6, 0, B }, { 6, 8, 0, B }, { 4, 5, B, 0 } } } },
	{ "overlap",
	  { 0 },
	  { { { 0, 4, 0, A }, { 4, 6, 0, A }, { 2, 5, A, 0 } },
	    { { 2, 6, 0, B }, { 3, 4, B, 0 }, { 0, 8, 0, B } } } },
	{ "same",
	  { 1, 7, 0, A | B },
	  { { { 1, 7, A, 0 }, { 1, 7, 0, A }, { 1, 7, A, 0 } },
	    { { 1, 7, B, 0 }, { 1, 7, 0, B }, { 1, 7, B, 0 } } } },
	{ "all-of-it",
	  { 2, 3, 0, A },
	  { { { 0, IO_END, A, 0 }, { 3, 5, 0, A }, { 5, 6, 0, A } },
	    { { 1, 4, 0, B }, { 4, 7, 0, B }, { 0, IO_END, B, 0 } } } },
};

/* Goal: as the head says. Method: DPOR to the end; row _i: what the two do. */
START_TEST(every_schedule)
{
	static struct explore_result res;
	const struct explore_scenario s = {
		.name = "io-state",
		.variant = pairs[_i].name,
		.state_bytes = sizeof(struct bed),
		.arg = &pairs[_i],
		.setup = bed_setup,
		.thread_nr = 2,
		.threads = { { NULL, bed_user }, { NULL, bed_user } },
		.check = bed_check,
	};
	struct explore_options opt = { .strategy = EXPLORE_DPOR, .bound = -1 };

	explore_run(&s, &opt, &res);
	ck_assert_msg(res.outcome == EXPLORE_EXHAUSTED, "%s: %s: %s",
		      explore_verdict_name(res.verdict), res.text, res.token);
	printf("%s: %" PRIu64 " schedules\n", pairs[_i].name, res.schedules);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io-state-explore");
	TCase *tc = tcase_create("io-state-explore");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, every_schedule, 0, sizeof(pairs) / sizeof(pairs[0]));
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
