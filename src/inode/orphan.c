// SPDX-License-Identifier: GPL-2.0-only
/*
 * The orphan list: inodes that are to be freed (no links, still open) or cut to their size (a truncate in
 * several handles), so that a crash in between leaves a list of what is to be finished. On disk it is singly
 * linked through i_dtime with its head in the superblock; in memory the same inodes are on a list in the
 * same order, which gives the predecessor whose link changes when one leaves. orphan_lock guards both.
 */
#include "inode/inode_priv.h"

#include <errno.h>

#include "base/check.h"
#include "base/log.h"

static void link_set(struct inode *in, mbfs_ino_t next)
{
	rt_mutex_lock(&in->fields);
	in->orphan_next = next;
	inode_raw(in)->dtime = le32_of(next);
	rt_mutex_unlock(&in->fields);
}

int orphan_add(struct inode *in, struct mbfs_tx *tx)
{
	struct inode_env *env = in->env;
	struct inode_cache *c = env->cache;
	int err = 0;

	rt_mutex_lock(&c->orphan_lock);
	if (in->on_orphan_list)
		goto out;
	link_set(in, env->super_ops->orphan_head(env->super_ctx));
	err = inode_dirty(in, tx);
	if (err) {
		link_set(in, 0);
		goto out;
	}
	env->super_ops->orphan_head_set(env->super_ctx, tx, in->ino);
	TAILQ_INSERT_HEAD(&c->orphans, in, orphan);
	in->on_orphan_list = true;
out:
	rt_mutex_unlock(&c->orphan_lock);
	return err;
}

int orphan_del(struct inode *in, struct mbfs_tx *tx)
{
	struct inode_env *env = in->env;
	struct inode_cache *c = env->cache;
	mbfs_ino_t next = in->orphan_next;
	struct inode *prev;
	int err = 0;

	rt_mutex_lock(&c->orphan_lock);
	if (!in->on_orphan_list)
		goto out;
	next = in->orphan_next;
	prev = TAILQ_PREV(in, inode_list, orphan);
	if (prev) {
		link_set(prev, next);
		err = inode_dirty(prev, tx);
		if (err) {
			link_set(prev, in->ino);
			goto out;
		}
	} else {
		env->super_ops->orphan_head_set(env->super_ctx, tx, next);
	}
	TAILQ_REMOVE(&c->orphans, in, orphan);
	in->on_orphan_list = false;
	link_set(in, 0);
out:
	rt_mutex_unlock(&c->orphan_lock);
	return err;
}

/* Load the list as a crash left it; every inode on it is referenced then. */
static int orphans_load(struct inode_env *env)
{
	mbfs_ino_t ino = env->super_ops->orphan_head(env->super_ctx);
	struct inode *in;
	int err = 0;

	while (ino && !err) {
		err = inode_get_any(env, ino, true, &in);
		if (err)
			break;
		rt_mutex_lock(&env->cache->orphan_lock);
		if (in->on_orphan_list) { /* the list bites its tail */
			err = -EUCLEAN;
		} else {
			TAILQ_INSERT_TAIL(&env->cache->orphans, in, orphan);
			in->on_orphan_list = true;
			ino = in->orphan_next;
		}
		rt_mutex_unlock(&env->cache->orphan_lock);
		if (err)
			inode_put(in);
	}
	if (err)
		log_err("the list of orphan inodes is damaged at inode %u: run e2fsck -fy on the image", ino);
	return err;
}

/* One that has links is cut to its size; one without is freed by the put that follows. */
static int orphan_finish(struct inode *in)
{
	struct mbfs_tx *tx;
	int err;

	if (in->nlink == 0)
		return 0;
	rt_write_lock(&in->rw);
	err = file_cut(in, in->size_bytes);
	rt_write_unlock(&in->rw);
	if (err)
		return err;
	err = tx_start(in->env->log, DIR_CREDITS, &tx);
	if (err)
		return err;
	err = orphan_del(in, tx);
	if (!err)
		err = inode_dirty(in, tx);
	tx_stop(tx);
	return err;
}

/* Forget the list without changing anything; all but @done_with are still referenced by it. */
static void orphans_drop(struct inode_cache *c, const struct inode *done_with)
{
	struct inode *in;

	while ((in = TAILQ_FIRST(&c->orphans))) {
		TAILQ_REMOVE(&c->orphans, in, orphan);
		in->on_orphan_list = false;
		if (in != done_with) /* not inode_put(): it would free the inode */
			rt_u32_add_return(&in->ref, (uint32_t)-1);
	}
}

int orphan_cleanup(struct inode_env *env)
{
	struct inode_cache *c = env->cache;
	struct inode *in = NULL;
	int err = orphans_load(env);

	while (!err && (in = TAILQ_FIRST(&c->orphans))) {
		err = orphan_finish(in);
		inode_put(in);
		if (!err && TAILQ_FIRST(&c->orphans) == in)
			err = -EIO; /* freeing it failed, and said why */
	}
	if (err)
		orphans_drop(c, in);
	return err;
}
