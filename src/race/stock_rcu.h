/* SPDX-License-Identifier: GPL-2.0-only */
/* stock_rcu.h - liburcu's own call_rcu and barrier, which the file system does not use (rt/rcu.h).
 */
#ifndef RACE_STOCK_RCU_H
#define RACE_STOCK_RCU_H

#include "rt/sync.h"

enum { STOCK_WORKERS_MAX = 64 };

/* A callback that only says that it has run. */
struct stock_rcu_item {
	void *head[2]; /* liburcu's */
	rt_u32 ran;    /* [atomic] */
};

struct stock_rcu {
	void *worker[STOCK_WORKERS_MAX]; /* liburcu's, each with a thread */
	unsigned nr;
};

/* The threads live as long as the process: liburcu may end it when there is no memory. */
void stock_rcu_open(struct stock_rcu *s, unsigned workers);
/* The calling thread, which has been a reader, queues with worker @idx % nr. */
void stock_rcu_join(struct stock_rcu *s, unsigned idx);
void stock_rcu_call(struct stock_rcu_item *item);
void stock_rcu_barrier(void);
/* So many sections of a reader, one after the other. The thread has been a reader. */
void stock_rcu_sections(unsigned nr);

#endif
