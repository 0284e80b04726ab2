// SPDX-License-Identifier: GPL-2.0-only
/* States of a file's bytes: splits and merges, hints, limits, memory at hand. */
#include "support/t.h"

#include <string.h>

#include "base/check.h"
#include "support/t_states.h"

enum { A = IO_IN_FLIGHT, B = IO_UNWRITTEN, C = IO_DIRTY };

static struct t_states x;
static struct io_memory mem;

static void setup(void)
{
	t_states_open(&x);
	io_memory_init(&mem, x.env.states, 4);
}

static void teardown(void)
{
	io_memory_end(&mem);
	t_states_close(&x);
}

/* All runs with states, as "10-20:a 20-30:ab ". */
static const char *show(void)
{
	static char text[512];
	struct io_run run = { .end = 0 };
	size_t len = 0;

	text[0] = '\0';
	while (run.end != IO_END && io_states_find(&x.tree, run.end, UINT32_MAX, &run)) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%" PRIu64 "-", run.start);
		if (run.end == IO_END)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "end:");
		else
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%" PRIu64 ":",
						run.end);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s ",
					run.bits & A ? "a" : "", run.bits & B ? "b" : "",
					run.bits & C ? "c" : "");
	}
	return text;
}

/* '+': set, '-': clear, '>': clear A and set B. */
static void apply(char what, uint64_t start, uint64_t end, uint32_t bits, struct io_hint *h)
{
	struct mbfs_diag diag = { "" };

	io_memory_fill(&mem);
	if (what == '+')
		io_tree_set(&x.tree, &mem, start, end, bits, h);
	else if (what == '-')
		io_tree_clear(&x.tree, &mem, start, end, bits, h);
	else
		io_tree_convert(&x.tree, &mem, start, end, A, B, h);
	ck_assert_msg(!io_states_check(&x.tree, &diag), "%s", diag.text);
	ck_assert_uint_eq(rt_u64_read(&x.out), x.tree.node_nr + mem.nr);
}

struct step {
	char what; /* 0: no more */
	uint64_t start, end;
	uint32_t bits;
};

