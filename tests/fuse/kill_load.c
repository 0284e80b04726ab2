// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and judge for kill.sh. Goal: after a crash no file shows bytes that were never written to
 * it.
 *
 *   kill_load load DIR SEED PROCS   changes DIR until its file system goes away
 *   kill_load check DIR             reads all of DIR; each wrong byte is a line, and status 1
 *
 * Method: whatever is made gets a number that nothing else ever gets, and carries it in its name,
 * whatever it is renamed to. All that is written to it consists of cells: that number, where in the
 * file the cell belongs, and a count. So every cell found must be zero, or have the number of the
 * name under which it was found and its own place. Attributes and the text of symbolic links have
 * the number as well. Where the name says nothing (lost+found) all cells must agree.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	FILES_MAX = 48,	    /* of one process */
	SUBDIRS = 4,
	SPAN = 96 << 10,    /* files end below it, but for a few */
	PIECE_MAX = 24 << 10,
	DEPTH = 8,	    /* writes at once */
	IO_BYTES = 4096,
	LINK_BYTES = 200,   /* too long for the inode */
	VALUE_BYTES = 700,  /* likewise */
};

struct cell {
	uint64_t id;
	uint32_t place; /* offset / sizeof(cell) */
	uint32_t count;
};

/* ---- load ---- */

struct file {
	uint64_t id; /* 0: none */
	char kind;   /* f, g: regular; s: symbolic link */
	unsigned dir;
};

struct worker {
	unsigned no;
	uint64_t rand, next_id;
	uint32_t count;
	struct file file[FILES_MAX];
	aio_context_t aio;
	uint8_t *buf; /* aligned */
};

static uint64_t draw(struct worker *w, uint64_t below)
{
	w->rand ^= w->rand << 13;
	w->rand ^= w->rand >> 7;
	w->rand ^= w->rand << 17;
	return (w->rand >> 11) % below;
}

/* A multiple of a cell. */
static uint64_t draw_bytes(struct worker *w, uint64_t below)
{
	return draw(w, below / sizeof(struct cell)) * sizeof(struct cell);
}

static void name_of(const struct worker *w, const struct file *f, char *out)
{
	sprintf(out, "w%u/d%u/%c%016" PRIx64 "-with-a-name-that-fills-directories", w->no, f->dir,
		f->kind, f->id);
}

static void fill(struct worker *w, const struct file *f, uint64_t off, uint8_t *buf, size_t bytes)
{
	w->count++;
	for (size_t at = 0; at < bytes; at += sizeof(struct cell)) {
		const struct cell c = { .id = f->id, .count = w->count,
					.place = (uint32_t)((off + at) / sizeof(c)) };

		memcpy(buf + at, &c, sizeof(c));
	}
}

/* Did the call fail as it may? Ends the process if the file system is gone, or with a complaint. */
static void may_fail(const char *what)
{
	struct statfs s;

	if (errno == ENOSPC || errno == EOPNOTSUPP)
		return;
	if (errno == ENOTCONN || errno == ECONNABORTED || errno == ENODEV || statfs(".", &s))
		_exit(0);
	fprintf(stderr, "kill_load: %s: %m\n", what);
	_exit(1);
}

static struct file *any_file(struct worker *w)
{
	struct file *f = &w->file[draw(w, FILES_MAX)];

	return f->id ? f : NULL;
}

static int open_file(struct worker *w, const struct file *f, int flags)
{
	char name[256];
	int fd;

	name_of(w, f, name);
	fd = open(name, flags, 0600);
	if (fd < 0)
		may_fail("open");
	return fd;
}

static void write_piece(struct worker *w, const struct file *f, int fd, uint64_t off)
{
	size_t bytes = sizeof(struct cell) + draw_bytes(w, PIECE_MAX);

	fill(w, f, off, w->buf, bytes);
	if (pwrite(fd, w->buf, bytes, (off_t)off) < 0)
		may_fail("write");
}

