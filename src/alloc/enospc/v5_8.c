// SPDX-License-Identifier: GPL-2.0-only
/*
 * 5.8: what was merged. The PA is visible in the lock hold that marked its blocks; the counter is
 * bumped at every change of a buddy and by a sweep of a non-empty list; no barrier.
 *
 * Loses: while a sweep waits for busy PAs, those it has detached are on its private list and the
 * group's lock is dropped (Jan Kara, 5b3dc19dda66).
 * And a sweep's own bump makes its own sum differ: with a PA that cannot be discarded on the list
 * it never ends (Ye Bin, 70022da804f0).
 */
#include "alloc/alloc_priv.h"

const struct enospc_policy enospc_5_8 = {
	.pub = { "5.8", "5.8", "07b5b8e1ac40, 993778306e79",
		 "counter at every buddy change and at discard; strict retry; unbounded", false,
		 MBFS_POINT_NR },
	.busy_wait = true,
	.keep_detached = true,
	.sweeps_max = 1,
	.bump = BUMP_BUDDY | BUMP_DISCARD_NONEMPTY,
	.sample = enospc_sample_seq,
	.retry = enospc_retry_strict,
};
