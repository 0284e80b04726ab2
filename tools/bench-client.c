// SPDX-License-Identifier: GPL-2.0-only
/*
 * One thread keeps depth writes in flight: it waits for at least one, takes all that are over, and
 * submits as many again in one call. The engines differ in those two calls alone. libaio's calls
 * are made directly: the library adds nothing to them.
 */
#include "bench-client.h"
#include "race/team.h"

#include <errno.h>
#include <liburing.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORDS = BENCH_IO_BYTES / sizeof(uint64_t), FILL_BYTES = 1 << 20 };

struct slot {
	uint8_t *buf;
	uint64_t from_ns;
	struct iocb iocb;
};

struct client {
	const struct bench_job *job;
	struct slot *slots;
	uint8_t *bufs;
	unsigned *ready; /* slots that are filled, or free */
	struct iocb **iocbs;
	struct io_event *events;
	aio_context_t aio;
	struct io_uring ring;
};

/* A slot whose write is over, and its result. */
struct over {
	unsigned slot;
	int64_t res;
};

/* ---- content of a block ---- */

void bench_stamp_put(uint8_t *buf, uint64_t stamp, uint32_t blk)
{
	uint64_t *words = (uint64_t *)(void *)buf;

	words[0] = words[WORDS - 1] = stamp;
	words[1] = words[WORDS - 2] = blk;
}

static bool stamp_is(const uint8_t *buf, uint64_t stamp, uint32_t blk)
{
	const uint64_t *words = (const uint64_t *)(const void *)buf;

	return words[0] == stamp && words[WORDS - 1] == stamp && words[1] == blk &&
	       words[WORDS - 2] == blk;
}

static int place_of(const struct bench_job *job, uint32_t blk, off_t *off)
{
	*off = (off_t)(blk % job->blks_per_file) * BENCH_IO_BYTES;
	return job->fds[blk / job->blks_per_file];
}

/* ---- engines ---- */

static int aio_open(struct client *c)
{
	return syscall(SYS_io_setup, c->job->depth, &c->aio) ? -errno : 0;
}

static void aio_close(struct client *c)
{
	syscall(SYS_io_destroy, c->aio);
}

static void aio_fill(struct client *c, unsigned slot, int fd, off_t off)
{
	c->slots[slot].iocb = (struct iocb){ .aio_data = slot,
					     .aio_lio_opcode = IOCB_CMD_PWRITE,
					     .aio_fildes = (uint32_t)fd,
					     .aio_buf = (uintptr_t)c->slots[slot].buf,
					     .aio_nbytes = BENCH_IO_BYTES,
					     .aio_offset = off };
}

/* How many went out, at least one, or a negative errno. */
static int aio_submit(struct client *c, const unsigned *slots, unsigned nr)
{
	long n;

	for (unsigned i = 0; i < nr; i++)
		c->iocbs[i] = &c->slots[slots[i]].iocb;
	n = syscall(SYS_io_submit, c->aio, (long)nr, c->iocbs);
	return n < 0 ? -errno : (int)n;
}

static int aio_reap(struct client *c, struct over *over)
{
	long n;

	do
		n = syscall(SYS_io_getevents, c->aio, 1L, (long)c->job->depth, c->events, NULL);
	while (n < 0 && errno == EINTR);
	for (long i = 0; i < n; i++)
		over[i] = (struct over){ (unsigned)c->events[i].data, c->events[i].res };
	return n < 0 ? -errno : (int)n;
}

static int uring_open(struct client *c)
{
	return io_uring_queue_init(c->job->depth, &c->ring, 0);
}

static void uring_close(struct client *c)
{
	io_uring_queue_exit(&c->ring);
}

static void uring_fill(struct client *c, unsigned slot, int fd, off_t off)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&c->ring); /* as many as slots */

	io_uring_prep_write(sqe, fd, c->slots[slot].buf, BENCH_IO_BYTES, (uint64_t)off);
	io_uring_sqe_set_data64(sqe, slot);
}

static int uring_submit(struct client *c, const unsigned *slots, unsigned nr)
{
	(void)slots, (void)nr;
	return io_uring_submit(&c->ring);
}

static int uring_reap(struct client *c, struct over *over)
{
	struct io_uring_cqe *cqe;
	unsigned head, nr = 0;
	int err;

	do
		err = io_uring_wait_cqe(&c->ring, &cqe);
	while (err == -EINTR);
	if (err)
		return err;
	io_uring_for_each_cqe(&c->ring, head, cqe)
		over[nr++] = (struct over){ (unsigned)io_uring_cqe_get_data64(cqe), cqe->res };
	io_uring_cq_advance(&c->ring, nr);
	return (int)nr;
}

static const struct engine {
	const char *name;
	int (*open)(struct client *c);
	void (*close)(struct client *c);
	void (*fill)(struct client *c, unsigned slot, int fd, off_t off);
	int (*submit)(struct client *c, const unsigned *slots, unsigned nr);
	int (*reap)(struct client *c, struct over *over);
} engines[BENCH_ENGINE_NR] = {
	[BENCH_LIBAIO] = { "libaio", aio_open, aio_close, aio_fill, aio_submit, aio_reap },
	[BENCH_URING] = { "uring", uring_open, uring_close, uring_fill, uring_submit, uring_reap },
};

