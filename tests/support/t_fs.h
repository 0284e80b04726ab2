/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_fs.h - the rooms up to src/inode put together over a real image, without src/fs: no threads, no
 * mount checks, no marks. What a test does here it can end in t_fs_close() and t_image_fsck().
 */
#ifndef TESTS_SUPPORT_T_FS_H
#define TESTS_SUPPORT_T_FS_H

#include "disk/super.h"
#include "inode/inode.h"

struct t_fs {
	struct mbfs_bdev *mem; /* the caller's */
	struct mbfs_bdev *dev; /* faults in front of mem */
	struct super super;
	struct buf_cache *bufs;
	struct txlog *log;
	struct gdt *gdt;
	struct store_disk *store;
	struct mbfs_alloc *alloc;
	struct inode_env env;
	struct txlog_hook seal;
	struct rt_mutex lock;	/* RANK_SUPER */
	mbfs_ino_t orphan_head; /* [lock] */
};

/* Everybody may use reserved blocks as root; nobody as an ordinary user. */
extern const struct mbfs_cred t_fs_root, t_fs_user;

struct t_fs_opts {
	uint32_t max_cached;	 /* inodes; 0: 1000 */
	bool read_only;
	const struct mbfs_fault_plan *plan; /* NULL: no faults */
};

/* Put together; 0 or what the room said that failed. @opts NULL: defaults. */
int t_fs_try_open(struct mbfs_bdev *mem, const struct t_fs_opts *opts, struct t_fs **out);
struct t_fs *t_fs_open(struct mbfs_bdev *mem, const struct t_fs_opts *opts); /* fails the test */
/* Write everything and the superblock. */
int t_fs_sync(struct t_fs *fs);
/* Drop the inodes, check the allocator, write everything; once more if that fails. The last error.
 */
int t_fs_close(struct t_fs *fs);
/* As t_fs_close(), but what is dirty is lost: a crash. */
void t_fs_crash(struct t_fs *fs);
/* Close without an error, and e2fsck has nothing to say. */
void t_fs_close_clean(struct t_fs *fs);

struct inode *t_fs_root_dir(struct t_fs *fs); /* referenced */
/* A new file or directory in the root, by name; referenced. Fails the test. */
struct inode *t_fs_create(struct t_fs *fs, const char *name, mode_t mode);
struct inode *t_fs_find(struct t_fs *fs, const char *name);
void t_fs_unlink(struct t_fs *fs, const char *name);
/* Free blocks that no file has, with preallocations counted as free. */
uint64_t t_fs_free_blks(struct t_fs *fs);
uint64_t t_fs_free_inodes(struct t_fs *fs);
/* Fill every block that is free on the image with this byte: stale data that must never show. */
void t_fs_poison(struct mbfs_bdev *mem, uint8_t byte);

#endif
