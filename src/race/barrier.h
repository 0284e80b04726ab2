/* SPDX-License-Identifier: GPL-2.0-only */
/* barrier.h - ways of waiting until all RCU callbacks queued before have run: rcu-barrier-cost. */
#ifndef RACE_BARRIER_H
#define RACE_BARRIER_H

#include "race/stock_rcu.h"
#include "race/variant.h"
#include "rt/rcu.h"
#include "rt/sync.h"

struct barrier {
	unsigned how; /* [const] */
	struct stock_rcu stock;
	struct rt_mutex lock;
	struct rt_cond over; /* a run is over */
	rt_u64 seq;          /* [atomic] of `sequence`: odd while a run goes on */
	uint64_t done;       /* of `leader`: runs that are over [lock] */
	bool running;        /* [lock] */
	rt_u64 runs;         /* [atomic] of liburcu's barrier, or of ours */
};

/* A callback of any of them. */
struct barrier_item {
	struct stock_rcu_item stock;
	struct rt_rcu_head ours;
	rt_u32 ran; /* [atomic] */
};

/* @workers: of liburcu. */
void barrier_open(struct barrier *b, const char *variant, unsigned workers);
void barrier_close(struct barrier *b);
/* A thread, before its first call. */
void barrier_join(struct barrier *b, unsigned idx);
void barrier_call(struct barrier *b, struct barrier_item *item);
void barrier_wait(struct barrier *b);
bool barrier_ran(const struct barrier *b, const struct barrier_item *item);

#endif
