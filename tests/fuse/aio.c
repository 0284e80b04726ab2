// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: O_DIRECT and asynchronous requests on a mount mean what open(2), io_submit(2) and io_uring
 * say. Method: one function a property, each in a file of its own; everything that is read is
 * compared with a copy in memory. Called by aio.sh: t_aio DIR [SEED].
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/aio_engine.h"

enum { BLOCK = 4096, FILE_BYTES = 1 << 20, ROUNDS = 200 };

static unsigned rand_state;
static uint8_t *mem, *twin; /* FILE_BYTES each, page-aligned; mem has room to be misaligned */

/* xorshift32 */
static unsigned rnd(unsigned below)
{
	rand_state ^= rand_state << 13;
	rand_state ^= rand_state >> 17;
	rand_state ^= rand_state << 5;
	return rand_state % below;
}

static int file(int flags, const char *fmt, const char *arg)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), fmt, arg);
	fd = open(name, flags, 0644);
	if (fd < 0)
		die("open %s: %s", name, strerror(errno));
	return fd;
}

static void full(ssize_t got, size_t want, const char *what)
{
	if (got < 0 || (size_t)got != want)
		die("%s: %zd of %zu: %s", what, got, want,
		    strerror(got < -1 ? (int)-got : errno));
}

static void expect(const uint8_t *got, const uint8_t *want, size_t len, off_t off,
		   const char *what)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] != want[i])
			die("%s: byte %lld is %02x, not %02x", what, (long long)off + (long long)i,
			    got[i], want[i]);
}

static void fill(uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)rnd(256);
}

/* All of @fd is what twin says. */
static void expect_file(int fd, size_t bytes, const char *what)
{
	full(pread(fd, mem, FILE_BYTES, 0), bytes, what);
	expect(mem, twin, bytes, 0, what);
}

/* Any offset, length and memory. */
static void alignment(struct aio *a)
{
	int fd = file(O_RDWR | O_CREAT | O_DIRECT, "align-%s", aio_names[a->engine]);
	size_t size = 0;

	memset(twin, 0, FILE_BYTES);
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = 1 + rnd(3 * BLOCK), off = rnd(FILE_BYTES / 4), skip = rnd(16);

		fill(twin + off, len);
		memcpy(mem + skip, twin + off, len);
		aio_write(a, 0, fd, mem + skip, len, (off_t)off);
		aio_reap(a);
		full(a->res[0], len, "unaligned write");
		size = off + len > size ? off + len : size;
		off = rnd((unsigned)size);
		len = 1 + rnd(3 * BLOCK);
		len = len < size - off ? len : size - off;
		aio_read(a, 1, fd, mem + skip, len, (off_t)off);
		aio_reap(a);
		full(a->res[1], len, "unaligned read");
		expect(mem + skip, twin + off, len, (off_t)off, "unaligned");
	}
	expect_file(fd, size, "unaligned, whole file");
	close(fd);
	fd = file(O_RDONLY, "align-%s", aio_names[a->engine]);
	expect_file(fd, size, "unaligned, through the page cache");
	close(fd);
}

static void end_of_file(struct aio *a)
{
	int fd = file(O_RDWR | O_CREAT | O_DIRECT, "eof-%s", aio_names[a->engine]);
	static const struct {
		off_t off;
		size_t len;
		ssize_t got;
	} rows[] = {
		{ 0, 3 * BLOCK, 5000 },
		{ 0, BLOCK, BLOCK },
		{ BLOCK, BLOCK, 904 },
		{ 4999, BLOCK, 1 },
		{ 5000, BLOCK, 0 },
		{ 2 * BLOCK, BLOCK, 0 },
		{ (off_t)1 << 40, BLOCK, 0 },
	};

	fill(twin, 5000);
	memcpy(mem, twin, 5000);
	full(pwrite(fd, mem, 5000, 0), 5000, "write");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		aio_read(a, 0, fd, mem, rows[i].len, rows[i].off);
		aio_reap(a);
		if (a->res[0] != rows[i].got)
			die("read of %zu at %lld in 5000 bytes: %zd, not %zd", rows[i].len,
			    (long long)rows[i].off, a->res[0], rows[i].got);
		expect(mem, twin + (rows[i].got ? rows[i].off : 0), (size_t)rows[i].got,
		       rows[i].off, "end of file");
	}
	/* From past the end: the gap reads as zeros. */
	memset(twin + 5000, 0, 100000);
	fill(twin + 50000, BLOCK);
	memcpy(mem, twin + 50000, BLOCK);
	aio_write(a, 0, fd, mem, BLOCK, 50000);
	aio_reap(a);
	full(a->res[0], BLOCK, "write past the end");
	expect_file(fd, 50000 + BLOCK, "gap");
	close(fd);
}

