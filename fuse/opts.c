// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command line. Every -o option is a row of one table: a name, whether it takes a value, and
 * the function that takes it. What mount(8) adds for all file systems is accepted; an unknown name
 * or a bad value is refused by name.
 */
#include "daemon.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	THREADS_DEFAULT = 128,
	THREADS_MAX = 4096,
	CPUS_MAX = 1024,
	COMMIT_MAX_S = 3600,
	WIDEN_MAX_US = 60 * 1000 * 1000,
};

static int MBFS_PRINTF(1, 2) refuse(const char *fmt, ...)
{
	va_list ap;

	fputs("mbfs: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("; see mbfs --help\n", stderr);
	return EXIT_USAGE;
}

/* A decimal number, all of @text, in [@min, @max]. */
static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	unsigned long long v;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || v < min || v > max)
		return false;
	*out = v;
	return true;
}

/* A number of bytes with an optional K, M, G or T. */
static bool size(const char *text, uint64_t max, uint64_t *out)
{
	static const char units[] = "KMGT";
	size_t len = strlen(text);
	unsigned shift = 0;
	const char *unit;
	char digits[24];

	if (!len || len >= sizeof(digits))
		return false;
	memcpy(digits, text, len + 1);
	unit = strchr(units, text[len - 1] & ~0x20);
	if (unit && *unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		digits[len - 1] = 0;
	}
	if (!number(digits, 0, max >> shift, out))
		return false;
	*out <<= shift;
	return true;
}

struct option_row;
typedef int (*option_fn)(struct options *o, const struct option_row *row, const char *value);

struct option_row {
	const char *name;
	char value; /* '=': takes one; 0: takes none */
	option_fn fn;
	size_t off; /* of the field in struct options, for the generic functions */
	uint64_t min, max;
};

static int bad_value(const struct option_row *row, const char *value)
{
	if (row->max)
		return refuse("option %s=%s: not a number from %llu to %llu", row->name, value,
			      (unsigned long long)row->min, (unsigned long long)row->max);
	return refuse("option %s=%s: not a size such as 4096, 64K, 1M or 2G", row->name, value);
}

static int take_ignored(struct options *o, const struct option_row *row, const char *value)
{
	(void)o, (void)row, (void)value;
	return 0;
}

static int take_true(struct options *o, const struct option_row *row, const char *value)
{
	(void)value;
	*(bool *)((char *)o + row->off) = true;
	return 0;
}

static int take_false(struct options *o, const struct option_row *row, const char *value)
{
	(void)value;
	*(bool *)((char *)o + row->off) = false;
	return 0;
}

static int take_u32(struct options *o, const struct option_row *row, const char *value)
{
	uint64_t v;

	if (!number(value, row->min, row->max, &v))
		return bad_value(row, value);
	*(uint32_t *)((char *)o + row->off) = (uint32_t)v;
	return 0;
}

static int take_size(struct options *o, const struct option_row *row, const char *value)
{
	uint64_t v;

	if (!size(value, INT64_MAX, &v))
		return bad_value(row, value);
	*(uint64_t *)((char *)o + row->off) = v;
	return 0;
}

/* For libfuse and the kernel, as it is. */
static int take_kernel(struct options *o, const struct option_row *row, const char *value)
{
	size_t len = strlen(o->kernel);
	int n = snprintf(o->kernel + len, sizeof(o->kernel) - len, ",%s%s%s", row->name,
			 value ? "=" : "", value ? value : "");

	if (n < 0 || (size_t)n >= sizeof(o->kernel) - len)
		return refuse("option %s: too many options for the kernel", row->name);
	return 0;
}

static int take_enospc(struct options *o, const struct option_row *row, const char *value)
{
	const struct mbfs_alloc_variant *v = mbfs_alloc_variant_find(value);
	char names[256] = "";

	if (v) {
		o->fs.tune.enospc = v->name;
		return 0;
	}
	for (unsigned i = 0; (v = mbfs_alloc_variant_at(i)); i++) {
		strncat(names, i ? " " : "", sizeof(names) - strlen(names) - 1);
		strncat(names, v->name, sizeof(names) - strlen(names) - 1);
	}
	return refuse("option %s=%s: the variants are %s", row->name, value, names);
}

