// SPDX-License-Identifier: GPL-2.0-only
/*
 * Indexes of groups by order: for each order a bitmap over all groups, over its words a second one
 * (tops) of those that are not zero, and one word of the orders that have anything. 1 TiB has 128
 * words an order: a search reads one word to know where to look, and two to find a group.
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

/* The first word at or after @word that may not be zero; word_nr if none. */
static mbfs_grp_t next_word(const struct group_index *ix, unsigned order, mbfs_grp_t word)
{
	while (word < ix->word_nr) {
		uint64_t top = rt_u64_read(&ix->tops[order][word >> 6]) & (~0ull << (word & 63));

		if (top)
			return (word & ~63u) + (mbfs_grp_t)__builtin_ctzll(top);
		word = (word | 63) + 1;
	}
	return ix->word_nr;
}

static void top_set(struct group_index *ix, unsigned order, mbfs_grp_t word)
{
	const uint64_t bit = 1ull << (word & 63);

	if (word_or(&ix->tops[order][word >> 6], bit) & bit)
		return; /* and who set it marks the order */
	rt_fence(); /* pairs with order_clear() */
	word_or(&ix->orders, 1ull << order);
}

/* A word of tops has become zero; likewise. */
static void order_clear(struct group_index *ix, unsigned order)
{
	const uint64_t bit = 1ull << order;

	if (next_word(ix, order, 0) < ix->word_nr)
		return;
	word_clear(&ix->orders, bit);
	rt_fence();
	if (next_word(ix, order, 0) < ix->word_nr)
		word_or(&ix->orders, bit);
}

/* The word has become zero. Who sets a bit in it sets the top after: seen here, or it sees ours. */
static void top_clear(struct group_index *ix, unsigned order, mbfs_grp_t word)
{
	bool last = word_clear(&ix->tops[order][word >> 6], 1ull << (word & 63)) == 0;

	rt_fence();
	if (rt_u64_read(&ix->words[order][word]))
		top_set(ix, order, word);
	else if (last)
		order_clear(ix, order);
}

void index_move(struct group_index *ix, mbfs_grp_t grp, int8_t *at, int8_t to)
{
	const mbfs_grp_t word = grp >> 6;
	const uint64_t bit = 1ull << (grp & 63);

	if (*at == to)
		return;
	if (to >= 0) {
		word_or(&ix->words[to][word], bit);
		rt_fence(); /* pairs with top_clear() */
		top_set(ix, (unsigned)to, word);
	}
	if (*at >= 0 && word_clear(&ix->words[*at][word], bit) == 0)
		top_clear(ix, (unsigned)*at, word);
	*at = to;
}

bool index_has(const struct group_index *ix, unsigned order, mbfs_grp_t grp)
{
	const mbfs_grp_t word = grp >> 6;

	return (rt_u64_read(&ix->words[order][word]) >> (grp & 63) & 1) &&
	       (rt_u64_read(&ix->tops[order][word >> 6]) >> (word & 63) & 1) &&
	       (rt_u64_read(&ix->orders) >> order & 1);
}

uint64_t index_orders(const struct group_index *ix, unsigned from, unsigned end)
{
	const uint64_t below = end < 64 ? (1ull << end) - 1 : ~0ull;

	return from < end ? rt_u64_read(&ix->orders) & below & (~0ull << from) : 0;
}

mbfs_grp_t index_next(const struct group_index *ix, unsigned order, mbfs_grp_t from)
{
	mbfs_grp_t word = from >> 6;
	uint64_t bits = ~0ull << (from & 63);

	while ((word = next_word(ix, order, word)) < ix->word_nr) {
		if (word != from >> 6)
			bits = ~0ull;
		bits &= rt_u64_read(&ix->words[order][word]);
		if (bits)
			return (word << 6) + (mbfs_grp_t)__builtin_ctzll(bits);
		word++;
	}
	return ix->end;
}

int index_open(struct group_index *ix, mbfs_grp_t grp_nr, unsigned order_nr)
{
	/* Each order has cache lines of its own: a group that moves between two orders disturbs
	 * nobody who looks at the others. */
	const uint64_t per_slot = RT_SLOT_BYTES / sizeof(rt_u64);
	uint64_t word_nr = div_up(div_up(grp_nr, 64), per_slot) * per_slot;
	uint64_t top_nr = div_up(div_up(word_nr, 64), per_slot) * per_slot;

	ix->end = grp_nr;
	ix->word_nr = (mbfs_grp_t)div_up(grp_nr, 64);
	for (unsigned k = 0; k < order_nr; k++) {
		ix->words[k] = rt_zalloc_aligned(RT_SLOT_BYTES,
						 (word_nr + top_nr) * sizeof(rt_u64));
		if (!ix->words[k])
			return -ENOMEM;
		ix->tops[k] = ix->words[k] + word_nr;
	}
	return 0;
}

void index_close(struct group_index *ix)
{
	for (unsigned k = 0; k < ORDER_NR; k++)
		rt_free(ix->words[k]);
}
