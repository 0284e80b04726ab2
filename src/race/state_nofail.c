// SPDX-License-Identifier: GPL-2.0-only
/*
 * extent-state-nofail: many threads change the states of one file's bytes while memory is out, and
 * each compares them with a naive twin, an array. Lost is an operation that was not done, and a
 * piece whose states are not the twin's.
 *
 * storm	The file is cut into spans, a span into lanes. A thread has two user bits in the
 *		whole of its span, where others of the span have theirs, and in its lane the bits
 *		of the file system. So all of its bits are its own, and its twin, too: it may
 *		compare at any time, however the others' places come and go between its own. After
 *		BATCH_OPS random operations it clears what it has.
 * io		What a write does to the bytes that it has locked: in flight and unwritten,
 *		converted, cleared. Here the twin is one array, guarded by the range locks.
 *
 * In the middle of a batch its states stay for HOLD_NS, as those of a write until the data is down.
 *
 * Memory: in storm and io there are places for two batches of the variant mbfs, the same for all,
 * and no more. In -half these are the pool's reserve, which 2011-atomic has not (but for one place,
 * the least a pool can have), and the allocator has more by the toss of a coin; in -rich it has.
 *
 * After each round all meet: nothing is in the tree, and each place is back in the pool. What a
 * variant has left behind counts as unlike the twin, and the next round has a new tree.
 */
#include "race/race_priv.h"
#include "race/state.h"

#include <errno.h>
#include <string.h>

enum {
	UNIT_BYTES = 4096,
	LANES = 12, /* threads of a span; each two of the 24 user bits */
	LANE_UNITS = 20,
	SPAN_UNITS = LANES * LANE_UNITS,
	BATCH_OPS = 8,
	STORM_OPS = BATCH_OPS + 2, /* what is left in span and lane is cleared */
	IO_OPS = 3,
	RESERVE_BATCHES = 2,
	ROUND_BATCHES = 64,
	MAGAZINE_NR = 8,
	RETRY_NS = 1000000,
	HOLD_NS = 10000,
};

static const uint32_t fs_bits = IO_IN_FLIGHT | IO_UNWRITTEN | IO_DIRTY | IO_ERROR;

const struct race_workload state_workloads[] = {
	{ "storm", "random changes of own bits; no memory but the reserve" },
	{ "storm-half", "the same; every other allocation fails" },
	{ "storm-rich", "the same; there is memory" },
	{ "io", "what a write does to bytes it has locked; no memory but the reserve" },
	{ "io-half", "the same; every other allocation fails" },
	{ "io-rich", "the same; there is memory" },
	{ NULL, NULL },
};

enum memory { MEMORY_RESERVE, MEMORY_HALF, MEMORY_RICH };
enum at { AT_WORK, AT_LOCK, AT_GATE };

/* The twin of a thread in storm. */
struct storm {
	uint32_t first_unit, first_of_lane;
	uint32_t user;             /* both bits */
	uint32_t twin[SPAN_UNITS]; /* own bits: those, and in its lane the file system's */
};

/* A thread's. */
struct hands {
	struct race_worker *w;
	struct room *room;
	const struct state_way *way;
	struct state_batch batch; /* [racy: the parent looks when nobody moves] */
	rt_u32 at;                /* [atomic] enum at */
	struct storm storm;
	struct race_state_tally seen;
};

/* The file and its memory; the parent sees it, too. */
struct room {
	const struct race_config *cfg;
	bool io;            /* [const] the workload */
	enum memory memory; /* [const] */
	bool dry;           /* [const] the reserve is filled: memory is as the workload says */
	rt_u64 coins;       /* [atomic] */
	struct rt_cpus cpus;
	struct mempool_domain *domain;
	struct mempool *pool;
	struct race_pools counts; /* copied here again and again */
	struct io_env env;
	struct io_tree tree; /* [racy: likewise, its state_nr] */
	uint32_t units;      /* [const] the last one reaches to IO_END */
	uint32_t *twin;      /* io: of each unit [range lock] */
	struct hands hands[];
};

static uint64_t unit_start(const struct room *r, uint32_t unit)
{
	return unit == r->units ? IO_END : (uint64_t)unit * UNIT_BYTES;
}

static bool is_io(const struct race_config *cfg)
{
	return strncmp(cfg->workload->name, "io", 2) == 0;
}

static unsigned batch_places(const struct race_config *cfg)
{
	return IO_OP_NODES * (is_io(cfg) ? IO_OPS : STORM_OPS);
}

