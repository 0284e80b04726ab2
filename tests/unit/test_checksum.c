// SPDX-License-Identifier: GPL-2.0-only
#include "support/t.h"

#include <signal.h>
#include <string.h>

#include "base/check.h"
#include "base/checksum.h"
#include "base/endian.h"

/* One bit at a time, from the polynomial's definition. */
static uint32_t naive_crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
	}
	return crc;
}

/* Goal: the published check values. Method: "123456789", and RFC 3720's vectors. */
START_TEST(known_values)
{
	uint8_t buf[32];

	ck_assert_uint_eq(crc32c(~0u, "123456789", 9), ~0xE3069283u);
	ck_assert_uint_eq(crc16(0, "123456789", 9), 0xBB3D);
	ck_assert_uint_eq(crc16(0xffff, "123456789", 9), 0x4B37);
	memset(buf, 0, sizeof(buf));
	ck_assert_uint_eq(crc32c(~0u, buf, sizeof(buf)), ~0x8A9136AAu);
	memset(buf, 0xff, sizeof(buf));
	ck_assert_uint_eq(crc32c(~0u, buf, sizeof(buf)), ~0x62A8AB43u);
	for (uint8_t i = 0; i < 32; i++)
		buf[i] = i;
	ck_assert_uint_eq(crc32c(~0u, buf, sizeof(buf)), ~0x46DD794Eu);
	ck_assert_uint_eq(crc32c(123, buf, 0), 123);
	ck_assert_uint_eq(crc16(123, buf, 0), 123);
}
END_TEST

/* Goal: any length, alignment and start value. Method: against the naive twin; in one call and in
 * two. */
START_TEST(agrees_with_the_naive_twin)
{
	struct rt_rand r = { t_seed() };
	uint8_t buf[1100];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)rt_rand_next(&r);
	for (size_t len = 0; len < 1080; len++) {
		size_t off = rt_rand_below(&r, 17), cut = rt_rand_below(&r, len + 1);
		uint32_t start = (uint32_t)rt_rand_next(&r),
			 want = naive_crc32c(start, buf + off, len);
		uint16_t half = crc16((uint16_t)start, buf + off, cut);

		ck_assert_uint_eq(crc32c(start, buf + off, len), want);
		ck_assert_uint_eq(crc32c(crc32c(start, buf + off, cut), buf + off + cut, len - cut),
				  want);
		ck_assert_uint_eq(crc16(half, buf + off + cut, len - cut),
				  crc16((uint16_t)start, buf + off, len));
	}
}
END_TEST

/* Goal: integers on disk are little-endian at any address. Method: known bytes at odd offsets. */
START_TEST(endian_round_trip)
{
	uint8_t buf[9] = { 0, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08 }, out[9] = { 0 };
	mbfs_le16 a;
	mbfs_le32 b;
	mbfs_le64 c;

	memcpy(&a, buf + 1, 2);
	memcpy(&b, buf + 1, 4);
	memcpy(&c, buf + 1, 8);
	ck_assert_uint_eq(le16_get(a), 0x0201);
	ck_assert_uint_eq(le32_get(b), 0x04030201);
	ck_assert_uint_eq(le64_get(c), 0x0807060504030201ull);
	c = le64_of(0x0807060504030201ull);
	memcpy(out + 1, &c, 8);
	ck_assert_mem_eq(out, buf, sizeof(buf));
	b = le32_of(0x04030201);
	ck_assert_mem_eq(&b, buf + 1, 4);
	a = le16_of(0x0201);
	ck_assert_mem_eq(&a, buf + 1, 2);
}
END_TEST

/* Goal: a message is kept, cut to size, and optional. Method: short, too long, no diag. */
START_TEST(diag_keeps_one_line)
{
	struct mbfs_diag diag = { "old" };
	char big[2000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	ck_assert_int_eq(diag_set(&diag, -5, "%s %d", "number", 7), -5);
	ck_assert_str_eq(diag.text, "number 7");
	ck_assert_int_eq(diag_set(NULL, -7, "nobody reads this"), -7);
	ck_assert_int_eq(diag_set(&diag, 0, "%s", big), 0);
	ck_assert_uint_eq(strlen(diag.text), sizeof(diag.text) - 1);
}
END_TEST

static void assert_false(void)
{
	volatile int zero = 0;

	MBFS_ASSERT(zero == 1);
}

/* Goal: a bug ends the program at once. Method: a false assertion; SIGABRT expected. */
START_TEST(assertion_aborts)
{
	assert_false();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("checksum");
	TCase *tc = tcase_create("checksum");

	tcase_add_test(tc, known_values);
	tcase_add_test(tc, agrees_with_the_naive_twin);
	tcase_add_test(tc, endian_round_trip);
	tcase_add_test(tc, diag_keeps_one_line);
	tcase_add_test_raise_signal(tc, assertion_aborts, SIGABRT);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
