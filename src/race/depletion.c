// SPDX-License-Identifier: GPL-2.0-only
/*
 * mempool-depletion: how soon a reserve is empty (the last mail of shared seed
 * 001_6ffad1843fbe8906: "the pool is hit before reclaim starts at all"). Each writer again and
 * again takes an object, holds it for a moment and gives it back.
 *
 * Memory is a number of objects: free, ours, or others'.
 *	pressure: of 100 objects that come back to memory so many become others'
 *	without waiting: an object, if more are free than the watermark
 *	with waiting: the same; else reclaim: sleep, take some of the others', an object if there is
 *		one
 *	background: every few milliseconds, while fewer are free than the watermark, some of the
 *		others'
 * Equation: free + others' + what is out of memory (in use, in the reserve) == MEMORY_NR.
 *
 * The variants are the two orders of reclaim/mempool.h. Lost: the reserve was empty before the
 * first reclaim on somebody's behalf began.
 */
#include "race/race_priv.h"
#include "reclaim/mempool.h"

#include <errno.h>
#include <string.h>

const struct race_workload depletion_workloads[] = {
	{ "churn", "an object is taken, held for a moment, given back" },
	{ NULL, NULL },
};

enum {
	OBJECT_BYTES = 64,
	MEMORY_NR = 4096,
	WATERMARK = 256,
	RESERVE = 16,
	HOLD_NS = 20000,
	RECLAIM_NS = 100000,
	RECLAIM_NR = 32,
};
/* As the kernel's mempool_alloc(): 5 s. */
static const uint64_t retry_ns = 5000000000;

struct depletion_room {
	const struct race_config *cfg;
	struct rt_cpus cpus;
	struct mempool_domain *domain;
	struct mempool *pool;
	rt_u64 free_nr, others_nr;   /* [atomic] see the equation */
	rt_u64 back_nr;		     /* [atomic] objects that came back to memory */
	rt_u64 reclaims, background; /* [atomic] how often each ran */
	rt_u64 begun_ns;	     /* [atomic] the first allocation of a writer */
	rt_u64 empty_ns, reclaim_ns, background_ns; /* [atomic] when each was first, 0: never */
	struct race_pools counts;
};

static unsigned reserve_of(const struct race_config *cfg)
{
	return cfg->reserve ? cfg->reserve : RESERVE;
}

static void first_time(rt_u64 *when)
{
	uint64_t never = 0;

	if (rt_u64_read(when) == 0)
		rt_u64_cas(when, &never, rt_now_ns());
}

/* ---- memory ---- */

/* @nr of *from, if more than @floor are left before; how many it was. */
static uint64_t take_some(rt_u64 *from, uint64_t nr, uint64_t floor)
{
	uint64_t was = rt_u64_read(from), got;

	do {
		got = was <= floor ? 0 : nr < was ? nr : was;
	} while (got && !rt_u64_cas(from, &was, was - got));
	return got;
}

static void reclaim(struct depletion_room *room)
{
	rt_u64_add(&room->free_nr, take_some(&room->others_nr, RECLAIM_NR, 0));
}

static void *memory_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct depletion_room *room = ctx;
	void *obj;

	(void)align;
	if (!take_some(&room->free_nr, 1, WATERMARK)) {
		if (!may_wait)
			return NULL;
		first_time(&room->reclaim_ns);
		rt_u64_add(&room->reclaims, 1);
		rt_sleep_ns(RECLAIM_NS);
		reclaim(room);
		if (!take_some(&room->free_nr, 1, 0))
			return NULL;
	}
	obj = rt_alloc(bytes);
	if (!obj)
		rt_u64_add(&room->free_nr, 1);
	return obj;
}

/* Evenly: of any 100 in a row as many as the pressure says are others' from now on. */
static void memory_free(void *ctx, void *obj)
{
	struct depletion_room *room = ctx;
	uint64_t nr = rt_u64_add_return(&room->back_nr, 1), percent = room->cfg->pressure;
	bool lost = nr * percent / 100 != (nr - 1) * percent / 100;

	rt_free(obj);
	rt_u64_add(lost ? &room->others_nr : &room->free_nr, 1);
}

static const struct mempool_backing memory = { .alloc = memory_alloc, .free = memory_free };

/* ---- the child ---- */

