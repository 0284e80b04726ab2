/* SPDX-License-Identifier: GPL-2.0-only */
/* inode/dirhash.h - the hashes of names by which large directories are indexed. Pure functions. */
#ifndef INODE_DIRHASH_H
#define INODE_DIRHASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dir_hash_version { DIR_HASH_LEGACY, DIR_HASH_HALF_MD4, DIR_HASH_TEA, DIR_HASH_NR };

/* How the names of one directory are hashed. */
struct dir_hasher {
	uint8_t version;  /* enum dir_hash_version */
	bool is_unsigned; /* characters above 127 count as positive */
	uint32_t seed[4]; /* all zero: the algorithm's own start */
};

/*
 * dir_hash - the major hash of a name: even, and never 0xfffffffe (which means the end)
 * @name:  [in] @len bytes, 0..255
 * @minor: [out] the second word, 0 for legacy; may be NULL
 * Source: Documentation/filesystems/ext4/directory.rst; MD4: RFC 1320, the first two words of half
 * as much input; TEA: Wheeler and Needham, 16 rounds.
 */
uint32_t dir_hash(const struct dir_hasher *h, const void *name, size_t len, uint32_t *minor);

#endif
