// SPDX-License-Identifier: GPL-2.0-only
/*
 * A counter holds one for each transfer under way and one for the submitter: who takes the last
 * ends them all. It ends on the submitter's thread when every transfer was over at once.
 */
#include "inode/transfer.h"

#include <errno.h>

#include "base/containers.h"
#include "rt/mem.h"

enum { PHASE_STARTED, PHASE_OVER, PHASE_LEFT };

int transfers_add(struct transfers *all, uint64_t at, void *buf, size_t bytes)
{
	bool held = all->held_nr < TRANSFERS_HELD;
	struct transfer *t = held ? &all->held[all->held_nr] : rt_alloc(sizeof(*t));

	if (!t)
		return -ENOMEM;
	all->held_nr += held;
	*t = (struct transfer){
		.io = { .is_write = all->is_write,
			.off_bytes = at,
			.buf = buf,
			.len_bytes = bytes },
		.all = all,
		.next = all->first,
	};
	all->first = t;
	return 0;
}

void transfers_drop(struct transfers *all, struct transfer *until)
{
	while (all->first != until) {
		struct transfer *t = all->first;

		all->first = t->next;
		if (t < all->held || t >= all->held + TRANSFERS_HELD)
			rt_free(t);
	}
}

static void ended(struct transfers *all, int err, bool here)
{
	if (err)
		rt_u32_set(&all->error, (uint32_t)-err);
	if (!rt_u32_add_return(&all->left, -1u))
		all->over(all, here);
}

static void done(struct mbfs_bdev_io *io, int err)
{
	ended(container_of(io, struct transfer, io)->all, err, false);
}

void transfers_submit(struct transfers *all)
{
	struct transfer *t, *next;
	uint32_t nr = 1;

	for (t = all->first; t; t = t->next)
		nr++;
	rt_u32_set(&all->left, nr);
	for (t = all->first; t; t = next) {
		int r;

		next = t->next;
		t->io.done = done;
		r = mbfs_bdev_submit(all->dev, &t->io);
		if (r != MBFS_BDEV_QUEUED)
			ended(all, r, true); /* not the last: the submitter is left */
	}
	ended(all, 0, true);
}

bool answer_late(struct answer *a)
{
	uint32_t phase = PHASE_STARTED;

	return !rt_u32_cas(&a->phase, &phase, PHASE_OVER);
}

ssize_t answer_take(struct answer *a)
{
	uint32_t phase = PHASE_STARTED;

	return rt_u32_cas(&a->phase, &phase, PHASE_LEFT) ? -EINPROGRESS : a->put;
}

void answer_wait_init(struct answer_wait *w)
{
	rt_completion_init(&w->over);
}

void answer_wake(void *arg, ssize_t put)
{
	struct answer_wait *w = arg;

	w->put = put;
	rt_complete(&w->over);
}

ssize_t answer_wait(struct answer_wait *w, ssize_t put)
{
	if (put == -EINPROGRESS) {
		rt_completion_wait(&w->over);
		put = w->put;
	}
	rt_completion_destroy(&w->over);
	return put;
}
