#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: mbfs in the background has no thread before it forks (RCU's worker would not be in the child), what is freed
# after a grace period is freed in the child, and a start that fails is reported to the shell in one line. Method: a
# library that is loaded first (fork.c) counts threads at the fork, and refuses one after the other of those that the
# start asks for; the worker is seen by its name; names, inodes and preallocations end in thousands.
. "$(dirname "$0")/lib.sh"
LIB=$MBFS_BUILD/tests/libt_fork.so
[ -e "$LIB" ] || skip "$LIB is not built"
[ "$(nm -D "$(command -v mbfs)" | grep -c __tsan_init)" = 0 ] || skip "TSan has a thread of its own"
# Else it wants to be the first.
export ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0

# watched VARIABLE=VALUE... - mbfs in the background, with fork.c before it; its log is $T/log
watched()
{
	rm -f "$T/log"
	env "$@" T_FORK_LOG="$T/log" LD_PRELOAD="$LIB" mbfs "$IMG" "$MNT" >"$T/out" 2>&1
}

make_image 64M
watched || fail "mount: $(cat "$T/out")"
mountpoint -q "$MNT" || fail "mbfs returned before $MNT was mounted"
[ ! -s "$T/out" ] || fail "it says: $(cat "$T/out")"
same "$(sed 's/[0-9]* with/N with/; s/child.*/child/' "$T/log")" "fork N with 1 threads, 0 asked for: child" \
	"threads at the fork"
parent=$(sed 's/fork \([0-9]*\).*/\1/' "$T/log")
child=$(sed 's/.*child //' "$T/log")
[ ! -e "/proc/$parent" ] || fail "the parent $parent is still there"
same "$(cut -d' ' -f6 "/proc/$child/stat")" "$child" "the daemon's session"
cat /proc/"$child"/task/*/comm >"$T/comm"
same "$(grep -c '^mbfs-rcu$' "$T/comm")" 1 "workers of RCU in the daemon, of $(tr '\n' ' ' <"$T/comm")"

for i in 1 2 3; do
	mkdir "$MNT/d$i"
	for ((n = 0; n < 500; n++)); do
		echo "$n" >"$MNT/d$i/$n"
	done
	exec 5<"$MNT/d$i/7"
	rm -r "$MNT/d$i"
	same "$(cat <&5)" 7 "a file that was removed, and is open"
	exec 5<&-
done
unmount_image
check_image

# Each thread is refused once. Without it there is a line that says so and no mount, with nothing left behind; or it
# can be done without.
failed=0
for n in {1..30}; do
	if watched T_FORK_FAIL="$n"; then
		echo x >"$MNT/file" && rm "$MNT/file"
		unmount_image
		check_image
		grep -q "^refused $n$" "$T/log" || break
		continue
	fi
	grep -q "^refused $n$" "$T/log" || fail "thread $n was not asked for: $(cat "$T/out")"
	# libfuse has a line of its own
	same "$(grep -vc '^fuse: error creating thread' "$T/out")" 1 "lines for thread $n: $(cat "$T/out")"
	grep -q "no thread could be started\|connection to the kernel" "$T/out" || fail "thread $n: $(cat "$T/out")"
	! mountpoint -q "$MNT" || fail "thread $n was refused, and $MNT is mounted"
	mbfs --wait "$IMG" --timeout 20 || fail "thread $n: the image is still in use"
	check_image
	failed=$((failed + 1))
done
[ "$failed" -ge 3 ] && [ "$n" -lt 30 ] || fail "of $n threads $failed were refused to good effect"

# That a thread would be seen. LeakSanitizer would miss it in the child.
watched T_FORK_EARLY=1 ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" || fail "mount with a thread: $(cat "$T/out")"
grep -q "with 2 threads, 1 asked for" "$T/log" || fail "a thread at the fork was not seen: $(cat "$T/log")"
unmount_image
check_image
