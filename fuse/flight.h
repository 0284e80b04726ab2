/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flight.h - requests under way: how many of a kind the daemon works on at once, and since the
 * mount at most; and the answers that other threads than libfuse's owe, which an unmount waits for.
 */
#ifndef FUSE_FLIGHT_H
#define FUSE_FLIGHT_H

#include <stddef.h>

#include "rt/sync.h"

enum flight_kind { FLIGHT_LOOKUP, FLIGHT_READ, FLIGHT_WRITE, FLIGHT_NR };

struct flights {
	struct {
		rt_u32 now, max; /* [atomic] */
	} kind[FLIGHT_NR];
	rt_u32 owed;          /* [atomic] answers */
	struct rt_event paid; /* owed fell to 0 */
};

/* From the arrival of a request to just before its answer: once that is out its sender may send the
 * next, which must not be counted beside it. */
void flight_begin(struct flights *all, enum flight_kind kind);
void flight_end(struct flights *all, enum flight_kind kind);

/* A request that is answered after its call has returned: before it is started, and when the answer
 * is out and nothing of the session or the file system is touched any more. */
void flights_owe(struct flights *all);
void flights_pay(struct flights *all);
/* Until none is owed; nobody owes one more. */
void flights_settle(struct flights *all);

/* "lookup":0,"lookup_max":8,... into @to; the length, less than @room. */
int flights_text(const struct flights *all, char *to, size_t room);

#endif
