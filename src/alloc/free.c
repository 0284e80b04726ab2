// SPDX-License-Identifier: GPL-2.0-only
/* Freeing blocks: disk bitmap and buddy in one hold of the group's lock, then claimable again. */
#include "alloc/alloc_priv.h"

#include <errno.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"

static int free_in_group(struct mbfs_alloc *a, struct mbfs_tx *tx, unsigned cpu, struct group *g,
			 mbfs_clu_t start, uint32_t len)
{
	int err = group_load(a, g);
	bool ok;

	if (err)
		return err;
	if (a->policy->bump & BUMP_BEGIN_END)
		rt_counter_add_ordered(&a->begin, cpu, 1);
	rt_spin_lock(&g->lock);
	ok = bits_all_set(g->bits, start, len);
	if (ok) {
		a->store->bitmap_update(a->store_ctx, tx, g->idx, start, len, false);
		buddy_free(a, g, start, len);
	}
	rt_spin_unlock(&g->lock);
	if (a->policy->bump & BUMP_BEGIN_END)
		rt_counter_add_ordered(&a->end, cpu, 1);
	if (!ok) {
		log_err("blocks %llu to %llu are freed but were free already; run e2fsck -f on the "
			"image",
			(unsigned long long)(group_start(a, g) + start),
			(unsigned long long)(group_start(a, g) + start + len - 1));
		return -EUCLEAN;
	}
	if (a->policy->bump & BUMP_BUDDY)
		rt_counter_add_ordered(&a->seq, cpu, 1);
	claim_give(a, cpu, len);
	stat_add(a, cpu, STAT_BLOCKS_FREED, len);
	return 0;
}

int mbfs_alloc_free(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run)
{
	const struct mbfs_alloc_shape *shape = &a->shape;
	mbfs_blk_t at = run->start, end = run->start + run->len;
	unsigned cpu = rt_cpu(&a->cpus);
	int err = 0, err_grp;

	if (run->len == 0 || at < shape->first_blk || end > shape->blk_nr ||
	    (a->store->is_system && a->store->is_system(a->store_ctx, run->start, run->len))) {
		log_err("blocks %llu to %llu cannot be freed: not a file's; run e2fsck -f on the "
			"image",
			(unsigned long long)at, (unsigned long long)(end - 1));
		return -EUCLEAN;
	}
	stat_add(a, cpu, STAT_FREES, 1);
	while (at < end) {
		mbfs_grp_t grp = (mbfs_grp_t)((at - shape->first_blk) / shape->blks_per_grp);
		struct group *g = &a->groups[grp];
		mbfs_clu_t start = (mbfs_clu_t)(at - group_start(a, g));
		uint32_t len = g->len - start < end - at ? g->len - start : (uint32_t)(end - at);

		err_grp = free_in_group(a, tx, cpu, g, start, len);
		if (err_grp)
			err = err_grp;
		at += len;
	}
	alloc_notify(a);
	return err;
}
