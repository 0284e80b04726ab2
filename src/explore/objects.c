// SPDX-License-Identifier: GPL-2.0-only
/* How often each object is used, for who wonders why there are so many schedules: --histogram. */
#include "search.h"

#include <stdlib.h>
#include <string.h>

enum { OBJECTS_MAX = 1 << 14 };

/* Of one address from one source line; named when all is over, for this runs on a thread's stack.
 */
struct use {
	const void *addr;
	const struct ex_site *site;
	uint64_t ops;
	uint32_t threads;
	uint8_t kind;
};

static struct {
	struct explore_object *list;
	struct use *use;
	uint32_t nr, use_nr;
	struct ex_set by_addr; /* address and source line: number in use[] */
	const struct ex_strategy *inner;
	struct ex_strategy outer;
} objs;

static bool room(void)
{
	if (!objs.list)
		objs.list = ex_pages(OBJECTS_MAX * sizeof(*objs.list));
	if (!objs.use)
		objs.use = ex_pages(OBJECTS_MAX * sizeof(*objs.use));
	return objs.list && objs.use;
}

void ex_objects_add(const struct explore_object *o)
{
	if (!room())
		return;
	for (uint32_t i = 0; i < objs.nr; i++) {
		if (strcmp(objs.list[i].name, o->name) != 0)
			continue;
		objs.list[i].ops += o->ops;
		objs.list[i].threads |= o->threads;
		return;
	}
	if (objs.nr < OBJECTS_MAX)
		objs.list[objs.nr++] = *o;
}

static int64_t number_of(const struct ex_op *op)
{
	if (objs.use_nr == OBJECTS_MAX)
		return -1;
	objs.use[objs.use_nr] =
		(struct use){ .addr = op->addr, .site = op->site, .kind = op->kind };
	return objs.use_nr++;
}

static void objects_commit(struct ex_world *w, struct ex_thread *t)
{
	const struct ex_op *op = &t->op;
	struct ex_set_slot *slot;
	bool was_new;

	slot = ex_set_get(&objs.by_addr, ex_mix((uintptr_t)op->addr, (uintptr_t)op->site),
			  &was_new);
	if (slot && was_new)
		slot->value = number_of(op);
	if (slot && slot->value >= 0) {
		objs.use[slot->value].ops++;
		objs.use[slot->value].threads |= 1u << ex_tid(w, t);
	}
	if (objs.inner->commit)
		objs.inner->commit(w, t);
}

/* @strat: in: a strategy; out: the same, and operations are counted. */
void ex_objects_start(const struct ex_strategy **strat)
{
	if (!room() || (!objs.by_addr.slots && ex_set_init(&objs.by_addr, 1 << 12)))
		return;
	objs.inner = *strat;
	objs.outer = **strat;
	objs.outer.commit = objects_commit;
	*strat = &objs.outer;
}

static int by_use(const void *a, const void *b)
{
	const struct explore_object *x = a, *y = b;

	if (x->ops != y->ops)
		return x->ops < y->ops ? 1 : -1;
	return strcmp(x->name, y->name);
}

void ex_objects_tell(struct ex_world *w, struct explore_result *res)
{
	if (!room())
		return;
	for (uint32_t i = 0; i < objs.use_nr; i++) {
		const struct use *u = &objs.use[i];
		struct explore_object o = { .ops = u->ops, .threads = u->threads };

		ex_print(o.name, sizeof(o.name), "%s", ex_obj_name(w, u->addr, u->site));
		if (!o.name[0])
			ex_print(o.name, sizeof(o.name), "(%s)", ex_kind_names[u->kind]);
		ex_objects_add(&o);
	}
	qsort(objs.list, objs.nr, sizeof(*objs.list), by_use);
	objs.use_nr = 0;
	ex_set_end(&objs.by_addr);
	res->objects = objs.list;
	res->object_nr = objs.nr;
}

void ex_objects_end(void)
{
	ex_pages_free(objs.list, OBJECTS_MAX * sizeof(*objs.list));
	ex_pages_free(objs.use, OBJECTS_MAX * sizeof(*objs.use));
	ex_set_end(&objs.by_addr);
	memset(&objs, 0, sizeof(objs));
}
