/* SPDX-License-Identifier: GPL-2.0-only */
/* t_ext.h - one extent tree over a memory device, its buffers and an allocator on memory. */
#ifndef TESTS_SUPPORT_T_EXT_H
#define TESTS_SUPPORT_T_EXT_H

#include "extent/extent.h"
#include "support/t.h"

struct t_ext {
	struct mbfs_geo geo;
	struct mbfs_bdev *mem, *dev; /* dev: mem behind faults */
	struct buf_cache *bufs;
	struct txlog *log;
	struct mbfs_alloc *alloc;
	struct extent_env env;
	struct extent_tree tree;
	uint64_t data_blks; /* what the tree maps, as counted by its caller */
};

void t_ext_open(struct t_ext *x, uint32_t block_bytes, uint64_t blks);
/* Removes all, checks that nothing is lost, closes. */
void t_ext_close(struct t_ext *x);
void t_ext_ok(struct t_ext *x);
struct mbfs_tx *t_ext_tx(struct t_ext *x);
/* Whole operations in handles of their own; data_blks follows. */
int t_ext_alloc(struct t_ext *x, mbfs_lblk_t lblk, uint32_t len, struct extent_map *map);
int t_ext_convert(struct t_ext *x, mbfs_lblk_t lblk, uint32_t len);
int t_ext_remove(struct t_ext *x, mbfs_lblk_t lblk, uint64_t end);
/* by > 0: what reaches across @from is split first. */
int t_ext_shift(struct t_ext *x, mbfs_lblk_t from, int32_t by);
unsigned t_ext_extents(struct t_ext *x, mbfs_lblk_t end); /* runs that are no hole before @end */

#endif
