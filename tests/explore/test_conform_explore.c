// SPDX-License-Identifier: GPL-2.0-only
/* The contract of rt on the explorer: each case of conform.c under every schedule to a bound. */
#include "support/t.h"

#include "explore/conform.h"
#include "explore/explore.h"

static struct explore_result res;

START_TEST(contract)
{
	const struct conform_case *c = conform_case((unsigned)_i);
	struct explore_scenario s = { .name = c->name,
				      .state_bytes = c->bytes,
				      .setup = c->setup,
				      .thread_nr = c->thread_nr,
				      .check = c->check };

	for (unsigned i = 0; i < c->thread_nr; i++)
		s.threads[i].fn = c->fn[i];
	for (enum explore_strategy by = EXPLORE_PORTFOLIO; by < EXPLORE_REPLAY; by++) {
		struct explore_options opt = {
			.strategy = by, .bound = 2, .schedules = 5000, .max_steps = 2000
		};

		explore_run(&s, &opt, &res);
		ck_assert_msg(res.outcome != EXPLORE_FOUND, "%s: %s: %s (%s)", c->name,
			      explore_verdict_name(res.verdict), res.text, res.token);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("conform-explore");
	TCase *tc = tcase_create("conform-explore");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, contract, 0, (int)conform_nr());
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
