// SPDX-License-Identifier: GPL-2.0-only
/* mbfs-stat's commands about one file of a mount, by the requests of <mbfs/ioctl.h>. */
#include "stat.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <mbfs/ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { EXT4_TYPE = 0xef53 };

static const char extents_help[] =
	"usage: mbfs-stat extents [--json] FILE...\n"
	"\n"
	"Prints where the blocks of files and directories are, in the words of filefrag -v\n"
	"(which cannot ask a FUSE mount), or as one JSON object a file. Numbers are blocks of\n"
	"the file system, with --json bytes. What the kernel still holds back\n"
	"(-o writeback_cache) is not there yet: fsync first.\n"
	"\n"
	"  --json, --help\n"
	"\n"
	"Exit status: 0, 1 bad use, 2 not on an mbfs mount or not readable.\n";

static int fail(const char *path, int err)
{
	fprintf(stderr, "mbfs-stat: %s: %s\n", path,
		err == ENOTTY || err == EOPNOTSUPP ? "not on an mbfs mount" : strerror(err));
	return EXIT_NO_MOUNT;
}

/* One file that is looked at. */
struct subject {
	const char *path;
	int fd;
	struct stat st;
	struct statfs fs;
	unsigned shift; /* log2 of the block size */
};

static int subject_open(struct subject *s, const char *path, int flags)
{
	int err;

	s->path = path;
	/* A pipe may not keep us waiting. */
	s->fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	if (s->fd < 0)
		return fail(path, errno);
	if (fstat(s->fd, &s->st) || fstatfs(s->fd, &s->fs)) {
		err = errno;
		close(s->fd);
		return fail(path, err);
	}
	for (s->shift = 0; 1ll << s->shift < (long long)s->fs.f_bsize; s->shift++)
		;
	return 0;
}

/* ---- extents ---- */

/* Called for each extent in turn, and once with NULL at the end. */
typedef void (*extent_print)(const struct subject *s, const struct mbfs_ioc_extent *e,
			     const struct mbfs_ioc_extent *before, unsigned idx, unsigned *pieces);

static unsigned digits_after_first(unsigned long long n)
{
	unsigned nr = 0;

	for (; n >= 10; n /= 10)
		nr++;
	return nr;
}

static int width(unsigned least, unsigned long long blks)
{
	unsigned need = digits_after_first(blks);

	return (int)(need > least ? need : least);
}

static int physical_width(const struct subject *s)
{
	return width(10, s->fs.f_blocks);
}

static int logical_width(const struct subject *s)
{
	return width(8, ((unsigned long long)s->st.st_size + (1ull << s->shift) - 1) >> s->shift);
}

static void print_head(const struct subject *s, bool type)
{
	unsigned long long size = (unsigned long long)s->st.st_size;
	unsigned long long blks = (size + (1ull << s->shift) - 1) >> s->shift;

	if (type) /* what the kernel says of the same image */
		printf("Filesystem type is: %x\n", EXT4_TYPE);
	printf("File size of %s is %llu (%llu block%s of %u bytes)\n", s->path, size, blks,
	       blks == 1 ? "" : "s", 1u << s->shift);
}

/*
 * Where it would be in one piece with the one before: right behind it, or as far behind as the hole
 * between them is long. 0: it is there. The first one is in place only at the start of the file.
 */
static unsigned long long expected(const struct mbfs_ioc_extent *e,
				   const struct mbfs_ioc_extent *before)
{
	unsigned long long gap = before->dev_bytes + e->off_bytes - before->off_bytes;

	if (!e->off_bytes || e->dev_bytes == gap ||
	    e->dev_bytes == before->dev_bytes + before->len_bytes)
		return 0;
	return gap;
}

