// SPDX-License-Identifier: GPL-2.0-only
/* RCU and its hash table: what a reader sees stays whole, and callbacks come when they should. */
#include "support/t.h"

#include "base/check.h"
#include "rt/mem.h"
#include "rt/percpu.h"
#include "rt/rcu.h"
#include "rt/work.h"

enum { THREADS = 4 };

/* ---- callbacks ---- */

struct item {
	struct rt_rcu_head head;
	struct order *order;
	unsigned nr;
};

struct order {
	rt_u32 ran;        /* callbacks so far */
	rt_u32 misordered; /* one ran before one queued earlier by the same thread */
	unsigned last;
};

static void item_ran(struct rt_rcu_head *head)
{
	struct item *it = container_of(head, struct item, head);

	if (it->nr < it->order->last)
		rt_u32_add(&it->order->misordered, 1);
	it->order->last = it->nr;
	rt_u32_add_return(&it->order->ran, 1);
	rt_free(it);
}

static void queue(struct order *order, unsigned nr)
{
	struct item *it = rt_zalloc(sizeof(*it));

	ck_assert_ptr_nonnull(it);
	it->order = order;
	it->nr = nr;
	rt_rcu_call(&it->head, item_ran);
}

/* Goal: after a barrier all callbacks queued before it have run, in their order. Method: count. */
START_TEST(barrier_runs_all_in_order)
{
	struct order o = { .last = 0 };

	rt_rcu_barrier(); /* nothing queued */
	for (unsigned i = 1; i <= 1000; i++) {
		queue(&o, i);
		if (i % 100 == 0) {
			rt_rcu_barrier();
			ck_assert_uint_eq(rt_u32_read(&o.ran), i);
		}
	}
	ck_assert_uint_eq(rt_u32_read(&o.misordered), 0);
}
END_TEST

/* Goal: a thread that throttles never has more than so many callbacks queued, worker or not.
 * Method: no worker, many callbacks, look at how many have not run. */
START_TEST(throttle_bounds_the_queue)
{
	struct order o = { .last = 0 };
	unsigned most = 0;

	for (unsigned i = 1; i <= 300000; i++) {
		queue(&o, i);
		rt_rcu_throttle();
		if (i - rt_u32_read(&o.ran) > most)
			most = i - rt_u32_read(&o.ran);
	}
	ck_assert_uint_le(most, 65536);
	ck_assert_uint_gt(most, 1); /* it is no barrier each time */
	rt_rcu_barrier();
	ck_assert_uint_eq(rt_u32_read(&o.ran), 300000);
}
END_TEST

static void queue_and_barrier(void *arg)
{
	(void)arg;
	for (unsigned round = 0; round < 50; round++) {
		struct order o = { .last = 0 };

		for (unsigned i = 1; i <= 20; i++)
			queue(&o, i);
		rt_rcu_barrier();
		ck_assert_uint_eq(rt_u32_read(&o.ran), 20);
		ck_assert_uint_eq(rt_u32_read(&o.misordered), 0);
	}
}

/* Goal: barriers at once, each sees its own callbacks done. Method: threads with and without the
 * worker. */