/* Two processes append records at once: each is there, whole, once, its sender's in order. */
static void append(void)
{
	enum { RECORD = 1000, NR = 60 };
	int fd = file(O_RDWR | O_CREAT | O_DIRECT | O_APPEND, "%s", "append");
	uint8_t next[2] = { 0, 0 };
	pid_t child = fork();
	char who = child ? 'p' : 'c';
	int status;

	for (int i = 0; i < NR; i++) {
		memset(mem, who, RECORD);
		mem[0] = (uint8_t)i;
		full(write(fd, mem, RECORD), RECORD, "append");
	}
	if (!child)
		_exit(0);
	if (waitpid(child, &status, 0) != child || status)
		die("append: the other process failed");
	full(pread(fd, mem, FILE_BYTES, 0), 2 * NR * RECORD, "append");
	for (int i = 0; i < 2 * NR; i++) {
		const uint8_t *r = mem + i * RECORD;

		if (r[0] != next[r[1] == 'c']++)
			die("append: record %d is out of order", i);
		for (int j = 2; j < RECORD; j++)
			if (r[j] != r[1])
				die("append: record %d is torn", i);
	}
	close(fd);
}

static void vectors(struct aio *a)
{
	int fd = file(O_RDWR | O_CREAT | O_DIRECT, "vec-%s", aio_names[a->engine]);
	struct iovec iov[8];

	for (int i = 0; i < ROUNDS / 4; i++) {
		unsigned nr = 1 + rnd(8);
		size_t len = 0, off = rnd(BLOCK);

		for (unsigned j = 0; j < nr; j++) {
			iov[j].iov_base = mem + len;
			iov[j].iov_len = 1 + rnd(BLOCK);
			len += iov[j].iov_len;
		}
		fill(twin, len);
		memcpy(mem, twin, len);
		aio_writev(a, 0, fd, iov, nr, (off_t)off);
		aio_reap(a);
		full(a->res[0], len, "writev");
		memset(mem, 0, len);
		aio_readv(a, 1, fd, iov, nr, (off_t)off);
		aio_reap(a);
		full(a->res[1], len, "readv");
		expect(mem, twin, len, (off_t)off, "vectors");
	}
	close(fd);
}

enum way { BUFFERED, DIRECT, MAPPED, MAPPED_DIRECT, WAYS };
static const char *const way_names[WAYS] = { "buffered", "direct", "mapped", "mapped O_DIRECT" };

struct views {
	int fd[2];
	uint8_t *map[2];
};

static void views_open(struct views *v)
{
	for (int i = 0; i < 2; i++) {
		v->fd[i] = file(O_RDWR | (i ? O_DIRECT : 0), "%s", "mixed");
		v->map[i] = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd[i], 0);
		if (v->map[i] == MAP_FAILED)
			die("mmap MAP_SHARED%s: %s", i ? " of O_DIRECT" : "", strerror(errno));
	}
}

static void put(struct views *v, enum way way, size_t off, size_t len)
{
	if (way >= MAPPED) {
		memcpy(v->map[way == MAPPED_DIRECT] + off, twin + off, len);
		return;
	}
	memcpy(mem, twin + off, len);
	full(pwrite(v->fd[way == DIRECT], mem, len, (off_t)off), len, way_names[way]);
}

static void see(struct views *v, enum way way, size_t off, size_t len, const char *what)
{
	const uint8_t *from = mem;

	if (way >= MAPPED)
		from = v->map[way == MAPPED_DIRECT] + off;
	else
		full(pread(v->fd[way == DIRECT], mem, len, (off_t)off), len, what);
	expect(from, twin + off, len, (off_t)off, what);
}

/*
 * One file, two processes that take turns: what one has written by any way the other sees by any
 * way. twin is shared memory.
 */
