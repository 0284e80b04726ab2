// SPDX-License-Identifier: GPL-2.0-only
/*
 * Indexes of groups by order: for each order a bitmap over all groups, over its words a second one
 * (tops) of those that are not zero, and one word of the orders that have anything. 1 TiB has 128
 * words an order: a search reads one word to know where to look, and two to find a group. They are
 * in segments of 4096 groups, which stay where they are when the file system grows: a bit set in an
 * array that somebody copies would be lost.
 *
 * Concurrency: a group's own bits change under its lock; the words with atomic operations; readers
 * take no lock. What a reader finds is a candidate, to be looked at again under the group's lock.
 * What it misses, another criterion finds. A bit above may be set for a word that is zero (a wasted
 * read); it is clear for one that is not only until who set the word, or cleared the bit, has come
 * to it.
 */
#include "alloc/index.h"

#include <errno.h>

#include "base/bits.h"
#include "base/check.h"
#include "rt/mem.h"
#include "rt/percpu.h"

static uint64_t word_or(rt_u64 *word, uint64_t bits)
{
	uint64_t old = rt_u64_read(word);

	while ((old & bits) != bits && !rt_u64_cas(word, &old, old | bits))
		;
	return old;
}

/* What is left in it. */
static uint64_t word_clear(rt_u64 *word, uint64_t bits)
{
	uint64_t old = rt_u64_read(word);

	while (!rt_u64_cas(word, &old, old & ~bits))
		;
	return old & ~bits;
}

/* The parts of the group's segment, one for each order. */
static struct index_part *seg_of(const struct group_index *ix, mbfs_grp_t grp)
{
	struct index_part *seg = table_at(&ix->segs, grp / INDEX_SEG_GRPS);

	MBFS_ASSERT(seg);
	return seg;
}

static void top_set(struct group_index *ix, struct index_part *part, unsigned order, unsigned word)
{
	if (word_or(&part->top, 1ull << word) >> word & 1)
		return; /* and who set it marks the order */
	rt_fence(); /* pairs with order_clear() */
	word_or(&ix->orders, 1ull << order);
}

/* Whether any segment has a word of this order. */
static bool order_used(const struct group_index *ix, unsigned order)
{
	for (uint32_t i = 0, nr = table_nr(&ix->segs); i < nr; i++) {
		const struct index_part *seg = table_at(&ix->segs, i);

		if (seg && rt_u64_read(&seg[order].top))
			return true;
	}
	return false;
}

/* A top has become zero; as top_clear(). */
static void order_clear(struct group_index *ix, unsigned order)
{
	const uint64_t bit = 1ull << order;

	if (order_used(ix, order))
		return;
	word_clear(&ix->orders, bit);
	rt_fence();
	if (order_used(ix, order))
		word_or(&ix->orders, bit);
}

/* The word has become zero. Who sets a bit in it sets the top after: seen here, or it sees ours. */
static void top_clear(struct group_index *ix, struct index_part *part, unsigned order,
		      unsigned word)
{
	bool last = word_clear(&part->top, 1ull << word) == 0;

	rt_fence();
	if (rt_u64_read(&part->words[word]))
		top_set(ix, part, order, word);
	else if (last)
		order_clear(ix, order);
}

void index_move(struct group_index *ix, mbfs_grp_t grp, int8_t *at, int8_t to)
{
	const unsigned word = grp % INDEX_SEG_GRPS / 64;
	const uint64_t bit = 1ull << (grp & 63);
	struct index_part *seg, *part;

	if (*at == to)
		return;
	seg = seg_of(ix, grp);
	if (to >= 0) {
		part = &seg[to];
		word_or(&part->words[word], bit);
		rt_fence(); /* pairs with top_clear() */
		top_set(ix, part, (unsigned)to, word);
	}
	if (*at >= 0) {
		part = &seg[*at];
		if (word_clear(&part->words[word], bit) == 0)
			top_clear(ix, part, (unsigned)*at, word);
	}
	*at = to;
}

bool index_has(const struct group_index *ix, unsigned order, mbfs_grp_t grp)
{
	const struct index_part *part = &seg_of(ix, grp)[order];
	const unsigned word = grp % INDEX_SEG_GRPS / 64;

	return (rt_u64_read(&part->words[word]) >> (grp & 63) & 1) &&
	       (rt_u64_read(&part->top) >> word & 1) && (rt_u64_read(&ix->orders) >> order & 1);
}

uint64_t index_orders(const struct group_index *ix, unsigned from, unsigned end)
{
	const uint64_t below = end < 64 ? (1ull << end) - 1 : ~0ull;

	return from < end ? rt_u64_read(&ix->orders) & below & (~0ull << from) : 0;
}

/* In one part, from bit @from on; INDEX_SEG_GRPS if none. */
static uint32_t part_next(const struct index_part *part, uint32_t from)
{
	uint64_t tops = rt_u64_read(&part->top) & (~0ull << from / 64);

	for (; tops; tops &= tops - 1) {
		unsigned word = (unsigned)__builtin_ctzll(tops);
		uint64_t bits = rt_u64_read(&part->words[word]);

		if (word == from / 64)
			bits &= ~0ull << from % 64;
		if (bits)
			return word * 64 + (uint32_t)__builtin_ctzll(bits);
	}
	return INDEX_SEG_GRPS;
}

mbfs_grp_t index_next(const struct group_index *ix, unsigned order, mbfs_grp_t from)
{
	const uint32_t nr = table_nr(&ix->segs);
	uint32_t at = from % INDEX_SEG_GRPS;

	for (uint32_t i = from / INDEX_SEG_GRPS; i < nr; i++, at = 0) {
		const struct index_part *seg = table_at(&ix->segs, i);
		uint32_t found = seg ? part_next(&seg[order], at) : INDEX_SEG_GRPS;

		if (found < INDEX_SEG_GRPS)
			return i * INDEX_SEG_GRPS + found;
	}
	return INDEX_NONE;
}

static uint32_t seg_nr(mbfs_grp_t grp_nr)
{
	return (uint32_t)div_up(grp_nr, INDEX_SEG_GRPS);
}

int index_open(struct group_index *ix, mbfs_grp_t grp_nr, unsigned order_nr)
{
	return table_open(&ix->segs, seg_nr(grp_nr), order_nr * sizeof(struct index_part));
}

void index_close(struct group_index *ix)
{
	table_close(&ix->segs);
}

int index_grow(struct group_index *ix, mbfs_grp_t grp_nr, struct kvfree *dead)
{
	int err;

	if (seg_nr(grp_nr) <= table_nr(&ix->segs))
		return 0;
	err = table_ready(&ix->segs, seg_nr(grp_nr));
	if (!err)
		table_grow(&ix->segs, dead);
	return err;
}
