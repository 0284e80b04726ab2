#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: every block size and feature set is written cleanly. Method: for each: a tree, a remount, more
# changes, e2fsck after each unmount.
. "$(dirname "$0")/lib.sh"
need setfattr getfattr

# An attribute has to fit a block of 1 KiB.
make_tree "$T/tree" 40 600
want_ns=$(manifest "$T/tree")

# Inodes of 128 bytes have whole seconds until 2038: no times are compared
listing()
{
	if [ "$args" = "-I 128" ]; then
		sed -E 's/ -?[0-9]+\.[0-9]{10} / /'
	else
		cat
	fi
}

one()
{
	local size=$1 args want

	shift
	args=$*
	want=$(listing <<<"$want_ns")
	echo "-- $size $*"
	make_image "$size" "$@"
	mount_image
	cp -a "$T/tree" "$MNT/tree"
	same "$(manifest "$MNT/tree" | listing)" "$want" "$*: written"
	unmount_image
	check_image
	mount_image
	same "$(manifest "$MNT/tree" | listing)" "$want" "$*: read again"
	mv "$MNT/tree/a" "$MNT/moved" && rm -rf "$MNT/tree" && echo x >"$MNT/moved/more"
	fallocate -l 2M "$MNT/more"
	unmount_image
	check_image
}

one 200M -b 1024
one 200M -b 2048
one 300M -b 4096
one 600M -b 65536
one 300M -O ^has_journal
one 300M -O ^64bit
one 300M -O ^metadata_csum
one 300M -O ^metadata_csum,uninit_bg
one 300M -O metadata_csum_seed
one 300M -O ^flex_bg
one 300M -O ^has_journal,^64bit,^metadata_csum,^flex_bg,^resize_inode
one 300M -I 128
one 300M -O meta_bg,^resize_inode
one 300M -O sparse_super2
