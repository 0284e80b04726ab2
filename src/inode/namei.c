/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whole operations on names: find, link, unlink, rmdir, and on attributes. create.c and rename.c
 * have the others; namei_priv.h says how they are built.
 *
 * Equation: the link count of a file = its entries; of a directory = 2 + its subdirectories, or 1
 * when those were more than 65000 once. A count of 0 is on the orphan list before it is 0.
 *
 * Locks: directories before what is in them, exclusively (rw, 10), then the handle. A file that
 * gets or loses a name is locked too, so that link and unlink from two directories see each other.
 * Lookup takes the directory shared and keeps it while the inode is read: a number found is a
 * number in use. inode_put() may free an inode, with a handle of its own: always after the handle
 * and all locks.
 */
#include "inode/namei_priv.h"

#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "inode/acl.h"

int namei_name(const char *name, size_t *len)
{
	*len = strlen(name);
	if (!*len)
		return -ENOENT;
	if (*len > DIRENT_NAME_MAX)
		return -ENAMETOOLONG;
	return memchr(name, '/', *len) ? -EINVAL : 0;
}

int namei_dir_writable(const struct inode *dir, bool del)
{
	if (dir->env->read_only)
		return -EROFS;
	if (!inode_is_dir(dir))
		return -ENOTDIR;
	if (!dir->nlink)
		return -ENOENT;
	if (dir->flags & (INODE_FL_IMMUTABLE | (del ? INODE_FL_APPEND : 0)))
		return -EPERM;
	return 0;
}

int namei_subdir_room(const struct inode *dir)
{
	bool counted = !(dir->env->geo->features & GEO_DIR_NLINK);

	return counted && dir->nlink >= LINKS_MAX ? -EMLINK : 0;
}

int namei_get(struct inode *dir, const char *name, size_t len, struct dir_pos *pos,
	      struct inode **out)
{
	struct dir_pos found;
	mbfs_ino_t ino;
	int err = dir_locate(dir, name, len, &found);

	if (err)
		return err;
	ino = dirent_ino(found.buf->data + found.at.off);
	err = inode_get(dir->env, ino, out);
	if (err == -ESTALE) {
		log_err("directory inode %u: an entry leads to inode %u, which is not in use; run "
			"e2fsck -f on "
			"the image",
			dir->ino, ino);
		err = -EUCLEAN;
	}
	if (err || !pos)
		buf_put(found.buf);
	else
		*pos = found;
	return err;
}

/* ---- commit ---- */

static uint32_t links_after(const struct inode *in, int links)
{
	if (!inode_is_dir(in))
		return (uint32_t)((int64_t)in->nlink + links);
	if (in->nlink == 1 || !links)
		return in->nlink;
	if (links < 0)
		return in->nlink > 2 ? in->nlink - 1 : in->nlink;
	return in->nlink + 1 > LINKS_MAX ? 1 : in->nlink + 1;
}

static void commit_dirty(struct inode *in, struct mbfs_tx *tx)
{
	int err = inode_dirty(in, tx);

	/* Its table block is held: nothing can fail. */
	MBFS_ASSERT(!err);
}

void namei_commit(struct inode *in, struct mbfs_tx *tx, int links, unsigned times)
{
	struct timespec now;

	inode_now(&now);
	rt_mutex_lock(&in->fields);
	in->nlink = links_after(in, links);
	if (times & NAMEI_CTIME)
		in->ctime = now;
	if (times & NAMEI_MTIME)
		in->mtime = now;
	rt_mutex_unlock(&in->fields);
	commit_dirty(in, tx);
}

void namei_commit_gone(struct inode *in, struct mbfs_tx *tx)
{
	int err;

	rt_mutex_lock(&in->fields);
	in->nlink = 0;
	inode_now(&in->ctime);
	rt_mutex_unlock(&in->fields);
	/* A truncate that had put it there before us may have taken it off since. */
	err = orphan_add(in, tx);
	MBFS_ASSERT(!err);
	commit_dirty(in, tx);
}

/* ---- lookup ---- */

int namei_lookup(struct inode *dir, const char *name, struct inode **out)
{
	size_t len;
	int err = namei_name(name, &len);

	if (err)
		return err;
	rt_read_lock(&dir->rw);
	err = namei_get(dir, name, len, NULL, out);
	rt_read_unlock(&dir->rw);
	return err;
}

/* ---- link ---- */

static int link_check(const struct inode *in)
{
	if (inode_is_dir(in))
		return -EPERM;
	if (!in->nlink)
		return -ENOENT;
	return in->nlink >= LINKS_MAX ? -EMLINK : namei_linkable(in);
}

static int link_locked(struct inode *in, struct inode *dir, const char *name, size_t len,
		       struct mbfs_tx *tx, unsigned alloc_flags)
{
	struct buf *table = NULL, *dir_table = NULL;
	int err = table_hold(in, &table);

