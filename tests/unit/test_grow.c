// SPDX-License-Identifier: GPL-2.0-only
/* An allocator on plain memory that grows: alone, under writers, without memory. */
#include <errno.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc/alloc_priv.h"
#include "rt/mem.h"
#include "rt/work.h"
#include "support/t.h"

enum { GRP_BLKS = 1024, WRITERS = 8, HELD = 64 };

static struct mbfs_alloc *open_mem(mbfs_blk_t blk_nr, unsigned cpus)
{
	const struct mbfs_alloc_shape shape = {
		.blk_nr = blk_nr, .blks_per_grp = GRP_BLKS, .block_bytes = 4096,
		.log_grps_per_flex = 4,
	};
	struct mbfs_alloc_tune tune;
	struct mbfs_diag diag = { "" };
	struct mbfs_alloc *a;

	mbfs_alloc_tune_default(&tune);
	tune.cpus = cpus;
	ck_assert_msg(!mbfs_alloc_open_mem(&shape, &tune, &diag, &a), "%s", diag.text);
	return a;
}

static void grow_to(struct mbfs_alloc *a, mbfs_blk_t blk_nr)
{
	struct mbfs_diag diag = { "" };

	ck_assert_msg(!mbfs_alloc_grow(a, blk_nr, 0, &diag), "%s", diag.text);
}

static void check(struct mbfs_alloc *a)
{
	struct mbfs_diag diag = { "" };

	ck_assert_msg(!mbfs_alloc_check(a, &diag), "%s", diag.text);
}

/* All that is free, one run after the other; how much it was. */
static uint64_t take_all(struct mbfs_alloc *a)
{
	const struct mbfs_alloc_req req = { .len = GRP_BLKS };
	struct mbfs_run run;
	uint64_t nr = 0;

	while (!mbfs_alloc_blocks(a, NULL, &req, NULL, &run))
		nr += run.len;
	return nr;
}

/* Goal: each new block can be had once, whatever the old and the new end are; and be given back. */
START_TEST(new_blocks_are_free)
{
	static const mbfs_blk_t sizes[] = { 1500, 1501, 2048, 2049, 5000, 5 * GRP_BLKS, 300000 };
	struct mbfs_alloc *a = open_mem(700, 2);
	const struct mbfs_run all = { 0, 300000 };
	mbfs_blk_t had = 700;

	ck_assert_uint_eq(take_all(a), 700);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		grow_to(a, sizes[i]);
		ck_assert_uint_eq(mbfs_alloc_free_nr(a), sizes[i] - had);
		check(a);
		ck_assert_uint_eq(take_all(a), sizes[i] - had);
		had = sizes[i];
		check(a);
	}
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &all), 0);
	ck_assert_uint_eq(mbfs_alloc_free_nr(a), had);
	check(a);
	mbfs_alloc_close(a);
}
END_TEST

/* Goal: without memory nothing has changed, and it grows the next time. Method: each allocation
 * fails once. */
START_TEST(no_memory)
{
	struct mbfs_alloc *a = open_mem(700, 2);
	struct mbfs_diag diag;
	mbfs_blk_t blk_nr = 700;
	int err;

	for (uint64_t n = 1; n < 100; n++) {
		rt_mem_fail_at(n);
		err = mbfs_alloc_grow(a, blk_nr + 5000 * GRP_BLKS, 0, &diag);
		rt_mem_fail_at(0);
		if (!err)
			break;
		ck_assert_int_eq(err, -ENOMEM);
		ck_assert(diag.text[0]);
		ck_assert_uint_eq(mbfs_alloc_free_nr(a), blk_nr);
		check(a);
		blk_nr += 300;
		grow_to(a, blk_nr); /* less than what failed */
		check(a);
	}
	ck_assert_uint_eq(mbfs_alloc_free_nr(a), blk_nr + 5000 * GRP_BLKS);
	check(a);
	ck_assert_int_eq(mbfs_alloc_grow(a, 1, 0, &diag), -EINVAL);
	mbfs_alloc_close(a);
}
END_TEST

/* Goal: no block is given before it could be given back. Method: a growth between the table of
 * groups and the bound of the device; a search over all groups, which starts at the new one. */
START_TEST(no_block_before_the_bound)
{
	struct mbfs_alloc *a = open_mem(GRP_BLKS, 2);
	const struct mbfs_alloc_req req = { .len = 100, .flags = MBFS_ALLOC_DATA };
	struct mbfs_alloc_file *f;
	struct mbfs_diag diag;
	struct mbfs_run run;

	ck_assert_int_eq(mbfs_alloc_file_open(a, 1, &f), 0);
	ck_assert_uint_eq(take_all(a), GRP_BLKS);
	for (mbfs_blk_t blk = 10; blk < 20; blk += 2) {
		run = (struct mbfs_run){ blk, 1 };
		ck_assert_int_eq(mbfs_alloc_free(a, NULL, &run), 0);
	}
	ck_assert_int_eq(alloc_grow_ready(a, 2 * GRP_BLKS, &diag), 0);
	table_grow(&a->groups, NULL);
	for (unsigned i = 0; i < a->stream_nr; i++)
		rt_u64_set(&a->stream_goal[i], 1);
	ck_assert_int_eq(mbfs_alloc_blocks(a, f, &req, NULL, &run), 0);
	ck_assert_uint_lt(run.start, GRP_BLKS);
	ck_assert_int_eq(mbfs_alloc_free(a, NULL, &run), 0);
	mbfs_alloc_file_close(f);
	mbfs_alloc_close(a);
}
END_TEST

