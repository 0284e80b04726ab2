/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fuzz target: blocks of directories and attributes, as a hostile image may have them.
 *
 * Input: byte 0 what it is (enum shape), byte 1 geometry, then the bytes of the blocks, or of the
 * inode. Checksums are put right, so that nothing hides behind them. Built with -DFUZZ_LIBFUZZER
 * -fsanitize=fuzzer this is a libFuzzer target; without, main() replays the files it is given, or
 * makes its own inputs: sound blocks with a few bytes changed.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inode/dir_priv.h"
#include "inode/xattr_priv.h"
#include "support/t_bed.h"

enum shape { SHAPE_LINEAR, SHAPE_INDEXED, SHAPE_XATTR_BLOCK, SHAPE_XATTR_INODE, SHAPE_NR };
enum { BLOCK = 1024, BLOCKS_MAX = 12, FIRST_BLK = 100, INPUT_MAX = 2 + BLOCK * BLOCKS_MAX };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
		  uint64_t next)
{
	uint32_t *nr = arg;

	(void)ino, (void)d_type, (void)next;
	/* Every byte must be readable, and nothing a name may not have. */
	if (memchr(name, '/', len) || memchr(name, 0, len) || !len || len > 255)
		abort();
	return ++*nr % 64 != 0;
}

/* From the start, and from cookies that nobody gave out. */
static void read_all(struct inode *dir)
{
	uint32_t nr = 0;

	if (dir_iterate(dir, 0, count, &nr))
		return;
	for (uint64_t cookie = 1; cookie < 1ull << 62; cookie = cookie * 3 + 1) {
		if (dir_iterate(dir, cookie, count, &nr))
			return;
	}
}

static void use_dir(struct inode *dir)
{
	struct mbfs_tx *tx;
	mbfs_ino_t ino;
	uint8_t d_type;
	bool empty;
	char name[256];

	read_all(dir);
	(void)!dir_is_empty(dir, &empty);
	(void)!dir_parent(dir, &ino);
	if (tx_start(bed.env.log, 200, &tx))
		return;
	(void)!dir_find(dir, "..", 2, &ino, &d_type);
	for (unsigned i = 0; i < 24; i++) {
		size_t len = (size_t)sprintf(name, "n%u", i * 3);

		if (i % 2) {
			memset(name + len, 'y', 240 - len);
			len = 240;
		}
		(void)!dir_find(dir, name, len, &ino, &d_type);
		(void)!dir_add(dir, tx, name, len, 11, DT_REG, 0);
		if (i % 3 == 0)
			(void)!dir_del(dir, tx, name, len);
	}
	(void)!dir_set_parent(dir, tx, 11);
	tx_stop(tx);
	read_all(dir);
}

static void run_dir(const uint8_t *data, size_t size, bool indexed)
{
	uint32_t blocks = (uint32_t)(size + BLOCK - 1) / BLOCK;
	struct inode *dir = t_bed_make(S_IFDIR | 0755);
	struct buf_owner owner = { dir->ino, dir->gen };

	if (!blocks)
		return;
	for (uint32_t i = 0; i < blocks; i++) {
		uint8_t *b = mbfs_bdev_mem_bytes(bed.mem) + (uint64_t)(FIRST_BLK + i) * BLOCK;
		size_t here = size - (size_t)i * BLOCK < BLOCK ? size - (size_t)i * BLOCK : BLOCK;

		memcpy(b, data + (size_t)i * BLOCK, here);
		t_bed_map(dir, i, FIRST_BLK + i);
		if (indexed && i == 0)
			dir_root_kind.seal(&bed.geo, &owner, 0, b, BLOCK);
		else if (indexed && !dx_node_verify(&bed.geo, b))
			dir_node_kind.seal(&bed.geo, &owner, 0, b, BLOCK);
		else
			dir_leaf_kind.seal(&bed.geo, &owner, 0, b, BLOCK);
	}
	dir->size_bytes = (uint64_t)blocks * BLOCK;
	if (indexed)
		dir->flags |= INODE_FL_INDEX;
	use_dir(dir);
}

