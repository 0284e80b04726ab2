/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * aio.h - many reads and writes of one file under way at once, by the kernel's AIO (libaio) or by
 * io_uring. One thread uses a queue.
 */
#ifndef RACE_AIO_H
#define RACE_AIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct race_aio_io {
	bool is_write;
	void *buf; /* the queue's from start to its return by wait */
	size_t bytes;
	uint64_t off_bytes;
	int64_t result; /* [out] bytes, or a negative errno */
};

struct race_aio;

enum race_aio_engine { RACE_AIO_LIBAIO, RACE_AIO_URING };

/* The engine of that name, "libaio" or "uring"; -1: there is none. */
int race_aio_find(const char *name);
const char *race_aio_name(enum race_aio_engine engine);

/*
 * race_aio_open - a queue with room for @depth on the open file @fd
 * Errors: as io_setup(2) or io_uring_setup(2): -EAGAIN and -ENOMEM limits, -ENOSYS and -EPERM
 * forbidden.
 */
int race_aio_open(enum race_aio_engine engine, int fd, unsigned depth, struct race_aio **out);
/* Nothing is under way. */
void race_aio_close(struct race_aio *q);
/* At most depth are under way. May block, as the file system likes. Errors: it was not started. */
int race_aio_start(struct race_aio *q, struct race_aio_io *io);
/*
 * race_aio_wait - until one of those under way is over
 * @timeout_ms: [in] 0: do not wait
 * Errors: -EAGAIN none was over in time.
 */
int race_aio_wait(struct race_aio *q, unsigned timeout_ms, struct race_aio_io **out);

#endif
