// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects that wait for grace periods, after what bcachefs wanted and its review asked for (shared
 * seed 004_29e27739770e18d8).
 *
 * Equation, of a container when nobody is in a call: added = processed + taken + in bins + elapsed.
 *
 *	add	under its slot's lock: take a cookie; sweep; put into the bin that has this cookie,
 *		or into an empty one
 *	sweep	a bin whose cookie has expired is joined to elapsed: O(1), no memory
 *	pass	the worker waits for one grace period, which serves all slots; sweeps each, takes
 *		what is elapsed, and processes it with no lock held, but for keep_nr objects, which
 *		it puts back; a flush's pass keeps none
 *	take	an object that has elapsed; if there is none, after a sweep. Like the worker's, it
 *		has left the slot when the lock is released: it is processed or taken, never both
 *
 * Why there is always a bin: cookies are taken under the slot's lock, so those in its bins are not
 * newer than the one in hand. Those the sweep leaves were unexpired after that one was taken, and
 * so was it itself, or all have expired: together they are unexpired cookies of one moment, of
 * which there are at most RT_RCU_POLL_ACTIVE. Were the cookie taken after the sweep, a grace
 * period could end between the two, and there would be one too many (mbfs-race run
 * pending-one-seq). A cookie is compared with another, and nothing else is done with it.
 *
 * Room: the last page of the bin, a page that the worker has given back, a page from the allocator
 * (asked with no lock held, then everything from the start), the object's link; with none of them
 * the caller waits.
 *
 * The worker: armed says that a pass is to come that will look at this slot. Who puts the first
 * object into a slot arms it, under the lock; the pass that leaves its bins empty disarms it,
 * likewise, and what is then elapsed is what it has kept. So no object waits for a pass that nobody
 * has asked for, and at exit nothing arms itself: a flush is a pass that begins after it was asked
 * for, and close makes one after another until nothing is left, for process() may add.
 *
 * Whose thread: a workqueue's, or rt/rcu's. The latter's pass is a callback, which does not wait:
 * its grace period covers what was added before it was queued, for the rest it is queued again. It
 * says that it is queued no more, then looks; close waits until it has looked, too (about). A flush
 * has a callback of its own: that one is queued by somebody else says that he will call
 * rt_rcu_call(), not that he has. Callbacks run one at a time.
 *
 * Pairs: add and add, add and pass, take and each of them: by the slot's lock. Pass and pass:
 * what one has taken it has to itself. Locks: a slot's (85); 86 is taken after it is released.
 */
#include "reclaim/pending.h"

#include <errno.h>

#include "base/check.h"
#include "base/containers.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/sync.h"
#include "rt/wq.h"

enum { BINS = RT_RCU_POLL_ACTIVE, SPARES = 2 };
#define DELAY_NS 2000000ull

struct pending_page {
	STAILQ_ENTRY(pending_page) link;
	unsigned nr;
	void *objs[]; /* page_nr */
};
STAILQ_HEAD(pending_pages, pending_page);

/* Objects: those in pages, and those by their links. */
struct pending_bag {
	struct pending_pages pages;
	struct pending_link *links, *last_link;
	uint64_t nr;
};

/* (1) bag.nr == 0, or the cookie is of a get_state after the newest of its objects was added, or
 *     the same. (2) No two bins with objects have the same cookie. */
struct pending_bin {
	struct rt_rcu_cookie cookie;
	struct pending_bag bag;
};

/* lock: RANK_PENDING; (3) armed, if there is any object here but keep_nr that are elapsed. */
struct pending_slot {
	struct rt_spin lock;
	struct pending_bin bin[BINS];
	struct pending_bag elapsed;
	struct pending_pages spare; /* SPARES at most, but for those add() brings */
	unsigned spare_nr;
	bool armed;
	uint64_t added, taken, by_link, refused, swept, second, lock_max_ns;
} __attribute__((aligned(RT_SLOT_BYTES)));