static int start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct depletion_room *room = ctx;
	const struct race_config *cfg = workers[0].cfg;
	struct mempool_config pool = {
		.name = "objects",
		.bytes = OBJECT_BYTES,
		.min_nr = reserve_of(cfg),
		.order = strcmp(cfg->variant.name, "patient-order") == 0 ? MEMPOOL_PATIENT :
									    MEMPOOL_KERNEL,
		.retry_ns = retry_ns,
		.backing = &memory,
		.ctx = room,
	};
	int err;

	(void)nr;
	room->cfg = cfg;
	rt_u64_set(&room->free_nr, MEMORY_NR);
	rt_cpus_init(&room->cpus, cfg->cpus);
	err = mempool_domain_open(&room->cpus, &room->domain);
	if (err)
		return err;
	err = mempool_open(room->domain, &pool, &room->pool);
	if (err)
		mempool_domain_close(room->domain);
	return err;
}

static void tick(void *ctx)
{
	struct depletion_room *room = ctx;

	if (rt_u64_read(&room->free_nr) > WATERMARK || !rt_u64_read(&room->begun_ns))
		return;
	first_time(&room->background_ns);
	rt_u64_add(&room->background, 1);
	reclaim(room);
}

static int end(void *ctx)
{
	struct depletion_room *room = ctx;
	uint64_t nr;

	race_pools_add(&room->counts, room->pool);
	mempool_close(room->pool);
	mempool_domain_close(room->domain);
	nr = rt_u64_read(&room->free_nr) + rt_u64_read(&room->others_nr);
	MBFS_ASSERT(nr == MEMORY_NR);
	return 0;
}

static void look_for_empty(struct depletion_room *room)
{
	struct mempool_stats st;

	if (rt_u64_read(&room->empty_ns))
		return;
	mempool_stats(room->pool, &st);
	if (st.low_water == 0)
		first_time(&room->empty_ns);
}

static void worker(struct race_worker *w)
{
	struct depletion_room *room = w->ctx;
	uint64_t from;
	void *obj;

	first_time(&room->begun_ns);
	for (uint64_t n = 0; !race_stopped(w) && (!w->cfg->rounds || n < w->cfg->rounds); n++) {
		from = rt_now_ns();
		obj = mempool_alloc(room->pool, MEMPOOL_WAIT);
		race_count_call(w, rt_now_ns() - from, 0);
		look_for_empty(room);
		rt_sleep_ns(HOLD_NS);
		mempool_free(room->pool, obj);
	}
}

static const struct race_backend backend = { .start = start, .end = end, .tick = tick };

/* ---- the parent ---- */

static void collect(const struct race_config *cfg, const void *ctx, struct race_result *res)
{
	const struct depletion_room *room = ctx;
	uint64_t begun = rt_u64_read(&room->begun_ns), at;
	struct race_pools *out = &res->pools;

	*out = room->counts;
	out->reserve = reserve_of(cfg);
	out->reclaims = rt_u64_read(&room->reclaims);
	out->background = rt_u64_read(&room->background);
	at = rt_u64_read(&room->empty_ns);
	out->empty_ns = at ? at - begun : RACE_NEVER;
	at = rt_u64_read(&room->reclaim_ns);
	out->reclaim_ns = at ? at - begun : RACE_NEVER;
	at = rt_u64_read(&room->background_ns);
	out->background_ns = at ? at - begun : RACE_NEVER;
}

static int plan_check(const struct race_config *cfg, uint64_t usable, struct mbfs_diag *diag)
{
	(void)usable;
	if (reserve_of(cfg) > MEMORY_NR / 2)
		return diag_set(diag, -EINVAL,
				"--reserve: all memory has %d objects; at most half may be "
				"reserved", MEMORY_NR);
	return 0;
}

static bool held(const struct race_result *res)
{
	return res->pools.empty_ns == RACE_NEVER || res->pools.reclaim_ns < res->pools.empty_ns;
}

const struct race_kind depletion_kind = {
	.takes = RACE_TAKES_RESERVE | RACE_TAKES_PRESSURE,
	.room_bytes = sizeof(struct depletion_room),
	.collect = collect,
	.defaults = {
		.threads = 32,
		.cpus = 8,
		.run_ms = 1000,
		.grace_ms = 10000, /* a wait may be for retry_ns */
	},
	.plan_check = plan_check,
	.worker = worker,
	.library = &backend,
	.held = held,
	.report = &depletion_report,
};

/* ---- variants ---- */

static bool order_at(unsigned idx, struct race_variant *out)
{
	static const struct race_variant orders[] = {
		{ "kernel-order", "2011", NULL, "the allocator without waiting, the reserve, a "
		  "wait, and only then the allocator with waiting", false },
		{ "patient-order", NULL, NULL, "the allocator with waiting, then the reserve: "
		  "what the seed's author wanted", true },
	};

	if (idx >= MBFS_ARRAY_SIZE(orders))
		return false;
	*out = orders[idx];
	return true;
}

const struct race_family race_mempool_order = {
	.what = "mempool order", .ours = "patient-order", .at = order_at
};
