/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * site.h - where the files of an endio run are: in the library, whose device carries its transfers
 * out on threads of its own, or on a mount. One contract for both, so that a scenario is written
 * once. Errors are negative errnos.
 */
#ifndef RACE_SITE_H
#define RACE_SITE_H

#include "race/aio.h"
#include "race/mount.h"

struct site_file;
struct site_queue;

struct race_site_ops {
	/* @fresh: it is made; -EEXIST. @direct: the library takes its writes for O_DIRECT. */
	int (*open)(struct race_mount *m, const char *name, bool fresh, bool direct,
		    struct site_file **out);
	void (*close)(struct site_file *f);
	int (*unlink)(struct race_mount *m, const char *name);
	int (*truncate)(struct site_file *f, uint64_t bytes);
	/* @mode: as fallocate(2). */
	int (*fallocate)(struct site_file *f, int mode, uint64_t off, uint64_t bytes);
	/* Past the kernel's cache. */
	ssize_t (*read)(struct site_file *f, void *buf, size_t bytes, uint64_t off);
	/* Writes of one thread, many under way: as in aio.h. */
	int (*queue_open)(struct site_file *f, unsigned depth, struct site_queue **out);
	void (*queue_close)(struct site_queue *q);
	int (*start)(struct site_queue *q, struct race_aio_io *io);
	int (*wait)(struct site_queue *q, unsigned timeout_ms, struct race_aio_io **out);
};

extern const struct race_site_ops site_library, site_mount;
extern const struct race_backend site_library_backend, site_mount_backend; /* ctx: race_mount */

#endif
