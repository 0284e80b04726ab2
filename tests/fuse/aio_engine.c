// SPDX-License-Identifier: GPL-2.0-only
/* Asynchronous requests: io_submit(2) by hand, io_uring by liburing. */
#include "fuse/aio_engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const aio_names[AIO_ENGINES] = { "libaio", "io_uring" };

void die(const char *fmt, ...)
{
	va_list ap;

	fputs("FAIL: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

bool aio_open(struct aio *a, enum aio_engine engine)
{
	memset(a, 0, sizeof(*a));
	a->engine = engine;
	if (engine == AIO_LIBAIO)
		return syscall(SYS_io_setup, AIO_DEPTH, &a->ctx) == 0;
	return io_uring_queue_init(AIO_DEPTH, &a->ring, 0) == 0;
}

void aio_close(struct aio *a)
{
	if (a->engine == AIO_LIBAIO)
		syscall(SYS_io_destroy, a->ctx);
	else
		io_uring_queue_exit(&a->ring);
}

static void start(struct aio *a, unsigned tag, int op, int fd, const void *addr, size_t len,
		  off_t off)
{
	struct iocb *cb = &a->iocbs[tag];

	memset(cb, 0, sizeof(*cb));
	cb->aio_data = tag;
	cb->aio_lio_opcode = (uint16_t)op;
	cb->aio_fildes = (uint32_t)fd;
	cb->aio_buf = (uintptr_t)addr;
	cb->aio_nbytes = len;
	cb->aio_offset = off;
	a->under_way++;
	if (a->engine == AIO_LIBAIO) {
		if (syscall(SYS_io_submit, a->ctx, 1, &cb) != 1)
			die("io_submit: %s", strerror(errno));
		return;
	}

	struct io_uring_sqe *sqe = io_uring_get_sqe(&a->ring);

	if (!sqe)
		die("io_uring: no room for a request");
	switch (op) {
	case IOCB_CMD_PREAD:
		io_uring_prep_read(sqe, fd, (void *)(uintptr_t)addr, (unsigned)len, (uint64_t)off);
		break;
	case IOCB_CMD_PWRITE:
		io_uring_prep_write(sqe, fd, addr, (unsigned)len, (uint64_t)off);
		break;
	case IOCB_CMD_PREADV:
		io_uring_prep_readv(sqe, fd, addr, (unsigned)len, (uint64_t)off);
		break;
	case IOCB_CMD_PWRITEV:
		io_uring_prep_writev(sqe, fd, addr, (unsigned)len, (uint64_t)off);
		break;
	default:
		io_uring_prep_fsync(sqe, fd, 0);
	}
	io_uring_sqe_set_data64(sqe, tag);
	if (io_uring_submit(&a->ring) != 1)
		die("io_uring_submit");
}

void aio_read(struct aio *a, unsigned tag, int fd, void *buf, size_t len, off_t off)
{
	start(a, tag, IOCB_CMD_PREAD, fd, buf, len, off);
}

void aio_write(struct aio *a, unsigned tag, int fd, const void *buf, size_t len, off_t off)
{
	start(a, tag, IOCB_CMD_PWRITE, fd, buf, len, off);
}

void aio_readv(struct aio *a, unsigned tag, int fd, const struct iovec *iov, unsigned nr, off_t off)
{
	start(a, tag, IOCB_CMD_PREADV, fd, iov, nr, off);
}

void aio_writev(struct aio *a, unsigned tag, int fd, const struct iovec *iov, unsigned nr,
		off_t off)
{
	start(a, tag, IOCB_CMD_PWRITEV, fd, iov, nr, off);
}

void aio_fsync(struct aio *a, unsigned tag, int fd)
{
	start(a, tag, IOCB_CMD_FSYNC, fd, NULL, 0, 0);
}

static void reap_one(struct aio *a)
{
	if (a->engine == AIO_LIBAIO) {
		struct io_event ev;

		if (syscall(SYS_io_getevents, a->ctx, 1, 1, &ev, NULL) != 1)
			die("io_getevents: %s", strerror(errno));
		a->res[ev.data] = (ssize_t)ev.res;
	} else {
		struct io_uring_cqe *cqe;

		if (io_uring_wait_cqe(&a->ring, &cqe))
			die("io_uring_wait_cqe");
		a->res[io_uring_cqe_get_data64(cqe)] = cqe->res;
		io_uring_cqe_seen(&a->ring, cqe);
	}
}

void aio_reap(struct aio *a)
{
	for (; a->under_way; a->under_way--)
		reap_one(a);
}
