// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: where a file's blocks are, as a hostile image may say it: extent trees, and the
 * pointer blocks of block-mapped files.
 *
 * Input: byte 0 what it is (enum shape), byte 1 flags, the 60 bytes in the inode, then the blocks
 * from FIRST_BLK on. Checksums are put right, so that nothing hides behind them. What extent_map()
 * says is compared with a naive reading of the same bytes: damage on the way must be -EUCLEAN.
 * Built with -DFUZZ_LIBFUZZER -fsanitize=fuzzer this is a libFuzzer target; without, main()
 * replays the files it is given, or makes its own inputs: sound ones with a few bytes changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/csum.h"
#include "disk/extent_codec.h"
#include "extent/extent.h"
#include "rt/sync.h"

enum shape { SHAPE_EXTENTS, SHAPE_INDIRECT, SHAPE_NR };
enum { FLAG_CSUM = 1, FLAG_DATA = 2 };
enum { BLOCK = 1024, BLK_NR = 512, FIRST_BLK = 100, BLOCKS_MAX = 24, PTRS = BLOCK / 4 };
enum { HEAD = 2 + EXTENT_ROOT_BYTES, INPUT_MAX = HEAD + BLOCK * BLOCKS_MAX };
enum { WALK_MAX = 300000 }; /* more calls than any file of this device can need */

static struct {
	struct mbfs_geo geo;
	struct mbfs_bdev *mem;
	struct buf_cache *bufs;
	struct txlog *log;
	struct mbfs_alloc *alloc;
	struct extent_env env;
	struct extent_tree tree;
} bed;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Standard output: standard error is full of what damage says. */
static _Noreturn void fail(const char *what, uint64_t lblk, int64_t got, int64_t want)
{
	printf("fuzz_extent: %s at block %llu: %lld, not %lld\n", what, (unsigned long long)lblk,
	       (long long)got, (long long)want);
	fflush(stdout);
	abort();
}

static void must(int err)
{
	if (err)
		fail("the bed", 0, err, 0);
}

/* ---- the bed ---- */

static void bed_open(unsigned flags)
{
	const struct mbfs_alloc_shape shape = {
		.blk_nr = BLK_NR, .first_blk = 1, .blks_per_grp = 8 * BLOCK, .block_bytes = BLOCK
	};
	const struct mbfs_alloc_req taken = { .len = 400, .goal = 1, .flags = MBFS_ALLOC_CONTIG };
	struct mbfs_alloc_tune tune;
	struct mbfs_run run;

	bed.geo = (struct mbfs_geo){ .features = GEO_EXTENTS | (flags & FLAG_CSUM ? GEO_CSUM : 0),
				     .block_bytes = BLOCK,
				     .block_bits = 10,
				     .first_blk = 1,
				     .blk_nr = BLK_NR,
				     .blks_per_grp = 8 * BLOCK,
				     .csum_seed = 0x12345678 };
	mbfs_alloc_tune_default(&tune);
	must(mbfs_bdev_open_mem(BLK_NR * BLOCK, &bed.mem));
	must(buf_cache_open(bed.mem, BLOCK, &bed.geo, 1 << 20, &bed.bufs));
	must(txlog_open(bed.bufs, &bed.log));
	must(mbfs_alloc_open_mem(&shape, &tune, NULL, &bed.alloc));
	must(mbfs_alloc_blocks(bed.alloc, NULL, &taken, NULL, &run));
	bed.env = (struct extent_env){ &bed.geo, bed.bufs, bed.alloc };
	extent_tree_init(&bed.tree, &bed.env);
	bed.tree.ino = 12;
	bed.tree.is_data = flags & FLAG_DATA;
}

static void bed_close(void)
{
	extent_tree_destroy(&bed.tree);
	mbfs_alloc_close(bed.alloc);
	txlog_close(bed.log);
	buf_cache_close(bed.bufs);
	mbfs_bdev_close(bed.mem);
}

