/* SPDX-License-Identifier: GPL-2.0-only */
/* Native back end of rt/sync.h: C11 atomics, pthreads, futex. */
#ifndef RT_BACKEND_SYNC_H
#define RT_BACKEND_SYNC_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "rt/lockrank.h"

/* ---- atomics ---- */
typedef struct { _Atomic(uint32_t) v; } rt_u32;
typedef struct { _Atomic(uint64_t) v; } rt_u64;
typedef struct { _Atomic(void *) v; } rt_ptr;

#define RT_ATOMIC_FUNCS(name, ctype)                                                               \
	static inline ctype name##_read(const name *p)                                             \
	{                                                                                          \
		return atomic_load_explicit(&p->v, memory_order_relaxed);                          \
	}                                                                                          \
	static inline ctype name##_read_acquire(const name *p)                                     \
	{                                                                                          \
		return atomic_load_explicit(&p->v, memory_order_acquire);                          \
	}                                                                                          \
	static inline void name##_set(name *p, ctype v)                                            \
	{                                                                                          \
		atomic_store_explicit(&p->v, v, memory_order_relaxed);                             \
	}                                                                                          \
	static inline void name##_set_release(name *p, ctype v)                                    \
	{                                                                                          \
		atomic_store_explicit(&p->v, v, memory_order_release);                             \
	}                                                                                          \
	static inline bool name##_cas(name *p, ctype *old, ctype v)                                \
	{                                                                                          \
		return atomic_compare_exchange_strong(&p->v, old, v);                              \
	}                                                                                          \
	static inline ctype name##_xchg(name *p, ctype v)                                          \
	{                                                                                          \
		return atomic_exchange(&p->v, v);                                                  \
	}
#define RT_ATOMIC_ARITH(name, ctype)                                                               \
	static inline void name##_add(name *p, ctype n)                                            \
	{                                                                                          \
		atomic_fetch_add_explicit(&p->v, n, memory_order_relaxed);                         \
	}                                                                                          \
	static inline ctype name##_add_return(name *p, ctype n)                                    \
	{                                                                                          \
		return atomic_fetch_add(&p->v, n) + n;                                             \
	}

RT_ATOMIC_FUNCS(rt_u32, uint32_t)
RT_ATOMIC_FUNCS(rt_u64, uint64_t)
RT_ATOMIC_FUNCS(rt_ptr, void *)
RT_ATOMIC_ARITH(rt_u32, uint32_t)
RT_ATOMIC_ARITH(rt_u64, uint64_t)

/* ---- statistics ---- */
typedef struct { _Atomic(uint64_t) v; } rt_stat;

static inline void rt_stat_add(rt_stat *p, uint64_t n)
{
	atomic_fetch_add_explicit(&p->v, n, memory_order_relaxed);
}
static inline uint64_t rt_stat_read(const rt_stat *p)
{
	return atomic_load_explicit(&p->v, memory_order_relaxed);
}

