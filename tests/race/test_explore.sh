#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: mbfs-race --explore finds what each variant loses, on the allocator's own sources, says so by exit
# status and JSON, and a token repeats it; the holding variants hold to the bound.
# Method: the losses of src/race/README.md by the portfolio, replays of each token; claim-wait to the end by dpor
# where that is near (test_small.sh has the bounds). MBFS_LONG=1: enospc-abba, too, which is as large as enospc-busy.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
DIR=$(mktemp -d)
trap 'rm -rf --one-file-system "$DIR"' EXIT
# Sanitizers cost 5 to 20 times.
SCHEDULES=2000
grep -q "^MBFS_SANITIZE:.*=." "$MBFS_BUILD/CMakeCache.txt" && SCHEDULES=300

die()
{
	echo "$*" >&2
	exit 1
}

# explore STATUS ARG... - one line of JSON into $DIR/json; the exit status must be STATUS
explore()
{
	local want=$1 status=0
	shift
	"$RACE" run "$@" --json - >"$DIR/json" 2>"$DIR/err" || status=$?
	[ $status = "$want" ] || die "run $*: status $status, not $want: $(cat "$DIR/json" "$DIR/err")"
}

# field NAME - a string of $DIR/json
field()
{
	sed 's/.*"'"$1"'":"\([^"]*\)".*/\1/' "$DIR/json"
}

found=0
lose()
{
	local scenario=$1 variant token
	shift
	for variant; do
		explore 10 "$scenario" --variant "$variant" --explore portfolio
		[ "$(field result)" = found ] || die "$scenario $variant: $(cat "$DIR/json")"
		token=$(field token)
		for _ in 1 2 3 4 5; do
			"$RACE" replay "$token" --quiet >"$DIR/replay" && die "$token: nothing found"
			grep -q "false ENOSPC for" "$DIR/replay" || die "$token: $(cat "$DIR/replay")"
			sed 1d "$DIR/replay" >"$DIR/text"
			[ -e "$DIR/first" ] || cp "$DIR/text" "$DIR/first"
			cmp -s "$DIR/text" "$DIR/first" || die "$token: replays differ"
		done
		rm "$DIR/first"
		found=$((found + 1))
	done
}
lose enospc pre-5.8 bb-free rfc-2020 5.17 6.0
lose enospc-discard pre-5.8 bb-free rfc-2020 5.10 5.17 6.0
lose enospc-busy pre-5.8 bb-free rfc-2020 5.17 6.0

for scenario in enospc enospc-discard enospc-busy enospc-3 enospc-discard-3 enospc-busy-3; do
	for variant in 6.0-fixed begin-end claim-wait; do
		explore 3 $scenario --variant $variant --explore pct --schedules $SCHEDULES
		explore 3 $scenario --variant $variant --explore random --schedules $SCHEDULES
	done
done

# Every schedule there is.
for scenario in enospc-busy enospc-discard enospc-abba-discard enospc-frag enospc-free ${MBFS_LONG:+enospc-abba}; do
	explore 0 "$scenario" --variant claim-wait --explore dpor --seconds 3000
	[ "$(field result)" = exhausted ] || die "$scenario: $(cat "$DIR/json")"
done

# Refusals, and pictures.
explore 10 enospc --variant pre-5.8 --explore pct
token=$(field token)
for bad in "replay nonsense" "replay ${token/:0/:9}" "run enospc --explore nope" "run nope --explore dfs" \
	"run enospc --explore dfs --variant nope" "run enospc --explore dfs --bound x" \
	"run enospc --explore dfs --mount" "run enospc --explore pct --svg /nowhere/x --variant pre-5.8"; do
	status=0
	# shellcheck disable=SC2086
	"$RACE" $bad >"$DIR/out" 2>"$DIR/err" || status=$?
	[ $status = 2 ] && [ "$(wc -l <"$DIR/err")" = 1 ] || die "$bad: status $status: $(cat "$DIR/err")"
done
"$RACE" replay "$token" --trace "$DIR/t.json" --svg "$DIR/t.svg" --html "$DIR/t.html" >"$DIR/out" || true
python3 -m json.tool "$DIR/t.json" >/dev/null
grep -q "</svg>" "$DIR/t.svg"
grep -q "</html>" "$DIR/t.html"
grep -q "^ *A (cpu0)" "$DIR/out" || die "no diagram: $(cat "$DIR/out")"
echo "$found losses found and replayed; 6.0-fixed, begin-end and claim-wait hold"
