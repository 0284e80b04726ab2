/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_super.h - what must hold of every geometry that super_load() accepts, whatever the image: the
 * arithmetic of all layers above stands on it.
 */
#ifndef TESTS_SUPPORT_T_SUPER_H
#define TESTS_SUPPORT_T_SUPER_H

#include "disk/super.h"

static inline bool t_pow2(uint64_t n)
{
	return n && (n & (n - 1)) == 0;
}

/* NULL if it holds, else what does not. */
static inline const char *t_geo_fault(const struct mbfs_geo *g, uint64_t dev_bytes)
{
	uint64_t last;

	if (g->block_bits < 10 || g->block_bits > 16 || g->block_bytes != 1u << g->block_bits)
		return "block size";
	if (g->blk_nr > dev_bytes / g->block_bytes)
		return "longer than the device";
	if (g->first_blk > 1 || g->blk_nr <= g->first_blk)
		return "first block";
	if (!g->blks_per_grp || g->blks_per_grp % 8 || g->blks_per_grp > 8 * g->block_bytes)
		return "blocks in a group";
	if (!g->grp_nr || (uint64_t)(g->grp_nr - 1) * g->blks_per_grp + g->first_blk >= g->blk_nr ||
	    (uint64_t)g->grp_nr * g->blks_per_grp + g->first_blk < g->blk_nr)
		return "number of groups";
	last = geo_grp_len(g, g->grp_nr - 1);
	if (last == 0 || last > g->blks_per_grp)
		return "length of the last group";
	if (!g->inodes_per_grp || g->inodes_per_grp > 8 * g->block_bytes || g->inodes_per_grp % 8)
		return "inodes in a group";
	if ((uint64_t)g->inodes_per_grp * g->grp_nr != g->inode_nr)
		return "number of inodes";
	if (!t_pow2(g->inode_bytes) || g->inode_bytes < 128 || g->inode_bytes > g->block_bytes)
		return "inode size";
	if ((uint64_t)g->inodes_per_grp * g->inode_bytes >=
	    (uint64_t)g->blks_per_grp * g->block_bytes)
		return "inode table";
	if (g->inode_bytes > 128 &&
	    (g->want_extra_isize > g->inode_bytes - 128 || g->want_extra_isize % 4))
		return "extra inode bytes";
	if (g->first_ino < 11 || g->first_ino > g->inode_nr)
		return "first inode";
	if (!t_pow2(g->desc_bytes) || g->desc_bytes < 32 || g->desc_bytes > g->block_bytes ||
	    ((g->features & GEO_64BIT) && g->desc_bytes < 64))
		return "descriptor size";
	if ((uint64_t)g->desc_blk_nr * (g->block_bytes / g->desc_bytes) < g->grp_nr)
		return "descriptor table";
	if (!(g->features & GEO_META_BG) &&
	    1ull + g->desc_blk_nr + g->resv_gdt_blks >= geo_grp_len(g, 0))
		return "descriptor table does not fit in its group";
	if (g->log_grps_per_flex > 31)
		return "groups in a flex group";
	if (g->def_hash_version > 5)
		return "hash version";
	if (g->resv_blk_nr > g->blk_nr)
		return "reserved blocks";
	return NULL;
}

#endif
