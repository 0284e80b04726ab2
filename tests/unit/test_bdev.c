// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/work.h"

enum { MIB = 1 << 20 };

static struct mbfs_bdev *mem_open(uint64_t bytes)
{
	struct mbfs_bdev *dev;

	ck_assert_int_eq(mbfs_bdev_open_mem(bytes, &dev), 0);
	ck_assert_uint_eq(dev->size_bytes, bytes);
	return dev;
}

static bool all_are(const uint8_t *p, size_t bytes, uint8_t value)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* ---- front ends ---- */

/* Goal: nothing outside the device is touched, whatever the numbers. Method: ranges at and past the
 * end. */
START_TEST(ranges_are_checked)
{
	static const struct {
		uint64_t off, len;
		bool ok;
	} rows[] = {
		{ 0, 0, true },           { 0, 1, true },           { 99, 1, true },
		{ 100, 0, true },         { 0, 100, true },         { 0, 101, false },
		{ 100, 1, false },        { 101, 0, false },        { 99, 2, false },
		{ UINT64_MAX, 1, false }, { UINT64_MAX, 0, false }, { 50, UINT64_MAX, false },
		{ 1, UINT64_MAX, false }, { 1ull << 63, 1, false },
	};
	struct mbfs_bdev *dev = mem_open(100);
	uint8_t buf[128] = { 0 };

	for (size_t i = 0; i < MBFS_ARRAY_SIZE(rows); i++) {
		int want = rows[i].ok ? 0 : -EINVAL;

		ck_assert_int_eq(mbfs_bdev_read(dev, rows[i].off, buf, rows[i].len), want);
		ck_assert_int_eq(mbfs_bdev_write(dev, rows[i].off, buf, rows[i].len), want);
		ck_assert_int_eq(mbfs_bdev_trim(dev, rows[i].off, rows[i].len), want);
	}
	dev->read_only = true;
	ck_assert_int_eq(mbfs_bdev_read(dev, 0, buf, 1), 0);
	ck_assert_int_eq(mbfs_bdev_write(dev, 0, buf, 1), -EROFS);
	ck_assert_int_eq(mbfs_bdev_trim(dev, 0, 1), -EROFS);
	ck_assert_int_eq(mbfs_bdev_flush(dev), 0);
	dev->read_only = false;
	mbfs_bdev_close(dev);
	mbfs_bdev_close(NULL);
}
END_TEST

/* ---- memory ---- */

