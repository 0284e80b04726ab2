#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: the race over a mount: a losing variant loses, claim-wait holds, every image is clean, and nothing
# is left mounted or behind. Method: short runs of all workloads with real files.
set -euo pipefail

if ! [ -r /dev/fuse ] || ! [ -w /dev/fuse ]; then
	echo "cannot open /dev/fuse: skipped"
	exit 77
fi
RACE=${MBFS_BUILD:?}/bin/mbfs-race
DIR=$(mktemp -d)
trap 'rm -rf --one-file-system "$DIR"' EXIT
WIDEN=(--widen auto=2000)

"$RACE" run enospc --mount --dir "$DIR" --variant claim-wait --workload all --threads 16 --seconds 2
"$RACE" run enospc --mount --dir "$DIR" --variant claim-wait --threads 16 --seconds 2 \
	--block-size 4096 "${WIDEN[@]}"
"$RACE" run enospc --mount --dir "$DIR" --variant pre-5.8 --threads 40 --seconds 4 --json "$DIR/json" \
	"${WIDEN[@]}"
lost=$(sed 's/.*"enospc":\([0-9]*\),.*/\1/' "$DIR/json")
[ "$lost" -gt 0 ] || { echo "pre-5.8 lost nothing over a mount with the points widened" >&2; exit 1; }
grep -q '"fsck":"clean"' "$DIR/json" || { echo "e2fsck found damage after pre-5.8" >&2; exit 1; }
rm "$DIR/json"
left=$(ls -A "$DIR")
[ -z "$left" ] || { echo "left behind: $left" >&2; exit 1; }
