// SPDX-License-Identifier: GPL-2.0-only
/* Goal: the extent tree keeps its format and its promises at the edges. Method: trees over memory.
 */
#include <errno.h>
#include <string.h>

#include "disk/csum.h"
#include "disk/extent_codec.h"
#include "rt/mem.h"
#include "support/t_ext.h"

static struct t_ext x;

static void setup(void)
{
	t_ext_open(&x, 1024, 20000);
}

static void teardown(void)
{
	t_ext_close(&x);
}

/* Goal: the bytes of a root that mkfs.ext4 wrote (lost+found of an image with 4 KiB blocks) mean
 * one extent. */
START_TEST(codec_reads_known_bytes)
{
	static const uint8_t root[EXTENT_ROOT_BYTES] = { 0x0a, 0xf3, 0x01, 0x00, 0x04, 0x00,
							 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
							 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
							 0x00, 0x00, 0x0a, 0x24, 0x00, 0x00 };
	struct mbfs_geo geo = { .blk_nr = 100000, .block_bytes = 4096 };
	struct extent_leaf l = node_leaf(root, 0);
	uint8_t mine[EXTENT_ROOT_BYTES];

	ck_assert(extent_node_ok(&geo, root, sizeof(root)));
	ck_assert_uint_eq(l.lblk, 0);
	ck_assert_uint_eq(l.len, 4);
	ck_assert_uint_eq(l.pblk, 0x240a);
	ck_assert(!l.unwritten);
	node_format(mine, sizeof(mine), 0);
	node_set_entries(mine, 1);
	node_put_leaf(mine, 0, &l);
	ck_assert_mem_eq(mine, root, sizeof(root));
}
END_TEST

/* Goal: sequential writes into a preallocated range do not make an extent each. */
START_TEST(sequential_conversion_merges)
{
	struct extent_map map;

	ck_assert_int_eq(t_ext_alloc(&x, 0, 1000, &map), 0);
	ck_assert_uint_eq(map.len, 1000);
	ck_assert_int_eq(map.state, EXTENT_UNWRITTEN);
	for (mbfs_lblk_t at = 0; at < 600; at++)
		ck_assert_int_eq(t_ext_convert(&x, at, 1), 0);
	ck_assert_uint_eq(t_ext_extents(&x, 1000), 2);
	ck_assert_int_eq(t_ext_convert(&x, 600, 400), 0);
	ck_assert_uint_eq(t_ext_extents(&x, 1000), 1);
	t_ext_ok(&x);
}
END_TEST

/* Goal: every alignment of a conversion inside an extent. Method: row _i is [start, start + len) of
 * 100. */
START_TEST(conversion_splits_where_it_must)
{
	static const struct {
		mbfs_lblk_t start;
		uint32_t len;
		unsigned extents;
	} rows[] = { { 0, 100, 1 }, { 0, 10, 2 }, { 90, 10, 2 },
		     { 40, 10, 3 }, { 99, 1, 2 }, { 0, 1, 2 } };
	struct extent_map map;

	ck_assert_int_eq(t_ext_alloc(&x, 0, 100, &map), 0);
	ck_assert_int_eq(t_ext_convert(&x, rows[_i].start, rows[_i].len), 0);
	ck_assert_uint_eq(t_ext_extents(&x, 100), rows[_i].extents);
	ck_assert_int_eq(extent_map(&x.tree, rows[_i].start, 1, &map), 0);
	ck_assert_int_eq(map.state, EXTENT_WRITTEN);
	t_ext_ok(&x);
}
END_TEST

/* Goal: a tree of depth 2 and more grows and shrinks in any order. Row _i: up, down, inside out. */
START_TEST(deep_trees_grow_and_shrink)
{
	enum { NR = 3000 };
	struct extent_map map;

	for (uint32_t i = 0; i < NR; i++) {
		uint32_t at = _i == 0   ? i
			      : _i == 1 ? NR - 1 - i
			      : i % 2   ? NR / 2 + i / 2
					: NR / 2 - 1 - i / 2;

		ck_assert_int_eq(t_ext_alloc(&x, at * 3, 1, &map), 0);
		if (i % 100 == 0)
			t_ext_ok(&x);
	}
	t_ext_ok(&x);
	ck_assert_uint_ge(node_depth(x.tree.root), 2);
	ck_assert_uint_eq(t_ext_extents(&x, NR * 3), NR);
	ck_assert_int_eq(t_ext_remove(&x, 3, (NR - 1) * 3), 0);
	t_ext_ok(&x);
	ck_assert_uint_eq(node_depth(x.tree.root), 0);
	ck_assert_uint_eq(t_ext_extents(&x, NR * 3), 2);
}
END_TEST

