# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_fs unit unit/test_fs.c)
mbfs_test(test_resize unit unit/test_resize.c)
# e2fsck after each of some 600 growths: a minute, many under a sanitizer on a busy machine.
set_tests_properties(unit/test_resize PROPERTIES TIMEOUT 2400)
