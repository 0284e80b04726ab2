/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/sync.h spelt out: each call is the pthread or C11 call that one would write without rt. For
 * no_cost.py, which compares what the compiler makes of both. That a thread counts the spinlocks
 * it holds is no cost of rt: to know exactly whether one may sleep takes it (kvfree.c).
 */
#ifndef BARE_SYNC_H
#define BARE_SYNC_H

#include "../../../../src/rt/native/rt_backend/sync.h"

#define BARE_LOAD(p, order)     atomic_load_explicit(&(p)->v, memory_order_##order)
#define BARE_STORE(p, n, order) atomic_store_explicit(&(p)->v, n, memory_order_##order)

static inline void bare_spin_lock(struct rt_spin *l)
{
	pthread_mutex_lock(&l->m);
	rt_spin_held_nr++;
}
static inline bool bare_spin_trylock(struct rt_spin *l)
{
	if (pthread_mutex_trylock(&l->m))
		return false;
	rt_spin_held_nr++;
	return true;
}
static inline void bare_spin_unlock(struct rt_spin *l)
{
	rt_spin_held_nr--;
	pthread_mutex_unlock(&l->m);
}

#define rt_u32_read(p)           BARE_LOAD(p, relaxed)
#define rt_u32_read_acquire(p)   BARE_LOAD(p, acquire)
#define rt_u32_set(p, n)         BARE_STORE(p, n, relaxed)
#define rt_u32_set_release(p, n) BARE_STORE(p, n, release)
#define rt_u32_add(p, n)         ((void)atomic_fetch_add_explicit(&(p)->v, n, memory_order_relaxed))
#define rt_u32_add_return(p, n)  (atomic_fetch_add(&(p)->v, n) + (n))
#define rt_u64_read(p)           BARE_LOAD(p, relaxed)
#define rt_u64_read_acquire(p)   BARE_LOAD(p, acquire)
#define rt_u64_set(p, n)         BARE_STORE(p, n, relaxed)
#define rt_u64_set_release(p, n) BARE_STORE(p, n, release)
#define rt_u64_add(p, n)         ((void)atomic_fetch_add_explicit(&(p)->v, n, memory_order_relaxed))
#define rt_u64_add_return(p, n)  (atomic_fetch_add(&(p)->v, n) + (n))
#define rt_u64_cas(p, old, n)    atomic_compare_exchange_strong(&(p)->v, old, n)
#define rt_stat_add(p, n)        ((void)atomic_fetch_add_explicit(&(p)->v, n, memory_order_relaxed))
#define rt_stat_read(p)          BARE_LOAD(p, relaxed)
#define rt_fence()               atomic_thread_fence(memory_order_seq_cst)
#define rt_spin_held()           (rt_spin_held_nr > 0)
#define rt_spin_lock(l)          bare_spin_lock(l)
#define rt_spin_trylock(l)       bare_spin_trylock(l)
#define rt_spin_unlock(l)        bare_spin_unlock(l)
#define rt_mutex_lock(l)         ((void)pthread_mutex_lock(&(l)->m))
#define rt_mutex_unlock(l)       ((void)pthread_mutex_unlock(&(l)->m))
#define rt_rank_assert_below(r)  ((void)0)

#endif
