#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: a mounted image grows, whoever asks and whatever goes on, into what resize2fs makes of it when it is not
# mounted. Method: growths by mbfs-resize and by the stock resize2fs over block sizes and features, each checked by
# e2fsck, some beside an offline resize2fs (resize_layout.py); writers at ENOSPC while it grows; kill -9 at
# moments spread over a growth; the kernel's ext4 writes to the result. MBFS_LONG=1: to 16 TiB where a file can be that
# long, and more moments.
. "$(dirname "$0")/lib.sh"
need resize2fs dumpe2fs python3 truncate

OFF=$T/offline steps=0

dump()
{
	dumpe2fs "$1" >"$2" 2>/dev/null
}

# grow SIZE - $IMG is mounted, grows, and is checked
grow()
{
	mount_image
	timeout 120 mbfs-resize --quiet "$MNT" "$1" >"$T/out" || fail "mbfs-resize $1"
	unmount_image
	check_image
}

# layouts FROM MKFS_ARGS SIZE... - grows both ways from size to size; what comes of it is compared at the end
layouts()
{
	local from=$1 args=$2 to step

	shift 2
	# shellcheck disable=SC2086
	make_image "$from" $args
	for to; do
		steps=$((steps + 1))
		step=$T/step.$steps
		echo "$args from $from to $to" >"$step.what"
		dump "$IMG" "$step.before"
		cp --sparse=always "$IMG" "$OFF"
		grow "$to"
		truncate -s "$to" "$OFF"
		resize2fs -f "$OFF" >"$T/offline.out" 2>&1 || fail "resize2fs: $(cat "$T/offline.out")"
		dump "$IMG" "$step.online"
		dump "$OFF" "$step.offline"
		from=$to
	done
	rm -f "$OFF"
}

# large FROM MKFS_ARGS SIZE... - sparse, without the offline one, which takes minutes
large()
{
	local from=$1 args=$2 to

	shift 2
	# shellcheck disable=SC2086
	make_image "$from" $args
	for to; do
		if ! truncate -s "$to" "$T/probe" 2>/dev/null; then
			echo "no file of $to here: left out"
			continue
		fi
		rm "$T/probe"
		grow "$to"
	done
}

layouts 1000M "" 1100M 4500M 20G
layouts 64M "-b 1024" 70M 256M 4G
layouts 64M "-b 4096" 100M 129M 1G 30G
layouts 64M "-b 65536" 100M 5G 50G
layouts 512M "-O ^64bit" 1G 8G
layouts 512M "-O ^flex_bg" 1G 3G
layouts 512M "-O ^metadata_csum,uninit_bg" 1G 3G
layouts 512M "-O ^metadata_csum,^uninit_bg" 1G 2G
layouts 512M "-O ^sparse_super,^resize_inode" 1G 3G
layouts 512M "-O meta_bg,^resize_inode" 1G 20G
layouts 64M "-O meta_bg,^resize_inode -b 1024" 1G
layouts 512M "-G 64" 1G 10G
layouts 1G "-N 2000000" 2G
layouts 100M "-O ^has_journal -I 128" 200M 2G
seq -f "$T/step.%.0f" $steps | xargs python3 "$MBFS_SOURCE/tests/fuse/resize_layout.py" || fail "unlike resize2fs"
large 1G "-E resize=4294967295" 100G
large 64M "-b 65536 -O meta_bg,^resize_inode" 100G
if [ -n "${MBFS_LONG:-}" ]; then
	large 1G "-E resize=4294967295" 1T
	large 64M "-b 65536 -O meta_bg,^resize_inode" 1T 16T
	large 1G "-b 4096 -O meta_bg,^resize_inode" 64G 1T 16T
	large 64M "-b 1024 -E resize=30000000" 20G
fi

# By the stock resize2fs, which finds the mount by the image's path; it wants the file to be that long.
make_image 256M -b 4096
mount_image
truncate -s 1G "$IMG"
resize2fs "$IMG" >"$T/out" 2>&1 || fail "resize2fs IMAGE: $(cat "$T/out")"
grep -q "on-line resizing required" "$T/out" || fail "resize2fs was not online: $(cat "$T/out")"
truncate -s 2G "$IMG"
mbfs-resize --json "$MNT" >"$T/json" || fail "without a size"
grep -q '"size_bytes":2147483648,"errno":0' "$T/json" || fail "$(cat "$T/json")"
fallocate -l 1500M "$MNT/big"
make_tree "$MNT/tree" 40
manifest "$MNT/tree" >"$T/tree"
unmount_image
check_image

# Whatever carries the transfers out; and a block device, which has the size it has.
for how in io=uring io=threads direct; do
	make_image 64M -b 4096
	mount_image $how
	mbfs-resize --quiet "$MNT" 1G >/dev/null || fail "$how"
	dd if=/dev/zero of="$MNT/x" bs=1M count=80 status=none || fail "$how: no room"
	unmount_image
	check_image
