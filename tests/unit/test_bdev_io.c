// SPDX-License-Identifier: GPL-2.0-only
/* Submitted transfers: every engine that carries them out, one table of them. */
#include "support/t_image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/sync.h"
#include "rt/work.h"

enum { MIB = 1 << 20, FLIGHT = 64, ROUNDS = 40 };

/* ---- engines ---- */

struct bed {
	struct mbfs_bdev *base; /* what it is stored on; NULL: @dev has it */
	struct mbfs_bdev *dev;
	char *path; /* of an image file */
};

static void pool_open(struct bed *b, unsigned threads)
{
	ck_assert_int_eq(mbfs_bdev_open_mem(MIB, &b->base), 0);
	ck_assert_int_eq(mbfs_bdev_open_pool(b->base, threads, &b->dev), 0);
}

static void open_mem(struct bed *b)
{
	ck_assert_int_eq(mbfs_bdev_open_mem(MIB, &b->dev), 0);
}

static void open_pool_1(struct bed *b)
{
	pool_open(b, 1);
}

static void open_pool_8(struct bed *b)
{
	pool_open(b, 8);
}

static void file_open(struct bed *b, unsigned flags)
{
	struct mbfs_diag diag = { "" };
	int err;

	b->path = t_temp();
	ck_assert_int_eq(truncate(b->path, 4096 + MIB), 0);
	err = mbfs_bdev_open_file(b->path, 4096, flags, &diag, &b->dev);
	ck_assert_msg(!err, "%s", diag.text);
	if (diag.text[0]) /* this kernel gives no io_uring: threads are tested instead */
		ck_assert_msg((flags & MBFS_BDEV_URING) && strstr(diag.text, "threads instead"),
			      "%s", diag.text);
}

static void open_file(struct bed *b)
{
	file_open(b, 0);
}

static void open_file_pool(struct bed *b)
{
	file_open(b, MBFS_BDEV_POOL);
}

static void open_file_uring(struct bed *b)
{
	file_open(b, MBFS_BDEV_URING);
}

static void open_direct(struct bed *b)
{
	file_open(b, MBFS_BDEV_DIRECT);
}

static void open_direct_pool(struct bed *b)
{
	file_open(b, MBFS_BDEV_DIRECT | MBFS_BDEV_POOL);
}

static void open_direct_uring(struct bed *b)
{
	file_open(b, MBFS_BDEV_DIRECT | MBFS_BDEV_URING);
}

static const struct {
	void (*open)(struct bed *b);
	const char *engine;
	bool async;
} engines[] = {
	{ open_mem, "sync", false },
	{ open_pool_1, "threads", true },
	{ open_pool_8, "threads", true },
	{ open_file, "sync", false },
	{ open_file_pool, "threads", true },
	{ open_file_uring, "io_uring", true },
	{ open_direct, "sync", false },
	{ open_direct_pool, "threads", true },
	{ open_direct_uring, "io_uring", true },
};

/* io_uring was asked for, and the kernel has none. */
static bool is_fallback(const struct mbfs_bdev *dev, const char *asked)
{
	return !strcmp(asked, "io_uring") && !strcmp(mbfs_bdev_engine(dev), "threads");
}

static void bed_close(struct bed *b)
{
	mbfs_bdev_close(b->dev);
	mbfs_bdev_close(b->base);
	if (b->path)
		unlink(b->path);
	free(b->path);
}

/* ---- transfers ---- */

struct flight {
	struct rt_event over;
	rt_u32 under_way, ended;
};

struct one {
	struct mbfs_bdev_io io;
	struct flight *flight;
	uint8_t *buf;
	int err;
	unsigned done_nr;
	uint32_t place; /* the how-manieth to end, from 1 */
};

static void one_done(struct mbfs_bdev_io *io, int err)
{
	struct one *o = container_of(io, struct one, io);
	struct flight *f = o->flight;

	o->err = err;
	o->done_nr++;
	o->place = rt_u32_add_return(&f->ended, 1);
	rt_u32_add_return(&f->under_way, -1u);
	rt_event_signal(&f->over);
}

static int one_start(struct mbfs_bdev *dev, struct one *o)
{
	int r;

	o->io.done = one_done;
	o->done_nr = 0;
	rt_u32_add_return(&o->flight->under_way, 1);
	r = mbfs_bdev_submit(dev, &o->io);
	if (r != MBFS_BDEV_QUEUED)
		one_done(&o->io, r);
	return r;
}

