// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes in memory.
 *
 * An inode in the table has one reference that is the table's; operations and open files have theirs on
 * top, and a pinned inode (nlookup > 0) one more. So ref == 1 means unused. A linked inode then waits for
 * eviction; an unlinked one is freed on disk at once by whoever put the last reference. Either way ref goes
 * from 1 to 0 by a compare-and-swap that only one thread can win, and a lookup that sees 0 waits until the
 * inode has left the table: nobody ever holds an inode that is being freed, and its number is
 * given out again (the bit in the inode bitmap) only as the last step of freeing.
 *
 * Write-back: every change is encoded into the table block's buffer at once, under `fields`, by inode_dirty().
 * tree.lock is held around it, so that a later tree root never loses to an earlier one.
 *
 * Who runs with whom: get | get: add_unique and load_lock. get | evict or free: the reference count. Fields:
 * `fields`. Names and data: rw. Lock path: rw (10) -> load_lock (16) -> tree.lock (20) -> fields (28) ->
 * buffers (64, 66) -> cache->lock (68).
 */
#include "inode/inode_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/bits.h"
#include "base/log.h"
#include "disk/csum.h"
#include "rt/mem.h"

enum { EVICT_LOOK_MAX = 32, CACHE_MIN_NR = 64, TABLE_MAX = 1 << 20 };

static void state_change(struct inode *in, uint32_t set, uint32_t clear)
{
	uint32_t old = rt_u32_read(&in->state);

	while (!rt_u32_cas(&in->state, &old, (old & ~clear) | set))
		;
}

void inode_now(struct timespec *ts)
{
	int64_t sec;
	uint32_t nsec;

	rt_wall(&sec, &nsec);
	ts->tv_sec = sec;
	ts->tv_nsec = nsec;
}

/* ---- memory ---- */

static struct inode *inode_alloc(struct inode_env *env, mbfs_ino_t ino)
{
	struct inode *in = rt_zalloc(sizeof(*in));

	if (!in)
		return NULL;
	in->raw = rt_zalloc_aligned(8, env->geo->inode_bytes > sizeof(struct mbfs_inode_disk) ?
					       env->geo->inode_bytes :
					       sizeof(struct mbfs_inode_disk));
	if (!in->raw) {
		rt_free(in);
		return NULL;
	}
	in->env = env;
	in->ino = ino;
	rt_u32_set(&in->ref, 2); /* the table's and the caller's */
	rt_rwlock_init(&in->rw, RANK_INODE);
	rt_mutex_init(&in->fields, RANK_INODE_FIELDS);
	rt_mutex_init(&in->xattr_lock, RANK_XATTR);
	rt_mutex_init(&in->load_lock, RANK_INODE_LOAD);
	extent_tree_init(&in->tree, &env->extents);
	return in;
}

static void inode_release(struct inode *in)
{
	extent_tree_destroy(&in->tree);
	rt_mutex_destroy(&in->load_lock);
	rt_mutex_destroy(&in->xattr_lock);
	rt_mutex_destroy(&in->fields);
	rt_rwlock_destroy(&in->rw);
	rt_free(in->raw);
	rt_free(in);
}

static void inode_release_rcu(struct rt_rcu_head *head)
{
	inode_release(container_of(head, struct inode, rcu));
}

/* ---- table ---- */

static int ino_match(struct rt_hash_node *node, const void *arg)
{
	return container_of(node, struct inode, node)->ino == *(const mbfs_ino_t *)arg;
}

void inode_hold(struct inode *in)
{
	MBFS_ASSERT(rt_u32_add_return(&in->ref, 1) > 1);
}

static bool inode_try_hold(struct inode *in)
{
	uint32_t ref = rt_u32_read(&in->ref);

	while (ref > 0)
		if (rt_u32_cas(&in->ref, &ref, ref + 1))
			return true;
	return false;
}

