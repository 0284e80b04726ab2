// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: users of one tree do not disturb each other: each finds the states of its own bit as it has
 * set them, whatever the others do at the same places, with hints that the others make stale, while
 * memory fails. Under TSan also: no data race. Method: a thread per bit, with an array of cells as
 * its twin; all of it compared now and then; at the end all twins are the tree.
 */
#include <string.h>

#include "base/check.h"
#include "rt/work.h"
#include "support/t.h"
#include "support/t_states.h"

enum { USERS = 6, CELLS = 400, CELL_BYTES = 4096, STEPS = 60000, COMPARE_EVERY = 64 };

struct user {
	struct t_states *x;
	struct rt_rand rand;
	uint32_t bit;
	bool has[CELLS];
	struct io_memory mem;
	char wrong[120];
};

/* The runs of the own bit: others' bits cut them into pieces. */
static void compare(struct user *u)
{
	struct io_run run = { .end = 0 };
	bool found = true;

	for (unsigned i = 0; i < CELLS && !u->wrong[0]; i++) {
		uint64_t at = (uint64_t)i * CELL_BYTES;

		while (found && run.end <= at)
			found = io_tree_find_first(&u->x->tree, run.end, u->bit, &run);
		if ((found && run.start < at + CELL_BYTES) != u->has[i])
			snprintf(u->wrong, sizeof(u->wrong), "bit %#x of cell %u: %s", u->bit, i,
				 u->has[i] ? "lost" : "set by nobody");
	}
}

static void test(struct user *u, unsigned a, unsigned b)
{
	bool any = false, all = true;

	for (unsigned i = a; i < b; i++) {
		any |= u->has[i];
		all &= u->has[i];
	}
	if (io_tree_test(&u->x->tree, (uint64_t)a * CELL_BYTES, (uint64_t)b * CELL_BYTES, u->bit,
			 false) != any ||
	    io_tree_test(&u->x->tree, (uint64_t)a * CELL_BYTES, (uint64_t)b * CELL_BYTES, u->bit,
			 true) != all)
		snprintf(u->wrong, sizeof(u->wrong), "bit %#x of cells %u to %u", u->bit, a, b);
}

static void use(void *arg)
{
	struct user *u = arg;
	struct io_hint h = { 0 };
	unsigned at = 0;

	for (unsigned step = 0; step < STEPS && !u->wrong[0]; step++) {
		unsigned len = 1 + (unsigned)rt_rand_below(&u->rand, 12);
		bool set = rt_rand_below(&u->rand, 2);
		unsigned end;

		if (at >= CELLS || rt_rand_below(&u->rand, 8) == 0)
			at = (unsigned)rt_rand_below(&u->rand, CELLS);
		end = at + len > CELLS ? CELLS : at + len;
		io_memory_fill(&u->mem);
		if (set)
			io_tree_set(&u->x->tree, &u->mem, (uint64_t)at * CELL_BYTES,
				    (uint64_t)end * CELL_BYTES, u->bit, &h);
		else
			io_tree_clear(&u->x->tree, &u->mem, (uint64_t)at * CELL_BYTES,
				      (uint64_t)end * CELL_BYTES, u->bit, &h);
		for (unsigned i = at; i < end; i++)
			u->has[i] = set;
		test(u, at, end);
		if (step % COMPARE_EVERY == 0)
			compare(u);
		at = end;
	}
	io_memory_end(&u->mem);
}

START_TEST(users_do_not_disturb_each_other)
{
	static struct user users[USERS];
	static struct t_states x;
	struct rt_thread *threads[USERS];
	struct mbfs_diag diag = { "" };
	uint64_t seed = t_seed();

	t_states_open(&x);
	rt_u64_set(&x.fail_at, _i ? 1000 : 0);
	for (unsigned i = 0; i < USERS; i++) {
		users[i] = (struct user){ .x = &x,
					  .rand = { seed + i },
					  .bit = i ? IO_USER(i) : IO_DIRTY };
		io_memory_init(&users[i].mem, x.env.states, IO_OP_NODES + i);
		ck_assert_int_eq(rt_thread_start(use, &users[i], "user", &threads[i]), 0);
	}
	for (unsigned i = 0; i < USERS; i++)
		rt_thread_join(threads[i]);
	ck_assert_msg(!io_states_check(&x.tree, &diag), "%s", diag.text);
	for (unsigned i = 0; i < USERS; i++) {
		ck_assert_msg(!users[i].wrong[0], "%s", users[i].wrong);
		compare(&users[i]);
		ck_assert_msg(!users[i].wrong[0], "at the end: %s", users[i].wrong);
	}
	ck_assert_uint_eq(rt_u64_read(&x.out), x.tree.state_nr);
	t_states_close(&x);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stress_io_state");
	TCase *tc = tcase_create("stress_io_state");

	tcase_add_loop_test(tc, users_do_not_disturb_each_other, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