static int take_endio(struct options *o, const struct option_row *row, const char *value)
{
	const struct mbfs_endio_variant *v = mbfs_endio_variant_find(value);
	char names[256] = "";

	if (v) {
		o->fs.endio = v->name;
		return 0;
	}
	for (unsigned i = 0; (v = mbfs_endio_variant_at(i)); i++) {
		strncat(names, i ? " " : "", sizeof(names) - strlen(names) - 1);
		strncat(names, v->name, sizeof(names) - strlen(names) - 1);
	}
	return refuse("option %s=%s: the variants are %s", row->name, value, names);
}

static int take_resize(struct options *o, const struct option_row *row, const char *value)
{
	const struct mbfs_resize_variant *v = mbfs_resize_variant_find(value);

	if (!v)
		return refuse("option %s=%s: the variants are count-first pre-5.6 mbfs", row->name,
			      value);
	o->fs.tune.resize = v->name;
	return 0;
}

/* POINT:USEC */
static int take_widen(struct options *o, const struct option_row *row, const char *value)
{
	const char *colon = strchr(value, ':'), *name;
	char names[256] = "";
	uint64_t us;

	if (!colon || !number(colon + 1, 0, WIDEN_MAX_US, &us))
		return refuse("option %s=%s: not POINT:MICROSECONDS", row->name, value);
	for (unsigned i = 0; (name = mbfs_alloc_point_name(i)); i++) {
		if (strlen(name) == (size_t)(colon - value) &&
		    !strncmp(name, value, (size_t)(colon - value))) {
			o->fs.tune.widen_us[i] = (uint32_t)us;
			return 0;
		}
		strncat(names, i ? " " : "", sizeof(names) - strlen(names) - 1);
		strncat(names, name, sizeof(names) - strlen(names) - 1);
	}
	return refuse("option %s=%s: the points are %s", row->name, value, names);
}

static int take_rangelock(struct options *o, const struct option_row *row, const char *value)
{
	bool off = !strcmp(value, "off");

	if (!off && strcmp(value, "on"))
		return refuse("option %s=%s: it is on or off", row->name, value);
	o->fs.rangelock_off = off;
	return 0;
}

static int take_errors(struct options *o, const struct option_row *row, const char *value)
{
	if (!strcmp(value, "continue"))
		o->fs.errors_ok = true; /* of use with ro only */
	else if (!strcmp(value, "remount-ro"))
		o->fs.errors_ro = true;
	else
		return refuse("option %s=%s: it is continue or remount-ro", row->name, value);
	return 0;
}

static int take_io(struct options *o, const struct option_row *row, const char *value)
{
	static const struct {
		const char *name;
		unsigned flags;
	} engines[] = { { "uring", MBFS_BDEV_URING },
			{ "threads", MBFS_BDEV_POOL },
			{ "sync", 0 } };

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (strcmp(engines[i].name, value))
			continue;
		o->io = engines[i].flags;
		o->io_given = true;
		return 0;
	}
	return refuse("option %s=%s: it is uring, threads or sync", row->name, value);
}

#define FIELD(member) offsetof(struct options, member)

