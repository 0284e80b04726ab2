// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on names: inode numbers become references, references become pins. Every call that
 * fills an mbfs_attr pins the inode while it still holds its reference, so the number stays good
 * for the caller.
 */
#include "fs/fs_priv.h"

#include <string.h>

enum { SYMLINK_BYTES_MAX = 4095 };

int fs_inode_get(struct mbfs_fs *fs, mbfs_ino_t ino, struct inode **out)
{
	const struct mbfs_geo *geo = &fs->super.geo;

	if (ino != MBFS_ROOT_INO && (ino < geo->first_ino || ino > geo_inode_nr(geo)))
		return -ESTALE;
	return inode_get(&fs->env, ino, out);
}

int fs_change_check(struct inode *in, bool append_ok)
{
	uint32_t flags;

	rt_mutex_lock(&in->fields);
	flags = in->flags;
	rt_mutex_unlock(&in->fields);
	if (flags & INODE_FL_IMMUTABLE)
		return -EPERM;
	return (flags & INODE_FL_APPEND) && !append_ok ? -EPERM : 0;
}

/* The directory of a change: referenced. The rules about names and flags are namei's. */
static int dir_for_change(struct mbfs_fs *fs, mbfs_ino_t ino, struct inode **out)
{
	int err = fs_writable(fs);

	return err ? err : fs_inode_get(fs, ino, out);
}

/* Hand an inode out: pinned and described; the reference is given up. */
static void give(struct inode *in, struct mbfs_attr *attr)
{
	inode_pin(in);
	inode_attr(in, attr);
	inode_put(in);
}

static int lookup(struct mbfs_fs *fs, struct inode *dir, const char *name, struct inode **out)
{
	mbfs_ino_t parent;
	int err;

	if (!strcmp(name, ".")) {
		inode_hold(dir);
		*out = dir;
		return 0;
	}
	if (!inode_is_dir(dir))
		return -ENOTDIR;
	if (strcmp(name, ".."))
		return namei_lookup(dir, name, out);
	rt_read_lock(&dir->rw);
	err = dir_parent(dir, &parent);
	rt_read_unlock(&dir->rw);
	return err ? err : fs_inode_get(fs, parent, out);
}

int mbfs_fs_lookup(struct mbfs_fs *fs, mbfs_ino_t dir_ino, const char *name, struct mbfs_attr *attr)
{
	struct inode *dir, *in;
	int err = fs_inode_get(fs, dir_ino, &dir);

	if (err)
		return fs_seen(fs, err);
	err = lookup(fs, dir, name, &in);
	if (!err)
		give(in, attr);
	inode_put(dir);
	return fs_seen(fs, err);
}

void mbfs_fs_forget(struct mbfs_fs *fs, mbfs_ino_t ino, uint64_t nlookup)
{
	inode_unpin(&fs->env, ino, nlookup);
}

static int create(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir_ino,
		  const char *name, mode_t mode, dev_t rdev, const char *target,
		  struct mbfs_attr *attr)
{
	struct inode *dir, *in;
	int err = dir_for_change(fs, dir_ino, &dir);

	if (err)
		return fs_seen(fs, err);
	err = namei_create(dir, cred, name, mode, rdev, target, &in);
	if (!err)
		give(in, attr);
	inode_put(dir);
	return fs_seen(fs, err);
}

int mbfs_fs_mknod(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir,
		  const char *name, mode_t mode, dev_t rdev, struct mbfs_attr *attr)
{
	mode_t type = mode & S_IFMT;

	if (!type)
		mode |= S_IFREG;
	else if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
		 type != S_IFSOCK)
		return -EINVAL;
	return create(fs, cred, dir, name, mode, rdev, NULL, attr);
}

int mbfs_fs_mkdir(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir,
		  const char *name, mode_t mode, struct mbfs_attr *attr)
{
	return create(fs, cred, dir, name, (mode & ~(mode_t)S_IFMT) | S_IFDIR, 0, NULL, attr);
}

int mbfs_fs_symlink(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir,
		    const char *name, const char *target, struct mbfs_attr *attr)
{
	size_t len = strnlen(target, SYMLINK_BYTES_MAX + 1);

	if (!len)
		return -ENOENT;
	if (len > SYMLINK_BYTES_MAX)
		return -ENAMETOOLONG;
	return create(fs, cred, dir, name, S_IFLNK | 0777, 0, target, attr);
}

int mbfs_fs_link(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t ino,
		 mbfs_ino_t dir_ino, const char *name, struct mbfs_attr *attr)
{
	struct inode *dir, *in;
	int err = dir_for_change(fs, dir_ino, &dir);

	if (err)
		return fs_seen(fs, err);
	err = fs_inode_get(fs, ino, &in);
	if (err)
		goto out_dir;
	err = namei_link(in, dir, name, inode_root_flags(&fs->env, cred));
	if (!err)
		give(in, attr);
	else
		inode_put(in);
out_dir:
	inode_put(dir);
	return fs_seen(fs, err);
}

static int remove_name(struct mbfs_fs *fs, mbfs_ino_t dir_ino, const char *name, bool is_dir)
{
	struct inode *dir;
	int err = dir_for_change(fs, dir_ino, &dir);

	if (err)
		return fs_seen(fs, err);
	err = is_dir ? namei_rmdir(dir, name) : namei_unlink(dir, name);
	inode_put(dir);
	return fs_seen(fs, err);
}

int mbfs_fs_unlink(struct mbfs_fs *fs, mbfs_ino_t dir, const char *name)
{
	return remove_name(fs, dir, name, false);
}

int mbfs_fs_rmdir(struct mbfs_fs *fs, mbfs_ino_t dir, const char *name)
{
	return remove_name(fs, dir, name, true);
}

int mbfs_fs_rename(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir_ino,
		   const char *name, mbfs_ino_t new_dir_ino, const char *new_name, unsigned flags)
{
	struct inode *dir, *new_dir;
	int err;

	err = dir_for_change(fs, dir_ino, &dir);
	if (err)
		return fs_seen(fs, err);
	err = dir_for_change(fs, new_dir_ino, &new_dir);
	if (err)
		goto out_dir;
	/* A rename between directories may move a tree: the tree's shape holds still meanwhile. */
	if (dir != new_dir)
		rt_mutex_lock(&fs->rename_lock);
	err = namei_rename(dir, name, new_dir, new_name, flags,
			   inode_root_flags(&fs->env, cred));
	if (dir != new_dir)
		rt_mutex_unlock(&fs->rename_lock);
	inode_put(new_dir);
out_dir:
	inode_put(dir);
	return fs_seen(fs, err);
}

int mbfs_fs_readlink(struct mbfs_fs *fs, mbfs_ino_t ino, char *buf, size_t bytes)
{
	struct inode *in;
	int err = fs_inode_get(fs, ino, &in);

	if (err)
		return fs_seen(fs, err);
	err = namei_readlink(in, buf, bytes);
	inode_put(in);
	return fs_seen(fs, err);
}