static void mixed(void)
{
	int to[2], back[2], status, fd = file(O_RDWR | O_CREAT, "%s", "mixed");
	struct {
		size_t off, len;
		int put, see;
		bool more;
	} job = { .more = true };
	struct views v;
	char text[80];
	pid_t child;

	memset(twin, 0, FILE_BYTES);
	if (ftruncate(fd, FILE_BYTES) || pipe(to) || pipe(back))
		die("mixed: %s", strerror(errno));
	close(fd);
	child = fork();
	views_open(&v);
	for (int i = 0; child && i < 4 * ROUNDS; i++) {
		job.len = 1 + rnd(3 * BLOCK);
		job.off = rnd((unsigned)(FILE_BYTES - job.len));
		job.put = (int)rnd(WAYS);
		job.see = (int)rnd(WAYS);
		fill(twin + job.off, job.len);
		put(&v, (enum way)job.put, job.off, job.len);
		full(write(to[1], &job, sizeof(job)), sizeof(job), "pipe");
		if (read(back[0], text, 1) != 1)
			die("mixed: the reader gave up");
	}
	if (child) {
		job.more = false;
		full(write(to[1], &job, sizeof(job)), sizeof(job), "pipe");
		if (waitpid(child, &status, 0) != child || status)
			die("mixed: the reader failed");
		see(&v, DIRECT, 0, FILE_BYTES, "mixed, whole file");
		return;
	}
	close(to[1]);
	while (read(to[0], &job, sizeof(job)) == sizeof(job) && job.more) {
		snprintf(text, sizeof(text), "written %s, read %s", way_names[job.put],
			 way_names[job.see]);
		see(&v, (enum way)job.see, job.off, job.len, text);
		full(write(back[1], "", 1), 1, "pipe");
	}
	_exit(0);
}

/* AIO_DEPTH writes of a block each, each block's bytes are its number plus one. */
static void storm(struct aio *a, int fd, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		memset(mem + i * BLOCK, (int)i + 1, BLOCK);
		aio_write(a, i, fd, mem + i * BLOCK, BLOCK, (off_t)i * BLOCK);
	}
}

/* Every block is its number, or all zeros if that is allowed. */
static void storm_check(int fd, bool zeros, const char *what)
{
	ssize_t got = pread(fd, mem, FILE_BYTES, 0);

	for (ssize_t at = 0; at < got; at += BLOCK) {
		uint8_t want = (uint8_t)(at / BLOCK + 1);

		if (zeros && !mem[at])
			want = 0;
		for (ssize_t i = at; i < at + BLOCK && i < got; i++)
			if (mem[i] != want)
				die("%s: byte %zd is %02x, not %02x", what, i, mem[i], want);
	}
	if (got < 0)
		die("%s: %s", what, strerror(errno));
}

static void results(struct aio *a, unsigned nr, const char *what)
{
	aio_reap(a);
	for (unsigned i = 0; i < nr; i++)
		full(a->res[i], BLOCK, what);
}

static void unlinked(struct aio *a)
{
	for (int i = 0; i < 10; i++) {
		int fd = file(O_RDWR | O_CREAT | O_EXCL | O_DIRECT, "%s", "unlinked");

		if (i % 2 && ftruncate(fd, AIO_DEPTH * BLOCK))
			die("ftruncate: %s", strerror(errno));
		storm(a, fd, AIO_DEPTH);
		if (unlink("unlinked"))
			die("unlink: %s", strerror(errno));
		results(a, AIO_DEPTH, "write to a file being removed");
		storm_check(fd, false, "removed file");
		storm(a, fd, AIO_DEPTH);
		close(fd); /* the last one, with writes under way */
		results(a, AIO_DEPTH, "write to a file being closed");
	}
}