static void land(struct flight *f)
{
	for (;;) {
		uint32_t key = rt_event_key(&f->over);

		if (!rt_u32_add_return(&f->under_way, 0))
			return;
		rt_event_wait(&f->over, key);
	}
}

/*
 * Goal: each engine moves the bytes it is told to. Method: rounds of 64 transfers of disjoint
 * slots at once, reads and writes of random ends, against a twin in memory.
 */
START_TEST(bytes_agree_with_twin)
{
	static uint8_t twin[MIB], back[FLIGHT][MIB / FLIGHT];
	static struct one ones[FLIGHT];
	const uint32_t slot = MIB / FLIGHT;
	struct flight f = { 0 };
	struct rt_rand rand;
	struct bed b = { 0 };

	engines[_i].open(&b);
	if (!is_fallback(b.dev, engines[_i].engine))
		ck_assert_str_eq(mbfs_bdev_engine(b.dev), engines[_i].engine);
	ck_assert_int_eq(b.dev->async, engines[_i].async);
	rt_event_init(&f.over);
	rand.state = 1;
	memset(twin, 0, sizeof(twin));
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < FLIGHT; i++) {
			struct one *o = &ones[i];
			uint32_t from = (uint32_t)rt_rand_below(&rand, slot);
			uint32_t len = (uint32_t)rt_rand_below(&rand, slot - from + 1);

			if (rt_rand_below(&rand, 2)) { /* also whole blocks */
				from &= ~4095u;
				len = (len + 4095u) & ~4095u;
			}
			*o = (struct one){ .flight = &f, .buf = back[i] };
			o->io.is_write = rt_rand_below(&rand, 2);
			o->io.off_bytes = (uint64_t)i * slot + from;
			o->io.len_bytes = len;
			o->io.buf = back[i];
			for (uint32_t k = 0; k < len; k++)
				back[i][k] = (uint8_t)(round * 31 + i * 7 + k);
			if (o->io.is_write)
				memcpy(twin + o->io.off_bytes, back[i], len);
			one_start(b.dev, o);
		}
		land(&f);
		for (uint32_t i = 0; i < FLIGHT; i++) {
			ck_assert_int_eq(ones[i].err, 0);
			ck_assert_uint_eq(ones[i].done_nr, 1);
			ck_assert_msg(
				!memcmp(back[i], twin + ones[i].io.off_bytes, ones[i].io.len_bytes),
				"engine %d, round %u, transfer %u", _i, round, i);
		}
	}
	for (uint32_t i = 0; i < FLIGHT; i++) { /* and what read() sees is the same */
		ck_assert_int_eq(mbfs_bdev_read(b.dev, (uint64_t)i * slot, back[i], slot), 0);
		ck_assert_int_eq(memcmp(back[i], twin + (uint64_t)i * slot, slot), 0);
	}
	bed_close(&b);
}
END_TEST

