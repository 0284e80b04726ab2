#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: mbfs-bench refuses bad use by name and its parts run. Method: a table of bad lines; one small
# case of alloc, and rcu. Numbers are not looked at.
set -euo pipefail

BENCH=${MBFS_BUILD:?}/bin/mbfs-bench

# refused TEXT ARG...
refused()
{
	local text=$1 out status=0
	shift
	out=$("$BENCH" "$@" 2>&1 >/dev/null) || status=$?
	if [ $status != 2 ] || [[ $out != *"$text"* ]]; then
		printf 'mbfs-bench %s: status %d: %s\n' "$*" "$status" "$out" >&2
		exit 1
	fi
}

refused "alloc, rcu, mount or all"
refused "'run'" run
refused "unknown option '--bogus'" alloc --bogus
refused "--times" alloc --times 0
refused "--size" mount --size 1
refused "no such variant 'nope'" alloc --variant nope
refused "'twice'" rcu twice
refused "cannot execute '/nowhere'" mount --daemon /nowhere
"$BENCH" --help >/dev/null
"$BENCH" alloc --only "16 GiB empty run 16" --times 1
"$BENCH" rcu
