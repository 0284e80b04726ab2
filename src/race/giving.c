// SPDX-License-Identifier: GPL-2.0-only
#include "race/giving.h"

#include <string.h>

#include "base/check.h"
#include "rt/mem.h"

enum how { GIVE_UP, AT_ONCE, ALWAYS_WAIT, WAIT_OR_GIVE, OURS };

static const struct race_variant ways[] = {
	[GIVE_UP] = { "give-up", "-", "seed", "a head from memory; without memory it is forgotten",
		      false },
	[AT_ONCE] = { "at-once", "-", "seed",
		      "a head from memory; without memory it is freed at once", false },
	[ALWAYS_WAIT] = { "always-wait", "-", "seed",
			  "a head from memory; without memory the giver waits", false },
	[WAIT_OR_GIVE] = { "wait-or-give", "-", "seed",
			   "waits where it may; else a head, or it is forgotten", false },
	[OURS] = { "mbfs", NULL, NULL, "pages; waits where it may; else the giver keeps the object",
		   true },
};

static bool way_at(unsigned idx, struct race_variant *out)
{
	if (idx >= MBFS_ARRAY_SIZE(ways))
		return false;
	*out = ways[idx];
	return true;
}

const struct race_family race_kvfree = { .what = "kvfree", .ours = "mbfs", .at = way_at };

/* ---- the seed's ---- */

/* A head that was attached dynamically. */
struct wrap {
	struct rt_rcu_head rcu;
	struct giving *g;
	struct giving_obj *obj;
};

static void wrap_ended(struct rt_rcu_head *head)
{
	struct wrap *w = container_of(head, struct wrap, rcu);
	struct giving *g = w->g;

	g->env.ended(g->env.ctx, w->obj);
	g->env.put(g->env.ctx, w);
}

static bool wrapped(struct giving *g, struct giving_obj *obj)
{
	struct wrap *w = g->env.get(g->env.ctx, sizeof(*w));

	if (!w)
		return false;
	w->g = g;
	w->obj = obj;
	rt_stat_add(&g->ones, 1);
	rt_rcu_call(&w->rcu, wrap_ended);
	return true;
}

static void head_ended(struct rt_rcu_head *head)
{
	struct giving_obj *obj = container_of(head, struct giving_obj, rcu);

	obj->by->env.ended(obj->by->env.ctx, obj);
}

static void wait_and_free(struct giving *g, struct giving_obj *obj)
{
	rt_stat_add(&g->waits, 1);
	g->env.wait(g->env.ctx);
	g->env.ended(g->env.ctx, obj);
}

static void give_headless(struct giving *g, struct giving_obj *obj)
{
	if (g->how == WAIT_OR_GIVE && !rt_rcu_in_reader() && !rt_spin_held())
		wait_and_free(g, obj);
	else if (wrapped(g, obj))
		return;
	else if (g->how == AT_ONCE)
		g->env.ended(g->env.ctx, obj);
	else if (g->how == ALWAYS_WAIT)
		wait_and_free(g, obj);
}

/* ---- all of them ---- */

static void free_ours(void *ctx, void *const *objs, unsigned nr)
{
	struct giving *g = ctx;

	for (unsigned i = 0; i < nr; i++)
		g->env.ended(g->env.ctx, objs[i]);
}

static void *get_ours(void *ctx, size_t bytes)
{
	struct giving *g = ctx;

	return g->env.get(g->env.ctx, bytes);
}

static void put_ours(void *ctx, void *mem)
{
	struct giving *g = ctx;

	g->env.put(g->env.ctx, mem);
}

static const struct kvfree_backing backing = { get_ours, put_ours };

bool giving_give(struct giving *g, struct giving_obj *obj, bool has_head)
{
	if (g->how == OURS && !has_head)
		return kvfree_rcu_mightsleep(g->ours, obj) == 0;
	if (g->how == OURS) {
		kvfree_rcu(g->ours, obj, &obj->head);
	} else if (has_head) {
		obj->by = g;
		rt_stat_add(&g->heads, 1);
		rt_rcu_call(&obj->rcu, head_ended);
	} else {
		give_headless(g, obj);
	}
	return true;
}

int giving_open(struct giving *g, const char *variant, const struct rt_cpus *cpus,
		const struct giving_env *env)
{
	struct kvfree_config cfg = { .cpus = cpus,
				     .free = free_ours,
				     .ctx = g,
				     .page_nr = env->page_nr,
				     .high_water = env->high_water,
				     .backing = &backing };

	memset(g, 0, sizeof(*g));
	g->env = *env;
	while (strcmp(ways[g->how].name, variant) != 0) {
		g->how++;
		MBFS_ASSERT(g->how < MBFS_ARRAY_SIZE(ways));
	}
	return g->how == OURS ? kvfree_open(&cfg, &g->ours) : 0;
}

void giving_stats(const struct giving *g, struct kvfree_stats *out)
{
	if (g->ours)
		kvfree_stats(g->ours, out);
	else
		*out = (struct kvfree_stats){ .in_heads = rt_stat_read(&g->heads),
					      .in_ones = rt_stat_read(&g->ones),
					      .inline_waits = rt_stat_read(&g->waits) };
}

void giving_close(struct giving *g)
{
	kvfree_close(g->ours);
	rt_rcu_barrier();
}
