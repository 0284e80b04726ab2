#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: threads of two processes at once on one file read what they must, whoever carries out the device's transfers
# and whatever the block size. Method: fsx.c in each of its modes on each mount; then e2fsck, and the kernel's ext4
# reads the same bytes. FSX_SECONDS (of each mode on each mount, 1) makes it longer; FSX_SEED repeats the operations.
. "$(dirname "$0")/lib.sh"
need cmp

seconds=${FSX_SECONDS:-1}
seed=${FSX_SEED:-$RANDOM}
echo "repeat with FSX_SEED=$seed"

read_again()
{
	local mode

	for mode in mix direct race; do
		cmp "$1/$mode" "$T/$mode" || fail "$2 reads other bytes of what mode $mode left; FSX_SEED=$first"
	done
}

one_mount()
{
	local opts=$1 block=$2 mode first=$seed

	make_image 64M -b "$block"
	mount_image "$opts"
	for mode in mix direct race; do
		timeout -s KILL $((seconds + 120)) "$MBFS_BUILD/tests/t_fsx" --mode $mode --seed "$seed" \
			--seconds "$seconds" --save "$T/$mode" "$MNT/$mode" >"$T/out" 2>&1 ||
			fail "$(cat "$T/out"), status $?, on mbfs -o $opts, mkfs.ext4 -b $block"
		echo "$opts, blocks of $block, $(cat "$T/out")"
		seed=$((seed + 100000))
	done
	unmount_image
	check_image
	if mount -o loop,ro -t ext4 "$IMG" "$KMNT" 2>/dev/null; then
		read_again "$KMNT" "the kernel"
		kernel_unmount
	else
		mount_image ro
		read_again "$MNT" "a new mount"
		unmount_image
	fi
}

for opts in io=sync io=threads io=uring; do
	one_mount $opts 4096
	one_mount $opts 1024
done
one_mount direct 4096 # it wants blocks of a page
if mbfs --help | grep rangelock >/dev/null; then
	one_mount rangelock=off 4096
	one_mount direct,rangelock=off 4096
fi
