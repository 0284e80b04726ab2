// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs-resize: a mounted file system grows. This process is in the request until it has; a child of
 * it asks now and then how far it is and draws the bar, until the pipe between them is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <mbfs/ioctl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 1, EXIT_REFUSED = 2, BAR_CHARS = 40, LOOK_MS = 100 };

static const char help[] =
	"usage: mbfs-resize [--json] [--quiet] MOUNTPOINT [SIZE]\n"
	"\n"
	"Makes a mounted mbfs file system larger, while it is in use.\n"
	"\n"
	"  SIZE      of the file system: bytes, or with K, M, G, T. The image file is extended if\n"
	"            it is shorter. Default: as long as the image file or device is now\n"
	"  --json    what has become of it as one JSON object on stdout\n"
	"  --quiet   no bar (as when stderr is not a terminal)\n"
	"  --help, --version\n"
	"\n"
	"The same by the usual tool: truncate -s SIZE IMAGE; resize2fs IMAGE\n"
	"Exit status: 0 it has that size; 1 bad use; 2 refused or failed: it has its old size.\n";

static void bar_draw(uint64_t done, uint64_t total)
{
	unsigned full = total ? (unsigned)(done * BAR_CHARS / total) : 0;

	if (full > BAR_CHARS)
		full = BAR_CHARS;
	fprintf(stderr, "\r[%.*s%*s] %3u %%", (int)full, "########################################",
		BAR_CHARS - (int)full, "", full * 100 / BAR_CHARS);
	fflush(stderr);
}

static void bar_main(int fd, int over)
{
	struct pollfd end = { .fd = over, .events = POLLIN };
	struct mbfs_ioc_resize_state state;

	while (poll(&end, 1, LOOK_MS) == 0)
		if (!ioctl(fd, MBFS_IOC_RESIZE_STATE, &state))
			bar_draw(state.done, state.total);
	fprintf(stderr, "\r%*s\r", BAR_CHARS + 10, "");
}

/* The child, or -1: no bar then. *over: closed when it is to end. */
static pid_t bar_start(int fd, int *over)
{
	int ends[2];
	pid_t child;

	if (pipe(ends))
		return -1;
	child = fork();
	if (child == 0) {
		close(ends[1]);
		bar_main(fd, ends[0]);
		_exit(0);
	}
	close(ends[0]);
	if (child < 0)
		close(ends[1]);
	*over = ends[1];
	return child;
}

/* A number of bytes with its unit. */
static bool size_parse(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	unsigned shift = 0;
	const char *unit;
	char *end;

	errno = 0;
	*bytes = strtoull(text, &end, 10);
	if (errno || end == text || *text == '-' || !*bytes)
		return false;
	if (*end && (unit = strchr(units, *end)) != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (*end || *bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

static int fail(const char *mnt, int err)
{
	fprintf(stderr, "mbfs-resize: %s: %s\n", mnt,
		err == ENOTTY || err == EOPNOTSUPP || err == ENOSYS
			? "not on an mbfs mount"
			: err == EPERM ? "only root, and who mounted it, may resize it"
				       : strerror(err));
	return EXIT_REFUSED;
}

/* JSON has no other characters to be escaped in what the daemon says. */
static void put_json(const struct mbfs_ioc_resize *io, uint64_t old_bytes, double seconds)
{
	printf("{\"old_bytes\":%" PRIu64 ",\"size_bytes\":%" PRIu64 ",\"errno\":%u,"
	       "\"seconds\":%.3f,\"text\":\"",
	       old_bytes, (uint64_t)io->size_bytes, io->error, seconds);
	for (const char *p = io->text; *p; p++)
		printf(*p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
	printf("\"}\n");
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int resize(const char *mnt, int fd, uint64_t want, bool json, bool bar)
{
	struct mbfs_ioc_resize io = { .size_bytes = want };
	struct mbfs_ioc_resize_state before;
	double start = now_s(), seconds;
	pid_t child = -1;
	int over, err;

	if (ioctl(fd, MBFS_IOC_RESIZE_STATE, &before))
		return fail(mnt, errno);
	if (bar)
		child = bar_start(fd, &over);
	err = ioctl(fd, MBFS_IOC_RESIZE, &io) ? errno : 0;
	if (child > 0) {
		close(over);
		waitpid(child, NULL, 0);
	}
	if (err)
		return fail(mnt, err);
	seconds = now_s() - start;
	io.text[sizeof(io.text) - 1] = 0;
	if (json)
		put_json(&io, before.size_bytes, seconds);
	if (io.text[0])
		fprintf(stderr, "mbfs-resize: %s: %s\n", mnt, io.text);
	if (io.error)
		return EXIT_REFUSED;
	if (!json)
		printf("%s: from %" PRIu64 " to %" PRIu64 " MiB in %.2f s\n", mnt,
		       (uint64_t)before.size_bytes >> 20, (uint64_t)io.size_bytes >> 20, seconds);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false, bar = isatty(STDERR_FILENO);
	uint64_t want = 0;
	int c, fd, code;

	while ((c = getopt_long(argc, argv, "jqhV", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'q':
			bar = false;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'V':
			printf("mbfs-resize %s %s\n", MBFS_VERSION, MBFS_COMMIT);
			return 0;
		default:
			return EXIT_USAGE;
		}
	}
	if (argc - optind < 1 || argc - optind > 2) {
		fputs("mbfs-resize: it takes the mount point and a size; see mbfs-resize --help\n",
		      stderr);
		return EXIT_USAGE;
	}
	if (argc - optind == 2 && !size_parse(argv[optind + 1], &want)) {
		fprintf(stderr, "mbfs-resize: %s: not a size; use bytes, or K, M, G, T as in 20G\n",
			argv[optind + 1]);
		return EXIT_USAGE;
	}
	fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(argv[optind], errno);
	code = resize(argv[optind], fd, want, json, bar);
	close(fd);
	return code;
}