	if (!err)
		err = table_hold(dir, &dir_table);
	if (!err)
		err = dir_add(dir, tx, name, len, in->ino, IFTODT(in->type), alloc_flags);
	if (!err) {
		namei_commit(in, tx, 1, NAMEI_CTIME);
		namei_commit(dir, tx, 0, NAMEI_CTIME | NAMEI_MTIME);
	}
	buf_put(table);
	buf_put(dir_table);
	return err;
}

int namei_link(struct inode *in, struct inode *dir, const char *name, unsigned alloc_flags)
{
	struct mbfs_tx *tx;
	size_t len;
	int err = namei_name(name, &len);

	if (err)
		return err;
	if (inode_is_dir(in))
		return -EPERM;
	rt_write_lock(&dir->rw);
	rt_write_lock_nested(&in->rw); /* a file in, or to be in, the directory */
	err = namei_dir_writable(dir, false);
	if (!err)
		err = namei_is_dots(name, len) ? -EEXIST : link_check(in);
	if (!err)
		err = tx_start(dir->env->log, DIR_CREDITS, &tx);
	if (!err) {
		err = link_locked(in, dir, name, len, tx, alloc_flags);
		tx_stop(tx);
	}
	rt_write_unlock(&in->rw);
	rt_write_unlock(&dir->rw);
	return err;
}

/* ---- unlink and rmdir ---- */

static int victim_check(struct inode *victim, bool want_dir)
{
	bool empty;
	int err;

	if (want_dir != inode_is_dir(victim))
		return want_dir ? -ENOTDIR : -EISDIR;
	err = namei_linkable(victim);
	if (err || !want_dir)
		return err;
	err = dir_is_empty(victim, &empty);
	return err ? err : empty ? 0 : -ENOTEMPTY;
}

/* Both are locked. An entry of an inode without links is damage; the entry can still be removed. */
static int remove_locked(struct inode *dir, const struct dir_pos *pos, struct inode *victim,
			 struct mbfs_tx *tx)
{
	bool is_dir = inode_is_dir(victim), last = is_dir || victim->nlink == 1;
	struct buf *table = NULL, *dir_table = NULL;
	int err = table_hold(victim, &table);

	if (!err)
		err = table_hold(dir, &dir_table);
	if (!err && last)
		err = orphan_add(victim, tx);
	if (!err) {
		dir_pos_del(dir, tx, pos);
		if (last)
			namei_commit_gone(victim, tx);
		else
			namei_commit(victim, tx, victim->nlink ? -1 : 0, NAMEI_CTIME);
		namei_commit(dir, tx, is_dir ? -1 : 0, NAMEI_CTIME | NAMEI_MTIME);
	}
	buf_put(table);
	buf_put(dir_table);
	return err;
}

static int namei_remove(struct inode *dir, const char *name, size_t len, bool want_dir)
{
	struct inode *victim = NULL;
	struct dir_pos pos;
	struct mbfs_tx *tx;
	int err;

	rt_write_lock(&dir->rw);
	err = namei_dir_writable(dir, true);
	if (!err)
		err = namei_get(dir, name, len, &pos, &victim);
	if (err)
		goto out_dir;
	/* A directory that contains itself is a damaged image. */
	if (victim == dir) {
		err = dir_damaged(dir, pos.lblk, "a directory inside itself");
		goto out_pos;
	}
	rt_write_lock_nested(&victim->rw); /* parent before child */
	err = victim_check(victim, want_dir);
	if (!err)
		err = tx_start(dir->env->log, DIR_CREDITS, &tx);
	if (!err) {
		err = remove_locked(dir, &pos, victim, tx);
		tx_stop(tx);
	}
	rt_write_unlock(&victim->rw);
out_pos:
	buf_put(pos.buf);
out_dir:
	rt_write_unlock(&dir->rw);
	if (victim)
		inode_put(victim);
	return err;
}

int namei_unlink(struct inode *dir, const char *name)
{
	size_t len;
	int err = namei_name(name, &len);

	if (err)
		return err;
	return namei_is_dots(name, len) ? -EISDIR : namei_remove(dir, name, len, false);
}

int namei_rmdir(struct inode *dir, const char *name)
{
	size_t len;
	int err = namei_name(name, &len);

	if (err)
		return err;
	if (namei_is_dots(name, len))
		return len == 1 ? -EINVAL : -ENOTEMPTY;
	return namei_remove(dir, name, len, true);
}

/* ---- symbolic links ---- */

/* Its text is in the inode: it has no block but, maybe, that of its attributes. */
static bool symlink_is_fast(struct inode *in)
{
	uint64_t attr_512;
	bool fast;

	rt_mutex_lock(&in->fields);
	attr_512 = in->xattr_blk ? in->env->geo->block_bytes / 512 : 0;
	fast = !(in->flags & INODE_FL_EXTENTS) && in->blocks_512 == attr_512;
	rt_mutex_unlock(&in->fields);
	return fast;
}

