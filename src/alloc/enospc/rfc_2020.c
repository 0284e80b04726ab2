// SPDX-License-Identifier: GPL-2.0-only
/*
 * rfc-2020: the seed's patch. discard_pa_seq is bumped for a new PA and by a sweep of a list that
 * is not empty; if nothing was freed, rcu_barrier(), then retry if the sum differs from the last
 * sample.
 *
 * The barrier waits for PA structures, not for their blocks, which come back outside of RCU: it
 * costs time and orders nothing that matters. Loses: the bump came before the other thread detached
 * its PAs, so a second look while their blocks are still on the way finds the list empty (no bump
 * of its own) and the sum unchanged. And a PA that cannot be discarded keeps the list from being
 * empty: every sweep bumps, and the threads of a full group keep each other going.
 */
#include "alloc/alloc_priv.h"

static void barrier(struct alloc_ctx *ac)
{
	struct mbfs_alloc *a = ac->a;
	uint64_t start, ns, max = rt_u64_read(&a->barrier_max_ns);

	alloc_before_wait(a);
	start = rt_now_ns();
	rt_rcu_barrier();
	ns = rt_now_ns() - start;
	stat_add(a, ac->cpu, STAT_BARRIERS, 1);
	stat_add(a, ac->cpu, STAT_BARRIER_NS, ns);
	while (ns > max && !rt_u64_cas(&a->barrier_max_ns, &max, ns))
		;
}

static bool retry(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	uint64_t sum;

	(void)busy;
	if (freed > 0)
		return true;
	barrier(ac);
	sum = rt_counter_sum(&ac->a->seq);
	if (sum == ac->enospc.seq)
		return false;
	stat_add(ac->a, ac->cpu, STAT_SEQ_MISMATCHES, 1);
	ac->enospc.seq = sum;
	return true;
}

const struct enospc_policy enospc_rfc_2020 = {
	.pub = { "rfc-2020", "-", "RFC 02/20 of 2020-05-01 (not merged as such)",
		 "per-CPU counter at new PA and at discard; rcu_barrier(), then compare the sum",
		 false, MBFS_POINT_DETACH_FREE },
	.publish_late = true,
	.busy_wait = true,
	.keep_detached = true,
	.sweeps_max = 1,
	.bump = BUMP_NEW_PA | BUMP_DISCARD_NONEMPTY,
	.sample = enospc_sample_seq,
	.retry = retry,
};
