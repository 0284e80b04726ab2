// SPDX-License-Identifier: GPL-2.0-only
/*
 * resize-writers over a mount: real files, fallocate and the kernel's AIO past its page cache,
 * while the first writer asks the daemon for one more group, again and again.
 *
 * Each of the others has a file of so many places and knows what is in each: zeros, or the stamp of
 * its last write (stamp.h). What he does is drawn: places are allocated, a few are written at once
 * and read again, the file is cut to nothing; a directory is made, for which all groups are looked
 * at, or the statistics are read, likewise. At the end he reads all of his file, and removes it.
 * After the last the mount goes, and e2fsck looks at the image.
 */
#include "race/mount.h"
#include "race/resize.h"
#include "race/site.h"
#include "race/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <mbfs/ioctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	GROWTHS = 1000,
	PLACES_MAX = 128, /* of STAMP_BYTES */
	TIMEOUT_MS = 1000,
};

/* All files together take a quarter of what there is at first. */
unsigned resize_places(const struct race_config *cfg)
{
	uint64_t nr = cfg->size_bytes / 4 / cfg->threads / STAMP_BYTES;

	return nr < PLACES_MAX ? (unsigned)nr : PLACES_MAX;
}

/* ---- who grows it ---- */

/* What statvfs(3) shows is what is there at least. */
static bool size_is(struct race_worker *w, const struct mbfs_ioc_resize *io, uint64_t want)
{
	struct race_mount *m = w->ctx;
	struct statvfs st;

	if (io->size_bytes != want || statvfs(m->mnt, &st))
		return false;
	return (uint64_t)st.f_blocks * st.f_frsize <= want;
}

static void grow_all(struct race_worker *w)
{
	struct race_mount *m = w->ctx;
	int fd = open(m->mnt, O_RDONLY | O_CLOEXEC), err = fd < 0 ? -errno : 0;

	for (unsigned i = 1; !err && i <= GROWTHS && !race_stopped(w); i++) {
		struct mbfs_ioc_resize io = { .size_bytes = w->cfg->size_bytes +
							    i * resize_grp_bytes(w->cfg) };
		const uint64_t want = io.size_bytes;

		err = ioctl(fd, MBFS_IOC_RESIZE, &io) ? -errno : -(int)io.error;
		if (!err && !size_is(w, &io, want))
			err = -ERANGE;
		w->slot->tally.changes += !err;
		race_progress(w);
	}
	if (err)
		race_broke(w, "it does not grow", err);
	else if (!race_stopped(w))
		rt_u64_add(&w->sh->rounds, 1);
	if (fd >= 0)
		close(fd);
	rt_u32_set_release(&w->sh->full, 1);
}

/* ---- who writes ---- */

struct hands {
	struct race_worker *w;
	struct race_mount *m;
	char name[16];
	struct site_file *f;
	struct site_queue *q;
	uint8_t *buf; /* RESIZE_DEPTH places */
	struct race_aio_io io[RESIZE_DEPTH];
	unsigned places;
	uint64_t seq;
	uint64_t is[PLACES_MAX]; /* the number of the last write; 0: zeros */
};

static const struct race_site_ops *const ops = &site_mount;

/* Counts and times a call that allocates. False: it failed; ENOSPC is counted. */
static bool done(struct hands *h, const char *what, uint64_t from_ns, int err)
{
	race_count_call(h->w, rt_now_ns() - from_ns, err);
	if (err && err != -ENOSPC)
		race_broke(h->w, what, err);
	return !err;
}

static void look(struct hands *h, unsigned place)
{
	const uint64_t off = (uint64_t)place * STAMP_BYTES;
	struct race_tally *t = &h->w->slot->tally;
	enum stamp_kind kind;
	uint64_t seq = 0;
	ssize_t got;

	memset(h->buf, 0, STAMP_BYTES); /* what is past the end reads as zeros */
	got = ops->read(h->f, h->buf, STAMP_BYTES, off);
	if (got < 0) {
		race_broke(h->w, "read", (int)got);
		return;
	}
	kind = stamp_look(h->buf, off, h->w->idx, &seq);
	t->looks++;
	if (h->is[place] ? kind == STAMP_OURS && seq == h->is[place] : kind == STAMP_ZERO)
		return;
	t->stale++;
	race_broke(h->w, "a block does not hold what was written to it last", -EUCLEAN);
}

static int written(const struct race_aio_io *io)
{
	if (io->result < 0)
		return (int)io->result;
	return io->result == STAMP_BYTES ? 0 : -EIO;
}

/* The answers to the @nr writes that have been started. */
static bool writes_wait(struct hands *h, unsigned nr, uint64_t from_ns)
{
	struct race_aio_io *io;
	bool fine = true;

	while (nr > 0) {
		int err = ops->wait(h->q, TIMEOUT_MS, &io);

		if (err == -EAGAIN)
			continue; /* who watches us ends what takes too long */
		if (!err)
			err = written(io);
		fine &= done(h, "write", from_ns, err);
		nr--;
	}
	return fine;
}