/* A referenced inode from the table, or NULL. Waits for one that is on its way out. */
static struct inode *table_find(struct inode_cache *c, mbfs_ino_t ino)
{
	for (;;) {
		uint32_t key = rt_event_key(&c->gone);
		struct rt_hash_node *node;
		struct inode *in = NULL;
		bool held = false;

		rt_rcu_read_lock();
		node = rt_hash_find(&c->table, rt_hash_mix(ino), ino_match, &ino);
		if (node) {
			in = container_of(node, struct inode, node);
			held = inode_try_hold(in);
		}
		rt_rcu_read_unlock();
		if (!in || held)
			return in;
		rt_event_wait(&c->gone, key);
	}
}

/* False if one was there already, which table_find() will give. */
static bool table_add(struct inode_cache *c, struct inode *in)
{
	struct rt_hash_node *node;

	rt_spin_lock(&c->lock);
	rt_rcu_read_lock();
	node = rt_hash_add_unique(&c->table, rt_hash_mix(in->ino), ino_match, &in->ino, &in->node);
	rt_rcu_read_unlock();
	if (node == &in->node) {
		TAILQ_INSERT_TAIL(&c->lru, in, lru);
		rt_u64_add(&c->cached_nr, 1);
	}
	rt_spin_unlock(&c->lock);
	return node == &in->node;
}

static void table_remove(struct inode_cache *c, struct inode *in)
{
	bool ours;

	rt_spin_lock(&c->lock);
	ours = !inode_has(in, INODE_GONE);
	if (ours) {
		state_change(in, INODE_GONE, 0);
		TAILQ_REMOVE(&c->lru, in, lru);
		rt_u64_add(&c->cached_nr, (uint64_t)-1);
		rt_rcu_read_lock();
		ours = rt_hash_del(&c->table, &in->node);
		rt_rcu_read_unlock();
		MBFS_ASSERT(ours);
	}
	rt_spin_unlock(&c->lock);
	rt_event_signal(&c->gone);
}

/* The inode has reference 0 and is in the table: take it out, and free its memory. */
static void inode_bury(struct inode_cache *c, struct inode *in)
{
	if (in->tree.file)
		mbfs_alloc_file_close(in->tree.file);
	in->tree.file = NULL;
	if (in->on_orphan_list) { /* stuck, at unmount */
		rt_mutex_lock(&c->orphan_lock);
		TAILQ_REMOVE(&c->orphans, in, orphan);
		rt_mutex_unlock(&c->orphan_lock);
	}
	table_remove(c, in);
	rt_rcu_call(&in->rcu, inode_release_rcu);
}

static struct inode *evict_pick(struct inode_cache *c)
{
	struct inode *in, *found = NULL;

	rt_spin_lock(&c->lock);
	for (int i = 0; i < EVICT_LOOK_MAX && !found; i++) {
		uint32_t one = 1;

		in = TAILQ_FIRST(&c->lru);
		if (!in)
			break;
		TAILQ_REMOVE(&c->lru, in, lru);
		TAILQ_INSERT_TAIL(&c->lru, in, lru);
		if (!inode_has(in, INODE_USED) && !inode_has(in, INODE_STUCK) &&
		    rt_u32_cas(&in->ref, &one, 0))
			found = in;
		else
			state_change(in, 0, INODE_USED);
	}
	rt_spin_unlock(&c->lock);
	return found;
}

static void cache_shrink(struct inode_cache *c)
{
	for (int i = 0; i < 4 && rt_u64_read(&c->cached_nr) > c->max_nr; i++) {
		struct inode *in = evict_pick(c);

		if (!in)
			return;
		inode_bury(c, in);
	}
}

/* ---- load ---- */

const struct buf_kind itable_kind = { .name = "inode table block" };

static int table_block(struct inode *in, struct buf **buf, uint32_t *off)
{
	static const struct buf_owner nobody;
	mbfs_blk_t blk;
	int err = ialloc_locate(in->env, in->ino, &blk, off);

	return err ? err : buf_get(in->env->bufs, blk, &itable_kind, &nobody, buf);
}

