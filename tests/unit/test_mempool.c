// SPDX-License-Identifier: GPL-2.0-only
/* Mempools: where objects come from and go, in each mode and order; one thread, or two in turns. */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "reclaim/mempool_priv.h"
#include "rt/mem.h"
#include "rt/work.h"
#include "support/t_pool.h"

enum { MS = 1000000, OBJS = 64 };

static struct rt_cpus cpus;
static struct mempool_domain *dom;
static struct t_backing back[3];

static void set_up(void)
{
	rt_cpus_init(&cpus, 2);
	memset(back, 0, sizeof(back));
	ck_assert_int_eq(mempool_domain_open(&cpus, &dom), 0);
}

static void tear_down(void)
{
	mempool_domain_close(dom);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(rt_u32_read(&back[i].out), 0);
}

static struct mempool *open_pool(unsigned i, unsigned min_nr, unsigned magazine_nr,
				 enum mempool_order order, uint64_t retry_ns)
{
	struct mempool_config cfg = { .name = "p",
				      .bytes = 40,
				      .min_nr = min_nr,
				      .magazine_nr = magazine_nr,
				      .order = order,
				      .retry_ns = retry_ns,
				      .backing = &t_backing_ops,
				      .ctx = &back[i] };
	struct mempool *p;

	t_backing_set(&back[i], 0, min_nr);
	ck_assert_int_eq(mempool_open(dom, &cfg, &p), 0);
	back[i].log_it = true;
	t_backing_set(&back[i], 0, 0);
	return p;
}

static struct mempool_stats stats(const struct mempool *p)
{
	struct mempool_stats st;

	mempool_stats(p, &st);
	ck_assert_uint_eq(st.allocs, st.frees + st.in_use);
	ck_assert_uint_eq(st.allocs,
			  st.from_magazine + st.from_allocator + st.from_reserve + st.from_wait);
	return st;
}

/* Goal: each order and mode asks in the order the header says. Method: what the backing was asked,
 * call by call, with and without memory; a reserve of one. */
START_TEST(order_and_mode)
{
	static const struct {
		enum mempool_order order;
		enum mempool_mode mode;
		unsigned left, left_waiting;
		const char *asked;
		unsigned from_allocator, from_reserve;
	} rows[] = {
		{ MEMPOOL_KERNEL, MEMPOOL_WAIT, 1, 1, "n", 1, 0 },
		{ MEMPOOL_KERNEL, MEMPOOL_WAIT, 0, 1, "N", 0, 1 },
		{ MEMPOOL_KERNEL, MEMPOOL_NOWAIT, 1, 1, "n", 1, 0 },
		{ MEMPOOL_KERNEL, MEMPOOL_NOWAIT, 0, 1, "N", 0, 1 },
		{ MEMPOOL_KERNEL, MEMPOOL_RESERVE_FIRST, 1, 1, "", 0, 1 },
		{ MEMPOOL_PATIENT, MEMPOOL_WAIT, 1, 1, "w", 1, 0 },
		{ MEMPOOL_PATIENT, MEMPOOL_WAIT, 1, 0, "W", 0, 1 },
		{ MEMPOOL_PATIENT, MEMPOOL_NOWAIT, 1, 1, "n", 1, 0 },
		{ MEMPOOL_PATIENT, MEMPOOL_NOWAIT, 0, 1, "N", 0, 1 },
		{ MEMPOOL_PATIENT, MEMPOOL_RESERVE_FIRST, 1, 1, "", 0, 1 },
	};
	struct mempool *p = open_pool(0, 1, 0, rows[_i].order, 0);
	struct mempool_stats st;
	void *obj;

	t_backing_set(&back[0], rows[_i].left, rows[_i].left_waiting);
	obj = mempool_alloc(p, rows[_i].mode);
	ck_assert_ptr_nonnull(obj);
	ck_assert_str_eq(t_backing_asked(&back[0]), rows[_i].asked);
	st = stats(p);
	ck_assert_uint_eq(st.from_allocator, rows[_i].from_allocator);
	ck_assert_uint_eq(st.from_reserve, rows[_i].from_reserve);
	ck_assert_uint_eq(st.in_reserve, 1 - rows[_i].from_reserve);
	ck_assert_uint_eq(st.low_water, st.in_reserve);
	ck_assert_uint_eq(mempool_is_low(p), rows[_i].from_reserve);
	mempool_free(p, obj);
	ck_assert_uint_eq(stats(p).in_reserve, 1);
	ck_assert(!mempool_is_low(p));
	mempool_close(p);
}
END_TEST