/* Goal: inserting and collapsing again gives the tree back, of any depth. Method: NR extents; at
 * each of some places, at an extent's start, inside, before and behind all. */
START_TEST(what_moves_comes_back)
{
	enum { NR = 2000, BY = 77 };
	static const mbfs_lblk_t places[] = { 0, 1, 3000, 3001, 5 * NR - 4, 5 * NR };
	mbfs_blk_t blk[NR];
	struct extent_map map;

	for (uint32_t i = 0; i < NR; i++) {
		ck_assert_int_eq(t_ext_alloc(&x, i * 5, 3, &map), 0);
		ck_assert_uint_eq(map.len, 3);
		blk[i] = map.pblk;
	}
	for (unsigned k = 0; k < MBFS_ARRAY_SIZE(places); k++) {
		mbfs_lblk_t at = places[k];

		ck_assert_int_eq(t_ext_shift(&x, at, BY), 0);
		for (uint32_t i = 0; i < 5 * NR; i++) {
			mbfs_lblk_t is = i < at ? i : i + BY;

			ck_assert_int_eq(extent_map(&x.tree, is, 1, &map), 0);
			ck_assert_int_eq(map.state, i % 5 < 3 ? EXTENT_UNWRITTEN : EXTENT_HOLE);
			if (i % 5 < 3)
				ck_assert_uint_eq(map.pblk, blk[i / 5] + i % 5);
		}
		ck_assert_int_eq(t_ext_shift(&x, at + BY, -BY), 0);
	}
	ck_assert_uint_eq(t_ext_extents(&x, 5 * NR), NR);
}
END_TEST

/*
 * Goal: an insert moves all from its block on, though a write below it ends meanwhile and its
 * blocks merge with those behind. Method: [0, 20) in one run on the device, [10, 20) written;
 * [0, 10) is converted after the split and before the shift, whose locks begin at 10.
 */
START_TEST(a_conversion_below_does_not_undo_the_split)
{
	enum { HALF = 10, BY = 7 };
	struct extent_map map;
	uint64_t at = 2 * HALF;
	struct mbfs_tx *tx;
	mbfs_blk_t first;

	ck_assert_int_eq(t_ext_alloc(&x, 0, 2 * HALF, &map), 0);
	ck_assert_uint_eq(map.len, 2 * HALF);
	first = map.pblk;
	ck_assert_int_eq(t_ext_convert(&x, HALF, HALF), 0);
	tx = t_ext_tx(&x);
	ck_assert_int_eq(extent_split(&x.tree, tx, HALF), 0);
	tx_stop(tx);
	ck_assert_int_eq(t_ext_convert(&x, 0, HALF), 0);
	while (at > HALF) {
		tx = t_ext_tx(&x);
		ck_assert_int_eq(extent_shift(&x.tree, tx, HALF, BY, &at), 0);
		tx_stop(tx);
	}
	ck_assert_int_eq(extent_map(&x.tree, HALF, BY, &map), 0);
	ck_assert_int_eq(map.state, EXTENT_HOLE);
	ck_assert_uint_eq(map.len, BY);
	for (mbfs_lblk_t i = 0; i < 2 * HALF; i++) {
		ck_assert_int_eq(extent_map(&x.tree, i < HALF ? i : i + BY, 1, &map), 0);
		ck_assert_uint_eq(map.pblk, first + i);
	}
	t_ext_ok(&x);
}
END_TEST

/* Goal: what cannot be read stops a move before it begins. Method: each read fails once. */
START_TEST(a_move_reads_before_it_writes)
{
	enum { NR = 1500 };
	struct extent_map map;
	struct buf_cache *cold;
	struct extent_env env = x.env;
	struct mbfs_bdev *faulty;
	uint64_t end;
	int err = -EIO;

	for (uint32_t i = 0; i < NR; i++)
		ck_assert_int_eq(t_ext_alloc(&x, i * 2, 1, &map), 0);
	ck_assert_int_eq(tx_writeout(x.log), 0);
	for (uint64_t n = 1; err; n++) {
		struct mbfs_fault_plan plan = { .fail_read_at = n };
		struct extent_tree t = x.tree;

		ck_assert_int_eq(mbfs_bdev_open_fault(x.mem, &plan, &faulty), 0);
		ck_assert_int_eq(buf_cache_open(faulty, 1024, &x.geo, 1 << 20, &cold), 0);
		env.bufs = cold;
		t.env = &env;
		rt_rwlock_init(&t.lock, RANK_EXTENT);
		err = extent_end(&t, 0, &end);
		ck_assert(err == 0 || err == -EIO);
		ck_assert_uint_lt(n, 100);
		if (!err)
			ck_assert_uint_gt(n, NR / 84); /* all leaves of 84 were read */
		rt_rwlock_destroy(&t.lock);
		buf_cache_close(cold);
		mbfs_bdev_close(faulty);
	}
	ck_assert_uint_eq(end, NR * 2 - 1);
}
END_TEST

