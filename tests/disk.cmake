# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_image unit unit/test_image.c)
mbfs_test(test_super unit unit/test_super.c)
mbfs_test(test_bdev unit unit/test_bdev.c)
