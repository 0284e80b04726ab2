/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hashes of directory names.
 *
 * half_md4 and tea take the name in chunks (32 and 16 bytes). A chunk becomes big-endian words of
 * its characters; what the name does not fill is filled with its remaining length, in every byte.
 * The legacy hash goes character by character. A "signed" character above 127 is negative and
 * borrows from the bytes before it: a slip of the first implementation, on a machine with signed
 * char, that became format.
 */
#include "inode/dirhash.h"

#include "base/check.h"

enum { MD4_WORDS = 8, TEA_WORDS = 4, WORD_BYTES = 4 };

static inline uint32_t rol32(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

/* A character as the arithmetic sees it, modulo 2^32. */
static inline uint32_t char_value(uint8_t c, bool is_unsigned)
{
	return is_unsigned || c < 128 ? c : (uint32_t)c - 256;
}

static void words_of_name(const uint8_t *name, size_t len, bool is_unsigned, uint32_t *words,
			  unsigned nr)
{
	uint32_t pad = (uint32_t)len | (uint32_t)len << 8;
	size_t at = 0;

	pad |= pad << 16;
	if (len > (size_t)nr * WORD_BYTES)
		len = (size_t)nr * WORD_BYTES;
	for (unsigned i = 0; i < nr; i++) {
		uint32_t word = pad;

		for (unsigned k = 0; k < WORD_BYTES && at < len; k++, at++)
			word = char_value(name[at], is_unsigned) + (word << 8);
		words[i] = word;
	}
}

static void tea_chunk(uint32_t state[4], const uint32_t key[TEA_WORDS])
{
	const uint32_t delta = 0x9E3779B9;
	uint32_t y = state[0], z = state[1], sum = 0;

	for (unsigned i = 0; i < 16; i++) {
		sum += delta;
		y += ((z << 4) + key[0]) ^ (z + sum) ^ ((z >> 5) + key[1]);
		z += ((y << 4) + key[2]) ^ (y + sum) ^ ((y >> 5) + key[3]);
	}
	state[0] += y;
	state[1] += z;
}

/* The three round functions of MD4. */
static inline uint32_t md4_mix(unsigned round, uint32_t x, uint32_t y, uint32_t z)
{
	if (round == 0)
		return z ^ (x & (y ^ z));
	if (round == 1)
		return (x & y) + ((x ^ y) & z);
	return x ^ y ^ z;
}

/* MD4 with 8 words of input instead of 16: three rounds of 8 steps. */
static void md4_chunk(uint32_t state[4], const uint32_t in[MD4_WORDS])
{
	static const uint8_t order[3][MD4_WORDS] = {
		{ 0, 1, 2, 3, 4, 5, 6, 7 },
		{ 1, 3, 5, 7, 0, 2, 4, 6 },
		{ 3, 7, 2, 6, 1, 5, 0, 4 },
	};
	static const uint8_t shift[3][4] = { { 3, 7, 11, 19 }, { 3, 5, 9, 13 }, { 3, 9, 11, 15 } };
	static const uint32_t konst[3] = { 0, 0x5A827999, 0x6ED9EBA1 };
	uint32_t v[4] = { state[0], state[1], state[2], state[3] };

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < MD4_WORDS; i++) {
			/* The word that changes goes a, d, c, b; the others follow it in order. */
			unsigned a = (4 - i % 4) % 4;
			uint32_t f = md4_mix(round, v[(a + 1) % 4], v[(a + 2) % 4], v[(a + 3) % 4]);

			v[a] = rol32(v[a] + f + in[order[round][i]] + konst[round],
				     shift[round][i % 4]);
		}
	}
	for (unsigned i = 0; i < 4; i++)
		state[i] += v[i];
}

static uint32_t legacy_hash(const uint8_t *name, size_t len, bool is_unsigned)
{
	uint32_t last = 0x12a3fe2d, before = 0x37abe8f9;

	for (size_t i = 0; i < len; i++) {
		uint32_t h = before + (last ^ char_value(name[i], is_unsigned) * 7152373);

		if (h & 0x80000000)
			h -= 0x7fffffff;
		before = last;
		last = h;
	}
	return last << 1;
}

static void seed_state(const struct dir_hasher *h, uint32_t state[4])
{
	static const uint32_t start[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
	bool own = h->seed[0] | h->seed[1] | h->seed[2] | h->seed[3];

	for (unsigned i = 0; i < 4; i++)
		state[i] = own ? h->seed[i] : start[i];
}

uint32_t dir_hash(const struct dir_hasher *h, const void *name, size_t len, uint32_t *minor)
{
	const uint32_t end = 0x7fffffff;
	const uint8_t *at = name;
	uint32_t state[4], words[MD4_WORDS], major, second = 0;
	bool md4 = h->version == DIR_HASH_HALF_MD4;
	size_t step = (md4 ? MD4_WORDS : TEA_WORDS) * WORD_BYTES;

	MBFS_ASSERT(h->version < DIR_HASH_NR && len <= 255);
	if (h->version == DIR_HASH_LEGACY) {
		major = legacy_hash(name, len, h->is_unsigned);
	} else {
		seed_state(h, state);
		for (size_t left = len; left; left -= left < step ? left : step, at += step) {
			words_of_name(at, left, h->is_unsigned, words, (unsigned)step / WORD_BYTES);
			if (md4)
				md4_chunk(state, words);
			else
				tea_chunk(state, words);
		}
		major = md4 ? state[1] : state[0];
		second = md4 ? state[2] : state[1];
	}
	if (minor)
		*minor = second;
	major &= ~1u;
	return major == end << 1 ? (end - 1) << 1 : major;
}
