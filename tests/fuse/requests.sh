#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: eight O_DIRECT writes or reads of one file are in the daemon's hands at once, whoever carries out its
# transfers, and its statistics say so; told to end with them in its hands it answers them first. Method: the
# image lies on the mount of a second daemon, which is stopped: no transfer ends. Eight clients send; the count
# becomes 8; once the other goes on all are answered and the count is 0. Then again, with a signal in between.
. "$(dirname "$0")/lib.sh"
need python3

HOST=$T/host
mkdir "$HOST"
truncate -s 300M "$T/host.img"
mkfs.ext4 -q -F -b 4096 "$T/host.img"
mbfs -f "$T/host.img" "$HOST" &
host=$!
inner=
leave()
{
	local rc=$?

	trap - EXIT
	kill -CONT $host
	[ -z "$inner" ] || kill "$inner" 2>/dev/null || true
	! mountpoint -q "$MNT" || umount -l "$MNT"
	mbfs --wait "$IMG" --timeout 20
	umount "$HOST" && wait $host || rc=1
	(exit $rc)
	cleanup
}
trap leave EXIT
# mounted DIR - wait until it is
mounted()
{
	local i

	for ((i = 0; i < 100; i++)); do
		! mountpoint -q "$1" || return 0
		sleep 0.05
	done
	fail "$1 is not mounted"
}
mounted "$HOST"
IMG=$HOST/image

cat >"$T/clients.py" <<'END'
import mmap, os, sys, threading
kind, fd = sys.argv[1], os.open(sys.argv[2], os.O_RDWR | os.O_DIRECT)
def send(i):
    block = mmap.mmap(-1, 4096)
    want = bytes([i + 1]) * 4096
    try:
        if kind == "write":
            block[:] = want
            if os.pwrite(fd, block, i * 8192) == 4096: return
        elif os.preadv(fd, [block], i * 8192) == 4096 and block[:] == want: return
        print(kind, i, "short or wrong", flush=True)
    except OSError as e: print(kind, i, e, flush=True)
    os._exit(1)
threads = [threading.Thread(target=send, args=(i,)) for i in range(8)]
for t in threads: t.start()
for t in threads: t.join()
END
# counted KEY - a number of the statistics
counted()
{
	mbfs-stat "$MNT" | awk -v key="requests.$1" '$1 == key { print $2 }'
}
# held KIND [COMMAND...] - eight clients while no transfer can end; the command while they wait
held()
{
	local clients n i kind=$1

	shift
	kill -STOP $host
	timeout 60 python3 "$T/clients.py" "$kind" "$MNT/file" &
	clients=$!
	for ((i = 0; i < 100; i++)); do
		n=$(counted "$kind")
		[ "$n" != 8 ] || break
		sleep 0.05
	done
	"$@"
	kill -CONT $host
	wait $clients || fail "-o $opt: $kind, held up ($*)"
	same "$n" 8 "-o $opt: $kind requests in the daemon at once"
}
tell_to_end()
{
	kill $inner
	sleep 0.3 # it would have let go of the session by now
}
mount_inner()
{
	mbfs -f -o "$opt" "$IMG" "$MNT" &
	inner=$!
	mounted "$MNT"
}

for opt in io=sync io=threads io=uring direct io=threads,direct; do
	kinds="write"
	[[ $opt != *direct ]] || kinds="write read" # else what is read is in the host's page cache
	make_image 100M -b 4096
	mount_inner
	fallocate -l 64K "$MNT/file"
	# What a first write needs is there: a group's bitmap is not read while the host stands still.
	dd if=/dev/zero of="$MNT/file" bs=4k count=1 seek=15 oflag=direct conv=notrunc,fsync status=none
	for kind in $kinds; do
		held $kind true
		same "$(counted $kind)" 0 "-o $opt: $kind requests afterwards"
		[ "$(counted ${kind}_max)" -ge 8 ] || fail "-o $opt: ${kind}_max"
		held $kind tell_to_end
		wait $inner || fail "-o $opt: the daemon ended with $?"
		sanitizer_clean || fail "-o $opt: sanitizer"
		check_image
		mount_inner
		python3 "$T/clients.py" read "$MNT/file" || fail "-o $opt: contents after $kind"
	done
	umount "$MNT"
	wait $inner || fail "-o $opt: the daemon ended with $?"
	echo "-o $opt: 8 of 8: $kinds"
done
