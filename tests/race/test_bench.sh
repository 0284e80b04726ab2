#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: mbfs-bench refuses bad use by name and its parts run. Method: a table of bad lines; one small
# case of alloc, rcu, range, state, mempool, kvfree, buf, growth, write, and aio and onefile where there is /dev/fuse: each
# case and state must have its line, with operations done. How fast is not looked at.
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

refused "alloc, rcu, range, state, mempool, kvfree, buf, growth, write, mount, aio, onefile or all"
refused "'run'" run
refused "unknown option '--bogus'" alloc --bogus
refused "--times" alloc --times 0
refused "--size" mount --size 1
refused "no such variant 'nope'" alloc --variant nope
refused "'twice'" rcu twice
refused "cannot execute '/nowhere'" mount --daemon /nowhere
refused "--ms" range --ms 0
refused "--threads" onefile --threads 65
refused "--depth" aio --depth 0
refused "--depth" aio --depth 1,
refused "--depth" aio --depth 1,2,3,4,5,6,7,8,9
refused "--files" aio --files 65
refused "libaio or uring is wanted, not 'posix'" aio --engine posix
refused "'/nowhere'" aio --also /nowhere
refused "not 'null,btrfs'" aio --peers null,btrfs
"$BENCH" --help >/dev/null
"$BENCH" alloc --only "16 GiB empty run 16" --times 1

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# lines FILE TEXT N - N lines of FILE have TEXT and rates that are not 0
lines()
{
	local nr
	nr=$(grep -F "$2" "$1" | grep -cE '"(writes_|ops_)?per_s":[1-9]' || true)
	if [ "$nr" != "$3" ]; then
		printf "%s: %s lines with %s, not %s\n" "$1" "$nr" "$2" "$3" >&2
		cat "$1" >&2
		exit 1
	fi
}

"$BENCH" range --times 2 --ms 5 --json "$tmp/range"
for who in io_tree list; do lines "$tmp/range" "\"who\":\"$who\"" 33; done
for who in "tree, whole" rwlock; do lines "$tmp/range" "\"who\":\"$who\"" 31; done
lines "$tmp/range" '"threads":8' 40
"$BENCH" rcu --times 1 --ms 25 --json "$tmp/rcu"
for who in rt liburcu; do lines "$tmp/rcu" "\"who\":\"$who\"" 3; done
for who in kvfree pending; do lines "$tmp/rcu" "\"who\":\"$who\"" 2; done
"$BENCH" state --times 1 --ms 20 --only "random, 10^3" --json "$tmp/state"
for op in set clear convert test; do lines "$tmp/state" "\"who\":\"$op\"" 1; done
grep -q '"case":"bytes","states":1000,"shuffled":true,"asked_bytes":[1-9]' "$tmp/state"
"$BENCH" mempool --times 1 --ms 5 --json "$tmp/mempool"
for who in alloc 'reserve()'; do lines "$tmp/mempool" "\"who\":\"$who\"" 24; done
lines "$tmp/mempool" '"who":"malloc"' 17

"$BENCH" kvfree --times 1 --ms 5 --json "$tmp/kvfree"
for who in kvfree 'with head' pending rt_rcu_call call_rcu free; do lines "$tmp/kvfree" "\"who\":\"$who\"" 3; done
! grep -F '"cpu_ns":0.000' "$tmp/kvfree"
"$BENCH" buf --times 1 --ms 5 --json "$tmp/buf"
lines "$tmp/buf" '"who":"buf_get"' 6

"$BENCH" growth --times 1 --ms 20 --json "$tmp/growth"
lines "$tmp/growth" '"who":"mbfs"' 9
[ "$(grep -c '"grps/s":[1-9]' "$tmp/growth")" = 6 ] || { echo "no group was added" >&2; exit 1; }
grep -q '"case":"1 GiB to 1 TiB, a sparse file","seconds":[0-9]' "$tmp/growth"

"$BENCH" write --times 1 --size 64M --json "$tmp/write"
lines "$tmp/write" '"state":"written"' 6
lines "$tmp/write" '"state":"unwritten"' 6

if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
	echo "/dev/fuse cannot be opened: aio and onefile are not run"
	exit 0
fi
for engine in libaio uring; do
	"$BENCH" aio --times 1 --seconds 1 --size 64M --depth 1,16 --files 1,2 --engine "$engine" \
		--peers null --mount-opts commit=1 --mount-opts commit=5 --json "$tmp/$engine"
	lines "$tmp/$engine" '"peer":"mbfs commit=1","state":"written"' 4
	lines "$tmp/$engine" '"peer":"mbfs commit=5","state":"unwritten"' 4
	lines "$tmp/$engine" '"peer":"null"' 8
done
"$BENCH" onefile --times 1 --seconds 1 --size 64M --threads 1,3 --peers null --mount-opts commit=1 \
	--mount-opts commit=5 --json "$tmp/onefile"
for peer in "mbfs commit=1" "mbfs commit=5" null; do lines "$tmp/onefile" "\"peer\":\"$peer\"" 6; done
# A mount that cannot be is named, and nothing is left of it.
if out=$(TMPDIR=$tmp "$BENCH" aio --times 1 --peers none --size 64M --mount-opts bogus 2>&1); then
	echo "aio with a bad mount option was not refused" >&2
	exit 1
fi
[[ $out == *bogus* ]] || { printf 'the bad option is not named: %s\n' "$out" >&2; exit 1; }
[ -z "$(find "$tmp" -name 'mbfs-race.*')" ] || { find "$tmp" >&2; exit 1; }
