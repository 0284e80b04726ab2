/* SPDX-License-Identifier: GPL-2.0-only */
/* resize.h - what the files of resize-writers share. */
#ifndef RACE_RESIZE_H
#define RACE_RESIZE_H

#include "race/race_priv.h"

/* Over a mount: writes of a writer under way; blocks of a group. */
enum { RESIZE_DEPTH = 8, RESIZE_GRP_BLKS = 1024 };

static inline uint64_t resize_grp_bytes(const struct race_config *cfg)
{
	return (uint64_t)RESIZE_GRP_BLKS * cfg->block_bytes;
}

/* resize_mount.c: one writer's life, and where he lives; ctx: struct race_mount * */
unsigned resize_places(const struct race_config *cfg); /* of STAMP_BYTES, in a writer's file */
void resize_mount_worker(struct race_worker *w);
extern const struct race_backend resize_mount_backend;

/* report_resize.c */
extern const struct race_report resize_report;

#endif
