/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_states.h - a tree of states, and in place of its mempool a naive twin that counts what is out
 * and fails as told.
 */
#ifndef TESTS_SUPPORT_T_STATES_H
#define TESTS_SUPPORT_T_STATES_H

#include "extent/io_state_priv.h"

struct t_states {
	struct io_env env;
	struct io_tree tree;
	rt_u64 out;      /* objects out of the pool */
	rt_u64 attempts; /* so many times one was asked for without waiting */
	rt_u64 fail_at;  /* that attempt and all after it fail; 0: none */
	rt_u64 waits;    /* calls of mempool_reserve() that had to wait */
	rt_u64 in_hand;  /* of those, with objects out: allowed only with other users or places */
};

void t_states_open(struct t_states *x);
void t_states_close(struct t_states *x); /* nothing is out then (asserted) */

#endif
