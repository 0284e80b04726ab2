# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_rt unit unit/test_rt.c)
mbfs_test(test_rt_rcu stress unit/test_rt_rcu.c)
add_test(NAME unit/no_cost COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/rt/no_cost.py ${CMAKE_C_COMPILER})
set_tests_properties(unit/no_cost PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77)
