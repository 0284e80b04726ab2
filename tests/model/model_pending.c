// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: a container of objects that wait for grace periods against a naive twin, a list with a
 * clock of its own: when each object is due, what a sweep finds, where an object is kept, what may
 * be taken. Method: random adds, takes, flushes, and grace periods that begin and end at will, for
 * a reader keeps them from ending; allocations fail at random; every number compared after each
 * step. Row _i: objects have links, or not; and
 * whose thread the worker is.
 */
#include "support/t.h"

#include "reclaim/pending.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/work.h"

enum { STEPS = 3000, PAGE_NR = 3, SPARES = 2, OBJS = 4096 };
#define NEVER_NS (3600ull * 1000000000)

struct obj {
	struct pending_link link;
	uint64_t due; /* grace periods that must have ended */
	unsigned processed;
	unsigned page; /* 0: it is kept by its link */
	bool swept, taken;
};

/* The clock: so many grace periods have ended; in_gp: one more has begun. */
struct twin {
	uint64_t ended;
	bool in_gp;
	struct obj objs[OBJS]; /* added since the last flush */
	unsigned nr;
	unsigned room[2]; /* in the last page of those due next, and after */
	unsigned page[2]; /* the last page of them */
	unsigned page_nr, pages_in_use, spare;
	struct pending_stats st; /* as they should be */
};

struct reader {
	struct rt_thread *thread;
	rt_u32 in, leave;
};

struct bed {
	struct rt_cpus cpus;
	struct pending *p;
	struct twin w;
	bool has_link, by_rcu;
	struct reader reader;
	struct rt_thread *waiter;
};

static struct bed b;

static void process(void *ctx, void *arg)
{
	struct obj *o = arg;

	(void)ctx;
	ck_assert_uint_le(o->due, b.w.ended);
	o->processed++;
}

/* ---- grace periods ---- */

static void read_until(void *arg)
{
	struct reader *r = arg;

	rt_rcu_read_lock();
	rt_u32_set_release(&r->in, 1);
	while (!rt_u32_read_acquire(&r->leave))
		rt_yield();
	rt_rcu_read_unlock();
}

static void wait_for_one(void *arg)
{
	(void)arg;
	rt_rcu_cond_sync(rt_rcu_get_state());
}

static void gp_begin(void)
{
	struct rt_rcu_cookie before = rt_rcu_get_state();

	b.reader = (struct reader){ NULL };
	ck_assert_int_eq(rt_thread_start(read_until, &b.reader, "reader", &b.reader.thread), 0);
	while (!rt_u32_read_acquire(&b.reader.in))
		rt_yield();
	ck_assert_int_eq(rt_thread_start(wait_for_one, NULL, "waiter", &b.waiter), 0);
	while (rt_rcu_same_state(before, rt_rcu_get_state()))
		rt_yield();
	b.w.in_gp = true;
}

static void gp_end(void)
{
	rt_u32_set_release(&b.reader.leave, 1);
	rt_thread_join(b.waiter);
	rt_thread_join(b.reader.thread);
	b.w.in_gp = false;
	b.w.ended++;
}

/* ---- the twin's rules ---- */

static unsigned unswept(uint64_t due)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < b.w.nr; i++)
		nr += !b.w.objs[i].swept && b.w.objs[i].due == due;
	return nr;
}

static void twin_sweep(void)
{
	for (unsigned i = 0; i < b.w.nr; i++) {
		struct obj *o = &b.w.objs[i];

		if (o->swept || o->due > b.w.ended)
			continue;
		o->swept = true;
		b.w.st.swept++;
	}
}

/* Memory is there or not. False: the caller waits. */
static bool twin_put(struct obj *o, bool memory)
{
	const uint64_t due = o->due;
	unsigned *room = &b.w.room[due & 1];

	if (!unswept(due))
		*room = 0; /* another list than the last time */
	if (!*room) {
		if (b.w.spare) {
			b.w.spare--;
		} else if (memory) {
			b.w.st.pages++;
		} else {
			b.w.st.by_link += b.has_link;
			return b.has_link;
		}
		b.w.pages_in_use++;
		b.w.page[due & 1] = ++b.w.page_nr;
		*room = PAGE_NR;
	}
	--*room;
	o->page = b.w.page[due & 1];
	return true;
}

static void compare(void)
{
	struct pending_stats st;

	pending_check(b.p);
	pending_stats(b.p, &st);
	ck_assert_uint_eq(st.added, b.w.st.added);
	ck_assert_uint_eq(st.processed, b.w.st.processed);
	ck_assert_uint_eq(st.taken, b.w.st.taken);
	ck_assert_uint_eq(st.by_link, b.w.st.by_link);
	ck_assert_uint_eq(st.inline_waits, b.w.st.inline_waits);
	ck_assert_uint_eq(st.refused, b.w.st.refused);
	ck_assert_uint_eq(st.pages, b.w.st.pages);
	ck_assert_uint_eq(st.swept, b.w.st.swept);
	ck_assert_uint_eq(st.second, b.w.st.second);
	/* Callbacks: what was armed runs as well. */
	ck_assert(b.by_rcu ? st.passes >= b.w.st.passes : st.passes == b.w.st.passes);
}

