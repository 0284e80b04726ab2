// SPDX-License-Identifier: GPL-2.0-only
/* The contract of rt/wq.h: workqueues and completions. */
#include "explore/conform.h"

#include "base/check.h"
#include "rt/mem.h"
#include "rt/wq.h"

struct job {
	struct rt_work work;
	struct jobs *all;
	struct rt_wq *requeue; /* queues itself there as long as left > 0 */
	unsigned left, runs;   /* plain: an item never runs twice at once, a flush orders it */
	unsigned given, seen;  /* plain: queueing orders it */
	uint64_t ran_ns;
	rt_u32 inside;
};

struct jobs {
	struct rt_wq *wq;
	struct job a, b;
	rt_u32 queued, order, active;
	struct rt_completion done;
};

static void job_run(struct rt_work *work)
{
	struct job *j = container_of(work, struct job, work);

	MBFS_ASSERT(rt_u32_add_return(&j->inside, 1) == 1);
	j->runs++;
	j->seen = j->given;
	j->ran_ns = rt_now_ns();
	if (j->requeue && j->left > 0)
		j->left -= rt_wq_queue(j->requeue, work);
	rt_u32_add_return(&j->inside, (uint32_t)-1);
}

static void jobs_make(struct jobs *s, unsigned max_active)
{
	int err = rt_wq_create("jobs", max_active, &s->wq);

	MBFS_ASSERT(err == 0);
	s->a.all = s->b.all = s;
	rt_work_init(&s->a.work, job_run);
	rt_work_init(&s->b.work, job_run);
	rt_completion_init(&s->done);
}

static void jobs_setup(void *state)
{
	jobs_make(state, 1);
}

static void jobs_setup2(void *state)
{
	jobs_make(state, 2);
}

static void jobs_end(struct jobs *s)
{
	rt_wq_destroy(s->wq);
	rt_completion_destroy(&s->done);
}

/* What is queued runs, once for each queueing that was not a no-op, and sees what came before. */
static void wq_queue(void *state)
{
	struct jobs *s = state;

	if (rt_wq_queue(s->wq, &s->a.work))
		rt_u32_add(&s->queued, 1);
}

static void wq_queue_check(void *state)
{
	struct jobs *s = state;

	rt_wq_flush(s->wq);
	MBFS_ASSERT(!rt_wq_busy(s->wq, &s->a.work));
	MBFS_ASSERT(s->a.runs == rt_u32_read(&s->queued) && s->a.runs >= 1);
	MBFS_ASSERT(!rt_wq_flush_work(s->wq, &s->a.work));
	jobs_end(s);
}

static void wq_flush(void *state)
{
	struct jobs *s = state;

	s->a.given = 7;
	rt_wq_queue(s->wq, &s->a.work);
	rt_wq_queue(s->wq, &s->b.work);
	rt_wq_flush_work(s->wq, &s->a.work);
	MBFS_ASSERT(s->a.runs == 1 && s->a.seen == 7);
	rt_wq_flush(s->wq);
	MBFS_ASSERT(s->b.runs == 1);
}

static void ordered_run(struct rt_work *work)
{
	struct job *j = container_of(work, struct job, work);

	MBFS_ASSERT(rt_u32_add_return(&j->all->active, 1) == 1); /* one at a time */
	j->seen = rt_u32_add_return(&j->all->order, 1);
	rt_u32_add_return(&j->all->active, (uint32_t)-1);
}

static void wq_ordered(void *state)
{
	struct jobs *s = state;

	rt_work_init(&s->a.work, ordered_run);
	rt_work_init(&s->b.work, ordered_run);
	MBFS_ASSERT(rt_wq_queue(s->wq, &s->b.work));
	MBFS_ASSERT(rt_wq_queue(s->wq, &s->a.work));
	rt_wq_drain(s->wq);
	MBFS_ASSERT(s->b.seen == 1 && s->a.seen == 2);
}

static void jobs_check(void *state)
{
	jobs_end(state);
}

/* An item that queues itself: flush waits for one run, cancel_sync for the end of all. */
static void wq_requeue(void *state)
{
	struct jobs *s = state;

	s->a.requeue = s->wq;
	s->a.left = 2;
	rt_wq_queue(s->wq, &s->a.work);
	rt_wq_flush_work(s->wq, &s->a.work);
	rt_wq_cancel_sync(s->wq, &s->a.work);
	MBFS_ASSERT(!rt_wq_busy(s->wq, &s->a.work) && s->a.runs >= 1 && s->a.runs <= 3);
	MBFS_ASSERT(rt_wq_queue(s->wq, &s->a.work));
	rt_wq_drain(s->wq); /* also what the item queued itself */
	MBFS_ASSERT(s->a.left == 0);
}

static void wq_cancel(void *state)
{
	struct jobs *s = state;
	unsigned runs;
	bool taken;

	rt_wq_queue(s->wq, &s->a.work);
	taken = rt_wq_cancel_sync(s->wq, &s->a.work);
	runs = s->a.runs;
	MBFS_ASSERT(taken == (runs == 0));
	MBFS_ASSERT(!rt_wq_cancel(s->wq, &s->a.work));
}

