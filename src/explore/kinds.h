/* SPDX-License-Identifier: GPL-2.0-only */
/* kinds.h - the visible operations: names.c says what they are called and what they may do. */
#ifndef EXPLORE_KINDS_H
#define EXPLORE_KINDS_H

#include <stdint.h>

/* Order as in ex_kind_names[] (names.c). */
enum ex_kind {
	EX_EXIT,
	EX_SPAWN,
	EX_JOIN,
	EX_MUTEX_LOCK,
	EX_MUTEX_TRYLOCK,
	EX_MUTEX_UNLOCK,
	EX_SPIN_LOCK,
	EX_SPIN_TRYLOCK,
	EX_SPIN_UNLOCK,
	EX_READ_LOCK,
	EX_READ_UNLOCK,
	EX_WRITE_LOCK,
	EX_WRITE_UNLOCK,
	EX_COND_WAIT,
	EX_COND_WAKE,
	EX_COND_SIGNAL,
	EX_COND_BROADCAST,
	EX_EVENT_KEY,
	EX_EVENT_WAIT,
	EX_EVENT_SIGNAL,
	EX_READ,
	EX_SET,
	EX_ADD,
	EX_CAS,
	EX_XCHG,
	EX_RCU_LOCK,
	EX_RCU_UNLOCK,
	EX_RCU_QUEUE,
	EX_RCU_SYNC,
	EX_RCU_SYNCED,
	EX_RCU_BARRIER,
	EX_RCU_DRAINED,
	EX_RCU_RUN,
	EX_RCU_RAN,
	EX_RCU_STATE,
	EX_RCU_START,
	EX_RCU_POLL,
	EX_RCU_COND_SYNC,
	EX_GP_START,
	EX_GP_END,
	EX_HASH_FIND,
	EX_HASH_ADD,
	EX_HASH_DEL,
	EX_HASH_EACH,
	EX_SLEEP,
	EX_YIELD,
	EX_FREE,
	EX_IO_READ,
	EX_IO_WRITE,
	EX_PLAIN_READ,
	EX_PLAIN_WRITE,
	EX_FENCE,
	EX_POINT,
	EX_NOTE, /* in traces only */
	EX_KIND_NR
};

/* Flags of a kind of operation. */
enum {
	EX_WR = 1,     /* writes its first object */
	EX_COND = 2,   /* enabled only when ex_op_enabled() says so */
	EX_YIELDS = 4, /* gives way, for fairness */
	EX_BLOCKS = 8, /* may sleep: not under a spinlock, not in an RCU reader */
};
extern const uint8_t ex_kind_flags[EX_KIND_NR];
extern const char *const ex_kind_names[EX_KIND_NR];

#endif
