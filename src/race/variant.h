/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * variant.h - a scenario's variants, by name: ways of doing the same thing, from several kernels
 * and our own. Each scenario belongs to one family, whichever part of the file system has it; who
 * runs scenarios need not know which.
 */
#ifndef RACE_VARIANT_H
#define RACE_VARIANT_H

#include <stdbool.h>

struct race_variant {
	const char *name, *kernel, *commit, *summary; /* literals */
	bool holds;                                   /* expected never to lose, in any scenario */
};

struct race_family {
	const char *what; /* the mount option that chooses one */
	const char *ours; /* the default */
	/* In the order of history; false past the end. */
	bool (*at)(unsigned idx, struct race_variant *out);
};

extern const struct race_family race_enospc, race_endio;
extern const struct race_family race_mempool;       /* pools.c */
extern const struct race_family race_mempool_order; /* depletion.c */
extern const struct race_family race_state;         /* state.c */
extern const struct race_family race_pending;       /* seqs.c */
extern const struct race_family race_barrier;       /* barrier.c */
extern const struct race_family race_kvfree;        /* giving.c */
extern const struct race_family race_resize;        /* small_resize.c */

/* False: the family has none of that name. */
bool race_variant_find(const struct race_family *fam, const char *name, struct race_variant *out);

#endif
