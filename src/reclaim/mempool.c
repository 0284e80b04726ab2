// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mempools: opening, resizing, one object in and out.
 *
 * Equations: objects of a pool = in use + in magazines + in reserve;
 *            allocs = from magazine + from allocator + from reserve + from wait = frees + in use;
 *            out of the reserve (min_nr - in_reserve) <= in use by calls that took from it.
 *
 *	alloc	magazine of this CPU; else mempool_reserve.c
 *	free	reserve full and nobody waits: magazine of this CPU, else memory;
 *		else, under the domain's lock, to who waits, the reserve, or memory
 *
 * free() asks is_short without the lock. It may see an old value, but not a wrong one for what
 * counts: the object that must come back. Who took it from the reserve, or was handed it, set
 * is_short under the lock (or found it set) before he had it; his free, or that of the one to whom
 * he passed the object, comes later and so reads that store or a newer one. If the newer one says
 * full, others have filled the reserve since, and nobody waits for this object. So as long as the
 * reserve is not full, those objects that were taken out of it come back to it, and as long as
 * somebody waits such objects are in use: there is a pool where he found less in reserve than he
 * and those before him want, which is at most min_nr for the first of them. The objects of the
 * allocator that go to a magazine for an old value of is_short were never owed. The kernel's
 * mempool_free() argues the same way about its plain read of curr_nr.
 *
 * The kernel of today (since 3.3) asks the allocator once more, with waiting, before it sleeps for
 * the first time; MEMPOOL_KERNEL is what the author of the seed had before him, which does not.
 *
 * Pairs: alloc and free of one CPU: by slot.busy, and who finds it taken goes elsewhere. All that
 * concerns reserves and waiters: by the domain's lock. Memory is got and put with nothing held.
 * Locks: slot.busy or the domain's lock (83), never both.
 */
#include "reclaim/mempool_priv.h"

#include <errno.h>

#include "rt/mem.h"

/* ---- memory ---- */

static void *rt_backing_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	(void)ctx, (void)may_wait;
	if (!align)
		return rt_alloc(bytes);
	return rt_zalloc_aligned(align < sizeof(void *) ? sizeof(void *) : align, bytes);
}

static void rt_backing_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

static const struct mempool_backing rt_backing = { rt_backing_alloc, rt_backing_free };

void *mempool_memory_get(struct mempool *p, bool may_wait)
{
	return p->backing->alloc(p->ctx, p->bytes, p->align, may_wait);
}

void mempool_memory_put(struct mempool *p, void *obj)
{
	p->backing->free(p->ctx, obj);
}

void mempool_put_back(struct mempool *p, void *obj)
{
	if (rt_u32_read(&p->is_short)) {
		rt_spin_lock(&p->d->lock);
		obj = mempool_put_locked(p, obj);
		rt_spin_unlock(&p->d->lock);
	}
	if (obj)
		mempool_memory_put(p, obj);
}

/* ---- domain ---- */

int mempool_domain_open(const struct rt_cpus *cpus, struct mempool_domain **out)
{
	struct mempool_domain *d = rt_zalloc(sizeof(*d));

	if (!d)
		return -ENOMEM;
	rt_spin_init(&d->lock, RANK_MEMPOOL);
	TAILQ_INIT(&d->waiters);
	d->cpus = cpus;
	*out = d;
	return 0;
}

void mempool_domain_close(struct mempool_domain *d)
{
	if (!d)
		return;
	MBFS_ASSERT(d->pool_nr == 0 && TAILQ_EMPTY(&d->waiters));
	rt_spin_destroy(&d->lock);
	rt_free(d);
}

/* ---- pool ---- */

static bool makes_sense(const struct mempool_config *cfg)
{
	return cfg->name && cfg->bytes && (cfg->align & (cfg->align - 1)) == 0 && cfg->min_nr &&
	       cfg->min_nr <= MEMPOOL_NR_MAX && cfg->magazine_nr <= MEMPOOL_NR_MAX &&
	       (!cfg->backing || (cfg->backing->alloc && cfg->backing->free));
}

