/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_groups.h - the groups of a real image as dumpe2fs tells of them, and what descriptors and
 * bitmaps need to be opened alone: superblock, device with faults, buffers, handles.
 */
#ifndef TESTS_SUPPORT_T_GROUPS_H
#define TESTS_SUPPORT_T_GROUPS_H

#include "alloc/alloc.h"
#include "disk/super.h"
#include "support/t.h"

/* mkfs.ext4's options, size in MiB: block sizes, 64bit, checksums of all kinds, flex_bg, uninit
 * groups, meta_bg; the short last group comes by itself. */
struct t_layout {
	const char *args;
	uint32_t mib;
};
extern const struct t_layout t_layouts[];
enum { T_LAYOUT_NR = 9 };

struct t_group {
	struct gdesc d;
	bool has_unused; /* itable_unused means something */
};

struct t_groups {
	struct t_group *grps;
	uint8_t *system, *unused; /* a byte per block: metadata of the file system; free */
	bool any_uninit;
};

struct t_groups_bed {
	struct super super;
	const struct mbfs_geo *geo;
	struct mbfs_bdev *dev; /* faults in front of the caller's */
	struct buf_cache *bufs;
	struct txlog *log;
};

struct mbfs_bdev *t_groups_image(unsigned layout);
void t_groups_ask(struct mbfs_bdev *mem, const struct mbfs_geo *geo, struct t_groups *out);
void t_groups_free(struct t_groups *g);

/* @plan NULL: no faults. Their counts start at the superblock's read, the first. */
void t_groups_open(struct t_groups_bed *b, struct mbfs_bdev *mem,
		   const struct mbfs_fault_plan *plan);
void t_groups_close(struct t_groups_bed *b);
/* Put the checksum of a descriptor right, on the image. */
uint8_t *t_groups_desc(struct mbfs_bdev *mem, const struct mbfs_geo *geo, mbfs_grp_t grp);
void t_groups_desc_seal(struct mbfs_bdev *mem, const struct mbfs_geo *geo, mbfs_grp_t grp);

#endif
