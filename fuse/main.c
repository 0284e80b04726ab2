// SPDX-License-Identifier: GPL-2.0-only
/*
 * mbfs: mounts an ext4 image through FUSE.
 *
 * main.c takes the command line to daemon.c, which runs one mount; ops*.c turn requests into calls
 * of <mbfs/fs.h>, reply.c turns results into replies. There is no state here but struct daemon,
 * constant while requests run: what they share is the library's, which is safe from many threads.
 *
 * The process forks before anything is opened or started: the library's threads and locks, RCU and
 * the image's lock exist in the child only, and the parent does nothing but wait for the child's
 * word.
 *
 * The kernel checks permissions (default_permissions), caches names, attributes and pages without
 * limit, because nobody else changes the image, and writes through, so that "no space" is the
 * answer to the write that met it.
 */
#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int wait_for_image(const struct options *o)
{
	int err = mbfs_bdev_wait_unlocked(o->image, o->timeout_s);

	if (!err)
		return 0;
	if (err == -ETIMEDOUT)
		fprintf(stderr, "mbfs: %s is still in use after %u s\n", o->image, o->timeout_s);
	else
		fprintf(stderr, "mbfs: %s: %s\n", o->image, strerror(-err));
	return EXIT_SYSTEM;
}

/* Absolute paths: the daemon leaves the directory it was started in. */
static int resolve(struct options *o, char *image, char *mountpoint)
{
	struct stat st;

	if (!realpath(o->image, image)) {
		fprintf(stderr, "mbfs: %s: %s\n", o->image, strerror(errno));
		return EXIT_MOUNT;
	}
	o->image = image;
	/* Already mounted by mount.fuse3 -o drop_privileges: a descriptor. */
	if (!strncmp(o->mountpoint, "/dev/fd/", 8))
		return 0;
	if (!realpath(o->mountpoint, mountpoint) || stat(mountpoint, &st)) {
		fprintf(stderr, "mbfs: mount point %s: %s\n", o->mountpoint, strerror(errno));
		return EXIT_MOUNT;
	}
	if (!S_ISDIR(st.st_mode)) {
		fprintf(stderr, "mbfs: mount point %s: not a directory\n", o->mountpoint);
		return EXIT_MOUNT;
	}
	o->mountpoint = mountpoint;
	return 0;
}

int main(int argc, char **argv)
{
	char image[PATH_MAX], mountpoint[PATH_MAX];
	struct options o;
	int code = options_parse(argc, argv, &o);

	if (code)
		return code;
	switch (o.command) {
	case COMMAND_HELP:
		options_help();
		return 0;
	case COMMAND_VERSION:
		options_version();
		return 0;
	case COMMAND_WAIT:
		return wait_for_image(&o);
	case COMMAND_MOUNT:
		break;
	}
	code = resolve(&o, image, mountpoint);
	if (code)
		return code;
	/* Request buffers of up to 1 MiB come and go: keep them in the heap instead of mmap and
	 * munmap. */
	mallopt(M_MMAP_THRESHOLD, 8 * REQUEST_BYTES_MAX);
	mallopt(M_TRIM_THRESHOLD, 64 * REQUEST_BYTES_MAX);
	return daemon_run(&o);
}
