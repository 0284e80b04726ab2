/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kinds of devices share. */
#ifndef DISK_BDEV_PRIV_H
#define DISK_BDEV_PRIV_H

#include <mbfs/blkdev.h>

/* Transfers in the order they came, linked through their next. Zeroed is empty. */
struct bdev_queue {
	struct mbfs_bdev_io *head, *tail;
};

static inline void bdev_queue_put(struct bdev_queue *q, struct mbfs_bdev_io *io)
{
	io->next = NULL;
	if (q->head)
		q->tail->next = io;
	else
		q->head = io;
	q->tail = io;
}

/* NULL: empty. */
static inline struct mbfs_bdev_io *bdev_queue_take(struct bdev_queue *q)
{
	struct mbfs_bdev_io *io = q->head;

	if (io)
		q->head = io->next;
	return io;
}

/* mbfs_bdev_open_pool(); @owns_inner: @inner is closed with it. Not closed on error. */
int bdev_pool_open(struct mbfs_bdev *inner, unsigned threads, bool owns_inner,
		   struct mbfs_bdev **out);

#endif
