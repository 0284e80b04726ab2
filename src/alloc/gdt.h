/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files about group descriptors share: gdt.c reads, keeps and writes them, gdt_grow.c adds
 * some. The essay is in gdt.c.
 */
#ifndef ALLOC_GDT_H
#define ALLOC_GDT_H

#include "alloc/sysmap.h"
#include "base/check.h"
#include "reclaim/table.h"

struct gdt_group {
	struct rt_spin lock;                     /* RANK_GDESC */
	struct gdesc d;                          /* places [const], the rest [lock] */
	uint32_t block_csum, inode_csum;         /* [lock] of the bitmaps, as stored */
	struct buf *inode_bitmap;                /* [lock] pinned, or NULL; once set it stays */
	rt_ptr block_bitmap;                     /* [atomic] struct buf *, likewise */
};

enum { GDT_PER_BLK_MAX = 65536 / 32 };

/* One block of the descriptor table, and its groups: of the last one some are not there yet. */
struct gdt_blk {
	struct buf *buf;                      /* [const] held */
	rt_u32 changed[GDT_PER_BLK_MAX / 32]; /* [atomic] a bit for each group */
	struct gdt_group grps[];
};

struct gdt {
	const struct mbfs_geo *geo;
	struct buf_cache *bufs; /* [const] */
	bool has_flags;         /* [const] flags and itable_unused mean something */
	uint32_t per_blk, per_blk_bits; /* [const] descriptors in a block */
	mbfs_grp_t grp_nr;      /* [racy: a bound; the blocks are there before] */
	struct table blks;      /* struct gdt_blk */
	struct rt_mutex seal;   /* RANK_GDT_SEAL */
	struct sysmap *sysmap;  /* [const] of the groups at mount */
	rt_ptr grown;           /* [rcu] struct sysmap * of the others; NULL: none */
	struct sysmap *next_map; /* [who grows it] */
	struct kvfree *dead;     /* [who grows it] where what is replaced goes */
};

extern const struct buf_kind gdt_desc_kind;

static inline struct gdt_blk *gdt_blk_of(struct gdt *gdt, mbfs_grp_t grp)
{
	struct gdt_blk *b = table_at(&gdt->blks, grp >> gdt->per_blk_bits);

	MBFS_ASSERT(b);
	return b;
}

static inline struct gdt_group *gdt_group_of(struct gdt *gdt, mbfs_grp_t grp)
{
	return &gdt_blk_of(gdt, grp)->grps[grp & (gdt->per_blk - 1)];
}

void gdt_blk_init(struct gdt *gdt, struct gdt_blk *b);
void gdt_blk_destroy(struct gdt *gdt, struct gdt_blk *b); /* its buffers are let go */
const struct gdesc *gdt_desc_of(void *gdt, mbfs_grp_t grp); /* for sysmap_open() */

void gdt_desc_encode(const struct gdt *gdt, mbfs_grp_t grp, const struct gdt_group *g,
		     uint8_t *raw);
uint32_t gdt_bitmap_csum(const struct mbfs_geo *geo, const uint8_t *bits, uint32_t nr);

/* place.c: fills in where the metadata of groups [from, geo->grp_nr) goes. */
void place_groups(const struct mbfs_geo *geo, mbfs_grp_t from,
		  struct gdesc *(*desc)(void *ctx, mbfs_grp_t grp), void *ctx);

/* Sets the bits of the group's blocks that are the file system's own. */
void gdt_system_bits(struct gdt *gdt, mbfs_grp_t grp, uint8_t *bits);

#endif
