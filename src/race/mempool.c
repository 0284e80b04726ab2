// SPDX-License-Identifier: GPL-2.0-only
/*
 * mempool-abba: the deadlock that Andi Kleen saw in the patch of 2011 (shared seed
 * 001_6ffad1843fbe8906). Each writer again and again takes an object of each of two or three pools
 * (pools.h), holds them for a moment, as an operation does that waits for its I/O, and gives them
 * back. The allocator fails from the start, so the reserves are all there is.
 *
 * Each writer's hand is in memory that the watching parent shares. A deadlock is told exactly: each
 * writer waits, and every object of each pool that is waited for is in the hands of one of them; an
 * object that was handed to somebody who has not woken up yet is in nobody's.
 */
#include "race/pools.h"
#include "race/race_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

const struct race_workload mempool_workloads[] = {
	{ "two", "each operation needs an object of two pools, neighbours in opposite order" },
	{ "three", "of three, each writer beginning at another one" },
	{ NULL, NULL },
};

enum { HOLD_NS = 10000, TELL_MAX = 6 };

struct mempool_room {
	const struct race_config *cfg;
	struct pools pools;	  /* the child's */
	struct race_pools counts; /* the child's, copied here again and again */
	struct pools_hand hand[]; /* by writer */
};

static unsigned needs(const struct race_config *cfg)
{
	return strcmp(cfg->workload->name, "three") == 0 ? 3 : 2;
}

static unsigned reserve_of(const struct race_config *cfg)
{
	return cfg->reserve ? cfg->reserve : pools_reserve_default(cfg->variant.name);
}

/* ---- the child ---- */

static int start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct mempool_room *room = ctx;
	int err;

	(void)nr;
	room->cfg = workers[0].cfg;
	err = pools_open(&room->pools, room->cfg->variant.name, needs(room->cfg),
			 reserve_of(room->cfg), room->cfg->cpus);
	return err;
}

static void tick(void *ctx)
{
	struct mempool_room *room = ctx;
	struct race_pools sum = { 0 };

	for (unsigned i = 0; i < room->pools.pool_nr; i++)
		race_pools_add(&sum, room->pools.pool[i]);
	room->counts = sum;
}

static int end(void *ctx)
{
	struct mempool_room *room = ctx;

	tick(room);
	pools_close(&room->pools);
	return 0;
}

static void worker(struct race_worker *w)
{
	struct mempool_room *room = w->ctx;
	struct pools_hand *hand = &room->hand[w->idx];
	void *objs[POOLS_MAX];
	uint64_t from;

	hand->timed = true;
	for (uint64_t n = 0; !race_stopped(w) && (!w->cfg->rounds || n < w->cfg->rounds); n++) {
		from = rt_now_ns();
		pools_take(&room->pools, w->idx, hand, objs);
		race_count_call(w, rt_now_ns() - from, 0);
		rt_sleep_ns(HOLD_NS);
		pools_give(&room->pools, hand, objs);
	}
}

static const struct race_backend backend = { .start = start, .end = end, .tick = tick };

/* ---- the parent ---- */

static unsigned pool_nr(const struct race_config *cfg)
{
	return pools_nr(cfg->variant.name, needs(cfg));
}

static bool deadlocked(const struct race_config *cfg, const void *ctx)
{
	const struct mempool_room *room = ctx;
	unsigned held[POOLS_MAX] = { 0 };
	uint32_t wanted = 0, wants, holds;

	for (unsigned i = 0; i < cfg->threads; i++) {
		wants = rt_u32_read(&room->hand[i].wants);
		holds = rt_u32_read(&room->hand[i].holds);
		if (!wants)
			return false;
		wanted |= wants;
		for (unsigned p = 0; p < pool_nr(cfg); p++)
			held[p] += holds >> p & 1;
	}
	for (unsigned p = 0; p < pool_nr(cfg); p++)
		if (wanted >> p & 1 && held[p] < reserve_of(cfg))
			return false;
	return true;
}

/* A text that grows and is cut at its end. */
struct text {
	char *buf;
	size_t bytes, at;
};

static void say(struct text *t, const char *fmt, ...) MBFS_PRINTF(2, 3);

static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->at, t->bytes - t->at, fmt, ap);
	va_end(ap);
	t->at = t->at + (size_t)n < t->bytes ? t->at + (size_t)n : t->bytes - 1;
}

