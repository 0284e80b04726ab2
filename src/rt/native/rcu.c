// SPDX-License-Identifier: GPL-2.0-only
/*
 * RCU on liburcu's memb flavour. Readers and synchronize are liburcu's; deferred callbacks are not:
 * its call_rcu worker sleeps 10 ms per batch and its rcu_barrier therefore takes 10 ms, so
 * callbacks go on a push list here and whoever needs them done drains it (shared/notes/liburcu.md,
 * section 3).
 *
 * Concurrency: push against push and against drain: a CAS on the list head. Drain against drain:
 * the drain mutex; drain_seq is odd while one runs, and a barrier that waited for the mutex through
 * a whole later drain returns without one of its own, as the kernel's rcu_barrier does.
 *
 * Polling: liburcu 0.13 has none. gp_seq is odd while grace_period() waits for readers, even else;
 * a cookie is the even number that says a whole one has gone by since, so at most two numbers are
 * ahead of gp_seq. Each drain goes through grace_period(), as does the worker when somebody asked
 * for a cookie (gp_want). A get_state is a full fence and a load, a poll one acquire load, a
 * start_poll an atomic maximum more, and a futex wake if it is the first to ask.
 */
#include "rt/rcu.h"
#include "rt/work.h"

#include <errno.h>
#include <pthread.h>

_Thread_local bool rt_rcu_registered;
#if defined(__SANITIZE_THREAD__)
char rt_rcu_tsan_token;
#endif

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void thread_exits(void *arg)
{
	(void)arg;
	if (rt_rcu_registered) {
		rt_rcu_registered = false;
		urcu_memb_unregister_thread();
	}
}

static void exit_key_make(void)
{
	int err = pthread_key_create(&exit_key, thread_exits);

	MBFS_ASSERT(err == 0);
}

void rt_rcu_register_thread(void)
{
	pthread_once(&exit_once, exit_key_make);
	urcu_memb_register_thread();
	rt_rcu_registered = true;
	pthread_setspecific(exit_key, &rt_rcu_registered);
}

void rt_rcu_synchronize(void)
{
	MBFS_ASSERT(!rt_rcu_in_reader());
	urcu_memb_synchronize_rcu();
#if defined(__SANITIZE_THREAD__)
	__tsan_acquire(&rt_rcu_tsan_token);
#endif
}

/* ---- deferred callbacks ---- */
enum { QUEUE_HIGH_WATER = 4096, QUEUE_MAX = 16 * QUEUE_HIGH_WATER, WORKER_PERIOD_MS = 5 };

static struct {
	rt_ptr head;	  /* [atomic] newest first */
	rt_u32 queued_nr; /* [racy: only decides when to wake the worker, or to throttle] */
	pthread_mutex_t drain_lock;
	rt_u64 drain_seq; /* [atomic] odd while a drain runs; written under drain_lock */
	pthread_mutex_t gp_lock; /* inside drain_lock; spans a grace period */
	rt_u64 gp_seq;		 /* [atomic] odd while one goes on; written under gp_lock */
	rt_u64 gp_want;		 /* [atomic] the highest cookie somebody wants to expire */

	pthread_mutex_t worker_lock;
	unsigned worker_users; /* [worker_lock] */
	struct rt_thread *worker;
	struct rt_event work; /* queue went non-empty, or stop */
	rt_u32 stop;
} rcu = {
	.drain_lock = PTHREAD_MUTEX_INITIALIZER,
	.gp_lock = PTHREAD_MUTEX_INITIALIZER,
	.worker_lock = PTHREAD_MUTEX_INITIALIZER,
};

void rt_rcu_call(struct rt_rcu_head *head, void (*fn)(struct rt_rcu_head *head))
{
	void *old = rt_ptr_read(&rcu.head);

	head->fn = fn;
	do
		head->next = old;
	while (!rt_ptr_cas(&rcu.head, &old, head));
	if (rt_u32_add_return(&rcu.queued_nr, 1) >= QUEUE_HIGH_WATER || !old)
		rt_event_signal(&rcu.work);
}

