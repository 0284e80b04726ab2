// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mempools under the explorer. Goal: whatever the schedule, no object is with two at once, none is
 * lost, each wait ends, and who came first is served first. Method: small scenarios of two or three
 * threads; a lost wake-up is a deadlock, a lost object a leak or a wait without end; each object
 * says whose it is. Memory is there or not as the row says, or both (a choice at each try).
 */
#include "support/t.h"

#include "explore/rows.h"
#include "reclaim/mempool_priv.h"
#include "rt/mem.h"

enum memory { NONE, MAYBE, ALWAYS };

/* One row: the pools, and who does what. */
struct plan {
	const char *name;
	unsigned min_nr[2], magazine_nr, cpus;
	enum memory memory;
	uint64_t retry_ns;
	enum mempool_order order;
	unsigned taken; /* of pool 0, by the set-up */
	unsigned thread_nr;
	void (*fn[3])(void *state);
	int bound; /* of the search in preemptions; < 0: none */
};

struct bed {
	struct rt_cpus cpus;
	struct mempool_domain *d;
	struct mempool *p[2];
	struct obj *taken[2]; /* by the set-up */
	rt_ptr passed;
	struct rt_event ev;
	rt_u32 turn; /* how many have got theirs */
	bool filled; /* the set-up is over: memory is as the plan says */
};

struct obj {
	rt_u32 owner;
};

static const struct plan *plan(void)
{
	return explore_arg();
}

/* ---- memory ---- */

static void *backing_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct bed *b = ctx;
	struct obj *o;

	(void)align, (void)may_wait;
	if (b->filled && (plan()->memory == NONE || (plan()->memory == MAYBE && explore_choose(2))))
		return NULL;
	o = rt_alloc(bytes);
	if (o)
		rt_u32_set(&o->owner, 0);
	return o;
}

static void backing_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

static const struct mempool_backing backing = { backing_alloc, backing_free };

/* ---- what threads do ---- */

static void mark(struct obj *o)
{
	explore_check(rt_u32_xchg(&o->owner, 1 + explore_thread()) == 0);
}

static void give(struct mempool *p, struct obj *o)
{
	rt_u32_set(&o->owner, 0);
	mempool_free(p, o);
}

static void setup(void *state)
{
	struct bed *b = state;

	rt_cpus_init(&b->cpus, plan()->cpus);
	rt_event_init(&b->ev);
	explore_check(mempool_domain_open(&b->cpus, &b->d) == 0);
	for (unsigned i = 0; i < 2; i++) {
		struct mempool_config cfg = { .name = i ? "b" : "a",
					      .bytes = sizeof(struct obj),
					      .min_nr = plan()->min_nr[i],
					      .magazine_nr = plan()->magazine_nr,
					      .order = plan()->order,
					      .retry_ns = plan()->retry_ns,
					      .backing = &backing,
					      .ctx = b };

		if (cfg.min_nr)
			explore_check(mempool_open(b->d, &cfg, &b->p[i]) == 0);
	}
	for (unsigned i = 0; i < plan()->taken; i++)
		b->taken[i] = mempool_alloc(b->p[0], MEMPOOL_RESERVE_FIRST);
	b->filled = true;
}

static void check(void *state)
{
	struct bed *b = state;

	for (unsigned i = 0; i < 2; i++) {
		struct mempool_stats st;

		if (!b->p[i])
			continue;
		mempool_stats(b->p[i], &st);
		explore_check(st.in_use == 0 && st.allocs == st.frees);
		explore_check(st.in_reserve == st.min_nr);
		mempool_close(b->p[i]); /* asserts the same; what is missing is a leak */
	}
	mempool_domain_close(b->d);
}

static void one(struct bed *b, enum mempool_mode mode)
{
	struct obj *o = mempool_alloc(b->p[0], mode);

	if (!o) {
		explore_check(mode == MEMPOOL_NOWAIT);
		return;
	}
	mark(o);
	give(b->p[0], o);
}

static void one_wait(void *state)
{
	one(state, MEMPOOL_WAIT);
}

static void one_twice(void *state)
{
	one(state, MEMPOOL_WAIT);
	one(state, MEMPOOL_WAIT);
}

