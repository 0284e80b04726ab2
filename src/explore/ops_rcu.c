// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simulated RCU and its hash table. A grace period is over when each section that was open when it
 * was asked for has ended: sections and requests take numbers from one counter, so that is "no open
 * section has a smaller number". world.c runs the callbacks in a thread of their own, which may be
 * as late as the scheduler likes: every legal delay is explored. A section that a grace period does
 * not wait for sees what came before that was asked for: by way of gp_want, gp_since.
 */
#include "world.h"

#include <errno.h>

void ex_rcu_read_lock(const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	struct ex_thread *t = w->cur;

	if (t->reader_depth == 0) {
		ex_point(EX_RCU_LOCK, &w->sim.rcu, NULL, NULL, 0, site);
		t->reader_since = ++w->sim.seq;
		ex_sync_acquire(&w->sim.gp_since);
	}
	t->reader_depth++;
}

void ex_rcu_read_unlock(const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	struct ex_thread *t = w->cur;

	if (t->reader_depth == 0)
		ex_stop(EXPLORE_MISUSE, "%s: leaves an RCU reader at %s:%d that it is not in",
			t->name, ex_short_file(site->file), site->line);
	if (t->reader_depth == 1) {
		ex_point(EX_RCU_UNLOCK, &w->sim.rcu, NULL, NULL, 0, site);
		ex_sync_release(&w->sim.rcu);
	}
	t->reader_depth--;
}

bool rt_rcu_in_reader(void)
{
	return ex_world->cur->reader_depth > 0;
}

/* ---- polling ---- */

/*
 * Grace periods with numbers, for cookies: start and end are steps of a thread of their own, which
 * takes them when somebody wants a cookie to expire, as late as the scheduler likes. An end waits
 * for the sections open at the start. Callbacks join in once somebody polls.
 */
static uint64_t cookie_now(const struct ex_world *w)
{
	uint64_t whole = w->opt->drop_rule == RULE_GP_WHOLE ? 2 : 3;

	return (w->sim.gp_seq + whole) & ~1ull;
}

static void gp_main(void *arg)
{
	struct ex_world *w = arg;

	for (;;) {
		ex_point(EX_GP_START, &w->sim.rcu, NULL, NULL, 0, EX_SITE(""));
		w->sim.gp_seq++;
		w->sim.gp_since = ++w->sim.seq;
		ex_sync_acquire(&w->sim.gp_want);
		ex_sync_release(&w->sim.gp_since);
		ex_value(w->sim.gp_seq);
		ex_point(EX_GP_END, &w->sim.rcu, NULL, NULL, w->sim.gp_since, EX_SITE(""));
		w->sim.gp_seq++;
		ex_value(w->sim.gp_seq);
		ex_sync_acquire(&w->sim.rcu);
		ex_sync_release(&w->sim.gp_seq);
	}
}

static void gp_want(struct ex_world *w, uint64_t cookie)
{
	if (w->sim.gp_want < cookie)
		w->sim.gp_want = cookie;
	if (!w->sim.gp_thread) {
		w->sim.gp_thread = true;
		ex_start_background(w, gp_main, "gp");
	}
}

/* What a callback queued now waits for beside its readers. */
static uint64_t gp_asked(struct ex_world *w)
{
	uint64_t cookie = cookie_now(w);

	if (!w->sim.gp_thread)
		return 0;
	gp_want(w, cookie);
	return cookie;
}

struct rt_rcu_cookie ex_rcu_get_state(bool start, const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	uint64_t cookie;

	ex_point(start ? EX_RCU_START : EX_RCU_STATE, &w->sim.rcu, NULL, NULL, 0, site);
	cookie = cookie_now(w);
	ex_value(cookie);
	ex_sync_release(&w->sim.gp_want);
	if (start)
		gp_want(w, cookie);
	return (struct rt_rcu_cookie){ cookie };
}

bool ex_rcu_poll_state(struct rt_rcu_cookie cookie, const struct ex_site *site)
{
	struct ex_world *w = ex_world;

	ex_point(EX_RCU_POLL, &w->sim.rcu, NULL, NULL, cookie.opaque, site);
	ex_value(w->sim.gp_seq >= cookie.opaque);
	if (w->sim.gp_seq < cookie.opaque)
		return false;
	ex_sync_acquire(&w->sim.gp_seq);
	return true;
}

void ex_rcu_call(struct rt_rcu_head *head, void (*fn)(struct rt_rcu_head *head),
		 const struct ex_site *site)
{
	struct ex_world *w = ex_world;

	ex_point(EX_RCU_QUEUE, &w->sim.rcu, NULL, head, 0, site);
	for (const struct rt_rcu_head *h = w->sim.rcu_first; h; h = h->next)
		if (h == head)
			ex_stop(EXPLORE_MISUSE, "%s: %s at %s:%d is queued already, at %s:%d",
				w->cur->name, site->what, ex_short_file(site->file), site->line,
				ex_short_file(h->site->file), h->site->line);
	*head = (struct rt_rcu_head){ NULL, fn, ++w->sim.seq, gp_asked(w), site };
	if (w->sim.rcu_last)
		w->sim.rcu_last->next = head;
	else
		w->sim.rcu_first = head;
	w->sim.rcu_last = head;
	w->sim.rcu_queued++;
	ex_sync_release(&w->sim.rcu);
	ex_sync_release(&w->sim.gp_since);
	ex_start_rcu(w);
}

static void no_reader(const char *what, const struct ex_site *site)
{
	const struct ex_thread *t = ex_world->cur;

	if (t->reader_depth)
		ex_stop(EXPLORE_ATOMIC, "%s: %s at %s:%d inside an RCU reader", t->name, what,
			ex_short_file(site->file), site->line);
}

