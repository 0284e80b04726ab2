// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects that are freed after a grace period: kvfree with a head and without, rt_rcu_call(), the
 * call_rcu() of the library below, pending, and freeing at once beside them. An operation is to get
 * an object of 64 bytes from malloc() and to give it. The CPU time of the whole process counts,
 * with its workers and until the last object is freed.
 */
#include "race/measure.h"

#include <sys/resource.h>

#include "base/check.h"
#include "reclaim/kvfree.h"
#include "reclaim/pending.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/sync.h"

enum { BATCH = 64 };

struct obj {
	union {
		struct kvfree_head kvfree;
		struct rt_rcu_head rt;
		struct rcu_head lib;
	};
	char rest[64 - sizeof(struct kvfree_head)];
};

struct load {
	struct rt_cpus cpus;
	struct kvfree *k;
	struct pending *p;
	rt_stat batches; /* those that warm up, too */
};

static inline __attribute__((always_inline)) struct obj *get(void)
{
	struct obj *o = rt_alloc(sizeof(*o));

	MBFS_ASSERT(o);
	*(volatile char *)o->rest = 1;
	return o;
}

static void rt_ended(struct rt_rcu_head *head)
{
	rt_free(container_of(head, struct obj, rt));
}

static void lib_ended(struct rcu_head *head)
{
	rt_free(container_of(head, struct obj, lib));
}

static inline __attribute__((always_inline)) void give(struct load *l, enum race_kvfree_way way,
						       struct obj *o)
{
	int err;

	switch (way) {
	case RACE_KVFREE_PLAIN:
		err = kvfree_rcu_mightsleep(l->k, o);
		MBFS_ASSERT(!err);
		break;
	case RACE_KVFREE_HEAD:
		kvfree_rcu(l->k, o, &o->kvfree);
		break;
	case RACE_KVFREE_RT_CALL:
		rt_rcu_call(&o->rt, rt_ended);
		rt_rcu_throttle();
		break;
	case RACE_KVFREE_CALL_RCU:
		urcu_memb_call_rcu(&o->lib, lib_ended);
		break;
	case RACE_KVFREE_PENDING:
		pending_add(l->p, o);
		pending_throttle(l->p);
		break;
	default:
		rt_free(o);
	}
}

#define LOOP(name, way)                               \
	static bool name(void *arg, unsigned idx)     \
	{                                             \
		struct load *l = arg;                 \
                                                      \
		(void)idx;                            \
		for (unsigned i = 0; i < BATCH; i++)  \
			give(l, way, get());          \
		rt_stat_add(&l->batches, 1);          \
		return true;                          \
	}
LOOP(plain, RACE_KVFREE_PLAIN)
LOOP(with_head, RACE_KVFREE_HEAD)
LOOP(by_rt_call, RACE_KVFREE_RT_CALL)
LOOP(at_once, RACE_KVFREE_AT_ONCE)
LOOP(by_pending, RACE_KVFREE_PENDING)

/* It takes registered threads: a section registers. */
static bool by_call_rcu(void *arg, unsigned idx)
{
	struct load *l = arg;

	(void)idx;
	rt_rcu_read_lock();
	rt_rcu_read_unlock();
	for (unsigned i = 0; i < BATCH; i++)
		give(l, RACE_KVFREE_CALL_RCU, get());
	rt_stat_add(&l->batches, 1);
	return true;
}

static void processed(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

static double cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

int race_kvfree_measure(enum race_kvfree_way way, unsigned threads, uint64_t run_ns,
			struct race_pace *out)
{
	static bool (*const batch[])(void *arg, unsigned idx) = {
		plain, with_head, by_rt_call, by_call_rcu, at_once, by_pending,
	};
	struct load l = { .batches = { 0 } };
	struct kvfree_config cfg = { .cpus = &l.cpus };
	struct pending_config pe = { .name = "measured",
				     .process = processed,
				     .link_offset = PENDING_NO_LINK };
	struct race_bout bout = {
		.threads = threads, .run_ns = run_ns, .ops = BATCH, .batch = batch[way], .arg = &l
	};
	double from;
	int err;

	rt_cpus_init(&l.cpus, 0);
	err = kvfree_open(&cfg, &l.k);
	if (err)
		return err;
	err = pending_open(&l.cpus, &pe, &l.p);
	if (err)
		goto err_kvfree;
	err = rt_rcu_worker_start();
	if (err)
		goto err_pending;
	from = cpu_ns();
	err = race_bout_run(&bout, out);
	if (way == RACE_KVFREE_CALL_RCU)
		urcu_memb_barrier();
	pending_flush(l.p);
	kvfree_flush(l.k);
	rt_rcu_worker_stop();
	if (!err)
		out->cpu_ns = (cpu_ns() - from) / ((double)rt_stat_read(&l.batches) * BATCH);
err_pending:
	pending_close(l.p);
err_kvfree:
	kvfree_close(l.k);
	return err;
}
