// SPDX-License-Identifier: GPL-2.0-only
/* From the library's results to what libfuse sends. */
#include "daemon.h"

#include <string.h>

/*
 * How long the kernel may believe names and attributes. Nobody else changes the image and the
 * kernel drops what its own requests change, so this is for ever in practice.
 */
#define CACHE_SECONDS 3600.0

void stat_of(const struct mbfs_attr *attr, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = attr->ino;
	st->st_mode = attr->mode;
	st->st_nlink = attr->nlink;
	st->st_uid = attr->uid;
	st->st_gid = attr->gid;
	st->st_rdev = attr->rdev;
	st->st_size = (off_t)attr->size_bytes;
	st->st_blocks = (blkcnt_t)attr->blocks_512;
	st->st_blksize = (blksize_t)attr->block_bytes;
	st->st_atim = attr->atime;
	st->st_mtim = attr->mtime;
	st->st_ctim = attr->ctime;
}

void entry_of(const struct mbfs_attr *attr, struct fuse_entry_param *e)
{
	memset(e, 0, sizeof(*e));
	e->ino = node_of(attr->ino);
	e->generation = attr->gen;
	e->attr_timeout = CACHE_SECONDS;
	e->entry_timeout = CACHE_SECONDS;
	stat_of(attr, &e->attr);
}

struct mbfs_cred cred_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct mbfs_cred){ .uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask };
}

void reply_err(fuse_req_t req, int err)
{
	fuse_reply_err(req, -err);
}

void reply_attr(fuse_req_t req, int err, const struct mbfs_attr *attr)
{
	struct stat st;

	if (err) {
		reply_err(req, err);
		return;
	}
	stat_of(attr, &st);
	fuse_reply_attr(req, &st, CACHE_SECONDS);
}

void reply_entry(fuse_req_t req, int err, const struct mbfs_attr *attr)
{
	struct mbfs_fs *fs = fs_of(req);
	struct fuse_entry_param e;

	if (err) {
		reply_err(req, err);
		return;
	}
	entry_of(attr, &e);
	if (fuse_reply_entry(req, &e))
		mbfs_fs_forget(fs, attr->ino, 1);
}

void reply_no_entry(fuse_req_t req)
{
	struct fuse_entry_param e = { .entry_timeout = CACHE_SECONDS };

	fuse_reply_entry(req, &e);
}
