#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: a growth that cannot be is refused with one line that says why, and not a byte of the image has changed; then it
# is used as before. Method: each reason in turn, the image's checksum before and after; disks that are full, limits on
# files, another user, damage.
. "$(dirname "$0")/lib.sh"
need truncate sha256sum debugfs dumpe2fs setpriv
private

# kept TEXT COMMAND... - refused, and the image of the mount is as it was
kept()
{
	local before

	sync "$MNT"
	before=$(sha256sum <"$IMG")
	refused "$@"
	sync "$MNT"
	same "$(sha256sum <"$IMG")" "$before" "the image after: $(cat "$T/out")"
}

blocks()
{
	dumpe2fs -h "$IMG" 2>/dev/null | awk '/^Block count/ { print $3 }'
}

# What is no size, and what is no mount.
make_image 64M -b 1024 -E resize=300000
mount_image
echo kept >"$MNT/file"
kept "not a size" mbfs-resize "$MNT" 1X
kept "it takes the mount point" mbfs-resize
refused "not on an mbfs mount" mbfs-resize "$T"
refused "No such file" mbfs-resize "$T/none" 1G

# Smaller; more than is kept for descriptors: the line says how much it can be, and it can be that.
kept "cannot shrink while mounted" mbfs-resize "$MNT" 32M
kept "no more blocks are kept for its group descriptors" mbfs-resize "$MNT" 100T
most=$(sed -n 's/.*it can grow to \([0-9]*\) MiB:.*/\1/p' "$T/out")
kept "it can grow to $most MiB" mbfs-resize "$MNT" $((most + 1))M
mbfs-resize --quiet "$MNT" "${most}M" >/dev/null || fail "$most MiB is said to be possible"
kept "it can grow to $most MiB" mbfs-resize "$MNT" $((most + 1))M
unmount_image
check_image
same "$(blocks)" $((most * 1024))

# Who may not; what is not written to; what mbfs cannot grow, or not even mount.
make_image 64M
mount_image
kept "only root, and who mounted it" setpriv --reuid 65534 --regid 65534 --clear-groups \
	env ASAN_OPTIONS= mbfs-resize "$MNT" 1G
unmount_image
mount_image ro
kept "read-only" mbfs-resize "$MNT" 1G
unmount_image
make_image 64M -O sparse_super2
mount_image
kept "sparse_super2" mbfs-resize "$MNT" 1G
unmount_image
make_image 64M -O bigalloc
refused "bigalloc" mbfs "$IMG" "$MNT"

# Errors: found before it was mounted, and while it is.
make_image 64M -b 4096
debugfs -w -R "ssv state 3" "$IMG" >/dev/null 2>&1
refused "e2fsck" mbfs "$IMG" "$MNT"
make_image 64M -b 4096
debugfs -w -R "mkdir broken" "$IMG" >/dev/null 2>&1
dd if=/dev/urandom of="$IMG" bs=4096 count=1 conv=notrunc status=none \
	seek="$(debugfs -R "blocks /broken" "$IMG" 2>/dev/null | tr -d " ")"
mount_image
ls "$MNT/broken" >/dev/null 2>&1 && fail "the damage was not found"
kept "the file system has errors: unmount it and run \"e2fsck -f" mbfs-resize "$MNT" 1G
unmount_image

# A limit on the length of files (ulimit -f counts KiB); the signal that comes with it ends nobody.
make_image 64M
(ulimit -f 100000; mbfs "$IMG" "$MNT") || fail "mount with a limit"
kept "cannot be extended to 1024 MiB (File too large); nothing has changed" mbfs-resize "$MNT" 1G
mbfs-resize --quiet "$MNT" 90M >/dev/null || fail "below the limit"
unmount_image
check_image

# A disk that is full: the file can be longer, but there is no room for what is written there.
mkdir "$T/small"
mount -t tmpfs -o size=100M none "$T/small" || skip "no tmpfs can be mounted"
IMG=$T/small/image
for args in "-b 4096" "-b 1024 -O meta_bg,^resize_inode" "-b 4096 -O ^metadata_csum,^uninit_bg"; do
	# shellcheck disable=SC2086
	make_image 64M $args
	mount_image
	echo kept >"$MNT/file"
	sync "$MNT"
	dd if=/dev/zero of="$T/small/filler" bs=4096 status=none 2>/dev/null && fail "it is not full"
	kept "is full): it has its old size" mbfs-resize "$MNT" 4G
	same "$(stat -c %s "$IMG")" 67108864 "length of the image"
	rm "$T/small/filler"
	same "$(cat "$MNT/file")" kept
	mbfs-resize --quiet "$MNT" 1G >/dev/null || fail "with room again"
	fallocate -l 500M "$MNT/more" || fail "no room in it"
	unmount_image
	check_image
done
umount "$T/small"
IMG=$T/image