/* Goal: with the reserve out, NOWAIT gets nothing and says so; RESERVE_FIRST asks the allocator. */
START_TEST(reserve_is_out)
{
	struct mempool *p = open_pool(0, 2, 0, MEMPOOL_KERNEL, 0);
	void *obj[4];

	for (unsigned i = 0; i < 2; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_RESERVE_FIRST);
	ck_assert_ptr_null(mempool_alloc(p, MEMPOOL_NOWAIT));
	ck_assert_uint_eq(stats(p).failed, 1);
	ck_assert_str_eq(t_backing_asked(&back[0]), "N");
	t_backing_set(&back[0], 1, 0);
	obj[2] = mempool_alloc(p, MEMPOOL_RESERVE_FIRST);
	ck_assert_str_eq(t_backing_asked(&back[0]), "n");
	ck_assert_uint_eq(stats(p).low_water, 0);
	/* The first two that come back fill the reserve, wherever they are from. */
	mempool_free(p, obj[2]);
	mempool_free(p, obj[0]);
	ck_assert_str_eq(t_backing_asked(&back[0]), "n");
	mempool_free(p, obj[1]);
	ck_assert_str_eq(t_backing_asked(&back[0]), "nf");
	mempool_close(p);
}
END_TEST

/* Goal: magazines keep what the reserve does not need, and give it out before all else. */
START_TEST(magazine_first)
{
	struct mempool *p = open_pool(0, 1, 2, MEMPOOL_KERNEL, 0);
	struct mempool_stats st;
	void *obj[4];

	t_backing_set(&back[0], 4, 0);
	for (unsigned i = 0; i < 4; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_WAIT);
	for (unsigned i = 0; i < 4; i++)
		mempool_free(p, obj[i]);
	ck_assert_str_eq(t_backing_asked(&back[0]), "nnnnff");
	for (unsigned i = 0; i < 3; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_WAIT);
	ck_assert_str_eq(t_backing_asked(&back[0]), "nnnnffN");
	st = stats(p);
	ck_assert_uint_eq(st.from_magazine, 2);
	ck_assert_uint_eq(st.from_reserve, 1);
	for (unsigned i = 0; i < 3; i++)
		mempool_free(p, obj[i]);
	st = stats(p);
	ck_assert_uint_eq(st.in_magazines, 2); /* the first that came filled the reserve */
	ck_assert_uint_eq(st.in_use, 0);
	mempool_shrink(p);
	ck_assert_uint_eq(stats(p).in_magazines, 0);
	mempool_close(p);
}
END_TEST

static void fill_magazine(void *arg)
{
	struct mempool *p = arg;
	void *obj[2];

	for (unsigned i = 0; i < 2; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_WAIT);
	for (unsigned i = 0; i < 2; i++)
		mempool_free(p, obj[i]);
}

/* Goal: without memory the magazines of other CPUs are used before the reserve. Method: threads
 * fill all; then two objects more than this CPU's has. */
START_TEST(other_magazines)
{
	struct mempool *p = open_pool(0, 1, 2, MEMPOOL_KERNEL, 0);
	struct rt_thread *t;
	void *obj[4];

	t_backing_set(&back[0], 100, 0);
	for (unsigned i = 0; i < 4; i++) { /* in turns on both CPUs */
		ck_assert_int_eq(rt_thread_start(fill_magazine, p, "fill", &t), 0);
		rt_thread_join(t);
	}
	ck_assert_uint_eq(stats(p).in_magazines, 4);
	t_backing_set(&back[0], 0, 0);
	for (unsigned i = 0; i < 4; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_NOWAIT);
	ck_assert_uint_eq(stats(p).in_magazines, 0);
	ck_assert_uint_eq(stats(p).from_reserve, 0);
	for (unsigned i = 0; i < 4; i++)
		mempool_free(p, obj[i]);
	mempool_close(p);
}
END_TEST

