#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: what asynchronous clients write is what they read, and what the kernel's ext4 reads. Method: fio with
# verify, through libaio and io_uring, past the page cache and through it, at random and in sequence, into
# holes, preallocated and written blocks; then fio's verification alone, on a mount of the kernel.
. "$(dirname "$0")/lib.sh"
need fio

make_image 1G
common="--minimal --verify=crc32c --verify_fatal=1 --randseed=11 --iodepth=16 --group_reporting --thread"
jobs=()
# run DIR NAME ARG... - write and verify
run()
{
	# shellcheck disable=SC2086
	timeout 60 fio $common --directory="$1" --name="$2" "${@:3}" >"$T/fio" 2>&1 || { cat "$T/fio"; fail "fio $*"; }
}
for opts in "" direct; do
	mount_image "$opts"
	for engine in libaio io_uring; do
		if [ $engine = io_uring ] && ! fio --name=probe --ioengine=io_uring --size=4k --filename="$T/probe" >/dev/null 2>&1; then
			echo "no io_uring for fio here"
			continue
		fi
		for direct in 1 0; do
			name=$engine-$direct-${opts//[^a-z]/}
			for job in "rand --rw=randwrite --bs=4k --size=16m --fallocate=posix" \
				   "holes --rw=randwrite --bsrange=4k-64k --blockalign=4k --size=16m --fallocate=none" \
				   "seq --rw=write --bs=256k --size=32m --fallocate=none" \
				   "mixed --rw=randrw --bssplit=4k/60:16k/30:128k/10 --size=16m --fallocate=posix --numjobs=2"; do
				read -ra words <<<"$job"
				jobs+=("$name-${words[0]} --ioengine=$engine --direct=$direct ${words[*]:1}")
				run "$MNT" "$name-${words[0]}" --ioengine=$engine --direct=$direct "${words[@]:1}"
			done
		done
	done
	unmount_image
	check_image
done
kernel_mount
for job in "${jobs[@]}"; do
	read -ra words <<<"$job"
	[[ $job == *randrw* ]] || run "$KMNT" "${words[0]}" "${words[@]:1}" --verify_only
done
umount "$KMNT"
