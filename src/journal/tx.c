// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handles, dirty buffers, write-out. Without a journal a handle only says who changes metadata now;
 * what it dirties is written later, in any order. What must not happen before that is late.c's.
 *
 * tx_dirty() follows a change of the bytes, or is under the same hold of the buffer's lock. The
 * write-out takes DIRTY away and copies the bytes under one hold of that lock. So a tx_dirty() that
 * still sees DIRTY knows that the copy is yet to come and will have the change; it needs no more
 * than that read. A change after the copy finds DIRTY gone and makes the buffer dirty again, for
 * the next pass, while this one's copy is on its way.
 *
 * A pass (tx_writeout()): run the hooks; note the dirty stamp; take buffers with older stamps off
 * the dirty list in batches, sort a batch by block, and write each run of neighbours at once from a
 * bounce buffer, checksums put into the copy. A buffer made dirty from now on has a later stamp: a
 * pass ends however fast others dirty. A run whose write fails is written block by block, so that
 * one bad sector takes no neighbours along; a block that fails becomes dirty again. Then the device
 * is flushed. A failed flush does not say which writes survived, and the next one may succeed
 * without them: everything written since the last good flush becomes dirty again. Buffers remember
 * the pass that wrote them, and are not evicted before a flush of that pass or a later one was
 * good.
 *
 * The batch and the bounce buffer belong to the txlog, so that a pass needs no memory.
 *
 * Locks: writeout (22) spans all of it: the hooks, the device's writes, the frees that waited for
 * them (late.c). Inside it what hooks and frees take (inode bitmaps 24, the allocator's), a
 * buffer's bytes (66), inside that the cache (68).
 */
#include "journal/journal_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "rt/mem.h"

int txlog_open(struct buf_cache *c, struct txlog **out)
{
	struct txlog *log = rt_zalloc(sizeof(*log));

	MBFS_ASSERT(c->block_bytes <= BOUNCE_BYTES);
	if (!log)
		return -ENOMEM;
	log->bounce = rt_zalloc_aligned(4096, BOUNCE_BYTES);
	if (!log->bounce) {
		rt_free(log);
		return -ENOMEM;
	}
	log->cache = c;
	log->run_max = BOUNCE_BYTES / c->block_bytes;
	rt_mutex_init(&log->writeout, RANK_WRITEOUT);
	rt_spin_init(&log->late_lock, RANK_LATE);
	late_list_init(&log->late);
	if (c->dev->read_only)
		txlog_set_read_only(log);
	*out = log;
	return 0;
}

void txlog_close(struct txlog *log)
{
	if (!log)
		return;
	late_list_free(&log->late);
	rt_spin_destroy(&log->late_lock);
	rt_mutex_destroy(&log->writeout);
	rt_free(log->bounce);
	rt_free(log);
}

void txlog_hook_add(struct txlog *log, struct txlog_hook *hook)
{
	struct txlog_hook **end = &log->hooks;

	while (*end)
		end = &(*end)->next;
	hook->next = NULL;
	*end = hook;
}

void txlog_set_read_only(struct txlog *log)
{
	rt_u32_set(&log->read_only, 1);
}

/* ---- handles ---- */
static void handle_init(struct mbfs_tx *tx, struct txlog *log)
{
	*tx = (struct mbfs_tx){ .log = log };
	late_list_init(&tx->late);
	late_list_init(&tx->spare);
}

int tx_start(struct txlog *log, uint32_t credits, struct mbfs_tx **out)
{
	struct mbfs_tx *tx;

	if (rt_u32_read(&log->read_only))
		return -EROFS;
	tx = rt_alloc(sizeof(*tx));
	if (!tx)
		return -ENOMEM;
	handle_init(tx, log);
	tx->credits = credits;
	*out = tx;
	return 0;
}

void tx_stop(struct mbfs_tx *tx)
{
	late_stop(tx);
	rt_free(tx);
}

void tx_dirty(struct mbfs_tx *tx, struct buf *b)
{
	struct buf_cache *c = b->cache;

	MBFS_ASSERT(tx && tx->log->cache == c);
	if (buf_state_has(b, BUF_DIRTY))
		return;
	MBFS_ASSERT(buf_state_has(b, BUF_UPTODATE));
	rt_spin_lock(&c->lock);
	if (!buf_state_has(b, BUF_DIRTY | BUF_GONE))
		buf_make_dirty_locked(c, b);
	rt_spin_unlock(&c->lock);
}

uint64_t tx_dirty_bytes(struct txlog *log)
{
	return rt_u64_read(&log->cache->dirty_nr) * log->cache->block_bytes;
}

/* ---- write-out ---- */
static int cmp_blk(const void *x, const void *y)
{
	const struct buf *a = *(struct buf *const *)x, *b = *(struct buf *const *)y;

	return a->blk < b->blk ? -1 : a->blk > b->blk;
}

/* Take up to a batch of buffers that became dirty before @stamp, sorted by block. */
static unsigned batch_take(struct txlog *log, uint64_t stamp)
{
	struct buf_cache *c = log->cache;
	struct buf *b;
	unsigned nr = 0;

	rt_spin_lock(&c->lock);
	while (nr < BATCH_MAX && (b = TAILQ_FIRST(&c->dirty)) && b->dirty_stamp < stamp) {
		TAILQ_REMOVE(&c->dirty, b, dirty_link);
		buf_state_change(b, BUF_QUEUED, 0);
		log->batch[nr++] = b;
	}
	rt_spin_unlock(&c->lock);
	qsort(log->batch, nr, sizeof(log->batch[0]), cmp_blk);
	return nr;
}

/* Put the sealed bytes of a queued buffer at @dst; false if it was forgotten meanwhile. */
static bool copy_out(struct buf_cache *c, struct buf *b, uint8_t *dst)
{
	const struct buf_kind *kind;
	bool gone;

	buf_lock(b);
	rt_spin_lock(&c->lock);
	gone = buf_state_has(b, BUF_GONE);
	if (gone) {
		buf_state_change(b, 0, BUF_QUEUED);
	} else {
		buf_state_change(b, BUF_WRITING, BUF_QUEUED | BUF_DIRTY);
		rt_u64_add(&c->dirty_nr, (uint64_t)-1);
	}
	rt_spin_unlock(&c->lock);
	kind = b->kind;
	if (!gone)
		memcpy(dst, b->data, c->block_bytes);
	buf_unlock(b);
	if (!gone && kind->seal)
		kind->seal(c->geo_ctx, &b->owner, b->blk, dst, c->block_bytes);
	return !gone;
}

/* The write of a buffer's copy has ended. */
static void written(struct buf_cache *c, struct buf *b, int err)
{
	const struct buf_kind *kind;

	if (err) {
		buf_lock(b);
		kind = b->kind;
		buf_unlock(b);
		buf_log_error(c, b->blk, kind, "write", err);
	}
	rt_spin_lock(&c->lock);
	buf_state_change(b, 0, BUF_WRITING);
	if (!err)
		b->write_pass = c->pass;
	else if (!buf_state_has(b, BUF_DIRTY | BUF_GONE))
		buf_make_dirty_locked(c, b);
	rt_spin_unlock(&c->lock);
}

/* Write @nr blocks from the bounce buffer at once; if that fails, one by one. The first error that
 * stays. */
static int run_write(struct txlog *log, struct buf **run, uint32_t nr)
{
	struct buf_cache *c = log->cache;
	const uint64_t bytes = c->block_bytes;
	int all_err = mbfs_bdev_write(c->dev, run[0]->blk * bytes, log->bounce, nr * bytes);
	int first_err = 0;

	rt_u64_add(&c->writes, 1);
	for (uint32_t i = 0; i < nr; i++) {
		int err = all_err;

		if (all_err && nr > 1) {
			err = mbfs_bdev_write(c->dev, run[i]->blk * bytes, log->bounce + i * bytes,
					      bytes);
			rt_u64_add(&c->writes, 1);
		}
		written(c, run[i], err);
		if (err && !first_err)
			first_err = err;
	}
	rt_event_signal(&c->wrote);
	for (uint32_t i = 0; i < nr; i++)
		buf_put(run[i]);
	return first_err;
}

/* Write the first @nr of the batch, neighbours together. The first error. */
static int batch_write(struct txlog *log, unsigned nr)
{
	const uint64_t bytes = log->cache->block_bytes;
	int first_err = 0;
	unsigned i = 0;

	while (i < nr) {
		struct buf **run = &log->batch[i];
		uint32_t run_nr = 0;
		int err;

		while (i < nr && run_nr < log->run_max &&
		       run[run_nr]->blk == run[0]->blk + run_nr) {
			struct buf *b = log->batch[i++];

			if (!copy_out(log->cache, b, log->bounce + run_nr * bytes)) {
				buf_put(b);
				break;
			}
			run_nr++;
		}
		if (run_nr == 0)
			continue;
		err = run_write(log, run, run_nr);
		if (err && !first_err)
			first_err = err;
	}
	return first_err;
}

static int pass_flush(struct buf_cache *c)
{
	int err = mbfs_bdev_flush(c->dev);
	struct buf *b;

	rt_spin_lock(&c->lock);
	if (!err) {
		c->flushed_pass = c->pass;
	} else {
		TAILQ_FOREACH(b, &c->ring, ring_link)
			if (b->write_pass > c->flushed_pass && !buf_state_has(b, BUF_DIRTY))
				buf_make_dirty_locked(c, b);
	}
	rt_spin_unlock(&c->lock);
	if (err)
		log_err("flush of the image: %s", strerror(-err));
	return err;
}

/* Write all that is dirty now, and flush. */
static int pass(struct txlog *log)
{
	struct buf_cache *c = log->cache;
	int err = 0, e;
	uint64_t stamp;
	unsigned nr;

	rt_spin_lock(&c->lock);
	stamp = ++c->stamp;
	c->pass++;
	rt_spin_unlock(&c->lock);
	while ((nr = batch_take(log, stamp)) > 0) {
		e = batch_write(log, nr);
		if (e && !err)
			err = e;
	}
	e = pass_flush(c);
	return err ? err : e;
}

int tx_writeout(struct txlog *log)
{
	struct late_list late;
	struct mbfs_tx tx;
	int err;

	if (rt_u32_read(&log->read_only))
		return 0;
	handle_init(&tx, log);
	rt_mutex_lock(&log->writeout);
	late_take(log, &late);
	for (struct txlog_hook *h = log->hooks; h; h = h->next)
		h->pre_write(h->arg, &tx);
	err = pass(log);
	if (err)
		late_put_back(log, &late);
	else
		late_run(log, &tx, &late);
	rt_mutex_unlock(&log->writeout);
	return err;
}
