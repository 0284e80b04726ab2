// SPDX-License-Identifier: GPL-2.0-only
#include "rt/sync.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPINS = 100 }; /* as glibc's adaptive mutex */

_Thread_local unsigned rt_spin_held_nr;

/*
 * Mutexes that spin a little before they sleep: what is done under most is shorter than the switch
 * to another thread, and under the few that span I/O a hundred turns are lost in it.
 */
static void adaptive_init(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
}

void rt_mutex_init(struct rt_mutex *l, enum lock_rank rank)
{
	adaptive_init(&l->m);
	l->rank = rank;
}

static inline void rt_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void rt_spin_init(struct rt_spin *l, enum lock_rank rank)
{
	adaptive_init(&l->m);
	l->rank = rank;
}

void rt_rwlock_init(struct rt_rwlock *l, enum lock_rank rank)
{
	pthread_rwlockattr_t attr;

	/* glibc's default lets a stream of readers starve a writer for ever. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l->rw, &attr);
	pthread_rwlockattr_destroy(&attr);
	l->rank = rank;
}

/*
 * glibc's sleeps at once. Where a lock is held for less than a microsecond, as that of an extent
 * tree, a switch costs more than all that is done under it.
 */
void rt_rwlock_wait(struct rt_rwlock *l, bool write)
{
	for (unsigned i = 0; i < SPINS; i++) {
		rt_pause();
		if (!(write ? pthread_rwlock_trywrlock(&l->rw) : pthread_rwlock_tryrdlock(&l->rw)))
			return;
	}
	if (write)
		pthread_rwlock_wrlock(&l->rw);
	else
		pthread_rwlock_rdlock(&l->rw);
}

void rt_cond_init(struct rt_cond *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->c, &attr);
	pthread_condattr_destroy(&attr);
}

bool rt_cond_wait(struct rt_cond *c, struct rt_mutex *l, uint64_t timeout_ns)
{
	struct timespec until;
	int err;

	rt_rank_release(l, l->rank);
	if (timeout_ns == 0) {
		err = pthread_cond_wait(&c->c, &l->m);
	} else {
		uint64_t at = rt_now_ns() + timeout_ns;

		until.tv_sec = (time_t)(at / 1000000000ull);
		until.tv_nsec = (long)(at % 1000000000ull);
		err = pthread_cond_timedwait(&c->c, &l->m, &until);
	}
	rt_rank_acquire(l, l->rank, false, true);
	return err != ETIMEDOUT;
}

bool rt_event_sleep(struct rt_event *ev, uint32_t key, uint64_t timeout_ns)
{
	struct timespec ts = { (time_t)(timeout_ns / 1000000000ull),
			       (long)(timeout_ns % 1000000000ull) };
	bool in_time;

	/* As for locks: who is about to signal is often at work on another CPU. */
	for (unsigned i = 0; i < SPINS; i++) {
		if (rt_event_changed(ev, key))
			return true;
		rt_pause();
	}
	rt_u32_add_return(&ev->waiters, 1);
	/* The kernel compares seq with key again under its own lock: a signal since then is not
	 * lost. */
	in_time = syscall(SYS_futex, &ev->seq, FUTEX_WAIT_PRIVATE, key, timeout_ns ? &ts : NULL,
			  NULL, 0) == 0 ||
		  errno != ETIMEDOUT;
	rt_u32_add_return(&ev->waiters, (uint32_t)-1);
	return in_time;
}

bool rt_event_wait_ns(struct rt_event *ev, uint32_t key, uint64_t timeout_ns)
{
	uint64_t until = rt_now_ns() + timeout_ns, now;

	while (!rt_event_changed(ev, key)) {
		now = rt_now_ns();
		if (now >= until || !rt_event_sleep(ev, key, until - now))
			return rt_event_changed(ev, key);
	}
	return true;
}

void rt_event_wake(struct rt_event *ev)
{
	syscall(SYS_futex, &ev->seq, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

uint64_t rt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

void rt_wall(int64_t *sec, uint32_t *nsec)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	*sec = ts.tv_sec;
	*nsec = (uint32_t)ts.tv_nsec;
}

void rt_sleep_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000ull), (long)(ns % 1000000000ull) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

uint64_t rt_rand_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = rt_now_ns() ^ (uint64_t)getpid() << 32;
	return seed;
}

#ifdef MBFS_LOCKRANK
/* The locks this thread holds, in the order taken. */
enum { RANK_HELD_MAX = 24 };
static _Thread_local struct {
	const void *lock[RANK_HELD_MAX];
	enum lock_rank rank[RANK_HELD_MAX];
	unsigned nr;
} rank_held;

static enum lock_rank rank_top(void)
{
	enum lock_rank top = RANK_NONE;

	for (unsigned i = 0; i < rank_held.nr; i++)
		if (rank_held.rank[i] > top)
			top = rank_held.rank[i];
	return top;
}

_Noreturn static void rank_violation(const char *what, enum lock_rank rank)
{
	fprintf(stderr, "mbfs: lock rank: %s %d while holding", what, rank);
	for (unsigned i = 0; i < rank_held.nr; i++)
		fprintf(stderr, " %d", rank_held.rank[i]);
	fprintf(stderr, "\n");
	abort();
}

void rt_rank_acquire(const void *lock, enum lock_rank rank, bool nested, bool try)
{
	if (rank == RANK_NONE)
		return;
	/* A trylock cannot deadlock, so it may be taken out of order. */
	if (!try && (nested ? rank < rank_top() : rank <= rank_top()))
		rank_violation("taking", rank);
	MBFS_ASSERT(rank_held.nr < RANK_HELD_MAX);
	rank_held.lock[rank_held.nr] = lock;
	rank_held.rank[rank_held.nr++] = rank;
}

void rt_rank_release(const void *lock, enum lock_rank rank)
{
	if (rank == RANK_NONE)
		return;
	for (unsigned i = rank_held.nr; i-- > 0;) {
		if (rank_held.lock[i] != lock)
			continue;
		for (unsigned j = i + 1; j < rank_held.nr; j++) {
			rank_held.lock[j - 1] = rank_held.lock[j];
			rank_held.rank[j - 1] = rank_held.rank[j];
		}
		rank_held.nr--;
		return;
	}
	rank_violation("releasing a lock not held,", rank);
}

void rt_rank_assert_below(enum lock_rank rank)
{
	if (rank_top() >= rank)
		rank_violation("must hold nothing from", rank);
}
#endif