static const struct option_row rows[] = {
	{ "ro", 0, take_true, FIELD(read_only), 0, 0 },
	{ "rw", 0, take_false, FIELD(read_only), 0, 0 },
	{ "offset", '=', take_size, FIELD(offset_bytes), 0, 0 },
	{ "norecovery", 0, take_true, FIELD(fs.norecovery), 0, 0 },
	{ "noload", 0, take_true, FIELD(fs.norecovery), 0, 0 },
	{ "errors", '=', take_errors, 0, 0, 0 },
	{ "fakeroot", 0, take_true, FIELD(fakeroot), 0, 0 },
	{ "allow_other", 0, take_true, FIELD(allow_other), 0, 0 },
	{ "default_permissions", 0, take_ignored, 0, 0, 0 }, /* always, but with fakeroot */
	{ "enospc", '=', take_enospc, 0, 0, 0 },
	{ "endio", '=', take_endio, 0, 0, 0 },
	{ "resize", '=', take_resize, 0, 0, 0 },
	{ "rangelock", '=', take_rangelock, 0, 0, 0 },
	{ "intr", 0, take_true, FIELD(intr), 0, 0 },
	{ "nointr", 0, take_false, FIELD(intr), 0, 0 },
	{ "widen", '=', take_widen, 0, 0, 0 },
	{ "cpus", '=', take_u32, FIELD(fs.tune.cpus), 0, CPUS_MAX },
	{ "mb_group_prealloc", '=', take_u32, FIELD(fs.tune.group_prealloc), 1, 1u << 20 },
	{ "mb_stream_req", '=', take_u32, FIELD(fs.tune.stream_req), 0, 1u << 20 },
	{ "mb_order2_req", '=', take_u32, FIELD(fs.tune.order2_req), 0, 32 },
	{ "mb_max_to_scan", '=', take_u32, FIELD(fs.tune.max_to_scan), 1, 1u << 20 },
	{ "mb_min_to_scan", '=', take_u32, FIELD(fs.tune.min_to_scan), 0, 1u << 20 },
	{ "discard", 0, take_true, FIELD(fs.discard), 0, 0 },
	{ "nodiscard", 0, take_false, FIELD(fs.discard), 0, 0 },
	{ "commit", '=', take_u32, FIELD(fs.commit_s), 0, COMMIT_MAX_S },
	{ "cache", '=', take_size, FIELD(fs.cache_bytes), 0, 0 },
	{ "max_background", '=', take_u32, FIELD(max_background), 1, BACKGROUND_MAX },
	{ "max_threads", '=', take_u32, FIELD(max_threads), 1, THREADS_MAX },
	{ "io", '=', take_io, 0, 0, 0 },
	{ "direct", 0, take_true, FIELD(direct), 0, 0 },
	{ "writeback_cache", 0, take_true, FIELD(writeback), 0, 0 },
	/* the kernel's */
	{ "suid", 0, take_true, FIELD(suid), 0, 0 },
	{ "nosuid", 0, take_false, FIELD(suid), 0, 0 },
	{ "dev", 0, take_true, FIELD(dev), 0, 0 },
	{ "nodev", 0, take_false, FIELD(dev), 0, 0 },
	{ "exec", 0, take_kernel, 0, 0, 0 },
	{ "noexec", 0, take_kernel, 0, 0, 0 },
	{ "sync", 0, take_kernel, 0, 0, 0 },
	{ "async", 0, take_kernel, 0, 0, 0 },
	{ "dirsync", 0, take_kernel, 0, 0, 0 },
	{ "noatime", 0, take_kernel, 0, 0, 0 },
	{ "auto_unmount", 0, take_kernel, 0, 0, 0 },
	{ "context", '=', take_kernel, 0, 0, 0 },
	/* of mount(8) and fstab, or without a meaning here */
	{ "atime", 0, take_ignored, 0, 0, 0 },
	{ "relatime", 0, take_ignored, 0, 0, 0 },
	{ "norelatime", 0, take_ignored, 0, 0, 0 },
	{ "strictatime", 0, take_ignored, 0, 0, 0 },
	{ "nostrictatime", 0, take_ignored, 0, 0, 0 },
	{ "lazytime", 0, take_ignored, 0, 0, 0 },
	{ "nolazytime", 0, take_ignored, 0, 0, 0 },
	{ "diratime", 0, take_ignored, 0, 0, 0 },
	{ "nodiratime", 0, take_ignored, 0, 0, 0 },
	{ "defaults", 0, take_ignored, 0, 0, 0 },
	{ "auto", 0, take_ignored, 0, 0, 0 },
	{ "noauto", 0, take_ignored, 0, 0, 0 },
	{ "user", 0, take_ignored, 0, 0, 0 },
	{ "user", '=', take_ignored, 0, 0, 0 },
	{ "nouser", 0, take_ignored, 0, 0, 0 },
	{ "users", 0, take_ignored, 0, 0, 0 },
	{ "owner", 0, take_ignored, 0, 0, 0 },
	{ "group", 0, take_ignored, 0, 0, 0 },
	{ "nofail", 0, take_ignored, 0, 0, 0 },
	{ "_netdev", 0, take_ignored, 0, 0, 0 },
	{ "silent", 0, take_ignored, 0, 0, 0 },
	{ "loud", 0, take_ignored, 0, 0, 0 },
	{ "comment", '=', take_ignored, 0, 0, 0 },
	{ "fsname", '=', take_ignored, 0, 0, 0 }, /* mbfs sets both */
	{ "subtype", '=', take_ignored, 0, 0, 0 },
};

