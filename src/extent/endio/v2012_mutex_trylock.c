// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel 3.6 and before. Each write has a work of its own, and is on its file's list until it is
 * converted. The worker wants the inode's lock for that, and must not wait for it: it queues the
 * work once more if it does not get it, and lets others run if that was not the first time. A
 * flush, whose caller holds the inode's lock, takes the writes off the list and converts them
 * itself; their works find them off the list, and end them.
 *
 * A direct write keeps its bytes until it is converted (inode_dio_wait() waits for it), a buffered
 * one lets them go when its data is down (the page's writeback is over), and is on the list only
 * after. So:
 *
 *  - truncate takes the inode's lock and waits for direct writes, whose workers go round and round
 *    for that lock: the deadlock of the seed, a livelock here;
 *  - a truncate may find a buffered write neither under writeback nor on the list, and its
 *    conversion comes when the block is another one.
 *
 * Source: fs/ext4/page-io.c and fsync.c of 3.6, ext4_end_io_work(), ext4_flush_completed_IO();
 * from memory and the seed, not compared with the tree.
 */
#include "extent/end_io_priv.h"

#include "base/check.h"

/* The file's lock is held; it is dropped. */
static void requeue(struct endio *ei)
{
	struct endio_file *f = ei->file;
	bool again = ei->flags & ENDIO_QUEUED;

	ei->flags |= ENDIO_QUEUED;
	rt_spin_unlock(&f->lock);
	rt_u64_add(&f->env->requeued, 1);
	rt_wq_queue(f->env->wq, &ei->work);
	if (again)
		rt_yield();
}

static void work(struct rt_work *w)
{
	struct endio *ei = container_of(w, struct endio, work);
	struct endio_file *f = ei->file;
	const struct endio_host_ops *host = f->env->host;

	rt_spin_lock(&f->lock);
	if (ei->flags & ENDIO_IN_FLUSH) {
		requeue(ei);
		return;
	}
	if (!(ei->flags & ENDIO_LISTED)) { /* a flush has converted it */
		rt_spin_unlock(&f->lock);
		endio_over(ei);
		return;
	}
	if (!host->trylock(f)) {
		requeue(ei);
		return;
	}
	TAILQ_REMOVE(&f->completed, ei, link);
	ei->flags &= ~(unsigned)ENDIO_LISTED;
	rt_spin_unlock(&f->lock);
	endio_convert(f, &ei, 1);
	host->unlock(f);
	endio_over(ei);
}

static void complete(struct endio *ei, bool may_sleep)
{
	struct endio_file *f = ei->file;

	if (!ei->converts) {
		endio_over(ei);
		return;
	}
	if (ei->direct && may_sleep) { /* not AIO: who asked for it converts */
		endio_convert_here(ei);
		return;
	}
	if (!ei->direct)
		f->env->host->data_down(ei);
	rt_work_init(&ei->work, work);
	rt_spin_lock(&f->lock);
	TAILQ_INSERT_TAIL(&f->completed, ei, link);
	ei->flags |= ENDIO_LISTED;
	rt_spin_unlock(&f->lock);
	endio_queue_bare(f, &ei->work); /* only its work ends it */
}

static int flush(struct endio_file *f, uint64_t first, uint64_t last, bool ranged)
{
	struct endio *ei;
	int err = 0;

	(void)first, (void)last, (void)ranged; /* the whole file */
	rt_spin_lock(&f->lock);
	while ((ei = TAILQ_FIRST(&f->completed))) {
		TAILQ_REMOVE(&f->completed, ei, link);
		ei->flags &= ~(unsigned)ENDIO_LISTED;
		ei->flags |= ENDIO_IN_FLUSH;
		rt_spin_unlock(&f->lock);
		endio_convert(f, &ei, 1);
		if (ei->err)
			err = ei->err;
		rt_spin_lock(&f->lock);
		ei->flags &= ~(unsigned)ENDIO_IN_FLUSH;
	}
	rt_spin_unlock(&f->lock);
	return err;
}

const struct endio_variant endio_2012_mutex_trylock = {
	.pub = { .name = "2012-mutex-trylock",
		 .kernel = "3.6",
		 .commit = "-",
		 .summary = "a work per write, which needs the inode's lock to convert" },
	.early = true,
	.locks_inode = true,
	.needs_wq = true,
	.complete = complete,
	.flush = flush,
};
