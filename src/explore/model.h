/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * model.h - what the simulated objects of rt_backend/ share with the engine.
 *
 * Each object that threads can meet at carries a struct ex_obj. Each call is a macro that adds the
 * source location, so that a schedule can be drawn with the lines it went through. Memory that is
 * all zeros is an unlocked lock, a zero atomic, an event nobody signalled.
 */
#ifndef EXPLORE_MODEL_H
#define EXPLORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "rt/lockrank.h"

struct ex_site {
	const char *file, *func, *what; /* what: the argument as the source spells it */
	int line;
};

#define EX_SITE(text)                                                                          \
	({                                                                                     \
		static const struct ex_site ex_site_ = { __FILE__, __func__, text, __LINE__ }; \
		&ex_site_;                                                                     \
	})

/* Happens-before so far: the last write and the reads since, as hashes of all that led to them. */
struct ex_obj {
	uint64_t wr, rd;
};

#endif