/* ---- steps ---- */

static void add(bool atomic, bool memory)
{
	struct obj *o = &b.w.objs[b.w.nr];
	uint64_t due = b.w.ended + 1 + b.w.in_gp, other = due - 1;
	bool put, answer = true;

	*o = (struct obj){ .due = due };
	twin_sweep();
	put = twin_put(o, memory && !atomic);
	b.w.ended += !put && !atomic; /* who waits ends one */
	rt_mem_fail_at(memory ? 0 : 1);
	if (atomic)
		answer = pending_add_atomic(b.p, o);
	else
		pending_add(b.p, o);
	rt_mem_fail_at(0);
	ck_assert_int_eq(answer, put || !atomic);
	if (put) {
		b.w.st.second += !unswept(due) && unswept(other);
		b.w.nr++;
		b.w.st.added++;
	} else if (atomic) {
		b.w.st.refused++;
	} else { /* it has waited */
		ck_assert_uint_eq(o->processed, 1);
		b.w.st.added++;
		b.w.st.processed++;
		b.w.st.inline_waits++;
	}
}

static unsigned left(bool (*is)(const struct obj *o, unsigned page), unsigned page)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < b.w.nr; i++)
		nr += !b.w.objs[i].taken && is(&b.w.objs[i], page);
	return nr;
}

static bool is_swept(const struct obj *o, unsigned page)
{
	(void)page;
	return o->swept;
}

static bool is_in(const struct obj *o, unsigned page)
{
	return o->page == page;
}

/* Any that is due; which one is not promised. */
static void take(void)
{
	struct obj *o;

	if (!left(is_swept, 0))
		twin_sweep();
	o = pending_take(b.p);
	ck_assert_int_eq(o != NULL, left(is_swept, 0) > 0);
	if (!o)
		return;
	ck_assert(o >= b.w.objs && o < b.w.objs + b.w.nr);
	ck_assert(o->swept && !o->taken && !o->processed);
	o->taken = true;
	b.w.st.taken++;
	if (!o->page || left(is_in, o->page))
		return;
	b.w.pages_in_use--;
	b.w.spare += b.w.spare < SPARES;
}

static void flush(void)
{
	unsigned back = b.w.pages_in_use;

	b.w.ended++; /* the worker's own; it has begun before any object is looked at */
	pending_flush(b.p);
	for (unsigned i = 0; i < b.w.nr; i++) {
		ck_assert_uint_eq(b.w.objs[i].processed, !b.w.objs[i].taken);
		b.w.st.processed += !b.w.objs[i].taken;
	}
	b.w.nr = 0;
	while (back-- && b.w.spare < SPARES)
		b.w.spare++;
	b.w.pages_in_use = 0;
	b.w.st.passes++;
}

/* Nobody waits while the reader keeps a grace period from ending. */
static void step(struct rt_rand *rand)
{
	unsigned what = (unsigned)rt_rand_below(rand, 100);
	bool memory = rt_rand_below(rand, 3) != 0, atomic = rt_rand_below(rand, 4) == 0;

	if (what < 2 && !b.w.in_gp) {
		flush();
	} else if (what < 12) {
		if (b.w.in_gp)
			gp_end();
		else
			gp_begin();
	} else if (what < 35) {
		take();
	} else if (b.w.nr < OBJS) {
		if (!b.has_link && b.w.in_gp)
			memory = true;
		add(atomic, memory);
	}
}

START_TEST(like_a_list_with_a_clock)
{
	struct pending_config cfg = { .name = "pend",
				      .process = process,
				      .link_offset = _i & 1 ? PENDING_NO_LINK : 0,
				      .by_rcu = _i & 2,
				      .page_nr = PAGE_NR,
				      .delay_ns = NEVER_NS };
	struct rt_rand rand = { t_seed() };

	b.has_link = !(_i & 1);
	b.by_rcu = cfg.by_rcu;
	rt_cpus_init(&b.cpus, 1);
	ck_assert_int_eq(pending_open(&b.cpus, &cfg, &b.p), 0);
	for (unsigned i = 0; i < STEPS; i++) {
		step(&rand);
		compare();
	}
	if (b.w.in_gp)
		gp_end();
	printf("%" PRIu64 " objects: %" PRIu64 " by link, %" PRIu64 " waited, %" PRIu64
	       " swept, %" PRIu64 " taken, %" PRIu64 " times two lists\n",
	       b.w.st.added, b.w.st.by_link, b.w.st.inline_waits, b.w.st.swept, b.w.st.taken,
	       b.w.st.second);
	ck_assert_uint_gt(b.w.st.taken, 0);
	ck_assert_uint_gt(b.w.st.swept, 0);
	ck_assert_uint_gt(b.w.st.second, 0);
	flush();
	compare();
	pending_close(b.p);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("pending-model");
	TCase *tc = tcase_create("pending-model");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, like_a_list_with_a_clock, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
