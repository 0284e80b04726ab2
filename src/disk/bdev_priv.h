/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kinds of devices share. */
#ifndef DISK_BDEV_PRIV_H
#define DISK_BDEV_PRIV_H

#include <mbfs/blkdev.h>

#include <sys/types.h>

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

/* ---- the image file, for the engines that carry its transfers out ---- */

enum { BDEV_DIRECT_ALIGN = 4096, BDEV_POOL_THREADS = 16 };

struct bdev_file {
	struct mbfs_bdev dev;
	int fd;             /* [const] through the page cache */
	int direct_fd;      /* [const] past it; -1: none */
	uint32_t mem_align; /* [const] of buffers for direct_fd */
	uint64_t off_bytes; /* [const] where the file system starts */
	bool is_blk;        /* [const] a block device, not a file */
	uint64_t short_bytes; /* [who grows it] before the last growth; 0: that was nothing to do */
};

/*
 * What an answer means, of pread() and the like or of a ring: > 0 so many bytes, 0 try again, or
 * the error to report.
 */
ssize_t bdev_file_answer(ssize_t res);
/* Does the transfer go past the page cache? */
bool bdev_file_direct(const struct bdev_file *f, const struct mbfs_bdev_io *io);
/*
 * bdev_file_bounce - a buffer that direct I/O takes, if @io's is not one
 * @bounce: [out] filled, if @io writes; NULL: @io's own will do
 * Errors: -ENOMEM. Give it back, error or not, with bdev_file_unbounce().
 */
int bdev_file_bounce(const struct bdev_file *f, const struct mbfs_bdev_io *io, uint8_t **bounce);
void bdev_file_unbounce(const struct mbfs_bdev_io *io, uint8_t *bounce, int err);

/*
 * bdev_uring_open - a ring per CPU in front of @file, which is closed with it
 * Errors: what io_uring_queue_init() says: -ENOSYS, -EPERM ...; -ENOMEM, -EAGAIN. @file is not
 * closed then.
 */
int bdev_uring_open(struct bdev_file *file, struct mbfs_bdev **out);

#endif