static void wq_cancel_other(void *state)
{
	struct jobs *s = state;

	rt_wq_queue(s->wq, &s->b.work);
	rt_wq_cancel(s->wq, &s->b.work);
	rt_wq_flush_work(s->wq, &s->b.work);
	MBFS_ASSERT(s->b.runs <= 1);
}

static void wq_delayed(void *state)
{
	struct jobs *s = state;
	uint64_t start = rt_now_ns();
	unsigned runs;
	bool taken;

	MBFS_ASSERT(rt_wq_queue_delayed(s->wq, &s->a.work, 20000));
	MBFS_ASSERT(rt_wq_queue_delayed(s->wq, &s->b.work, 10000000000));
	if (rt_wq_queue(s->wq, &s->b.work)) /* waits for its time, or that has come */
		rt_wq_flush_work(s->wq, &s->b.work);
	rt_sleep_ns(30000);
	while (rt_wq_busy(s->wq, &s->a.work))
		rt_sleep_ns(5000);
	MBFS_ASSERT(s->a.runs == 1 && s->a.ran_ns - start >= 20000);
	rt_wq_flush_work(s->wq, &s->b.work); /* at once; simulated time may have been as fast */
	MBFS_ASSERT(s->b.runs >= 1 && s->b.runs <= 2);
	runs = s->b.runs;
	MBFS_ASSERT(rt_wq_queue_delayed(s->wq, &s->b.work, 10000000000));
	taken = rt_wq_cancel_sync(s->wq, &s->b.work);
	MBFS_ASSERT(s->b.runs == runs + !taken);
}

struct oneshot {
	struct rt_work work;
	struct rt_completion *done;
};

static void oneshot_run(struct rt_work *work)
{
	struct oneshot *o = container_of(work, struct oneshot, work);
	struct rt_completion *done = o->done;

	rt_free(o);
	rt_complete(done);
}

/* An item that frees itself; a completion that who waits frees. Queued under a spinlock. */
static void wq_oneshot(void *state)
{
	struct jobs *s = state;
	struct oneshot *o = rt_zalloc(sizeof(*o));
	struct rt_completion *done = rt_zalloc(sizeof(*done));
	struct rt_spin lock;

	MBFS_ASSERT(o && done);
	rt_completion_init(done);
	rt_spin_init(&lock, RANK_GROUP);
	rt_work_init(&o->work, oneshot_run);
	o->done = done;
	rt_spin_lock(&lock);
	rt_wq_queue(s->wq, &o->work);
	rt_spin_unlock(&lock);
	rt_completion_wait(done);
	rt_completion_destroy(done);
	rt_free(done);
	rt_spin_destroy(&lock);
}

static void completion_give(void *state)
{
	struct jobs *s = state;

	s->a.given = 1;
	rt_complete(&s->done);
}

static void completion_take(void *state)
{
	struct jobs *s = state;

	rt_completion_wait(&s->done);
	MBFS_ASSERT(s->a.given == 1);
}

static void completion_setup(void *state)
{
	struct jobs *s = state;

	rt_completion_init(&s->done);
	MBFS_ASSERT(!rt_completion_try(&s->done) && !rt_completion_wait_ns(&s->done, 1000));
	rt_complete(&s->done);
	MBFS_ASSERT(rt_completion_try(&s->done) && !rt_completion_try(&s->done));
	rt_complete_all(&s->done);
	rt_completion_wait(&s->done);
	MBFS_ASSERT(rt_completion_wait_ns(&s->done, 1));
	rt_completion_reinit(&s->done);
	MBFS_ASSERT(!rt_completion_try(&s->done));
}

static void completion_all(void *state)
{
	struct jobs *s = state;

	s->a.given = 1;
	rt_complete_all(&s->done);
}

static void completion_check(void *state)
{
	struct jobs *s = state;

	rt_completion_destroy(&s->done);
}

#define J  sizeof(struct jobs), jobs_setup
#define J2 sizeof(struct jobs), jobs_setup2
#define C  sizeof(struct jobs), completion_setup
const struct conform_case conform_wq[] = {
	{ "wq-queue", J, 2, { wq_queue, wq_queue }, wq_queue_check },
	{ "wq-queue2",
	  sizeof(struct jobs),
	  jobs_setup2,
	  2,
	  { wq_queue, wq_queue },
	  wq_queue_check },
	{ "wq-flush", J, 1, { wq_flush }, jobs_check },
	{ "wq-flush2", J2, 1, { wq_flush }, jobs_check },
	{ "wq-ordered", J, 1, { wq_ordered }, jobs_check },
	{ "wq-requeue", J, 1, { wq_requeue }, jobs_check },
	{ "wq-requeue2", J2, 1, { wq_requeue }, jobs_check },
	{ "wq-cancel", J, 2, { wq_cancel, wq_cancel_other }, jobs_check },
	{ "wq-delayed", J, 1, { wq_delayed }, jobs_check },
	{ "wq-delayed2", J2, 1, { wq_delayed }, jobs_check },
	{ "wq-oneshot", J, 2, { wq_oneshot, wq_oneshot }, jobs_check },
	{ "completion", C, 2, { completion_give, completion_take }, completion_check },
	{ "completion-all",
	  C,
	  3,
	  { completion_all, completion_take, completion_take },
	  completion_check },
};
const unsigned conform_wq_nr = MBFS_ARRAY_SIZE(conform_wq);
