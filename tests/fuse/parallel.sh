#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: lookups in one directory and O_DIRECT writes within one file reach the daemon side by side, 8 of 8.
# Method: the daemon is stopped; the kernel's own count of requests that wait for it must become 8. Where the
# flags are not given it stays at 1: a write past the end, which the kernel keeps alone, shows that.
. "$(dirname "$0")/lib.sh"
need dd stat
[ -d /sys/fs/fuse ] || skip "no /sys/fs/fuse"
mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null ||
	skip "no fusectl"

CLIENTS=8
make_image 64M
mbfs -f "$IMG" "$MNT" &
daemon=$!
for ((i = 0; i < 100; i++)); do
	mountpoint -q "$MNT" && break
	sleep 0.1
done
mountpoint -q "$MNT" || fail "not mounted"
WAITING=/sys/fs/fuse/connections/$(stat -c %d "$MNT")/waiting
[ -r "$WAITING" ] || skip "no $WAITING"
mkdir "$MNT/d"
head -c 1M /dev/zero >"$MNT/f"
dd if=/dev/zero of="$MNT/f" bs=4k count=1 oflag=direct conv=notrunc status=none # no page of it stays cached
for ((i = 0; i < 100; i++)); do
	[ "$(cat "$WAITING")" = 0 ] && break # RELEASE comes after close
	sleep 0.05
done

# halt - until its last thread stands still: kill(2) returns before, and some request may yet be answered
halt()
{
	local i

	kill -STOP "$daemon"
	for ((i = 0; i < 200; i++)); do
		[[ $(cat /proc/"$daemon"/task/*/stat | cut -d' ' -f3 | sort -u) != T ]] || return 0
		sleep 0.01
	done
	kill -CONT "$daemon"
	fail "the daemon does not stop"
}

# most CLIENT - the largest count of requests that wait, with CLIENT 0..7 started while the daemon stands still
most()
{
	local n=0 i now pids=()

	halt
	for ((i = 0; i < CLIENTS; i++)); do
		"$1" "$i" &
		pids+=($!)
	done
	for ((i = 0; i < 40; i++)); do
		now=$(cat "$WAITING")
		[ "$now" -le "$n" ] || n=$now
		[ "$n" -lt "$CLIENTS" ] || break
		sleep 0.05
	done
	kill -CONT "$daemon"
	wait "${pids[@]}" || true
	echo "$n"
}
look()
{
	stat "$MNT/d/none-$1" >/dev/null 2>&1
}
same "$(most look)" $CLIENTS "lookups in one directory that wait for the daemon"

# The files are open before the daemon stops, so that what waits is the writes.
cat >"$T/writers.py" <<'END'
import os, mmap, sys, threading
path, first, step, nr = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
fds = [os.open(path, os.O_RDWR | os.O_DIRECT) for _ in range(nr)]
buf = mmap.mmap(-1, 4096)
print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=os.pwrite, args=(fd, buf, first + i * step)) for i, fd in enumerate(fds)]
for t in threads: t.start()
for t in threads: t.join()
END
# writes FIRST STEP - how many of 8 writes wait at once
writes()
{
	local n=0 i now

	coproc W { python3 "$T/writers.py" "$MNT/f" "$1" "$2" $CLIENTS; }
	read -r _ <&"${W[0]}"
	halt
	echo >&"${W[1]}"
	for ((i = 0; i < 40; i++)); do
		now=$(cat "$WAITING")
		[ "$now" -le "$n" ] || n=$now
		[ "$n" -lt "$CLIENTS" ] || break
		sleep 0.05
	done
	kill -CONT "$daemon"
	wait "$W_PID" || fail "the writers"
	echo "$n"
}
if command -v python3 >/dev/null; then
	same "$(writes 0 32768)" $CLIENTS "O_DIRECT writes in one file that wait for the daemon"
	same "$(writes 2000000 32768)" 1 "writes past the end that wait for the daemon"
fi
umount "$MNT"
wait "$daemon" || fail "the daemon's status"
sanitizer_clean || fail "sanitizer"
check_image
echo "in flight at once: $CLIENTS of $CLIENTS lookups, $CLIENTS of $CLIENTS writes"