static uint8_t *block_of(mbfs_blk_t blk)
{
	return mbfs_bdev_mem_bytes(bed.mem) + blk * BLOCK;
}

static bool in_device(mbfs_blk_t start, uint64_t len)
{
	return start > 1 && start < BLK_NR && len <= BLK_NR - start;
}

/* ---- the naive reading ---- */

/* Is one node as the format has it, with all of its keys in [from, end)? */
static bool node_sound(const uint8_t *n, uint32_t bytes, uint32_t depth, uint64_t from,
		       uint64_t end)
{
	uint32_t nr = node_entries(n);

	if (le16_get(((const struct mbfs_extent_head_disk *)n)->magic) != MBFS_EXTENT_MAGIC ||
	    node_max(n) == 0 || node_max(n) > (bytes - 12) / 12 || nr > node_max(n) ||
	    node_depth(n) != depth || (nr == 0 && (bytes == BLOCK || depth > 0)))
		return false;
	for (uint32_t i = 0; i < nr; i++) {
		struct extent_leaf l = node_leaf(n, i);

		if (node_key(n, i) < from || node_key(n, i) >= end)
			return false;
		if (depth ? !in_device(node_child(n, i), 1) : !l.len || !in_device(l.pblk, l.len))
			return false;
		from = node_key(n, i) + (depth ? 1ull : l.len);
		if (from > end)
			return false;
	}
	return true;
}

static int naive_extent(uint64_t lblk, struct extent_map *out)
{
	const uint8_t *n = bed.tree.root;
	uint64_t from = 0, end = UINT32_MAX;
	uint32_t bytes = EXTENT_ROOT_BYTES, depth = node_depth(n);

	*out = (struct extent_map){ .lblk = (mbfs_lblk_t)lblk, .state = EXTENT_HOLE };
	if (depth > EXTENT_DEPTH_MAX)
		return -EUCLEAN;
	for (;; depth--) {
		uint32_t at = 0, nr = node_entries(n);
		struct extent_leaf l;

		if (!node_sound(n, bytes, depth, from, end))
			return -EUCLEAN;
		while (at + 1 < nr && node_key(n, at + 1) <= lblk)
			at++;
		if (depth == 0) {
			l = node_leaf(n, at);
			if (nr && lblk >= l.lblk && lblk < (uint64_t)l.lblk + l.len) {
				out->pblk = l.pblk + (lblk - l.lblk);
				out->state = l.unwritten ? EXTENT_UNWRITTEN : EXTENT_WRITTEN;
			}
			return 0;
		}
		from = node_key(n, at);
		end = at + 1 < nr ? node_key(n, at + 1) : end;
		n = block_of(node_child(n, at));
		bytes = BLOCK;
	}
}

static uint32_t ptr_at(const uint8_t *block, uint64_t i)
{
	mbfs_le32 v;

	memcpy(&v, block + i * 4, 4);
	return le32_get(v);
}

static int naive_indirect(uint64_t lblk, struct extent_map *out)
{
	uint64_t rest = lblk, span = 1, slot = lblk;
	uint32_t blk;

	*out = (struct extent_map){ .lblk = (mbfs_lblk_t)lblk, .state = EXTENT_HOLE };
	if (lblk >= 12) {
		for (rest -= 12, slot = 12, span = PTRS; rest >= span; span *= PTRS, slot++)
			rest -= span;
		if (slot > 14)
			return 0;
	}
	for (blk = ptr_at(bed.tree.root, slot); blk && in_device(blk, 1) && span > 1;) {
		span /= PTRS;
		blk = ptr_at(block_of(blk), rest / span);
		rest %= span;
	}
	if (blk && !in_device(blk, 1))
		return -EUCLEAN;
	out->pblk = blk;
	out->state = blk ? EXTENT_WRITTEN : EXTENT_HOLE;
	return 0;
}

/* ---- use ---- */

