/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bitmaps as ext4 stores them: bit n is bit n % 8 of byte n / 8. Ranges are [start, start + len).
 * The word-wise versions need the bitmap to be readable in whole 8-byte words and 8-byte aligned,
 * as every block is. Nothing here locks.
 */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool bit_test(const uint8_t *map, uint32_t n)
{
	return map[n >> 3] >> (n & 7) & 1;
}

static inline void bit_set(uint8_t *map, uint32_t n)
{
	map[n >> 3] |= (uint8_t)(1u << (n & 7));
}

static inline void bit_clear(uint8_t *map, uint32_t n)
{
	map[n >> 3] &= (uint8_t)~(1u << (n & 7));
}

/* The order of the largest power of two <= n; n > 0. */
static inline unsigned order_floor(uint64_t n)
{
	return 63u - (unsigned)__builtin_clzll(n);
}

/* The order of the smallest power of two >= n; n > 0. */
static inline unsigned order_ceil(uint64_t n)
{
	return n <= 1 ? 0 : order_floor(n - 1) + 1;
}

static inline uint64_t div_up(uint64_t n, uint64_t by)
{
	return n / by + (n % by != 0);
}

void bits_set(uint8_t *map, uint32_t start, uint32_t len);
void bits_clear(uint8_t *map, uint32_t start, uint32_t len);
bool bits_all_set(const uint8_t *map, uint32_t start, uint32_t len);
bool bits_all_clear(const uint8_t *map, uint32_t start, uint32_t len);

/* The number of clear bits in [start, start + len). */
uint32_t bits_count_clear(const uint8_t *map, uint32_t start, uint32_t len);

/* The first clear (set) bit in [start, end), or @end if there is none. */
uint32_t bits_next_clear(const uint8_t *map, uint32_t start, uint32_t end);
uint32_t bits_next_set(const uint8_t *map, uint32_t start, uint32_t end);

/* The first clear bit in [start, end) whose pair (n ^ 1) is set, or @end. The pair may lie outside.
 */
uint32_t bits_next_lone_clear(const uint8_t *map, uint32_t start, uint32_t end);
/* How far the clear bits before @at go back: the least n >= @start with [n, at) all clear. */
uint32_t bits_clear_since(const uint8_t *map, uint32_t start, uint32_t at);

#endif