/* Goal: close loses nothing. Method: 64 writes, close without waiting, look at the bytes. */
START_TEST(close_waits_for_what_is_queued)
{
	static uint8_t data[4096];
	static struct one ones[FLIGHT];
	struct flight f = { 0 };
	struct mbfs_bdev *mem, *dev;

	ck_assert_int_eq(mbfs_bdev_open_mem(MIB, &mem), 0);
	ck_assert_int_eq(mbfs_bdev_open_pool(mem, 3, &dev), 0);
	rt_event_init(&f.over);
	memset(data, 0x77, sizeof(data));
	for (uint32_t i = 0; i < FLIGHT; i++) {
		ones[i] = (struct one){ .flight = &f, .io.is_write = true };
		ones[i].io.off_bytes = i * sizeof(data);
		ones[i].io.buf = data;
		ones[i].io.len_bytes = sizeof(data);
		ck_assert_int_eq(one_start(dev, &ones[i]), MBFS_BDEV_QUEUED);
	}
	mbfs_bdev_close(dev);
	ck_assert_uint_eq(rt_u32_read(&f.under_way), 0);
	for (uint32_t i = 0; i < FLIGHT; i++)
		ck_assert_int_eq(
			memcmp(mbfs_bdev_mem_bytes(mem) + i * sizeof(data), data, sizeof(data)), 0);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: what cannot be is refused at once. Method: outside the device, read-only, no threads, too
 * many, no memory. */
START_TEST(submit_refuses)
{
	struct flight f = { 0 };
	struct one o = { .flight = &f, .io.off_bytes = MIB, .io.len_bytes = 1 };
	struct bed b = { 0 };
	struct mbfs_bdev *dev = NULL;

	engines[_i].open(&b);
	ck_assert_int_eq(one_start(b.dev, &o), -EINVAL);
	o.io.is_write = true;
	b.dev->read_only = true;
	ck_assert_int_eq(one_start(b.dev, &o), -EROFS);
	b.dev->read_only = false;
	ck_assert_int_eq(mbfs_bdev_open_pool(b.dev, 0, &dev), -EINVAL);
	ck_assert_int_eq(mbfs_bdev_open_pool(b.dev, MBFS_BDEV_POOL_MAX + 1, &dev), -EINVAL);
	for (uint64_t nth = 1; nth <= 3; nth++) { /* the pool, its queue, a thread */
		rt_mem_fail_at(nth);
		ck_assert_int_eq(mbfs_bdev_open_pool(b.dev, 2, &dev), -ENOMEM);
		ck_assert(rt_mem_fail_struck());
	}
	ck_assert_ptr_null(dev);
	bed_close(&b);
}
END_TEST

/* ---- image files ---- */

/* Rows of engines[] from here on are image files. */
enum { FIRST_FILE = 3, FIRST_DIRECT = 6 };

static struct one transfer_of(struct flight *f, bool is_write, uint64_t off, void *buf, size_t len)
{
	struct one o = { .flight = f };

	o.io.is_write = is_write;
	o.io.off_bytes = off;
	o.io.buf = buf;
	o.io.len_bytes = len;
	return o;
}

/* Starts it and waits; its error. */
static int run(struct mbfs_bdev *dev, struct one *o)
{
	one_start(dev, o);
	land(o->flight);
	ck_assert_uint_eq(o->done_nr, 1);
	return o->err;
}

/* Goal: an image cut short while open is an error, not silent zeros. Method: cut it inside a
 * transfer, and before one; write there, which is fine. */
START_TEST(cut_short_is_an_error)
{
	static uint8_t buf[65536];
	struct flight f = { 0 };
	struct bed b = { 0 };
	struct one o;

	engines[_i].open(&b);
	rt_event_init(&f.over);
	ck_assert_int_eq(truncate(b.path, 4096 + 20000), 0);
	o = transfer_of(&f, false, 0, buf, sizeof(buf));
	ck_assert_int_eq(run(b.dev, &o), -EIO);
	o = transfer_of(&f, false, 131072, buf, 4096);
	ck_assert_int_eq(run(b.dev, &o), -EIO);
	o = transfer_of(&f, false, 0, buf, 16384);
	ck_assert_int_eq(run(b.dev, &o), 0);
	o = transfer_of(&f, true, 131072, buf, 4096);
	ck_assert_int_eq(run(b.dev, &o), 0);
	bed_close(&b);
}
END_TEST

/* Goal: a full host disk is a device error, never ENOSPC. Method: a sparse image on a tmpfs of
 * 256 KiB; where we may not mount, nothing is tested. */
START_TEST(full_host_is_an_io_error)
{
	static const unsigned flags[] = { 0, MBFS_BDEV_POOL, MBFS_BDEV_URING };
	static uint8_t buf[65536] __attribute__((aligned(4096)));
	unsigned failed = 0;
	struct flight f = { 0 };
	struct mbfs_bdev *dev;
	struct one o;
	char *dir = t_temp(), *file;

	unlink(dir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	if (mount("none", dir, "tmpfs", 0, "size=256k")) {
		printf("no mount here: %s\n", strerror(errno));
		rmdir(dir);
		free(dir);
		return;
	}
	ck_assert_int_gt(asprintf(&file, "%s/image", dir), 0);
	ck_assert_int_eq(close(open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600)), 0);
	ck_assert_int_eq(truncate(file, MIB), 0);
	rt_event_init(&f.over);
	ck_assert_int_eq(mbfs_bdev_open_file(file, 0, flags[_i], NULL, &dev), 0);
	memset(buf, 1, sizeof(buf));
	for (uint64_t off = 0; off < MIB; off += sizeof(buf)) {
		int err;

		o = transfer_of(&f, true, off, buf, sizeof(buf));
		err = run(dev, &o);
		ck_assert(err == 0 || err == -EIO);
		failed += err != 0;
	}
	ck_assert_uint_gt(failed, 0);
	mbfs_bdev_close(dev);
	ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
	rmdir(dir);
	free(file);
	free(dir);
}
END_TEST

struct leaver {
	struct mbfs_bdev *dev;
	struct one *ones;
	unsigned nr;
};

static void start_and_leave(void *arg)
{
	struct leaver *l = arg;

	for (unsigned i = 0; i < l->nr; i++)
		one_start(l->dev, &l->ones[i]);
}

/* Goal: a transfer outlives the thread that submitted it. Method: threads that start 64 writes and
 * end, many times over; nothing fails, nothing is missing. */
START_TEST(submitter_may_be_gone)
{
	static uint8_t data[FLIGHT][8192] __attribute__((aligned(4096)));
	static struct one ones[FLIGHT];
	static uint8_t back[8192];
	struct flight f = { 0 };
	struct rt_thread *t;
	struct bed b = { 0 };

	engines[_i].open(&b);
	rt_event_init(&f.over);
	for (unsigned round = 1; round <= 20; round++) {
		struct leaver l = { b.dev, ones, FLIGHT };

		for (uint32_t i = 0; i < FLIGHT; i++) {
			memset(data[i], (int)(round + i), sizeof(data[i]));
			ones[i] = transfer_of(&f, true, (uint64_t)i * 16384, data[i], 8192);
		}
		ck_assert_int_eq(rt_thread_start(start_and_leave, &l, "leaver", &t), 0);
		rt_thread_join(t);
		land(&f);
		for (uint32_t i = 0; i < FLIGHT; i++) {
			ck_assert_int_eq(ones[i].err, 0);
			ck_assert_int_eq(mbfs_bdev_read(b.dev, ones[i].io.off_bytes, back, 8192),
					 0);
			ck_assert_int_eq(memcmp(back, data[i], 8192), 0);
		}
	}
	bed_close(&b);
}
END_TEST

/* Goal: close loses nothing, on files too. Method: 64 writes, close at once, read the file. */
START_TEST(close_waits_for_files)
{
	static uint8_t data[4096] __attribute__((aligned(4096))), back[4096];
	static struct one ones[FLIGHT];
	struct flight f = { 0 };
	struct bed b = { 0 };
	int fd;

	engines[_i].open(&b);
	rt_event_init(&f.over);
	memset(data, 0x3c, sizeof(data));
	for (uint32_t i = 0; i < FLIGHT; i++) {
		ones[i] = transfer_of(&f, true, (uint64_t)i * 4096, data, 4096);
		one_start(b.dev, &ones[i]);
	}
	mbfs_bdev_close(b.dev);
	b.dev = NULL;
	ck_assert_uint_eq(rt_u32_read(&f.under_way), 0);
	fd = open(b.path, O_RDONLY | O_CLOEXEC);
	for (uint32_t i = 0; i < FLIGHT; i++) {
		ck_assert_int_eq(pread(fd, back, 4096, 4096 + (off_t)i * 4096), 4096);
		ck_assert_int_eq(memcmp(back, data, 4096), 0);
	}
	close(fd);
	bed_close(&b);
}
END_TEST

/* Goal: the two ways to the same bytes agree. Method: write one way, read the other, in turn; of
 * whole pages, from buffers at any address. */
START_TEST(direct_and_cached_agree)
{
	static uint8_t room[4 * 4096] __attribute__((aligned(4096))), back[4 * 4096];
	struct flight f = { 0 };
	struct bed b = { 0 };
	struct one o;

	engines[_i].open(&b);
	rt_event_init(&f.over);
	for (unsigned round = 0; round < 200; round++) {
		uint8_t *buf = room + round % 7;
		uint64_t off = round % 5 * 4096;

		memset(buf, (int)round, 8192);
		if (round & 1) {
			o = transfer_of(&f, true, off, buf, 8192);
			ck_assert_int_eq(run(b.dev, &o), 0);
			ck_assert_int_eq(mbfs_bdev_read(b.dev, off, back, 8192), 0);
			ck_assert_int_eq(memcmp(back, buf, 8192), 0);
		} else {
			ck_assert_int_eq(mbfs_bdev_write(b.dev, off + 3, buf, 8000), 0);
			memset(back, 0xff, sizeof(back));
			o = transfer_of(&f, false, off, back + round % 3, 8192);
			ck_assert_int_eq(run(b.dev, &o), 0);
			ck_assert_int_eq(memcmp(back + round % 3 + 3, buf, 8000), 0);
		}
	}
	ck_assert_int_eq(mbfs_bdev_flush(b.dev), 0);
	bed_close(&b);
}
END_TEST

/* Goal: no memory for a bounce buffer is no reason to fail. Method: fail its allocation. */
START_TEST(bounce_without_memory)
{
	static uint8_t room[8192] __attribute__((aligned(4096))), back[4096];
	struct flight f = { 0 };
	struct bed b = { 0 };
	struct one o;

	engines[_i].open(&b);
	rt_event_init(&f.over);
	memset(room, 0x21, sizeof(room));
	o = transfer_of(&f, true, 0, room + 1, 4096);
	rt_mem_fail_at(1);
	ck_assert_int_eq(run(b.dev, &o), 0);
	ck_assert(rt_mem_fail_struck());
	ck_assert_int_eq(mbfs_bdev_read(b.dev, 0, back, 4096), 0);
	ck_assert_int_eq(memcmp(back, room, 4096), 0);
	bed_close(&b);
}
END_TEST

/* Goal: where the kernel forbids io_uring, threads do it, and the user is told why. Method: a
 * filter that answers io_uring_setup with row _i; bytes go through. */
START_TEST(falls_back_to_threads)
{
	static const int errors[] = { EPERM, ENOSYS, ENOMEM };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)errors[_i]),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = MBFS_ARRAY_SIZE(code), .filter = code };
	struct mbfs_diag diag = { "" };
	uint8_t data[100], back[100];
	struct flight f = { 0 };
	struct mbfs_bdev *dev;
	char *path = t_temp();
	struct one o;

	ck_assert_int_eq(truncate(path, MIB), 0);
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
	ck_assert_int_eq(mbfs_bdev_open_file(path, 0, MBFS_BDEV_URING, &diag, &dev), 0);
	ck_assert_str_eq(mbfs_bdev_engine(dev), "threads");
	ck_assert_msg(strstr(diag.text, strerror(errors[_i])) && strstr(diag.text, path) &&
			      !strchr(diag.text, '\n'),
		      "%s", diag.text);
	rt_event_init(&f.over);
	memset(data, 5, sizeof(data));
	o = transfer_of(&f, true, 1000, data, sizeof(data));
	ck_assert_int_eq(run(dev, &o), 0);
	ck_assert_int_eq(mbfs_bdev_read(dev, 1000, back, sizeof(back)), 0);
	ck_assert_mem_eq(back, data, sizeof(data));
	mbfs_bdev_close(dev);
	unlink(path);
	free(path);
}
END_TEST

