/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_bed.h - names and attributes without the rooms below them. Real: devices in memory, buffers,
 * handles. Naive twins, linked instead of the real ones: the allocator (one bitmap), extent trees
 * (one array a file), the inode table and cache (one array). So a test can break any block, fail
 * any call, and count what is left.
 */
#ifndef TESTS_SUPPORT_T_BED_H
#define TESTS_SUPPORT_T_BED_H

#include "inode/inode.h"

enum { T_BED_INODES = 4096 };

struct t_bed {
	struct mbfs_geo geo;
	struct inode_env env;
	struct mbfs_bdev *mem, *dev; /* dev: faults in front of mem */
};

struct t_bed_opts {
	uint32_t block_bytes;
	uint32_t blk_nr;
	uint32_t features; /* enum geo_feature */
	uint32_t inode_bytes;
};

extern struct t_bed bed;

void t_bed_open(const struct t_bed_opts *opts); /* with a root directory */
void t_bed_close(void);
/* The same device behind new, empty caches, after a write-out; faults as planned from then on. */
void t_bed_reopen(const struct mbfs_fault_plan *plan);
struct inode *t_bed_inode(mbfs_ino_t ino); /* not referenced; NULL: not in use */
/* A new inode of this mode with one link, not in any directory. */
struct inode *t_bed_make(mode_t mode);
/* The device block of a file's block; 0: none. */
mbfs_blk_t t_bed_blk(const struct inode *in, mbfs_lblk_t lblk);
/* Map a file's blocks by hand, for hostile directories. */
void t_bed_map(struct inode *in, mbfs_lblk_t lblk, mbfs_blk_t blk);
uint64_t t_bed_free_blks(void);
uint32_t t_bed_inodes_used(void);
/* The n-th call from now of any twin that may fail answers @err; 0: none. Did it? */
void t_bed_fail_at(uint64_t n, int err);
bool t_bed_fail_struck(void);
/* Blocks in use = sum of all files' blocks; counts agree; nothing is referenced. */
void t_bed_check(void);

#endif
