// SPDX-License-Identifier: GPL-2.0-only
/*
 * 6.0, and mainline since: at most three passes, against the live-lock of many threads on a full
 * file system.
 *
 * Loses: whoever loses three races gets ENOSPC with blocks free (W1); and as 5.17.
 */
#include "alloc/alloc_priv.h"

const struct enospc_policy enospc_6_0 = {
	.pub = { "6.0", "6.0", "80fa46d6b9e7", "as 5.17, and at most three allocator passes",
		 false, MBFS_POINT_PA_BUSY },
	.sweeps_max = 3,
	.passes_max = 3,
	.bump = BUMP_BUDDY | BUMP_DISCARD_FOUND,
	.sample = enospc_sample_seq,
	.retry = enospc_retry_strict,
};