/* ---- several pools ---- */

/* Goal: all or nothing. Method: two pools; NOWAIT with one of them short, with and without memory
 * and magazines; what is there before is there after. */
START_TEST(all_or_nothing)
{
	const unsigned magazine_nr = _i ? 4 : 0;
	struct mempool *a = open_pool(0, 3, magazine_nr, MEMPOOL_KERNEL, 0);
	struct mempool *b = open_pool(1, 2, magazine_nr, MEMPOOL_PATIENT, 0);
	const struct mempool_want want[] = { { a, 3 }, { b, 2 } }, one = { b, 1 };
	void *held, *spare, *obj[5];

	t_backing_set(&back[0], 1, 0);
	spare = mempool_alloc(a, MEMPOOL_WAIT);
	mempool_free(a, spare); /* with magazines it stays at hand */
	ck_assert_int_eq(mempool_reserve(dom, &one, 1, MEMPOOL_NOWAIT, &held), 0);
	t_backing_set(&back[0], 1, 0);
	ck_assert_int_eq(mempool_reserve(dom, want, 2, MEMPOOL_NOWAIT, obj), -EAGAIN);
	ck_assert_uint_eq(stats(a).allocs, 1);
	ck_assert_uint_eq(stats(a).in_use, 0);
	ck_assert_uint_eq(stats(a).in_reserve, 3);
	ck_assert_uint_eq(stats(a).low_water, 3);
	ck_assert_uint_eq(stats(a).failed, 1);
	ck_assert_uint_eq(stats(b).in_use, 1);
	mempool_free(b, held);
	t_backing_set(&back[0], 1, 0);
	ck_assert_int_eq(mempool_reserve(dom, want, 2, MEMPOOL_NOWAIT, obj), 0);
	ck_assert_uint_eq(stats(a).in_use, 3);
	ck_assert_uint_eq(stats(b).in_use, 2);
	for (unsigned i = 0; i < 5; i++)
		for (unsigned k = 0; k < i; k++)
			ck_assert_ptr_ne(obj[i], obj[k]);
	for (unsigned i = 0; i < 5; i++)
		mempool_free(i < 3 ? a : b, obj[i]);
	mempool_close(a);
	mempool_close(b);
}
END_TEST

/* ---- waiting ---- */

struct waiter {
	struct mempool_want want[3];
	unsigned want_nr;
	enum mempool_mode mode;
	void *obj[8];
	rt_u32 got;
	struct rt_thread *thread;
};

static void wait_for(void *arg)
{
	struct waiter *w = arg;

	ck_assert_int_eq(mempool_reserve(dom, w->want, w->want_nr, w->mode, w->obj), 0);
	rt_u32_set_release(&w->got, 1);
}

static bool got_soon(struct waiter *w)
{
	for (unsigned i = 0; i < 5000 && !rt_u32_read_acquire(&w->got); i++)
		rt_sleep_ns(MS);
	return rt_u32_read_acquire(&w->got);
}

static bool got_within_20ms(struct waiter *w)
{
	rt_sleep_ns(20 * MS);
	return rt_u32_read_acquire(&w->got);
}

static unsigned waiter_nr(void)
{
	const struct mempool_call *c;
	unsigned n = 0;

	rt_spin_lock(&dom->lock);
	TAILQ_FOREACH(c, &dom->waiters, link)
		n++;
	rt_spin_unlock(&dom->lock);
	return n;
}

/* Started, and in the queue. */
static void start(struct waiter *w)
{
	const unsigned before = waiter_nr();

	ck_assert_int_eq(rt_thread_start(wait_for, w, "waiter", &w->thread), 0);
	for (unsigned i = 0; i < 5000 && waiter_nr() == before; i++)
		rt_sleep_ns(MS);
	ck_assert_uint_eq(waiter_nr(), before + 1);
}

