// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: no reader sees an object that was freed, each is freed once, none is lost, the statistics
 * add up; under TSan no data race, and one where the grace period is left out on purpose. Method:
 * threads replace published objects and give the old ones to kvfree in every way: with a head and
 * without, inside readers, under a spinlock, alone; who is refused keeps the object and gives it
 * again later. Others read, and some sleep in there. One flushes. Row _i: memory never fails, two
 * times of three, always; with the thread of rt/rcu and without. And memory is bounded: when all
 * who give may sleep, no more waits on a virtual CPU than the mark and one for each other thread.
 * MBFS_STRESS_STEPS=N: so many objects of each thread; for long, 100000.
 */
#include "support/t.h"

#include <errno.h>

#include "reclaim/kvfree.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/work.h"

enum {
	READERS = 3,
	UPDATERS = 3,
	STEPS = 8000,
	PLACES = 8,
	PAGES_HIGH = 8, /* the mark, in pages */
	KEPT_MAX = 64,
	ALIVE = 0x11fe,
};

struct obj {
	unsigned alive; /* plain: readers look, free() clears */
	struct kvfree_head head;
};

struct shared {
	struct kvfree *k;
	rt_ptr place[PLACES];
	rt_u32 stop, freed, doubles, bad;
	rt_u64 rolls;
	unsigned fail_of_3; /* so many of three allocations fail */
	bool left_out;      /* no grace period: what is to be found */
	bool may_sleep;     /* each updater, always */
	unsigned steps;
	uint64_t seed;
};

static const struct row {
	unsigned fail_of_3, cpus, page_nr;
	bool worker, may_sleep;
} rows[] = {
	{ 0, 0, 0, true, false },  { 0, 2, 16, false, false }, { 2, 2, 16, true, false },
	{ 2, 2, 16, false, false }, { 3, 2, 16, true, false },  { 3, 2, 16, false, false },
	{ 0, 1, 16, false, true },  { 2, 2, 16, true, true },
};

static void count_free(void *ctx, void *const *objs, unsigned nr)
{
	struct shared *sh = ctx;

	for (unsigned i = 0; i < nr; i++) {
		struct obj *o = objs[i];

		if (o->alive != ALIVE)
			rt_u32_add(&sh->doubles, 1);
		o->alive = 0;
		free(o);
	}
	rt_u32_add(&sh->freed, nr);
}

static void *backing_alloc(void *ctx, size_t bytes)
{
	struct shared *sh = ctx;
	struct rt_rand roll = { sh->seed + rt_u64_add_return(&sh->rolls, 1) };

	return rt_rand_below(&roll, 3) < sh->fail_of_3 ? NULL : malloc(bytes);
}

static void backing_free(void *ctx, void *mem)
{
	(void)ctx;
	free(mem);
}

static const struct kvfree_backing backing = { backing_alloc, backing_free };

static struct obj *make(void)
{
	struct obj *o = malloc(sizeof(*o));

	ck_assert_ptr_nonnull(o);
	o->alive = ALIVE;
	return o;
}

struct user {
	struct shared *sh;
	struct rt_rand rand;
	struct rt_spin lock;
	struct obj *kept[KEPT_MAX]; /* refused */
	unsigned kept_nr;
	uint64_t made, refused;
};

static void reader(void *arg)
{
	struct user *u = arg;

	while (!rt_u32_read(&u->sh->stop)) {
		struct obj *o;

		rt_rcu_read_lock();
		o = rt_rcu_dereference(&u->sh->place[rt_rand_below(&u->rand, PLACES)]);
		if (rt_rand_below(&u->rand, 64) == 0)
			rt_yield();
		if (o->alive != ALIVE)
			rt_u32_add(&u->sh->bad, 1);
		rt_rcu_read_unlock();
	}
}

/* Gives @o, in one of the ways. */
static void give(struct user *u, struct obj *o)
{
	unsigned how = (unsigned)rt_rand_below(&u->rand, 8);
	bool in_reader = how & 1 && !u->sh->may_sleep, locked = how & 2 && !u->sh->may_sleep;
	bool head = how & 4;
	int err = 0;

	if (in_reader)
		rt_rcu_read_lock();
	if (locked)
		rt_spin_lock(&u->lock);
	if (head)
		kvfree_rcu(u->sh->k, o, &o->head);
	else
		err = kvfree_rcu_mightsleep(u->sh->k, o);
	if (locked)
		rt_spin_unlock(&u->lock);
	if (in_reader)
		rt_rcu_read_unlock();
	if (!err)
		return;
	ck_assert_int_eq(err, -EAGAIN);
	ck_assert(in_reader || locked);
	u->refused++;
	u->kept[u->kept_nr++] = o;
}

/* Where it may sleep, nothing is refused. */
static void give_kept(struct user *u)
{
	while (u->kept_nr)
		ck_assert_int_eq(kvfree_rcu_mightsleep(u->sh->k, u->kept[--u->kept_nr]), 0);
}

