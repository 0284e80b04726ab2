/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Integers as they lie on disk. They are structs, so that no code can use one without saying how it
 * is to be read; only codecs (src/disk) do.
 */
#ifndef BASE_ENDIAN_H
#define BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

typedef struct { uint16_t raw; } __attribute__((packed)) mbfs_le16;
typedef struct { uint32_t raw; } __attribute__((packed)) mbfs_le32;
typedef struct { uint64_t raw; } __attribute__((packed)) mbfs_le64;

static inline uint16_t le16_get(mbfs_le16 v)
{
	return le16toh(v.raw);
}

static inline uint32_t le32_get(mbfs_le32 v)
{
	return le32toh(v.raw);
}

static inline uint64_t le64_get(mbfs_le64 v)
{
	return le64toh(v.raw);
}

static inline mbfs_le16 le16_of(uint16_t v)
{
	return (mbfs_le16){ htole16(v) };
}

static inline mbfs_le32 le32_of(uint32_t v)
{
	return (mbfs_le32){ htole32(v) };
}

static inline mbfs_le64 le64_of(uint64_t v)
{
	return (mbfs_le64){ htole64(v) };
}

/* The size and the offsets of an on-disk struct are part of the format: the compiler checks them.
 */
#define MBFS_DISK_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " size")
#define MBFS_DISK_OFFSET(type, member, off)                                                        \
	_Static_assert(offsetof(type, member) == (off), #type "." #member " offset")

#endif