static void put(struct waiter *w)
{
	void **obj = w->obj;

	rt_thread_join(w->thread);
	for (unsigned i = 0; i < w->want_nr; i++)
		for (unsigned k = 0; k < w->want[i].nr; k++)
			mempool_free(w->want[i].pool, *obj++);
}

/* Goal: who waits gets what comes back, in the order of arrival: a call for three is not starved
 * by those for one behind it; who wants another pool is not held up. */
START_TEST(first_come_first_served)
{
	struct mempool *a = open_pool(0, 3, 0, MEMPOOL_KERNEL, 0);
	struct mempool *b = open_pool(1, 1, 0, MEMPOOL_KERNEL, 0);
	struct waiter big = { .want = { { a, 3 } }, .want_nr = 1 };
	struct waiter small = { .want = { { a, 1 } }, .want_nr = 1 };
	struct waiter other = { .want = { { b, 1 } }, .want_nr = 1 };
	void *obj[3], *of_b;

	for (unsigned i = 0; i < 3; i++)
		obj[i] = mempool_alloc(a, MEMPOOL_WAIT);
	of_b = mempool_alloc(b, MEMPOOL_WAIT);
	start(&big);
	start(&small);
	start(&other);
	mempool_free(b, of_b);
	ck_assert(got_soon(&other));
	mempool_free(a, obj[0]);
	mempool_free(a, obj[1]);
	ck_assert(!got_within_20ms(&small));
	ck_assert_ptr_null(mempool_alloc(a, MEMPOOL_NOWAIT)); /* nor does a new one overtake */
	ck_assert_uint_eq(stats(a).in_reserve, 2);
	mempool_free(a, obj[2]);
	ck_assert(got_soon(&big));
	ck_assert(!got_within_20ms(&small));
	put(&big);
	ck_assert(got_soon(&small));
	put(&small);
	put(&other);
	ck_assert_uint_eq(stats(a).from_wait, 4);
	ck_assert_uint_eq(stats(a).waits, 2);
	ck_assert_uint_ge(stats(a).wait_max_ns, 20 * MS);
	ck_assert_uint_ge(stats(a).wait_ns, stats(a).wait_max_ns + 20 * MS);
	mempool_close(a);
	mempool_close(b);
}
END_TEST

/* Goal: a wait for two pools holds none of either. Method: one of them is out; all of the other can
 * be had while it waits, but for what it wants; and it gets both in one step. */
START_TEST(waits_with_nothing_in_hand)
{
	struct mempool *a = open_pool(0, 2, 0, _i ? MEMPOOL_PATIENT : MEMPOOL_KERNEL, 0);
	struct mempool *b = open_pool(1, 1, 0, _i ? MEMPOOL_PATIENT : MEMPOOL_KERNEL, 0);
	struct waiter both = { .want = { { a, 1 }, { b, 1 } }, .want_nr = 2 };
	struct waiter after = { .want = { { a, 2 } }, .want_nr = 1 };
	void *of_b = mempool_alloc(b, MEMPOOL_WAIT), *of_a;

	t_backing_set(&back[0], !_i, _i);
	start(&both);
	ck_assert_str_eq(t_backing_asked(&back[0]), _i ? "wf" : "nf"); /* got one, gave it back */
	ck_assert_uint_eq(stats(a).in_reserve, 2);
	of_a = mempool_alloc(a, MEMPOOL_NOWAIT); /* one beside what it wants */
	ck_assert_ptr_nonnull(of_a);
	ck_assert_ptr_null(mempool_alloc(a, MEMPOOL_NOWAIT));
	start(&after);
	mempool_free(a, of_a);
	ck_assert(!got_within_20ms(&after));
	mempool_free(b, of_b);
	ck_assert(got_soon(&both));
	put(&both);
	ck_assert(got_soon(&after));
	put(&after);
	mempool_close(a);
	mempool_close(b);
}
END_TEST

