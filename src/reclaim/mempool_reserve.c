// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reserve: how a call that its magazine does not satisfy gets what it wants, and who waits.
 *
 * A call goes through the places in its order and notes what it has in hand. What is still lacking
 * after the last one it takes from the reserves of all its pools in one lock hold. If one of them
 * has too little, the call gives all of it back, queues with all that it wants and sleeps; who
 * gives an object back looks in the queue for whom it was the last one that lacked, and hands that
 * caller all its objects at once.
 *
 * The scan goes through the queue in the order of arrival and counts, per pool, what those who stay
 * want (claimed): what is left beside that is for those who come after. So a caller who wants much
 * collects in the reserves what he wants, however many want little behind him, and who wants
 * nothing that one before him wants is not held up. Before the object came nobody could be served
 * (3), and only its pool has more now: the scan ends when that pool has nothing left.
 *
 * While it waits a caller asks the allocator now and then. What he finds he gives back like
 * anybody else, and it goes to who is first: nobody overtakes, and who waits has nothing in hand.
 *
 * The waker signals under the domain's lock and the waiter takes that lock once before he leaves:
 * his stack, with the event in it, is there until the waker is done with it.
 */
#include "reclaim/mempool_priv.h"

#include <errno.h>
#include <string.h>

void mempool_mark_short_locked(struct mempool *p)
{
	uint32_t is_short = p->in_reserve < p->min_nr || p->wanted > 0;

	if (rt_u32_read(&p->is_short) != is_short)
		rt_u32_set(&p->is_short, is_short);
}

static void pop_locked(struct mempool *p, void **objs, unsigned nr)
{
	MBFS_ASSERT(nr <= p->in_reserve);
	p->in_reserve -= nr;
	for (unsigned i = 0; i < nr; i++)
		objs[i] = p->reserve[p->in_reserve + i];
	if (p->low_water > p->in_reserve)
		p->low_water = p->in_reserve;
}

/* ---- giving ---- */

/* Each pool has what @c wants, beside what those before it want. */
static bool is_all_there(const struct mempool_call *c)
{
	for (unsigned i = 0; i < c->want_nr; i++) {
		const struct mempool *p = c->want[i].pool;

		if (c->want[i].nr && p->in_reserve < (uint64_t)p->claimed + c->want[i].nr)
			return false;
	}
	return true;
}

static void claim(struct mempool_call *c)
{
	for (unsigned i = 0; i < c->want_nr; i++)
		c->want[i].pool->claimed += c->want[i].nr;
}

static void unclaim(struct mempool_call *c)
{
	for (unsigned i = 0; i < c->want_nr; i++)
		c->want[i].pool->claimed -= c->want[i].nr;
}

static void hand_over(struct mempool_domain *d, struct mempool_call *c)
{
	void **objs = c->objs;

	for (unsigned i = 0; i < c->want_nr; i++) {
		struct mempool *p = c->want[i].pool;

		pop_locked(p, objs, c->want[i].nr);
		objs += c->want[i].nr;
		p->from_wait += c->want[i].nr;
		p->wanted -= c->want[i].nr;
		mempool_mark_short_locked(p);
	}
	TAILQ_REMOVE(&d->waiters, c, link);
	c->served = true;
	rt_event_signal(&c->ev);
}

/* @p has one more: who has all that he wants now? */
static void serve(struct mempool *p)
{
	struct mempool_queue *waiters = &p->d->waiters;
	struct mempool_call *c, *next, *end;

	for (c = TAILQ_FIRST(waiters); c && p->in_reserve > p->claimed; c = next) {
		next = TAILQ_NEXT(c, link);
		if (is_all_there(c))
			hand_over(p->d, c);
		else
			claim(c);
	}
	end = c;
	for (c = TAILQ_FIRST(waiters); c != end; c = TAILQ_NEXT(c, link))
		unclaim(c);
}

