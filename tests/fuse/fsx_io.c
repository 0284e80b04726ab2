// SPDX-License-Identifier: GPL-2.0-only
/* One operation of t_fsx on the file, in any of the ways in which a program can ask for it. */
#include "fuse/fsx.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mbfs/ioctl.h"

enum { SIZE_TRIES = 1000 };

/* ---- changes ---- */

/* Through the page cache's descriptor where there is one, half of the time. */
static int any_fd(struct worker *w)
{
	return w->cached >= 0 && draw(w, 2) ? w->cached : w->direct;
}

/*
 * fallocate(2) of these ends in the kernel, so it learns the new size only when it asks for it, and
 * what it is told it forgets if a write ends meanwhile: until it has kept it, it would cut reads at
 * the old size. SEEK_END asks, and says what was kept.
 */
static int move(int fd, const struct op *o, uint64_t size)
{
	struct mbfs_ioc_fallocate arg = {
		.off_bytes = o->off,
		.len_bytes = o->len,
		.mode = o->kind == COLLAPSE ? FALLOC_FL_COLLAPSE_RANGE : FALLOC_FL_INSERT_RANGE,
	};

	if (ioctl(fd, MBFS_IOC_FALLOCATE, &arg))
		return -1;
	for (unsigned i = 0; i < SIZE_TRIES; i++)
		if (lseek(fd, 0, SEEK_END) == (off_t)size)
			return 0;
	errno = ESTALE;
	return -1;
}

void io_change(struct worker *w, uint32_t id)
{
	static const int modes[KINDS] = {
		[RESERVE_KEEP] = FALLOC_FL_KEEP_SIZE,
		[PUNCH] = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		[ZERO] = FALLOC_FL_ZERO_RANGE,
		[ZERO_KEEP] = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	const struct op *o = &w->s->op[id];
	int fd = any_fd(w), err;

	switch (o->kind) {
	case TRUNCATE:
		err = ftruncate(fd, (off_t)o->off);
		break;
	case FSYNC:
		err = draw(w, 2) ? fsync(fd) : fdatasync(fd);
		break;
	case COLLAPSE:
	case INSERT:
		err = move(fd, o, w->s->twin.size + (o->kind == INSERT ? o->len : -o->len));
		break;
	default:
		err = fallocate(fd, modes[o->kind], (off_t)o->off, (off_t)o->len);
	}
	if (err)
		bad(w->s, "%s: %s", op_text(w->s, id), strerror(errno));
}

/* ---- reads and writes ---- */

static uint8_t *slot_buf(struct worker *w, unsigned slot)
{
	return w->buf + (size_t)slot * IO_MAX;
}

/* A read may be short, at the end of the file: who checks it knows where that is. */
static size_t moved(struct worker *w, uint32_t id, ssize_t res, int err)
{
	const struct op *o = &w->s->op[id];

	if (res < 0)
		bad(w->s, "%s: %s", op_text(w->s, id), strerror(err));
	if ((size_t)res > o->len || (o->kind == WRITE && (size_t)res != o->len))
		bad(w->s, "%s: moved %zd bytes", op_text(w->s, id), res);
	return (size_t)res;
}

static ssize_t mapped(struct worker *w, const struct op *o, uint8_t *buf)
{
	uint8_t *at = w->map + o->off;
	uintptr_t page = (uintptr_t)at & ~(uintptr_t)(PAGE - 1);

	if (o->kind == READ) {
		memcpy(buf, at, o->len);
		return (ssize_t)o->len;
	}
	memcpy(at, buf, o->len);
	if (draw(w, 2) && msync((void *)page, (size_t)((uintptr_t)at + o->len - page), MS_SYNC))
		return -1;
	return (ssize_t)o->len;
}

size_t io_transfer(struct worker *w, uint32_t id, unsigned slot)
{
	const struct op *o = &w->s->op[id];
	struct iovec iov = { slot_buf(w, slot), o->len };
	int fd = o->how == DIRECT ? w->direct : w->cached;
	ssize_t res;

	if (o->how == MAPPED)
		res = mapped(w, o, slot_buf(w, slot));
	else if (o->kind == READ)
		res = preadv(fd, &iov, 1, (off_t)o->off);
	else
		res = pwritev2(fd, &iov, 1, (off_t)o->off, o->how == CACHED_DSYNC ? RWF_DSYNC : 0);
	return moved(w, id, res, errno);
}

void io_submit(struct worker *w, const uint32_t *ids, unsigned nr)
{
	struct iocb cb[DEPTH], *list[DEPTH];
	unsigned at = 0;

	memset(cb, 0, sizeof(cb));
	for (unsigned i = 0; i < nr; i++) {
		const struct op *o = &w->s->op[ids[i]];

		list[i] = &cb[i];
		cb[i].aio_data = i;
		cb[i].aio_fildes = (uint32_t)w->direct;
		cb[i].aio_lio_opcode = o->kind == READ ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
		cb[i].aio_buf = (uintptr_t)slot_buf(w, i);
		cb[i].aio_nbytes = o->len;
		cb[i].aio_offset = (int64_t)o->off;
	}
	while (at < nr) {
		long n = syscall(SYS_io_submit, w->aio, nr - at, list + at);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			bad(w->s, "%s: io_submit: %s", op_text(w->s, ids[at]), strerror(errno));
		at += n > 0 ? (unsigned)n : 0;
	}
}

void io_reap(struct worker *w, const uint32_t *ids, unsigned nr,
	     void (*over)(struct worker *w, uint32_t id, unsigned slot, size_t got))
{
	struct io_event done[DEPTH];

	while (nr) {
		long n = syscall(SYS_io_getevents, w->aio, 1, nr, done, NULL);

		if (n < 0 && errno != EINTR)
			bad(w->s, "io_getevents: %s", strerror(errno));
		for (long i = 0; i < n; i++) {
			unsigned slot = (unsigned)done[i].data;
			ssize_t res = (ssize_t)done[i].res;

			over(w, ids[slot], slot, moved(w, ids[slot], res, (int)-res));
		}
		nr -= n > 0 ? (unsigned)n : 0;
	}
}
