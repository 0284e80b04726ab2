// SPDX-License-Identifier: GPL-2.0-only
/* The equations of shared/DESIGN.md, looked at with nobody else at work. */
#include "alloc/alloc_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "rt/mem.h"

/* Mark a PA's unused blocks in @bits; they must be used in the buddy and not be in another PA. */
static int check_pa(const struct group *g, struct pa *pa, uint8_t *bits, struct mbfs_diag *diag)
{
	uint32_t free = 0;

	if (pa->grp != g || pa->deleted || pa->busy)
		return diag_set(diag, -EUCLEAN,
				"group %u: a PA at %u is deleted, busy or another group's", g->idx,
				pa->start);
	for (uint32_t i = 0; i < pa->len; i++) {
		if (pa->kind == PA_FILE && bit_test(pa->used, i))
			continue;
		if (!bit_test(g->bits, pa->start + i) || bit_test(bits, pa->start + i))
			return diag_set(diag, -EUCLEAN,
					"group %u: block %u of a PA is free, or another's too",
					g->idx, pa->start + i);
		bit_set(bits, pa->start + i);
		free++;
	}
	if (free != pa->free || free == 0)
		return diag_set(diag, -EUCLEAN, "group %u: a PA has %u free blocks, counted %u",
				g->idx, free, pa->free);
	return 0;
}

static int check_index(const struct mbfs_alloc *a, const struct group *g, struct mbfs_diag *diag)
{
	uint32_t frags = rt_u32_read(&g->fragments), free_nr = rt_u32_read(&g->free_nr);

	for (unsigned k = 0; k < a->order_nr; k++) {
		bool in_order = index_has(&a->by_order, k, g->idx);
		bool in_frag = index_has(&a->by_frag, k, g->idx);
		unsigned avg = frags ? order_floor(free_nr / frags) : ORDER_NR;

		if (avg != ORDER_NR && avg >= a->order_nr)
			avg = a->order_nr - 1;
		if (in_order != (g->largest == (int)k) || in_frag != (avg == k))
			return diag_set(diag, -EUCLEAN,
					"group %u: is in the wrong index list of order %u", g->idx,
					k);
	}
	return 0;
}

/* Group lock held. @bits: room for a bitmap, all zeros. */
static int check_group(struct mbfs_alloc *a, struct group *g, uint8_t *bits, uint64_t *disk_free,
		       struct mbfs_diag *diag)
{
	uint32_t nr = 0;
	struct pa *pa;
	int err;

	err = buddy_check(a, g, diag);
	if (!err)
		err = check_index(a, g, diag);
	if (!err && a->store->bitmap_copy)
		a->store->bitmap_copy(a->store_ctx, g->idx, bits);
	*disk_free += bits_count_clear(bits, 0, g->len);
	TAILQ_FOREACH(pa, &g->pas, group_link) {
		if (!err)
			err = check_pa(g, pa, bits, diag);
		nr++;
	}
	/* Equation 1: disk bitmap plus PAs is the buddy's bitmap. */
	for (mbfs_clu_t n = 0; !err && a->store->bitmap_copy && n < g->len; n++)
		if (bit_test(bits, n) != bit_test(g->bits, n))
			err = diag_set(diag, -EUCLEAN, "group %u: block %u is %s in the buddy only",
				       g->idx, n, bit_test(g->bits, n) ? "used" : "free");
	if (!err && nr != rt_u32_read(&g->pa_nr))
		err = diag_set(diag, -EUCLEAN, "group %u: %u PAs, counted %u", g->idx, nr,
			       rt_u32_read(&g->pa_nr));
	return err;
}

int mbfs_alloc_check(struct mbfs_alloc *a, struct mbfs_diag *diag)
{
	size_t bytes = div_up(a->shape.blks_per_grp, 64) * 8;
	uint64_t disk_free = 0, pa_nr = 0, pa_blks = 0;
	uint8_t *bits = rt_alloc(bytes); /* before any lock is taken */
	struct mbfs_alloc_stats stats;
	int err = 0;

	if (!bits)
		return diag_set(diag, -ENOMEM, "out of memory");

	for (mbfs_grp_t i = 0, nr = grp_nr_of(a); !err && i < nr; i++) {
		struct group *g = group_at(a, i);
		struct pa *pa;

		memset(bits, 0, bytes);
		rt_spin_lock(&g->lock);
		TAILQ_FOREACH(pa, &g->pas, group_link) {
			pa_nr++;
			pa_blks += pa->free;
		}
		if (group_has(g, GROUP_LOADED))
			err = check_group(a, g, bits, &disk_free, diag);
		else if (!group_has(g, GROUP_BAD))
			disk_free += rt_u32_read(&g->free_nr);
		rt_spin_unlock(&g->lock);
	}
	rt_free(bits);
	if (err)
		return err;
	mbfs_alloc_stats(a, &stats);
	/* Equation 2; a store that cannot show its bitmaps is only checked against itself. */
	if (a->store->bitmap_copy && stats.free_nr != disk_free)
		return diag_set(diag, -EUCLEAN,
				"free counter is %llu, the bitmaps have %llu clear bits",
				(unsigned long long)stats.free_nr, (unsigned long long)disk_free);
	if (stats.claimed_nr != 0)
		return diag_set(diag, -EUCLEAN, "%llu blocks are still claimed",
				(unsigned long long)stats.claimed_nr);
	if (stats.pa_nr != pa_nr || stats.pa_blks != pa_blks)
		return diag_set(diag, -EUCLEAN, "%llu PAs with %llu blocks, counted %llu with %llu",
				(unsigned long long)pa_nr, (unsigned long long)pa_blks,
				(unsigned long long)stats.pa_nr, (unsigned long long)stats.pa_blks);
	return 0;
}
