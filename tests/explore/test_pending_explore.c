// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects that wait for grace periods, under the explorer. Goal: whatever the schedule, nothing is
 * processed or taken while a reader has it, each object is processed or taken once, each flush and
 * close ends, and what a flush has promised is so. Method: small scenarios of two or three threads;
 * an object lost is a leak or a count, a pass that nobody has asked for a deadlock. Allocations
 * fail, as the row says, by choice.
 */
#include "support/t.h"

#include "explore/rows.h"
#include "reclaim/pending.h"
#include "rt/mem.h"
#include "rt/rcu.h"

enum { OBJS = 4 };

struct plan {
	const char *name;
	unsigned cpus, page_nr, keep_nr, alloc_fails;
	bool no_link, by_rcu;
	unsigned again; /* objects that process() may have added while the last flush went on */
	unsigned thread_nr;
	void (*fn[3])(void *state);
	unsigned objs; /* that are processed in the end */
	int bound;     /* of the search in preemptions; < 0: none */
};

struct obj {
	struct pending_link link;
	rt_u32 processed; /* times, or taken for good */
	unsigned again;   /* times that process() adds it once more */
	struct rt_rcu_cookie cookie;
};

struct bed {
	struct rt_cpus cpus;
	struct pending *p;
	struct obj obj[OBJS];
	rt_ptr place;       /* of the first object, for readers */
	struct rt_event ev; /* an object has been processed */
};

static const struct plan *plan(void)
{
	return explore_arg();
}

static void process(void *ctx, void *arg)
{
	struct bed *b = ctx;
	struct obj *o = arg;

	explore_check(rt_rcu_poll_state(o->cookie));
	if (o->again) {
		o->again--;
		o->cookie = rt_rcu_get_state();
		pending_add(b->p, o);
		return;
	}
	explore_check(rt_u32_xchg(&o->processed, 1) == 0);
	rt_event_signal(&b->ev);
}

static void setup(void *state)
{
	struct bed *b = state;
	struct pending_config cfg = { .name = "pend",
				      .process = process,
				      .ctx = b,
				      .link_offset = plan()->no_link ? PENDING_NO_LINK : 0,
				      .page_nr = plan()->page_nr,
				      .keep_nr = plan()->keep_nr,
				      .by_rcu = plan()->by_rcu };

	rt_cpus_init(&b->cpus, plan()->cpus);
	rt_event_init(&b->ev);
	explore_check(pending_open(&b->cpus, &cfg, &b->p) == 0);
	rt_ptr_set_release(&b->place, &b->obj[0]);
}

static void check(void *state)
{
	struct bed *b = state;
	struct pending_stats st;

	pending_check(b->p);
	pending_flush(b->p);
	pending_stats(b->p, &st);
	explore_check(st.added - st.processed - st.taken <= plan()->again);
	pending_close(b->p);
	for (unsigned i = 0; i < plan()->objs; i++)
		explore_check(rt_u32_read(&b->obj[i].processed) == 1);
}

/* ---- what threads do ---- */

static void add(struct bed *b, unsigned i)
{
	b->obj[i].cookie = rt_rcu_get_state();
	pending_add(b->p, &b->obj[i]);
}

static void add_first(void *state)
{
	struct bed *b = state;

	rt_rcu_assign(&b->place, NULL);
	add(b, 0);
}

static void add_second(void *state)
{
	add(state, 1);
}

static void add_two(void *state)
{
	add(state, 1);
	add(state, 2);
}

static void add_again(void *state)
{
	struct bed *b = state;

	b->obj[1].again = 3;
	add(b, 1);
}

static void add_atomic(void *state)
{
	struct bed *b = state;
	struct obj *o = &b->obj[1];
	bool taken;

	rt_rcu_read_lock();
	o->cookie = rt_rcu_get_state();
	taken = pending_add_atomic(b->p, o);
	explore_check(!rt_u32_read(&o->processed));
	rt_rcu_read_unlock();
	explore_check(taken || plan()->no_link);
	if (!taken)
		rt_u32_set(&o->processed, 1);
}

static void read_first(void *state)
{
	struct bed *b = state;
	struct obj *o;

	rt_rcu_read_lock();
	o = rt_rcu_dereference(&b->place);
	if (o)
		explore_check(!rt_u32_read(&o->processed));
	rt_rcu_read_unlock();
}

static void flush_own(void *state)
{
	struct bed *b = state;

	add(b, 1);
	pending_flush(b->p);
	explore_check(rt_u32_read(&b->obj[1].processed) == 1);
}

