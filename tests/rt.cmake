# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_rt unit unit/test_rt.c)
mbfs_test(test_rt_rcu stress unit/test_rt_rcu.c)
