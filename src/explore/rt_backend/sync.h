/* SPDX-License-Identifier: GPL-2.0-only */
/* Explorer's back end of rt/sync.h: simulated atomics, locks, waiting, clock, random numbers. */
#ifndef RT_BACKEND_SYNC_H
#define RT_BACKEND_SYNC_H

#include "explore/model.h"

/* ---- atomics ---- */
typedef struct {
	uint32_t v;
	struct ex_obj o;
} rt_u32;
typedef struct {
	uint64_t v;
	struct ex_obj o;
} rt_u64;
typedef struct {
	void *v;
	struct ex_obj o;
} rt_ptr;

#define EX_ATOMIC_DECLS(name, ctype)                                                           \
	ctype ex_##name##_read(const rt_##name *p, bool acquire, const struct ex_site *site);  \
	void ex_##name##_set(rt_##name *p, ctype v, bool release, const struct ex_site *site); \
	bool ex_##name##_cas(rt_##name *p, ctype *old, ctype v, const struct ex_site *site);   \
	ctype ex_##name##_xchg(rt_##name *p, ctype v, const struct ex_site *site);
#define EX_ARITH_DECLS(name, ctype)                                              \
	void ex_##name##_add(rt_##name *p, ctype n, const struct ex_site *site); \
	ctype ex_##name##_add_return(rt_##name *p, ctype n, const struct ex_site *site);
EX_ATOMIC_DECLS(u32, uint32_t)
EX_ATOMIC_DECLS(u64, uint64_t)
EX_ATOMIC_DECLS(ptr, void *)
EX_ARITH_DECLS(u32, uint32_t)
EX_ARITH_DECLS(u64, uint64_t)

#define rt_u32_read(p)           ex_u32_read(p, false, EX_SITE(#p))
#define rt_u32_read_acquire(p)   ex_u32_read(p, true, EX_SITE(#p))
#define rt_u32_set(p, v)         ex_u32_set(p, v, false, EX_SITE(#p))
#define rt_u32_set_release(p, v) ex_u32_set(p, v, true, EX_SITE(#p))
#define rt_u32_cas(p, old, v)    ex_u32_cas(p, old, v, EX_SITE(#p))
#define rt_u32_xchg(p, v)        ex_u32_xchg(p, v, EX_SITE(#p))
#define rt_u32_add(p, n)         ex_u32_add(p, n, EX_SITE(#p))
#define rt_u32_add_return(p, n)  ex_u32_add_return(p, n, EX_SITE(#p))
#define rt_u64_read(p)           ex_u64_read(p, false, EX_SITE(#p))
#define rt_u64_read_acquire(p)   ex_u64_read(p, true, EX_SITE(#p))
#define rt_u64_set(p, v)         ex_u64_set(p, v, false, EX_SITE(#p))
#define rt_u64_set_release(p, v) ex_u64_set(p, v, true, EX_SITE(#p))
#define rt_u64_cas(p, old, v)    ex_u64_cas(p, old, v, EX_SITE(#p))
#define rt_u64_xchg(p, v)        ex_u64_xchg(p, v, EX_SITE(#p))
#define rt_u64_add(p, n)         ex_u64_add(p, n, EX_SITE(#p))
#define rt_u64_add_return(p, n)  ex_u64_add_return(p, n, EX_SITE(#p))
#define rt_ptr_read(p)           ex_ptr_read(p, false, EX_SITE(#p))
#define rt_ptr_read_acquire(p)   ex_ptr_read(p, true, EX_SITE(#p))
#define rt_ptr_set(p, v)         ex_ptr_set(p, v, false, EX_SITE(#p))
#define rt_ptr_set_release(p, v) ex_ptr_set(p, v, true, EX_SITE(#p))
#define rt_ptr_cas(p, old, v)    ex_ptr_cas(p, (void **)(old), v, EX_SITE(#p))
#define rt_ptr_xchg(p, v)        ex_ptr_xchg(p, v, EX_SITE(#p))

/* No scheduling point: nothing that a schedule can change depends on statistics. */
typedef struct {
	uint64_t v;
} rt_stat;

static inline void rt_stat_add(rt_stat *p, uint64_t n)
{
	__atomic_fetch_add(&p->v, n, __ATOMIC_RELAXED);
}
static inline uint64_t rt_stat_read(const rt_stat *p)
{
	return __atomic_load_n(&p->v, __ATOMIC_RELAXED);
}

void ex_fence_at(const struct ex_site *site);
#define rt_fence() ex_fence_at(EX_SITE(""))

/* ---- lock ranks: always checked ---- */
void ex_rank_assert_below(enum lock_rank rank, const struct ex_site *site);
#define rt_rank_assert_below(rank) ex_rank_assert_below(rank, EX_SITE(#rank))

/* ---- mutex and spinlock ---- */
struct ex_lock {
	uint32_t owner; /* thread + 1; 0: free */
	enum lock_rank rank;
	const struct ex_site *taken, *made;
	struct ex_obj o;
};
struct rt_mutex {
	struct ex_lock l;
};
struct rt_spin {
	struct ex_lock l;
};

void ex_lock_init(struct ex_lock *l, enum lock_rank rank, const struct ex_site *site);
void ex_lock_destroy(struct ex_lock *l, const struct ex_site *site);
void ex_lock_take(struct ex_lock *l, bool spin, bool nested, const struct ex_site *site);
bool ex_lock_try(struct ex_lock *l, bool spin, const struct ex_site *site);
void ex_lock_drop(struct ex_lock *l, bool spin, const struct ex_site *site);

bool rt_spin_held(void);

