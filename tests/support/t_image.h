/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_image.h - real ext4 images in memory: made by mkfs.ext4, filled by debugfs, judged by e2fsck.
 * A call that fails ends the test with the output of the tool. Suites that use it run under
 * T_IMAGE_MAIN, which skips them (exit status 77) where e2fsprogs is not installed.
 */
#ifndef TESTS_SUPPORT_T_IMAGE_H
#define TESTS_SUPPORT_T_IMAGE_H

#include <mbfs/blkdev.h>

#include "support/t.h"

/* mkfs.ext4, debugfs and e2fsck are there. */
bool t_image_have(void);

#define T_IMAGE_MAIN(suite_fn) \
	T_MAIN_IF(suite_fn, t_image_have(), "mkfs.ext4, debugfs and e2fsck are not installed")

/*
 * An image as mkfs.ext4 -q -F makes it, with a fixed UUID, hash seed and time: the same bytes each
 * time. @mkfs_args: options and, if wanted, -U or -E of their own; "" for the defaults.
 * Close with mbfs_bdev_close(). The _try version answers NULL if mkfs.ext4 refuses the options.
 */
struct mbfs_bdev *t_image_mem(const char *mkfs_args, uint64_t size_bytes);
struct mbfs_bdev *t_image_mem_try(const char *mkfs_args, uint64_t size_bytes);

/* An image file as a memory device, and back; holes stay holes. @dev may be of any kind. */
struct mbfs_bdev *t_image_load(const char *path);
void t_image_save(struct mbfs_bdev *dev, const char *path);

/* Run a script of debugfs commands, one a line, on the image of a memory device; see debugfs(8). */
void t_image_debugfs(struct mbfs_bdev *mem, const char *script);

/* The answer of debugfs to one request, e.g. "stat <12>". The caller frees it. */
char *t_image_ask(struct mbfs_bdev *dev, const char *request);

enum t_image_content {
	T_IMAGE_TREE = 1u << 0, /* /d0../d3, each with 8 files f0..f7 of 0, 1, ... 7 * 3000 bytes */
	T_IMAGE_LINKS =
		1u << 1, /* /fast and /slow: symbolic links; /hard: a second name of /d0/f1 */
	T_IMAGE_XATTRS = 1u << 2, /* /d0/f1: user.small in the inode; /d0/f2: user.big in a block */
	T_IMAGE_EXTENTS =
		1u << 3, /* /sparse: one block in three of 2400, deeper than the inode's four */
	T_IMAGE_HTREE =
		1u << 4, /* /big: a hashed directory of 1300 empty files, names of 96 bytes */
	T_IMAGE_ALL = (1u << 5) - 1,
};
void t_image_populate(struct mbfs_bdev *mem, unsigned content);

/* The byte that file t_image_populate() put at @off of a file; /sparse too, where it has data. */
static inline uint8_t t_image_byte(uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 8) * 7 + 1);
}

/*
 * e2fsck -fn on the image: 0 only if the exit status is 0 and the output has no complaint either
 * (some, like wrong free counts in the superblock, leave the status 0). Otherwise prints the
 * output.
 */
int t_image_fsck(struct mbfs_bdev *dev);

/* Run a shell command; its output, stderr included. t_run() wants exit status 0. The caller frees
 * it. */
char *t_run(const char *cmd);
char *t_run_status(const char *cmd, int *status);
char *t_runf(const char *fmt, ...) MBFS_PRINTF(1, 2);

/* The name of a new, empty temporary file. The caller removes it and frees the name. */
char *t_temp(void);

#endif
