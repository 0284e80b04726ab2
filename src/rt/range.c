// SPDX-License-Identifier: GPL-2.0-only
/*
 * Byte-range locks: a list in the order of arrival, under one spinlock. What of it waits is let in
 * when nothing before it conflicts. A list, for a space has as many ranges as callers at once.
 *
 * The event is the space's, not the range's: who was let in may be gone, with its memory, before
 * the one who let it in has signalled. Pairs: lockers and unlockers of one space, by its lock; who
 * waits looks at held between the event's key and the wait.
 */
#include "rt/range.h"

#include "base/check.h"

void rt_range_init(struct rt_range_space *s, enum lock_rank rank)
{
	rt_spin_init(&s->lock, RANK_RANGE);
	TAILQ_INIT(&s->ranges);
	rt_event_init(&s->moved);
	s->rank = rank;
}

void rt_range_destroy(struct rt_range_space *s)
{
	MBFS_ASSERT(TAILQ_EMPTY(&s->ranges));
	rt_spin_destroy(&s->lock);
}

static bool conflict(const struct rt_range *a, const struct rt_range *b)
{
	return a->first <= b->last && b->first <= a->last && (a->exclusive || b->exclusive);
}

/* Nothing that came before @r stands in its way. */
static bool may_enter(const struct rt_range_space *s, const struct rt_range *r)
{
	const struct rt_range *before;

	TAILQ_FOREACH(before, &s->ranges, link) {
		if (before == r)
			return true;
		if (conflict(before, r))
			return false;
	}
	return true;
}

static void range_set(struct rt_range *r, uint64_t first, uint64_t last, bool exclusive)
{
	MBFS_ASSERT(first <= last);
	r->first = first;
	r->last = last;
	r->exclusive = exclusive;
}

void rt_range_lock(struct rt_range_space *s, struct rt_range *r, uint64_t first, uint64_t last,
		   bool exclusive)
{
	uint32_t key;
	bool enter;

	rt_rank_assert_below(s->rank);
	range_set(r, first, last, exclusive);
	rt_spin_lock(&s->lock);
	TAILQ_INSERT_TAIL(&s->ranges, r, link);
	enter = may_enter(s, r);
	rt_u32_set(&r->held, enter);
	rt_spin_unlock(&s->lock);
	while (!enter) {
		key = rt_event_key(&s->moved);
		enter = rt_u32_read_acquire(&r->held);
		if (!enter)
			rt_event_wait(&s->moved, key);
	}
}

bool rt_range_trylock(struct rt_range_space *s, struct rt_range *r, uint64_t first, uint64_t last,
		      bool exclusive)
{
	bool enter;

	range_set(r, first, last, exclusive);
	rt_spin_lock(&s->lock);
	enter = may_enter(s, r);
	if (enter) {
		TAILQ_INSERT_TAIL(&s->ranges, r, link);
		rt_u32_set(&r->held, 1);
	}
	rt_spin_unlock(&s->lock);
	return enter;
}

void rt_range_unlock(struct rt_range_space *s, struct rt_range *r)
{
	bool moved = false;
	struct rt_range *next;

	rt_spin_lock(&s->lock);
	MBFS_ASSERT(rt_u32_read(&r->held));
	TAILQ_REMOVE(&s->ranges, r, link);
	TAILQ_FOREACH(next, &s->ranges, link) {
		if (rt_u32_read(&next->held) || !conflict(next, r) || !may_enter(s, next))
			continue;
		rt_u32_set_release(&next->held, 1);
		moved = true;
	}
	rt_spin_unlock(&s->lock);
	if (moved)
		rt_event_signal(&s->moved);
}
