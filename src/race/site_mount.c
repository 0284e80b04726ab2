// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of an endio run on a mount: the kernel's AIO past its page cache.
 *
 * A file that is not direct is opened without O_DIRECT, which the daemon is told, and gets it
 * afterwards (fcntl), which it is not: so many writes are under way that it takes for buffered
 * ones, and has let go of their bytes early if its variant does so.
 */
#include "race/site.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct site_file {
	int fd;
};

struct site_queue {
	struct race_aio *aio;
};

static void path_of(const struct race_mount *m, const char *name, char *buf, size_t bytes)
{
	snprintf(buf, bytes, "%s/%s", m->mnt, name);
}

static int mnt_open(struct race_mount *m, const char *name, bool fresh, bool direct,
		    struct site_file **out)
{
	int flags = O_RDWR | O_CLOEXEC | (fresh ? O_CREAT | O_EXCL : 0);
	struct site_file *f = rt_zalloc(sizeof(*f));
	char path[RACE_PATH_BYTES + 64];
	int err;

	if (!f)
		return -ENOMEM;
	path_of(m, name, path, sizeof(path));
	f->fd = open(path, flags | (direct ? O_DIRECT : 0), 0600);
	err = f->fd < 0 ? -errno : 0;
	if (!err && !direct && fcntl(f->fd, F_SETFL, O_RDWR | O_DIRECT)) {
		err = -errno;
		close(f->fd);
	}
	if (err) {
		rt_free(f);
		return err;
	}
	*out = f;
	return 0;
}

static void mnt_close(struct site_file *f)
{
	close(f->fd);
	rt_free(f);
}

static int mnt_unlink(struct race_mount *m, const char *name)
{
	char path[RACE_PATH_BYTES + 64];

	path_of(m, name, path, sizeof(path));
	return unlink(path) ? -errno : 0;
}

static int mnt_truncate(struct site_file *f, uint64_t bytes)
{
	return ftruncate(f->fd, (off_t)bytes) ? -errno : 0;
}

static int mnt_fallocate(struct site_file *f, int mode, uint64_t off, uint64_t bytes)
{
	return fallocate(f->fd, mode, (off_t)off, (off_t)bytes) ? -errno : 0;
}

static ssize_t mnt_read(struct site_file *f, void *buf, size_t bytes, uint64_t off)
{
	ssize_t got = pread(f->fd, buf, bytes, (off_t)off);

	return got < 0 ? -errno : got;
}

static int mnt_queue_open(struct site_file *f, unsigned depth, struct site_queue **out)
{
	struct site_queue *q = rt_zalloc(sizeof(*q));
	int err = q ? race_aio_open(RACE_AIO_LIBAIO, f->fd, depth, &q->aio) : -ENOMEM;

	if (err) {
		rt_free(q);
		return err;
	}
	*out = q;
	return 0;
}

static void mnt_queue_close(struct site_queue *q)
{
	race_aio_close(q->aio);
	rt_free(q);
}

static int mnt_start(struct site_queue *q, struct race_aio_io *io)
{
	return race_aio_start(q->aio, io);
}

static int mnt_wait(struct site_queue *q, unsigned timeout_ms, struct race_aio_io **out)
{
	return race_aio_wait(q->aio, timeout_ms, out);
}

const struct race_site_ops site_mount = {
	.open = mnt_open,
	.close = mnt_close,
	.unlink = mnt_unlink,
	.truncate = mnt_truncate,
	.fallocate = mnt_fallocate,
	.read = mnt_read,
	.queue_open = mnt_queue_open,
	.queue_close = mnt_queue_close,
	.start = mnt_start,
	.wait = mnt_wait,
};

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

const struct race_backend site_mount_backend = { .start = mount_start, .end = mount_end };
