#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: rcu-barrier-cost measures what it says. Method: each way of a barrier, by many callers and few: no callback is
# left, runs are shared where they are to be, one after the other takes longer than all at once. Bad use is one line.
set -euo pipefail

# shellcheck source=tests/race/lib.sh
. "$(dirname "$0")/lib.sh"

timeout 200 "$RACE" run rcu-barrier-cost --variant all --workload all --threads 16 --cpus 3 --seconds 0.5 \
	--json "$DIR/json" >"$DIR/table" || fail "$(cat "$DIR/table")"
timeout 200 "$RACE" run rcu-barrier-cost --variant all --threads 1 --cpus 1 --rounds 5 --json "$DIR/json" >"$DIR/table" ||
	fail "$(cat "$DIR/table")"
python3 - "$DIR/json" <<'END'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert len(rows) == 5 * 3 + 5, len(rows)
p50 = {}
for row in rows:
    assert row["result"] == "holds" and row["check"] == "ok" and row["not_run"] == 0, row
    assert row["attempts"] > 0 and row["cpu_ns"] > 0 and row["p50_ns"] <= row["p99_ns"] <= row["max_ns"], row
    shares = row["variant"] in ("sequence", "leader")
    assert row["runs"] <= row["attempts"] // 2 if shares and row["threads"] > 1 else \
        row["runs"] == row["attempts"], row
    p50[row["variant"], row["workload"], row["threads"]] = row["p50_ns"]
for workload in "one", "idle", "many":
    assert p50["mutex", workload, 16] > 3 * p50["liburcu", workload, 16], p50
    assert p50["drain", workload, 16] < p50["liburcu", workload, 16], p50
assert all(row["attempts"] == 5 for row in rows[15:]), rows[15:]
END

# The picture: a line for each variant and number of workers, a dot for each run, and the command.
timeout 200 "$RACE" matrix rcu-barrier-cost --variant liburcu,drain --threads 1,4,16 --cpus 1,2 --seconds 0.1 \
	--svg "$DIR/cost.svg" >"$DIR/table" || fail "$(cat "$DIR/table")"
python3 - "$DIR/cost.svg" <<'END'
import sys
import xml.etree.ElementTree as tree

root = tree.parse(sys.argv[1]).getroot()
dots = [e for e in root.iter() if e.tag.endswith("}circle")]
lines = [e for e in root.iter() if e.tag.endswith("}polyline")]
assert len(dots) == 2 * 3 * 2 and len(lines) == 2 * 2, (len(dots), len(lines))
assert all(0 < float(d.get("cx")) < 820 and 0 < float(d.get("cy")) < 520 for d in dots)
text = "".join(root.itertext())
assert "mbfs-race matrix rcu-barrier-cost --variant liburcu,drain" in text and "drain, one, 2 CPUs" in text, text
END
status=0
timeout 60 "$RACE" run rcu-barrier-cost --svg "$DIR/x.svg" >/dev/null 2>"$DIR/err" || status=$?
[ $status = 2 ] && [ "$(wc -l <"$DIR/err")" = 1 ] && grep -qF -- "--svg" "$DIR/err" || fail "$status: $(cat "$DIR/err")"

status=0
timeout 60 "$RACE" run rcu-barrier-cost --cpus 65 >/dev/null 2>"$DIR/err" || status=$?
[ $status = 2 ] && [ "$(wc -l <"$DIR/err")" = 1 ] && grep -qF -- "--cpus 65" "$DIR/err" || fail "$status: $(cat "$DIR/err")"
