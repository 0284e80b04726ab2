// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claims: how many free blocks nobody has been promised yet.
 *
 *   free blocks (clear bits of all disk bitmaps) == unclaimed + claims outstanding
 *   unclaimed == central + sum of shards
 *
 * A claim comes before the search for blocks; one that succeeds is a promise, because the sum of
 * all claims never exceeds the free blocks: claims only ever take what is in central or in a shard,
 * with a compare-and-swap.
 *
 * Far from full, each virtual CPU works on a shard of its own, filled from central in batches. Near
 * full a claim must not fail because the blocks sit in other CPUs' shards: then the counter becomes
 * *exact*. The mode changes, every shard operation that did not see that is waited out (they run in
 * RCU readers), the shards are swept into central, and from then on a claim is one CAS loop on
 * central. So a claim fails only in exact mode, where central is everything unclaimed, and its
 * failure is the truth at that moment.
 *
 * Blocks are given back here only after they are in the buddy.
 */
#include "alloc/alloc_priv.h"

#include <errno.h>

#include "base/check.h"

enum { BATCH = 1024 };

/* SWITCHING: shards are no longer used, but not yet swept into central. */
enum { CLAIM_SHARDED, CLAIM_SWITCHING, CLAIM_EXACT };

static void marks_set(struct mbfs_alloc *a, uint64_t resv)
{
	/* Shards can hold two batches each. Leaving exact mode needs room to spare, or it would
	 * flap. */
	const uint64_t low = resv + (uint64_t)rt_cpus_nr(&a->cpus) * BATCH * 4;

	rt_write_once(a->claim.resv, resv);
	rt_write_once(a->claim.low, low);
	rt_write_once(a->claim.high, 2 * low);
}

int claim_open(struct mbfs_alloc *a, uint64_t free_nr)
{
	struct claim *c = &a->claim;

	c->batch = BATCH;
	marks_set(a, a->shape.resv_blk_nr);
	rt_mutex_init(&c->lock, RANK_CLAIM);
	rt_u64_set(&c->central, free_nr);
	rt_u32_set(&c->mode, free_nr < c->high ? CLAIM_EXACT : CLAIM_SHARDED);
	if (rt_counter_init(&c->shards, &a->cpus))
		return -ENOMEM;
	return rt_counter_init(&c->claimed, &a->cpus);
}

void claim_close(struct mbfs_alloc *a)
{
	rt_counter_destroy(&a->claim.shards);
	rt_counter_destroy(&a->claim.claimed);
}

/* Take @n if more than @keep stay. */
/* Room to spare: the shards may be used. */
static bool claim_above(const struct claim *c, uint64_t central)
{
	return central > rt_read_once(c->high);
}

static bool central_take(struct claim *c, uint64_t n, uint64_t keep)
{
	uint64_t old = rt_u64_read(&c->central);

	do {
		if ((int64_t)old < (int64_t)(n + keep))
			return false;
	} while (!rt_u64_cas(&c->central, &old, old - n));
	return true;
}

static bool shard_take(struct claim *c, unsigned cpu, uint64_t n)
{
	rt_u64 *shard = &c->shards.slots[cpu].v;
	uint64_t old = rt_u64_read(shard);

	do {
		if (old < n)
			return false;
	} while (!rt_u64_cas(shard, &old, old - n));
	return true;
}

/* From now on central is everything. */
static void go_exact(struct claim *c)
{
	rt_mutex_lock(&c->lock);
	if (rt_u32_read(&c->mode) == CLAIM_SHARDED) {
		rt_u32_set_release(&c->mode, CLAIM_SWITCHING);
		rt_rcu_synchronize(); /* whoever did not see it has finished with its shard */
		for (unsigned i = 0; i < c->shards.nr; i++)
			rt_u64_add_return(&c->central, rt_u64_xchg(&c->shards.slots[i].v, 0));
		rt_u32_set_release(&c->mode, CLAIM_EXACT);
	}
	rt_mutex_unlock(&c->lock);
}

static void leave_exact(struct claim *c)
{
	rt_mutex_lock(&c->lock);
	if (rt_u32_read(&c->mode) == CLAIM_EXACT && claim_above(c, rt_u64_read(&c->central)))
		rt_u32_set_release(&c->mode, CLAIM_SHARDED);
	rt_mutex_unlock(&c->lock);
}

enum claim_try { CLAIM_YES, CLAIM_NO, CLAIM_GO_EXACT };

/* One attempt in the mode that is on. In a reader: exact mode waits for those that saw it off. */
static enum claim_try claim_attempt(struct claim *c, unsigned cpu, uint64_t n, uint64_t keep)
{
	uint32_t mode = rt_u32_read_acquire(&c->mode);

	if (mode == CLAIM_EXACT)
		return central_take(c, n, keep) ? CLAIM_YES : CLAIM_NO;
	if (mode == CLAIM_SWITCHING)
		return CLAIM_GO_EXACT; /* which waits for it */
	if (shard_take(c, cpu, n))
		return CLAIM_YES;
	if (!central_take(c, n + c->batch, rt_read_once(c->low)))
		return CLAIM_GO_EXACT;
	rt_u64_add_return(&c->shards.slots[cpu].v, c->batch);
	return CLAIM_YES;
}

bool claim_take(struct mbfs_alloc *a, unsigned cpu, uint64_t n, bool root)
{
	struct claim *c = &a->claim;
	uint64_t keep = root ? 0 : claim_resv(&a->claim);
	enum claim_try got;

	for (;;) {
		rt_rcu_read_lock();
		got = claim_attempt(c, cpu, n, keep);
		rt_rcu_read_unlock();
		if (got != CLAIM_GO_EXACT)
			break;
		go_exact(c);
	}
	if (got == CLAIM_YES)
		rt_counter_add(&c->claimed, cpu, n);
	return got == CLAIM_YES;
}

void claim_give(struct mbfs_alloc *a, unsigned cpu, uint64_t n)
{
	struct claim *c = &a->claim;
	bool leave = false;

	if (n == 0)
		return;
	rt_rcu_read_lock();
	if (rt_u32_read_acquire(&c->mode) != CLAIM_SHARDED) {
		leave = claim_above(c, rt_u64_add_return(&c->central, n));
	} else if (rt_u64_add_return(&c->shards.slots[cpu].v, n) > 2 * c->batch) {
		/* A CPU that only frees feeds those that only allocate. */
		if (shard_take(c, cpu, c->batch))
			rt_u64_add_return(&c->central, c->batch);
	}
	rt_rcu_read_unlock();
	if (leave)
		leave_exact(c);
}

void claim_lose(struct mbfs_alloc *a, uint64_t n)
{
	/* Below zero when they were claimed already: then no more claims succeed, see
	 * central_take(). */
	go_exact(&a->claim);
	rt_u64_add_return(&a->claim.central, -n);
}

void claim_grow(struct mbfs_alloc *a, uint64_t n, uint64_t resv)
{
	marks_set(a, resv);
	/* Into central in any mode: a shard would keep it from other CPUs. */
	if (claim_above(&a->claim, rt_u64_add_return(&a->claim.central, n)))
		leave_exact(&a->claim);
}

uint64_t claim_free(struct mbfs_alloc *a)
{
	int64_t nr = (int64_t)(rt_u64_read(&a->claim.central) + rt_counter_sum(&a->claim.shards));

	return nr > 0 ? (uint64_t)nr : 0;
}
