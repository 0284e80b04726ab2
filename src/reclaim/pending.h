/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reclaim/pending.h - objects that wait for a grace period, and what is then done with them.
 *
 *	pending_add()		readers may still see it: process it when they have left
 *	pending_take()		one that they have left, to be used again instead
 *	pending_flush()		all that was added before has been processed
 *	pending_close()		the same, and there is no container any more
 *
 * Objects are kept in pages of pointers, so an object needs no room for it; one that has a struct
 * pending_link can be kept when there is no memory for a page. They wait by virtual CPU, each with
 * two lists, for at any time no more than two grace periods are waited for (rt/rcu.h), and a third
 * of those whose period is over. A worker processes them, with no lock held, in no order; it may
 * leave some of the last for who takes them.
 */
#ifndef RECLAIM_PENDING_H
#define RECLAIM_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt/percpu.h"

struct pending;
struct rt_wq;

/* In an object, for when memory is out. */
struct pending_link {
	struct pending_link *next;
};

enum {
	PENDING_PAGE_NR = 510, /* objects in a page: 4 KiB */
	PENDING_PAGE_NR_MAX = 1 << 16,
	PENDING_BEHIND_NR = 1 << 16,
};
#define PENDING_NO_LINK SIZE_MAX

struct pending_config {
	const char *name; /* of the worker; kept */
	/* Readers have left. On the worker: holds nothing, may sleep, may add (not flush). */
	void (*process)(void *ctx, void *obj);
	void *ctx;
	size_t link_offset; /* of the struct pending_link in an object, or PENDING_NO_LINK */
	unsigned page_nr;   /* objects in a page; 0: PENDING_PAGE_NR */
	/* Of one virtual CPU, objects: that pending_take() will find, the worker leaves so many;
	 * more than which pending_throttle() waits for, 0: PENDING_BEHIND_NR. */
	unsigned keep_nr, behind_nr;
	uint64_t delay_ns; /* from the first object to the worker's pass; 0: 2 ms */
	struct rt_wq *wq; /* whose thread is the worker, the caller's; NULL: one of its own, or */
	bool by_rcu;      /* who drains rt/rcu's callbacks, when he does; process() does not wait */
};

struct pending_stats {
	uint64_t added, processed; /* objects */
	uint64_t taken;            /* objects, that were not processed */
	uint64_t by_link;          /* of added: by their link, for there was no page */
	uint64_t inline_waits;     /* of added: the caller has waited for a grace period */
	uint64_t refused;          /* of pending_add_atomic() */
	uint64_t throttled;        /* calls that waited */
	uint64_t pages;            /* allocated */
	uint64_t swept;            /* objects that others than the worker have found to be due */
	uint64_t second;           /* times that objects waited for two grace periods at once */
	uint64_t passes;           /* of the worker */
	uint64_t lock_max_ns;      /* the longest that a slot was locked while timed */
};

/* Errors: -ENOMEM, -EAGAIN (no thread); -EINVAL: a number makes no sense. */
int pending_open(const struct rt_cpus *cpus, const struct pending_config *cfg,
		 struct pending **out);
/*
 * pending_close - processes all, also what process() adds, and frees the container
 * Nobody else adds any more; NULL is fine. Context: as pending_flush().
 */
void pending_close(struct pending *p);

/*
 * pending_add - @obj is out of readers' reach: no new reader finds it
 * Context: holds no lock that process() takes and no spinlock, is in no RCU reader: if there is
 * neither memory nor a link it waits for a grace period and processes the object itself.
 */
void pending_add(struct pending *p, void *obj);
/*
 * The same, but never sleeps or allocates: in a reader, under spinlocks below RANK_PENDING. False:
 * neither room nor link, and the object remains the caller's. With a link it is never false.
 */
bool pending_add_atomic(struct pending *p, void *obj);
/*
 * Where a thread that adds may sleep: waits for readers if more than behind_nr of this virtual
 * CPU's objects wait for them, and for the worker if so many more than keep_nr are due. Context: as
 * pending_flush().
 */
void pending_throttle(struct pending *p);

/*
 * pending_take - an object that was added and that no reader has any more, or NULL
 * Of this virtual CPU's; it is the caller's again, and as it was when it was added, but for its
 * link. Never waits, asks no memory. Context: as pending_add_atomic().
 */
void *pending_take(struct pending *p);

/* All that was added before has been processed or taken; nothing is kept.
 * Context: may sleep, in no reader, not from process(); holds no lock that process() takes. */
void pending_flush(struct pending *p);

/* From now on lock_max_ns is measured, or not: two readings of the clock for each object. */
void pending_timed(struct pending *p, bool on);
/* Exact when nobody is in a call. */
void pending_stats(const struct pending *p, struct pending_stats *out);
/* Asserts the invariants of pending.c. */
void pending_check(const struct pending *p);

#endif
