// SPDX-License-Identifier: GPL-2.0-only
/*
 * The real allocator under the explorer: two threads ask for all there is, half each. An ENOSPC is
 * false by construction. pre-5.8 gives one to every strategy; claim-wait to none.
 */
#include "support/t.h"

#include <mbfs/alloc.h>

#include <errno.h>
#include <string.h>

#include "explore/explore.h"

enum { BLKS = 64, RUNS_MAX = 16 };

struct bed {
	struct mbfs_alloc *a;
	struct {
		struct mbfs_alloc_file *file;
		struct mbfs_run got[RUNS_MAX];
		unsigned nr;
	} user[2];
};

static void bed_setup(void *state)
{
	struct mbfs_alloc_shape shape = {
		.blk_nr = BLKS, .blks_per_grp = BLKS, .block_bytes = 4096, .log_grps_per_flex = 4
	};
	struct mbfs_alloc_tune tune;
	struct mbfs_diag diag = { "" };
	struct bed *b = state;

	mbfs_alloc_tune_default(&tune);
	tune.enospc = explore_arg();
	tune.cpus = 2;
	if (mbfs_alloc_open_mem(&shape, &tune, &diag, &b->a))
		explore_fail("open: %s", diag.text);
	for (unsigned i = 0; i < 2; i++)
		explore_check(mbfs_alloc_file_open(b->a, 11 + i, &b->user[i].file) == 0);
}

static void bed_user(void *state)
{
	struct bed *b = state;
	unsigned me = explore_thread(), have = 0;

	while (have < BLKS / 2) {
		struct mbfs_alloc_req req = {
			.lblk = have, .len = BLKS / 4, .file_blks = have, .flags = MBFS_ALLOC_DATA
		};
		struct mbfs_run *got = &b->user[me].got[b->user[me].nr];
		int err = mbfs_alloc_blocks(b->a, b->user[me].file, &req, NULL, got);

		if (err) {
			explore_note("return %s", err == -ENOSPC ? "-ENOSPC" : "an error");
			explore_fail(err == -ENOSPC ? "false ENOSPC" : "error");
			return;
		}
		b->user[me].nr++;
		have += got->len;
	}
}

static void bed_check(void *state)
{
	struct mbfs_diag diag = { "" };
	struct bed *b = state;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < b->user[i].nr; k++)
			explore_check(mbfs_alloc_free(b->a, NULL, &b->user[i].got[k]) == 0);
		mbfs_alloc_file_close(b->user[i].file);
	}
	if (mbfs_alloc_check(b->a, &diag))
		explore_fail("check: %s", diag.text);
	explore_check(mbfs_alloc_free_nr(b->a) == BLKS);
	mbfs_alloc_close(b->a);
}

static struct explore_result res;

static const struct explore_scenario bed = {
	.name = "bed",
	.state_bytes = sizeof(struct bed),
	.setup = bed_setup,
	.thread_nr = 2,
	.threads = { { NULL, bed_user }, { NULL, bed_user } },
	.check = bed_check,
};

/* Goal: what is known to be wrong is found by each strategy. Method: ten seeds each. */
START_TEST(pre_5_8_loses)
{
	struct explore_scenario s = bed;

	s.variant = s.arg = "pre-5.8";
	for (unsigned seed = 0; seed < 10; seed++) {
		struct explore_options opt = { .strategy = (enum explore_strategy)_i,
					       .bound = 1,
					       .seed = seed,
					       .schedules = 10000 };
		char token[EXPLORE_TOKEN_BYTES];

		explore_run(&s, &opt, &res);
		ck_assert_int_eq(res.outcome, EXPLORE_FOUND);
		ck_assert_str_eq(res.text, "false ENOSPC");
		memcpy(token, res.token, sizeof(token));
		opt = (struct explore_options){ .strategy = EXPLORE_REPLAY, .token = token };
		ck_assert_int_eq(explore_run(&s, &opt, &res), EXPLORE_FOUND);
		ck_assert_str_eq(res.text, "false ENOSPC");
	}
}
END_TEST

/* Goal: what is right holds for all schedules of one preemption, and for 3,000 of each other kind.
 */
START_TEST(claim_wait_holds)
{
	struct explore_scenario s = bed;
	struct explore_options opt = { .strategy = (enum explore_strategy)_i,
				       .bound = 1,
				       .seed = 3,
				       .schedules = _i == EXPLORE_DFS ? 0 : 3000 };

	s.variant = s.arg = "claim-wait";
	explore_run(&s, &opt, &res);
	ck_assert_msg(res.outcome != EXPLORE_FOUND, "%s: %s: %s", explore_verdict_name(res.verdict),
		      res.text, res.token);
	if (_i == EXPLORE_DFS)
		ck_assert_int_eq(res.outcome, EXPLORE_EXHAUSTED);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("alloc-explore");
	TCase *tc = tcase_create("alloc-explore");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, pre_5_8_loses, EXPLORE_PORTFOLIO, EXPLORE_DFS + 1);
	tcase_add_loop_test(tc, claim_wait_holds, EXPLORE_PORTFOLIO, EXPLORE_DFS + 1);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