void *mempool_put_locked(struct mempool *p, void *obj)
{
	p->reserve[p->in_reserve++] = obj;
	if (p->wanted)
		serve(p);
	obj = p->in_reserve > p->min_nr ? p->reserve[--p->in_reserve] : NULL;
	mempool_mark_short_locked(p);
	return obj;
}

/* ---- taking ---- */

static bool lacks(const struct mempool_call *c)
{
	for (unsigned i = 0; i < c->want_nr; i++)
		if (c->have[i] < c->want[i].nr)
			return true;
	return false;
}

/* What lacks, all of it, from the reserves, beside what those who wait want. */
static bool take_locked(struct mempool_call *c)
{
	void **objs = c->objs;

	for (unsigned i = 0; i < c->want_nr; i++) {
		const struct mempool *p = c->want[i].pool;
		unsigned lack = c->want[i].nr - c->have[i];

		MBFS_ASSERT(c->want[i].nr <= p->min_nr);
		if (lack && p->in_reserve < p->wanted + lack)
			return false;
	}
	for (unsigned i = 0; i < c->want_nr; objs += c->want[i++].nr) {
		struct mempool *p = c->want[i].pool;
		unsigned lack = c->want[i].nr - c->have[i];

		if (!lack)
			continue;
		pop_locked(p, objs + c->have[i], lack);
		p->from_reserve += lack;
		c->have[i] += lack;
		mempool_mark_short_locked(p);
	}
	return true;
}

static bool take(struct mempool_domain *d, struct mempool_call *c)
{
	bool all;

	rt_spin_lock(&d->lock);
	all = take_locked(c);
	rt_spin_unlock(&d->lock);
	return all;
}

static void gather_at_hand(struct mempool_call *c)
{
	void **objs = c->objs;

	for (unsigned i = 0; i < c->want_nr; objs += c->want[i++].nr)
		c->have[i] = c->magazine[i] =
			mempool_magazine_get(c->want[i].pool, objs, c->want[i].nr);
}

/* From the allocator, and where it has none from the magazines of other CPUs. */
static void gather_memory(struct mempool_call *c, enum mempool_mode mode)
{
	void **objs = c->objs;

	for (unsigned i = 0; i < c->want_nr; objs += c->want[i++].nr) {
		struct mempool *p = c->want[i].pool;
		bool may_wait = mode != MEMPOOL_NOWAIT && p->order == MEMPOOL_PATIENT;
		unsigned before = c->have[i], stolen;
		void *obj;

		while (c->have[i] < c->want[i].nr && (obj = mempool_memory_get(p, may_wait)))
			objs[c->have[i]++] = obj;
		if (c->have[i] > before)
			rt_stat_add(&mempool_slot_here(p)->from_allocator, c->have[i] - before);
		if (c->have[i] == c->want[i].nr)
			continue;
		stolen = mempool_magazines_steal(p, objs + c->have[i], c->want[i].nr - c->have[i]);
		c->magazine[i] += stolen;
		c->have[i] += stolen;
	}
}

/* What is in hand, none of it the reserve's, as if it had never been taken. */
static void give_back(struct mempool_call *c)
{
	void **objs = c->objs;

	for (unsigned i = 0; i < c->want_nr; objs += c->want[i++].nr) {
		struct mempool *p = c->want[i].pool;
		struct mempool_slot *s = mempool_slot_here(p);

		rt_stat_add(&s->from_magazine, -(uint64_t)c->magazine[i]);
		rt_stat_add(&s->from_allocator, -(uint64_t)(c->have[i] - c->magazine[i]));
		for (unsigned k = 0; k < c->have[i]; k++)
			mempool_put_back(p, objs[k]);
		c->have[i] = 0;
	}
}

static void count_failed(struct mempool_domain *d, struct mempool_call *c)
{
	rt_spin_lock(&d->lock);
	for (unsigned i = 0; i < c->want_nr; i++)
		c->want[i].pool->failed += c->want[i].nr > 0;
	rt_spin_unlock(&d->lock);
}