static int naive(uint64_t lblk, struct extent_map *out)
{
	return bed.tree.mapped ? naive_extent(lblk, out) : naive_indirect(lblk, out);
}

/* Block @i of a run, by the naive reading. */
static void compare_at(const struct extent_map *run, uint32_t i)
{
	struct extent_map want;

	if (naive((uint64_t)run->lblk + i, &want))
		fail("a run over damage", run->lblk, i, 0);
	if (run->state != want.state)
		fail("state", run->lblk, run->state, want.state);
	if (run->state != EXTENT_HOLE && run->pblk + i != want.pblk)
		fail("place", run->lblk, (int64_t)(run->pblk + i), (int64_t)want.pblk);
}

/* Map [lblk, ...) and compare; where to go on. */
static uint64_t compare(uint64_t lblk)
{
	struct extent_map is, want;
	int err_want = naive(lblk, &want);
	int err = extent_map(&bed.tree, (mbfs_lblk_t)lblk, (uint32_t)(UINT32_MAX - lblk), &is);

	/* Pointers that would go on past the device's end are refused as one. */
	if (err == -EUCLEAN && !err_want && !bed.tree.mapped)
		err = extent_map(&bed.tree, (mbfs_lblk_t)lblk, 1, &is);
	if (err == -EBADMSG && bed.geo.features & GEO_CSUM)
		err = -EUCLEAN; /* a head that leaves no room for a checksum */
	if (err != err_want)
		fail("error", lblk, err, err_want);
	if (err)
		return lblk + 1 + lblk / 16;
	if (is.lblk != lblk || is.len == 0 || is.len > UINT32_MAX - lblk)
		fail("length", lblk, is.len, 1);
	compare_at(&is, 0);
	compare_at(&is, is.len / 2);
	compare_at(&is, is.len - 1);
	return lblk + is.len;
}

static void read_all(void)
{
	uint64_t at = 0;

	for (unsigned i = 0; at < UINT32_MAX; i++) {
		if (i == WALK_MAX)
			fail("no end", at, i, WALK_MAX);
		at = compare(at);
	}
}

static void check_err(const char *what, uint64_t lblk, int err)
{
	if (err && err != -EUCLEAN && err != -EBADMSG && err != -ENOSPC && err != -EFBIG &&
	    err != -EOPNOTSUPP)
		fail(what, lblk, err, -EUCLEAN);
}

static void change_all(void)
{
	static const mbfs_lblk_t at[] = { 0, 3, 17, 50, 200, 1000, 5000, 0xfffffffe };
	struct mbfs_tx *tx;
	uint64_t next = 0, freed;
	int err = 0;

	must(tx_start(bed.log, 400, &tx));
	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct extent_map map;
		uint32_t blks;

		check_err("allocate", at[i],
			  extent_allocate(&bed.tree, tx, at[i], 3, 0, 0, &map, &blks));
		check_err("convert", at[i], extent_convert(&bed.tree, tx, at[i], 2));
		check_err("remove", at[i],
			  bed.tree.mapped
				  ? extent_remove(&bed.tree, tx, at[i], at[i] + 1ull, &next, &freed)
				  : 0);
	}
	next = 0;
	for (unsigned i = 0; !err && next < 1ull << 32; i++) {
		if (i == WALK_MAX)
			fail("no end of removing", next, i, WALK_MAX);
		err = extent_remove(&bed.tree, tx, (mbfs_lblk_t)next, 1ull << 32, &next, &freed);
	}
	check_err("remove all", next, err);
	tx_stop(tx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbfs_diag diag = { "" };

	if (size < HEAD || size > INPUT_MAX)
		return 0;
	bed_open(data[1]);
	bed.tree.mapped = data[0] % SHAPE_NR == SHAPE_EXTENTS;
	memcpy(bed.tree.root, data + 2, EXTENT_ROOT_BYTES);
	memcpy(block_of(FIRST_BLK), data + HEAD, size - HEAD);
	for (mbfs_blk_t b = FIRST_BLK; bed.tree.mapped && b < FIRST_BLK + BLOCKS_MAX; b++)
		csum_extent_set(&bed.geo, csum_inode_seed(&bed.geo, 12, 0), block_of(b), BLOCK);
	/* An inode whose root is no root is not loaded. */
	if (!extent_tree_verify_root(&bed.tree)) {
		read_all();
		check_err("check", 0, extent_check(&bed.tree, &diag));
		change_all();
	}
	bed_close();
	return 0;
}

