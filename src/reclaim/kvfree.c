// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvfree: pointers to what readers may still see, until they cannot.
 *
 * A slot for each virtual CPU. Pointers go into its page, or, without memory, on a chain of heads:
 * together the *open* batch, which has no cookie yet. It is closed when the page is full, when the
 * monitor comes by, or at a flush: one cookie is taken for all of it, and it joins the *bin* that
 * has this cookie. Cookies that have not expired are at most two (rt/rcu.h), so two bins are
 * enough if those that have expired are emptied first; what was in them has *elapsed* and is freed
 * with nothing held. All of these are lists joined in O(1); no object is looked at until it is
 * freed.
 *
 * Equation, per slot: queued by page, head or one = open + bins + called + elapsed + freed (waiting
 * is the sum of the first four).
 *
 *	put	page of the slot; full: close, and if the caller may sleep, free what has elapsed
 *	flood	waiting >= high_water: close, wait for the cookie, free
 *	monitor	an RCU callback: what it was called for is freed, the rest is what it is called for
 *		next. One for each slot, at most once in the queue (armed)
 *
 * What the monitor was called for is a bin, too: who fills a page may find before that it has
 * elapsed. But the monitor need not ask: it was queued after the objects were unpublished. So as
 * long as pages do not fill up nobody drives grace periods but rt/rcu for its callbacks: one
 * drain, and one grace period, for all callers.
 *
 * No object waits for ever: armed is the slot's, under its lock, and is set while anything waits in
 * it; whoever sets it calls the monitor.
 *
 * Why the cookie is taken at the close, under the lock: all in the open batch was unpublished
 * before it was given to us, so before the cookie. And cookies of one slot never go back.
 *
 * May the caller sleep? The kernel cannot tell in all its builds and so has _mightsleep in the
 * name. Here a reader knows its depth, and each thread counts the rt_spins that it holds, at a
 * cost that cannot be measured (rt/sync.h). Both are asked in the slow path only. What is not asked
 * is a mutex: readers take none, so waiting for them with one held ends.
 *
 * Pairs: put, monitor, flush of one slot: its lock. free() of what has elapsed is called by whoever
 * took it, with nothing of ours held. Locks: RANK_KVFREE, a leaf.
 */
#include "reclaim/kvfree.h"

#include <errno.h>

#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/sync.h"

enum { BULK_NR = 32 };

/* Pointers, max of them; or a head that was attached to one object: max is 1. */
struct kvfree_page {
	STAILQ_ENTRY(kvfree_page) link;
	unsigned nr;
	unsigned max; /* [const] */
	void *objs[];
};

STAILQ_HEAD(page_list, kvfree_page);
STAILQ_HEAD(head_list, kvfree_head);

struct batch {
	struct page_list pages;
	struct head_list heads;
	unsigned nr; /* objects */
};

struct bin {
	struct rt_rcu_cookie cookie;
	struct batch batch;
};

/* lock: RANK_KVFREE; guards all but the statistics, and what has a tag. */
struct kvfree_slot {
	struct rt_spin lock;
	struct kvfree_page *page; /* not full; NULL: none at hand */
	bool armed;               /* monitor is queued, or will be by who has set this */
	unsigned waiting;         /* objects in page, open, bins, called, elapsed */
	unsigned waiting_max;
	struct batch open; /* but for what is in page */
	struct bin bins[RT_RCU_POLL_ACTIVE];
	struct bin called; /* what the monitor was queued for */
	struct batch elapsed;
	struct page_list spare;
	unsigned spare_nr;
	uint64_t queued, in_heads, in_ones, spared;
	rt_stat freed, inline_waits, refused, floods, pages, page_fails;
	struct kvfree *k;           /* [const] */
	struct rt_rcu_head monitor; /* whoever set armed, then RCU */
} __attribute__((aligned(RT_SLOT_BYTES)));

struct kvfree {
	const struct rt_cpus *cpus; /* [const] */
	struct kvfree_slot *slots;  /* [const] */
	unsigned page_nr, high_water, spare_max; /* [const] */
	void (*free)(void *ctx, void *const *objs, unsigned nr); /* [const] */
	const struct kvfree_backing *backing;                    /* [const] */
	void *ctx;                                               /* [const] */
};

