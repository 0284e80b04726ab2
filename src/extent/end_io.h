/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * extent/end_io.h - writes under way: from the submission of their data to the conversion of their
 * blocks. Between the two a block is mapped, but unwritten: it reads as zeros, so what the disk
 * held before never shows, whatever fails.
 *
 *	endio_begin()		the write is known, its data goes to the device
 *	endio_complete()	the data is down: the variant decides who converts, and when
 *	  host->convert		unwritten becomes written, with the size, in a handle
 *	  host->over		the write is answered, its memory and its inode are let go
 *	endio_cancel()		instead of complete: the data failed, nothing is converted
 *
 * What happens in complete, and what a flush waits for, differs from kernel to kernel: variants,
 * one file each, behind struct endio_variant. DESIGN.md's "end_io" is this room.
 *
 * It knows no inodes: the host is whoever embeds struct endio_file and gives struct endio_host_ops.
 */
#ifndef EXTENT_END_IO_H
#define EXTENT_END_IO_H

#include <mbfs/fs.h>

#include "base/containers.h"
#include "rt/sync.h"
#include "rt/wq.h"

struct endio;
struct endio_env;
struct endio_file;
TAILQ_HEAD(endio_list, endio);

enum { ENDIO_BATCH_MAX = 32, ENDIO_WORKERS = 4 };

/* Of the variants that queue a work per write. [file lock] from complete on. */
enum endio_flag {
	ENDIO_UNWRITTEN = 1u << 0, /* not yet converted */
	ENDIO_QUEUED = 1u << 1,    /* its own work is pending or runs, and ends it */
	ENDIO_LISTED = 1u << 2,    /* on completed */
	ENDIO_IN_FLUSH = 1u << 3,  /* a flush converts it */
};

/*
 * One write under way. The host's memory from endio_begin() to host->over(). While it is on a list
 * that is not the file's it belongs to the thread that took it there.
 */
struct endio {
	struct endio_file *file; /* [const] */
	uint64_t first,
		last;  /* [const] bytes, both included: whole blocks, what conversion touches */
	bool direct;   /* [const] O_DIRECT: counted as the kernel counts i_dio_count */
	bool converts; /* [const] there is something to convert, or the size grows */
	unsigned flags;
	int err;                 /* of the conversion; read by host->over() */
	TAILQ_ENTRY(endio) link; /* [file lock] on completed, else the owner's */
	struct rt_work work;     /* of the variants that queue one per write */
};

/*
 * A file's writes. Embedded in its inode. A write that is begun pins the inode (the host sees to
 * it), and work that is queued pins it too (host->pin).
 * (1) A write is in flight from begin to over. (2) It is on completed only if its data is down and
 * nobody has taken it. (3) With a work per file: the work is pending if completed is not empty and
 * the worker has not yet looked.
 */
struct endio_file {
	struct endio_env *env;       /* [const] */
	struct rt_spin lock;         /* RANK_ENDIO */
	struct endio_list completed; /* [lock] */
	rt_u32 in_flight;            /* [atomic] begun, and not yet over */
	rt_u32 unwritten;            /* [atomic] begun, and not yet converted: i_unwritten of 3.7 */
	struct rt_event moved;       /* unwritten fell to 0 */
	struct rt_work work;         /* of the variants that queue one per file */
	bool converting;             /* [lock] somebody converts, or the work is queued: mbfs */
	bool husk; /* [lock] work is queued with nothing that keeps the file: 6.16 */
};

/* Upward calls. */
struct endio_host_ops {
	/*
	 * Convert the blocks of @nr writes of one file, and grow its size over them, in as few
	 * handles as it takes; each gets its err. Context: may sleep; no locks held.
	 */
	void (*convert)(struct endio_file *f, struct endio **batch, unsigned nr);
	/* The write is over: @ei and, unless it is pinned, @ei->file are gone after. Any context
	 * that endio_complete() may have. */
	void (*over)(struct endio *ei);
	/* Others may use the bytes, although the blocks are not yet converted. Variants
	 * before 3.11. */
	void (*data_down)(struct endio *ei);
	/*
	 * Until the writes of [first, last] begun before the call are over. True if it had to
	 * wait. May sleep; holds none of these bytes itself.
	 */
	bool (*wait)(struct endio_file *f, uint64_t first, uint64_t last);
	void (*pin)(struct endio_file *f);   /* under spinlocks */
	void (*unpin)(struct endio_file *f); /* may sleep; @f may be gone after */
	/* The inode's lock, exclusively: what 2012 took in the worker. */
	bool (*trylock)(struct endio_file *f);
	void (*unlock)(struct endio_file *f);
};

struct endio_variant {
	struct mbfs_endio_variant pub;
	bool early;       /* bytes of a buffered write are let go before its blocks are converted */
	bool locks_inode; /* the worker needs the inode's lock */
	bool needs_wq;    /* also where every transfer is over at once */
	/* The data of @ei is down. @may_sleep: the caller is the one who submitted it. */
	void (*complete)(struct endio *ei, bool may_sleep);
	/*
	 * What truncate, punch and fsync call: as this variant has it, writes of [first, last]
	 * whose data was down before are converted when it returns. @ranged: the caller has these
	 * bytes to himself. Errors: of a conversion it did itself.
	 */
	int (*flush)(struct endio_file *f, uint64_t first, uint64_t last, bool ranged);
};

/* Live counters. */
struct endio_stats {
	uint64_t in_flight, in_flight_max, begun, queued, converted, merged, failed, flushes,
		flush_waits, flush_ns, requeued, after_free;
};

/*
 * endio_env_open - what all files of a mount share: the workqueue, the variant, counters
 * @workers: threads that convert, ENDIO_WORKERS as a rule; 0: every transfer ends on its
 * submitter's thread, and there is one worker if the variant cannot do without Errors: -EINVAL no
 * such variant; -ENOMEM; -EAGAIN no thread.
 */
int endio_env_open(const char *variant, unsigned workers, const struct endio_host_ops *host,
		   struct endio_env **out);
/* Waits for all writes under way; nobody begins one meanwhile. */
void endio_env_drain(struct endio_env *env);
void endio_env_close(struct endio_env *env); /* drained, all files closed; NULL is fine */
const struct endio_variant *endio_env_variant(const struct endio_env *env);
void endio_env_stats(struct endio_env *env, struct endio_stats *out);

void endio_file_init(struct endio_file *f, struct endio_env *env);
/*
 * The file goes: nothing is in flight, nothing pins it, nobody begins a write any more. Work that
 * is queued all the same would look at it when it is gone: counted as after_free, and taken out.
 * Context: may sleep; also on a worker.
 */
void endio_file_retire(struct endio_file *f);
void endio_file_end(struct endio_file *f); /* retired, or never used; any context */

/* The caller has filled first, last, direct, converts. */
void endio_begin(struct endio_file *f, struct endio *ei);
/* @may_sleep: on the submitter's thread, without locks. @ei is gone after. */
void endio_complete(struct endio *ei, bool may_sleep);
/* Instead: it fails with @err (< 0), nothing is converted. */
void endio_cancel(struct endio *ei, int err);
/* The host has converted @nr writes more with the blocks of another. */
void endio_note_merged(struct endio_file *f, unsigned nr);
/* See struct endio_variant. May sleep. */
int endio_flush(struct endio_file *f, uint64_t first, uint64_t last, bool ranged);

#endif