#define rt_mutex_init(m, rank)  ex_lock_init(&(m)->l, rank, EX_SITE(#m))
#define rt_spin_init(m, rank)   ex_lock_init(&(m)->l, rank, EX_SITE(#m))
#define rt_mutex_destroy(m)     ex_lock_destroy(&(m)->l, EX_SITE(#m))
#define rt_mutex_lock(m)        ex_lock_take(&(m)->l, false, false, EX_SITE(#m))
#define rt_mutex_lock_nested(m) ex_lock_take(&(m)->l, false, true, EX_SITE(#m))
#define rt_mutex_trylock(m)     ex_lock_try(&(m)->l, false, EX_SITE(#m))
#define rt_mutex_unlock(m)      ex_lock_drop(&(m)->l, false, EX_SITE(#m))
#define rt_spin_destroy(m)      ex_lock_destroy(&(m)->l, EX_SITE(#m))
#define rt_spin_lock(m)         ex_lock_take(&(m)->l, true, false, EX_SITE(#m))
#define rt_spin_lock_nested(m)  ex_lock_take(&(m)->l, true, true, EX_SITE(#m))
#define rt_spin_trylock(m)      ex_lock_try(&(m)->l, true, EX_SITE(#m))
#define rt_spin_unlock(m)       ex_lock_drop(&(m)->l, true, EX_SITE(#m))

/* ---- reader-writer lock ---- */
struct rt_rwlock {
	uint32_t readers; /* bit per thread */
	struct ex_lock l; /* the writer */
};

void ex_read_lock(struct rt_rwlock *l, const struct ex_site *site);
void ex_read_unlock(struct rt_rwlock *l, const struct ex_site *site);
void ex_write_lock(struct rt_rwlock *l, bool nested, const struct ex_site *site);
bool ex_write_try(struct rt_rwlock *l, const struct ex_site *site);
void ex_write_unlock(struct rt_rwlock *l, const struct ex_site *site);

void ex_rwlock_init(struct rt_rwlock *l, enum lock_rank rank, const struct ex_site *site);
#define rt_rwlock_init(m, rank) ex_rwlock_init(m, rank, EX_SITE(#m))
#define rt_rwlock_destroy(m)    ex_lock_destroy(&(m)->l, EX_SITE(#m))
#define rt_read_lock(m)         ex_read_lock(m, EX_SITE(#m))
#define rt_read_unlock(m)       ex_read_unlock(m, EX_SITE(#m))
#define rt_write_lock(m)        ex_write_lock(m, false, EX_SITE(#m))
#define rt_write_trylock(m)     ex_write_try(m, EX_SITE(#m))
#define rt_write_lock_nested(m) ex_write_lock(m, true, EX_SITE(#m))
#define rt_write_unlock(m)      ex_write_unlock(m, EX_SITE(#m))

/* ---- condition variable ---- */
struct rt_cond {
	uint32_t waiters; /* bit per thread that waits and was not signalled */
	struct ex_obj o;
};

bool ex_cond_wait(struct rt_cond *c, struct rt_mutex *l, uint64_t timeout_ns,
		  const struct ex_site *site);
void ex_cond_wake(struct rt_cond *c, bool all, const struct ex_site *site);
void ex_cond_destroy(struct rt_cond *c, const struct ex_site *site);

static inline void rt_cond_init(struct rt_cond *c)
{
	*c = (struct rt_cond){ 0 };
}
#define rt_cond_wait(c, l, ns) ex_cond_wait(c, l, ns, EX_SITE(#c))
#define rt_cond_destroy(c)     ex_cond_destroy(c, EX_SITE(#c))
#define rt_cond_signal(c)      ex_cond_wake(c, false, EX_SITE(#c))
#define rt_cond_broadcast(c)   ex_cond_wake(c, true, EX_SITE(#c))

/* ---- event count ---- */
struct rt_event {
	uint32_t seq;
	struct ex_obj o;
};

uint32_t ex_event_key(const struct rt_event *ev, const struct ex_site *site);
void ex_event_signal(struct rt_event *ev, const struct ex_site *site);
bool ex_event_wait(struct rt_event *ev, uint32_t key, uint64_t timeout_ns,
		   const struct ex_site *site);

static inline void rt_event_init(struct rt_event *ev)
{
	*ev = (struct rt_event){ 0 };
}
#define rt_event_key(ev)          ex_event_key(ev, EX_SITE(#ev))
#define rt_event_changed(ev, key) (ex_event_key(ev, EX_SITE(#ev)) != (key))
#define rt_event_signal(ev)       ex_event_signal(ev, EX_SITE(#ev))
#define rt_event_wait(ev, key)    ((void)ex_event_wait(ev, key, 0, EX_SITE(#ev)))
#define rt_event_wait_ns(ev, key, ns) ex_event_wait(ev, key, ns, EX_SITE(#ev))

/* ---- clock and random ---- */
/* Virtual time: it moves when a thread sleeps or a timed wait runs out. Looking is no visible op.
 */
uint64_t ex_now_ns(const struct ex_site *site);
void ex_sleep_ns(uint64_t ns, const struct ex_site *site);
void ex_yield(const struct ex_site *site);
void rt_wall(int64_t *sec, uint32_t *nsec);
uint64_t rt_rand_seed(void);
#define rt_now_ns()     ex_now_ns(EX_SITE("clock"))
#define rt_sleep_ns(ns) ex_sleep_ns(ns, EX_SITE(#ns))
#define rt_yield()      ex_yield(EX_SITE(""))

struct rt_rand {
	uint64_t state;
};

/* splitmix64, as in the native back end: the same seed gives the same numbers there. */
static inline uint64_t rt_rand_next(struct rt_rand *r)
{
	uint64_t z = (r->state += 0x9E3779B97F4A7C15ull);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
	return z ^ (z >> 31);
}
static inline uint64_t rt_rand_below(struct rt_rand *r, uint64_t n)
{
	return rt_rand_next(r) % n;
}

#endif
