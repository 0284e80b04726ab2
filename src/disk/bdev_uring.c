// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers of an image through io_uring: a few rings, each with a lock for submission and one
 * thread that waits for what is over, sends the rest of a short transfer out again and calls
 * done(). What is not submitted, and what direct I/O cannot take, goes the image's own way.
 *
 *	submit()				reaper of the ring
 *	prepare
 *	lock; one entry; in_flight + 1
 *	to the kernel; unlock		...	an answer: in_flight - 1
 *						over: done(); else the rest goes out as above
 *
 * Every entry goes to the kernel before the submitter returns: so the submission queue is never
 * full for long, and nothing waits there with nobody to send it. The kernel keeps answers that find
 * no room in the completion queue.
 *
 * Who submits leaves the transfer alone until done(). The kernel orders the two threads, which no
 * tool that watches memory can see; in_flight does so as well: it is added to once the entry is
 * filled, and taken from before the answer is looked at.
 *
 * The kernel ties a request to the thread that submitted it, and may cancel what it has not started
 * when that ends. Such an answer is no error; the reaper sends it again.
 *
 * When it is worth it. A write into the host's page cache is a copy. The kernel hands nearly all of
 * them to threads of its own (ext4 and tmpfs, 6.18), which costs more than the copy: so without
 * direct I/O the caller does it, unless asked. Past the cache a ring has as many transfers under
 * way as a pool has threads, for less CPU. On a VM with 2 CPUs, image on ext4 on a virtual disk,
 * random writes of 4 KiB from one thread; one ring, 16 threads; per second, and CPU:
 *
 *	depth		caller		io_uring	threads
 *	cached, 1	61k  11 us	28k  23 us	44k  22 us
 *	cached, 64	124k  8 us	19k  23 us	50k  18 us
 *	direct, 1	11k  29 us	14k  24 us	10k  39 us
 *	direct, 64	22k  22 us	86k   7 us	81-101k 11 us
 *
 * Through FUSE, with 30 other processes wanting the CPUs, median and CPU of a write at depth 16
 * (mbfs-bench aio --peers none --dir /tmp --files 8 --mount-opts io=sync --mount-opts ...): cached
 * 238 us, 19 us; 344, 33; 524, 38; direct 426, 29; 623, 42; 885, 62. There sync does well, because
 * FUSE's threads wait side by side; but each of them then serves nobody else.
 */
#include <errno.h>
#include <liburing.h>

#include "base/check.h"
#include "disk/bdev_priv.h"
#include "rt/mem.h"
#include "rt/percpu.h"
#include "rt/sync.h"
#include "rt/work.h"

enum { RINGS_MAX = 4, ENTRIES = 256, RETRY_NS = 100000, PIECE_MAX = 1 << 30 };
enum { PRIV_BOUNCE, PRIV_PUT }; /* of a transfer's priv: buffer in place of its own; bytes done */

struct ring {
	struct bdev_uring *owner; /* [const] */
	struct rt_mutex lock;     /* RANK_RING; the submission side of uring */
	struct io_uring uring;
	rt_u32 in_flight; /* [atomic] */
	struct rt_thread *reaper;
};

struct bdev_uring {
	struct mbfs_bdev dev;
	struct bdev_file *file; /* [const] ours */
	struct rt_cpus cpus;
	unsigned nr; /* [const] */
	struct ring rings[];
};

static struct bdev_uring *uring_of(struct mbfs_bdev *dev)
{
	return container_of(dev, struct bdev_uring, dev);
}

/* ---- submission ---- */

/* Caller holds the lock, which is let go while the kernel wants us to wait. */
static void send_entries(struct ring *r)
{
	int sent = io_uring_submit(&r->uring);

	if (sent >= 0)
		return;
	MBFS_ASSERT(sent == -EAGAIN || sent == -EBUSY || sent == -EINTR || sent == -ENOMEM);
	rt_mutex_unlock(&r->lock);
	rt_sleep_ns(RETRY_NS);
	rt_mutex_lock(&r->lock);
}

/* What is left of @io; NULL: an answer that ends the reaper. */
static void fill_entry(struct ring *r, struct io_uring_sqe *sqe, struct mbfs_bdev_io *io)
{
	const struct bdev_file *f = r->owner->file;
	uint64_t put, pos;
	uint8_t *buf;
	size_t left;
	int fd;

	if (!io) {
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, NULL);
		return;
	}
	put = io->priv[PRIV_PUT];
	pos = f->off_bytes + io->off_bytes + put;
	buf = io->priv[PRIV_BOUNCE] ? (uint8_t *)(uintptr_t)io->priv[PRIV_BOUNCE] : io->buf;
	left = io->len_bytes - put < PIECE_MAX ? io->len_bytes - put : PIECE_MAX;
	fd = bdev_file_direct(f, io) ? f->direct_fd : f->fd;
	if (io->is_write)
		io_uring_prep_write(sqe, fd, buf + put, (unsigned)left, pos);
	else
		io_uring_prep_read(sqe, fd, buf + put, (unsigned)left, pos);
	io_uring_sqe_set_data(sqe, io);
}

static void send_out(struct ring *r, struct mbfs_bdev_io *io)
{
	struct io_uring_sqe *sqe;

	rt_mutex_lock(&r->lock);
	while (!(sqe = io_uring_get_sqe(&r->uring)))
		send_entries(r);
	fill_entry(r, sqe, io);
	rt_u32_add_return(&r->in_flight, 1); /* pairs with reap() */
	while (io_uring_sq_ready(&r->uring))
		send_entries(r);
	rt_mutex_unlock(&r->lock);
}

