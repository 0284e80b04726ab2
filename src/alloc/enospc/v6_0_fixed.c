// SPDX-License-Identifier: GPL-2.0-only
/*
 * 6.0-fixed (ours): 6.0 with the least that closes its windows.
 *
 *   W2   a deleted PA that is still on its group's list counts as busy: its blocks are on the way
 *   W3   three sweeps that met a busy PA are no reason to give up: let its user go on, and retry
 *   W1   no cap on passes. What made one necessary (many threads on a full file system,
 * 80fa46d6b9e7) is that whoever gets blocks hoards more; a retry takes exactly what was asked for
 *
 * Why it holds: a strict pass and a sweep look under the group's lock, and blocks leave a PA for a
 * buddy, or a buddy for a PA, within one hold of it. So what both missed has moved in between,
 * which moves discard_pa_seq, or is in a PA that was busy or deleted. It spins where claim-wait
 * sleeps.
 */
#include "alloc/alloc_priv.h"

static bool retry(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	ac->no_hoard = true;
	if (!busy || freed > 0)
		return enospc_retry_strict(ac, freed, busy);
	ac->strict = true;
	ac->enospc.seq = rt_counter_sum(&ac->a->seq);
	rt_yield();
	return true;
}

const struct enospc_policy enospc_6_0_fixed = {
	.pub = { "6.0-fixed", "-", "ours, on 80fa46d6b9e7",
		 "as 6.0; deleted PAs are busy, busy means again, no cap, retries do not hoard",
		 true, MBFS_POINT_NR },
	.deleted_is_busy = true,
	.sweeps_max = 3,
	.bump = BUMP_BUDDY | BUMP_DISCARD_FOUND,
	.sample = enospc_sample_seq,
	.retry = retry,
};
