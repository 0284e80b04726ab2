/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One suite of rt's contract, compiled twice: against the native back end, where each case runs
 * many times on real threads, and against the explorer, where it runs under every schedule to a
 * bound. Cases state what must hold with MBFS_ASSERT, which both understand.
 */
#ifndef TESTS_EXPLORE_CONFORM_H
#define TESTS_EXPLORE_CONFORM_H

#include <stddef.h>

enum { CONFORM_THREADS_MAX = 3 };

struct conform_case {
	const char *name;
	size_t bytes; /* of the zeroed state */
	void (*setup)(void *state);
	unsigned thread_nr;
	void (*fn[CONFORM_THREADS_MAX])(void *state);
	void (*check)(void *state); /* when the threads have ended; frees everything */
};

unsigned conform_nr(void);
const struct conform_case *conform_case(unsigned i);
extern const struct conform_case conform_wq[]; /* of them, conform_wq.c's */
extern const unsigned conform_wq_nr;

#endif
