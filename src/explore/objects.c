// SPDX-License-Identifier: GPL-2.0-only
/* How often each object is used, for who wonders why there are so many schedules: --histogram. */
#include "search.h"

#include <stdlib.h>
#include <string.h>

enum { OBJECTS_MAX = 1 << 14 };

static struct {
	struct explore_object *list;
	uint32_t nr;
	struct ex_set by_addr; /* address and source line: number in the list */
	const struct ex_strategy *inner;
	struct ex_strategy outer;
} objs;

static bool room(void)
{
	if (!objs.list)
		objs.list = ex_pages(OBJECTS_MAX * sizeof(*objs.list));
	return objs.list != NULL;
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

static int64_t number_of(struct ex_world *w, const struct ex_op *op)
{
	struct explore_object o = { .ops = 0 };

	ex_print(o.name, sizeof(o.name), "%s", ex_obj_name(w, op->addr, op->site));
	if (!o.name[0])
		ex_print(o.name, sizeof(o.name), "(%s)", ex_kind_names[op->kind]);
	ex_objects_add(&o);
	for (uint32_t i = 0; i < objs.nr; i++)
		if (strcmp(objs.list[i].name, o.name) == 0)
			return i;
	return -1;
}

static void objects_commit(struct ex_world *w, struct ex_thread *t)
{
	const struct ex_op *op = &t->op;
	struct ex_set_slot *slot;
	bool was_new;

	slot = ex_set_get(&objs.by_addr, ex_mix((uintptr_t)op->addr, (uintptr_t)op->site),
			  &was_new);
	if (slot && was_new)
		slot->value = number_of(w, op);
	if (slot && slot->value >= 0) {
		objs.list[slot->value].ops++;
		objs.list[slot->value].threads |= 1u << ex_tid(w, t);
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
	(void)w;
	if (!room())
		return;
	qsort(objs.list, objs.nr, sizeof(*objs.list), by_use);
	ex_set_end(&objs.by_addr); /* its numbers are of another order */
	res->objects = objs.list;
	res->object_nr = objs.nr;
}

void ex_objects_end(void)
{
	ex_pages_free(objs.list, OBJECTS_MAX * sizeof(*objs.list));
	ex_set_end(&objs.by_addr);
	memset(&objs, 0, sizeof(objs));
}
