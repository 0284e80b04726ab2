// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: a superblock, as a hostile image may have it.
 *
 * Input: byte 0: log2 of the device's size less 11, at most 42; byte 1: bit 0: put the checksum
 * right, so that nothing hides behind it; then up to 1024 bytes of superblock. Built with
 * -DFUZZ_LIBFUZZER -fsanitize=fuzzer this is a libFuzzer target; without, main() replays the files
 * it is given, or makes its own inputs: sound superblocks with a few fields changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "disk/csum.h"
#include "rt/sync.h"
#include "support/t_super.h"

enum { HEAD = 2, INPUT_MAX = HEAD + MBFS_SUPER_BYTES, SIZE_BITS_MIN = 11, SIZE_BITS_MAX = 42 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
	fprintf(stderr, "fuzz_super: %s\n", what);
	abort();
}

/* Everything that mount does with a superblock, and what each answer promises. */
static void use_super(struct mbfs_bdev *dev)
{
	struct mbfs_diag diag = { "" }, notes = { "" };
	const char *fault;
	struct super s;
	bool ro;

	if (super_load(dev, &s, &diag)) {
		if (!diag.text[0] || strchr(diag.text, '\n'))
			fail("refused without a line that says why");
		return;
	}
	fault = t_geo_fault(&s.geo, dev->size_bytes);
	if (fault)
		fail(fault);
	for (unsigned how = 0; how < 8; how++)
		(void)!super_mount_check(&s, how & 1, how & 2, how & 4, &ro, &diag, &notes);
	super_set_state(&s, MBFS_STATE_VALID);
	super_set_free(&s, UINT64_MAX, UINT64_MAX);
	super_count_mount(&s, INT64_MIN);
	super_set_write_time(&s, INT64_MAX);
	if (super_write(dev, &s) || super_load(dev, &s, &diag))
		fail("what was loaded and written does not load");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned bits;
	struct mbfs_bdev *dev;
	uint8_t *raw;

	if (size < HEAD)
		return 0;
	bits = SIZE_BITS_MIN + data[0] % (SIZE_BITS_MAX - SIZE_BITS_MIN + 1);
	if (mbfs_bdev_open_mem(1ull << bits, &dev))
		return 0;
	raw = mbfs_bdev_mem_bytes(dev) + MBFS_SUPER_OFF_BYTES;
	memcpy(raw, data + HEAD, size - HEAD < MBFS_SUPER_BYTES ? size - HEAD : MBFS_SUPER_BYTES);
	if (data[1] & 1)
		csum_super_set(raw);
	use_super(dev);
	mbfs_bdev_close(dev);
	return 0;
}

#ifndef FUZZ_LIBFUZZER
static void sound(struct rt_rand *r, uint8_t *in)
{
	uint32_t log = (uint32_t)rt_rand_below(r, 7), block = 1024u << log, per_grp = 8 * block;
	uint32_t bits = SIZE_BITS_MIN + 13 + (uint32_t)rt_rand_below(r, 17);
	uint64_t blk_nr = (1ull << bits) / block, first = log == 0;
	uint64_t grp_nr = (blk_nr - first + per_grp - 1) / per_grp;
	bool wide = rt_rand_next(r) & 1;
	struct mbfs_super_disk d = {
		.inodes_count = le32_of((uint32_t)(grp_nr * 32)),
		.blocks_count_lo = le32_of((uint32_t)blk_nr),
		.blocks_count_hi = le32_of((uint32_t)(blk_nr >> 32)),
		.first_data_block = le32_of((uint32_t)first),
		.log_block_size = le32_of(log),
		.log_cluster_size = le32_of(log),
		.blocks_per_group = le32_of(per_grp),
		.clusters_per_group = le32_of(per_grp),
		.inodes_per_group = le32_of(32),
		.magic = le16_of(MBFS_SUPER_MAGIC),
		.state = le16_of(MBFS_STATE_VALID),
		.rev_level = le32_of(1),
		.first_ino = le32_of(11),
		.inode_size = le16_of(256),
		.desc_size = le16_of(wide ? 64 : 0),
		.feature_compat = le32_of((uint32_t)rt_rand_next(r) & 0x23c),
		.feature_incompat = le32_of(wide || blk_nr >> 32 ? 0x2c2 : 0x42),
		.feature_ro_compat = le32_of((uint32_t)rt_rand_next(r) & 0x47b),
		.want_extra_isize = le16_of(32),
		.checksum_type = 1,
		.log_groups_per_flex = 4,
	};

	if (blk_nr >> 32)
		d.desc_size = le16_of(64);
	in[0] = (uint8_t)(bits - SIZE_BITS_MIN);
	in[1] = 1;
	memcpy(in + HEAD, &d, sizeof(d));
}

/* Most of the fields that matter lie in the first 400 bytes. */
static void mutate(struct rt_rand *r, uint8_t *in)
{
	static const uint32_t edges[] = { 0,          1,          7,          8,         10,
					  31,         32,         0x7f,       0x80,      0xff,
					  0x100,      0x7fff,     0x8000,     0xffff,    0x10000,
					  0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };
	unsigned nr = (unsigned)rt_rand_below(r, 5);

	while (nr-- > 0) {
		size_t at =
			HEAD + (size_t)rt_rand_below(r, rt_rand_next(r) & 7 ? 400 : 1020) / 2 * 2;
		uint32_t v = edges[rt_rand_below(r, MBFS_ARRAY_SIZE(edges))];

		if (rt_rand_next(r) & 1)
			in[at] ^= (uint8_t)(1u << rt_rand_below(r, 8));
		else
			memcpy(in + at, &v, rt_rand_next(r) & 1 ? 4 : 2);
	}
	if (rt_rand_below(r, 16) == 0)
		in[0] = (uint8_t)rt_rand_next(r);
	if (rt_rand_below(r, 16) == 0)
		in[1] = 0;
}

static int own_inputs(void)
{
	const char *env = getenv("MBFS_TEST_SEED"), *runs = getenv("MBFS_FUZZ_RUNS");
	struct rt_rand r = { env ? strtoull(env, NULL, 0) : rt_rand_seed() };
	unsigned long nr = runs ? strtoul(runs, NULL, 0) : 20000;
	uint8_t in[INPUT_MAX];

	printf("repeat with MBFS_TEST_SEED=%#llx\n", (unsigned long long)r.state);
	fflush(stdout);
	for (unsigned long i = 0; i < nr; i++) {
		sound(&r, in);
		for (unsigned k = 0; k < 4; k++) {
			mutate(&r, in);
			LLVMFuzzerTestOneInput(in, sizeof(in));
		}
	}
	return 0;
}

static int replay(const char *path)
{
	uint8_t in[INPUT_MAX];
	FILE *fp = fopen(path, "rb");
	size_t size;

	if (!fp) {
		perror(path);
		return 1;
	}
	size = fread(in, 1, sizeof(in), fp);
	fclose(fp);
	LLVMFuzzerTestOneInput(in, size);
	return 0;
}

int main(int argc, char **argv)
{
	int err = 0;

	if (argc == 1)
		return own_inputs();
	for (int i = 1; i < argc; i++)
		err |= replay(argv[i]);
	return err;
}
#endif
