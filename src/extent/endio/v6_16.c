// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel 6.16. One work per inode, queued by the write that finds the list empty; the worker takes
 * the list and converts one after the other. A write keeps its bytes, and so its file, until it is
 * converted (since 3.11 a page's writeback lasts until then); a flush waits for the bytes. Direct
 * writes convert where they end if they may sleep.
 *
 * The work has no pin of its own: a write on the list is one. And here is the bug (c678bdc99875): a
 * buffered write with nothing to convert queues the work all the same, and is over. Nothing keeps
 * the file until the worker has looked: endio_file_retire() finds the husk, counts it and takes it
 * out, where the kernel went on in freed memory.
 */
#include "extent/end_io_priv.h"

#include "base/check.h"

static void work(struct rt_work *w)
{
	struct endio_file *f = container_of(w, struct endio_file, work);
	struct endio_list mine = TAILQ_HEAD_INITIALIZER(mine);
	struct endio *ei;

	rt_spin_lock(&f->lock);
	f->husk = false;
	TAILQ_CONCAT(&mine, &f->completed, link);
	rt_spin_unlock(&f->lock);
	/* From here on only what is listed keeps the file. */
	while ((ei = TAILQ_FIRST(&mine))) {
		TAILQ_REMOVE(&mine, ei, link);
		endio_convert_here(ei);
	}
}

/* Under the file's lock. @ei is to go on the list, or is a husk. */
static void add(struct endio_file *f, struct endio *ei)
{
	bool queued = false;

	if (TAILQ_EMPTY(&f->completed)) {
		if (!f->work.fn) /* else it may be pending, and is read */
			f->work.fn = work;
		queued = endio_queue_bare(f, &f->work);
	}
	if (ei->converts)
		TAILQ_INSERT_TAIL(&f->completed, ei, link);
	else
		f->husk = f->husk || queued;
}

static void complete(struct endio *ei, bool may_sleep)
{
	struct endio_file *f = ei->file;
	bool converts = ei->converts; /* on the list it is the worker's, and may be gone */

	if (ei->direct && (may_sleep || !ei->converts)) {
		if (ei->converts)
			endio_convert_here(ei);
		else
			endio_over(ei);
		return;
	}
	rt_spin_lock(&f->lock);
	add(f, ei);
	rt_spin_unlock(&f->lock);
	if (!converts)
		endio_over(ei);
}

const struct endio_variant endio_6_16 = {
	.pub = { .name = "6.16",
		 .kernel = "6.16",
		 .commit = "before c678bdc99875",
		 .summary = "a work per inode, queued without a pin also for nothing" },
	.needs_wq = true,
	.complete = complete,
	.flush = endio_flush_bytes,
};
