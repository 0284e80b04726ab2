/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/inode.h - inodes in memory, their names, attributes and bytes.
 *
 * inode.c  the cache and life of inodes  inode_table.c  load and write-back   orphan.c  orphans
 * ialloc.c  inode bitmaps                ialloc_find.c  placement
 * dir.c    directories, linear and hashed    xattr.c  attributes in the inode and a block
 * file.c   read, seek                    file_write.c  write, and what is under way
 * file_size.c  truncate                  file_change.c  who may touch which bytes
 * file_falloc.c  fallocate
 * namei.c  lookup, link, unlink          create.c, rename.c
 * acl.c    POSIX ACLs and the mode
 */
#ifndef INODE_INODE_H
#define INODE_INODE_H

#include <mbfs/fs.h>

#include <errno.h>

#include "extent/extent.h"
#include "reclaim/kvfree.h"
#include "rt/rcu.h"
#include "rt/sync.h"

struct inode_cache;

/* What every inode of one mount shares; constant after mount. Filled by fs/mount.c. */
struct inode_env {
	const struct mbfs_geo *geo;
	struct mbfs_bdev *dev;
	struct buf_cache *bufs;
	struct txlog *log;
	struct gdt *gdt;
	struct mbfs_alloc *alloc;
	struct extent_env extents;
	struct endio_env *endio;
	struct rt_cpus cpus; /* for the pools */
	/* Of what one write needs; the pools are opened by file_memory_open(). */
	struct mempool_domain *memory;
	struct mempool *writes, *reads, *bounces;
	struct io_env io; /* its states are of the same domain */
	struct inode_cache *cache;
	struct ialloc *ialloc; /* opened with the cache; outlives it, for write-outs */
	bool read_only;
	bool fakeroot;
	/* Upward calls into fs, which owns the superblock: the head of the orphan list. */
	const struct inode_super_ops *super_ops;
	void *super_ctx;
};
struct inode_super_ops {
	mbfs_ino_t (*orphan_head)(void *ctx);
	void (*orphan_head_set)(void *ctx, struct mbfs_tx *tx, mbfs_ino_t ino);
	/* The image needs large_file (a file of 2 GiB and over now exists). */
	void (*need_large_file)(void *ctx, struct mbfs_tx *tx);
	/* The image needs e2fsck, though no result of a call may say so. Any lock may be held up to
	 * RANK_INODE_FIELDS. May be NULL. */
	void (*damaged)(void *ctx);
};
/* Pass @err on to the above if it means damage: for errors that no caller gets to see. */
static inline void inode_note_damage(const struct inode_env *env, int err)
{
	if ((err == -EUCLEAN || err == -EBADMSG) && env->super_ops && env->super_ops->damaged)
		env->super_ops->damaged(env->super_ctx);
}

enum inode_flag { /* on-disk i_flags that mbfs looks at */
		  INODE_FL_IMMUTABLE = 0x10,
		  INODE_FL_APPEND = 0x20,
		  INODE_FL_INDEX = 0x1000,
		  INODE_FL_HUGE_FILE = 0x40000,
		  INODE_FL_EXTENTS = 0x80000,
		  INODE_FL_EA_INODE = 0x200000,
		  INODE_FL_INLINE_DATA = 0x10000000,
};

/*
 * One inode in memory. Found in the cache under RCU, referenced by ref (operations, open files) and
 * pinned by nlookup (FUSE); leaves the cache when both are 0. An inode with nlink 0 is freed on
 * disk when it leaves; until then it is on the orphan list.
 * rw: RANK_INODE. Shared: reads of names. Exclusive: changes of names and attributes. Of a file's
 *     bytes it keeps only who looks at the map from who moves it: io is what locks those. May span
 *     device I/O. Two inodes: rename.c's essay has the order (_nested).
 * fields: RANK_INODE_FIELDS. Guards the attributes below and the inode's bytes in its table block.
 */
