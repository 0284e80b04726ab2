// SPDX-License-Identifier: GPL-2.0-only
/*
 * claim-wait (ours, the default): a claim is a promise. Who has one never gets ENOSPC, and never
 * spins: it waits for blocks in transit on an event count.
 *
 * Why they come: claims are exact, so the blocks of a claim are clear in some disk bitmap and
 * nobody else's. They are (a) in a buddy: the pass finds them, under the lock (strict); (b) in a
 * PA: the sweep takes them; (c) in a PA that somebody is busy with or is taking apart: when it is
 * done it calls alloc_notify(), as does everything that puts blocks into a buddy or a PA on a list.
 * The key was taken before the pass, after this thread had counted itself as a waiter: whatever the
 * pass and the sweep missed has changed the event since, and the wait returns at once.
 *
 * Why it ends: a retry follows an event, that is, somebody else's progress; retries take exactly
 * what was asked and keep nothing, so blocks given to one claim are not taken away again, and the
 * claims that are outstanding bound the retries. Nothing is held while waiting: neither locks nor
 * PAs.
 *
 * Groups that were fenced off after the claim take blocks away for good: then an empty pass is an
 * error of the device, not a lie about space.
 */
#include "alloc/alloc_priv.h"

static void sample(struct alloc_ctx *ac)
{
	if (ac->enospc.waiting)
		ac->enospc.key = rt_event_key(&ac->a->arrive);
}

static bool retry(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	struct mbfs_alloc *a = ac->a;
	uint64_t start;

	(void)busy;
	ac->strict = true;
	ac->no_hoard = true;
	if (freed > 0)
		return true;
	if (!ac->enospc.waiting) {
		ac->enospc.waiting = true;
		rt_u32_add_return(&a->waiters_nr, 1); /* pairs with the fence of alloc_notify() */
		return true;
	}
	if (rt_u32_read(&a->bad_nr) > 0 && !rt_event_changed(&a->arrive, ac->enospc.key))
		return false;
	alloc_before_wait(a);
	start = rt_now_ns();
	rt_event_wait(&a->arrive, ac->enospc.key);
	stat_add(a, ac->cpu, STAT_WAITS, 1);
	stat_add(a, ac->cpu, STAT_WAIT_NS, rt_now_ns() - start);
	return true;
}

static void done(struct alloc_ctx *ac)
{
	if (ac->enospc.waiting)
		rt_u32_add_return(&ac->a->waiters_nr, (uint32_t)-1);
}

const struct enospc_policy enospc_claim_wait = {
	.pub = { "claim-wait", "-", "ours",
		 "after a claim never ENOSPC: wait for blocks in transit", true, MBFS_POINT_NR },
	.deleted_is_busy = true,
	.sweeps_max = 1,
	.sample = sample,
	.retry = retry,
	.done = done,
};
