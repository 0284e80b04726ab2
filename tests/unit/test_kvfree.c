// SPDX-License-Identifier: GPL-2.0-only
/* kvfree: where a pointer is kept with and without memory, and when it is freed; one thread. */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "reclaim/kvfree.h"
#include "rt/mem.h"
#include "rt/rcu.h"

enum { PAGE_NR = 4, HIGH_WATER = 16, OBJS = 600 };

struct obj {
	struct kvfree_head head;
	unsigned nr;
};

static struct rt_cpus cpus;
static unsigned freed, calls; /* objects; calls of free */
static bool gone[OBJS];
static unsigned grants; /* allocations that succeed; then none */
static unsigned asked, out; /* of the backing: tries; what is not back */

static void count_free(void *ctx, void *const *objs, unsigned nr)
{
	(void)ctx;
	calls++;
	for (unsigned i = 0; i < nr; i++) {
		struct obj *o = objs[i];

		ck_assert(!gone[o->nr]);
		gone[o->nr] = true;
		freed++;
		free(o);
	}
}

static void *backing_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	asked++;
	if (!grants)
		return NULL;
	grants--;
	out++;
	return malloc(bytes);
}

static void backing_free(void *ctx, void *mem)
{
	(void)ctx;
	out--;
	free(mem);
}

static const struct kvfree_backing backing = { backing_alloc, backing_free };

static struct kvfree *open_with(unsigned memory)
{
	struct kvfree_config cfg = { .cpus = &cpus,
				     .free = count_free,
				     .page_nr = PAGE_NR,
				     .high_water = HIGH_WATER,
				     .backing = &backing };
	struct kvfree *k;

	rt_cpus_init(&cpus, 1);
	grants = memory;
	ck_assert_int_eq(kvfree_open(&cfg, &k), 0);
	return k;
}

static struct obj *make(unsigned nr)
{
	struct obj *o = malloc(sizeof(*o));

	o->nr = nr;
	return o;
}

static struct kvfree_stats stats(const struct kvfree *k)
{
	struct kvfree_stats st;

	kvfree_stats(k, &st);
	ck_assert_uint_eq(st.freed, freed);
	return st;
}

static void end(struct kvfree *k, unsigned want)
{
	kvfree_close(k);
	ck_assert_uint_eq(freed, want);
	ck_assert_uint_eq(out, 0);
}

/* Goal: nothing is freed while a reader is inside, however full it gets; then all of it, in bulk.
 * Method: with and without heads, from a reader, memory for pages; count. */
START_TEST(readers_are_waited_for)
{
	struct kvfree *k = open_with(1000);

	rt_rcu_read_lock();
	for (unsigned i = 0; i < 10 * PAGE_NR; i++) {
		struct obj *o = make(i);

		if (_i)
			kvfree_rcu(k, o, &o->head);
		else
			ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), 0);
		ck_assert_uint_eq(freed, 0);
	}
	rt_rcu_read_unlock();
	kvfree_flush(k);
	ck_assert_uint_eq(freed, 10 * PAGE_NR);
	ck_assert_uint_eq(calls, 11); /* the first is closed at once: nothing waited before */
	ck_assert_uint_eq(stats(k).in_heads, 0);
	ck_assert_uint_eq(stats(k).pages, 11);
	end(k, 10 * PAGE_NR);
}
END_TEST

/* Goal: without memory each object is kept in the next place of the list in kvfree.h. Method: so
 * many grants of memory, the places counted. */
START_TEST(places_in_order)
{
	struct kvfree *k = open_with(2);
	struct obj *o;

	rt_rcu_read_lock();
	for (unsigned i = 0; i < 1 + PAGE_NR; i++) /* fills the only pages: one, then the rest */
		ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(i)), 0);
	ck_assert_uint_eq(asked, 2);
	o = make(5); /* page, then head: both are asked for */
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), -EAGAIN);
	ck_assert_uint_eq(asked, 4);
	ck_assert_uint_eq(stats(k).refused, 1);
	kvfree_rcu(k, o, &o->head); /* its own head */
	ck_assert_uint_eq(asked, 5);
	ck_assert_uint_eq(stats(k).in_heads, 1);
	rt_rcu_read_unlock();
	ck_assert_uint_eq(freed, 0);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(6)), 0); /* waits, and so frees the rest */
	ck_assert_uint_eq(stats(k).inline_waits, 1);
	ck_assert_uint_eq(freed, 7);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(7)), 0); /* in the page that came back */
	ck_assert_uint_eq(freed, 7);
	end(k, 8);
}
END_TEST

