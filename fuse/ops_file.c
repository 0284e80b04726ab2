// SPDX-License-Identifier: GPL-2.0-only
/* Requests on open files. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* With the writeback cache the kernel places appends and reads what it only writes parts of. */
static int open_flags(fuse_req_t req, const struct fuse_file_info *fi)
{
	int flags = fi->flags;

	if (daemon_of(req)->opts->writeback)
		flags &= ~O_APPEND;
	return flags;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mbfs_file *f;
	int err = mbfs_file_open(fs_of(req), ino_of(ino), open_flags(req, fi), &f);

	if (err) {
		reply_err(req, err);
		return;
	}
	fi->fh = (uintptr_t)f;
	if (reply_open(req, fi))
		mbfs_file_release(f);
}

/* The name may have appeared since the kernel looked: then, without O_EXCL, it is opened. */
static int create_or_find(fuse_req_t req, mbfs_ino_t dir, const char *name, mode_t mode, int flags,
			  struct mbfs_attr *attr, bool *created)
{
	struct mbfs_cred cred = cred_of(req);
	int err = mbfs_fs_mknod(fs_of(req), &cred, dir, name, (mode & 07777) | S_IFREG, 0, attr);

	*created = !err;
	if (err == -EEXIST && !(flags & O_EXCL))
		err = mbfs_fs_lookup(fs_of(req), dir, name, attr);
	return err;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct mbfs_fs *fs = fs_of(req);
	struct fuse_entry_param e;
	struct mbfs_attr attr;
	struct mbfs_file *f;
	bool created;
	int err;

	err = create_or_find(req, ino_of(parent), name, mode, fi->flags, &attr, &created);
	if (err)
		goto err_reply;
	err = mbfs_file_open(fs, attr.ino, open_flags(req, fi) & (created ? ~O_TRUNC : ~0), &f);
	if (err)
		goto err_forget;
	entry_of(&attr, &e);
	fi->fh = (uintptr_t)f;
	if (reply_create(req, &e, fi)) {
		mbfs_file_release(f);
		mbfs_fs_forget(fs, attr.ino, 1);
	}
	return;

err_forget:
	if (created)
		mbfs_fs_unlink(fs, ino_of(parent), name);
	mbfs_fs_forget(fs, attr.ino, 1);
err_reply:
	reply_err(req, err);
}

int kill_priv(fuse_req_t req, mbfs_ino_t ino, bool owner)
{
	if (!daemon_of(req)->protocol.kill_priv)
		return 0;
	return mbfs_fs_kill_priv(fs_of(req), ino, owner || fuse_req_ctx(req)->uid != 0);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	mbfs_file_release(file_of(fi));
	reply_err(req, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	reply_err(req, mbfs_file_fsync(file_of(fi), datasync));
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct mbfs_cred cred = cred_of(req);
	int err = kill_priv(req, ino_of(ino), false);
	struct mbfs_intr *intr = intr_begin(req);

	if (!err)
		err = mbfs_file_fallocate(file_of(fi), &cred, mode, (uint64_t)off, (uint64_t)len,
					  intr);
	intr_end(req, intr);
	reply_err(req, err);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	int64_t at;

	(void)ino;
	at = mbfs_file_seek(file_of(fi), (uint64_t)off, whence);
	if (at < 0)
		reply_err(req, (int)at);
	else
		fuse_reply_lseek(req, (off_t)at);
}
