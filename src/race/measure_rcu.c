// SPDX-License-Identifier: GPL-2.0-only
/*
 * What RCU costs: a reader's section, and waiting until what was queued has been done, nothing or a
 * thousand objects: rt_rcu_barrier(), kvfree_flush() and pending_flush() beside the barrier of the
 * library below. The queueing is not timed: batches that queue are not counted.
 */
#include "race/measure.h"

#include <errno.h>

#include "base/check.h"
#include "race/stock_rcu.h"
#include "reclaim/kvfree.h"
#include "reclaim/pending.h"
#include "rt/mem.h"
#include "rt/rcu.h"

enum { SECTIONS = 1000, OBJECTS = 1000 };

struct load {
	enum race_rcu_way way;
	struct rt_cpus cpus;
	struct kvfree *kvfree;
	struct pending *pending;
	struct rt_rcu_head head[OBJECTS];
	struct stock_rcu_item item[OBJECTS];
	bool queued;
};

static bool sections(void *arg, unsigned idx)
{
	(void)arg, (void)idx;
	for (unsigned i = 0; i < SECTIONS; i++) {
		rt_rcu_read_lock();
		rt_rcu_read_unlock();
	}
	return true;
}

static bool stock_sections(void *arg, unsigned idx)
{
	(void)arg, (void)idx;
	rt_rcu_read_lock(); /* registers */
	rt_rcu_read_unlock();
	stock_rcu_sections(SECTIONS);
	return true;
}

/* ---- what is queued ---- */

static void nothing(struct rt_rcu_head *head)
{
	(void)head;
}

static void nothing_freed(void *ctx, void *const *objs, unsigned nr)
{
	(void)ctx, (void)objs, (void)nr;
}

static void nothing_done(void *ctx, void *obj)
{
	(void)ctx, (void)obj;
}

static void queue(struct load *l, unsigned i)
{
	int err;

	switch (l->way) {
	case RACE_RCU_RT:
		rt_rcu_call(&l->head[i], nothing);
		break;
	case RACE_RCU_KVFREE:
		err = kvfree_rcu_mightsleep(l->kvfree, &l->head[i]);
		MBFS_ASSERT(!err);
		break;
	case RACE_RCU_PENDING:
		pending_add(l->pending, &l->head[i]);
		break;
	default:
		stock_rcu_call(&l->item[i]);
	}
}

static bool wait_idle(void *arg, unsigned idx)
{
	struct load *l = arg;

	(void)idx;
	switch (l->way) {
	case RACE_RCU_RT:
		rt_rcu_barrier();
		break;
	case RACE_RCU_KVFREE:
		kvfree_flush(l->kvfree);
		break;
	case RACE_RCU_PENDING:
		pending_flush(l->pending);
		break;
	default:
		stock_rcu_barrier();
	}
	return true;
}

static bool wait_queued(void *arg, unsigned idx)
{
	struct load *l = arg;

	l->queued = !l->queued;
	if (!l->queued)
		return wait_idle(arg, idx);
	for (unsigned i = 0; i < OBJECTS; i++)
		queue(l, i);
	return false;
}

/* ---- measuring ---- */

static int rooms_open(struct load *l)
{
	struct stock_rcu_item first;
	struct kvfree_config kv = { .cpus = &l->cpus, .free = nothing_freed };
	struct pending_config pe = { .name = "measured",
				     .process = nothing_done,
				     .link_offset = PENDING_NO_LINK,
				     .by_rcu = true };
	int err;

	rt_cpus_init(&l->cpus, 0);
	err = kvfree_open(&kv, &l->kvfree);
	if (err)
		return err;
	err = pending_open(&l->cpus, &pe, &l->pending);
	if (err)
		kvfree_close(l->kvfree);
	if (!err && l->way == RACE_RCU_STOCK) { /* it has nothing to wait for before */
		rt_rcu_read_lock();
		rt_rcu_read_unlock();
		stock_rcu_call(&first);
		stock_rcu_barrier();
	}
	return err;
}

static void rooms_close(struct load *l)
{
	if (l->way == RACE_RCU_STOCK)
		stock_rcu_barrier();
	rt_rcu_barrier();
	pending_close(l->pending);
	kvfree_close(l->kvfree);
}

/* Also for who only has callbacks of the library below: it wants registered threads. */
static bool queue_or_wait(void *arg, unsigned idx)
{
	rt_rcu_read_lock();
	rt_rcu_read_unlock();
	return wait_queued(arg, idx);
}

int race_rcu_cost(enum race_rcu_way way, enum race_rcu_what what, uint64_t run_ns,
		  struct race_pace *out)
{
	struct race_bout bout = { .threads = 1, .run_ns = run_ns, .ops = 1 };
	struct load *l;
	int err;

	if (what == RACE_RCU_SECTION && way != RACE_RCU_RT && way != RACE_RCU_STOCK)
		return -ENOTSUP;
	l = bout.arg = rt_zalloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->way = way;
	bout.batch = what == RACE_RCU_IDLE ? wait_idle : queue_or_wait;
	if (what == RACE_RCU_SECTION) {
		bout.ops = SECTIONS;
		bout.batch = way == RACE_RCU_STOCK ? stock_sections : sections;
	}
	err = rooms_open(l);
	if (err)
		goto out_free;
	err = rt_rcu_worker_start(); /* as a mount has it */
	if (!err) {
		err = race_bout_run(&bout, out);
		rt_rcu_worker_stop();
	}
	rooms_close(l);
out_free:
	rt_free(l);
	return err;
}
