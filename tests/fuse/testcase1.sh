#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: the test case of ext4's end_io deadlock of 2012 (shared seed 002, "TEST_CASE1"), and what grew out of it:
# unlink, fallocate 1G, asynchronous direct I/O over the first 100M by ten submitters, two seconds later truncate
# to 0; the same with the truncate in the middle of the I/O, with punch, and with fallocate, truncate and punch
# from other processes at once. Method: the blocks of mbfs-race load carry their offset and a crc32c, and the
# image's free space is full of other bytes before, so whatever is read is a write of ours, zeros, or wrong; fio
# is the second, independent load. Every I/O is answered, nothing hangs (stacks are printed), e2fsck -fn is clean.
#
# Shortened unless MBFS_TESTCASE1=full. MBFS_TESTCASE1_MOUNT: mount options, as endio=2012-v4.
. "$(dirname "$0")/lib.sh"
need fio fallocate

if [ "${MBFS_TESTCASE1:-}" = full ]; then
	size=1G image=1600M iterations=100000 loops=31 race_s=30 rounds=3
else
	size=256M image=512M iterations=8000 loops=2 race_s=4 rounds=1
fi
span=100M
file=$MNT/file
tag=20121001

# stuck PID... - where their threads are
stuck()
{
	local p

	for p in "$@" "$daemon"; do
		mbfs-race stacks "$p" >&2 || true
	done
	kill -9 "$@" "$daemon" 2>/dev/null || true
	fail "hangs: the threads' stacks are above"
}

# finish SECONDS PID WHAT - wait for a background process; it must end well and in time
finish()
{
	local until=$((SECONDS + $1)) rc=0

	while kill -0 "$2" 2>/dev/null; do
		[ $SECONDS -lt $until ] || stuck "$2"
		sleep 0.1
	done
	wait "$2" || rc=$?
	[ $rc = 0 ] || fail "$3: status $rc"
}

# timed SECONDS COMMAND... - in the background, watched
timed()
{
	local s=$1

	shift
	"$@" &
	finish "$s" $! "$*"
}

# start_load ENGINE [ARG...] - sets pid
start_load()
{
	local engine=$1

	shift
	mbfs-race load --engine "$engine" --span $span --daemon "$daemon" --grace 60 "$@" "$file" >"$T/load.$engine" 2>&1 &
	pid=$!
}

end_load() # ENGINE PID
{
	finish 300 "$2" "load --engine $1: $(tail -c 2000 "$T/load.$1")"
	cat "$T/load.$1"
}

run_fio() # ARG...
{
	fio --name=t --filename="$file" --ioengine=libaio --direct=1 --bs=64k --size=$span --iodepth=64 \
		--fallocate=none --randseed=1 --minimal "$@" >"$T/fio" 2>&1 || { cat "$T/fio" >&2; return 1; }
}

fresh()
{
	rm -f "$file"
	timed 60 fallocate -l $size "$file"
}

emptied()
{
	timed 60 truncate -s 0 "$file"
	same "$(stat -c '%s %b' "$file")" "0 0" "size and blocks after truncate -s 0"
}

# As it stands there: the I/O, two seconds, truncate.
as_it_stands()
{
	echo "== as it stands there, $1"
	fresh
	if [ "$1" = fio ]; then
		timed 300 run_fio --rw=randwrite --verify=crc32c --verify_fatal=1 --loops=$loops
	else
		start_load "$1" --iterations $iterations
		end_load "$1" $pid
	fi
	sleep 2
	emptied
}

# In the middle of the I/O: COMMAND in turn with fallocate, again and again.
in_the_middle() # ENGINE WHAT COMMAND...
{
	local engine=$1 what=$2 until=$((SECONDS + race_s)) pid

	shift 2
	echo "== in the middle, $engine, $what"
	fresh
	if [ "$engine" = fio ]; then
		run_fio --rw=randwrite --time_based --runtime=$race_s &
		pid=$!
	else
		start_load "$engine" --shared --tag $tag --seconds $race_s
	fi
	sleep 2
	while [ $SECONDS -lt $until ]; do
		timed 60 "$@"
		timed 60 fallocate -l $size "$file"
	done
	if [ "$engine" = fio ]; then
		finish 300 $pid fio
	else
		end_load "$engine" $pid
		timed 60 mbfs-race load --check --tag $tag "$file"
	fi
	emptied
}

# From other processes, all at once.
race_loop() # COMMAND...
{
	local until=$((SECONDS + race_s))

	while [ $SECONDS -lt $until ]; do
		"$@" || return 1
	done
}

all_at_once()
{
	local libaio uring others=() p

	echo "== all at once"
	fresh
	start_load libaio --shared --tag $tag --seconds $race_s
	libaio=$pid
	start_load uring --shared --tag $tag --seconds $race_s
	uring=$pid
	race_loop truncate -s 0 "$file" & others+=($!)
	race_loop fallocate -l $size "$file" & others+=($!)
	race_loop truncate -s 50M "$file" & others+=($!)
	if [ -n "$punch" ]; then
		race_loop fallocate -p -o 1M -l 30M "$file" & others+=($!)
	fi
	end_load libaio $libaio
	end_load uring $uring
	for p in "${others[@]}"; do
		finish 120 "$p" "truncate, fallocate or punch"
	done
	timed 60 mbfs-race load --check --tag $tag "$file"
	emptied
}

# What is there at the end is there after a remount.
kept()
{
	local before

	fresh
	start_load uring --iterations $((iterations / 4)) --tag $tag
	end_load uring $pid
	before=$(sha256sum <"$file")
	stop
	check_image
	start
	same "$(sha256sum <"$file")" "$before" "content after a remount"
	timed 60 mbfs-race load --check --tag $tag "$file"
}

start()
{
	local i

	mbfs -f -o "${MBFS_TESTCASE1_MOUNT:-endio=mbfs}" "$IMG" "$MNT" 2>"$T/daemon" &
	daemon=$!
	for ((i = 0; i < 200; i++)); do
		! mountpoint -q "$MNT" || return 0
		sleep 0.1
	done
	fail "no mount: $(cat "$T/daemon")"
}

stop()
{
	mbfs-stat "$MNT" | grep '^endio' | tr -s ' \n' ' ' && echo
	umount "$MNT" || fail "umount"
	finish 60 "$daemon" "the daemon: $(cat "$T/daemon")"
	sanitizer_clean || fail "sanitizer"
}

# Everything that a file may be given was something else before.
tr '\0' '\252' </dev/zero | head -c $((${image%M} << 20)) >"$IMG" || true
mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0 "$IMG" 2>"$T/mkfs" || fail "mkfs.ext4: $(cat "$T/mkfs")"
start
: >"$file"
punch=
! fallocate -p -l 4096 "$file" 2>/dev/null || punch=1
for ((round = 0; round < rounds; round++)); do
	for load in libaio uring fio; do
		as_it_stands $load
	done
	for load in libaio uring fio; do
		in_the_middle $load truncate truncate -s 0 "$file"
		[ -z "$punch" ] || in_the_middle $load punch fallocate -p -o 0 -l $span "$file"
	done
	all_at_once
done
kept
stop
check_image
[ -n "$punch" ] || echo "without punch: this mount has none"