struct wanted {
	struct mbfs_alloc *a;
	uint32_t got;
	rt_u32 done;
	int err;
};

static void want_one(void *arg)
{
	const struct mbfs_alloc_req req = { .len = 10 };
	struct wanted *w = arg;
	struct mbfs_run run = { 0 };

	w->err = mbfs_alloc_blocks(w->a, NULL, &req, NULL, &run);
	w->got = run.len;
	rt_u32_set_release(&w->done, 1);
}

/* Goal: who finds nothing free while space is being added gets of it; if none is added he is told
 * the truth. Method: a request in the middle of a growth. */
START_TEST(waits_for_the_end)
{
	const bool comes = _i;
	struct wanted w = { .a = open_mem(GRP_BLKS, 2) };
	struct mbfs_alloc_stats stats;
	struct mbfs_diag diag;
	struct rt_thread *t;

	take_all(w.a);
	alloc_grow_begin(w.a, NULL);
	ck_assert_int_eq(rt_thread_start(want_one, &w, "want", &t), 0);
	rt_sleep_ns(50000000);
	ck_assert_uint_eq(rt_u32_read_acquire(&w.done), 0);
	if (comes) {
		ck_assert_int_eq(alloc_grow_ready(w.a, 2 * GRP_BLKS, &diag), 0);
		alloc_grow(w.a, NULL, 0);
	}
	alloc_grow_end(w.a);
	rt_thread_join(t);
	ck_assert_int_eq(w.err, comes ? 0 : -ENOSPC);
	ck_assert_uint_eq(w.got, comes ? 10 : 0);
	mbfs_alloc_stats(w.a, &stats);
	ck_assert_uint_eq(stats.false_enospc, 0);
	check(w.a);
	mbfs_alloc_close(w.a);
}
END_TEST

struct writers {
	struct mbfs_alloc *a;
	rt_u32 stop, next;
	rt_u64 held, enospc;
	uint64_t seed;
};

/* Takes and gives back, near full all the time. */
static void write_and_free(void *arg)
{
	struct writers *w = arg;
	uint32_t me = rt_u32_add_return(&w->next, 1);
	struct rt_rand r = { w->seed + me };
	struct mbfs_alloc_file *f;
	struct mbfs_run held[HELD] = { 0 };

	MBFS_ASSERT(!mbfs_alloc_file_open(w->a, me, &f));
	while (!rt_u32_read(&w->stop)) {
		struct mbfs_run *run = &held[rt_rand_below(&r, HELD)];
		struct mbfs_alloc_req req = {
			.lblk = (mbfs_lblk_t)rt_rand_below(&r, 100000),
			.len = 1 + (uint32_t)rt_rand_below(&r, 300),
			.flags = MBFS_ALLOC_DATA,
		};
		int err;

		if (run->len) {
			MBFS_ASSERT(!mbfs_alloc_free(w->a, NULL, run));
			run->len = 0;
			continue;
		}
		err = mbfs_alloc_blocks(w->a, f, &req, NULL, run);
		MBFS_ASSERT(!err || err == -ENOSPC);
		if (err)
			rt_u64_add(&w->enospc, 1);
	}
	for (int i = 0; i < HELD; i++)
		rt_u64_add(&w->held, held[i].len);
	mbfs_alloc_file_close(f);
}

/*
 * Goal: no block is lost or given twice while the device grows group by group, and no ENOSPC is
 * false. Method: 8 writers that want about as much as there is; the store asserts each bit.
 */
START_TEST(grows_under_writers)
{
	enum { STEPS = 200 };
	struct writers w = { .a = open_mem(GRP_BLKS + 100, 4), .seed = t_seed() };
	struct rt_thread *t[WRITERS];
	struct mbfs_alloc_stats stats;
	mbfs_blk_t blk_nr = GRP_BLKS + 100;

	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(rt_thread_start(write_and_free, &w, "writer", &t[i]), 0);
	for (int i = 0; i < STEPS; i++) {
		blk_nr += i % 3 ? GRP_BLKS : 77;
		grow_to(w.a, blk_nr);
		rt_sleep_ns(2000000);
	}
	rt_u32_set(&w.stop, 1);
	for (int i = 0; i < WRITERS; i++)
		rt_thread_join(t[i]);
	mbfs_alloc_stats(w.a, &stats);
	ck_assert_uint_eq(stats.blk_nr, blk_nr);
	ck_assert_uint_eq(stats.false_enospc, 0);
	ck_assert_uint_eq(stats.free_nr + rt_u64_read(&w.held), blk_nr);
	printf("%" PRIu64 " requests, %" PRIu64 " ENOSPC, all true\n", stats.reqs,
	       rt_u64_read(&w.enospc));
	check(w.a);
	mbfs_alloc_close(w.a);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("grow");
	TCase *tc = tcase_create("grow");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, new_blocks_are_free);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, no_block_before_the_bound);
	tcase_add_loop_test(tc, waits_for_the_end, 0, 2);
	tcase_add_test(tc, grows_under_writers);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
