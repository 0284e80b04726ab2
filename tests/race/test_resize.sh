#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: an image that grows under eight writers loses nothing, on the library and over a mount; the two ways in which
# ext4 replaced its arrays of groups crash, and the tool survives that and says so. Method: rounds of growths, with the
# windows of those two a little longer, and without; what a run has counted. Bad use is one line.
# MBFS_RESIZE_SECONDS=N: the runs that hold last N seconds instead of one round.
set -euo pipefail

# shellcheck source=tests/race/lib.sh
. "$(dirname "$0")/lib.sh"
# A growth waits for the device five times: memory is fast.
IMAGES=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf --one-file-system "$DIR" "$IMAGES"' EXIT
LONG=(--rounds 1 --seconds 20)
[ -z "${MBFS_RESIZE_SECONDS:-}" ] || LONG=(--seconds "$MBFS_RESIZE_SECONDS")

# run ARG... - JSON to the end of $DIR/json; the exit status is 0: who is to hold held
run()
{
	timeout 200 "$RACE" run resize-writers --dir "$IMAGES" "$@" --json "$DIR/json" >"$DIR/table" 2>>"$DIR/err" ||
		fail "run resize-writers $*: $(cat "$DIR/table" "$DIR/err")"
}

# judge MOUNT - of $DIR/json
judge()
{
	python3 - "$DIR/json" "$1" <<'END'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
mount = sys.argv[2] == "mount"
for row in rows:
    assert row["enospc"] == 0 and row["stale"] == 0, row
    if row["variant"] == "mbfs":
        assert row["result"] == "holds" and row["died"] == 0 and row["note"] == "", row
        assert row["growths"] >= max(100, row["rounds"] * (1000 if mount else 2000)), row
        assert row["attempts"] > 0 and (row["looks"] > 0 and row["fsck"] == "clean" if mount else True), row
    else:
        assert row["result"] == "loses" and row["died"] == 1, row
        assert ("the daemon ended" if mount else "the writers' process") in row["note"], row
assert [r["variant"] for r in rows].count("mbfs") == 1 and len(rows) == 3, rows
END
	rm "$DIR/json"
}

run --variant mbfs "${LONG[@]}"
run --variant count-first,pre-5.6 --seconds 60 --widen auto=1
judge library
if grep -q "^MBFS_SANITIZE:.*=.*address" "$MBFS_BUILD/CMakeCache.txt"; then
	# Now and then a reader crashes on what was put into the array just before it is freed.
	for _ in 1 2 3 4 5 6 7 8; do
		grep -q "AddressSanitizer: heap-use-after-free" "$DIR/err" && break
		run --variant pre-5.6 --seconds 60 --widen auto=1
	done
	rm -f "$DIR/json"
	grep -q "AddressSanitizer: heap-use-after-free" "$DIR/err" || fail "no use after free: $(cat "$DIR/err")"
fi

refused "--threads 1" run resize-writers --threads 1
refused "use fewer --threads" run resize-writers --size 1M --threads 40
refused "--variant 5.8" run resize-writers --variant 5.8
refused "--widen nope=5" run resize-writers --widen nope=5
status=0
"$MBFS_BUILD/bin/mbfs" -o resize=nope "$IMAGES" "$IMAGES" 2>"$DIR/err" || status=$?
[ $status = 1 ] && grep -q "resize=nope: the variants are count-first pre-5.6 mbfs" "$DIR/err" ||
	fail "mbfs -o resize=nope: status $status: $(cat "$DIR/err")"

if ! [ -r /dev/fuse ] || ! [ -w /dev/fuse ]; then
	echo "cannot open /dev/fuse: over a mount: skipped"
	exit 77
fi
refused "a multiple of 1024 KiB" run resize-writers --mount --size 33000K --dir "$IMAGES"
run --mount --variant mbfs "${LONG[@]}"
run --mount --variant count-first,pre-5.6 --seconds 60 --widen auto=1
judge mount
left=$(ls -A "$IMAGES")
[ -z "$left" ] || fail "left behind: $left"
