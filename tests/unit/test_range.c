// SPDX-License-Identifier: GPL-2.0-only
#include "support/t.h"

#include <string.h>

#include "rt/range.h"

enum { BYTES = 40, NODES = 12, STEPS = 20000 };

/* Goal: what is let in is what may be in. Method: random trylocks and unlocks against an array of
 * bytes: readers and writers of each. */
START_TEST(matches_twin)
{
	struct rt_rand rand = { t_seed() };
	struct rt_range_space s;
	struct rt_range node[NODES];
	bool used[NODES] = { false };
	int readers[BYTES] = { 0 }, writers[BYTES] = { 0 };

	rt_range_init(&s, RANK_FS_WRITER);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned n = (unsigned)rt_rand_below(&rand, NODES);
		unsigned first = (unsigned)rt_rand_below(&rand, BYTES);
		unsigned last = first + (unsigned)rt_rand_below(&rand, BYTES - first);
		bool exclusive = rt_rand_below(&rand, 2), free = true;
		int *count;

		if (used[n]) {
			count = node[n].exclusive ? writers : readers;
			for (uint64_t i = node[n].first; i <= node[n].last; i++)
				count[i]--;
			rt_range_unlock(&s, &node[n]);
			used[n] = false;
			continue;
		}
		for (unsigned i = first; i <= last; i++)
			free = free && !writers[i] && !(exclusive && readers[i]);
		ck_assert_int_eq(rt_range_trylock(&s, &node[n], first, last, exclusive), free);
		used[n] = free;
		count = exclusive ? writers : readers;
		for (unsigned i = first; free && i <= last; i++)
			count[i]++;
	}
	for (unsigned n = 0; n < NODES; n++)
		if (used[n])
			rt_range_unlock(&s, &node[n]);
	rt_range_destroy(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("range");
	TCase *tc = tcase_create("range");

	tcase_add_test(tc, matches_twin);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
