// SPDX-License-Identifier: GPL-2.0-only
/*
 * 5.17: no waiting on busy PAs inside a group; up to three sweeps over all groups instead.
 *
 * Loses: three sweeps are pure CPU time, a user that is off the CPU for longer keeps its PA busy
 * through all of them (W3); and W2.
 */
#include "alloc/alloc_priv.h"

const struct enospc_policy enospc_5_17 = {
	.pub = { "5.17", "5.17", "8c80fb312d7a",
		 "busy PAs: three sweeps over all groups, no waiting", false, MBFS_POINT_PA_BUSY },
	.sweeps_max = 3,
	.bump = BUMP_BUDDY | BUMP_DISCARD_FOUND,
	.sample = enospc_sample_seq,
	.retry = enospc_retry_strict,
};
