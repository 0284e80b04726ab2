/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reclaim/mempool.h - objects that can be had even when memory is out: a pool keeps a reserve of
 * them, and who finds neither memory nor reserve waits for one that is given back.
 *
 *	mempool_alloc()		one object
 *	mempool_reserve()	all objects of several pools that one operation needs, or none
 *	mempool_free()		first to who waits, then to the reserve, then to memory
 *
 * That a wait ends is the users' promise: who holds an object gives it back without waiting for
 * another. So an operation that needs two takes them with one mempool_reserve(); one by one, two
 * operations may hold what the other waits for (mbfs-race run mempool-abba).
 *
 * Pools that one operation may draw from belong to one domain. In it, who waits is served in the
 * order of arrival, but for what nobody before it wants; nobody waits with an object in hand that
 * mempool_reserve() has given. In front of each pool are magazines, one per virtual CPU.
 */
#ifndef RECLAIM_MEMPOOL_H
#define RECLAIM_MEMPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt/percpu.h"

struct mempool;
struct mempool_domain;

/* Where an object is looked for, after the magazine of this CPU. */
enum mempool_order {
	/* The kernel's mempool_alloc(): the allocator without waiting, the reserve, then wait for
	 * one that is given back or for retry_ns, then again, the allocator with waiting now. */
	MEMPOOL_KERNEL,
	/* What the author of the seed found he wanted: the allocator, which may wait and reclaim;
	 * then the reserve; then wait as above. */
	MEMPOOL_PATIENT,
};

enum { MEMPOOL_NR_MAX = 1 << 20 }; /* objects in a reserve, or in a magazine */

enum mempool_mode {
	MEMPOOL_WAIT,          /* never fails */
	MEMPOOL_NOWAIT,        /* never sleeps: allocator without waiting, reserve, or nothing */
	MEMPOOL_RESERVE_FIRST, /* the reserve before the allocator; else as MEMPOOL_WAIT */
};

/* Where memory comes from; tests and scenarios decide here when there is none. */
struct mempool_backing {
	/* @may_wait: it may sleep to find some. NULL: there is none. */
	void *(*alloc)(void *ctx, size_t bytes, size_t align, bool may_wait);
	void (*free)(void *ctx, void *obj);
};

struct mempool_config {
	const char *name;     /* for statistics; kept */
	size_t bytes;         /* of an object, 1 or more */
	size_t align;         /* a power of two; 0: as rt_alloc() */
	unsigned min_nr;      /* objects in the reserve, 1 or more */
	unsigned magazine_nr; /* objects that each virtual CPU may keep at hand; 0: none */
	enum mempool_order order;
	uint64_t retry_ns; /* a wait tries the allocator again after this; 0: never */
	const struct mempool_backing *backing; /* kept; NULL: rt_alloc() */
	void *ctx;                             /* for backing */
};

struct mempool_stats {
	uint64_t allocs, frees; /* objects given out and taken back */
	uint64_t from_magazine, from_allocator, from_reserve,
		from_wait;                             /* of allocs; from_wait: handed
							  over by who gave one back */
	uint64_t failed;                               /* calls with MEMPOOL_NOWAIT that got none */
	uint64_t waits, wait_ns, wait_max_ns, retries; /* calls that slept (counted in each pool
							  they wanted); tries of the allocator while
							  they did */
	unsigned min_nr, in_reserve, low_water; /* low_water: the fewest ever in the reserve since
						   it was last resized */
	unsigned in_magazines, in_use;
};

/* Errors: -ENOMEM. The pools of a domain are closed before it. */
int mempool_domain_open(const struct rt_cpus *cpus, struct mempool_domain **out);
void mempool_domain_close(struct mempool_domain *d);

/* Errors: -ENOMEM: the reserve could not be filled; -EINVAL: a number makes no sense. */
int mempool_open(struct mempool_domain *d, const struct mempool_config *cfg, struct mempool **out);
/* All objects are back (asserted); NULL is fine. */
void mempool_close(struct mempool *p);

/*
 * mempool_alloc - one object, not zeroed
 * NULL only with MEMPOOL_NOWAIT. Context: may sleep but with MEMPOOL_NOWAIT, which takes
 * RANK_MEMPOOL and nothing else; holds no object of this domain (else see above).
 */
void *mempool_alloc(struct mempool *p, enum mempool_mode mode);
/* Context: any that may take RANK_MEMPOOL; never sleeps, never allocates. */
void mempool_free(struct mempool *p, void *obj);

/*
 * mempool_resize - another number of objects in the reserve, while it is in use
 * More are taken from the allocator, which may wait; fewer are given back as they come in. One at a
 * time for a pool; nobody calls mempool_reserve() for more than the lower number.
 * Errors: -ENOMEM: nothing has changed; -EINVAL: 0, more than MEMPOOL_NR_MAX, or fewer than
 * somebody waits for.
 */
int mempool_resize(struct mempool *p, unsigned min_nr);

struct mempool_want {
	struct mempool *pool; /* each at most once */
	unsigned nr;          /* 0..its min_nr */
};
enum { MEMPOOL_WANTS_MAX = 8 };

/*
 * mempool_reserve - all of it or nothing, waiting with nothing in hand
 * @want: [in] @want_nr of them, all of domain @d
 * @objs: [out] the objects, in the order of @want, each nr in a row; on error nothing of use
 * Errors: -EAGAIN with MEMPOOL_NOWAIT only. Context: as mempool_alloc().
 */
int mempool_reserve(struct mempool_domain *d, const struct mempool_want *want, unsigned want_nr,
		    enum mempool_mode mode, void **objs);

/* Each number is exact when nobody is in a call. */
void mempool_stats(const struct mempool *p, struct mempool_stats *out);
const char *mempool_name(const struct mempool *p);
struct mempool_domain *mempool_domain(const struct mempool *p); /* that it was opened in */
/* Could a call that may not wait find the reserve below its full number? A hint. */
bool mempool_is_low(const struct mempool *p);
/* Objects at hand in the magazines go back to the allocator. */
void mempool_shrink(struct mempool *p);

#endif