/* Goal: a wait ends when memory comes, though nobody frees; the allocator may wait then. */
START_TEST(retries_the_allocator)
{
	struct mempool *a = open_pool(0, 2, 0, MEMPOOL_KERNEL, MS);
	struct waiter w = { .want = { { a, 2 } }, .want_nr = 1, .mode = (enum mempool_mode)_i };
	void *obj[2];

	for (unsigned i = 0; i < 2; i++)
		obj[i] = mempool_alloc(a, MEMPOOL_WAIT);
	t_backing_set(&back[0], 0, 0);
	back[0].log_it = false;
	start(&w);
	for (unsigned i = 0; i < 5000 && !stats(a).retries; i++)
		rt_sleep_ns(MS);
	ck_assert_uint_gt(stats(a).retries, 0);
	ck_assert(!rt_u32_read(&w.got));
	rt_u32_set(&back[0].left_waiting, 1);
	ck_assert(!got_within_20ms(&w)); /* one of two */
	rt_u32_set(&back[0].left_waiting, 1);
	ck_assert(got_soon(&w));
	put(&w);
	for (unsigned i = 0; i < 2; i++)
		mempool_free(a, obj[i]);
	ck_assert_uint_eq(stats(a).from_wait, 2);
	mempool_close(a);
}
END_TEST

/* ---- resizing ---- */

/* Goal: the reserve has the new size at once, or as objects come back. */
START_TEST(resize_in_use)
{
	struct mempool *p = open_pool(0, 2, 0, MEMPOOL_KERNEL, 0);
	void *obj[4];

	for (unsigned i = 0; i < 2; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_WAIT);
	t_backing_set(&back[0], 0, 1);
	ck_assert_int_eq(mempool_resize(p, 4), -ENOMEM);
	ck_assert_str_eq(t_backing_asked(&back[0]), "wWf");
	ck_assert_uint_eq(stats(p).min_nr, 2);
	t_backing_set(&back[0], 0, 2);
	ck_assert_int_eq(mempool_resize(p, 4), 0);
	ck_assert_uint_eq(stats(p).in_reserve, 2);
	ck_assert_uint_eq(stats(p).low_water, 2);
	for (unsigned i = 2; i < 4; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_WAIT);
	for (unsigned i = 0; i < 4; i++)
		mempool_free(p, obj[i]);
	ck_assert_uint_eq(stats(p).in_reserve, 4);
	obj[0] = mempool_alloc(p, MEMPOOL_WAIT);
	t_backing_set(&back[0], 0, 0);
	ck_assert_int_eq(mempool_resize(p, 1), 0);
	ck_assert_str_eq(t_backing_asked(&back[0]), "ff");
	ck_assert(!mempool_is_low(p));
	mempool_free(p, obj[0]);
	ck_assert_str_eq(t_backing_asked(&back[0]), "fff");
	ck_assert_int_eq(mempool_resize(p, 0), -EINVAL);
	ck_assert_int_eq(mempool_resize(p, MEMPOOL_NR_MAX + 1), -EINVAL);
	mempool_close(p);
}
END_TEST

/* Goal: who waits gets what a bigger reserve brings; no wait becomes impossible. */
START_TEST(resize_with_waiters)
{
	struct mempool *p = open_pool(0, 2, 0, MEMPOOL_KERNEL, 0);
	struct waiter w = { .want = { { p, 2 } }, .want_nr = 1 };
	void *obj[2];

	for (unsigned i = 0; i < 2; i++)
		obj[i] = mempool_alloc(p, MEMPOOL_WAIT);
	start(&w);
	ck_assert_int_eq(mempool_resize(p, 1), -EINVAL);
	ck_assert_uint_eq(stats(p).min_nr, 2);
	t_backing_set(&back[0], 0, 3);
	ck_assert_int_eq(mempool_resize(p, 5), 0);
	ck_assert(got_soon(&w));
	ck_assert_uint_eq(stats(p).in_reserve, 1);
	put(&w);
	for (unsigned i = 0; i < 2; i++)
		mempool_free(p, obj[i]);
	ck_assert_uint_eq(stats(p).in_reserve, 5);
	mempool_close(p);
}
END_TEST

