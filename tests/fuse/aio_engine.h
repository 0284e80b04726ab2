/* SPDX-License-Identifier: GPL-2.0-only */
/* fuse/aio_engine.h - asynchronous requests of a client, by both of the kernel's interfaces. */
#ifndef TESTS_FUSE_AIO_ENGINE_H
#define TESTS_FUSE_AIO_ENGINE_H

#include <liburing.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum aio_engine { AIO_LIBAIO, AIO_URING, AIO_ENGINES };
enum { AIO_DEPTH = 64 };

struct aio {
	enum aio_engine engine;
	aio_context_t ctx;
	struct io_uring ring;
	struct iocb iocbs[AIO_DEPTH];
	ssize_t res[AIO_DEPTH]; /* by tag; valid once reaped */
	unsigned under_way;
};

extern const char *const aio_names[AIO_ENGINES];

/* False: the kernel does not have it here. */
bool aio_open(struct aio *a, enum aio_engine engine);
void aio_close(struct aio *a);
/* @tag: 0..AIO_DEPTH-1, not under way. Memory stays until it is reaped. */
void aio_read(struct aio *a, unsigned tag, int fd, void *buf, size_t len, off_t off);
void aio_write(struct aio *a, unsigned tag, int fd, const void *buf, size_t len, off_t off);
void aio_writev(struct aio *a, unsigned tag, int fd, const struct iovec *iov, unsigned nr,
		off_t off);
void aio_readv(struct aio *a, unsigned tag, int fd, const struct iovec *iov, unsigned nr,
	       off_t off);
void aio_fsync(struct aio *a, unsigned tag, int fd);
/* Until all are over; results in res[]. */
void aio_reap(struct aio *a);

/* Print and exit(1). */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
