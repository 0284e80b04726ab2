// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buddy of one group: which aligned chunks are free.
 *
 * Every free block lies in exactly one chunk, the largest aligned one that is wholly free (but at
 * most of order block_bits + 1). chunks[k] has a bit for every place of a chunk of order k >= 1; a
 * free chunk of order 0 is a clear bit of bits[] whose buddy bit is set, and needs no bitmap of its
 * own.
 *
 *   mark   takes the chunks that the range touches out, and puts the pieces outside the range back
 *   free   puts the aligned pieces of the range in, each merged with its free buddy as long as
 * there is one
 *
 * Group lock held for all. Cost: O(log blocks) per chunk touched.
 */
#include "alloc/alloc_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"

/* The order of the free chunk that block @n lies in. */
static unsigned chunk_order(const struct mbfs_alloc *a, const struct group *g, mbfs_clu_t n)
{
	for (unsigned k = 1; k < a->order_nr; k++)
		if (bit_test(g->chunks[k], n >> k))
			return k;
	return 0;
}

static void chunk_out(struct group *g, unsigned order, uint32_t i)
{
	if (order > 0)
		bit_clear(g->chunks[order], i);
	g->counts[order]--;
}

static void chunk_in(struct group *g, unsigned order, uint32_t i)
{
	if (order > 0)
		bit_set(g->chunks[order], i);
	g->counts[order]++;
}

/* Is there a free chunk of exactly this order and place? */
static bool chunk_is(const struct group *g, unsigned order, uint32_t i)
{
	if (order > 0)
		return bit_test(g->chunks[order], i);
	return i < g->len && !bit_test(g->bits, i) &&
	       ((i ^ 1) >= g->len || bit_test(g->bits, i ^ 1));
}

/* The largest aligned piece at the front of [start, end). */
static unsigned piece_order(const struct mbfs_alloc *a, mbfs_clu_t start, mbfs_clu_t end)
{
	unsigned fit = order_floor(end - start);
	unsigned align = start ? (unsigned)__builtin_ctz(start) : fit;
	unsigned order = fit < align ? fit : align;

	return order < a->order_nr ? order : a->order_nr - 1;
}

/* Pieces of a chunk that was split: their buddies are not free, so nothing merges. */
static void pieces_in(const struct mbfs_alloc *a, struct group *g, mbfs_clu_t start, mbfs_clu_t end)
{
	while (start < end) {
		unsigned order = piece_order(a, start, end);

		chunk_in(g, order, start >> order);
		start += 1u << order;
	}
}

static void largest_update(const struct mbfs_alloc *a, struct group *g)
{
	int k = (int)a->order_nr - 1;

	while (k >= 0 && g->counts[k] == 0)
		k--;
	g->largest = (int8_t)k;
}

static void counters_update(struct mbfs_alloc *a, struct group *g, int32_t free_delta,
			    int32_t frag_delta)
{
	rt_u32_set(&g->free_nr, rt_u32_read(&g->free_nr) + (uint32_t)free_delta);
	rt_u32_set(&g->fragments, rt_u32_read(&g->fragments) + (uint32_t)frag_delta);
	largest_update(a, g);
	group_index_update(a, g);
}

static bool is_free(const struct group *g, int64_t n)
{
	return n >= 0 && n < g->len && !bit_test(g->bits, (uint32_t)n);
}

void buddy_mark(struct mbfs_alloc *a, struct group *g, mbfs_clu_t start, uint32_t len)
{
	mbfs_clu_t end = start + len, at = start;
	int32_t frags = is_free(g, (int64_t)start - 1) + is_free(g, end) - 1;

	MBFS_ASSERT(len > 0 && end <= g->len);
	MBFS_ASSERT_SLOW(bits_all_clear(g->bits, start, len));
	while (at < end) {
		unsigned order = chunk_order(a, g, at);
		mbfs_clu_t from = at >> order << order, to = from + (1u << order);

		chunk_out(g, order, at >> order);
		if (from < start)
			pieces_in(a, g, from, start);
		if (to > end)
			pieces_in(a, g, end, to);
		at = to;
	}
	bits_set(g->bits, start, len);
	if (g->first_free >= start && g->first_free < end)
		g->first_free = end;
	counters_update(a, g, -(int32_t)len, frags);
}

/* Put one aligned piece in, whose bits are still set, merging upwards. */
static void piece_merge_in(const struct mbfs_alloc *a, struct group *g, unsigned order, uint32_t i)
{
	while (order + 1 < a->order_nr && chunk_is(g, order, i ^ 1)) {
		chunk_out(g, order, i ^ 1);
		order++;
		i >>= 1;
	}
	chunk_in(g, order, i);
}