struct pending {
	struct pending_config cfg;  /* [const] */
	const struct rt_cpus *cpus; /* [const] */
	struct pending_slot *slots; /* [const] by virtual CPU */
	struct rt_wq *wq;           /* [const] NULL: by_rcu */
	struct rt_work work;
	struct rt_rcu_head rcu; /* whoever set queued, then RCU */
	rt_u32 queued;          /* [atomic] rcu is */
	rt_u32 about;           /* [atomic] how often rcu is queued or runs */
	rt_u32 timed;    /* [atomic] */
	rt_u32 flushers; /* [atomic] if any, a pass keeps nothing; counted if keep_nr */
	rt_stat processed, inline_waits, throttled, pages, passes;
};

/* ---- bags ---- */

static void bag_init(struct pending_bag *b)
{
	STAILQ_INIT(&b->pages);
	b->links = b->last_link = NULL;
	b->nr = 0;
}

/* @from is empty afterwards. O(1). */
static void bag_join(struct pending_bag *to, struct pending_bag *from)
{
	STAILQ_CONCAT(&to->pages, &from->pages);
	if (from->links) {
		if (to->links)
			to->last_link->next = from->links;
		else
			to->links = from->links;
		to->last_link = from->last_link;
	}
	to->nr += from->nr;
	bag_init(from);
}

static void bag_link(struct pending_bag *b, struct pending_link *link)
{
	link->next = NULL;
	if (b->links)
		b->last_link->next = link;
	else
		b->links = link;
	b->last_link = link;
	b->nr++;
}

/* @most objects of @from, pages whole. O(@most). */
static void bag_split(struct pending_bag *from, struct pending_bag *to, uint64_t most)
{
	struct pending_page *page;
	struct pending_link *link;

	while ((page = STAILQ_FIRST(&from->pages)) && to->nr + page->nr <= most) {
		STAILQ_REMOVE_HEAD(&from->pages, link);
		STAILQ_INSERT_TAIL(&to->pages, page, link);
		to->nr += page->nr;
		from->nr -= page->nr;
	}
	while ((link = from->links) && to->nr < most) {
		from->links = link->next;
		bag_link(to, link);
		from->nr--;
	}
}

/* ---- slots ---- */

static uint64_t slot_lock(const struct pending *p, struct pending_slot *s)
{
	rt_spin_lock(&s->lock);
	return rt_u32_read(&p->timed) ? rt_now_ns() : 0;
}

/* @since: what slot_lock() said; 0: it is not measured. */
static void slot_unlock(struct pending_slot *s, uint64_t since)
{
	uint64_t ns = since ? rt_now_ns() - since : 0;

	if (ns > s->lock_max_ns)
		s->lock_max_ns = ns;
	rt_spin_unlock(&s->lock);
}

/* Objects whose grace period had not ended when the slot was last swept. */
static uint64_t waiting_locked(const struct pending_slot *s)
{
	uint64_t nr = 0;

	for (unsigned i = 0; i < BINS; i++)
		nr += s->bin[i].bag.nr;
	return nr;
}

/* How many objects have become due. */
static uint64_t sweep_locked(struct pending_slot *s)
{
	uint64_t nr = 0;

	for (unsigned i = 0; i < BINS; i++) {
		struct pending_bin *b = &s->bin[i];

		if (b->bag.nr && rt_rcu_poll_state(b->cookie)) {
			nr += b->bag.nr;
			bag_join(&s->elapsed, &b->bag);
		}
	}
	return nr;
}

/* The cookie comes first: see above. */
static struct pending_bin *bin_locked(struct pending_slot *s)
{
	struct rt_rcu_cookie now = rt_rcu_get_state();
	struct pending_bin *empty = NULL, *b;

