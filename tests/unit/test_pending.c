// SPDX-License-Identifier: GPL-2.0-only
/* Objects that wait for grace periods: when they are processed, where they are kept, what is left
 * at the end. One thread that adds, and now and then one that reads. */
#include "support/t.h"

#include <errno.h>

#include "base/check.h"
#include "reclaim/pending.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/work.h"
#include "rt/wq.h"

enum { MS = 1000000 };
#define NEVER_NS (3600ull * 1000 * MS) /* no pass but a flush's */

struct obj {
	struct pending_link link;
	unsigned again; /* times that process() adds it once more */
	struct rt_rcu_cookie cookie;
};

static struct rt_cpus cpus;
static struct pending *pend;
static rt_u32 processed, early;

static void done(void *ctx, void *arg)
{
	struct obj *o = arg;

	ck_assert_ptr_eq(ctx, &cpus);
	ck_assert(!rt_rcu_in_reader());
	if (!rt_rcu_poll_state(o->cookie))
		rt_u32_add(&early, 1);
	if (o->again) {
		o->again--;
		o->cookie = rt_rcu_get_state();
		pending_add(pend, o);
		return;
	}
	rt_free(o);
	rt_u32_add_return(&processed, 1);
}

static void open_it(size_t link_offset, unsigned page_nr, uint64_t delay_ns)
{
	struct pending_config cfg = { .name = "pend",
				      .process = done,
				      .ctx = &cpus,
				      .link_offset = link_offset,
				      .page_nr = page_nr,
				      .delay_ns = delay_ns };

	rt_u32_set(&processed, 0);
	rt_u32_set(&early, 0);
	rt_cpus_init(&cpus, 2);
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), 0);
}

static void close_it(void)
{
	pending_close(pend);
	ck_assert_uint_eq(rt_u32_read(&early), 0);
}

static struct obj *obj_new(unsigned again)
{
	struct obj *o = rt_zalloc(sizeof(*o));

	ck_assert_ptr_nonnull(o);
	o->again = again;
	o->cookie = rt_rcu_get_state();
	return o;
}

static struct pending_stats stats(void)
{
	struct pending_stats st;

	pending_check(pend);
	pending_stats(pend, &st);
	return st;
}

/* Goal: nothing is processed while a reader is in. Method: add inside a section. */
START_TEST(waits_for_readers)
{
	open_it(0, 0, 1);
	rt_rcu_read_lock();
	ck_assert(pending_add_atomic(pend, obj_new(0)));
	rt_sleep_ns(20 * MS);
	ck_assert_uint_eq(rt_u32_read(&processed), 0);
	rt_rcu_read_unlock();
	for (int i = 0; i < 5000 && !rt_u32_read(&processed); i++)
		rt_sleep_ns(MS); /* the worker comes by itself */
	ck_assert_uint_eq(rt_u32_read(&processed), 1);
	close_it();
}
END_TEST

/* Goal: a flush leaves nothing of what was added before. Method: count, again and again; pages are
 * used again. */
START_TEST(flush_processes_all)
{
	open_it(PENDING_NO_LINK, 4, NEVER_NS);
	pending_flush(pend); /* nothing */
	for (unsigned i = 1; i <= 100; i++) {
		for (unsigned k = 0; k < 10; k++)
			pending_add(pend, obj_new(0));
		ck_assert_uint_eq(rt_u32_read(&processed), 10 * (i - 1));
		pending_flush(pend);
		ck_assert_uint_eq(rt_u32_read(&processed), 10 * i);
	}
	ck_assert_uint_eq(stats().added, 1000);
	ck_assert_uint_eq(stats().processed, 1000);
	ck_assert_uint_le(stats().pages, 3 + 99); /* of 3 that come back 2 are kept */
	close_it();
}
END_TEST

