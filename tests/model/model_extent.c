// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: the tree against a naive twin: an array with the state and the device block of each file
 * block. Method: random allocate, convert, remove, shift and map; the whole map compared now and
 * then; row _i: block size.
 */
#include <string.h>

#include "support/t_ext.h"

enum { LBLKS = 6000, STEPS = 4000 };

struct twin {
	mbfs_blk_t pblk[LBLKS]; /* 0: hole */
	bool written[LBLKS];
};

/* Blocks of the twin move: [from, LBLKS) by @by; what is uncovered is a hole. */
static void twin_move(struct twin *w, mbfs_lblk_t from, int32_t by)
{
	struct twin old = *w;

	for (mbfs_lblk_t i = by < 0 ? from - (mbfs_lblk_t)-by : from; i < LBLKS; i++) {
		int64_t was = (int64_t)i - by;
		bool there = was >= from && was < LBLKS;

		w->pblk[i] = there ? old.pblk[was] : 0;
		w->written[i] = there && old.written[was];
	}
}

/* Collapse [at, at + len), or insert as much as fits behind the last extent. */
static void move(struct t_ext *x, struct twin *w, mbfs_lblk_t at, uint32_t len, bool insert)
{
	uint64_t end;

	if (!insert) {
		ck_assert_int_eq(t_ext_remove(x, at, (uint64_t)at + len), 0);
		ck_assert_int_eq(t_ext_shift(x, at + len, -(int32_t)len), 0);
		twin_move(w, at + len, -(int32_t)len);
		return;
	}
	ck_assert_int_eq(extent_end(&x->tree, at, &end), 0);
	if (end + len > LBLKS)
		return;
	ck_assert_int_eq(t_ext_shift(x, at, (int32_t)len), 0);
	twin_move(w, at, (int32_t)len);
}

static void compare(struct t_ext *x, const struct twin *w)
{
	struct extent_map map;

	for (mbfs_lblk_t at = 0; at < LBLKS; at += map.len) {
		ck_assert_int_eq(extent_map(&x->tree, at, LBLKS - at, &map), 0);
		ck_assert_uint_ge(map.len, 1);
		for (uint32_t i = 0; i < map.len; i++) {
			enum extent_state state = !w->pblk[at + i]   ? EXTENT_HOLE :
						  w->written[at + i] ? EXTENT_WRITTEN :
								       EXTENT_UNWRITTEN;

			ck_assert_int_eq(map.state, state);
			if (state != EXTENT_HOLE)
				ck_assert_uint_eq(map.pblk + i, w->pblk[at + i]);
		}
	}
}

START_TEST(random_operations_match_the_twin)
{
	static const uint32_t bytes[] = { 1024, 4096, 65536 };
	static struct twin w;
	struct rt_rand rand = { t_seed() };
	struct t_ext x;

	memset(&w, 0, sizeof(w));
	t_ext_open(&x, bytes[_i], 9000);
	for (unsigned step = 0; step < STEPS; step++) {
		mbfs_lblk_t at = (mbfs_lblk_t)rt_rand_below(&rand, LBLKS);
		uint32_t len =
			1 + (uint32_t)rt_rand_below(&rand, rt_rand_below(&rand, 6) ? 5 : 300);
		struct extent_map map;

		if (len > LBLKS - at)
			len = LBLKS - at;
		switch (rt_rand_below(&rand, 6)) {
		case 0:
		case 1:
			if (t_ext_alloc(&x, at, len, &map))
				break;
			ck_assert_uint_eq(map.lblk, at);
			for (uint32_t i = 0; i < map.len; i++) {
				if (w.pblk[at + i])
					ck_assert_uint_eq(w.pblk[at + i], map.pblk + i);
				w.pblk[at + i] = map.pblk + i;
			}
			break;
		case 2:
		case 3:
			ck_assert_int_eq(t_ext_convert(&x, at, len), 0);
			for (uint32_t i = 0; i < len; i++)
				w.written[at + i] = w.pblk[at + i] != 0;
			break;
		case 4:
			move(&x, &w, at, len, rt_rand_below(&rand, 2));
			break;
		default:
			ck_assert_int_eq(t_ext_remove(&x, at, (uint64_t)at + len), 0);
			memset(&w.pblk[at], 0, len * sizeof(w.pblk[0]));
			memset(&w.written[at], 0, len * sizeof(w.written[0]));
		}
		if (step % 50 == 0) {
			t_ext_ok(&x);
			compare(&x, &w);
		}
	}
	compare(&x, &w);
	t_ext_close(&x);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model_extent");
	TCase *tc = tcase_create("twin");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, random_operations_match_the_twin, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
