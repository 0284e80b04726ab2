#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: mount(8) and fstab conventions. Method: mount -t fuse.mbfs with the options people use.
. "$(dirname "$0")/lib.sh"
need setfattr getfattr setpriv
[ -x /sbin/mount.fuse ] || [ -x /sbin/mount.fuse3 ] || skip "mount.fuse3 is not installed"
# mount.fuse3 finds mbfs in the system's PATH only
private
mount --bind "$MBFS_BUILD/bin" /usr/local/bin

make_image 64M
mount -t fuse.mbfs "$IMG" "$MNT" -o noatime,nofail,relatime,x-systemd.automount,enospc=claim-wait,cpus=3
grep -q "^$IMG $MNT fuse.mbfs rw,.*default_permissions,allow_other" /proc/mounts ||
	fail "$(grep "$MNT" /proc/mounts)"
echo x >"$MNT/f" && chmod 600 "$MNT/f"
! setpriv --reuid 65534 --clear-groups cat "$MNT/f" 2>/dev/null || fail "permissions are not checked"
setpriv --reuid 65534 --clear-groups ls "$MNT" >/dev/null || fail "others are kept out"
mbfs-stat "$MNT" | grep '^mount.cpus *3$' >/dev/null || fail "cpus=3 did not arrive"
unmount_image
mount -t fuse.mbfs -o ro "$IMG" "$MNT"
refused "Read-only file system" touch "$MNT/x"
unmount_image
mount -t fuse.mbfs "$IMG" "$MNT" -o suid,dev
grep -q "^$IMG $MNT fuse.mbfs rw,relatime," /proc/mounts || fail "$(grep "$MNT" /proc/mounts)"
chmod 777 "$MNT" && check_priv
unmount_image
rc=0
mount -t fuse.mbfs "$IMG" "$MNT" -o nonsense 2>"$T/err" || rc=$?
[ $rc != 0 ] && grep -q "option nonsense is not known" "$T/err" || fail "nonsense: $rc $(cat "$T/err")"
mount -t fuse.mbfs "$IMG" "$MNT" -o writeback_cache
head -c 5000000 /dev/urandom >"$T/data"
cp "$T/data" "$MNT/data" && echo more >>"$MNT/data" && echo more >>"$T/data"
cmp "$T/data" "$MNT/data"
unmount_image
check_image
mount_image ro
cmp "$T/data" "$MNT/data"
unmount_image
