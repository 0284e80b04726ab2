/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * POSIX ACLs.
 *
 * Equation: with an access ACL of more than three entries, the mode's group bits are the ACL's mask
 * and the others its entries for owner and others; without one the mode is all there is. An access
 * ACL that a mode can say is not stored. So: setting one sets the mode; chmod(2) sets the three
 * entries; a new file in a directory with a default ACL gets that as its access ACL, limited by the
 * mode it is made with (the umask has no say then), and a directory inherits the default, too.
 *
 * In memory an ACL is what user space passes: version 2, 8 bytes an entry. xattr_area.c translates
 * to and from the disk's version 1. Who may do what is decided by the kernel, which reads the ACLs.
 *
 * Locks: rw exclusive, then a handle, then xattr_lock inside xattr_set(), fields. The attribute
 * comes first, since it may fail; the mode follows in the same handle.
 */
#include "inode/acl.h"

#include <errno.h>

#include "base/check.h"
#include "disk/xattr_codec.h"
#include "inode/table_hold.h"
#include "rt/mem.h"

enum {
	VERSION = 2,
	HEAD_BYTES = 4,
	ENTRY_BYTES = 8,
	TAG_OWNER = 1,
	TAG_USER = 2,
	TAG_OWNING_GROUP = 4,
	TAG_GROUP = 8,
	TAG_MASK = 16,
	TAG_OTHER = 32,
};

static uint32_t tag_of(const uint8_t *e)
{
	return xattr_get32(e) & 0xffff;
}

static mode_t perm_of(const uint8_t *e)
{
	return xattr_get32(e) >> 16;
}

static void perm_set(uint8_t *e, mode_t perm)
{
	xattr_put32(e, tag_of(e) | (uint32_t)perm << 16);
}

/* ---- values ---- */

int acl_verify(const uint8_t *acl, size_t bytes)
{
	/* What may come after what: a state is the last tag seen. */
	uint32_t last = 0;
	bool named = false;

	if (bytes < HEAD_BYTES || (bytes - HEAD_BYTES) % ENTRY_BYTES || xattr_get32(acl) != VERSION)
		return -EINVAL;
	for (size_t at = HEAD_BYTES; at < bytes; at += ENTRY_BYTES) {
		uint32_t tag = tag_of(acl + at), id = xattr_get32(acl + at + 4);
		bool repeats = tag == TAG_USER || tag == TAG_GROUP;

		if (perm_of(acl + at) > 7 || (repeats && id == UINT32_MAX))
			return -EINVAL;
		if (tag < last || (tag == last && !repeats))
			return -EINVAL;
		/* One bit each, and none of the three left out. */
		if (tag != TAG_OWNER && !last)
			return -EINVAL;
		if (tag >= TAG_GROUP && last < TAG_OWNING_GROUP)
			return -EINVAL;
		if (!tag || tag > TAG_OTHER || (tag & (tag - 1)))
			return -EINVAL;
		if (tag == TAG_OTHER && named && last != TAG_MASK)
			return -EINVAL;
		named |= repeats;
		last = tag;
	}
	return last == TAG_OTHER ? 0 : -EINVAL;
}

/* The entry that the group bits of the mode show: the mask, or without one the owning group. */
static uint32_t group_tag(const uint8_t *acl, size_t bytes)
{
	for (size_t at = HEAD_BYTES; at < bytes; at += ENTRY_BYTES)
		if (tag_of(acl + at) == TAG_MASK)
			return TAG_MASK;
	return TAG_OWNING_GROUP;
}

/* Where the entry's permissions are in the mode; -1: nowhere. */
static int mode_shift(uint32_t tag, uint32_t group)
{
	return tag == TAG_OWNER ? 6 : tag == group ? 3 : tag == TAG_OTHER ? 0 : -1;
}

mode_t acl_mode(const uint8_t *acl, size_t bytes, bool *extended)
{
	uint32_t group = group_tag(acl, bytes);
	mode_t mode = 0;

	*extended = bytes > HEAD_BYTES + 3 * ENTRY_BYTES;
	for (size_t at = HEAD_BYTES; at < bytes; at += ENTRY_BYTES) {
		int shift = mode_shift(tag_of(acl + at), group);

		if (shift >= 0)
			mode |= perm_of(acl + at) << shift;
	}
	return mode;
}

void acl_limit(uint8_t *acl, size_t bytes, mode_t *mode)
{
	uint32_t group = group_tag(acl, bytes);

	for (size_t at = HEAD_BYTES; at < bytes; at += ENTRY_BYTES) {
		int shift = mode_shift(tag_of(acl + at), group);
		mode_t perm;

		if (shift < 0)
			continue;
		perm = perm_of(acl + at) & *mode >> shift;
		perm_set(acl + at, perm);
		*mode = (*mode & ~((mode_t)7 << shift)) | perm << shift;
	}
}

