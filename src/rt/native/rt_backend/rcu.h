/* SPDX-License-Identifier: GPL-2.0-only */
/* Native back end of rt/rcu.h: liburcu, memb flavour. */
#ifndef RT_BACKEND_RCU_H
#define RT_BACKEND_RCU_H

#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>

#include "rt/sync.h"

extern _Thread_local bool rt_rcu_registered;
void rt_rcu_register_thread(void);

#if defined(__SANITIZE_THREAD__)
/* liburcu 0.13 orders readers and updaters in a way TSan cannot see: tell it. */
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char rt_rcu_tsan_token;
#endif

static inline void rt_rcu_read_lock(void)
{
	if (__builtin_expect(!rt_rcu_registered, 0))
		rt_rcu_register_thread();
	urcu_memb_read_lock();
}

static inline void rt_rcu_read_unlock(void)
{
#if defined(__SANITIZE_THREAD__)
	__tsan_release(&rt_rcu_tsan_token);
#endif
	urcu_memb_read_unlock();
}

static inline bool rt_rcu_in_reader(void)
{
	return rt_rcu_registered && urcu_memb_read_ongoing();
}

#define rt_rcu_dereference(p) rt_ptr_read_acquire(p)
#define rt_rcu_assign(p, v)   rt_ptr_set_release(p, v)

struct rt_rcu_head {
	struct rt_rcu_head *next;
	void (*fn)(struct rt_rcu_head *head);
};

void rt_rcu_call(struct rt_rcu_head *head, void (*fn)(struct rt_rcu_head *head));
void rt_rcu_synchronize(void);
void rt_rcu_barrier(void);
void rt_rcu_throttle(void);
struct rt_rcu_cookie rt_rcu_get_state(void);
struct rt_rcu_cookie rt_rcu_start_poll(void);
bool rt_rcu_poll_state(struct rt_rcu_cookie cookie);
void rt_rcu_cond_sync(struct rt_rcu_cookie cookie);

/*
 * The thread that drains the callback queue in the background. Without it callbacks wait for the
 * next barrier or throttle. Counted: stop matches start; the last stop drains. Started after any
 * fork (threads do not survive one).
 */
int rt_rcu_worker_start(void);
void rt_rcu_worker_stop(void);

/* ---- hash table ---- */
struct rt_hash {
	struct cds_lfht *ht;
};
struct rt_hash_node {
	struct cds_lfht_node n;
};
typedef int (*rt_hash_match)(struct rt_hash_node *node, const void *arg);

static inline unsigned long rt_hash_mix(uint64_t n)
{
	n = (n ^ (n >> 32)) * 0x9E3779B97F4A7C15ull;
	return (unsigned long)(n ^ (n >> 29));
}

int rt_hash_init(struct rt_hash *t, unsigned long buckets);
void rt_hash_destroy(struct rt_hash *t); /* the table is empty */
struct rt_hash_node *rt_hash_find(struct rt_hash *t, unsigned long key, rt_hash_match match,
				  const void *arg);
struct rt_hash_node *rt_hash_add_unique(struct rt_hash *t, unsigned long key, rt_hash_match match,
					const void *arg, struct rt_hash_node *node);
bool rt_hash_del(struct rt_hash *t, struct rt_hash_node *node);
void rt_hash_for_each(struct rt_hash *t, bool (*fn)(struct rt_hash_node *node, void *arg),
		      void *arg);

#endif