static void print_text(const struct subject *s, const struct mbfs_ioc_extent *e,
		       const struct mbfs_ioc_extent *before, unsigned idx, unsigned *pieces)
{
	unsigned long long lblk, pblk, len, want;
	int lw = logical_width(s), pw = physical_width(s);
	char tail[128];
	size_t at;

	if (!e) {
		printf("%s: %u extent%s found\n", s->path, *pieces, *pieces == 1 ? "" : "s");
		return;
	}
	lblk = e->off_bytes >> s->shift;
	pblk = e->dev_bytes >> s->shift;
	len = e->len_bytes >> s->shift;
	want = expected(e, before);
	if (want || !*pieces)
		++*pieces;
	if (!idx)
		printf(" ext: %*s %*s length: %*s flags:\n", 2 * lw + 3, "logical_offset:",
		       2 * pw + 3, "physical_offset:", pw + 1, "expected:");
	if (want)
		snprintf(tail, sizeof(tail), "%*llu: ", pw, want >> s->shift);
	else
		snprintf(tail, sizeof(tail), "%*s  ", pw, "");
	at = strlen(tail);
	snprintf(tail + at, sizeof(tail) - at, "%s%s%s",
		 e->flags & MBFS_IOC_EXTENT_LAST ? "last," : "",
		 e->flags & MBFS_IOC_EXTENT_UNWRITTEN ? "unwritten," : "",
		 e->flags & MBFS_IOC_EXTENT_MERGED ? "merged," : "");
	tail[strlen(tail) - 1] = 0;
	printf("%4u: %*llu..%*llu: %*llu..%*llu: %6llu: %s%s\n", idx, lw, lblk, lw,
	       lblk + len - 1, pw, pblk, pw, pblk + len - 1, len, tail,
	       e->off_bytes + e->len_bytes >= (unsigned long long)s->st.st_size ? ",eof" : "");
}

static void print_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void print_json(const struct subject *s, const struct mbfs_ioc_extent *e,
		       const struct mbfs_ioc_extent *before, unsigned idx, unsigned *pieces)
{
	(void)s, (void)before, (void)pieces;
	if (!e) {
		fputs("]}\n", stdout);
		return;
	}
	printf("%s{\"off_bytes\":%llu,\"dev_bytes\":%llu,\"len_bytes\":%llu,\"unwritten\":%s}",
	       idx ? "," : "", (unsigned long long)e->off_bytes, (unsigned long long)e->dev_bytes,
	       (unsigned long long)e->len_bytes,
	       e->flags & MBFS_IOC_EXTENT_UNWRITTEN ? "true" : "false");
}

static int walk(const struct subject *s, struct mbfs_ioc_fiemap *io, extent_print print)
{
	struct mbfs_ioc_extent before = { 0 };
	unsigned idx = 0, pieces = 0;

	do {
		io->off_bytes = before.off_bytes + before.len_bytes;
		if (ioctl(s->fd, MBFS_IOC_FIEMAP, io))
			return fail(s->path, errno);
		for (unsigned i = 0; i < io->nr && i < MBFS_IOC_EXTENTS_MAX; i++) {
			print(s, &io->extent[i], &before, idx++, &pieces);
			before = io->extent[i];
		}
	} while (io->nr && !(before.flags & MBFS_IOC_EXTENT_LAST));
	print(s, NULL, &before, idx, &pieces);
	return 0;
}

/* Is it ours? Asked before anything is printed. */
static int probe(const struct subject *s, struct mbfs_ioc_fiemap *io)
{
	memset(io, 0, sizeof(*io));
	return ioctl(s->fd, MBFS_IOC_FIEMAP, io) ? fail(s->path, errno) : 0;
}

static int extents_of(const char *path, bool json, dev_t *dev)
{
	struct mbfs_ioc_fiemap *io = malloc(sizeof(*io));
	struct subject s;
	int code;

	if (!io)
		return fail(path, ENOMEM);
	code = subject_open(&s, path, O_RDONLY);
	if (code)
		goto out;
	code = probe(&s, io);
	if (!code && json) {
		fputs("{\"file\":", stdout);
		print_string(path);
		printf(",\"size_bytes\":%llu,\"block_bytes\":%u,\"extents\":[",
		       (unsigned long long)s.st.st_size, 1u << s.shift);
		code = walk(&s, io, print_json);
	} else if (!code) {
		print_head(&s, *dev != s.st.st_dev);
		*dev = s.st.st_dev;
		code = walk(&s, io, print_text);
	}
	close(s.fd);
out:
	free(io);
	return code;
}

