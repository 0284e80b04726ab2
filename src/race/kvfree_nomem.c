// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvfree-nomem: objects that readers may still see are given to be freed while memory is out
 * (giving.h has the variants), by real threads. Updaters put a new object in the place of another
 * and give that one, with a head or without, in four contexts: where they may sleep, under the
 * place's spinlock, in a reader, in both. Who is told to keep an object gives it again when he has
 * left. Readers take objects and look at them once more READ_NS later.
 *
 * An object is a place in memory of a round's own, used once in it: one that was freed says so for
 * the rest of the round. After each round all meet and give what is left, and the variant's way is
 * closed with all of it queued; then each object that was not freed is lost.
 */
#include "race/giving.h"
#include "race/race_priv.h"

#include <errno.h>
#include <string.h>

enum {
	READERS = 2,
	LOOKS = 4, /* objects that a reader takes at once */
	PLACES = 16,
	ROUND_OBJS = 1024, /* of an updater */
	PAGE_NR = 64,
	HIGH_WATER = 256,
	READ_NS = 20000,
	WAIT_POLL_NS = 100000,
};

const struct race_workload kvfree_workloads[] = {
	{ "always", "memory is out" },
	{ "often", "every other allocation fails, by the toss of a coin" },
	{ "never", "there is memory" },
	{ NULL, NULL },
};

enum context { MAY_SLEEP, IN_SPIN = 1, IN_READER = 2, CONTEXTS = 4 };
enum { UNUSED, LIVE, FREED };

struct obj {
	struct giving_obj give;
	rt_u32 is; /* [atomic] */
};

struct place {
	struct rt_spin lock;
	rt_ptr obj; /* read under RCU */
};

struct reader {
	struct room *room;
	struct rt_rand rand;
	struct rt_thread *thread;
};

struct room {
	const struct race_config *cfg;
	struct rt_cpus cpus;
	struct giving giving;
	struct place place[PLACES];
	struct obj *objs; /* cfg->threads * ROUND_OBJS */
	struct reader reader[READERS];
	rt_u64 coins;   /* [atomic] */
	rt_u64 waiting; /* [atomic] given, and not freed yet */
	rt_u64 twice, read_freed;         /* [atomic] */
	rt_u32 self_waits, locked_waits;  /* [atomic] updaters that wait in a reader; in a lock */
	rt_u32 stop;                      /* [atomic] */
	struct race_kvfree_tally seen;    /* of the rounds that are over [leader] */
	uint64_t waiting_max[];           /* by updater */
};

/* ---- memory ---- */

static void *memory_get(void *ctx, size_t bytes)
{
	struct room *r = ctx;
	struct rt_rand coin;

	switch (r->cfg->workload->name[0]) {
	case 'a':
		return NULL;
	case 'o':
		coin = (struct rt_rand){ r->cfg->seed + rt_u64_add_return(&r->coins, 1) };
		return rt_rand_below(&coin, 2) ? rt_alloc(bytes) : NULL;
	default:
		return rt_alloc(bytes);
	}
}

static void memory_put(void *ctx, void *mem)
{
	(void)ctx;
	rt_free(mem);
}

static void obj_ended(void *ctx, struct giving_obj *give)
{
	struct room *r = ctx;
	struct obj *o = container_of(give, struct obj, give);

	if (rt_u32_xchg(&o->is, FREED) != LIVE)
		rt_u64_add(&r->twice, 1);
	rt_u64_add(&r->waiting, -1ull);
}

/* Who waits for readers in a reader waits for ever; as somebody else may, who waits for a lock. */
static void wait_for_readers(void *ctx)
{
	struct room *r = ctx;
	rt_u32 *nr = rt_rcu_in_reader() ? &r->self_waits : &r->locked_waits;
	struct rt_rcu_cookie cookie;

	if (!rt_rcu_in_reader() && !rt_spin_held()) {
		rt_rcu_synchronize();
		return;
	}
	rt_u32_add(nr, 1);
	cookie = rt_rcu_start_poll();
	while (!rt_rcu_poll_state(cookie))
		rt_sleep_ns(WAIT_POLL_NS);
	rt_u32_add(nr, -1u);
}

/* ---- readers ---- */

