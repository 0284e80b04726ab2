// SPDX-License-Identifier: GPL-2.0-only
/*
 * The orphan list: inodes that a crash would leave behind half done. On disk it is linked through
 * i_dtime, with its head in the superblock. Two kinds are on it: without links, still open: to be
 * freed; with links: being cut to i_size in more than one handle.
 *
 * In memory the same list is doubly linked, in the same order, so that any inode leaves it in one
 * step: the one before it gets its next. Table blocks of all of them are held, so that these
 * changes cannot fail; and the inodes themselves stay in memory (see inode.c).
 *
 * A file may be on it for a truncate when its last name goes: it is one entry. Unlinking finds it
 * there, sets the links to 0, and adds it once more; the truncate, when it ends, takes it off only
 * if it has links, in one hold of the list's lock. Whoever is last, it is there.
 *
 * orphan_next and on_orphan_list are written with the list's lock and the inode's fields, so that
 * inode_dirty(), which holds only fields, may read them. Lock path: list (18), tree (20), fields
 * (28).
 */
#include <errno.h>

#include "base/check.h"
#include "disk/inode_codec.h"
#include "inode/inode_priv.h"
#include "rt/mem.h"

static void link_set(struct inode *in, bool listed, mbfs_ino_t next)
{
	rt_mutex_lock(&in->fields);
	in->on_orphan_list = listed;
	in->orphan_next = next;
	rt_mutex_unlock(&in->fields);
}

/* Its table block is held: it cannot fail. */
static void dirty_held(struct inode *in, struct mbfs_tx *tx)
{
	int err = inode_dirty(in, tx);

	MBFS_ASSERT(!err);
}

int orphan_add(struct inode *in, struct mbfs_tx *tx)
{
	const struct inode_env *env = in->env;
	struct inode_cache *c = env->cache;
	int err = 0;

	rt_mutex_lock(&c->orphan_lock);
	if (in->on_orphan_list)
		goto out;
	err = table_hold(in, &in->orphan_table);
	if (err)
		goto out;
	link_set(in, true, env->super_ops->orphan_head(env->super_ctx));
	TAILQ_INSERT_HEAD(&c->orphans, in, orphan_link);
	dirty_held(in, tx);
	env->super_ops->orphan_head_set(env->super_ctx, tx, in->ino);
out:
	rt_mutex_unlock(&c->orphan_lock);
	return err;
}

/* The list's lock is held. */
static void del_locked(struct inode *in, struct mbfs_tx *tx)
{
	const struct inode_env *env = in->env;
	struct inode_cache *c = env->cache;
	struct inode *prev;

	if (!in->on_orphan_list)
		return;
	prev = TAILQ_PREV(in, inode_list, orphan_link);
	if (prev) {
		link_set(prev, true, in->orphan_next);
		dirty_held(prev, tx);
	} else {
		env->super_ops->orphan_head_set(env->super_ctx, tx, in->orphan_next);
	}
	TAILQ_REMOVE(&c->orphans, in, orphan_link);
	link_set(in, false, 0);
	dirty_held(in, tx);
	buf_put(in->orphan_table);
	in->orphan_table = NULL;
}

int orphan_del(struct inode *in, struct mbfs_tx *tx)
{
	struct inode_cache *c = in->env->cache;

	rt_mutex_lock(&c->orphan_lock);
	del_locked(in, tx);
	rt_mutex_unlock(&c->orphan_lock);
	return 0;
}

void orphan_del_linked(struct inode *in, struct mbfs_tx *tx)
{
	struct inode_cache *c = in->env->cache;
	bool linked;

	rt_mutex_lock(&c->orphan_lock);
	rt_mutex_lock(&in->fields);
	linked = in->nlink;
	rt_mutex_unlock(&in->fields);
	if (linked)
		del_locked(in, tx);
	rt_mutex_unlock(&c->orphan_lock);
}

/* ---- at mount ---- */

