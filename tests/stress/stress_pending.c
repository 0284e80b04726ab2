// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: no reader ever sees an object that is processed, none is lost, none processed twice; under
 * TSan no data race, and a report when the grace period is left out. Method: threads replace
 * objects that others read, in each of the ways to add, while allocations fail; process() spoils
 * what a reader looks at and frees it. Some add under pressure of many grace periods, some objects
 * are added again by process(), some are taken and published anew, and one thread flushes. Row _i:
 * memory and links; a tiny page.
 */
#include "support/t.h"

#include "reclaim/pending.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/work.h"

enum { WRITERS = 3, READERS = 3, PLACES = 8, STEPS = 20000 };

struct obj {
	struct pending_link link;
	uint64_t a, b; /* b == ~a until it is processed */
	unsigned again;
};

static const struct row {
	size_t link_offset;
	unsigned page_nr, keep_nr;
	bool by_rcu;
	bool fails; /* allocations do, now and then */
} rows[] = {
	{ 0, 0, 0, false, false },
	{ 0, 2, 100, true, true },
	{ PENDING_NO_LINK, 2, 10, false, true },
	{ PENDING_NO_LINK, 0, 0, true, true },
};

static struct shared {
	struct rt_cpus cpus;
	struct pending *p;
	const struct row *row;
	rt_ptr place[PLACES];
	rt_u64 made, freed, kept, broken, seen;
	rt_u32 go, stop;
	bool no_grace; /* left out on purpose */
	uint64_t seed;
} sh;

struct user {
	struct rt_rand rand;
	struct rt_thread *t;
};

static struct obj *obj_new(struct rt_rand *rand)
{
	struct obj *o = rt_rand_below(rand, 2) ? pending_take(sh.p) : NULL;

	if (o && o->b != ~o->a)
		rt_u64_add(&sh.broken, 1); /* it has been processed */
	if (!o) {
		o = malloc(sizeof(*o));
		ck_assert_ptr_nonnull(o);
		rt_u64_add(&sh.made, 1);
	}
	o->a = rt_rand_next(rand);
	o->b = ~o->a;
	o->again = rt_rand_below(rand, 16) == 0;
	return o;
}

static void process(void *ctx, void *arg)
{
	struct obj *o = arg;

	(void)ctx;
	if (o->again) {
		o->again = 0;
		pending_add(sh.p, o);
		return;
	}
	o->a = o->b = 0;
	rt_u64_add(&sh.freed, 1);
	free(o);
}

static void read_places(void *arg)
{
	struct user *u = arg;

	while (!rt_u32_read_acquire(&sh.stop)) {
		const struct obj *o;

		rt_rcu_read_lock();
		o = rt_rcu_dereference(&sh.place[rt_rand_below(&u->rand, PLACES)]);
		for (int i = 0; o && i < 20; i++)
			if (o->b != ~o->a)
				rt_u64_add(&sh.broken, 1);
		rt_rcu_read_unlock();
		rt_u64_add(&sh.seen, 1);
	}
}

/* What pending_add_atomic() refuses is the caller's: he waits. */
static void dispose(struct obj *o, bool atomic)
{
	if (sh.no_grace) {
		process(NULL, o);
		return;
	}
	if (!atomic) {
		pending_add(sh.p, o);
		return;
	}
	rt_rcu_read_lock(); /* as who has just found it there */
	atomic = pending_add_atomic(sh.p, o);
	rt_rcu_read_unlock();
	if (!atomic) {
		rt_u64_add(&sh.kept, 1);
		rt_rcu_synchronize();
		o->again = 0;
		process(NULL, o);
	}
}

static void replace(void *arg)
{
	struct user *u = arg;

	while (!rt_u32_read_acquire(&sh.go)) /* to start a thread takes memory */
		rt_yield();
	for (unsigned i = 0; i < STEPS; i++) {
		struct obj *o = obj_new(&u->rand), *old;

		old = rt_ptr_xchg(&sh.place[rt_rand_below(&u->rand, PLACES)], o);
		if (sh.row->fails && rt_rand_below(&u->rand, 4) == 0)
			rt_mem_fail_at(1);
		if (old)
			dispose(old, rt_rand_below(&u->rand, 3) == 0);
		pending_throttle(sh.p);
	}
}