static int inode_load(struct inode *in, bool unlinked)
{
	const struct mbfs_geo *geo = in->env->geo;
	struct buf *buf;
	uint32_t off;
	int err = table_block(in, &buf, &off);

	if (err)
		return err;
	buf_lock(buf);
	memcpy(in->raw, buf->data + off, geo->inode_bytes);
	buf_unlock(buf);
	buf_put(buf);
	if (le16_get(inode_raw(in)->links_count) == 0 && !unlinked)
		return -ESTALE;
	if (!csum_inode_ok(geo, in->ino, le32_get(inode_raw(in)->generation), in->raw))
		err = -EBADMSG;
	else
		err = inode_decode(in);
	if (err)
		log_err("inode %u: %s; run e2fsck -f on the image", in->ino,
			err == -EBADMSG ? "wrong checksum" : "damaged, or of a kind not supported");
	return err;
}

int inode_get_any(struct inode_env *env, mbfs_ino_t ino, bool unlinked, struct inode **out)
{
	struct inode_cache *c = env->cache;
	struct inode *in, *mine = NULL;
	int err = 0;

	if (ino != MBFS_ROOT_INO && (ino < env->geo->first_ino || ino > env->geo->inode_nr))
		return -EUCLEAN;
again:
	while (!(in = table_find(c, ino))) {
		if (!mine)
			mine = inode_alloc(env, ino);
		if (!mine)
			return -ENOMEM;
		if (table_add(c, mine)) {
			in = mine;
			mine = NULL;
			cache_shrink(c);
			break;
		}
	}
	if (!inode_has(in, INODE_LOADED)) {
		bool gone;

		rt_mutex_lock(&in->load_lock);
		gone = inode_has(in, INODE_GONE); /* whoever loaded it before us failed */
		if (!gone && !inode_has(in, INODE_LOADED)) {
			err = inode_load(in, unlinked);
			if (!err)
				state_change(in, INODE_LOADED, 0);
			else
				table_remove(c, in);
		}
		rt_mutex_unlock(&in->load_lock);
		if (gone || err) {
			if (err)
				rt_u32_add_return(&in->ref, (uint32_t)-1); /* the table's */
			inode_put(in);
		}
		if (gone)
			goto again;
	} else if (!inode_has(in, INODE_USED)) {
		state_change(in, INODE_USED, 0);
	}
	if (mine)
		inode_release(mine);
	if (!err)
		*out = in;
	return err;
}

int inode_get(struct inode_env *env, mbfs_ino_t ino, struct inode **out)
{
	return inode_get_any(env, ino, false, out);
}

int inode_new(struct inode_env *env, mbfs_ino_t ino, mode_t mode, struct inode **out)
{
	struct inode *in = inode_alloc(env, ino), *old;
	struct rt_rand rand = { rt_rand_seed() };

	if (!in)
		return -ENOMEM;
	in->mode = mode;
	in->gen = (uint32_t)rt_rand_next(&rand);
	in->extra_isize = env->geo->want_extra_isize;
	in->tree.ino = ino;
	in->tree.gen = in->gen;
	in->tree.is_data = !S_ISDIR(mode);
	in->tree.goal = geo_grp_start(env->geo, (ino - 1) / env->geo->inodes_per_grp);
	if ((S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode)) && (env->geo->features & GEO_EXTENTS)) {
		in->flags = INODE_FL_EXTENTS;
		extent_tree_format(&in->tree);
	}
	state_change(in, INODE_LOADED, 0);
	while (!table_add(env->cache, in)) {
		/* A stale lookup is reading the freed slot, or the old inode is just leaving. */
		old = table_find(env->cache, ino);
		if (old)
			inode_put(old);
		rt_yield();
	}
	cache_shrink(env->cache);
	*out = in;
	return 0;
}