	s->swept += sweep_locked(s);
	for (unsigned i = 0; i < BINS; i++) {
		b = &s->bin[i];
		if (b->bag.nr && rt_rcu_same_state(b->cookie, now))
			return b;
		if (!b->bag.nr)
			empty = b;
	}
	MBFS_ASSERT(empty);
	empty->cookie = now;
	return empty;
}

/* ---- the worker's thread ---- */

struct own_pass {
	struct rt_rcu_head head;
	struct pending *p;
};

static void run_by_rcu(struct rt_rcu_head *head);
static void run_own(struct rt_rcu_head *head);

static void arm(struct pending *p)
{
	if (p->wq) {
		rt_wq_queue_delayed(p->wq, &p->work, p->cfg.delay_ns);
	} else if (!rt_u32_xchg(&p->queued, 1)) {
		rt_u32_add(&p->about, 1);
		rt_rcu_call(&p->rcu, run_by_rcu);
	}
}

/* A pass that begins after the call, and sees that the readers of before have left, has ended. */
static void wait_for_pass(struct pending *p)
{
	if (p->wq) {
		rt_wq_queue(p->wq, &p->work); /* false: queued already, and its run will see all */
		rt_wq_flush_work(p->wq, &p->work);
	} else {
		struct own_pass own = { .p = p };

		rt_rcu_start_poll();
		rt_rcu_call(&own.head, run_own);
		rt_rcu_barrier();
	}
}

static int worker_open(struct pending *p)
{
	p->wq = p->cfg.wq;
	return p->wq || p->cfg.by_rcu ? 0 : rt_wq_create(p->cfg.name, 1, &p->wq);
}

/* Nobody adds or flushes any more. */
static void worker_close(struct pending *p)
{
	if (p->wq) {
		rt_wq_cancel_sync(p->wq, &p->work);
		if (!p->cfg.wq)
			rt_wq_destroy(p->wq);
		return;
	}
	while (rt_u32_read_acquire(&p->about)) /* pairs with run_by_rcu(): it has ended */
		rt_rcu_barrier();
}

/* ---- adding ---- */

/* A page of @b with room, if need be one of the spares. */
static struct pending_page *room_locked(const struct pending *p, struct pending_slot *s,
					struct pending_bag *b)
{
	struct pending_page *page = STAILQ_LAST(&b->pages, pending_page, link);

	if (page && page->nr < p->cfg.page_nr)
		return page;
	page = STAILQ_FIRST(&s->spare);
	if (!page)
		return NULL;
	STAILQ_REMOVE_HEAD(&s->spare, link);
	s->spare_nr--;
	page->nr = 0;
	STAILQ_INSERT_TAIL(&b->pages, page, link);
	return page;
}

/* False: there is no room. */
static bool put_locked(struct pending *p, struct pending_slot *s, void *obj, bool may_link)
{
	struct pending_bag *bag = &bin_locked(s)->bag;
	struct pending_page *page = room_locked(p, s, bag);

	if (page) {
		page->objs[page->nr++] = obj;
		bag->nr++;
	} else if (may_link && p->cfg.link_offset != PENDING_NO_LINK) {
		bag_link(bag, (struct pending_link *)(void *)((char *)obj + p->cfg.link_offset));
		s->by_link++;
	} else {
		return false;
	}
	s->added++;
	s->second += bag->nr == 1 && waiting_locked(s) > 1;
	return true;
}

/* @page: NULL, or one more spare. @last: nothing better than the link will come. */
static bool put(struct pending *p, struct pending_slot *s, void *obj, struct pending_page *page,
		bool last)
{
	uint64_t since = slot_lock(p, s);
	bool done, first = false;

	if (page) {
		STAILQ_INSERT_HEAD(&s->spare, page, link);
		s->spare_nr++;
	}
	done = put_locked(p, s, obj, last);
	if (done) {
		first = !s->armed;
		s->armed = true;
	}
	slot_unlock(s, since);
	if (first)
		arm(p);
	return done;
}

static struct pending_slot *slot_here(struct pending *p)
{
	return &p->slots[rt_cpu(p->cpus)];
}

