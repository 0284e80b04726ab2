/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/inode_priv.h - what the files about inodes themselves share. The essay is in inode.c.
 *
 * inode.c   the cache: who is in memory, who leaves    inode_table.c  bytes from and to the table
 * ialloc.c  numbers: bitmaps                            ialloc_find.c  which group
 * orphan.c  the list on disk
 * file.c    bytes of files                              file_size.c    truncate
 * file_falloc.c  ranges come and go
 */
#ifndef INODE_INODE_PRIV_H
#define INODE_INODE_PRIV_H

#include "base/containers.h"
#include "inode/inode.h"
#include "inode/table_hold.h"

TAILQ_HEAD(inode_list, inode);

enum inode_state {
	INODE_NEW, /* in the table of the cache, to be loaded */
	INODE_LIVE,
	INODE_FAILED, /* could not be loaded; out of the table */
};

/* Set in ref by the one who ends an inode: nobody gets a reference any more. */
#define INODE_REF_DEAD (1u << 31)

enum { INODE_LOGGED_NR = 256 };

/* lock: RANK_INODE_CACHE. orphan_lock: RANK_ORPHAN, held across reads of table blocks. */
struct inode_cache {
	struct inode_env *env; /* [const] */
	struct rt_hash table;  /* inodes by number; RCU */
	struct rt_spin lock;
	struct inode_list all;    /* [lock] every inode in the table, and those not freed */
	uint64_t all_nr;          /* [lock] */
	struct inode_list lru;    /* [lock] without references, but maybe got one since */
	uint32_t lru_nr, lru_max; /* [lock] [const] */
	struct rt_rand rand;      /* [lock] for generations */
	struct rt_cpus cpus;      /* [const] */
	struct kvfree *dead;      /* [const] inodes that readers may still see */
	struct rt_mutex orphan_lock;
	struct inode_list orphans;      /* [orphan_lock] as on disk, the head first */
	rt_u32 logged[INODE_LOGGED_NR]; /* [atomic] numbers of damaged inodes, each reported once */
};

/* ---- inode.c ---- */
/* As inode_get(), but inodes without links too: for orphan_cleanup(). */
int inode_get_orphan(struct inode_env *env, mbfs_ino_t ino, struct inode **out);
/* As inode_put(); the error of freeing the inode on disk, if that is what happened. */
int inode_put_err(struct inode *in);

/* ---- inode_table.c ---- */
/* Fill a new in-core inode from the table. @unlinked_ok: also one without links. */
int inode_load(struct inode *in, bool unlinked_ok);
/* Fields of an inode that is being made. */
int inode_init_new(struct inode *in, mode_t mode);
/* Report damage of an inode once; returns @err. */
int inode_damaged(struct inode_env *env, mbfs_ino_t ino, const char *what, int err);
/* The verified bytes of an inode's place in the table. */
int inode_raw_read(struct inode_env *env, mbfs_ino_t ino, uint8_t *raw);

/* ---- ialloc.c ---- */
int ialloc_open(struct inode_env *env); /* sets env->ialloc */
mbfs_grp_t ialloc_grp_nr(const struct inode_env *env);
/* 0 and *out if the group had a free number; -ENOSPC; -EIO, -EBADMSG, -EUCLEAN the group is
 * unusable. */
int ialloc_try_group(struct inode_env *env, struct mbfs_tx *tx, mbfs_grp_t grp, bool is_dir,
		     mbfs_ino_t *out);
static inline mbfs_grp_t ialloc_grp(const struct mbfs_geo *geo, mbfs_ino_t ino)
{
	return (ino - 1) / geo->inodes_per_grp;
}

/* ---- file_change.c ---- */
uint64_t file_size(struct inode *in); /* as it is now */
/* A change of a file's mapping or size: nothing else is under way in its bytes. */
struct file_change {
	struct inode *in;
	struct io_lock range;
	struct io_memory memory;
	bool rw; /* rw is held exclusively, too */
	struct buf *table;
};
enum {
	CHANGE_SIZE = 1 << 0,  /* the size may move */
	CHANGE_MOVES = 1 << 1, /* so do all blocks from @off on */
};
/*
 * file_change_begin - keep everybody else out of the blocks of [off, end)
 * @how: of the above: out of all from the size, or @off if it is smaller, to infinity
 * Waits for the transfers of these blocks and no others, then holds the table block and, if the
 * size may move, settles. Errors: -EINTR cancelled; those of reading the table block, of
 * file_settle(), of the variant's flush; nothing is held then.
 */
int file_change_begin(struct inode *in, struct file_change *c, uint64_t off, uint64_t end,
		      unsigned how, struct io_cancel *cancel);
/* Bytes of it, [start, end), are no more: nor is what failed there. */
void file_change_gone(struct file_change *c, uint64_t start, uint64_t end);
void file_change_end(struct file_change *c);

/* ---- file_memory.c ---- what reads and writes cannot do without: pools of it in inode_env */
enum { FILE_BOUNCES_MAX = 2 };
size_t file_write_bytes(void); /* of one write, one read under way */
size_t file_read_bytes(void);

/* ---- file_size.c ---- */
/* Free all blocks past the size, in bounded handles. Caller holds all from the size on. */
int file_trim(struct inode *in);
/*
 * Free the blocks of [from, end), 2^32: all, in bounded handles. Caller holds their bytes.
 * Errors: extent_remove()'s; what went before is freed.
 */
int file_free_range(struct inode *in, uint64_t from_blk, uint64_t end_blk);
/*
 * If a truncate could not free all: try again, before the size moves. Caller holds all from the
 * size on, and the table block.
 */
int file_settle(struct inode *in);
/* The times of a change; and the size. */
void file_touched(struct inode *in, struct mbfs_tx *tx);
void file_resized(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes);

/* ---- file.c ---- */
/* Blocks of the map that are metadata are damage: they may not be written over. */
int file_data_check(struct inode *in, const struct extent_map *map);
/* inode_dirty() with its table block held. */
void file_dirty_held(struct inode *in, struct mbfs_tx *tx);
/* May this caller use reserved blocks? MBFS_ALLOC_ROOT or 0. */
unsigned file_alloc_flags(const struct inode *in, const struct mbfs_cred *cred);
/* ---- file_write.c ---- */
/* Make the bytes from @from to the end of its block zero on disk, if the block is written. */
int file_zero_tail(struct inode *in, uint64_t from);
/* The same for [from, end), of one block. */
int file_zero_part(struct inode *in, uint64_t from, uint64_t end);
/* in->tree.file is there. Takes the tree's lock. -ENOMEM. */
int file_alloc_open(struct inode *in);
/* Set the size under fields; the large_file feature follows. */
void file_size_set(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes);
/* May the bytes of this file be changed by us? -EROFS; -EOPNOTSUPP it would need block pointers. */
int file_change_check(const struct inode *in, bool grows);

#endif
