/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/rcu.h - read-copy-update and a hash table for RCU readers: the contract.
 *
 *   rt_rcu_read_lock, _unlock      Nest; a reader never sleeps, waits or does I/O. Threads register
 *                                  themselves at their first section and unregister when they end.
 *   rt_rcu_dereference(&ptr)       acquire load of an rt_ptr
 *   rt_rcu_assign(&ptr, v)         release store
 *   rt_rcu_call(head, fn)          fn(head) after a grace period, on some thread that holds no
 *                                  locks of ours; never fails, never blocks. From a reader too.
 *   rt_rcu_synchronize()           All readers that were inside have left. Not from a reader.
 *   rt_rcu_barrier()               All callbacks queued before it have run. Not from a reader or a
 *                                  callback. The caller drains the queue itself (liburcu's own
 *                                  rcu_barrier takes 10 ms whatever is queued: notes/liburcu.md).
 *   rt_rcu_throttle()              Where a thread that queues callbacks holds no spinlock and may
 *                                  sleep: a barrier if so many are queued that the worker has
 *                                  fallen behind. Without it a few hundred busy threads queue
 *                                  faster than one worker, with its share of the CPUs, can free.
 *
 * Polling, for who has much to free and does not want to wait. Any context, never blocks:
 *   rt_rcu_get_state()             A cookie for "all readers inside now have left".
 *   rt_rcu_start_poll()            The same, and somebody is asked to see to it: with the thread of
 *                                  rt_rcu_worker_start() the cookie expires soon (5 ms and a grace
 *                                  period); without, when somebody drains or waits.
 *   rt_rcu_poll_state(cookie)      True: all readers that were inside when the cookie was taken
 *                                  have left, and what they did is seen. Then true for ever. True
 *                                  in a callback for cookies taken before its rt_rcu_call(); a
 *                                  rt_rcu_synchronize() in between need not make it true.
 *   rt_rcu_cond_sync(cookie)       Waits until that is true. Not from a reader.
 *   rt_rcu_same_state(a, b)        Whether they expire together. At any time at most
 *                                  RT_RCU_POLL_ACTIVE different cookies have not expired.
 * A zeroed cookie has expired. What is in a cookie is nobody's business.
 *
 *   struct rt_hash                 A fixed number of buckets, chosen at rt_hash_init().
 *   rt_hash_find(t, key, match, arg)
 *                                  Inside a reader; the node is valid until the section ends.
 *   rt_hash_add_unique(t, key, match, arg, node)
 *                                  Inside a reader; the node that is now in the table.
 *   rt_hash_del(t, node)           Inside a reader; false if somebody else removed it. The node may
 *                                  be freed one grace period later.
 *   rt_hash_for_each(t, fn, arg)   Inside a reader; nodes added meanwhile may be missed; fn returns
 *                                  false to stop.
 *   rt_hash_mix(n)                 A key from an integer.
 */
#ifndef RT_RCU_H
#define RT_RCU_H

#include <stdbool.h>
#include <stdint.h>

enum { RT_RCU_POLL_ACTIVE = 2 };

struct rt_rcu_cookie {
	uint64_t opaque;
};

static inline bool rt_rcu_same_state(struct rt_rcu_cookie a, struct rt_rcu_cookie b)
{
	return a.opaque == b.opaque;
}

#include <rt_backend/rcu.h>

#endif
