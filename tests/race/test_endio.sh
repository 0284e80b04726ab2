#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: the endio scenarios tell variants that hold from those that do not. Method: ours and 3.7's hold in each
# on the library; the deadlock of 2012 is reported with the calls that hang; 6.16's work outlives its inode;
# what holds is the same over a mount, and the deadlock there leaves nothing mounted or behind.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
DIR=$(mktemp -d)
trap 'rm -rf --one-file-system "$DIR"' EXIT

fail()
{
	echo "FAIL: $*" >&2
	exit 1
}

# run SCENARIO VARIANT [ARG...] - its JSON in $line; the exit status is 0: who is to hold held
run()
{
	local scenario=$1 variant=$2

	shift 2
	line=$(timeout 120 "$RACE" run "$scenario" --variant "$variant" --dir "$DIR" --seconds 1 --json - "$@") ||
		fail "$scenario, $variant: $line"
	echo "$line" | cut -c1-600
}

has()
{
	[[ $line == *"$1"* ]] || fail "no $1 in $line"
}

for scenario in endio-truncate endio-flush endio-uaf; do
	for variant in mbfs 3.7-wait; do
		run $scenario $variant
		has '"result":"holds"'
		has '"fsck":"clean"'
	done
done
run endio-truncate 2012-mutex-trylock --grace 2 --seconds 20
has '"result":"LIVELOCK"'
has '"note":"no call has returned for 2 s'
if command -v gdb >/dev/null; then
	has 'file_change_begin'
fi
run endio-uaf 6.16
has '"result":"loses"'
has '"stale":0,'
if [ -r /dev/fuse ] && [ -w /dev/fuse ] && [ "$(id -u)" = 0 ]; then
	for scenario in endio-truncate endio-flush endio-uaf; do
		run $scenario mbfs --mount
		has '"result":"holds"'
		has '"fsck":"clean"'
	done
	run endio-truncate 2012-mutex-trylock --mount --grace 2 --seconds 20
	has '"result":"LIVELOCK"'
else
	echo "no /dev/fuse: not over a mount"
fi
left=$(ls -A "$DIR")
[ -z "$left" ] || fail "left behind: $left"

refuse=$("$RACE" run endio-uaf --variant claim-wait 2>&1) && fail "claim-wait is no variant of endio-uaf"
[[ $refuse == *"--variant claim-wait"* ]] || fail "$refuse"
refuse=$("$RACE" run endio-truncate --threads 1 2>&1) && fail "one writer was not refused"
[[ $refuse == *"--threads 2"* ]] || fail "$refuse"
