// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device in front of another that fails, tears, delays writes or loses power as planned. For
 * tests.
 *
 * Each read or write gets its number and its verdict under the lock, then it is carried out. What
 * is submitted and delayed in front of an asynchronous device waits on a list in order of due time:
 * of reads and of writes, for each kind has one delay. One delayed work takes off what is due.
 */
#include <errno.h>

#include "base/check.h"
#include "disk/bdev_priv.h"
#include "rt/mem.h"
#include "rt/sync.h"
#include "rt/wq.h"

enum fate { PASS, FAIL, TORN, LOST };
enum { PRIV_DUE_NS, PRIV_FATE }; /* of a delayed transfer's priv */

struct verdict {
	enum fate fate;
	uint64_t delay_ns;
};

struct bdev_fault {
	struct mbfs_bdev dev;
	struct mbfs_bdev *inner;         /* [const] not ours to close */
	struct mbfs_fault_plan plan;     /* [const] */
	struct rt_spin lock;             /* RANK_DEV */
	struct mbfs_fault_counts counts; /* [lock] */
	struct bdev_queue delayed[2];    /* reads, writes [lock] */
	bool closing;                    /* nothing waits for its time any more [lock] */
	struct rt_wq *wq;                /* [const] NULL: nothing is ever delayed behind our back */
	struct rt_work work;
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

static struct verdict judge_read(struct bdev_fault *f)
{
	struct verdict v = { PASS, f->plan.delay_read_us * 1000ull };

	rt_spin_lock(&f->lock);
	if (strikes(f, ++f->counts.reads, f->plan.fail_read_at))
		v.fate = FAIL;
	rt_spin_unlock(&f->lock);
	return v;
}

static struct verdict judge_write(struct bdev_fault *f)
{
	struct verdict v = { PASS, 0 };
	uint64_t nth;

	rt_spin_lock(&f->lock);
	nth = ++f->counts.writes;
	if (strikes(f, nth, f->plan.torn_write_at))
		v.fate = TORN;
	if (strikes(f, nth, f->plan.fail_write_at))
		v.fate = FAIL;
	if (power_is_cut(f))
		v.fate = LOST; /* nobody will know */
	rt_spin_unlock(&f->lock);
	if (!f->plan.delay_write_at || f->plan.delay_write_at == nth)
		v.delay_ns = f->plan.delay_write_us * 1000ull;
	return v;
}

static void delay(const struct verdict *v)
{
	if (v->delay_ns)
		rt_sleep_ns(v->delay_ns);
}

static int fault_read(struct mbfs_bdev *dev, uint64_t off_bytes, void *dst, size_t len_bytes)
{
	struct bdev_fault *f = fault_of(dev);
	struct verdict v = judge_read(f);

	delay(&v);
	return v.fate == FAIL ? -EIO : mbfs_bdev_read(f->inner, off_bytes, dst, len_bytes);
}

static int fault_write(struct mbfs_bdev *dev, uint64_t off_bytes, const void *src, size_t len_bytes)
{
	struct bdev_fault *f = fault_of(dev);
	struct verdict v = judge_write(f);
	int err;

	delay(&v);
	if (v.fate == LOST || v.fate == FAIL)
		return v.fate == FAIL ? -EIO : 0;
	err = mbfs_bdev_write(f->inner, off_bytes, src, v.fate == TORN ? len_bytes / 2 : len_bytes);
	return v.fate == TORN ? -EIO : err;
}

/* ---- submitted ---- */

static int carry_out(struct bdev_fault *f, struct mbfs_bdev_io *io, enum fate fate)
{
	int err = -EIO;

	switch (fate) {
	case PASS:
		return mbfs_bdev_submit(f->inner, io);
	case LOST:
		return 0;
	case TORN:
		err = mbfs_bdev_write(f->inner, io->off_bytes, io->buf, io->len_bytes / 2);
		return err ? err : -EIO;
	case FAIL:
		break;
	}
	return err;
}

/* The first transfer of a kind, if it is due; else *wait_ns is how long it is until the next is. */
static struct mbfs_bdev_io *take_due(struct bdev_fault *f, uint64_t *wait_ns)
{
	uint64_t now = rt_now_ns();

	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(f->delayed); i++) {
		const struct mbfs_bdev_io *io = f->delayed[i].head;

		if (!io)
			continue;
		if (f->closing || io->priv[PRIV_DUE_NS] <= now)
			return bdev_queue_take(&f->delayed[i]);
		if (!*wait_ns || io->priv[PRIV_DUE_NS] - now < *wait_ns)
			*wait_ns = io->priv[PRIV_DUE_NS] - now;
	}
	return NULL;
}

