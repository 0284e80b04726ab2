/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * journal/journal.h - metadata buffers and the handles under which they change.
 *
 * A buffer is one block of metadata in memory, found by block number in an RCU hash table,
 * referenced while in use. Its bytes change only between buf_lock() and buf_unlock(), with an open
 * handle that then marks it dirty: tx_dirty(). Who reads the bytes holds either the buffer's lock
 * or the owner's lock that every writer of that block holds too (inode lock for directories and
 * extent nodes, ...). Checksums are put in when a buffer is written, into the copy that goes to the
 * device, by the kind's seal(); they are verified once, when it is read, by the kind's verify().
 *
 * Until there is a journal the handle only tracks dirty buffers; write-out is asynchronous and
 * unordered, and the image is marked not clean while mounted.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include <mbfs/blkdev.h>

#include "base/containers.h"
#include "reclaim/pending.h"
#include "rt/rcu.h"
#include "rt/sync.h"

struct buf_cache;

/* Whose block it is: what goes into the checksum besides the bytes. Zero where it does not apply.
 */
struct buf_owner {
	mbfs_ino_t ino;
	uint32_t gen;
};

/* A kind of metadata block. Pure functions of the bytes; either may be NULL. */
struct buf_kind {
	const char *name; /* for messages: "extent block" */
	/* 0, -EBADMSG (checksum) or -EUCLEAN (content that would lead code astray). */
	int (*verify)(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
		      const uint8_t *data, uint32_t bytes);
	void (*seal)(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk, uint8_t *data,
		     uint32_t bytes);
};

/*
 * One block in memory. Found under RCU, referenced by ref; freed, or another block's, a grace
 * period after it left the table and the last reference went. A dirty buffer is referenced by being
 * dirty, so only clean ones are evicted.
 */
struct buf {
	struct rt_hash_node node;
	struct pending_link dead;
	mbfs_blk_t blk; /* [const] */
	uint8_t *data;  /* block_bytes of them, 64-byte aligned; see above for who may touch them */
	const struct buf_kind *kind; /* [lock] */
	struct buf_owner owner;      /* [const] */
	/* RANK_BUF, guards the bytes. A spinlock, so that bitmaps change under their group's
	 * spinlock: held for byte copies and checksums only, never across I/O, allocation or
	 * waiting. */
	struct rt_spin lock;
	/* the rest belongs to src/journal: see journal_priv.h */
	struct buf_cache *cache;                /* [const] */
	rt_u64 key;                             /* [atomic] blk, for the hash table's readers */
	rt_u32 ref;                             /* [atomic] */
	rt_u32 state;                           /* [atomic] */
	int load_err;                           /* [load_lock] */
	uint64_t dirty_stamp, write_pass;       /* [cache lock] */
	TAILQ_ENTRY(buf) dirty_link, ring_link; /* [cache lock] */
	struct rt_mutex load_lock;              /* RANK_BUF_LOAD */
};

/*
 * buf_cache_open - a cache over a device
 * @geo_ctx:   [in] passed to the kinds' functions (struct mbfs_geo); must outlive the cache
 * @max_bytes: [in] memory for clean, unreferenced buffers to be kept
 */
int buf_cache_open(struct mbfs_bdev *dev, uint32_t block_bytes, const void *geo_ctx,
		   uint64_t max_bytes, struct buf_cache **out);
/* The device has grown: there are more blocks. */
void buf_cache_grow(struct buf_cache *c);
/* Drops everything; dirty buffers are lost (write them first). No reference is left. */
void buf_cache_close(struct buf_cache *c);

/*
 * buf_get - the buffer of a block, read and verified if it was not in memory
 * @kind, @owner: [in] what the caller takes the block for; owner NULL is nobody. Another kind or
 * owner than that of a buffer in use is -EUCLEAN: two structures claim the block. Errors: -EIO,
 * -EBADMSG, -EUCLEAN (also a block outside the device), logged once with block and kind; -ENOMEM.
 * No reference on error, and nothing is kept: the next call reads again. Context: may do I/O
 * (RANK_BUF_LOAD); hold no spinlock and no buffer lock.
 */
int buf_get(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
	    const struct buf_owner *owner, struct buf **out);
/*
 * The buffer of a block that is being made: zero-filled, not read, not yet dirty. A buffer that the
 * block still had is forgotten as by buf_forget(). Errors: -ENOMEM; -EUCLEAN outside the device.
 */
int buf_get_new(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
		const struct buf_owner *owner, struct buf **out);
/*
 * buf_wipe - these blocks, which nothing leads to yet, become zero on the device
 * For blocks that become metadata: what leads to them may be written before they are, and their old
 * content may be another structure's that would still pass for one. Errors: -EIO, -ENOSPC: logged.
 * Context: does I/O, hold no spinlock and no buffer lock.
 */
