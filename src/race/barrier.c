// SPDX-License-Identifier: GPL-2.0-only
#include "race/barrier.h"

#include <string.h>

#include "base/check.h"

enum how { STOCK, MUTEX, SEQUENCE, LEADER, DRAIN };

static const struct race_variant ways[] = {
	[STOCK] = { "liburcu", NULL, NULL, "liburcu's rcu_barrier, each caller his own", true },
	[MUTEX] = { "mutex", NULL, NULL, "the same, one after the other", true },
	[SEQUENCE] = { "sequence", "3.10", NULL,
		       "the same; who waited through a whole run of another "
		       "has none: the kernel's",
		       true },
	[LEADER] = { "leader", NULL, NULL, "the same; one runs it for all who came before", true },
	[DRAIN] = { "drain", NULL, NULL, "the caller runs the callbacks himself: rt_rcu_barrier()",
		    true },
};

static bool way_at(unsigned idx, struct race_variant *out)
{
	if (idx >= MBFS_ARRAY_SIZE(ways))
		return false;
	*out = ways[idx];
	return true;
}

const struct race_family race_barrier = { .what = "barrier", .ours = "drain", .at = way_at };

static enum how how_of(const char *variant)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(ways); i++)
		if (strcmp(ways[i].name, variant) == 0)
			return (enum how)i;
	MBFS_ASSERT(!"no such variant");
	return DRAIN;
}

void barrier_open(struct barrier *b, const char *variant, unsigned workers)
{
	b->how = how_of(variant);
	rt_mutex_init(&b->lock, RANK_NONE);
	rt_cond_init(&b->over);
	if (b->how != DRAIN)
		stock_rcu_open(&b->stock, workers);
}

void barrier_close(struct barrier *b)
{
	rt_cond_destroy(&b->over);
	rt_mutex_destroy(&b->lock);
}

void barrier_join(struct barrier *b, unsigned idx)
{
	rt_rcu_read_lock(); /* a reader as any other: without one a grace period costs nothing */
	rt_rcu_read_unlock();
	if (b->how != DRAIN)
		stock_rcu_join(&b->stock, idx);
}

static void ran(struct rt_rcu_head *head)
{
	rt_u32_set_release(&container_of(head, struct barrier_item, ours)->ran, 1);
}

void barrier_call(struct barrier *b, struct barrier_item *item)
{
	rt_u32_set(&item->ran, 0);
	rt_u32_set(&item->stock.ran, 0);
	if (b->how == DRAIN)
		rt_rcu_call(&item->ours, ran);
	else
		stock_rcu_call(&item->stock);
}

bool barrier_ran(const struct barrier *b, const struct barrier_item *item)
{
	return rt_u32_read_acquire(b->how == DRAIN ? &item->ran : &item->stock.ran);
}

/* ---- waiting ---- */

static void run(struct barrier *b)
{
	rt_u64_add(&b->runs, 1);
	if (b->how == DRAIN)
		rt_rcu_barrier();
	else
		stock_rcu_barrier();
}

static void wait_sequence(struct barrier *b)
{
	uint64_t done;

	rt_fence();
	done = (rt_u64_read_acquire(&b->seq) + 3) & ~1ull;
	rt_mutex_lock(&b->lock);
	if (rt_u64_read_acquire(&b->seq) < done) {
		rt_u64_add_return(&b->seq, 1);
		run(b);
		rt_u64_add_return(&b->seq, 1);
	}
	rt_mutex_unlock(&b->lock);
}

/* Runs have numbers; the first that begins after the call is this caller's. */
static void wait_leader(struct barrier *b)
{
	uint64_t mine;

	rt_mutex_lock(&b->lock);
	mine = b->done + b->running;
	while (b->done <= mine) {
		if (b->running) {
			rt_cond_wait(&b->over, &b->lock, 0);
			continue;
		}
		b->running = true;
		rt_mutex_unlock(&b->lock);
		run(b);
		rt_mutex_lock(&b->lock);
		b->running = false;
		b->done++;
		rt_cond_broadcast(&b->over);
	}
	rt_mutex_unlock(&b->lock);
}

void barrier_wait(struct barrier *b)
{
	switch ((enum how)b->how) {
	case STOCK:
	case DRAIN:
		run(b);
		break;
	case MUTEX:
		rt_mutex_lock(&b->lock);
		run(b);
		rt_mutex_unlock(&b->lock);
		break;
	case SEQUENCE:
		wait_sequence(b);
		break;
	case LEADER:
		wait_leader(b);
		break;
	}
}
