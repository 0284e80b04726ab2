// SPDX-License-Identifier: GPL-2.0-only
/* Word-wise bitmaps against twins that look at one bit at a time. */
#include "support/t.h"

#include <string.h>

#include "base/bits.h"

enum { BITS = 320, BYTES = BITS / 8 };

static bool naive_all(const uint8_t *map, uint32_t start, uint32_t len, bool set)
{
	for (uint32_t i = start; i < start + len; i++)
		if (bit_test(map, i) != set)
			return false;
	return true;
}

static uint32_t naive_count_clear(const uint8_t *map, uint32_t start, uint32_t len)
{
	uint32_t nr = 0;

	for (uint32_t i = start; i < start + len; i++)
		nr += !bit_test(map, i);
	return nr;
}

static uint32_t naive_next(const uint8_t *map, uint32_t start, uint32_t end, bool set)
{
	while (start < end && bit_test(map, start) != set)
		start++;
	return start;
}

/* Long runs, so that whole words of one value are common. */
static void fill(struct rt_rand *r, uint8_t *map)
{
	bool set = false;

	for (uint32_t i = 0; i < BITS; set = !set) {
		uint32_t len = 1 + (uint32_t)rt_rand_below(r, rt_rand_next(r) & 1 ? 3 : 150);

		for (; len > 0 && i < BITS; len--, i++)
			set ? bit_set(map, i) : bit_clear(map, i);
	}
}

static uint32_t naive_next_lone(const uint8_t *map, uint32_t start, uint32_t end)
{
	while (start < end && (bit_test(map, start) || !bit_test(map, start ^ 1)))
		start++;
	return start;
}

static uint32_t naive_clear_since(const uint8_t *map, uint32_t start, uint32_t at)
{
	while (at > start && !bit_test(map, at - 1))
		at--;
	return at;
}

static void compare_queries(const uint8_t *map, uint32_t start, uint32_t len)
{
	uint32_t end = start + len;

	ck_assert_int_eq(bits_all_set(map, start, len), naive_all(map, start, len, true));
	ck_assert_int_eq(bits_all_clear(map, start, len), naive_all(map, start, len, false));
	ck_assert_uint_eq(bits_count_clear(map, start, len), naive_count_clear(map, start, len));
	ck_assert_uint_eq(bits_next_clear(map, start, end), naive_next(map, start, end, false));
	ck_assert_uint_eq(bits_next_set(map, start, end), naive_next(map, start, end, true));
	ck_assert_uint_eq(bits_next_lone_clear(map, start, end), naive_next_lone(map, start, end));
	ck_assert_uint_eq(bits_clear_since(map, start, end), naive_clear_since(map, start, end));
}

static void compare_changes(const uint8_t *map, uint32_t start, uint32_t len)
{
	_Alignas(8) uint8_t a[BYTES], b[BYTES];

	memcpy(a, map, BYTES);
	memcpy(b, map, BYTES);
	bits_set(a, start, len);
	for (uint32_t i = start; i < start + len; i++)
		bit_set(b, i);
	ck_assert_mem_eq(a, b, BYTES);
	memcpy(a, map, BYTES);
	memcpy(b, map, BYTES);
	bits_clear(a, start, len);
	for (uint32_t i = start; i < start + len; i++)
		bit_clear(b, i);
	ck_assert_mem_eq(a, b, BYTES);
}

/* Goal: every range at every alignment. Method: all starts and lengths of one random map. */
START_TEST(all_ranges_agree_with_the_naive_twin)
{
	struct rt_rand r = { t_seed() };
	_Alignas(8) uint8_t map[BYTES];

	fill(&r, map);
	for (uint32_t start = 0; start <= BITS; start++) {
		for (uint32_t len = 0; start + len <= BITS; len++) {
			compare_queries(map, start, len);
			compare_changes(map, start, len);
		}
	}
}
END_TEST

/* Goal: words of any value. Method: many random maps, random ranges. */
START_TEST(random_maps_agree_with_the_naive_twin)
{
	struct rt_rand r = { t_seed() };
	_Alignas(8) uint8_t map[BYTES];

	for (int i = 0; i < 3000; i++) {
		uint32_t start = (uint32_t)rt_rand_below(&r, BITS + 1);

		fill(&r, map);
		for (int k = 0; k < 10; k++) {
			uint32_t len = (uint32_t)rt_rand_below(&r, BITS - start + 1);

			compare_queries(map, start, len);
			compare_changes(map, start, len);
		}
	}
}
END_TEST

/* Goal: the largest bitmap a group can have. Method: one bit in 524288, found from everywhere. */
START_TEST(one_bit_in_the_largest_map)
{
	enum { MAX = 8 * 65536 };
	uint8_t *map = aligned_alloc(8, MAX / 8);

	memset(map, 0, MAX / 8);
	for (uint32_t at = 0; at < MAX; at = at * 3 + 1) {
		bit_set(map, at);
		ck_assert_uint_eq(bits_next_set(map, 0, MAX), at);
		ck_assert_uint_eq(bits_next_set(map, at, MAX), at);
		ck_assert_uint_eq(bits_next_set(map, 0, at), at);
		ck_assert_uint_eq(bits_next_set(map, at + 1, MAX), MAX);
		ck_assert_uint_eq(bits_count_clear(map, 0, MAX), MAX - 1);
		bit_clear(map, at);
	}
	ck_assert(bits_all_clear(map, 0, MAX));
	free(map);
}
END_TEST

/* Goal: orders and division at their edges. Method: each power of two and its neighbours. */
START_TEST(orders_and_division)
{
	for (unsigned o = 0; o < 64; o++) {
		uint64_t n = 1ull << o;

		ck_assert_uint_eq(order_floor(n), o);
		ck_assert_uint_eq(order_ceil(n), o);
		if (o > 1) {
			ck_assert_uint_eq(order_floor(n - 1), o - 1);
			ck_assert_uint_eq(order_ceil(n - 1), o);
			ck_assert_uint_eq(order_floor(n + 1), o);
		}
		if (o > 0 && o < 63)
			ck_assert_uint_eq(order_ceil(n + 1), o + 1);
	}
	ck_assert_uint_eq(div_up(0, 7), 0);
	ck_assert_uint_eq(div_up(1, 7), 1);
	ck_assert_uint_eq(div_up(7, 7), 1);
	ck_assert_uint_eq(div_up(8, 7), 2);
	ck_assert_uint_eq(div_up(UINT64_MAX, 2), 1ull << 63);
	ck_assert_uint_eq(div_up(UINT64_MAX, 1), UINT64_MAX);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("bits");
	TCase *tc = tcase_create("bits");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, all_ranges_agree_with_the_naive_twin);
	tcase_add_test(tc, random_maps_agree_with_the_naive_twin);
	tcase_add_test(tc, one_bit_in_the_largest_map);
	tcase_add_test(tc, orders_and_division);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