static void flush_other(void *state)
{
	struct bed *b = state;

	add(b, 2);
	pending_flush(b->p);
	explore_check(rt_u32_read(&b->obj[2].processed) == 1);
}

/* The worker comes by itself. */
static void add_and_wait(struct bed *b, unsigned i)
{
	add(b, i);
	for (;;) {
		uint32_t key = rt_event_key(&b->ev);

		if (rt_u32_read_acquire(&b->obj[i].processed))
			return;
		rt_event_wait(&b->ev, key);
	}
}

static void wait_first(void *state)
{
	add_and_wait(state, 0);
}

static void wait_second(void *state)
{
	add_and_wait(state, 1);
}

static void add_three(void *state)
{
	add_two(state);
	add_first(state);
}

/* @once_more: it is added again. */
static void take(struct bed *b, bool once_more)
{
	struct obj *o = pending_take(b->p);

	if (!o)
		return;
	explore_check(rt_rcu_poll_state(o->cookie));
	if (once_more)
		add(b, (unsigned)(o - b->obj));
	else
		explore_check(rt_u32_xchg(&o->processed, 1) == 0);
}

static void take_one(void *state)
{
	take(state, false);
}

static void wait_and_take(void *state)
{
	rt_rcu_cond_sync(rt_rcu_get_state());
	take(state, false);
	take(state, false);
}

static void take_again(void *state)
{
	rt_rcu_cond_sync(rt_rcu_get_state());
	take(state, true);
}

static void add_and_take(void *state)
{
	add_two(state);
	wait_and_take(state);
}

static void add_first_and_take(void *state)
{
	add_first(state);
	wait_and_take(state);
}

static void grace_periods(void *state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		rt_rcu_cond_sync(rt_rcu_get_state());
}

/* One that is closed while its callback may still be about. */
static void life(void *state)
{
	struct bed *b = state;
	struct pending_config cfg = { .process = process,
				      .ctx = b,
				      .page_nr = plan()->page_nr,
				      .by_rcu = true };
	struct pending *p;

	explore_check(pending_open(&b->cpus, &cfg, &p) == 0);
	for (unsigned i = 0; i < 2; i++) {
		b->obj[i].cookie = rt_rcu_get_state();
		pending_add(p, &b->obj[i]);
	}
	pending_close(p);
	explore_check(rt_u32_read(&b->obj[0].processed) == 1);
}

