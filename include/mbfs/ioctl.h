/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a file or directory of an mbfs mount answers to ioctl(2), beyond what FUSE forwards: where
 * its blocks are (FS_IOC_FIEMAP ends in the kernel), and the modes of fallocate(2) that the kernel
 * keeps to itself: mbfs-stat has them as commands; and growing, which is mbfs-resize's. Elsewhere
 * they are ENOTTY.
 */
#ifndef MBFS_IOCTL_H
#define MBFS_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MBFS_IOC_TYPE 0xEF

enum { MBFS_IOC_EXTENTS_MAX = 256 };

enum mbfs_ioc_extent_flags {
	MBFS_IOC_EXTENT_UNWRITTEN = 1, /* reads as zeros */
	MBFS_IOC_EXTENT_LAST = 2,      /* there is none behind it */
	MBFS_IOC_EXTENT_MERGED = 4,    /* found block by block: the file has no extents */
};

struct mbfs_ioc_extent {
	__u64 off_bytes; /* in the file */
	__u64 dev_bytes; /* in the file system */
	__u64 len_bytes;
	__u32 flags; /* enum mbfs_ioc_extent_flags */
	__u32 reserved;
};

/*
 * MBFS_IOC_FIEMAP - the extents of a file, in its order, those past its size too
 * off_bytes: [in] from here on; to page on, the end of the last one got
 * nr:        [out] how many follow; 0: none
 * Errors: ENOTTY not of mbfs; EIO, EUCLEAN, EBADMSG the map cannot be read.
 */
struct mbfs_ioc_fiemap {
	__u64 off_bytes;
	__u32 nr;
	__u32 reserved;
	struct mbfs_ioc_extent extent[MBFS_IOC_EXTENTS_MAX];
};
#define MBFS_IOC_FIEMAP _IOWR(MBFS_IOC_TYPE, 1, struct mbfs_ioc_fiemap)

/*
 * MBFS_IOC_FALLOCATE - fallocate(2) in all modes that mbfs has, see mbfs_file_fallocate()
 * mode: [in] of <linux/falloc.h>
 * The kernel's cached pages of the file follow before it returns, and its attributes are asked for
 * anew; but if a write of the file ends at that moment, the kernel may keep the old size until it
 * asks again (lseek to SEEK_END does). What was changed through a mapping before the call is
 * written back where it was. A mapping that is written to during the call may find its bytes in
 * either place.
 * Errors: ENOTTY not of mbfs; EBADF not open for writing; EOPNOTSUPP a mode mbfs does not have, or
 * the mount has -o writeback_cache (the kernel keeps the size then); else as fallocate(2).
 */
struct mbfs_ioc_fallocate {
	__u64 off_bytes;
	__u64 len_bytes;
	__u32 mode;
	__u32 reserved;
};
#define MBFS_IOC_FALLOCATE _IOW(MBFS_IOC_TYPE, 2, struct mbfs_ioc_fallocate)


/*
 * MBFS_IOC_RESIZE - the file system grows, see mbfs_fs_resize(); root's, and his who mounted it
 * size_bytes: [in] 0: as long as the image is; [out] what it has now
 * error:      [out] 0, or an errno, with the reason in text; text may also be a warning
 * Errors: ENOTTY not of mbfs; EPERM. resize2fs(8)'s EXT4_IOC_RESIZE_FS does the same.
 */
struct mbfs_ioc_resize {
	__u64 size_bytes;
	__u32 error;
	__u32 reserved;
	char text[512];
};
#define MBFS_IOC_RESIZE _IOWR(MBFS_IOC_TYPE, 3, struct mbfs_ioc_resize)

/* MBFS_IOC_RESIZE_STATE - sizes now, and how far the latest growth is: done of total steps */
struct mbfs_ioc_resize_state {
	__u64 size_bytes;
	__u64 device_bytes;
	__u64 done;
	__u64 total;
};
#define MBFS_IOC_RESIZE_STATE _IOR(MBFS_IOC_TYPE, 4, struct mbfs_ioc_resize_state)

#endif
