# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_extent unit unit/test_extent.c support/t_ext.c)
mbfs_test(test_endio unit unit/test_endio.c)
mbfs_test(test_io_lock unit unit/test_io_lock.c)
mbfs_test(model_extent model model/model_extent.c support/t_ext.c)
mbfs_test(test_remove unit unit/test_remove.c support/t_fs.c)
mbfs_test(stress_extent stress stress/stress_extent.c support/t_ext.c)
mbfs_test(fuzz_extent fuzz fuzz/fuzz_extent.c)
mbfs_test(model_io_state model model/model_io_state.c support/t_states.c)