/* ---- memory ---- */

static void *rt_backing_alloc(void *ctx, size_t bytes)
{
	(void)ctx;
	return rt_alloc(bytes);
}

static void rt_backing_free(void *ctx, void *mem)
{
	(void)ctx;
	rt_free(mem);
}

static const struct kvfree_backing rt_backing = { rt_backing_alloc, rt_backing_free };

static void rt_free_objs(void *ctx, void *const *objs, unsigned nr)
{
	(void)ctx;
	for (unsigned i = 0; i < nr; i++)
		rt_free(objs[i]);
}

/* Of @max pointers; NULL: no memory. */
static struct kvfree_page *page_make(struct kvfree *k, struct kvfree_slot *s, unsigned max)
{
	struct kvfree_page *p = k->backing->alloc(k->ctx, sizeof(*p) + max * sizeof(p->objs[0]));

	rt_stat_add(p ? &s->pages : &s->page_fails, 1);
	if (!p)
		return NULL;
	p->nr = 0;
	p->max = max;
	return p;
}

/* ---- batches ---- */

static void batch_init(struct batch *b)
{
	STAILQ_INIT(&b->pages);
	STAILQ_INIT(&b->heads);
	b->nr = 0;
}

/* All of @from, which is empty then, to @to. */
static void batch_join(struct batch *to, struct batch *from)
{
	STAILQ_CONCAT(&to->pages, &from->pages);
	STAILQ_CONCAT(&to->heads, &from->heads);
	to->nr += from->nr;
	from->nr = 0;
}

static void page_put_locked(struct kvfree_slot *s, struct kvfree_page *page)
{
	STAILQ_INSERT_TAIL(&s->open.pages, page, link);
	s->open.nr += page->nr;
}

static void bin_sweep_locked(struct kvfree_slot *s, struct bin *bin)
{
	if (bin->batch.nr && rt_rcu_poll_state(bin->cookie))
		batch_join(&s->elapsed, &bin->batch);
}

/* What readers have left behind has elapsed. */
static void sweep_locked(struct kvfree_slot *s)
{
	for (unsigned i = 0; i < RT_RCU_POLL_ACTIVE; i++)
		bin_sweep_locked(s, &s->bins[i]);
	bin_sweep_locked(s, &s->called);
}

/* What is in the page belongs to the open batch. */
static void page_close_locked(struct kvfree_slot *s)
{
	if (!s->page || !s->page->nr)
		return;
	page_put_locked(s, s->page);
	s->page = NULL;
}

/* The open batch gets a cookie, which is returned, and its place in a bin. */
static struct rt_rcu_cookie close_locked(struct kvfree_slot *s, bool hurry)
{
	struct rt_rcu_cookie cookie = hurry ? rt_rcu_start_poll() : rt_rcu_get_state();
	struct bin *to = NULL;

	page_close_locked(s);
	sweep_locked(s);
	if (!s->open.nr)
		return cookie;
	for (unsigned i = 0; i < RT_RCU_POLL_ACTIVE; i++) {
		struct bin *bin = &s->bins[i];

		if (bin->batch.nr && rt_rcu_same_state(bin->cookie, cookie))
			to = bin;
		else if (!bin->batch.nr && !to)
			to = bin;
	}
	MBFS_ASSERT(to);
	to->cookie = cookie;
	batch_join(&to->batch, &s->open);
	return cookie;
}

/* All that waits is what the monitor is called for. The caller queues it. */
static void call_locked(struct kvfree_slot *s)
{
	s->called.cookie = rt_rcu_get_state();
	s->armed = true;
	page_close_locked(s);
	for (unsigned i = 0; i < RT_RCU_POLL_ACTIVE; i++)
		batch_join(&s->called.batch, &s->bins[i].batch);
	batch_join(&s->called.batch, &s->open);
}

/* What has elapsed is the caller's: no longer waiting. */
static void take_locked(struct kvfree_slot *s, struct batch *out)
{
	s->waiting -= s->elapsed.nr;
	batch_join(out, &s->elapsed);
}

/* ---- freeing: nothing held ---- */

