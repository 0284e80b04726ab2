// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ours. One thread at a time converts for a file. Who submitted the data and is still there when it
 * is down does so at once; a write that ends while another converts, or on a thread of the device,
 * goes on the file's list. Who converts goes on until the list is empty, in batches, neighbours
 * together: so many who write to one file do not queue up at the lock of its tree, one conversion
 * after the other. If nobody converts and the thread is the device's, the file's work does it.
 *
 * A write keeps its bytes (the range of the file that it holds) until it is converted, whoever
 * asked for it. So truncate and punch, which take the range of their bytes first, meet no
 * conversion, and the worker needs no lock of the inode: no deadlock, and nothing to miss. A flush
 * waits for the writes themselves, not for a list.
 *
 * Nothing is queued that has nothing to convert, and who converts for others pins the inode.
 */
#include "extent/end_io_priv.h"

#include "base/check.h"

/* Until the list is empty; @f is pinned, and converting is ours. */
static void drain(struct endio_file *f)
{
	struct endio *batch[ENDIO_BATCH_MAX];
	unsigned nr;

	do {
		nr = 0;
		rt_spin_lock(&f->lock);
		while (nr < ENDIO_BATCH_MAX && !TAILQ_EMPTY(&f->completed)) {
			batch[nr] = TAILQ_FIRST(&f->completed);
			TAILQ_REMOVE(&f->completed, batch[nr], link);
			nr++;
		}
		if (!nr)
			f->converting = false;
		rt_spin_unlock(&f->lock);
		if (nr)
			endio_convert(f, batch, nr);
		for (unsigned i = 0; i < nr; i++)
			endio_over(batch[i]);
	} while (nr);
}

static void work(struct rt_work *w)
{
	struct endio_file *f = container_of(w, struct endio_file, work);

	drain(f);
	f->env->host->unpin(f);
}

/* Converting is ours. Until it is over @ei keeps the file. */
static void convert_here(struct endio_file *f, struct endio *ei)
{
	const struct endio_host_ops *host = f->env->host;
	bool more;

	endio_convert(f, &ei, 1);
	rt_spin_lock(&f->lock);
	more = !TAILQ_EMPTY(&f->completed);
	f->converting = more;
	rt_spin_unlock(&f->lock);
	if (more)
		host->pin(f);
	endio_over(ei);
	if (!more)
		return;
	drain(f);
	host->unpin(f);
}

static void complete(struct endio *ei, bool may_sleep)
{
	struct endio_file *f = ei->file;
	bool ours;

	if (!ei->converts) {
		endio_over(ei);
		return;
	}
	rt_spin_lock(&f->lock);
	ours = !f->converting;
	f->converting = true;
	if (!ours || !may_sleep)
		TAILQ_INSERT_TAIL(&f->completed, ei, link);
	if (ours && !may_sleep) {
		f->work.fn = work;
		endio_queue(f, &f->work);
	}
	rt_spin_unlock(&f->lock);
	if (ours && may_sleep)
		convert_here(f, ei);
}

const struct endio_variant endio_mbfs = {
	.pub = { .name = "mbfs",
		 .kernel = "-",
		 .commit = "-",
		 .summary = "the range is held until the blocks are converted; a flush waits for "
			    "writes",
		 .holds = true },
	.complete = complete,
	.flush = endio_flush_bytes,
};
