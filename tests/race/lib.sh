# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For tests of one scenario of mbfs-race that read its JSON: sourced, after set -euo pipefail. $RACE is the program,
# $DIR a directory that goes at the end.
RACE=${MBFS_BUILD:?}/bin/mbfs-race
command -v python3 >/dev/null || { echo "python3 is not installed: skipped"; exit 77; }
DIR=$(mktemp -d)
trap 'rm -rf --one-file-system "$DIR"' EXIT

fail()
{
	echo "FAIL: $*" >&2
	exit 1
}

# refused TEXT ARG... - exit status 2, one line with TEXT
refused()
{
	local text=$1 status=0

	shift
	timeout 60 "$RACE" "$@" >/dev/null 2>"$DIR/err" || status=$?
	[ $status = 2 ] && [ "$(wc -l <"$DIR/err")" = 1 ] && grep -qF -- "$text" "$DIR/err" ||
		fail "mbfs-race $*: status $status: $(cat "$DIR/err")"
}
