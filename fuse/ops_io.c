// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads and writes. On a device that carries out transfers by itself the request does not hold its
 * thread: it is answered from whatever thread sees its end. Its data is a copy then, for the buffer
 * that it came in is libfuse's, which reads the next request into it. libfuse sends an answer
 * through the descriptor that the request came from, whoever gives it.
 *
 * On other devices, and without memory for a copy, everything is over when the library returns, and
 * nothing is copied.
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 4096 };

/*
 * A request that may be answered after its call. Its data begins at the next page: O_DIRECT on the
 * image wants it so. Its answer is owed from here until it is freed: an unmount waits for it.
 */
struct request {
	fuse_req_t req;
	struct mbfs_intr *intr;
	struct flights *flights;
	enum flight_kind kind;
};

static struct request *request_new(fuse_req_t req, enum flight_kind kind, size_t bytes)
{
	size_t room = PAGE_BYTES + ((bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1));
	struct request *r = bytes ? aligned_alloc(PAGE_BYTES, room) : malloc(sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct request){ .req = req,
			       .intr = intr_begin(req),
			       .flights = &daemon_of(req)->flights,
			       .kind = kind };
	flights_owe(r->flights);
	return r;
}

static char *data_of(struct request *r)
{
	return (char *)r + PAGE_BYTES;
}

static void request_over(void *arg, ssize_t put)
{
	struct request *r = arg;
	struct flights *flights = r->flights;

	flight_end(flights, r->kind);
	intr_end(r->req, r->intr);
	if (put < 0)
		reply_err(r->req, (int)put);
	else if (r->kind == FLIGHT_WRITE)
		fuse_reply_write(r->req, (size_t)put);
	else
		fuse_reply_buf(r->req, data_of(r), (size_t)put);
	free(r);
	flights_pay(flights);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct request *r = request_new(req, FLIGHT_READ, size);
	ssize_t got;

	(void)ino;
	if (!r) {
		reply_err(req, -ENOMEM);
		return;
	}
	flight_begin(r->flights, FLIGHT_READ);
	got = mbfs_file_read_start(file_of(fi), data_of(r), size, (uint64_t)off, r->intr,
				   request_over, r);
	if (got != -EINPROGRESS)
		request_over(r, got);
}

/* The data stays where it is until the write is over. */
static void write_here(fuse_req_t req, const char *buf, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct flights *flights = &daemon_of(req)->flights;
	struct mbfs_cred cred = cred_of(req);
	ssize_t put;

	flight_begin(flights, FLIGHT_WRITE);
	put = mbfs_file_write(file_of(fi), &cred, buf, size, (uint64_t)off);
	flight_end(flights, FLIGHT_WRITE);
	if (put < 0)
		reply_err(req, (int)put);
	else
		fuse_reply_write(req, (size_t)put);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct mbfs_cred cred = cred_of(req);
	struct request *r;
	bool copy;
	ssize_t put = kill_priv(req, ino_of(ino), false);

	if (put) {
		reply_err(req, (int)put);
		return;
	}
	copy = daemon_of(req)->dev->async;
	r = request_new(req, FLIGHT_WRITE, copy ? size : 0);
	if (!r) {
		write_here(req, buf, size, off, fi);
		return;
	}
	flight_begin(r->flights, FLIGHT_WRITE);
	if (copy)
		buf = memcpy(data_of(r), buf, size);
	put = mbfs_file_write_start(file_of(fi), &cred, buf, size, (uint64_t)off, r->intr,
				    request_over, r);
	if (put != -EINPROGRESS)
		request_over(r, put);
}
