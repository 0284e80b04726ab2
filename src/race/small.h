/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * small.h - scenarios of two or three threads and a few dozen steps each: small enough for the
 * explorer to try every schedule, and run by real threads too, again and again.
 *
 * A scenario is a row of a table: set-up, threads, check. It is compiled twice, against each back
 * end of rt, and knows nothing of who runs it: small_explore.c hands it to the explorer,
 * small_threads.c to real threads. All its memory is the state and rt_alloc().
 */
#ifndef RACE_SMALL_H
#define RACE_SMALL_H

#include <mbfs/alloc.h>
#include <mbfs/blkdev.h>

#include "race/variant.h"

enum { SMALL_THREADS_MAX = 3, SMALL_TEXT_BYTES = 512 };

struct small_scenario;

/* One execution. Constant while threads run, but for what the runner keeps. */
struct small_run {
	const struct small_scenario *s;
	const char *variant; /* of s->family */
	const void *image; /* what @mkfs made; NULL: the scenario needs none */
	size_t image_bytes;
	bool faults; /* allocations may fail: a call may answer -ENOMEM, or do less */
	void *state; /* s->state_bytes, zeroed */
	void *runner;
};

struct small_scenario {
	const char *name, *summary;
	const struct race_family *family;
	unsigned threads;
	int shape; /* the scenario's own: what its rows differ in */
	size_t state_bytes;
	const char *mkfs; /* options of mkfs.ext4 for the image; NULL: none */
	uint64_t image_bytes;
	void (*setup)(struct small_run *r);
	void (*thread)(struct small_run *r, unsigned me);
	/* The allocator, for whoever shows its state along the way; NULL: not shown. */
	struct mbfs_alloc *(*alloc)(struct small_run *r);
	/*
	 * Likewise what thread @me has, in a word or two, for scenarios whose pictures would not
	 * show it; @to: SMALL_TEXT_BYTES. NULL: not shown.
	 */
	void (*has)(struct small_run *r, unsigned me, char *to);
	/* Threads have ended: invariants, then give everything back. */
	void (*check)(struct small_run *r);
};

/* In the order in which they are listed; NULL past the end. */
const struct small_scenario *small_at(unsigned idx);
/*
 * The @idx-th that @pattern means: a name, a pattern as the shell's (fs-*), or enospc-windows, the
 * three that mainline has by our reading.
 */
const struct small_scenario *small_match(const char *pattern, unsigned idx);

/* ---- what a runner provides ---- */
/* What broke, in words of the domain. May return; the execution has failed. */
void small_fail(struct small_run *r, const char *fmt, ...) MBFS_PRINTF(2, 3);
/*
 * While @on the caller looks, and the world stands still if the runner can make it: under the
 * explorer nothing that is called is a step, and no lock is taken. Nothing may be changed.
 */
void small_look(struct small_run *r, bool on);
/* Where the free blocks of s->alloc() are, in words; @to: SMALL_TEXT_BYTES. small_look() is on. */
void small_where(struct small_run *r, char *to);
/* What @obj is called in diagrams; a literal. */
void small_name(struct small_run *r, const void *obj, const char *name);
/* A device that starts as a copy of the image, for the set-up. -ENOMEM. */
int small_device(struct small_run *r, struct mbfs_bdev **out);
/* The file system on it is unmounted: e2fsck may look at it, now and then. */
void small_device_done(struct small_run *r, struct mbfs_bdev *dev);

/* ---- the tables ---- */
extern const struct small_scenario small_enospc[], small_fs[], small_endio[], small_mount[],
	small_mempool[], small_state[], small_kvfree[], small_pending[],
	small_resize[]; /* end with a NULL name */

#endif
