// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvfree-nomem: objects without a head are replaced under a reader, and the old ones given to be
 * freed, while memory is out: always, every other time, never. The question of the seed
 * 003_cf13f0bd3c5d7fa9 is what a headless kvfree_rcu() does then, and where. The first thread
 * reads; the second gives while it is a reader itself, the third where it may sleep.
 *
 * give-up	a head is attached dynamically; no memory: the object is forgotten. "What to do
 *		when GFP_ATOMIC gets failed in atomic context?"
 * at-once	the same; no memory: it is freed at once, under the readers.
 * always-wait	the same; no memory: the giver waits for readers, wherever he is. In a reader he
 *		waits for himself.
 * wait-or-give	the seed's: wait where that is possible; in a reader use a head, and without
 *		memory for it give up.
 * mbfs		src/reclaim/kvfree: in a reader the giver is told, keeps the object, and gives it
 *		when he has left.
 *
 * Objects are places in the state, not memory: who reads one that was freed says so in words.
 */
#include "race/small.h"

#include <string.h>

#include "base/check.h"
#include "reclaim/kvfree.h"
#include "rt/mem.h"
#include "rt/rcu.h"

enum { ALWAYS, OFTEN, NEVER }; /* memory is out */
enum { LIVE = 1, FREED, OBJS = 1 + 2 * SMALL_THREADS_MAX, TURNS = 2 };

static const struct race_variant ways[] = {
	{ "give-up", "-", "seed", "a head from memory; without memory it is forgotten",
	  false },
	{ "at-once", "-", "seed", "a head from memory; without memory it is freed at once", false },
	{ "always-wait", "-", "seed", "a head from memory; without memory the giver waits", false },
	{ "wait-or-give", "-", "seed", "waits where it may; else a head, or it is forgotten",
	  false },
	{ "mbfs", NULL, NULL, "pages; waits where it may; else the giver keeps the object", true },
};

static bool way_at(unsigned idx, struct race_variant *out)
{
	if (idx >= MBFS_ARRAY_SIZE(ways))
		return false;
	*out = ways[idx];
	return true;
}

const struct race_family race_kvfree = { .what = "kvfree", .ours = "mbfs", .at = way_at };

struct obj {
	rt_u32 is; /* [atomic] LIVE, FREED */
};

struct state {
	struct small_run *r;
	struct rt_cpus cpus;
	struct kvfree *k;
	rt_u32 asked; /* [atomic] of memory, since the set-up */
	bool running; /* [const] the set-up is over */
	rt_ptr place;
	struct obj objs[OBJS];
};

/* ---- memory ---- */

static void *memory_get(void *ctx, size_t bytes)
{
	struct state *s = ctx;

	if (s->running && s->r->s->shape == ALWAYS)
		return NULL;
	if (s->running && s->r->s->shape == OFTEN && rt_u32_add_return(&s->asked, 1) % 2)
		return NULL;
	return rt_alloc(bytes);
}

static void memory_put(void *ctx, void *mem)
{
	(void)ctx;
	rt_free(mem);
}

static const struct kvfree_backing backing = { memory_get, memory_put };

static void obj_free(struct state *s, struct obj *o)
{
	if (rt_u32_xchg(&o->is, FREED) != LIVE)
		small_fail(s->r, "an object was freed twice");
}

static void objs_free(void *ctx, void *const *objs, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		obj_free(ctx, objs[i]);
}

/* ---- the ways ---- */

/* A head that was attached dynamically. */
struct wrap {
	struct rt_rcu_head rcu;
	struct state *s;
	struct obj *obj;
};

static void wrap_ended(struct rt_rcu_head *head)
{
	struct wrap *w = container_of(head, struct wrap, rcu);

	obj_free(w->s, w->obj);
	rt_free(w);
}

static bool wrapped(struct state *s, struct obj *o)
{
	struct wrap *w = memory_get(s, sizeof(*w));

	if (!w)
		return false;
	w->s = s;
	w->obj = o;
	rt_rcu_call(&w->rcu, wrap_ended);
	return true;
}

