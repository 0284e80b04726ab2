// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device becomes longer while blocks are allocated.
 *
 *   begin   from now on who finds nothing free waits for the end, and looks once more
 *   ready   all memory is there, the last group is loaded; this can fail, and nobody sees it
 *   grow    the new groups are in the table, then in the indexes, then claimable; then the last of
 *	     the old groups becomes longer: its new blocks are freed as any others
 *   end
 *
 * A claim comes before the search, so blocks become claimable last: equation 2 holds at each step
 * (alloc.c). (A request whose goal is in a new group may take a block there with an old claim; then
 * an old block is left for the claim that the new one was counted for.) A reader of an index that
 * sees a group before the table shows it passes it over. The bound of the device, blk_nr, is raised
 * between the two: who gets a block may free it at once, and a goal has its group. Until then no
 * search that goes over all groups comes to a new one.
 *
 * The variants are as ext4 once was; what is wrong with them is in reclaim/table.c.
 */
#include <errno.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc/alloc_priv.h"
#include "base/bits.h"
#include "base/check.h"

static const struct resize_way {
	struct mbfs_resize_variant pub;
	enum table_way way;
} ways[] = {
	{ { "count-first", "2.6.30", "8df9675f8b49",
	    "groups are counted before their slots are filled (what a CPU could see)", false,
	    MBFS_POINT_GROW_FILL },
	  TABLE_COUNT_FIRST },
	{ { "pre-5.6", "5.5", "df3da4ea5a0f", "the old array is freed at once, under its readers",
	    false, MBFS_POINT_FIND_USE },
	  TABLE_PRE_5_6 },
	{ { "mbfs", NULL, NULL, "filled, published, counted; the old one freed after its readers",
	    true, MBFS_POINT_NR },
	  TABLE_MBFS },
};

const struct mbfs_resize_variant *mbfs_resize_variant_at(unsigned idx)
{
	return idx < MBFS_ARRAY_SIZE(ways) ? &ways[idx].pub : NULL;
}

const struct mbfs_resize_variant *mbfs_resize_variant_find(const char *name)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(ways); i++)
		if (strcmp(ways[i].pub.name, name) == 0)
			return &ways[i].pub;
	return NULL;
}

void alloc_grow_past(const struct mbfs_alloc_tune *tune, struct table *t)
{
	const struct mbfs_resize_variant *v;

	if (!tune->resize)
		return;
	v = mbfs_resize_variant_find(tune->resize);
	table_past(t, container_of(v, const struct resize_way, pub)->way,
		   v->holds ? 0 : tune->widen_us[v->window]);
}

const struct mbfs_alloc_tune *alloc_tune(const struct mbfs_alloc *a)
{
	return &a->tune;
}

void alloc_grow_begin(struct mbfs_alloc *a, struct kvfree *dead)
{
	a->grow.dead = dead;
	rt_write_once(a->grow.seq, a->grow.seq + 1);
	MBFS_ASSERT(a->grow.seq % 2 == 1);
}

void alloc_grow_end(struct mbfs_alloc *a)
{
	MBFS_ASSERT(a->grow.seq % 2 == 1);
	rt_write_once(a->grow.seq, a->grow.seq + 1);
	rt_event_signal(&a->grow.ended);
}

uint32_t alloc_grow_seen(const struct mbfs_alloc *a)
{
	return rt_read_once(a->grow.seq);
}

bool alloc_grew(struct mbfs_alloc *a, uint32_t seen)
{
	uint32_t now = rt_read_once(a->grow.seq);

	while (now % 2) {
		uint32_t key = rt_event_key(&a->grow.ended);

		now = rt_read_once(a->grow.seq);
		if (now % 2) {
			alloc_before_wait(a);
			rt_event_wait(&a->grow.ended, key);
			now = rt_read_once(a->grow.seq);
		}
	}
	return now != seen;
}

