// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workqueues and completions on rt's own primitives, so that the explorer sees each step.
 *
 * A queue is a list of pending items, a list of items whose time has not come, and its threads.
 * All of it is under one spinlock, which is never held while an item runs. Each thread has an event
 * count of its own: who queues takes one thread off the list of idle ones and signals that one. A
 * thread takes its event's key under the lock before it goes to sleep, and is signalled only by who
 * took it off the list under the lock: no wake-up is lost. One idle thread at a time is the keeper,
 * who sleeps no longer than to the first due time.
 *
 * Pairs that run together: queue with queue, cancel and the thread that takes the item: the
 * spinlock; whoever finds it pending changes nothing. Queue with the item's own run: the run has
 * taken the item off the list before it started, so it is queued again, and next_runnable() passes
 * over it until the run has ended. Flush and cancel with a run: a run is told by what the thread
 * says it runs (worker.work, compared but never followed: the item may be freed by then) and by the
 * number of its queueing; its end signals the event all flushers sleep on. Cancel with an item that
 * queues itself: while cancels > 0 queueing does nothing.
 */
#include "rt/wq.h"

#include <errno.h>

#include "rt/mark.h"
#include "rt/mem.h"
#include "rt/work.h"

TAILQ_HEAD(work_list, rt_work);

struct worker {
	struct rt_wq *wq;
	struct rt_thread *thread;
	struct rt_event wake;
	const void *self;           /* rt_thread_self(), NULL before it has started [lock] */
	const struct rt_work *work; /* it runs that; NULL: none [lock] */
	uint64_t seq;               /* of that item's queueing [lock] */
	struct worker *idle_next;   /* [lock] */
	bool is_idle;               /* on the list of idle ones [lock] */
};

struct rt_wq {
	struct rt_spin lock; /* rank WQ */
	struct work_list pending, timers; /* as queued; by due time [lock] */
	uint64_t seq;                     /* queueings so far [lock] */
	struct worker *idle;              /* newest first [lock] */
	struct worker *keeper;            /* who watches the timers; NULL: nobody [lock] */
	struct rt_event done;             /* a run ended or an item was taken out */
	uint32_t waiters_nr;              /* flushers and the like [lock] */
	uint32_t drains;                  /* rt_wq_drain() calls going on [lock] */
	bool stop;                        /* [lock] */
	unsigned nr;                      /* [const] */
	struct worker workers[];
};

/* ---- items ---- */

static struct worker *runs(struct rt_wq *wq, const struct rt_work *work)
{
	for (unsigned i = 0; i < wq->nr; i++)
		if (wq->workers[i].work == work)
			return &wq->workers[i];
	return NULL;
}

static bool is_own_thread(const struct rt_wq *wq)
{
	const void *self = rt_thread_self();

	for (unsigned i = 0; i < wq->nr; i++)
		if (wq->workers[i].self == self)
			return true;
	return false;
}

static void leave_idle(struct rt_wq *wq, struct worker *w)
{
	for (struct worker **at = &wq->idle; *at; at = &(*at)->idle_next)
		if (*at == w) {
			*at = w->idle_next;
			break;
		}
	w->is_idle = false;
	if (wq->keeper == w)
		wq->keeper = NULL;
}

static void wake(struct rt_wq *wq, struct worker *w)
{
	leave_idle(wq, w);
	rt_event_signal(&w->wake);
}

/* Somebody idle, if there is one: not the keeper as long as others are. */
static void wake_one(struct rt_wq *wq)
{
	struct worker *w = wq->idle;

	if (w && w == wq->keeper && w->idle_next)
		w = w->idle_next;
	if (w)
		wake(wq, w);
}

static void put_pending(struct rt_wq *wq, struct rt_work *work)
{
	work->state = RT_WORK_PENDING;
	work->seq = ++wq->seq;
	TAILQ_INSERT_TAIL(&wq->pending, work, link);
}

