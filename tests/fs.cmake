# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_fs unit unit/test_fs.c)
mbfs_test(test_resize unit unit/test_resize.c)
