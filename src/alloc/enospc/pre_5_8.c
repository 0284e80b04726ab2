// SPDX-License-Identifier: GPL-2.0-only
/*
 * pre-5.8: what the seed reports. A sweep that frees nothing means ENOSPC.
 *
 * Loses: thread 1 sweeps all PAs after thread 2 has found every buddy empty and before it looks at
 * the lists, which are empty by then. Also while thread 1 waits for busy PAs with those it has
 * detached on its private list; and between marking blocks used and publishing the PA.
 */
#include "alloc/alloc_priv.h"

static bool retry(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	(void)ac, (void)busy;
	return freed > 0;
}

const struct enospc_policy enospc_pre_5_8 = {
	.pub = { "pre-5.8", "5.7", "before 53f86b170dfa", "discard freed nothing: ENOSPC", false,
		 MBFS_POINT_SCAN_DISCARD },
	.publish_late = true,
	.busy_wait = true,
	.keep_detached = true,
	.sweeps_max = 1,
	.retry = retry,
};