int buf_wipe(struct buf_cache *c, mbfs_blk_t start, uint32_t len);
void buf_hold(struct buf *b); /* one more reference */
void buf_put(struct buf *b);  /* NULL is fine */

static inline void buf_lock(struct buf *b)
{
	rt_spin_lock(&b->lock);
}
static inline void buf_unlock(struct buf *b)
{
	rt_spin_unlock(&b->lock);
}

/*
 * buf_forget - these blocks are being freed: their buffers are never written again
 * It comes BEFORE mbfs_alloc_free() (tx_late() sees to it): when it returns no write of the old
 * content is under way or to come, so whatever the next owner writes, through a buffer or straight
 * to the device, lands last.
 * References that others still have stay valid but lead nowhere: tx_dirty() on them does nothing.
 * Context: waits for a device write of the block that is under way; hold nothing of rank >=
 * RANK_LG.
 */
void buf_forget(struct buf_cache *c, struct mbfs_tx *tx, mbfs_blk_t start, uint32_t len);

/* ---- handles ---- */
struct txlog; /* what handles belong to: later, the journal */

/*
 * Called by tx_writeout() before it writes, with RANK_WRITEOUT held: seal descriptors, superblock
 * counts. It returns only when all that changed before the call is in buffers.
 */
struct txlog_hook {
	void (*pre_write)(void *arg, struct mbfs_tx *tx);
	void *arg;
	struct txlog_hook *next;
};

int txlog_open(struct buf_cache *c, struct txlog **out);
void txlog_close(struct txlog *log);
void txlog_hook_add(struct txlog *log,
		    struct txlog_hook *hook); /* at mount, before the first handle */
/* No handle from now on (-EROFS), and write-out does nothing. So from the start on a read-only
 * device. */
void txlog_set_read_only(struct txlog *log);

/*
 * tx_start - open a handle for at most @credits metadata blocks; nests inside no other handle
 * Errors: -ENOMEM, -EROFS. Context: may wait for write-out (later: for a commit).
 */
int tx_start(struct txlog *log, uint32_t credits, struct mbfs_tx **out);
void tx_stop(struct mbfs_tx *tx);
/*
 * tx_dirty - the buffer will be written. Under the buf_lock() of the change, or after it.
 * Cannot fail, does no I/O. A buffer that is dirty already costs one atomic read; else takes
 * RANK_CACHE.
 */
void tx_dirty(struct mbfs_tx *tx, struct buf *b);

/* ---- late.c: what has to wait until a handle's changes are down ---- */
/*
 * Blocks or inode numbers that the handle frees: an old version of what led to them may be on the
 * image until a write-out that began after the handle's end has ended well. Only then are they
 * anybody else's. Neighbours that follow each other are joined.
 */
struct tx_late {
	/* The write-out calls it, with a handle of its own and RANK_WRITEOUT held. */
	int (*run)(void *ctx, struct mbfs_tx *tx, uint64_t start, uint32_t len);
	void *ctx;
	uint64_t start;
	uint32_t len;
	bool forget; /* they are blocks of metadata: buf_forget() them before */
};
/* Room for one more tx_late(), which then cannot fail: call it before anything changes. -ENOMEM. */
int tx_late_ready(struct mbfs_tx *tx);
void tx_late(struct mbfs_tx *tx, const struct tx_late *what);

/*
 * Nothing is free: have a write-out give free what waits for one.
 *	seen = tx_late_seen(tx); look for what is free;
 *	if there is nothing and tx_late_release(tx, seen): look again
 * Handles that are open keep what they free, also this one. Context: as tx_writeout().
 */
uint64_t tx_late_seen(struct mbfs_tx *tx);
bool tx_late_release(struct mbfs_tx *tx, uint64_t seen);

/* How much waits, of handles that have ended: each item is some memory. */
uint64_t txlog_late_nr(struct txlog *log);
/* 0, or the first error that a run() has returned: the image is damaged. Takes RANK_WRITEOUT. */
int txlog_late_err(struct txlog *log);

/*
 * tx_writeout - write every buffer dirty now, flush the device, run what waited for that
 * What is run makes buffers dirty again: a second call writes them.
 * Errors: -EIO: the buffers stay dirty (all of this pass if the flush failed) and are tried again
 * next time; those that could be written are; nothing that waits is run. Context: does I/O; takes
 * RANK_WRITEOUT, one at a time.
 */
int tx_writeout(struct txlog *log);
/* Bytes of dirty buffers; the write-out thread of fs starts above a mark. */
uint64_t tx_dirty_bytes(struct txlog *log);

struct buf_stats {
	uint64_t hits, misses, writes, evicted, cached, dirty;
};
void buf_cache_stats(struct buf_cache *c, struct buf_stats *out);
/* Of buffers that have left the cache: those taken were used again. */
void buf_cache_dead_stats(const struct buf_cache *c, struct pending_stats *out);

#endif
