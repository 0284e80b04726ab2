// SPDX-License-Identifier: GPL-2.0-only
/* Names and properties of the visible operations, of strategies and of verdicts. */
#include "world.h"

const char *const ex_kind_names[EX_KIND_NR] = {
	[EX_EXIT] = "ends",
	[EX_SPAWN] = "thread_start",
	[EX_JOIN] = "thread_join",
	[EX_MUTEX_LOCK] = "lock",
	[EX_MUTEX_TRYLOCK] = "trylock",
	[EX_MUTEX_UNLOCK] = "unlock",
	[EX_SPIN_LOCK] = "spin_lock",
	[EX_SPIN_TRYLOCK] = "spin_trylock",
	[EX_SPIN_UNLOCK] = "spin_unlock",
	[EX_READ_LOCK] = "read_lock",
	[EX_READ_UNLOCK] = "read_unlock",
	[EX_WRITE_LOCK] = "write_lock",
	[EX_WRITE_UNLOCK] = "write_unlock",
	[EX_COND_WAIT] = "cond_wait",
	[EX_COND_WAKE] = "cond_wakes",
	[EX_COND_SIGNAL] = "signal",
	[EX_COND_BROADCAST] = "broadcast",
	[EX_EVENT_KEY] = "event_key",
	[EX_EVENT_WAIT] = "event_wait",
	[EX_EVENT_SIGNAL] = "event_signal",
	[EX_READ] = "read",
	[EX_SET] = "set",
	[EX_ADD] = "add",
	[EX_CAS] = "cas",
	[EX_XCHG] = "xchg",
	[EX_RCU_LOCK] = "rcu_read_lock",
	[EX_RCU_UNLOCK] = "rcu_read_unlock",
	[EX_RCU_QUEUE] = "rcu_call",
	[EX_RCU_SYNC] = "synchronize_rcu",
	[EX_RCU_SYNCED] = "synchronized",
	[EX_RCU_BARRIER] = "rcu_barrier",
	[EX_RCU_DRAINED] = "rcu_barrier done",
	[EX_RCU_RAN] = "callback done",
	[EX_RCU_RUN] = "callback",
	[EX_RCU_STATE] = "get_state_rcu",
	[EX_RCU_START] = "start_poll_rcu",
	[EX_RCU_POLL] = "poll_state_rcu",
	[EX_RCU_COND_SYNC] = "cond_synchronize_rcu",
	[EX_GP_START] = "grace period starts",
	[EX_GP_END] = "grace period ends",
	[EX_HASH_FIND] = "hash_find",
	[EX_HASH_ADD] = "hash_add",
	[EX_HASH_DEL] = "hash_del",
	[EX_HASH_EACH] = "hash_each",
	[EX_SLEEP] = "sleep",
	[EX_YIELD] = "yield",
	[EX_FREE] = "free",
	[EX_IO_READ] = "device_read",
	[EX_IO_WRITE] = "device_write",
	[EX_PLAIN_READ] = "reads",
	[EX_PLAIN_WRITE] = "writes",
	[EX_FENCE] = "fence",
	[EX_POINT] = "point",
	[EX_NOTE] = "note",
};

const uint8_t ex_kind_flags[EX_KIND_NR] = {
	[EX_EXIT] = EX_WR,
	[EX_SPAWN] = EX_WR,
	[EX_JOIN] = EX_WR | EX_COND | EX_BLOCKS,
	[EX_MUTEX_LOCK] = EX_WR | EX_COND | EX_BLOCKS,
	[EX_MUTEX_TRYLOCK] = EX_WR,
	[EX_MUTEX_UNLOCK] = EX_WR,
	[EX_SPIN_LOCK] = EX_WR | EX_COND,
	[EX_SPIN_TRYLOCK] = EX_WR,
	[EX_SPIN_UNLOCK] = EX_WR,
	[EX_READ_LOCK] = EX_COND | EX_BLOCKS,
	[EX_WRITE_LOCK] = EX_WR | EX_COND | EX_BLOCKS,
	[EX_WRITE_UNLOCK] = EX_WR,
	[EX_COND_WAIT] = EX_WR | EX_BLOCKS,
	[EX_COND_WAKE] = EX_WR | EX_COND,
	[EX_COND_SIGNAL] = EX_WR,
	[EX_COND_BROADCAST] = EX_WR,
	[EX_EVENT_WAIT] = EX_COND | EX_BLOCKS,
	[EX_EVENT_SIGNAL] = EX_WR,
	[EX_SET] = EX_WR,
	[EX_ADD] = EX_WR,
	[EX_CAS] = EX_WR,
	[EX_XCHG] = EX_WR,
	[EX_RCU_QUEUE] = EX_WR,
	[EX_RCU_SYNC] = EX_WR | EX_BLOCKS,
	[EX_RCU_SYNCED] = EX_WR | EX_COND,
	[EX_RCU_BARRIER] = EX_WR | EX_BLOCKS,
	[EX_RCU_DRAINED] = EX_WR | EX_COND,
	[EX_RCU_RUN] = EX_WR | EX_COND,
	[EX_RCU_RAN] = EX_WR,
	[EX_RCU_START] = EX_WR,
	[EX_RCU_COND_SYNC] = EX_COND | EX_BLOCKS,
	[EX_GP_START] = EX_WR | EX_COND,
	[EX_GP_END] = EX_WR | EX_COND,
	[EX_HASH_ADD] = EX_WR,
	[EX_HASH_DEL] = EX_WR,
	[EX_SLEEP] = EX_WR | EX_YIELDS | EX_BLOCKS,
	[EX_YIELD] = EX_YIELDS,
	[EX_PLAIN_WRITE] = EX_WR,
	[EX_FENCE] = EX_WR,
	[EX_IO_READ] = EX_BLOCKS,
	[EX_IO_WRITE] = EX_WR | EX_BLOCKS,
};

const char *explore_kind_name(unsigned kind)
{
	return kind < EX_KIND_NR ? ex_kind_names[kind] : NULL;
}

const char *explore_verdict_name(enum explore_verdict v)
{
	static const char *const names[EXPLORE_VERDICT_NR] = {
		"ok",
		"assertion failed",
		"scenario failed",
		"deadlock",
		"livelock",
		"lock rank violated",
		"sleeps in atomic context",
		"use after free",
		"double free",
		"leak",
		"misuse",
		"crash",
		"not deterministic",
		"data race",
		"lock order",
	};

	return v < EXPLORE_VERDICT_NR ? names[v] : "?";
}

const char *explore_strategy_name(enum explore_strategy s)
{
	static const char *const names[EXPLORE_STRATEGY_NR] = {
		"portfolio", "random", "pct", "pos", "dfs", "sleep", "dpor", "replay",
	};

	return s < EXPLORE_STRATEGY_NR ? names[s] : "?";
}