static void put_timer(struct rt_wq *wq, struct rt_work *work, uint64_t due_ns)
{
	struct rt_work *later;

	work->state = RT_WORK_TIMER;
	work->due_ns = due_ns;
	TAILQ_FOREACH(later, &wq->timers, link)
		if (later->due_ns > due_ns)
			break;
	if (later)
		TAILQ_INSERT_BEFORE(later, work, link);
	else
		TAILQ_INSERT_TAIL(&wq->timers, work, link);
	if (TAILQ_FIRST(&wq->timers) != work)
		return;
	if (wq->keeper)
		wake(wq, wq->keeper); /* it sleeps for too long */
	else
		wake_one(wq);
}

static bool take_out(struct rt_wq *wq, struct rt_work *work)
{
	if (work->state == RT_WORK_IDLE)
		return false;
	if (work->state == RT_WORK_TIMER)
		TAILQ_REMOVE(&wq->timers, work, link);
	else
		TAILQ_REMOVE(&wq->pending, work, link);
	work->state = RT_WORK_IDLE;
	return true;
}

/* Nothing of up to the @seq-th queueing is pending or runs; @work: of that item only. */
static bool settled(struct rt_wq *wq, const struct rt_work *work, uint64_t seq)
{
	const struct rt_work *first = TAILQ_FIRST(&wq->pending);

	if (work ? work->state == RT_WORK_PENDING && work->seq <= seq : first && first->seq <= seq)
		return false;
	for (unsigned i = 0; i < wq->nr; i++) {
		const struct worker *w = &wq->workers[i];

		if (w->work && w->seq <= seq && (!work || w->work == work))
			return false;
	}
	return true;
}

/* With the lock held, which it drops meanwhile. */
static void wait_settled(struct rt_wq *wq, const struct rt_work *work, uint64_t seq)
{
	wq->waiters_nr++;
	while (!settled(wq, work, seq)) {
		uint32_t key = rt_event_key(&wq->done);

		rt_spin_unlock(&wq->lock);
		rt_event_wait(&wq->done, key);
		rt_spin_lock(&wq->lock);
	}
	wq->waiters_nr--;
}

/* Who waits for an item that runs waits for what its function takes. */
static const void *fn_key(void (*fn)(struct rt_work *work))
{
	return (const void *)(uintptr_t)fn;
}

/* ---- threads ---- */

/* Each item put on the list has woken somebody, if somebody was idle: here the caller is one. */
static struct rt_work *next_runnable(struct rt_wq *wq)
{
	struct rt_work *work;
	unsigned nr = 0;

	while ((work = TAILQ_FIRST(&wq->timers)) && work->due_ns <= rt_now_ns()) {
		TAILQ_REMOVE(&wq->timers, work, link);
		put_pending(wq, work);
		if (nr++ > 0)
			wake_one(wq);
	}
	TAILQ_FOREACH(work, &wq->pending, link)
		if (!runs(wq, work))
			return work;
	return NULL;
}

/* With the lock held, which it drops meanwhile. */
static void run_item(struct rt_wq *wq, struct worker *w, struct rt_work *work)
{
	void (*fn)(struct rt_work *work) = work->fn;

	TAILQ_REMOVE(&wq->pending, work, link);
	work->state = RT_WORK_IDLE;
	w->work = work;
	w->seq = work->seq;
	if (!wq->keeper && !TAILQ_EMPTY(&wq->timers))
		wake_one(wq); /* to watch them */
	rt_spin_unlock(&wq->lock);
	rt_dep_enter(fn_key(fn), "work item");
	fn(work);
	rt_dep_leave(fn_key(fn));
	rt_spin_lock(&wq->lock);
	w->work = NULL;
	if (wq->waiters_nr)
		rt_event_signal(&wq->done);
}

/* With the lock held, which it drops meanwhile. */
static void sleep_idle(struct rt_wq *wq, struct worker *w)
{
	uint32_t key = rt_event_key(&w->wake);
	uint64_t now, until = 0;

	w->is_idle = true;
	w->idle_next = wq->idle;
	wq->idle = w;
	if (!wq->keeper && !TAILQ_EMPTY(&wq->timers)) {
		wq->keeper = w;
		now = rt_now_ns();
		until = TAILQ_FIRST(&wq->timers)->due_ns;
		until = until > now ? until - now : 1;
	}
	rt_spin_unlock(&wq->lock);
	if (until)
		rt_event_wait_ns(&w->wake, key, until);
	else
		rt_event_wait(&w->wake, key);
	rt_spin_lock(&wq->lock);
	if (w->is_idle) /* nobody woke it: its time ran out */
		leave_idle(wq, w);
}