static void do_create(struct worker *w)
{
	struct file *f = &w->file[draw(w, FILES_MAX)];
	int fd;

	if (f->id)
		return;
	*f = (struct file){ .id = ++w->next_id, .kind = 'f', .dir = (unsigned)draw(w, SUBDIRS) };
	fd = open_file(w, f, O_CREAT | O_EXCL | O_WRONLY);
	if (fd < 0) {
		f->id = 0;
		return;
	}
	write_piece(w, f, fd, draw(w, 2) ? 0 : draw_bytes(w, SPAN));
	close(fd);
}

static void do_symlink(struct worker *w)
{
	struct file *f = &w->file[draw(w, FILES_MAX)];
	char name[256], text[LINK_BYTES + 1];

	if (f->id)
		return;
	*f = (struct file){ .id = ++w->next_id, .kind = 's', .dir = (unsigned)draw(w, SUBDIRS) };
	name_of(w, f, name);
	for (size_t at = 0; at < LINK_BYTES; at += 20)
		snprintf(text + at, sizeof(text) - at, "/%016" PRIx64 "...", f->id);
	if (symlink(text, name)) {
		may_fail("symlink");
		f->id = 0;
	}
}

static void do_write(struct worker *w)
{
	struct file *f = any_file(w);
	int fd;

	if (!f || f->kind == 's' || (fd = open_file(w, f, O_WRONLY)) < 0)
		return;
	for (uint64_t i = draw(w, 3); i < 3; i++)
		write_piece(w, f, fd, draw_bytes(w, SPAN));
	if (!draw(w, 40) && fsync(fd))
		may_fail("fsync");
	close(fd);
}

static void do_truncate(struct worker *w)
{
	struct file *f = any_file(w);
	char name[256];

	if (!f || f->kind == 's')
		return;
	name_of(w, f, name);
	if (truncate(name, draw(w, 2) ? 0 : (off_t)draw_bytes(w, SPAN)))
		may_fail("truncate");
}

static void do_fallocate(struct worker *w)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE };
	struct file *f = any_file(w);
	int fd;

	if (!f || f->kind == 's' || (fd = open_file(w, f, O_WRONLY)) < 0)
		return;
	if (fallocate(fd, modes[draw(w, sizeof(modes) / sizeof(modes[0]))],
		      (off_t)draw_bytes(w, SPAN),
		      (off_t)(sizeof(struct cell) + draw_bytes(w, SPAN))))
		may_fail("fallocate");
	close(fd);
}

/* Reserve, then write there with several writes under way. */
static void do_aio(struct worker *w)
{
	struct iocb cb[DEPTH], *list[DEPTH];
	struct io_event done[DEPTH];
	struct file *f = any_file(w);
	long nr, got = 0;
	int fd;

	if (!f || f->kind == 's' || (fd = open_file(w, f, O_WRONLY | O_DIRECT)) < 0)
		return;
	if (fallocate(fd, 0, 0, SPAN))
		may_fail("fallocate");
	memset(cb, 0, sizeof(cb));
	for (unsigned i = 0; i < DEPTH; i++) {
		uint64_t off = draw(w, SPAN / IO_BYTES) * IO_BYTES;

		list[i] = &cb[i];
		cb[i].aio_fildes = (uint32_t)fd;
		cb[i].aio_lio_opcode = IOCB_CMD_PWRITE;
		cb[i].aio_buf = (uintptr_t)(w->buf + i * IO_BYTES);
		cb[i].aio_nbytes = IO_BYTES;
		cb[i].aio_offset = (int64_t)off;
		fill(w, f, off, w->buf + i * IO_BYTES, IO_BYTES);
	}
	nr = syscall(SYS_io_submit, w->aio, DEPTH, list);
	if (nr < 0)
		may_fail("io_submit");
	while (got < nr) {
		long n = syscall(SYS_io_getevents, w->aio, 1, nr - got, done, NULL);

		for (long i = 0; i < n; i++) {
			errno = done[i].res < 0 ? (int)-done[i].res : 0;
			if (errno)
				may_fail("aio");
		}
		got += n > 0 ? n : 0;
	}
	close(fd);
}

