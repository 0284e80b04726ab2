#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: were kvfree or pending not to wait for readers, stress_kvfree or stress_pending would say so under TSan: that
# they say nothing means something. Method: the same programs with a module that leaves the wait out (nowait_*.c); TSan
# must end them, with a race of memory that the stress reads or frees. In a build without TSan there is nothing to see.
#	nowait.sh SANITIZER PROGRAM
set -euo pipefail

[ "$1" = thread ] || { echo "not a build with -DMBFS_SANITIZE=thread: skipped"; exit 77; }
OUT=$(mktemp)
trap 'rm -f "$OUT"' EXIT

fail()
{
	echo "FAIL: $*" >&2
	tail -50 "$OUT" >&2
	exit 1
}

status=0
CK_FORK=no CK_DEFAULT_TIMEOUT=60 TSAN_OPTIONS="${TSAN_OPTIONS:-}:halt_on_error=1:exitcode=66:detect_deadlocks=0" \
	timeout 100 "$2" >"$OUT" 2>&1 || status=$?
[ $status = 66 ] || fail "$2: status $status, but TSan ends a program with 66"
grep -qE "WARNING: ThreadSanitizer: (data race|heap-use-after-free)" "$OUT" || fail "$2: no race is reported"
grep -qE " #[0-9]+ .*/tests/stress/stress_[a-z]+\.c:" "$OUT" || fail "$2: the race is not one of its own"
