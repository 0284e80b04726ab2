/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/wq.h - workqueues and completions, with the kernel's semantics. One implementation for both
 * back ends (wq.c), written on locks and event counts of rt/sync.h.
 *
 * A work item is the caller's memory: zeroed or rt_work_init(), and with one workqueue at a time.
 * Its function runs on a thread of the queue, holds no locks, may sleep, may queue its own item
 * again and, as its last deed, free it. An item never runs on two threads at once.
 */
#ifndef RT_WQ_H
#define RT_WQ_H

#include "base/containers.h"
#include "rt/sync.h"

enum { RT_WQ_ACTIVE_MAX = 64 };

struct rt_wq;

struct rt_work {
	void (*fn)(struct rt_work *work); /* [const] */
	TAILQ_ENTRY(rt_work) link;        /* [wq] */
	uint64_t seq;                     /* number of its last queueing [wq] */
	uint64_t due_ns;                  /* RT_WORK_TIMER: when it is queued [wq] */
	uint32_t cancels;                 /* rt_wq_cancel_sync() calls going on [wq] */
	enum { RT_WORK_IDLE, RT_WORK_TIMER, RT_WORK_PENDING } state; /* [wq] */
};

static inline void rt_work_init(struct rt_work *work, void (*fn)(struct rt_work *work))
{
	*work = (struct rt_work){ .fn = fn };
}

/*
 * rt_wq_create - @max_active threads (1..RT_WQ_ACTIVE_MAX), so many items run at once
 * @max_active: 1 is an ordered queue: items run one at a time, in the order queued
 * Errors:  -ENOMEM, -EAGAIN (no thread); nothing is left. Context: may sleep.
 */
int rt_wq_create(const char *name, unsigned max_active, struct rt_wq **out);

/*
 * rt_wq_destroy - drains and frees. No delayed item is left (cancel it first), nobody else queues.
 * Context: may sleep; not from an item of the queue.
 */
void rt_wq_destroy(struct rt_wq *wq);

/*
 * rt_wq_queue - run @work soon
 * Returns false, and changes nothing, if it is pending already (also: waits for its time), or is
 * being cancelled. An item that runs is queued again. What came before the call that returned true
 * is seen by the run; so is what came before one that returned false because it was pending.
 * Context: any: under spinlocks below RANK_WQ, in an RCU reader or callback; never allocates.
 */
bool rt_wq_queue(struct rt_wq *wq, struct rt_work *work);

/* The same in @delay_ns from now (0: at once); never earlier. */
bool rt_wq_queue_delayed(struct rt_wq *wq, struct rt_work *work, uint64_t delay_ns);

/* Whether it is pending, waits for its time or runs; stale at once unless the caller knows more. */
bool rt_wq_busy(struct rt_wq *wq, struct rt_work *work);

/*
 * rt_wq_flush_work - wait until the last queueing of @work before this call has run; one that waits
 * for its time is queued at once. False if there was nothing to wait for.
 * Context: may sleep; not from the item itself; hold no lock that it takes.
 */
bool rt_wq_flush_work(struct rt_wq *wq, struct rt_work *work);

/* Wait for all items that were queued before; not for those whose time has not come. Likewise. */
void rt_wq_flush(struct rt_wq *wq);

/* Take @work out if it is pending or waits for its time (true); does not wait for a run. Any. */
bool rt_wq_cancel(struct rt_wq *wq, struct rt_work *work);

/*
 * rt_wq_cancel_sync - neither pending nor running on return, though it queues itself
 * Queueing it meanwhile does nothing. True if it was pending. Context: as rt_wq_flush_work().
 */
bool rt_wq_cancel_sync(struct rt_wq *wq, struct rt_work *work);

/* Wait until the queue is empty and idle. Meanwhile only its own items may queue (asserted). */
void rt_wq_drain(struct rt_wq *wq);

/*
 * struct rt_completion - counts complete() calls that nobody has waited for yet. Who has waited may
 * free it at once.
 */
struct rt_completion {
	struct rt_spin lock; /* rank WQ */
	uint32_t done;       /* UINT32_MAX: for ever [lock] */
	struct rt_event ev;
};

void rt_completion_init(struct rt_completion *c);
void rt_completion_destroy(struct rt_completion *c); /* nobody waits */
void rt_completion_reinit(struct rt_completion *c);  /* nobody waits; forgets what was completed */
void rt_complete(struct rt_completion *c);           /* one waiter goes on; any context */
void rt_complete_all(struct rt_completion *c);       /* all go on, also those to come */
void rt_completion_wait(struct rt_completion *c);    /* may sleep */
/* At most @timeout_ns (> 0): false when the time ran out. */
bool rt_completion_wait_ns(struct rt_completion *c, uint64_t timeout_ns);
bool rt_completion_try(struct rt_completion *c); /* without waiting */

#endif
