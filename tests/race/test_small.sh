#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: each small scenario ends under each variant as small.expect says, by every schedule up to a bound; real
# threads agree where they can. Method: bounded searches, a replay of each finding; a second of rounds.
# test_small.sh [--print]: --print makes small.expect's lines anew.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
HERE=$(cd "$(dirname "$0")" && pwd)
DIR=$(mktemp -d)
trap 'rm -rf --one-file-system "$DIR"' EXIT
# Sanitizers cost 5 to 20 times.
MOST=2
grep -q "^MBFS_SANITIZE:.*=." "$MBFS_BUILD/CMakeCache.txt" && MOST=1

die()
{
	echo "$*" >&2
	exit 1
}

# field NAME - of $DIR/json
field()
{
	sed 's/.*"'"$1"'":"\{0,1\}\([^",}]*\).*/\1/' "$DIR/json"
}

# outcome SCENARIO VARIANT BOUND
outcome()
{
	local status=0
	"$RACE" run "$1" --variant "$2" --explore dfs --bound "$3" --seconds 300 --json - >"$DIR/json" 2>"$DIR/err" ||
		status=$?
	case $status:$(field verdict) in
	0:*) echo holds ;;
	10:livelock | 10:deadlock | 10:crash) field verdict ;;
	10:*) echo fails ;;
	*) die "run $1 --variant $2 --bound $3: status $status: $(cat "$DIR/json" "$DIR/err")" ;;
	esac
}

# variants FIRST - of the scenarios whose names begin so
variants()
{
	local all="pre-5.8 bb-free rfc-2020 5.8 5.10 5.17 6.0 6.0-fixed begin-end claim-wait"
	[ "$1" = enospc ] || all="2012-mutex-trylock 2012-v4 3.7-wait 6.16 mbfs"
	[ "$1" != mempool ] || all="one-by-one sized ordered single-object atomic-reserve"
	[ "$1" != pending ] || all="one-seq two-seq-late two-seq-barrier two-seq mbfs"
	[ "$1" != kvfree ] || all="give-up at-once always-wait wait-or-give mbfs"
	[ "$1" != resize ] || all="count-first pre-5.6 mbfs"
	[ "$1" != state ] || all="2011-atomic 2011-mempool mbfs"
	echo "$all"
}

# words SCENARIO - what a finding says that is neither livelock nor deadlock
words()
{
	case $1 in
	endio-flush) echo "the flush has returned, and a write that was on the list" ;;
	endio-stale | mount-stale) echo "stale" ;;
	endio-uaf | mount-uaf) echo "is gone and its work is still to run" ;;
	pending-exit) echo "container is gone\|before their grace period" ;;
	pending-*) echo "BUG_ON\|both lists have objects" ;;
	kvfree-*) echo "are lost: never freed\|sees an object that was freed\|inside an RCU reader" ;;
	resize-*) echo "not the group\|use after free" ;;
	state-*) echo "was not done: no memory" ;;
	*) echo "false ENOSPC" ;;
	esac
}

if [ "${1:-}" = --print ]; then
	"$RACE" list | awk '/^small scenarios/ { on = 1; next } on && $1 !~ /^fs/ { print $1 }' |
		while read -r scenario; do
			for variant in $(variants "${scenario%%-*}"); do
				most=2
				[ "${scenario%-3}" = "$scenario" ] || most=1
				[ "${scenario#mount-}" = "$scenario" ] || most=1
				[ "${scenario#mempool-}" = "$scenario" ] || most=2
				[ "${scenario#state-}" = "$scenario" ] || most=2
				[ "${scenario#pending-}" = "$scenario" ] || most=2
				[ "$scenario" != resize-array-3 ] || most=2
				for bound in 0 1 2; do
					[ $bound -gt $most ] && continue
					what=$(outcome "$scenario" $variant $bound)
					at=$bound
					[ "$what" = holds ] || break
				done
				printf '%-19s %-18s %-8s %s\n' "$scenario" $variant "$what" $at
			done
		done
	exit 0
fi

schedules=0 lines=0
while read -r scenario variant want bound; do
	[ "$want" = crash ] && [ $MOST = 1 ] && continue # a sanitizer ends the explorer with it
	[ "$want" = holds ] && [ "$bound" -gt $MOST ] && bound=$MOST
	# A whole mount: ten thousand schedules of a thousand steps.
	[ "$want" = holds ] && [ $MOST = 1 ] && [ "${scenario#mount-}" != "$scenario" ] && bound=0
	got=$(outcome "$scenario" "$variant" "$bound")
	[ "$got" = "$want" ] || die "$scenario $variant: $got, not $want, to $bound preemptions: $(cat "$DIR/json")"
	schedules=$((schedules + $(field schedules)))
	lines=$((lines + 1))
	[ "$got" = holds ] && continue
	token=$(sed 's/.*"token":"\([^"]*\)".*/\1/' "$DIR/json")
	"$RACE" replay "$token" --quiet >"$DIR/out" && die "$scenario $variant: $token: nothing found"
	[ "$got" = fails ] || continue
	grep -q "$(words "$scenario")" "$DIR/out" || die "$token: $(cat "$DIR/out")"
done < <(grep -v '^#' "$HERE/small.expect")

