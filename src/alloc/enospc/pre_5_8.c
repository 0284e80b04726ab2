// SPDX-License-Identifier: GPL-2.0-only
/*
 * pre-5.8: what the seed reports. A sweep that frees nothing means ENOSPC.
 *
 * Loses: thread 1 has detached all PAs and not yet freed their blocks; thread 2 finds buddies and
 * lists empty. Also between marking blocks used and publishing the PA.
 */
#include "alloc/alloc_priv.h"

static bool retry(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	(void)ac, (void)busy;
	return freed > 0;
}

const struct enospc_policy enospc_pre_5_8 = {
	.pub = { "pre-5.8", "5.7", "before 53f86b170dfa", "discard freed nothing: ENOSPC", false },
	.publish_late = true,
	.free_late = true,
	.busy_wait = true,
	.sweeps_max = 1,
	.retry = retry,
};