static void process(struct pending *p, void *obj)
{
	p->cfg.process(p->cfg.ctx, obj);
	rt_stat_add(&p->processed, 1);
}

/* Neither memory nor link. */
static __attribute__((noinline)) void wait_and_process(struct pending *p, void *obj)
{
	rt_rcu_cond_sync(rt_rcu_get_state());
	rt_stat_add(&p->inline_waits, 1);
	process(p, obj);
}

void pending_add(struct pending *p, void *obj)
{
	struct pending_slot *s = slot_here(p);
	struct pending_page *page;

	MBFS_ASSERT(obj);
	rt_rank_assert_below(RANK_PENDING);
	if (put(p, s, obj, NULL, false))
		return;
	page = rt_alloc(sizeof(*page) + p->cfg.page_nr * sizeof(page->objs[0]));
	if (page)
		rt_stat_add(&p->pages, 1);
	if (!put(p, s, obj, page, true))
		wait_and_process(p, obj);
}

bool pending_add_atomic(struct pending *p, void *obj)
{
	struct pending_slot *s = slot_here(p);
	uint64_t since;

	MBFS_ASSERT(obj);
	rt_rank_assert_below(RANK_PENDING);
	if (put(p, s, obj, NULL, true))
		return true;
	since = slot_lock(p, s);
	s->refused++;
	slot_unlock(s, since);
	return false;
}

/* ---- taking ---- */

static void *object_of(const struct pending *p, struct pending_link *link)
{
	return (char *)link - p->cfg.link_offset;
}

/* @empty: a page that is to be freed. Something is elapsed. */
static void *take_locked(struct pending *p, struct pending_slot *s, struct pending_page **empty)
{
	struct pending_bag *bag = &s->elapsed;
	struct pending_page *page = STAILQ_FIRST(&bag->pages);
	struct pending_link *link = bag->links;
	void *obj;

	bag->nr--;
	s->taken++;
	if (!page) {
		bag->links = link->next;
		return object_of(p, link);
	}
	obj = page->objs[--page->nr];
	if (page->nr)
		return obj;
	STAILQ_REMOVE_HEAD(&bag->pages, link);
	if (s->spare_nr < SPARES) {
		STAILQ_INSERT_HEAD(&s->spare, page, link);
		s->spare_nr++;
	} else {
		*empty = page;
	}
	return obj;
}

void *pending_take(struct pending *p)
{
	struct pending_slot *s = slot_here(p);
	struct pending_page *empty = NULL;
	void *obj = NULL;
	uint64_t since;

	rt_rank_assert_below(RANK_PENDING);
	since = slot_lock(p, s);
	if (!s->elapsed.nr)
		s->swept += sweep_locked(s);
	if (s->elapsed.nr)
		obj = take_locked(p, s, &empty);
	slot_unlock(s, since);
	rt_free(empty);
	return obj;
}

/* ---- the worker ---- */

/* @page is empty: for the next who needs one, or memory. */
static void page_back(struct pending *p, struct pending_slot *s, struct pending_page *page)
{
	uint64_t since = slot_lock(p, s);
	bool keep = s->spare_nr < SPARES;

	if (keep) {
		STAILQ_INSERT_HEAD(&s->spare, page, link);
		s->spare_nr++;
	}
	slot_unlock(s, since);
	if (!keep)
		rt_free(page);
}

static void bag_process(struct pending *p, struct pending_slot *s, struct pending_bag *bag)
{
	struct pending_page *page;
	struct pending_link *link;

	while ((page = STAILQ_FIRST(&bag->pages))) {
		STAILQ_REMOVE_HEAD(&bag->pages, link);
		for (unsigned i = 0; i < page->nr; i++)
			process(p, page->objs[i]);
		page_back(p, s, page);
	}
	while ((link = bag->links)) {
		bag->links = link->next;
		process(p, object_of(p, link));
	}
}

