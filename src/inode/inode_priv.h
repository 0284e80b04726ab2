/* SPDX-License-Identifier: GPL-2.0-only */
/* What inode.c, inode_disk.c, ialloc.c and orphan.c share. */
#ifndef INODE_INODE_PRIV_H
#define INODE_INODE_PRIV_H

#include "disk/format.h"
#include "inode/inode.h"

enum inode_state {
	INODE_LOADED = 1u << 0, /* fields are there; never cleared */
	INODE_GONE = 1u << 1,	/* not in the table any more */
	INODE_STUCK = 1u << 2,	/* unlinked, but freeing it failed: kept until unmount for the orphan list */
	INODE_USED = 1u << 3,	/* looked up since eviction last passed by */
};

TAILQ_HEAD(inode_list, inode);

/* The inode bitmap of one group. lock: RANK_IALLOC, spans the bitmap's first read. */
struct ialloc_group {
	struct rt_mutex lock;
	struct buf *bitmap; /* [lock] NULL until first used; pinned by gdt */
	uint32_t hint;	    /* [lock] no free inode before it */
};

struct inode_cache {
	struct inode_env *env;	/* [const] */
	uint32_t max_nr;	/* [const] inodes kept before eviction starts */
	struct rt_hash table;	/* [rcu] by number */
	struct rt_spin lock;	/* RANK_CACHE */
	struct inode_list lru;	/* [lock] all inodes in the table, next victim first */
	rt_u64 cached_nr;	/* write [lock], read [racy: eviction hint] */
	struct rt_event gone;	/* some inode left the table */
	struct ialloc_group *groups; /* [const] one per block group */
	struct rt_mutex orphan_lock; /* RANK_ORPHAN */
	struct inode_list orphans;   /* [orphan_lock] as on disk: head first */
};

static inline bool inode_has(const struct inode *in, uint32_t bits)
{
	return (rt_u32_read_acquire(&in->state) & bits) == bits;
}

static inline struct mbfs_inode_disk *inode_raw(struct inode *in)
{
	return (struct mbfs_inode_disk *)(void *)in->raw;
}

/* As inode_get(); @unlinked: also one with no links (the orphan list leads to those). */
int inode_get_any(struct inode_env *env, mbfs_ino_t ino, bool unlinked, struct inode **out);

/* Fields from raw. -EUCLEAN: nonsense, or a kind mbfs does not support. */
int inode_decode(struct inode *in);
/* Raw from fields and tree root. fields held, tree.lock held. */
void inode_encode(struct inode *in);

int ialloc_open(struct inode_cache *c);
void ialloc_close(struct inode_cache *c);

/* Blocks past the end of the file go; the tail of its last block is zeroed. rw held exclusively. */
int file_cut(struct inode *in, uint64_t size_bytes);

#endif