static void one_nowait(void *state)
{
	one(state, MEMPOOL_NOWAIT);
}

static void one_reserve_first(void *state)
{
	one(state, MEMPOOL_RESERVE_FIRST);
}

/* @nr[i] of each pool, the first in the row first. */
static void set(struct bed *b, const struct mempool_want *want, unsigned want_nr)
{
	struct obj *objs[8], **o = objs;

	explore_check(mempool_reserve(b->d, want, want_nr, MEMPOOL_WAIT, (void **)objs) == 0);
	for (unsigned i = 0; i < want_nr; i++)
		for (unsigned k = 0; k < want[i].nr; k++)
			mark(*o++);
	o = objs;
	for (unsigned i = 0; i < want_nr; i++)
		for (unsigned k = 0; k < want[i].nr; k++)
			give(want[i].pool, *o++);
}

static void set_ab(void *state)
{
	struct bed *b = state;

	set(b, (struct mempool_want[]){ { b->p[0], 1 }, { b->p[1], 1 } }, 2);
}

static void set_ba(void *state)
{
	struct bed *b = state;

	set(b, (struct mempool_want[]){ { b->p[1], 1 }, { b->p[0], 1 } }, 2);
}

static void set_two(void *state)
{
	struct bed *b = state;

	set(b, (struct mempool_want[]){ { b->p[0], 2 } }, 1);
}

/* ---- what the lock-free look of free() rests on ---- */

/* An object from the reserve is given back by another thread. */
static void pass_on(void *state)
{
	struct bed *b = state;
	struct obj *o = mempool_alloc(b->p[0], MEMPOOL_WAIT);

	mark(o);
	rt_ptr_set_release(&b->passed, o);
	rt_event_signal(&b->ev);
}

static void take_over(void *state)
{
	struct bed *b = state;
	uint32_t key = rt_event_key(&b->ev);
	struct obj *o = rt_ptr_read_acquire(&b->passed);

	if (!o) {
		rt_event_wait(&b->ev, key);
		o = rt_ptr_read_acquire(&b->passed);
	}
	give(b->p[0], o);
}

/* ---- order of arrival ---- */

static void wait_queued(struct bed *b, unsigned nr)
{
	for (;;) {
		struct mempool_call *c;
		unsigned n = 0;

		rt_spin_lock(&b->d->lock);
		TAILQ_FOREACH(c, &b->d->waiters, link)
			n++;
		rt_spin_unlock(&b->d->lock);
		if (n >= nr || rt_u32_read(&b->turn))
			return;
		rt_yield();
	}
}

/* Wants both; is first in the queue. */
static void first_of_all(void *state)
{
	struct bed *b = state;
	void *objs[2];
	const struct mempool_want want = { b->p[0], 2 };

	explore_check(mempool_reserve(b->d, &want, 1, MEMPOOL_WAIT, objs) == 0);
	explore_check(rt_u32_add_return(&b->turn, 1) == 1);
	for (unsigned i = 0; i < 2; i++)
		give(b->p[0], objs[i]);
}

/* Comes after the first has queued. */
static void after_it(void *state)
{
	struct bed *b = state;
	void *o;

	wait_queued(b, 1);
	o = mempool_alloc(b->p[0], MEMPOOL_WAIT);
	explore_check(rt_u32_add_return(&b->turn, 1) == 2);
	give(b->p[0], o);
}

static void give_taken(void *state)
{
	struct bed *b = state;

	wait_queued(b, 1);
	for (unsigned i = 0; i < 2; i++)
		give(b->p[0], b->taken[i]);
}

/* ---- beside the rest ---- */

static void resize(void *state)
{
	struct bed *b = state;

	if (mempool_resize(b->p[0], 2) == 0)
		explore_check(mempool_resize(b->p[0], 1) == 0);
}

static void shrink(void *state)
{
	struct bed *b = state;
	struct mempool_stats st;

	mempool_shrink(b->p[0]);
	mempool_stats(b->p[0], &st);
}