/* Goal: the way from page to link to waiting. Method: the allocator fails at the right moment. */
START_TEST(memory_is_out)
{
	const bool has_link = _i == 0;
	struct obj *o[6];

	open_it(has_link ? offsetof(struct obj, link) : PENDING_NO_LINK, 2, NEVER_NS);
	for (unsigned i = 0; i < 6; i++)
		o[i] = obj_new(0);
	rt_mem_fail_at(1);
	pending_add(pend, o[0]);
	ck_assert(rt_mem_fail_struck());
	rt_mem_fail_at(0);
	ck_assert_uint_eq(stats().by_link, has_link);
	ck_assert_uint_eq(stats().inline_waits, !has_link);
	ck_assert_uint_eq(rt_u32_read(&processed), !has_link);
	ck_assert(pending_add_atomic(pend, o[1]) == has_link); /* never allocates */
	ck_assert_uint_eq(stats().refused, !has_link);
	if (!has_link)
		pending_add(pend, o[1]);
	for (unsigned i = 2; i < 6; i++)
		pending_add(pend, o[i]);
	ck_assert_uint_eq(stats().by_link, has_link ? 2 : 0);
	ck_assert_uint_eq(stats().pages, has_link ? 2 : 3);
	ck_assert_uint_eq(stats().added, 6);
	close_it();
	ck_assert_uint_eq(rt_u32_read(&processed), 6);
}
END_TEST

/* Goal: after a flush there are pages at hand for who may not allocate. */
START_TEST(atomic_uses_spare_pages)
{
	open_it(PENDING_NO_LINK, 2, NEVER_NS);
	pending_add(pend, obj_new(0));
	pending_flush(pend);
	ck_assert(pending_add_atomic(pend, obj_new(0)));
	ck_assert(pending_add_atomic(pend, obj_new(0)));
	ck_assert_uint_eq(stats().pages, 1);
	close_it();
}
END_TEST

/* ---- taking ---- */

static void grace_period(void)
{
	rt_rcu_cond_sync(rt_rcu_get_state());
}

static void add_nr(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		pending_add(pend, obj_new(0));
}

static unsigned take_all(void)
{
	struct obj *o;
	unsigned nr = 0;

	while ((o = pending_take(pend))) {
		ck_assert(rt_rcu_poll_state(o->cookie));
		rt_free(o);
		nr++;
	}
	return nr;
}

/* Goal: what is taken is what no reader has, and nobody processes it. Method: a take before the
 * grace period and after it; row 1: there is no memory, objects are kept by their links. */
START_TEST(take_waits_for_readers)
{
	struct obj *o = obj_new(0);

	open_it(0, 0, NEVER_NS);
	ck_assert_ptr_null(pending_take(pend));
	rt_mem_fail_at(_i ? 1 : 0);
	pending_add(pend, o);
	rt_mem_fail_at(0);
	ck_assert_uint_eq(stats().by_link, _i);
	ck_assert_ptr_null(pending_take(pend));
	grace_period();
	rt_rcu_read_lock();
	ck_assert_ptr_eq(pending_take(pend), o);
	ck_assert_ptr_null(pending_take(pend));
	rt_rcu_read_unlock();
	ck_assert_uint_eq(stats().taken, 1);
	ck_assert_uint_eq(stats().swept, 1);
	rt_free(o);
	close_it();
	ck_assert_uint_eq(rt_u32_read(&processed), 0);
}
END_TEST

/* Goal: pages that takes empty are used again, and memory gets what is too much. */
START_TEST(take_gives_pages_back)
{
	open_it(PENDING_NO_LINK, 2, NEVER_NS);
	add_nr(8);
	grace_period();
	ck_assert_uint_eq(take_all(), 8);
	ck_assert_uint_eq(stats().pages, 4);
	add_nr(4);
	ck_assert_uint_eq(stats().pages, 4); /* two were kept */
	add_nr(1);
	ck_assert_uint_eq(stats().pages, 5);
	close_it();
	ck_assert_uint_eq(rt_u32_read(&processed), 5);
}
END_TEST

static rt_u32 go;

static void wait_to_go(struct rt_work *work)
{
	(void)work;
	while (!rt_u32_read_acquire(&go))
		rt_sleep_ns(MS / 10);
}

/* Goal: the worker leaves keep_nr objects and is done; a flush leaves none. Method: the worker's
 * thread is kept busy until all are added, so one pass sees them together. Rows: pages that fit the
 * number, and that do not; by links. */
