#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: the load tells right from wrong. Method: on a plain file it holds with both engines; then one byte is
# changed, a block is moved, a tag is another's, the file is cut, and each is seen. Bad use is refused by name.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
DIR=$(mktemp -d "${TMPDIR:-/tmp}/mbfs-load.XXXXXX")
trap 'rm -rf "$DIR"' EXIT
F=$DIR/f

fail()
{
	echo "FAIL: $*" >&2
	exit 1
}

# ends STATUS TEXT ARG... - mbfs-race ARG... ends with STATUS and says TEXT
ends()
{
	local want=$1 text=$2 out rc=0

	shift 2
	out=$("$RACE" "$@" 2>&1) || rc=$?
	[ $rc = "$want" ] || fail "mbfs-race $*: status $rc, not $want: $out"
	grep -qF -- "$text" <<<"$out" || fail "mbfs-race $*: no \"$text\" in: $out"
}

load=(load --buffered --span 4M --iterations 2000 --submitters 3 --tag 7)
for engine in libaio uring; do
	rm -f "$F"
	ends 0 "0 unanswered, 0 failed, 0 cut short" "${load[@]}" --engine $engine --record 16K "$F"
	ends 0 " 0 wrong" load --check --tag 7 "$F"
	ends 1 "instead of" load --check --tag 8 "$F"
	ends 1 "instead of zeros" "${load[@]}" --engine $engine --reads 100 "$F" # what it did not write itself
	ends 0 '"blocks_wrong":0' "${load[@]}" --engine $engine --shared --json "$F"
done
cp "$F" "$DIR/good"
printf '\1' | dd of="$F" bs=1 seek=70000 conv=notrunc status=none
ends 1 "block at byte 69632: foreign bytes" load --check --tag 7 "$F"
cp "$DIR/good" "$F"
dd if="$DIR/good" of="$F" bs=4096 skip=9 seek=10 count=1 conv=notrunc status=none
ends 1 "block at byte 40960: foreign bytes" load --check --tag 7 "$F"
truncate -s 0 "$F"
ends 0 "blocks read: 0 written, 0 zeros, 0 wrong" load --check --tag 7 "$F"

ends 2 "it takes one file" load
ends 2 "--engine posix" load --engine posix "$F"
ends 2 "--record 1000" load --record 1000 "$F"
ends 2 "--record 5000: not a multiple" load --record 5000 "$F"
ends 2 "--span 8K: less than one record" load --span 8K "$F"
ends 2 "--submitters 0" load --submitters 0 "$F"
ends 2 "--reads 101" load --reads 101 "$F"
ends 2 "needs a value" load --depth
ends 2 "unknown option '--fast'" load --fast "$F"
ends 2 "--check needs --tag" load --check "$F"
ends 1 "No such file" load --check --tag 1 "$DIR/none"
ends 2 "number of a process" stacks
ends 0 "thread " stacks $$
ends 0 "Usage" load --help
