/* SPDX-License-Identifier: GPL-2.0-only */
/* What buf.c and tx.c share. The rules are in buf.c's essay. */
#ifndef JOURNAL_JOURNAL_PRIV_H
#define JOURNAL_JOURNAL_PRIV_H

#include "journal/journal.h"
#include "rt/percpu.h"

/* All but BUF_UPTODATE and BUF_USED change under the cache's lock only. */
enum buf_state {
	BUF_UPTODATE = 1u << 0, /* the bytes are valid; set under load_lock */
	BUF_DIRTY = 1u << 1,    /* the bytes are newer than the device's; holds a reference */
	BUF_QUEUED =
		1u
		<< 2, /* dirty, taken off the dirty list by a write-out that has yet to copy it */
	BUF_WRITING =
		1u << 3, /* a copy is on its way to the device; the write-out holds a reference */
	BUF_GONE = 1u << 4, /* out of table and ring for ever; freed with its last reference */
	BUF_USED = 1u << 5, /* looked up since the ring last passed it */
};

/* In ref: nobody can take a reference any more, the memory waits for its grace period. */
#define BUF_REF_DEAD (1u << 31)

TAILQ_HEAD(buf_list, buf);

enum { BUF_LOGGED_NR = 64 };

struct buf_cache {
	struct mbfs_bdev *dev; /* [const] */
	uint32_t block_bytes;  /* [const] */
	mbfs_blk_t blk_nr;     /* [racy: a bound, it rises] whole blocks of the device */
	const void *geo_ctx;   /* [const] */
	uint8_t *zeros;        /* [const] one block */
	uint64_t max_nr;       /* [const] buffers to be kept */
	struct rt_hash
		table; /* read [rcu]; changed [lock], but for the removal of what is dead or gone */
	struct rt_spin lock;   /* RANK_CACHE */
	struct buf_list ring;  /* [lock] every buffer in the table; the head is next for eviction */
	struct buf_list dirty; /* [lock] in the order in which they became dirty */
	uint64_t ring_nr;      /* [lock] */
	uint64_t stamp;        /* [lock] of the next buffer to become dirty */
	uint64_t pass;         /* [lock] number of the last write-out */
	uint64_t flushed_pass; /* [lock] the last one whose flush came back good */
	rt_u64 dirty_nr;       /* write [lock], read [racy: for the write-out thread] */
	struct rt_event wrote; /* a write that BUF_WRITING stood for has ended */
	struct rt_cpus cpus;
	struct pending *dead; /* [const] buffers that readers may still look at */
	struct rt_counter hits;
	rt_u64 misses, writes, evicted; /* [racy: statistics] */
	rt_u64 logged[BUF_LOGGED_NR];   /* [atomic] block + 1 of the last message of each slot */
};

/* ---- late.c ---- */
struct late_item;
struct late_list {
	STAILQ_HEAD(, late_item) items;
	uint64_t nr;
};

enum { BATCH_MAX = 1024, BOUNCE_BYTES = 1 << 20 };

struct txlog {
	struct buf_cache *cache;      /* [const] */
	rt_u32 read_only;             /* [atomic] */
	struct txlog_hook *hooks;     /* [const] after mount */
	struct rt_mutex writeout;     /* RANK_WRITEOUT */
	struct buf *batch[BATCH_MAX]; /* [writeout] */
	uint8_t *bounce;              /* [writeout] */
	uint32_t run_max;             /* [const] blocks in the bounce buffer */

	struct rt_spin late_lock; /* RANK_LATE */
	struct late_list late;    /* [late_lock] of handles that have ended */
	rt_u64 late_nr;           /* [atomic] items of such handles that have not been run */
	rt_u64 late_runs;         /* [atomic] how often there were some and they were run */
	int late_err;             /* [writeout] the first error of an item */
};

struct mbfs_tx {
	struct txlog *log;
	uint32_t credits;
	uint32_t promised;           /* calls of tx_late_ready() that tx_late() has not used */
	struct late_list late, spare; /* the second: without content, enough for what is promised */
};

void late_list_init(struct late_list *l);
void late_list_free(struct late_list *l);
/* The handle ends: what it has goes to the log. */
void late_stop(struct mbfs_tx *tx);
/* All that the log has; before anything of a write-out. Holds writeout, as for the next two. */
void late_take(struct txlog *log, struct late_list *out);
/* The write-out that began after late_take() has ended well; not well. */
void late_run(struct txlog *log, struct mbfs_tx *tx, struct late_list *l);
void late_put_back(struct txlog *log, struct late_list *l);

static inline bool buf_state_has(const struct buf *b, uint32_t bits)
{
	return rt_u32_read_acquire(&b->state) & bits;
}

static inline void buf_state_change(struct buf *b, uint32_t set, uint32_t clear)
{
	uint32_t old = rt_u32_read(&b->state);

	while (!rt_u32_cas(&b->state, &old, (old | set) & ~clear))
		;
}

/* Put on the dirty list, with the reference that being dirty means. Holds the cache's lock. */
void buf_make_dirty_locked(struct buf_cache *c, struct buf *b);

/* One line for the person, once for each block in a row. @what: "read", "write", "verify". */
void buf_log_error(struct buf_cache *c, mbfs_blk_t blk, const struct buf_kind *kind,
		   const char *what, int err);

#endif