/* ---- waiting ---- */

/* The shortest time after which one of its pools wants to be tried again; 0: none. */
static uint64_t retry_after(const struct mempool_call *c)
{
	uint64_t ns = 0;

	for (unsigned i = 0; i < c->want_nr; i++) {
		uint64_t of_pool = c->want[i].nr ? c->want[i].pool->retry_ns : 0;

		if (of_pool && (!ns || of_pool < ns))
			ns = of_pool;
	}
	return ns;
}

/* The allocator once more; what it has goes to who is first, maybe the caller. */
static void try_again(struct mempool_call *c, uint32_t key)
{
	for (unsigned i = 0; i < c->want_nr; i++) {
		struct mempool *p = c->want[i].pool;
		void *obj = p;

		for (unsigned k = 0; p->retry_ns && obj && k < c->want[i].nr; k++) {
			if (rt_event_changed(&c->ev, key))
				return;
			rt_stat_add(&p->retries, 1);
			obj = mempool_memory_get(p, true);
			if (obj)
				mempool_put_back(p, obj);
		}
	}
}

static void wait_served(struct mempool_domain *d, struct mempool_call *c, uint32_t key)
{
	const uint64_t start = rt_now_ns(), retry_ns = retry_after(c);
	uint64_t ns;

	if (!retry_ns)
		rt_event_wait(&c->ev, key);
	else
		while (!rt_event_wait_ns(&c->ev, key, retry_ns))
			try_again(c, key);
	ns = rt_now_ns() - start;
	rt_spin_lock(&d->lock); /* also: the waker has let go of c */
	MBFS_ASSERT(c->served);
	for (unsigned i = 0; i < c->want_nr; i++) {
		struct mempool *p = c->want[i].pool;

		if (!c->want[i].nr)
			continue;
		p->waits++;
		p->wait_ns += ns;
		if (p->wait_max_ns < ns)
			p->wait_max_ns = ns;
	}
	rt_spin_unlock(&d->lock);
}

/* Nothing is in hand. All from the reserves, at once or when it is there. */
static void take_or_wait(struct mempool_domain *d, struct mempool_call *c)
{
	uint32_t key;
	bool all;

	c->served = false;
	rt_event_init(&c->ev);
	key = rt_event_key(&c->ev);
	rt_spin_lock(&d->lock);
	all = take_locked(c);
	if (!all) {
		TAILQ_INSERT_TAIL(&d->waiters, c, link);
		for (unsigned i = 0; i < c->want_nr; i++) {
			struct mempool *p = c->want[i].pool;

			p->wanted += c->want[i].nr;
			mempool_mark_short_locked(p);
		}
	}
	rt_spin_unlock(&d->lock);
	if (!all)
		wait_served(d, c, key);
}

int mempool_call(struct mempool_domain *d, struct mempool_call *c, enum mempool_mode mode)
{
	gather_at_hand(c);
	if (!lacks(c) || (mode == MEMPOOL_RESERVE_FIRST && take(d, c)))
		return 0;
	gather_memory(c, mode);
	if (!lacks(c) || take(d, c))
		return 0;
	give_back(c);
	if (mode == MEMPOOL_NOWAIT) {
		count_failed(d, c);
		return -EAGAIN;
	}
	take_or_wait(d, c);
	return 0;
}

int mempool_reserve(struct mempool_domain *d, const struct mempool_want *want, unsigned want_nr,
		    enum mempool_mode mode, void **objs)
{
	struct mempool_call c;

	MBFS_ASSERT(want_nr <= MEMPOOL_WANTS_MAX);
	for (unsigned i = 0; i < want_nr; i++) {
		MBFS_ASSERT(want[i].pool->d == d);
		for (unsigned k = 0; k < i; k++)
			MBFS_ASSERT_SLOW(want[k].pool != want[i].pool);
	}
	c.want = want;
	c.want_nr = want_nr;
	c.objs = objs;
	return mempool_call(d, &c, mode);
}