static struct obj *take(struct room *r, struct rt_rand *rand)
{
	return rt_rcu_dereference(&r->place[rt_rand_below(rand, PLACES)].obj);
}

static void look(struct room *r, const struct obj *o)
{
	if (o && rt_u32_read(&o->is) == FREED)
		rt_u64_add(&r->read_freed, 1);
}

static void reader_main(void *arg)
{
	struct reader *me = arg;
	struct room *r = me->room;
	const struct obj *o[LOOKS];
	uint64_t until;

	while (!rt_u32_read_acquire(&r->stop)) {
		rt_rcu_read_lock();
		for (unsigned i = 0; i < LOOKS; i++)
			o[i] = take(r, &me->rand);
		for (until = rt_now_ns() + READ_NS; rt_now_ns() < until;)
			rt_yield();
		for (unsigned i = 0; i < LOOKS; i++)
			look(r, o[i]);
		rt_rcu_read_unlock();
	}
}

/* ---- updaters ---- */

static void give(struct race_worker *w, struct obj *o, bool has_head, bool *kept)
{
	struct room *r = w->ctx;
	uint64_t from, waiting = rt_u64_add_return(&r->waiting, 1);

	if (waiting > r->waiting_max[w->idx])
		r->waiting_max[w->idx] = waiting;
	from = rt_now_ns();
	*kept = !giving_give(&r->giving, &o->give, has_head);
	race_count_call(w, rt_now_ns() - from, 0);
}

static void update(struct race_worker *w, struct obj *new)
{
	struct room *r = w->ctx;
	struct place *at = &r->place[rt_rand_below(&w->rand, PLACES)];
	unsigned context = (unsigned)rt_rand_below(&w->rand, CONTEXTS);
	bool has_head = rt_rand_below(&w->rand, 2), kept = false;
	struct obj *old, *other = NULL;

	rt_u32_set(&new->is, LIVE);
	if (context & IN_READER) {
		rt_rcu_read_lock();
		other = take(r, &w->rand);
	}
	if (context & IN_SPIN)
		rt_spin_lock(&at->lock);
	old = rt_ptr_xchg(&at->obj, new);
	if (old)
		give(w, old, has_head, &kept);
	if (context & IN_SPIN)
		rt_spin_unlock(&at->lock);
	if (context & IN_READER) {
		look(r, other);
		rt_rcu_read_unlock();
	}
	if (!kept)
		return;
	rt_u64_add(&r->waiting, -1ull);
	give(w, old, false, &kept);
	if (kept)
		race_broke(w, "an object is refused where its giver may sleep", -EAGAIN);
}

/* ---- the child ---- */

static int way_open(struct room *r)
{
	const struct giving_env env = { .ended = obj_ended,
					.wait = wait_for_readers,
					.get = memory_get,
					.put = memory_put,
					.ctx = r,
					.page_nr = PAGE_NR,
					.high_water = HIGH_WATER };

	rt_u64_set(&r->waiting, 0);
	memset(r->objs, 0, r->cfg->threads * ROUND_OBJS * sizeof(r->objs[0]));
	return giving_open(&r->giving, r->cfg->variant.name, &r->cpus, &env);
}

/* No updater is at work. All that was made is given, and freed or lost. */
static void way_close(struct room *r)
{
	struct race_kvfree_tally *t = &r->seen;
	struct kvfree_stats st;
	struct obj *o;
	uint32_t is;

	for (unsigned i = 0; i < PLACES; i++) {
		o = rt_ptr_xchg(&r->place[i].obj, NULL);
		if (o)
			giving_give(&r->giving, &o->give, true);
	}
	giving_stats(&r->giving, &st);
	giving_close(&r->giving);
	for (unsigned i = 0; i < r->cfg->threads * ROUND_OBJS; i++) {
		is = rt_u32_read(&r->objs[i].is);
		t->freed += is == FREED;
		t->lost += is == LIVE;
	}
	if (st.queued)
		t->in_pages += st.queued - st.in_heads - st.in_ones - st.inline_waits;
	t->spared += st.spared;
	t->in_heads += st.in_heads;
	t->in_ones += st.in_ones;
	t->inline_waits += st.inline_waits;
	t->refused += st.refused;
	t->floods += st.floods;
}