static const struct plan plans[] = {
	{ .name = "one object, two callers",
	  .min_nr = { 1 },
	  .cpus = 1,
	  .memory = NONE,
	  .thread_nr = 2,
	  .fn = { one_wait, one_wait },
	  .bound = -1 },
	{ .name = "one object, three callers",
	  .min_nr = { 1 },
	  .cpus = 1,
	  .memory = NONE,
	  .thread_nr = 3,
	  .fn = { one_wait, one_wait, one_nowait },
	  .bound = 3 },
	{ .name = "two pools in opposite order",
	  .min_nr = { 1, 1 },
	  .cpus = 1,
	  .memory = NONE,
	  .thread_nr = 2,
	  .fn = { set_ab, set_ba },
	  .bound = -1 },
	{ .name = "three sets",
	  .min_nr = { 2, 1 },
	  .cpus = 1,
	  .memory = NONE,
	  .thread_nr = 3,
	  .fn = { set_ab, set_ba, set_two },
	  .bound = 2 },
	{ .name = "memory comes and goes",
	  .min_nr = { 1, 1 },
	  .magazine_nr = 1,
	  .cpus = 1,
	  .memory = MAYBE,
	  .thread_nr = 2,
	  .fn = { set_ab, set_ba },
	  .bound = 2 },
	{ .name = "patient",
	  .min_nr = { 1, 1 },
	  .magazine_nr = 1,
	  .cpus = 2,
	  .memory = MAYBE,
	  .order = MEMPOOL_PATIENT,
	  .thread_nr = 3,
	  .fn = { set_ab, set_ba, one_reserve_first },
	  .bound = 1 },
	{ .name = "retries",
	  .min_nr = { 1 },
	  .cpus = 1,
	  .memory = MAYBE,
	  .retry_ns = 1000,
	  .thread_nr = 2,
	  .fn = { one_wait, one_wait },
	  .bound = 3 },
	{ .name = "retries of sets",
	  .min_nr = { 2, 1 },
	  .cpus = 1,
	  .memory = MAYBE,
	  .retry_ns = 1000,
	  .thread_nr = 3,
	  .fn = { set_ab, set_two, one_wait },
	  .bound = 1 },
	{ .name = "one magazine",
	  .min_nr = { 1 },
	  .magazine_nr = 1,
	  .cpus = 1,
	  .memory = MAYBE,
	  .thread_nr = 2,
	  .fn = { one_twice, one_twice },
	  .bound = 2 },
	{ .name = "two magazines",
	  .min_nr = { 1 },
	  .magazine_nr = 1,
	  .cpus = 2,
	  .memory = MAYBE,
	  .thread_nr = 2,
	  .fn = { one_twice, one_twice },
	  .bound = 2 },
	{ .name = "given back by another",
	  .min_nr = { 1 },
	  .magazine_nr = 1,
	  .cpus = 2,
	  .memory = NONE,
	  .thread_nr = 3,
	  .fn = { pass_on, take_over, one_wait },
	  .bound = 3 },
	{ .name = "first come, first served",
	  .min_nr = { 2 },
	  .cpus = 1,
	  .memory = NONE,
	  .taken = 2,
	  .thread_nr = 3,
	  .fn = { first_of_all, after_it, give_taken },
	  .bound = 2 },
	{ .name = "resize",
	  .min_nr = { 1 },
	  .cpus = 1,
	  .memory = MAYBE,
	  .thread_nr = 3,
	  .fn = { one_wait, one_wait, resize },
	  .bound = 2 },
	{ .name = "shrink",
	  .min_nr = { 1 },
	  .magazine_nr = 2,
	  .cpus = 1,
	  .memory = ALWAYS,
	  .thread_nr = 2,
	  .fn = { one_twice, shrink },
	  .bound = 3 },
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

START_TEST(all_schedules)
{
	const struct explore_scenario s = scenario_of(&plans[_i]);

	search_all(&s, plans[_i].bound, 0);
}
END_TEST

START_TEST(far_schedules)
{
	const struct explore_scenario s = scenario_of(&plans[_i]);

	search_far(&s, (uint64_t)_i + 1, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mempool-explore");
	TCase *tc = tcase_create("mempool-explore");
	const int nr = sizeof(plans) / sizeof(plans[0]);

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, all_schedules, 0, nr);
	tcase_add_loop_test(tc, far_schedules, 0, nr);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