#ifndef FUZZ_LIBFUZZER

/* ---- sound inputs ---- */

static uint8_t *input_block(uint8_t *in, mbfs_blk_t blk)
{
	return in + HEAD + (blk - FIRST_BLK) * BLOCK;
}

static void sound_leaf(struct rt_rand *r, uint8_t *node, uint32_t nr, mbfs_lblk_t *lblk)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct extent_leaf l = { .lblk = *lblk + (uint32_t)rt_rand_below(r, 3),
					 .len = 1 + (uint32_t)rt_rand_below(r, 8),
					 .pblk = 130 + rt_rand_below(r, 260),
					 .unwritten = rt_rand_below(r, 3) == 0 };

		node_put_leaf(node, i, &l);
		*lblk = l.lblk + l.len;
	}
	node_set_entries(node, nr);
}

/* A tree of depth 0 to 2; its nodes in the blocks from FIRST_BLK on, leaves first. */
static void sound_extents(struct rt_rand *r, uint8_t *in)
{
	uint32_t depth = (uint32_t)rt_rand_below(r, 3), kids, blk = FIRST_BLK;
	mbfs_lblk_t lblk = (mbfs_lblk_t)rt_rand_below(r, 50);
	uint8_t *root = in + 2, *mid;

	node_format(root, EXTENT_ROOT_BYTES, depth);
	if (depth == 0) {
		sound_leaf(r, root, (uint32_t)rt_rand_below(r, 5), &lblk);
		return;
	}
	kids = 1 + (uint32_t)rt_rand_below(r, 4);
	for (uint32_t k = 0; k < kids; k++) {
		uint32_t leaves = depth == 2 ? 1 + (uint32_t)rt_rand_below(r, 4) : 1;
		mbfs_lblk_t first = lblk;

		mid = depth == 2 ? input_block(in, blk++) : NULL;
		if (mid)
			node_format(mid, BLOCK, 1);
		for (uint32_t i = 0; i < leaves; i++, blk++) {
			uint8_t *leaf = input_block(in, blk);

			node_format(leaf, BLOCK, 0);
			sound_leaf(r, leaf, 1 + (uint32_t)rt_rand_below(r, 84), &lblk);
			first = i == 0 ? node_key(leaf, 0) : first;
			if (mid)
				node_put_idx(mid, i, node_key(leaf, 0), blk);
		}
		if (mid)
			node_set_entries(mid, leaves);
		node_put_idx(root, k, first, mid ? blk - leaves - 1 : blk - 1);
	}
	node_set_entries(root, kids);
}

/* Pointers to data, to pointer blocks, to themselves: any of it is in the device. */
static void sound_indirect(struct rt_rand *r, uint8_t *in)
{
	for (uint32_t i = 0; i < 15 + BLOCKS_MAX * PTRS; i++) {
		uint8_t *at = i < 15 ? in + 2 + i * 4 : in + HEAD + (i - 15) * 4;
		uint32_t v = 130 + (uint32_t)rt_rand_below(r, 260);
		mbfs_le32 d;

		if (i >= 12 && rt_rand_below(r, i < 15 ? 2 : 40) == 0)
			v = FIRST_BLK + (uint32_t)rt_rand_below(r, BLOCKS_MAX);
		d = le32_of(rt_rand_below(r, i < 15 ? 4 : 3) ? v : 0);
		memcpy(at, &d, 4);
	}
}