/* ---- polled grace periods ---- */

static bool expired(uint64_t cookie)
{
	return rt_u64_read_acquire(&rcu.gp_seq) >= cookie;
}

/* The fence: what the caller unpublished before is so for readers that gp_seq's next step finds. */
struct rt_rcu_cookie rt_rcu_get_state(void)
{
	rt_fence();
	return (struct rt_rcu_cookie){ (rt_u64_read_acquire(&rcu.gp_seq) + 3) & ~1ull };
}

struct rt_rcu_cookie rt_rcu_start_poll(void)
{
	struct rt_rcu_cookie cookie = rt_rcu_get_state();
	uint64_t want = rt_u64_read(&rcu.gp_want);

	while (want < cookie.opaque)
		if (rt_u64_cas(&rcu.gp_want, &want, cookie.opaque)) {
			rt_event_signal(&rcu.work);
			break;
		}
	return cookie;
}

bool rt_rcu_poll_state(struct rt_rcu_cookie cookie)
{
	return expired(cookie.opaque);
}

static void grace_period(uint64_t cookie)
{
	pthread_mutex_lock(&rcu.gp_lock);
	while (!expired(cookie)) {
		rt_u64_add_return(&rcu.gp_seq, 1);
		rt_rcu_synchronize();
		rt_u64_add_return(&rcu.gp_seq, 1);
	}
	pthread_mutex_unlock(&rcu.gp_lock);
}

void rt_rcu_cond_sync(struct rt_rcu_cookie cookie)
{
	MBFS_ASSERT(!rt_rcu_in_reader());
	if (!expired(cookie.opaque))
		grace_period(cookie.opaque);
}

static void drain_locked(void)
{
	struct rt_rcu_head *newest = rt_ptr_xchg(&rcu.head, NULL), *oldest = NULL;
	uint32_t nr = 0;

	if (!newest) {
		grace_period(rt_u64_read(&rcu.gp_want));
		return;
	}
	while (newest) { /* callbacks run in the order queued */
		struct rt_rcu_head *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
		nr++;
	}
	rt_u32_add(&rcu.queued_nr, -nr);
	grace_period(rt_rcu_get_state().opaque);
	while (oldest) {
		struct rt_rcu_head *next = oldest->next;

		oldest->fn(oldest);
		oldest = next;
	}
}

void rt_rcu_barrier(void)
{
	uint64_t done;

	MBFS_ASSERT(!rt_rcu_in_reader());
	rt_fence();
	/* A drain that starts after now is complete when drain_seq has reached this even number. */
	done = (rt_u64_read_acquire(&rcu.drain_seq) + 3) & ~1ull;
	pthread_mutex_lock(&rcu.drain_lock);
	if ((int64_t)(rt_u64_read_acquire(&rcu.drain_seq) - done) < 0) {
		rt_u64_add_return(&rcu.drain_seq, 1);
		drain_locked();
		rt_u64_add_return(&rcu.drain_seq, 1);
	}
	pthread_mutex_unlock(&rcu.drain_lock);
}

void rt_rcu_throttle(void)
{
	if (__builtin_expect(rt_u32_read(&rcu.queued_nr) > QUEUE_MAX, 0))
		rt_rcu_barrier();
}

static void worker_main(void *arg)
{
	(void)arg;
	while (!rt_u32_read_acquire(&rcu.stop)) {
		uint32_t key = rt_event_key(&rcu.work);

		if (!rt_ptr_read(&rcu.head) && expired(rt_u64_read(&rcu.gp_want))) {
			if (!rt_u32_read_acquire(&rcu.stop))
				rt_event_wait(&rcu.work, key);
			continue;
		}
		if (rt_u32_read(&rcu.queued_nr) < QUEUE_HIGH_WATER)
			rt_sleep_ns(WORKER_PERIOD_MS * 1000000ull); /* one grace period for many */
		rt_rcu_barrier();
	}
}