static void *refuse_pages(void *ctx, size_t bytes)
{
	(void)ctx;
	asked++;
	if (bytes > 100)
		return NULL;
	out++;
	return malloc(bytes);
}

/* Goal: where a page cannot be had but a head can, an object gets a head of its own. Method: a
 * backing that has only small things. */
START_TEST(a_head_is_attached)
{
	static const struct kvfree_backing small = { refuse_pages, backing_free };
	struct kvfree_config cfg = {
		.cpus = &cpus, .free = count_free, .page_nr = 100, .backing = &small
	};
	struct kvfree *k;

	rt_cpus_init(&cpus, 1);
	ck_assert_int_eq(kvfree_open(&cfg, &k), 0);
	rt_rcu_read_lock();
	for (unsigned i = 0; i < 300; i++)
		ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(i)), 0);
	rt_rcu_read_unlock();
	ck_assert_uint_eq(stats(k).in_ones, 300);
	ck_assert_uint_eq(freed, 0);
	end(k, 300);
}
END_TEST

/* Goal: under an rt_spin nothing is asked of memory and nobody is waited for; what has no head
 * is refused; the count of held locks is exact. Method: one lock, then two, tried and taken. */
START_TEST(under_a_spinlock)
{
	struct kvfree *k = open_with(1000);
	struct rt_spin a, b;
	struct obj *o = make(0);

	rt_spin_init(&a, RANK_GROUP);
	rt_spin_init(&b, RANK_PA);
	rt_spin_lock(&a);
	ck_assert(rt_spin_trylock(&b));
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), -EAGAIN);
	rt_spin_unlock(&b);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), -EAGAIN);
	for (unsigned i = 0; i < 2 * HIGH_WATER; i++) { /* above the mark, too */
		kvfree_rcu(k, o, &o->head);
		o = make(i + 1);
	}
	rt_spin_unlock(&a);
	ck_assert_uint_eq(asked, 0);
	ck_assert_uint_eq(freed, 0);
	ck_assert_uint_eq(stats(k).in_heads, 2 * HIGH_WATER);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), 0); /* pays for all of them */
	ck_assert_uint_eq(stats(k).floods, 1);
	ck_assert_uint_eq(freed, 2 * HIGH_WATER + 1);
	rt_spin_destroy(&a);
	rt_spin_destroy(&b);
	end(k, 2 * HIGH_WATER + 1);
}
END_TEST

/* Goal: who may sleep never has more than the mark waiting, memory or not, without the thread of
 * rt/rcu. Method: many objects, the statistics. */
START_TEST(floods_pay)
{
	struct kvfree *k = open_with(_i ? 1000 : 0);

	for (unsigned i = 0; i < OBJS; i++) {
		struct obj *o = make(i);

		kvfree_rcu(k, o, &o->head);
	}
	ck_assert_uint_le(stats(k).waiting_max, HIGH_WATER);
	ck_assert_uint_ge(stats(k).floods, OBJS / HIGH_WATER - 1);
	ck_assert_uint_le(stats(k).pages, HIGH_WATER / PAGE_NR + 1); /* they are used again */
	end(k, OBJS);
}
END_TEST

/* Goal: a full page frees what readers have left behind, without waiting. Method: a grace period
 * that somebody else waited for. */
START_TEST(full_pages_free_what_elapsed)
{
	struct kvfree *k = open_with(1000);
	unsigned nr = 0;

	while (nr < 1 + PAGE_NR)
		ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(nr++)), 0);
	ck_assert_uint_eq(freed, 0);
	rt_rcu_cond_sync(rt_rcu_get_state());
	while (nr < 1 + 2 * PAGE_NR)
		ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(nr++)), 0);
	ck_assert_uint_eq(freed, 1 + PAGE_NR);
	ck_assert_uint_eq(stats(k).floods, 0);
	end(k, nr);
}
END_TEST

/* Goal: what lies about is freed without another call. Method: the thread of rt/rcu; two
 * objects, the second of which comes too late for the first one's grace period; wait. */
