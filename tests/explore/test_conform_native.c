// SPDX-License-Identifier: GPL-2.0-only
/* The contract of rt on the native back end: each case of conform.c, again and again. */
#include "support/t.h"

#include <string.h>

#include "explore/conform.h"
#include "rt/mem.h"
#include "rt/work.h"

enum { ROUNDS = 300 };

START_TEST(contract)
{
	const struct conform_case *c = conform_case((unsigned)_i);
	void *state = malloc(c->bytes);

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct rt_thread *t[CONFORM_THREADS_MAX];

		memset(state, 0, c->bytes);
		if (c->setup)
			c->setup(state);
		for (unsigned i = 0; i < c->thread_nr; i++)
			ck_assert_int_eq(rt_thread_start(c->fn[i], state, c->name, &t[i]), 0);
		for (unsigned i = 0; i < c->thread_nr; i++)
			rt_thread_join(t[i]);
		if (c->check)
			c->check(state);
	}
	free(state);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("conform-native");
	TCase *tc = tcase_create("conform-native");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, contract, 0, (int)conform_nr());
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
