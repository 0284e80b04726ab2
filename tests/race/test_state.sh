#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: extent-state-nofail tells the ways to memory apart, by real threads and under every schedule: without
# waiting, operations are not done and the states are not the twin's; place by place, it deadlocks, and the report
# says where the places are; reserved beforehand, nothing is lost, also with the least reserve and many threads.
# Where there is memory all hold. Bad use is one line. Method: short runs, their JSON; each schedule of state-short.
set -euo pipefail

# shellcheck source=tests/race/lib.sh
. "$(dirname "$0")/lib.sh"

# run ARG... - JSON to the end of $DIR/json; the exit status is 0: who is to hold held
run()
{
	timeout 200 "$RACE" run extent-state-nofail "$@" --json "$DIR/json" >"$DIR/table" ||
		fail "run $*: $(cat "$DIR/table")"
}

run --variant 2011-atomic,mbfs --workload all --seconds 0.4
run --variant 2011-mempool --workload storm-half,storm-rich,io-half,io-rich --seconds 0.4
run --variant 2011-mempool --workload storm,io --threads 24 --seconds 60
grep -q "of 40 places [0-9]* are in the tree and [0-9]* in the hands of writers" "$DIR/table" || fail "$(cat "$DIR/table")"
grep -q "[1-9][0-9]* writers wait for a place in an operation" "$DIR/table" || fail "$(cat "$DIR/table")"
run --variant mbfs --workload storm --reserve 20 --threads 50 --seconds 0.4
run --variant mbfs --workload io --reserve 6 --threads 50 --rounds 3
run --variant mbfs --workload storm,io --threads 1 --rounds 20
python3 - "$DIR/json" <<'END'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert len(rows) == 2 * 6 + 4 + 2 + 1 + 1 + 2, len(rows)
for row in rows:
    where = (row["variant"], row["workload"], row["result"], row["failed"], row["differ"], row["note"])
    variant, rich = row["variant"], row["workload"].endswith("-rich")
    assert row["p50_ns"] <= row["p99_ns"] <= row["max_ns"], row
    assert row["reserve"] > 0, row
    if variant == "2011-mempool" and row["threads"] == 24:
        assert row["deadlock"] and row["result"] == "DEADLOCK" and "in the tree" in row["who"], where
        assert row["failed"] == 0 and row["differ"] == 0, where
        continue
    assert not row["livelock"] and row["check"] == "ok", where
    assert row["attempts"] > 0 and row["compared"] > 0, where
    if "-" not in row["workload"]:
        assert row["from_allocator"] == 0, row
    if variant == "2011-atomic" and "-" not in row["workload"]:
        assert row["failed"] > 0 and row["differ"] > 0 and row["result"] == "loses", where
    elif variant != "2011-atomic" or rich:
        assert row["failed"] == 0 and row["differ"] == 0, where
        assert row["result"] == ("holds" if variant == "mbfs" else "not lost"), where
assert rows[-4]["reserve"] == 20 and rows[-4]["waits"] > 0, rows[-4]
assert rows[-3]["reserve"] == 6 and rows[-3]["rounds"] == 3, rows[-3]
assert rows[-3]["attempts"] == 3 * 64 * 3 * 50, rows[-3]
assert rows[-2]["waits"] == 0 and rows[-2]["attempts"] == 20 * 64 * 10, rows[-2]
END
"$RACE" matrix extent-state-nofail --workload storm --threads 2,16 --seconds 0.2 >"$DIR/table"
[ "$(grep -c '^| `' "$DIR/table")" = 6 ] || fail "matrix: $(cat "$DIR/table")"
"$RACE" list >"$DIR/table"
grep -q "2011-mempool" "$DIR/table" || fail "list: $(cat "$DIR/table")"

# Every schedule, but under sanitizers, which cost 5 to 20 times; and how a place is waited for, as a diagram.
search="--explore dpor --seconds 200" said="exhausted all schedules"
grep -q "^MBFS_SANITIZE:.*=." "$MBFS_BUILD/CMakeCache.txt" && search="--explore dfs --bound 2" said="exhausted to 2"
# shellcheck disable=SC2086
"$RACE" run state-short $search --quiet >"$DIR/table" || fail "state-short: $(cat "$DIR/table")"
grep -q "$said" "$DIR/table" || fail "state-short: $(cat "$DIR/table")"
"$RACE" run state-short --variant 2011-mempool --explore dfs --bound 1 >"$DIR/table" && fail "no deadlock found"
for word in "A (cpu0) *B (cpu1)" "=> deadlock" "replay mbx1:" "in .*mempool_call < .*step"; do
	grep -q "$word" "$DIR/table" || fail "no $word: $(cat "$DIR/table")"
done
timeout 100 "$RACE" run 'state-*' --seconds 0.2 >"$DIR/table" || fail "mbfs: $(cat "$DIR/table")"

for bad in "--reserve 19" "--workload io --reserve 5" "--mount" "--variant claim-wait" "--workload fill"; do
	status=0
	# shellcheck disable=SC2086
	"$RACE" run extent-state-nofail $bad --json - >"$DIR/out" 2>"$DIR/err" || status=$?
	[ $status = 2 ] && [ "$(wc -l <"$DIR/err")" = 1 ] || fail "$bad: status $status: $(cat "$DIR/err")"
done