START_TEST(leftovers_are_freed)
{
	struct kvfree *k = open_with(1000);
	struct kvfree_stats st = { 0 };
	uint64_t from;

	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(0)), 0);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(1)), 0);
	from = rt_now_ns();
	for (unsigned ms = 0; ms < 10000 && st.freed < 2; ms++) {
		rt_sleep_ns(1000000);
		kvfree_stats(k, &st);
	}
	printf("freed after %" PRIu64 " us\n", (rt_now_ns() - from) / 1000);
	ck_assert_uint_eq(st.freed, 2);
	end(k, 2);
	rt_rcu_worker_stop();
}
END_TEST

/* Goal: a page that was emptied is filled again under an rt_spin, where memory is not asked.
 * Method: a flush leaves one; a page full of objects without heads, and one more. */
START_TEST(spare_pages_are_at_hand)
{
	struct kvfree *k = open_with(1000);
	struct rt_spin lock;
	struct obj *o;
	unsigned nr = 0;

	ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(nr++)), 0);
	kvfree_flush(k);
	ck_assert_uint_eq(stats(k).spared, 1);
	ck_assert_uint_eq(asked, 1);
	rt_spin_init(&lock, RANK_PA);
	rt_spin_lock(&lock);
	while (nr < 1 + PAGE_NR)
		ck_assert_int_eq(kvfree_rcu_mightsleep(k, make(nr++)), 0);
	o = make(nr++);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), -EAGAIN);
	rt_spin_unlock(&lock);
	ck_assert_uint_eq(asked, 1);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), 0); /* later it is taken */
	ck_assert_uint_eq(asked, 2);
	rt_spin_destroy(&lock);
	end(k, nr);
}
END_TEST

/* Goal: floods of who may not sleep are freed without another call. Method: the thread of rt/rcu;
 * twice the mark under an rt_spin; wait. */
START_TEST(the_thread_is_woken_by_floods)
{
	struct kvfree *k = open_with(0);
	struct kvfree_stats st = { 0 };
	struct rt_spin lock;

	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	rt_spin_init(&lock, RANK_PA);
	rt_spin_lock(&lock);
	for (unsigned i = 0; i < 2 * HIGH_WATER; i++) {
		struct obj *o = make(i);

		kvfree_rcu(k, o, &o->head);
	}
	rt_spin_unlock(&lock);
	for (unsigned ms = 0; ms < 10000 && st.freed < 2 * HIGH_WATER; ms++) {
		rt_sleep_ns(1000000);
		kvfree_stats(k, &st);
	}
	ck_assert_uint_eq(st.freed, 2 * HIGH_WATER);
	ck_assert_uint_eq(st.floods, 0);
	rt_spin_destroy(&lock);
	end(k, 2 * HIGH_WATER);
	rt_rcu_worker_stop();
}
END_TEST

struct in_callback {
	struct rt_rcu_head rcu;
	struct kvfree *k;
};

static void give_two(struct rt_rcu_head *head)
{
	struct in_callback *c = container_of(head, struct in_callback, rcu);
	struct obj *o = make(0);

	kvfree_rcu(c->k, o, &o->head);
	ck_assert_int_eq(kvfree_rcu_mightsleep(c->k, make(1)), 0);
}

/* Goal: callbacks of RCU may give objects. Method: one that does, with memory and without. */
START_TEST(from_callbacks)
{
	struct kvfree *k = open_with(_i ? 1000 : 0);
	struct in_callback c = { .k = k };

	rt_rcu_call(&c.rcu, give_two);
	rt_rcu_barrier();
	kvfree_flush(k);
	ck_assert_uint_eq(freed, 2);
	ck_assert_uint_eq(stats(k).inline_waits, !_i);
	end(k, 2);
}
END_TEST

/* Goal: the statistics add up: each object was kept in one place or waited for, each try for memory
 * was had or was in vain. Method: fewer and fewer grants; all contexts. */
