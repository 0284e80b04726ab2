/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fs_priv.h - a mounted image: what the files of src/fs share. The essay is in mount.c.
 */
#ifndef FS_FS_PRIV_H
#define FS_FS_PRIV_H

#include <mbfs/fs.h>

#include <errno.h>

#include "alloc/alloc.h"
#include "base/containers.h"
#include "disk/super.h"
#include "inode/inode.h"
#include "journal/journal.h"
#include "rt/work.h"

/* Freed ranges; grows up to a limit. */
struct fs_trim_list {
	struct mbfs_run *run;
	uint32_t nr, room;
};

/* What trim.c keeps; its essay has the rules. */
struct fs_trim {
	struct rt_mutex lock;        /* RANK_TRIM */
	struct fs_trim_list fresh;   /* [lock] freed since the last write-out began */
	struct fs_trim_list settled; /* [sync_lock] waits for one more write-out */
	rt_u64 tx;                   /* [racy: compared with one's own] handle of a trim, 0: none */
	bool failed;                 /* [sync_lock] the device does not take it */
};

/* One growth at a time; done of total is for who watches. */
struct fs_resize {
	struct rt_mutex lock;  /* RANK_FS_RESIZE */
	uint64_t done, total;  /* [racy: to be shown] */
	struct kvfree *dead;   /* [lock] arrays that were replaced, of all rooms; NULL before */
};

struct mbfs_fs {
	struct mbfs_bdev *dev;       /* [const] the caller's */
	struct mbfs_mount_opts opts; /* [const] */
	bool read_only;              /* [const] asked for, or all that the image allows */
	bool live;                   /* [const] marked not clean: unmount writes */

	/* The rooms, in the order in which they are opened; NULL: not open. [const] */
	struct buf_cache *bufs;
	struct txlog *log;
	struct gdt *gdt;
	struct store_disk *store;
	struct mbfs_alloc *alloc;
	struct inode_env env;
	struct txlog_hook seal;
	uint64_t overhead_blks; /* what statfs takes off the size */

	struct super super;         /* raw [super_lock]; the rest as found [const] */
	uint16_t state;             /* [super_lock] MBFS_STATE_* as in raw now */
	mbfs_ino_t orphan_head;     /* [super_lock] as in raw now */
	bool super_dirty;           /* [super_lock] */
	struct rt_mutex super_lock; /* RANK_SUPER */
	rt_u32 damaged;             /* [atomic] corruption was found while mounted */

	struct rt_mutex sync_lock; /* RANK_FS_STATE: one write-out of everything at a time */
	rt_u64 sync_begun;         /* [atomic] write-outs started; rises under sync_lock */
	int sync_err;              /* [sync_lock] how the last one ended */

	struct fs_trim trim;
	struct fs_resize resize;

	struct rt_mutex rename_lock; /* RANK_RENAME */

	struct rt_mutex files_lock;            /* RANK_FS_FILES */
	LIST_HEAD(file_list, mbfs_file) files; /* [files_lock] open files, for a forced unmount */

	struct rt_thread *writer;    /* [const] the write-out thread */
	bool rcu_worker;             /* [const] */
	struct rt_mutex writer_lock; /* RANK_FS_WRITER */
	struct rt_cond writer_cond;
	bool writer_stop; /* [writer_lock] */
};

/* An open file or directory. Private to its opener but for the list; freed by release. */
struct mbfs_file {
	struct mbfs_fs *fs;         /* [const] */
	struct inode *in;           /* [const] referenced */
	int flags;                  /* [const] open(2)'s */
	rt_u32 io_errs; /* [racy: told once or twice] failed writes that fsync has told */
	LIST_ENTRY(mbfs_file) link; /* [files_lock] */
};

/* Passes @err on, and remembers that the image needs e2fsck if it means damage. */
static inline int fs_seen(struct mbfs_fs *fs, int err)
{
	if (err == -EUCLEAN || err == -EBADMSG)
		rt_u32_set(&fs->damaged, 1);
	return err;
}

/* 0 if the image may be changed now, else -EROFS. */
static inline int fs_writable(struct mbfs_fs *fs)
{
	if (fs->read_only || (fs->opts.errors_ro && rt_u32_read(&fs->damaged)))
		return -EROFS;
	return 0;
}

/* inode_get() for numbers that callers give: one that no file can have is -ESTALE, not damage. */
int fs_inode_get(struct mbfs_fs *fs, mbfs_ino_t ino, struct inode **out);
/* 0, or -EPERM: immutable, or append-only and @append_ok is not given. */
int fs_change_check(struct inode *in, bool append_ok);

/* ---- sync.c ---- */
/* Everything dirty now, then the superblock if it changed, then a flush. Takes FS_STATE. */
int fs_sync(struct mbfs_fs *fs);
/*
 * Nobody else is at work: also what waits for a write-out is freed, and that is down too. Errors:
 * those of tx_writeout().
 */
int fs_settle(struct mbfs_fs *fs);
/* Write the superblock as it now is (not flushed). Caller holds sync_lock or is alone. */
int fs_super_write(struct mbfs_fs *fs);
/* Set MBFS_STATE_* in the superblock's bytes. Caller holds super_lock or is alone. */
void fs_super_state(struct mbfs_fs *fs, unsigned state);
/* The write-out thread. Errors: -ENOMEM, -EAGAIN. */
int fs_writer_start(struct mbfs_fs *fs);
void fs_writer_stop(struct mbfs_fs *fs);
extern const struct inode_super_ops fs_super_ops; /* ctx: struct mbfs_fs * */

/* ---- trim.c ---- around a write-out, with sync_lock held or alone; no-ops without discard */
void fs_trim_open(struct mbfs_fs *fs);
void fs_trim_close(struct mbfs_fs *fs);
void fs_trim_begin(struct mbfs_fs *fs, struct fs_trim_list *before);
void fs_trim_end(struct mbfs_fs *fs, struct fs_trim_list *before, int err);
/* At unmount, after the write-out of everything: trims all. Errors: those of tx_writeout(). */
int fs_trim_rest(struct mbfs_fs *fs);

/* ---- resize.c ---- */
enum { RESIZE_CREDITS = 4096 };
void fs_resize_open(struct mbfs_fs *fs);
void fs_resize_close(struct mbfs_fs *fs);
/* resize_plan.c: what becomes of it with @blk_nr blocks, or less; or why not. Holds the lock. */
int resize_plan(struct mbfs_fs *fs, mbfs_blk_t blk_nr, struct mbfs_geo *size,
		struct mbfs_diag *diag);
/* resize_backup.c: all copies of superblock and descriptors; *done_nr rises by one a group. */
int resize_backups(struct mbfs_fs *fs, uint64_t *done_nr);

/* ---- files.c ---- */
void fs_files_release_all(struct mbfs_fs *fs);

/* ---- statfs.c ---- */
/* Blocks of the size that can never hold data: tables, bitmaps, superblocks, their reserves. */
uint64_t fs_overhead(const struct super *s);
/* Groups that the allocator fenced off, and the free blocks that their descriptors claim. */
mbfs_grp_t fs_bad_groups(struct mbfs_fs *fs, uint64_t *fenced_blks);

#endif
