// SPDX-License-Identifier: GPL-2.0-only
/* Requests about inodes and names. Each is one call of the library and one reply. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LINK_BYTES = 4097 };

/*
 * No cache invalidation by mtime: mbfs is the only writer, so the kernel's pages stay right. No
 * truncation inside open: a separate SETATTR of the size is what clears setuid bits.
 */
static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct daemon *d = userdata;

	d->protocol.init_reply = true;
	conn->max_write = REQUEST_BYTES_MAX;
	conn->max_readahead = REQUEST_BYTES_MAX;
	conn->max_background = d->opts->max_background;
	conn->congestion_threshold = d->opts->max_background * 3 / 4;
	conn->want &=
		~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC |
			    FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			    FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_POSIX_ACL);
	conn->want |= conn->capable & FUSE_CAP_EXPORT_SUPPORT;
	/* With ACLs the umask is ours to apply: a directory's default ACL takes its place. They
	 * bring default_permissions along, which fakeroot is to do without. */
	d->acl = !d->opts->fakeroot && (conn->capable & FUSE_CAP_POSIX_ACL) &&
		 (conn->capable & FUSE_CAP_DONT_MASK);
	if (d->acl)
		conn->want |= FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
	if (d->opts->writeback)
		conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
	if (d->status_fd < 0)
		return;
	/* The kernel answers every request from here on: the parent may tell its caller. */
	if (write(d->status_fd, "", 1) == 1 && !d->opts->foreground) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		for (int fd = 0; null >= 0 && fd < 3; fd++)
			dup2(null, fd);
		if (null > 2)
			close(null);
	}
	close(d->status_fd);
	d->status_fd = -1;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct flights *flights = &daemon_of(req)->flights;
	struct mbfs_attr attr;
	int err;

	flight_begin(flights, FLIGHT_LOOKUP);
	err = mbfs_fs_lookup(fs_of(req), ino_of(parent), name, &attr);
	flight_end(flights, FLIGHT_LOOKUP);
	if (err == -ENOENT)
		reply_no_entry(req);
	else
		reply_entry(req, err, &attr);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	if (ino != FUSE_ROOT_ID)
		mbfs_fs_forget(fs_of(req), ino_of(ino), nlookup);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			mbfs_fs_forget(fs_of(req), ino_of(forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mbfs_attr attr;

	(void)fi;
	reply_attr(req, mbfs_fs_getattr(fs_of(req), ino_of(ino), &attr), &attr);
}

static const struct {
	int fuse;
	unsigned mbfs;
} set_bits[] = {
	{ FUSE_SET_ATTR_MODE, MBFS_SET_MODE },
	{ FUSE_SET_ATTR_UID, MBFS_SET_UID },
	{ FUSE_SET_ATTR_GID, MBFS_SET_GID },
	{ FUSE_SET_ATTR_SIZE, MBFS_SET_SIZE },
	{ FUSE_SET_ATTR_ATIME, MBFS_SET_ATIME },
	{ FUSE_SET_ATTR_MTIME, MBFS_SET_MTIME },
	{ FUSE_SET_ATTR_ATIME_NOW, MBFS_SET_ATIME_NOW },
	{ FUSE_SET_ATTR_MTIME_NOW, MBFS_SET_MTIME_NOW },
	{ FUSE_SET_ATTR_CTIME, MBFS_SET_CTIME },
};

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		       struct fuse_file_info *fi)
{
	struct mbfs_attr want = {
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size_bytes = (uint64_t)st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
	struct mbfs_attr attr;
	unsigned set = 0;
	int err = 0;

	(void)fi;
	for (size_t i = 0; i < sizeof(set_bits) / sizeof(set_bits[0]); i++)
		if (to_set & set_bits[i].fuse)
			set |= set_bits[i].mbfs;
	/* "Now" comes with both bits set. */
	if (set & MBFS_SET_ATIME_NOW)
		set &= ~(unsigned)MBFS_SET_ATIME;
	if (set & MBFS_SET_MTIME_NOW)
		set &= ~(unsigned)MBFS_SET_MTIME;
	if (!(set & MBFS_SET_MODE)) {
		if (set & (MBFS_SET_UID | MBFS_SET_GID))
			err = kill_priv(req, ino_of(ino), true);
		else if (!set || (set & MBFS_SET_SIZE)) /* none: about to write to a setuid file */
			err = kill_priv(req, ino_of(ino), false);
	}
	if (!err)
		err = mbfs_fs_setattr(fs_of(req), ino_of(ino), set, &want, &attr);
	reply_attr(req, err, &attr);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[LINK_BYTES];
	int err = mbfs_fs_readlink(fs_of(req), ino_of(ino), target, sizeof(target));

	if (err)
		reply_err(req, err);
	else
		fuse_reply_readlink(req, target);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mbfs_cred cred = cred_of(req);
	struct mbfs_attr attr;

	reply_entry(req, mbfs_fs_mknod(fs_of(req), &cred, ino_of(parent), name, mode, rdev, &attr),
		    &attr);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mbfs_cred cred = cred_of(req);
	struct mbfs_attr attr;

	reply_entry(req, mbfs_fs_mkdir(fs_of(req), &cred, ino_of(parent), name, mode, &attr),
		    &attr);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct mbfs_cred cred = cred_of(req);
	struct mbfs_attr attr;

	reply_entry(req, mbfs_fs_symlink(fs_of(req), &cred, ino_of(parent), name, target, &attr),
		    &attr);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct mbfs_cred cred = cred_of(req);
	struct mbfs_attr attr;

	reply_entry(req,
		    mbfs_fs_link(fs_of(req), &cred, ino_of(ino), ino_of(parent), name, &attr),
		    &attr);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_err(req, mbfs_fs_unlink(fs_of(req), ino_of(parent), name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_err(req, mbfs_fs_rmdir(fs_of(req), ino_of(parent), name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned int flags)
{
	struct mbfs_cred cred = cred_of(req);

	reply_err(req, mbfs_fs_rename(fs_of(req), &cred, ino_of(parent), name, ino_of(new_parent),
				      new_name, flags));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct mbfs_statfs s;
	struct statvfs out = { 0 };

	(void)ino;
	mbfs_fs_statfs(fs_of(req), &s);
	out.f_bsize = s.block_bytes;
	out.f_frsize = s.block_bytes;
	out.f_blocks = s.blocks;
	out.f_bfree = s.bfree;
	out.f_bavail = s.bavail;
	out.f_files = s.files;
	out.f_ffree = s.ffree;
	out.f_favail = s.ffree;
	out.f_fsid = s.fsid;
	out.f_namemax = s.name_max;
	fuse_reply_statfs(req, &out);
}

/* No flush: libfuse answers ENOSYS once, and close(2) costs no request from then on. */
const struct fuse_lowlevel_ops daemon_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.statfs = op_statfs,
	.ioctl = op_ioctl,
	.create = op_create,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.release = op_release,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_release,
	.fsyncdir = op_fsync,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
};