void ex_rcu_synchronize(const struct ex_site *site)
{
	struct ex_world *w = ex_world;

	no_reader("rt_rcu_synchronize()", site);
	ex_point(EX_RCU_SYNC, &w->sim.rcu, NULL, NULL, 0, site);
	ex_sync_release(&w->sim.gp_since);
	ex_point(EX_RCU_SYNCED, &w->sim.rcu, NULL, NULL, ++w->sim.seq, site);
	ex_sync_acquire(&w->sim.rcu);
}

void ex_rcu_cond_sync(struct rt_rcu_cookie cookie, const struct ex_site *site)
{
	struct ex_world *w = ex_world;

	no_reader("rt_rcu_cond_sync()", site);
	ex_point(EX_RCU_START, &w->sim.rcu, NULL, NULL, cookie.opaque, site);
	gp_want(w, cookie.opaque);
	ex_point(EX_RCU_COND_SYNC, &w->sim.rcu, NULL, NULL, cookie.opaque, site);
	ex_sync_acquire(&w->sim.gp_seq);
}

void ex_rcu_barrier(const struct ex_site *site)
{
	struct ex_world *w = ex_world;

	no_reader("rt_rcu_barrier()", site);
	if (ex_tid(w, w->cur) == EX_RCU)
		ex_stop(EXPLORE_MISUSE, "rt_rcu_barrier() at %s:%d in a callback",
			ex_short_file(site->file), site->line);
	ex_point(EX_RCU_BARRIER, &w->sim.rcu, NULL, NULL, 0, site);
	if (w->sim.rcu_done < w->sim.rcu_queued)
		ex_point(EX_RCU_DRAINED, &w->sim.rcu, NULL, NULL, w->sim.rcu_queued, site);
	ex_sync_acquire(&w->sim.rcu_done);
}

int rt_rcu_worker_start(void)
{
	ex_world->sim.rcu_workers++;
	return 0;
}

void ex_rcu_worker_stop(const struct ex_site *site)
{
	MBFS_ASSERT(ex_world->sim.rcu_workers > 0);
	ex_world->sim.rcu_workers--;
	ex_rcu_barrier(site);
}

/* ---- hash table: each call is one visible operation on a bucket, for_each one per bucket ---- */

int rt_hash_init(struct rt_hash *t, unsigned long buckets)
{
	MBFS_ASSERT(buckets && (buckets & (buckets - 1)) == 0);
	t->buckets = rt_zalloc(buckets * sizeof(*t->buckets));
	t->nr = buckets;
	return t->buckets ? 0 : -ENOMEM;
}

void rt_hash_destroy(struct rt_hash *t)
{
	for (unsigned long i = 0; i < t->nr; i++)
		MBFS_ASSERT(!t->buckets[i].first);
	rt_free(t->buckets);
	t->buckets = NULL;
}

static struct ex_bucket *bucket_enter(struct rt_hash *t, unsigned long at, enum ex_kind kind,
				      const struct ex_site *site)
{
	struct ex_bucket *b = &t->buckets[at & (t->nr - 1)];

	if (!ex_world->cur->reader_depth)
		ex_stop(EXPLORE_MISUSE, "%s: %s on %s at %s:%d outside an RCU reader",
			ex_world->cur->name, ex_kind_names[kind], site->what,
			ex_short_file(site->file), site->line);
	ex_point(kind, &b->o, NULL, b, 0, site);
	ex_sync_acquire(b);
	return b;
}

static struct rt_hash_node *lookup(const struct ex_bucket *b, unsigned long key,
				   rt_hash_match match, const void *arg)
{
	for (struct rt_hash_node *n = b->first; n; n = n->next)
		if (n->key == key && match(n, arg))
			return n;
	return NULL;
}

struct rt_hash_node *ex_hash_find(struct rt_hash *t, unsigned long key, rt_hash_match match,
				  const void *arg, const struct ex_site *site)
{
	struct ex_bucket *b = bucket_enter(t, key, EX_HASH_FIND, site);
	struct rt_hash_node *n = lookup(b, key, match, arg);

	ex_value(n != NULL);
	return n;
}

struct rt_hash_node *ex_hash_add_unique(struct rt_hash *t, unsigned long key, rt_hash_match match,
					const void *arg, struct rt_hash_node *node,
					const struct ex_site *site)
{
	struct ex_bucket *b = bucket_enter(t, key, EX_HASH_ADD, site);
	struct rt_hash_node *n = lookup(b, key, match, arg);

	ex_value(n == NULL);
	if (n)
		return n;
	*node = (struct rt_hash_node){ b->first, key, true };
	b->first = node;
	ex_sync_release(b);
	return node;
}

bool ex_hash_del(struct rt_hash *t, struct rt_hash_node *node, const struct ex_site *site)
{
	struct ex_bucket *b = bucket_enter(t, node->key, EX_HASH_DEL, site);
	struct rt_hash_node **at = &b->first;

	ex_value(node->is_in);
	if (!node->is_in)
		return false;
	while (*at != node)
		at = &(*at)->next;
	*at = node->next; /* node->next stays, for who stands on the node */
	node->is_in = false;
	return true;
}

void ex_hash_for_each(struct rt_hash *t, bool (*fn)(struct rt_hash_node *node, void *arg),
		      void *arg, const struct ex_site *site)
{
	for (unsigned long i = 0; i < t->nr; i++) {
		struct ex_bucket *b = bucket_enter(t, i, EX_HASH_EACH, site);

		for (struct rt_hash_node *n = b->first; n; n = n->next)
			if (!fn(n, arg))
				return;
	}
}
