# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_image unit unit/test_image.c)
mbfs_test(test_super unit unit/test_super.c)
mbfs_test(test_bdev unit unit/test_bdev.c)
mbfs_test(test_bdev_io unit unit/test_bdev_io.c)
mbfs_test(test_csum unit unit/test_csum.c)
mbfs_test(fuzz_super fuzz fuzz/fuzz_super.c)
