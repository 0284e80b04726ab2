/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t.h - what every Check program shares.
 *
 *   T_MAIN(suite_fn)   main() that runs one suite; CK_FORK=no for gdb
 *   T_MAIN_IF(suite_fn, cond, why)   the same; skips (exit status 77), saying why, unless cond
 *   t_seed()           the seed of this run: MBFS_TEST_SEED or a fresh one, printed once
 */
#ifndef TESTS_SUPPORT_T_H
#define TESTS_SUPPORT_T_H

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "rt/sync.h"

static inline uint64_t t_seed(void)
{
	const char *env = getenv("MBFS_TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : rt_rand_seed();

	printf("repeat with MBFS_TEST_SEED=%#" PRIx64 "\n", seed);
	fflush(stdout);
	return seed;
}

#define T_MAIN(suite_fn) T_MAIN_IF(suite_fn, true, "")

#define T_MAIN_IF(suite_fn, cond, why)                                                             \
	int main(void)                                                                             \
	{                                                                                          \
		SRunner *runner;                                                                   \
		int failed;                                                                        \
                                                                                                   \
		if (!(cond)) {                                                                     \
			printf("skipped: %s\n", why);                                              \
			return 77;                                                                 \
		}                                                                                  \
		runner = srunner_create(suite_fn());                                               \
		srunner_run_all(runner, CK_NORMAL);                                                \
		failed = srunner_ntests_failed(runner);                                            \
		srunner_free(runner);                                                              \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                       \
	}

#endif
