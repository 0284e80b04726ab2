/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * New files, directories, symbolic links and devices.
 *
 * The inode is made and filled first, with a link count of 0: if anything after that fails,
 * dropping the last reference frees it with all it has. Its name comes last of what can fail; then
 * counts and times.
 */
#include "inode/namei_priv.h"

#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "inode/acl.h"
#include "rt/mem.h"

/* i_flags that a new inode has from its directory, and those of them that make sense for any kind.
 */
enum {
	FL_SYNC = 0x8,
	FL_NODUMP = 0x40,
	FL_NOATIME = 0x80,
	FL_NOTAIL = 0x8000,
	FL_DIRSYNC = 0x10000,
	FL_INHERITED = FL_SYNC | FL_NODUMP | FL_NOATIME | FL_NOTAIL | FL_DIRSYNC,
	FL_ANY_KIND = FL_NODUMP | FL_NOATIME,
};

struct create {
	struct inode *dir;
	const struct mbfs_cred *cred;
	const char *name;
	size_t len;
	mode_t mode;
	dev_t rdev;
	const char *target;
	struct mbfs_tx *tx;
	struct inode *in; /* the new inode; nlink 0 until commit */
	/* The directory's default ACL, NULL if it has none; then the access ACL made of it. */
	uint8_t *acl;
	size_t acl_bytes;
};

static unsigned alloc_flags(const struct create *c)
{
	return inode_root_flags(c->dir->env, c->cred);
}

/* Type, permissions and what follows from them. c->acl becomes the new inode's access ACL. */
static mode_t new_mode(struct create *c)
{
	mode_t mode = c->mode;

	if (S_ISLNK(mode))
		return S_IFLNK | 0777;
	if (c->acl)
		acl_limit(c->acl, c->acl_bytes, &mode);
	else
		mode &= ~(c->cred->umask & 0777);
	if (S_ISDIR(mode) && (c->dir->mode & S_ISGID))
		mode |= S_ISGID;
	return mode;
}

static void fill_fields(struct create *c)
{
	struct inode *in = c->in;
	uint32_t inherit = FL_INHERITED;

	if (!inode_is_dir(in))
		inherit &= ~(uint32_t)FL_DIRSYNC;
	if (!inode_is_dir(in) && !inode_is_reg(in))
		inherit = FL_ANY_KIND;
	rt_mutex_lock(&in->fields);
	in->uid = c->cred->uid;
	in->gid = c->dir->mode & S_ISGID ? c->dir->gid : c->cred->gid;
	in->flags |= c->dir->flags & inherit;
	if (S_ISCHR(in->type) || S_ISBLK(in->type))
		in->rdev = c->rdev;
	inode_now(&in->ctime);
	in->atime = in->mtime = in->btime = in->ctime;
	rt_mutex_unlock(&in->fields);
}

/* ---- symbolic links ---- */

/* The text into a block of its own, before the block counts as written. */
static int slow_symlink(struct create *c, size_t len)
{
	struct inode *in = c->in;
	const struct mbfs_geo *geo = in->env->geo;
	struct extent_map map;
	uint32_t blks = 0;
	uint8_t *block;
	int err;

	if (!in->tree.mapped)
		return -EOPNOTSUPP;
	block = rt_zalloc(geo->block_bytes);
	if (!block)
		return -ENOMEM;
	memcpy(block, c->target, len);
	err = extent_allocate(&in->tree, c->tx, 0, 1, 1, alloc_flags(c) | MBFS_ALLOC_NO_PREALLOC,
			      &map, &blks);
	if (err)
		goto out;
	inode_add_blocks(in, blks);
	err = mbfs_bdev_write(in->env->dev, map.pblk << geo->block_bits, block, geo->block_bytes);
	if (!err)
		err = extent_convert(&in->tree, c->tx, 0, 1);
out:
	rt_free(block);
	return err;
}

/* The text where the block map would be. */
static void fast_symlink(struct create *c, size_t len)
{
	struct inode *in = c->in;

	rt_write_lock(&in->tree.lock);
	memset(in->tree.root, 0, EXTENT_ROOT_BYTES);
	memcpy(in->tree.root, c->target, len);
	in->tree.root_dirty = true;
	in->tree.mapped = false; /* nobody else knows the inode yet */
	rt_write_unlock(&in->tree.lock);
	rt_mutex_lock(&in->fields);
	in->flags &= ~(uint32_t)INODE_FL_EXTENTS;
	rt_mutex_unlock(&in->fields);
}

static int fill_symlink(struct create *c)
{
	size_t len = strlen(c->target);
	int err = 0;

	if (len < EXTENT_ROOT_BYTES)
		fast_symlink(c, len);
	else
		err = slow_symlink(c, len);
	if (err)
		return err;
	rt_mutex_lock(&c->in->fields);
	c->in->size_bytes = len;
	rt_mutex_unlock(&c->in->fields);
	return 0;
}

