// SPDX-License-Identifier: GPL-2.0-only
/* Requests of our own: <mbfs/ioctl.h>. */
#include "daemon.h"

#include <errno.h>
#include <mbfs/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* One MBFS_IOC_FALLOCATE. Its file stays open, and its answer is owed, until it is answered. */
struct move {
	struct rt_work work;
	fuse_req_t req;
	fuse_ino_t ino;
	struct mbfs_file *file;
	struct mbfs_ioc_fallocate io;
};

/*
 * What the kernel has cached is wrong afterwards, and pages that a program has changed through a
 * mapping belong where they are before: they are written back first. The kernel waits there for
 * pages that are read or written: were this one of the threads that serve those requests, as many
 * moves as there are threads would wait for ever.
 */
static void move_run(struct rt_work *work)
{
	struct move *m = (struct move *)work; /* its first member */
	struct daemon *d = daemon_of(m->req);
	struct mbfs_cred cred = cred_of(m->req);
	int err;

	(void)fuse_lowlevel_notify_inval_inode(d->session, m->ino, 0, 0);
	err = kill_priv(m->req, ino_of(m->ino), false);
	if (!err)
		err = mbfs_file_fallocate(m->file, &cred, (int)m->io.mode, m->io.off_bytes,
					  m->io.len_bytes, NULL);
	/* An error may have come midway. */
	(void)fuse_lowlevel_notify_inval_inode(d->session, m->ino, 0, 0);
	if (err)
		reply_err(m->req, err);
	else
		fuse_reply_ioctl(m->req, 0, NULL, 0);
	free(m);
	flights_pay(&d->flights);
}

static void ioctl_fallocate(fuse_req_t req, fuse_ino_t ino, struct mbfs_file *f, const void *in_buf)
{
	struct daemon *d = daemon_of(req);
	struct move *m;

	if (d->opts->writeback) {
		reply_err(req, -EOPNOTSUPP);
		return;
	}
	m = malloc(sizeof(*m));
	if (!m) {
		reply_err(req, -ENOMEM);
		return;
	}
	m->req = req;
	m->ino = ino;
	m->file = f;
	memcpy(&m->io, in_buf, sizeof(m->io));
	rt_work_init(&m->work, move_run);
	flights_owe(&d->flights);
	rt_wq_queue(d->moves, &m->work);
}

/* ---- growing ---- it may take seconds, on this thread; others serve who works meanwhile */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, __u64)

static bool may_resize(fuse_req_t req)
{
	const uid_t uid = fuse_req_ctx(req)->uid;

	return uid == 0 || uid == geteuid();
}

static void ioctl_resize(fuse_req_t req, const void *in_buf)
{
	struct mbfs_resize_state state;
	struct mbfs_ioc_resize io;
	struct mbfs_diag diag;
	struct daemon *d = daemon_of(req);

	if (!may_resize(req)) {
		reply_err(req, -EPERM);
		return;
	}
	memcpy(&io, in_buf, sizeof(io));
	io.error = (uint32_t)-mbfs_fs_resize(d->fs, io.size_bytes, &diag);
	mbfs_fs_resize_state(d->fs, &state);
	io.size_bytes = state.size_bytes;
	memset(io.text, 0, sizeof(io.text));
	memcpy(io.text, diag.text, strnlen(diag.text, sizeof(io.text) - 1));
	fuse_reply_ioctl(req, 0, &io, sizeof(io));
}

/* resize2fs(8). It shows no reason but the error's name: that goes to the log. */
static void ioctl_resize_blks(fuse_req_t req, const void *in_buf)
{
	struct daemon *d = daemon_of(req);
	struct mbfs_statfs st;
	struct mbfs_diag diag = { "" };
	uint64_t blks;
	int err = may_resize(req) ? 0 : -EPERM;

	memcpy(&blks, in_buf, sizeof(blks));
	mbfs_fs_statfs(d->fs, &st);
	if (!err && (!blks || blks > UINT64_MAX / st.block_bytes))
		err = -EINVAL;
	if (!err)
		err = mbfs_fs_resize(d->fs, blks * st.block_bytes, &diag);
	if (diag.text[0])
		fprintf(stderr, "mbfs: resize: %s\n", diag.text);
	if (err)
		reply_err(req, err);
	else
		fuse_reply_ioctl(req, 0, NULL, 0);
}

static void ioctl_resize_state(fuse_req_t req)
{
	struct mbfs_resize_state state;
	struct mbfs_ioc_resize_state io;

	mbfs_fs_resize_state(daemon_of(req)->fs, &state);
	io = (struct mbfs_ioc_resize_state){ state.size_bytes, state.device_bytes, state.done,
					     state.total };
	fuse_reply_ioctl(req, 0, &io, sizeof(io));
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
	else if (cmd == MBFS_IOC_RESIZE && in_bytes == _IOC_SIZE(cmd) && out_bytes == in_bytes)
		ioctl_resize(req, in_buf);
	else if (cmd == MBFS_IOC_RESIZE_STATE && out_bytes == _IOC_SIZE(cmd))
		ioctl_resize_state(req);
	else if (cmd == EXT4_IOC_RESIZE_FS && in_bytes == _IOC_SIZE(cmd))
		ioctl_resize_blks(req, in_buf);
	else
		reply_err(req, -ENOTTY);
}
