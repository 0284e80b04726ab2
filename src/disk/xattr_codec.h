/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/xattr_codec.h - bytes of extended attributes.
 *
 * Entry: name_len u8, name_index u8, value_off le16, value_inum le32, value_bytes le32, hash le32,
 *        name, padded to 4. Entries follow one another up to 4 bytes of zero; values lie behind,
 *        from the end of the area down.
 * In a block: a 32-byte header, then sorted entries; value_off counts from the block's start.
 * In an inode: from 128 + extra_isize on a magic number, then entries in any order; value_off
 *        counts from the first entry.
 * Source: Documentation/filesystems/ext4/attributes.rst.
 */
#ifndef DISK_XATTR_CODEC_H
#define DISK_XATTR_CODEC_H

#include <mbfs/types.h>

#include "base/endian.h"

#define XATTR_MAGIC 0xEA020000u

enum {
	XATTR_MAGIC_BYTES = 4, /* the header inside an inode */
	XATTR_HEAD_BYTES = 32, /* the header of a block */
	XATTR_ENTRY_BYTES = 16,
	XATTR_END_BYTES = 4,
	XATTR_SUFFIX_MAX = 255,
};

enum xattr_index {
	XATTR_INDEX_USER = 1,
	XATTR_INDEX_ACL_ACCESS = 2,
	XATTR_INDEX_ACL_DEFAULT = 3,
	XATTR_INDEX_TRUSTED = 4,
	XATTR_INDEX_SECURITY = 6,
};

/* One entry; the pointers lead into the area it was read from, or to the caller's bytes. */
struct xattr_entry {
	uint8_t index;
	uint8_t name_len;
	const uint8_t *name; /* without its prefix */
	const uint8_t *value; /* NULL if it lies in an inode of its own */
	uint32_t value_bytes;
	mbfs_ino_t value_inum;
	uint32_t hash;
};

static inline uint32_t xattr_get32(const uint8_t *p)
{
	mbfs_le32 v;

	memcpy(&v, p, sizeof(v));
	return le32_get(v);
}

static inline void xattr_put32(uint8_t *p, uint32_t n)
{
	mbfs_le32 v = le32_of(n);

	memcpy(p, &v, sizeof(v));
}

static inline uint32_t xattr_round(uint32_t bytes)
{
	return (bytes + 3) & ~3u;
}

/* Bytes of an entry, and of its value, in an area. */
static inline uint32_t xattr_entry_bytes(uint8_t name_len)
{
	return xattr_round(XATTR_ENTRY_BYTES + name_len);
}

static inline bool xattr_is_end(const uint8_t *p)
{
	return !xattr_get32(p);
}

static inline uint32_t xattr_value_off(const uint8_t *p)
{
	return p[2] | (uint32_t)p[3] << 8;
}

/* All but the value's place. */
static inline void xattr_entry_get(const uint8_t *p, struct xattr_entry *e)
{
	e->name_len = p[0];
	e->index = p[1];
	e->value_inum = xattr_get32(p + 4);
	e->value_bytes = xattr_get32(p + 8);
	e->hash = xattr_get32(p + 12);
	e->name = p + XATTR_ENTRY_BYTES;
	e->value = NULL;
}

static inline void xattr_entry_put(uint8_t *p, const struct xattr_entry *e, uint32_t value_off)
{
	memset(p, 0, xattr_entry_bytes(e->name_len));
	p[0] = e->name_len;
	p[1] = e->index;
	p[2] = (uint8_t)value_off;
	p[3] = (uint8_t)(value_off >> 8);
	xattr_put32(p + 4, e->value_inum);
	xattr_put32(p + 8, e->value_bytes);
	xattr_put32(p + 12, e->hash);
	memcpy(p + XATTR_ENTRY_BYTES, e->name, e->name_len);
}

/* The block's header: magic, number of inodes that share it, 1 block, hash of all entries,
 * checksum. */
static inline uint32_t xattr_head_refs(const uint8_t *block)
{
	return xattr_get32(block + 4);
}

static inline uint32_t xattr_head_blocks(const uint8_t *block)
{
	return xattr_get32(block + 8);
}

static inline void xattr_head_set_refs(uint8_t *block, uint32_t refs)
{
	xattr_put32(block + 4, refs);
}

static inline void xattr_head_put(uint8_t *block, uint32_t refs, uint32_t hash)
{
	memset(block, 0, XATTR_HEAD_BYTES);
	xattr_put32(block, XATTR_MAGIC);
	xattr_put32(block + 4, refs);
	xattr_put32(block + 8, 1);
	xattr_put32(block + 12, hash);
}

#endif