static const struct {
	struct step steps[5];
	uint64_t places;
	const char *want;
} rows[] = {
	/* in a gap; beside another, before and behind; between two */
	{ { { '+', 10, 20, A } }, 2, "10-20:a " },
	{ { { '+', 10, 20, A }, { '+', 20, 30, A } }, 2, "10-30:a " },
	{ { { '+', 20, 30, A }, { '+', 10, 20, A } }, 2, "10-30:a " },
	{ { { '+', 10, 20, A }, { '+', 30, 40, A }, { '+', 20, 30, A } }, 2, "10-40:a " },
	{ { { '+', 10, 20, A }, { '+', 20, 30, B } }, 3, "10-20:a 20-30:b " },
	/* over others */
	{ { { '+', 10, 20, A }, { '+', 15, 25, B } }, 4, "10-15:a 15-20:ab 20-25:b " },
	{ { { '+', 10, 20, A }, { '+', 5, 30, B } }, 4, "5-10:b 10-20:ab 20-30:b " },
	{ { { '+', 10, 20, A }, { '+', 12, 14, B } }, 4, "10-12:a 12-14:ab 14-20:a " },
	{ { { '+', 10, 20, A }, { '+', 12, 14, A } }, 2, "10-20:a " },
	{ { { '+', 10, 12, A }, { '+', 14, 16, A }, { '+', 18, 20, A }, { '+', 5, 30, A } },
	  2,
	  "5-30:a " },
	/* taken away: in the middle, at its ends, more than there is, what is not there */
	{ { { '+', 10, 20, A }, { '-', 12, 14, A } }, 4, "10-12:a 14-20:a " },
	{ { { '+', 10, 20, A }, { '-', 10, 14, A } }, 2, "14-20:a " },
	{ { { '+', 10, 20, A }, { '-', 14, 20, A } }, 2, "10-14:a " },
	{ { { '+', 10, 20, A }, { '-', 5, 15, A } }, 2, "15-20:a " },
	{ { { '+', 10, 20, A }, { '-', 15, 25, A } }, 2, "10-15:a " },
	{ { { '+', 10, 20, A }, { '-', 10, 20, A } }, 0, "" },
	{ { { '+', 10, 20, A }, { '-', 0, IO_END, A } }, 0, "" },
	{ { { '+', 10, 20, A }, { '-', 0, IO_END, B } }, 2, "10-20:a " },
	{ { { '-', 10, 20, A } }, 0, "" },
	{ { { '+', 10, 20, A | B }, { '-', 12, 14, A } }, 4, "10-12:ab 12-14:b 14-20:ab " },
	/* converted: neighbours become the same */
	{ { { '+', 10, 20, A }, { '+', 20, 30, B }, { '>', 10, 20, 0 } }, 2, "10-30:b " },
	{ { { '+', 10, 20, B }, { '+', 20, 30, A }, { '>', 15, 25, 0 } }, 3, "10-25:b 25-30:a " },
	{ { { '+', 10, 30, A }, { '>', 15, 20, 0 } }, 4, "10-15:a 15-20:b 20-30:a " },
	{ { { '>', 15, 20, 0 } }, 2, "15-20:b " },
	{ { { '+', 10, 20, A | C }, { '>', 0, 15, 0 } }, 4, "0-10:b 10-15:bc 15-20:ac " },
	/* the limits */
	{ { { '+', 0, IO_END, A } }, 1, "0-end:a " },
	{ { { '+', 0, IO_END, A }, { '-', 0, IO_END, A } }, 0, "" },
	{ { { '+', 0, 1, A }, { '+', IO_END - 1, IO_END, B } },
	  3,
	  "0-1:a 18446744073709551614-end:b " },
	{ { { '+', INT64_MAX, INT64_MAX + 1ull, A }, { '+', 0, INT64_MAX, A } },
	  2,
	  "0-9223372036854775808:a " },
	{ { { '+', INT64_MAX, IO_END, A }, { '-', INT64_MAX + 1ull, IO_END, A } },
	  2,
	  "9223372036854775807-9223372036854775808:a " },
	{ { { '+', 0, IO_END - 1, A }, { '+', IO_END - 1, IO_END, A } }, 1, "0-end:a " },
};

/* Goal: the function is right, its places are canonical. Method: a table; the text of all
 * runs, and places; with a hint and without. */
START_TEST(splits_and_merges)
{
	for (unsigned hinted = 0; hinted < 2; hinted++) {
		struct io_hint h = { 0 };

		for (const struct step *s = rows[_i].steps; s->what; s++)
			apply(s->what, s->start, s->end, s->bits, hinted ? &h : NULL);
		ck_assert_str_eq(show(), rows[_i].want);
		ck_assert_uint_eq(x.tree.state_nr, rows[_i].places);
		apply('-', 0, IO_END, UINT32_MAX & ~IO_LOCKED, NULL);
	}
}
END_TEST

/* Goal: who goes on where it was adds no places and makes no hint stale, whoever else sets states.
 * Method: write-like sequences upwards and downwards in a tree with others. */
START_TEST(sequences_add_nothing)
{
	struct io_hint h = { 0 }, other = { 0 };
	uint64_t nr, gen;

	for (uint64_t at = 0; at < 100; at++)
		apply('+', at * 1000000, at * 1000000 + 10, C, NULL);
	nr = x.tree.state_nr;
	gen = x.tree.gen;
	for (uint64_t at = 5000100; at < 5004100; at += 4) {
		apply('+', at, at + 4, A, &h);
		ck_assert_uint_eq(x.tree.state_nr, nr + (at == 5000100 ? 2 : 4));
		ck_assert_ptr_nonnull(h.at);
		ck_assert_uint_eq(h.gen, x.tree.gen);
		apply('+', at + 70000000, at + 70000000 + 4, B, &other);
	}
	for (uint64_t at = 3999900; at >= 3900000; at -= 4)
		apply('+', at, at + 4, A, NULL);
	ck_assert_uint_eq(x.tree.state_nr, nr + 6);
	for (uint64_t at = 5000100; at < 5004100; at += 4)
		apply('-', at, at + 4, A, &h);
	ck_assert_uint_eq(x.tree.state_nr, nr + 4);
	ck_assert_uint_eq(x.tree.gen, gen);
}
END_TEST

