// SPDX-License-Identifier: GPL-2.0-only
/* Requests of our own: <mbfs/ioctl.h>. */
#include "daemon.h"

#include <errno.h>
#include <mbfs/ioctl.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)MBFS_IOC_EXTENT_UNWRITTEN == (int)MBFS_EXTENT_UNWRITTEN &&
		       (int)MBFS_IOC_EXTENT_LAST == (int)MBFS_EXTENT_LAST &&
		       (int)MBFS_IOC_EXTENT_MERGED == (int)MBFS_EXTENT_MERGED,
	       "the flags are passed on");

static int extents_get(struct mbfs_file *f, struct mbfs_ioc_fiemap *io)
{
	struct mbfs_extent got[MBFS_IOC_EXTENTS_MAX];
	int nr = mbfs_file_map(f, io->off_bytes, got, MBFS_IOC_EXTENTS_MAX);

	if (nr < 0)
		return nr;
	io->nr = (uint32_t)nr;
	for (int i = 0; i < nr; i++)
		io->extent[i] = (struct mbfs_ioc_extent){
			.off_bytes = got[i].off_bytes,
			.dev_bytes = got[i].dev_bytes,
			.len_bytes = got[i].len_bytes,
			.flags = got[i].flags,
		};
	return 0;
}

static void ioctl_fiemap(fuse_req_t req, struct mbfs_file *f, const void *in_buf)
{
	struct mbfs_ioc_fiemap *io = calloc(1, sizeof(*io));
	int err = io ? 0 : -ENOMEM;

	if (io) {
		memcpy(&io->off_bytes, in_buf, sizeof(io->off_bytes));
		err = extents_get(f, io);
	}
	if (err)
		reply_err(req, err);
	else
		fuse_reply_ioctl(req, 0, io, sizeof(*io));
	free(io);
}

/*
 * What the kernel has cached is wrong afterwards, and pages that a program has changed through a
 * mapping belong where they are before: they are written back first. The kernel waits there for
 * pages that are read or written, so another thread has to serve those requests.
 */
static void ioctl_fallocate(fuse_req_t req, fuse_ino_t ino, struct mbfs_file *f, const void *in_buf)
{
	const struct daemon *d = daemon_of(req);
	struct mbfs_cred cred = cred_of(req);
	struct mbfs_ioc_fallocate io;
	int err;

	memcpy(&io, in_buf, sizeof(io));
	if (d->opts->writeback || d->opts->max_threads < 2) {
		reply_err(req, -EOPNOTSUPP);
		return;
	}
	(void)fuse_lowlevel_notify_inval_inode(d->session, ino, 0, 0);
	err = kill_priv(req, ino_of(ino), false);
	if (!err)
		err = mbfs_file_fallocate(f, &cred, (int)io.mode, io.off_bytes, io.len_bytes);
	/* An error may have come midway. */
	(void)fuse_lowlevel_notify_inval_inode(d->session, ino, 0, 0);
	if (err)
		reply_err(req, err);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}

/* The kernel has copied as much in and out as the command says. Tools believe a 0: everything
 * unknown is refused. */
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_bytes,
	      size_t out_bytes)
{
	(void)arg, (void)flags;
	if (cmd == MBFS_IOC_FIEMAP && in_bytes == _IOC_SIZE(cmd) && out_bytes == in_bytes)
		ioctl_fiemap(req, file_of(fi), in_buf);
	else if (cmd == MBFS_IOC_FALLOCATE && in_bytes == _IOC_SIZE(cmd))
		ioctl_fallocate(req, ino, file_of(fi), in_buf);
	else
		reply_err(req, -ENOTTY);
}
