// SPDX-License-Identifier: GPL-2.0-only
#include "support/t.h"

#include <signal.h>
#include <string.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/percpu.h"
#include "rt/sync.h"
#include "rt/work.h"

enum { THREADS = 4 };

/* Runs @fn(@arg) on THREADS threads and waits for them. */
static void on_threads(void (*fn)(void *arg), void *arg)
{
	struct rt_thread *t[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(rt_thread_start(fn, arg, "test", &t[i]), 0);
	for (int i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
}

/* ---- locks ---- */

struct shared {
	struct rt_mutex mutex;
	struct rt_spin spin;
	struct rt_rwlock rw;
	uint64_t under_mutex, under_spin,
		under_rw; /* plain: only the locks order them (TSan looks) */
	rt_u32 torn;
};

enum { ROUNDS = 5000 };

static void count_all(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		rt_mutex_lock(&s->mutex);
		s->under_mutex++;
		rt_spin_lock(&s->spin);
		s->under_spin++;
		rt_spin_unlock(&s->spin);
		rt_mutex_unlock(&s->mutex);
		rt_write_lock(&s->rw);
		s->under_rw += 2;
		rt_write_unlock(&s->rw);
		rt_read_lock(&s->rw);
		if (s->under_rw & 1)
			rt_u32_add(&s->torn, 1);
		rt_read_unlock(&s->rw);
	}
}

/* Goal: each kind of lock keeps others out. Method: plain counters under locks, many threads. */
START_TEST(locks_exclude)
{
	struct shared s = { 0 };

	rt_mutex_init(&s.mutex, RANK_GROUP);
	rt_spin_init(&s.spin, RANK_PA);
	rt_rwlock_init(&s.rw, RANK_INODE);
	on_threads(count_all, &s);
	ck_assert_uint_eq(s.under_mutex, THREADS * ROUNDS);
	ck_assert_uint_eq(s.under_spin, THREADS * ROUNDS);
	ck_assert_uint_eq(s.under_rw, 2 * THREADS * ROUNDS);
	ck_assert_uint_eq(rt_u32_read(&s.torn), 0);
	ck_assert(rt_mutex_trylock(&s.mutex) && rt_spin_trylock(&s.spin));
	rt_spin_unlock(&s.spin);
	rt_mutex_unlock(&s.mutex);
	rt_mutex_destroy(&s.mutex);
	rt_spin_destroy(&s.spin);
	rt_rwlock_destroy(&s.rw);
}
END_TEST

struct handoff {
	struct rt_mutex lock;
	struct rt_cond cond;
	int turn; /* [lock] */
};

static void take_turns(void *arg)
{
	struct handoff *h = arg;

	for (int i = 0; i < 500; i++) {
		rt_mutex_lock(&h->lock);
		while (h->turn % 2 == 0)
			rt_cond_wait(&h->cond, &h->lock, 0);
		h->turn++;
		rt_cond_signal(&h->cond);
		rt_mutex_unlock(&h->lock);
	}
}

/* Goal: no wake-up is lost, and a limit is kept. Method: 500 turns each way; then nobody signals.
 */
START_TEST(cond_hands_over)
{
	struct handoff h = { .turn = 0 };
	struct rt_thread *t;
	uint64_t start;

	rt_mutex_init(&h.lock, RANK_GROUP);
	rt_cond_init(&h.cond);
	ck_assert_int_eq(rt_thread_start(take_turns, &h, "turns", &t), 0);
	for (int i = 0; i < 500; i++) {
		rt_mutex_lock(&h.lock);
		while (h.turn % 2 == 1)
			rt_cond_wait(&h.cond, &h.lock, 0);
		h.turn++;
		rt_cond_signal(&h.cond);
		rt_mutex_unlock(&h.lock);
	}
	rt_thread_join(t);
	ck_assert_int_eq(h.turn, 1000);
	rt_mutex_lock(&h.lock);
	start = rt_now_ns();
	while (rt_cond_wait(&h.cond, &h.lock, 20000000))
		;
	ck_assert_uint_ge(rt_now_ns() - start, 20000000);
	rt_mutex_unlock(&h.lock);
	rt_cond_destroy(&h.cond);
	rt_mutex_destroy(&h.lock);
}
END_TEST

/* ---- event count ---- */

struct market {
	struct rt_event ev;
	rt_u64 goods, taken;
	rt_u32 closed;
};

/* Each good is signalled once; whoever misses a signal sleeps for ever and the test times out. */
static void consume(void *arg)
{
	struct market *m = arg;

	for (;;) {
		uint32_t key = rt_event_key(&m->ev);
		uint64_t nr = rt_u64_read(&m->goods);

		while (nr > 0 && !rt_u64_cas(&m->goods, &nr, nr - 1))
			;
		if (nr > 0) {
			rt_u64_add(&m->taken, 1);
			continue;
		}
		if (rt_u32_read_acquire(&m->closed))
			return;
		rt_event_wait(&m->ev, key);
	}
}

static void produce(void *arg)
{
	struct market *m = arg;

	for (int i = 0; i < 20000; i++) {
		rt_u64_add_return(&m->goods, 1);
		rt_event_signal(&m->ev);
		if (i % 64 == 0)
			rt_yield();
	}
}

/* Goal: a signal after the key was taken is never lost. Method: producers and sleeping consumers.
 */
START_TEST(event_loses_no_wakeup)
{
	struct rt_thread *t[THREADS];
	struct market m = { 0 };

	rt_event_init(&m.ev);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(rt_thread_start(consume, &m, "consumer", &t[i]), 0);
	on_threads(produce, &m);
	rt_u32_set_release(&m.closed, 1);
	rt_event_signal(&m.ev);
	for (int i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
	ck_assert_uint_eq(rt_u64_read(&m.taken), THREADS * 20000);
	ck_assert_uint_eq(rt_u32_read(&m.ev.waiters), 0);
}
END_TEST

/* Goal: a key from before the signal does not sleep. Method: signal between key and wait. */
START_TEST(event_with_an_old_key_returns)
{
	struct rt_event ev;
	uint32_t key;

	rt_event_init(&ev);
	key = rt_event_key(&ev);
	ck_assert(!rt_event_changed(&ev, key));
	rt_event_signal(&ev);
	ck_assert(rt_event_changed(&ev, key));
	rt_event_wait(&ev, key);
	rt_event_wait(&ev, key);
}
END_TEST

/* ---- lock ranks ---- */
#ifdef MBFS_LOCKRANK
/* Each breaks the rule in one way; the loop test runs each in its own process. */
static void break_rank(int how)
{
	struct rt_mutex outer, inner, twin;
	struct rt_rwlock rw;

	rt_mutex_init(&outer, RANK_INODE);
	rt_mutex_init(&inner, RANK_GROUP);
	rt_mutex_init(&twin, RANK_GROUP);
	rt_rwlock_init(&rw, RANK_EXTENT);
	rt_mutex_lock(&inner);
	if (how == 0)
		rt_mutex_lock(&outer); /* outward */
	else if (how == 1)
		rt_mutex_lock(&twin); /* equal rank, not nested */
	else if (how == 2)
		rt_read_lock(&rw);
	else if (how == 3)
		rt_mutex_lock_nested(&outer); /* nested is for equal ranks */
	else if (how == 4)
		rt_mutex_unlock(&twin); /* not held */
	else
		rt_rank_assert_below(RANK_GROUP);
}

/* Goal: a lock out of order ends a test build at once. Method: row _i of break_rank(); SIGABRT
 * expected. */
START_TEST(rank_violation_aborts)
{
	break_rank(_i);
}
END_TEST
#endif

/* Goal: what the rules allow passes. Method: inward, nested, trylock out of order, release in any
 * order. */
START_TEST(ranks_in_order_pass)
{
	struct rt_mutex outer, inner, twin, none;

	rt_mutex_init(&outer, RANK_INODE);
	rt_mutex_init(&inner, RANK_GROUP);
	rt_mutex_init(&twin, RANK_GROUP);
	rt_mutex_init(&none, RANK_NONE);
	rt_mutex_lock(&outer);
	rt_mutex_lock(&inner);
	rt_mutex_lock_nested(&twin);
	rt_mutex_lock(&none);
	rt_rank_assert_below(RANK_PA);
	rt_mutex_unlock(&outer);
	ck_assert(rt_mutex_trylock(&outer));
	rt_mutex_unlock(&inner);
	rt_mutex_unlock(&twin);
	rt_mutex_unlock(&none);
	rt_mutex_unlock(&outer);
	rt_mutex_lock(&outer);
	rt_mutex_unlock(&outer);
}
END_TEST

/* ---- virtual CPUs ---- */

struct spread {
	struct rt_cpus cpus;
	struct rt_counter counter;
};

static void count_here(void *arg)
{
	struct spread *s = arg;
	unsigned cpu = rt_cpu(&s->cpus);

	ck_assert_uint_lt(cpu, rt_cpus_nr(&s->cpus));
	ck_assert_uint_eq(rt_cpu(&s->cpus), cpu); /* virtual: it stays */
	for (int i = 0; i < 1000; i++) {
		rt_counter_add(&s->counter, cpu, 3);
		rt_counter_add_ordered(&s->counter, cpu, (uint64_t)-1);
	}
}

/* Goal: threads spread over virtual CPUs, and no count is lost. Method: more CPUs than the machine
 * has. */
START_TEST(counter_adds_up_over_virtual_cpus)
{
	struct spread s;
	unsigned used = 0;

	rt_cpus_init(&s.cpus, 64);
	ck_assert_int_eq(rt_counter_init(&s.counter, &s.cpus), 0);
	on_threads(count_here, &s);
	ck_assert_uint_eq(rt_counter_sum(&s.counter), 2 * 1000 * THREADS);
	for (unsigned i = 0; i < 64; i++)
		used += rt_counter_read(&s.counter, i) > 0;
	ck_assert_uint_eq(used, THREADS);
	rt_counter_destroy(&s.counter);
	rt_cpus_init(&s.cpus, 0);
	ck_assert_uint_ge(rt_cpus_nr(&s.cpus), 1);
	ck_assert_uint_lt(rt_cpu(&s.cpus), rt_cpus_nr(&s.cpus));
	rt_mem_fail_at(1);
	ck_assert_int_eq(rt_counter_init(&s.counter, &s.cpus), -12);
	rt_counter_destroy(&s.counter);
}
END_TEST

/* ---- memory, threads, clock, random ---- */

static void nothing(void *arg)
{
	(void)arg;
}

/* Goal: exactly the n-th allocation fails, of any kind. Method: row by row, then none. */
START_TEST(allocations_fail_as_told)
{
	struct rt_thread *t = NULL;
	void *p;

	for (unsigned n = 1; n <= 5; n++) {
		rt_mem_fail_at(n);
		for (unsigned i = 1; i <= 5; i++) {
			p = i % 4 == 0   ? rt_alloc(8)
			    : i % 4 == 1 ? rt_zalloc(8)
			    : i % 4 == 2 ? rt_zalloc_aligned(128, 128)
					 : rt_strdup("text");
			ck_assert_int_eq(p == NULL, i == n);
			ck_assert_int_eq(rt_mem_fail_struck(), i >= n);
			rt_free(p);
		}
	}
	rt_mem_fail_at(1);
	ck_assert_int_eq(rt_thread_start(nothing, NULL, "none", &t), -12);
	ck_assert_ptr_null(t);
	rt_mem_fail_at(0);
	p = rt_zalloc_aligned(4096, 8192);
	ck_assert_uint_eq((uintptr_t)p % 4096, 0);
	for (int i = 0; i < 8192; i++)
		ck_assert_uint_eq(((uint8_t *)p)[i], 0);
	rt_free(p);
	rt_free(NULL);
}
END_TEST

static void signals_of(void *arg)
{
	sigset_t *set = arg;

	pthread_sigmask(SIG_SETMASK, NULL, set);
}

/* Goal: signals stay with the main thread. Method: look at the mask in a thread and here. */
START_TEST(threads_block_signals)
{
	sigset_t inside, here;
	struct rt_thread *t;

	sigemptyset(&inside);
	ck_assert_int_eq(rt_thread_start(signals_of, &inside, "a-name-longer-than-15", &t), 0);
	rt_thread_join(t);
	pthread_sigmask(SIG_SETMASK, NULL, &here);
	ck_assert(sigismember(&inside, SIGTERM) && sigismember(&inside, SIGINT));
	ck_assert(!sigismember(&here, SIGTERM));
}
END_TEST

/* Goal: time passes forward, and seeds decide random numbers. Method: look twice. */
START_TEST(clock_and_random)
{
	struct rt_rand a = { 42 }, b = { 42 }, c = { 43 };
	uint64_t start = rt_now_ns();
	uint32_t nsec, differ = 0;
	int64_t sec;

	rt_sleep_ns(2000000);
	ck_assert_uint_ge(rt_now_ns() - start, 2000000);
	rt_wall(&sec, &nsec);
	ck_assert_int_gt(sec, 1700000000);
	ck_assert_uint_lt(nsec, 1000000000);
	for (int i = 0; i < 100; i++) {
		uint64_t n = rt_rand_next(&a);

		ck_assert_uint_eq(n, rt_rand_next(&b));
		differ += n != rt_rand_next(&c);
		ck_assert_uint_lt(rt_rand_below(&a, 7), 7);
		rt_rand_below(&b, 7);
	}
	ck_assert_uint_eq(differ, 100);
	ck_assert_uint_ne(rt_rand_seed(), rt_rand_seed());
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("rt");
	TCase *tc = tcase_create("rt");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, locks_exclude);
	tcase_add_test(tc, cond_hands_over);
	tcase_add_test(tc, event_loses_no_wakeup);
	tcase_add_test(tc, event_with_an_old_key_returns);
#ifdef MBFS_LOCKRANK
	tcase_add_loop_test_raise_signal(tc, rank_violation_aborts, SIGABRT, 0, 6);
#endif
	tcase_add_test(tc, ranks_in_order_pass);
	tcase_add_test(tc, counter_adds_up_over_virtual_cpus);
	tcase_add_test(tc, allocations_fail_as_told);
	tcase_add_test(tc, threads_block_signals);
	tcase_add_test(tc, clock_and_random);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
