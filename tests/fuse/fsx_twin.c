// SPDX-License-Identifier: GPL-2.0-only
/*
 * Modes mix and direct. Who works on bytes holds their slices of the twin, shared or exclusively,
 * so what comes out is known; operations on other slices run at the same time.
 *
 * Who moves the size holds everything from the lower of the old and the new size to the end. So for
 * everybody who holds [off, end) the size stays on its side of it, or where it is.
 */
#include "fuse/fsx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mbfs/ioctl.h"

/* ---- slices ---- */

struct held {
	unsigned first, last;
};

static void take(struct twin *t, struct held *h, uint64_t off, uint64_t end, bool alone)
{
	h->first = off < FILE_MAX ? (unsigned)(off / SLICE) : SLICES - 1;
	h->last = (unsigned)((end - 1) / SLICE);
	for (unsigned i = h->first; i <= h->last; i++) {
		if (alone)
			pthread_rwlock_wrlock(&t->slice[i]);
		else
			pthread_rwlock_rdlock(&t->slice[i]);
	}
}

static void drop(struct twin *t, const struct held *h)
{
	for (unsigned i = h->last + 1; i-- > h->first;)
		pthread_rwlock_unlock(&t->slice[i]);
}

static void hold(struct twin *t, struct held *h, uint64_t off, uint64_t end, bool alone)
{
	take(t, h, off, end < FILE_MAX ? end : FILE_MAX, alone);
}

/* For what sets the size to @end at least; true if it will. Truncates: @end is ~0. */
static bool hold_size(struct twin *t, struct held *h, uint64_t off, uint64_t end, bool alone)
{
	for (;;) {
		uint64_t size = t->size;
		bool moves = end > size;

		if (moves)
			take(t, h, off < size ? off : size, FILE_MAX, true);
		else
			take(t, h, off, end, alone);
		size = t->size;
		if (moves ? size >= (uint64_t)h->first * SLICE : end <= size)
			return end > size;
		drop(t, h);
	}
}

/* ---- bytes ---- */

static const uint64_t scatter = 0x9e3779b97f4a7c15;

/* Byte @at of what operation @id writes; eight of them together say both. */
static uint8_t pattern(uint32_t id, uint64_t at)
{
	uint64_t word = ((uint64_t)id << 32 | (at & ~(uint64_t)7)) * scatter;

	return (uint8_t)(word >> (8 * (at & 7)));
}

static void fill(uint8_t *buf, uint32_t id, uint64_t off, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		buf[i] = pattern(id, off + i);
}

/* Whose are the bytes around buf[i]? 0: nobody's that is known. */
static uint32_t whose(struct shared *s, const uint8_t *buf, uint64_t off, uint64_t len, uint64_t i)
{
	uint64_t from = ((off + i) & ~(uint64_t)7), word, inverse = scatter;

	if (from < off || from + 8 > off + len)
		return 0;
	for (unsigned k = 0; k < 6; k++) /* Newton: each step doubles the bits that are right */
		inverse *= 2 - scatter * inverse;
	memcpy(&word, buf + (from - off), sizeof(word));
	word *= inverse;
	return word >> 32 < s->op_nr ? (uint32_t)(word >> 32) : 0;
}

static void check_bytes(struct shared *s, uint32_t id, const uint8_t *buf, uint64_t off,
			uint64_t len)
{
	const struct twin *t = &s->twin;
	uint32_t found;
	uint64_t i = 0;

	if (!memcmp(buf, t->byte + off, len))
		return;
	while (buf[i] == t->byte[off + i])
		i++;
	found = whose(s, buf, off, len, i);
	bad(s, "%s: byte %llu is %02x, not %02x; changed last by %s; %s%s", op_text(s, id),
	    (unsigned long long)(off + i), buf[i], t->byte[off + i],
	    op_text(s, t->who[(off + i) / UNIT]), found ? "what is there is of " : "",
	    found ? op_text(s, found) : "what is there is nobody's");
}

