# SPDX-License-Identifier: GPL-2.0-only
add_executable(test_race unit/test_race.c)
target_include_directories(test_race PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests
			   ${CMAKE_SOURCE_DIR}/src/rt/native)
target_link_libraries(test_race PRIVATE mbfs_race PkgConfig::CHECK)
add_test(NAME unit/test_race COMMAND test_race)
set_tests_properties(unit/test_race PROPERTIES LABELS unit TIMEOUT 60)

mbfs_script_test(race_cli race race/test_cli.sh)
mbfs_script_test(race_json race race/test_json.sh)
mbfs_script_test(race_library race race/test_library.sh)
mbfs_script_test(race_endio race race/test_endio.sh)
mbfs_script_test(race_mempool race race/test_mempool.sh)
mbfs_script_test(race_pending race race/test_pending.sh)
mbfs_script_test(race_barrier race race/test_barrier.sh)
mbfs_script_test(race_load race race/test_load.sh)
mbfs_script_test(race_mount race race/test_mount.sh)
mbfs_script_test(race_explore race race/test_explore.sh)
mbfs_script_test(race_small race race/test_small.sh)
mbfs_script_test(race_state race race/test_state.sh)
mbfs_script_test(race_shards race race/test_shards.sh)
mbfs_script_test(bench_cli race race/test_bench.sh)

# The transport's limit, a peer for mbfs-bench, which looks for it beside the daemon. Not installed.
add_executable(mbfs-null peer/mbfs-null.c ${CMAKE_SOURCE_DIR}/fuse/protocol.c)
target_link_libraries(mbfs-null PRIVATE mbfs PkgConfig::FUSE3)
target_include_directories(mbfs-null PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/rt/native)
target_compile_definitions(mbfs-null PRIVATE FUSE_USE_VERSION=312)
set_target_properties(mbfs-null PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
