# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_mempool unit unit/test_mempool.c)
