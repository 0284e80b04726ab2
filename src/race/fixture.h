/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fixture.h - images and mounts in temporary directories, for runs and benchmarks.
 */
#ifndef RACE_FIXTURE_H
#define RACE_FIXTURE_H

#include <mbfs/types.h>

enum { RACE_PATH_BYTES = 512 };

/* A new directory for images: @dir, or TMPDIR, or /dev/shm when it has room, or /tmp. */
int race_tmpdir_make(const char *dir, uint64_t need_bytes, char *out, size_t bytes,
		     struct mbfs_diag *diag);
/* mkfs.ext4 of @bytes with @block_bytes; @extra ends with NULL. Makes a sparse file first. */
int race_image_make(const char *image, uint64_t bytes, uint32_t block_bytes,
		    const char *const extra[], const char *log, struct mbfs_diag *diag);
/* True once something else than its parent's file system is at @mnt. */
bool race_is_mounted(const char *mnt);
/* Unmount a FUSE or other mount, as root or not; waits while it is busy. */
int race_unmount(const char *mnt, bool lazy);

#endif
