// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of an endio run in the library: the image is mounted in this process, on a device whose
 * transfers are carried out by a pool of threads, so a write is answered on one of the end_io
 * room's threads and put on its queue's list.
 */
#include "race/site.h"

#include <mbfs/fs.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { DEVICE_THREADS = 8 };

struct race_site {
	struct mbfs_bdev *image, *dev; /* [const] */
	struct mbfs_fs *fs;            /* [const] */
};

struct site_file {
	struct mbfs_fs *fs;
	struct mbfs_file *file;
	mbfs_ino_t ino; /* pinned once */
};

static const struct mbfs_cred cred = { 0 };

/* One write under way, or answered and on its way to its thread. */
struct lib_io {
	struct site_queue *q;
	struct race_aio_io *io;
	struct lib_io *next; /* [lock] */
};

struct site_queue {
	struct site_file *f;
	struct rt_mutex lock;
	struct rt_cond answered;
	struct lib_io *free, *over; /* [lock] */
	struct lib_io ios[];
};

static int fail(struct race_shared *sh, const struct mbfs_diag *diag, int err)
{
	if (rt_u32_xchg(&sh->broken, 1) == 0)
		snprintf(sh->why, sizeof(sh->why), "%s",
			 diag->text[0] ? diag->text : strerror(-err));
	return err;
}

static int lib_open_site(struct race_mount *m, struct race_shared *sh)
{
	struct race_site *s = rt_zalloc(sizeof(*s));
	struct mbfs_diag diag = { "" }, notes = { "" };
	struct mbfs_mount_opts opts;
	int err;

	if (!s)
		return fail(sh, &diag, -ENOMEM);
	mbfs_mount_opts_default(&opts);
	opts.endio = m->cfg->variant.name;
	opts.commit_s = 3600;
	err = mbfs_bdev_open_file(m->image, 0, 0, &diag, &s->image);
	if (err)
		goto err_free;
	err = mbfs_bdev_open_pool(s->image, DEVICE_THREADS, &s->dev);
	if (err)
		goto err_image;
	err = mbfs_fs_mount(s->dev, &opts, &diag, &notes, &s->fs);
	if (err)
		goto err_pool;
	m->site = s;
	return 0;

err_pool:
	mbfs_bdev_close(s->dev);
err_image:
	mbfs_bdev_close(s->image);
err_free:
	rt_free(s);
	return fail(sh, &diag, err);
}

static int lib_close_site(struct race_mount *m, struct race_shared *sh)
{
	struct race_site *s = m->site;
	struct mbfs_diag diag = { "" };
	int err = mbfs_fs_check(s->fs, &diag), err_unmount;

	err_unmount = mbfs_fs_unmount(s->fs);
	mbfs_bdev_close(s->dev);
	mbfs_bdev_close(s->image);
	rt_free(s);
	if (!err)
		err = err_unmount;
	return err ? fail(sh, &diag, err) : 0;
}

static int lib_open(struct race_mount *m, const char *name, bool fresh, bool direct,
		    struct site_file **out)
{
	struct mbfs_fs *fs = m->site->fs;
	struct site_file *f = rt_zalloc(sizeof(*f));
	struct mbfs_attr attr;
	int err;

	if (!f)
		return -ENOMEM;
	if (fresh)
		err = mbfs_fs_mknod(fs, &cred, MBFS_ROOT_INO, name, S_IFREG | 0600, 0, &attr);
	else
		err = mbfs_fs_lookup(fs, MBFS_ROOT_INO, name, &attr);
	if (err)
		goto err_free;
	err = mbfs_file_open(fs, attr.ino, O_RDWR | (direct ? O_DIRECT : 0), &f->file);
	if (err) {
		mbfs_fs_forget(fs, attr.ino, 1);
		goto err_free;
	}
	f->fs = fs;
	f->ino = attr.ino;
	*out = f;
	return 0;

err_free:
	rt_free(f);
	return err;
}

static void lib_close(struct site_file *f)
{
	mbfs_fs_forget(f->fs, f->ino, 1);
	mbfs_file_release(f->file);
	rt_free(f);
}