static enum memory memory_of(const struct race_config *cfg)
{
	return strstr(cfg->workload->name, "-rich")   ? MEMORY_RICH
	       : strstr(cfg->workload->name, "-half") ? MEMORY_HALF
						      : MEMORY_RESERVE;
}

static unsigned reserve_of(const struct race_config *cfg)
{
	if (cfg->reserve)
		return cfg->reserve;
	if (memory_of(cfg) != MEMORY_RESERVE && !state_way_waits(state_way_find(cfg->variant.name)))
		return 1;
	return RESERVE_BATCHES * batch_places(cfg);
}

/* ---- memory ---- */

static void *backing_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct room *r = ctx;
	struct rt_rand coin;

	(void)may_wait;
	if (r->dry && r->memory == MEMORY_RESERVE)
		return NULL;
	if (r->dry && r->memory == MEMORY_HALF) {
		coin = (struct rt_rand){ r->cfg->seed + rt_u64_add_return(&r->coins, 1) };
		if (rt_rand_below(&coin, 2))
			return NULL;
	}
	return rt_zalloc_aligned(align, bytes);
}

static void backing_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

static const struct mempool_backing memory = { .alloc = backing_alloc, .free = backing_free };

static int pool_open(struct room *r)
{
	struct mempool_config cfg = {
		.name = "states",
		.bytes = io_state_bytes(),
		.align = IO_STATE_ALIGN,
		.min_nr = reserve_of(r->cfg),
		.magazine_nr = MAGAZINE_NR,
		.order = MEMPOOL_KERNEL,
		.retry_ns = RETRY_NS,
		.backing = &memory,
		.ctx = r,
	};
	int err;

	rt_cpus_init(&r->cpus, r->cfg->cpus);
	err = mempool_domain_open(&r->cpus, &r->domain);
	if (err)
		return err;
	err = mempool_open(r->domain, &cfg, &r->pool);
	if (err)
		mempool_domain_close(r->domain);
	return err;
}

/* ---- the child ---- */

static int start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct room *r = ctx;
	int err = -ENOMEM;

	r->cfg = workers[0].cfg;
	r->io = is_io(r->cfg);
	r->memory = memory_of(r->cfg);
	r->units = (nr + LANES - 1) / LANES * SPAN_UNITS;
	r->twin = rt_zalloc(r->units * sizeof(r->twin[0]));
	if (r->twin)
		err = pool_open(r);
	if (err) {
		rt_free(r->twin);
		return err;
	}
	r->dry = true;
	r->env.states = r->pool;
	r->env.node_places = 1; /* each takes memory, as the kernel's do */
	io_tree_init(&r->tree, &r->env, RANK_INODE_RANGE);
	return 0;
}

static void tick(void *ctx)
{
	struct room *r = ctx;
	struct race_pools sum = { 0 };

	race_pools_add(&sum, r->pool);
	r->counts = sum;
}

static int end(void *ctx)
{
	struct room *r = ctx;

	tick(r);
	io_tree_destroy(&r->tree);
	mempool_close(r->pool);
	mempool_domain_close(r->domain);
	rt_free(r->twin);
	return 0;
}

static const struct race_backend backend = { .start = start, .end = end, .tick = tick };

/* ---- a thread ---- */

/* One operation on whole units. */
static void change(struct hands *h, uint32_t first, uint32_t end_unit, uint32_t clear, uint32_t set)
{
	if (!state_change(&h->batch, unit_start(h->room, first), unit_start(h->room, end_unit),
			  clear, set))
		h->seen.failed++;
	h->w->slot->tally.attempts++;
	race_progress(h->w);
}

/* A piece is as the twin has it, or counted. */
static void compare(struct hands *h, uint32_t first, uint32_t end_unit, uint32_t mask,
		    uint32_t want)
{
	struct io_tree *t = &h->room->tree;
	uint64_t from = unit_start(h->room, first), to = unit_start(h->room, end_unit);

	h->seen.compared++;
	h->seen.differ += !state_is(t, from, to, mask, want) ||
			  (want ? !io_tree_test(t, from, to, want, true)
				: io_tree_test(t, from, to, mask, false));
}

/* ---- storm ---- */

static uint32_t own_mask(const struct storm *m, uint32_t unit)
{
	return m->user |
	       (unit >= m->first_of_lane && unit < m->first_of_lane + LANE_UNITS ? fs_bits : 0);
}

static void storm_init(struct hands *h)
{
	struct storm *m = &h->storm;
	unsigned lane = h->w->idx % LANES;

	m->first_unit = h->w->idx / LANES * SPAN_UNITS;
	m->first_of_lane = m->first_unit + lane * LANE_UNITS;
	m->user = IO_USER(2 * lane) | IO_USER(2 * lane + 1);
}

