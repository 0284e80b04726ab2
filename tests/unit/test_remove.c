// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: removing blocks of a file when something fails on the way loses none: what is not free is
 * still the file's. Method: a file over many small groups on a real image; each read and each
 * allocation that its removal needs fails in turn; blocks are counted after every call, and e2fsck
 * judges the end.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "inode/inode_priv.h"
#include "rt/mem.h"
#include "support/t_fs.h"
#include "support/t_image.h"

#define FILE_END (1ull << 32)

enum fault { FAULT_READ, FAULT_MEM, FAULT_NR };
enum { LBLKS = 9600 }; /* the file has no block past it */

#define SMALL_GROUPS "-b 1024 -g 512 -N 256 -O ^has_journal,^resize_inode"

/* What is removed: all of a large file; or of six extents, whose node lies in a group of its own,
 * all or the last three, so that the rest moves up into the root. */
static const struct {
	const char *args;
	bool node_apart;
	mbfs_lblk_t from;
	unsigned reads_min; /* that can fail: groups whose bitmaps are needed */
} rows[] = {
	{ SMALL_GROUPS, false, 0, 7 },
	{ SMALL_GROUPS ",^extents,^64bit", false, 0, 7 },
	{ SMALL_GROUPS, true, 0, 2 },
	{ SMALL_GROUPS, true, 6, 2 },
};

/* Blocks free on disk or to be so by a write-out, and those of the file, by its own count (nodes
 * too) and by its map. */
struct count {
	uint64_t free, owned, mapped;
};

static struct count count(struct t_fs *fs, struct inode *in)
{
	struct extent_map map;
	struct count c = { 0 };
	uint64_t inodes, dirs;

	gdt_totals(fs->gdt, &c.free, &inodes, &dirs);
	c.free += alloc_late_nr(fs->alloc);
	c.owned = in->blocks_512 * 512 / fs->super.geo.block_bytes;
	for (uint64_t at = 0; at < LBLKS; at += map.len) {
		ck_assert_int_eq(extent_map(&in->tree, (mbfs_lblk_t)at, LBLKS, &map), 0);
		c.mapped += map.state != EXTENT_HOLE ? map.len : 0;
	}
	return c;
}

/* As file_size.c frees, call by call, until an error; all blocks are somewhere after it. */
static int remove_all(struct t_fs *fs, struct inode *in, uint64_t at, bool *struck)
{
	struct count before = count(fs, in), after;
	struct mbfs_diag diag = { "" };
	uint64_t freed, freed_sum = 0;
	struct mbfs_tx *tx;
	int err = 0;

	while (!err && at < FILE_END) {
		uint64_t from = at;

		err = tx_start(fs->log, EXTENT_CREDITS + 1, &tx);
		if (err)
			break;
		err = extent_remove(&in->tree, tx, (mbfs_lblk_t)from, FILE_END, &at, &freed);
		inode_add_blocks(in, -(int64_t)freed);
		ck_assert(!inode_dirty(in, tx) || !inode_dirty(in, tx)); /* a fault strikes once */
		tx_stop(tx);
		freed_sum += freed;
		ck_assert(err || at > from);
	}
	*struck = rt_mem_fail_struck();
	rt_mem_fail_at(0);
	after = count(fs, in);
	ck_assert_uint_eq(after.free + after.owned, before.free + before.owned);
	ck_assert_uint_eq(after.mapped + freed_sum, before.mapped);
	ck_assert_msg(!extent_check(&in->tree, &diag), "%s", diag.text);
	return err;
}

/* Six blocks with holes between, in one group, and the tree's only leaf in another. */
static void make_node_apart(struct mbfs_bdev *mem)
{
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = t_fs_create(fs, "sparse", S_IFREG | 0600);
	uint8_t byte = 1;

	in->tree.goal = geo_grp_start(&fs->super.geo, 5) + 100;
	for (uint64_t i = 0; i < 6; i++) {
		if (i == 4)
			in->tree.goal = geo_grp_start(&fs->super.geo, 9) + 100;
		ck_assert_int_eq(file_write(in, &t_fs_root, &byte, 1, i * 2 * 1024, 0), 1);
	}
	inode_put(in);
	t_fs_close_clean(fs);
}

/* Remove with the @nth call of @kind from the removal's start failing; *struck: it did. */
static void remove_with_fault(struct mbfs_bdev *mem, mbfs_lblk_t from, enum fault kind,
			      uint64_t nth, bool *struck)
{
	struct mbfs_fault_plan plan = { 0 };
	struct mbfs_fault_counts counts;
	struct inode *in = NULL;
	struct t_fs *fs = NULL;
	int err;

	/* The first time only to learn how many reads come before. */
	for (int i = 0; i < 2; i++) {
		if (fs) {
			inode_put(in);
			t_fs_crash(fs);
		}
		fs = t_fs_open(mem, &(struct t_fs_opts){ .plan = &plan });
		in = t_fs_find(fs, "sparse");
		(void)count(fs, in); /* all of its nodes are in memory now */
		mbfs_bdev_fault_counts(fs->dev, &counts);
		plan.fail_read_at = kind == FAULT_READ ? counts.reads + nth : 0;
	}
	rt_mem_fail_at(kind == FAULT_MEM ? nth : 0);
	err = remove_all(fs, in, from, struck);
	mbfs_bdev_fault_counts(fs->dev, &counts);
	*struck |= counts.faults > 0;
	ck_assert(!err || *struck);
	inode_put(in);
	ck_assert_int_eq(t_fs_close(fs), 0);
}

START_TEST(a_failed_removal_loses_no_block)
{
	struct mbfs_bdev *mem = t_image_mem(rows[_i / FAULT_NR].args, 6 << 20);
	enum fault kind = (enum fault)(_i % FAULT_NR);
	uint64_t nth = 1, failed = 0;
	bool struck = true;
	uint8_t *base;

	if (rows[_i / FAULT_NR].node_apart)
		make_node_apart(mem);
	else
		t_image_populate(mem, T_IMAGE_EXTENTS);
	base = malloc(mem->size_bytes);
	memcpy(base, mbfs_bdev_mem_bytes(mem), mem->size_bytes);
	for (; struck; nth++) {
		struct t_fs *fs;

		memcpy(mbfs_bdev_mem_bytes(mem), base, mem->size_bytes);
		remove_with_fault(mem, rows[_i / FAULT_NR].from, kind, nth, &struck);
		failed += struck;
		fs = t_fs_open(mem, NULL);
		t_fs_unlink(fs, "sparse");
		ck_assert_int_eq(t_fs_close(fs), 0);
		if (nth % 4 == 0 || !struck)
			ck_assert_int_eq(t_image_fsck(mem), 0);
	}
	printf("row %d: %" PRIu64 " calls failed, one at a time\n", _i, failed);
	ck_assert_uint_ge(failed, rows[_i / FAULT_NR].reads_min);
	free(base);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("remove");
	TCase *tc = tcase_create("faults");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, a_failed_removal_loses_no_block, 0,
			    (int)MBFS_ARRAY_SIZE(rows) * FAULT_NR);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
