// SPDX-License-Identifier: GPL-2.0-only
/* Freeing blocks: disk bitmap and buddy in one hold of the group's lock, then claimable again. */
#include "alloc/alloc.h"
#include "alloc/alloc_priv.h"

#include <errno.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"

static int free_twice(const struct mbfs_alloc *a, const struct group *g, mbfs_clu_t start,
		      uint32_t len)
{
	log_err("blocks %llu to %llu are freed but were free already; run e2fsck -f on the image",
		(unsigned long long)(group_start(a, g) + start),
		(unsigned long long)(group_start(a, g) + start + len - 1));
	return -EUCLEAN;
}

int free_in_group(struct mbfs_alloc *a, struct mbfs_tx *tx, unsigned cpu, struct group *g,
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
		bump_buddy(a, cpu);
		buddy_free(a, g, start, len);
	}
	rt_spin_unlock(&g->lock);
	if (a->policy->bump & BUMP_BEGIN_END)
		rt_counter_add_ordered(&a->end, cpu, 1);
	if (!ok)
		return free_twice(a, g, start, len);
	claim_give(a, cpu, len);
	stat_add(a, cpu, STAT_BLOCKS_FREED, len);
	return 0;
}

void mbfs_alloc_free_hook(struct mbfs_alloc *a, mbfs_alloc_freed fn, void *arg)
{
	a->freed = fn;
	a->freed_arg = arg;
}

static bool run_is_file(const struct mbfs_alloc *a, const struct mbfs_run *run)
{
	const struct mbfs_alloc_shape *shape = &a->shape;
	mbfs_blk_t end = run->start + run->len;

	if (run->len > 0 && run->start >= shape->first_blk && end <= blk_nr_of(a) &&
	    !(a->store->is_system && a->store->is_system(a->store_ctx, run->start, run->len)))
		return true;
	log_err("blocks %llu to %llu cannot be freed: not a file's; run e2fsck -f on the image",
		(unsigned long long)run->start, (unsigned long long)(end - 1));
	return false;
}

/* The group of block @at and what of [at, end) is in it. */
static struct group *group_part(const struct mbfs_alloc *a, mbfs_blk_t at, mbfs_blk_t end,
				mbfs_clu_t *start, uint32_t *len)
{
	mbfs_blk_t nr = at - a->shape.first_blk;
	struct group *g = group_at(a, (mbfs_grp_t)(nr / a->shape.blks_per_grp));
	uint32_t left;

	MBFS_ASSERT(g); /* run_is_file() */
	*start = (mbfs_clu_t)(at - group_start(a, g));
	left = rt_read_once(g->len) - *start;
	*len = left < end - at ? left : (uint32_t)(end - at);
	return g;
}

static int used_in_group(struct mbfs_alloc *a, struct group *g, mbfs_clu_t start, uint32_t len)
{
	int err = group_load(a, g);
	bool ok;

	if (err)
		return err;
	rt_spin_lock(&g->lock);
	ok = bits_all_set(g->bits, start, len);
	rt_spin_unlock(&g->lock);
	return ok ? 0 : free_twice(a, g, start, len);
}

int alloc_free_ready(struct mbfs_alloc *a, const struct mbfs_run *run)
{
	mbfs_blk_t at = run->start, end = run->start + run->len;
	int err = 0;

	if (!run_is_file(a, run))
		return -EUCLEAN;
	while (at < end && !err) {
		mbfs_clu_t start;
		uint32_t len;
		struct group *g = group_part(a, at, end, &start, &len);

		err = used_in_group(a, g, start, len);
		at += len;
	}
	return err;
}

int mbfs_alloc_free(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run)
{
	mbfs_blk_t at = run->start, end = run->start + run->len;
	unsigned cpu = rt_cpu(&a->cpus);
	int err = 0, err_grp;

	if (!run_is_file(a, run))
		return -EUCLEAN;
	stat_add(a, cpu, STAT_FREES, 1);
	while (at < end) {
		mbfs_clu_t start;
		uint32_t len;
		struct group *g = group_part(a, at, end, &start, &len);

		err_grp = free_in_group(a, tx, cpu, g, start, len);
		if (err_grp)
			err = err_grp;
		else if (a->freed)
			a->freed(a->freed_arg, tx, &(struct mbfs_run){ at, len });
		at += len;
	}
	alloc_notify(a);
	return err;
}
