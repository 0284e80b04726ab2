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
#include "extent/io_tree.h"
#include "reclaim/mempool.h"
#include "rt/mem.h"
#include "support/t.h"

enum { USERS = 6, CELLS = 2000, CELL_BYTES = 4096, STEPS = 60000, COMPARE_EVERY = 512 };

struct user {
	struct io_tree *tree;
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
			found = io_tree_find_first(u->tree, run.end, u->bit, &run);
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
	if (io_tree_test(u->tree, (uint64_t)a * CELL_BYTES, (uint64_t)b * CELL_BYTES, u->bit,
			 false) != any ||
	    io_tree_test(u->tree, (uint64_t)a * CELL_BYTES, (uint64_t)b * CELL_BYTES, u->bit,
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
			io_tree_set(u->tree, &u->mem, (uint64_t)at * CELL_BYTES,
				    (uint64_t)end * CELL_BYTES, u->bit, &h);
		else
			io_tree_clear(u->tree, &u->mem, (uint64_t)at * CELL_BYTES,
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

/* When it is scarce, one try in 16 has memory without waiting, one in two that waits. */
struct scarce {
	rt_u64 tries;
	rt_u32 now;
};

static void *scarce_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct scarce *sc = ctx;
	struct rt_rand r = { rt_u64_add_return(&sc->tries, 1) };
	bool none = rt_u32_read(&sc->now) && rt_rand_below(&r, may_wait ? 2 : 16) > 0;

	(void)align;
	return none ? NULL : rt_alloc(bytes);
}

static void scarce_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

/* Row _i: memory is as rt_alloc() gives it, or scarce. */
START_TEST(users_do_not_disturb_each_other)
{
	static const struct mempool_backing backing = { scarce_alloc, scarce_free };
	static struct user users[USERS];
	struct scarce scarce = { 0 };
	const struct mempool_config cfg = { .name = "states",
					    .bytes = io_state_bytes(),
					    .min_nr = IO_OP_NODES + USERS - 1,
					    .magazine_nr = _i ? 0 : 8,
					    .retry_ns = 10000,
					    .backing = _i ? &backing : NULL,
					    .ctx = &scarce };
	struct rt_thread *threads[USERS];
	struct mbfs_diag diag = { "" };
	struct mempool_domain *domain;
	struct io_env env = { 0 };
	uint64_t seed = t_seed();
	struct mempool_stats st;
	struct io_tree tree;
	struct rt_cpus cpus;

	rt_cpus_init(&cpus, 0);
	ck_assert_int_eq(mempool_domain_open(&cpus, &domain), 0);
	ck_assert_int_eq(mempool_open(domain, &cfg, &env.states), 0);
	rt_u32_set(&scarce.now, 1);
	io_tree_init(&tree, &env, RANK_INODE_RANGE);
	for (unsigned i = 0; i < USERS; i++) {
		users[i] = (struct user){ .tree = &tree,
					  .rand = { seed + i },
					  .bit = i ? IO_USER(i) : IO_DIRTY };
		io_memory_init(&users[i].mem, env.states, IO_OP_NODES + i);
		ck_assert_int_eq(rt_thread_start(use, &users[i], "user", &threads[i]), 0);
	}
	for (unsigned i = 0; i < USERS; i++)
		rt_thread_join(threads[i]);
	ck_assert_msg(!io_tree_check(&tree, &diag), "%s", diag.text);
	for (unsigned i = 0; i < USERS; i++) {
		ck_assert_msg(!users[i].wrong[0], "%s", users[i].wrong);
		compare(&users[i]);
		ck_assert_msg(!users[i].wrong[0], "at the end: %s", users[i].wrong);
	}
	mempool_stats(env.states, &st);
	ck_assert_uint_eq(st.in_use, tree.node_nr);
	io_tree_destroy(&tree);
	mempool_close(env.states);
	mempool_domain_close(domain);
	printf("%" PRIu64 " waits for memory, %" PRIu64 " objects from the reserve\n", st.waits,
	       st.from_reserve);
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
