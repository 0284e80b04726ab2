// SPDX-License-Identifier: GPL-2.0-only
/*
 * What has to wait until a handle's changes are down: above all, freed blocks and inode numbers.
 *
 * A crash leaves each block of metadata on the image in some version between that of the last
 * write-out and the newest. If a block that a file has given up were another file's at once, the
 * old version of the first would lead to the bytes of the second. So what is freed stays marked
 * used until a write-out that began after the handle's end has ended well. From then on all that is
 * on the image is younger than the removal:
 *
 *  - a buffer changed by the handle was dirty when the write-out began, or was written since;
 *  - a block of metadata that was freed is written like any other until its free is run; only then
 *    its buffer is forgotten (an old parent may lead to it, and through it further on);
 *  - a block that becomes metadata was wiped on the image before anything led to it (buf_wipe()).
 *
 *   item in    when                                    moves on
 *   handle     tx_late() .. tx_stop()                  its changes may be in no buffer yet
 *   log        tx_stop() .. the next write-out         in late; late_nr counts it from here on
 *   pass       while that write-out runs               taken before its hooks; run after its flush,
 *                                                      or put back if anything failed
 *
 * An item takes no memory at the point of no return: tx_late_ready() has made room before.
 *
 * Who finds nothing free has the write-out done at once (tx_late_release()). No item is missed: it
 * looks at late_nr, then at late_runs, which changes before late_nr falls.
 */
#include <errno.h>

#include "base/check.h"
#include "journal/journal_priv.h"
#include "rt/mem.h"

struct late_item {
	STAILQ_ENTRY(late_item) link;
	struct tx_late what;
};

void late_list_init(struct late_list *l)
{
	STAILQ_INIT(&l->items);
	l->nr = 0;
}

static void late_list_join(struct late_list *to, struct late_list *from)
{
	STAILQ_CONCAT(&to->items, &from->items);
	to->nr += from->nr;
	late_list_init(from);
}

void late_list_free(struct late_list *l)
{
	struct late_item *item;

	while ((item = STAILQ_FIRST(&l->items))) {
		STAILQ_REMOVE_HEAD(&l->items, link);
		rt_free(item);
	}
	late_list_init(l);
}

/* ---- in a handle ---- */

int tx_late_ready(struct mbfs_tx *tx)
{
	struct late_item *item;

	if (tx->spare.nr > tx->promised) {
		tx->promised++;
		return 0;
	}
	item = rt_alloc(sizeof(*item));
	if (!item)
		return -ENOMEM;
	STAILQ_INSERT_HEAD(&tx->spare.items, item, link);
	tx->spare.nr++;
	tx->promised++;
	return 0;
}

static bool continues(const struct tx_late *a, const struct tx_late *b)
{
	return a->run == b->run && a->ctx == b->ctx && a->forget == b->forget &&
	       a->start + a->len == b->start && b->len <= UINT32_MAX - a->len;
}

void tx_late(struct mbfs_tx *tx, const struct tx_late *what)
{
	struct late_item *item;

	MBFS_ASSERT(tx->promised > 0 && what->len > 0);
	tx->promised--;
	item = STAILQ_LAST(&tx->late.items, late_item, link);
	if (item && continues(&item->what, what)) {
		item->what.len += what->len;
		return;
	}
	item = STAILQ_FIRST(&tx->spare.items);
	MBFS_ASSERT(item);
	STAILQ_REMOVE_HEAD(&tx->spare.items, link);
	tx->spare.nr--;
	item->what = *what;
	STAILQ_INSERT_TAIL(&tx->late.items, item, link);
	tx->late.nr++;
}

void late_stop(struct mbfs_tx *tx)
{
	struct txlog *log = tx->log;

	late_list_free(&tx->spare);
	if (!tx->late.nr)
		return;
	rt_u64_add(&log->late_nr, tx->late.nr);
	rt_spin_lock(&log->late_lock);
	late_list_join(&log->late, &tx->late);
	rt_spin_unlock(&log->late_lock);
}

/* ---- around a write-out ---- */

void late_take(struct txlog *log, struct late_list *out)
{
	late_list_init(out);
	rt_spin_lock(&log->late_lock);
	late_list_join(out, &log->late);
	rt_spin_unlock(&log->late_lock);
}

void late_put_back(struct txlog *log, struct late_list *l)
{
	rt_spin_lock(&log->late_lock);
	late_list_join(l, &log->late);
	late_list_join(&log->late, l);
	rt_spin_unlock(&log->late_lock);
}

void late_run(struct txlog *log, struct mbfs_tx *tx, struct late_list *l)
{
	struct late_item *item;

	if (!l->nr)
		return;
	STAILQ_FOREACH(item, &l->items, link) {
		const struct tx_late *w = &item->what;
		int err;

		if (w->forget)
			buf_forget(log->cache, tx, w->start, w->len);
		err = w->run(w->ctx, tx, w->start, w->len);
		if (err && !log->late_err)
			log->late_err = err;
	}
	rt_u64_add_return(&log->late_runs, 1);
	rt_u64_add_return(&log->late_nr, -l->nr);
	late_list_free(l);
}

/* ---- for those who look at the whole ---- */

uint64_t txlog_late_nr(struct txlog *log)
{
	return rt_u64_read(&log->late_nr);
}

int txlog_late_err(struct txlog *log)
{
	int err;

	rt_mutex_lock(&log->writeout);
	err = log->late_err;
	rt_mutex_unlock(&log->writeout);
	return err;
}

uint64_t tx_late_seen(struct mbfs_tx *tx)
{
	return rt_u64_read_acquire(&tx->log->late_runs);
}

bool tx_late_release(struct mbfs_tx *tx, uint64_t seen)
{
	struct txlog *log = tx->log;

	/* This order: see the essay. An error of the write-out leaves all as it was. */
	if (rt_u64_read_acquire(&log->late_nr) && rt_u64_read_acquire(&log->late_runs) == seen)
		(void)tx_writeout(log);
	return rt_u64_read_acquire(&log->late_runs) != seen;
}