/* True: objects are left, and there must be another pass. */
static bool slot_pass(struct pending *p, struct pending_slot *s, uint64_t keep_nr)
{
	struct pending_bag due, kept;
	uint64_t since;
	bool armed;

	bag_init(&due);
	bag_init(&kept);
	since = slot_lock(p, s);
	sweep_locked(s);
	bag_join(&due, &s->elapsed);
	armed = s->armed = waiting_locked(s) != 0;
	slot_unlock(s, since);
	bag_split(&due, &kept, keep_nr);
	if (kept.nr) {
		since = slot_lock(p, s);
		bag_join(&s->elapsed, &kept);
		slot_unlock(s, since);
	}
	bag_process(p, s, &due);
	return armed;
}

static void pass(struct pending *p)
{
	uint64_t keep_nr = p->cfg.keep_nr;
	bool again = false;

	rt_stat_add(&p->passes, 1);
	if (keep_nr && rt_u32_read(&p->flushers))
		keep_nr = 0;
	for (unsigned cpu = 0; cpu < rt_cpus_nr(p->cpus); cpu++)
		again |= slot_pass(p, &p->slots[cpu], keep_nr);
	if (!again)
		return;
	if (!p->wq)
		rt_rcu_start_poll(); /* what is left waits for it */
	arm(p);
}

static void run_on_wq(struct rt_work *work)
{
	rt_rcu_cond_sync(rt_rcu_get_state());
	pass(container_of(work, struct pending, work));
}

static void run_by_rcu(struct rt_rcu_head *head)
{
	struct pending *p = container_of(head, struct pending, rcu);

	rt_u32_xchg(&p->queued, 0); /* pairs with arm(): the head is free, his object is seen */
	pass(p);
	rt_u32_add_return(&p->about, -1u);
}

static void run_own(struct rt_rcu_head *head)
{
	pass(container_of(head, struct own_pass, head)->p);
}

void pending_flush(struct pending *p)
{
	MBFS_ASSERT(!rt_rcu_in_reader());
	if (p->cfg.keep_nr)
		rt_u32_add(&p->flushers, 1);
	wait_for_pass(p);
	if (p->cfg.keep_nr)
		rt_u32_add(&p->flushers, -1u);
}

void pending_throttle(struct pending *p)
{
	struct pending_slot *s = slot_here(p);
	bool readers, worker;
	uint64_t since;

	since = slot_lock(p, s);
	s->swept += sweep_locked(s);
	readers = waiting_locked(s) > p->cfg.behind_nr;
	worker = s->elapsed.nr > p->cfg.behind_nr + p->cfg.keep_nr;
	slot_unlock(s, since);
	if (!readers && !worker)
		return;
	rt_stat_add(&p->throttled, 1);
	if (worker)
		pending_flush(p);
	else
		rt_rcu_cond_sync(rt_rcu_get_state());
}

/* ---- opening and closing ---- */

int pending_open(const struct rt_cpus *cpus, const struct pending_config *cfg, struct pending **out)
{
	struct pending *p;
	int err = -ENOMEM;

	if (cfg->page_nr > PENDING_PAGE_NR_MAX || !cfg->process)
		return -EINVAL;
	p = rt_zalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->cfg = *cfg;
	p->cpus = cpus;
	p->cfg.page_nr = cfg->page_nr ? cfg->page_nr : PENDING_PAGE_NR;
	p->cfg.delay_ns = cfg->delay_ns ? cfg->delay_ns : DELAY_NS;
	p->cfg.behind_nr = cfg->behind_nr ? cfg->behind_nr : PENDING_BEHIND_NR;
	rt_work_init(&p->work, run_on_wq);
	p->slots = rt_zalloc_aligned(RT_SLOT_BYTES, sizeof(p->slots[0]) * rt_cpus_nr(cpus));
	if (!p->slots)
		goto err_free;
	err = worker_open(p);
	if (err)
		goto err_slots;
	for (unsigned cpu = 0; cpu < rt_cpus_nr(cpus); cpu++) {
		struct pending_slot *s = &p->slots[cpu];

		rt_spin_init(&s->lock, RANK_PENDING);
		for (unsigned i = 0; i < BINS; i++)
			bag_init(&s->bin[i].bag);
		bag_init(&s->elapsed);
		STAILQ_INIT(&s->spare);
	}
	*out = p;
	return 0;

err_slots:
	rt_free(p->slots);
err_free:
	rt_free(p);
	return err;
}

