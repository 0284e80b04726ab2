#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: -o discard gives freed blocks back to what the image lies on, and nothing else. Method: the room that the
# image takes, before and after files go; what stays is compared.
. "$(dirname "$0")/lib.sh"

used_mib()
{
	echo $(($(stat -c %b "$IMG") / 2048))
}

for options in discard nodiscard; do
	make_image 256M -b 4096
	mount_image $options
	make_tree "$MNT/tree"
	manifest "$MNT/tree" >"$T/before"
	dd if=/dev/urandom of="$MNT/big" bs=1M count=64 status=none
	dd if=/dev/urandom of="$MNT/cut" bs=1M count=32 status=none
	sync "$MNT/cut"
	full=$(used_mib)
	rm "$MNT/big" && truncate -s 1M "$MNT/cut"
	for i in 1 2 3; do
		echo $i >"$MNT/new$i" && sync "$MNT/new$i"
	done
	freed=$((full - $(used_mib)))
	if [ $options = discard ]; then
		[ $freed -ge 80 ] || fail "only $freed MiB were given back while mounted"
	else
		[ $freed -le 1 ] || fail "$freed MiB were given back without discard"
	fi
	manifest "$MNT/tree" | diff "$T/before" - || fail "files changed"
	rm -r "$MNT/tree"
	unmount_image
	check_image
done
make_image 64M -b 4096
mount_image discard
dd if=/dev/urandom of="$MNT/big" bs=1M count=16 status=none
sync "$MNT/big"
full=$(used_mib)
rm "$MNT/big"
unmount_image
[ $((full - $(used_mib))) -ge 14 ] || fail "unmount has trimmed too little"
check_image
