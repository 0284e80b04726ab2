// SPDX-License-Identifier: GPL-2.0-only
/* Looks at a tree's states, IO_LOCKED among them. */
#include "base/check.h"
#include "extent/io_state_priv.h"

bool io_tree_test(struct io_tree *t, uint64_t start, uint64_t end, uint32_t bits, bool all)
{
	MBFS_ASSERT(start < end && bits && !(bits & IO_LOCKED));
	return io_states_test(t, start, end, bits, all);
}

bool io_tree_find_first(struct io_tree *t, uint64_t from, uint32_t bits, struct io_run *out)
{
	MBFS_ASSERT(from < IO_END && bits && !(bits & IO_LOCKED));
	return io_states_find(t, from, bits, out);
}