static void check_read(struct worker *w, uint32_t id, const uint8_t *buf, size_t got)
{
	const struct op *o = &w->s->op[id];
	uint64_t size = w->s->twin.size, want = o->off < size ? size - o->off : 0;

	if (want > o->len)
		want = o->len;
	if (got != want)
		bad(w->s, "%s: %zu bytes, not %llu: the size is %llu since %s", op_text(w->s, id),
		    got, (unsigned long long)want, (unsigned long long)size,
		    op_text(w->s, w->s->twin.size_who));
	check_bytes(w->s, id, buf, o->off, got);
}

/* The twin after a change; without @buf to zeros. */
static void twin_change(struct twin *t, uint32_t id, uint64_t off, uint64_t len, const uint8_t *buf)
{
	if (!len)
		return;
	if (buf)
		memcpy(t->byte + off, buf, len);
	else
		memset(t->byte + off, 0, len);
	for (uint64_t u = off / UNIT; u <= (off + len - 1) / UNIT; u++)
		t->who[u] = id;
}

static void size_change(struct twin *t, uint32_t id, uint64_t size)
{
	t->size_who = id;
	t->size = size;
}

/* ---- operations ---- */

static void aio_over(struct worker *w, uint32_t id, unsigned slot, size_t got)
{
	(void)slot;
	if (w->s->op[id].kind == READ)
		check_read(w, id, w->buf, got);
}

static void transfer(struct worker *w, uint32_t id)
{
	size_t got;

	if (w->s->op[id].how == DIRECT_AIO) {
		io_submit(w, &id, 1);
		io_reap(w, &id, 1, aio_over);
		return;
	}
	got = io_transfer(w, id, 0);
	if (w->s->op[id].kind == READ)
		check_read(w, id, w->buf, got);
}

static enum how any_how(struct worker *w)
{
	return w->s->mode == MODE_MIX ? (enum how)draw(w, HOWS) : (enum how)draw(w, 2);
}

/* A mapping has no bytes past the size. The slices are held. */
static bool clip(struct worker *w, enum how how, uint64_t off, uint64_t *len)
{
	uint64_t size = w->s->twin.size;

	if (how == MAPPED)
		*len = off >= size ? 0 : *len < size - off ? *len : size - off;
	return *len;
}

static void step_read(struct worker *w, uint64_t off, uint64_t len)
{
	enum how how = any_how(w);
	struct held h;
	uint32_t id;

	hold(&w->s->twin, &h, off, off + len, false);
	if (clip(w, how, off, &len) && (id = op_begin(w, READ, how, off, len))) {
		transfer(w, id);
		op_end(w, id);
	}
	drop(&w->s->twin, &h);
}

static void step_write(struct worker *w, uint64_t off, uint64_t len)
{
	struct twin *t = &w->s->twin;
	enum how how = any_how(w);
	struct held h;
	uint32_t id;

	if (how == MAPPED)
		hold(t, &h, off, off + len, true);
	else
		(void)hold_size(t, &h, off, off + len, true);
	if (clip(w, how, off, &len) && (id = op_begin(w, WRITE, how, off, len))) {
		fill(w->buf, id, off, len);
		twin_change(t, id, off, len, w->buf);
		transfer(w, id);
		if (off + len > t->size)
			size_change(t, id, off + len);
		op_end(w, id);
	}
	drop(t, &h);
}

static void step_truncate(struct worker *w)
{
	struct twin *t = &w->s->twin;
	uint64_t size = draw_size(w, t->size, 1), old;
	struct held h;
	uint32_t id;

	(void)hold_size(t, &h, size, UINT64_MAX, true);
	id = op_begin(w, TRUNCATE, DIRECT, size, FILE_MAX - size);
	if (id) {
		io_change(w, id);
		old = t->size;
		size_change(t, id, size);
		if (size < old)
			twin_change(t, id, size, old - size, NULL);
		else
			twin_change(t, id, old, size - old, NULL);
		op_end(w, id);
	}
	drop(t, &h);
}

