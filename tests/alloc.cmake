# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_buddy unit unit/test_buddy.c support/t_alloc.c)
mbfs_test(test_index unit unit/test_index.c)
mbfs_test(test_claim unit unit/test_claim.c support/t_alloc.c)
mbfs_test(test_alloc unit unit/test_alloc.c support/t_alloc.c)
mbfs_test(test_enospc unit unit/test_enospc.c support/t_alloc.c)
mbfs_test(model_alloc model model/model_alloc.c support/t_alloc.c)
mbfs_test(stress_alloc stress stress/stress_alloc.c support/t_alloc.c)
