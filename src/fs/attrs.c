// SPDX-License-Identifier: GPL-2.0-only
/* Attributes and extended attributes by inode number. */
#include "fs/fs_priv.h"

#include <string.h>

#include "base/check.h"

#define CAPABILITY_NAME "security.capability"

int mbfs_fs_getattr(struct mbfs_fs *fs, mbfs_ino_t ino, struct mbfs_attr *attr)
{
	struct inode *in;
	int err = fs_inode_get(fs, ino, &in);

	if (err)
		return fs_seen(fs, err);
	inode_attr(in, attr);
	inode_put(in);
	return 0;
}

int mbfs_fs_setattr(struct mbfs_fs *fs, mbfs_ino_t ino, unsigned set, const struct mbfs_attr *want,
		    struct mbfs_attr *attr)
{
	struct inode *in;
	int err = fs_writable(fs);

	if (!err)
		err = fs_inode_get(fs, ino, &in);
	if (err)
		return fs_seen(fs, err);
	err = namei_setattr(in, set, want);
	if (!err)
		inode_attr(in, attr);
	inode_put(in);
	return fs_seen(fs, err);
}

ssize_t mbfs_fs_getxattr(struct mbfs_fs *fs, mbfs_ino_t ino, const char *name, void *buf,
			 size_t bytes)
{
	struct inode *in;
	ssize_t got = fs_inode_get(fs, ino, &in);

	if (got)
		return fs_seen(fs, (int)got);
	got = xattr_get(in, name, buf, bytes);
	inode_put(in);
	if (got < 0)
		fs_seen(fs, (int)got);
	return got;
}

ssize_t mbfs_fs_listxattr(struct mbfs_fs *fs, mbfs_ino_t ino, char *buf, size_t bytes)
{
	struct inode *in;
	ssize_t got = fs_inode_get(fs, ino, &in);

	if (got)
		return fs_seen(fs, (int)got);
	got = xattr_list(in, buf, bytes);
	inode_put(in);
	if (got < 0)
		fs_seen(fs, (int)got);
	return got;
}

/* ACLs are more than attributes: the mode goes with them. */
static bool acl_named(const char *name, bool *is_default)
{
	*is_default = !strcmp(name, "system.posix_acl_default");
	return *is_default || !strcmp(name, "system.posix_acl_access");
}

/* @value NULL: remove. */
static int xattr_change(struct inode *in, const char *name, const void *value, size_t bytes,
			 unsigned flags, unsigned alloc_flags)
{
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, XATTR_CREDITS, &tx);

	if (err)
		return err;
	err = xattr_set(in, tx, name, value, bytes, flags, alloc_flags);
	tx_stop(tx);
	return err;
}

static int change_xattr(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t ino,
			const char *name, const void *value, size_t bytes, unsigned flags)
{
	struct inode *in;
	bool is_default;
	int err = fs_writable(fs);

	if (!err)
		err = fs_inode_get(fs, ino, &in);
	if (err)
		return fs_seen(fs, err);
	err = fs_change_check(in, false);
	if (!err && acl_named(name, &is_default))
		err = namei_set_acl(in, cred, is_default, value, bytes);
	else if (!err)
		err = xattr_change(in, name, value, bytes, flags,
				    inode_root_flags(&fs->env, cred));
	inode_put(in);
	return fs_seen(fs, err);
}

int mbfs_fs_setxattr(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t ino,
		     const char *name, const void *value, size_t bytes, unsigned flags)
{
	if (flags & ~(unsigned)(MBFS_XATTR_CREATE | MBFS_XATTR_REPLACE))
		return -EINVAL;
	/* An empty value is a value. */
	return change_xattr(fs, cred, ino, name, value ? value : "", value ? bytes : 0, flags);
}

int mbfs_fs_removexattr(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t ino,
			const char *name)
{
	return change_xattr(fs, cred, ino, name, NULL, 0, MBFS_XATTR_REPLACE);
}

/* ---- privileges ---- not the caller's change: append-only is no obstacle, nor is a full disk */
static int kill_both(struct mbfs_fs *fs, struct inode *in, bool mode)
{
	int err = mode ? namei_kill_mode(in) : 0;
	ssize_t got;

	if (err)
		return err;
	got = xattr_get(in, CAPABILITY_NAME, NULL, 0);
	if (got < 0)
		return got == -ENODATA ? 0 : (int)got;
	err = fs_writable(fs);
	if (!err)
		err = xattr_change(in, CAPABILITY_NAME, NULL, 0, MBFS_XATTR_REPLACE,
				    MBFS_ALLOC_ROOT);
	return err == -ENODATA ? 0 : err; /* somebody else was faster */
}

int mbfs_fs_kill_priv(struct mbfs_fs *fs, mbfs_ino_t ino, bool mode)
{
	struct inode *in;
	int err = fs_inode_get(fs, ino, &in);

	if (err)
		return fs_seen(fs, err);
	if (inode_is_reg(in))
		err = kill_both(fs, in, mode);
	inode_put(in);
	return fs_seen(fs, err);
}
