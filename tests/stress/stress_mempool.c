// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: with many threads nothing is lost and nothing is with two at once, every wait ends, and the
 * statistics add up; under TSan no data race. Method: threads take objects of two pools, one of
 * one, sets of both in any order, with and without waiting, from an allocator that fails most of
 * the time; each object carries its holder's number while it is held. Some objects are passed on to
 * others to free. Meanwhile one thread resizes, shrinks and reads the statistics. Row _i: without
 * and with magazines, retries, and the other order.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "reclaim/mempool.h"
#include "rt/work.h"

enum { THREADS = 6, STEPS = 6000, POOLS = 2, MIN = 3, LEFT = 16 };

struct obj {
	rt_u32 owner;
	uint32_t pool;
};

struct shared {
	struct rt_cpus cpus;
	struct mempool_domain *d;
	struct mempool *p[POOLS];
	rt_u32 out, stop;  /* objects out of the backing */
	rt_u64 rolls;      /* the backing's dice */
	rt_ptr left[LEFT]; /* objects for anybody to free */
	uint64_t seed;
};

static const struct row {
	unsigned magazine_nr;
	uint64_t retry_ns;
	enum mempool_order order;
} rows[] = {
	{ 0, 0, MEMPOOL_KERNEL },
	{ 4, 0, MEMPOOL_KERNEL },
	{ 2, 200000, MEMPOOL_KERNEL },
	{ 2, 200000, MEMPOOL_PATIENT },
};

static void *backing_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct shared *sh = ctx;
	struct rt_rand rand = { sh->seed + rt_u64_add_return(&sh->rolls, 1) };
	struct obj *o;

	(void)align;
	if (!rt_u32_read(&sh->stop) && rt_rand_below(&rand, may_wait ? 4 : 8))
		return NULL;
	o = malloc(bytes);
	if (o) {
		rt_u32_set(&o->owner, 0);
		rt_u32_add_return(&sh->out, 1);
	}
	return o;
}

static void backing_free(void *ctx, void *obj)
{
	struct shared *sh = ctx;

	rt_u32_add_return(&sh->out, (uint32_t)-1);
	free(obj);
}

static const struct mempool_backing backing = { backing_alloc, backing_free };

struct user {
	struct shared *sh;
	struct rt_rand rand;
	uint32_t me;
	unsigned doubles; /* objects that were with somebody else too */
	uint64_t got[POOLS], failed;
};

static void put(struct user *u, struct obj *o, uint32_t from)
{
	u->doubles += rt_u32_xchg(&o->owner, 0) != from;
	mempool_free(u->sh->p[o->pool], o);
}

/* An object may be left for the next who comes by; he frees the one he finds there. */
static void put_or_leave(struct user *u, struct obj *o)
{
	struct obj *found;

	if (rt_rand_below(&u->rand, 4)) {
		put(u, o, u->me);
		return;
	}
	u->doubles += rt_u32_xchg(&o->owner, THREADS + 1) != u->me;
	found = rt_ptr_xchg(&u->sh->left[rt_rand_below(&u->rand, LEFT)], o);
	if (found)
		put(u, found, THREADS + 1);
}

/* Who waits must not wait for what lies about. */
static void clear_left(struct user *u)
{
	for (unsigned i = 0; i < LEFT; i++) {
		struct obj *found = rt_ptr_xchg(&u->sh->left[i], NULL);

		if (found)
			put(u, found, THREADS + 1);
	}
}

static unsigned take(struct user *u, struct obj **objs, unsigned pool, enum mempool_mode mode)
{
	objs[0] = mempool_alloc(u->sh->p[pool], mode);
	if (!objs[0])
		return 0;
	objs[0]->pool = pool;
	return 1;
}

static unsigned take_set(struct user *u, struct obj **objs, enum mempool_mode mode)
{
	const unsigned first = (unsigned)rt_rand_below(&u->rand, POOLS);
	struct mempool_want want[POOLS];
	unsigned nr = 0;

	for (unsigned i = 0; i < POOLS; i++)
		want[i] = (struct mempool_want){ u->sh->p[(first + i) % POOLS],
						 (unsigned)rt_rand_below(&u->rand, MIN + 1) };
	if (mempool_reserve(u->sh->d, want, POOLS, mode, (void **)objs)) {
		u->failed++;
		return 0;
	}
	for (unsigned i = 0; i < POOLS; i++)
		for (unsigned k = 0; k < want[i].nr; k++)
			objs[nr++]->pool = (first + i) % POOLS;
	return nr;
}

