// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups: their memory and loading, and their place in the indexes (index.c).
 *
 * A group is loaded when somebody first locks it for blocks. Until then its counters come from the
 * descriptor, and the indexes have it where one run of all its free blocks would put it: a guess
 * that makes it a candidate, corrected by loading.
 */
#include "alloc/alloc_priv.h"

#include <errno.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

static int8_t order_capped(const struct mbfs_alloc *a, uint32_t n)
{
	unsigned order = order_floor(n);

	return (int8_t)(order < a->order_nr ? order : a->order_nr - 1);
}

void group_index_update(struct mbfs_alloc *a, struct group *g)
{
	uint32_t free_nr = rt_u32_read(&g->free_nr), frags = rt_u32_read(&g->fragments);
	bool out = free_nr == 0 || group_has(g, GROUP_BAD);

	index_move(&a->by_order, g->idx, &g->in_order, out ? -1 : g->largest);
	index_move(&a->by_frag, g->idx, &g->in_frag,
		   out || frags == 0 ? -1 : order_capped(a, free_nr / frags));
}

static int group_memory(struct mbfs_alloc *a, struct group *g)
{
	uint32_t nr = a->shape.blks_per_grp;
	size_t bytes = div_up(nr, 64) * 8, at = bytes;
	uint8_t *mem;

	for (unsigned k = 1; k < a->order_nr; k++)
		bytes += div_up((nr >> k) + 1, 64) * 8;
	mem = rt_zalloc_aligned(64, bytes);
	if (!mem)
		return -ENOMEM;
	g->bits = mem;
	for (unsigned k = 1; k < a->order_nr; k++) {
		g->chunks[k] = mem + at;
		at += div_up((nr >> k) + 1, 64) * 8;
	}
	return 0;
}

/* Fence the group off: nobody gets or expects its free blocks any more. */
static void group_fence(struct mbfs_alloc *a, struct group *g, int err)
{
	uint32_t free_nr;

	rt_spin_lock(&g->lock);
	free_nr = rt_u32_read(&g->free_nr);
	rt_u32_set_release(&g->state, GROUP_BAD);
	rt_u32_set(&g->free_nr, 0);
	group_index_update(a, g);
	rt_spin_unlock(&g->lock);
	g->load_err = err;
	claim_lose(a, free_nr);
	rt_u32_add_return(&a->bad_nr, 1);
	log_err("group %u: block bitmap %s; its %u free blocks are not used", g->idx,
		err == -EBADMSG	 ? "has a wrong checksum" :
		err == -EUCLEAN ? "is damaged" :
				  "cannot be read",
		free_nr);
	/* Who waits for blocks must learn that they may never come. */
	alloc_notify(a);
}

static int group_fill(struct mbfs_alloc *a, struct group *g)
{
	uint32_t free_nr;
	int err = group_memory(a, g);

	if (err)
		return err;
	err = a->store->bitmap_load(a->store_ctx, g->idx, g->bits);
	if (!err) {
		bits_set(g->bits, g->len, a->shape.blks_per_grp - g->len);
		free_nr = bits_count_clear(g->bits, 0, g->len);
		if (free_nr != rt_u32_read(&g->free_nr))
			err = -EUCLEAN;
	}
	if (err) {
		rt_free(g->bits);
		g->bits = NULL;
		return err;
	}
	rt_spin_lock(&g->lock);
	buddy_build(a, g);
	rt_u32_set_release(&g->state, GROUP_LOADED);
	rt_spin_unlock(&g->lock);
	return 0;
}

int group_load(struct mbfs_alloc *a, struct group *g)
{
	int err = 0;

	if (__builtin_expect(group_has(g, GROUP_LOADED), 1))
		return 0;
	rt_mutex_lock(&g->load_lock);
	if (group_has(g, GROUP_BAD)) {
		err = g->load_err;
	} else if (!group_has(g, GROUP_LOADED)) {
		err = group_fill(a, g);
		if (err && err != -ENOMEM) /* memory may come back, the bitmap will not */
			group_fence(a, g, err);
		else if (!err)
			stat_add(a, rt_cpu(&a->cpus), STAT_BUDDIES, 1);
	}
	rt_mutex_unlock(&g->load_lock);
	return err;
}

/* What is known before loading: the descriptor's count. */
int group_init(struct mbfs_alloc *a, mbfs_grp_t idx, mbfs_blk_t blk_nr, uint64_t *free_nr)
{
	struct group *g = table_new(&a->groups, idx);
	mbfs_blk_t left = blk_nr - (mbfs_blk_t)idx * a->shape.blks_per_grp - a->shape.first_blk;
	uint32_t nr = 0;
	bool bad = false;
	int err;

	rt_spin_init(&g->lock, RANK_GROUP);
	rt_mutex_init(&g->load_lock, RANK_GROUP_LOAD);
	TAILQ_INIT(&g->pas);
	g->idx = idx;
	g->len = left < a->shape.blks_per_grp ? (uint32_t)left : a->shape.blks_per_grp;
	g->largest = g->in_order = g->in_frag = -1;
	err = a->store->grp_info(a->store_ctx, idx, &nr, &bad);
	if (err)
		return err;
	if (bad || nr > g->len) {
		rt_u32_set(&g->state, GROUP_BAD);
		g->load_err = -EUCLEAN;
		rt_u32_add(&a->bad_nr, 1);
		return 0;
	}
	rt_u32_set(&g->free_nr, nr);
	rt_u32_set(&g->fragments, nr > 0);
	if (nr > 0)
		g->largest = order_capped(a, nr);
	*free_nr += nr;
	return 0;
}

int groups_open(struct mbfs_alloc *a)
{
	const struct mbfs_alloc_shape *s = &a->shape;
	const mbfs_grp_t nr = (mbfs_grp_t)div_up(s->blk_nr - s->first_blk, s->blks_per_grp);
	uint64_t free_nr = 0;
	int err;

	err = table_open(&a->groups, nr, sizeof(struct group));
	if (!err)
		alloc_grow_past(&a->tune, &a->groups);
	if (!err)
		err = index_open(&a->by_order, nr, a->order_nr);
	if (!err)
		err = index_open(&a->by_frag, nr, a->order_nr);
	for (mbfs_grp_t i = 0; !err && i < nr; i++)
		err = group_init(a, i, s->blk_nr, &free_nr);
	for (mbfs_grp_t i = 0; !err && i < nr; i++)
		group_index_update(a, table_at(&a->groups, i));
	return err ? err : claim_open(a, free_nr);
}

void groups_close(struct mbfs_alloc *a)
{
	claim_close(a);
	index_close(&a->by_order);
	index_close(&a->by_frag);
	for (mbfs_grp_t i = 0; i < table_size(&a->groups); i++) {
		struct group *g = table_new(&a->groups, i);

		MBFS_ASSERT(rt_u32_read(&g->pa_nr) == 0);
		rt_free(g->bits);
	}
	table_close(&a->groups);
}