/* ---- write-back ---- */

int inode_dirty(struct inode *in, struct mbfs_tx *tx)
{
	struct buf *buf;
	uint32_t off;
	int err = table_block(in, &buf, &off);

	if (err)
		return err;
	rt_write_lock(&in->tree.lock);
	rt_mutex_lock(&in->fields);
	in->blocks_512 += (uint64_t)in->tree.meta_blks << (in->env->geo->block_bits - 9);
	in->tree.meta_blks = 0;
	inode_encode(in);
	csum_inode_set(in->env->geo, in->ino, in->gen, in->raw);
	buf_lock(buf);
	memcpy(buf->data + off, in->raw, in->env->geo->inode_bytes);
	tx_dirty(tx, buf);
	buf_unlock(buf);
	rt_mutex_unlock(&in->fields);
	rt_write_unlock(&in->tree.lock);
	buf_put(buf);
	return 0;
}

void inode_add_blocks(struct inode *in, int64_t blks)
{
	rt_mutex_lock(&in->fields);
	in->blocks_512 += (uint64_t)blks << (in->env->geo->block_bits - 9);
	rt_mutex_unlock(&in->fields);
}

void inode_attr(struct inode *in, struct mbfs_attr *out)
{
	rt_mutex_lock(&in->fields);
	*out = (struct mbfs_attr){
		.ino = in->ino,
		.gen = in->gen,
		.mode = in->mode,
		.nlink = in->nlink,
		.uid = in->uid,
		.gid = in->gid,
		.rdev = in->rdev,
		.size_bytes = in->size_bytes,
		.blocks_512 = in->blocks_512,
		.block_bytes = in->env->geo->block_bytes,
		.flags = in->flags,
		.atime = in->atime,
		.mtime = in->mtime,
		.ctime = in->ctime,
		.btime = in->btime,
	};
	rt_mutex_unlock(&in->fields);
}

/* ---- the end of an inode ---- */

/* Everything but the number: attributes, blocks, orphan list. In several handles. */
static int free_contents(struct inode *in)
{
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, XATTR_CREDITS, &tx);

	if (err)
		return err;
	err = xattr_free_all(in, tx);
	tx_stop(tx);
	return err ? err : file_free_blocks(in);
}

static int free_number(struct inode *in)
{
	struct inode_env *env = in->env;
	struct timespec now;
	struct mbfs_tx *tx;
	int err = tx_start(env->log, DIR_CREDITS, &tx);

	if (err)
		return err;
	err = orphan_del(in, tx);
	if (!err) {
		inode_now(&now);
		rt_mutex_lock(&in->fields);
		in->size_bytes = 0;
		inode_raw(in)->dtime = le32_of((uint32_t)now.tv_sec);
		rt_mutex_unlock(&in->fields);
		err = inode_dirty(in, tx);
	}
	if (!err)
		err = ialloc_free(env, tx, in->ino, inode_is_dir(in));
	tx_stop(tx);
	return err;
}

/* Reference 0, no links: nobody else can get at it. */
static void inode_free_on_disk(struct inode *in)
{
	struct inode_cache *c = in->env->cache;
	int err;

	if (in->tree.file)
		mbfs_alloc_file_close(in->tree.file);
	in->tree.file = NULL;
	err = free_contents(in);
	if (!err)
		err = free_number(in);
	if (err) {
		/* Its successors on the orphan list need it in memory; e2fsck or the next mount frees it. */
		log_err("inode %u: freeing it failed: %s; e2fsck will", in->ino, strerror(-err));
		state_change(in, INODE_STUCK, 0);
		rt_u32_set(&in->ref, 1);
		rt_event_signal(&c->gone);
		return;
	}
	inode_bury(c, in);
}

