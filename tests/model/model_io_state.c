// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: the states of a tree against a naive twin: an array with the bits of each cell. Method:
 * random set, clear, convert, with a hint or without, by two users with different amounts of memory
 * at hand; after each, the tree's places are exactly those where the twin changes, its invariants
 * hold, and every object is in the tree, at hand, or in the pool; test and find_first as the twin
 * says. A cell is the bytes between two coordinates; row _i: coordinates byte for byte from 0,
 * around 2^63, up to IO_END; some far apart, the limits among them; and each with nodes of 80
 * places, of 1, of 2, of 9.
 */
#include "support/t.h"

#include <string.h>

#include "base/check.h"
#include "support/t_states.h"

enum { CELLS = 600, STEPS = 4000, ROWS = 4, ROOMS = 4, USERS = 2 };

static const uint32_t some_bits[] = { IO_IN_FLIGHT, IO_UNWRITTEN, IO_DIRTY,
				      IO_ERROR,     IO_USER(0),   IO_USER(23) };

struct model {
	struct t_states x;
	uint64_t coord[CELLS + 1];
	uint32_t cell[CELLS];
	struct io_memory mem[USERS];
	struct io_hint hint[USERS];
	struct rt_rand rand;
};

static int coord_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void coords(struct model *o, int row)
{
	static const uint64_t limits[] = {
		0, 1, 4096, (1ull << 32) - 1, INT64_MAX, INT64_MAX + 1ull, IO_END - 1, IO_END
	};
	static const uint64_t from[] = { 0, INT64_MAX - CELLS / 2, IO_END - CELLS };

	for (unsigned i = 0; i <= CELLS; i++) {
		if (row < 3)
			o->coord[i] = from[row] + i;
		else if (i < MBFS_ARRAY_SIZE(limits))
			o->coord[i] = limits[i];
		else
			o->coord[i] =
				(rt_rand_next(&o->rand) >> rt_rand_below(&o->rand, 40)) + 8192;
	}
	qsort(o->coord, CELLS + 1, sizeof(o->coord[0]), coord_cmp);
	for (unsigned i = 0; i < CELLS; i++)
		ck_assert_uint_lt(o->coord[i], o->coord[i + 1]);
}

static uint32_t random_bits(struct model *o)
{
	uint32_t bits = 0;

	do {
		bits |= some_bits[rt_rand_below(&o->rand, MBFS_ARRAY_SIZE(some_bits))];
	} while (rt_rand_below(&o->rand, 4) == 0);
	return bits;
}

/* Places, balance, memory. */
static void compare(struct model *o)
{
	struct mbfs_diag diag = { "" };
	uint64_t at = o->coord[0], held = o->mem[0].nr + o->mem[1].nr, places = 0;
	struct io_run run = { 0 };

	ck_assert_msg(io_states_check(&o->x.tree, &diag) == 0, "%s", diag.text);
	io_states_at(&o->x.tree, at, &run);
	for (unsigned i = 0; i < CELLS; i++) {
		if (o->cell[i] != (i ? o->cell[i - 1] : 0))
			places++;
		while (run.end <= o->coord[i])
			io_states_at(&o->x.tree, run.end, &run);
		if (run.bits != o->cell[i] || run.end < o->coord[i + 1])
			ck_abort_msg("cell %u at %#" PRIx64 ": %#x to %#" PRIx64 ", not %#x", i,
				     o->coord[i], run.bits, run.end, o->cell[i]);
	}
	if (o->cell[CELLS - 1] && o->coord[CELLS] != IO_END)
		places++;
	ck_assert_uint_eq(o->x.tree.state_nr, places);
	ck_assert_uint_eq(rt_u64_read(&o->x.out), o->x.tree.node_nr + held);
}

