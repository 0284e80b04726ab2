#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: what cannot be mounted is refused in one line that names the reason and the remedy, and not one byte
# of it changes. Method: a table of broken and foreign images; checksum before and after.
. "$(dirname "$0")/lib.sh"
need debugfs dd

# TEXT OPTIONS: mounting fails saying TEXT; the image is as before
unchanged()
{
	local text=$1 before

	before=$(sha256sum <"$IMG")
	refused "$text" mbfs ${2:+-o "$2"} "$IMG" "$MNT"
	mountpoint -q "$MNT" && fail "$text: mounted"
	same "$(sha256sum <"$IMG")" "$before" "$text: the image changed"
}

set_super()
{
	debugfs -w -R "ssv $1 $2" "$IMG" >/dev/null 2>&1
}

truncate -s 1M "$IMG"
unchanged "ext4"
: >"$IMG"
unchanged "past its end"
make_image 64M
truncate -s 32M "$IMG"
unchanged "e2fsck"
make_image 64M
set_super state 2
unchanged "e2fsck -f"
make_image 64M
set_super state 0
unchanged "e2fsck -f"
make_image 64M
debugfs -w -R "feature needs_recovery" "$IMG" >/dev/null 2>&1
unchanged "e2fsck -f"
unchanged "norecovery" ro
mount_image ro,norecovery
unmount_image
make_image 64M
printf '\xff' | dd of="$IMG" bs=1 seek=1160 conv=notrunc status=none
unchanged "checksum"

while read -r feature args; do
	# shellcheck disable=SC2086
	truncate -s 0 "$IMG" && truncate -s 64M "$IMG" && mkfs.ext4 -q -F $args "$IMG" >/dev/null 2>&1 || continue
	unchanged "$feature"
done <<'END'
encrypt -O encrypt
casefold -O casefold
mmp -O mmp
bigalloc -O bigalloc
inline_data -O inline_data
ea_inode -O ea_inode
END
make_image 64M -O quota
before=$(sha256sum <"$IMG")
mbfs "$IMG" "$MNT" 2>"$T/note"
grep -q 'read-only.*quota' "$T/note" || fail "quota: $(cat "$T/note")"
refused "Read-only file system" touch "$MNT/x"
grep -q " $MNT fuse.mbfs ro," /proc/mounts || fail "not mounted ro"
unmount_image
same "$(sha256sum <"$IMG")" "$before" "a read-only mount changed the image"

# read only is read only
make_image 64M
before=$(sha256sum <"$IMG")
mount_image ro
ls "$MNT" >/dev/null
refused "Read-only file system" touch "$MNT/x"
unmount_image
same "$(sha256sum <"$IMG")" "$before" "-o ro changed the image"

# one mount at a time
mount_image
mkdir "$T/second"
refused "in use" mbfs "$IMG" "$T/second"
refused "in use" mbfs -o ro "$IMG" "$T/second"
unmount_image

# options and operands
bad()
{
	local code=$1 text=$2 rc=0

	shift 2
	refused "$text" mbfs "$@"
	mbfs "$@" >/dev/null 2>&1 || rc=$?
	same $rc "$code" "exit status of mbfs $*"
}
bad 1 "option nonsense is not known" -o nonsense "$IMG" "$MNT"
bad 1 "option cpus=x" -o cpus=x "$IMG" "$MNT"
bad 1 "option cpus=99999" -o cpus=99999 "$IMG" "$MNT"
bad 1 "option cpus needs a value" -o cpus "$IMG" "$MNT"
bad 1 "option ro takes no value" -o ro=1 "$IMG" "$MNT"
bad 1 "the variants are pre-5.8" -o enospc=6.66 "$IMG" "$MNT"
bad 1 "option endio=6.66: the variants are" -o endio=6.66 "$IMG" "$MNT"
bad 1 "the points are" -o widen=nowhere:5 "$IMG" "$MNT"
bad 1 "option widen=claim-scan:x" -o widen=claim-scan:x "$IMG" "$MNT"
bad 1 "option offset=12Q" -o offset=12Q "$IMG" "$MNT"
bad 1 "errors=panic" -o errors=panic "$IMG" "$MNT"
bad 1 "-q is not known" -q "$IMG" "$MNT"
bad 1 "takes an image and a mount point" "$IMG"
bad 32 "No such file" "$T/nothing" "$MNT"
bad 32 "No such file" "$IMG" "$T/nowhere"
bad 32 "not a directory" "$IMG" "$IMG"
mbfs --help | grep mb_group_prealloc >/dev/null
mbfs --version | grep -q '^mbfs '
mbfs --wait "$IMG" --timeout 1
check_image

# a file system inside a larger image
make_image 64M
head -c 1M /dev/zero >"$T/disk" && cat "$IMG" >>"$T/disk" && mv "$T/disk" "$IMG"
mount_image offset=1M
echo inside >"$MNT/f"
unmount_image
mount_image offset=1024K,ro
same "$(cat "$MNT/f")" inside
unmount_image
tail -c +1048577 "$IMG" >"$T/disk" && mv "$T/disk" "$IMG"
check_image