/* @nr objects into @objs, or none. */
static int fill(struct mempool *p, void **objs, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		objs[i] = mempool_memory_get(p, true);
		if (objs[i])
			continue;
		while (i-- > 0)
			mempool_memory_put(p, objs[i]);
		return -ENOMEM;
	}
	return 0;
}

int mempool_open(struct mempool_domain *d, const struct mempool_config *cfg, struct mempool **out)
{
	struct mempool *p;

	if (!makes_sense(cfg))
		return -EINVAL;
	p = rt_zalloc_aligned(64, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->d = d;
	p->cpus = d->cpus;
	p->name = cfg->name;
	p->bytes = cfg->bytes;
	p->align = cfg->align;
	p->order = cfg->order;
	p->retry_ns = cfg->retry_ns;
	p->backing = cfg->backing ? cfg->backing : &rt_backing;
	p->ctx = cfg->ctx;
	p->magazine_nr = cfg->magazine_nr;
	p->min_nr = p->in_reserve = p->low_water = cfg->min_nr;
	if (mempool_slots_open(p))
		goto err_free;
	p->reserve = rt_alloc(sizeof(void *) * (p->min_nr + 1));
	if (!p->reserve)
		goto err_slots;
	if (fill(p, p->reserve, p->min_nr))
		goto err_reserve;
	rt_spin_lock(&d->lock);
	d->pool_nr++;
	rt_spin_unlock(&d->lock);
	*out = p;
	return 0;

err_reserve:
	rt_free(p->reserve);
err_slots:
	rt_free(p->slots);
err_free:
	rt_free(p);
	return -ENOMEM;
}

void mempool_close(struct mempool *p)
{
	struct mempool_stats st;

	if (!p)
		return;
	mempool_shrink(p);
	mempool_stats(p, &st);
	MBFS_ASSERT(st.in_use == 0 && p->wanted == 0);
	MBFS_ASSERT(p->in_reserve == p->min_nr);
	for (unsigned i = 0; i < p->in_reserve; i++)
		mempool_memory_put(p, p->reserve[i]);
	rt_spin_lock(&p->d->lock);
	p->d->pool_nr--;
	rt_spin_unlock(&p->d->lock);
	rt_free(p->reserve);
	rt_free(p->slots);
	rt_free(p);
}

/* ---- one object ---- */

/* Not inlined: its frame would be made on the fast path. */
static __attribute__((noinline)) void *alloc_slow(struct mempool *p, enum mempool_mode mode)
{
	const struct mempool_want want = { p, 1 };
	struct mempool_call c;
	void *obj;

	c.want = &want;
	c.want_nr = 1;
	c.objs = &obj;
	return mempool_call(p->d, &c, mode) ? NULL : obj;
}

void *mempool_alloc(struct mempool *p, enum mempool_mode mode)
{
	void *obj;

	rt_rank_assert_below(RANK_MEMPOOL);
	obj = mempool_magazine_get_one(p);
	return obj ? obj : alloc_slow(p, mode);
}

static __attribute__((noinline)) void free_slow(struct mempool *p, void *obj)
{
	rt_stat_add(&mempool_slot_here(p)->frees, 1);
	mempool_put_back(p, obj);
}

void mempool_free(struct mempool *p, void *obj)
{
	MBFS_ASSERT(obj);
	rt_rank_assert_below(RANK_MEMPOOL);
	if (rt_u32_read(&p->is_short) || !mempool_magazine_put(p, obj))
		free_slow(p, obj);
}

/* ---- resizing ---- */

/* False if somebody waits for more than @min_nr of @p. */
static bool suits_waiters(const struct mempool *p, unsigned min_nr)
{
	const struct mempool_call *c;

	TAILQ_FOREACH(c, &p->d->waiters, link)
		for (unsigned i = 0; i < c->want_nr; i++)
			if (c->want[i].pool == p && c->want[i].nr > min_nr)
				return false;
	return true;
}

/* What is too much goes back one by one: a list of it would need memory. */
static int resize_down(struct mempool *p, unsigned min_nr)
{
	bool suits;
	void *obj;

	rt_spin_lock(&p->d->lock);
	suits = suits_waiters(p, min_nr);
	if (suits)
		p->min_nr = min_nr;
	do {
		obj = p->in_reserve > p->min_nr ? p->reserve[--p->in_reserve] : NULL;
		p->low_water = p->in_reserve;
		mempool_mark_short_locked(p);
		rt_spin_unlock(&p->d->lock);
		if (obj) {
			mempool_memory_put(p, obj);
			rt_spin_lock(&p->d->lock);
		}
	} while (obj);
	return suits ? 0 : -EINVAL;
}

/* The objects that come are at the end of the new array; each is moved to where it belongs. */
static int resize_up(struct mempool *p, unsigned min_nr)
{
	void **reserve = rt_alloc(sizeof(void *) * (min_nr + 1)), **old = p->reserve;
	const unsigned more = min_nr - p->min_nr;
	void **come = reserve + min_nr + 1 - more;

	if (!reserve)
		return -ENOMEM;
	if (fill(p, come, more)) {
		rt_free(reserve);
		return -ENOMEM;
	}
	rt_spin_lock(&p->d->lock);
	for (unsigned i = 0; i < p->in_reserve; i++)
		reserve[i] = old[i];
	p->reserve = reserve;
	p->min_nr = min_nr;
	for (unsigned i = 0; i < more; i++) {
		void *excess = mempool_put_locked(p, come[i]);

		MBFS_ASSERT(!excess); /* in_reserve was at most the old min_nr */
	}
	p->low_water = p->in_reserve;
	rt_spin_unlock(&p->d->lock);
	rt_free(old);
	return 0;
}

int mempool_resize(struct mempool *p, unsigned min_nr)
{
	int err = 0;

	if (!min_nr || min_nr > MEMPOOL_NR_MAX)
		return -EINVAL;
	rt_rank_assert_below(RANK_MEMPOOL);
	rt_spin_lock(&p->d->lock);
	MBFS_ASSERT(!p->resizing);
	p->resizing = true;
	rt_spin_unlock(&p->d->lock);
	/* min_nr and reserve are written by who resizes only. */
	if (min_nr > p->min_nr)
		err = resize_up(p, min_nr);
	else if (min_nr < p->min_nr)
		err = resize_down(p, min_nr);
	rt_spin_lock(&p->d->lock);
	p->resizing = false;
	rt_spin_unlock(&p->d->lock);
	return err;
}

/* ---- looking ---- */

void mempool_stats(const struct mempool *p, struct mempool_stats *out)
{
	*out = (struct mempool_stats){ 0 };
	mempool_slots_stats(p, out);
	rt_spin_lock(&p->d->lock);
	out->from_reserve = p->from_reserve;
	out->from_wait = p->from_wait;
	out->failed = p->failed;
	out->waits = p->waits;
	out->wait_ns = p->wait_ns;
	out->wait_max_ns = p->wait_max_ns;
	out->min_nr = p->min_nr;
	out->in_reserve = p->in_reserve;
	out->low_water = p->low_water;
	rt_spin_unlock(&p->d->lock);
	out->retries = rt_stat_read(&p->retries);
	out->allocs = out->from_magazine + out->from_allocator + out->from_reserve + out->from_wait;
	out->in_use = (unsigned)(out->allocs - out->frees);
}

const char *mempool_name(const struct mempool *p)
{
	return p->name;
}

struct mempool_domain *mempool_domain(const struct mempool *p)
{
	return p->d;
}

bool mempool_is_low(const struct mempool *p)
{
	return rt_u32_read(&p->is_short) != 0;
}