/* "writer 3 for 204.1 ms, writer 5 for 204.0 ms, and 7 more" */
static void say_writers(struct text *t, const struct race_config *cfg,
			const struct mempool_room *room, unsigned pool, bool holders, uint64_t now)
{
	const struct pools_hand *h;
	unsigned nr = 0;
	char ns[16];

	for (unsigned i = 0; i < cfg->threads; i++) {
		h = &room->hand[i];
		if (!(rt_u32_read(holders ? &h->holds : &h->wants) >> pool & 1))
			continue;
		if (nr++ >= TELL_MAX)
			continue;
		race_human_ns(ns, now - rt_u64_read(holders ? &h->held_at_ns[pool] :
							      &h->wants_at_ns));
		say(t, "%swriter %u for %s", nr > 1 ? ", " : "", i, ns);
	}
	if (nr > TELL_MAX)
		say(t, " and %u more", nr - TELL_MAX);
	if (nr == 0)
		say(t, "nobody");
}

/* Somebody who holds @pool. */
static unsigned holder_of(const struct race_config *cfg, const struct mempool_room *room,
			  unsigned pool)
{
	for (unsigned i = 0; i < cfg->threads; i++)
		if (rt_u32_read(&room->hand[i].holds) >> pool & 1)
			return i;
	return cfg->threads;
}

static unsigned wanted_by(const struct mempool_room *room, unsigned writer)
{
	return (unsigned)__builtin_ctz(rt_u32_read(&room->hand[writer].wants));
}

/* Who waits for what another holds, until it is the first one's again. */
static void say_cycle(struct text *t, const struct race_config *cfg,
		      const struct mempool_room *room)
{
	unsigned at = 0, pool;

	for (unsigned i = 0; i < POOLS_MAX; i++) /* as many steps lead into the cycle at most */
		at = holder_of(cfg, room, wanted_by(room, at));
	say(t, "cycle: ");
	for (unsigned first = at, i = 0; i <= POOLS_MAX; i++) {
		pool = wanted_by(room, at);
		at = holder_of(cfg, room, pool);
		say(t, "%swriter %u holds %s", i ? ", " : "", at, pools_name(pool));
		if (i == 0)
			first = at;
		else if (at == first)
			break;
		say(t, " and waits for %s", pools_name(wanted_by(room, at)));
	}
}

static void who(const struct race_config *cfg, const void *ctx, char *buf, size_t bytes)
{
	const struct mempool_room *room = ctx;
	struct text t = { .buf = buf, .bytes = bytes };
	uint64_t now = rt_now_ns();

	for (unsigned p = 0; p < pool_nr(cfg); p++) {
		say(&t, "%spool %s, %u in the reserve: held by ", p ? "; " : "", pools_name(p),
		    reserve_of(cfg));
		say_writers(&t, cfg, room, p, true, now);
		say(&t, "; waited for by ");
		say_writers(&t, cfg, room, p, false, now);
	}
	if (!deadlocked(cfg, ctx))
		return;
	say(&t, "; ");
	say_cycle(&t, cfg, room);
}

static void collect(const struct race_config *cfg, const void *ctx, struct race_result *res)
{
	const struct mempool_room *room = ctx;

	res->pools = room->counts;
	res->pools.reserve = reserve_of(cfg);
}

static int plan_check(const struct race_config *cfg, uint64_t usable, struct mbfs_diag *diag)
{
	(void)usable;
	if (cfg->threads < 2)
		return diag_set(diag, -EINVAL,
				"one writer has nobody to wait for; use --threads 2");
	return 0;
}

static bool held(const struct race_result *res)
{
	return !res->deadlock;
}

const struct race_kind mempool_kind = {
	.takes = RACE_TAKES_RESERVE,
	.room_bytes = sizeof(struct mempool_room),
	.room_bytes_each = sizeof(struct pools_hand),
	.deadlocked = deadlocked,
	.who = who,
	.collect = collect,
	.defaults = {
		.threads = 8,
		.cpus = 8,
		.run_ms = 2000,
		.grace_ms = 5000,
	},
	.plan_check = plan_check,
	.worker = worker,
	.library = &backend,
	.held = held,
	.report = &mempool_report,
};