static void twin_change(struct storm *m, uint32_t first, uint32_t end, uint32_t clear, uint32_t set)
{
	for (uint32_t u = first - m->first_unit; u < end - m->first_unit; u++)
		m->twin[u] = (m->twin[u] & ~clear) | set;
}

static uint32_t some_bits(struct rt_rand *rand, uint32_t of)
{
	uint32_t bits;

	do
		bits = (uint32_t)rt_rand_below(rand, (uint64_t)of + 1) & of;
	while (bits == 0);
	return bits;
}

static void storm_op(struct hands *h)
{
	struct storm *m = &h->storm;
	struct rt_rand *rand = &h->w->rand;
	bool lane = rt_rand_below(rand, 2);
	uint32_t of = lane ? fs_bits : m->user, nr = lane ? LANE_UNITS : SPAN_UNITS;
	uint32_t at = (uint32_t)rt_rand_below(rand, nr);
	uint32_t first = (lane ? m->first_of_lane : m->first_unit) + at;
	uint32_t end_unit = first + 1 + (uint32_t)rt_rand_below(rand, nr - at);
	unsigned kind = (unsigned)rt_rand_below(rand, 4); /* 0, 1: set, 2: clear, 3: convert */
	uint32_t set = kind == 2 ? 0 : some_bits(rand, of);
	uint32_t clear = kind < 2 ? 0 : some_bits(rand, of) & ~set;

	change(h, first, end_unit, clear, set);
	twin_change(m, first, end_unit, clear, set);
}

static void storm_compare(struct hands *h)
{
	struct storm *m = &h->storm;
	uint32_t from = 0, mask;

	for (uint32_t u = 1; u <= SPAN_UNITS; u++) { /* what is alike, together */
		mask = own_mask(m, m->first_unit + from);
		if (u < SPAN_UNITS && m->twin[u] == m->twin[from] &&
		    own_mask(m, m->first_unit + u) == mask)
			continue;
		compare(h, m->first_unit + from, m->first_unit + u, mask, m->twin[from]);
		from = u;
	}
}

static void storm_batch(struct hands *h)
{
	struct storm *m = &h->storm;
	uint64_t from = rt_now_ns();

	state_begin(&h->batch, h->way, &h->room->tree, STORM_OPS);
	for (unsigned i = 0; i < BATCH_OPS; i++) {
		storm_op(h);
		if (i == BATCH_OPS / 2)
			rt_sleep_ns(HOLD_NS);
	}
	storm_compare(h);
	change(h, m->first_unit, m->first_unit + SPAN_UNITS, m->user, 0);
	change(h, m->first_of_lane, m->first_of_lane + LANE_UNITS, fs_bits, 0);
	state_end(&h->batch);
	race_hist_add(&h->w->slot->tally.lat, rt_now_ns() - from);
	memset(m->twin, 0, sizeof(m->twin));
	storm_compare(h);
}

/* ---- io ---- */

static void io_step(struct hands *h, uint32_t first, uint32_t end_unit, uint32_t clear,
		    uint32_t set)
{
	uint32_t *twin = h->room->twin;

	change(h, first, end_unit, clear, set);
	for (uint32_t u = first; u < end_unit; u++) {
		twin[u] = (twin[u] & ~clear) | set;
		compare(h, u, u + 1, fs_bits, twin[u]);
	}
}

static void io_write(struct hands *h)
{
	struct room *r = h->room;
	struct rt_rand *rand = &h->w->rand;
	uint32_t first = (uint32_t)rt_rand_below(rand, r->units), most = r->units - first, end_unit;
	uint64_t from = rt_now_ns();
	struct io_lock lock;

	end_unit = first + 1 + (uint32_t)rt_rand_below(rand, most < LANE_UNITS ? most : LANE_UNITS);
	state_begin(&h->batch, h->way, &r->tree, IO_OPS);
	rt_u32_set(&h->at, AT_LOCK);
	io_tree_lock_range(&r->tree, &lock, unit_start(r, first), unit_start(r, end_unit),
			   IO_EXCLUSIVE);
	rt_u32_set(&h->at, AT_WORK);
	io_step(h, first, end_unit, 0, IO_IN_FLIGHT | IO_UNWRITTEN);
	rt_sleep_ns(HOLD_NS);
	io_step(h, first, end_unit, IO_UNWRITTEN, IO_DIRTY);
	io_step(h, first, end_unit, IO_IN_FLIGHT | IO_DIRTY, 0);
	io_tree_unlock_range(&r->tree, &lock);
	state_end(&h->batch);
	race_hist_add(&h->w->slot->tally.lat, rt_now_ns() - from);
}

