# SPDX-License-Identifier: GPL-2.0-only
# Tests over a mount: real programs, the kernel's ext4 as a peer, e2fsck as the judge.
foreach(script
	acl
	aio
	basic
	bigdir
	blockmap
	daemon
	direct
	discard
	enospc
	falloc
	fio
	fio_aio
	fsx
	intr
	io
	kernel
	kill
	matrix
	mountcmd
	parallel
	refuse
	requests
	resize
	resize_refused
	signals
	stress
	testcase1
	user)
	mbfs_script_test(${script} fuse fuse/${script}.sh)
endforeach()

# Load and judge of kill.sh; the client of aio.sh.
add_executable(kill_load fuse/kill_load.c)
add_executable(t_aio fuse/aio.c fuse/aio_engine.c)
target_include_directories(t_aio PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(t_aio PRIVATE PkgConfig::URING)

# One call of intr.sh; the threads of fsx.sh.
add_executable(t_intr fuse/intr.c)
add_executable(t_fsx fuse/fsx.c fuse/fsx_draw.c fuse/fsx_io.c fuse/fsx_race.c fuse/fsx_twin.c)
target_include_directories(t_fsx PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
target_link_libraries(t_fsx PRIVATE Threads::Threads)

# Loaded into mbfs by daemon.sh, before sanitizers are.
add_library(t_fork MODULE fuse/fork.c)
set_target_properties(t_fork PROPERTIES C_EXTENSIONS ON)
if(NOT MBFS_SANITIZE STREQUAL "")
	target_compile_options(t_fork PRIVATE -fno-sanitize=all)
	target_link_options(t_fork PRIVATE -fno-sanitize=all)
endif()
