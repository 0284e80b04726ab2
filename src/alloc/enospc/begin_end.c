// SPDX-License-Identifier: GPL-2.0-only
/*
 * begin-end (ours): two per-CPU counters. begin is bumped before blocks leave a PA or a file for a
 * buddy, end when they are there. end is summed before a pass, begin after a sweep that found
 * nothing. Equal: nothing arrived in any buddy from before the pass until after the sweep.
 *
 * Then ENOSPC would be true: every buddy that the pass saw empty has stayed empty; a new PA needs
 * blocks from a buddy, so none came; the sweep met every PA. What is left are PAs that somebody is
 * busy with or is taking apart: those the sweep reports as busy, and that alone means again. No
 * barrier.
 *
 * Why end is summed first and begin last: a return that is under way at either moment makes begin >
 * end.
 */
#include "alloc/alloc_priv.h"

static void sample(struct alloc_ctx *ac)
{
	ac->enospc.seq = rt_counter_sum(&ac->a->end);
	rt_fence(); /* before the pass looks at anything; pairs with the ordered adds around each
		       return */
}

static bool retry(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	/* From now on look under the locks, and take no more than is needed. */
	ac->strict = true;
	ac->no_hoard = true;
	if (freed > 0)
		return true;
	rt_fence();
	if (!busy && rt_counter_sum(&ac->a->begin) == ac->enospc.seq && ac->enospc.passes > 1)
		return false;
	stat_add(ac->a, ac->cpu, STAT_SEQ_MISMATCHES, 1);
	rt_yield();
	return true;
}

const struct enospc_policy enospc_begin_end = {
	.pub = { "begin-end", "-", "ours", "two counters around each return of blocks; no barrier",
		 true, MBFS_POINT_NR },
	.deleted_is_busy = true,
	.sweeps_max = 1,
	.bump = BUMP_BEGIN_END,
	.sample = sample,
	.retry = retry,
};