done
if loop=$(losetup -f --show "$IMG" 2>/dev/null); then
	mbfs "$loop" "$MNT" || { losetup -d "$loop"; fail "mount $loop"; }
	losetup -d "$loop" # when mbfs lets it go
	mbfs-resize "$MNT" 2G >"$T/out" 2>&1 && fail "larger than its device"
	truncate -s 2G "$IMG"
	losetup -c "$loop"
	mbfs-resize --quiet "$MNT" >"$T/out2" || fail "a device that has become larger"
	umount "$MNT"
	mbfs --wait "$loop" --timeout 60
	grep -q "nothing has changed" "$T/out" || fail "$(cat "$T/out")"
	grep -q "to 2048 MiB" "$T/out2" || fail "$(cat "$T/out2")"
	check_image
fi

# The kernel takes the result for its own.
make_image 256M -b 4096
mount_image
mbfs-resize --quiet "$MNT" 3G >/dev/null || fail "3G"
make_tree "$MNT/tree" 40
manifest "$MNT/tree" >"$T/tree"
unmount_image
check_image
if (kernel_mount) >/dev/null 2>&1; then
	umount "$KMNT" 2>/dev/null || true
	kernel_mount
	manifest "$KMNT/tree" | cmp - "$T/tree" || fail "the kernel sees another tree"
	fallocate -l 2G "$KMNT/big"
	make_tree "$KMNT/tree2" 40
	umount "$KMNT"
	check_image
fi

# Writers who want more than there is while it grows: nobody sees an error that is not true, nothing is lost.
make_image 64M -b 1024
mount_image
for w in 1 2 3 4 5 6 7 8; do
	(
		n=0
		while [ ! -e "$T/stop" ]; do
			n=$((n + 1))
			fallocate -l $((RANDOM % 3000 + 1))K "$MNT/w$w.$n" 2>/dev/null || rm -f "$MNT/w$w".*[13579]
			{ echo $w >"$MNT/s$w.$n"; } 2>/dev/null || true
		done
	) &
	writers="${writers:-} $!"
done
for size in 70 80 100 101 130 160 161 200 256 300; do
	mbfs-resize --quiet "$MNT" ${size}M >/dev/null || fail "to $size MiB under writers"
	sleep 0.2
done
touch "$T/stop"
# shellcheck disable=SC2086
wait $writers
[ "$(mbfs-stat "$MNT" | awk '$1 == "alloc.false_enospc" { print $2 }')" = 0 ] || fail "false ENOSPC"
[ "$(mbfs-stat "$MNT" | awk '$1 == "mount.damaged" { print $2 }')" = 0 ] || fail "damage was found"
unmount_image
check_image
[ "$(dumpe2fs -h "$IMG" 2>/dev/null | awk '/^Block count/ { print $3 }')" = 307200 ] || fail "not 300 MiB"

# kill -9 at moments spread over a growth: e2fsck makes it whole, with the old size or the new one.
make_image 128M -b 4096 -E resize=16777216
mount_image
make_tree "$MNT/tree" 40
manifest "$MNT/tree" >"$T/tree"
unmount_image
cp --sparse=always "$IMG" "$T/kept"
old=0 new=0
moments="0 4 10 20 40 80"
[ -z "${MBFS_LONG:-}" ] || moments=$(seq 0 99)
for ms in $moments; do
	cp --sparse=always "$T/kept" "$IMG"
	mbfs -f "$IMG" "$MNT" 2>/dev/null &
	daemon=$!
	for _ in $(seq 100); do mountpoint -q "$MNT" && break; sleep 0.05; done
	(mbfs-resize --quiet "$MNT" 60G >/dev/null 2>&1 || true) &
	client=$!
	sleep "0.0$(printf %02d "$ms")"
	kill -9 $daemon
	wait $daemon 2>/dev/null || true
	umount -l "$MNT"
	wait $client || true
	e2fsck -fy "$IMG" >"$T/fsck" 2>&1 || [ $? -lt 4 ] || fail "e2fsck -fy: $(cat "$T/fsck")"
	check_image
	blocks=$(dumpe2fs -h "$IMG" 2>/dev/null | awk '/^Block count/ { print $3 }')
	case $blocks in
		32768) old=$((old + 1)) ;;
		15728640) new=$((new + 1)) ;;
		*) fail "$blocks blocks after kill -9 at $ms ms" ;;
	esac
	mount_image
	manifest "$MNT/tree" | cmp - "$T/tree" || fail "files have changed after kill -9 at $ms ms"
	unmount_image
done
echo "killed: $old times the old size, $new times the new one"
