#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: many processes at once leave a sound image, also with all that can run beside them. Method: writers
# that create, append, rename between directories, link, truncate, list and remove in shared directories,
# with a small metadata cache and a write-out every second; readers of the statistics; e2fsck.
. "$(dirname "$0")/lib.sh"
need setfattr

make_image 300M -O ^has_journal
mount_image commit=1,cache=256K,cpus=8
mkdir "$MNT"/{a,b,c}

# writer N - errors of one process losing to another (it is gone, it exists) are part of the game
writer()
{
	local i dir to end=$((SECONDS + 12)) n=$1

	set +e
	RANDOM=$n
	for ((i = 0; SECONDS < end; i++)); do
		dir=$MNT/$(printf '%s\n' a b c | sed -n $((RANDOM % 3 + 1))p)
		to=$MNT/$(printf '%s\n' a b c | sed -n $((RANDOM % 3 + 1))p)
		case $((RANDOM % 12)) in
		0 | 1 | 2) head -c $((RANDOM * 20)) /dev/zero >>"$dir/$((RANDOM % 30))" ;;
		3) mv "$dir/$((RANDOM % 30))" "$to/$((RANDOM % 30))" ;;
		4) ln "$dir/$((RANDOM % 30))" "$to/$((RANDOM % 30))" ;;
		5) rm "$dir/$((RANDOM % 30))" ;;
		6) truncate -s $((RANDOM * 50)) "$dir/$((RANDOM % 30))" ;;
		7) fallocate -l $((RANDOM * 30)) "$dir/$((RANDOM % 30))" ;;
		8) mkdir "$dir/d$((RANDOM % 5))" && mv "$dir"/d? "$to" ;;
		9) rmdir "$dir"/d* ;;
		10) ls -lR "$MNT" >/dev/null && setfattr -n user.x -v "$i" "$dir/$((RANDOM % 30))" ;;
		11) sync -f "$dir" && cat "$dir"/* >/dev/null && mbfs-stat "$MNT" ;;
		esac
	done >/dev/null 2>"$T/writer-$n"
	grep -vE 'No such file|File exists|not empty|same file|Is a directory|Not a directory|cannot (move|overwrite)|Directory not empty|Cannot open|cannot open' "$T/writer-$n" >"$T/bad-$n" || true
}

for n in {1..8}; do
	writer "$n" &
done
wait
cat "$T"/bad-* | sort | uniq -c | sort -rn | head -10
grep -hqE 'Structure needs|Input/output|Bad message|Stale|No space' "$T"/bad-* && fail "writers met errors"
[ "$(mbfs-stat "$MNT" | awk '$1 == "mount.damaged" { print $2 }')" = 0 ] || fail "damage was found"
mbfs-stat "$MNT" | grep -E "^(alloc.(reqs|frees|discarded)|buffers.evicted|mount.write_outs) "
unmount_image
check_image
