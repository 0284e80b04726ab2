// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvfree-nomem, small: objects without a head are replaced under a reader, and the old ones given
 * to be freed (giving.h), while memory is out: always, every other time, never. The first thread
 * reads; the second gives while it is a reader itself, the third where it may sleep.
 *
 * Objects are places in the state, not memory: who reads one that was freed says so in words.
 */
#include "race/giving.h"
#include "race/small.h"

#include "base/check.h"
#include "rt/mem.h"

enum { ALWAYS, OFTEN, NEVER }; /* memory is out */
enum { LIVE = 1, FREED, OBJS = 1 + 2 * SMALL_THREADS_MAX, TURNS = 2 };

struct obj {
	struct giving_obj give;
	rt_u32 is; /* [atomic] LIVE, FREED */
};

struct state {
	struct small_run *r;
	struct rt_cpus cpus;
	struct giving g;
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

static void obj_ended(void *ctx, struct giving_obj *give)
{
	struct state *s = ctx;
	struct obj *o = container_of(give, struct obj, give);

	if (rt_u32_xchg(&o->is, FREED) != LIVE)
		small_fail(s->r, "an object was freed twice");
}

static void wait_for_readers(void *ctx)
{
	(void)ctx;
	rt_rcu_synchronize();
}

/* ---- the scenario ---- */

static void setup(struct small_run *r)
{
	struct state *s = r->state;
	const struct giving_env env = { .ended = obj_ended,
					.wait = wait_for_readers,
					.get = memory_get,
					.put = memory_put,
					.ctx = s,
					.page_nr = 2,
					.high_water = 4 };
	int err;

	s->r = r;
	rt_cpus_init(&s->cpus, 1);
	err = giving_open(&s->g, r->variant, &s->cpus, &env);
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
	given = giving_give(&s->g, &old->give, false);
	if (in_reader)
		rt_rcu_read_unlock();
	if (!given && !giving_give(&s->g, &old->give, false))
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

	giving_close(&s->g);
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
