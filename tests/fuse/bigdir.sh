#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: a directory of many names is made, listed and emptied in time that does not grow with its square.
# Method: hard-linked and empty files made without a process each; the index is checked by e2fsck. MBFS_LONG=1:
# 100,000 names.
. "$(dirname "$0")/lib.sh"

N=25000
[ -z "${MBFS_LONG:-}" ] || N=100000
make_image 300M -N 110000
mount_image
mkdir "$MNT/d"
cd "$MNT/d"
SECONDS=0
for ((i = 0; i < N; i++)); do
	: >"name-$i"
done
echo "made in $SECONDS s"
same "$(find . -type f | wc -l)" $N "listing"
same "$(ls -f | sort -u | wc -l)" $((N + 2)) "names are listed once"
[ -e name-17777 ] && [ ! -e name-$N ]
cd /
unmount_image
check_image
debugfs -R 'htree /d' "$IMG" 2>/dev/null | grep -q 'Indirect levels' || fail "the directory has no index"
mount_image
cd "$MNT/d"
SECONDS=0
find . -type f -name '*[13579]' -delete
same "$(ls -f | wc -l)" $((N / 2 + 2)) "half removed"
cd /
rm -rf "$MNT/d"
echo "removed in $SECONDS s"
unmount_image
check_image