static void free_heads(struct kvfree *k, struct batch *b)
{
	void *objs[BULK_NR];
	struct kvfree_head *h;
	unsigned nr = 0;

	while ((h = STAILQ_FIRST(&b->heads))) {
		STAILQ_REMOVE_HEAD(&b->heads, link);
		objs[nr++] = h->obj;
		if (nr == BULK_NR || STAILQ_EMPTY(&b->heads)) {
			k->free(k->ctx, objs, nr);
			nr = 0;
		}
	}
}

/* Pages go back to where others will look for one. */
static void recycle(struct kvfree *k, struct kvfree_slot *s, struct page_list *pages)
{
	struct page_list keep = STAILQ_HEAD_INITIALIZER(keep);
	struct kvfree_page *p;

	rt_spin_lock(&s->lock);
	while ((p = STAILQ_FIRST(pages)) && s->spare_nr < k->spare_max) {
		STAILQ_REMOVE_HEAD(pages, link);
		if (p->max == k->page_nr) {
			STAILQ_INSERT_TAIL(&s->spare, p, link);
			s->spare_nr++;
			s->spared++;
		} else {
			STAILQ_INSERT_TAIL(&keep, p, link);
		}
	}
	rt_spin_unlock(&s->lock);
	STAILQ_CONCAT(pages, &keep);
	while ((p = STAILQ_FIRST(pages))) {
		STAILQ_REMOVE_HEAD(pages, link);
		k->backing->free(k->ctx, p);
	}
}

/* The objects of @b, which were @s's. */
static void batch_free(struct kvfree *k, struct kvfree_slot *s, struct batch *b)
{
	struct kvfree_page *p;

	if (!b->nr)
		return;
	free_heads(k, b);
	STAILQ_FOREACH(p, &b->pages, link) {
		k->free(k->ctx, p->objs, p->nr);
		p->nr = 0;
	}
	rt_stat_add(&s->freed, b->nr);
	b->nr = 0;
	if (!STAILQ_EMPTY(&b->pages))
		recycle(k, s, &b->pages);
}

/* ---- the monitor ---- */

static void monitor_run(struct rt_rcu_head *head)
{
	struct kvfree_slot *s = container_of(head, struct kvfree_slot, monitor);
	struct batch out;
	bool again;

	batch_init(&out);
	rt_spin_lock(&s->lock);
	batch_join(&s->elapsed, &s->called.batch);
	sweep_locked(s);
	take_locked(s, &out);
	again = s->waiting > 0;
	s->armed = again;
	if (again)
		call_locked(s);
	rt_spin_unlock(&s->lock);
	batch_free(s->k, s, &out);
	if (again)
		rt_rcu_call(&s->monitor, monitor_run);
}

/* ---- putting ---- */

/* A page to put into, which is not full; NULL: none at hand. */
static struct kvfree_page *page_at_hand_locked(struct kvfree_slot *s)
{
	if (!s->page && STAILQ_FIRST(&s->spare)) {
		s->page = STAILQ_FIRST(&s->spare);
		STAILQ_REMOVE_HEAD(&s->spare, link);
		s->spare_nr--;
	}
	return s->page;
}

/* In a page, in @head, in @one; false: there was none of them. */
static bool put_locked(struct kvfree_slot *s, void *obj, struct kvfree_head *head,
		       struct kvfree_page **one)
{
	struct kvfree_page *page = page_at_hand_locked(s);

	if (page) {
		page->objs[page->nr++] = obj;
	} else if (head) {
		head->obj = obj;
		STAILQ_INSERT_TAIL(&s->open.heads, head, link);
		s->open.nr++;
		s->in_heads++;
	} else if (*one) {
		(*one)->objs[(*one)->nr++] = obj;
		page_put_locked(s, *one);
		*one = NULL;
		s->in_ones++;
	} else {
		return false;
	}
	s->queued++;
	if (++s->waiting > s->waiting_max)
		s->waiting_max = s->waiting;
	return true;
}

/* Is it time to close the open batch? */
static bool is_due_locked(const struct kvfree *k, const struct kvfree_slot *s)
{
	return s->open.nr >= k->page_nr || (s->page && s->page->nr == s->page->max);
}

/*
 * Memory for one object more: a page, which is the slot's then, or a head for it. The lock is let
 * go meanwhile.
 */
static struct kvfree_page *room_make_locked(struct kvfree *k, struct kvfree_slot *s, bool head)
{
	struct kvfree_page *page, *one = NULL;