static void do_rename(struct worker *w)
{
	struct file *f = any_file(w), to;
	char from[256], name[256];

	if (!f)
		return;
	to = *f;
	to.kind = f->kind == 's' ? 's' : f->kind ^ 'f' ^ 'g';
	to.dir = (unsigned)draw(w, SUBDIRS);
	name_of(w, f, from);
	name_of(w, &to, name);
	if (rename(from, name))
		may_fail("rename");
	else
		*f = to;
}

static void do_unlink(struct worker *w)
{
	struct file *f = any_file(w);
	char name[256];

	if (!f)
		return;
	name_of(w, f, name);
	if (unlink(name))
		may_fail("unlink");
	else
		f->id = 0;
}

static void do_attr(struct worker *w)
{
	uint8_t value[VALUE_BYTES];
	struct file *f = any_file(w);
	char name[256];

	if (!f || f->kind == 's')
		return;
	for (size_t at = 0; at + sizeof(f->id) <= sizeof(value); at += sizeof(f->id))
		memcpy(value + at, &f->id, sizeof(f->id));
	name_of(w, f, name);
	if (draw(w, 3)) {
		if (setxattr(name, "user.id", value, VALUE_BYTES / 8 * 8, 0))
			may_fail("setxattr");
	} else if (removexattr(name, "user.id") && errno != ENODATA) {
		may_fail("removexattr");
	}
}

/* A directory with some names, and away with it. */
static void do_dir(struct worker *w)
{
	char dir[64], name[256];
	unsigned nr = (unsigned)draw(w, 30);
	struct file f = { .kind = 'f' };

	sprintf(dir, "w%u/t", w->no);
	if (mkdir(dir, 0700)) {
		may_fail("mkdir");
		return;
	}
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < nr; i++) {
			int fd;

			f.id = w->next_id + 1 + i;
			sprintf(name, "%s/%c%016" PRIx64 "-a-name", dir, f.kind, f.id);
			if (pass) {
				if (unlink(name) && errno != ENOENT)
					may_fail("unlink");
				continue;
			}
			fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
			if (fd < 0) {
				may_fail("create");
				continue;
			}
			fill(w, &f, 0, w->buf, 1024);
			if (pwrite(fd, w->buf, 1024, 0) < 0)
				may_fail("write");
			close(fd);
		}
	}
	w->next_id += nr;
	if (rmdir(dir))
		may_fail("rmdir");
}

static void work(unsigned no, uint64_t seed)
{
	static void (*const ops[])(struct worker *w) = {
		do_create, do_create, do_create, do_create,   do_symlink,   do_write, do_write,
		do_write,  do_write,  do_aio,    do_truncate, do_fallocate, do_attr,  do_rename,
		do_unlink, do_unlink, do_unlink, do_dir,
	};
	struct worker w = { .no = no, .rand = (seed + no) * 0x9e3779b97f4a7c15 | 1,
			    .next_id = (uint64_t)(no + 1) << 32 };
	char name[64];

	for (unsigned d = 0; d < SUBDIRS; d++) {
		sprintf(name, "w%u", no);
		(void)mkdir(name, 0700);
		sprintf(name, "w%u/d%u", no, d);
		if (mkdir(name, 0700))
			may_fail("mkdir");
	}
	w.buf = aligned_alloc(4096, DEPTH * IO_BYTES + PIECE_MAX);
	if (!w.buf || syscall(SYS_io_setup, DEPTH, &w.aio)) {
		perror("kill_load: io_setup");
		_exit(1);
	}
	for (;;)
		ops[draw(&w, sizeof(ops) / sizeof(ops[0]))](&w);
}

