# SPDX-License-Identifier: GPL-2.0-only
# Tests over a mount: real programs, the kernel's ext4 as a peer, e2fsck as the judge.
foreach(script
	acl
	basic
	bigdir
	blockmap
	direct
	discard
	enospc
	falloc
	fio
	fio_aio
	io
	kernel
	kill
	matrix
	mountcmd
	parallel
	refuse
	signals
	stress
	testcase1
	user)
	mbfs_script_test(${script} fuse fuse/${script}.sh)
endforeach()
add_executable(kill_load fuse/kill_load.c) # load and judge of kill.sh
