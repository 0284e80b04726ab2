// SPDX-License-Identifier: GPL-2.0-only
/* Both back ends in one program: the explorer's names stay inside its module. */
#include "support/t.h"

#include "explore/both.h"
#include "rt/mem.h"
#include "rt/work.h"

static void count(void *arg)
{
	rt_u32_add((rt_u32 *)arg, 1);
}

START_TEST(both_work)
{
	struct rt_thread *t[4];
	rt_u32 sum;

	rt_u32_set(&sum, 0);
	ck_assert_int_eq(both_explore_finds(), 1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(rt_thread_start(count, &sum, "native", &t[i]), 0);
	ck_assert_int_eq(both_explore_finds(), 1);
	for (unsigned i = 0; i < 4; i++)
		rt_thread_join(t[i]);
	ck_assert_uint_eq(rt_u32_read(&sum), 4);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("both");
	TCase *tc = tcase_create("both");

	tcase_add_test(tc, both_work);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
