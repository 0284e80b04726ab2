// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks at a tree: its states, and IO_LOCKED beside them, which is no state but somebody's request
 * (io_lock.c). Who does not ask for IO_LOCKED is told of states alone, of one moment. Who does is
 * told of two moments, one after the other: no lock holds both halves still.
 */
#include "base/check.h"
#include "extent/io_state_priv.h"
#include "extent/io_tree_priv.h"

/* Are all of [start, end) locked, and have @bits? */
static bool all_locked(struct io_tree *t, uint64_t start, uint64_t end, uint32_t bits)
{
	uint64_t lock_start, lock_end;

	return io_locks_next(t, start, &lock_start, &lock_end) && lock_start == start &&
	       lock_end >= end && (!bits || io_states_test(t, start, end, bits, true));
}

static bool any_locked(struct io_tree *t, uint64_t start, uint64_t end, uint32_t bits)
{
	uint64_t lock_start, lock_end;

	for (; start < end && io_locks_next(t, start, &lock_start, &lock_end); start = lock_end) {
		if (lock_start >= end)
			return false;
		if (lock_end > end)
			lock_end = end;
		if (!bits || io_states_test(t, lock_start, lock_end, bits, false))
			return true;
	}
	return false;
}

bool io_tree_test(struct io_tree *t, uint64_t start, uint64_t end, uint32_t bits, bool all)
{
	const uint32_t states = bits & ~(uint32_t)IO_LOCKED;

	MBFS_ASSERT(start < end && bits);
	if (!(bits & IO_LOCKED))
		return io_states_test(t, start, end, bits, all);
	return all ? all_locked(t, start, end, states) : any_locked(t, start, end, states);
}

bool io_tree_find_first(struct io_tree *t, uint64_t from, uint32_t bits, struct io_run *out)
{
	const uint32_t states = bits & ~(uint32_t)IO_LOCKED;
	uint64_t lock_start, lock_end;
	struct io_run run;
	bool found;

	MBFS_ASSERT(from < IO_END && bits);
	found = states && io_states_find(t, from, states, &run);
	if ((bits & IO_LOCKED) && io_locks_next(t, from, &lock_start, &lock_end)) {
		if (!found || lock_start < run.start)
			io_states_at(t, lock_start, &run);
		found = true;
		if (lock_start <= run.start)
			run.bits |= IO_LOCKED;
		else
			lock_end = lock_start;
		if (run.end > lock_end)
			run.end = lock_end;
	}
	if (found)
		*out = run;
	return found;
}
