// SPDX-License-Identifier: GPL-2.0-only
/*
 * The inode cache: which inodes are in memory, and how they leave.
 *
 * Equation: ref of an inode = operations that use it + open files + 1 if it is pinned (nlookup >
 * 0). Its bytes in the table block are always up to date when nobody changes it (inode_dirty()
 * encodes at once), so an inode without references can be dropped at any time and loaded again.
 *
 * An inode leaves in one step: ref goes from 0 (dropped) or 1 (its last user ends it) to DEAD by
 * one CAS. Readers of the table find it, fail to take a reference, remove it from the table for
 * whoever has been slower, and look again; they then load from the table block. What they find
 * there is right:
 *
 *   dropped     the block has all of it
 *   unlinked    the block says 0 links since before the last reference went: -ESTALE, as wanted
 *   failed      the number was not good; nobody changed anything
 *
 * A number is free for ialloc_new() only when a write-out has run what ialloc_free_late() left to
 * it, which is after the inode has left the table. inode_new() may then meet somebody who is
 * looking the number up at this moment and is about to find 0 links: it waits until they know.
 *
 * The last user decides with fields held: links, orphan list, CAS. Links change under fields, by
 * somebody with a reference; if the CAS from 1 holds there is no such somebody, so what was read is
 * still true.
 *
 *   no links              ended here and freed on disk: blocks, attributes, orphan list, number
 *   links, on the list    (a truncate that failed) stays in memory until it is tried again at close
 *   links                 last in the LRU; the first ones go beyond lru_max
 *
 * If an inode cannot be freed it stays in memory as dead, on the orphan list, and is tried again at
 * close: the list needs its neighbours. What is then left is on the list on disk, for e2fsck.
 *
 * Locks: load_lock (16) while an inode is read; fields (28) then lock (30) for the decision above.
 * Freeing on disk takes rw (10) and what is inside it, so inode_put() is called without locks of
 * rank >= 10.
 */
#include "inode/inode_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

enum { BUCKETS_MIN = 256, BUCKETS_MAX = 1 << 16 };
/* Inodes that wait for readers, on one virtual CPU: about half a megabyte. */
enum { DEAD_MAX = 256, DEAD_PAGE_NR = 62 };

/* ---- memory ---- */

static struct inode *inode_alloc(struct inode_env *env, mbfs_ino_t ino)
{
	struct inode *in = rt_zalloc_aligned(_Alignof(struct inode), sizeof(*in));

	if (!in)
		return NULL;
	in->raw = rt_zalloc(env->geo->inode_bytes);
	if (!in->raw) {
		rt_free(in);
		return NULL;
	}
	in->env = env;
	in->ino = ino;
	rt_rwlock_init(&in->rw, RANK_INODE);
	rt_mutex_init(&in->fields, RANK_INODE_FIELDS);
	rt_mutex_init(&in->xattr_lock, RANK_XATTR);
	io_tree_init(&in->io, &env->io, RANK_INODE_RANGE);
	endio_file_init(&in->endio, env->endio);
	rt_mutex_init(&in->load_lock, RANK_INODE_LOAD);
	extent_tree_init(&in->tree, &env->extents);
	in->tree.ino = ino;
	rt_u32_set(&in->ref, 1);
	rt_u32_set(&in->state, INODE_NEW);
	/* Pairs with match_ino(): who finds the inode sees all of the above. */
	rt_u32_set_release(&in->key, ino);
	return in;
}

static void inode_free(struct inode *in)
{
	endio_file_end(&in->endio);
	io_tree_destroy(&in->io);
	extent_tree_destroy(&in->tree);
	rt_mutex_destroy(&in->load_lock);
	rt_mutex_destroy(&in->xattr_lock);
	rt_mutex_destroy(&in->fields);
	rt_rwlock_destroy(&in->rw);
	rt_free(in->raw);
	rt_free(in);
}

static void inodes_free(void *ctx, void *const *objs, unsigned nr)
{
	(void)ctx;
	for (unsigned i = 0; i < nr; i++)
		inode_free(objs[i]);
}

/* ---- references ---- */

