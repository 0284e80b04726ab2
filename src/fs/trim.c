// SPDX-License-Identifier: GPL-2.0-only
/*
 * Option discard: blocks that were freed are trimmed on the device, once what freed them is down.
 *
 * A range that is freed is noted by the allocator's hook. Nothing on the image may lead to it when
 * it is trimmed, so a range waits for two write-outs: one may have begun in the middle of the
 * operation that freed it, the second began after. An unmount knows that no operation is left, and
 * trims all after its own write-out.
 *
 * By then somebody may have the blocks again. So they are first allocated, at exactly that place
 * and as far as they are free, then trimmed, then freed. This happens between two write-outs, but
 * for one that somebody may have done who finds nothing free: a crash then leaves a piece marked
 * used on the image, which e2fsck mends. Whoever allocates meanwhile misses these blocks; so a
 * piece is small, and is left alone when it is much of what is free. Trimming is an offer to the
 * device: what does not fit into the list, is in use in part, or fails is not trimmed, and no call
 * fails.
 *
 * Locks: lock (RANK_TRIM) guards fresh, inside everything but the buffers' and the device's.
 * settled and tx belong to the one who holds sync_lock, or unmount.
 */
#include "fs/fs_priv.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

enum {
	RUNS_MAX = 1 << 16,  /* in the list: 1 MiB of memory */
	PIECE_BYTES = 4 << 20,
	FREE_SHARE = 8, /* a piece is at most this part of what is free */
};

static void run_add(struct fs_trim_list *l, const struct mbfs_run *run)
{
	struct mbfs_run *last = l->nr ? &l->run[l->nr - 1] : NULL;
	struct mbfs_run *more;
	uint32_t room;

	if (last && last->start + last->len == run->start && run->len <= UINT32_MAX - last->len) {
		last->len += run->len;
		return;
	}
	if (l->nr == l->room) {
		room = l->room ? 2 * l->room : 64;
		more = room <= RUNS_MAX ? rt_alloc(room * sizeof(*more)) : NULL;
		if (!more)
			return;
		if (l->nr)
			memcpy(more, l->run, l->nr * sizeof(*more));
		rt_free(l->run);
		l->run = more;
		l->room = room;
	}
	l->run[l->nr++] = *run;
}

static void list_clear(struct fs_trim_list *l)
{
	rt_free(l->run);
	*l = (struct fs_trim_list){ 0 };
}

/* The allocator's hook. */
static void freed(void *arg, struct mbfs_tx *tx, const struct mbfs_run *run)
{
	struct mbfs_fs *fs = arg;

	/* Only the thread that trims has this handle. */
	if (tx && (uintptr_t)tx == rt_u64_read(&fs->trim.tx))
		return;
	rt_mutex_lock(&fs->trim.lock);
	run_add(&fs->trim.fresh, run);
	rt_mutex_unlock(&fs->trim.lock);
}

void fs_trim_open(struct mbfs_fs *fs)
{
	if (fs->opts.discard && !fs->read_only && fs->dev->ops->trim)
		mbfs_alloc_free_hook(fs->alloc, freed, fs);
}

void fs_trim_close(struct mbfs_fs *fs)
{
	list_clear(&fs->trim.fresh);
	list_clear(&fs->trim.settled);
	rt_mutex_destroy(&fs->trim.lock);
}

/* Trim what is free at @at, up to @len blocks; *done: how far that was. */
static int piece_trim(struct mbfs_fs *fs, struct mbfs_tx *tx, mbfs_blk_t at, uint32_t len,
		      uint32_t *done)
{
	struct mbfs_alloc_req req = { .len = len, .goal = at, .file_blks = len,
				      .flags = MBFS_ALLOC_GOAL_ONLY | MBFS_ALLOC_NO_PREALLOC };
	const unsigned bits = fs->super.geo.block_bits;
	struct mbfs_run run;
	int err = mbfs_alloc_blocks(fs->alloc, NULL, &req, tx, &run), free_err;

	if (err)
		return err;
	MBFS_ASSERT(run.start == at && run.len <= len);
	*done = run.len;
	err = mbfs_bdev_trim(fs->dev, run.start << bits, (uint64_t)run.len << bits);
	free_err = mbfs_alloc_free(fs->alloc, tx, &run);
	if (free_err)
		log_err("%u blocks at %llu are lost: run e2fsck -f on the image", run.len,
			(unsigned long long)run.start);
	return err ? err : fs_seen(fs, free_err);
}

/* One range. What is in use again is stepped over, ever farther. */
static int run_trim(struct mbfs_fs *fs, struct mbfs_tx *tx, const struct mbfs_run *run)
{
	const uint32_t piece = PIECE_BYTES >> fs->super.geo.block_bits;
	uint32_t at = 0, step = 1;

	while (at < run->len) {
		uint32_t len = run->len - at < piece ? run->len - at : piece, done = 0;
		int err = -ENOSPC;

		if (len <= mbfs_alloc_avail_nr(fs->alloc) / FREE_SHARE)
			err = piece_trim(fs, tx, run->start + at, len, &done);
		if (err && err != -ENOSPC)
			return err;
		if (done) {
			step = 1;
		} else {
			done = step < run->len - at ? step : run->len - at;
			step = done < UINT32_MAX / 2 ? 2 * step : step;
		}
		at += done;
	}
	return 0;
}

static void list_trim(struct mbfs_fs *fs, struct fs_trim_list *l)
{
	struct mbfs_tx *tx;
	int err;

	if (!l->nr || fs->trim.failed || tx_start(fs->log, XATTR_CREDITS, &tx)) {
		list_clear(l);
		return;
	}
	rt_u64_set(&fs->trim.tx, (uintptr_t)tx);
	for (uint32_t i = 0; i < l->nr; i++) {
		err = run_trim(fs, tx, &l->run[i]);
		if (!err)
			continue;
		log_warn("freed blocks cannot be trimmed any more: %s", strerror(-err));
		fs->trim.failed = true;
		break;
	}
	rt_u64_set(&fs->trim.tx, 0); /* before somebody else can get a handle at this address */
	tx_stop(tx);
	list_clear(l);
}

void fs_trim_begin(struct mbfs_fs *fs, struct fs_trim_list *before)
{
	rt_mutex_lock(&fs->trim.lock);
	*before = fs->trim.fresh;
	fs->trim.fresh = (struct fs_trim_list){ 0 };
	rt_mutex_unlock(&fs->trim.lock);
}

void fs_trim_end(struct mbfs_fs *fs, struct fs_trim_list *before, int err)
{
	if (err) {
		/* Later, then: it is not down. */
		for (uint32_t i = 0; i < before->nr; i++)
			freed(fs, NULL, &before->run[i]);
		list_clear(before);
		return;
	}
	list_trim(fs, &fs->trim.settled);
	fs->trim.settled = *before;
}

int fs_trim_rest(struct mbfs_fs *fs)
{
	if (!fs->trim.settled.nr && !fs->trim.fresh.nr)
		return 0;
	list_trim(fs, &fs->trim.settled);
	list_trim(fs, &fs->trim.fresh);
	/* The bitmaps were changed and changed back. */
	return tx_writeout(fs->log);
}