/* ---- ACLs ---- */

/* The access ACL, as new_mode() has made it, and a directory's default one. */
static int inherit_acl(struct create *c)
{
	bool extended;
	uint8_t *dflt;
	int err = 0;

	acl_mode(c->acl, c->acl_bytes, &extended);
	if (extended)
		err = xattr_set(c->in, c->tx, ACL_ACCESS_NAME, c->acl, c->acl_bytes, 0,
				alloc_flags(c));
	if (err || !inode_is_dir(c->in))
		return err;
	err = acl_read(c->dir, ACL_DEFAULT_NAME, &dflt, &c->acl_bytes);
	if (!err && dflt)
		err = xattr_set(c->in, c->tx, ACL_DEFAULT_NAME, dflt, c->acl_bytes, 0,
				alloc_flags(c));
	rt_free(dflt);
	return err;
}

/* ---- the operation ---- */

/* On error c->in is either NULL or to be put, after the handle. */
static int make_inode(struct create *c)
{
	struct inode_env *env = c->dir->env;
	mode_t mode = new_mode(c);
	mbfs_ino_t ino;
	int err = ialloc_new(env, c->tx, c->dir, mode, &ino);

	if (err)
		return err;
	err = inode_new(env, ino, mode, &c->in);
	if (err) {
		if (ialloc_free(env, c->tx, ino, S_ISDIR(mode)))
			log_err("inode %u is lost: run e2fsck -f on the image", ino);
		c->in = NULL;
		return err;
	}
	fill_fields(c);
	if (c->acl) {
		err = inherit_acl(c);
		if (err)
			return err;
	}
	if (S_ISDIR(mode))
		return dir_init(c->in, c->tx, c->dir->ino, alloc_flags(c));
	return S_ISLNK(mode) ? fill_symlink(c) : 0;
}

static int name_inode(struct create *c)
{
	struct buf *table = NULL, *dir_table = NULL;
	bool is_dir = inode_is_dir(c->in);
	int err = table_hold(c->in, &table);

	if (!err)
		err = table_hold(c->dir, &dir_table);
	if (!err)
		err = dir_add(c->dir, c->tx, c->name, c->len, c->in->ino, IFTODT(c->in->type),
			      alloc_flags(c));
	if (!err) {
		rt_mutex_lock(&c->in->fields);
		c->in->nlink = is_dir ? 2 : 1;
		rt_mutex_unlock(&c->in->fields);
		namei_commit(c->in, c->tx, 0, 0);
		namei_commit(c->dir, c->tx, is_dir ? 1 : 0, NAMEI_CTIME | NAMEI_MTIME);
	}
	buf_put(table);
	buf_put(dir_table);
	return err;
}

/* What can be said before anything is made. */
static int create_check(const struct create *c)
{
	uint8_t d_type;
	mbfs_ino_t ino;
	int err = namei_dir_writable(c->dir, false);

	if (err)
		return err;
	if (namei_is_dots(c->name, c->len))
		return -EEXIST;
	err = dir_find(c->dir, c->name, c->len, &ino, &d_type);
	if (err != -ENOENT)
		return err ? err : -EEXIST;
	return S_ISDIR(c->mode) ? namei_subdir_room(c->dir) : 0;
}

static int create_locked(struct create *c)
{
	int err = create_check(c);

	if (!err && !S_ISLNK(c->mode))
		err = acl_read(c->dir, ACL_DEFAULT_NAME, &c->acl, &c->acl_bytes);
	if (!err)
		err = tx_start(c->dir->env->log, 2 * DIR_CREDITS, &c->tx);
	if (err)
		return err;
	err = make_inode(c);
	if (!err)
		err = name_inode(c);
	tx_stop(c->tx);
	return err;
}

int namei_create(struct inode *dir, const struct mbfs_cred *cred, const char *name, mode_t mode,
		 dev_t rdev, const char *symlink_target, struct inode **out)
{
	struct create c = { .dir = dir, .cred = cred, .name = name, .mode = mode, .rdev = rdev,
			    .target = symlink_target };
	int err = namei_name(name, &c.len);

	if (err)
		return err;
	if (S_ISLNK(mode) != !!symlink_target || !(mode & S_IFMT))
		return -EINVAL;
	if (symlink_target && !*symlink_target)
		return -ENOENT;
	/* As ext4: the text and its NUL fit in one block. */
	if (symlink_target && strlen(symlink_target) >= dir->env->geo->block_bytes)
		return -ENAMETOOLONG;
	rt_write_lock(&dir->rw);
	err = create_locked(&c);
	rt_write_unlock(&dir->rw);
	rt_free(c.acl);
	if (!err)
		*out = c.in;
	else if (c.in)
		inode_put(c.in);
	return err;
}
