/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - an array of things that grows while it is read: what a file system keeps of each of its
 * groups, and the groups become more. A thing stays where it is, from the moment that all can see
 * it until table_close(): who has found it may keep it. What is replaced is the array of pointers
 * to them; that array and its length are one object, never changed once it is published, so that a
 * reader has both of the same moment. What was there at table_open() is found without it: a table
 * that never grew costs no RCU reader.
 *
 * Any thread, any time, also in an RCU reader:
 *	nr = table_nr(&t)          how many there are; a moment ago
 *	p = table_at(&t, idx)      NULL: it is not there, or not to be seen yet
 *
 * One thread at a time:
 *	err = table_ready(&t, nr)  there are nr things in all; nobody sees the new ones, all zeros
 *	p = table_new(&t, idx)     any of them, to fill in
 *	table_grow(&t, dead)       all see them; cannot fail
 *	or table_not(&t)           they are gone
 *
 * table_past() makes a table grow as ext4's arrays once did: what goes wrong then is the scenario
 * resize-writers of mbfs-race. Nothing else uses it.
 */
#ifndef RECLAIM_TABLE_H
#define RECLAIM_TABLE_H

#include <mbfs/types.h>

#include <stddef.h>

#include "reclaim/kvfree.h"
#include "rt/rcu.h"
#include "rt/sync.h"

/* [const] once its address has been published, with release. Freed a grace period after the next
 * one has come. */
struct table_array {
	union {
		struct kvfree_head dead;
		struct rt_rcu_head rcu;
	};
	uint32_t len; /* of at[] */
	uint32_t nr;  /* as much of it as readers use; all, or see past_find() */
	void *at[];
};

struct table_slab; /* the things that came in one go */

/* How an array is replaced. */
enum table_way {
	TABLE_MBFS,	   /* filled, published, counted; the old one is freed after its readers */
	TABLE_PRE_5_6,	   /* the same, but the old one is freed at once (ext4 until Linux 5.6) */
	TABLE_COUNT_FIRST, /* counted before it is filled (what a CPU could see of ext4 until
			      2.6.31) */
};

struct table {
	rt_ptr array;		  /* [rcu] struct table_array *; NULL: not open */
	char *first;		  /* [const] the things of table_open() */
	uint32_t first_nr;	  /* [const] */
	uint32_t nr;		  /* [racy: a bound; table_at() knows] */
	size_t bytes;		  /* [const] of a thing */
	struct table_array *next; /* the rest is the grower's; not published, NULL: none is ready */
	struct table_slab *slabs; /* the latest first; it is that of next, if there is one */
	enum table_way way;	  /* [const] */
	uint32_t nap_us; /* [const] how long the moment lasts in which that goes wrong */
};

/*
 * table_open - @nr things of @bytes each, all zeros, on cache lines of their own if @bytes is a
 * multiple of RT_SLOT_BYTES
 * Errors: -ENOMEM.
 */
MBFS_MUST_CHECK int table_open(struct table *t, uint32_t nr, size_t bytes);
/* No reader is left; what is in the things is the caller's to free before. Zeroed is fine. */
void table_close(struct table *t);

/* Errors: -ENOMEM, nothing has changed. The table never shrinks: @nr is at least what it has. */
MBFS_MUST_CHECK int table_ready(struct table *t, uint32_t nr);
void *table_new(struct table *t, uint32_t idx);
/* @dead: gets the old array; of the default kind, which frees with rt_free(). NULL: who grows it
 * has none, and the array waits for its readers on its own. */
void table_grow(struct table *t, struct kvfree *dead);
void table_not(struct table *t);
/* After table_open(), before anybody else knows it. @nap_us: see struct table */
void table_past(struct table *t, enum table_way way, uint32_t nap_us);

/* For who grows it, or is alone: how many table_new() knows; 0: not open. */
uint32_t table_size(const struct table *t);

static inline uint32_t table_nr(const struct table *t)
{
	return rt_read_once(t->nr);
}

void *table_find(const struct table *t, uint32_t idx); /* for table_at() */

static inline void *table_at(const struct table *t, uint32_t idx)
{
	if (__builtin_expect(idx < t->first_nr, 1))
		return t->first + idx * t->bytes;
	return table_find(t, idx);
}

#endif
