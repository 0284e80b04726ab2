// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel 3.7: the machine of the seed's patch, and a flush that waits afterwards until the file has
 * no write that is begun and not converted (ext4_flush_unwritten_io(), ext4_unwritten_wait()). The
 * count goes up before the data is submitted, so nothing falls between bytes that are let go and
 * the list.
 *
 * It waits for the whole file, and for writes that begin meanwhile: the kernel demanded the inode's
 * lock of the caller, which keeps new ones out. An fsync here does not hold it, and may wait
 * longer.
 */
#include "extent/end_io_priv.h"

static void complete(struct endio *ei, bool may_sleep)
{
	endio_2012_v4.complete(ei, may_sleep);
}

static int flush(struct endio_file *f, uint64_t first, uint64_t last, bool ranged)
{
	int err = endio_2012_v4.flush(f, first, last, ranged);
	uint64_t start = rt_now_ns();
	bool waited = false;
	uint32_t key;

	for (;;) {
		key = rt_event_key(&f->moved);
		if (!rt_u32_read_acquire(&f->unwritten))
			break;
		waited = true;
		rt_event_wait(&f->moved, key);
	}
	if (waited)
		endio_note_wait(f, start);
	return err;
}

const struct endio_variant endio_3_7_wait = {
	/* The wait is c278531d39f3 (unconfirmed). */
	.pub = { .name = "3.7-wait",
		 .kernel = "3.7",
		 .commit = "c278531d39f3",
		 .summary = "as 2012-v4; a flush then waits until nothing is unconverted",
		 .holds = true },
	.early = true,
	.needs_wq = true,
	.complete = complete,
	.flush = flush,
};