/* ---- rounds ---- */

/* All are at the gate. */
static void leader(struct race_worker *w)
{
	struct room *r = w->ctx;
	struct race_state_tally *seen = &r->hands[w->idx].seen;
	struct mbfs_diag diag = { "" };
	struct mempool_stats st;
	int err = io_tree_check(&r->tree, &diag);

	if (err)
		race_broke(w, diag.text[0] ? diag.text : "io_tree_check()", err);
	seen->compared++;
	seen->differ += r->tree.state_nr != 0;
	io_tree_destroy(&r->tree);
	io_tree_init(&r->tree, &r->env, RANK_INODE_RANGE);
	mempool_stats(r->pool, &st);
	if (st.in_use != 0)
		race_broke(w, "places are neither in the tree nor in the pool", -EUCLEAN);
	memset(r->twin, 0, r->units * sizeof(r->twin[0]));
	race_round_over(w);
}

static void worker(struct race_worker *w)
{
	struct room *r = w->ctx;
	struct hands *h = &r->hands[w->idx];

	h->w = w;
	h->room = r;
	h->way = state_way_find(w->cfg->variant.name);
	storm_init(h);
	do {
		rt_u32_set(&h->at, AT_WORK);
		for (unsigned i = 0; i < ROUND_BATCHES && !race_stopped(w); i++)
			(r->io ? io_write : storm_batch)(h);
		rt_u32_set(&h->at, AT_GATE);
	} while (race_gate_pass(w, leader));
}

/* ---- the parent ---- */

/*
 * All places are in the tree or in the hands of those who wait for one; the others wait for these,
 * with nothing in hand. A place that was given to somebody who has not woken up yet is missing.
 */
static bool deadlocked(const struct race_config *cfg, const void *ctx)
{
	const struct room *r = ctx;
	uint64_t places = r->tree.node_nr;
	unsigned waiting = 0;

	for (unsigned i = 0; i < cfg->threads; i++) {
		const struct hands *h = &r->hands[i];

		if (rt_stat_read(&h->batch.waits)) {
			waiting++;
			places += h->batch.memory.nr;
		} else if (rt_u32_read(&h->at) == AT_WORK || h->batch.memory.nr) {
			return false;
		}
	}
	return r->memory == MEMORY_RESERVE && waiting && places == reserve_of(cfg);
}

static void who(const struct race_config *cfg, const void *ctx, char *buf, size_t bytes)
{
	const struct room *r = ctx;
	unsigned waiting = 0, at_hand = 0, lock = 0, gate = 0;

	for (unsigned i = 0; i < cfg->threads; i++) {
		const struct hands *h = &r->hands[i];

		at_hand += h->batch.memory.nr;
		waiting += rt_stat_read(&h->batch.waits) != 0;
		lock += rt_u32_read(&h->at) == AT_LOCK;
		gate += rt_u32_read(&h->at) == AT_GATE;
	}
	snprintf(buf, bytes,
		 "of %u places %llu are in the tree and %u in the hands of writers; %u writers "
		 "wait for a place in an operation, %u for a range lock, %u for the others to end "
		 "the round",
		 reserve_of(cfg), (unsigned long long)r->tree.state_nr, at_hand, waiting, lock,
		 gate);
}

static void collect(const struct race_config *cfg, const void *ctx, struct race_result *res)
{
	const struct room *r = ctx;

	res->pools = r->counts;
	res->pools.reserve = reserve_of(cfg);
	for (unsigned i = 0; i < cfg->threads; i++) {
		res->states.failed += r->hands[i].seen.failed;
		res->states.compared += r->hands[i].seen.compared;
		res->states.differ += r->hands[i].seen.differ;
	}
}

static int plan_check(const struct race_config *cfg, uint64_t usable, struct mbfs_diag *diag)
{
	(void)usable;
	if (state_way_reserves(state_way_find(cfg->variant.name)) &&
	    reserve_of(cfg) < batch_places(cfg))
		return diag_set(diag, -EINVAL,
				"--reserve %u: one writer's operations need up to %u places",
				cfg->reserve, batch_places(cfg));
	return 0;
}

static bool held(const struct race_result *res)
{
	return res->states.failed == 0 && res->states.differ == 0;
}

const struct race_kind state_kind = {
	.takes = RACE_TAKES_RESERVE,
	.room_bytes = sizeof(struct room),
	.room_bytes_each = sizeof(struct hands),
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
	.report = &state_report,
};