START_TEST(barriers_of_many_threads)
{
	struct rt_thread *t[THREADS];

	if (_i)
		ck_assert_int_eq(rt_rcu_worker_start(), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(rt_thread_start(queue_and_barrier, NULL, "barrier", &t[i]), 0);
	for (int i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
	if (_i)
		rt_rcu_worker_stop();
}
END_TEST

/* Goal: the worker runs callbacks by itself; the last stop leaves none. Method: wait without a
 * barrier. */
START_TEST(worker_drains)
{
	struct order o = { .last = 0 };

	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	for (unsigned i = 1; i <= 10000; i++)
		queue(&o, i);
	for (int i = 0; i < 10000 && rt_u32_read_acquire(&o.ran) < 10000; i++)
		rt_sleep_ns(1000000);
	ck_assert_uint_eq(rt_u32_read_acquire(&o.ran), 10000);
	rt_rcu_worker_stop();
	queue(&o, 10001);
	rt_rcu_worker_stop();
	ck_assert_uint_eq(rt_u32_read_acquire(&o.ran), 10001);
	ck_assert_uint_eq(rt_u32_read(&o.misordered), 0);
}
END_TEST

static void item_ran_requeues(struct rt_rcu_head *head)
{
	struct item *it = container_of(head, struct item, head);

	if (it->nr-- > 0)
		rt_rcu_call(head, item_ran_requeues);
	else
		item_ran(head);
}

/* Goal: a callback may queue itself again, as when it finds work left. Method: ten times. */
START_TEST(callback_queues_again)
{
	struct order o = { .last = 0 };
	struct item *it = rt_zalloc(sizeof(*it));

	it->order = &o;
	it->nr = 10;
	rt_rcu_call(&it->head, item_ran_requeues);
	for (int i = 0; i < 10; i++)
		rt_rcu_barrier();
	ck_assert_uint_eq(rt_u32_read(&o.ran), 0);
	rt_rcu_barrier();
	ck_assert_uint_eq(rt_u32_read(&o.ran), 1);
}
END_TEST

/* ---- readers ---- */

struct pair {
	struct rt_rcu_head head;
	uint64_t a, b; /* plain; b == ~a while any reader can see it */
};

struct published {
	rt_ptr pair;
	rt_u32 stop, broken, seen;
};

static void pair_free(struct rt_rcu_head *head)
{
	struct pair *p = container_of(head, struct pair, head);

	p->a = p->b = 0; /* what a late reader would see */
	rt_free(p);
}

static void read_pairs(void *arg)
{
	struct published *pub = arg;

	while (!rt_u32_read_acquire(&pub->stop)) {
		const struct pair *p;

		rt_rcu_read_lock();
		rt_rcu_read_lock(); /* nests */
		p = rt_rcu_dereference(&pub->pair);
		rt_rcu_read_unlock();
		ck_assert(rt_rcu_in_reader());
		if (p->b != ~p->a)
			rt_u32_add(&pub->broken, 1);
		rt_rcu_read_unlock();
		rt_u32_add(&pub->seen, 1);
	}
	ck_assert(!rt_rcu_in_reader());
}

static struct pair *pair_new(uint64_t a)
{
	struct pair *p = rt_zalloc(sizeof(*p));

	ck_assert_ptr_nonnull(p);
	p->a = a;
	p->b = ~a;
	return p;
}

/* Goal: nothing is freed under a reader. Method: replace a pair all the time, by call and by
 * synchronize. */
START_TEST(readers_see_whole_objects)
{
	struct published pub = { .pair = { NULL } };
	struct rt_thread *t[THREADS];

	ck_assert_int_eq(rt_rcu_worker_start(), 0);
	rt_rcu_assign(&pub.pair, pair_new(1));
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(rt_thread_start(read_pairs, &pub, "reader", &t[i]), 0);
	for (uint64_t i = 2; i < 3000 || rt_u32_read(&pub.seen) < 1000; i++) {
		struct pair *old = rt_ptr_read(&pub.pair);

		rt_rcu_assign(&pub.pair, pair_new(i));
		if (i % 16) {
			rt_rcu_call(&old->head, pair_free);
		} else {
			rt_rcu_synchronize();
			pair_free(&old->head);
		}
	}
	rt_u32_set_release(&pub.stop, 1);
	for (int i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
	rt_rcu_call(&((struct pair *)rt_ptr_read(&pub.pair))->head, pair_free);
	rt_rcu_worker_stop();
	ck_assert_uint_eq(rt_u32_read(&pub.broken), 0);
}
END_TEST

/* ---- hash ---- */

struct entry {
	struct rt_hash_node node;
	struct rt_rcu_head head;
	uint64_t key;
	rt_u32 *freed;
};

static int same_key(struct rt_hash_node *node, const void *arg)
{
	return container_of(node, struct entry, node)->key == *(const uint64_t *)arg;
}

static void entry_free(struct rt_rcu_head *head)
{
	struct entry *e = container_of(head, struct entry, head);

	rt_u32_add(e->freed, 1);
	rt_free(e);
}

struct table {
	struct rt_hash hash;
	rt_u32 made, freed;
};

static struct entry *entry_new(struct table *t, uint64_t key)
{
	struct entry *e = rt_zalloc(sizeof(*e));

	ck_assert_ptr_nonnull(e);
	e->key = key;
	e->freed = &t->freed;
	rt_u32_add(&t->made, 1);
	return e;
}

/* True if @key was not there yet. */
static bool table_add(struct table *t, uint64_t key)
{
	struct entry *e = entry_new(t, key);
	struct rt_hash_node *now;

	rt_rcu_read_lock();
	now = rt_hash_add_unique(&t->hash, rt_hash_mix(key), same_key, &key, &e->node);
	rt_rcu_read_unlock();
	if (now == &e->node)
		return true;
	rt_u32_add(&t->freed, 1);
	rt_free(e);
	return false;
}

static bool table_del(struct table *t, uint64_t key)
{
	struct rt_hash_node *node;
	bool mine;

	rt_rcu_read_lock();
	node = rt_hash_find(&t->hash, rt_hash_mix(key), same_key, &key);
	ck_assert(!node || container_of(node, struct entry, node)->key == key);
	mine = node && rt_hash_del(&t->hash, node);
	rt_rcu_read_unlock();
	if (mine)
		rt_rcu_call(&container_of(node, struct entry, node)->head, entry_free);
	return mine;
}

static bool count_node(struct rt_hash_node *node, void *arg)
{
	(void)node;
	return ++*(unsigned *)arg < 150;
}

/* Goal: found while in, not found once out, each once. Method: 1000 keys in 64 buckets, one thread.
 */
START_TEST(hash_keeps_what_it_was_given)
{
	struct table t = { 0 };
	unsigned nr = 0;

	rt_mem_fail_at(0);
	ck_assert_int_eq(rt_hash_init(&t.hash, 64), 0);
	for (uint64_t k = 0; k < 1000; k++) {
		ck_assert(table_add(&t, k));
		ck_assert(!table_add(&t, k));
	}
	rt_rcu_read_lock();
	rt_hash_for_each(&t.hash, count_node, &nr);
	ck_assert_uint_eq(nr, 150); /* stopped */
	rt_rcu_read_unlock();
	for (uint64_t k = 0; k < 1000; k++) {
		ck_assert(table_del(&t, k));
		ck_assert(!table_del(&t, k));
	}
	nr = 0;
	rt_rcu_read_lock();
	rt_hash_for_each(&t.hash, count_node, &nr);
	rt_rcu_read_unlock();
	ck_assert_uint_eq(nr, 0);
	rt_rcu_barrier();
	ck_assert_uint_eq(rt_u32_read(&t.freed), rt_u32_read(&t.made));
	rt_hash_destroy(&t.hash);
}
END_TEST

struct owners {
	struct table t;
	rt_u32 in[32]; /* how many times each key is in the table, by those who put it in */
};

static void add_and_del(void *arg)
{
	struct owners *o = arg;
	struct rt_rand r = { rt_thread_ordinal() };

	for (int i = 0; i < 5000; i++) {
		uint64_t key = rt_rand_below(&r, 32);

		if (rt_rand_next(&r) & 1) {
			if (table_add(&o->t, key))
				rt_u32_add_return(&o->in[key], 1);
		} else if (table_del(&o->t, key)) {
			rt_u32_add_return(&o->in[key], (uint32_t)-1);
		}
	}
}

/* Goal: of threads adding and removing one key, one wins each time. Method: few keys; every win is
 * counted. */
START_TEST(hash_is_unique_among_threads)
{
	struct owners o = { 0 };
	struct rt_thread *t[THREADS];

	ck_assert_int_eq(rt_hash_init(&o.t.hash, 8), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(rt_thread_start(add_and_del, &o, "hash", &t[i]), 0);
	for (int i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
	for (uint64_t key = 0; key < 32; key++) {
		uint32_t in = rt_u32_read(&o.in[key]);

		ck_assert_uint_le(in, 1);
		ck_assert_int_eq(table_del(&o.t, key), in == 1);
	}
	rt_rcu_barrier();
	ck_assert_uint_eq(rt_u32_read(&o.t.freed), rt_u32_read(&o.t.made));
	rt_hash_destroy(&o.t.hash);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("rcu");
	TCase *tc = tcase_create("rcu");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, barrier_runs_all_in_order);
	tcase_add_test(tc, throttle_bounds_the_queue);
	tcase_add_loop_test(tc, barriers_of_many_threads, 0, 2);
	tcase_add_test(tc, worker_drains);
	tcase_add_test(tc, callback_queues_again);
	tcase_add_test(tc, readers_see_whole_objects);
	tcase_add_test(tc, hash_keeps_what_it_was_given);
	tcase_add_test(tc, hash_is_unique_among_threads);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
