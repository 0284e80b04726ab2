# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_rt unit unit/test_rt.c)
mbfs_test(test_rt_rcu stress unit/test_rt_rcu.c)
mbfs_test(stress_poll stress stress/stress_poll.c)
# Polled grace periods of liburcu 0.14, to check ours against.
include(CheckSymbolExists)
list(APPEND CMAKE_REQUIRED_LIBRARIES PkgConfig::URCU)
check_symbol_exists(urcu_memb_start_poll_synchronize_rcu urcu/urcu-memb.h HAVE_URCU_POLL)
if(HAVE_URCU_POLL)
	target_compile_definitions(stress_poll PRIVATE HAVE_URCU_POLL)
endif()
add_test(NAME unit/no_cost COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/rt/no_cost.py ${CMAKE_C_COMPILER})
set_tests_properties(unit/no_cost PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77)