static int take_option(struct options *o, char *text)
{
	char *value = strchr(text, '=');
	bool known = false;

	if (!strncmp(text, "x-", 2)) /* of systemd, udisks ... */
		return 0;
	if (value)
		*value++ = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].name, text))
			continue;
		known = true;
		if ((rows[i].value == '=') == (value != NULL))
			return rows[i].fn(o, &rows[i], value);
	}
	if (!known)
		return refuse("option %s is not known", text);
	return refuse(value ? "option %s takes no value" : "option %s needs a value", text);
}

/* A list with commas; a backslash takes the next character as it is. */
static int take_list(struct options *o, char *list)
{
	char *from = list, *to = list, *start = list;
	int err;

	for (;; from++) {
		bool end = !*from;

		if (*from == '\\' && from[1]) {
			*to++ = *++from;
			continue;
		}
		if (!end && *from != ',') {
			*to++ = *from;
			continue;
		}
		*to = 0;
		err = *start ? take_option(o, start) : 0;
		if (err || end)
			return err;
		start = to = from + 1;
	}
}

static int take_operands(struct options *o, int nr, char **operands)
{
	static const char *const usage[] = {
		[COMMAND_MOUNT] =
			"it takes an image and a mount point: mbfs [OPTIONS] IMAGE MOUNTPOINT",
		[COMMAND_WAIT] = "it takes an image: mbfs --wait IMAGE [--timeout SECONDS]",
	};

	if (o->command == COMMAND_HELP || o->command == COMMAND_VERSION)
		return 0;
	if (nr != (o->command == COMMAND_WAIT ? 1 : 2))
		return refuse("%s", usage[o->command]);
	o->image = operands[0];
	o->mountpoint = nr == 2 ? operands[1] : NULL;
	return 0;
}

static void defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	mbfs_mount_opts_default(&o->fs);
	o->max_threads = THREADS_DEFAULT;
	o->max_background = BACKGROUND_DEFAULT;
	o->allow_other = geteuid() == 0;
}

int options_parse(int argc, char **argv, struct options *out)
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "wait", no_argument, NULL, 'W' },
		{ "timeout", required_argument, NULL, 'T' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t timeout_s;
	int c, err = 0;

	defaults(out);
	opterr = 0;
	while (!err && (c = getopt_long(argc, argv, ":fdrwvnho:V", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			out->foreground = true;
			break;
		case 'd':
			out->debug = out->foreground = true;
			break;
		case 'r':
			out->read_only = true;
			break;
		case 'w':
			out->read_only = false;
			break;
		case 'v':
		case 'n':
			break; /* mount(8) passes them on */
		case 'o':
			err = take_list(out, optarg);
			break;
		case 'h':
			out->command = COMMAND_HELP;
			break;
		case 'V':
			out->command = COMMAND_VERSION;
			break;
		case 'W':
			out->command = COMMAND_WAIT;
			break;
		case 'T':
			if (!number(optarg, 0, UINT32_MAX, &timeout_s))
				return refuse("--timeout %s: not a number of seconds", optarg);
			out->timeout_s = (unsigned)timeout_s;
			break;
		case ':':
			return refuse("%s needs an argument", argv[optind - 1]);
		default:
			return refuse("%s is not known", argv[optind - 1]);
		}
	}
	if (!err)
		err = take_operands(out, argc - optind, argv + optind);
	out->fs.read_only = out->read_only;
	/* A write into the host's page cache is over before a ring or a thread has heard of it. */
	if (out->direct)
		out->io = (out->io_given ? out->io : MBFS_BDEV_URING) | MBFS_BDEV_DIRECT;
	out->fs.fakeroot = out->fakeroot;
	return err;
}