/* Goal: the last block is 2^32 - 2. */
START_TEST(last_block)
{
	struct extent_map map;

	ck_assert_int_eq(t_ext_alloc(&x, 0xFFFFFFFE, 5, &map), 0);
	ck_assert_uint_eq(map.len, 1);
	ck_assert_int_eq(t_ext_alloc(&x, 0xFFFFFFFF, 1, &map), -EFBIG);
	ck_assert_int_eq(extent_map(&x.tree, 0, UINT32_MAX, &map), 0);
	ck_assert_int_eq(map.state, EXTENT_HOLE);
	ck_assert_uint_eq(map.len, 0xFFFFFFFE);
	t_ext_ok(&x);
}
END_TEST

/* Goal: running out of blocks half way leaves the mapping and the counts right. */
START_TEST(no_space_leaves_nothing_behind)
{
	struct extent_map map;
	mbfs_lblk_t at = 0;
	int err = 0;

	while (!err) {
		err = t_ext_alloc(&x, at * 2, 1, &map);
		at += !err;
	}
	ck_assert_int_eq(err, -ENOSPC);
	t_ext_ok(&x);
	ck_assert_uint_eq(t_ext_extents(&x, at * 2), at);
}
END_TEST

/* Goal: no memory, once, at each allocation: an error or success, and a whole tree either way. */
START_TEST(each_allocation_may_fail)
{
	bool struck = true;

	for (uint64_t n = 1; struck; n++) {
		struct extent_map map;

		rt_mem_fail_at(n);
		for (uint32_t i = 0; i < 400; i++) {
			struct mbfs_tx *tx;
			uint32_t blks = 0;

			if (tx_start(x.log, EXTENT_CREDITS, &tx))
				continue;
			(void)extent_allocate(&x.tree, tx, i * 2, 1, 0, MBFS_ALLOC_NO_PREALLOC,
					      &map, &blks);
			x.data_blks += blks;
			(void)extent_convert(&x.tree, tx, i * 2, 1);
			tx_stop(tx);
		}
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		t_ext_ok(&x);
		ck_assert_int_eq(t_ext_remove(&x, 0, 1ull << 32), 0);
		ck_assert_uint_lt(n, 20000);
		n += n / 8; /* every one at first, then fewer: the loop repeats itself */
	}
}
END_TEST

/* Goal: damaged nodes are refused, not believed. Method: every byte of the root and of a leaf
 * block, flipped. */
