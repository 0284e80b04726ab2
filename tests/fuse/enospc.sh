#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: a full image says so at the write that met it, loses nothing, and takes data again once there is room.
# Method: fill it by dd, by fallocate, by files and by inodes, as a user and as root.
. "$(dirname "$0")/lib.sh"
need setpriv

make_image 64M -N 400
mount_image
chmod 1777 "$MNT"
as_user()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}
refused "No space left" as_user dd if=/dev/zero of="$MNT/fill" bs=1M status=none
same "$(stat -f -c %a "$MNT")" 0 "available to users"
[ "$(stat -f -c %f "$MNT")" -gt 0 ] || fail "no reserved blocks are left for root"
dd if=/dev/zero of="$MNT/root" bs=64k count=4 status=none || fail "root could not use the reserve"
refused "No space left" as_user fallocate -l 10M "$MNT/no"
full=$(stat -c %s "$MNT/fill")
same "$(tr -d '\0' <"$MNT/fill" | wc -c)" 0
unmount_image
check_image
mount_image
same "$(stat -c %s "$MNT/fill")" "$full"
rm "$MNT/fill" "$MNT/root"
rm -f "$MNT/no"
free=$(stat -f -c %a "$MNT")
as_user fallocate -l $((free * $(stat -f -c %S "$MNT") * 9 / 10)) "$MNT/most" || fail "space came not back"
rm "$MNT/most"
i=0
while : 2>/dev/null >"$MNT/inode-$i"; do
	i=$((i + 1))
	[ $i -lt 1000 ] || fail "no end of inodes"
done
same "$(stat -f -c %d "$MNT")" 0 "free inodes"
rm "$MNT"/inode-*
[ "$(stat -f -c %d "$MNT")" -gt 300 ] || fail "inodes came not back"
unmount_image
check_image
# many writers, all of which fit: nobody may see ENOSPC
for variant in claim-wait begin-end; do
	make_image 240M -O ^has_journal -m 0
	mount_image "enospc=$variant,cpus=8"
	free=$(($(stat -f -c %a "$MNT") * $(stat -f -c %S "$MNT")))
	each=$((free * 75 / 100 / 40))
	for i in {1..40}; do
		fallocate -l $each "$MNT/w$i" 2>>"$T/lost" &
	done
	wait
	[ ! -s "$T/lost" ] || fail "$variant: $(cat "$T/lost")"
	same "$(mbfs-stat "$MNT" | awk '$1 == "alloc.false_enospc" { print $2 }')" 0 "$variant: false ENOSPC"
	unmount_image
	check_image
done
