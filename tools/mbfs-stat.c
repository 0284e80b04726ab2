// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs-stat: statistics of a live mount, from the virtual attributes of its root
 * (fuse/ops_xattr.c), and commands about files of it (stat-file.c).
 *
 * Without an option the JSON object is flattened into a table, one line a counter; the reader knows
 * only what that object is made of: objects, arrays, numbers and strings without escapes.
 */
#include "stat.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

enum { ATTR_BYTES = 65536, PATH_BYTES = 128, DEPTH_MAX = 3 };

static const char help[] =
	"usage: mbfs-stat [--json] [--groups] MOUNTPOINT\n"
	"       mbfs-stat extents [--json] FILE...\n"
	"       mbfs-stat collapse|insert OFF LEN FILE\n"
	"\n"
	"Prints what the daemon of a live mbfs mount has counted: mount, allocator, writes "
	"under\n"
	"way, metadata cache.\n"
	"\n"
	"  --json    one JSON object, as the daemon gives it\n"
	"  --groups  the block groups instead: free blocks, fragments, first free block, and how "
	"many free\n"
	"            chunks of each order the buddy has (of groups that were used; the others are "
	"not loaded)\n"
	"  --help, --version\n"
	"\n"
	"  extents   where the blocks of files are; mbfs-stat extents --help\n"
	"  collapse, insert\n"
	"            take bytes out of a file or make room in it; mbfs-stat collapse --help\n"
	"\n"
	"The same by other tools: getfattr --only-values -n user.mbfs.stats MOUNTPOINT\n"
	"Exit status: 0, 1 bad use, 2 no mbfs mount or not readable.\n";

static bool attr_read(const char *mnt, const char *name, char *text)
{
	ssize_t got = getxattr(mnt, name, text, ATTR_BYTES - 1);

	if (got < 0) {
		fprintf(stderr, "mbfs-stat: %s: %s\n", mnt,
			errno == ENODATA || errno == ENOTSUP ? "not the root of an mbfs mount"
							     : strerror(errno));
		return false;
	}
	text[got] = 0;
	return true;
}

/* The name of a member, which starts at @s after its quote: appended to @path. Returns what
 * follows. */
static const char *take_name(const char *s, char *path, size_t len)
{
	const char *end = strchr(s, '"');

	if (!end)
		return s + strlen(s);
	snprintf(path + len, PATH_BYTES - len, "%s%.*s", len ? "." : "", (int)(end - s), s);
	return end[1] == ':' ? end + 2 : end + 1;
}

/* The value at @s ends before the next comma or brace that is not inside an array or a string. */
static size_t value_len(const char *s)
{
	if (*s == '[')
		return strcspn(s, "]") + 1;
	if (*s == '"')
		return strcspn(s + 1, "\"") + 2;
	return strcspn(s, ",}");
}

static void print_table(const char *s)
{
	char path[PATH_BYTES] = "";
	size_t base[DEPTH_MAX + 1] = { 0 }; /* of the enclosing objects' names in path */
	unsigned depth = 0;

	if (*s == '{')
		s++;
	while (*s) {
		size_t len;

		if (*s == ',') {
			s++;
		} else if (*s == '}') {
			depth -= depth > 0;
			s++;
		} else if (*s != '"') {
			return;
		} else {
			s = take_name(s + 1, path, base[depth]);
			if (*s == '{' && depth < DEPTH_MAX) {
				base[++depth] = strlen(path);
				s++;
				continue;
			}
			len = value_len(s);
			if (len > strlen(s))
				return;
			printf("%-34s %.*s\n", path, (int)len, s);
			s += len;
		}
		path[base[depth]] = 0;
	}
}

/* "name":value of a flat object, as a number; 0 if it is not there. */
static unsigned long member(const char *object, const char *name)
{
	char key[40];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(object, key);
	return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

static void print_group(const char *object)
{
	const char *counts = strstr(object, "\"counts\":[");
	size_t len;

	printf("%8lu ", member(object, "group"));
	if (!member(object, "loaded")) {
		printf("%9lu  not loaded\n", member(object, "free"));
		return;
	}
	printf("%9lu %9lu %9lu  [", member(object, "free"), member(object, "fragments"),
	       member(object, "first"));
	if (counts) {
		counts += strlen("\"counts\":[");
		len = strcspn(counts, "]");
		for (size_t i = 0; i < len; i++)
			putchar(counts[i] == ',' ? ' ' : counts[i]);
	}
	printf("]%s\n", member(object, "bad") ? " damaged: fenced off" : "");
}

static int print_groups(const char *mnt, char *text, bool json)
{
	unsigned long next = 0;
	char name[48];

	if (!json)
		printf("%8s %9s %9s %9s  free chunks of order 0, 1 ...\n", "group", "free",
		       "fragments", "first");
	do {
		const char *object, *tail;

		snprintf(name, sizeof(name), "user.mbfs.groups.%lu", next);
		if (!attr_read(mnt, name, text))
			return EXIT_NO_MOUNT;
		if (json)
			puts(text);
		for (object = text; !json && (object = strstr(object, "{\"group\":")); object++)
			print_group(object);
		tail = strstr(text, "],\"next\":");
		if (!tail || member(tail, "next") <= next)
			return 0;
		next = member(tail, "next");
	} while (true);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "groups", no_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false, groups = false;
	int c, code = 0;
	char *text;

	if (argc > 1) {
		const struct stat_verb *verb = stat_verb_find(argv[1]);

		argv[1] = verb ? argv[0] : argv[1]; /* the name in messages */
		if (verb)
			return verb->run(argc - 1, argv + 1);
	}
	while ((c = getopt_long(argc, argv, "jghV", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'g':
			groups = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		case 'V':
			printf("mbfs-stat %s %s\n", MBFS_VERSION, MBFS_COMMIT);
			return 0;
		default:
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 1) {
		fputs("mbfs-stat: it takes the mount point; see mbfs-stat --help\n", stderr);
		return EXIT_USAGE;
	}
	text = malloc(ATTR_BYTES);
	if (!text) {
		fputs("mbfs-stat: out of memory\n", stderr);
		return EXIT_NO_MOUNT;
	}
	if (groups)
		code = print_groups(argv[optind], text, json);
	else if (!attr_read(argv[optind], "user.mbfs.stats", text))
		code = EXIT_NO_MOUNT;
	else if (json)
		puts(text);
	else
		print_table(text);
	free(text);
	return code;
}
