#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: after kill -9 in the middle of a load and e2fsck -fy no file shows bytes that were never written to it.
# Method: processes make, change and remove files on a small image that is nearly full all the time, so that
# blocks and inodes go from file to file; every byte says whose it is (kill_load.c). The image is poisoned
# before it is made, and has few inodes. The daemon is killed at a random moment; e2fsck repairs, finds the
# result clean, and kill_load reads all of it.
#
#   MBFS_KILL_ROUNDS=N   rounds (12)          MBFS_KILL_SEED=N   the first round's seed (random); each has its own
#   MBFS_KILL_KEEP=DIR   keep the image of a round that fails, as killed
. "$(dirname "$0")/lib.sh"

rounds=${MBFS_KILL_ROUNDS:-12}
seed=${MBFS_KILL_SEED:-$RANDOM$RANDOM}
load=$MBFS_BUILD/tests/kill_load
pid=

# SIZE and arguments of mkfs.ext4: blocks of both sizes, few inodes
images=(
	"12M -b 1024 -N 256"
	"24M -b 4096 -N 256"
	"16M -b 1024 -g 2048 -N 512"
	"32M -b 4096 -N 192 -I 128"
)

died()
{
	[ -z "${MBFS_KILL_KEEP:-}" ] || cp "$IMG.killed" "$MBFS_KILL_KEEP/image-$seed"
	[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
	fail "$*; again: MBFS_KILL_SEED=$seed MBFS_KILL_ROUNDS=1"
}

poisoned_image()
{
	local size=$1

	shift
	rm -f "$IMG"
	head -c "$size" /dev/zero | tr '\0' 'Z' >"$IMG"
	mkfs.ext4 -q -F -E nodiscard "$@" "$IMG" 2>"$T/mkfs.err" || died "mkfs.ext4 $*: $(cat "$T/mkfs.err")"
}

one_round()
{
	local rc=0 wait_ms

	RANDOM=$((seed % 32768))
	wait_ms=$((300 + RANDOM % 2200))
	# shellcheck disable=SC2086
	poisoned_image ${images[seed % ${#images[@]}]}
	mbfs -f -o "commit=$((1 + RANDOM % 2))" "$IMG" "$MNT" &
	pid=$!
	for _ in {1..200}; do
		! mountpoint -q "$MNT" || break
		kill -0 $pid 2>/dev/null || died "mbfs ended"
		sleep 0.05
	done
	timeout 60 "$load" load "$MNT" "$seed" 4 2>"$T/load.err" &
	local load_pid=$!
	sleep "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))"
	kill -KILL $pid
	wait $pid 2>/dev/null || true
	pid=
	wait $load_pid || died "the load: status $?: $(cat "$T/load.err")"
	umount -l "$MNT"
	mbfs --wait "$IMG" --timeout 20 || died "the image is still in use"
	cp "$IMG" "$IMG.killed"
	e2fsck -fy "$IMG" >"$T/fsck-y" 2>&1 || rc=$?
	[ $rc -le 2 ] || died "e2fsck -fy: status $rc: $(tail -5 "$T/fsck-y")"
	e2fsck -fn "$IMG" >"$T/fsck-n" 2>&1 || died "e2fsck -fn after -fy: $(tail -5 "$T/fsck-n")"
	if mount -o loop,ro -t ext4 "$IMG" "$KMNT" 2>/dev/null; then
		"$load" check "$KMNT" >"$T/out" 2>&1 || died "$(cat "$T/out")"
		umount "$KMNT"
	else
		mount_image ro
		"$load" check "$MNT" >"$T/out" 2>&1 || died "$(cat "$T/out")"
		unmount_image
	fi
	echo "seed $seed: killed after $wait_ms ms: $(cat "$T/out")"
}

for ((i = 0; i < rounds; i++)); do
	one_round
	seed=$((seed + 1))
done
