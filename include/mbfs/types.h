/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mbfs: the words every layer shares. Device blocks, file blocks, clusters in a group, groups and
 * inodes are different types, so that a reader sees which one a function wants.
 */
#ifndef MBFS_TYPES_H
#define MBFS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MBFS_API	__attribute__((visibility("default")))
#define MBFS_MUST_CHECK __attribute__((warn_unused_result))
#define MBFS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

typedef uint64_t mbfs_blk_t;  /* device block, from 0 */
typedef uint32_t mbfs_lblk_t; /* block of a file, from 0 */
typedef uint32_t mbfs_clu_t;  /* cluster inside its group, from 0 */
typedef uint32_t mbfs_grp_t;  /* block group, from 0 */
typedef uint32_t mbfs_ino_t;  /* inode number, from 1; 2 is the root directory */

/* A run of device blocks: [start, start + len). */
struct mbfs_run {
	mbfs_blk_t start;
	uint32_t len;
};

/*
 * Why a call was refused, in one line for a person: what is wrong and what to do about it. Filled
 * by calls that take bad input from a user (options, images); text[0] is 0 when there is nothing to
 * say.
 */
struct mbfs_diag {
	char text[512];
};

/* Handle of one change to metadata; see src/journal/journal.h. */
struct mbfs_tx;

#ifdef __cplusplus
}
#endif

#endif