static int load(const char *dir, uint64_t seed, unsigned procs)
{
	int status, bad = 0;

	if (chdir(dir)) {
		perror(dir);
		return 1;
	}
	for (unsigned i = 0; i < procs; i++)
		if (!fork())
			work(i, seed);
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

/* ---- check ---- */

static struct {
	uint64_t files, cells, links, values, bad;
	uint64_t found; /* the number in a file whose name has none */
} seen;

static void complain(const char *path, uint64_t at, uint64_t own, uint64_t id, uint32_t place)
{
	if (seen.bad++ < 20)
		fprintf(stderr, "%s: at %" PRIu64 ": number %" PRIx64 " at its place %" PRIu64
			", not %" PRIx64 "\n", path, at, id, (uint64_t)place * sizeof(struct cell),
			own);
}

static void check_file(const char *path, uint64_t own)
{
	static uint8_t buf[1 << 20];
	int fd = open(path, O_RDONLY);
	uint64_t off = 0;
	ssize_t got;

	seen.files++;
	if (fd < 0) {
		perror(path);
		seen.bad++;
		return;
	}
	while ((got = pread(fd, buf, sizeof(buf), (off_t)off)) > 0) {
		for (size_t at = 0; at < (size_t)got; at += sizeof(struct cell)) {
			static const struct cell zero;
			struct cell c = zero;
			size_t left = (size_t)got - at;

			memcpy(&c, buf + at, left < sizeof(c) ? left : sizeof(c));
			if (!memcmp(&c, &zero, sizeof(c)))
				continue;
			seen.cells++;
			if (!own)
				own = c.id;
			if (c.id != own || c.place != (off + at) / sizeof(c))
				complain(path, off + at, own, c.id, c.place);
		}
		off += (uint64_t)got;
	}
	if (got < 0) {
		perror(path);
		seen.bad++;
	}
	close(fd);
	seen.found = own;
}

static void check_attr(const char *path, uint64_t own)
{
	uint64_t value[VALUE_BYTES / 8];
	ssize_t got = lgetxattr(path, "user.id", value, sizeof(value));

	if (got < 0)
		return;
	seen.values++;
	for (size_t i = 0; i < (size_t)got / 8; i++)
		if (own && value[i] != own)
			complain(path, i * 8, own, value[i], 0);
}

static void check_link(const char *path, uint64_t own)
{
	char text[LINK_BYTES + 1] = "", want[32];
	ssize_t got = readlink(path, text, LINK_BYTES);

	seen.links++;
	if (!own)
		return;
	snprintf(want, sizeof(want), "/%016" PRIx64 "...", own);
	for (ssize_t at = 0; at + 20 <= got; at += 20)
		if (memcmp(text + at, want, 20))
			complain(path, (uint64_t)at, own, 0, 0);
}

static int check_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *name = path + at->base;
	uint64_t own = 0;

	(void)type;
	if (strlen(name) > 17 && name[17] == '-' && strchr("fgs", name[0]))
		own = strtoull(name + 1, NULL, 16);
	if (S_ISREG(st->st_mode)) {
		check_file(path, own);
		check_attr(path, seen.found);
	} else if (S_ISLNK(st->st_mode)) {
		check_link(path, own);
	}
	return 0;
}

static int check(const char *dir)
{
	if (nftw(dir, check_one, 64, FTW_PHYS)) {
		perror(dir);
		return 1;
	}
	printf("%" PRIu64 " files with %" PRIu64 " cells, %" PRIu64 " links, %" PRIu64
	       " attributes: %" PRIu64 " wrong\n",
	       seen.files, seen.cells, seen.links, seen.values, seen.bad);
	return seen.bad != 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "load"))
		return load(argv[2], strtoull(argv[3], NULL, 0), (unsigned)atoi(argv[4]));
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check(argv[2]);
	fprintf(stderr, "usage: kill_load load DIR SEED PROCS | check DIR\n");
	return 2;
}
