// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups: their memory, loading, and the indexes that find one that fits.
 *
 * A group is loaded when somebody first locks it for blocks. Until then its counters come from the
 * descriptor, and the indexes have it where one run of all its free blocks would put it: a guess
 * that makes it a candidate, corrected by loading.
 *
 * An index has one bitmap over all groups per order, changed with atomic operations under the
 * group's lock and read without any: what is found is a candidate, and looked at again under its
 * lock.
 */
#include "alloc/alloc_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

static void index_move(struct group_index *ix, mbfs_grp_t grp, int8_t *at, int8_t to)
{
	const uint64_t bit = 1ull << (grp & 63);
	uint64_t old;

	if (*at == to)
		return;
	if (to >= 0) {
		old = rt_u64_read(&ix->words[to][grp >> 6]);
		while (!rt_u64_cas(&ix->words[to][grp >> 6], &old, old | bit))
			;
	}
	if (*at >= 0) {
		old = rt_u64_read(&ix->words[*at][grp >> 6]);
		while (!rt_u64_cas(&ix->words[*at][grp >> 6], &old, old & ~bit))
			;
	}
	*at = to;
}

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

mbfs_grp_t index_next(const struct mbfs_alloc *a, const struct group_index *ix, unsigned order,
		      mbfs_grp_t from)
{
	while (from < a->grp_nr) {
		uint64_t word = rt_u64_read(&ix->words[order][from >> 6]) & (~0ull << (from & 63));

		if (word) {
			from = (from & ~63u) + (mbfs_grp_t)__builtin_ctzll(word);
			return from < a->grp_nr ? from : a->grp_nr;
		}
		if (from > UINT32_MAX - 64)
			break;
		from = (from | 63) + 1;
	}
	return a->grp_nr;
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
static int group_init(struct mbfs_alloc *a, mbfs_grp_t idx, uint64_t *free_nr)
{
	struct group *g = &a->groups[idx];
	mbfs_blk_t left =
		a->shape.blk_nr - (mbfs_blk_t)idx * a->shape.blks_per_grp - a->shape.first_blk;
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
	group_index_update(a, g);
	*free_nr += nr;
	return 0;
}

static int index_open(struct mbfs_alloc *a, struct group_index *ix)
{
	for (unsigned k = 0; k < a->order_nr; k++) {
		ix->words[k] = rt_zalloc(div_up(a->grp_nr, 64) * sizeof(rt_u64));
		if (!ix->words[k])
			return -ENOMEM;
	}
	return 0;
}

int groups_open(struct mbfs_alloc *a)
{
	uint64_t free_nr = 0;
	int err;

	a->groups = rt_zalloc(a->grp_nr * sizeof(*a->groups));
	if (!a->groups)
		return -ENOMEM;
	err = index_open(a, &a->by_order);
	if (!err)
		err = index_open(a, &a->by_frag);
	for (mbfs_grp_t i = 0; !err && i < a->grp_nr; i++)
		err = group_init(a, i, &free_nr);
	return err ? err : claim_open(a, free_nr);
}

void groups_close(struct mbfs_alloc *a)
{
	claim_close(a);
	for (unsigned k = 0; k < a->order_nr; k++) {
		rt_free(a->by_order.words[k]);
		rt_free(a->by_frag.words[k]);
	}
	for (mbfs_grp_t i = 0; a->groups && i < a->grp_nr; i++) {
		MBFS_ASSERT(rt_u32_read(&a->groups[i].pa_nr) == 0);
		rt_free(a->groups[i].bits);
	}
	rt_free(a->groups);
}
