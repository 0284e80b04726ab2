// SPDX-License-Identifier: GPL-2.0-only
#include "race/race.h"

#include "base/check.h"

enum { SUB_BITS = 4, SUB_NR = 1 << SUB_BITS };

static unsigned bucket_of(uint64_t ns)
{
	unsigned exp;

	if (ns < SUB_NR)
		return (unsigned)ns;
	exp = 63 - (unsigned)__builtin_clzll(ns);
	return (exp - SUB_BITS + 1) * SUB_NR + (unsigned)(ns >> (exp - SUB_BITS)) % SUB_NR;
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_top(unsigned idx)
{
	unsigned shift;

	if (idx < SUB_NR)
		return idx;
	shift = idx / SUB_NR - 1;
	return ((uint64_t)(SUB_NR + idx % SUB_NR + 1) << shift) - 1;
}

void race_hist_add(struct race_hist *h, uint64_t ns)
{
	unsigned idx = bucket_of(ns);

	MBFS_ASSERT(idx < RACE_HIST_NR);
	h->count[idx]++;
	h->nr++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

void race_hist_merge(struct race_hist *into, const struct race_hist *from)
{
	for (unsigned i = 0; i < RACE_HIST_NR; i++)
		into->count[i] += from->count[i];
	into->nr += from->nr;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
}

uint64_t race_hist_at(const struct race_hist *h, unsigned per_mille)
{
	uint64_t want, seen = 0, top;

	MBFS_ASSERT(per_mille <= 1000);
	if (h->nr == 0)
		return 0;
	want = (h->nr * per_mille + 999) / 1000;
	for (unsigned i = 0; i < RACE_HIST_NR; i++) {
		seen += h->count[i];
		if (seen < want || seen == 0)
			continue;
		top = bucket_top(i);
		return top < h->max_ns ? top : h->max_ns;
	}
	return h->max_ns;
}
