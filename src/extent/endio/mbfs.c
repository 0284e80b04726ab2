// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ours. Who submitted the data and is still there when it is down converts at once; else the write
 * goes on its file's list, and the first on an empty list queues the file's work. The worker takes
 * the whole list and converts it in batches, neighbours together.
 *
 * A write keeps its bytes (the range of the file that it holds) until it is converted, whoever
 * asked for it. So truncate and punch, which take the range of their bytes first, meet no
 * conversion, and the worker needs no lock of the inode: no deadlock, and nothing to miss. A flush
 * waits for the writes themselves, not for a list.
 *
 * Nothing is queued that has nothing to convert, and what is queued pins the inode.
 */
#include "extent/end_io_priv.h"

#include "base/check.h"

static void work(struct rt_work *w)
{
	struct endio_file *f = container_of(w, struct endio_file, work);
	struct endio_list mine = TAILQ_HEAD_INITIALIZER(mine);
	struct endio *batch[ENDIO_BATCH_MAX];

	rt_spin_lock(&f->lock);
	TAILQ_CONCAT(&mine, &f->completed, link);
	rt_spin_unlock(&f->lock);
	while (!TAILQ_EMPTY(&mine)) {
		unsigned nr = 0;

		while (nr < ENDIO_BATCH_MAX && !TAILQ_EMPTY(&mine)) {
			batch[nr] = TAILQ_FIRST(&mine);
			TAILQ_REMOVE(&mine, batch[nr], link);
			nr++;
		}
		endio_convert(f, batch, nr);
		for (unsigned i = 0; i < nr; i++)
			endio_over(batch[i]);
	}
	f->env->host->unpin(f);
}

static void complete(struct endio *ei, bool may_sleep)
{
	struct endio_file *f = ei->file;
	bool first;

	if (!ei->converts) {
		endio_over(ei);
		return;
	}
	if (may_sleep) {
		endio_convert_here(ei);
		return;
	}
	rt_spin_lock(&f->lock);
	first = TAILQ_EMPTY(&f->completed);
	TAILQ_INSERT_TAIL(&f->completed, ei, link);
	if (first) {
		f->work.fn = work;
		endio_queue(f, &f->work);
	}
	rt_spin_unlock(&f->lock);
}

static int flush(struct endio_file *f, uint64_t first, uint64_t last)
{
	endio_wait(f, first, last);
	return 0;
}

const struct endio_variant endio_mbfs = {
	.pub = { .name = "mbfs",
		 .kernel = "-",
		 .commit = "-",
		 .summary = "the range is held until the blocks are converted; a flush waits for "
			    "writes",
		 .holds = true },
	.complete = complete,
	.flush = flush,
};
