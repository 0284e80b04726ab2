#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: a daemon told to end leaves a clean image, also with files open; one that is killed leaves an image
# that says so, and e2fsck repairs it. Method: signals to our own daemon's pid.
. "$(dirname "$0")/lib.sh"

daemon_pid()
{
	pgrep -f -- "^mbfs .*$IMG $MNT\$" | head -1
}

for sig in TERM INT HUP; do
	make_image 100M
	mount_image
	mkdir "$MNT/d" && echo data >"$MNT/d/f"
	exec 7>"$MNT/open" && echo open >&7
	exec 8>"$MNT/unlinked" && echo gone >&8 && rm "$MNT/unlinked"
	kill -$sig "$(daemon_pid)"
	mbfs --wait "$IMG" --timeout 30
	exec 7>&- 8>&-
	mountpoint -q "$MNT" && fail "SIG$sig: still mounted"
	sanitizer_clean || fail "SIG$sig"
	check_image
	mount_image ro
	same "$(cat "$MNT/d/f" "$MNT/open")" "data
open" "after SIG$sig"
	unmount_image
done

# in the foreground; not INT: a shell's background commands ignore it
mbfs -f "$IMG" "$MNT" &
pid=$!
for _ in {1..100}; do
	mountpoint -q "$MNT" && break
	sleep 0.1
done
echo x >"$MNT/fg"
kill -TERM $pid
wait $pid || fail "-f ended with $?"
check_image

# killed
make_image 100M
mount_image commit=1
mkdir "$MNT/d"
for i in {1..200}; do echo "$i" >"$MNT/d/$i"; done
sync "$MNT/d/1"
for i in {201..300}; do echo "$i" >"$MNT/d/$i"; done
exec 8>"$MNT/unlinked" && rm "$MNT/unlinked"
kill -KILL "$(daemon_pid)"
exec 8>&- || true
umount -l "$MNT"
mbfs --wait "$IMG" --timeout 10
before=$(sha256sum <"$IMG")
refused "not cleanly unmounted: run e2fsck -fy" mbfs "$IMG" "$MNT"
same "$(sha256sum <"$IMG")" "$before" "the refusal changed the image"
rc=0
e2fsck -fy "$IMG" >"$T/fsck" 2>&1 || rc=$?
[ $rc -le 1 ] || fail "e2fsck -fy: status $rc: $(cat "$T/fsck")"
check_image
mount_image
same "$(cat "$MNT/d/1" "$MNT/d/200")" "1
200" "synced files survive a crash"
unmount_image
check_image
