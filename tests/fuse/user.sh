#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: somebody who is not root mounts an image of their own. Method: as nobody, through fusermount3.
. "$(dirname "$0")/lib.sh"
need setpriv mknod
private
# Debian's udev opens /dev/fuse to everybody; containers often do not.
mknod "$T/fuse" c 10 229 && chmod 666 "$T/fuse" && mount --bind "$T/fuse" /dev/fuse

as_user()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups env -u ASAN_OPTIONS "$@"
}
make_image 64M -E root_owner=65534:65534
chown -R 65534:65534 "$T"
as_user fusermount3 --version >/dev/null || skip "fusermount3 is not executable by nobody"
as_user mbfs "$IMG" "$MNT" 2>"$T/err" || {
	grep -qi 'permission denied\|not permitted' "$T/err" && skip "users may not mount here: $(head -1 "$T/err")"
	fail "$(cat "$T/err")"
}
as_user sh -c "echo mine >$MNT/f && mkdir $MNT/d && ls -l $MNT >/dev/null"
same "$(as_user stat -c '%u %g' "$MNT/f")" "65534 65534"
as_user chown 0:0 "$MNT/f" 2>/dev/null && fail "a user gave a file away"
ls "$MNT" 2>/dev/null && fail "root looked into a user's mount"
as_user fusermount3 -u "$MNT"
mbfs --wait "$IMG" --timeout 30
check_image
# fakeroot: root in one's own image
as_user mbfs -o fakeroot "$IMG" "$MNT"
as_user sh -c "chown 0:0 $MNT/f && echo more >>$MNT/f"
same "$(as_user stat -c '%u' "$MNT/f")" 0
as_user fusermount3 -u "$MNT"
mbfs --wait "$IMG" --timeout 30
check_image
