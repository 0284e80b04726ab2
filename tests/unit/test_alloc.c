// SPDX-License-Identifier: GPL-2.0-only
/* Goal: one caller gets what the contract in <mbfs/alloc.h> says. Method: small allocators on
 * memory. */
#include <errno.h>
#include <string.h>

#include "alloc/alloc_priv.h"
#include "rt/mem.h"
#include "support/t_alloc.h"

/* Goal: small files share a locality group's PA; the second request needs no scan. */
START_TEST(small_files_come_from_a_group_pa)
{
	struct mbfs_alloc *a = t_alloc("claim-wait", 4096, 0, 32768, 0, 1);
	struct mbfs_alloc_stats stats;
	struct t_file f[4];

	for (unsigned i = 0; i < 4; i++) {
		t_file_open(a, i, &f[i]);
		ck_assert_int_eq(t_file_grow(a, &f[i], 2, MBFS_ALLOC_DATA), 0);
	}
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_eq(stats.pa_hits_group, 3);
	ck_assert_uint_eq(stats.pa_blks, 512 - 8);
	for (unsigned i = 1; i < 4; i++)
		ck_assert_uint_eq(f[i].runs[0].start, f[0].runs[0].start + 2 * i);
	t_alloc_ok(a);
	for (unsigned i = 0; i < 4; i++)
		t_file_close(a, &f[i]);
	t_alloc_close(a);
}
END_TEST

/* Goal: a file that grows in small steps is contiguous, served by its own PA. */
START_TEST(growing_file_is_contiguous)
{
	struct mbfs_alloc *a = t_alloc("claim-wait", 4096, 0, 32768, 0, 1);
	struct mbfs_alloc_stats stats;
	struct t_file f, other;

	t_file_open(a, 1, &f);
	t_file_open(a, 2, &other);
	ck_assert_int_eq(t_file_grow(a, &f, 32, MBFS_ALLOC_DATA), 0);
	for (unsigned i = 0; i < 200; i++) {
		ck_assert_int_eq(t_file_grow(a, &other, 32, MBFS_ALLOC_DATA), 0);
		ck_assert_int_eq(t_file_grow(a, &f, 1, MBFS_ALLOC_DATA), 0);
	}
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_gt(stats.pa_hits_inode, 150);
	ck_assert_uint_eq(f.runs[150].start, f.runs[149].start + f.runs[149].len);
	t_alloc_ok(a);
	mbfs_alloc_file_discard(f.f);
	t_file_close(a, &f);
	t_file_close(a, &other);
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_eq(stats.pa_nr, 0);
	t_alloc_close(a);
}
END_TEST

/* Goal: explicit preallocation of a large file is taken exactly; nothing is kept. */
START_TEST(large_fallocate_keeps_nothing)
{
	struct mbfs_alloc *a = t_alloc("claim-wait", 4096, 0, 32768, 0, 1);
	struct mbfs_alloc_stats stats;
	struct t_file f;

	t_file_open(a, 1, &f);
	ck_assert_int_eq(t_file_grow(a, &f, 100, MBFS_ALLOC_DATA | MBFS_ALLOC_FALLOC), 0);
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_eq(stats.pa_nr, 0);
	ck_assert_uint_eq(f.blks, 100);
	t_file_close(a, &f);
	t_alloc_close(a);
}
END_TEST

/* Goal: every block of a device can be had, in every shape, and all of it freed again. Row _i: the
 * shape. */
START_TEST(fills_to_the_last_block)
{
	static const struct {
		uint32_t block_bytes, per_grp, first;
		uint64_t blks;
	} rows[] = { { 4096, 32768, 0, 100000 },
		     { 1024, 8192, 1, 30000 },
		     { 65536, 65528, 0, 3840 },
		     { 2048, 256, 0, 5003 } };
	struct mbfs_alloc *a = t_alloc("claim-wait", rows[_i].block_bytes, rows[_i].blks,
				       rows[_i].per_grp, rows[_i].first, 4);
	struct rt_rand rand = { t_seed() };
	struct t_file f[8];
	uint64_t blks = 0;
	int err = 0;

	for (unsigned i = 0; i < 8; i++)
		t_file_open(a, i, &f[i]);
	while (!err) {
		unsigned i = (unsigned)rt_rand_below(&rand, 8);

		err = t_file_grow(a, &f[i], 1 + (uint32_t)rt_rand_below(&rand, 300),
				  MBFS_ALLOC_DATA);
	}
	ck_assert_int_eq(err, -ENOSPC);
	for (unsigned i = 0; i < 8; i++)
		blks += f[i].blks;
	ck_assert_uint_eq(blks, rows[_i].blks);
	ck_assert_uint_eq(mbfs_alloc_free_nr(a), 0);
	t_alloc_ok(a);
	for (unsigned i = 0; i < 8; i++)
		t_file_close(a, &f[i]);
	ck_assert_uint_eq(mbfs_alloc_free_nr(a), rows[_i].blks);
	t_alloc_close(a);
}
END_TEST

