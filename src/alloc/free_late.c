// SPDX-License-Identifier: GPL-2.0-only
/*
 * Freeing blocks over an image that may crash, and allocating there: blocks that something on the
 * image may still lead to are given back by a write-out (journal/late.c). Until then they are used,
 * in the bitmap and in the buddy: equations 1 to 3 hold as they are, and late_nr is how many of the
 * used ones nobody has any more.
 */
#include <errno.h>

#include "alloc/alloc.h"
#include "alloc/alloc_priv.h"
#include "base/log.h"

/* Somebody else may always be quicker at what has become free. */
enum { TRIES_MAX = 64 };

static int run_late(void *ctx, struct mbfs_tx *tx, uint64_t start, uint32_t len)
{
	const struct mbfs_run run = { .start = start, .len = len };
	struct mbfs_alloc *a = ctx;
	int err = mbfs_alloc_free(a, tx, &run);

	rt_u64_add(&a->late_nr, -(uint64_t)len);
	if (err)
		log_err("%u blocks at %llu are lost: run e2fsck -f on the image", len,
			(unsigned long long)start);
	return err;
}

int alloc_free_late_ready(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run)
{
	int err = alloc_free_ready(a, run);

	return err ? err : tx_late_ready(tx);
}

void alloc_free_late(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run,
		     bool is_meta)
{
	const struct tx_late late = {
		.run = run_late,
		.ctx = a,
		.start = run->start,
		.len = run->len,
		.forget = is_meta,
	};

	rt_u64_add(&a->late_nr, run->len);
	tx_late(tx, &late);
}

uint64_t alloc_late_nr(struct mbfs_alloc *a)
{
	return rt_u64_read(&a->late_nr);
}

int alloc_blocks(struct mbfs_alloc *a, struct mbfs_alloc_file *f, const struct mbfs_alloc_req *req,
		 struct mbfs_tx *tx, struct mbfs_run *got)
{
	const bool contig = req->flags & MBFS_ALLOC_CONTIG;
	int err = -ENOSPC;
	bool claimed;

	for (int i = 0; i < TRIES_MAX; i++) {
		uint64_t seen = tx_late_seen(tx);

		err = alloc_claim_and_find(a, f, req, tx, got, &claimed);
		/* Blocks that were claimed and not found: that is the variant's own, and shows. How
		 * many are free by now says nothing of why there were none. */
		if (err != -ENOSPC || (claimed && !contig) || !tx_late_release(tx, seen))
			break;
	}
	return err;
}
