/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * daemon.h - what the files of the daemon share. The essay is in main.c.
 */
#ifndef FUSE_DAEMON_H
#define FUSE_DAEMON_H

#include <fuse_lowlevel.h>
#include <mbfs/fs.h>

#include "flight.h"
#include "protocol.h"
#include "rt/wq.h"

#include <fcntl.h>

/* Exit codes of mount(8). */
enum { EXIT_USAGE = 1, EXIT_SYSTEM = 2, EXIT_MOUNT = 32 };

enum { REQUEST_BYTES_MAX = 1 << 20, BACKGROUND_DEFAULT = 256, BACKGROUND_MAX = 7864 };

/* ---- options: opts.c ---- */
enum command { COMMAND_MOUNT, COMMAND_WAIT, COMMAND_HELP, COMMAND_VERSION };

struct options {
	enum command command;
	const char *image, *mountpoint; /* as given */
	bool foreground, debug;
	bool read_only, allow_other, fakeroot, writeback;
	bool suid, dev; /* asked for: else the kernel is told nosuid, nodev */
	uint64_t offset_bytes;
	bool direct, io_given;
	bool intr;   /* a signal ends a wait for bytes that others have */
	unsigned io; /* enum mbfs_bdev_flags: who carries out the transfers, and how */
	unsigned max_threads;
	unsigned max_background; /* of readahead, write-back and AIO under way */
	unsigned timeout_s;      /* of --wait */
	char kernel[512]; /* ",opt,opt": mount options that libfuse and the kernel deal with */
	struct mbfs_mount_opts fs;
};

/*
 * options_parse - the command line; strings in @out point into @argv
 * Returns 0, or EXIT_USAGE after one line on stderr.
 */
int options_parse(int argc, char **argv, struct options *out);
void options_help(void);
void options_version(void);

/* ---- the mount: daemon.c ---- */
struct daemon {
	/* kill_priv: we clear setuid bits and capabilities on writes, instead of the kernel asking
	 * us first each time. Only without -o suid: it would go on believing a cached setuid bit.
	 */
	struct protocol protocol;
	const struct options *opts;
	struct mbfs_bdev *dev;
	struct mbfs_fs *fs;
	struct fuse_session *session; /* while it serves */
	int status_fd;                /* to the waiting parent; -1 in the foreground or once told */
	/* The kernel reads ACLs and checks by them; else nobody checks who may set one. */
	bool acl;
	struct flights flights;
	struct rt_wq *moves; /* while it serves: who carries out MBFS_IOC_FALLOCATE */
};

/* Mounts, serves until unmounted, unmounts. Returns an exit code; every failure was reported. */
int daemon_run(const struct options *opts);

/* ---- requests: ops*.c ---- */
extern const struct fuse_lowlevel_ops daemon_ops;

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
/*
 * kill_priv - clear what a change of content or owner takes from a file: setuid, setgid,
 * capabilities
 * @owner: the owner changes; else the content, and root may keep the mode
 * Does nothing where the kernel does it. 0 or a negative errno.
 */
int kill_priv(fuse_req_t req, mbfs_ino_t ino, bool owner);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_bytes,
	      size_t out_bytes);

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* ---- signals: intr.c ---- around a call that may wait for others; the latter before the answer.
 * NULL: it goes on whatever comes. */
struct mbfs_intr *intr_begin(fuse_req_t req);
void intr_end(fuse_req_t req, struct mbfs_intr *intr);

/* ---- replies: reply.c ---- */
/* FUSE calls the root 1, ext4 calls it 2; ext4's inode 1 is never shown, so the others keep their
 * numbers. */
static inline mbfs_ino_t ino_of(fuse_ino_t node)
{
	return node == FUSE_ROOT_ID ? MBFS_ROOT_INO : (mbfs_ino_t)node;
}
static inline fuse_ino_t node_of(mbfs_ino_t ino)
{
	return ino == MBFS_ROOT_INO ? FUSE_ROOT_ID : ino;
}
static inline struct daemon *daemon_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}
static inline struct mbfs_fs *fs_of(fuse_req_t req)
{
	return daemon_of(req)->fs;
}
static inline struct mbfs_file *file_of(const struct fuse_file_info *fi)
{
	return (struct mbfs_file *)(uintptr_t)fi->fh;
}

void stat_of(const struct mbfs_attr *attr, struct stat *st);
void entry_of(const struct mbfs_attr *attr, struct fuse_entry_param *e);
struct mbfs_cred cred_of(fuse_req_t req);

/* @err: 0 or a negative errno. */
void reply_err(fuse_req_t req, int err);
/* The attributes, or the error. */
void reply_attr(fuse_req_t req, int err, const struct mbfs_attr *attr);
/* A pinned inode, or the error; unpinned again if the kernel did not get the reply. */
void reply_entry(fuse_req_t req, int err, const struct mbfs_attr *attr);
/* No such name, and the kernel may remember it. */
void reply_no_entry(fuse_req_t req);

#endif
