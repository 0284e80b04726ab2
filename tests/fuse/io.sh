#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: whoever carries out the transfers, the mount holds the same bytes, and the image is sound; what cannot be
# is refused in a line. Method: each engine, with and without the host's page cache: aligned and unaligned writes
# of four processes at once, read back through the mount and, after a new mount, again; then e2fsck.
. "$(dirname "$0")/lib.sh"
need python3

cat >"$T/churn.py" <<'END'
import os, random, sys
path, seed, check = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "check"
SIZE = 3 << 20
rnd = random.Random(seed)
twin = bytearray()
fd = os.open(path, os.O_RDONLY if check else os.O_RDWR | os.O_CREAT, 0o644)
for i in range(150):
    at, n = rnd.randrange(SIZE), rnd.choice((1, 100, 4096, 5000, 65536, 300000))
    if rnd.randrange(2): at, n = at & ~4095, (n + 4095) & ~4095
    data = rnd.randbytes(n)
    if len(twin) < at: twin += bytes(at - len(twin))
    twin[at:at + n] = data
    if not check and os.pwrite(fd, data, at) != n: sys.exit("short write")
    if not check and i % 50 == 49: os.fsync(fd)
if os.pread(fd, len(twin) + 1, 0) != twin: sys.exit(f"{path}: seed {seed}: other bytes")
END

churn() # MODE
{
	local p pids=()

	for p in 1 2 3 4; do
		timeout 100 python3 "$T/churn.py" "$MNT/file$p" "$p" "$1" &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p" || fail "$1 with options \"$opts\""
	done
}

while read -r opts engine direct; do
	make_image 64M -b 4096
	[ "$opts" != default ] || opts=
	mbfs ${opts:+-o "$opts"} "$IMG" "$MNT" 2>"$T/said" || fail "mount with \"$opts\": $(cat "$T/said")"
	if grep -q "gives no io_uring" "$T/said"; then # as in many containers
		engine=threads
	fi
	mbfs-stat --json "$MNT" >"$T/json"
	python3 -c 'import json, sys; m = json.load(open(sys.argv[1]))["mount"]
if [m["io"], str(m["direct"])] != sys.argv[2:]: sys.exit(f"engine {m}")' "$T/json" "$engine" "$direct" ||
		fail "\"$opts\" does not run on $engine"
	churn write
	unmount_image
	check_image
	mount_image "ro${opts:+,$opts}"
	churn check
	unmount_image
done <<END
default sync 0
io=sync sync 0
io=threads threads 0
io=uring io_uring 0
direct io_uring 1
direct,io=threads threads 1
io=sync,direct sync 1
END

refused "option io=fast: it is uring, threads or sync" mbfs -o io=fast "$IMG" "$MNT"
refused "option io needs a value" mbfs -o io "$IMG" "$MNT"
refused "multiple of 4096" mbfs -o direct,offset=512 "$IMG" "$MNT"
make_image 16M -b 1024
refused "option direct needs blocks of at least 4096 bytes, and these are of 1024" mbfs -o direct "$IMG" "$MNT"
if mount -t ramfs none "$KMNT" 2>/dev/null; then
	truncate -s 4M "$KMNT/image"
	refused "has no direct I/O; leave out -o direct" mbfs -o direct "$KMNT/image" "$MNT"
	umount "$KMNT"
fi
