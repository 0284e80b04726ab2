#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: files mapped by indirect blocks are readable, and can be removed. Method: the kernel writes them.
. "$(dirname "$0")/lib.sh"
need losetup

make_image 100M -O ^extent,^64bit -b 1024
kernel_mount
head -c 20000000 /dev/urandom >"$KMNT/file"
truncate -s 60M "$KMNT/hole" && echo end >>"$KMNT/hole"
mkdir "$KMNT/dir" && echo small >"$KMNT/dir/small"
want=$(cd "$KMNT" && sha256sum file hole dir/small)
kernel_unmount
mount_image
same "$(cd "$MNT" && sha256sum file hole dir/small)" "$want"
rm "$MNT/file" "$MNT/hole"
unmount_image
check_image
