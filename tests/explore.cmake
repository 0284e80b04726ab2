# SPDX-License-Identifier: GPL-2.0-only
# Tests of the explorer itself, and the contract of rt on it. They link mbfs-explore, never mbfs.
find_package(Python3 COMPONENTS Interpreter)

function(mbfs_explore_test name)
	add_executable(${name} ${ARGN})
	target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src/explore ${CMAKE_SOURCE_DIR}
				   ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
	target_link_libraries(${name} PRIVATE mbfs-explore PkgConfig::CHECK)
	add_test(NAME explore/${name} COMMAND ${name})
	set_tests_properties(explore/${name} PROPERTIES LABELS explore TIMEOUT 600
			     ENVIRONMENT "CK_DEFAULT_TIMEOUT=240;TSAN_OPTIONS=halt_on_error=1 detect_deadlocks=0 atexit_sleep_ms=0")
endfunction()

mbfs_explore_test(test_searches explore/test_searches.c explore/scenarios.c)
mbfs_explore_test(test_random explore/test_random.c)
mbfs_explore_test(test_jobs explore/test_jobs.c explore/scenarios.c)
set_tests_properties(explore/test_jobs PROPERTIES SKIP_RETURN_CODE 77)
mbfs_explore_test(test_minimise explore/test_minimise.c explore/scenarios.c)
target_link_libraries(test_minimise PRIVATE mbfs_race_explore)
mbfs_explore_test(test_explore explore/test_engine.c explore/scenarios.c)
mbfs_explore_test(test_pictures explore/test_pictures.c explore/scenarios.c)
mbfs_explore_test(test_conform_explore explore/test_conform_explore.c explore/conform.c explore/conform_wq.c)
mbfs_explore_test(test_models explore/test_models.c)
mbfs_explore_test(test_weak explore/test_weak.c)
mbfs_explore_test(test_race_check explore/test_race_check.c)
mbfs_explore_test(test_alloc_explore explore/test_alloc_explore.c)
mbfs_explore_test(test_io_lock_explore explore/test_io_lock_explore.c)
mbfs_explore_test(test_fs_explore explore/test_fs_explore.c)
mbfs_explore_test(test_kvfree_explore explore/test_kvfree_explore.c)
mbfs_explore_test(test_mempool_explore explore/test_mempool_explore.c)
mbfs_explore_test(test_pending_explore explore/test_pending_explore.c)
mbfs_explore_test(test_io_state_explore explore/test_io_state_explore.c support/t_states.c)
if(Python3_Interpreter_FOUND)
	add_test(NAME explore/pictures COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/explore/test_pictures.py
		 ${CMAKE_BINARY_DIR}/bin $<TARGET_FILE:test_pictures>)
	set_tests_properties(explore/pictures PROPERTIES LABELS explore TIMEOUT 300
			     ENVIRONMENT "TSAN_OPTIONS=detect_deadlocks=0 atexit_sleep_ms=0")
endif()
mbfs_test(test_conform_native explore explore/test_conform_native.c explore/conform.c explore/conform_wq.c)
add_test(NAME explore/nm COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/explore/nm.sh $<TARGET_FILE:mbfs-explore>)
set_tests_properties(explore/nm PROPERTIES LABELS explore TIMEOUT 60)
if(NOT MBFS_SANITIZE STREQUAL "")
	set_tests_properties(explore/nm PROPERTIES DISABLED TRUE) # sanitizers bring names of their own
endif()
mbfs_explore_module(t_both_module both_explore_finds explore/both_module.c)
mbfs_test(test_both explore explore/test_both.c)
target_link_libraries(test_both PRIVATE t_both_module)

add_test(NAME explore/mutants COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/explore/mutants.py --quick
	 ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/mutants)
set_tests_properties(explore/mutants PROPERTIES LABELS explore TIMEOUT 900 SKIP_RETURN_CODE 77)
if(Python3_Interpreter_FOUND)
	# With the library that the other left behind, which has no sanitizers: those take ten minutes.
	add_test(NAME explore/mutants_rt COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/explore/mutants_rt.py
		 ${CMAKE_C_COMPILER} ${CMAKE_BINARY_DIR}/mutants/build/src/explore/libmbfs-explore.a
		 ${CHECK_LINK_LIBRARIES} ${ISAL_LINK_LIBRARIES})
	set_tests_properties(explore/mutants_rt PROPERTIES LABELS explore TIMEOUT 600 SKIP_RETURN_CODE 77
			     FIXTURES_REQUIRED mutants)
	set_tests_properties(explore/mutants PROPERTIES FIXTURES_SETUP mutants)
endif()

# Figures for README.md; not a test.
add_executable(bench_explore explore/bench_explore.c)
target_include_directories(bench_explore PRIVATE ${CMAKE_SOURCE_DIR}/src/explore ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(bench_explore PRIVATE mbfs-explore)
