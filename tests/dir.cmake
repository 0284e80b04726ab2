# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_dirhash unit unit/test_dirhash.c)
mbfs_test(test_dir unit unit/test_dir.c support/t_bed.c)
mbfs_test(test_acl unit unit/test_acl.c support/t_bed.c)
mbfs_test(test_xattr unit unit/test_xattr.c support/t_bed.c)
mbfs_test(test_namei unit unit/test_namei.c support/t_bed.c support/t_tree.c)
mbfs_test(fuzz_dir fuzz fuzz/fuzz_dir.c support/t_bed.c)
mbfs_test(test_names model model/test_names.c support/t_fs.c support/t_image.c support/t_tree.c)
mbfs_test(stress_names stress stress/stress_names.c support/t_fs.c support/t_image.c)