/* In a reader. */
static bool ref_try(struct inode *in)
{
	uint32_t old = rt_u32_read(&in->ref);

	while (!(old & INODE_REF_DEAD))
		if (rt_u32_cas(&in->ref, &old, old + 1))
			return true;
	return false;
}

static bool ref_kill(struct inode *in, uint32_t from)
{
	return rt_u32_cas(&in->ref, &from, INODE_REF_DEAD);
}

void inode_hold(struct inode *in)
{
	uint32_t ref = rt_u32_add_return(&in->ref, 1);

	MBFS_ASSERT(ref > 1 && !(ref & INODE_REF_DEAD));
}

/* ---- table ---- */

static int match_ino(struct rt_hash_node *node, const void *arg)
{
	const struct inode *in = container_of(node, struct inode, node);

	return rt_u32_read_acquire(&in->key) == *(const mbfs_ino_t *)arg;
}

static void table_del(struct inode_cache *c, struct inode *in)
{
	rt_rcu_read_lock();
	rt_hash_del(&c->table, &in->node); /* a reader may have been quicker */
	rt_rcu_read_unlock();
}

/* Off all lists. The caller has ended the inode, or has found it failed. */
static void lists_del_locked(struct inode_cache *c, struct inode *in)
{
	TAILQ_REMOVE(&c->all, in, all_link);
	c->all_nr--;
	if (in->on_lru) {
		TAILQ_REMOVE(&c->lru, in, lru_link);
		in->on_lru = false;
		c->lru_nr--;
	}
}

/* The inode with one more reference, or NULL. */
static struct inode *cache_find(struct inode_cache *c, mbfs_ino_t ino)
{
	struct rt_hash_node *node;
	struct inode *in = NULL;

	rt_rcu_read_lock();
	while ((node = rt_hash_find(&c->table, rt_hash_mix(ino), match_ino, &ino))) {
		in = container_of(node, struct inode, node);
		if (ref_try(in))
			break;
		rt_hash_del(&c->table, node);
		in = NULL;
	}
	rt_rcu_read_unlock();
	return in;
}

/* Publish @in; or, if the number has an inode: that one, with one more reference. */
static struct inode *cache_add(struct inode_cache *c, struct inode *in)
{
	struct inode *found;

	rt_spin_lock(&c->lock);
	rt_rcu_read_lock();
	for (;;) {
		struct rt_hash_node *node = rt_hash_add_unique(&c->table, rt_hash_mix(in->ino),
							       match_ino, &in->ino, &in->node);

		found = container_of(node, struct inode, node);
		if (found == in || ref_try(found))
			break;
		rt_hash_del(&c->table, node);
	}
	if (found == in) {
		TAILQ_INSERT_TAIL(&c->all, in, all_link);
		c->all_nr++;
	}
	rt_rcu_read_unlock();
	rt_spin_unlock(&c->lock);
	return found;
}

/* ---- leaving ---- */

/* The memory of an inode that is dead and on no list. */
static void inode_drop(struct inode *in)
{
	endio_file_retire(&in->endio);
	if (in->tree.file)
		mbfs_alloc_file_close(in->tree.file);
	kvfree_rcu(in->env->cache->dead, in, &in->dead);
}

/* Take the oldest of the LRU while there are too many. */
static void cache_trim(struct inode_cache *c)
{
	for (;;) {
		struct inode *in;
		bool dead;

		rt_spin_lock(&c->lock);
		in = c->lru_nr > c->lru_max ? TAILQ_FIRST(&c->lru) : NULL;
		if (!in) {
			rt_spin_unlock(&c->lock);
			return;
		}
		dead = ref_kill(in, 0);
		if (dead) {
			lists_del_locked(c, in);
			table_del(c, in);
		} else {
			/* In use again; its last user puts it back. */
			TAILQ_REMOVE(&c->lru, in, lru_link);
			in->on_lru = false;
			c->lru_nr--;
		}
		rt_spin_unlock(&c->lock);
		if (dead)
			inode_drop(in);
	}
}