/* What takes blocks, zeroes and keeps or moves the size. Who only reserves changes no byte. */
static void step_falloc(struct worker *w, enum kind kind, uint64_t off, uint64_t len)
{
	bool zeroes = kind == PUNCH || kind == ZERO || kind == ZERO_KEEP, moves = false;
	struct twin *t = &w->s->twin;
	struct held h;
	uint32_t id;

	if (kind == RESERVE || kind == ZERO)
		moves = hold_size(t, &h, off, off + len, zeroes);
	else
		hold(t, &h, off, off + len, zeroes);
	id = op_begin(w, kind, DIRECT, off, len);
	if (id) {
		io_change(w, id);
		if (zeroes)
			twin_change(t, id, off, len, NULL);
		if (moves)
			size_change(t, id, off + len);
		op_end(w, id);
	}
	drop(t, &h);
}

/* Alone with the file. */
static void step_move(struct worker *w, enum kind kind, uint64_t off, uint64_t len)
{
	struct twin *t = &w->s->twin;
	uint64_t size, end;
	struct held h;
	uint32_t id;

	off -= off % PAGE;
	len = (len + PAGE - 1) / PAGE * PAGE;
	end = off + len;
	take(t, &h, 0, FILE_MAX, true);
	size = t->size;
	if ((kind == COLLAPSE ? end >= size : off >= size || size + len > FILE_MAX) ||
	    !(id = op_begin(w, kind, DIRECT, off, len))) {
		drop(t, &h);
		return;
	}
	io_change(w, id);
	if (kind == COLLAPSE) {
		memmove(t->byte + off, t->byte + end, size - end);
		memset(t->byte + size - len, 0, len);
		size_change(t, id, size - len);
	} else {
		memmove(t->byte + end, t->byte + off, size - off);
		memset(t->byte + off, 0, len);
		size_change(t, id, size + len);
	}
	for (uint64_t u = off / UNIT; u < UNITS; u++)
		t->who[u] = id;
	op_end(w, id);
	drop(t, &h);
}

/* ---- where data is ---- */

static bool zeros(const struct twin *t, uint64_t off, uint64_t end)
{
	return off >= end ||
	       (!t->byte[off] && !memcmp(t->byte + off, t->byte + off + 1, end - off - 1));
}

static void step_seek(struct worker *w, uint64_t off)
{
	int whence = draw(w, 2) ? SEEK_DATA : SEEK_HOLE;
	struct shared *s = w->s;
	struct twin *t = &s->twin;
	struct held h;
	uint32_t id;
	off_t at;

	take(t, &h, off, FILE_MAX, false);
	id = op_begin(w, SEEK, DIRECT, off, FILE_MAX - off);
	if (id) {
		if (fsync(w->direct)) /* what is changed through a mapping is known then */
			bad(s, "fsync: %s", strerror(errno));
		at = lseek(w->direct, (off_t)off, whence);
		if (at < 0 && (errno != ENXIO || (off < t->size && whence == SEEK_HOLE)))
			bad(s, "%s: %s", op_text(s, id), strerror(errno));
		if (at < 0)
			at = (off_t)t->size;
		else if (at < (off_t)off || at > (off_t)t->size)
			bad(s, "%s: found %lld; the size is %llu", op_text(s, id), (long long)at,
			    (unsigned long long)t->size);
		if (whence == SEEK_DATA && !zeros(t, off, (uint64_t)at))
			bad(s, "%s: data at %lld; there is some before", op_text(s, id),
			    (long long)at);
		if (whence == SEEK_HOLE && at < (off_t)t->size && t->byte[at])
			bad(s, "%s: hole at %lld; there is data", op_text(s, id), (long long)at);
		op_end(w, id);
	}
	drop(t, &h);
}