struct inode {
	struct rt_hash_node node;
	struct kvfree_head dead;
	struct inode_env *env; /* [const] */
	mbfs_ino_t ino;        /* [const] */
	rt_u32 ref;            /* [atomic] */
	rt_u64 nlookup;        /* [atomic] */
	rt_u32 writers;        /* [atomic] open files that may write */
	struct rt_rwlock rw;
	struct rt_mutex fields;
	mode_t type; /* [const] S_IFMT bits of mode, for those who hold no lock */
	/* [fields], and gen and rdev [const] after load */
	uint32_t gen;
	mode_t mode;
	uint32_t nlink, uid, gid, flags;
	uint64_t size_bytes; /* a file's: written with all bytes from it on locked, too */
	uint64_t blocks_512;
	dev_t rdev;
	struct timespec atime, mtime, ctime, btime;
	mbfs_blk_t xattr_blk;
	uint32_t extra_isize;
	uint32_t dtime; /* when it was deleted */
	/* written with RANK_ORPHAN and fields held, read with either */
	mbfs_ino_t orphan_next; /* i_dtime on disk, while on the list */
	bool on_orphan_list;
	/* who reads, writes or changes what (file_change.c), and what state its bytes are in */
	struct io_tree io;
	struct endio_file endio; /* own lock */
	rt_u32 io_errs;          /* [atomic] failed writes of data: the next fsync reports them */
	bool trim_due; /* [bytes from the size on] a truncate could not free all past the size */
	struct extent_tree tree;    /* own lock; root of fast symlinks and devices: raw i_block */
	struct rt_mutex xattr_lock; /* RANK_XATTR */
	/* The rest of the on-disk inode past the fields above: kept as read, so that what mbfs does
	 * not know survives. inode_bytes of them. [fields] */
	uint8_t *raw;
	/* the cache's, see inode_priv.h */
	rt_u32 key;                            /* [atomic] ino, for the hash table's readers */
	rt_u32 state;                          /* [atomic] */
	struct rt_mutex load_lock;             /* RANK_INODE_LOAD, held across the first read */
	int load_err;                          /* [load_lock] */
	bool on_lru;                           /* [cache lock] */
	TAILQ_ENTRY(inode) all_link, lru_link; /* [cache lock] */
	TAILQ_ENTRY(inode) orphan_link;        /* [RANK_ORPHAN] in the order of the list on disk */
	struct buf *orphan_table; /* [RANK_ORPHAN] its table block, referenced while on the list */
	uint64_t dir_goal; /* [racy: hint for linear directories: where the last free space was] */
};

/* MBFS_ALLOC_ROOT if this caller may use reserved blocks, else 0. */
static inline unsigned inode_root_flags(const struct inode_env *env, const struct mbfs_cred *cred)
{
	const struct mbfs_geo *geo = env->geo;
	bool root = env->fakeroot || cred->uid == 0 || cred->uid == geo->resv_uid ||
		    (geo->resv_gid && cred->gid == geo->resv_gid);

	return root ? MBFS_ALLOC_ROOT : 0;
}

static inline bool inode_is_dir(const struct inode *in)
{
	return S_ISDIR(in->type);
}
static inline bool inode_is_reg(const struct inode *in)
{
	return S_ISREG(in->type);
}
static inline bool inode_is_link(const struct inode *in)
{
	return S_ISLNK(in->type);
}

/* ---- inode.c ---- */
int inode_cache_open(struct inode_env *env, uint32_t max_cached, struct inode_cache **out);
/* Evicts all (unlinked ones are freed on disk). No references are left; pins are dropped. */
void inode_cache_close(struct inode_cache *c);
/* Inodes in memory now; those that were evicted: for tests and statistics. */
uint64_t inode_cache_nr(struct inode_cache *c);
void inode_cache_dead_stats(const struct inode_cache *c, struct kvfree_stats *out);
/* -ESTALE: not in use; -EUCLEAN: also reserved inodes but root; -EBADMSG, -EIO, -ENOMEM. */
int inode_get(struct inode_env *env, mbfs_ino_t ino, struct inode **out);
void inode_hold(struct inode *in);
/* May free the inode on disk (last reference of an unlinked one): hold no lock of any rank. */
void inode_put(struct inode *in);
void inode_pin(struct inode *in);                                    /* nlookup + 1 */
void inode_unpin(struct inode_env *env, mbfs_ino_t ino, uint64_t n); /* nlookup - n */
/* Encode all fields and the tree root into the table block. Takes fields; errors: -EIO, -ENOMEM. */
int inode_dirty(struct inode *in, struct mbfs_tx *tx);
void inode_attr(struct inode *in, struct mbfs_attr *out); /* takes fields */
void inode_now(struct timespec *ts);
/* In-core inode for a number just allocated by ialloc_new(): fields zero, gen fresh, referenced. */
int inode_new(struct inode_env *env, mbfs_ino_t ino, mode_t mode, struct inode **out);
/* Add to the count of blocks, in file-system blocks; takes fields. */
void inode_add_blocks(struct inode *in, int64_t blks);