static const struct plan plans[] = {
	{ .name = "an object and its reader",
	  .cpus = 1,
	  .page_nr = 1,
	  .thread_nr = 2,
	  .fn = { add_first, read_first },
	  .objs = 1,
	  .bound = -1 },
	{ .name = "no memory for its page",
	  .cpus = 1,
	  .page_nr = 1,
	  .alloc_fails = 1,
	  .thread_nr = 2,
	  .fn = { add_first, read_first },
	  .objs = 1,
	  .bound = 3 },
	{ .name = "neither page nor link",
	  .cpus = 1,
	  .page_nr = 1,
	  .alloc_fails = 1,
	  .no_link = true,
	  .thread_nr = 3,
	  .fn = { add_first, read_first, add_second },
	  .objs = 2,
	  .bound = 1 },
	{ .name = "grace periods end meanwhile",
	  .cpus = 1,
	  .page_nr = 2,
	  .thread_nr = 2,
	  .fn = { add_three, grace_periods },
	  .objs = 3,
	  .bound = 3 },
	{ .name = "no memory for any page",
	  .cpus = 1,
	  .page_nr = 1,
	  .alloc_fails = 3,
	  .thread_nr = 2,
	  .fn = { add_first, add_two },
	  .objs = 3,
	  .bound = 1 },
	{ .name = "two slots",
	  .cpus = 2,
	  .page_nr = 1,
	  .thread_nr = 3,
	  .fn = { add_first, add_two, read_first },
	  .objs = 3,
	  .bound = 1 },
	{ .name = "the worker comes by itself",
	  .cpus = 1,
	  .page_nr = 1,
	  .thread_nr = 2,
	  .fn = { wait_first, wait_second },
	  .objs = 2,
	  .bound = 2 },
	{ .name = "two flushes",
	  .cpus = 1,
	  .page_nr = 1,
	  .thread_nr = 2,
	  .fn = { flush_own, flush_other },
	  .objs = 0,
	  .bound = 2 },
	{ .name = "a flush beside an add",
	  .cpus = 2,
	  .page_nr = 2,
	  .thread_nr = 3,
	  .fn = { flush_own, add_first, read_first },
	  .objs = 2,
	  .bound = 1 },
	{ .name = "process() adds",
	  .cpus = 1,
	  .page_nr = 1,
	  .thread_nr = 2,
	  .again = 1,
	  .fn = { add_first, add_again },
	  .objs = 2,
	  .bound = 2 },
	{ .name = "it is taken",
	  .cpus = 1,
	  .page_nr = 1,
	  .thread_nr = 3,
	  .fn = { add_first, read_first, take_one },
	  .objs = 1,
	  .bound = 2 },
	{ .name = "takes beside the worker, without memory",
	  .cpus = 1,
	  .page_nr = 1,
	  .keep_nr = 1,
	  .alloc_fails = 1,
	  .thread_nr = 2,
	  .fn = { add_and_take, add_first_and_take },
	  .objs = 3,
	  .bound = 1 },
	{ .name = "what is taken is added again",
	  .cpus = 1,
	  .page_nr = 1,
	  .keep_nr = 2,
	  .thread_nr = 2,
	  .fn = { add_first, take_again },
	  .objs = 1,
	  .bound = 2 },
	{ .name = "a flush keeps nothing",
	  .cpus = 1,
	  .page_nr = 2,
	  .keep_nr = 4,
	  .thread_nr = 2,
	  .fn = { flush_own, flush_other },
	  .objs = 0,
	  .bound = 1 },
	{ .name = "by callbacks: the worker comes by itself",
	  .cpus = 1,
	  .page_nr = 1,
	  .by_rcu = true,
	  .thread_nr = 2,
	  .fn = { wait_first, wait_second },
	  .objs = 2,
	  .bound = 2 },
	{ .name = "by callbacks: two flushes",
	  .cpus = 1,
	  .page_nr = 1,
	  .keep_nr = 1,
	  .by_rcu = true,
	  .thread_nr = 2,
	  .fn = { flush_own, flush_other },
	  .objs = 0,
	  .bound = 1 },
	{ .name = "by callbacks: process() adds",
	  .cpus = 2,
	  .page_nr = 1,
	  .by_rcu = true,
	  .thread_nr = 2,
	  .again = 1,
	  .fn = { add_first, add_again },
	  .objs = 2,
	  .bound = 1 },
	{ .name = "by callbacks: takes",
	  .cpus = 1,
	  .page_nr = 1,
	  .keep_nr = 1,
	  .by_rcu = true,
	  .thread_nr = 3,
	  .fn = { add_first, take_again, read_first },
	  .objs = 1,
	  .bound = 1 },
	{ .name = "by callbacks: close",
	  .cpus = 2,
	  .page_nr = 2,
	  .by_rcu = true,
	  .thread_nr = 1,
	  .fn = { life },
	  .objs = 2,
	  .bound = 3 },
	{ .name = "in a reader",
	  .cpus = 1,
	  .page_nr = 1,
	  .thread_nr = 2,
	  .fn = { add_first, add_atomic },
	  .objs = 2,
	  .bound = 2 },
	{ .name = "in a reader, without link",
	  .cpus = 1,
	  .page_nr = 1,
	  .no_link = true,
	  .thread_nr = 2,
	  .fn = { add_first, add_atomic },
	  .objs = 2,
	  .bound = 2 },
};

static struct explore_scenario scenario_of(const struct plan *p)
{
	struct explore_scenario s = { .name = p->name,
				      .state_bytes = sizeof(struct bed),
				      .arg = p,
				      .setup = setup,
				      .thread_nr = p->thread_nr,
				      .check = check };

	for (unsigned i = 0; i < p->thread_nr; i++)
		s.threads[i].fn = p->fn[i];
	return s;
}

/* To the row's bound, or one less: sanitizers cost 5 to 20 times. */
START_TEST(all_schedules)
{
	const struct explore_scenario s = scenario_of(&plans[_i]);
	int bound = plans[_i].bound;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	bound -= bound > 1;
#endif
	search_all(&s, bound, plans[_i].alloc_fails);
}
END_TEST

START_TEST(far_schedules)
{
	const struct explore_scenario s = scenario_of(&plans[_i]);

	search_far(&s, (uint64_t)_i + 1, plans[_i].alloc_fails);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("pending-explore");
	TCase *tc = tcase_create("pending-explore");
	const int nr = sizeof(plans) / sizeof(plans[0]);

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, all_schedules, 0, nr);
	tcase_add_loop_test(tc, far_schedules, 0, nr);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
