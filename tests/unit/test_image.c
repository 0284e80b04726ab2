// SPDX-License-Identifier: GPL-2.0-only
/* The fixture itself: a judge that never says no is no judge. */
#include "support/t_image.h"

#include <string.h>

static const char *const rows[] = { "", "-b 1024", "-b 65536 -N 4096", "-O ^metadata_csum,^64bit" };

/* Goal: an image filled with everything is clean. Method: populate, e2fsck -fn. */
START_TEST(populated_image_is_clean)
{
	struct mbfs_bdev *dev = t_image_mem(rows[_i], 64 << 20);
	char *out;

	t_image_populate(dev, T_IMAGE_ALL);
	ck_assert_int_eq(t_image_fsck(dev), 0);
	out = t_image_ask(dev, "htree /big");
	ck_assert_msg(strstr(out, "Root node dump"), "%s", out);
	free(out);
	out = t_image_ask(dev, "ex /sparse");
	/* "level/depth" of a tree deeper than the inode; blocks of 64 KiB have no holes of 8 KiB.
	 */
	ck_assert_msg(strstr(rows[_i], "65536") || strstr(out, " 0/ 1 ") || strstr(out, " 0/ 2 "),
		      "%s", out);
	free(out);
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: what e2fsck exits with 0 for, and what it does not, both count. Method: break one field
 * each. */
START_TEST(broken_image_is_not_clean)
{
	static const char *const scripts[] = {
		"set_super_value free_blocks_count 3\n", /* exit status 0, but a complaint */
		"set_bg 0 free_blocks_count 3\nset_bg 0 checksum calc\n",
		"set_inode_field <2> links_count 9\n",
	};
	struct mbfs_bdev *dev = t_image_mem("", 16 << 20);

	ck_assert_int_eq(t_image_fsck(dev), 0);
	t_image_debugfs(dev, scripts[_i]);
	ck_assert_int_ne(t_image_fsck(dev), 0);
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: what mkfs.ext4 refuses is NULL, not an image. Method: an unknown feature. */
START_TEST(refused_options_are_reported)
{
	ck_assert_ptr_null(t_image_mem_try("-O no_such_thing", 16 << 20));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("image");
	TCase *tc = tcase_create("image");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, populated_image_is_clean, 0, 4);
	tcase_add_loop_test(tc, broken_image_is_not_clean, 0, 3);
	tcase_add_test(tc, refused_options_are_reported);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
