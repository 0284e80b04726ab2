/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lock ranks: the rank rises going inward. The table with what each guards is src/LOCKING.md; a
 * rank is used by one kind of lock only. Ranks from RANK_SPIN_FIRST on belong to rt_spin locks.
 */
#ifndef RT_LOCKRANK_H
#define RT_LOCKRANK_H

enum lock_rank {
	RANK_NONE = 0,         /* not checked: locks private to a test */
	RANK_FS_WRITER = 1,    /* fs: stopping the write-out thread */
	RANK_FS_FILES = 2,     /* fs: list of open files */
	RANK_FS_RESIZE = 3,    /* fs: one growth of the file system at a time */
	RANK_FS_STATE = 4,     /* fs: mount/unmount/sync/remount state */
	RANK_RENAME = 6,       /* fs: one cross-directory rename at a time */
	RANK_INODE = 10,       /* inode: names, size, data writes; parent before child (_nested) */
	RANK_INODE_RANGE = 12, /* inode: ranges of bytes being read, written, changed; io_tree */
	RANK_XATTR = 14,       /* inode: extended attributes */
	RANK_INODE_LOAD = 16,  /* inode: loading one inode; spans a device read */
	RANK_ORPHAN = 18,      /* inode: on-disk orphan list */
	RANK_EXTENT = 20,      /* extent: mapping of one inode */
	RANK_WRITEOUT = 22,    /* journal: one write-out at a time; spans device writes */
	RANK_IALLOC = 24,      /* inode: inode bitmap of one group */
	RANK_INODE_FIELDS = 28, /* inode: attributes of one in-core inode and its on-disk copy */
	RANK_INODE_CACHE = 30,  /* inode: lists of the inode cache */
	RANK_LG = 32,           /* alloc: one virtual CPU's locality group */
	RANK_PA_TREE = 36,      /* alloc: inode preallocations of one file */
	RANK_GROUP_LOAD = 38,   /* alloc: loading one group's bitmap; spans device reads */
	RANK_GROUP = 40,        /* alloc: one block group's buddy */
	RANK_PA = 50,           /* alloc: one preallocation */
	RANK_CLAIM = 54,        /* alloc: switching the free counter between sharded and exact */
	RANK_GDT_SEAL = 56,     /* alloc: encoding changed descriptors into their blocks */
	RANK_GDESC = 58,        /* alloc: one group descriptor's counters */
	RANK_SUPER = 61,        /* fs: the superblock's bytes in memory; a leaf */
	RANK_TRIM = 62,         /* fs: freed ranges to be trimmed; a leaf */
	RANK_BUF_LOAD = 64,     /* journal: first read of one buffer; spans a device read */
	RANK_BUF = 66,          /* journal: bytes of one buffer */
	RANK_CACHE = 68,        /* journal: dirty list and ring of the buffer cache */
	RANK_LATE = 69,         /* journal: what waits for the next write-out; a leaf */
	RANK_RING = 70,         /* disk: submission side of one io_uring */
	RANK_DEV = 72,          /* disk: state of one device, never across I/O */
	RANK_ENDIO = 80,        /* extent: writes under way of one file; a leaf */
	RANK_IO_RANGE = 81,     /* extent: a shard of an io_tree's locks; several: ascending */
	RANK_IO_STATE = 82,     /* extent: states of one io_tree's bytes; a leaf */
	RANK_MEMPOOL = 83,      /* reclaim: the reserves of one domain's pools, and who waits */
	RANK_KVFREE = 84,       /* reclaim: what waits for readers on one virtual CPU; a leaf */
	RANK_PENDING = 85,      /* reclaim: what waits for grace periods, of one virtual CPU */
	RANK_WQ = 86,           /* rt: one workqueue, or one completion; a leaf */
};

#endif
