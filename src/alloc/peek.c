// SPDX-License-Identifier: GPL-2.0-only
/*
 * A look at a world that stands still, for pictures of a race: no lock is taken, since its holder
 * may be one of those that stand, and a pointer is followed only if @alive says so.
 */
#include "alloc/alloc_priv.h"

#include "alloc/alloc.h"
#include "base/bits.h"

void alloc_peek_group(const struct mbfs_alloc *a, mbfs_grp_t grp, uint8_t *disk,
		      struct alloc_peek_group *out)
{
	const struct group *g = group_at(a, grp);

	*out = (struct alloc_peek_group){ 0 };
	if (!group_has(g, GROUP_LOADED) || !a->store->bitmap_copy)
		return;
	out->loaded = true;
	a->store->bitmap_copy(a->store_ctx, grp, disk);
	for (mbfs_clu_t i = 0; i < g->len; i++) {
		out->buddy_nr += !bit_test(g->bits, i);
		out->disk_nr += !bit_test(disk, i);
	}
}

static bool is_listed(const struct pa *pa, bool (*alive)(const void *p))
{
	const struct pa *at = TAILQ_FIRST(&pa->grp->pas);

	while (at && at != pa && alive(at))
		at = TAILQ_NEXT(at, group_link);
	return at == pa;
}

static bool is_owned(const struct pa *pa, bool (*alive)(const void *p))
{
	const struct pa *at = pa, *up;

	if (pa->kind == PA_GROUP)
		return pa->lg_list >= 0;
	if (pa->unlinked || !alive(pa->file))
		return false;
	for (; at != RB_ROOT(&pa->file->pas); at = up) {
		up = RB_PARENT(at, owner_tree);
		if (!up || !alive(up) ||
		    (RB_LEFT(up, owner_tree) != at && RB_RIGHT(up, owner_tree) != at))
			return false;
	}
	return true;
}

bool alloc_peek_pa(const void *mem, mbfs_grp_t grp, const uint8_t *disk, uint8_t *taken,
		   bool (*alive)(const void *p), struct alloc_peek_pa *out)
{
	const struct pa *pa = mem;

	if (!pa->grp || pa->grp->idx != grp)
		return false;
	*out = (struct alloc_peek_pa){
		.is_group = pa->kind == PA_GROUP,
		.owner = pa->kind == PA_GROUP ? pa->lg_cpu : alive(pa->file) ? pa->file->id : 0,
		.start = pa->start,
		.len = pa->len,
		.free = pa->free,
		.busy = pa->busy,
		.deleted = pa->deleted,
		.listed = is_listed(pa, alive),
		.owned = is_owned(pa, alive),
	};
	for (uint32_t i = 0; i < pa->len; i++) {
		mbfs_clu_t at = pa->start + i;

		if ((pa->kind == PA_FILE && bit_test(pa->used, i)) ||
		    !bit_test(pa->grp->bits, at) || bit_test(disk, at) || bit_test(taken, at))
			continue;
		bit_set(taken, at);
		out->held++;
	}
	return true;
}

void alloc_peek_counters(struct mbfs_alloc *a, struct alloc_peek_counters *out)
{
	*out = (struct alloc_peek_counters){
		.grp_nr = grp_nr_of(a),
		.blks_per_grp = a->shape.blks_per_grp,
		.unclaimed = claim_free(a),
		.claimed = rt_counter_sum(&a->claim.claimed),
		.seq = rt_counter_sum(&a->seq),
		.begin = rt_counter_sum(&a->begin),
		.end = rt_counter_sum(&a->end),
		.waiters = rt_u32_read(&a->waiters_nr),
	};
}