/* Last in the LRU, or out of it if it must stay in memory. Fields and the cache's lock are held. */
static void lru_update_locked(struct inode_cache *c, struct inode *in)
{
	if (in->on_lru) {
		TAILQ_REMOVE(&c->lru, in, lru_link);
		c->lru_nr--;
	}
	in->on_lru = !in->on_orphan_list;
	if (in->on_lru) {
		TAILQ_INSERT_TAIL(&c->lru, in, lru_link);
		c->lru_nr++;
	}
}

/* All of an unlinked inode but its memory. Alone: it is dead. */
static int free_on_disk(struct inode *in)
{
	struct inode_env *env = in->env;
	bool is_dir = inode_is_dir(in), used;
	struct timespec now;
	struct mbfs_tx *tx;
	struct buf *table;
	int err = table_hold(in, &table); /* inode_dirty() cannot fail from here on */

	if (err)
		return err;
	err = ialloc_in_use(env, in->ino, &used); /* nor the freeing of its number */
	if (!err && !used)
		err = -EUCLEAN;
	if (!err)
		err = file_free_blocks(in);
	if (!err)
		err = tx_start(env->log, XATTR_CREDITS, &tx);
	if (err)
		goto out;
	err = tx_late_ready(tx);
	if (!err)
		err = xattr_free_all(in, tx);
	if (!err)
		err = orphan_del(in, tx);
	if (err)
		goto out_tx;
	inode_now(&now);
	rt_mutex_lock(&in->fields);
	in->dtime = (uint32_t)now.tv_sec;
	in->size_bytes = 0;
	rt_mutex_unlock(&in->fields);
	err = inode_dirty(in, tx);
	/* The number may be somebody else's once that is down. */
	if (!err)
		ialloc_free_late(env, tx, in->ino, is_dir);
out_tx:
	tx_stop(tx);
out:
	buf_put(table);
	return err;
}

static void log_unfreed(const struct inode *in, int err)
{
	log_err("inode %u is unlinked but cannot be freed: %s; run e2fsck -f on the image", in->ino,
		strerror(-err));
	inode_note_damage(in->env, err);
}

/* The inode is dead, with no links. */
static int inode_end(struct inode_cache *c, struct inode *in)
{
	int err = 0;

	rt_rank_assert_below(RANK_INODE);
	table_del(c, in);
	if (!c->env->read_only)
		err = free_on_disk(in);
	if (err)
		log_unfreed(in, err);
	if (err && in->on_orphan_list)
		return err; /* its neighbours on the list need it */
	rt_spin_lock(&c->lock);
	lists_del_locked(c, in);
	rt_spin_unlock(&c->lock);
	inode_drop(in);
	return err;
}

/* The caller seems to be the last user. False: it is not. */
static bool put_last(struct inode_cache *c, struct inode *in, int *err)
{
	bool done, gone;

	rt_mutex_lock(&in->fields);
	gone = !in->nlink;
	if (gone) {
		done = ref_kill(in, 1);
	} else {
		uint32_t one = 1;

		rt_spin_lock(&c->lock);
		done = rt_u32_cas(&in->ref, &one, 0);
		if (done)
			lru_update_locked(c, in);
		rt_spin_unlock(&c->lock);
	}
	rt_mutex_unlock(&in->fields);
	if (done && gone)
		*err = inode_end(c, in);
	else if (done)
		cache_trim(c);
	return done;
}

int inode_put_err(struct inode *in)
{
	struct inode_cache *c = in->env->cache;
	uint32_t old = rt_u32_read(&in->ref);
	int err = 0;

	for (;;) {
		MBFS_ASSERT(old && !(old & INODE_REF_DEAD));
		if (old > 1) {
			if (rt_u32_cas(&in->ref, &old, old - 1))
				return 0;
			continue;
		}
		if (rt_u32_read_acquire(&in->state) == INODE_FAILED) {
			/* It has left all lists and the table. */
			if (ref_kill(in, 1)) {
				inode_drop(in);
				return 0;
			}
		} else if (put_last(c, in, &err)) {
			return err;
		}
		old = rt_u32_read(&in->ref);
	}
}

