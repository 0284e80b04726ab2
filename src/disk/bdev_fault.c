// SPDX-License-Identifier: GPL-2.0-only
/* A device in front of another that fails, tears writes or loses power as planned. For tests. */
#include <mbfs/blkdev.h>

#include <errno.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/sync.h"

struct bdev_fault {
	struct mbfs_bdev dev;
	struct mbfs_bdev *inner;         /* [const] not ours to close */
	struct mbfs_fault_plan plan;     /* [const] */
	struct rt_spin lock;             /* RANK_DEV, guards counts */
	struct mbfs_fault_counts counts; /* [lock] */
};

static struct bdev_fault *fault_of(struct mbfs_bdev *dev)
{
	return container_of(dev, struct bdev_fault, dev);
}

/* The n-th call of a kind, n = ++*count: does @at strike? Counts the fault. */
static bool strikes(struct bdev_fault *f, uint64_t nth, uint64_t at)
{
	bool hit = at != 0 && (nth == at || (f->plan.sticky && nth > at));

	if (hit)
		f->counts.faults++;
	return hit;
}

/* From the write numbered cut_at on, that one included. Caller holds the lock. */
static bool power_is_cut(const struct bdev_fault *f)
{
	return f->plan.cut_at && f->counts.writes >= f->plan.cut_at;
}

static int fault_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes)
{
	struct bdev_fault *f = fault_of(dev);
	bool fail;

	rt_spin_lock(&f->lock);
	fail = strikes(f, ++f->counts.reads, f->plan.fail_read_at);
	rt_spin_unlock(&f->lock);
	return fail ? -EIO : mbfs_bdev_read(f->inner, off_bytes, dst, len_bytes);
}

static int fault_write(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes)
{
	struct bdev_fault *f = fault_of(dev);
	bool fail, torn, cut;
	uint64_t nth;
	int err;

	rt_spin_lock(&f->lock);
	nth = ++f->counts.writes;
	fail = strikes(f, nth, f->plan.fail_write_at);
	torn = strikes(f, nth, f->plan.torn_write_at);
	cut = power_is_cut(f);
	rt_spin_unlock(&f->lock);
	if (cut)
		return 0; /* the machine has lost power: nobody will know */
	if (fail)
		return -EIO;
	err = mbfs_bdev_write(f->inner, off_bytes, src, torn ? len_bytes / 2 : len_bytes);
	return torn ? -EIO : err;
}

static int fault_flush(struct mbfs_bdev *dev)
{
	struct bdev_fault *f = fault_of(dev);
	bool fail;

	rt_spin_lock(&f->lock);
	fail = strikes(f, ++f->counts.flushes, f->plan.fail_flush_at);
	rt_spin_unlock(&f->lock);
	return fail ? -EIO : mbfs_bdev_flush(f->inner);
}

static int fault_trim(struct mbfs_bdev *dev, uint64_t off_bytes, uint64_t len_bytes)
{
	struct bdev_fault *f = fault_of(dev);
	bool cut;

	rt_spin_lock(&f->lock);
	cut = power_is_cut(f);
	rt_spin_unlock(&f->lock);
	return cut ? 0 : mbfs_bdev_trim(f->inner, off_bytes, len_bytes);
}

static void fault_close(struct mbfs_bdev *dev)
{
	struct bdev_fault *f = fault_of(dev);

	rt_spin_destroy(&f->lock);
	rt_free(f);
}

static const struct mbfs_bdev_ops fault_ops = {
	.read = fault_read,
	.write = fault_write,
	.flush = fault_flush,
	.trim = fault_trim,
	.close = fault_close,
};

int mbfs_bdev_open_fault(struct mbfs_bdev *inner, const struct mbfs_fault_plan *plan,
			 struct mbfs_bdev **out)
{
	struct bdev_fault *f = rt_zalloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->dev.ops = &fault_ops;
	f->dev.size_bytes = inner->size_bytes;
	f->dev.read_only = inner->read_only;
	f->inner = inner;
	f->plan = *plan;
	rt_spin_init(&f->lock, RANK_DEV);
	*out = &f->dev;
	return 0;
}

void mbfs_bdev_fault_counts(struct mbfs_bdev *dev, struct mbfs_fault_counts *out)
{
	struct bdev_fault *f = fault_of(dev);

	MBFS_ASSERT(dev->ops == &fault_ops);
	rt_spin_lock(&f->lock);
	*out = f->counts;
	rt_spin_unlock(&f->lock);
}
