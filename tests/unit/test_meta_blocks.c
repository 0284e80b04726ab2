// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: what a crash in the middle of a write-out finds in blocks of metadata leads nowhere it
 * should not. A block that becomes one is zero on the image before anything there may lead to it;
 * one that was freed goes on being written until its free has run. Method: the image between two
 * write-outs.
 */
#include <stdio.h>
#include <string.h>

#include "disk/extent_codec.h"
#include "inode/inode_priv.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum { BLOCK = 1024, PIECES = 100, NAMES = 60, POISON = 0xEE };

static struct mbfs_bdev *mem;
static struct t_fs *fs;

static void setup(void)
{
	mem = t_image_mem("-b 1024", 8 << 20);
	t_fs_poison(mem, POISON);
	fs = t_fs_open(mem, NULL);
}

static void end(void)
{
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}

static const uint8_t *on_image(mbfs_blk_t blk)
{
	return mbfs_bdev_mem_bytes(mem) + blk * BLOCK;
}

static bool is_zero(mbfs_blk_t blk)
{
	const uint8_t *at = on_image(blk);

	return !at[0] && !memcmp(at, at + 1, BLOCK - 1);
}

/* A file of more pieces than its inode has room for, and the block of its first tree node. */
static struct inode *fragmented(mbfs_blk_t *node)
{
	struct inode *in = t_fs_create(fs, "pieces", S_IFREG | 0644);

	for (unsigned i = 0; i < PIECES; i++)
		ck_assert_int_eq(file_write(in, &t_fs_root, "x", 1, i * 2 * BLOCK, 0), 1);
	ck_assert_uint_gt(node_depth(in->tree.root), 0);
	*node = node_child(in->tree.root, 0);
	return in;
}

START_TEST(a_tree_node_is_wiped_first)
{
	mbfs_blk_t node;
	struct inode *in = fragmented(&node);

	ck_assert(is_zero(node));
	ck_assert_int_eq(t_fs_sync(fs), 0);
	ck_assert(!is_zero(node));
	inode_put(in);
}
END_TEST

START_TEST(a_directory_block_is_wiped_first)
{
	struct inode *dir = t_fs_create(fs, "dir", S_IFDIR | 0755), *in;
	struct extent_map map;
	char name[64];

	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "%050u", i);
		ck_assert_int_eq(namei_create(dir, &t_fs_root, name, S_IFREG | 0644, 0, NULL, &in),
				 0);
		inode_put(in);
	}
	ck_assert_uint_gt(dir->size_bytes, 2 * BLOCK);
	for (mbfs_lblk_t lblk = 0; lblk < dir->size_bytes / BLOCK; lblk++) {
		ck_assert_int_eq(extent_map(&dir->tree, lblk, 1, &map), 0);
		ck_assert_msg(is_zero(map.pblk), "block %u", lblk);
	}
	inode_put(dir);
}
END_TEST

START_TEST(an_attribute_block_is_wiped_first)
{
	struct inode *in = t_fs_create(fs, "attributes", S_IFREG | 0644);
	char value[600] = "value";
	struct mbfs_tx *tx;

	ck_assert_int_eq(tx_start(fs->env.log, XATTR_CREDITS, &tx), 0);
	ck_assert_int_eq(xattr_set(in, tx, "user.big", value, sizeof(value), 0, 0), 0);
	tx_stop(tx);
	ck_assert_uint_ne(in->xattr_blk, 0);
	ck_assert(is_zero(in->xattr_blk));
	inode_put(in);
}
END_TEST

/* Its parent on the image, the inode, may still be the old one: then this is what it leads to. */
START_TEST(a_freed_node_is_written_once_more)
{
	uint8_t before[BLOCK];
	mbfs_blk_t node;
	struct inode *in = fragmented(&node);

	ck_assert_int_eq(t_fs_sync(fs), 0);
	memcpy(before, on_image(node), BLOCK);
	ck_assert_int_eq(file_truncate(in, 0), 0);
	ck_assert(!memcmp(before, on_image(node), BLOCK));
	ck_assert_int_eq(tx_writeout(fs->env.log), 0);
	ck_assert(memcmp(before, on_image(node), BLOCK));
	inode_put(in);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("meta_blocks");
	TCase *tc = tcase_create("meta_blocks");

	tcase_add_checked_fixture(tc, setup, end);
	tcase_add_test(tc, a_tree_node_is_wiped_first);
	tcase_add_test(tc, a_directory_block_is_wiped_first);
	tcase_add_test(tc, an_attribute_block_is_wiped_first);
	tcase_add_test(tc, a_freed_node_is_written_once_more);
	suite_add_tcase(s, tc);
	return s;
}
T_IMAGE_MAIN(suite)
