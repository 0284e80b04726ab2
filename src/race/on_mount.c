// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writers on a mount: real files, pwrite and fallocate, ftruncate and unlink.
 *
 * The kernel sends RELEASE and FORGET without waiting for them, so the blocks of a file that was
 * only unlinked come back some time after unlink(2) has returned. A writer that goes on at once
 * would meet a *true* ENOSPC: it truncates first, which is answered when the blocks are free. Where
 * all writers meet after removing, half of them only unlink, and the one that leads waits for the
 * free count.
 */
#include "race/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct race_file {
	int fd; /* -1: closed */
	uint64_t bytes;
	char path[RACE_PATH_BYTES + 32];
};

enum { CHUNK_BYTES = 1 << 20, DRAIN_TRIES = 10000, DRAIN_POLL_NS = 1000000, SLACK_BLKS = 8 };

static int mount_start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct race_mount *m = ctx;

	(void)workers, (void)nr;
	m->buf = rt_alloc(CHUNK_BYTES);
	if (!m->buf)
		return -ENOMEM;
	memset(m->buf, 0x5a, CHUNK_BYTES);
	return 0;
}

static int mount_end(void *ctx)
{
	struct race_mount *m = ctx;

	rt_free(m->buf);
	return 0;
}

static int mount_file_open(struct race_worker *w, uint64_t max_blks, struct race_file **out)
{
	struct race_mount *m = w->ctx;
	struct race_file *f = rt_alloc(sizeof(*f));
	int err;

	(void)max_blks;
	if (!f)
		return -ENOMEM;
	f->bytes = 0;
	snprintf(f->path, sizeof(f->path), "%s/w%u", m->mnt, w->idx);
	f->fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (f->fd < 0) {
		err = -errno;
		rt_free(f);
		return err;
	}
	*out = f;
	return 0;
}

static int write_all(struct race_worker *w, struct race_file *f, uint64_t bytes)
{
	struct race_mount *m = w->ctx;
	uint64_t from;
	ssize_t put;
	size_t want;

	while (bytes > 0) {
		if (race_stopped(w))
			return -EINTR;
		want = bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES;
		from = rt_now_ns();
		put = pwrite(f->fd, m->buf, want, (off_t)f->bytes);
		if (put < 0)
			put = -errno;
		race_count_call(w, rt_now_ns() - from, put < 0 ? (int)put : 0);
		if (put < 0)
			return (int)put;
		f->bytes += (uint64_t)put;
		bytes -= (uint64_t)put;
		w->slot->tally.blocks += (uint64_t)put / w->cfg->block_bytes;
	}
	return 0;
}

static int mount_file_grow(struct race_worker *w, struct race_file *f, uint64_t blks,
			   enum race_how how)
{
	uint64_t bytes = blks * w->cfg->block_bytes, from;
	int err;

	if (how == RACE_WRITE)
		return write_all(w, f, bytes);
	from = rt_now_ns();
	err = fallocate(f->fd, 0, (off_t)f->bytes, (off_t)bytes) ? -errno : 0;
	race_count_call(w, rt_now_ns() - from, err);
	if (err)
		return err;
	f->bytes += bytes;
	w->slot->tally.blocks += blks;
	return 0;
}

/* An error of a write that the kernel had put off shows up here. */
static int mount_file_settle(struct race_worker *w, struct race_file *f)
{
	int err = close(f->fd) ? -errno : 0;

	f->fd = -1;
	race_progress(w);
	if (err == -ENOSPC)
		w->slot->tally.enospc++;
	return err;
}

static int mount_file_remove(struct race_worker *w, struct race_file *f)
{
	bool only_unlink = w->cfg->workload == race_workload_find(w->cfg->scenario, "fill") &&
			   w->idx % 2;
	int err = 0;

	if (!only_unlink && truncate(f->path, 0))
		err = -errno;
	if (unlink(f->path) && !err)
		err = -errno;
	race_progress(w);
	rt_free(f);
	return err;
}

static void mount_drained(struct race_worker *w)
{
	struct race_mount *m = w->ctx;

	for (unsigned i = 0; i < DRAIN_TRIES; i++) {
		if (race_mount_usable(m) + SLACK_BLKS >= m->free_at_start)
			return;
		rt_sleep_ns(DRAIN_POLL_NS);
	}
	race_broke(w, "blocks of removed files do not come back", -ENOSPC);
}

const struct race_backend race_mount_backend = {
	.start = mount_start,
	.end = mount_end,
	.file_open = mount_file_open,
	.file_grow = mount_file_grow,
	.file_settle = mount_file_settle,
	.file_remove = mount_file_remove,
	.drained = mount_drained,
};