/* Goal: opening with an engine fails clean: nothing leaks, the lock is gone. Method: fail every
 * allocation in turn, until one open succeeds. */
START_TEST(open_without_memory)
{
	static const unsigned flags[] = { MBFS_BDEV_POOL, MBFS_BDEV_URING,
					  MBFS_BDEV_URING | MBFS_BDEV_DIRECT };
	char *path = t_temp();
	uint64_t nth = 0;
	int err;

	ck_assert_int_eq(truncate(path, MIB), 0);
	do {
		struct mbfs_diag diag = { "" };
		struct mbfs_bdev *dev;

		rt_mem_fail_at(++nth);
		err = mbfs_bdev_open_file(path, 0, flags[_i], &diag, &dev);
		ck_assert(err == 0 || err == -ENOMEM);
		ck_assert(!err == (diag.text[0] == 0) || strstr(diag.text, "threads instead"));
		if (!err)
			mbfs_bdev_close(dev);
	} while (rt_mem_fail_struck());
	ck_assert_int_eq(err, 0);
	ck_assert_uint_gt(nth, 3);
	unlink(path);
	free(path);
}
END_TEST

/* ---- faults and delays ---- */

/* A fault device on a pool (@on_pool), or a pool of one thread on a fault device; on memory. */
struct stack {
	struct mbfs_bdev *mem, *mid, *dev;
};

