# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_buf unit unit/test_buf.c support/t_gate.c)
mbfs_test(test_tx unit unit/test_tx.c support/t_gate.c)
mbfs_test(test_defer unit unit/test_defer.c support/t_fs.c)
mbfs_test(test_meta_blocks unit unit/test_meta_blocks.c support/t_fs.c)
