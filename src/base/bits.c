// SPDX-License-Identifier: GPL-2.0-only
#include "base/bits.h"

#include <endian.h>
#include <string.h>

/* The 64-bit word that holds bit n, as a little-endian value: its bit i is bitmap bit (n & ~63) +
 * i. */
static uint64_t word_get(const uint8_t *map, uint32_t n)
{
	uint64_t w;

	memcpy(&w, map + (size_t)(n >> 6) * 8, sizeof(w));
	return le64toh(w);
}

static void word_put(uint8_t *map, uint32_t n, uint64_t w)
{
	w = htole64(w);
	memcpy(map + (size_t)(n >> 6) * 8, &w, sizeof(w));
}

/* The bits of n's word that lie in [n, end). */
static uint64_t word_mask(uint32_t n, uint32_t end)
{
	uint64_t mask = ~0ull << (n & 63);

	if ((n | 63u) >= end)
		mask &= ~0ull >> (63u - ((end - 1) & 63));
	return mask;
}

/* The start of the next word, without wrapping past end. */
static uint32_t word_next(uint32_t n, uint32_t end)
{
	return end - n <= 64 - (n & 63) ? end : (n | 63u) + 1;
}

void bits_set(uint8_t *map, uint32_t start, uint32_t len)
{
	uint32_t end = start + len;

	for (uint32_t n = start; n < end; n = word_next(n, end))
		word_put(map, n, word_get(map, n) | word_mask(n, end));
}

void bits_clear(uint8_t *map, uint32_t start, uint32_t len)
{
	uint32_t end = start + len;

	for (uint32_t n = start; n < end; n = word_next(n, end))
		word_put(map, n, word_get(map, n) & ~word_mask(n, end));
}

bool bits_all_set(const uint8_t *map, uint32_t start, uint32_t len)
{
	return bits_next_clear(map, start, start + len) == start + len;
}

bool bits_all_clear(const uint8_t *map, uint32_t start, uint32_t len)
{
	return bits_next_set(map, start, start + len) == start + len;
}

uint32_t bits_count_clear(const uint8_t *map, uint32_t start, uint32_t len)
{
	uint32_t end = start + len, nr = 0;

	for (uint32_t n = start; n < end; n = word_next(n, end))
		nr += (uint32_t)__builtin_popcountll(~word_get(map, n) & word_mask(n, end));
	return nr;
}

uint32_t bits_next_clear(const uint8_t *map, uint32_t start, uint32_t end)
{
	for (uint32_t n = start; n < end; n = word_next(n, end)) {
		uint64_t w = ~word_get(map, n) & word_mask(n, end);

		if (w)
			return (n & ~63u) + (uint32_t)__builtin_ctzll(w);
	}
	return end;
}

uint32_t bits_next_set(const uint8_t *map, uint32_t start, uint32_t end)
{
	for (uint32_t n = start; n < end; n = word_next(n, end)) {
		uint64_t w = word_get(map, n) & word_mask(n, end);

		if (w)
			return (n & ~63u) + (uint32_t)__builtin_ctzll(w);
	}
	return end;
}

uint32_t bits_next_lone_clear(const uint8_t *map, uint32_t start, uint32_t end)
{
	const uint64_t even = 0x5555555555555555ull;

	for (uint32_t n = start; n < end; n = word_next(n, end)) {
		uint64_t clear = ~word_get(map, n);
		uint64_t pair = (clear >> 1 & even) | (clear & even) << 1;
		uint64_t w = clear & ~pair & word_mask(n, end);

		if (w)
			return (n & ~63u) + (uint32_t)__builtin_ctzll(w);
	}
	return end;
}

uint32_t bits_clear_since(const uint8_t *map, uint32_t start, uint32_t at)
{
	while (at > start) {
		uint32_t first = (at - 1) & ~63u; /* of the word of bit at - 1 */
		uint64_t w = word_get(map, at - 1) & word_mask(first < start ? start : first, at);

		if (w)
			return first + 64u - (uint32_t)__builtin_clzll(w);
		at = first < start ? start : first;
	}
	return at;
}
