/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/geo.h - the superblock, decoded: everything about an image that stays the same while it is
 * mounted, and its size. Filled once at mount by super_load(); read without locks by all layers
 * above. What a growth of the file system changes is marked [grows]: while mounted it is read by
 * geo_*() below and changed by geo_set_size() only. Each is a bound, raised before anything past
 * the old one can be seen.
 */
#ifndef DISK_GEO_H
#define DISK_GEO_H

#include <mbfs/blkdev.h>
#include <mbfs/types.h>

#include "rt/sync.h"

enum geo_feature {
	GEO_JOURNAL = 1u << 0, /* has_journal: inode 8 owns its blocks; not used as a journal yet */
	GEO_64BIT = 1u << 1,   /* descriptors are desc_bytes long */
	GEO_CSUM = 1u << 2,    /* metadata_csum */
	GEO_GDT_CSUM = 1u << 3, /* uninit_bg without metadata_csum: crc16 in descriptors */
	GEO_FLEX_BG = 1u << 4,
	GEO_SPARSE_SUPER = 1u << 5,
	GEO_SPARSE_SUPER2 = 1u << 6,
	GEO_RESIZE_INODE = 1u << 7,
	GEO_DIR_INDEX = 1u << 8,
	GEO_FILETYPE = 1u << 9,
	GEO_EXTENTS = 1u << 10,
	GEO_HUGE_FILE = 1u << 11,
	GEO_DIR_NLINK = 1u << 12,
	GEO_EXTRA_ISIZE = 1u << 13,
	GEO_LARGE_FILE = 1u << 14,
	GEO_EXT_ATTR = 1u << 15,
	GEO_META_BG = 1u << 16,
};

struct mbfs_geo {
	uint32_t features;	  /* enum geo_feature */
	uint32_t block_bytes;	  /* 1024, 2048, 4096 ... 65536 */
	uint32_t block_bits;	  /* log2 of it */
	uint32_t first_blk; /* 1 with 1 KiB blocks, else 0: block of the superblock's group 0 start
			     */
	mbfs_blk_t blk_nr;	  /* [grows] blocks of the file system, counted from block 0 */
	uint32_t blks_per_grp;	  /* also clusters: bigalloc is refused */
	uint32_t inodes_per_grp;
	uint32_t inode_nr;	  /* [grows] */
	mbfs_grp_t grp_nr;	  /* [grows] */
	uint32_t inode_bytes;	  /* size of an on-disk inode, >= 128 */
	uint32_t want_extra_isize; /* bytes past 128 that new inodes use */
	uint32_t first_ino;	  /* first inode that is not reserved, 11 */
	uint32_t desc_bytes;	  /* 32 or 64 and up */
	uint32_t desc_blk_nr;	  /* [grows] blocks of the descriptor table */
	uint32_t resv_gdt_blks;	  /* [shrinks] reserved for growing it */
	uint32_t log_grps_per_flex; /* 0: no flex_bg */
	uint32_t csum_seed;	  /* crc32c seed of all metadata checksums */
	uint32_t hash_seed[4];	  /* directory hash */
	uint8_t def_hash_version; /* 0 legacy, 1 half_md4, 2 tea; +3: unsigned chars */
	bool hash_unsigned;
	uint64_t resv_blk_nr;	  /* [grows] kept for resv_uid, resv_gid and root */
	uint32_t resv_uid, resv_gid;
	uint32_t backup_grp[2];	  /* sparse_super2 */
	uint32_t first_meta_bg;
	uint8_t uuid[16];
};

/* First device block of a group. */
static inline mbfs_blk_t geo_grp_start(const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	return (mbfs_blk_t)grp * geo->blks_per_grp + geo->first_blk;
}

static inline mbfs_blk_t geo_blk_nr(const struct mbfs_geo *geo)
{
	return rt_read_once(geo->blk_nr);
}

static inline uint32_t geo_inode_nr(const struct mbfs_geo *geo)
{
	return rt_read_once(geo->inode_nr);
}

static inline mbfs_grp_t geo_grp_nr(const struct mbfs_geo *geo)
{
	return rt_read_once(geo->grp_nr);
}

static inline uint64_t geo_resv_blk_nr(const struct mbfs_geo *geo)
{
	return rt_read_once(geo->resv_blk_nr);
}

/* All that grows, from @size; one thread at a time. */
static inline void geo_set_size(struct mbfs_geo *geo, const struct mbfs_geo *size)
{
	rt_write_once(geo->blk_nr, size->blk_nr);
	rt_write_once(geo->inode_nr, size->inode_nr);
	rt_write_once(geo->grp_nr, size->grp_nr);
	rt_write_once(geo->resv_blk_nr, size->resv_blk_nr);
	rt_write_once(geo->desc_blk_nr, size->desc_blk_nr);
	rt_write_once(geo->resv_gdt_blks, size->resv_gdt_blks);
}

/* The number of blocks in a group; the last one may be shorter. */
static inline uint32_t geo_grp_len(const struct mbfs_geo *geo, mbfs_grp_t grp)
{
	mbfs_blk_t left = geo_blk_nr(geo) - geo_grp_start(geo, grp);

	return left < geo->blks_per_grp ? (uint32_t)left : geo->blks_per_grp;
}

#endif