static inline void rt_fence(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

/* ---- lock ranks ---- */
#ifdef MBFS_LOCKRANK
void rt_rank_acquire(const void *lock, enum lock_rank rank, bool nested, bool try);
void rt_rank_release(const void *lock, enum lock_rank rank);
/* No lock of this thread has @rank or above. */
void rt_rank_assert_below(enum lock_rank rank);
#else
static inline void rt_rank_acquire(const void *lock, enum lock_rank rank, bool nested, bool try)
{
	(void)lock, (void)rank, (void)nested, (void)try;
}
static inline void rt_rank_release(const void *lock, enum lock_rank rank)
{
	(void)lock, (void)rank;
}
static inline void rt_rank_assert_below(enum lock_rank rank)
{
	(void)rank;
}
#endif

/* ---- mutex ---- */
struct rt_mutex {
	pthread_mutex_t m;
	enum lock_rank rank;
};

void rt_mutex_init(struct rt_mutex *l, enum lock_rank rank);

static inline void rt_mutex_destroy(struct rt_mutex *l)
{
	pthread_mutex_destroy(&l->m);
}
static inline void rt_mutex_lock(struct rt_mutex *l)
{
	rt_rank_acquire(l, l->rank, false, false);
	pthread_mutex_lock(&l->m);
}
static inline void rt_mutex_lock_nested(struct rt_mutex *l)
{
	rt_rank_acquire(l, l->rank, true, false);
	pthread_mutex_lock(&l->m);
}
static inline bool rt_mutex_trylock(struct rt_mutex *l)
{
	if (pthread_mutex_trylock(&l->m))
		return false;
	rt_rank_acquire(l, l->rank, false, true);
	return true;
}
static inline void rt_mutex_unlock(struct rt_mutex *l)
{
	rt_rank_release(l, l->rank);
	pthread_mutex_unlock(&l->m);
}

/*
 * ---- spinlock ---- An adaptive mutex: spins a little, then sleeps in the kernel. With more
 * threads than CPUs a pure spinlock burns whole time slices while its holder is preempted.
 */
struct rt_spin {
	pthread_mutex_t m;
	enum lock_rank rank;
};

/* Of the calling thread. Counting costs less than can be measured beside the two calls. */
extern _Thread_local unsigned rt_spin_held_nr;

static inline bool rt_spin_held(void)
{
	return rt_spin_held_nr > 0;
}

void rt_spin_init(struct rt_spin *l, enum lock_rank rank);

static inline void rt_spin_destroy(struct rt_spin *l)
{
	pthread_mutex_destroy(&l->m);
}
static inline void rt_spin_lock(struct rt_spin *l)
{
	rt_rank_acquire(l, l->rank, false, false);
	pthread_mutex_lock(&l->m);
	rt_spin_held_nr++;
}
static inline void rt_spin_lock_nested(struct rt_spin *l)
{
	rt_rank_acquire(l, l->rank, true, false);
	pthread_mutex_lock(&l->m);
	rt_spin_held_nr++;
}
static inline bool rt_spin_trylock(struct rt_spin *l)
{
	if (pthread_mutex_trylock(&l->m))
		return false;
	rt_spin_held_nr++;
	rt_rank_acquire(l, l->rank, false, true);
	return true;
}
static inline void rt_spin_unlock(struct rt_spin *l)
{
	rt_rank_release(l, l->rank);
	rt_spin_held_nr--;
	pthread_mutex_unlock(&l->m);
}

/* ---- reader-writer lock ---- */
struct rt_rwlock {
	pthread_rwlock_t rw;
	enum lock_rank rank;
};

void rt_rwlock_init(struct rt_rwlock *l, enum lock_rank rank);
void rt_rwlock_wait(struct rt_rwlock *l, bool write); /* spins a little, then sleeps */

static inline void rt_rwlock_destroy(struct rt_rwlock *l)
{
	pthread_rwlock_destroy(&l->rw);
}
static inline void rt_read_lock(struct rt_rwlock *l)
{
	rt_rank_acquire(l, l->rank, false, false);
	if (pthread_rwlock_tryrdlock(&l->rw))
		rt_rwlock_wait(l, false);
}
static inline void rt_write_lock(struct rt_rwlock *l)
{
	rt_rank_acquire(l, l->rank, false, false);
	if (pthread_rwlock_trywrlock(&l->rw))
		rt_rwlock_wait(l, true);
}
static inline void rt_write_lock_nested(struct rt_rwlock *l)
{
	rt_rank_acquire(l, l->rank, true, false);
	if (pthread_rwlock_trywrlock(&l->rw))
		rt_rwlock_wait(l, true);
}
static inline bool rt_write_trylock(struct rt_rwlock *l)
{
	if (pthread_rwlock_trywrlock(&l->rw))
		return false;
	rt_rank_acquire(l, l->rank, false, true);
	return true;
}
static inline void rt_read_unlock(struct rt_rwlock *l)
{
	rt_rank_release(l, l->rank);
	pthread_rwlock_unlock(&l->rw);
}
static inline void rt_write_unlock(struct rt_rwlock *l)
{
	rt_read_unlock(l); /* pthreads has one for both */
}

/* ---- condition variable ---- */
struct rt_cond {
	pthread_cond_t c;
};

void rt_cond_init(struct rt_cond *c);
/* Sleeps with @l released, at most @timeout_ns (0: no limit); false when the time ran out. */
bool rt_cond_wait(struct rt_cond *c, struct rt_mutex *l, uint64_t timeout_ns);

static inline void rt_cond_destroy(struct rt_cond *c)
{
	pthread_cond_destroy(&c->c);
}
static inline void rt_cond_signal(struct rt_cond *c)
{
	pthread_cond_signal(&c->c);
}
static inline void rt_cond_broadcast(struct rt_cond *c)
{
	pthread_cond_broadcast(&c->c);
}

/* ---- event count ---- */
struct rt_event {
	rt_u32 seq;	/* [atomic] signals so far, wraps */
	rt_u32 waiters; /* [atomic] threads in or on their way into the futex */
};

/* At most @timeout_ns; 0: no limit. False when the time ran out. */
bool rt_event_sleep(struct rt_event *ev, uint32_t key, uint64_t timeout_ns);
void rt_event_wake(struct rt_event *ev);

static inline void rt_event_init(struct rt_event *ev)
{
	rt_u32_set(&ev->seq, 0);
	rt_u32_set(&ev->waiters, 0);
}
static inline uint32_t rt_event_key(const struct rt_event *ev)
{
	return rt_u32_read_acquire(&ev->seq);
}
static inline bool rt_event_changed(const struct rt_event *ev, uint32_t key)
{
	return rt_u32_read_acquire(&ev->seq) != key;
}
/* The seq_cst increment and the read of waiters pair with those of rt_event_sleep(). */
static inline void rt_event_signal(struct rt_event *ev)
{
	rt_u32_add_return(&ev->seq, 1);
	if (atomic_load(&ev->waiters.v))
		rt_event_wake(ev);
}
static inline void rt_event_wait(struct rt_event *ev, uint32_t key)
{
	while (!rt_event_changed(ev, key))
		rt_event_sleep(ev, key, 0);
}
bool rt_event_wait_ns(struct rt_event *ev, uint32_t key, uint64_t timeout_ns);

/* ---- clock and random ---- */
uint64_t rt_now_ns(void);
void rt_wall(int64_t *sec, uint32_t *nsec);
void rt_sleep_ns(uint64_t ns);

static inline void rt_yield(void)
{
	sched_yield();
}

struct rt_rand {
	uint64_t state;
};

uint64_t rt_rand_seed(void);

/* splitmix64: every seed is a good one. */
static inline uint64_t rt_rand_next(struct rt_rand *r)
{
	uint64_t z = (r->state += 0x9E3779B97F4A7C15ull);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
	return z ^ (z >> 31);
}
/* Uniform enough in [0, n); n > 0. */
static inline uint64_t rt_rand_below(struct rt_rand *r, uint64_t n)
{
	return rt_rand_next(r) % n;
}

#endif