/* One operation on [a, b) cells. */
static void change(struct model *o, unsigned a, unsigned b)
{
	unsigned user = (unsigned)rt_rand_below(&o->rand, USERS);
	struct io_hint *h = rt_rand_below(&o->rand, 3) ? &o->hint[user] : NULL;
	uint32_t clear = random_bits(o), set = random_bits(o);
	struct io_memory *m = &o->mem[user];

	if (rt_rand_below(&o->rand, 2) == 0) /* without waiting, as far as that goes */
		rt_u64_set(&o->x.fail_at,
			   rt_u64_read(&o->x.attempts) + 1 + rt_rand_below(&o->rand, 3));
	io_memory_fill(m);
	rt_u64_set(&o->x.fail_at, 0);
	ck_assert_uint_eq(m->nr, m->keep);
	switch (rt_rand_below(&o->rand, 4)) {
	case 0:
		io_tree_convert(&o->x.tree, m, o->coord[a], o->coord[b], clear, set, h);
		break;
	case 1:
		io_tree_set(&o->x.tree, m, o->coord[a], o->coord[b], set, h);
		clear = 0;
		break;
	default:
		io_tree_clear(&o->x.tree, m, o->coord[a], o->coord[b], clear, h);
		set = 0;
	}
	for (; a < b; a++)
		o->cell[a] = (o->cell[a] & ~clear) | set;
	ck_assert_uint_le(m->nr, m->keep);
}

static void look(struct model *o, unsigned a, unsigned b)
{
	uint64_t from = o->coord[a] + rt_rand_below(&o->rand, o->coord[a + 1] - o->coord[a]);
	uint32_t bits = random_bits(o);
	bool any = false, all = true;
	struct io_run run;
	unsigned end;

	for (unsigned i = a; i < b; i++) {
		any |= (o->cell[i] & bits) == bits;
		all &= (o->cell[i] & bits) == bits;
	}
	ck_assert_int_eq(io_tree_test(&o->x.tree, from, o->coord[b], bits, false), any);
	ck_assert_int_eq(io_tree_test(&o->x.tree, from, o->coord[b], bits, true), all);

	while (a < CELLS && !(o->cell[a] & bits))
		a++;
	ck_assert_int_eq(io_tree_find_first(&o->x.tree, from, bits, &run), a < CELLS);
	if (a == CELLS)
		return;
	for (end = a; end < CELLS && o->cell[end] == o->cell[a];)
		end++;
	ck_assert_uint_eq(run.bits, o->cell[a]);
	ck_assert_uint_eq(run.start, o->coord[a] < from ? from : o->coord[a]);
	ck_assert_uint_eq(run.end, o->coord[end]);
}

START_TEST(random_operations_match_the_twin)
{
	static const unsigned rooms[ROOMS] = { 0, 1, 2, 9 };
	static struct model o;
	uint64_t nodes = 0;

	memset(&o, 0, sizeof(o));
	o.rand.state = t_seed();
	coords(&o, _i % ROWS);
	t_states_open(&o.x);
	o.x.env.node_places = rooms[_i / ROWS];
	io_memory_init(&o.mem[0], o.x.env.states, IO_OP_NODES);
	io_memory_init(&o.mem[1], o.x.env.states, 7);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned a = (unsigned)rt_rand_below(&o.rand, CELLS);
		unsigned longest = rt_rand_below(&o.rand, 64) ? 4 : CELLS;
		unsigned b = a + 1 + (unsigned)rt_rand_below(&o.rand, longest);

		if (b > CELLS)
			b = CELLS;
		change(&o, a, b);
		compare(&o);
		if (o.x.tree.node_nr > nodes)
			nodes = o.x.tree.node_nr;
		look(&o, a, b);
	}
	ck_assert_uint_ge(nodes, 4); /* so some were split */
	/* And some were merged; large ones only with luck. */
	if (o.x.env.node_places)
		ck_assert_uint_gt(o.x.tree.gen, 0);
	io_memory_end(&o.mem[0]);
	io_memory_end(&o.mem[1]);
	t_states_close(&o.x);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model_io_state");
	TCase *tc = tcase_create("model_io_state");

	tcase_add_loop_test(tc, random_operations_match_the_twin, 0, ROWS * ROOMS);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
