/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * alloc/sysmap.h - which blocks hold the file system itself: superblocks, descriptor tables and the
 * blocks reserved for them to grow, bitmaps, inode tables. A map is constant once made; no locks.
 */
#ifndef ALLOC_SYSMAP_H
#define ALLOC_SYSMAP_H

#include "alloc/alloc.h"

struct sysmap;

/*
 * sysmap_open - the map of groups from @from on, from their descriptors
 * @geo:     [in] copied
 * @desc:    [in] answers where a group's bitmaps and table are; already known to be inside the
 * device Errors: -EUCLEAN two of them overlap, @diag says which group's; -ENOMEM.
 */
int sysmap_open(const struct mbfs_geo *geo, mbfs_grp_t from,
		const struct gdesc *(*desc)(void *ctx, mbfs_grp_t grp), void *ctx,
		struct mbfs_diag *diag, struct sysmap **out);
/* NULL is fine, of both; the second: when no RCU reader has it any more. */
void sysmap_close(struct sysmap *map);
void sysmap_close_later(struct sysmap *map, struct kvfree *dead);

/* The end of the device, and of the groups, when it was made. */
mbfs_grp_t sysmap_grp_nr(const struct sysmap *map);
mbfs_blk_t sysmap_end(const struct sysmap *map);
/* True if any block of the range is in the map, or outside the file system. */
bool sysmap_hit(const struct sysmap *map, mbfs_blk_t start, uint32_t len);
/* Sets the bits of the blocks of one group that are in the map; false: it has not this group. */
bool sysmap_bits(const struct sysmap *map, mbfs_grp_t grp, uint8_t *bits);

#endif