static void updater(void *arg)
{
	struct user *u = arg;

	for (unsigned i = 0; i < u->sh->steps; i++) {
		rt_ptr *at = &u->sh->place[rt_rand_below(&u->rand, PLACES)];
		struct obj *old = rt_ptr_xchg(at, make());
		void *objs[] = { old };

		u->made++;
		if (u->sh->left_out)
			count_free(u->sh, objs, 1);
		else
			give(u, old);
		if (u->kept_nr == KEPT_MAX)
			give_kept(u);
		if (rt_rand_below(&u->rand, 2048) == 0)
			kvfree_flush(u->sh->k);
	}
	give_kept(u);
}

static void users_run(struct shared *sh, struct user *users)
{
	struct rt_thread *t[READERS + UPDATERS];

	for (unsigned i = 0; i < READERS + UPDATERS; i++) {
		users[i].sh = sh;
		users[i].rand.state = sh->seed + 1000 + i;
		rt_spin_init(&users[i].lock, RANK_PA);
		ck_assert_int_eq(rt_thread_start(i < UPDATERS ? updater : reader, &users[i],
						 "kvfree", &t[i]),
				 0);
	}
	for (unsigned i = 0; i < READERS + UPDATERS; i++) {
		if (i == UPDATERS)
			rt_u32_set(&sh->stop, 1);
		rt_thread_join(t[i]);
		rt_spin_destroy(&users[i].lock);
	}
}

static struct kvfree_stats run(const struct row *row, bool left_out, struct user *users)
{
	const char *steps = getenv("MBFS_STRESS_STEPS");
	struct shared sh = { .fail_of_3 = row->fail_of_3,
			     .left_out = left_out,
			     .may_sleep = row->may_sleep,
			     .steps = steps ? (unsigned)atoi(steps) : STEPS,
			     .seed = t_seed() };
	struct rt_cpus cpus;
	struct kvfree_config cfg = { .cpus = &cpus,
				     .free = count_free,
				     .ctx = &sh,
				     .page_nr = row->page_nr,
				     .high_water = row->page_nr * PAGES_HIGH,
				     .backing = &backing };
	struct kvfree_stats st;
	uint64_t made = PLACES;

	rt_cpus_init(&cpus, row->cpus);
	if (row->worker)
		ck_assert_int_eq(rt_rcu_worker_start(), 0);
	ck_assert_int_eq(kvfree_open(&cfg, &sh.k), 0);
	for (unsigned i = 0; i < PLACES; i++)
		rt_ptr_set(&sh.place[i], make());
	users_run(&sh, users);
	for (unsigned i = 0; i < PLACES; i++) {
		struct obj *o = rt_ptr_read(&sh.place[i]);

		kvfree_rcu(sh.k, o, &o->head);
	}
	for (unsigned i = 0; i < UPDATERS; i++)
		made += users[i].made;
	kvfree_stats(sh.k, &st);
	kvfree_close(sh.k); /* with objects queued */
	if (row->worker)
		rt_rcu_worker_stop();
	ck_assert_uint_eq(rt_u32_read(&sh.bad), 0);
	ck_assert_uint_eq(rt_u32_read(&sh.doubles), 0);
	ck_assert_uint_eq(rt_u32_read(&sh.freed), made);
	ck_assert_uint_eq(st.queued, left_out ? PLACES : made);
	return st;
}

START_TEST(all_at_once)
{
	const struct row *row = &rows[_i];
	struct user users[READERS + UPDATERS] = { 0 };
	struct kvfree_stats st = run(row, false, users);
	uint64_t refused = 0;

	for (unsigned i = 0; i < UPDATERS; i++)
		refused += users[i].refused;
	printf("%" PRIu64 " queued, %" PRIu64 " in heads, %" PRIu64 " in ones, %" PRIu64
	       " waited, %" PRIu64 " refused, %" PRIu64 " floods, at most %u at once\n",
	       st.queued, st.in_heads, st.in_ones, st.inline_waits, st.refused, st.floods,
	       st.waiting_max);
	ck_assert_uint_eq(st.refused, refused);
	if (row->may_sleep) {
		ck_assert_uint_eq(st.refused, 0);
		ck_assert_uint_gt(st.floods, 0);
		ck_assert_uint_lt(st.waiting_max, row->page_nr * PAGES_HIGH + UPDATERS);
		return;
	}
	if (row->fail_of_3 == 3)
		ck_assert(st.in_heads && st.inline_waits && st.refused && !st.pages);
	if (row->fail_of_3 == 2)
		ck_assert(st.in_heads && st.in_ones + st.inline_waits);
	if (row->fail_of_3 == 0)
		ck_assert(!st.inline_waits && !st.page_fails && !st.in_ones);
}
END_TEST

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
/* The sanitizer ends the program: with its own exit status. */
START_TEST(grace_period_left_out)
{
	struct user users[READERS + UPDATERS] = { 0 };

	run(&rows[0], true, users);
}
END_TEST
#endif

static Suite *suite(void)
{
	Suite *s = suite_create("stress-kvfree");
	TCase *tc = tcase_create("stress-kvfree");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, all_at_once, 0, sizeof(rows) / sizeof(rows[0]));
#if defined(__SANITIZE_THREAD__)
	tcase_add_exit_test(tc, grace_period_left_out, 66);
#elif defined(__SANITIZE_ADDRESS__)
	tcase_add_exit_test(tc, grace_period_left_out, 1);
#endif
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