/* A few places next to each other, all at once. */
static void write_some(struct hands *h)
{
	const unsigned first = (unsigned)rt_rand_below(&h->w->rand, h->places - RESIZE_DEPTH + 1);
	const unsigned want = 1 + (unsigned)rt_rand_below(&h->w->rand, RESIZE_DEPTH);
	uint64_t from = rt_now_ns();
	unsigned nr;
	int err = 0;

	for (nr = 0; !err && nr < want; nr++) {
		const uint64_t off = (uint64_t)(first + nr) * STAMP_BYTES;

		h->io[nr] = (struct race_aio_io){ .is_write = true,
						  .buf = h->buf + (size_t)nr * STAMP_BYTES,
						  .bytes = STAMP_BYTES,
						  .off_bytes = off };
		h->is[first + nr] = ++h->seq;
		stamp_fill(h->io[nr].buf, STAMP_BYTES, off, h->w->idx, h->seq);
		err = ops->start(h->q, &h->io[nr]);
		if (err)
			race_broke(h->w, "cannot start a write", err);
	}
	if (!writes_wait(h, err ? nr - 1 : nr, from) || err)
		return;
	h->w->slot->tally.blocks += nr;
	look(h, first + (unsigned)rt_rand_below(&h->w->rand, nr));
}

static void allocate_some(struct hands *h)
{
	const uint64_t first = rt_rand_below(&h->w->rand, h->places);
	const uint64_t nr = 1 + rt_rand_below(&h->w->rand, h->places - first);
	uint64_t from = rt_now_ns();

	done(h, "fallocate", from,
	     ops->fallocate(h->f, 0, first * STAMP_BYTES, nr * STAMP_BYTES));
	look(h, (unsigned)(first + rt_rand_below(&h->w->rand, nr)));
}

static void free_all(struct hands *h)
{
	int err = ops->truncate(h->f, 0);

	if (err)
		race_broke(h->w, "truncate", err);
	memset(h->is, 0, sizeof(h->is));
	race_progress(h->w);
}

/* A directory goes where there is most room: all groups are compared. */
static void directory(struct hands *h)
{
	char path[RACE_PATH_BYTES + 64];
	uint64_t from = rt_now_ns();

	snprintf(path, sizeof(path), "%s/d%u", h->m->mnt, h->w->idx);
	if (done(h, "mkdir", from, mkdir(path, 0700) ? -errno : 0) && rmdir(path))
		race_broke(h->w, "rmdir", -errno);
}

/* What /proc/fs/ext4/DEVICE/mb_groups is: all groups are looked at. */
static void statistics(struct hands *h)
{
	struct race_result unused;

	if (race_mount_stats(h->m, &unused))
		race_broke(h->w, "the statistics", -EIO);
	race_progress(h->w);
}

static void write_until_full(struct hands *h)
{
	while (!race_stopped(h->w) && !rt_u32_read_acquire(&h->w->sh->full)) {
		const uint64_t what = rt_rand_below(&h->w->rand, 16);

		if (what == 0)
			free_all(h);
		else if (what == 1)
			directory(h);
		else if (what < 6)
			statistics(h);
		else if (what < 10)
			allocate_some(h);
		else
			write_some(h);
	}
	for (unsigned place = 0; place < h->places && !rt_u32_read(&h->w->sh->broken); place++)
		look(h, place);
}

static void write_files(struct race_worker *w)
{
	struct hands *h = rt_zalloc(sizeof(*h));
	int err = h ? 0 : -ENOMEM;

	if (!err) {
		h->w = w;
		h->m = w->ctx;
		h->places = resize_places(w->cfg);
		snprintf(h->name, sizeof(h->name), "w%u", w->idx);
		h->buf = rt_zalloc_aligned(STAMP_BYTES, RESIZE_DEPTH * STAMP_BYTES);
		err = h->buf ? ops->open(h->m, h->name, true, true, &h->f) : -ENOMEM;
	}
	if (!err)
		err = ops->queue_open(h->f, RESIZE_DEPTH, &h->q);
	if (!err) {
		write_until_full(h);
		ops->queue_close(h->q);
	}
	if (h && h->f) {
		ops->close(h->f);
		if (!err)
			err = ops->unlink(h->m, h->name);
	}
	if (err)
		race_broke(w, "a file", err);
	if (h)
		rt_free(h->buf);
	rt_free(h);
}

void resize_mount_worker(struct race_worker *w)
{
	if (w->idx == 0)
		grow_all(w);
	else
		write_files(w);
}

static int mount_start(struct race_worker *workers, unsigned nr, void *ctx)
{
	(void)workers, (void)nr, (void)ctx;
	return 0;
}

static int mount_end(void *ctx)
{
	(void)ctx;
	return 0;
}

const struct race_backend resize_mount_backend = { .start = mount_start, .end = mount_end };