/* One inode of the list, before anything is changed. */
static int orphan_peek(struct inode_env *env, mbfs_ino_t ino, uint8_t *raw, mbfs_ino_t *next)
{
	struct inode_image img;
	bool used;
	int err;

	if (ino < env->geo->first_ino || ino > geo_inode_nr(env->geo))
		return inode_damaged(env, ino, "it cannot be on the orphan list", -EUCLEAN);
	err = ialloc_in_use(env, ino, &used);
	if (!err && !used)
		err = inode_damaged(env, ino, "it is on the orphan list, but free", -EUCLEAN);
	if (!err)
		err = inode_raw_read(env, ino, raw);
	if (!err && inode_image_decode(env->geo, raw, &img))
		err = inode_damaged(env, ino, "it is on the orphan list and makes no sense",
				    -EUCLEAN);
	if (!err)
		*next = img.dtime;
	return err;
}

/* All of the list can be followed to its end. A circle is found as in Brent's algorithm. */
static int orphans_verify(struct inode_env *env)
{
	mbfs_ino_t at = env->super_ops->orphan_head(env->super_ctx), passed = 0;
	uint8_t *raw = rt_alloc(env->geo->inode_bytes);
	uint64_t steps = 0, limit = 1;
	int err = raw ? 0 : -ENOMEM;

	while (!err && at) {
		if (at == passed) {
			err = inode_damaged(env, at, "the orphan list leads back to it", -EUCLEAN);
			break;
		}
		if (++steps == limit) {
			passed = at;
			steps = 0;
			limit *= 2;
		}
		err = orphan_peek(env, at, raw, &at);
	}
	rt_free(raw);
	return err;
}

/* Take over the head of the list on disk, the only one that is in memory. */
static void orphan_adopt(struct inode *in, struct buf *table, mbfs_ino_t next)
{
	struct inode_cache *c = in->env->cache;

	rt_mutex_lock(&c->orphan_lock);
	in->orphan_table = table;
	link_set(in, true, next);
	TAILQ_INSERT_HEAD(&c->orphans, in, orphan_link);
	rt_mutex_unlock(&c->orphan_lock);
}

/* A file that was being cut. */
static int orphan_finish(struct inode *in)
{
	struct mbfs_tx *tx;
	int err = 0;

	rt_write_lock(&in->rw);
	if (inode_is_reg(in)) {
		err = file_zero_tail(in, in->size_bytes);
		if (!err)
			err = file_trim(in);
	}
	rt_write_unlock(&in->rw);
	if (!err)
		err = tx_start(in->env->log, 1, &tx);
	if (err)
		return err;
	err = orphan_del(in, tx);
	tx_stop(tx);
	return err;
}

static int orphan_clean(struct inode_env *env, mbfs_ino_t ino, uint8_t *raw)
{
	struct inode *in;
	struct buf *table;
	mbfs_ino_t next = 0;
	int err = orphan_peek(env, ino, raw, &next), put_err;

	if (!err)
		err = table_hold_ino(env, ino, &table);
	if (err)
		return err;
	err = inode_get_orphan(env, ino, &in);
	if (err) {
		buf_put(table);
		return err;
	}
	orphan_adopt(in, table, next);
	if (in->nlink)
		err = orphan_finish(in);
	put_err = inode_put_err(in); /* frees one without links */
	return err ? err : put_err;
}

int orphan_cleanup(struct inode_env *env)
{
	mbfs_ino_t ino, last = 0;
	uint8_t *raw;
	int err = orphans_verify(env);

	if (err || !env->super_ops->orphan_head(env->super_ctx))
		return err;
	raw = rt_alloc(env->geo->inode_bytes);
	if (!raw)
		return -ENOMEM;
	/* Each turn takes the head off; the list was found to end. */
	while (!err && (ino = env->super_ops->orphan_head(env->super_ctx)) != 0) {
		err = ino == last ? -EUCLEAN : orphan_clean(env, ino, raw);
		last = ino;
	}
	rt_free(raw);
	return err;
}
