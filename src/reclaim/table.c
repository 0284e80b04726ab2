// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growing: things are made, and a longer array with the old pointers and theirs; the caller fills
 * the things in; the array is published with a release store, which pairs with the acquire load of
 * table_find(); then the number of things is raised; the old array is freed when all readers that
 * may have it have left.
 *
 * ext4 had this wrong until Linux 5.6: it freed the old array at once (1d0c3924a92e, df3da4ea5a0f,
 * 7c990728b99e). And until 2009 nothing kept a CPU from seeing the new number of groups before
 * their slots (8df9675f8b49). past_grow() does it in either way, to show what comes of it; the
 * order of the steps is decided nowhere else.
 *
 * The array is of pointers, because the things change while they are read: what somebody writes
 * into an array of things after it was copied would be lost (7c990728b99e).
 */
#include "reclaim/table.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "rt/mark.h"
#include "rt/mem.h"
#include "rt/percpu.h"

struct table_slab {
	struct table_slab *next;
} __attribute__((aligned(RT_SLOT_BYTES)));

/* The one that is published. The caller is alone, or grows the table: nobody else changes it. */
static struct table_array *array_of(const struct table *t)
{
	return rt_ptr_read(&t->array);
}

/* An array of @nr with what the table has, and new things after. */
static struct table_array *array_make(struct table *t, uint32_t nr)
{
	const struct table_array *old = array_of(t);
	const uint32_t old_nr = old ? old->len : 0;
	struct table_array *a = rt_alloc(sizeof(*a) + nr * sizeof(a->at[0]));
	struct table_slab *slab = rt_zalloc_aligned(
		RT_SLOT_BYTES, sizeof(*slab) + (size_t)(nr - old_nr) * t->bytes);

	if (!a || !slab) {
		rt_free(a);
		rt_free(slab);
		return NULL;
	}
	a->len = nr;
	a->nr = t->way == TABLE_PRE_5_6 && t->nap_us ? 0 : nr;
	if (old)
		memcpy(a->at, old->at, old_nr * sizeof(a->at[0]));
	for (uint32_t i = old_nr; i < nr; i++)
		a->at[i] = (char *)(slab + 1) + (i - old_nr) * t->bytes;
	slab->next = t->slabs;
	t->slabs = slab;
	return a;
}

static void slab_drop(struct table *t)
{
	struct table_slab *slab = t->slabs;

	t->slabs = slab->next;
	rt_free(slab);
}

int table_open(struct table *t, uint32_t nr, size_t bytes)
{
	struct table_array *a;

	*t = (struct table){ .bytes = bytes };
	a = array_make(t, nr);
	if (!a)
		return -ENOMEM;
	rt_rcu_assign(&t->array, a);
	t->first = nr ? a->at[0] : NULL;
	t->first_nr = t->nr = nr;
	return 0;
}

void table_close(struct table *t)
{
	if (!array_of(t))
		return;
	table_not(t);
	while (t->slabs)
		slab_drop(t);
	rt_free(array_of(t));
	memset(t, 0, sizeof(*t));
}

/* A reader as ext4 had it, whose time between fetching the array and using it is longer. */
static void *past_find(const struct table *t, const struct table_array *a, uint32_t idx)
{
	uint64_t until;

	if (idx >= a->len)
		return NULL;
	until = rt_now_ns() + t->nap_us * 1000ull;
	while (rt_now_ns() < until)
		;
	return rt_racy_read(a->at[idx]);
}

void *table_find(const struct table *t, uint32_t idx)
{
	const struct table_array *a;
	void *p;

	rt_rcu_read_lock();
	a = rt_rcu_dereference(&t->array);
	if (__builtin_expect(idx < a->nr, 1))
		p = rt_racy_read(a->at[idx]); /* only past_grow() races with it */
	else
		p = t->way == TABLE_MBFS ? NULL : past_find(t, a, idx);
	rt_rcu_read_unlock();
	return p;
}

int table_ready(struct table *t, uint32_t nr)
{
	MBFS_ASSERT(!t->next && nr >= array_of(t)->len);
	if (nr == array_of(t)->len)
		return 0;
	t->next = array_make(t, nr);
	return t->next ? 0 : -ENOMEM;
}

uint32_t table_size(const struct table *t)
{
	const struct table_array *a = t->next ? t->next : array_of(t);

	return a ? a->len : 0;
}

void *table_new(struct table *t, uint32_t idx)
{
	const struct table_array *a = t->next ? t->next : array_of(t);

	MBFS_ASSERT(idx < a->len);
	return a->at[idx];
}

static void array_free_rcu(struct rt_rcu_head *head)
{
	rt_free(container_of(head, struct table_array, rcu));
}

static void array_give(struct table_array *old, struct kvfree *dead)
{
	if (dead)
		kvfree_rcu(dead, old, &old->dead);
	else
		rt_rcu_call(&old->rcu, array_free_rcu);
}

/* ---- as it once was ---- */

/* What is in memory that nobody has written to yet, and in memory that was freed, as kernels for
 * finding bugs have it (slub_debug=P), but aligned. Neither is an address. */
#define PAST_FRESH ((void *)0x5a5a5a5a5a5a5a40ull)
#define PAST_FREED ((void *)0x6b6b6b6b6b6b6b40ull)

void table_past(struct table *t, enum table_way way, uint32_t nap_us)
{
	t->way = way;
	t->nap_us = nap_us;
}

/* The number and the array, then what is in its new slots. */
static void count_then_fill(struct table *t, struct table_array *a, uint32_t from)
{
	char *things = a->at[from]; /* one after the other */

	for (uint32_t i = from; i < a->len; i++)
		a->at[i] = PAST_FRESH;
	rt_write_once(t->nr, a->len);
	rt_rcu_assign(&t->array, a);
	if (t->nap_us)
		rt_sleep_ns(t->nap_us * 1000ull);
	for (uint32_t i = from; i < a->len; i++)
		rt_racy_write(a->at[i], (void *)(things + (i - from) * t->bytes));
}

static void past_grow(struct table *t, struct table_array *old, struct kvfree *dead)
{
	struct table_array *a = t->next;

	t->next = NULL;
	if (t->way == TABLE_COUNT_FIRST) {
		count_then_fill(t, a, old->len);
		array_give(old, dead);
		return;
	}
	rt_rcu_assign(&t->array, a);
	for (uint32_t i = 0; i < old->len; i++)
		rt_write_once(old->at[i], PAST_FREED);
	rt_free(old);
	rt_write_once(t->nr, a->len);
}

/* ---- as it is ---- */

void table_grow(struct table *t, struct kvfree *dead)
{
	struct table_array *old = array_of(t);

	if (!t->next)
		return; /* as many as there were */
	if (__builtin_expect(t->way != TABLE_MBFS, 0)) {
		past_grow(t, old, dead);
		return;
	}
	rt_rcu_assign(&t->array, t->next);
	rt_write_once(t->nr, t->next->len);
	t->next = NULL;
	array_give(old, dead);
}

void table_not(struct table *t)
{
	if (!t->next)
		return;
	rt_free(t->next);
	t->next = NULL;
	slab_drop(t);
}