START_TEST(worker_keeps_some)
{
	static const struct row {
		unsigned page_nr, kept;
		bool memory;
	} rows[] = { { 2, 4, true }, { 3, 3, true }, { 10, 0, true }, { 2, 4, false } };
	struct pending_config cfg = { .name = "pend",
				      .process = done,
				      .ctx = &cpus,
				      .page_nr = rows[_i].page_nr,
				      .keep_nr = 4,
				      .delay_ns = 1 };
	const unsigned kept = rows[_i].kept;
	struct rt_work busy;

	open_it(0, 0, 0);
	close_it();
	ck_assert_int_eq(rt_wq_create("ours", 1, &cfg.wq), 0);
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), 0);
	rt_work_init(&busy, wait_to_go);
	for (unsigned round = 1; round <= 2; round++) {
		struct obj *o[10];

		for (unsigned i = 0; i < 10; i++)
			o[i] = obj_new(0);
		rt_u32_set(&go, 0);
		ck_assert(rt_wq_queue(cfg.wq, &busy));
		for (unsigned i = 0; i < 10; i++) {
			if (rows[_i].memory)
				pending_add(pend, o[i]);
			else
				ck_assert(pending_add_atomic(pend, o[i]));
		}
		rt_u32_set_release(&go, 1);
		for (int i = 0; i < 3000 && rt_u32_read(&processed) < (10 - kept) * round; i++)
			rt_sleep_ns(MS);
		ck_assert_uint_eq(rt_u32_read(&processed), (10 - kept) * round);
		if (round == 1)
			ck_assert_uint_eq(take_all(), kept);
	}
	pending_flush(pend);
	ck_assert_uint_eq(rt_u32_read(&processed), 20 - kept);
	ck_assert_ptr_null(pending_take(pend));
	close_it();
	rt_wq_destroy(cfg.wq);
}
END_TEST

/* Goal: who throttles waits for readers, and for the worker if nobody takes. */
START_TEST(throttle_waits_for_what_is_missing)
{
	struct pending_config cfg = { .name = "pend",
				      .process = done,
				      .ctx = &cpus,
				      .keep_nr = 4,
				      .behind_nr = 4,
				      .delay_ns = NEVER_NS };

	open_it(0, 0, 0);
	close_it();
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), 0);
	add_nr(4);
	pending_throttle(pend);
	ck_assert_uint_eq(stats().throttled, 0);
	add_nr(1);
	pending_throttle(pend);
	ck_assert_uint_eq(stats().throttled, 1);
	ck_assert_uint_eq(stats().passes, 0);
	ck_assert_uint_eq(take_all(), 5);
	for (unsigned i = 0; i < 9; i++) {
		add_nr(1);
		grace_period();
		pending_throttle(pend);
		ck_assert_uint_eq(rt_u32_read(&processed), i == 8 ? 9 : 0);
	}
	close_it();
}
END_TEST

/* ---- two grace periods at once ---- */

struct other {
	rt_u32 stop, in;
};

static void read_long(void *arg)
{
	struct other *o = arg;

	rt_rcu_read_lock();
	rt_u32_set_release(&o->in, 1);
	while (!rt_u32_read_acquire(&o->stop))
		rt_sleep_ns(MS / 10);
	rt_rcu_read_unlock();
}

static void wait_gp(void *arg)
{
	(void)arg;
	rt_rcu_cond_sync(rt_rcu_get_state());
}

/* Goal: objects of two grace periods are apart, and each is processed after its own. Method: a
 * reader keeps one grace period from ending; who adds now has to wait for the next. */
START_TEST(two_grace_periods)
{
	struct other other = { .stop = { 0 } };
	struct rt_thread *reader, *driver;
	struct rt_rcu_cookie first;

	open_it(0, 0, NEVER_NS);
	ck_assert_int_eq(rt_thread_start(read_long, &other, "reader", &reader), 0);
	while (!rt_u32_read_acquire(&other.in))
		rt_sleep_ns(MS / 10);
	first = rt_rcu_get_state();
	pending_add(pend, obj_new(0));
	pending_add(pend, obj_new(0));
	ck_assert_uint_eq(stats().second, 0);
	ck_assert_int_eq(rt_thread_start(wait_gp, NULL, "driver", &driver), 0);
	while (rt_rcu_same_state(first, rt_rcu_get_state()))
		rt_sleep_ns(MS / 10);
	pending_add(pend, obj_new(0));
	pending_add(pend, obj_new(0));
	ck_assert_uint_eq(stats().second, 1);
	ck_assert_uint_eq(stats().swept, 0);
	rt_u32_set_release(&other.stop, 1);
	rt_thread_join(driver);
	rt_thread_join(reader);
	pending_add(pend, obj_new(0)); /* the first period is over: its two are found */
	ck_assert_uint_eq(stats().swept, 2);
	ck_assert_uint_eq(rt_u32_read(&processed), 0);
	close_it();
	ck_assert_uint_eq(rt_u32_read(&processed), 5);
}
END_TEST

/* ---- the end ---- */

/* Goal: close processes what is queued, what is due, and what process() adds. Row 1: the work is
 * done on the caller's queue, which has other work as well; row 2: by callbacks of RCU. */
