// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel can do and libfuse 3.14 does not pass on. Newer ones have an interface for the
 * open flag; it is used then.
 *
 * INIT: lookups side by side in one directory; that the server clears setuid bits and file
 * capabilities itself, without which every write and fallocate costs a request for
 * security.capability first; shared mappings of files that bypass the page cache. libfuse's reads
 * and writes of the device go through here, and the flags are put into the reply to INIT, the first
 * of all.
 *
 * OPEN and CREATE: a file opened with O_DIRECT bypasses the page cache, and the kernel is told that
 * writes of it may come side by side. It decides so only below the size: appends and writes past
 * the end come alone. So the reply is made by hand.
 */
#include <fcntl.h>
#include <stddef.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol.h"

#ifndef FUSE_INIT_EXT
#define FUSE_INIT_EXT (1u << 30)
#endif
/* Bit 36 of the flags, so 4 of the second word. */
#define FLAGS2_DIRECT_IO_ALLOW_MMAP (1u << 4)

static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct protocol *p = userdata;

	if (p->init_reply) {
		struct fuse_init_out *out = count > 1 ? iov[1].iov_base : NULL;

		p->init_reply = false;
		if (out && iov[1].iov_len >= offsetof(struct fuse_init_out, unused)) {
			out->flags |= FUSE_PARALLEL_DIROPS | FUSE_INIT_EXT;
			if (p->kill_priv)
				out->flags |= FUSE_HANDLE_KILLPRIV_V2;
			out->flags2 |= FLAGS2_DIRECT_IO_ALLOW_MMAP;
		}
	}
	return writev(fd, iov, count);
}

static ssize_t device_read(int fd, void *buf, size_t bytes, void *userdata)
{
	(void)userdata;
	return read(fd, buf, bytes);
}

int protocol_take_over(struct fuse_session *se)
{
	static const struct fuse_custom_io io = { .writev = device_writev, .read = device_read };

	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

/*
 * libfuse starts a thread whenever none waits, and keeps them all: a request that must wait (for a
 * device, a lock, an fsync) never holds up the others. But after one burst every request wakes
 * another thread, the one that has slept longest. So those beyond two for each CPU and two may go.
 * 4 KiB O_DIRECT writes on 2 CPUs beside other load, medians of four rounds, per second: 16 in
 * flight, into unwritten and written blocks, 72k and 66k (all kept: 59k and 55k); 64: 74k and 74k
 * (62k and 53k); one: 15k and 19k (14k and 20k).
 * Descriptors of their own save them a lock, but need /dev/fuse to be open to us.
 */
struct fuse_loop_config *protocol_threads(unsigned max_threads)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!cfg)
		return NULL;
	fuse_loop_cfg_set_clone_fd(cfg, access("/dev/fuse", R_OK | W_OK) == 0);
	fuse_loop_cfg_set_max_threads(cfg, max_threads);
	fuse_loop_cfg_set_idle_threads(cfg, cpus > 0 ? 2 * (unsigned)cpus + 2 : 4);
	return cfg;
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)

static void open_flags_set(struct fuse_file_info *fi)
{
	fi->direct_io = !!(fi->flags & O_DIRECT);
	fi->parallel_direct_writes = fi->direct_io;
	fi->keep_cache = !fi->direct_io;
}

int reply_open(fuse_req_t req, struct fuse_file_info *fi)
{
	open_flags_set(fi);
	return fuse_reply_open(req, fi);
}

int reply_create(fuse_req_t req, const struct fuse_entry_param *e, struct fuse_file_info *fi)
{
	open_flags_set(fi);
	return fuse_reply_create(req, e, fi);
}

#else

#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#endif

/* Pages that were read stay: mbfs is the only writer. */
static struct fuse_open_out open_out(const struct fuse_file_info *fi)
{
	return (struct fuse_open_out){
		.fh = fi->fh,
		.open_flags = fi->flags & O_DIRECT ? FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES
						   : FOPEN_KEEP_CACHE,
	};
}

static void time_out(double seconds, uint64_t *sec, uint32_t *nsec)
{
	*sec = (uint64_t)seconds;
	*nsec = (uint32_t)((seconds - (double)*sec) * 1e9);
}

static struct fuse_attr attr_out(const struct stat *st)
{
	return (struct fuse_attr){
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = (uint32_t)st->st_rdev,
		.blksize = (uint32_t)st->st_blksize,
	};
}

int reply_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct fuse_open_out out = open_out(fi);

	return fuse_reply_buf(req, (char *)&out, sizeof(out));
}

int reply_create(fuse_req_t req, const struct fuse_entry_param *e, struct fuse_file_info *fi)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {
		.entry = { .nodeid = e->ino,
			   .generation = e->generation,
			   .attr = attr_out(&e->attr) },
		.open = open_out(fi),
	};

	time_out(e->entry_timeout, &out.entry.entry_valid, &out.entry.entry_valid_nsec);
	time_out(e->attr_timeout, &out.entry.attr_valid, &out.entry.attr_valid_nsec);
	return fuse_reply_buf(req, (char *)&out, sizeof(out));
}

#endif