static void stack_open(struct stack *s, bool on_pool, const struct mbfs_fault_plan *plan)
{
	ck_assert_int_eq(mbfs_bdev_open_mem(MIB, &s->mem), 0);
	if (on_pool) {
		ck_assert_int_eq(mbfs_bdev_open_pool(s->mem, 4, &s->mid), 0);
		ck_assert_int_eq(mbfs_bdev_open_fault(s->mid, plan, &s->dev), 0);
	} else {
		ck_assert_int_eq(mbfs_bdev_open_fault(s->mem, plan, &s->mid), 0);
		ck_assert_int_eq(mbfs_bdev_open_pool(s->mid, 1, &s->dev), 0);
	}
	ck_assert(s->dev->async);
	ck_assert_str_eq(mbfs_bdev_engine(s->dev), "threads");
}

static void stack_close(struct stack *s)
{
	mbfs_bdev_close(s->dev);
	mbfs_bdev_close(s->mid);
	mbfs_bdev_close(s->mem);
}

/* Goal: one thread has many writes under way. Method: each takes 300 ms; start 64, count, wait. */
START_TEST(many_in_flight_from_one_thread)
{
	const struct mbfs_fault_plan plan = { .delay_write_us = 300000 };
	static struct one ones[FLIGHT];
	static uint8_t data[FLIGHT];
	struct flight f = { 0 };
	struct stack s;
	uint64_t start;

	stack_open(&s, true, &plan);
	rt_event_init(&f.over);
	start = rt_now_ns();
	for (uint32_t i = 0; i < FLIGHT; i++) {
		data[i] = (uint8_t)(i + 1);
		ones[i] = transfer_of(&f, true, i, &data[i], 1);
		ck_assert_int_eq(one_start(s.dev, &ones[i]), MBFS_BDEV_QUEUED);
	}
	ck_assert_uint_eq(rt_u32_read(&f.under_way), FLIGHT);
	land(&f);
	ck_assert_uint_ge(rt_now_ns() - start, 300000000);
	ck_assert_uint_lt(rt_now_ns() - start, 3000000000ull); /* one after the other: 19 s */
	for (uint32_t i = 0; i < FLIGHT; i++)
		ck_assert_int_eq(ones[i].err, 0);
	ck_assert_int_eq(memcmp(mbfs_bdev_mem_bytes(s.mem), data, FLIGHT), 0);
	stack_close(&s);
}
END_TEST