const char *bench_engine_name(enum bench_engine e)
{
	return engines[e].name;
}

/* ---- the loop ---- */

static void client_free(struct client *c)
{
	free(c->slots);
	free(c->bufs);
	free(c->ready);
	free(c->iocbs);
	free(c->events);
}

static int client_alloc(struct client *c)
{
	unsigned depth = c->job->depth;

	c->slots = calloc(depth, sizeof(*c->slots));
	c->ready = calloc(depth, sizeof(*c->ready));
	c->iocbs = calloc(depth, sizeof(struct iocb *));
	c->events = calloc(depth, sizeof(*c->events));
	c->bufs = aligned_alloc(BENCH_IO_BYTES, (size_t)depth * BENCH_IO_BYTES);
	if (!c->slots || !c->ready || !c->iocbs || !c->events || !c->bufs) {
		client_free(c);
		return -ENOMEM;
	}
	memset(c->bufs, 0x5a, (size_t)depth * BENCH_IO_BYTES);
	for (unsigned i = 0; i < depth; i++) {
		c->slots[i].buf = c->bufs + (size_t)i * BENCH_IO_BYTES;
		c->ready[i] = i;
	}
	return 0;
}

/* Fill the @nr free slots and submit them all. */
static int submit_more(struct client *c, const struct engine *e, uint32_t at, unsigned nr)
{
	uint64_t now = race_now_ns();
	unsigned sent = 0;
	int n;

	for (unsigned i = 0; i < nr; i++) {
		unsigned slot = c->ready[i];
		uint32_t blk = c->job->order[at + i];
		off_t off;
		int fd = place_of(c->job, blk, &off);

		bench_stamp_put(c->slots[slot].buf, c->job->stamp, blk);
		c->slots[slot].from_ns = now;
		e->fill(c, slot, fd, off);
	}
	while (sent < nr) {
		n = e->submit(c, c->ready + sent, nr - sent);
		if (n <= 0)
			return n ? n : -EIO;
		sent += (unsigned)n;
	}
	return 0;
}

static int loop(struct client *c, const struct engine *e, struct bench_job_result *res,
		struct over *over)
{
	uint64_t from = race_now_ns(), now = from;
	unsigned flying = 0, free_nr = c->job->depth;
	uint32_t at = 0;
	int n, err = 0;

	for (;;) {
		unsigned more = free_nr;

		if (more > c->job->nr - at)
			more = c->job->nr - at;
		if (!err && more && now - from < c->job->limit_ns) {
			err = submit_more(c, e, at, more);
			if (err)
				return err; /* a part may be in flight: closing the engine waits */
			at += more;
			flying += more;
		}
		if (!flying)
			break;
		n = e->reap(c, over);
		if (n < 0)
			return n;
		now = race_now_ns();
		free_nr = c->job->depth - flying;
		for (int i = 0; i < n; i++) {
			race_hist_add(&res->lat, now - c->slots[over[i].slot].from_ns);
			if (over[i].res != BENCH_IO_BYTES && !err)
				err = over[i].res < 0 ? (int)over[i].res : -EIO;
			c->ready[free_nr++] = over[i].slot;
		}
		flying -= (unsigned)n;
	}
	res->nr = at;
	res->ns = now - from;
	return err;
}

int bench_job_run(const struct bench_job *job, struct bench_job_result *res)
{
	const struct engine *e = &engines[job->engine];
	struct client c = { .job = job };
	struct over *over = calloc(job->depth, sizeof(*over));
	int err = over ? client_alloc(&c) : -ENOMEM;

	if (err)
		goto err_free;
	memset(res, 0, sizeof(*res));
	err = e->open(&c);
	if (!err) {
		err = loop(&c, e, res, over);
		e->close(&c);
	}
	client_free(&c);
err_free:
	free(over);
	return err;
}

int bench_job_verify(const struct bench_job *job, uint32_t written, uint32_t nr, uint64_t *seed)
{
	uint8_t *buf = aligned_alloc(BENCH_IO_BYTES, BENCH_IO_BYTES);
	int err = buf ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && written && i < nr; i++) {
		uint32_t blk = job->order[race_rand(seed) % written];
		off_t off;
		int fd = place_of(job, blk, &off);
		ssize_t got = pread(fd, buf, BENCH_IO_BYTES, off);

		if (got < 0)
			err = -errno;
		else if (got != BENCH_IO_BYTES || !stamp_is(buf, job->stamp, blk))
			err = -EILSEQ;
	}
	free(buf);
	return err;
}

int bench_fill(int fd, uint64_t bytes)
{
	uint8_t *zeros = aligned_alloc(BENCH_IO_BYTES, FILL_BYTES);
	int err = zeros ? 0 : -ENOMEM;
	ssize_t put;

	if (!err)
		memset(zeros, 0, FILL_BYTES);
	for (uint64_t at = 0; !err && at < bytes; at += (uint64_t)put) {
		uint64_t left = bytes - at;

		put = pwrite(fd, zeros, left < FILL_BYTES ? (size_t)left : FILL_BYTES, (off_t)at);
		if (put <= 0)
			err = put ? -errno : -EIO;
	}
	free(zeros);
	return err;
}
