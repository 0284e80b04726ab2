# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_mempool unit unit/test_mempool.c)
mbfs_test(test_pending unit unit/test_pending.c)
mbfs_test(model_mempool model model/model_mempool.c)
mbfs_test(model_pending model model/model_pending.c)
mbfs_test(stress_mempool stress stress/stress_mempool.c)
mbfs_test(stress_pending stress stress/stress_pending.c)
mbfs_test(test_table unit unit/test_table.c)
