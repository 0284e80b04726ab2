#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: the kernel's ext4 and mbfs read what the other wrote. Method: thousands of files of all kinds, both
# ways, compared by checksum; then each changes the other's tree.
. "$(dirname "$0")/lib.sh"
need setfattr getfattr losetup

make_image 800M
kernel_mount
kernel_unmount
make_tree "$T/tree" 900
want=$(manifest "$T/tree")

# mbfs writes, the kernel reads
make_image 800M
mount_image
cp -a "$T/tree" "$MNT/by-mbfs"
unmount_image
check_image
kernel_mount
same "$(manifest "$KMNT/by-mbfs")" "$want" "written by mbfs, read by the kernel"
# the kernel adds a tree and changes ours
cp -a "$T/tree" "$KMNT/by-kernel"
rm "$KMNT"/by-mbfs/a/file-1*
for i in 2 20 200; do
	echo appended >>"$KMNT/by-mbfs/b/file-$i-with-a-name-to-fill-directory-blocks"
done
changed=$(manifest "$KMNT/by-mbfs")
kernel_unmount
check_image

# mbfs reads that, and changes the kernel's
mount_image
same "$(manifest "$MNT/by-kernel")" "$want" "written by the kernel, read by mbfs"
same "$(manifest "$MNT/by-mbfs")" "$changed" "changed by the kernel, read by mbfs"
rm "$MNT"/by-kernel/b/file-3*
cp "$T/tree/random" "$MNT/by-kernel/hole2"
for i in 0 5 500; do
	echo appended >>"$MNT/by-kernel/c/file-$i-with-a-name-to-fill-directory-blocks"
done
truncate -s 1000000 "$MNT/by-kernel/random"
for i in {1..400}; do
	: >"$MNT/by-kernel/a/new-$i"
done
changed=$(manifest "$MNT/by-kernel")
unmount_image
check_image
kernel_mount ro
same "$(manifest "$KMNT/by-kernel")" "$changed" "changed by mbfs, read by the kernel"
kernel_unmount
mount_image
rm -rf "$MNT"/by-*
unmount_image
check_image