/* ---- errors ---- */

START_TEST(bad_numbers)
{
	static const struct mempool_config rows[] = {
		{ .name = "p", .bytes = 0, .min_nr = 1 },
		{ .name = "p", .bytes = 8, .min_nr = 0 },
		{ .name = "p", .bytes = 8, .min_nr = MEMPOOL_NR_MAX + 1 },
		{ .name = "p", .bytes = 8, .min_nr = 1, .align = 24 },
		{ .name = "p", .bytes = 8, .min_nr = 1, .magazine_nr = MEMPOOL_NR_MAX + 1 },
		{ .name = NULL, .bytes = 8, .min_nr = 1 },
	};
	struct mempool *p = NULL;

	ck_assert_int_eq(mempool_open(dom, &rows[_i], &p), -EINVAL);
	ck_assert_ptr_null(p);
}
END_TEST

/* Goal: whichever allocation fails, nothing is left and nothing has changed. Method: each is made
 * to fail once, at opening and at resizing. */
START_TEST(no_memory)
{
	static const struct mempool_config cfg = {
		.name = "p", .bytes = 100, .align = 64, .min_nr = 3, .magazine_nr = 4
	};
	struct mempool_domain *other;
	struct mempool *p;
	unsigned n = 0;
	int err;

	rt_mem_fail_at(1);
	ck_assert_int_eq(mempool_domain_open(&cpus, &other), -ENOMEM);
	do {
		rt_mem_fail_at(++n);
		err = mempool_open(dom, &cfg, &p);
		ck_assert_int_eq(err, rt_mem_fail_struck() ? -ENOMEM : 0);
	} while (err);
	ck_assert_uint_eq(n, 7); /* pool, magazines, array, three objects; none */
	n = 0;
	do {
		rt_mem_fail_at(++n);
		err = mempool_resize(p, 5);
		ck_assert_int_eq(err, rt_mem_fail_struck() ? -ENOMEM : 0);
		ck_assert_uint_eq(stats(p).in_reserve, err ? 3 : 5);
	} while (err);
	ck_assert_uint_eq(n, 4); /* array, two objects; none */
	rt_mem_fail_at(0);
	mempool_close(p);
	mempool_close(NULL);
}
END_TEST

/* Goal: objects are aligned as asked for, with rt_alloc()'s memory too. */
START_TEST(aligned)
{
	const struct mempool_config cfg = {
		.name = "p", .bytes = 1, .align = (size_t)1 << _i, .min_nr = 2, .magazine_nr = 1
	};
	struct mempool *p;
	void *obj[4];

	ck_assert_int_eq(mempool_open(dom, &cfg, &p), 0);
	ck_assert_str_eq(mempool_name(p), "p");
	for (unsigned i = 0; i < 4; i++) {
		obj[i] = mempool_alloc(p, i < 2 ? MEMPOOL_WAIT : MEMPOOL_RESERVE_FIRST);
		ck_assert_uint_eq((uintptr_t)obj[i] % cfg.align, 0);
	}
	for (unsigned i = 0; i < 4; i++)
		mempool_free(p, obj[i]);
	mempool_close(p);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mempool");
	TCase *tc = tcase_create("mempool");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, order_and_mode, 0, 10);
	tcase_add_test(tc, reserve_is_out);
	tcase_add_test(tc, magazine_first);
	tcase_add_test(tc, other_magazines);
	tcase_add_loop_test(tc, all_or_nothing, 0, 2);
	tcase_add_test(tc, first_come_first_served);
	tcase_add_loop_test(tc, waits_with_nothing_in_hand, 0, 2);
	tcase_add_loop_test(tc, retries_the_allocator, 0, 1);
	tcase_add_test(tc, resize_in_use);
	tcase_add_test(tc, resize_with_waiters);
	tcase_add_loop_test(tc, bad_numbers, 0, 6);
	tcase_add_test(tc, no_memory);
	tcase_add_loop_test(tc, aligned, 0, 9);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