static int lib_unlink(struct race_mount *m, const char *name)
{
	return mbfs_fs_unlink(m->site->fs, MBFS_ROOT_INO, name);
}

static int lib_truncate(struct site_file *f, uint64_t bytes)
{
	return mbfs_file_truncate(f->file, bytes);
}

static int lib_fallocate(struct site_file *f, int mode, uint64_t off, uint64_t bytes)
{
	return mbfs_file_fallocate(f->file, &cred, mode, off, bytes, NULL);
}

static ssize_t lib_read(struct site_file *f, void *buf, size_t bytes, uint64_t off)
{
	return mbfs_file_read(f->file, buf, bytes, off);
}

/* ---- writes under way ---- */

static int lib_queue_open(struct site_file *f, unsigned depth, struct site_queue **out)
{
	struct site_queue *q = rt_zalloc(sizeof(*q) + depth * sizeof(q->ios[0]));

	if (!q)
		return -ENOMEM;
	q->f = f;
	rt_mutex_init(&q->lock, RANK_NONE);
	rt_cond_init(&q->answered);
	for (unsigned i = 0; i < depth; i++) {
		q->ios[i] = (struct lib_io){ .q = q, .next = q->free };
		q->free = &q->ios[i];
	}
	*out = q;
	return 0;
}

static void lib_queue_close(struct site_queue *q)
{
	rt_cond_destroy(&q->answered);
	rt_mutex_destroy(&q->lock);
	rt_free(q);
}

static void answered(void *arg, ssize_t put)
{
	struct lib_io *l = arg;
	struct site_queue *q = l->q;

	l->io->result = put;
	rt_mutex_lock(&q->lock);
	l->next = q->over;
	q->over = l;
	rt_cond_signal(&q->answered);
	rt_mutex_unlock(&q->lock);
}

static int lib_start(struct site_queue *q, struct race_aio_io *io)
{
	struct lib_io *l;
	ssize_t put;

	rt_mutex_lock(&q->lock);
	l = q->free;
	MBFS_ASSERT(l);
	q->free = l->next;
	rt_mutex_unlock(&q->lock);
	l->io = io;
	put = mbfs_file_write_start(q->f->file, &cred, io->buf, io->bytes, io->off_bytes, NULL,
				    answered, l);
	if (put != -EINPROGRESS)
		answered(l, put);
	return 0;
}

static int lib_wait(struct site_queue *q, unsigned timeout_ms, struct race_aio_io **out)
{
	struct lib_io *l;

	rt_mutex_lock(&q->lock);
	if (!q->over && timeout_ms)
		rt_cond_wait(&q->answered, &q->lock, timeout_ms * 1000000ull);
	l = q->over;
	if (l) {
		q->over = l->next;
		*out = l->io;
		l->next = q->free;
		q->free = l;
	}
	rt_mutex_unlock(&q->lock);
	return l ? 0 : -EAGAIN;
}

const struct race_site_ops site_library = {
	.open = lib_open,
	.close = lib_close,
	.unlink = lib_unlink,
	.truncate = lib_truncate,
	.fallocate = lib_fallocate,
	.read = lib_read,
	.queue_open = lib_queue_open,
	.queue_close = lib_queue_close,
	.start = lib_start,
	.wait = lib_wait,
};

static void library_tick(void *ctx)
{
	struct race_mount *m = ctx;
	char *json;

	if (!m->site)
		return;
	json = mbfs_fs_stats_json(m->site->fs);
	if (json)
		m->sh->have_endio = endio_stats_parse(json, &m->sh->endio);
	mbfs_fs_string_free(json);
}

static int library_start(struct race_worker *workers, unsigned nr, void *ctx)
{
	(void)nr;
	((struct race_mount *)ctx)->sh = workers[0].sh;
	return lib_open_site(ctx, workers[0].sh);
}

static int library_end(void *ctx)
{
	struct race_mount *m = ctx;

	library_tick(ctx);
	return lib_close_site(m, m->sh);
}

const struct race_backend site_library_backend = {
	.start = library_start,
	.end = library_end,
	.tick = library_tick,
};
