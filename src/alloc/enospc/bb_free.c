// SPDX-License-Identifier: GPL-2.0-only
/*
 * bb-free: the alternative that the RFC weighed and rejected. If nothing could be discarded, take
 * every group's lock and look whether it has free blocks; if so, try again.
 *
 * Its three concerns, as the RFC has them: the loop may not end; all threads queue on the group's
 * lock; and it still loses when blocks have left the buddy and are not yet in a PA, or are on a
 * private list.
 */
#include "alloc/alloc_priv.h"

static bool retry(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	bool any = false;

	(void)busy;
	if (freed > 0)
		return true;
	for (mbfs_grp_t i = 0, nr = grp_nr_of(ac->a); i < nr && !any; i++) {
		struct group *g = group_at(ac->a, i);

		if (!g)
			break;
		rt_spin_lock(&g->lock);
		any = rt_u32_read(&g->free_nr) > 0;
		rt_spin_unlock(&g->lock);
	}
	if (any)
		rt_yield();
	return any;
}

const struct enospc_policy enospc_bb_free = {
	.pub = { "bb-free", "-", "patchwork 533ac1f5b19c (not merged)",
		 "look at bb_free of all groups under their locks", false,
		 MBFS_POINT_MARK_PUBLISH },
	.publish_late = true,
	.busy_wait = true,
	.keep_detached = true,
	.sweeps_max = 1,
	.retry = retry,
};
