/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/transfer.h - the transfers between a file's blocks and a caller's buffer that one read or
 * write consists of, and the answer to a caller who may have gone before they end.
 */
#ifndef INODE_TRANSFER_H
#define INODE_TRANSFER_H

#include <mbfs/blkdev.h>
#include <mbfs/fs.h>

#include "rt/wq.h"

enum { TRANSFERS_HELD = 3 };

struct transfers;

struct transfer {
	struct mbfs_bdev_io io;
	struct transfers *all;
	struct transfer *next;
};

/* Private to its owner until transfers_submit(); then the device's until over() is called. */
struct transfers {
	struct mbfs_bdev *dev;
	bool is_write;
	/* All have ended; what holds this may be freed. @here: on the thread that submits. */
	void (*over)(struct transfers *all, bool here);
	struct transfer *first;
	struct transfer held[TRANSFERS_HELD]; /* a few need no memory */
	unsigned held_nr;
	rt_u32 left;  /* [atomic] under way, and the submitter */
	rt_u32 error; /* [atomic] errno of one that failed */
};

/* One more. -ENOMEM: never for the first TRANSFERS_HELD. */
int transfers_add(struct transfers *all, uint64_t at, void *buf, size_t bytes);
/* Drop those added after @until was the first. */
void transfers_drop(struct transfers *all, struct transfer *until);
/* Start them all; over() is called once, maybe before this returns. */
void transfers_submit(struct transfers *all);
/* 0 or a negative errno, when they are over. */
static inline int transfers_error(const struct transfers *all)
{
	return -(int)rt_u32_read(&all->error);
}

/* The answer: who comes second, the caller on its way out or the end, takes or gives it. */
struct answer {
	rt_u32 phase; /* [atomic] */
	ssize_t put;
	mbfs_io_done done;
	void *arg;
};

/* At the end, put is set: true if the caller has gone; then the owner calls done() and frees. */
bool answer_late(struct answer *a);
/* The caller goes: -EINPROGRESS; or what is put, and the caller frees. */
ssize_t answer_take(struct answer *a);

/* A caller who waits: answer_wake() with it is the done of what was started. */
struct answer_wait {
	struct rt_completion over;
	ssize_t put;
};
void answer_wait_init(struct answer_wait *w);
void answer_wake(void *arg, ssize_t put);
/* @put: what starting it returned. Waits if it goes on; the result. Ends @w. */
ssize_t answer_wait(struct answer_wait *w, ssize_t put);

#endif