/* Goal: a delayed write is overtaken, and no other is late. Method: the third of six; reads too. */
START_TEST(nth_write_is_late)
{
	const struct mbfs_fault_plan plan = { .delay_write_at = 3, .delay_write_us = 200000 };
	struct flight f = { 0 };
	uint8_t data[6] = "abcdef";
	struct one ones[6];
	struct stack s;

	stack_open(&s, true, &plan);
	rt_event_init(&f.over);
	for (uint32_t i = 0; i < 6; i++) {
		ones[i] = transfer_of(&f, true, i, &data[i], 1);
		one_start(s.dev, &ones[i]);
	}
	land(&f);
	ck_assert_uint_eq(ones[2].place, 6);
	ck_assert_int_eq(memcmp(mbfs_bdev_mem_bytes(s.mem), data, 6), 0);
	stack_close(&s);
}
END_TEST

/* Goal: reads are delayed as long as writes are not. Method: both, each with a delay of its own. */
START_TEST(reads_and_writes_have_their_delays)
{
	const struct mbfs_fault_plan plan = { .delay_read_us = 50000, .delay_write_us = 250000 };
	struct flight f = { 0 };
	uint8_t data[2] = { 1, 2 };
	struct one w, r;
	struct stack s;

	stack_open(&s, _i, &plan);
	rt_event_init(&f.over);
	w = transfer_of(&f, true, 0, &data[0], 1);
	r = transfer_of(&f, true, 8, &data[1], 1);
	r.io.is_write = false;
	one_start(s.dev, &w);
	one_start(s.dev, &r);
	land(&f);
	ck_assert_uint_eq(r.place, _i ? 1 : 2); /* a pool of one: in order */
	ck_assert_uint_eq(data[1], 0);
	stack_close(&s);
}
END_TEST

