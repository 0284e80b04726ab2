// SPDX-License-Identifier: GPL-2.0-only
/*
 * pending-one-seq: the container of objects that wait for grace periods, of a patch for bcachefs
 * and of its review (shared seed 004_29e27739770e18d8), by real threads.
 *
 * queue	Writers add objects, while somebody else waits for one grace period after another,
 *		each of which takes as long as a reader's READ_NS.
 * widened	The same; between a variant's sweep and its cookie, in whichever order, the writer
 *		is busy for NAP_NS, as if its virtual CPU were preempted. Ours cannot be delayed
 *		there; the explorer has it wait at every step.
 * flood	A reader stays inside until FLOOD_NR objects are queued. While these are processed
 *		each writer adds one more after the other, to see how long that takes.
 * exit		The container is closed while objects are queued.
 *
 * After each round all meet, the container is closed, and a new one opened; but for exit all
 * objects have been processed before. Each object knows the grace period that it must wait for.
 */
#include "race/race_priv.h"
#include "race/seqs.h"

#include <errno.h>
#include <string.h>

#include "rt/rcu.h"

enum {
	ROUND_ADDS = 1000,
	ROUND_ADDS_FEW = 100, /* of widened and exit */
	FLOOD_NR = 1000000,
	NAP_NS = 50000,
	READ_NS = 100000,
	PACE_NS = 20000, /* between the adds that are measured while a flood is processed */
};

const struct race_workload pending_workloads[] = {
	{ "queue", "objects are added, while grace periods end one after the other" },
	{ "widened", "the same; 50 us pass between sweep and cookie" },
	{ "flood", "a million objects become due at once" },
	{ "exit", "the container is closed while objects are queued" },
	{ NULL, NULL },
};

enum work { QUEUE, WIDENED, FLOOD, EXIT };

struct room {
	const struct race_config *cfg;
	enum work work;
	struct rt_cpus cpus;
	struct seqs seqs;
	rt_u64 added, processed; /* [atomic] in this round */
	rt_u32 stop;             /* [atomic] */
	struct rt_thread *waiter, *reader;
	struct race_pending_tally seen; /* of the rounds that are over [leader] */
	struct race_hist lock;          /* of each, the longest that a lock was held [leader] */
};

static enum work work_of(const struct race_config *cfg)
{
	for (unsigned i = 0; pending_workloads[i].name; i++)
		if (strcmp(pending_workloads[i].name, cfg->workload->name) == 0)
			return (enum work)i;
	MBFS_ASSERT(!"no such workload");
	return QUEUE;
}

/* ---- objects ---- */

static void process(void *ctx, struct seqs_obj *obj)
{
	struct room *r = ctx;

	rt_u64_add(&r->processed, 1);
	rt_free(obj);
}

static void drop(void *ctx, struct seqs_obj *obj)
{
	(void)ctx;
	rt_free(obj);
}

/* False: no memory. */
static bool add(struct race_worker *w, bool timed)
{
	struct room *r = w->ctx;
	struct seqs_obj *obj = rt_alloc(sizeof(*obj));
	uint64_t from = timed ? rt_now_ns() : 0;

	if (!obj) {
		race_broke(w, "an object", -ENOMEM);
		return false;
	}
	seqs_add(&r->seqs, obj);
	if (timed)
		race_count_call(w, rt_now_ns() - from, 0);
	rt_u64_add(&r->added, 1);
	return true;
}

/* ---- who has nothing to do with it ---- */

static void wait_for_grace_periods(void *arg)
{
	struct room *r = arg;

	while (!rt_u32_read_acquire(&r->stop)) {
		rt_rcu_cond_sync(rt_rcu_get_state());
		rt_yield();
	}
}

static bool is_filled(const struct room *r)
{
	return rt_u64_read(&r->added) >= FLOOD_NR;
}

static void read_for_long(struct room *r)
{
	while (!rt_u32_read_acquire(&r->stop)) {
		rt_rcu_read_lock();
		while (!is_filled(r) && !rt_u32_read_acquire(&r->stop))
			rt_yield();
		rt_rcu_read_unlock();
		while (is_filled(r) && !rt_u32_read_acquire(&r->stop))
			rt_yield();
	}
}

/* So that a grace period takes as long as a few adds. */
static void read_for_a_while(struct room *r)
{
	uint64_t until;

	while (!rt_u32_read_acquire(&r->stop)) {
		rt_rcu_read_lock();
		for (until = rt_now_ns() + READ_NS; rt_now_ns() < until;)
			rt_yield();
		rt_rcu_read_unlock();
	}
}