static int extents(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false;
	dev_t dev = 0;
	int c, code = 0;

	while ((c = getopt_long(argc, argv, "jh", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(extents_help, stdout);
			return 0;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		fputs("mbfs-stat: extents of which file? see mbfs-stat extents --help\n", stderr);
		return EXIT_USAGE;
	}
	for (; optind < argc; optind++) {
		int one = extents_of(argv[optind], json, &dev);

		code = one ? one : code;
	}
	return code;
}

/* ---- collapse, insert ---- */

static const char move_help[] =
	"usage: mbfs-stat collapse OFF LEN FILE\n"
	"       mbfs-stat insert OFF LEN FILE\n"
	"\n"
	"collapse takes LEN bytes at OFF out of the file: what follows moves down. insert makes\n"
	"a hole of LEN bytes at OFF: what follows moves up. No data is copied. Both are modes of\n"
	"fallocate(2) that the kernel does not forward to FUSE. OFF and LEN are whole blocks of\n"
	"the file system, in bytes or with a suffix K, M, G or T (1024); OFF, and for collapse\n"
	"OFF + LEN, lie before the end of the file.\n"
	"\n"
	"Exit status: 0, 1 bad use, 2 not on an mbfs mount or refused.\n";

static bool bytes_parse(const char *text, unsigned long long *out)
{
	static const char suffixes[] = "KMGT";
	unsigned shift = 0;
	const char *s;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 0);
	if (errno)
		return false;
	s = *end ? strchr(suffixes, *end) : NULL;
	if (s) {
		shift = 10 * (unsigned)(s - suffixes + 1);
		end++;
	}
	if (*end || *out > (unsigned long long)INT64_MAX >> shift)
		return false;
	*out <<= shift;
	return true;
}

/* What a person can do about it. */
static int refused(const struct subject *s, int err)
{
	switch (err) {
	case EINVAL:
		fprintf(stderr,
			"mbfs-stat: %s: OFF and LEN must be multiples of %u, and inside its %lld "
			"bytes\n",
			s->path, 1u << s->shift, (long long)s->st.st_size);
		return EXIT_NO_MOUNT;
	case EOPNOTSUPP:
		fprintf(stderr,
			"mbfs-stat: %s: not with -o writeback_cache, nor for "
			"files without extents\n",
			s->path);
		return EXIT_NO_MOUNT;
	default:
		return fail(s->path, err);
	}
}

static int move(int argc, char **argv, unsigned mode)
{
	struct mbfs_ioc_fallocate io = { .mode = mode };
	unsigned long long off, len;
	struct subject s;
	int code;

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help")) {
			fputs(move_help, stdout);
			return 0;
		}
	if (argc != 4 || !bytes_parse(argv[1], &off) || !bytes_parse(argv[2], &len)) {
		fputs("mbfs-stat: it takes OFF LEN FILE; see mbfs-stat collapse --help\n", stderr);
		return EXIT_USAGE;
	}
	io.off_bytes = off;
	io.len_bytes = len;
	code = subject_open(&s, argv[3], O_RDWR);
	if (code)
		return code;
	if (ioctl(s.fd, MBFS_IOC_FALLOCATE, &io))
		code = refused(&s, errno);
	close(s.fd);
	return code;
}

static int collapse(int argc, char **argv)
{
	return move(argc, argv, FALLOC_FL_COLLAPSE_RANGE);
}

static int insert(int argc, char **argv)
{
	return move(argc, argv, FALLOC_FL_INSERT_RANGE);
}

static const struct stat_verb verbs[] = {
	{ "collapse", collapse },
	{ "extents", extents },
	{ "insert", insert },
};

const struct stat_verb *stat_verb_find(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}