/* Goal: closing gives up no delayed write. Method: writes that would take a minute; close. */
START_TEST(close_hurries_what_is_delayed)
{
	const struct mbfs_fault_plan plan = { .delay_write_us = 60000000 };
	struct flight f = { 0 };
	uint8_t data[2] = { 1, 2 };
	struct one ones[2];
	struct stack s;

	stack_open(&s, true, &plan);
	rt_event_init(&f.over);
	for (uint32_t i = 0; i < 2; i++) {
		ones[i] = transfer_of(&f, true, i, &data[i], 1);
		ck_assert_int_eq(one_start(s.dev, &ones[i]), MBFS_BDEV_QUEUED);
	}
	mbfs_bdev_close(s.dev);
	land(&f);
	ck_assert_int_eq(memcmp(mbfs_bdev_mem_bytes(s.mem), data, 2), 0);
	mbfs_bdev_close(s.mid);
	mbfs_bdev_close(s.mem);
}
END_TEST

/*
 * Goal: a planned fault strikes the submitted transfer it is meant for, and is told once. Method:
 * six writes and six reads, waited for one by one, against the answers of row _i / 4; with and
 * without delays, both ways of stacking.
 */
START_TEST(faults_reach_submitted)
{
	static const struct {
		struct mbfs_fault_plan plan;
		const char *writes, *reads;
		const char *landed; /* of each write: '1' all, 'h' its first half, '0' nothing */
	} rows[] = {
		{ { .fail_write_at = 2 }, ".E....", "......", "101111" },
		{ { .fail_write_at = 4, .sticky = true }, "...EEE", "......", "111000" },
		{ { .torn_write_at = 6 }, ".....E", "......", "11111h" },
		{ { .fail_read_at = 1 }, "......", "E.....", "111111" },
		{ { .cut_at = 3 }, "......", "......", "110000" },
	};
	struct mbfs_fault_plan plan = rows[_i / 4].plan;
	struct flight f = { 0 };
	uint8_t data[2] = { 9, 9 };
	struct one o;
	struct stack s;

	if (_i & 2)
		plan.delay_write_us = plan.delay_read_us = 1000;
	stack_open(&s, _i & 1, &plan);
	rt_event_init(&f.over);
	for (uint32_t i = 0; i < 12; i++) {
		bool is_write = i < 6;

		o = transfer_of(&f, true, i % 6 * 2, data, 2);
		o.io.is_write = is_write;
		one_start(s.dev, &o);
		land(&f);
		ck_assert_uint_eq(o.done_nr, 1);
		ck_assert_int_eq(o.err, (is_write ? rows[_i / 4].writes[i]
						  : rows[_i / 4].reads[i - 6]) == 'E'
						? -EIO
						: 0);
	}
	for (uint32_t i = 0; i < 6; i++) {
		const uint8_t *at = mbfs_bdev_mem_bytes(s.mem) + i * 2;
		char c = rows[_i / 4].landed[i];

		ck_assert_uint_eq(at[0], c == '0' ? 0 : 9);
		ck_assert_uint_eq(at[1], c == '1' ? 9 : 0);
	}
	stack_close(&s);
}
END_TEST

static void add_file_tests(Suite *s)
{
	const int all = (int)MBFS_ARRAY_SIZE(engines);
	TCase *tc = tcase_create("files");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, cut_short_is_an_error, FIRST_FILE, all);
	tcase_add_loop_test(tc, full_host_is_an_io_error, 0, 3);
	tcase_add_loop_test(tc, submitter_may_be_gone, FIRST_FILE, all);
	tcase_add_loop_test(tc, close_waits_for_files, FIRST_FILE, all);
	tcase_add_loop_test(tc, direct_and_cached_agree, FIRST_FILE, all);
	tcase_add_loop_test(tc, bounce_without_memory, FIRST_DIRECT, all);
	tcase_add_loop_test(tc, falls_back_to_threads, 0, 3);
	tcase_add_loop_test(tc, open_without_memory, 0, 3);
	suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
	Suite *s = suite_create("bdev_io");
	TCase *tc = tcase_create("engines");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, bytes_agree_with_twin, 0, (int)MBFS_ARRAY_SIZE(engines));
	tcase_add_loop_test(tc, submit_refuses, 0, (int)MBFS_ARRAY_SIZE(engines));
	tcase_add_test(tc, close_waits_for_what_is_queued);
	suite_add_tcase(s, tc);
	add_file_tests(s);
	tc = tcase_create("faults");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, many_in_flight_from_one_thread);
	tcase_add_test(tc, nth_write_is_late);
	tcase_add_loop_test(tc, reads_and_writes_have_their_delays, 0, 2);
	tcase_add_test(tc, close_hurries_what_is_delayed);
	tcase_add_loop_test(tc, faults_reach_submitted, 0, 5 * 4);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
