// SPDX-License-Identifier: GPL-2.0-only
#include "support/t.h"

#include "race/race.h"
#include "race/race_priv.h"
#include "race/small_image.h"

#include <string.h>

/* Goal: percentiles are right to one sixteenth. Method: 1..n, for n in the table, against n * p. */
START_TEST(percentile_is_within_a_sixteenth)
{
	static const uint64_t sizes[] = { 1, 2, 15, 16, 17, 1000, 100000 };
	static const unsigned marks[] = { 1, 500, 990, 1000 };
	struct race_hist h;
	uint64_t n = sizes[_i], exact, got;

	memset(&h, 0, sizeof(h));
	for (uint64_t v = 1; v <= n; v++)
		race_hist_add(&h, v);
	for (unsigned m = 0; m < MBFS_ARRAY_SIZE(marks); m++) {
		exact = (n * marks[m] + 999) / 1000;
		got = race_hist_at(&h, marks[m]);
		ck_assert_uint_ge(got, exact);
		ck_assert_uint_le(got, exact + exact / 16 + 1);
	}
	ck_assert_uint_eq(race_hist_at(&h, 1000), n);
}
END_TEST

/* Goal: every time has a bucket. Method: the ends of each power of two, up to the largest. */
START_TEST(every_time_has_a_bucket)
{
	struct race_hist h;

	memset(&h, 0, sizeof(h));
	ck_assert_uint_eq(race_hist_at(&h, 500), 0);
	for (unsigned i = 0; i < 64; i++) {
		race_hist_add(&h, 1ull << i);
		race_hist_add(&h, (1ull << i) - 1);
	}
	race_hist_add(&h, UINT64_MAX);
	ck_assert_uint_eq(h.nr, 129);
	ck_assert_uint_eq(race_hist_at(&h, 1000), UINT64_MAX);
}
END_TEST

/* Goal: merging is adding. Method: two halves against the whole. */
START_TEST(merge_adds)
{
	struct race_hist whole, half;

	memset(&whole, 0, sizeof(whole));
	memset(&half, 0, sizeof(half));
	race_hist_add(&whole, 5);
	race_hist_add(&half, 700);
	race_hist_merge(&whole, &half);
	ck_assert_uint_eq(whole.nr, 2);
	ck_assert_uint_eq(whole.max_ns, 700);
	ck_assert_uint_eq(race_hist_at(&whole, 500), 5);
}
END_TEST

/*
 * Goal: the daemon's statistics are read by name from its "alloc" section, whatever else is there.
 * Method: an object with a key of the same name before it, an array, an unknown key, and one
 * missing.
 */
START_TEST(stats_are_read_by_name)
{
	static const char json[] =
		"{\"mount\":{\"enospc\":\"claim-wait\"},\"alloc\":{\"enospc\": 7,"
		"\"news\":1,\"false_enospc\":3,\"slow_hist\":[0,4,9],"
		"\"slow_max_ns\":18446744073709551615}}";
	struct mbfs_alloc_stats s;

	ck_assert_uint_eq(race_stats_parse(json, &s), 3);
	ck_assert_uint_eq(s.enospc, 7);
	ck_assert_uint_eq(s.false_enospc, 3);
	ck_assert_uint_eq(s.sweeps, 0);
	ck_assert_uint_eq(s.slow_hist[1], 4);
	ck_assert_uint_eq(s.slow_hist[2], 9);
	ck_assert_uint_eq(s.slow_max_ns, UINT64_MAX);
	ck_assert_uint_eq(race_stats_parse("", &s), 0);
	ck_assert_uint_eq(race_stats_parse("{\"alloc\":", &s), 0);
}
END_TEST

/*
 * Goal: everything fits, or the run is refused: an ENOSPC is always false. Method: each workload
 * with every number of writers on images from tiny to large; a file of each at the same time.
 */
START_TEST(files_of_all_writers_fit)
{
	static const uint64_t usable[] = { 1, 16, 256, 3840, 61440, 1u << 28 };
	struct race_config cfg;
	uint64_t sum;

	race_config_default(race_scenario_find("enospc"), &cfg);
	cfg.workload = &enospc_workloads[_i];
	for (cfg.threads = 1; cfg.threads <= RACE_THREADS_MAX; cfg.threads++) {
		for (unsigned u = 0; u < MBFS_ARRAY_SIZE(usable); u++) {
			sum = 0;
			for (unsigned i = 0; i < cfg.threads; i++)
				sum += enospc_file_blks(&cfg, usable[u], i);
			ck_assert_uint_le(sum * 100, usable[u] * 80);
			if (enospc_plan_check(&cfg, usable[u], NULL) == 0)
				ck_assert_uint_ge(sum, cfg.threads);
		}
	}
}
END_TEST

/* Goal: e2fsck's word reaches a scenario. Method: a fresh image, and the same with a count changed.
 */
START_TEST(damage_is_seen)
{
	const struct small_scenario *s = small_match("fs-files", 0);
	char wrong[SMALL_TEXT_BYTES];
	struct mbfs_diag diag = { "" };
	uint8_t *copy;
	void *image;

	ck_assert_msg(small_image_make(s, &image, &diag) == 0, "%s", diag.text);
	ck_assert_msg(!small_image_damaged(image, s->image_bytes, wrong, sizeof(wrong)), "%s",
		      wrong);
	copy = rt_alloc(s->image_bytes);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, image, s->image_bytes);
	copy[5 * 1024] ^= 0xff; /* some table of the first group */
	copy[3 * 1024 + 7] ^= 0x10;
	ck_assert(small_image_damaged(copy, s->image_bytes, wrong, sizeof(wrong)));
	ck_assert_msg(strncmp(wrong, "e2fsck: ", 8) == 0, "%s", wrong);
	rt_free(copy);
	small_image_free(s, image);
}
END_TEST

/* Goal: patterns and names mean what small.h says. */
START_TEST(patterns_match)
{
	unsigned nr = 0;

	while (small_match("enospc-windows", nr))
		nr++;
	ck_assert_uint_eq(nr, 3);
	ck_assert_str_eq(small_match("enospc", 0)->name, "enospc");
	ck_assert_ptr_null(small_match("enospc", 1));
	ck_assert_ptr_null(small_match("no*", 0));
	for (nr = 0; small_match("*", nr); nr++)
		ck_assert_ptr_eq(small_match("*", nr), small_at(nr));
	ck_assert_ptr_null(small_at(nr));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("race");
	TCase *tc = tcase_create("all");

	tcase_add_loop_test(tc, percentile_is_within_a_sixteenth, 0, 7);
	tcase_add_test(tc, every_time_has_a_bucket);
	tcase_add_test(tc, merge_adds);
	tcase_add_test(tc, stats_are_read_by_name);
	tcase_add_loop_test(tc, files_of_all_writers_fit, 0, 4);
	tcase_add_test(tc, damage_is_seen);
	tcase_add_test(tc, patterns_match);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