START_TEST(damaged_nodes_are_refused)
{
	struct extent_map map;
	struct mbfs_diag diag;
	uint8_t *block, *copy;
	mbfs_blk_t blk;

	for (uint32_t i = 0; i < 60; i++)
		ck_assert_int_eq(t_ext_alloc(&x, i * 2, 1, &map), 0);
	ck_assert_uint_eq(node_depth(x.tree.root), 1);
	blk = node_child(x.tree.root, 0);
	ck_assert_int_eq(tx_writeout(x.log), 0);
	block = mbfs_bdev_mem_bytes(x.mem) + blk * 1024;
	copy = malloc(1024);
	memcpy(copy, block, 1024);
	for (uint32_t i = 0; i < 1024; i++) {
		struct buf_cache *cold;
		struct extent_env env = x.env;
		struct extent_tree t = x.tree;
		int err;

		block[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(buf_cache_open(x.mem, 1024, &x.geo, 1 << 16, &cold), 0);
		env.bufs = cold;
		t.env = &env;
		rt_rwlock_init(&t.lock, RANK_EXTENT);
		err = extent_map(&t, 0, 200, &map);
		/* The checksum covers everything but the bytes behind it. */
		ck_assert(err == -EBADMSG || err == -EUCLEAN || (err == 0 && i >= 1020));
		rt_rwlock_destroy(&t.lock);
		buf_cache_close(cold);
		memcpy(block, copy, 1024);
	}
	free(copy);
	for (uint32_t i = 0; i < EXTENT_ROOT_BYTES; i++) {
		struct extent_tree t = x.tree;

		t.root[i] ^= (uint8_t)(1u << (i % 8));
		rt_rwlock_init(&t.lock, RANK_EXTENT);
		if (extent_tree_verify_root(&t) == 0) {
			(void)extent_map(&t, 0, 200, &map);
			(void)extent_check(&t, &diag);
		}
		rt_rwlock_destroy(&t.lock);
	}
}
END_TEST

/* Damage to the first of two leaves, or to the root above them, that a right checksum hides. */
static void leaf_damage(uint8_t *leaf, uint8_t *root, int row)
{
	uint32_t last = node_entries(leaf) - 1;
	struct extent_leaf l = node_leaf(leaf, row == 3 ? last : 5);

	switch (row) {
	case 0: node_set_depth(leaf, 1); break;
	case 1: node_set_entries(leaf, node_max(leaf) + 1); break;
	case 2: node_set_entries(leaf, 0); break;
	case 3: l.len = 3, node_put_leaf(leaf, last, &l); break; /* into the second leaf */
	case 4: l.len = 3, node_put_leaf(leaf, 5, &l); break; /* into its neighbour */
	case 5: l.lblk = 2, node_put_leaf(leaf, 5, &l); break;
	case 6: l.pblk = x.geo.blk_nr, node_put_leaf(leaf, 5, &l); break;
	case 7: l.pblk = x.geo.first_blk, node_put_leaf(leaf, 5, &l); break;
	case 8: l.len = 0, node_put_leaf(leaf, 5, &l); break;
	case 9: node_set_key(root, 0, 1); break; /* the leaf starts before it */
	case 10: node_set_key(root, 1, 7); break; /* the leaf reaches past it */
	default: node_set_depth(root, 2); /* the leaf is where an index node should be */
	}
}

/* Goal: each kind of damage to a node is refused, and by name. Method: row _i of leaf_damage(). */
START_TEST(a_node_that_does_not_fit_is_refused)
{
	struct extent_map map;
	struct extent_tree t;
	struct extent_env env = x.env;
	struct buf_cache *cold;
	uint8_t *block;
	mbfs_blk_t blk;

	for (uint32_t i = 0; i < 120; i++)
		ck_assert_int_eq(t_ext_alloc(&x, i * 2, 1, &map), 0);
	ck_assert_int_eq(tx_writeout(x.log), 0);
	ck_assert_uint_eq(node_entries(x.tree.root), 2);
	t = x.tree;
	rt_rwlock_init(&t.lock, RANK_EXTENT);
	blk = node_child(t.root, 0);
	block = mbfs_bdev_mem_bytes(x.mem) + blk * 1024;
	for (int damaged = 0; damaged < 2; damaged++) {
		if (damaged)
			leaf_damage(block, t.root, _i);
		csum_extent_set(&x.geo, csum_inode_seed(&x.geo, t.ino, t.gen), block, 1024);
		ck_assert_int_eq(buf_cache_open(x.mem, 1024, &x.geo, 1 << 16, &cold), 0);
		env.bufs = cold;
		t.env = &env;
		ck_assert_int_eq(extent_map(&t, 4, 1, &map), damaged ? -EUCLEAN : 0);
		buf_cache_close(cold);
	}
	rt_rwlock_destroy(&t.lock);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("extent");
	TCase *tc = tcase_create("extent");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, codec_reads_known_bytes);
	tcase_add_test(tc, sequential_conversion_merges);
	tcase_add_loop_test(tc, conversion_splits_where_it_must, 0, 6);
	tcase_add_loop_test(tc, deep_trees_grow_and_shrink, 0, 3);
	tcase_add_test(tc, what_moves_comes_back);
	tcase_add_test(tc, a_conversion_below_does_not_undo_the_split);
	tcase_add_test(tc, a_move_reads_before_it_writes);
	tcase_add_test(tc, last_block);
	tcase_add_test(tc, no_space_leaves_nothing_behind);
	tcase_add_test(tc, each_allocation_may_fail);
	tcase_add_test(tc, damaged_nodes_are_refused);
	tcase_add_loop_test(tc, a_node_that_does_not_fit_is_refused, 0, 12);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