/* The last group has to be loaded to become longer. */
static int last_ready(struct mbfs_alloc *a, mbfs_blk_t blk_nr, struct mbfs_diag *diag)
{
	struct group *g = group_at(a, grp_nr_of(a) - 1);
	const mbfs_blk_t left = blk_nr - group_start(a, g);
	int err;

	a->grow.last_len = left < a->shape.blks_per_grp ? (uint32_t)left : a->shape.blks_per_grp;
	if (a->grow.last_len == g->len)
		return 0;
	err = group_load(a, g);
	if (err)
		diag_set(diag, err, "group %u, the last one, is not usable (%s): run \"e2fsck -f "
			 "IMAGE\"", g->idx, strerror(-err));
	return err;
}

int alloc_grow_ready(struct mbfs_alloc *a, mbfs_blk_t blk_nr, struct mbfs_diag *diag)
{
	const mbfs_grp_t from = grp_nr_of(a), to = grps_for(a, blk_nr);
	int err;

	MBFS_ASSERT(blk_nr >= a->shape.blk_nr);
	a->grow.blk_nr = blk_nr;
	a->grow.free_nr = 0;
	err = last_ready(a, blk_nr, diag);
	if (err)
		return err;
	if (a->store->grow)
		err = a->store->grow(a->store_ctx, blk_nr);
	if (!err)
		err = index_grow(&a->by_order, to, a->grow.dead);
	if (!err)
		err = index_grow(&a->by_frag, to, a->grow.dead);
	if (!err)
		err = table_ready(&a->groups, to);
	if (err) {
		alloc_grow_not(a);
		return diag_set(diag, err, "no memory for %u groups", to);
	}
	for (mbfs_grp_t i = from; i < to && !err; i++)
		err = group_init(a, i, blk_nr, &a->grow.free_nr);
	if (err) {
		alloc_grow_not(a);
		return diag_set(diag, err, "new groups: %s", strerror(-err));
	}
	return 0;
}

void alloc_grow_not(struct mbfs_alloc *a)
{
	table_not(&a->groups);
	if (a->store->grow)
		(void)a->store->grow(a->store_ctx, a->shape.blk_nr); /* what it had: cannot fail */
}

/* The last of the old groups. */
static void last_grow(struct mbfs_alloc *a, struct mbfs_tx *tx, struct group *g)
{
	const uint32_t old_len = g->len, len = a->grow.last_len;
	int err;

	if (len == old_len)
		return;
	rt_spin_lock(&g->lock);
	rt_write_once(g->len, len); /* the bits past the old end are set: nothing is free there */
	rt_spin_unlock(&g->lock);
	err = free_in_group(a, tx, rt_cpu(&a->cpus), g, old_len, len - old_len);
	MBFS_ASSERT(!err); /* it is loaded */
}

void alloc_grow(struct mbfs_alloc *a, struct mbfs_tx *tx, uint64_t resv_blk_nr)
{
	const mbfs_grp_t from = grp_nr_of(a);
	struct group *last = group_at(a, from - 1);

	if (a->groups.way == TABLE_COUNT_FIRST)
		rt_write_once(a->shape.blk_nr, a->grow.blk_nr);
	table_grow(&a->groups, a->grow.dead);
	rt_write_once(a->shape.blk_nr, a->grow.blk_nr);
	for (mbfs_grp_t i = from; i < grp_nr_of(a); i++) {
		struct group *g = group_at(a, i);

		rt_spin_lock(&g->lock);
		group_index_update(a, g);
		rt_spin_unlock(&g->lock);
	}
	claim_grow(a, a->grow.free_nr, resv_blk_nr);
	last_grow(a, tx, last);
	alloc_notify(a);
}

int mbfs_alloc_grow(struct mbfs_alloc *a, mbfs_blk_t blk_nr, uint64_t resv_blk_nr,
		    struct mbfs_diag *diag)
{
	int err;

	if (blk_nr < a->shape.blk_nr || blk_nr >> 48 || resv_blk_nr > blk_nr)
		return diag_set(diag, -EINVAL, "from %llu to %llu blocks: it only grows",
				(unsigned long long)a->shape.blk_nr, (unsigned long long)blk_nr);
	alloc_grow_begin(a, NULL);
	err = alloc_grow_ready(a, blk_nr, diag);
	if (!err)
		alloc_grow(a, NULL, resv_blk_nr);
	alloc_grow_end(a);
	return err;
}