void inode_put(struct inode *in)
{
	/* Reported where it happened; the caller's operation is done all the same. */
	(void)inode_put_err(in);
}

/* ---- getting ---- */

static int load_once(struct inode_cache *c, struct inode *in, bool unlinked_ok)
{
	uint32_t state = rt_u32_read_acquire(&in->state);
	int err;

	if (state == INODE_LIVE)
		return 0;
	rt_mutex_lock(&in->load_lock);
	state = rt_u32_read(&in->state);
	err = in->load_err;
	if (state == INODE_NEW) {
		err = inode_load(in, unlinked_ok);
		if (err) {
			in->load_err = err;
			rt_spin_lock(&c->lock);
			lists_del_locked(c, in);
			table_del(c, in);
			rt_spin_unlock(&c->lock);
		}
		rt_u32_set_release(&in->state, err ? INODE_FAILED : INODE_LIVE);
	}
	rt_mutex_unlock(&in->load_lock);
	return err;
}

static int get(struct inode_env *env, mbfs_ino_t ino, bool unlinked_ok, struct inode **out)
{
	struct inode_cache *c = env->cache;
	struct inode *in, *fresh;
	int err;

	if (ino > geo_inode_nr(env->geo) || (ino < env->geo->first_ino && ino != MBFS_ROOT_INO))
		return inode_damaged(env, ino, "a reserved or impossible inode number is used",
				     -EUCLEAN);
	in = cache_find(c, ino);
	if (!in) {
		fresh = inode_alloc(env, ino);
		if (!fresh)
			return -ENOMEM;
		in = cache_add(c, fresh);
		if (in != fresh)
			inode_free(fresh);
	}
	err = load_once(c, in, unlinked_ok);
	if (err)
		inode_put(in);
	else
		*out = in;
	return err;
}

int inode_get(struct inode_env *env, mbfs_ino_t ino, struct inode **out)
{
	return get(env, ino, false, out);
}

int inode_get_orphan(struct inode_env *env, mbfs_ino_t ino, struct inode **out)
{
	return get(env, ino, true, out);
}

static uint32_t generation_new(struct inode_cache *c)
{
	uint32_t gen;

	rt_spin_lock(&c->lock);
	gen = (uint32_t)rt_rand_next(&c->rand);
	rt_spin_unlock(&c->lock);
	return gen;
}

int inode_new(struct inode_env *env, mbfs_ino_t ino, mode_t mode, struct inode **out)
{
	struct inode_cache *c = env->cache;
	struct inode *in = inode_alloc(env, ino), *other;
	int err;

	if (!in)
		return -ENOMEM;
	in->gen = in->tree.gen = generation_new(c);
	err = inode_init_new(in, mode);
	if (err)
		goto err_free;
	rt_u32_set_release(&in->state, INODE_LIVE); /* pairs with load_once() */
	/* Each turn outlasts one lookup of the number by somebody who has it from nowhere. */
	while ((other = cache_add(c, in)) != in) {
		err = load_once(c, other, false);
		inode_put(other);
		if (!err) {
			err = inode_damaged(env, ino, "it is in use, but free in its bitmap",
					    -EUCLEAN);
			goto err_free;
		}
	}
	*out = in;
	return 0;

err_free:
	inode_free(in);
	return err;
}

/* ---- pins ---- */

void inode_pin(struct inode *in)
{
	/* The pin's own reference first: an unpin at the same time may drop one. */
	inode_hold(in);
	if (rt_u64_add_return(&in->nlookup, 1) != 1)
		inode_put(in);
}

void inode_unpin(struct inode_env *env, mbfs_ino_t ino, uint64_t n)
{
	struct inode *in = cache_find(env->cache, ino);
	uint64_t old;

	if (!in)
		return;
	old = rt_u64_read(&in->nlookup);
	while (!rt_u64_cas(&in->nlookup, &old, old > n ? old - n : 0))
		;
	if (old && old <= n)
		inode_put(in); /* the pin's */
	inode_put(in);
}

/* ---- the cache ---- */

