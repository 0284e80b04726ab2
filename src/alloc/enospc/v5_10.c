// SPDX-License-Identifier: GPL-2.0-only
/*
 * 5.10: the bump only when a PA was really found, and blocks freed before the group's lock is
 * dropped.
 *
 * Still waits inside a group for busy PAs: their user may wait for a commit that waits for this
 * thread (ABBA, 8c80fb312d7a). Loses to windows W2 and W4 of the notes: a PA that its own file is
 * taking apart.
 */
#include "alloc/alloc_priv.h"

const struct enospc_policy enospc_5_10 = {
	.pub = { "5.10", "5.10", "70022da804f0, 5b3dc19dda66",
		 "bump only for a PA found; PAs freed before the group lock drops", false,
		 MBFS_POINT_DELETED_FREE },
	.busy_wait = true,
	.sweeps_max = 1,
	.bump = BUMP_BUDDY | BUMP_DISCARD_FOUND,
	.sample = enospc_sample_seq,
	.retry = enospc_retry_strict,
};
