/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/namei_priv.h - what namei.c, create.c and rename.c share.
 *
 * An operation on names has two halves. Prepare: locks, a handle, every buffer it will change
 * (held), the orphan list, new blocks; any of it may fail, and is undone. Commit: bytes and fields;
 * cannot fail.
 */
#ifndef INODE_NAMEI_PRIV_H
#define INODE_NAMEI_PRIV_H

#include <dirent.h>
#include <errno.h>

#include "inode/dir_priv.h"
#include "inode/table_hold.h"

enum { LINKS_MAX = 65000 };

/* Length of a name that may be made or removed. -ENOENT, -ENAMETOOLONG, -EINVAL ('/'). */
int namei_name(const char *name, size_t *len);
static inline bool namei_is_dots(const char *name, size_t len)
{
	return (len == 1 || len == 2) && !memcmp(name, "..", len);
}

/* May entries of this directory change (@del: go)? -EROFS, -ENOTDIR, -ENOENT removed itself,
 * -EPERM. */
int namei_dir_writable(const struct inode *dir, bool del);
/* May this inode lose or get a name? -EPERM immutable or append-only. */
static inline int namei_linkable(const struct inode *in)
{
	return in->flags & (INODE_FL_IMMUTABLE | INODE_FL_APPEND) ? -EPERM : 0;
}
/* A directory gets one more subdirectory: -EMLINK. */
int namei_subdir_room(const struct inode *dir);

/* What was found under a name: the inode, referenced. @pos is held if it is not NULL. */
int namei_get(struct inode *dir, const char *name, size_t len, struct dir_pos *pos,
	      struct inode **out);

/* ---- commit: the inode's table block is held ---- */

enum namei_times { NAMEI_CTIME = 1, NAMEI_MTIME = 2 };
/*
 * Change the link count by @links, touch times (enum namei_times), mark dirty. For a directory's
 * count of subdirectories: 1 means "more than 65000", and stays.
 */
void namei_commit(struct inode *in, struct mbfs_tx *tx, int links, unsigned times);
/* The same, down to no link at all: also a directory's own "." goes. */
void namei_commit_gone(struct inode *in, struct mbfs_tx *tx);

#endif
