#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: eight O_DIRECT writes of one file are in the daemon's hands at once, whoever carries out its transfers,
# and its statistics say so. Method: the file system that the image lies on is frozen, so that no write of it
# can end; eight clients write; the daemon's count becomes 8; thawed, all are answered and the count is 0.
. "$(dirname "$0")/lib.sh"
private
need fsfreeze losetup python3

HOST=$T/host
mkdir "$HOST"
truncate -s 200M "$T/host.img"
mkfs.ext4 -q -F "$T/host.img"
mount -o loop "$T/host.img" "$HOST" 2>/dev/null || skip "no loop mounts"
IMG=$HOST/image
leave()
{
	local rc=$?

	trap - EXIT
	fsfreeze -u "$HOST" 2>/dev/null || true
	! mountpoint -q "$MNT" || umount -l "$MNT"
	mbfs --wait "$IMG" --timeout 20
	umount "$HOST" || rc=1
	(exit $rc)
	cleanup
}
trap leave EXIT
fsfreeze -f "$HOST" 2>/dev/null && fsfreeze -u "$HOST" || skip "file systems cannot be frozen here"

cat >"$T/writers.py" <<'END'
import mmap, os, sys, threading
fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
def put(i):
    block = mmap.mmap(-1, 4096)
    block[:] = bytes([i]) * 4096
    if os.pwrite(fd, block, i * 8192) != 4096: os._exit(1)
threads = [threading.Thread(target=put, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
END
# counted KEY - a number of the statistics
counted()
{
	mbfs-stat "$MNT" | awk -v key="requests.$1" '$1 == key { print $2 }'
}

for opt in io=sync io=threads io=uring direct; do
	for state in written unwritten; do
		make_image 100M -b 4096
		mount_image "$opt"
		fallocate -l 64K "$MNT/file"
		[ $state = unwritten ] || head -c 64K /dev/zero | dd of="$MNT/file" conv=notrunc bs=64K status=none
		sync "$MNT/file"
		# What the first use needs is there: a group's bitmap is not read while the host stands still.
		dd if=/dev/zero of="$MNT/file" bs=4k count=1 seek=15 oflag=direct conv=notrunc status=none
		fsfreeze -f "$HOST"
		timeout 60 python3 "$T/writers.py" "$MNT/file" &
		writers=$!
		for ((i = 0; i < 100; i++)); do
			n=$(counted write)
			[ "$n" != 8 ] || break
			sleep 0.05
		done
		fsfreeze -u "$HOST"
		wait $writers || fail "-o $opt: writes while the host stood still"
		same "$n" 8 "-o $opt, $state: writes in the daemon at once"
		same "$(counted write)" 0 "-o $opt, $state: writes afterwards"
		[ "$(counted write_max)" -ge 8 ] || fail "-o $opt, $state: write_max"
		want=$(python3 -c 'import sys
for i in range(8): sys.stdout.buffer.write(bytes([i]) * 4096 + bytes(4096))' | sha256sum)
		same "$(sha256sum <"$MNT/file")" "$want" "-o $opt, $state: contents"
		unmount_image
		check_image
	done
	echo "-o $opt: 8 of 8 writes, into written and unwritten blocks"
done