static void reader(void *arg)
{
	struct room *r = arg;

	if (r->work == FLOOD)
		read_for_long(r);
	else
		read_for_a_while(r);
}

/* ---- the child ---- */

static int container_open(struct room *r)
{
	const struct seqs_env env = { .process = process,
				      .drop = drop,
				      .ctx = r,
				      .nap_ns = r->work == WIDENED ? NAP_NS : 0 };

	rt_u64_set(&r->processed, 0);
	rt_u64_set(&r->added, 0);
	return seqs_open(&r->seqs, r->cfg->variant.name, &r->cpus, &env);
}

/* Counts once more by itself what the variant says of it. */
static void container_close(struct room *r)
{
	struct race_pending_tally *sum = &r->seen;
	struct seqs_tally t;

	if (r->work != EXIT)
		seqs_settle(&r->seqs);
	seqs_close(&r->seqs, &t);
	sum->processed += rt_u64_read(&r->processed);
	sum->unaccounted += rt_u64_read(&r->added) - rt_u64_read(&r->processed) - t.lost -
			    t.past_end - t.bug_on - t.no_list;
	sum->past_end += t.past_end;
	sum->bug_on += t.bug_on;
	sum->no_list += t.no_list;
	sum->early += t.early;
	sum->lost += t.lost;
	sum->late += t.late;
	if (t.lock_max_ns)
		race_hist_add(&r->lock, t.lock_max_ns);
}

static int start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct room *r = ctx;
	int err;

	(void)nr;
	r->cfg = workers[0].cfg;
	r->work = work_of(r->cfg);
	rt_cpus_init(&r->cpus, r->cfg->cpus);
	err = rt_rcu_worker_start();
	if (err)
		return err;
	err = container_open(r);
	if (err)
		goto err_worker;
	err = rt_thread_start(reader, r, "reader", &r->reader);
	if (err)
		goto err_container;
	if (r->work == FLOOD)
		return 0;
	err = rt_thread_start(wait_for_grace_periods, r, "waiter", &r->waiter);
	if (!err)
		return 0;
	rt_u32_set_release(&r->stop, 1);
	rt_thread_join(r->reader);
err_container:
	container_close(r);
err_worker:
	rt_rcu_worker_stop();
	return err;
}

static int end(void *ctx)
{
	struct room *r = ctx;

	rt_u32_set_release(&r->stop, 1);
	rt_thread_join(r->reader);
	if (r->waiter)
		rt_thread_join(r->waiter);
	container_close(r);
	rt_rcu_worker_stop();
	return 0;
}

/* All are at the gate. */
static void leader(struct race_worker *w)
{
	struct room *r = w->ctx;
	int err;

	container_close(r);
	err = container_open(r);
	if (err)
		race_broke(w, "a container", err);
	race_round_over(w);
}

/* Until all of the flood has been processed. */
static void flood(struct race_worker *w)
{
	struct room *r = w->ctx;

	while (!is_filled(r))
		if (!add(w, false))
			return;
	seqs_time_locks(&r->seqs);
	while (rt_u64_read(&r->processed) < FLOOD_NR) {
		if (!add(w, true))
			return;
		rt_sleep_ns(PACE_NS);
	}
}

static void worker(struct race_worker *w)
{
	struct room *r = w->ctx;
	unsigned nr = r->work == QUEUE ? ROUND_ADDS : ROUND_ADDS_FEW;

	do {
		if (r->work == FLOOD)
			flood(w);
		else
			for (unsigned i = 0; i < nr; i++)
				if (!add(w, true))
					break;
	} while (race_gate_pass(w, leader));
}

static const struct race_backend backend = { .start = start, .end = end };

/* ---- the parent ---- */

static void collect(const struct race_config *cfg, const void *ctx, struct race_result *res)
{
	const struct room *r = ctx;

	(void)cfg;
	res->pending = r->seen;
	res->pending.lock_ns = race_hist_at(&r->lock, 500);
	res->pending.lock_max_ns = r->lock.max_ns;
}

static bool held(const struct race_result *res)
{
	const struct race_pending_tally *t = &res->pending;

	return !(t->past_end || t->bug_on || t->no_list || t->early || t->lost || t->late ||
		 t->unaccounted);
}

const struct race_kind pending_kind = {
	.room_bytes = sizeof(struct room),
	.collect = collect,
	.defaults = {
		.threads = 4,
		.cpus = 2,
		.run_ms = 2000,
		.grace_ms = 20000,
	},
	.worker = worker,
	.library = &backend,
	.held = held,
	.report = &pending_report,
};