static int symlink_read(struct inode *in, char *buf, size_t len)
{
	const struct mbfs_geo *geo = in->env->geo;
	struct extent_map map;
	int err;

	if (symlink_is_fast(in)) {
		if (len >= EXTENT_ROOT_BYTES)
			goto bad;
		memcpy(buf, in->tree.root, len);
		return 0;
	}
	err = extent_map(&in->tree, 0, 1, &map);
	if (err)
		return err;
	if (map.state != EXTENT_WRITTEN)
		goto bad;
	return mbfs_bdev_read(in->env->dev, map.pblk << geo->block_bits, buf, len);
bad:
	log_err("inode %u: damaged symbolic link; run e2fsck -f on the image", in->ino);
	return -EUCLEAN;
}

int namei_readlink(struct inode *in, char *buf, size_t bytes)
{
	int err;

	if (!inode_is_link(in))
		return -EINVAL;
	rt_read_lock(&in->rw);
	if (!in->size_bytes || in->size_bytes > in->env->geo->block_bytes) {
		log_err("inode %u: impossible length of a symbolic link; run e2fsck -f on the "
			"image",
			in->ino);
		err = -EUCLEAN;
	} else if (in->size_bytes >= bytes) {
		err = -ERANGE;
	} else {
		err = symlink_read(in, buf, (size_t)in->size_bytes);
		if (!err)
			buf[in->size_bytes] = 0;
	}
	rt_read_unlock(&in->rw);
	return err;
}

/* ---- attributes ---- */

/* With these of enum mbfs_set: see namei_kill_mode(). */
enum { SET_KILL_MODE = 1u << 31 };

/* Without the group's right to execute setgid means mandatory locking. Fields are held. */
static mode_t priv_bits(const struct inode *in)
{
	return in->mode & (in->mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID);
}

static void set_fields(struct inode *in, unsigned set, const struct mbfs_attr *want)
{
	struct timespec now;

	inode_now(&now);
	rt_mutex_lock(&in->fields);
	if (set & SET_KILL_MODE)
		in->mode &= ~priv_bits(in);
	if (set & MBFS_SET_MODE)
		in->mode = in->type | (want->mode & 07777);
	if (set & MBFS_SET_UID)
		in->uid = want->uid;
	if (set & MBFS_SET_GID)
		in->gid = want->gid;
	if (set & MBFS_SET_ATIME)
		in->atime = want->atime;
	if (set & MBFS_SET_MTIME)
		in->mtime = want->mtime;
	if (set & MBFS_SET_ATIME_NOW)
		in->atime = now;
	if (set & MBFS_SET_MTIME_NOW)
		in->mtime = now;
	in->ctime = set & MBFS_SET_CTIME ? want->ctime : now;
	rt_mutex_unlock(&in->fields);
}

/* All but the size. rw is held: creations in a directory look at its mode and group under it. */
static int set_locked(struct inode *in, unsigned set, const struct mbfs_attr *want)
{
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, XATTR_CREDITS, &tx);

	if (err)
		return err;
	if (set & MBFS_SET_MODE)
		err = acl_chmod(in, tx, want->mode);
	if (!err) {
		set_fields(in, set, want);
		commit_dirty(in, tx);
	}
	tx_stop(tx);
	return err;
}

/* An append-only file's times may be set to now, nothing else; of an immutable one nothing. */
static int set_check(struct inode *in, unsigned set)
{
	uint32_t flags;

	if (in->env->read_only)
		return -EROFS;
	if ((set & MBFS_SET_SIZE) && !inode_is_reg(in))
		return inode_is_dir(in) ? -EISDIR : -EINVAL;
	rt_mutex_lock(&in->fields);
	flags = in->flags;
	rt_mutex_unlock(&in->fields);
	if ((flags & (INODE_FL_APPEND | INODE_FL_IMMUTABLE)) == INODE_FL_APPEND)
		set &= ~(unsigned)(MBFS_SET_ATIME_NOW | MBFS_SET_MTIME_NOW | MBFS_SET_CTIME);
	else if (!(flags & INODE_FL_IMMUTABLE))
		set = 0;
	return set ? -EPERM : 0;
}

int namei_setattr(struct inode *in, unsigned set, const struct mbfs_attr *want)
{
	struct buf *table;
	int err = set_check(in, set);

	if (!err)
		err = table_hold(in, &table);
	if (err)
		return err;
	if (set & MBFS_SET_SIZE)
		err = file_truncate(in, want->size_bytes);
	set &= ~(unsigned)MBFS_SET_SIZE;
	if (!err && set) {
		rt_write_lock(&in->rw);
		err = set_locked(in, set, want);
		rt_write_unlock(&in->rw);
	}
	buf_put(table);
	return err;
}

int namei_kill_mode(struct inode *in)
{
	struct buf *table;
	mode_t kill;
	int err;

	rt_mutex_lock(&in->fields);
	kill = priv_bits(in);
	rt_mutex_unlock(&in->fields);
	if (!kill)
		return 0;
	if (in->env->read_only)
		return -EROFS;
	err = table_hold(in, &table);
	if (err)
		return err;
	rt_write_lock(&in->rw);
	err = set_locked(in, SET_KILL_MODE, NULL);
	rt_write_unlock(&in->rw);
	buf_put(table);
	return err;
}