START_TEST(close_leaves_nothing)
{
	struct pending_config cfg = { .name = "pend", .process = done, .ctx = &cpus, .page_nr = 3 };
	struct pending_stats st;
	struct rt_wq *wq = NULL;

	open_it(0, 0, 0);
	close_it();
	if (_i == 1)
		ck_assert_int_eq(rt_wq_create("ours", 2, &wq), 0);
	cfg.wq = wq;
	cfg.by_rcu = _i == 2;
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), 0);
	for (unsigned i = 0; i < 1000; i++) {
		pending_stats(pend, &st);
		ck_assert(i > 500 ? st.lock_max_ns >= 1 : st.lock_max_ns == 0);
		pending_timed(pend, i >= 500);
		pending_add(pend, obj_new(i % 7));
	}
	close_it();
	ck_assert_uint_eq(rt_u32_read(&processed), 1000);
	if (wq)
		rt_wq_destroy(wq);
	pending_close(NULL);
}
END_TEST

/* Goal: without a thread of its own it is rt/rcu's that comes, or who flushes. */
START_TEST(callbacks_are_the_worker)
{
	struct pending_config cfg = {
		.name = "pend", .process = done, .ctx = &cpus, .by_rcu = true
	};

	open_it(0, 0, 0);
	close_it();
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), 0);
	pending_flush(pend); /* nothing */
	for (unsigned i = 1; i <= 100; i++) {
		add_nr(3);
		pending_flush(pend);
		ck_assert_uint_eq(rt_u32_read(&processed), 3 * i);
	}
	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	add_nr(3);
	for (int i = 0; i < 3000 && rt_u32_read(&processed) < 303; i++)
		rt_sleep_ns(MS);
	rt_rcu_worker_stop();
	ck_assert_uint_eq(rt_u32_read(&processed), 303);
	close_it();
}
END_TEST

/* Goal: who adds faster than the worker can process waits where he says he may. */
START_TEST(throttle_bounds_what_waits)
{
	enum { NR = 500 };
	struct pending_config cfg = {
		.name = "pend", .process = done, .ctx = &cpus, .behind_nr = NR, .delay_ns = NEVER_NS
	};

	open_it(0, 0, 0);
	close_it();
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), 0);
	for (unsigned i = 0; i < 5 * NR; i++) {
		pending_add(pend, obj_new(0));
		pending_throttle(pend);
		if (i == NR - 1)
			ck_assert_uint_eq(rt_u32_read(&processed), 0);
	}
	ck_assert_uint_ge(rt_u32_read(&processed), 3 * NR);
	close_it();
}
END_TEST

/* Goal: opening fails cleanly. Method: each allocation fails once. */
START_TEST(open_fails)
{
	struct pending_config cfg = { .name = "pend", .process = done, .ctx = &cpus };
	int err = -ENOMEM;
	unsigned at;

	rt_cpus_init(&cpus, 3);
	cfg.page_nr = PENDING_PAGE_NR_MAX + 1;
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), -EINVAL);
	cfg.page_nr = PENDING_PAGE_NR_MAX;
	for (at = 1; err; at++) {
		rt_mem_fail_at(at);
		err = pending_open(&cpus, &cfg, &pend);
		ck_assert(err == 0 || (err == -ENOMEM && rt_mem_fail_struck()));
		rt_mem_fail_at(0);
	}
	ck_assert_uint_gt(at, 3);
	close_it();
	cfg.process = NULL;
	ck_assert_int_eq(pending_open(&cpus, &cfg, &pend), -EINVAL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("pending");
	TCase *tc = tcase_create("pending");

	tcase_add_test(tc, waits_for_readers);
	tcase_add_test(tc, flush_processes_all);
	tcase_add_loop_test(tc, memory_is_out, 0, 2);
	tcase_add_test(tc, atomic_uses_spare_pages);
	tcase_add_loop_test(tc, take_waits_for_readers, 0, 2);
	tcase_add_test(tc, take_gives_pages_back);
	tcase_add_loop_test(tc, worker_keeps_some, 0, 4);
	tcase_add_test(tc, throttle_waits_for_what_is_missing);
	tcase_add_test(tc, two_grace_periods);
	tcase_add_loop_test(tc, close_leaves_nothing, 0, 3);
	tcase_add_test(tc, callbacks_are_the_worker);
	tcase_add_test(tc, throttle_bounds_what_waits);
	tcase_add_test(tc, open_fails);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