/* Goal: CONTIG is all or a true ENOSPC, GOAL_ONLY is there or nowhere. */
START_TEST(constraints_are_kept)
{
	struct mbfs_alloc *a = t_alloc("claim-wait", 4096, 1000, 1000, 0, 1);
	struct mbfs_alloc_req req = { .len = 300, .flags = MBFS_ALLOC_CONTIG };
	struct mbfs_alloc_stats stats;
	struct mbfs_run run, one, hole;

	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &run), 0);
	ck_assert_uint_eq(run.len, 300);
	req = (struct mbfs_alloc_req){ .len = 1, .goal = 700, .flags = MBFS_ALLOC_GOAL_ONLY };
	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &one), 0);
	ck_assert_uint_eq(one.start, 700);
	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &hole), -ENOSPC);
	req = (struct mbfs_alloc_req){ .len = 500, .flags = MBFS_ALLOC_CONTIG };
	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &hole), -ENOSPC);
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_eq(stats.enospc, 2);
	ck_assert_uint_eq(stats.false_enospc, 0);
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &run), 0);
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &one), 0);
	t_alloc_close(a);
}
END_TEST

/* Goal: freeing what is free, or not on the device, is refused and changes nothing. */
START_TEST(wrong_frees_are_refused)
{
	static const struct mbfs_run rows[] = {
		{ 10, 5 }, { 1000, 1 }, { 999, 2 }, { 0, 0 }, { 8, 4 }
	};
	struct mbfs_alloc *a = t_alloc("claim-wait", 4096, 1000, 1000, 0, 1);
	struct mbfs_alloc_req req = { .len = 10, .goal = 1 };
	struct mbfs_run run;

	ck_assert_int_eq(mbfs_alloc_blocks(a, NULL, &req, NULL, &run), 0);
	ck_assert_uint_eq(run.start, 1);
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &rows[_i]), -EUCLEAN);
	ck_assert_uint_eq(mbfs_alloc_free_nr(a), 990);
	t_alloc_ok(a);
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &run), 0);
	t_alloc_close(a);
}
END_TEST

/* Goal: bad shapes and options are refused by name. */
START_TEST(bad_input_is_refused)
{
	struct mbfs_alloc_shape shape = { .blk_nr = 1000,
					  .blks_per_grp = 1000,
					  .block_bytes = 4096 };
	struct mbfs_alloc_tune tune;
	struct mbfs_diag diag = { { 0 } };
	struct mbfs_alloc *a;
	const char *want;

	mbfs_alloc_tune_default(&tune);
	switch (_i) {
	case 0: tune.enospc = "nonesuch", want = "nonesuch"; break;
	case 1: tune.cpus = 5000, want = "cpus"; break;
	case 2: tune.group_prealloc = 0, want = "mb_group_prealloc"; break;
	case 3: shape.block_bytes = 3000, want = "block size"; break;
	case 4: shape.blks_per_grp = 1001, want = "per group"; break;
	default: shape.blk_nr = 0, want = "device"; break;
	}
	ck_assert_int_eq(mbfs_alloc_open_mem(&shape, &tune, &diag, &a), -EINVAL);
	ck_assert_msg(strstr(diag.text, want) != NULL, "%s", diag.text);
}
END_TEST

