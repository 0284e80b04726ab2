# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_inode_codec unit unit/test_inode_codec.c support/t_fs.c)
mbfs_test(test_ialloc unit unit/test_ialloc.c support/t_fs.c)
mbfs_test(test_orphan unit unit/test_orphan.c support/t_fs.c)
mbfs_test(model_file model model/model_file.c support/t_fs.c)
mbfs_test(test_inode unit unit/test_inode.c support/t_fs.c)
mbfs_test(test_file unit unit/test_file.c support/t_fs.c)
mbfs_test(stress_write stress stress/stress_write.c support/t_fs.c)
mbfs_test(test_waits unit unit/test_waits.c support/t_gate.c)