static bool is_empty(const struct pending *p)
{
	struct pending_stats st;

	pending_stats(p, &st);
	return st.added == st.processed + st.taken;
}

void pending_close(struct pending *p)
{
	if (!p)
		return;
	while (!is_empty(p))
		pending_flush(p);
	worker_close(p); /* it may be armed for what a flush has done since */
	pending_check(p);
	for (unsigned cpu = 0; cpu < rt_cpus_nr(p->cpus); cpu++) {
		struct pending_slot *s = &p->slots[cpu];
		struct pending_page *page;

		while ((page = STAILQ_FIRST(&s->spare))) {
			STAILQ_REMOVE_HEAD(&s->spare, link);
			rt_free(page);
		}
		rt_spin_destroy(&s->lock);
	}
	rt_free(p->slots);
	rt_free(p);
}

/* ---- looking ---- */

void pending_timed(struct pending *p, bool on)
{
	rt_u32_set(&p->timed, on);
}

void pending_stats(const struct pending *p, struct pending_stats *out)
{
	*out = (struct pending_stats){ .inline_waits = rt_stat_read(&p->inline_waits),
				       .throttled = rt_stat_read(&p->throttled),
				       .pages = rt_stat_read(&p->pages),
				       .passes = rt_stat_read(&p->passes),
				       .processed = rt_stat_read(&p->processed) };
	for (unsigned cpu = 0; cpu < rt_cpus_nr(p->cpus); cpu++) {
		struct pending_slot *s = &p->slots[cpu];

		rt_spin_lock(&s->lock);
		out->added += s->added;
		out->taken += s->taken;
		out->by_link += s->by_link;
		out->refused += s->refused;
		out->swept += s->swept;
		out->second += s->second;
		if (s->lock_max_ns > out->lock_max_ns)
			out->lock_max_ns = s->lock_max_ns;
		rt_spin_unlock(&s->lock);
	}
	out->added += out->inline_waits;
}

static void bag_check(const struct pending *p, const struct pending_bag *b)
{
	const struct pending_page *page;
	uint64_t nr = 0;

	STAILQ_FOREACH(page, &b->pages, link)
	{
		MBFS_ASSERT(page->nr >= 1 && page->nr <= p->cfg.page_nr);
		nr += page->nr;
	}
	for (const struct pending_link *l = b->links; l; l = l->next) {
		MBFS_ASSERT(l->next || l == b->last_link);
		nr++;
	}
	MBFS_ASSERT(nr == b->nr);
}

void pending_check(const struct pending *p)
{
	for (unsigned cpu = 0; cpu < rt_cpus_nr(p->cpus); cpu++) {
		struct pending_slot *s = &p->slots[cpu];

		rt_spin_lock(&s->lock);
		for (unsigned i = 0; i < BINS; i++) {
			bag_check(p, &s->bin[i].bag);
			for (unsigned k = 0; k < i; k++)
				MBFS_ASSERT(!s->bin[i].bag.nr || !s->bin[k].bag.nr ||
					    !rt_rcu_same_state(s->bin[i].cookie, s->bin[k].cookie));
		}
		bag_check(p, &s->elapsed);
		MBFS_ASSERT(s->armed || !waiting_locked(s));
		MBFS_ASSERT(s->armed || s->elapsed.nr <= p->cfg.keep_nr);
		rt_spin_unlock(&s->lock);
	}
}