void acl_set_mode(uint8_t *acl, size_t bytes, mode_t mode)
{
	uint32_t group = group_tag(acl, bytes);

	for (size_t at = HEAD_BYTES; at < bytes; at += ENTRY_BYTES) {
		int shift = mode_shift(tag_of(acl + at), group);

		if (shift >= 0)
			perm_set(acl + at, mode >> shift & 7);
	}
}

/* ---- inodes ---- */

int acl_read(struct inode *in, const char *name, uint8_t **out, size_t *bytes)
{
	size_t room = 2 * (size_t)in->env->geo->block_bytes; /* 4 bytes on disk are 8 here */
	ssize_t got;

	*out = NULL;
	if (!xattr_any(in))
		return 0;
	*out = rt_alloc(room);
	if (!*out)
		return -ENOMEM;
	got = xattr_get(in, name, *out, room);
	if (got > 0 && acl_verify(*out, (size_t)got))
		got = -EUCLEAN;
	if (got > 0) {
		*bytes = (size_t)got;
		return 0;
	}
	rt_free(*out);
	*out = NULL;
	return got == -ENODATA ? 0 : (int)got;
}

int acl_chmod(struct inode *in, struct mbfs_tx *tx, mode_t mode)
{
	size_t bytes;
	uint8_t *acl;
	int err;

	if (inode_is_link(in))
		return 0;
	err = acl_read(in, ACL_ACCESS_NAME, &acl, &bytes);
	if (err || !acl)
		return err;
	acl_set_mode(acl, bytes, mode);
	err = xattr_set(in, tx, ACL_ACCESS_NAME, acl, bytes, MBFS_XATTR_REPLACE, MBFS_ALLOC_ROOT);
	rt_free(acl);
	return err;
}

static int remove_acl(struct inode *in, struct mbfs_tx *tx, const char *name, unsigned alloc_flags)
{
	int err = xattr_set(in, tx, name, NULL, 0, 0, alloc_flags);

	return err == -ENODATA ? 0 : err;
}

static void mode_commit(struct inode *in, struct mbfs_tx *tx, mode_t mode, bool kill_sgid)
{
	int err;

	rt_mutex_lock(&in->fields);
	in->mode = (in->mode & ~(mode_t)0777) | mode;
	if (kill_sgid)
		in->mode &= ~(mode_t)S_ISGID;
	inode_now(&in->ctime);
	rt_mutex_unlock(&in->fields);
	err = inode_dirty(in, tx);
	MBFS_ASSERT(!err); /* its table block is held */
}

static int set_access(struct inode *in, struct mbfs_tx *tx, const struct mbfs_cred *cred,
		      const void *value, size_t bytes)
{
	unsigned flags = inode_root_flags(in->env, cred);
	bool extended, kill_sgid;
	mode_t mode;
	int err;

	if (!value)
		return remove_acl(in, tx, ACL_ACCESS_NAME, flags);
	mode = acl_mode(value, bytes, &extended);
	/* As chmod(2) by somebody outside the group, as far as the credentials tell. */
	kill_sgid = cred->uid && cred->gid != in->gid && !in->env->fakeroot;
	err = extended ? xattr_set(in, tx, ACL_ACCESS_NAME, value, bytes, 0, flags)
		       : remove_acl(in, tx, ACL_ACCESS_NAME, flags);
	if (!err)
		mode_commit(in, tx, mode, kill_sgid);
	return err;
}

int namei_set_acl(struct inode *in, const struct mbfs_cred *cred, bool is_default,
		  const void *value, size_t bytes)
{
	struct mbfs_tx *tx;
	struct buf *table;
	int err;

	if (inode_is_link(in))
		return -EOPNOTSUPP;
	/* No entry at all: no ACL. */
	if (value && (!bytes || (bytes == HEAD_BYTES && xattr_get32(value) == VERSION)))
		value = NULL;
	if (is_default && !inode_is_dir(in))
		return value ? -EACCES : 0;
	err = value ? acl_verify(value, bytes) : 0;
	if (!err)
		err = table_hold(in, &table);
	if (err)
		return err;
	rt_write_lock(&in->rw);
	err = tx_start(in->env->log, XATTR_CREDITS, &tx);
	if (err)
		goto out;
	if (!is_default)
		err = set_access(in, tx, cred, value, bytes);
	else if (value)
		err = xattr_set(in, tx, ACL_DEFAULT_NAME, value, bytes, 0,
				inode_root_flags(in->env, cred));
	else
		err = remove_acl(in, tx, ACL_DEFAULT_NAME, inode_root_flags(in->env, cred));
	tx_stop(tx);
out:
	rt_write_unlock(&in->rw);
	buf_put(table);
	return err;
}