/* The caller's reference is the last besides the table's: is this the end of an unlinked inode? */
static bool is_last_of_unlinked(struct inode *in)
{
	bool unlinked;

	if (!inode_has(in, INODE_LOADED) || inode_has(in, INODE_GONE) || inode_has(in, INODE_STUCK) ||
	    in->env->read_only)
		return false;
	rt_mutex_lock(&in->fields);
	unlinked = in->nlink == 0;
	rt_mutex_unlock(&in->fields);
	return unlinked;
}

/*
 * The inode is only touched while the caller's reference is there. One that goes from 2 to 0 takes the
 * table's with it; from 1 there is no table any more: it failed to load.
 */
void inode_put(struct inode *in)
{
	uint32_t ref = rt_u32_read(&in->ref), left;

	do {
		left = ref - 1;
		if (ref == 2 && is_last_of_unlinked(in))
			left = 0;
	} while (!rt_u32_cas(&in->ref, &ref, left));
	if (left > 0)
		return;
	if (ref == 2) {
		inode_free_on_disk(in);
	} else {
		MBFS_ASSERT(inode_has(in, INODE_GONE));
		rt_rcu_call(&in->rcu, inode_release_rcu);
	}
}

void inode_pin(struct inode *in)
{
	if (rt_u64_add_return(&in->nlookup, 1) == 1)
		inode_hold(in);
}

void inode_unpin(struct inode_env *env, mbfs_ino_t ino, uint64_t n)
{
	struct inode *in = table_find(env->cache, ino);
	uint64_t left;

	if (!in)
		return;
	left = rt_u64_read(&in->nlookup);
	do {
		if (n > left) {
			log_warn("inode %u: forgotten more often than looked up", ino);
			n = left;
		}
	} while (!rt_u64_cas(&in->nlookup, &left, left - n));
	if (n > 0 && left == n)
		inode_put(in);
	inode_put(in);
}

/* ---- cache ---- */

int inode_cache_open(struct inode_env *env, uint32_t max_cached, struct inode_cache **out)
{
	struct inode_cache *c = rt_zalloc(sizeof(*c));
	uint64_t buckets;
	int err;

	if (!c)
		return -ENOMEM;
	c->env = env;
	c->max_nr = max_cached < CACHE_MIN_NR ? CACHE_MIN_NR : max_cached;
	buckets = 1ull << order_ceil(c->max_nr);
	err = rt_hash_init(&c->table, buckets > TABLE_MAX ? TABLE_MAX : buckets);
	if (err)
		goto err_free;
	err = ialloc_open(c);
	if (err)
		goto err_hash;
	rt_spin_init(&c->lock, RANK_CACHE);
	rt_mutex_init(&c->orphan_lock, RANK_ORPHAN);
	rt_event_init(&c->gone);
	TAILQ_INIT(&c->lru);
	TAILQ_INIT(&c->orphans);
	*out = c;
	return 0;

err_hash:
	rt_hash_destroy(&c->table);
err_free:
	rt_free(c);
	return err;
}

void inode_cache_close(struct inode_cache *c)
{
	struct inode *in;

	if (!c)
		return;
	/* Pins go first: then the put below is the last one, and frees unlinked inodes. */
	while ((in = TAILQ_FIRST(&c->lru))) {
		uint32_t one = 1;

		inode_hold(in);
		if (rt_u64_xchg(&in->nlookup, 0) > 0)
			rt_u32_add_return(&in->ref, (uint32_t)-1);
		MBFS_ASSERT(rt_u32_read(&in->ref) == 2);
		inode_put(in);
		if (in != TAILQ_FIRST(&c->lru))
			continue;
		if (!rt_u32_cas(&in->ref, &one, 0))
			MBFS_ASSERT(!"an inode is still in use");
		inode_bury(c, in);
	}
	rt_rcu_barrier();
	ialloc_close(c);
	rt_mutex_destroy(&c->orphan_lock);
	rt_spin_destroy(&c->lock);
	rt_hash_destroy(&c->table);
	rt_free(c);
}
