// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: byte-range locks exclude, lose no wake-up and touch no memory of who is gone. Method:
 * threads lock random ranges of an array of cells, narrow and wide, shared, exclusive or passive,
 * some on another thread's behalf ended by io_cancel(). Of each cell the array knows who is in it;
 * what is in it is plain, so that TSan sees a lock that does not order. Locks and cancels are freed
 * at once: ASan sees who still uses them. A lost wake-up is a test that does not end.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "extent/io_tree_priv.h"
#include "rt/mem.h"
#include "rt/work.h"

/* A region has 8 cells. */
enum { CELLS = 48, CELL_BITS = IO_REGION_BITS - 3, THREADS = 4, STEPS = 12000, WRITER = 1 << 16 };

struct shared {
	struct io_env env;
	struct io_tree t;
	rt_u32 inside[CELLS]; /* WRITER, or how many readers */
	uint64_t sum[CELLS];  /* plain */
	/* [lock] What each thread may be cancelled by; NULL: it does not wait. */
	struct rt_mutex lock;
	struct io_cancel *cancel[THREADS];
	rt_u32 stop, broken;
};

struct user {
	struct shared *sh;
	struct rt_rand rand;
	unsigned idx;
	uint64_t written, interrupted, read; /* cells, requests, a sum of sums */
};

static void use_cells(struct user *u, unsigned first, unsigned end, bool exclusive)
{
	struct shared *sh = u->sh;
	const uint32_t mine = exclusive ? WRITER : 1;

	for (unsigned i = first; i < end; i++) {
		uint32_t now = rt_u32_add_return(&sh->inside[i], mine);

		if (exclusive ? now != WRITER : now >= WRITER)
			rt_u32_set(&sh->broken, 1);
	}
	for (unsigned i = first; i < end; i++) {
		if (exclusive)
			sh->sum[i]++;
		else
			u->read += sh->sum[i];
	}
	u->written += exclusive ? end - first : 0;
	if (!rt_rand_below(&u->rand, 4))
		rt_yield();
	for (unsigned i = first; i < end; i++)
		rt_u32_add_return(&sh->inside[i], -mine);
}

static struct io_cancel *cancel_show(struct user *u)
{
	struct io_cancel *c = rt_zalloc(sizeof(*c));

	if (c) {
		io_cancel_init(c);
		rt_mutex_lock(&u->sh->lock);
		u->sh->cancel[u->idx] = c;
		rt_mutex_unlock(&u->sh->lock);
	}
	return c;
}

static void cancel_free(struct user *u, struct io_cancel *c)
{
	rt_mutex_lock(&u->sh->lock);
	u->sh->cancel[u->idx] = NULL;
	rt_mutex_unlock(&u->sh->lock);
	rt_free(c);
}

static void one(struct user *u)
{
	unsigned first = (unsigned)rt_rand_below(&u->rand, CELLS);
	unsigned len =
		1 + (unsigned)rt_rand_below(&u->rand, rt_rand_below(&u->rand, 4) ? 3 : CELLS);
	unsigned end = first + len < CELLS ? first + len : CELLS;
	uint64_t from = (uint64_t)first << CELL_BITS;
	uint64_t to = end == CELLS ? IO_END : (uint64_t)end << CELL_BITS;
	unsigned what = (unsigned)rt_rand_below(&u->rand, 16);
	enum io_lock_mode mode = what & 1 ? IO_SHARED : IO_EXCLUSIVE;
	struct io_cancel *c = what < 6 ? cancel_show(u) : NULL;
	struct io_lock *l = rt_alloc(sizeof(*l));
	bool held;

	if (!l)
		return;
	if (what == 15 || what == 5) {
		u->interrupted += io_tree_wait_range(&u->sh->t, from, to, c) < 0;
		held = false;
	} else if (what == 14) {
		held = io_tree_try_lock_range(&u->sh->t, l, from, to, mode);
	} else {
		held = !io_tree_lock_range_intr(&u->sh->t, l, from, to, mode, c);
		u->interrupted += !held;
	}
	if (c)
		cancel_free(u, c);
	if (held) {
		use_cells(u, first, end, mode == IO_EXCLUSIVE);
		io_tree_unlock_range(&u->sh->t, l);
	}
	rt_free(l);
}

static void user_run(void *arg)
{
	struct user *u = arg;

	for (unsigned step = 0; step < STEPS && !rt_u32_read(&u->sh->broken); step++)
		one(u);
}

static void cancel_run(void *arg)
{
	struct shared *sh = arg;
	unsigned next = 0;

	while (!rt_u32_read(&sh->stop)) {
		rt_mutex_lock(&sh->lock);
		if (sh->cancel[next % THREADS])
			io_cancel(sh->cancel[next % THREADS]);
		rt_mutex_unlock(&sh->lock);
		if (++next % 16 == 0)
			rt_sleep_ns(20000);
	}
}

START_TEST(random_ranges_exclude)
{
	static struct shared sh;
	struct rt_rand rand = { t_seed() };
	struct user u[THREADS];
	struct rt_thread *t[THREADS + 1];
	uint64_t written = 0, interrupted = 0, sum = 0;
	struct mbfs_diag diag = { "" };

	memset(&sh, 0, sizeof(sh));
	sh.env.whole = _i;
	io_tree_init(&sh.t, &sh.env, RANK_FS_FILES);
	rt_mutex_init(&sh.lock, RANK_FS_WRITER);
	for (unsigned i = 0; i < THREADS; i++) {
		u[i] = (struct user){ .sh = &sh, .rand = { rand.state + i + 1 }, .idx = i };
		ck_assert_int_eq(rt_thread_start(user_run, &u[i], "user", &t[i]), 0);
	}
	ck_assert_int_eq(rt_thread_start(cancel_run, &sh, "cancel", &t[THREADS]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		rt_thread_join(t[i]);
		written += u[i].written;
		interrupted += u[i].interrupted;
	}
	rt_u32_set(&sh.stop, 1);
	rt_thread_join(t[THREADS]);
	ck_assert_uint_eq(rt_u32_read(&sh.broken), 0);
	for (unsigned i = 0; i < CELLS; i++)
		sum += sh.sum[i];
	printf("%" PRIu64 " waits, %" PRIu64 " of them cancelled\n", rt_stat_read(&sh.env.waits),
	       interrupted);
	ck_assert_uint_eq(sum, written);
	ck_assert_uint_eq(rt_stat_read(&sh.env.cancelled), interrupted);
	ck_assert_uint_gt(rt_stat_read(&sh.env.waits), 100); /* else it has not looked */
	ck_assert_uint_gt(interrupted, 0);
	ck_assert_msg(io_tree_check(&sh.t, &diag) == 0, "%s", diag.text);
	io_tree_destroy(&sh.t);
	rt_mutex_destroy(&sh.lock);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stress_io_lock");
	TCase *tc = tcase_create("threads");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, random_ranges_exclude, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
