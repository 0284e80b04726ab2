// SPDX-License-Identifier: GPL-2.0-only
/* Statistics: sums over the virtual CPUs' slots, taken without a snapshot. */
#include "alloc/alloc_priv.h"

#include <errno.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/check.h"

static const struct {
	enum stat stat;
	size_t off;
} fields[] = {
#define FIELD(stat, name) { STAT_##stat, offsetof(struct mbfs_alloc_stats, name) }
	FIELD(REQS, reqs),
	FIELD(SUCCESS, success),
	FIELD(BLOCKS, blocks_allocated),
	FIELD(FREES, frees),
	FIELD(BLOCKS_FREED, blocks_freed),
	FIELD(SCANNED, groups_scanned),
	FIELD(EXTENTS, extents_scanned),
	FIELD(GOAL_HITS, goal_hits),
	FIELD(STREAM_GOAL_HITS, stream_goal_hits),
	FIELD(LEN_GOAL_HITS, len_goal_hits),
	FIELD(POW2_HITS, pow2_hits),
	FIELD(BREAKS, breaks),
	FIELD(LOST, lost),
	FIELD(BUDDIES, buddies_generated),
	FIELD(PREALLOCATED, preallocated),
	FIELD(DISCARDED, discarded),
	FIELD(PA_INODE, pa_hits_inode),
	FIELD(PA_GROUP, pa_hits_group),
	FIELD(ENOSPC, enospc),
	FIELD(FALSE_ENOSPC, false_enospc),
	FIELD(CLAIM_FAILED, claim_failed),
	FIELD(PASSES, passes),
	FIELD(SWEEPS, sweeps),
	FIELD(RETRIES, retries),
	FIELD(CAP_HITS, cap_hits),
	FIELD(SEQ_MISMATCHES, seq_mismatches),
	FIELD(BARRIERS, barriers),
	FIELD(BARRIER_NS, barrier_ns),
	FIELD(WAITS, waits),
	FIELD(WAIT_NS, wait_ns),
	FIELD(SLOW, slow_calls),
	FIELD(PA_NR, pa_nr),
	FIELD(PA_BLKS, pa_blks),
#undef FIELD
};

static uint64_t sum(const struct mbfs_alloc *a, unsigned stat)
{
	uint64_t nr = 0;

	for (unsigned i = 0; i < rt_cpus_nr(&a->cpus); i++)
		nr += rt_stat_read(&a->stats[i].v[stat]);
	return nr;
}

void mbfs_alloc_stats(struct mbfs_alloc *a, struct mbfs_alloc_stats *out)
{
	const struct group *g;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(fields); i++)
		*(uint64_t *)(void *)((char *)out + fields[i].off) = sum(a, fields[i].stat);
	for (unsigned i = 0; i < MBFS_CR_NR; i++) {
		out->groups_considered[i] = sum(a, STAT_CR_CONSIDERED + i);
		out->cr_hits[i] = sum(a, STAT_CR_HITS + i);
		out->cr_useless[i] = sum(a, STAT_CR_USELESS + i);
	}
	for (unsigned i = 0; i < MBFS_HIST_NR; i++)
		out->slow_hist[i] = sum(a, STAT_SLOW_HIST + i);
	out->slow_max_ns = rt_u64_read(&a->slow_max_ns);
	out->barrier_max_ns = rt_u64_read(&a->barrier_max_ns);
	out->blk_nr = blk_nr_of(a);
	out->claimed_nr = rt_counter_sum(&a->claim.claimed);
	out->free_nr = claim_free(a) + out->claimed_nr;
	for (mbfs_grp_t i = 0, nr = grp_nr_of(a); i < nr; i++)
		if ((g = group_at(a, i)))
			out->groups_loaded += group_has(g, GROUP_LOADED);
}

uint64_t mbfs_alloc_free_nr(struct mbfs_alloc *a)
{
	return claim_free(a) + rt_counter_sum(&a->claim.claimed);
}

uint64_t mbfs_alloc_avail_nr(struct mbfs_alloc *a)
{
	uint64_t nr = claim_free(a);

	return nr > claim_resv(&a->claim) ? nr - claim_resv(&a->claim) : 0;
}

int mbfs_alloc_group_info(struct mbfs_alloc *a, mbfs_grp_t grp, struct mbfs_alloc_group_info *out)
{
	struct group *g = group_at(a, grp);

	if (!g)
		return -ERANGE;
	memset(out, 0, sizeof(*out));
	rt_spin_lock(&g->lock);
	out->loaded = group_has(g, GROUP_LOADED);
	out->bad = group_has(g, GROUP_BAD);
	out->free_nr = rt_u32_read(&g->free_nr);
	out->fragments = rt_u32_read(&g->fragments);
	out->first_free = g->first_free;
	for (unsigned i = 0; i < a->order_nr; i++)
		out->counts[i] = g->counts[i];
	rt_spin_unlock(&g->lock);
	return 0;
}

void alloc_dead_stats(const struct mbfs_alloc *a, struct kvfree_stats *out)
{
	kvfree_stats(a->dead_pas, out);
}