static int readers_start(struct room *r)
{
	int err;

	for (unsigned i = 0; i < READERS; i++) {
		struct reader *me = &r->reader[i];

		me->room = r;
		me->rand = (struct rt_rand){ r->cfg->seed + ~(uint64_t)i };
		err = rt_thread_start(reader_main, me, "reader", &me->thread);
		if (err)
			return err;
	}
	return 0;
}

static void readers_stop(struct room *r)
{
	rt_u32_set_release(&r->stop, 1);
	for (unsigned i = 0; i < READERS; i++)
		if (r->reader[i].thread)
			rt_thread_join(r->reader[i].thread);
}

static int start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct room *r = ctx;
	int err;

	r->cfg = workers[0].cfg;
	rt_cpus_init(&r->cpus, r->cfg->cpus);
	r->objs = rt_zalloc(nr * ROUND_OBJS * sizeof(r->objs[0]));
	if (!r->objs)
		return -ENOMEM;
	for (unsigned i = 0; i < PLACES; i++)
		rt_spin_init(&r->place[i].lock, RANK_PA);
	err = rt_rcu_worker_start();
	if (err)
		goto err_objs;
	err = way_open(r);
	if (err)
		goto err_worker;
	err = readers_start(r);
	if (!err)
		return 0;
	readers_stop(r);
	way_close(r);
err_worker:
	rt_rcu_worker_stop();
err_objs:
	rt_free(r->objs);
	return err;
}

static int end(void *ctx)
{
	struct room *r = ctx;

	readers_stop(r);
	giving_close(&r->giving); /* the leader has opened one more */
	rt_rcu_worker_stop();
	for (unsigned i = 0; i < PLACES; i++)
		rt_spin_destroy(&r->place[i].lock);
	rt_free(r->objs);
	return 0;
}

/* All are at the gate. */
static void leader(struct race_worker *w)
{
	struct room *r = w->ctx;
	int err;

	way_close(r);
	err = way_open(r);
	if (err)
		race_broke(w, "a way to give objects", err);
	race_round_over(w);
}

static void worker(struct race_worker *w)
{
	struct room *r = w->ctx;

	do
		for (unsigned i = 0; i < ROUND_OBJS; i++)
			update(w, &r->objs[w->idx * ROUND_OBJS + i]);
	while (race_gate_pass(w, leader));
}

static const struct race_backend backend = { .start = start, .end = end };

/* ---- the parent ---- */

static bool deadlocked(const struct race_config *cfg, const void *ctx)
{
	const struct room *r = ctx;

	(void)cfg;
	return rt_u32_read(&r->self_waits) > 0;
}

static void who(const struct race_config *cfg, const void *ctx, char *buf, size_t bytes)
{
	const struct room *r = ctx;

	snprintf(buf, bytes,
		 "of %u updaters %u wait for all readers in a reader, and so for themselves; %u "
		 "with a spinlock held, which readers wait for",
		 cfg->threads, rt_u32_read(&r->self_waits), rt_u32_read(&r->locked_waits));
}

static void collect(const struct race_config *cfg, const void *ctx, struct race_result *res)
{
	const struct room *r = ctx;
	struct race_kvfree_tally *t = &res->kvfree;

	*t = r->seen;
	t->twice = rt_u64_read(&r->twice);
	t->read_freed = rt_u64_read(&r->read_freed);
	for (unsigned i = 0; i < cfg->threads; i++)
		if (r->waiting_max[i] > t->waiting_max)
			t->waiting_max = r->waiting_max[i];
}

static bool held(const struct race_result *res)
{
	const struct race_kvfree_tally *t = &res->kvfree;

	return !(t->lost || t->twice || t->read_freed);
}

const struct race_kind kvfree_kind = {
	.room_bytes = sizeof(struct room),
	.room_bytes_each = sizeof(uint64_t),
	.deadlocked = deadlocked,
	.who = who,
	.collect = collect,
	.defaults = {
		.threads = 4,
		.cpus = 2,
		.run_ms = 2000,
		.grace_ms = 5000,
	},
	.worker = worker,
	.library = &backend,
	.held = held,
	.report = &kvfree_report,
};
