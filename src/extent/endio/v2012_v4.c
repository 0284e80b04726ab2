// SPDX-License-Identifier: GPL-2.0-only
/*
 * The seed's patch, version 4. Nobody takes the inode's lock. Who drains, worker or flush, takes
 * the whole list of its file to a list of its own, converts, and then says so of all writes in one
 * hold of the lock. A work is queued for the write that finds the list empty; it has QUEUED set
 * until its work has run, and is ended by its work, or by who converts it if its work was first.
 *
 * A flush that finds the list empty returns at once: what another has on its own list it does not
 * see, nor what is not yet on the list. Direct writes keep their bytes until they are converted,
 * and truncate waits for those first; a buffered write lets them go when its data is down.
 *
 * Source: the seed, ext4_add_complete_io() and ext4_do_flush_completed_IO(), in the same order.
 */
#include "extent/end_io_priv.h"

#include "base/check.h"

/* @work_io: the write whose work this is; NULL: a flush, whose caller keeps the file. */
static int drain(struct endio_file *f, struct endio *work_io)
{
	struct endio_list unwritten = TAILQ_HEAD_INITIALIZER(unwritten),
			  complete = TAILQ_HEAD_INITIALIZER(complete),
			  to_free = TAILQ_HEAD_INITIALIZER(to_free);
	struct endio *ei;
	int err = 0;

	rt_spin_lock(&f->lock);
	TAILQ_CONCAT(&unwritten, &f->completed, link);
	rt_spin_unlock(&f->lock);

	while ((ei = TAILQ_FIRST(&unwritten))) {
		TAILQ_REMOVE(&unwritten, ei, link);
		endio_convert(f, &ei, 1);
		if (!err)
			err = ei->err;
		TAILQ_INSERT_TAIL(&complete, ei, link);
	}

	rt_spin_lock(&f->lock);
	while ((ei = TAILQ_FIRST(&complete))) {
		TAILQ_REMOVE(&complete, ei, link);
		MBFS_ASSERT(ei->flags & ENDIO_UNWRITTEN);
		ei->flags &= ~(unsigned)ENDIO_UNWRITTEN;
		if (!(ei->flags & ENDIO_QUEUED))
			TAILQ_INSERT_TAIL(&to_free, ei, link);
	}
	if (work_io) {
		work_io->flags &= ~(unsigned)ENDIO_QUEUED;
		if (!(work_io->flags & ENDIO_UNWRITTEN))
			TAILQ_INSERT_TAIL(&to_free, work_io, link);
	}
	rt_spin_unlock(&f->lock);

	/* The file may be gone with the last. */
	while ((ei = TAILQ_FIRST(&to_free))) {
		TAILQ_REMOVE(&to_free, ei, link);
		endio_over(ei);
	}
	return err;
}

static void work(struct rt_work *w)
{
	struct endio *ei = container_of(w, struct endio, work);

	drain(ei->file, ei);
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
	rt_spin_lock(&f->lock);
	if (TAILQ_EMPTY(&f->completed)) {
		ei->flags |= ENDIO_QUEUED;
		rt_work_init(&ei->work, work);
		endio_queue_bare(f, &ei->work);
	}
	TAILQ_INSERT_TAIL(&f->completed, ei, link);
	rt_spin_unlock(&f->lock);
}

static int flush(struct endio_file *f, uint64_t first, uint64_t last, bool ranged)
{
	(void)first, (void)last, (void)ranged; /* the whole file */
	return drain(f, NULL);
}

const struct endio_variant endio_2012_v4 = {
	/* The landed form is 28a535f9a0df in 3.7 (unconfirmed). */
	.pub = { .name = "2012-v4",
		 .kernel = "-",
		 .commit = "patch of 2012-09-28 (v4)",
		 .summary = "who drains takes the whole list; a flush does not wait for others" },
	.early = true,
	.needs_wq = true,
	.complete = complete,
	.flush = flush,
};
