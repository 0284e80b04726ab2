# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(test_kvfree unit unit/test_kvfree.c)
mbfs_test(test_mempool unit unit/test_mempool.c)
mbfs_test(test_pending unit unit/test_pending.c)
mbfs_test(model_mempool model model/model_mempool.c)
mbfs_test(model_pending model model/model_pending.c)
mbfs_test(stress_kvfree stress stress/stress_kvfree.c)
mbfs_test(stress_mempool stress stress/stress_mempool.c)
mbfs_test(stress_pending stress stress/stress_pending.c)
mbfs_test(test_table unit unit/test_table.c)

if(MBFS_SANITIZE STREQUAL "")
	set(sanitizer none)
else()
	set(sanitizer ${MBFS_SANITIZE})
endif()

# The same stress without the wait for readers: TSan has to say so.
foreach(module kvfree pending)
	add_executable(stress_${module}_nowait stress/stress_${module}.c stress/nowait_${module}.c)
	target_include_directories(stress_${module}_nowait PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/rt/native
				   ${CMAKE_SOURCE_DIR}/tests)
	target_link_libraries(stress_${module}_nowait PRIVATE t_support)
endforeach()
mbfs_script_test(kvfree_nowait stress stress/nowait.sh ${sanitizer} $<TARGET_FILE:stress_kvfree_nowait>)
mbfs_script_test(pending_nowait stress stress/nowait.sh ${sanitizer} $<TARGET_FILE:stress_pending_nowait>)

# Exit with objects queued, under LeakSanitizer.
add_executable(exit_queued stress/exit_queued.c)
target_include_directories(exit_queued PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/rt/native)
target_link_libraries(exit_queued PRIVATE mbfs)
mbfs_script_test(exit_queued stress stress/exit.sh ${sanitizer} $<TARGET_FILE:exit_queued>)