static void scenario(struct mbfs_alloc *a)
{
	struct t_file f[2];

	for (unsigned i = 0; i < 2; i++) {
		if (mbfs_alloc_file_open(a, i, &f[i].f))
			f[i].f = NULL;
		f[i] = (struct t_file){ .f = f[i].f };
	}
	for (unsigned step = 0; step < 30; step++) {
		struct t_file *file = &f[step % 2];

		if (file->f)
			(void)t_file_grow(a, file, 1 + step * 7, MBFS_ALLOC_DATA);
	}
	for (unsigned i = 0; i < 2; i++)
		if (f[i].f)
			t_file_close(a, &f[i]);
}

/* Goal: no memory, once, at each allocation: an error or nothing, and nothing lost. */
START_TEST(each_allocation_may_fail)
{
	struct mbfs_alloc_shape shape = { .blk_nr = 3000,
					  .blks_per_grp = 1024,
					  .block_bytes = 1024 };
	struct mbfs_alloc_tune tune;
	bool struck = true;

	mbfs_alloc_tune_default(&tune);
	tune.cpus = 2;
	for (uint64_t n = 1; struck; n++) {
		struct mbfs_alloc *a;
		int err;

		rt_mem_fail_at(n);
		err = mbfs_alloc_open_mem(&shape, &tune, NULL, &a);
		if (!err)
			scenario(a);
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		ck_assert(!err || err == -ENOMEM);
		if (!err) {
			ck_assert_uint_eq(mbfs_alloc_free_nr(a), 3000);
			t_alloc_close(a);
		}
		ck_assert_uint_lt(n, 1000);
	}
}
END_TEST

/* ---- a store whose groups cannot be read ---- */
struct bad_store {
	mbfs_grp_t bad;
};

static int bad_info(void *ctx, mbfs_grp_t grp, uint32_t *free_nr, bool *bad)
{
	(void)ctx, (void)grp;
	*free_nr = 1024;
	*bad = false;
	return 0;
}

static int bad_load(void *ctx, mbfs_grp_t grp, uint8_t *bits)
{
	struct bad_store *s = ctx;

	memset(bits, 0, 1024 / 8);
	return grp == s->bad ? -EIO : 0;
}

static void bad_update(void *ctx, struct mbfs_tx *tx, mbfs_grp_t grp, mbfs_clu_t start,
		       uint32_t len, bool used)
{
	(void)ctx, (void)tx, (void)grp, (void)start, (void)len, (void)used;
}

static const struct mbfs_alloc_store_ops bad_ops = { .grp_info = bad_info, .bitmap_load = bad_load,
						     .bitmap_update = bad_update };

/* Goal: a group that cannot be read is fenced off: the others serve, then its error, no endless
 * wait. */
START_TEST(unreadable_group_is_fenced)
{
	struct mbfs_alloc_shape shape = { .blk_nr = 3072,
					  .blks_per_grp = 1024,
					  .block_bytes = 1024 };
	struct bad_store store = { .bad = (mbfs_grp_t)_i };
	struct mbfs_alloc_req req = { .len = 64 };
	struct mbfs_alloc_tune tune;
	struct mbfs_alloc_stats stats;
	struct mbfs_alloc *a;
	struct mbfs_run run;
	uint64_t blks = 0;
	int err;

	mbfs_alloc_tune_default(&tune);
	ck_assert_int_eq(mbfs_alloc_open(&shape, &tune, &bad_ops, &store, NULL, &a), 0);
	while ((err = mbfs_alloc_blocks(a, NULL, &req, NULL, &run)) == 0) {
		ck_assert_uint_ne(run.start / 1024, store.bad);
		blks += run.len;
	}
	ck_assert_uint_eq(blks, 2048);
	ck_assert(err == -EIO || err == -ENOSPC);
	mbfs_alloc_stats(a, &stats);
	ck_assert_uint_eq(stats.false_enospc, 0);
	mbfs_alloc_close(a);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("alloc");
	TCase *tc = tcase_create("alloc");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, small_files_come_from_a_group_pa);
	tcase_add_test(tc, growing_file_is_contiguous);
	tcase_add_test(tc, large_fallocate_keeps_nothing);
	tcase_add_loop_test(tc, fills_to_the_last_block, 0, 4);
	tcase_add_test(tc, constraints_are_kept);
	tcase_add_loop_test(tc, wrong_frees_are_refused, 0, 5);
	tcase_add_loop_test(tc, bad_input_is_refused, 0, 6);
	tcase_add_test(tc, each_allocation_may_fail);
	tcase_add_loop_test(tc, unreadable_group_is_fenced, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