/* Goal: a huge device costs what is touched. Method: 1 TiB; write, read, trim all over. */
START_TEST(memory_device_is_sparse)
{
#ifdef __SANITIZE_THREAD__
	const uint64_t size = 1ull << 36; /* TSan leaves little of the address space */
#else
	const uint64_t size = 1ull << 40;
#endif
	struct mbfs_bdev *dev = mem_open(size);
	uint8_t buf[4096], zero[4096] = { 0 };

	memset(buf, 0x5a, sizeof(buf));
	for (uint64_t off = 0; off < size; off += size / 16)
		ck_assert_int_eq(mbfs_bdev_write(dev, off, buf, sizeof(buf)), 0);
	ck_assert_int_eq(mbfs_bdev_write(dev, size - 1, buf, 1), 0);
	ck_assert_uint_eq(mbfs_bdev_mem_bytes(dev)[size - 1], 0x5a);
	ck_assert_int_eq(mbfs_bdev_trim(dev, 1, size - 2), 0);
	ck_assert_int_eq(mbfs_bdev_read(dev, size / 16, buf, sizeof(buf)), 0);
	ck_assert_mem_eq(buf, zero, sizeof(buf));
	ck_assert_uint_eq(mbfs_bdev_mem_bytes(dev)[0], 0x5a);
	ck_assert_uint_eq(mbfs_bdev_mem_bytes(dev)[size - 1], 0x5a);
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: a trim clears exactly its bytes. Method: every start and end near two page borders. */
START_TEST(memory_trim_is_exact)
{
	struct mbfs_bdev *dev = mem_open(4 * 4096);
	uint8_t *bytes = mbfs_bdev_mem_bytes(dev);

	for (uint64_t from = 4090; from < 4103; from++) {
		for (uint64_t to = from; to<12300; to += to> 4110 && to < 12280 ? 1019 : 1) {
			memset(bytes, 0xee, dev->size_bytes);
			ck_assert_int_eq(mbfs_bdev_trim(dev, from, to - from), 0);
			ck_assert(all_are(bytes, from, 0xee));
			ck_assert(all_are(bytes + from, to - from, 0));
			ck_assert(all_are(bytes + to, dev->size_bytes - to, 0xee));
		}
	}
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: no device without memory or size; nothing leaks. Method: fail the allocation; impossible
 * sizes. */
START_TEST(memory_device_refuses)
{
	const struct mbfs_fault_plan none = { 0 };
	struct mbfs_bdev *mem = mem_open(4096), *dev = NULL;
	char *path = t_temp();

	ck_assert_int_eq(mbfs_bdev_open_mem(0, &dev), -EINVAL);
	ck_assert_int_eq(mbfs_bdev_open_mem(1ull << 62, &dev), -ENOMEM);
	rt_mem_fail_at(1);
	ck_assert_int_eq(mbfs_bdev_open_mem(4096, &dev), -ENOMEM);
	ck_assert(rt_mem_fail_struck());
	rt_mem_fail_at(1);
	ck_assert_int_eq(mbfs_bdev_open_fault(mem, &none, &dev), -ENOMEM);
	ck_assert(rt_mem_fail_struck());
	ck_assert_int_eq(truncate(path, 4096), 0);
	rt_mem_fail_at(1);
	ck_assert_int_eq(mbfs_bdev_open_file(path, 0, 0, NULL, &dev), -ENOMEM);
	ck_assert(rt_mem_fail_struck());
	ck_assert_ptr_null(dev);
	unlink(path);
	free(path);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- faults ---- */

enum { CALLS = 6 };

/* What CALLS rounds of write, flush, read answer, as letters: '.' for 0, 'E' for -EIO. */
static void run_plan(const struct mbfs_fault_plan *plan, struct mbfs_bdev *mem, char *writes,
		     char *flushes, char *reads, struct mbfs_fault_counts *counts)
{
	struct mbfs_bdev *dev;
	uint8_t buf[8];

	ck_assert_int_eq(mbfs_bdev_open_fault(mem, plan, &dev), 0);
	for (uint8_t i = 0; i < CALLS; i++) {
		int err;

		memset(buf, i + 1, sizeof(buf));
		err = mbfs_bdev_write(dev, i * 8, buf, sizeof(buf));
		writes[i] = !err ? '.' : err == -EIO ? 'E' : '?';
		err = mbfs_bdev_flush(dev);
		flushes[i] = !err ? '.' : err == -EIO ? 'E' : '?';
		err = mbfs_bdev_read(dev, i * 8, buf, sizeof(buf));
		reads[i] = !err ? '.' : err == -EIO ? 'E' : '?';
	}
	writes[CALLS] = flushes[CALLS] = reads[CALLS] = 0;
	mbfs_bdev_fault_counts(dev, counts);
	mbfs_bdev_close(dev);
}

/* Goal: each field of a plan does what it says and nothing else. Method: row _i against answers and
 * bytes. */
START_TEST(faults_strike_as_planned)
{
	static const struct {
		struct mbfs_fault_plan plan;
		const char *writes, *flushes, *reads;
		const char *landed; /* of each write: '1' all, 'h' its first half, '0' nothing */
		uint64_t faults;
	} rows[] = {
		{ { 0 }, "......", "......", "......", "111111", 0 },
		{ { .fail_read_at = 2 }, "......", "......", ".E....", "111111", 1 },
		{ { .fail_read_at = 2, .sticky = true },
		  "......",
		  "......",
		  ".EEEEE",
		  "111111",
		  5 },
		{ { .fail_write_at = 1 }, "E.....", "......", "......", "011111", 1 },
		{ { .fail_write_at = 5, .sticky = true },
		  "....EE",
		  "......",
		  "......",
		  "111100",
		  2 },
		{ { .torn_write_at = 3 }, "..E...", "......", "......", "11h111", 1 },
		{ { .fail_flush_at = 6 }, "......", ".....E", "......", "111111", 1 },
		{ { .fail_flush_at = 4, .sticky = true },
		  "......",
		  "...EEE",
		  "......",
		  "111111",
		  3 },
		{ { .cut_at = 4 }, "......", "......", "......", "111000", 0 },
		{ { .cut_at = 1 }, "......", "......", "......", "000000", 0 },
		{ { .fail_read_at = 7, .fail_write_at = 7 },
		  "......",
		  "......",
		  "......",
		  "111111",
		  0 },
	};
	struct mbfs_bdev *mem = mem_open(CALLS * 8);
	char w[CALLS + 1], f[CALLS + 1], r[CALLS + 1];
	struct mbfs_fault_counts counts;

	run_plan(&rows[_i].plan, mem, w, f, r, &counts);
	ck_assert_str_eq(w, rows[_i].writes);
	ck_assert_str_eq(f, rows[_i].flushes);
	ck_assert_str_eq(r, rows[_i].reads);
	ck_assert_uint_eq(counts.reads, CALLS);
	ck_assert_uint_eq(counts.writes, CALLS);
	ck_assert_uint_eq(counts.flushes, CALLS);
	ck_assert_uint_eq(counts.faults, rows[_i].faults);
	for (uint8_t i = 0; i < CALLS; i++) {
		const uint8_t *at = mbfs_bdev_mem_bytes(mem) + i * 8;
		char c = rows[_i].landed[i];

		ck_assert(all_are(at, 4, c == '0' ? 0 : i + 1));
		ck_assert(all_are(at + 4, 4, c == '1' ? i + 1 : 0));
	}
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: after a power cut the device is as it was. Method: trims before and after the cut. */
START_TEST(no_trim_after_power_cut)
{
	const struct mbfs_fault_plan plan = { .cut_at = 1 };
	struct mbfs_bdev *mem = mem_open(64), *dev;
	uint8_t b = 1;

	memset(mbfs_bdev_mem_bytes(mem), 7, 64);
	ck_assert_int_eq(mbfs_bdev_open_fault(mem, &plan, &dev), 0);
	ck_assert_int_eq(mbfs_bdev_trim(dev, 0, 8), 0);
	ck_assert(all_are(mbfs_bdev_mem_bytes(mem), 8, 0));
	ck_assert_int_eq(mbfs_bdev_write(dev, 8, &b, 1), 0);
	ck_assert_int_eq(mbfs_bdev_trim(dev, 8, 56), 0);
	ck_assert(all_are(mbfs_bdev_mem_bytes(mem) + 8, 56, 7));
	mbfs_bdev_close(dev);
	mbfs_bdev_close(mem);
}
END_TEST

struct reader {
	struct mbfs_bdev *dev;
	rt_u32 failed;
};

static void read_many(void *arg)
{
	struct reader *r = arg;
	uint8_t b;

	for (int i = 0; i < 1000; i++)
		if (mbfs_bdev_read(r->dev, (uint64_t)i % 64, &b, 1))
			rt_u32_add(&r->failed, 1);
}

/* Goal: exactly one call fails among many threads. Method: 4 readers, one planned fault. */
START_TEST(one_fault_strikes_one_thread)
{
	const struct mbfs_fault_plan plan = { .fail_read_at = 2500 };
	struct mbfs_bdev *mem = mem_open(64);
	struct mbfs_fault_counts counts;
	struct rt_thread *t[4];
	struct reader r = { 0 };

	ck_assert_int_eq(mbfs_bdev_open_fault(mem, &plan, &r.dev), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(rt_thread_start(read_many, &r, "reader", &t[i]), 0);
	for (int i = 0; i < 4; i++)
		rt_thread_join(t[i]);
	mbfs_bdev_fault_counts(r.dev, &counts);
	ck_assert_uint_eq(counts.reads, 4000);
	ck_assert_uint_eq(counts.faults, 1);
	ck_assert_uint_eq(rt_u32_read(&r.failed), 1);
	mbfs_bdev_close(r.dev);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- files ---- */

static char *path;

static void file_setup(void)
{
	path = t_temp();
	ck_assert_int_eq(truncate(path, MIB), 0);
}

static void file_teardown(void)
{
	unlink(path);
	free(path);
}

static struct mbfs_bdev *file_open(uint64_t off, unsigned flags)
{
	struct mbfs_diag diag = { "" };
	struct mbfs_bdev *dev;
	int err = mbfs_bdev_open_file(path, off, flags, &diag, &dev);

	ck_assert_msg(err == 0, "%d %s", err, diag.text);
	return dev;
}

/* @err is expected, with one line that names the image. */
static void file_refused(const char *name, uint64_t off, unsigned flags, int err,
			 const char *remedy)
{
	struct mbfs_diag diag = { "" };
	struct mbfs_bdev *dev = NULL;
	int got = mbfs_bdev_open_file(name, off, flags, &diag, &dev);

	ck_assert_msg(got == err, "%d %s", got, diag.text);
	ck_assert_ptr_null(dev);
	ck_assert_msg(strstr(diag.text, name) && !strpbrk(diag.text, "\n\\"), "%s", diag.text);
	ck_assert_msg(!remedy || strstr(diag.text, remedy), "'%s' has no '%s'", diag.text, remedy);
}

/* Goal: bytes land where they belong, at any offset. Method: write through one device, read through
 * another. */
START_TEST(file_has_the_bytes)
{
	struct mbfs_bdev *dev = file_open(5000, 0), *all;
	uint8_t buf[3000], back[3000];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = t_image_byte(i);
	ck_assert_uint_eq(dev->size_bytes, MIB - 5000);
	ck_assert_int_eq(mbfs_bdev_write(dev, 1234, buf, sizeof(buf)), 0);
	ck_assert_int_eq(mbfs_bdev_write(dev, dev->size_bytes - 1, buf, 1), 0);
	ck_assert_int_eq(mbfs_bdev_write(dev, dev->size_bytes - 1, buf, 2), -EINVAL);
	ck_assert_int_eq(mbfs_bdev_flush(dev), 0);
	mbfs_bdev_close(dev);
	all = file_open(0, MBFS_BDEV_RDONLY);
	ck_assert_uint_eq(all->size_bytes, MIB);
	ck_assert_int_eq(mbfs_bdev_read(all, 6234, back, sizeof(back)), 0);
	ck_assert_mem_eq(back, buf, sizeof(buf));
	ck_assert_int_eq(mbfs_bdev_read(all, MIB - 1, back, 1), 0);
	ck_assert_uint_eq(back[0], buf[0]);
	ck_assert_int_eq(mbfs_bdev_write(all, 0, buf, 1), -EROFS);
	mbfs_bdev_close(all);
}
END_TEST

/* Goal: an image cut short while open is an error, not silent zeros. Method: truncate it, read. */
START_TEST(file_cut_short_is_an_error)
{
	struct mbfs_bdev *dev = file_open(0, 0);
	uint8_t buf[4096];

	ck_assert_int_eq(truncate(path, 10000), 0);
	ck_assert_int_eq(mbfs_bdev_read(dev, 8192, buf, sizeof(buf)), -EIO);
	ck_assert_int_eq(mbfs_bdev_read(dev, 4096, buf, sizeof(buf)), 0);
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: a file becomes longer, and as short again as it was if that was in vain; what somebody
 * else has added stays. Method: whatever carries the transfers out, behind a device for faults. */
START_TEST(file_grows_or_not)
{
	static const unsigned flags[] = { 0, MBFS_BDEV_POOL, MBFS_BDEV_URING };
	const struct mbfs_fault_plan plan = { 0 };
	struct mbfs_bdev *file, *dev;
	struct mbfs_diag diag;
	struct stat st;

	ck_assert_int_eq(truncate(path, 2 * MIB), 0);
	ck_assert_int_eq(mbfs_bdev_open_file(path, MIB, flags[_i], &diag, &file), 0);
	ck_assert_int_eq(mbfs_bdev_open_fault(file, &plan, &dev), 0);
	mbfs_bdev_grow_undo(dev); /* nothing to undo */
	ck_assert_uint_eq(mbfs_bdev_size(dev), MIB);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(mbfs_bdev_grow(dev, 4 * MIB), 0);
		ck_assert_int_eq(mbfs_bdev_write(dev, 4 * MIB - 1, "x", 1), 0);
		mbfs_bdev_grow_undo(dev);
		ck_assert_uint_eq(mbfs_bdev_size(dev), MIB);
		ck_assert_int_eq(mbfs_bdev_write(dev, MIB, "x", 1), -EINVAL);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(st.st_size, 2 * MIB);
	}
	ck_assert_int_eq(truncate(path, 7 * MIB), 0);
	ck_assert_int_eq(mbfs_bdev_grow(dev, 5 * MIB), 0);
	mbfs_bdev_grow_undo(dev);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 7 * MIB);
	ck_assert_uint_eq(mbfs_bdev_size(dev), 6 * MIB);
	mbfs_bdev_close(dev);
	mbfs_bdev_close(file);
}
END_TEST

/* Goal: a trim gives space back and keeps the size. Method: fill, trim, look at st_blocks. */
START_TEST(file_trim_punches)
{
	struct mbfs_bdev *dev = file_open(0, 0);
	static uint8_t buf[MIB];
	struct stat before, after;
	int err;

	memset(buf, 1, sizeof(buf));
	ck_assert_int_eq(mbfs_bdev_write(dev, 0, buf, sizeof(buf)), 0);
	ck_assert_int_eq(mbfs_bdev_flush(dev), 0);
	ck_assert_int_eq(stat(path, &before), 0);
	err = mbfs_bdev_trim(dev, MIB / 4, MIB / 2);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_int_eq(after.st_size, MIB);
	if (err != -EOPNOTSUPP) {
		ck_assert_int_eq(err, 0);
		ck_assert_int_lt(after.st_blocks, before.st_blocks);
		ck_assert_int_eq(mbfs_bdev_read(dev, 0, buf, sizeof(buf)), 0);
		ck_assert(all_are(buf, MIB / 4, 1));
		ck_assert(all_are(buf + MIB / 4, MIB / 2, 0));
		ck_assert(all_are(buf + MIB * 3 / 4, MIB / 4, 1));
	}
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: what is no image is refused with a reason. Method: one of each kind. */
START_TEST(file_refuses_what_is_none)
{
	char *fifo = t_temp();

	file_refused("/nonexistent/image", 0, 0, -ENOENT, "No such file");
	file_refused("/tmp", 0, 0, -EISDIR, "not an image");
	file_refused("/dev/null", 0, 0, -ENOTBLK, "not an image");
	unlink(fifo);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	file_refused(fifo, 0, MBFS_BDEV_RDONLY, -ENOTBLK, "not an image"); /* and does not hang */
	unlink(fifo);
	free(fifo);
	file_refused(path, MIB, 0, -EINVAL, "offset 1048576");
	file_refused(path, UINT64_MAX, 0, -EINVAL, "offset");
	ck_assert_int_eq(truncate(path, 0), 0);
	file_refused(path, 0, 0, -EINVAL, "0 bytes");
	ck_assert_int_eq(truncate(path, MIB), 0);
	if (geteuid() != 0) {
		ck_assert_int_eq(chmod(path, 0400), 0);
		file_refused(path, 0, 0, -EACCES, "-o ro");
	}
}
END_TEST

/* ---- locks ---- */

/* A child that has the image open until it is told, or until it is killed. */
struct holder {
	pid_t pid;
	int tell; /* close it: the child closes the device and ends */
};

static struct holder holder_start(unsigned flags)
{
	int tell[2], told[2];
	struct holder h;
	char c = 0;

	ck_assert_int_eq(pipe2(tell, O_CLOEXEC) | pipe2(told, O_CLOEXEC), 0);
	h.pid = fork();
	ck_assert_int_ge(h.pid, 0);
	if (h.pid == 0) {
		struct mbfs_bdev *dev;

		close(tell[1]);
		c = mbfs_bdev_open_file(path, 0, flags, NULL, &dev) ? 'n' : 'y';
		if (write(told[1], &c, 1) == 1 && c == 'y' && read(tell[0], &c, 1) == 0)
			mbfs_bdev_close(dev);
		_exit(0);
	}
	close(tell[0]);
	close(told[1]);
	ck_assert_int_eq(read(told[0], &c, 1), 1);
	close(told[0]);
	ck_assert_int_eq(c, 'y');
	h.tell = tell[1];
	return h;
}

static void holder_end(struct holder *h)
{
	close(h->tell);
	ck_assert_int_eq(waitpid(h->pid, NULL, 0), h->pid);
}

/* Goal: one writer or many readers. Method: each pair of holder and newcomer. */
START_TEST(lock_keeps_writers_alone)
{
	static const struct {
		unsigned holder, newcomer;
		bool ok;
	} rows[] = {
		{ 0, 0, false },
		{ 0, MBFS_BDEV_RDONLY, false },
		{ MBFS_BDEV_RDONLY, 0, false },
		{ MBFS_BDEV_RDONLY, MBFS_BDEV_RDONLY, true },
		{ 0, MBFS_BDEV_RDONLY | MBFS_BDEV_NOLOCK, true },
		{ MBFS_BDEV_NOLOCK, 0, true },
	};
	struct holder h = holder_start(rows[_i].holder);

	if (rows[_i].ok)
		mbfs_bdev_close(file_open(0, rows[_i].newcomer));
	else
		file_refused(path, 0, rows[_i].newcomer, -EBUSY, "mbfs --wait");
	holder_end(&h);
	mbfs_bdev_close(file_open(0, 0));
}
END_TEST

/* Goal: a killed holder leaves no lock behind. Method: SIGKILL, wait, open. */
START_TEST(lock_dies_with_its_holder)
{
	struct holder h = holder_start(0);

	ck_assert_int_eq(kill(h.pid, SIGKILL), 0);
	ck_assert_int_eq(mbfs_bdev_wait_unlocked(path, 10), 0);
	mbfs_bdev_close(file_open(0, 0));
	holder_end(&h);
}
END_TEST

struct waiter {
	unsigned timeout_s;
	int err;
	uint64_t done_ns; /* when it returned */
};

static void wait_unlocked(void *arg)
{
	struct waiter *w = arg;

	w->err = mbfs_bdev_wait_unlocked(path, w->timeout_s);
	w->done_ns = rt_now_ns();
}

/* Goal: waiting ends when the holder is done, not before. Method: a waiter without and with a
 * limit. */
START_TEST(wait_returns_after_release)
{
	struct waiter w = { .timeout_s = _i ? 60 : 0 };
	struct holder h = holder_start(_i ? MBFS_BDEV_RDONLY : 0);
	struct rt_thread *t;
	uint64_t released_ns;

	ck_assert_int_eq(rt_thread_start(wait_unlocked, &w, "waiter", &t), 0);
	rt_sleep_ns(100000000);
	released_ns = rt_now_ns();
	holder_end(&h);
	rt_thread_join(t);
	ck_assert_int_eq(w.err, 0);
	ck_assert_uint_ge(w.done_ns, released_ns);
	mbfs_bdev_close(file_open(0, 0)); /* the waiter keeps no lock */
}
END_TEST

/* Goal: a limit is kept, and errors are told. Method: one second; a path that is not there. */
START_TEST(wait_times_out)
{
	struct holder h = holder_start(0);
	uint64_t start = rt_now_ns();

	ck_assert_int_eq(mbfs_bdev_wait_unlocked(path, 1), -ETIMEDOUT);
	ck_assert_uint_ge(rt_now_ns() - start, 1000000000ull);
	holder_end(&h);
	ck_assert_int_eq(mbfs_bdev_wait_unlocked(path, 1), 0);
	ck_assert_int_eq(mbfs_bdev_wait_unlocked("/nonexistent/image", 1), -ENOENT);
}
END_TEST

/* Goal: an image the kernel has is refused, by any name. Method: losetup, where that is allowed. */
START_TEST(loop_device_is_noticed)
{
	char *cmd, *link, *out;
	int status;

	ck_assert_int_gt(asprintf(&cmd, "losetup -f --show %s", path), 0);
	out = t_run_status(cmd, &status);
	free(cmd);
	if (status != 0 || strncmp(out, "/dev/loop", 9) != 0) {
		printf("no loop devices here: %s\n", out);
		free(out);
		return;
	}
	out[strcspn(out, "\n")] = 0;
	ck_assert_int_gt(asprintf(&link, "%s-link", path), 0);
	ck_assert_int_eq(linkat(AT_FDCWD, path, AT_FDCWD, link, 0), 0);
	file_refused(path, 0, 0, -EBUSY, out);
	file_refused(link, 0, MBFS_BDEV_RDONLY, -EBUSY, "losetup -d");
	free(t_runf("losetup -d %s", out));
	mbfs_bdev_close(file_open(0, 0));
	unlink(link);
	free(link);
	free(out);
}
END_TEST

static void add_file_tests(Suite *s)
{
	TCase *tc = tcase_create("file");

	tcase_add_checked_fixture(tc, file_setup, file_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, file_has_the_bytes);
	tcase_add_test(tc, file_cut_short_is_an_error);
	tcase_add_loop_test(tc, file_grows_or_not, 0, 3);
	tcase_add_test(tc, file_trim_punches);
	tcase_add_test(tc, file_refuses_what_is_none);
	tcase_add_loop_test(tc, lock_keeps_writers_alone, 0, 6);
	tcase_add_test(tc, lock_dies_with_its_holder);
	tcase_add_loop_test(tc, wait_returns_after_release, 0, 2);
	tcase_add_test(tc, wait_times_out);
	tcase_add_test(tc, loop_device_is_noticed);
	suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
	Suite *s = suite_create("bdev");
	TCase *tc = tcase_create("memory");

	tcase_add_test(tc, ranges_are_checked);
	tcase_add_test(tc, memory_device_is_sparse);
	tcase_add_test(tc, memory_trim_is_exact);
	tcase_add_test(tc, memory_device_refuses);
	tcase_add_loop_test(tc, faults_strike_as_planned, 0, 11);
	tcase_add_test(tc, no_trim_after_power_cut);
	tcase_add_test(tc, one_fault_strikes_one_thread);
	suite_add_tcase(s, tc);
	add_file_tests(s);
	return s;
}

T_MAIN(suite)