/* In order, none twice, and no byte that is not zero outside of written ones. */
static void check_map(struct shared *s, uint32_t id, const struct mbfs_ioc_fiemap *m, uint64_t *at)
{
	for (unsigned i = 0; i < m->nr; i++) {
		const struct mbfs_ioc_extent *e = &m->extent[i];
		uint64_t end = e->off_bytes + e->len_bytes, size = s->twin.size;

		if (e->off_bytes < *at || !e->len_bytes)
			bad(s, "%s: extent [%llu, %llu) after %llu", op_text(s, id),
			    (unsigned long long)e->off_bytes, (unsigned long long)end,
			    (unsigned long long)*at);
		if (!zeros(&s->twin, *at, e->off_bytes < size ? e->off_bytes : size))
			bad(s, "%s: data in the hole [%llu, %llu)", op_text(s, id),
			    (unsigned long long)*at, (unsigned long long)e->off_bytes);
		if (e->flags & MBFS_IOC_EXTENT_UNWRITTEN &&
		    !zeros(&s->twin, *at > e->off_bytes ? *at : e->off_bytes,
			   end < size ? end : size))
			bad(s, "%s: data in the unwritten [%llu, %llu)", op_text(s, id),
			    (unsigned long long)e->off_bytes, (unsigned long long)end);
		*at = end;
	}
}

static void step_map(struct worker *w, uint64_t off)
{
	struct mbfs_ioc_fiemap m = { .off_bytes = off };
	struct shared *s = w->s;
	struct held h;
	uint64_t at = off;
	uint32_t id;

	take(&s->twin, &h, off, FILE_MAX, false);
	id = op_begin(w, MAP, DIRECT, off, FILE_MAX - off);
	if (id) {
		if (fsync(w->direct))
			bad(s, "fsync: %s", strerror(errno));
		do {
			m.off_bytes = at;
			m.nr = 0;
			if (ioctl(w->direct, MBFS_IOC_FIEMAP, &m))
				bad(s, "%s: %s", op_text(s, id), strerror(errno));
			check_map(s, id, &m, &at);
		} while (m.nr && !(m.extent[m.nr - 1].flags & MBFS_IOC_EXTENT_LAST));
		if (!zeros(&s->twin, at, s->twin.size))
			bad(s, "%s: data past the last extent, which ends at %llu", op_text(s, id),
			    (unsigned long long)at);
		op_end(w, id);
	}
	drop(&s->twin, &h);
}

static void step_sync(struct worker *w)
{
	uint32_t id = op_begin(w, FSYNC, DIRECT, 0, 0);

	if (!id)
		return;
	io_change(w, id);
	op_end(w, id);
}

void twin_step(struct worker *w)
{
	static const uint8_t weights[KINDS] = {
		[READ] = 60,  [WRITE] = 50,    [TRUNCATE] = 10,    [RESERVE] = 3, [PUNCH] = 10,
		[ZERO] = 4,   [ZERO_KEEP] = 6, [RESERVE_KEEP] = 6, [FSYNC] = 4,   [COLLAPSE] = 1,
		[INSERT] = 2, [SEEK] = 4,      [MAP] = 3,
	};
	enum kind kind = draw_weighted(w, weights, KINDS);
	uint64_t off, len;

	draw_range(w, w->s->twin.size, draw(w, 2) ? 1 : UNIT, IO_MAX, &off, &len);
	switch (kind) {
	case READ:
		step_read(w, off, len);
		break;
	case WRITE:
		step_write(w, off, len);
		break;
	case TRUNCATE:
		step_truncate(w);
		break;
	case FSYNC:
		step_sync(w);
		break;
	case COLLAPSE:
	case INSERT:
		step_move(w, kind, off, len);
		break;
	case SEEK:
		step_seek(w, off);
		break;
	case MAP:
		step_map(w, off - off % PAGE);
		break;
	default:
		step_falloc(w, kind, off, len);
	}
}

size_t twin_read(struct worker *w, uint64_t off, uint64_t len)
{
	uint32_t id = op_begin(w, READ, DIRECT, off, len);
	size_t got = io_transfer(w, id, 0);

	check_read(w, id, w->buf, got);
	op_end(w, id);
	return got;
}

void twin_reset(struct shared *s)
{
	struct twin *t = &s->twin;

	size_change(t, 0, 0);
	memset(t->byte, 0, sizeof(t->byte));
	memset(t->who, 0, sizeof(t->who));
}
