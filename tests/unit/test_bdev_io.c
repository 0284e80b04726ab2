// SPDX-License-Identifier: GPL-2.0-only
/* Submitted transfers: every engine that carries them out, one table of them. */
#include "support/t_image.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/sync.h"

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
	ck_assert_str_eq(diag.text, "");
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

static struct one write_of(struct flight *f, uint64_t off, uint8_t *buf, size_t len)
{
	struct one o = { .flight = f };

	o.io.is_write = true;
	o.io.off_bytes = off;
	o.io.buf = buf;
	o.io.len_bytes = len;
	return o;
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
		ones[i] = write_of(&f, i, &data[i], 1);
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
		ones[i] = write_of(&f, i, &data[i], 1);
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
	w = write_of(&f, 0, &data[0], 1);
	r = write_of(&f, 8, &data[1], 1);
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
		ones[i] = write_of(&f, i, &data[i], 1);
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

		o = write_of(&f, i % 6 * 2, data, 2);
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

static Suite *suite(void)
{
	Suite *s = suite_create("bdev_io");
	TCase *tc = tcase_create("engines");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, bytes_agree_with_twin, 0, (int)MBFS_ARRAY_SIZE(engines));
	tcase_add_loop_test(tc, submit_refuses, 0, (int)MBFS_ARRAY_SIZE(engines));
	tcase_add_test(tc, close_waits_for_what_is_queued);
	suite_add_tcase(s, tc);
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