/* Goal: a hint whose node is gone, and its memory with it, does no harm; nor does one of far away.
 * Method: remove what it points at, give all memory back, use it. ASan looks on. */
START_TEST(stale_hints)
{
	struct io_hint h = { 0 };

	apply('+', 10, 20, A, &h);
	apply('-', 0, IO_END, A, NULL);
	io_memory_end(&mem);
	apply('+', 20, 30, A, &h);
	ck_assert_str_eq(show(), "20-30:a ");
	for (uint64_t at = 100; at < 200; at += 10)
		apply('+', at, at + 5, A, NULL);
	apply('-', 0, 15, A, &h);
	apply('+', 192, 198, B, &h);
	apply('-', 100, 190, A, &h);
	apply('+', 1, 2, B, &h);
	ck_assert_str_eq(show(), "1-2:b 20-30:a 190-192:a 192-195:ab 195-198:b ");
}
END_TEST

/* Goal: locks show as IO_LOCKED, held or waited for, whoever looks for states alone does not see
 * them. Method: two that touch, one wide, among states. */
START_TEST(locks_show)
{
	static const uint64_t mib = 1u << 20;
	const struct {
		uint64_t start, end;
		uint32_t bits;
		bool any, all;
	} tests[] = {
		{ 0, 100, IO_LOCKED, false, false },
		{ 100, 300, IO_LOCKED, true, true },
		{ 99, 300, IO_LOCKED, true, false },
		{ 250, 301, IO_LOCKED, true, false },
		{ 250, 260, IO_LOCKED | A, true, true },
		{ 240, 260, IO_LOCKED | A, true, false },
		{ 100, 250, IO_LOCKED | A, false, false },
		{ 300, 350, IO_LOCKED | A, false, false },
		{ 0, IO_END, IO_LOCKED | B, true, false },
		{ 3 * mib, IO_END, IO_LOCKED | B, true, true },
	};
	const struct io_run runs[] = {
		{ 100, 250, IO_LOCKED },
		{ 250, 300, IO_LOCKED | A },
		{ 300, 350, A },
		{ 2 * mib, 3 * mib, IO_LOCKED },
		{ 3 * mib, IO_END, IO_LOCKED | B },
	};
	struct io_lock l[3];
	struct io_run run = { .end = 0 };

	io_tree_lock_range(&x.tree, &l[0], 100, 200, IO_SHARED);
	io_tree_lock_range(&x.tree, &l[1], 200, 300, IO_EXCLUSIVE);
	io_tree_lock_range(&x.tree, &l[2], 2 * mib, IO_END, IO_EXCLUSIVE);
	apply('+', 250, 350, A, NULL);
	apply('+', 3 * mib, IO_END, B, NULL);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(tests); i++) {
		ck_assert_msg(io_tree_test(&x.tree, tests[i].start, tests[i].end, tests[i].bits,
					   false) == tests[i].any,
			      "any, row %u", i);
		ck_assert_msg(io_tree_test(&x.tree, tests[i].start, tests[i].end, tests[i].bits,
					   true) == tests[i].all,
			      "all, row %u", i);
	}
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(runs); i++) {
		ck_assert(io_tree_find_first(&x.tree, run.end, IO_LOCKED | A | B, &run));
		ck_assert_uint_eq(run.start, runs[i].start);
		ck_assert_uint_eq(run.end, runs[i].end);
		ck_assert_uint_eq(run.bits, runs[i].bits);
	}
	ck_assert(io_tree_find_first(&x.tree, 260, IO_LOCKED, &run));
	ck_assert(run.start == 260 && run.end == 300 && run.bits == (IO_LOCKED | A));
	ck_assert(io_tree_find_first(&x.tree, 260, A, &run));
	ck_assert(run.start == 260 && run.end == 350 && run.bits == A);
	for (unsigned i = 0; i < 3; i++)
		io_tree_unlock_range(&x.tree, &l[i]);
	ck_assert(!io_tree_find_first(&x.tree, 0, IO_LOCKED, &run));
	ck_assert(!io_tree_test(&x.tree, 0, IO_END, IO_LOCKED, false));
}
END_TEST