START_TEST(statistics_add_up)
{
	struct kvfree *k = open_with(_i);
	struct kvfree_stats st;
	unsigned nr = 0, kept = 0;

	for (unsigned i = 0; i < 100; i++) {
		struct obj *o = make(nr++);
		bool in_reader = i % 3 == 0;

		if (in_reader)
			rt_rcu_read_lock();
		if (i % 2 == 0)
			kvfree_rcu(k, o, &o->head);
		else if (kvfree_rcu_mightsleep(k, o) != 0)
			kept++;
		else
			o = NULL;
		if (in_reader)
			rt_rcu_read_unlock();
		if (i % 2 && o)
			ck_assert_int_eq(kvfree_rcu_mightsleep(k, o), 0);
	}
	kvfree_flush(k);
	st = stats(k);
	ck_assert_uint_eq(st.queued, nr);
	ck_assert_uint_eq(st.freed, nr);
	ck_assert_uint_eq(st.refused, kept);
	ck_assert_uint_eq(st.pages + st.page_fails, asked);
	ck_assert_uint_le(st.in_heads + st.in_ones + st.inline_waits, nr);
	ck_assert_uint_le(st.waiting_max, HIGH_WATER + 1); /* a reader, who cannot wait */
	if (!_i) {
		ck_assert_uint_gt(kept, 0);
		ck_assert_uint_eq(st.in_heads + st.inline_waits, nr);
	}
	end(k, nr);
}
END_TEST

/* Goal: numbers that are left out are the header's. Method: the mark alone, then neither; objects
 * until somebody has to wait. */
START_TEST(numbers_of_its_own)
{
	const unsigned mark = _i ? 3 : KVFREE_HIGH_WATER;
	struct kvfree_config cfg = { .cpus = &cpus, .high_water = _i ? mark : 0 };
	struct kvfree_stats st = { 0 };
	struct kvfree *k;

	rt_cpus_init(&cpus, 1);
	ck_assert_int_eq(kvfree_open(&cfg, &k), 0);
	while (st.floods == 0) {
		ck_assert_uint_lt(st.queued, mark);
		ck_assert_int_eq(kvfree_rcu_mightsleep(k, rt_alloc(1)), 0);
		kvfree_stats(k, &st);
	}
	ck_assert_uint_eq(st.waiting_max, mark);
	ck_assert_uint_eq(st.freed, mark);
	ck_assert_uint_eq(st.pages, _i ? 2 : 2 + (mark - 2) / KVFREE_PAGE_NR_MAX);
	kvfree_close(k);
}
END_TEST

/* Goal: numbers that make no sense are refused, and each allocation of open may fail. */
START_TEST(opening)
{
	struct kvfree_config cfg = { .cpus = &cpus, .page_nr = KVFREE_PAGE_NR_MAX + 1 };
	struct kvfree *k;
	unsigned n = 1;

	rt_cpus_init(&cpus, 3);
	ck_assert_int_eq(kvfree_open(&cfg, &k), -EINVAL);
	cfg.page_nr = 0;
	cfg.backing = &(struct kvfree_backing){ .alloc = backing_alloc };
	ck_assert_int_eq(kvfree_open(&cfg, &k), -EINVAL);
	cfg.backing = &(struct kvfree_backing){ .free = backing_free };
	ck_assert_int_eq(kvfree_open(&cfg, &k), -EINVAL);
	cfg.backing = NULL;
	for (;; n++) {
		rt_mem_fail_at(n);
		if (kvfree_open(&cfg, &k) == 0)
			break;
		ck_assert(rt_mem_fail_struck());
	}
	rt_mem_fail_at(0);
	ck_assert_uint_eq(n, 3);
	ck_assert_int_eq(kvfree_rcu_mightsleep(k, rt_alloc(10)), 0); /* by rt_free() */
	kvfree_flush(k);
	kvfree_flush(k); /* of nothing */
	kvfree_close(k);
	kvfree_close(NULL);
}
END_TEST

static void set_up(void)
{
	freed = calls = grants = asked = out = 0;
	memset(gone, 0, sizeof(gone));
}

static Suite *suite(void)
{
	Suite *s = suite_create("kvfree");
	TCase *tc = tcase_create("kvfree");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_loop_test(tc, readers_are_waited_for, 0, 2);
	tcase_add_test(tc, places_in_order);
	tcase_add_test(tc, a_head_is_attached);
	tcase_add_test(tc, under_a_spinlock);
	tcase_add_loop_test(tc, floods_pay, 0, 2);
	tcase_add_test(tc, full_pages_free_what_elapsed);
	tcase_add_test(tc, leftovers_are_freed);
	tcase_add_test(tc, spare_pages_are_at_hand);
	tcase_add_test(tc, the_thread_is_woken_by_floods);
	tcase_add_loop_test(tc, from_callbacks, 0, 2);
	tcase_add_loop_test(tc, statistics_add_up, 0, 40);
	tcase_add_loop_test(tc, numbers_of_its_own, 0, 2);
	tcase_add_test(tc, opening);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
