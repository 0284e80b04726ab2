/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench-peer.h - what is measured over a mount: mbfs and its peers, each on a fresh image in a
 * temporary directory, mounted and taken away again.
 */
#ifndef TOOLS_BENCH_PEER_H
#define TOOLS_BENCH_PEER_H

#include "bench.h"
#include "race/fixture.h"

#include <sys/types.h>

/* null answers at once and keeps nothing: what FUSE itself allows. */
enum bench_peer_kind { PEER_MBFS, PEER_FUSE2FS, PEER_EXT4, PEER_NULL, PEER_NR };

struct bench_peer {
	enum bench_peer_kind kind;
	const struct bench_args *args;
	char dir[RACE_PATH_BYTES / 2];
	char image[RACE_PATH_BYTES], mnt[RACE_PATH_BYTES], log[RACE_PATH_BYTES];
	pid_t daemon; /* 0: none, or the kernel */
};

const char *bench_peer_name(enum bench_peer_kind kind);

/*
 * bench_peer_up - make an image and mount it
 * @opts:   [in] more options for mbfs, as after -o; NULL: none. Others have none.
 * @filled: [in] every block of the image has its place in the host's file system, so that a first
 *          write of a block costs what the second does
 * @p:      [out] the peer; p->mnt is usable
 * Errors: with @diag; nothing is left behind.
 */
int bench_peer_up(struct bench_peer *p, const struct bench_args *args, enum bench_peer_kind kind,
		  const char *opts, bool filled, struct mbfs_diag *diag);

/* Unmount, wait for the last byte, e2fsck -fn of mbfs's image, remove all. Errors: with @diag. */
int bench_peer_down(struct bench_peer *p, struct mbfs_diag *diag);

#endif