void buddy_free(struct mbfs_alloc *a, struct group *g, mbfs_clu_t start, uint32_t len)
{
	mbfs_clu_t end = start + len, at = start;
	int32_t frags = 1 - is_free(g, (int64_t)start - 1) - is_free(g, end);

	MBFS_ASSERT(len > 0 && end <= g->len);
	MBFS_ASSERT_SLOW(bits_all_set(g->bits, start, len));
	while (at < end) {
		unsigned order = piece_order(a, at, end);

		piece_merge_in(a, g, order, at >> order);
		/* After the merge: a piece of order 0 must not find itself free. */
		bits_clear(g->bits, at, 1u << order);
		at += 1u << order;
	}
	if (start < g->first_free)
		g->first_free = start;
	counters_update(a, g, (int32_t)len, frags);
}

void buddy_build(struct mbfs_alloc *a, struct group *g)
{
	uint32_t free_nr = 0, frags = 0;
	mbfs_clu_t at = bits_next_clear(g->bits, 0, g->len), end;

	memset(g->counts, 0, sizeof(g->counts));
	for (unsigned k = 1; k < a->order_nr; k++)
		memset(g->chunks[k], 0, (a->shape.blks_per_grp >> k) / 8 + 1);
	g->first_free = at;
	for (; at < g->len; at = bits_next_clear(g->bits, end, g->len)) {
		end = bits_next_set(g->bits, at, g->len);
		/* Aligned pieces of a whole run are its maximal chunks: no neighbour is free. */
		pieces_in(a, g, at, end);
		free_nr += end - at;
		frags++;
	}
	rt_u32_set(&g->free_nr, free_nr);
	rt_u32_set(&g->fragments, frags);
	largest_update(a, g);
	group_index_update(a, g);
}

bool buddy_take(const struct mbfs_alloc *a, const struct group *g, uint32_t want, mbfs_clu_t *start)
{
	unsigned order = order_ceil(want);

	while (order < a->order_nr && g->counts[order] == 0)
		order++;
	if (order >= a->order_nr)
		return false;
	if (order > 0) {
		uint32_t nr = a->shape.blks_per_grp >> order;
		/* The first free block says where not to look. */
		uint32_t i = bits_next_set(g->chunks[order], g->first_free >> order, nr);

		MBFS_ASSERT(i < nr);
		*start = i << order;
		return true;
	}
	*start = bits_next_lone_clear(g->bits, g->first_free, g->len);
	return *start < g->len;
}

mbfs_clu_t buddy_chunk_next(const struct group *g, unsigned order, mbfs_clu_t from)
{
	uint32_t nr = g->len >> order, i;

	if (order == 0)
		return bits_next_lone_clear(g->bits, from, g->len);
	i = bits_next_set(g->chunks[order], (from + (1u << order) - 1) >> order, nr);
	return i < nr ? i << order : g->len;
}

int buddy_check(struct mbfs_alloc *a, struct group *g, struct mbfs_diag *diag)
{
	uint32_t free_nr = 0, frags = 0, counts[ORDER_NR] = { 0 };

	for (mbfs_clu_t n = 0; n < g->len; n++) {
		unsigned in = 0;

		if (bit_test(g->bits, n))
			continue;
		free_nr++;
		frags += !is_free(g, (int64_t)n - 1);
		if (n < g->first_free)
			return diag_set(diag, -EUCLEAN,
					"group %u: block %u is free before first_free %u", g->idx,
					n, g->first_free);
		for (unsigned k = 0; k < a->order_nr; k++) {
			if (!chunk_is(g, k, n >> k))
				continue;
			in++;
			if ((n & ((1u << k) - 1)) == 0)
				counts[k]++;
		}
		if (in != 1)
			return diag_set(diag, -EUCLEAN, "group %u: free block %u is in %u chunks",
					g->idx, n, in);
	}
	for (unsigned k = 0; k < a->order_nr; k++)
		if (counts[k] != g->counts[k])
			return diag_set(diag, -EUCLEAN,
					"group %u: %u chunks of order %u, counted %u", g->idx,
					counts[k], k, g->counts[k]);
	if (free_nr != rt_u32_read(&g->free_nr) || frags != rt_u32_read(&g->fragments))
		return diag_set(diag, -EUCLEAN, "group %u: %u free in %u runs, counted %u in %u",
				g->idx, free_nr, frags, rt_u32_read(&g->free_nr),
				rt_u32_read(&g->fragments));
	return 0;
}