/* ---- ialloc.c ---- */
/* Allocate an inode number near @parent (Orlov for directories). -ENOSPC none free. */
int ialloc_new(struct inode_env *env, struct mbfs_tx *tx, const struct inode *parent, mode_t mode,
	       mbfs_ino_t *out);
/* Free a number that nothing on the image ever led to. */
int ialloc_free(struct inode_env *env, struct mbfs_tx *tx, mbfs_ino_t ino, bool is_dir);
/* Any other: once the handle's changes are down. One tx_late_ready() before; the group's bitmap has
 * been loaded, as by ialloc_in_use(). */
void ialloc_free_late(struct inode_env *env, struct mbfs_tx *tx, mbfs_ino_t ino, bool is_dir);
/* Numbers that wait for it: in use to ialloc_new(), free to whoever asks. */
uint64_t ialloc_late_nr(struct inode_env *env);
/* When no write-out can come any more; after inode_cache_close(), before the descriptors go. */
void ialloc_close(struct inode_env *env);
/* In use according to the bitmap? */
int ialloc_in_use(struct inode_env *env, mbfs_ino_t ino, bool *out);
/* On-disk orphan list; takes RANK_ORPHAN. */
int orphan_add(struct inode *in, struct mbfs_tx *tx);
int orphan_del(struct inode *in, struct mbfs_tx *tx);
/* If it has links: what a truncate put there. It cannot fail. */
void orphan_del_linked(struct inode *in, struct mbfs_tx *tx);
/* At mount, writable: free the inodes a crash left behind. */
int orphan_cleanup(struct inode_env *env);
/* Where the table block of an inode is, and the offset inside it. -EUCLEAN number out of range. */
int ialloc_locate(struct inode_env *env, mbfs_ino_t ino, mbfs_blk_t *blk, uint32_t *off_bytes);
/* New groups have numbers to give: room for them, -ENOMEM; then all see them, or it was in vain.
 * One thread at a time; the descriptors are there before. */
MBFS_MUST_CHECK int ialloc_grow_ready(struct inode_env *env, mbfs_grp_t grp_nr);
void ialloc_grow(struct inode_env *env, struct kvfree *dead);
void ialloc_grow_not(struct inode_env *env);

/* ---- resize_ino.c: inode 7 ---- */
/* Is it as the superblock says? -EUCLEAN, -EBADMSG, -EIO, -ENOMEM; @diag says what to do. Then:
 * make it what it has to be with @size. -EIO, -ENOMEM: nothing has changed. */
MBFS_MUST_CHECK int resize_ino_check(struct inode_env *env, struct mbfs_diag *diag);
MBFS_MUST_CHECK int resize_ino_put(struct inode_env *env, struct mbfs_tx *tx,
				   const struct mbfs_geo *size);
extern const struct buf_kind itable_kind;

/* ---- dir.c ---- caller holds dir->rw (shared for find and read, exclusive for the others) */
int dir_find(struct inode *dir, const char *name, size_t len, mbfs_ino_t *ino, uint8_t *ftype);
/* -EEXIST; -ENOSPC. Grows and indexes the directory as needed. d_type: DT_*; alloc_flags:
 * MBFS_ALLOC_ROOT if the caller may use reserved blocks. Like dir_del, dir_set and dir_set_parent:
 * on error the directory is as before. */
int dir_add(struct inode *dir, struct mbfs_tx *tx, const char *name, size_t len, mbfs_ino_t ino,
	    uint8_t d_type, unsigned alloc_flags);
int dir_del(struct inode *dir, struct mbfs_tx *tx, const char *name, size_t len); /* -ENOENT */
/* Make the entry point to another inode. */
int dir_set(struct inode *dir, struct mbfs_tx *tx, const char *name, size_t len, mbfs_ino_t ino,
	    uint8_t d_type);
/* "." and ".." of a new one */
int dir_init(struct inode *dir, struct mbfs_tx *tx, mbfs_ino_t parent, unsigned alloc_flags);
int dir_is_empty(struct inode *dir, bool *out);
int dir_parent(struct inode *dir, mbfs_ino_t *out); /* what ".." says */
int dir_set_parent(struct inode *dir, struct mbfs_tx *tx, mbfs_ino_t parent);
int dir_iterate(struct inode *dir, uint64_t cookie, mbfs_dir_emit emit, void *arg);
enum { DIR_CREDITS = 100 };

