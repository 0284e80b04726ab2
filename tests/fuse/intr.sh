#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: with -o intr who waits for bytes that a write holds is let go by a signal: EINTR, or the end of the process by
# SIGKILL; nothing of what was to be done is done, nothing stays locked. Without it the wait goes on. Method: the
# image lies on the mount of a second daemon, which is stopped while one write holds its bytes (t_intr); others ask
# for them.
. "$(dirname "$0")/lib.sh"
mbfs --help | grep -- '-o intr' >/dev/null || skip "mbfs has no option intr"
need cmp

HOST=$T/host
FILE=$MNT/file
CALL=$MBFS_BUILD/tests/t_intr
mkdir "$HOST"
truncate -s 300M "$T/host.img"
mkfs.ext4 -q -F -b 4096 "$T/host.img"
mbfs -f "$T/host.img" "$HOST" &
host=$!
leave()
{
	local rc=$?

	trap - EXIT
	kill -CONT $host
	! mountpoint -q "$MNT" || umount -l "$MNT"
	mbfs --wait "$IMG" --timeout 20
	umount "$HOST" && wait $host || rc=1
	(exit $rc)
	cleanup
}
trap leave EXIT
for ((i = 0; i < 100; i++)); do
	! mountpoint -q "$HOST" || break
	sleep 0.05
done
IMG=$HOST/image

# stat_of KEY - a number of the statistics
stat_of()
{
	mbfs-stat "$MNT" | awk -v key="$1" '$1 == key { print $2 }'
}

# until_stat KEY NUMBER - it comes to be so many
until_stat()
{
	local i

	for ((i = 0; i < 100; i++)); do
		[ "$(stat_of "$1")" != "$2" ] || return 0
		sleep 0.05
	done
	fail "-o $opt: $1 is $(stat_of "$1"), not $2; the write that holds the bytes: $(cat "$T/hold")"
}

# held - from now on a write of [0, 64K) holds them
held()
{
	: >"$T/hold"
	kill -STOP $host
	# On a busy machine a thread may do some more before it stops.
	while cat /proc/$host/task/*/stat | grep -qvE '^[0-9]+ \(.*\) T '; do
		sleep 0.02
	done
	timeout 60 "$CALL" hold "$FILE" 0 65536 >"$T/hold" &
	holder=$!
	until_stat requests.write 1
}

let_go()
{
	kill -CONT $host
	wait $holder || fail "-o $opt: the write that held the bytes: status $?"
	grep -q '^done' "$T/hold" || fail "-o $opt: the write that held the bytes: $(cat "$T/hold")"
	until_stat requests.write 0
	until_stat requests.read 0
}

# ended PID - within 3 s. It is not waited for: what the host stands still for cannot be killed either.
ended()
{
	local i

	for ((i = 0; i < 60; i++)); do
		[ -e "/proc/$1/fd/0" ] || return 0
		sleep 0.05
	done
	return 1
}

# Reads, writes and punches [32K, 128K), which the held write has a part of.
interrupted()
{
	local kind pid

	for kind in read write punch; do
		"$CALL" $kind "$FILE" 32768 98304 200 >"$T/out" &
		pid=$!
		ended $pid || fail "-o $opt: $kind goes on 3 s after a signal"
		same "$(cut -d' ' -f1 "$T/out")" EINTR "-o $opt: $kind, and a signal"
		echo "-o $opt: $kind: $(cat "$T/out")"
	done
}

# asks PID - it has sent its request
asks()
{
	local i

	for ((i = 0; i < 100; i++)); do
		! grep -qE 'fuse|request_wait' "/proc/$1/wchan" || break
		sleep 0.05
	done
	[ $i -lt 100 ] || fail "-o $opt: no request of process $1: it is in $(cat "/proc/$1/wchan")"
	sleep 0.1 # the daemon has it
}

killed()
{
	local kind pid

	for kind in read write punch; do
		"$CALL" $kind "$FILE" 32768 98304 >"$T/out" &
		pid=$!
		disown $pid # the shell says nothing about its end
		asks $pid
		kill -KILL $pid
		ended $pid || fail "-o $opt: $kind lives on 3 s after SIGKILL"
	done
}

# The held write, and nothing of the others.
contents()
{
	{
		head -c 65536 /dev/zero | tr '\0' h
		tail -c +65537 "$T/before"
	} >"$T/want"
	dd if="$FILE" of="$T/got" bs=256K iflag=direct status=none
	cmp "$T/got" "$T/want" || fail "-o $opt: contents"
}

usable()
{
	local kind

	for kind in read write punch; do
		timeout 20 "$CALL" $kind "$FILE" 0 262144 >"$T/out" || fail "-o $opt: $kind of all hangs"
		grep -q '^done' "$T/out" || fail "-o $opt: $kind of all: $(cat "$T/out")"
	done
	timeout 20 truncate -s 5000 "$FILE" || fail "-o $opt: truncate hangs"
}

head -c 262144 /dev/urandom >"$T/before"
for opt in intr,io=sync intr,io=threads intr,direct; do
	make_image 100M -b 4096
	mount_image "$opt,commit=60"
	cp "$T/before" "$FILE" && sync "$FILE"
	held
	interrupted
	killed
	let_go
	until_stat rangelock.cancelled 6
	contents
	usable
	unmount_image
	check_image
done

opt=nointr
make_image 100M -b 4096
mount_image $opt,commit=60
cp "$T/before" "$FILE" && sync "$FILE"
held
timeout 20 "$CALL" read "$FILE" 32768 98304 200 >"$T/out" &
reader=$!
sleep 0.6
kill -0 $reader || fail "-o $opt: the signal has ended a wait: $(cat "$T/out")"
let_go
wait $reader
grep -q '^done' "$T/out" || fail "-o $opt: $(cat "$T/out")"
contents
unmount_image
check_image