# Every allocation fails once; relaxed reads may be old; whole file systems, shown to e2fsck.
# more STATUS ARG...
more()
{
	local want=$1 status=0
	shift
	"$RACE" run "$@" --quiet >"$DIR/out" 2>"$DIR/err" || status=$?
	[ $status = "$want" ] || die "run $*: status $status: $(cat "$DIR/out" "$DIR/err")"
	schedules=$((schedules + $(sed -n 's/.* \([0-9]*\) schedules.*/\1/p' "$DIR/out" | awk '{ sum += $1 } END { print sum }')))
}
more 0 'enospc*[a-z]' --explore dfs --bound 1 --alloc-fails 1 --seconds 200
more 0 'endio-*' --explore dfs --bound 2 --alloc-fails 1 --seconds 200
more 0 'endio-*' --variant 3.7-wait,mbfs --explore dpor --seconds 200
more 0 'mempool-*' --explore dfs --bound 1 --alloc-fails 1
more 0 mempool-abba --variant ordered,single-object,atomic-reserve --explore dpor
more 0 mempool-abba-2-3 --variant single-object,atomic-reserve --explore dpor --seconds 200
more 0 mempool-abba-3 --variant single-object,atomic-reserve --explore dpor --seconds 200
more 0 'pending-*' --explore dfs --bound 1 --alloc-fails 1
more 3 'pending-*' --explore random --schedules 500 --weak
more 3 'mempool-*' --explore random --schedules 500 --weak
more 3 'endio-*' --explore random --schedules 500 --weak
more 0 'resize-*' --explore dfs --bound 1 --alloc-fails 1
more 0 resize-array --explore dpor
more 3 'resize-*' --explore random --schedules 500 --weak
more 0 'kvfree-*' --explore dfs --bound 1 --alloc-fails 1
more 0 kvfree-nomem --explore dpor --seconds 200
more 3 'kvfree-*' --explore random --schedules 500 --weak
more 3 'mount-*' --explore random --schedules 100 --fsck
more 3 mount-truncate --variant 2012-v4,3.7-wait,6.16 --explore pct --schedules 100
more 10 mount-truncate --variant 2012-mutex-trylock --explore random --schedules 100
# Each allocation of a mount and its work, once; under sanitizers with two threads only.
[ "$MOST" = 1 ] && fs='fs-*[a-z]' || fs='fs-*'
more 0 "$fs" --explore dfs --bound 0 --alloc-fails 1 --seconds 300
more 3 'enospc-[db]*' --explore random --schedules 500 --weak
more 3 'fs-*' --explore random --schedules 100 --fsck
more 3 'fs-*' --explore pct --schedules 100 --alloc-fails 2

# Real threads: what cannot fail does not, and what always does is seen.
"$RACE" run 'enospc*' --seconds 0.2 >"$DIR/out" || die "claim-wait: $(cat "$DIR/out")"
"$RACE" run 'endio-*' --seconds 0.2 >"$DIR/out" || die "mbfs: $(cat "$DIR/out")"
"$RACE" run 'mempool-*' --seconds 0.2 >"$DIR/out" || die "atomic-reserve: $(cat "$DIR/out")"
"$RACE" run 'pending-*' --seconds 0.2 >"$DIR/out" || die "mbfs: $(cat "$DIR/out")"
"$RACE" run 'resize-*' --seconds 0.2 >"$DIR/out" || die "resize: $(cat "$DIR/out")"
"$RACE" run 'kvfree-*' --seconds 0.2 >"$DIR/out" || die "kvfree: $(cat "$DIR/out")"
"$RACE" run kvfree-nomem-3 --variant give-up --rounds 100 --json - >"$DIR/json"
[ "$(field result)" = loses ] || die "give-up does not lose: $(cat "$DIR/json")"
"$RACE" run 'mount-*' --seconds 0.5 >"$DIR/out" || die "mbfs: $(cat "$DIR/out")"
"$RACE" run mount-truncate --variant 2012-mutex-trylock --rounds 100000 --grace 2 --json - >"$DIR/json"
[ "$(field result)" = stuck ] || die "2012-mutex-trylock is not stuck: $(cat "$DIR/json")"
"$RACE" run 'fs-*' --seconds 0.5 >"$DIR/out" || die "fs: $(cat "$DIR/out")"
"$RACE" run enospc-abba --variant 5.10 --rounds 1000 --grace 1 --json - >"$DIR/json"
[ "$(field result)" = stuck ] || die "5.10 is not stuck: $(cat "$DIR/json")"
"$RACE" run enospc-abba --variant 6.0 --rounds 1000 --json - >"$DIR/json"
[ "$(field result)" = loses ] || die "6.0 does not lose: $(cat "$DIR/json")"
for bad in "run enospc-busy --rounds x" "run enospc-busy --variant nope" "run enospc-busy --mount" "run enospc-no*"; do
	status=0
	# shellcheck disable=SC2086
	"$RACE" $bad >"$DIR/out" 2>"$DIR/err" || status=$?
	[ $status = 2 ] && [ "$(wc -l <"$DIR/err")" = 1 ] || die "$bad: status $status: $(cat "$DIR/err")"
done
echo "$schedules schedules explored for $lines lines of small.expect"
