/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading the command line, for the commands of mbfs-race. */
#ifndef TOOLS_RACE_ARGS_H
#define TOOLS_RACE_ARGS_H

#include <stdbool.h>
#include <stdint.h>

enum { ARGS_BAD_USE = 2, ARGS_LIST_MAX = 32 };

/* One line on stderr; ARGS_BAD_USE, the exit status. */
int args_bad_use(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A whole decimal number in [min, max], nothing else. */
bool args_number(const char *s, uint64_t min, uint64_t max, uint64_t *out);
/* 2, 0.5: as milliseconds. */
bool args_seconds(const char *s, uint64_t *ms);
/*
 * Numbers from @min to @max with commas between, one or (@many) up to ARGS_LIST_MAX.
 * 0, or ARGS_BAD_USE after the line has been written.
 */
int args_list(const char *opt, const char *arg, unsigned min, unsigned max, bool many,
	      unsigned *list, unsigned *nr);

#endif
