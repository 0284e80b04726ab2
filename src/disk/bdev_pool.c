// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pool of threads in front of any device: submit() puts the transfer on a list, a thread of the
 * pool carries it out as the device below does it, and calls done(). Reads, writes and flushes that
 * are not submitted go straight through, on the caller's thread.
 *
 * Each thread has one work item of a workqueue, which takes transfers off the list until it is
 * empty. Who submits takes an idle item, if there is one, and queues it. An item is idle from the
 * moment it has found the list empty, under the lock that put a transfer there: so no transfer is
 * left without a thread. That an idle item may still be on its way out of its function does not
 * matter: the workqueue runs it again after.
 *
 * Pairs: submit with submit and with the threads: lock. Close with the threads: the workqueue is
 * drained, and a drained queue leaves an empty list.
 */
#include <errno.h>

#include "base/check.h"
#include "disk/bdev_priv.h"
#include "rt/mem.h"
#include "rt/wq.h"

struct pool_item {
	struct rt_work work;
	struct bdev_pool *pool;
	struct pool_item *idle_next; /* [lock] */
};

struct bdev_pool {
	struct mbfs_bdev dev;
	struct mbfs_bdev *inner; /* [const] */
	bool owns_inner;         /* [const] */
	struct rt_wq *wq;        /* [const] */
	struct rt_spin lock;     /* RANK_DEV */
	struct bdev_queue queue; /* [lock] */
	struct pool_item *idle;  /* [lock] */
	struct pool_item items[];
};

static struct bdev_pool *pool_of(struct mbfs_bdev *dev)
{
	return container_of(dev, struct bdev_pool, dev);
}

static void pool_work(struct rt_work *work)
{
	struct pool_item *item = container_of(work, struct pool_item, work);
	struct bdev_pool *p = item->pool;
	struct mbfs_bdev_io *io;

	for (;;) {
		int r;

		rt_spin_lock(&p->lock);
		io = bdev_queue_take(&p->queue);
		if (!io) {
			item->idle_next = p->idle;
			p->idle = item;
		}
		rt_spin_unlock(&p->lock);
		if (!io)
			return;
		r = mbfs_bdev_submit(p->inner, io);
		if (r != MBFS_BDEV_QUEUED) /* then the device below calls done() */
			io->done(io, r);
	}
}

static int pool_submit(struct mbfs_bdev *dev, struct mbfs_bdev_io *io)
{
	struct bdev_pool *p = pool_of(dev);
	struct pool_item *item;

	rt_spin_lock(&p->lock);
	bdev_queue_put(&p->queue, io);
	item = p->idle;
	if (item) {
		p->idle = item->idle_next;
		rt_wq_queue(p->wq, &item->work);
	}
	rt_spin_unlock(&p->lock);
	return MBFS_BDEV_QUEUED;
}

static int pool_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes)
{
	return mbfs_bdev_read(pool_of(dev)->inner, off_bytes, dst, len_bytes);
}

static int pool_write(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes)
{
	return mbfs_bdev_write(pool_of(dev)->inner, off_bytes, src, len_bytes);
}

static int pool_flush(struct mbfs_bdev *dev)
{
	return mbfs_bdev_flush(pool_of(dev)->inner);
}

static int pool_trim(struct mbfs_bdev *dev, uint64_t off_bytes, uint64_t len_bytes)
{
	return mbfs_bdev_trim(pool_of(dev)->inner, off_bytes, len_bytes);
}

static int pool_grow(struct mbfs_bdev *dev, uint64_t want_bytes, uint64_t *size_bytes)
{
	struct mbfs_bdev *inner = pool_of(dev)->inner;
	int err = mbfs_bdev_grow(inner, want_bytes);

	*size_bytes = mbfs_bdev_size(inner);
	return err;
}

static uint64_t pool_grow_undo(struct mbfs_bdev *dev)
{
	struct mbfs_bdev *inner = pool_of(dev)->inner;

	mbfs_bdev_grow_undo(inner);
	return mbfs_bdev_size(inner);
}

static void pool_close(struct mbfs_bdev *dev)
{
	struct bdev_pool *p = pool_of(dev);

	rt_wq_destroy(p->wq);
	MBFS_ASSERT(!p->queue.head);
	if (p->owns_inner)
		mbfs_bdev_close(p->inner);
	rt_spin_destroy(&p->lock);
	rt_free(p);
}

static const struct mbfs_bdev_ops pool_ops = {
	.read = pool_read,
	.write = pool_write,
	.flush = pool_flush,
	.trim = pool_trim,
	.submit = pool_submit,
	.grow = pool_grow,
	.grow_undo = pool_grow_undo,
	.close = pool_close,
};

int bdev_pool_open(struct mbfs_bdev *inner, unsigned threads, bool owns_inner,
		   struct mbfs_bdev **out)
{
	struct bdev_pool *p;
	int err;

	if (threads < 1 || threads > MBFS_BDEV_POOL_MAX)
		return -EINVAL;
	p = rt_zalloc(sizeof(*p) + threads * sizeof(p->items[0]));
	if (!p)
		return -ENOMEM;
	err = rt_wq_create("mbfs-io", threads, &p->wq);
	if (err) {
		rt_free(p);
		return err;
	}
	p->dev.ops = &pool_ops;
	p->dev.size_bytes = inner->size_bytes;
	p->dev.read_only = inner->read_only;
	p->dev.align_bytes = inner->align_bytes;
	p->dev.async = true;
	p->dev.engine = "threads";
	p->inner = inner;
	p->owns_inner = owns_inner;
	rt_spin_init(&p->lock, RANK_DEV);
	for (unsigned i = 0; i < threads; i++) {
		struct pool_item *item = &p->items[i];

		rt_work_init(&item->work, pool_work);
		item->pool = p;
		item->idle_next = p->idle;
		p->idle = item;
	}
	*out = &p->dev;
	return 0;
}

int mbfs_bdev_open_pool(struct mbfs_bdev *inner, unsigned threads, struct mbfs_bdev **out)
{
	return bdev_pool_open(inner, threads, false, out);
}
