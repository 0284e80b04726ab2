// SPDX-License-Identifier: GPL-2.0-only
#include "race/aio.h"

#include "rt/mem.h"

#include <errno.h>
#include <libaio.h>
#include <liburing.h>
#include <string.h>

struct race_aio {
	enum race_aio_engine engine; /* [const] */
	int fd;                      /* [const] */
	io_context_t ctx;
	struct io_uring ring;
};

static const char *const names[] = { [RACE_AIO_LIBAIO] = "libaio", [RACE_AIO_URING] = "uring" };

int race_aio_find(const char *name)
{
	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

const char *race_aio_name(enum race_aio_engine engine)
{
	return names[engine];
}

int race_aio_open(enum race_aio_engine engine, int fd, unsigned depth, struct race_aio **out)
{
	struct race_aio *q = rt_zalloc(sizeof(*q));
	int err;

	if (!q)
		return -ENOMEM;
	q->engine = engine;
	q->fd = fd;
	if (engine == RACE_AIO_LIBAIO)
		err = io_setup((int)depth, &q->ctx);
	else
		err = io_uring_queue_init(depth, &q->ring, 0);
	if (err) {
		rt_free(q);
		return err;
	}
	*out = q;
	return 0;
}

void race_aio_close(struct race_aio *q)
{
	if (q->engine == RACE_AIO_LIBAIO)
		io_destroy(q->ctx);
	else
		io_uring_queue_exit(&q->ring);
	rt_free(q);
}

/* ---- libaio ---- The control block is copied by io_submit(2). */
static int libaio_start(struct race_aio *q, struct race_aio_io *io)
{
	struct iocb cb, *list[] = { &cb };
	int r;

	if (io->is_write)
		io_prep_pwrite(&cb, q->fd, io->buf, io->bytes, (long long)io->off_bytes);
	else
		io_prep_pread(&cb, q->fd, io->buf, io->bytes, (long long)io->off_bytes);
	cb.data = io;
	do
		r = io_submit(q->ctx, 1, list);
	while (r == -EINTR);
	return r == 1 ? 0 : r < 0 ? r : -EAGAIN;
}

static int libaio_wait(struct race_aio *q, unsigned timeout_ms, struct race_aio_io **out)
{
	struct timespec ts = { timeout_ms / 1000, timeout_ms % 1000 * 1000000 };
	struct io_event ev;
	int r = io_getevents(q->ctx, timeout_ms ? 1 : 0, 1, &ev, &ts);

	if (r < 0 && r != -EINTR)
		return r;
	if (r != 1)
		return -EAGAIN;
	*out = ev.data;
	(*out)->result = (long)ev.res;
	return 0;
}

/* ---- io_uring ---- */
static int uring_start(struct race_aio *q, struct race_aio_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
	int r;

	if (!sqe)
		return -EAGAIN;
	if (io->is_write)
		io_uring_prep_write(sqe, q->fd, io->buf, (unsigned)io->bytes, io->off_bytes);
	else
		io_uring_prep_read(sqe, q->fd, io->buf, (unsigned)io->bytes, io->off_bytes);
	io_uring_sqe_set_data(sqe, io);
	do
		r = io_uring_submit(&q->ring);
	while (r == -EINTR || r == -EAGAIN || r == -EBUSY);
	return r == 1 ? 0 : r < 0 ? r : -EAGAIN;
}

static int uring_wait(struct race_aio *q, unsigned timeout_ms, struct race_aio_io **out)
{
	struct __kernel_timespec ts = { timeout_ms / 1000, timeout_ms % 1000 * 1000000 };
	struct io_uring_cqe *cqe;
	int r = timeout_ms ? io_uring_wait_cqe_timeout(&q->ring, &cqe, &ts)
			   : io_uring_peek_cqe(&q->ring, &cqe);

	if (r == -ETIME || r == -EINTR || r == -EAGAIN)
		return -EAGAIN;
	if (r)
		return r;
	*out = io_uring_cqe_get_data(cqe);
	(*out)->result = cqe->res;
	io_uring_cqe_seen(&q->ring, cqe);
	return 0;
}

int race_aio_start(struct race_aio *q, struct race_aio_io *io)
{
	return q->engine == RACE_AIO_LIBAIO ? libaio_start(q, io) : uring_start(q, io);
}

int race_aio_wait(struct race_aio *q, unsigned timeout_ms, struct race_aio_io **out)
{
	return q->engine == RACE_AIO_LIBAIO ? libaio_wait(q, timeout_ms, out)
					    : uring_wait(q, timeout_ms, out);
}