static void use(void *arg)
{
	struct user *u = arg;

	for (unsigned step = 0; step < STEPS; step++) {
		enum mempool_mode mode = (enum mempool_mode)rt_rand_below(&u->rand, 3);
		unsigned pool = (unsigned)rt_rand_below(&u->rand, POOLS), nr;
		struct obj *objs[POOLS * MIN];

		if (mode != MEMPOOL_NOWAIT)
			clear_left(u);
		nr = rt_rand_below(&u->rand, 2) ? take_set(u, objs, mode)
						: take(u, objs, pool, mode);
		for (unsigned i = 0; i < nr; i++) {
			u->doubles += rt_u32_xchg(&objs[i]->owner, u->me) != 0;
			u->got[objs[i]->pool]++;
		}
		if (rt_rand_below(&u->rand, 8) == 0)
			rt_yield();
		for (unsigned i = 0; i < nr; i++)
			put_or_leave(u, objs[i]);
	}
	clear_left(u);
}

static void disturb(void *arg)
{
	struct user *u = arg;

	while (!rt_u32_read(&u->sh->stop)) {
		struct mempool *p = u->sh->p[rt_rand_below(&u->rand, POOLS)];
		struct mempool_stats st;
		int err = mempool_resize(p, MIN + (unsigned)rt_rand_below(&u->rand, 5));

		ck_assert(err == 0 || err == -ENOMEM);
		if (rt_rand_below(&u->rand, 4) == 0)
			mempool_shrink(p);
		mempool_stats(p, &st);
		ck_assert_uint_le(st.low_water, st.min_nr);
		/* What was left while all others wait; who frees never waits. */
		clear_left(u);
		rt_sleep_ns(300000);
	}
}

static void open_pools(struct shared *sh, const struct row *row)
{
	rt_cpus_init(&sh->cpus, 3);
	ck_assert_int_eq(mempool_domain_open(&sh->cpus, &sh->d), 0);
	rt_u32_set(&sh->stop, 1); /* memory is there */
	for (unsigned i = 0; i < POOLS; i++) {
		struct mempool_config cfg = { .name = "p",
					      .bytes = sizeof(struct obj),
					      .min_nr = MIN,
					      .magazine_nr = row->magazine_nr,
					      .order = row->order,
					      .retry_ns = row->retry_ns,
					      .backing = &backing,
					      .ctx = sh };

		ck_assert_int_eq(mempool_open(sh->d, &cfg, &sh->p[i]), 0);
	}
	rt_u32_set(&sh->stop, 0);
}

static void check_pool(struct mempool *p, uint64_t got)
{
	struct mempool_stats st;

	mempool_stats(p, &st);
	ck_assert_uint_eq(st.allocs, got);
	ck_assert_uint_eq(st.frees, got);
	ck_assert_uint_eq(st.in_use, 0);
	ck_assert_uint_eq(st.in_reserve, st.min_nr);
	printf("%" PRIu64 " objects: magazines %" PRIu64 ", allocator %" PRIu64 ", reserve %" PRIu64
	       ", wait %" PRIu64 " in %" PRIu64 " waits\n",
	       got, st.from_magazine, st.from_allocator, st.from_reserve, st.from_wait, st.waits);
	mempool_close(p);
}

START_TEST(nothing_is_lost)
{
	struct rt_thread *t[THREADS + 1];
	struct user u[THREADS + 1];
	static struct shared sh;
	uint64_t got[POOLS] = { 0 };

	memset(&sh, 0, sizeof(sh));
	sh.seed = t_seed();
	open_pools(&sh, &rows[_i]);
	for (unsigned i = 0; i <= THREADS; i++) {
		u[i] = (struct user){ .sh = &sh, .rand = { sh.seed + 77 * i }, .me = i + 1 };
		if (i < THREADS)
			ck_assert_int_eq(rt_thread_start(use, &u[i], "user", &t[i]), 0);
	}
	u[THREADS].me = THREADS + 2;
	ck_assert_int_eq(rt_thread_start(disturb, &u[THREADS], "disturb", &t[THREADS]), 0);
	for (unsigned i = 0; i <= THREADS; i++) {
		if (i == THREADS)
			rt_u32_set(&sh.stop, 1);
		rt_thread_join(t[i]);
		ck_assert_uint_eq(u[i].doubles, 0);
		for (unsigned k = 0; k < POOLS; k++)
			got[k] += u[i].got[k];
	}
	clear_left(&u[THREADS]);
	for (unsigned k = 0; k < POOLS; k++)
		check_pool(sh.p[k], got[k]);
	mempool_domain_close(sh.d);
	ck_assert_uint_eq(rt_u32_read(&sh.out), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mempool-stress");
	TCase *tc = tcase_create("mempool-stress");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, nothing_is_lost, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
