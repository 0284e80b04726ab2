#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: who exits with objects queued has freed all of them, once readers have left, and has leaked nothing. Method:
# exit_queued.c under LeakSanitizer, which says nothing of kvfree, pending and a mount that are closed, and does of
# what is not closed, or forgotten. Without LeakSanitizer the counts of objects are all there is to see.
#	exit.sh SANITIZER PROGRAM
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=1:exitcode=66"

# ends STATUS ARG...
ends()
{
	local want=$1 status=0

	shift
	timeout 100 "$PROGRAM" "$@" >"$OUT/out" 2>&1 || status=$?
	[ $status = "$want" ] || { echo "FAIL: $PROGRAM $*: status $status" >&2; cat "$OUT/out" >&2; exit 1; }
}

PROGRAM=$2
ends 0 kvfree
ends 0 pending
ends 2 nonsense
if command -v mkfs.ext4 >/dev/null; then
	truncate -s 32M "$OUT/image"
	mkfs.ext4 -q -F "$OUT/image"
	ends 0 unmount "$OUT/image"
	e2fsck -fn "$OUT/image" >"$OUT/fsck" 2>&1 || { cat "$OUT/fsck" >&2; exit 1; }
fi
[ "$1" = address ] || { echo "no LeakSanitizer without -DMBFS_SANITIZE=address: only objects were counted"; exit 0; }
ends 66 open
grep -q "LeakSanitizer: detected memory leaks" "$OUT/out" && grep -q " kvfree_open " "$OUT/out" ||
	{ echo "FAIL: kvfree that is not closed is not in the report" >&2; cat "$OUT/out" >&2; exit 1; }
ends 66 lost
grep -q "leaked in 2 allocation(s)" "$OUT/out" && grep -q " run_lost " "$OUT/out" ||
	{ echo "FAIL: two objects are lost, and the report has others" >&2; cat "$OUT/out" >&2; exit 1; }
