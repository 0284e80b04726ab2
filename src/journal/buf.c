// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buffer cache: one struct buf per metadata block in use.
 *
 * A buffer is in the hash table and in the ring (both or neither), or it is gone. While in the
 * table it is the only truth about its block: who wants the block finds it, so the device is read
 * once and no two copies exist. A buffer leaves the table in two ways:
 *
 * - evicted: clean and nobody's (ref 0). One CAS turns ref from 0 to DEAD, so no reader gets it
 * back.
 * - gone: while somebody, at least the remover, has a reference, because the block was freed or its
 *   first read failed. BUF_GONE says so; whoever drops the last reference turns 0 into DEAD.
 *
 * Either way removal from table and ring is one step under the cache's lock, adding is too. What is
 * DEAD goes to the container of the dead (reclaim/pending.h). A grace period later it is freed, or
 * a miss takes it from there before it asks for memory: in a cache that is full a buffer comes for
 * each that goes. How many may be dead is bounded by who reads: he waits for readers, some
 * microseconds, if too many do, and then finds all of these to take. Readers take no lock: they
 * find under RCU, take a reference unless DEAD, and then look at GONE; when they meet a buffer on
 * its way out they help to remove it and look again. buf_put() reads BUF_GONE after its decrement,
 * when the buffer may be freed by somebody else, hence its reader section.
 *
 * ref counts users, one for BUF_DIRTY, and one for the write-out that has it QUEUED or WRITING
 * (QUEUED takes over DIRTY's; WRITING keeps it, and a new DIRTY meanwhile takes one of its own).
 *
 * Reading: the first to want a block adds a buffer that is not UPTODATE, takes load_lock and reads;
 * others find it and wait at load_lock. A failed read leaves load_err for those waiting and makes
 * the buffer gone. UPTODATE is set with release, read with acquire: after it the bytes are seen.
 *
 * Freed blocks. A block may be freed while its buffer is dirty, queued or being written, and be
 * somebody else's data at once after. The old content must not reach the device later than the new.
 * buf_forget() therefore runs before the block is given back and makes the buffer GONE under the
 * cache's lock, where the write-out also decides, buffer by buffer, to copy (QUEUED -> WRITING). So
 * either the write-out sees GONE and drops it, or the forgetter sees WRITING and waits until the
 * device has answered. When it returns nothing old is under way, and nothing can become so:
 * tx_dirty() ignores buffers that are gone. What the next owner writes, in a new buffer or as file
 * data past the cache, is issued later than the old write's completion. buf_get_new() does the same
 * to a buffer that its block still has; on a sound image it finds none. A write-out waits for
 * nothing that a forgetter holds, so the wait ends with the device's.
 *
 * Eviction is second chance: the buffer at the ring's head goes to its tail if it is in use, was
 * looked up since last time (USED), or was written but not yet flushed (the write-out may need it
 * again should the flush fail). Each new buffer makes a bounded number of such steps while the ring
 * is too long.
 *
 * Locks: load_lock (64) outside bytes (66) outside cache (68). Nothing but load_lock spans I/O.
 */
#include "journal/journal_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/log.h"
#include "rt/mem.h"

enum {
	BUF_ALIGN = 64,
	DEAD_BYTES = 4 << 20, /* that wait for readers or are kept to be taken; or */
	DEAD_PART = 4,        /* such a part of the cache, if that is less; */
	DEAD_CPU_MIN = 4,     /* but thrice so many buffers of each virtual CPU */
	EVICT_STEPS = 32, /* ring steps per new buffer at most */
	KIND_TRIES = 8,   /* two threads that replace each other's buffer for ever: a bad image */
	BUCKETS_MIN = 1024,
	BUCKETS_MAX = 1 << 20,
	DATA_OFF = (sizeof(struct buf) + BUF_ALIGN - 1) / BUF_ALIGN * BUF_ALIGN,
};

void buf_log_error(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
		   const char *what, int err)
{
	rt_u64 *slot = &c->logged[rt_hash_mix(blk) % BUF_LOGGED_NR];

	if (rt_u64_xchg(slot, blk + 1) == blk + 1)
		return;
	log_err("block %llu (%s): %s: %s", (unsigned long long)blk, kind->name, what,
		err == -EBADMSG   ? "checksum is wrong"
		: err == -EUCLEAN ? "content is damaged"
				  : strerror(-err));
}

/* ---- life ---- */
static struct buf *buf_fresh(struct buf_cache *c)
{
	struct buf *b = rt_zalloc_aligned(BUF_ALIGN, DATA_OFF + c->block_bytes);

	if (!b)
		return NULL;
	b->data = (uint8_t *)b + DATA_OFF;
	b->cache = c;
	rt_spin_init(&b->lock, RANK_BUF);
	rt_mutex_init(&b->load_lock, RANK_BUF_LOAD);
	return b;
}

/* UPTODATE in @state: its bytes are zero. Else they may be anything: who reads the block overwrites
 * all of them, and nobody looks before that. */
static struct buf *buf_alloc(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
			     const struct buf_owner *owner, uint32_t state)
{
	static const struct buf_owner nobody;
	struct buf *b = pending_take(c->dead);

	if (b) {
		b->load_err = 0;
		b->dirty_stamp = b->write_pass = 0;
		if (state & BUF_UPTODATE)
			memset(b->data, 0, c->block_bytes);
	} else {
		b = buf_fresh(c);
		if (!b)
			return NULL;
	}
	b->blk = blk;
	b->kind = kind;
	b->owner = owner ? *owner : nobody;
	rt_u32_set(&b->ref, 1);
	rt_u32_set(&b->state, state);
	/* Pairs with match_blk(): who finds the buffer sees all of the above. */
	rt_u64_set_release(&b->key, blk);
	return b;
}

static void buf_free(struct buf *b)
{
	rt_spin_destroy(&b->lock);
	rt_mutex_destroy(&b->load_lock);
	rt_free(b);
}

static void buf_free_dead(void *ctx, void *obj)
{
	(void)ctx;
	buf_free(obj);
}

/* It is dead, out of table and ring. */
static void buf_bury(struct buf_cache *c, struct buf *b)
{
	bool kept = pending_add_atomic(c->dead, b);

	MBFS_ASSERT(kept); /* it has a link */
}

/* A reference, unless the buffer is dead. In a reader, or holding the cache's lock. */
static bool ref_try(struct buf *b)
{
	uint32_t old = rt_u32_read(&b->ref);

	while (!(old & BUF_REF_DEAD))
		if (rt_u32_cas(&b->ref, &old, old + 1))
			return true;
	return false;
}

/* From nobody's to dead; true for the one caller that then frees it. */
static bool ref_kill(struct buf *b)
{
	uint32_t nobody = 0;

	return rt_u32_cas(&b->ref, &nobody, BUF_REF_DEAD);
}

void buf_hold(struct buf *b)
{
	uint32_t ref = rt_u32_add_return(&b->ref, 1);

	MBFS_ASSERT(ref > 1 && !(ref & BUF_REF_DEAD));
}

void buf_put(struct buf *b)
{
	uint32_t ref;

	if (!b)
		return;
	rt_rcu_read_lock();
	ref = rt_u32_add_return(&b->ref, (uint32_t)-1);
	MBFS_ASSERT(!(ref & BUF_REF_DEAD));
	if (ref == 0 && buf_state_has(b, BUF_GONE) && ref_kill(b))
		buf_bury(b->cache, b);
	rt_rcu_read_unlock();
}

/* ---- table and ring ---- */
static int match_blk(struct rt_hash_node *node, const void *arg)
{
	const struct buf *b = container_of(node, struct buf, node);

	return rt_u64_read_acquire(&b->key) == *(const mbfs_blk_t *)arg;
}

static void table_del(struct buf_cache *c, struct buf *b)
{
	rt_rcu_read_lock();
	rt_hash_del(&c->table, &b->node); /* a reader may have been quicker */
	rt_rcu_read_unlock();
}

/* The block's buffer with one more reference, or NULL. */
static struct buf *cache_find(struct buf_cache *c, mbfs_blk_t blk)
{
	struct rt_hash_node *node;
	struct buf *b;

	rt_rcu_read_lock();
	for (;;) {
		node = rt_hash_find(&c->table, rt_hash_mix(blk), match_blk, &blk);
		if (!node) {
			b = NULL;
			break;
		}
		b = container_of(node, struct buf, node);
		if (ref_try(b)) {
			if (!buf_state_has(b, BUF_GONE))
				break;
			buf_put(b);
		}
		rt_hash_del(&c->table, node);
	}
	rt_rcu_read_unlock();
	if (b && !buf_state_has(b, BUF_USED))
		buf_state_change(b, BUF_USED, 0);
	return b;
}

static void evict_locked(struct buf_cache *c)
{
	for (unsigned i = 0; i < EVICT_STEPS && c->ring_nr > c->max_nr; i++) {
		struct buf *b = TAILQ_FIRST(&c->ring);

		TAILQ_REMOVE(&c->ring, b, ring_link);
		if (!buf_state_has(b, BUF_USED) && b->write_pass <= c->flushed_pass &&
		    ref_kill(b)) {
			c->ring_nr--;
			table_del(c, b);
			rt_u64_add(&c->evicted, 1);
			buf_bury(c, b);
		} else {
			buf_state_change(b, 0, BUF_USED);
			TAILQ_INSERT_TAIL(&c->ring, b, ring_link);
		}
	}
}

/* Publish @b; or, if the block has a buffer, that one with one more reference, and @b is not in. */
static struct buf *cache_add(struct buf_cache *c, struct buf *b)
{
	struct rt_hash_node *node;
	struct buf *in;

	rt_spin_lock(&c->lock);
	rt_rcu_read_lock();
	node = rt_hash_add_unique(&c->table, rt_hash_mix(b->blk), match_blk, &b->blk, &b->node);
	in = container_of(node, struct buf, node);
	if (in == b) {
		TAILQ_INSERT_TAIL(&c->ring, b, ring_link);
		c->ring_nr++;
		evict_locked(c);
	} else {
		bool live = ref_try(in);

		/* Whatever dies leaves the table under the lock we hold. */
		MBFS_ASSERT(live);
	}
	rt_rcu_read_unlock();
	rt_spin_unlock(&c->lock);
	pending_throttle(c->dead);
	return in;
}

/* Out of table, ring and dirty list. The caller has a reference and keeps it. */
static void make_gone_locked(struct buf_cache *c, struct buf *b)
{
	uint32_t state = rt_u32_read(&b->state);

	if (state & BUF_GONE)
		return;
	buf_state_change(b, BUF_GONE, BUF_DIRTY);
	TAILQ_REMOVE(&c->ring, b, ring_link);
	c->ring_nr--;
	table_del(c, b);
	if (!(state & BUF_DIRTY))
		return;
	rt_u64_add(&c->dirty_nr, (uint64_t)-1);
	if (!(state & BUF_QUEUED)) { /* else the write-out drops it when it comes to it */
		TAILQ_REMOVE(&c->dirty, b, dirty_link);
		buf_put(b);
	}
}

void buf_make_dirty_locked(struct buf_cache *c, struct buf *b)
{
	uint32_t ref = rt_u32_add_return(&b->ref, 1);

	MBFS_ASSERT(!(ref & BUF_REF_DEAD));
	b->dirty_stamp = c->stamp;
	TAILQ_INSERT_TAIL(&c->dirty, b, dirty_link);
	rt_u64_add(&c->dirty_nr, 1);
	buf_state_change(b, BUF_DIRTY, 0);
}

/* ---- getting ---- */
static mbfs_blk_t blk_nr_of(const struct buf_cache *c)
{
	return rt_read_once(c->blk_nr);
}

static int read_and_verify(struct buf_cache *c, struct buf *b)
{
	const struct buf_kind *kind = b->kind; /* nobody else can change it: not up to date yet */
	int err = mbfs_bdev_read(c->dev, b->blk * c->block_bytes, b->data, c->block_bytes);

	if (err) {
		buf_log_error(c, b->blk, kind, "read", err);
		return err;
	}
	if (kind->verify)
		err = kind->verify(c->geo_ctx, &b->owner, b->blk, b->data, c->block_bytes);
	if (err)
		buf_log_error(c, b->blk, kind, "verify", err);
	return err;
}

static int buf_load(struct buf_cache *c, struct buf *b)
{
	int err = 0;

	if (buf_state_has(b, BUF_UPTODATE))
		return 0;
	rt_mutex_lock(&b->load_lock);
	if (b->load_err) {
		err = b->load_err; /* of whoever read it while we waited */
	} else if (!buf_state_has(b, BUF_UPTODATE)) {
		err = read_and_verify(c, b);
		if (err) {
			b->load_err = err;
			rt_spin_lock(&c->lock);
			make_gone_locked(c, b);
			rt_spin_unlock(&c->lock);
		} else {
			buf_state_change(b, BUF_UPTODATE, 0);
		}
	}
	rt_mutex_unlock(&b->load_lock);
	return err;
}

static bool buf_is(struct buf *b, const struct buf_kind *kind, const struct buf_owner *owner)
{
	static const struct buf_owner nobody;
	bool same;

	if (!owner)
		owner = &nobody;
	buf_lock(b);
	same = b->kind == kind && b->owner.ino == owner->ino && b->owner.gen == owner->gen;
	buf_unlock(b);
	return same;
}

/* A clean buffer that only we have makes room for another kind of the same block. Keeps our
 * reference. */
static bool replace_idle(struct buf_cache *c, struct buf *b)
{
	bool idle;

	rt_spin_lock(&c->lock);
	idle = rt_u32_read(&b->ref) == 1 && !buf_state_has(b, BUF_DIRTY);
	if (idle)
		make_gone_locked(c, b);
	rt_spin_unlock(&c->lock);
	return idle;
}

/* The buffer in the table, or a new one that is not read yet. */
static int find_or_add(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
		       const struct buf_owner *owner, struct buf **out)
{
	struct buf *b = cache_find(c, blk), *fresh;

	if (b) {
		rt_counter_add(&c->hits, rt_cpu(&c->cpus), 1);
		*out = b;
		return 0;
	}
	fresh = buf_alloc(c, blk, kind, owner, 0);
	if (!fresh)
		return -ENOMEM;
	b = cache_add(c, fresh);
	if (b != fresh)
		buf_free(fresh);
	rt_u64_add(&c->misses, 1);
	*out = b;
	return 0;
}

int buf_get(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
	    const struct buf_owner *owner, struct buf **out)
{
	struct buf *b;
	bool idle;
	int err;

	MBFS_ASSERT(kind);
	rt_rank_assert_below(RANK_GROUP);
	for (unsigned i = 0; i < KIND_TRIES && blk < blk_nr_of(c); i++) {
		err = find_or_add(c, blk, kind, owner, &b);
		if (err)
			return err;
		if (buf_is(b, kind, owner)) {
			err = buf_load(c, b);
			if (err)
				buf_put(b);
			else
				*out = b;
			return err;
		}
		idle = replace_idle(c, b);
		buf_put(b);
		if (!idle)
			break;
	}
	buf_log_error(c, blk, kind,
		      blk >= blk_nr_of(c) ? "past the device's end" : "in use as something else",
		      -EUCLEAN);
	return -EUCLEAN;
}

static void wait_written(struct buf_cache *c, struct buf *b)
{
	for (;;) {
		uint32_t key = rt_event_key(&c->wrote);

		if (!buf_state_has(b, BUF_WRITING))
			return;
		rt_event_wait(&c->wrote, key);
	}
}

/* Make a buffer gone and wait for its write under way; drops the caller's reference. */
static void forget_one(struct buf_cache *c, struct buf *b)
{
	rt_spin_lock(&c->lock);
	make_gone_locked(c, b);
	rt_spin_unlock(&c->lock);
	wait_written(c, b);
	buf_put(b);
}

int buf_get_new(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
		const struct buf_owner *owner, struct buf **out)
{
	struct buf *b, *in;

	MBFS_ASSERT(kind);
	rt_rank_assert_below(RANK_GROUP);
	if (blk >= blk_nr_of(c)) {
		buf_log_error(c, blk, kind, "past the device's end", -EUCLEAN);
		return -EUCLEAN;
	}
	b = buf_alloc(c, blk, kind, owner, BUF_UPTODATE);
	if (!b)
		return -ENOMEM;
	while ((in = cache_add(c, b)) != b)
		forget_one(c, in);
	*out = b;
	return 0;
}

int buf_wipe(struct buf_cache *c, mbfs_blk_t start, uint32_t len)
{
	static const struct buf_kind unused = { .name = "new block" };
	int err = 0;

	rt_rank_assert_below(RANK_GROUP);
	for (uint32_t i = 0; i < len && !err; i++) {
		err = mbfs_bdev_write(c->dev, (start + i) * c->block_bytes, c->zeros,
				      c->block_bytes);
		if (err)
			buf_log_error(c, start + i, &unused, "write", err);
	}
	return err;
}

void buf_forget(struct buf_cache *c, struct mbfs_tx *tx, mbfs_blk_t start, uint32_t len)
{
	(void)tx; /* the journal will note a revoke in it */
	rt_rank_assert_below(RANK_LG);
	for (uint32_t i = 0; i < len; i++) {
		struct buf *b = cache_find(c, start + i);

		if (b)
			forget_one(c, b);
	}
}

/* ---- the cache ---- */
static unsigned long buckets_for(uint64_t max_nr)
{
	if (max_nr <= BUCKETS_MIN)
		return BUCKETS_MIN;
	return max_nr >= BUCKETS_MAX ? BUCKETS_MAX : 1ul << order_ceil(max_nr);
}

static int dead_open(struct buf_cache *c, uint64_t max_bytes)
{
	uint64_t bytes = max_bytes / DEAD_PART < DEAD_BYTES ? max_bytes / DEAD_PART : DEAD_BYTES;
	/* They wait in three places at most: for readers, kept, too many for that. */
	uint64_t nr = bytes / c->block_bytes / rt_cpus_nr(&c->cpus) / 3;
	struct pending_config cfg = { .name = "buffers",
				      .process = buf_free_dead,
				      .link_offset = offsetof(struct buf, dead),
				      .by_rcu = true };

	cfg.keep_nr = cfg.behind_nr = nr > DEAD_CPU_MIN ? (unsigned)nr : DEAD_CPU_MIN;
	return pending_open(&c->cpus, &cfg, &c->dead);
}

int buf_cache_open(struct mbfs_bdev *dev, uint32_t block_bytes, const void *geo_ctx,
		   uint64_t max_bytes, struct buf_cache **out)
{
	struct buf_cache *c = rt_zalloc(sizeof(*c));
	int err;

	MBFS_ASSERT(block_bytes >= 512 && (block_bytes & (block_bytes - 1)) == 0);
	if (!c)
		return -ENOMEM;
	c->dev = dev;
	c->block_bytes = block_bytes;
	c->blk_nr = dev->size_bytes / block_bytes;
	c->geo_ctx = geo_ctx;
	c->max_nr = max_bytes / block_bytes;
	rt_spin_init(&c->lock, RANK_CACHE);
	rt_event_init(&c->wrote);
	TAILQ_INIT(&c->ring);
	TAILQ_INIT(&c->dirty);
	c->stamp = 1;
	rt_cpus_init(&c->cpus, 0);
	c->zeros = rt_zalloc_aligned(4096, block_bytes);
	if (!c->zeros) {
		err = -ENOMEM;
		goto err_cache;
	}
	err = rt_counter_init(&c->hits, &c->cpus);
	if (err)
		goto err_cache;
	err = dead_open(c, max_bytes);
	if (err)
		goto err_hits;
	err = rt_hash_init(&c->table, buckets_for(c->max_nr));
	if (err)
		goto err_dead;
	*out = c;
	return 0;

err_dead:
	pending_close(c->dead);
err_hits:
	rt_counter_destroy(&c->hits);
err_cache:
	rt_free(c->zeros);
	rt_spin_destroy(&c->lock);
	rt_free(c);
	return err;
}

void buf_cache_grow(struct buf_cache *c)
{
	rt_write_once(c->blk_nr, mbfs_bdev_size(c->dev) / c->block_bytes);
}

void buf_cache_close(struct buf_cache *c)
{
	struct buf *b;

	if (!c)
		return;
	while ((b = TAILQ_FIRST(&c->ring))) {
		/* A reference left here is a leak of whoever took it. */
		MBFS_ASSERT_SLOW(rt_u32_read(&b->ref) == (buf_state_has(b, BUF_DIRTY) ? 1u : 0u));
		TAILQ_REMOVE(&c->ring, b, ring_link);
		table_del(c, b);
		buf_free(b); /* nobody is in a call, hence nobody in a reader that sees it */
	}
	pending_close(c->dead);
	rt_hash_destroy(&c->table);
	rt_counter_destroy(&c->hits);
	rt_spin_destroy(&c->lock);
	rt_free(c->zeros);
	rt_free(c);
}

void buf_cache_stats(struct buf_cache *c, struct buf_stats *out)
{
	out->hits = rt_counter_sum(&c->hits);
	out->misses = rt_u64_read(&c->misses);
	out->writes = rt_u64_read(&c->writes);
	out->evicted = rt_u64_read(&c->evicted);
	out->dirty = rt_u64_read(&c->dirty_nr);
	rt_spin_lock(&c->lock);
	out->cached = c->ring_nr;
	rt_spin_unlock(&c->lock);
}

void buf_cache_dead_stats(const struct buf_cache *c, struct pending_stats *out)
{
	pending_stats(c->dead, out);
}