int inode_cache_open(struct inode_env *env, uint32_t max_cached, struct inode_cache **out)
{
	struct inode_cache *c = rt_zalloc(sizeof(*c));
	struct kvfree_config dead = { .free = inodes_free,
				      .page_nr = DEAD_PAGE_NR,
				      .high_water = DEAD_MAX };
	unsigned long buckets = BUCKETS_MIN;
	int err;

	if (!c)
		return -ENOMEM;
	while (buckets < max_cached && buckets < BUCKETS_MAX)
		buckets *= 2;
	c->env = env;
	c->lru_max = max_cached;
	c->rand.state = rt_rand_seed();
	TAILQ_INIT(&c->all);
	TAILQ_INIT(&c->lru);
	TAILQ_INIT(&c->orphans);
	rt_spin_init(&c->lock, RANK_INODE_CACHE);
	rt_mutex_init(&c->orphan_lock, RANK_ORPHAN);
	err = rt_hash_init(&c->table, buckets);
	if (err)
		goto err_cache;
	rt_cpus_init(&c->cpus, 0);
	dead.cpus = &c->cpus;
	err = kvfree_open(&dead, &c->dead);
	if (err)
		goto err_hash;
	err = ialloc_open(env);
	if (err)
		goto err_dead;
	*out = c;
	return 0;

err_dead:
	kvfree_close(c->dead);
err_hash:
	rt_hash_destroy(&c->table);
err_cache:
	rt_mutex_destroy(&c->orphan_lock);
	rt_spin_destroy(&c->lock);
	rt_free(c);
	return err;
}

uint64_t inode_cache_nr(struct inode_cache *c)
{
	uint64_t nr;

	rt_spin_lock(&c->lock);
	nr = c->all_nr;
	rt_spin_unlock(&c->lock);
	return nr;
}

/* A truncate that failed is tried again; what still fails stays on the list on disk. */
static void finish_truncate(struct inode *in)
{
	struct mbfs_tx *tx;
	int err;

	rt_write_lock(&in->rw);
	err = file_trim(in);
	rt_write_unlock(&in->rw);
	if (!err)
		err = tx_start(in->env->log, 1, &tx);
	if (!err) {
		err = orphan_del(in, tx);
		tx_stop(tx);
	}
	if (!err)
		return;
	log_err("inode %u has blocks past its end: %s; run e2fsck -f on the image", in->ino,
		strerror(-err));
	inode_note_damage(in->env, err);
}

/* Nobody else is left. */
static void close_one(struct inode_cache *c, struct inode *in)
{
	bool dead = rt_u32_read(&in->ref) & INODE_REF_DEAD;

	MBFS_ASSERT_SLOW(dead || rt_u32_read(&in->ref) == (rt_u64_read(&in->nlookup) ? 1u : 0u));
	rt_u32_set(&in->ref, INODE_REF_DEAD);
	table_del(c, in);
	if (!c->env->read_only && !in->nlink) {
		int err = free_on_disk(in);

		if (err)
			log_unfreed(in, err);
	} else if (!c->env->read_only && in->on_orphan_list) {
		finish_truncate(in);
	}
}

/* What could not be taken off the list on disk goes from the list in memory. */
static void orphans_drop(struct inode_cache *c)
{
	struct inode *in;

	while ((in = TAILQ_FIRST(&c->orphans))) {
		TAILQ_REMOVE(&c->orphans, in, orphan_link);
		buf_put(in->orphan_table);
	}
}

void inode_cache_dead_stats(const struct inode_cache *c, struct kvfree_stats *out)
{
	kvfree_stats(c->dead, out);
}

void inode_cache_close(struct inode_cache *c)
{
	struct inode *in;

	if (!c)
		return;
	TAILQ_FOREACH(in, &c->all, all_link)
		close_one(c, in);
	orphans_drop(c);
	while ((in = TAILQ_FIRST(&c->all))) {
		lists_del_locked(c, in);
		inode_drop(in);
	}
	kvfree_close(c->dead);
	rt_hash_destroy(&c->table);
	rt_mutex_destroy(&c->orphan_lock);
	rt_spin_destroy(&c->lock);
	rt_free(c);
}
