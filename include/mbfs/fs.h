/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mounted image. Inodes are named by number; a lookup pins one until mbfs_fs_forget(), as FUSE
 * does. All calls are safe from many threads at once. Errors are negative errnos; each call leaves
 * the file system as it was when it fails, unless it says otherwise. Corruption found on the way is
 * -EUCLEAN (bad content) or -EBADMSG (bad checksum). Permissions are the caller's business (FUSE:
 * default_permissions), but ownership rules of new files (setgid directories) and reserved blocks
 * look at struct mbfs_cred.
 */
#ifndef MBFS_FS_H
#define MBFS_FS_H

#include <mbfs/alloc.h>
#include <mbfs/blkdev.h>
#include <mbfs/types.h>

#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbfs_fs;
struct mbfs_file; /* an open file or directory */

enum { MBFS_ROOT_INO = 2 };

struct mbfs_cred {
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

struct mbfs_attr {
	mbfs_ino_t ino;
	uint32_t gen;
	mode_t mode;
	nlink_t nlink;
	uid_t uid;
	gid_t gid;
	dev_t rdev;
	uint64_t size_bytes;
	uint64_t blocks_512;
	uint32_t block_bytes;
	uint32_t flags; /* on-disk i_flags */
	struct timespec atime, mtime, ctime, btime;
};

struct mbfs_mount_opts {
	bool read_only;
	bool norecovery; /* with read_only: mount although the journal needs recovery */
	bool errors_ok;  /* with read_only: mount although the image is marked with errors */
	bool errors_ro;  /* once corruption is found, refuse all changes (-EROFS) */
	bool discard;    /* trim freed blocks on the device, after a write-out; best effort */
	bool fakeroot;   /* everything is done with root's rights to reserved blocks */
	struct mbfs_alloc_tune tune;
	bool rangelock_off;   /* one lock for all bytes of a file, instead of one for each range */
	const char *endio;    /* variant of the end-io engine, by name; NULL: mbfs */
	uint64_t cache_bytes; /* metadata cache; 0: default */
	unsigned commit_s;    /* seconds between write-outs; 0: default 5 */
};

/* Variants of the end-io engine: what happens between a write's data and the conversion of its
 * blocks. In the order of history; NULL past the end, or when there is none of that name. */
struct mbfs_endio_variant {
	const char *name, *kernel, *commit, *summary;
	bool holds; /* expected never to lose */
};
MBFS_API const struct mbfs_endio_variant *mbfs_endio_variant_at(unsigned idx);
MBFS_API const struct mbfs_endio_variant *mbfs_endio_variant_find(const char *name);

MBFS_API void mbfs_mount_opts_default(struct mbfs_mount_opts *opts);

/*
 * mbfs_fs_mount - mount the image on @dev
 * @notes: [out] what the user should know although it worked (mounted read-only because ...)
 * Errors: -EINVAL not ext4 or nonsense inside; -EOPNOTSUPP a feature (named); -EUCLEAN, -EBADMSG
 * damaged; -EROFS needs recovery or marked with errors; -EIO; -ENOMEM. @diag says what and the
 * remedy. Not one byte of the image has changed on error; @dev stays the caller's. A writable mount
 * marks the image not clean until mbfs_fs_unmount(). Threads are started: call after any fork.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_fs_mount(struct mbfs_bdev *dev,
					   const struct mbfs_mount_opts *opts,
					   struct mbfs_diag *diag, struct mbfs_diag *notes,
					   struct mbfs_fs **out);
/*
 * mbfs_fs_probe - all of mount's checks, without mounting; for reporting before daemonising
 * @read_only: [out] a mount would be read-only: asked for, or all that the image allows
 */
MBFS_API MBFS_MUST_CHECK int mbfs_fs_probe(struct mbfs_bdev *dev,
					   const struct mbfs_mount_opts *opts,
					   struct mbfs_diag *diag, struct mbfs_diag *notes,
					   bool *read_only);
/*
 * Writes everything, frees unlinked inodes, marks the image clean. No other call is under way;
 * files that are still open are released, and pins may be left. Errors: -EIO: the image stays
 * marked not clean. The fs is gone either way.
 */
MBFS_API int mbfs_fs_unmount(struct mbfs_fs *fs);
MBFS_API MBFS_MUST_CHECK int mbfs_fs_sync(struct mbfs_fs *fs);
MBFS_API bool mbfs_fs_read_only(const struct mbfs_fs *fs);
MBFS_API struct mbfs_alloc *mbfs_fs_alloc(struct mbfs_fs *fs);

struct mbfs_statfs {
	uint32_t block_bytes;
	uint64_t blocks, bfree, bavail, files, ffree;
	uint64_t fsid;
	uint32_t name_max;
};
MBFS_API void mbfs_fs_statfs(struct mbfs_fs *fs, struct mbfs_statfs *out);

/* The equations, at quiescence. -EUCLEAN with what does not add up. */
MBFS_API MBFS_MUST_CHECK int mbfs_fs_check(struct mbfs_fs *fs, struct mbfs_diag *diag);
/*
 * mbfs_fs_resize - the file system becomes larger, while it is mounted and in use
 * @want_bytes: its size; 0: as large as the device is now. A last group that would be hardly longer
 *              than its own metadata is left out. A device that is shorter is extended.
 * @diag: one line on error; on success empty, or what could not be done besides
 * Errors: -EINVAL it would shrink; -EFBIG no more blocks are kept for the group descriptors;
 * -EOPNOTSUPP sparse_super2; -EUCLEAN it has errors; -EROFS; -EBUSY it grows already; -ENOSPC and
 * the like the device refuses; -EIO, -ENOMEM. It has its old size then. Others may call everything
 * but unmount meanwhile; who finds no space waits for it and looks once more.
 */
MBFS_API MBFS_MUST_CHECK int mbfs_fs_resize(struct mbfs_fs *fs, uint64_t want_bytes,
					    struct mbfs_diag *diag);
struct mbfs_resize_state {
	uint64_t size_bytes, device_bytes;
	uint64_t done, total; /* steps of the latest growth, for a bar */
};
MBFS_API void mbfs_fs_resize_state(struct mbfs_fs *fs, struct mbfs_resize_state *out);

/* Statistics as one JSON object without newlines; free with mbfs_fs_string_free(). NULL: no memory.
 */
MBFS_API char *mbfs_fs_stats_json(struct mbfs_fs *fs);
MBFS_API void mbfs_fs_string_free(char *s);

/* ---- names ---- Each that fills @attr pins the inode once more. Names: 1..255 bytes, no '/' or
 * NUL. */
/* "." is the inode itself, also of a file (handles that come back), ".." a directory's parent. */
MBFS_API int mbfs_fs_lookup(struct mbfs_fs *fs, mbfs_ino_t dir, const char *name,
			    struct mbfs_attr *attr);
MBFS_API void mbfs_fs_forget(struct mbfs_fs *fs, mbfs_ino_t ino, uint64_t nlookup);
/* regular files, devices, fifos, sockets */
MBFS_API int mbfs_fs_mknod(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir,
			   const char *name, mode_t mode, dev_t rdev, struct mbfs_attr *attr);
MBFS_API int mbfs_fs_mkdir(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir,
			   const char *name, mode_t mode, struct mbfs_attr *attr);
MBFS_API int mbfs_fs_symlink(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir,
			     const char *name, const char *target, struct mbfs_attr *attr);
MBFS_API int mbfs_fs_link(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t ino,
			  mbfs_ino_t dir, const char *name, struct mbfs_attr *attr);
MBFS_API int mbfs_fs_unlink(struct mbfs_fs *fs, mbfs_ino_t dir, const char *name);
MBFS_API int mbfs_fs_rmdir(struct mbfs_fs *fs, mbfs_ino_t dir, const char *name);
enum { MBFS_RENAME_NOREPLACE = 1, MBFS_RENAME_EXCHANGE = 2 };
MBFS_API int mbfs_fs_rename(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t dir,
			    const char *name, mbfs_ino_t new_dir, const char *new_name,
			    unsigned flags);
/* @buf gets a NUL; -ERANGE when it is too small (4096 always suffices) */
MBFS_API int mbfs_fs_readlink(struct mbfs_fs *fs, mbfs_ino_t ino, char *buf, size_t bytes);

/* ---- attributes ---- */
enum mbfs_set {
	MBFS_SET_MODE = 1u << 0,
	MBFS_SET_UID = 1u << 1,
	MBFS_SET_GID = 1u << 2,
	MBFS_SET_SIZE = 1u << 3,
	MBFS_SET_ATIME = 1u << 4,
	MBFS_SET_MTIME = 1u << 5,
	MBFS_SET_ATIME_NOW = 1u << 6,
	MBFS_SET_MTIME_NOW = 1u << 7,
	MBFS_SET_CTIME = 1u << 8,
};
MBFS_API int mbfs_fs_getattr(struct mbfs_fs *fs, mbfs_ino_t ino, struct mbfs_attr *attr);
/* Changes the fields of @want named in @set (enum mbfs_set); @attr: the result, not pinned. */
MBFS_API int mbfs_fs_setattr(struct mbfs_fs *fs, mbfs_ino_t ino, unsigned set,
			     const struct mbfs_attr *want, struct mbfs_attr *attr);
/*
 * mbfs_fs_kill_priv - clear what a change of content or owner takes from a regular file: file
 * capabilities and, if @mode, setuid and (where the group may execute) setgid. Other inodes keep
 * what they have. Nothing is written if there is nothing to clear.
 */
MBFS_API int mbfs_fs_kill_priv(struct mbfs_fs *fs, mbfs_ino_t ino, bool mode);

/* ---- extended attributes ---- full names, "user.x". Sizes: bytes 0 asks for the size needed. */
enum { MBFS_XATTR_CREATE = 1, MBFS_XATTR_REPLACE = 2 };
MBFS_API ssize_t mbfs_fs_getxattr(struct mbfs_fs *fs, mbfs_ino_t ino, const char *name, void *buf,
				  size_t bytes);
MBFS_API ssize_t mbfs_fs_listxattr(struct mbfs_fs *fs, mbfs_ino_t ino, char *buf, size_t bytes);
MBFS_API int mbfs_fs_setxattr(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t ino,
			      const char *name, const void *value, size_t bytes, unsigned flags);
MBFS_API int mbfs_fs_removexattr(struct mbfs_fs *fs, const struct mbfs_cred *cred, mbfs_ino_t ino,
				 const char *name);

/*
 * Ends a wait from outside: a call that is given one returns -EINTR, with nothing done, if
 * mbfs_intr_raise() was or is called before it has got the bytes of the file that it needs. A call
 * that need not wait for them is not stopped. It is for one call at a time and freed after that has
 * returned; what goes on then does so to its end. Raising is safe in any context but a signal
 * handler.
 */
struct mbfs_intr;
MBFS_API struct mbfs_intr *mbfs_intr_new(void); /* NULL: no memory */
MBFS_API void mbfs_intr_raise(struct mbfs_intr *intr);
MBFS_API void mbfs_intr_free(struct mbfs_intr *intr);

/* ---- open files ---- @flags are open(2)'s; O_TRUNC is honoured, O_CREAT is not. */
MBFS_API int mbfs_file_open(struct mbfs_fs *fs, mbfs_ino_t ino, int flags, struct mbfs_file **out);
/* The last release of a writer gives the file's preallocations back. */
MBFS_API void mbfs_file_release(struct mbfs_file *f);
MBFS_API ssize_t mbfs_file_read(struct mbfs_file *f, void *buf, size_t bytes, uint64_t off);
/*
 * Bytes written: fewer than asked only after an error midway (then the error is reported by the
 * next call). Data is in the image's file cache on return, and never shows what the disk held
 * before. Errors: -ENOSPC, -EFBIG past the format's limit, -EIO (the size is unchanged).
 */
MBFS_API ssize_t mbfs_file_write(struct mbfs_file *f, const struct mbfs_cred *cred, const void *buf,
				 size_t bytes, uint64_t off);

/*
 * mbfs_file_write_start - a write that may go on after the call
 * @buf:  [in] stays as it is until the write is over; on a device that is not async, until return
 * @done: [in] called once with @arg and what the call would have returned, if it returns
 *        -EINPROGRESS; on a thread of the mount, maybe before this returns; it may not sleep long
 * Returns as mbfs_file_write() when the write is over, and done is not called; or -EINPROGRESS.
 * @f is released only after that. Bytes past the first MiB may be left out.
 */
typedef void (*mbfs_io_done)(void *arg, ssize_t put);
MBFS_API ssize_t mbfs_file_write_start(struct mbfs_file *f, const struct mbfs_cred *cred,
				       const void *buf, size_t bytes, uint64_t off,
				       struct mbfs_intr *intr, mbfs_io_done done, void *arg);
/* The same for reads. */
MBFS_API ssize_t mbfs_file_read_start(struct mbfs_file *f, void *buf, size_t bytes, uint64_t off,
				      struct mbfs_intr *intr, mbfs_io_done done, void *arg);

/*
 * mbfs_file_fallocate - blocks of [off, off + bytes) come or go
 * @mode: [in] of <linux/falloc.h>: 0 or KEEP_SIZE: holes become blocks that read as zeros;
 *        PUNCH_HOLE|KEEP_SIZE: blocks are freed, past the size too, and parts of blocks zeroed;
 *        ZERO_RANGE with or without KEEP_SIZE: both; when it fails blocks may be missing, but what
 *        was written is there or zero; COLLAPSE_RANGE: the bytes go and what follows takes their
 *        place; INSERT_RANGE: a hole comes and what follows moves behind it. If the last two fail
 *        with -EIO or -ENOMEM a part of what follows may have moved.
 * Errors: -EOPNOTSUPP another mode, or a file that is mapped by block pointers; -EINVAL no bytes,
 *         or to collapse or insert what is no whole number of blocks or reaches the size;
 *         -EFBIG past what a file can have; -ENOSPC; -EIO. Some of it may be done then, from the
 *         start on.
 */
MBFS_API int mbfs_file_fallocate(struct mbfs_file *f, const struct mbfs_cred *cred, int mode,
				 uint64_t off, uint64_t bytes, struct mbfs_intr *intr);
MBFS_API int mbfs_file_truncate(struct mbfs_file *f, uint64_t size_bytes);
/* @whence: SEEK_DATA or SEEK_HOLE. -ENXIO as lseek(2). */
MBFS_API int64_t mbfs_file_seek(struct mbfs_file *f, uint64_t off, int whence);

enum mbfs_extent_flags {
	MBFS_EXTENT_UNWRITTEN = 1u << 0, /* reads as zeros */
	MBFS_EXTENT_LAST = 1u << 1,      /* there is none behind it */
	MBFS_EXTENT_MERGED = 1u << 2,    /* found block by block: the file has no extents */
};

struct mbfs_extent {
	uint64_t off_bytes; /* in the file */
	uint64_t dev_bytes; /* on the device */
	uint64_t len_bytes;
	uint32_t flags; /* enum mbfs_extent_flags */
};

/*
 * mbfs_file_map - where the bytes of a file or directory are
 * @off: [in] from the block of this byte on
 * @out: [out] caller's, at most @max (1 or more), in the order of the file; past its size too
 * Returns how many; 0: there are none from @off on. Errors: -EIO, -EUCLEAN, -EBADMSG; -EINVAL what
 * is neither. What is being written meanwhile may be unwritten yet.
 */
MBFS_API int mbfs_file_map(struct mbfs_file *f, uint64_t off, struct mbfs_extent *out,
			   unsigned max);
MBFS_API int mbfs_file_fsync(struct mbfs_file *f, bool datasync);
MBFS_API mbfs_ino_t mbfs_file_ino(const struct mbfs_file *f);

/*
 * mbfs_dir_read - entries from @cookie on (0: the start), each given to @emit with the cookie of
 * the one after it, until emit returns false (that entry is not consumed) or the end. Cookies stay
 * valid while entries come and go (hash order in indexed directories). "." and ".." are included.
 */
typedef bool (*mbfs_dir_emit)(void *arg, const char *name, size_t name_len, mbfs_ino_t ino,
			      uint8_t d_type, uint64_t next_cookie);
MBFS_API int mbfs_dir_read(struct mbfs_file *dir, uint64_t cookie, mbfs_dir_emit emit, void *arg);

#ifdef __cplusplus
}
#endif

#endif
