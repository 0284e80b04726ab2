/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/inode_codec.h - the bytes of an on-disk inode.
 *
 * An inode is geo->inode_bytes long: 128 bytes that all have, then extra_isize bytes of newer
 * fields, then attributes. A field past extra_isize does not exist: it is read as its default and
 * never written.
 * Source: Documentation/filesystems/ext4/inodes.rst.
 */
#ifndef DISK_INODE_CODEC_H
#define DISK_INODE_CODEC_H

#include <mbfs/types.h>

#include <sys/types.h>
#include <time.h>

#include "disk/geo.h"

enum { INODE_BLOCK_BYTES = 60 };

/* What mbfs knows of an inode, decoded. */
struct inode_image {
	mode_t mode;
	uint32_t uid, gid, nlink, gen;
	uint32_t flags; /* as on disk, without huge_file: blocks_512 is in sectors always */
	uint64_t size_bytes, blocks_512;
	uint32_t dtime; /* of an orphan: the next one */
	dev_t rdev;	/* devices only */
	struct timespec atime, mtime, ctime, btime;
	mbfs_blk_t xattr_blk;
	uint32_t extra_isize; /* 0 in inodes of 128 bytes */
	uint8_t block[INODE_BLOCK_BYTES];
};

/* Times that fit: seconds from -2^31 on, up to 2^31 - 1 or, with extra fields, 2^34 - 2^31 - 1. */
enum { INODE_TIME_MIN = -2147483647 - 1, INODE_TIME_OLD_MAX = 2147483647 };
#define INODE_TIME_MAX 0x37fffffffll

/* Link count and generation alone: of inodes that may be free, before anything is verified. */
uint32_t inode_raw_links(const uint8_t *raw);
uint32_t inode_raw_gen(const uint8_t *raw);

/*
 * inode_image_decode - all fields
 * @raw: [in] geo->inode_bytes; the checksum is the caller's business
 * Errors: -EUCLEAN a type that does not exist, a size past what 2^32 blocks hold, extra_isize that
 * does not fit, a flag of a feature that mount refuses (encrypt, inline_data, ea_inode, casefold),
 * or an attribute block outside the device.
 */
int inode_image_decode(const struct mbfs_geo *geo, const uint8_t *raw, struct inode_image *out);

/*
 * inode_image_encode - put the fields into an inode's bytes; what mbfs does not know stays
 * Times are clamped to what fits; a count of sectors that needs huge_file gets its flag. No
 * checksum.
 */
void inode_image_encode(const struct mbfs_geo *geo, const struct inode_image *in, uint8_t *raw);
/* Times as they will be read back: what the inode has no bits for goes. */
void inode_image_fit_times(struct inode_image *in);

#endif
