/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * protocol.h - what the kernel can do and libfuse does not pass on; protocol.c's essay has the
 * list. Shared with the peer of mbfs-bench that does nothing, so that it has the same transport.
 */
#ifndef FUSE_PROTOCOL_H
#define FUSE_PROTOCOL_H

#include <fuse_lowlevel.h>
#include <stdbool.h>

/* First member of the session's userdata. */
struct protocol {
	bool init_reply; /* set by init(): the next reply is INIT's; touched by its thread only */
	bool kill_priv;	 /* [const] before INIT: the server clears setuid bits and capabilities */
};

/* Reads and writes of the device go through it from here on. 0 or a negative errno. */
int protocol_take_over(struct fuse_session *se);
/* How the session's requests are served by threads: NULL without memory, else for
 * fuse_loop_cfg_destroy(). */
struct fuse_loop_config *protocol_threads(unsigned max_threads);
/* As fuse_reply_open() and fuse_reply_create(), with the flags for O_DIRECT or cached files. */
int reply_open(fuse_req_t req, struct fuse_file_info *fi);
int reply_create(fuse_req_t req, const struct fuse_entry_param *e, struct fuse_file_info *fi);

#endif