static int uring_submit(struct mbfs_bdev *dev, struct mbfs_bdev_io *io)
{
	struct bdev_uring *u = uring_of(dev);
	struct ring *r = &u->rings[rt_cpu(&u->cpus) % u->nr];
	uint8_t *bounce = NULL;
	bool direct = bdev_file_direct(u->file, io);

	if (!io->len_bytes || (u->file->direct_fd >= 0 && !direct) ||
	    (direct && bdev_file_bounce(u->file, io, &bounce)))
		return mbfs_bdev_submit(&u->file->dev, io);
	io->priv[PRIV_BOUNCE] = (uintptr_t)bounce;
	io->priv[PRIV_PUT] = 0;
	send_out(r, io);
	return MBFS_BDEV_QUEUED;
}

/* ---- completion ---- */

static void reap_one(struct ring *r, struct mbfs_bdev_io *io, int res)
{
	ssize_t n = bdev_file_answer(res);

	if (n >= 0) {
		io->priv[PRIV_PUT] += (uint64_t)n;
		if (io->priv[PRIV_PUT] < io->len_bytes) {
			send_out(r, io);
			return;
		}
	}
	bdev_file_unbounce(io, (uint8_t *)(uintptr_t)io->priv[PRIV_BOUNCE], n < 0 ? (int)n : 0);
	io->done(io, n < 0 ? (int)n : 0);
}

static void reap(void *arg)
{
	struct ring *r = arg;
	bool stop = false;

	while (!stop || rt_u32_read(&r->in_flight)) {
		struct io_uring_cqe *cqe;
		struct mbfs_bdev_io *io;
		int res = io_uring_wait_cqe(&r->uring, &cqe);

		if (res) {
			MBFS_ASSERT(res == -EINTR || res == -EAGAIN);
			continue;
		}
		io = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&r->uring, cqe);
		rt_u32_add_return(&r->in_flight, -1u); /* pairs with send_out() */
		if (io)
			reap_one(r, io, res);
		else
			stop = true;
	}
}

/* ---- the device ---- */

static int uring_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes)
{
	return mbfs_bdev_read(&uring_of(dev)->file->dev, off_bytes, dst, len_bytes);
}

static int uring_write(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes)
{
	return mbfs_bdev_write(&uring_of(dev)->file->dev, off_bytes, src, len_bytes);
}

static int uring_flush(struct mbfs_bdev *dev)
{
	return mbfs_bdev_flush(&uring_of(dev)->file->dev);
}

static int uring_trim(struct mbfs_bdev *dev, uint64_t off_bytes, uint64_t len_bytes)
{
	return mbfs_bdev_trim(&uring_of(dev)->file->dev, off_bytes, len_bytes);
}

static int ring_open(struct bdev_uring *u, struct ring *r)
{
	int err = io_uring_queue_init(ENTRIES, &r->uring, IORING_SETUP_CLAMP);

	if (err)
		return err;
	r->owner = u;
	rt_mutex_init(&r->lock, RANK_RING);
	err = rt_thread_start(reap, r, "mbfs-ring", &r->reaper);
	if (err) {
		rt_mutex_destroy(&r->lock);
		io_uring_queue_exit(&r->uring);
	}
	return err;
}

/* All that is in flight ends first. */
static void ring_close(struct ring *r)
{
	send_out(r, NULL);
	rt_thread_join(r->reaper);
	rt_mutex_destroy(&r->lock);
	io_uring_queue_exit(&r->uring);
}

static int uring_grow(struct mbfs_bdev *dev, uint64_t want_bytes, uint64_t *size_bytes)
{
	struct mbfs_bdev *inner = &uring_of(dev)->file->dev;
	int err = mbfs_bdev_grow(inner, want_bytes);

	*size_bytes = mbfs_bdev_size(inner);
	return err;
}

static uint64_t uring_grow_undo(struct mbfs_bdev *dev)
{
	struct mbfs_bdev *inner = &uring_of(dev)->file->dev;

	mbfs_bdev_grow_undo(inner);
	return mbfs_bdev_size(inner);
}

static void uring_close(struct mbfs_bdev *dev)
{
	struct bdev_uring *u = uring_of(dev);

	for (unsigned i = 0; i < u->nr; i++)
		ring_close(&u->rings[i]);
	mbfs_bdev_close(&u->file->dev);
	rt_free(u);
}

static const struct mbfs_bdev_ops uring_ops = {
	.read = uring_read,
	.write = uring_write,
	.flush = uring_flush,
	.trim = uring_trim,
	.submit = uring_submit,
	.grow = uring_grow,
	.grow_undo = uring_grow_undo,
	.close = uring_close,
};

int bdev_uring_open(struct bdev_file *file, struct mbfs_bdev **out)
{
	struct bdev_uring *u = rt_zalloc(sizeof(*u) + RINGS_MAX * sizeof(u->rings[0]));
	unsigned nr;
	int err;

	if (!u)
		return -ENOMEM;
	u->dev = file->dev;
	u->dev.ops = &uring_ops;
	u->dev.async = true;
	u->dev.engine = "io_uring";
	u->file = file;
	rt_cpus_init(&u->cpus, 0);
	nr = rt_cpus_nr(&u->cpus);
	if (nr > RINGS_MAX)
		nr = RINGS_MAX;
	for (u->nr = 0; u->nr < nr; u->nr++) {
		err = ring_open(u, &u->rings[u->nr]);
		if (err)
			goto err_rings;
	}
	*out = &u->dev;
	return 0;

err_rings:
	while (u->nr--)
		ring_close(&u->rings[u->nr]);
	rt_free(u);
	return err;
}