/* Goal: two nodes at hand do for any operation, what is set free is kept up to keep, and the rest
 * is the pool's. Method: full nodes, as made in order; one operation that splits two of them, one
 * that sets free what lies between; exactly two at hand. */
START_TEST(two_nodes_do)
{
	struct io_memory two;
	uint64_t nodes;

	io_memory_init(&two, x.env.states, IO_OP_NODES);
	for (uint64_t at = 10; at < 990; at += 2)
		apply('+', at, at + 2, at / 2 % 2 ? A : A | B, NULL);
	nodes = x.tree.node_nr;
	ck_assert_uint_eq(nodes, (x.tree.state_nr + IO_PLACES - 1) / IO_PLACES);
	io_memory_end(&mem);
	io_memory_fill(&two);
	ck_assert_uint_eq(two.nr, IO_OP_NODES);
	io_tree_set(&x.tree, &two, 15, 701, C, NULL);
	ck_assert_uint_eq(two.nr, 0);
	ck_assert_uint_eq(x.tree.node_nr, nodes + 2);
	io_memory_fill(&two);
	io_tree_convert(&x.tree, &two, 16, 700, A | B | C, B, NULL);
	ck_assert_uint_eq(two.nr, IO_OP_NODES);
	ck_assert_uint_le(x.tree.node_nr, nodes - 2);
	ck_assert_uint_eq(rt_u64_read(&x.out), x.tree.node_nr + two.nr);
	io_memory_end(&two);
	apply('-', 706, IO_END, A | B, NULL);
	ck_assert_str_eq(show(), "10-12:a 12-14:ab 14-15:a 15-16:ac 16-700:b 700-701:abc "
				 "701-702:ab 702-704:a 704-706:ab ");
}
END_TEST

/* Goal: memory fails at each place: nothing is lost, and who waits holds nothing. Method: attempt
 * _i and all after it fail. */
START_TEST(memory_fails)
{
	rt_u64_set(&x.fail_at, (uint64_t)_i);
	ck_assert(!io_memory_try_fill(&mem));
	ck_assert_uint_eq(mem.nr, _i - 1);
	ck_assert_uint_eq(rt_u64_read(&x.out), mem.nr);
	ck_assert(!io_memory_try_fill(&mem));
	ck_assert_uint_eq(mem.nr, _i - 1);
	io_memory_fill(&mem);
	ck_assert_uint_eq(mem.nr, mem.keep);
	ck_assert_uint_eq(rt_u64_read(&x.waits), 1);
	ck_assert_uint_eq(rt_u64_read(&x.in_hand), 0);
	ck_assert_uint_eq(rt_u64_read(&x.out), mem.keep);
	/* full: it asks for none */
	io_memory_fill(&mem);
	ck_assert(io_memory_try_fill(&mem));
	ck_assert_uint_eq(rt_u64_read(&x.waits), 1);
}
END_TEST

/* Goal: places that somebody else has taken from the pool serve as well. */
START_TEST(memory_added)
{
	for (unsigned i = 0; i < mem.keep; i++)
		io_memory_add(&mem, mempool_alloc(x.env.states, MEMPOOL_WAIT));
	ck_assert(io_memory_try_fill(&mem));
	io_tree_set(&x.tree, &mem, 1, 2, A, NULL);
	ck_assert_uint_eq(mem.nr, mem.keep - 1);
	ck_assert_uint_eq(x.tree.node_nr, 1);
	ck_assert_uint_eq(rt_u64_read(&x.out), mem.keep);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io_state");
	TCase *tc = tcase_create("io_state");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, splits_and_merges, 0, MBFS_ARRAY_SIZE(rows));
	tcase_add_test(tc, sequences_add_nothing);
	tcase_add_test(tc, stale_hints);
	tcase_add_test(tc, locks_show);
	tcase_add_test(tc, two_nodes_do);
	tcase_add_loop_test(tc, memory_fails, 1, 5);
	tcase_add_test(tc, memory_added);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