	rt_spin_unlock(&s->lock);
	page = page_make(k, s, k->page_nr);
	if (!page && !head)
		one = page_make(k, s, 1);
	rt_spin_lock(&s->lock);
	if (page) {
		STAILQ_INSERT_TAIL(&s->spare, page, link);
		s->spare_nr++;
	}
	return one;
}

/* Waits for the readers of @cookie, and takes what has elapsed. */
static void wait_and_take(struct kvfree_slot *s, struct rt_rcu_cookie cookie, struct batch *out)
{
	rt_rcu_cond_sync(cookie);
	rt_spin_lock(&s->lock);
	sweep_locked(s);
	take_locked(s, out);
	rt_spin_unlock(&s->lock);
}

/* The lock is held; @may_alloc: it was the only one. */
static __attribute__((noinline)) int put_slow(struct kvfree *k, struct kvfree_slot *s, void *obj,
					      struct kvfree_head *head, bool may_alloc)
{
	const bool may_sleep = may_alloc && !rt_rcu_in_reader();
	struct rt_rcu_cookie cookie = { 0 };
	struct kvfree_page *one = NULL;
	bool is_in, flood, waits, arms;
	struct batch out;

	batch_init(&out);
	if (may_alloc && !page_at_hand_locked(s))
		one = room_make_locked(k, s, head != NULL);
	is_in = put_locked(s, obj, head, &one);
	arms = is_in && !s->armed;
	flood = s->waiting >= k->high_water;
	waits = may_sleep && (!is_in || flood);
	if (arms) {
		call_locked(s);
		cookie = s->called.cookie;
	} else if (waits || is_due_locked(k, s)) {
		cookie = close_locked(s, flood && !may_sleep);
	}
	if (may_sleep)
		take_locked(s, &out);
	waits = waits && (!is_in || s->waiting >= k->high_water);
	rt_spin_unlock(&s->lock);
	if (one)
		k->backing->free(k->ctx, one);
	if (arms)
		rt_rcu_call(&s->monitor, monitor_run);
	if (waits) {
		rt_stat_add(is_in ? &s->floods : &s->inline_waits, 1);
		wait_and_take(s, cookie, &out);
	}
	batch_free(k, s, &out);
	if (is_in)
		return 0;
	rt_stat_add(waits ? &s->freed : &s->refused, 1);
	if (waits)
		k->free(k->ctx, &obj, 1);
	return waits ? 0 : -EAGAIN;
}

static inline int put(struct kvfree *k, void *obj, struct kvfree_head *head)
{
	struct kvfree_slot *s = &k->slots[rt_cpu(k->cpus)];
	const bool may_alloc = !rt_spin_held();
	struct kvfree_page *page;

	MBFS_ASSERT(obj);
	rt_spin_lock(&s->lock);
	page = s->page;
	if (!page || page->nr + 1 >= page->max || s->waiting + 1 >= k->high_water || !s->armed)
		return put_slow(k, s, obj, head, may_alloc);
	page->objs[page->nr++] = obj;
	s->queued++;
	if (++s->waiting > s->waiting_max)
		s->waiting_max = s->waiting;
	rt_spin_unlock(&s->lock);
	return 0;
}

void kvfree_rcu(struct kvfree *k, void *obj, struct kvfree_head *head)
{
	int err = put(k, obj, head);

	MBFS_ASSERT(!err);
}

int kvfree_rcu_mightsleep(struct kvfree *k, void *obj)
{
	return put(k, obj, NULL);
}

/* ---- all of it ---- */

void kvfree_flush(struct kvfree *k)
{
	struct rt_rcu_cookie last = { 0 };

	MBFS_ASSERT(!rt_spin_held() && !rt_rcu_in_reader());
	for (unsigned cpu = 0; cpu < rt_cpus_nr(k->cpus); cpu++) {
		struct kvfree_slot *s = &k->slots[cpu];

		rt_spin_lock(&s->lock);
		last = close_locked(s, false);
		rt_spin_unlock(&s->lock);
	}
	rt_rcu_cond_sync(last); /* cookies that were taken before have expired, too */
	for (unsigned cpu = 0; cpu < rt_cpus_nr(k->cpus); cpu++) {
		struct kvfree_slot *s = &k->slots[cpu];
		struct batch out;

		batch_init(&out);
		rt_spin_lock(&s->lock);
		sweep_locked(s);
		take_locked(s, &out);
		rt_spin_unlock(&s->lock);
		batch_free(k, s, &out);
	}
}

