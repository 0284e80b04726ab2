/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/csum.h - metadata checksums (crc32c). Without GEO_CSUM every _ok is true and every _set does
 * nothing, so callers need not ask. Pure functions of their arguments.
 * Source: Documentation/filesystems/ext4/checksums.rst.
 */
#ifndef DISK_CSUM_H
#define DISK_CSUM_H

#include "disk/geo.h"

/* The register after what ties a block to its inode: the seed of extent and directory blocks. */
uint32_t csum_inode_seed(const struct mbfs_geo *geo, mbfs_ino_t ino, uint32_t gen);

/* @raw: the whole on-disk inode, geo->inode_bytes. */
bool csum_inode_ok(const struct mbfs_geo *geo, mbfs_ino_t ino, uint32_t gen, const uint8_t *raw);
void csum_inode_set(const struct mbfs_geo *geo, mbfs_ino_t ino, uint32_t gen, uint8_t *raw);

/* An extent block; the checksum lies behind the last possible entry. False if max leaves no room.
 */
bool csum_extent_ok(const struct mbfs_geo *geo, uint32_t seed, const uint8_t *data, uint32_t bytes);
void csum_extent_set(const struct mbfs_geo *geo, uint32_t seed, uint8_t *data, uint32_t bytes);

/* A directory leaf with its 12-byte tail; false if the tail is missing. */
bool csum_dirblk_ok(const struct mbfs_geo *geo, uint32_t seed, const uint8_t *data, uint32_t bytes);
void csum_dirblk_set(const struct mbfs_geo *geo, uint32_t seed, uint8_t *data, uint32_t bytes);

/* An index block; @slots_off: where its limit/count pair is. False if limit leaves no room. */
bool csum_dx_ok(const struct mbfs_geo *geo, uint32_t seed, const uint8_t *data, uint32_t bytes,
		uint32_t slots_off);
void csum_dx_set(const struct mbfs_geo *geo, uint32_t seed, uint8_t *data, uint32_t bytes,
		 uint32_t slots_off);

bool csum_xattr_ok(const struct mbfs_geo *geo, mbfs_blk_t blk, const uint8_t *data, uint32_t bytes);
void csum_xattr_set(const struct mbfs_geo *geo, mbfs_blk_t blk, uint8_t *data, uint32_t bytes);

/* Of a bitmap's first @bytes bytes. */
uint32_t csum_bitmap(const struct mbfs_geo *geo, const uint8_t *bits, uint32_t bytes);

/* Of a group descriptor as it lies on disk; its own checksum field is taken as zero. */
uint16_t csum_gdesc(const struct mbfs_geo *geo, mbfs_grp_t grp, const uint8_t *desc);

/* Of the superblock's 1024 bytes; ro_compat decides, not geo: geo is not known yet. */
bool csum_super_ok(const uint8_t *raw);
void csum_super_set(uint8_t *raw);

#endif