static void run_xattr(const uint8_t *data, size_t size, bool in_block)
{
	struct inode *in = t_bed_make(S_IFREG | 0644);
	char buf[2 * BLOCK];
	struct mbfs_tx *tx;

	if (in_block) {
		uint8_t *b = mbfs_bdev_mem_bytes(bed.mem) + (uint64_t)FIRST_BLK * BLOCK;

		memcpy(b, data, size < BLOCK ? size : BLOCK);
		xattr_block_kind.seal(&bed.geo, NULL, FIRST_BLK, b, BLOCK);
		in->xattr_blk = FIRST_BLK;
	} else {
		memcpy(in->raw + 128, data, size < 128 ? size : 128);
		in->extra_isize = in->raw[128] & 127;
	}
	(void)!xattr_list(in, buf, sizeof(buf));
	(void)!xattr_get(in, "user.a", buf, sizeof(buf));
	(void)!xattr_get(in, "system.posix_acl_access", buf, sizeof(buf));
	if (tx_start(bed.env.log, XATTR_CREDITS, &tx))
		return;
	(void)!xattr_set(in, tx, "user.a", buf, 30, 0, 0);
	(void)!xattr_set(in, tx, "user.b", buf, 700, 0, 0);
	(void)!xattr_set(in, tx, "user.a", NULL, 0, 0, 0);
	(void)!xattr_list(in, buf, sizeof(buf));
	(void)!xattr_free_all(in, tx);
	tx_stop(tx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct t_bed_opts opts = { BLOCK, 512, GEO_EXT_ATTR | GEO_FILETYPE, 256 };

	if (size < 2 || size > INPUT_MAX)
		return 0;
	if (data[1] & 1)
		opts.features |= GEO_CSUM;
	if (data[1] & 2)
		opts.features |= GEO_DIR_INDEX;
	t_bed_open(&opts);
	bed.geo.def_hash_version = data[1] >> 2 & 1; /* legacy or half_md4 */
	switch (data[0] % SHAPE_NR) {
	case SHAPE_LINEAR:
	case SHAPE_INDEXED:
		run_dir(data + 2, size - 2, data[0] % SHAPE_NR == SHAPE_INDEXED);
		break;
	default:
		run_xattr(data + 2, size - 2, data[0] % SHAPE_NR == SHAPE_XATTR_BLOCK);
	}
	t_bed_close();
	return 0;
}

#ifndef FUZZ_LIBFUZZER

/* ---- sound inputs ---- */

static size_t sound_dir(uint8_t *out, const struct t_bed_opts *opts, unsigned names)
{
	struct inode *dir;
	struct mbfs_tx *tx;
	uint32_t blocks;
	char name[256];

	t_bed_open(opts);
	dir = t_bed_inode(MBFS_ROOT_INO);
	for (unsigned i = 0; i < names; i++) {
		size_t len = (size_t)sprintf(name, "n%u", i);

		if (i % 2) {
			memset(name + len, 'y', 240 - len);
			len = 240;
		}
		if (tx_start(bed.env.log, 100, &tx) ||
		    dir_add(dir, tx, name, len, 11 + i, DT_REG, 0))
			abort();
		tx_stop(tx);
	}
	t_bed_reopen(NULL);
	blocks = (uint32_t)(dir->size_bytes / BLOCK);
	if (blocks > BLOCKS_MAX)
		blocks = BLOCKS_MAX;
	out[0] = dir_is_indexed(dir) ? SHAPE_INDEXED : SHAPE_LINEAR;
	for (uint32_t i = 0; i < blocks; i++)
		memcpy(out + 2 + i * BLOCK,
		       mbfs_bdev_mem_bytes(bed.mem) + t_bed_blk(dir, i) * BLOCK, BLOCK);
	t_bed_close();
	return 2 + blocks * BLOCK;
}

static size_t sound_xattr(uint8_t *out, const struct t_bed_opts *opts, bool in_block)
{
	struct inode *in;
	struct mbfs_tx *tx;
	uint8_t value[300] = { 1, 2, 3 };

	t_bed_open(opts);
	in = t_bed_make(S_IFREG | 0644);
	if (tx_start(bed.env.log, 100, &tx) ||
	    xattr_set(in, tx, "user.a", value, in_block ? 200 : 10, 0, 0) ||
	    xattr_set(in, tx, "trusted.long", value, in_block ? 300 : 20, 0, 0))
		abort();
	tx_stop(tx);
	t_bed_reopen(NULL);
	out[0] = in_block ? SHAPE_XATTR_BLOCK : SHAPE_XATTR_INODE;
	if (in_block)
		memcpy(out + 2, mbfs_bdev_mem_bytes(bed.mem) + in->xattr_blk * BLOCK, BLOCK);
	else
		memcpy(out + 2, in->raw + 128, 128);
	out[2] = in_block ? out[2] : 32; /* extra_isize */
	t_bed_close();
	return 2 + (in_block ? BLOCK : 128);
}

/* Bytes that parsers trip over, at places that matter: the start of a block, or anywhere. */
static void mutate(struct rt_rand *r, uint8_t *in, size_t size)
{
	static const uint8_t values[] = { 0, 1, 4, 8, 12, 127, 128, 252, 255 };
	unsigned nr = 1 + (unsigned)rt_rand_below(r, 4);

	for (unsigned i = 0; i < nr; i++) {
		size_t at = rt_rand_below(r, size - 2);

		if (rt_rand_below(r, 2))
			at = at / BLOCK * BLOCK + rt_rand_below(r, 64);
		if (at >= size - 2)
			continue;
		in[2 + at] = rt_rand_below(r, 2) ? values[rt_rand_below(r, sizeof(values))] :
						   (uint8_t)rt_rand_next(r);
	}
}

static int own_inputs(void)
{
	const char *env = getenv("MBFS_TEST_SEED"), *runs = getenv("MBFS_FUZZ_RUNS");
	struct rt_rand r = { env ? strtoull(env, NULL, 0) : rt_rand_seed() };
	static uint8_t sound[INPUT_MAX], in[INPUT_MAX];
	unsigned long nr = runs ? strtoul(runs, NULL, 0) : 300;

	printf("repeat with MBFS_TEST_SEED=%#llx\n", (unsigned long long)r.state);
	fflush(stdout);
	for (unsigned long i = 0; i < nr; i++) {
		unsigned shape = (unsigned)rt_rand_below(&r, 6),
			 geometry = (unsigned)rt_rand_below(&r, 8);
		struct t_bed_opts opts = { BLOCK, 512, GEO_EXT_ATTR | GEO_FILETYPE, 256 };
		size_t size;

		opts.features |= (geometry & 1 ? GEO_CSUM : 0) | (geometry & 2 ? GEO_DIR_INDEX : 0);
		if (shape < 4)
			size = sound_dir(sound, &opts, 2 + (unsigned)rt_rand_below(&r, 45));
		else
			size = sound_xattr(sound, &opts, shape == 4);
		sound[1] = (uint8_t)geometry;
		for (unsigned k = 0; k < 8; k++) {
			memcpy(in, sound, size);
			mutate(&r, in, size);
			LLVMFuzzerTestOneInput(in, size);
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