static void fault_work(struct rt_work *work)
{
	struct bdev_fault *f = container_of(work, struct bdev_fault, work);

	for (;;) {
		struct mbfs_bdev_io *io;
		uint64_t wait_ns = 0;
		int r;

		rt_spin_lock(&f->lock);
		io = take_due(f, &wait_ns);
		if (!io && wait_ns)
			rt_wq_queue_delayed(f->wq, work, wait_ns);
		rt_spin_unlock(&f->lock);
		if (!io)
			return;
		r = carry_out(f, io, (enum fate)io->priv[PRIV_FATE]);
		if (r != MBFS_BDEV_QUEUED)
			io->done(io, r);
	}
}

static int fault_submit(struct mbfs_bdev *dev, struct mbfs_bdev_io *io)
{
	struct bdev_fault *f = fault_of(dev);
	struct verdict v = io->is_write ? judge_write(f) : judge_read(f);

	if (!v.delay_ns || !f->wq) {
		delay(&v);
		return carry_out(f, io, v.fate);
	}
	rt_spin_lock(&f->lock);
	io->priv[PRIV_DUE_NS] = rt_now_ns() + v.delay_ns;
	io->priv[PRIV_FATE] = v.fate;
	bdev_queue_put(&f->delayed[io->is_write], io);
	/* It waits already, maybe for a later one: then it is asked to look again. */
	rt_wq_cancel(f->wq, &f->work);
	rt_wq_queue(f->wq, &f->work);
	rt_spin_unlock(&f->lock);
	return MBFS_BDEV_QUEUED;
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

static int fault_grow(struct mbfs_bdev *dev, uint64_t want_bytes, uint64_t *size_bytes)
{
	struct mbfs_bdev *inner = fault_of(dev)->inner;
	int err = mbfs_bdev_grow(inner, want_bytes);

	*size_bytes = mbfs_bdev_size(inner);
	return err;
}

static uint64_t fault_grow_undo(struct mbfs_bdev *dev)
{
	struct mbfs_bdev *inner = fault_of(dev)->inner;

	mbfs_bdev_grow_undo(inner);
	return mbfs_bdev_size(inner);
}

static void fault_close(struct mbfs_bdev *dev)
{
	struct bdev_fault *f = fault_of(dev);

	if (f->wq) {
		rt_spin_lock(&f->lock);
		f->closing = true;
		rt_spin_unlock(&f->lock);
		rt_wq_flush_work(f->wq, &f->work);
		rt_wq_destroy(f->wq);
	}
	rt_spin_destroy(&f->lock);
	rt_free(f);
}

static const struct mbfs_bdev_ops fault_ops = {
	.read = fault_read,
	.write = fault_write,
	.flush = fault_flush,
	.trim = fault_trim,
	.submit = fault_submit,
	.grow = fault_grow,
	.grow_undo = fault_grow_undo,
	.close = fault_close,
};

int mbfs_bdev_open_fault(struct mbfs_bdev *inner, const struct mbfs_fault_plan *plan,
			 struct mbfs_bdev **out)
{
	struct bdev_fault *f = rt_zalloc(sizeof(*f));
	int err = 0;

	if (!f)
		return -ENOMEM;
	if (inner->async && (plan->delay_read_us || plan->delay_write_us))
		err = rt_wq_create("mbfs-delay", 1, &f->wq);
	if (err) {
		rt_free(f);
		return err;
	}
	rt_work_init(&f->work, fault_work);
	f->dev.ops = &fault_ops;
	f->dev.size_bytes = inner->size_bytes;
	f->dev.read_only = inner->read_only;
	f->dev.align_bytes = inner->align_bytes;
	f->dev.async = inner->async;
	f->dev.engine = inner->engine;
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
