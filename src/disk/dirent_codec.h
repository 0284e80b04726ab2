/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/dirent_codec.h - bytes of directory blocks: entries, and the index (htree) of large ones.
 *
 * Entry: inode le32, rec_len le16, name_len u8, file type u8, name; rec_len reaches the next entry.
 * Leaf:  entries that fill the block; with metadata_csum up to a 12-byte tail that looks like an
 *        entry of inode 0 and type 0xDE.
 * Root:  "." and "..", then at 24: reserved le32, hash version, info length 8, levels, flags; at 32
 *        the index.
 * Node:  an empty entry of the whole block, then at 8 the index.
 * Index: slot 0 holds limit le16, count le16, block le32; the others hash le32, block le32. After
 *        limit slots, with metadata_csum: reserved le32, checksum le32.
 *
 * Nothing here checks anything: dir_block.c does, before a block is used.
 * Source: Documentation/filesystems/ext4/directory.rst.
 */
#ifndef DISK_DIRENT_CODEC_H
#define DISK_DIRENT_CODEC_H

#include <mbfs/types.h>

#include "base/endian.h"
#include "disk/geo.h"

enum {
	DIRENT_HEAD_BYTES = 8,
	DIRENT_MIN_BYTES = 12, /* an entry of a one-byte name, rounded up to 4 */
	DIRENT_TAIL_BYTES = 12,
	DIRENT_TAIL_TYPE = 0xDE,
	DIRENT_NAME_MAX = 255,
	DX_ROOT_INFO_OFF = 24,
	DX_ROOT_INFO_BYTES = 8,
	DX_ROOT_SLOTS_OFF = 32,
	DX_NODE_SLOTS_OFF = 8,
	DX_SLOT_BYTES = 8,
	DX_TAIL_BYTES = 8,
	DX_BLOCK_MASK = 0x0fffffff,
};

static inline uint16_t dirent_get16(const uint8_t *p)
{
	mbfs_le16 v;

	memcpy(&v, p, sizeof(v));
	return le16_get(v);
}

static inline uint32_t dirent_get32(const uint8_t *p)
{
	mbfs_le32 v;

	memcpy(&v, p, sizeof(v));
	return le32_get(v);
}

static inline void dirent_put16(uint8_t *p, uint16_t n)
{
	mbfs_le16 v = le16_of(n);

	memcpy(p, &v, sizeof(v));
}

static inline void dirent_put32(uint8_t *p, uint32_t n)
{
	mbfs_le32 v = le32_of(n);

	memcpy(p, &v, sizeof(v));
}

/* ---- one entry ---- @d points at its first byte */

/* Bytes that an entry of this name needs. */
static inline uint32_t dirent_bytes(uint32_t name_len)
{
	return (DIRENT_HEAD_BYTES + name_len + 3) & ~3u;
}

static inline mbfs_ino_t dirent_ino(const uint8_t *d)
{
	return dirent_get32(d);
}

/* A record of 65536 bytes does not fit its 16 bits: 65535 or 0 stand for it, in 64 KiB blocks only.
 */
static inline uint32_t dirent_rec_len(const uint8_t *d, uint32_t block_bytes)
{
	uint32_t raw = dirent_get16(d + 4);

	if (block_bytes < 65536)
		return raw;
	if (raw == 65535 || raw == 0)
		return 65536;
	return (raw & 65532) | (raw & 3) << 16;
}

static inline uint8_t dirent_name_len(const uint8_t *d)
{
	return d[6];
}

static inline uint8_t dirent_type(const uint8_t *d)
{
	return d[7];
}

static inline const uint8_t *dirent_name(const uint8_t *d)
{
	return d + DIRENT_HEAD_BYTES;
}

static inline void dirent_set_ino(uint8_t *d, mbfs_ino_t ino)
{
	dirent_put32(d, ino);
}

static inline void dirent_set_rec_len(uint8_t *d, uint32_t bytes)
{
	dirent_put16(d + 4, bytes == 65536 ? 65535 : (uint16_t)bytes);
}

static inline void dirent_set_type(uint8_t *d, uint8_t type)
{
	d[7] = type;
}

/* All of an entry but its record length. */
static inline void dirent_fill(uint8_t *d, mbfs_ino_t ino, uint8_t type, const void *name,
			       uint8_t len)
{
	dirent_put32(d, ino);
	d[6] = len;
	d[7] = type;
	memcpy(d + DIRENT_HEAD_BYTES, name, len);
}

/* Where the entries of a leaf end. */
static inline uint32_t dirent_leaf_end(const struct mbfs_geo *geo)
{
	return geo->block_bytes - (geo->features & GEO_CSUM ? DIRENT_TAIL_BYTES : 0);
}

/* ---- the index ---- @s points at slot 0 */

static inline uint8_t dx_root_version(const uint8_t *block)
{
	return block[DX_ROOT_INFO_OFF + 4];
}

static inline uint8_t dx_root_levels(const uint8_t *block)
{
	return block[DX_ROOT_INFO_OFF + 6];
}

static inline void dx_root_set_info(uint8_t *block, uint8_t version, uint8_t levels)
{
	memset(block + DX_ROOT_INFO_OFF, 0, DX_ROOT_INFO_BYTES);
	block[DX_ROOT_INFO_OFF + 4] = version;
	block[DX_ROOT_INFO_OFF + 5] = DX_ROOT_INFO_BYTES;
	block[DX_ROOT_INFO_OFF + 6] = levels;
}

/* Slots that fit in a block whose index starts at @slots_off. */
static inline uint32_t dx_slots_max(const struct mbfs_geo *geo, uint32_t slots_off)
{
	uint32_t tail = geo->features & GEO_CSUM ? DX_TAIL_BYTES : 0;

	return (geo->block_bytes - slots_off - tail) / DX_SLOT_BYTES;
}

static inline uint32_t dx_limit(const uint8_t *s)
{
	return dirent_get16(s);
}

static inline uint32_t dx_count(const uint8_t *s)
{
	return dirent_get16(s + 2);
}

static inline void dx_set_limit(uint8_t *s, uint32_t limit)
{
	dirent_put16(s, (uint16_t)limit);
}

static inline void dx_set_count(uint8_t *s, uint32_t count)
{
	dirent_put16(s + 2, (uint16_t)count);
}

/* Slot 0 covers everything below slot 1: its hash is 0. Bit 0 set: goes on from the slot before. */
static inline uint32_t dx_hash(const uint8_t *s, uint32_t at)
{
	return at ? dirent_get32(s + at * DX_SLOT_BYTES) : 0;
}

static inline mbfs_lblk_t dx_block(const uint8_t *s, uint32_t at)
{
	return dirent_get32(s + at * DX_SLOT_BYTES + 4) & DX_BLOCK_MASK;
}

static inline void dx_set_hash(uint8_t *s, uint32_t at, uint32_t hash)
{
	dirent_put32(s + at * DX_SLOT_BYTES, hash);
}

static inline void dx_set_block(uint8_t *s, uint32_t at, mbfs_lblk_t lblk)
{
	dirent_put32(s + at * DX_SLOT_BYTES + 4, lblk);
}

#endif