int rt_rcu_worker_start(void)
{
	int err = 0;

	pthread_mutex_lock(&rcu.worker_lock);
	if (rcu.worker_users++ == 0) {
		rt_u32_set(&rcu.stop, 0);
		err = rt_thread_start(worker_main, NULL, "mbfs-rcu", &rcu.worker);
		if (err)
			rcu.worker_users--;
	}
	pthread_mutex_unlock(&rcu.worker_lock);
	return err;
}

void rt_rcu_worker_stop(void)
{
	pthread_mutex_lock(&rcu.worker_lock);
	MBFS_ASSERT(rcu.worker_users > 0);
	if (--rcu.worker_users == 0) {
		rt_u32_set_release(&rcu.stop, 1);
		rt_event_signal(&rcu.work);
		rt_thread_join(rcu.worker);
		rcu.worker = NULL;
	}
	pthread_mutex_unlock(&rcu.worker_lock);
	rt_rcu_barrier();
}

/* ---- hash table ---- */
int rt_hash_init(struct rt_hash *t, unsigned long buckets)
{
	MBFS_ASSERT(buckets && (buckets & (buckets - 1)) == 0);
	t->ht = cds_lfht_new_flavor(buckets, buckets, buckets, 0, &urcu_memb_flavor, NULL);
	return t->ht ? 0 : -ENOMEM;
}

void rt_hash_destroy(struct rt_hash *t)
{
	int err = cds_lfht_destroy(t->ht, NULL);

	MBFS_ASSERT(err == 0);
	t->ht = NULL;
}

/*
 * Whoever finds a node sees all that was written before it was added: liburcu's CAS and loads order
 * it, but TSan does not see into the library.
 */
static void node_published(struct cds_lfht_node *node)
{
#if defined(__SANITIZE_THREAD__)
	__tsan_release(node);
#else
	(void)node;
#endif
}

static void node_found(struct cds_lfht_node *node)
{
#if defined(__SANITIZE_THREAD__)
	__tsan_acquire(node);
#else
	(void)node;
#endif
}

/* liburcu's match callback has no room for ours and its argument at once. */
struct match_ctx {
	rt_hash_match match;
	const void *arg;
};

static int match_shim(struct cds_lfht_node *node, const void *key)
{
	const struct match_ctx *ctx = key;

	node_found(node);
	return ctx->match(container_of(node, struct rt_hash_node, n), ctx->arg);
}

struct rt_hash_node *rt_hash_find(struct rt_hash *t, unsigned long key, rt_hash_match match,
				  const void *arg)
{
	struct match_ctx ctx = { match, arg };
	struct cds_lfht_iter it;
	struct cds_lfht_node *n;

	cds_lfht_lookup(t->ht, key, match_shim, &ctx, &it);
	n = cds_lfht_iter_get_node(&it);
	return n ? container_of(n, struct rt_hash_node, n) : NULL;
}

struct rt_hash_node *rt_hash_add_unique(struct rt_hash *t, unsigned long key, rt_hash_match match,
					const void *arg, struct rt_hash_node *node)
{
	struct match_ctx ctx = { match, arg };

	node_published(&node->n);
	return container_of(cds_lfht_add_unique(t->ht, key, match_shim, &ctx, &node->n),
			    struct rt_hash_node, n);
}

bool rt_hash_del(struct rt_hash *t, struct rt_hash_node *node)
{
	return cds_lfht_del(t->ht, &node->n) == 0;
}

void rt_hash_for_each(struct rt_hash *t, bool (*fn)(struct rt_hash_node *node, void *arg),
		      void *arg)
{
	struct cds_lfht_iter it;
	struct cds_lfht_node *n;

	cds_lfht_for_each(t->ht, &it, n) {
		node_found(n);
		if (!fn(container_of(n, struct rt_hash_node, n), arg))
			return;
	}
}
