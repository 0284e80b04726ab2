// SPDX-License-Identifier: GPL-2.0-only
/* Tables that grow (reclaim/table.h): what readers see, and what a growth that fails leaves. */
#include <errno.h>

#include "reclaim/table.h"
#include "rt/mem.h"
#include "rt/work.h"
#include "support/t.h"

enum { READERS = 4, STEPS = 400 };

struct thing {
	uint64_t idx; /* its own, plus one */
};

static struct rt_cpus cpus;
static struct kvfree *dead; /* where old arrays go */

static void setup(void)
{
	const struct kvfree_config cfg = { .cpus = &cpus };

	rt_cpus_init(&cpus, 2);
	ck_assert_int_eq(kvfree_open(&cfg, &dead), 0);
}

/* All are freed, or LSan says so. */
static void teardown(void)
{
	kvfree_close(dead);
}

static void things_fill(struct table *t, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct thing *thing = table_new(t, i);

		ck_assert_uint_eq(thing->idx, 0);
		thing->idx = i + 1;
	}
}

/* Goal: what is being added is not seen, nor anything that is given up; what is there stays where
 * it is. */
START_TEST(grows_or_not)
{
	struct table t;
	struct thing *first, *later;

	ck_assert_int_eq(table_open(&t, 3, sizeof(struct thing)), 0);
	things_fill(&t, 0, 3);
	first = table_at(&t, 2);
	ck_assert_int_eq(table_ready(&t, 5), 0);
	ck_assert_uint_eq(table_size(&t), 5);
	ck_assert_uint_eq(table_nr(&t), 3);
	ck_assert_ptr_null(table_at(&t, 3));
	table_not(&t);
	ck_assert_uint_eq(table_size(&t), 3);
	ck_assert_int_eq(table_ready(&t, 4), 0);
	things_fill(&t, 3, 4);
	table_grow(&t, dead);
	later = table_at(&t, 3);
	ck_assert_uint_eq(later->idx, 4);
	ck_assert_int_eq(table_ready(&t, 4), 0); /* nothing to do */
	table_grow(&t, dead);
	ck_assert_int_eq(table_ready(&t, 100), 0);
	things_fill(&t, 4, 100);
	table_grow(&t, dead);
	ck_assert_ptr_eq(table_at(&t, 2), first);
	ck_assert_ptr_eq(table_at(&t, 3), later);
	ck_assert_uint_eq(table_nr(&t), 100);
	ck_assert_ptr_null(table_at(&t, 100));
	table_close(&t);
	table_close(&t); /* zeroed */
}
END_TEST

/* Goal: without memory nothing has changed. Method: each allocation fails in turn. */
START_TEST(no_memory)
{
	struct table t;
	int err;

	for (uint64_t n = 1;; n++) {
		rt_mem_fail_at(n);
		err = table_open(&t, 3, sizeof(struct thing));
		if (!err)
			break;
		ck_assert_int_eq(err, -ENOMEM);
	}
	rt_mem_fail_at(0);
	things_fill(&t, 0, 3);
	for (uint64_t n = 1;; n++) {
		rt_mem_fail_at(n);
		err = table_ready(&t, 9);
		if (!err)
			break;
		ck_assert_int_eq(err, -ENOMEM);
		ck_assert_uint_eq(table_size(&t), 3);
	}
	rt_mem_fail_at(0);
	things_fill(&t, 3, 9);
	table_grow(&t, dead);
	ck_assert_uint_eq(table_nr(&t), 9);
	table_close(&t);
}
END_TEST

struct world {
	struct table t;
	rt_u32 stop, bad;
};

static void read_all(void *arg)
{
	struct world *w = arg;
	uint32_t seen = 0;

	while (!rt_u32_read(&w->stop)) {
		const uint32_t nr = table_nr(&w->t);

		for (uint32_t i = 0; i < nr; i++) {
			const struct thing *thing = table_at(&w->t, i);

			if (thing ? thing->idx != i + 1 : i < seen)
				rt_u32_add(&w->bad, 1);
			else if (thing && i >= seen)
				seen = i + 1;
		}
	}
}

/* Goal: a reader finds each thing filled in, and what he found once for ever; the old arrays go
 * only when he has left (ASan, TSan). Method: readers go over all while the table grows. */
START_TEST(readers_see_whole_things)
{
	struct rt_thread *readers[READERS];
	struct world w = { 0 };

	ck_assert_int_eq(table_open(&w.t, 1, sizeof(struct thing)), 0);
	things_fill(&w.t, 0, 1);
	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(rt_thread_start(read_all, &w, "reader", &readers[i]), 0);
	for (uint32_t nr = 2; nr <= STEPS; nr++) {
		ck_assert_int_eq(table_ready(&w.t, nr), 0);
		things_fill(&w.t, nr - 1, nr);
		table_grow(&w.t, dead);
		rt_yield();
	}
	rt_u32_set(&w.stop, 1);
	for (int i = 0; i < READERS; i++)
		rt_thread_join(readers[i]);
	rt_rcu_worker_stop();
	ck_assert_uint_eq(rt_u32_read(&w.bad), 0);
	table_close(&w.t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("table");
	TCase *tc = tcase_create("table");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, grows_or_not);
	tcase_add_test(tc, no_memory);
	tcase_add_test(tc, readers_see_whole_things);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