static void worker_main(void *arg)
{
	struct worker *w = arg;
	struct rt_wq *wq = w->wq;

	rt_spin_lock(&wq->lock);
	w->self = rt_thread_self();
	for (;;) {
		struct rt_work *work = next_runnable(wq);

		if (work)
			run_item(wq, w, work);
		else if (wq->stop)
			break;
		else
			sleep_idle(wq, w);
	}
	rt_spin_unlock(&wq->lock);
}

/* ---- the queue ---- */

static void stop_workers(struct rt_wq *wq, unsigned started)
{
	rt_spin_lock(&wq->lock);
	wq->stop = true;
	while (wq->idle)
		wake(wq, wq->idle);
	rt_spin_unlock(&wq->lock);
	for (unsigned i = 0; i < started; i++)
		rt_thread_join(wq->workers[i].thread);
	rt_spin_destroy(&wq->lock);
	rt_free(wq);
}

int rt_wq_create(const char *name, unsigned max_active, struct rt_wq **out)
{
	struct rt_wq *wq;
	int err;

	MBFS_ASSERT(max_active >= 1 && max_active <= RT_WQ_ACTIVE_MAX);
	wq = rt_zalloc(sizeof(*wq) + max_active * sizeof(wq->workers[0]));
	if (!wq)
		return -ENOMEM;
	rt_spin_init(&wq->lock, RANK_WQ);
	rt_event_init(&wq->done);
	TAILQ_INIT(&wq->pending);
	TAILQ_INIT(&wq->timers);
	wq->nr = max_active;
	for (unsigned i = 0; i < max_active; i++) {
		struct worker *w = &wq->workers[i];

		w->wq = wq;
		rt_event_init(&w->wake);
		err = rt_thread_start(worker_main, w, name, &w->thread);
		if (err) {
			stop_workers(wq, i);
			return err;
		}
	}
	*out = wq;
	return 0;
}

void rt_wq_drain(struct rt_wq *wq)
{
	rt_spin_lock(&wq->lock);
	MBFS_ASSERT(!is_own_thread(wq)); /* it would wait for itself */
	wq->drains++;
	while (!settled(wq, NULL, wq->seq))
		wait_settled(wq, NULL, wq->seq);
	wq->drains--;
	rt_spin_unlock(&wq->lock);
}

void rt_wq_destroy(struct rt_wq *wq)
{
	rt_wq_drain(wq);
	MBFS_ASSERT(TAILQ_EMPTY(&wq->timers));
	stop_workers(wq, wq->nr);
}

bool rt_wq_queue_delayed(struct rt_wq *wq, struct rt_work *work, uint64_t delay_ns)
{
	bool queued;

	rt_spin_lock(&wq->lock);
	MBFS_ASSERT(!wq->drains || is_own_thread(wq));
	queued = work->state == RT_WORK_IDLE && !work->cancels;
	if (queued && delay_ns) {
		put_timer(wq, work, rt_now_ns() + delay_ns);
	} else if (queued) {
		put_pending(wq, work);
		wake_one(wq);
	}
	rt_spin_unlock(&wq->lock);
	return queued;
}

bool rt_wq_queue(struct rt_wq *wq, struct rt_work *work)
{
	return rt_wq_queue_delayed(wq, work, 0);
}

bool rt_wq_busy(struct rt_wq *wq, struct rt_work *work)
{
	bool busy;

	rt_spin_lock(&wq->lock);
	busy = work->state != RT_WORK_IDLE || runs(wq, work);
	rt_spin_unlock(&wq->lock);
	return busy;
}