static void wait_and_free(struct state *s, struct obj *o)
{
	rt_rcu_synchronize();
	obj_free(s, o);
}

/* False: the object is the giver's still. */
static bool give(struct state *s, struct obj *o)
{
	const char *way = s->r->variant;

	if (strcmp(way, "mbfs") == 0)
		return kvfree_rcu_mightsleep(s->k, o) == 0;
	if (strcmp(way, "wait-or-give") == 0 && !rt_rcu_in_reader())
		wait_and_free(s, o);
	else if (wrapped(s, o))
		return true;
	else if (strcmp(way, "at-once") == 0)
		obj_free(s, o);
	else if (strcmp(way, "always-wait") == 0)
		wait_and_free(s, o);
	return true;
}

/* ---- the scenario ---- */

static void setup(struct small_run *r)
{
	struct state *s = r->state;
	struct kvfree_config cfg = { .cpus = &s->cpus,
				     .free = objs_free,
				     .ctx = s,
				     .page_nr = 2,
				     .high_water = 4,
				     .backing = &backing };
	int err;

	s->r = r;
	rt_cpus_init(&s->cpus, 1);
	err = kvfree_open(&cfg, &s->k);
	MBFS_ASSERT(!err);
	rt_u32_set(&s->objs[0].is, LIVE);
	rt_ptr_set(&s->place, &s->objs[0]);
	small_name(r, &s->place, "place");
	s->running = true;
}

static void look(struct small_run *r, struct state *s)
{
	struct obj *o;

	rt_rcu_read_lock();
	o = rt_rcu_dereference(&s->place);
	if (rt_u32_read(&o->is) != LIVE)
		small_fail(r, "a reader sees an object that was freed");
	rt_rcu_read_unlock();
}

/* The old object; @new is in its place. */
static struct obj *replace(struct state *s, struct obj *new)
{
	rt_u32_set(&new->is, LIVE);
	return rt_ptr_xchg(&s->place, new);
}

static void update(struct state *s, struct obj *new, bool in_reader)
{
	struct obj *old;
	bool given;

	if (in_reader)
		rt_rcu_read_lock();
	old = replace(s, new);
	given = give(s, old);
	if (in_reader)
		rt_rcu_read_unlock();
	if (!given && !give(s, old))
		small_fail(s->r, "an object is refused where the giver may sleep");
}

static void thread(struct small_run *r, unsigned me)
{
	struct state *s = r->state;

	for (unsigned i = 0; i < TURNS; i++)
		if (me == 0)
			look(r, s);
		else
			update(s, &s->objs[1 + me * TURNS + i], me == 1);
}

static void check(struct small_run *r)
{
	struct state *s = r->state;
	unsigned lost = 0, live = 0;

	kvfree_close(s->k);
	rt_rcu_barrier();
	for (unsigned i = 0; i < OBJS; i++)
		live += rt_u32_read(&s->objs[i].is) == LIVE;
	lost = live - 1; /* one is in its place */
	if (lost)
		small_fail(r, "%u of the objects that were given are lost: never freed", lost);
}

#define ROW(name_, threads_, out_, summary_)                                            \
	{ .name = name_, .summary = summary_, .family = &race_kvfree,                   \
	  .threads = threads_, .shape = out_, .state_bytes = sizeof(struct state),      \
	  .setup = setup, .thread = thread, .check = check }

const struct small_scenario small_kvfree[] = {
	ROW("kvfree-nomem", 2, ALWAYS, "objects to be freed after a grace period; no memory"),
	ROW("kvfree-nomem-often", 2, OFTEN, "the same; every other allocation fails"),
	ROW("kvfree-nomem-never", 2, NEVER, "the same; there is memory"),
	ROW("kvfree-nomem-3", 3, ALWAYS, "no memory; a reader gives, and who may sleep"),
	{ .name = NULL },
};