static void truncated(struct aio *a)
{
	for (int i = 0; i < 30; i++) {
		int fd = file(O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, "trunc-%s",
			      aio_names[a->engine]);
		off_t to = (off_t)rnd(AIO_DEPTH * BLOCK);
		struct stat st;

		if (ftruncate(fd, AIO_DEPTH * BLOCK))
			die("ftruncate: %s", strerror(errno));
		storm(a, fd, AIO_DEPTH);
		if (ftruncate(fd, to) || (i % 2 && ftruncate(fd, AIO_DEPTH * BLOCK)))
			die("ftruncate: %s", strerror(errno));
		results(a, AIO_DEPTH, "write to a file being cut");
		if (fstat(fd, &st) || st.st_size < to || st.st_size > AIO_DEPTH * BLOCK)
			die("cut file: size %lld", (long long)st.st_size);
		/* The block that was cut may begin with its bytes and end with zeros. */
		full(pwrite(fd, memset(mem, (int)(to / BLOCK) + 1, BLOCK), BLOCK,
			    to / BLOCK * BLOCK), BLOCK, "write");
		storm_check(fd, true, "cut file");
		close(fd);
	}
}

static void synced(struct aio *a)
{
	int fd = file(O_RDWR | O_CREAT | O_DIRECT, "sync-%s", aio_names[a->engine]);

	if (posix_fallocate(fd, 0, AIO_DEPTH * BLOCK))
		die("posix_fallocate");
	for (int i = 0; i < 20; i++) {
		storm(a, fd, AIO_DEPTH - 1);
		aio_fsync(a, AIO_DEPTH - 1, fd);
		if (fsync(fd) || fdatasync(fd))
			die("fsync during writes: %s", strerror(errno));
		results(a, AIO_DEPTH - 1, "write during fsync");
		if (a->res[AIO_DEPTH - 1])
			die("asynchronous fsync: %zd", a->res[AIO_DEPTH - 1]);
	}
	storm(a, fd, AIO_DEPTH);
	results(a, AIO_DEPTH, "write");
	storm_check(fd, false, "file after fsync");
	close(fd);
}

/* Many under way at once, reads among the writes, of bytes that nobody writes. */
static void at_once(struct aio *a)
{
	int fd = file(O_RDWR | O_CREAT | O_DIRECT, "once-%s", aio_names[a->engine]);
	const size_t half = FILE_BYTES / 2, part = half / (AIO_DEPTH / 2);

	fill(twin, half);
	memcpy(mem, twin, half);
	full(pwrite(fd, mem, half, 0), half, "write");
	if (ftruncate(fd, FILE_BYTES))
		die("ftruncate: %s", strerror(errno));
	memcpy(twin + half, twin, half);
	for (unsigned i = 0; i < AIO_DEPTH / 2; i++)
		aio_write(a, i, fd, twin + half + i * part, part, (off_t)(half + i * part));
	memset(mem, 0, half);
	for (unsigned i = 0; i < AIO_DEPTH / 2; i++)
		aio_read(a, AIO_DEPTH / 2 + i, fd, mem + i * part, part, (off_t)(i * part));
	aio_reap(a);
	for (unsigned i = 0; i < AIO_DEPTH; i++)
		full(a->res[i], part, "one of many at once");
	expect(mem, twin, half, 0, "read among writes");
	expect_file(fd, FILE_BYTES, "written among reads");
	close(fd);
}

static uint8_t *memory(int flags)
{
	void *at = mmap(NULL, FILE_BYTES + BLOCK, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1,
			0);

	if (at == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return at;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(struct aio *a);
	} rows[] = {
		{ "alignment", alignment }, { "end of file", end_of_file },
		{ "vectors", vectors },	    { "at once", at_once },
		{ "unlinked", unlinked },   { "truncated", truncated },
		{ "synced", synced },
	};
	unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;

	if (argc < 2 || chdir(argv[1])) {
		fprintf(stderr, "usage: t_aio DIR [SEED]\n");
		return 2;
	}
	mem = memory(MAP_PRIVATE);
	twin = memory(MAP_SHARED);
	for (int e = 0; e < AIO_ENGINES; e++) {
		struct aio a;

		if (!aio_open(&a, (enum aio_engine)e)) {
			printf("%s: not here\n", aio_names[e]);
			continue;
		}
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			rand_state = seed * 2654435761u | 1;
			printf("%s: %s (seed %u)\n", aio_names[e], rows[i].name, seed);
			fflush(stdout);
			rows[i].fn(&a);
		}
		aio_close(&a);
	}
	rand_state = seed * 2654435761u | 1;
	puts("append");
	fflush(stdout);
	append();
	puts("mixed");
	fflush(stdout);
	mixed();
	return 0;
}