/* ---- xattr.c ---- takes xattr_lock; names with prefix. alloc_flags: as dir_add(). */
ssize_t xattr_get(struct inode *in, const char *name, void *buf, size_t bytes);
ssize_t xattr_list(struct inode *in, char *buf, size_t bytes);
int xattr_set(struct inode *in, struct mbfs_tx *tx, const char *name, const void *value,
	      size_t bytes, unsigned flags, unsigned alloc_flags); /* value NULL: remove */
bool xattr_any(struct inode *in);                         /* false: it certainly has none */
int xattr_free_all(struct inode *in, struct mbfs_tx *tx); /* the inode is going: drop its block */
enum { XATTR_CREDITS = 12 };

/* ---- file_memory.c ---- */
/* @whole: rangelock=off. -ENOMEM: nothing is open. */
int file_memory_open(struct inode_env *env, unsigned cpus, bool whole);
void file_memory_close(struct inode_env *env); /* all is over; also if not open */

/* ---- file.c, file_write.c ---- lock by ranges, handles are their own; @cancel, which may be NULL,
 * ends a wait for a range: -EINTR, nothing is done */
enum { FILE_APPEND = 1, FILE_DIRECT = 2 };
/* A write that may go on: as mbfs_file_write_start(); how: the above. */
ssize_t file_write_start(struct inode *in, const struct mbfs_cred *cred, const void *buf,
			 size_t bytes, uint64_t off, unsigned how, struct io_cancel *cancel,
			 mbfs_io_done done, void *arg);
ssize_t file_read_start(struct inode *in, void *buf, size_t bytes, uint64_t off,
			struct io_cancel *cancel, mbfs_io_done done, void *arg);
extern const struct endio_host_ops file_endio_ops;
ssize_t file_read(struct inode *in, void *buf, size_t bytes, uint64_t off);
ssize_t file_write(struct inode *in, const struct mbfs_cred *cred, const void *buf, size_t bytes,
		   uint64_t off, unsigned how);
int file_fallocate(struct inode *in, const struct mbfs_cred *cred, int mode, uint64_t off,
		   uint64_t bytes, struct io_cancel *cancel);
/* Says which bytes could not be written, and have not been since. */
void file_log_errors(struct inode *in);
int file_truncate(struct inode *in, uint64_t size_bytes);
/* The last writer has closed: give the preallocations back. */
void file_discard(struct inode *in);
/* Free every block; for inodes that are going. Caller is the only one left. */
int file_free_blocks(struct inode *in);
/* As mbfs_file_map(). */
int file_map(struct inode *in, uint64_t off, struct mbfs_extent *out, unsigned max);
int64_t file_seek(struct inode *in, uint64_t off, int whence);
/* The largest size a file of this kind may have, in bytes. */
uint64_t file_size_max(const struct inode *in);

/* ---- namei.c ---- whole operations on names: locks, handles, attributes, times. Results
 * referenced. */
int namei_lookup(struct inode *dir, const char *name, struct inode **out);
int namei_create(struct inode *dir, const struct mbfs_cred *cred, const char *name, mode_t mode,
		 dev_t rdev, const char *symlink_target,
		 struct inode **out); /* files, directories, links, devices */
/* alloc_flags: as dir_add(). */
int namei_link(struct inode *in, struct inode *dir, const char *name, unsigned alloc_flags);
int namei_unlink(struct inode *dir, const char *name);
int namei_rmdir(struct inode *dir, const char *name);
/* Caller holds the fs-wide rename lock (RANK_RENAME) when the directories differ. */
int namei_rename(struct inode *dir, const char *name, struct inode *new_dir, const char *new_name,
		 unsigned flags, unsigned alloc_flags);
int namei_readlink(struct inode *in, char *buf, size_t bytes);
int namei_setattr(struct inode *in, unsigned set, const struct mbfs_attr *want);
/* Set or (@value NULL) remove the access or default ACL; @value as system.posix_acl_*. The mode
 * follows. -EINVAL; -EACCES a default one, but no directory; -EOPNOTSUPP a symbolic link. */
int namei_set_acl(struct inode *in, const struct mbfs_cred *cred, bool is_default,
		  const void *value, size_t bytes);
/* Clear setuid, and setgid where the group may execute, in the mode as it is by then. */
int namei_kill_mode(struct inode *in);

#endif
