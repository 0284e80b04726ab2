/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Explorer's back end of rt/rcu.h. A callback may run as soon as all sections that were open when
 * it was queued have ended, and at any later moment: one simulated thread runs them in order.
 */
#ifndef RT_BACKEND_RCU_H
#define RT_BACKEND_RCU_H

#include "rt/sync.h"

void ex_rcu_read_lock(const struct ex_site *site);
void ex_rcu_read_unlock(const struct ex_site *site);
bool rt_rcu_in_reader(void);
#define rt_rcu_read_lock()   ex_rcu_read_lock(EX_SITE(""))
#define rt_rcu_read_unlock() ex_rcu_read_unlock(EX_SITE(""))

#define rt_rcu_dereference(p) rt_ptr_read_acquire(p)
#define rt_rcu_assign(p, v)   rt_ptr_set_release(p, v)

struct rt_rcu_head {
	struct rt_rcu_head *next;
	void (*fn)(struct rt_rcu_head *head);
	uint64_t at; /* when it was queued */
	uint64_t gp; /* the cookie of that moment, if somebody polls */
	const struct ex_site *site;
};

void ex_rcu_call(struct rt_rcu_head *head, void (*fn)(struct rt_rcu_head *head),
		 const struct ex_site *site);
void ex_rcu_synchronize(const struct ex_site *site);
void ex_rcu_barrier(const struct ex_site *site);
#define rt_rcu_call(head, fn) ex_rcu_call(head, fn, EX_SITE(#head))
#define rt_rcu_synchronize()  ex_rcu_synchronize(EX_SITE(""))
#define rt_rcu_barrier()      ex_rcu_barrier(EX_SITE(""))

struct rt_rcu_cookie ex_rcu_get_state(bool start, const struct ex_site *site);
bool ex_rcu_poll_state(struct rt_rcu_cookie cookie, const struct ex_site *site);
void ex_rcu_cond_sync(struct rt_rcu_cookie cookie, const struct ex_site *site);
#define rt_rcu_get_state()      ex_rcu_get_state(false, EX_SITE(""))
#define rt_rcu_start_poll()     ex_rcu_get_state(true, EX_SITE(""))
#define rt_rcu_poll_state(c)    ex_rcu_poll_state(c, EX_SITE(#c))
#define rt_rcu_cond_sync(c)     ex_rcu_cond_sync(c, EX_SITE(#c))

/* The queue of an execution is never long. */
static inline void rt_rcu_throttle(void)
{
}

int rt_rcu_worker_start(void);
void ex_rcu_worker_stop(const struct ex_site *site);
#define rt_rcu_worker_stop() ex_rcu_worker_stop(EX_SITE(""))

/* ---- hash table ---- */
struct rt_hash_node {
	struct rt_hash_node *next;
	unsigned long key;
	bool is_in;
};
struct rt_hash {
	struct ex_bucket {
		struct rt_hash_node *first;
		struct ex_obj o;
	} * buckets;
	unsigned long nr;
};
typedef int (*rt_hash_match)(struct rt_hash_node *node, const void *arg);

static inline unsigned long rt_hash_mix(uint64_t n)
{
	n = (n ^ (n >> 32)) * 0x9E3779B97F4A7C15ull;
	return (unsigned long)(n ^ (n >> 29));
}

int rt_hash_init(struct rt_hash *t, unsigned long buckets);
void rt_hash_destroy(struct rt_hash *t); /* the table is empty */
struct rt_hash_node *ex_hash_find(struct rt_hash *t, unsigned long key, rt_hash_match match,
				  const void *arg, const struct ex_site *site);
struct rt_hash_node *ex_hash_add_unique(struct rt_hash *t, unsigned long key, rt_hash_match match,
					const void *arg, struct rt_hash_node *node,
					const struct ex_site *site);
bool ex_hash_del(struct rt_hash *t, struct rt_hash_node *node, const struct ex_site *site);
void ex_hash_for_each(struct rt_hash *t, bool (*fn)(struct rt_hash_node *node, void *arg),
		      void *arg, const struct ex_site *site);
#define rt_hash_find(t, key, match, arg) ex_hash_find(t, key, match, arg, EX_SITE(#t))
#define rt_hash_add_unique(t, key, match, arg, node) \
	ex_hash_add_unique(t, key, match, arg, node, EX_SITE(#t))
#define rt_hash_del(t, node)         ex_hash_del(t, node, EX_SITE(#t))
#define rt_hash_for_each(t, fn, arg) ex_hash_for_each(t, fn, arg, EX_SITE(#t))

#endif
