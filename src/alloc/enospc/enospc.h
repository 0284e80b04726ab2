/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * enospc/enospc.h - what an ENOSPC variant decides. One file per variant: a constant table and,
 * where its decision is its own, one function. The decision points are those of shared/DESIGN.md.
 */
#ifndef ALLOC_ENOSPC_ENOSPC_H
#define ALLOC_ENOSPC_ENOSPC_H

#include <mbfs/alloc.h>

struct alloc_ctx;

/* Where discard_pa_seq is bumped. */
enum enospc_bump {
	BUMP_NEW_PA = 1u << 0,           /* a new PA goes on its group's list */
	BUMP_DISCARD_NONEMPTY = 1u << 2, /* a sweep enters a group whose list is not empty */
	BUMP_DISCARD_FOUND = 1u << 3,    /* ... and has a PA that can be discarded */
	BUMP_BUDDY = 1u << 4,            /* blocks are marked used or freed in a buddy */
	BUMP_BEGIN_END =
		1u << 5, /* not discard_pa_seq but the pair begin and end, around each return */
};

/* What a variant remembers during one call. */
struct enospc_state {
	uint64_t seq;	  /* discard_pa_seq, or the sum of end */
	uint32_t key;	  /* of the event count */
	unsigned passes;
	bool waiting;	  /* counted in waiters_nr */
};

struct enospc_policy {
	struct mbfs_alloc_variant pub;
	bool publish_late;	/* a new PA becomes visible in a lock hold of its own */
	bool busy_wait;		/* a sweep waits for busy PAs inside the group */
	bool keep_detached; /* ... with the blocks of those it has detached on a private list */
	bool deleted_is_busy;	/* a PA that somebody else is taking apart counts as busy */
	unsigned sweeps_max; /* sweeps over all groups while some were busy and nothing was freed */
	unsigned passes_max;	/* passes of the allocator in one call; 0: no limit */
	unsigned bump;		/* enum enospc_bump */
	void (*sample)(struct alloc_ctx *ac); /* before a pass; may be NULL */
	/* After a pass found nothing and @freed blocks were discarded (@busy: some could not be):
	 * again? */
	bool (*retry)(struct alloc_ctx *ac, uint32_t freed, bool busy);
	void (*done)(struct alloc_ctx *ac); /* the call ends; may be NULL */
};

extern const struct enospc_policy enospc_pre_5_8, enospc_bb_free, enospc_rfc_2020, enospc_5_8,
	enospc_5_10, enospc_5_17, enospc_6_0, enospc_6_0_fixed, enospc_begin_end, enospc_claim_wait;

const struct enospc_policy *enospc_find(const char *name); /* NULL: no such variant */

/* Shared by variants: the retry rule of 5.8 on discard_pa_seq, and its sampling. */
void enospc_sample_seq(struct alloc_ctx *ac);
bool enospc_retry_strict(struct alloc_ctx *ac, uint32_t freed, bool busy);

#endif
