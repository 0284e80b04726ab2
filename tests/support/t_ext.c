// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_ext.h"

#include <string.h>

void t_ext_open(struct t_ext *x, uint32_t block_bytes, uint64_t blks)
{
	struct mbfs_alloc_shape shape = {
		.blk_nr = blks,
		.first_blk = 1,
		.blks_per_grp = 8 * block_bytes > 65528 ? 65528 : 8 * block_bytes,
		.block_bytes = block_bytes,
	};
	struct mbfs_alloc_req req = { .len = 1, .goal = 1, .flags = MBFS_ALLOC_GOAL_ONLY };
	struct mbfs_alloc_tune tune;
	struct mbfs_run system;

	memset(x, 0, sizeof(*x));
	x->geo = (struct mbfs_geo){ .features = GEO_CSUM | GEO_EXTENTS | GEO_64BIT,
				    .block_bytes = block_bytes,
				    .block_bits = (uint32_t)__builtin_ctz(block_bytes),
				    .first_blk = block_bytes == 1024,
				    .blk_nr = blks,
				    .blks_per_grp = shape.blks_per_grp,
				    .csum_seed = 0x12345678 };
	mbfs_alloc_tune_default(&tune);
	ck_assert_int_eq(mbfs_bdev_open_mem(blks * block_bytes, &x->mem), 0);
	x->dev = x->mem;
	ck_assert_int_eq(buf_cache_open(x->dev, block_bytes, &x->geo, 1 << 20, &x->bufs), 0);
	ck_assert_int_eq(txlog_open(x->bufs, &x->log), 0);
	ck_assert_int_eq(mbfs_alloc_open_mem(&shape, &tune, NULL, &x->alloc), 0);
	/* No file has the blocks up to the superblock's. */
	ck_assert_int_eq(mbfs_alloc_blocks(x->alloc, NULL, &req, NULL, &system), 0);
	x->env = (struct extent_env){ .geo = &x->geo, .bufs = x->bufs, .alloc = x->alloc };
	extent_tree_init(&x->tree, &x->env);
	x->tree.ino = 12;
	x->tree.gen = 7;
	x->tree.is_data = true;
	extent_tree_format(&x->tree);
	ck_assert_int_eq(mbfs_alloc_file_open(x->alloc, 12, &x->tree.file), 0);
}

void t_ext_ok(struct t_ext *x)
{
	struct mbfs_diag diag = { { 0 } };
	int err = extent_check(&x->tree, &diag);

	ck_assert_msg(err == 0, "%s (%d)", diag.text, err);
	/* Every block is the tree's, data or node, or free. */
	ck_assert_uint_eq(mbfs_alloc_free_nr(x->alloc) + alloc_late_nr(x->alloc) + x->data_blks +
				  (uint64_t)x->tree.meta_blks,
			  x->geo.blk_nr - 2);
}

struct mbfs_tx *t_ext_tx(struct t_ext *x)
{
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(x->log, EXTENT_CREDITS, &tx), 0);
	return tx;
}

int t_ext_alloc(struct t_ext *x, mbfs_lblk_t lblk, uint32_t len, struct extent_map *map)
{
	struct mbfs_tx *tx = t_ext_tx(x);
	uint32_t blks = 0;
	int err = extent_allocate(&x->tree, tx, lblk, len, 0, MBFS_ALLOC_NO_PREALLOC, map, &blks);

	x->data_blks += blks;
	tx_stop(tx);
	return err;
}

int t_ext_convert(struct t_ext *x, mbfs_lblk_t lblk, uint32_t len)
{
	struct mbfs_tx *tx = t_ext_tx(x);
	int err = extent_convert(&x->tree, tx, lblk, len);

	tx_stop(tx);
	return err;
}

int t_ext_remove(struct t_ext *x, mbfs_lblk_t lblk, uint64_t end)
{
	uint64_t next = lblk, freed;
	int err = 0;

	while (!err && next < end) {
		struct mbfs_tx *tx = t_ext_tx(x);
		uint64_t from = next;

		err = extent_remove(&x->tree, tx, (mbfs_lblk_t)from, end, &next, &freed);
		x->data_blks -= freed;
		tx_stop(tx);
		ck_assert(err || next > from);
	}
	return err;
}

int t_ext_shift(struct t_ext *x, mbfs_lblk_t from, int32_t by)
{
	uint64_t at = from;
	struct mbfs_tx *tx;
	int err = extent_end(&x->tree, from, &at);

	if (err)
		return err;
	if (by < 0) {
		at = from;
	} else {
		tx = t_ext_tx(x);
		err = extent_split(&x->tree, tx, from);
		tx_stop(tx);
	}
	while (!err && (by < 0 ? at < EXTENT_SHIFTED : at > from)) {
		tx = t_ext_tx(x);
		err = extent_shift(&x->tree, tx, from, by, &at);
		tx_stop(tx);
		if (!err)
			t_ext_ok(x); /* at every step */
	}
	return err;
}

unsigned t_ext_extents(struct t_ext *x, mbfs_lblk_t end)
{
	struct extent_map map;
	unsigned nr = 0;

	for (mbfs_lblk_t at = 0; at < end; at += map.len) {
		ck_assert_int_eq(extent_map(&x->tree, at, end - at, &map), 0);
		nr += map.state != EXTENT_HOLE;
	}
	return nr;
}

void t_ext_close(struct t_ext *x)
{
	ck_assert_int_eq(t_ext_remove(x, 0, 1ull << 32), 0);
	t_ext_ok(x);
	ck_assert_uint_eq(x->data_blks, 0);
	ck_assert_int_eq(x->tree.meta_blks, 0);
	mbfs_alloc_file_close(x->tree.file);
	extent_tree_destroy(&x->tree);
	mbfs_alloc_close(x->alloc);
	txlog_close(x->log);
	buf_cache_close(x->bufs);
	mbfs_bdev_close(x->mem);
}
