#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: a search in shards or with jobs says what one process says: exit status, result, and for what counts
# every schedule the same number of them; merge refuses what does not fit together and says why.
# Method: small searches of the allocator's own sources; result files with one thing wrong each.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
DIR=$(mktemp -d)
trap 'rm -rf --one-file-system "$DIR"' EXIT

die()
{
	echo "$*" >&2
	exit 1
}

# expect STATUS ARG... - mbfs-race ARG..., its output in $DIR/out and $DIR/err
expect()
{
	local want=$1 status=0
	shift
	"$RACE" "$@" >"$DIR/out" 2>"$DIR/err" || status=$?
	[ $status = "$want" ] || die "$*: status $status, not $want: $(cat "$DIR/out" "$DIR/err")"
}

# field NAME FILE - a value of its last line
field()
{
	tail -n 1 "$2" | sed 's/.*"'"$1"'":\("\([^"]*\)"\|\([^",}]*\)\).*/\2\3/'
}

# shards N ARG... - run all shards, merge them into $DIR/merged; the status of the merge in $status
shards()
{
	local n=$1 i
	shift
	rm -f "$DIR"/shard.* "$DIR/merged"
	for ((i = 1; i <= n; i++)); do
		"$RACE" run "$@" --shard $i/$n --json "$DIR/shard.$i" --quiet >/dev/null || true
	done
	status=0
	"$RACE" merge --json "$DIR/merged" "$DIR"/shard.* >"$DIR/out" 2>"$DIR/err" || status=$?
}

for search in "enospc --variant claim-wait --explore dfs --bound 1" "enospc --variant 6.0-fixed --explore pct" \
	"enospc --variant pre-5.8 --explore dfs --bound 1" "enospc --variant pre-5.8 --explore random" \
	"enospc --variant claim-wait --explore dpor --schedules 300" \
	"enospc --variant rfc-2020 --explore portfolio"; do
	# shellcheck disable=SC2086
	set -- $search --seconds 100
	one=0
	"$RACE" run "$@" --json "$DIR/one" --quiet >/dev/null || one=$?
	expect $one run "$@" --jobs 3 --json "$DIR/jobs" --quiet
	shards 3 "$@"
	[ $status = $one ] || die "$search: merged: $status, not $one: $(cat "$DIR/err")"
	for name in result verdict commit strategy; do
		[ "$(field $name "$DIR/one")" = "$(field $name "$DIR/jobs")" ] || die "$search: jobs: $name"
		[ "$(field $name "$DIR/one")" = "$(field $name "$DIR/merged")" ] || die "$search: merged: $name"
	done
	[ "$(field bound "$DIR/one")" = "$(field bound "$DIR/merged")" ] || [ $one != 0 ] || die "$search: bound"
	[ $one != 10 ] || "$RACE" replay "$(field token "$DIR/merged")" --quiet >"$DIR/replay" ||
		grep -q "false ENOSPC" "$DIR/replay" || die "$search: merged token does not fail"
	cat "$DIR/out"
done
[ "$(wc -l <"$DIR/merged")" = 1 ]

# Refusals: one line each, that names what is wrong.
shards 3 enospc --variant claim-wait --explore dfs --bound 0
refuse()
{
	local what=$1
	shift
	expect 2 merge "$@"
	[ "$(wc -l <"$DIR/err")" = 1 ] && grep -q "$what" "$DIR/err" || die "merge $*: $(cat "$DIR/err")"
}
refuse "shard 2/3 is missing" "$DIR/shard.1" "$DIR/shard.3"
refuse "shard 3/3 is missing" "$DIR/shard.1" "$DIR/shard.2"
refuse "shard 1/3 is there twice" "$DIR"/shard.* "$DIR/shard.1"
sed 's/"commit":"[^"]*"/"commit":"0123456789ab"/' "$DIR/shard.2" >"$DIR/other"
refuse "different commits" "$DIR/shard.1" "$DIR/other" "$DIR/shard.3"
sed 's/"shards":3/"shards":4/' "$DIR/shard.2" >"$DIR/other"
refuse "shards of 3" "$DIR/shard.1" "$DIR/other" "$DIR/shard.3"
head -c 100 "$DIR/shard.2" >"$DIR/other"
refuse "other:1: not a result" "$DIR/shard.1" "$DIR/other" "$DIR/shard.3"
refuse "nowhere: No such file" "$DIR/nowhere"
refuse "no result" /dev/null
sed 's/"shared":[0-9]*/"shared":1/' "$DIR/shard.2" >"$DIR/other"
expect 3 merge "$DIR/shard.1" "$DIR/other" "$DIR/shard.3"
grep -q "shards differ in which objects" "$DIR/err" || die "nothing said: $(cat "$DIR/err")"
expect 0 merge "$DIR"/shard.*
for bad in "--shard 0/3" "--shard 4/3" "--shard 3" "--shard x/3" "--jobs 0" "--jobs 1000" "--shard 1/100000"; do
	# shellcheck disable=SC2086
	expect 2 run enospc --explore dfs $bad
	[ "$(wc -l <"$DIR/err")" = 1 ] || die "$bad: $(cat "$DIR/err")"
done

# Progress and estimates, histogram.
expect 3 run enospc --explore dfs --bound 3 --seconds 2 --progress --json "$DIR/budget"
grep -q "schedules, .* left" "$DIR/err" || die "no progress: $(cat "$DIR/err")"
grep -q "left (" "$DIR/out" || die "no estimate: $(cat "$DIR/out")"
[ "$(field estimate "$DIR/budget")" -gt 1000 ] || die "no estimate in $(cat "$DIR/budget")"
expect 3 run enospc --explore random --schedules 2000 --json "$DIR/budget" --histogram
python3 -c 'import sys; sys.exit(not 0 < float(sys.argv[1]) < 1)' "$(field unseen "$DIR/budget")"
grep -q "operations by object" "$DIR/out" && grep -q "spin_lock" "$DIR/out" || die "no histogram: $(cat "$DIR/out")"
echo "jobs and shards agree with one process; merge refuses what does not fit"
