#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: what is written is read, under parallel random writes. Method: fio with verify, into holes and into
# preallocated files (the job that corrupts images under fuse2fs), buffered and direct.
. "$(dirname "$0")/lib.sh"
need fio

make_image 1G
mount_image
common="--directory=$MNT --minimal --verify=crc32c --verify_fatal=1 --randseed=7 --ioengine=psync --thread --group_reporting"
# shellcheck disable=SC2086
run()
{
	timeout 50 fio $common "$@" >"$T/fio" 2>&1 || { cat "$T/fio"; fail "fio $*"; }
}
run --name=holes --rw=randwrite --bs=4k --size=24m --numjobs=4 --fallocate=none --io_size=12m
run --name=alloc --rw=randwrite --bs=4k --size=32m --numjobs=4 --fallocate=posix --io_size=16m
run --name=direct --rw=randwrite --bsrange=4k-256k --size=24m --numjobs=2 --direct=1 --fallocate=none
run --name=seq --rw=write --bs=1m --size=64m --numjobs=2 --fallocate=none
sums()
{
	(cd "$MNT" && sha256sum ./*.[0-9])
}
before=$(sums)
unmount_image
check_image
mount_image ro
same "$(sums)" "$before" "after a remount"
unmount_image