/* A run of pointers that leaves the device, or starts before it. */
static void mutate_pointers(struct rt_rand *r, uint8_t *in)
{
	uint32_t slot = (uint32_t)rt_rand_below(r, 15 + BLOCKS_MAX * PTRS - 8);
	uint32_t v = rt_rand_below(r, 2) ? BLK_NR - (uint32_t)rt_rand_below(r, 6)
					 : (uint32_t)rt_rand_below(r, 3);

	if (rt_rand_below(r, 3) == 0)
		slot = (uint32_t)rt_rand_below(r, 15);
	for (uint32_t i = slot; i < slot + 8; i++, v++) {
		mbfs_le32 d = le32_of(v);

		memcpy(i < 15 ? in + 2 + i * 4 : in + HEAD + (i - 15) * 4, &d, 4);
	}
}

/* Heads and entries of nodes; for pointer blocks, pointers. */
static void mutate(struct rt_rand *r, uint8_t *in)
{
	static const uint16_t values[] = { 0,   1,   2,   3,      4,      5,      6,
					   84,  85,  99,  100,    101,    110,    511,
					   512, 513, 767, 0x7fff, 0x8000, 0x8001, 0xffff };
	unsigned nr = 1 + (unsigned)rt_rand_below(r, 3);

	for (unsigned i = 0; i < nr; i++) {
		size_t base = rt_rand_below(r, 3) ? HEAD + rt_rand_below(r, BLOCKS_MAX) * BLOCK : 2;
		size_t at = base + rt_rand_below(r, 60) / 2 * 2;
		uint16_t v = rt_rand_below(r, 4) ? values[rt_rand_below(r, 21)]
						 : (uint16_t)rt_rand_next(r);

		if (base > 2 && rt_rand_below(r, 3) == 0)
			at = base + rt_rand_below(r, BLOCK) / 2 * 2;
		memcpy(in + at, &v, sizeof(v));
	}
}

static int own_inputs(void)
{
	const char *env = getenv("MBFS_TEST_SEED"), *runs = getenv("MBFS_FUZZ_RUNS");
	struct rt_rand r = { env ? strtoull(env, NULL, 0) : rt_rand_seed() };
	static uint8_t sound[INPUT_MAX], in[INPUT_MAX];
	unsigned long nr = runs ? strtoul(runs, NULL, 0) : 200;

	printf("repeat with MBFS_TEST_SEED=%#llx\n", (unsigned long long)r.state);
	fflush(stdout);
	for (unsigned long i = 0; i < nr; i++) {
		memset(sound, 0, sizeof(sound));
		/* Self-references make block-mapped files long to walk: fewer of them. */
		sound[0] = rt_rand_below(&r, 4) == 0 ? SHAPE_INDIRECT : SHAPE_EXTENTS;
		sound[1] = (uint8_t)rt_rand_below(&r, 4);
		if (sound[0] == SHAPE_EXTENTS)
			sound_extents(&r, sound);
		else
			sound_indirect(&r, sound);
		for (unsigned k = 0; k < 5; k++) {
			memcpy(in, sound, sizeof(in));
			if (k > 0)
				mutate(&r, in);
			if (k > 1 && in[0] == SHAPE_INDIRECT)
				mutate_pointers(&r, in);
			LLVMFuzzerTestOneInput(in, sizeof(in));
		}
	}
	return 0;
}

static int replay(const char *path)
{
	static uint8_t in[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f) {
		perror(path);
		return 1;
	}
	size = fread(in, 1, sizeof(in), f);
	fclose(f);
	LLVMFuzzerTestOneInput(in, size);
	return 0;
}

int main(int argc, char **argv)
{
	int err = 0;

	/* Every other input is a damaged image, and says so. */
	if (!getenv("MBFS_FUZZ_VERBOSE") && !freopen("/dev/null", "w", stderr))
		return 1;
	if (argc == 1)
		return own_inputs();
	for (int i = 1; i < argc; i++)
		err |= replay(argv[i]);
	return err;
}
#endif