bool rt_wq_flush_work(struct rt_wq *wq, struct rt_work *work)
{
	const struct worker *w;
	bool found;

	rt_dep_wait(fn_key(work->fn), "work item");
	rt_spin_lock(&wq->lock);
	w = runs(wq, work);
	MBFS_ASSERT(!w || w->self != rt_thread_self()); /* it would wait for itself */
	if (work->state == RT_WORK_TIMER) {
		take_out(wq, work);
		put_pending(wq, work);
		wake_one(wq);
	}
	found = w || work->state == RT_WORK_PENDING;
	if (found)
		wait_settled(wq, work, work->state == RT_WORK_PENDING ? work->seq : w->seq);
	rt_spin_unlock(&wq->lock);
	return found;
}

void rt_wq_flush(struct rt_wq *wq)
{
	rt_spin_lock(&wq->lock);
	MBFS_ASSERT(!is_own_thread(wq));
	wait_settled(wq, NULL, wq->seq);
	rt_spin_unlock(&wq->lock);
}

static bool cancel_locked(struct rt_wq *wq, struct rt_work *work)
{
	bool taken = take_out(wq, work);

	if (taken && wq->waiters_nr)
		rt_event_signal(&wq->done);
	return taken;
}

bool rt_wq_cancel(struct rt_wq *wq, struct rt_work *work)
{
	bool taken;

	rt_spin_lock(&wq->lock);
	taken = cancel_locked(wq, work);
	rt_spin_unlock(&wq->lock);
	return taken;
}

bool rt_wq_cancel_sync(struct rt_wq *wq, struct rt_work *work)
{
	const struct worker *w;
	bool taken;

	rt_dep_wait(fn_key(work->fn), "work item");
	rt_spin_lock(&wq->lock);
	w = runs(wq, work);
	MBFS_ASSERT(!w || w->self != rt_thread_self());
	taken = cancel_locked(wq, work);
	work->cancels++;
	if (w)
		wait_settled(wq, work, w->seq);
	work->cancels--;
	rt_spin_unlock(&wq->lock);
	return taken;
}

/* ---- completions: under the lock to the end, so that who has waited may free it ---- */

void rt_completion_init(struct rt_completion *c)
{
	rt_spin_init(&c->lock, RANK_WQ);
	rt_event_init(&c->ev);
	c->done = 0;
}

void rt_completion_destroy(struct rt_completion *c)
{
	rt_spin_destroy(&c->lock);
}

void rt_completion_reinit(struct rt_completion *c)
{
	rt_spin_lock(&c->lock);
	c->done = 0;
	rt_spin_unlock(&c->lock);
}

void rt_complete(struct rt_completion *c)
{
	rt_spin_lock(&c->lock);
	c->done += c->done < UINT32_MAX;
	rt_event_signal(&c->ev);
	rt_spin_unlock(&c->lock);
}

void rt_complete_all(struct rt_completion *c)
{
	rt_spin_lock(&c->lock);
	c->done = UINT32_MAX;
	rt_event_signal(&c->ev);
	rt_spin_unlock(&c->lock);
}

/* False: nothing to take, and *key is the event's. */
static bool take_done(struct rt_completion *c, uint32_t *key)
{
	bool done;

	rt_spin_lock(&c->lock);
	done = c->done > 0;
	c->done -= done && c->done < UINT32_MAX;
	if (!done)
		*key = rt_event_key(&c->ev);
	rt_spin_unlock(&c->lock);
	return done;
}

void rt_completion_wait(struct rt_completion *c)
{
	uint32_t key;

	while (!take_done(c, &key))
		rt_event_wait(&c->ev, key);
}

bool rt_completion_wait_ns(struct rt_completion *c, uint64_t timeout_ns)
{
	uint64_t until = rt_now_ns() + timeout_ns, now;
	uint32_t key;

	while (!take_done(c, &key)) {
		now = rt_now_ns();
		if (now >= until)
			return false;
		rt_event_wait_ns(&c->ev, key, until - now);
	}
	return true;
}

bool rt_completion_try(struct rt_completion *c)
{
	uint32_t key;

	return take_done(c, &key);
}
