// SPDX-License-Identifier: GPL-2.0-only
/*
 * Three ways to memory (shared seed 001_6ffad1843fbe8906, btrfs 2011):
 *
 * 2011-atomic	before the patch. Places are asked for when the tree is locked, so without waiting.
 *		The kernel went from state to state and had to split at both ends: if there was
 *		memory for the one and not for the other, half was done, and all that was left was
 *		BUG_ON(). Here the range is done in two parts that stand for that, each with
 *		places of its own; who gets none leaves the rest undone and says so.
 * 2011-mempool	the patch: places come from a mempool and are waited for, one by one, by a thread
 *		whose earlier operations have theirs in the tree. It gives those back when it
 *		clears, after the wait: if all wait, none comes back (Andi Kleen's answer, with one
 *		pool in place of two).
 * mbfs		all that the batch can need, with one mempool_reserve(), before its first
 *		operation. Who waits has nothing in the tree, who has something never waits. That is
 *		enough whatever others do: an operation adds at most IO_OP_NODES places, and what
 *		it takes out it keeps.
 */
#include "race/state.h"

#include <string.h>

#include "base/check.h"

struct state_way {
	struct race_variant v;
	bool beforehand;        /* memory for the whole batch at its begin */
	bool in_parts;          /* an operation may end in the middle */
	enum mempool_mode mode; /* of a place that an operation asks for */
};

static const struct state_way ways[] = {
	{ .v = { "2011-atomic", "3.2", "-", "places without waiting, when the tree is locked",
		 false },
	  .in_parts = true,
	  .mode = MEMPOOL_NOWAIT },
	{ .v = { "2011-mempool", "seed", "-", "a mempool, one place at a time, others in the tree",
		 false },
	  .mode = MEMPOOL_WAIT },
	{ .v = { "mbfs", NULL, NULL, "all places of a batch reserved at once, beforehand", true },
	  .beforehand = true,
	  .mode = MEMPOOL_WAIT },
};

static bool way_at(unsigned idx, struct race_variant *out)
{
	if (idx >= MBFS_ARRAY_SIZE(ways))
		return false;
	*out = ways[idx].v;
	return true;
}

const struct race_family race_state = { .what = "memory", .ours = "mbfs", .at = way_at };

const struct state_way *state_way_find(const char *variant)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(ways); i++)
		if (strcmp(ways[i].v.name, variant) == 0)
			return &ways[i];
	return NULL;
}

bool state_way_reserves(const struct state_way *way)
{
	return way->beforehand;
}

bool state_way_waits(const struct state_way *way)
{
	return way->mode == MEMPOOL_WAIT;
}

void state_begin(struct state_batch *b, const struct state_way *way, struct io_tree *t,
		 unsigned ops)
{
	*b = (struct state_batch){ .way = way, .tree = t };
	io_memory_init(&b->memory, t->env->states,
		       way->beforehand ? ops * IO_OP_NODES : IO_OP_NODES);
	if (way->beforehand)
		io_memory_fill(&b->memory);
}

/* False, and nothing is at hand: there is none, and it may not wait. */
static bool places_get(struct state_batch *b)
{
	void *place;

	if (b->way->beforehand)
		return true;
	while (b->memory.nr < IO_OP_NODES) {
		rt_stat_add(&b->waits, 1);
		place = mempool_alloc(b->tree->env->states, b->way->mode);
		rt_stat_add(&b->waits, (uint64_t)-1);
		if (!place) {
			io_memory_end(&b->memory);
			return false;
		}
		io_memory_add(&b->memory, place);
	}
	return true;
}

static bool part_change(struct state_batch *b, uint64_t start, uint64_t end, uint32_t clear,
			uint32_t set)
{
	if (!places_get(b))
		return false;
	if (!clear)
		io_tree_set(b->tree, &b->memory, start, end, set, &b->hint);
	else if (!set)
		io_tree_clear(b->tree, &b->memory, start, end, clear, &b->hint);
	else
		io_tree_convert(b->tree, &b->memory, start, end, clear, set, &b->hint);
	if (!b->way->beforehand)
		io_memory_end(&b->memory); /* what it did not need */
	return true;
}

bool state_change(struct state_batch *b, uint64_t start, uint64_t end, uint32_t clear, uint32_t set)
{
	uint64_t middle = b->way->in_parts ? start + (end - start) / 2 : start;

	MBFS_ASSERT(start < end);
	if (middle > start && !part_change(b, start, middle, clear, set))
		return false;
	return part_change(b, middle, end, clear, set);
}

void state_end(struct state_batch *b)
{
	io_memory_end(&b->memory);
}

bool state_is(struct io_tree *t, uint64_t start, uint64_t end, uint32_t mask, uint32_t want)
{
	struct io_run run;

	while (start < end) {
		if (!io_tree_find_first(t, start, mask, &run) || run.start >= end)
			return want == 0;
		if ((run.start > start && want != 0) || (run.bits & mask) != want)
			return false;
		start = run.end;
	}
	return true;
}