void kvfree_stats(const struct kvfree *k, struct kvfree_stats *out)
{
	*out = (struct kvfree_stats){ 0 };
	for (unsigned cpu = 0; cpu < rt_cpus_nr(k->cpus); cpu++) {
		struct kvfree_slot *s = &k->slots[cpu];

		rt_spin_lock(&s->lock);
		out->queued += s->queued;
		out->in_heads += s->in_heads;
		out->in_ones += s->in_ones;
		out->spared += s->spared;
		if (s->waiting_max > out->waiting_max)
			out->waiting_max = s->waiting_max;
		rt_spin_unlock(&s->lock);
		out->freed += rt_stat_read(&s->freed);
		out->inline_waits += rt_stat_read(&s->inline_waits);
		out->refused += rt_stat_read(&s->refused);
		out->floods += rt_stat_read(&s->floods);
		out->pages += rt_stat_read(&s->pages);
		out->page_fails += rt_stat_read(&s->page_fails);
	}
	out->queued += out->inline_waits;
}

/* ---- life ---- */

static int slots_open(struct kvfree *k)
{
	k->slots = rt_zalloc_aligned(RT_SLOT_BYTES, sizeof(*k->slots) * rt_cpus_nr(k->cpus));
	if (!k->slots)
		return -ENOMEM;
	for (unsigned cpu = 0; cpu < rt_cpus_nr(k->cpus); cpu++) {
		struct kvfree_slot *s = &k->slots[cpu];

		rt_spin_init(&s->lock, RANK_KVFREE);
		s->k = k;
		batch_init(&s->open);
		batch_init(&s->called.batch);
		batch_init(&s->elapsed);
		for (unsigned i = 0; i < RT_RCU_POLL_ACTIVE; i++)
			batch_init(&s->bins[i].batch);
		STAILQ_INIT(&s->spare);
	}
	return 0;
}

int kvfree_open(const struct kvfree_config *cfg, struct kvfree **out)
{
	struct kvfree *k;

	if (cfg->page_nr > KVFREE_PAGE_NR_MAX ||
	    (cfg->backing && !(cfg->backing->alloc && cfg->backing->free)))
		return -EINVAL;
	k = rt_zalloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->cpus = cfg->cpus;
	k->free = cfg->free ? cfg->free : rt_free_objs;
	k->backing = cfg->backing ? cfg->backing : &rt_backing;
	k->ctx = cfg->ctx;
	k->high_water = cfg->high_water ? cfg->high_water : KVFREE_HIGH_WATER;
	k->page_nr = cfg->page_nr                          ? cfg->page_nr
		     : k->high_water >= KVFREE_PAGE_NR_MAX ? KVFREE_PAGE_NR_MAX
							   : k->high_water;
	k->spare_max = k->high_water / k->page_nr + 1;
	if (slots_open(k)) {
		rt_free(k);
		return -ENOMEM;
	}
	*out = k;
	return 0;
}

static void slot_close(struct kvfree *k, struct kvfree_slot *s)
{
	struct kvfree_page *p;

	MBFS_ASSERT(s->waiting == 0 && !s->armed);
	if (s->page)
		k->backing->free(k->ctx, s->page);
	while ((p = STAILQ_FIRST(&s->spare))) {
		STAILQ_REMOVE_HEAD(&s->spare, link);
		k->backing->free(k->ctx, p);
	}
	rt_spin_destroy(&s->lock);
}

void kvfree_close(struct kvfree *k)
{
	if (!k)
		return;
	kvfree_flush(k);
	/*
	 * A monitor that was about during the flush may have seen objects, and queued itself again.
	 * Then it finds nothing. armed says nothing of one that runs.
	 */
	rt_rcu_barrier();
	rt_rcu_barrier();
	for (unsigned cpu = 0; cpu < rt_cpus_nr(k->cpus); cpu++)
		slot_close(k, &k->slots[cpu]);
	rt_free(k->slots);
	rt_free(k);
}
