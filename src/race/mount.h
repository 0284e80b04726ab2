/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mount.h - an image in a temporary directory and its FUSE mount, made and removed by a run.
 */
#ifndef RACE_MOUNT_H
#define RACE_MOUNT_H

#include "race/fixture.h"
#include "race/race_priv.h"

#include <sys/types.h>

struct race_mount {
	const struct race_config *cfg;
	char dir[RACE_PATH_BYTES / 2]; /* of our own, removed at the end */
	char image[RACE_PATH_BYTES], mnt[RACE_PATH_BYTES], log[RACE_PATH_BYTES];
	pid_t daemon; /* 0: none */
	uint64_t free_at_start; /* blocks */
	uint8_t *buf;		/* in a writers' process: what it writes */
	struct race_shared *sh; /* in a writers' process, of endio */
	struct race_site *site; /* in a writers' process, of endio: where its files are */
};

/*
 * race_mount_up - mkfs.ext4, and if the run is over a mount: mount with the variant, wait until it
 * is usable
 * Errors: with @diag; nothing is left behind.
 */
int race_mount_up(struct race_mount *m, const struct race_config *cfg, struct mbfs_diag *diag);
/* Blocks an ordinary user can have now. */
uint64_t race_mount_usable(const struct race_mount *m);
/* The daemon's statistics. -ENODATA when it has none. */
int race_mount_stats(const struct race_mount *m, struct race_result *res);
/*
 * race_mount_down - unmount, wait for the last byte, e2fsck -fn, remove all
 * @force: [in] the daemon hangs: kill it; there is no e2fsck then
 * @res:   [out] fsck_run, fsck_ok, note. A damaged image is kept, and the note says where.
 */
int race_mount_down(struct race_mount *m, bool force, struct race_result *res);

#endif