/* Grace periods, flushes, looks. */
static void disturb(void *arg)
{
	struct user *u = arg;

	while (!rt_u32_read_acquire(&sh.stop)) {
		struct pending_stats st;

		switch (rt_rand_below(&u->rand, 8)) {
		case 0:
			pending_flush(sh.p);
			break;
		case 1:
			pending_stats(sh.p, &st);
			ck_assert_uint_ge(st.added, st.by_link);
			pending_timed(sh.p, rt_rand_below(&u->rand, 2));
			break;
		default:
			rt_rcu_cond_sync(rt_rcu_get_state());
		}
		rt_sleep_ns(rt_rand_below(&u->rand, 200000));
	}
}

static void run(const struct row *row)
{
	struct pending_config cfg = { .name = "pend",
				      .process = process,
				      .link_offset = row->link_offset,
				      .page_nr = row->page_nr,
				      .keep_nr = row->keep_nr,
				      .by_rcu = row->by_rcu,
				      .delay_ns = 100000 };
	struct user u[WRITERS + READERS + 1];

	sh.row = row;
	sh.seed = t_seed();
	rt_cpus_init(&sh.cpus, 2);
	ck_assert_int_eq(pending_open(&sh.cpus, &cfg, &sh.p), 0);
	for (unsigned i = 0; i <= WRITERS + READERS; i++) {
		void (*fn)(void *) = i < WRITERS             ? replace
				     : i < WRITERS + READERS ? read_places
							     : disturb;

		u[i].rand.state = sh.seed + 77 * i;
		ck_assert_int_eq(rt_thread_start(fn, &u[i], "user", &u[i].t), 0);
	}
	rt_u32_set_release(&sh.go, 1);
	for (unsigned i = 0; i <= WRITERS + READERS; i++) {
		if (i == WRITERS)
			rt_u32_set_release(&sh.stop, 1);
		rt_thread_join(u[i].t);
	}
	rt_mem_fail_at(0);
	for (unsigned i = 0; i < PLACES; i++)
		if (rt_ptr_read(&sh.place[i]))
			dispose(rt_ptr_xchg(&sh.place[i], NULL), false);
}

START_TEST(no_reader_sees_what_is_processed)
{
	struct pending_stats st;

	run(&rows[_i]);
	pending_stats(sh.p, &st);
	printf("%" PRIu64 " added: %" PRIu64 " by link, %" PRIu64 " waited, %" PRIu64
	       " refused, %" PRIu64 " taken, %" PRIu64 " swept, %" PRIu64
	       " times two lists, %" PRIu64 " passes\n",
	       st.added, st.by_link, st.inline_waits, st.refused, st.taken, st.swept, st.second,
	       st.passes);
	pending_close(sh.p);
	ck_assert_uint_eq(rt_u64_read(&sh.broken), 0);
	ck_assert_uint_eq(rt_u64_read(&sh.freed), rt_u64_read(&sh.made));
	ck_assert_uint_eq(rt_u64_read(&sh.kept), st.refused);
	ck_assert_uint_gt(rt_u64_read(&sh.seen), 0);
	if (rows[_i].fails)
		ck_assert(st.by_link || st.inline_waits);
	ck_assert_uint_gt(st.taken, 0);
}
END_TEST

#if defined(__SANITIZE_THREAD__)
/* TSan ends the process with 66. */
START_TEST(without_grace_period_tsan_reports)
{
	sh.no_grace = true;
	run(&rows[0]);
	pending_close(sh.p);
}
END_TEST
#endif

static Suite *suite(void)
{
	Suite *s = suite_create("pending-stress");
	TCase *tc = tcase_create("pending-stress");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, no_reader_sees_what_is_processed, 0,
			    sizeof(rows) / sizeof(rows[0]));
#if defined(__SANITIZE_THREAD__)
	tcase_add_exit_test(tc, without_grace_period_tsan_reports, 66);
#endif
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
