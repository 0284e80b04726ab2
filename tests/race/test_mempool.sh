#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: the mempool scenarios tell variants that hold from those that do not, by real threads. Method: one-by-one
# deadlocks, and the report names who holds and who waits, in a cycle; bigger reserves only move it; the others hold,
# with two pools and three. The curve never lies below what counting allows and is drawn. Under pressure the kernel's
# order empties the reserve before anything is reclaimed, the patient one does not. Bad use is one line.
set -euo pipefail

# shellcheck source=tests/race/lib.sh
. "$(dirname "$0")/lib.sh"

# run ARG... - JSON to the end of $DIR/json; the exit status is 0: who is to hold held
run()
{
	timeout 200 "$RACE" run "$@" --json "$DIR/json" >"$DIR/table" || fail "run $*: $(cat "$DIR/table")"
}

run mempool-abba --variant all --workload all --seconds 0.3
run mempool-abba --variant sized --threads 64 --reserve 2 --seconds 20
grep -q "cycle: writer [0-9]* holds . and waits for ., writer [0-9]* holds" "$DIR/table" || fail "$(cat "$DIR/table")"
grep -q "pool A, 2 in the reserve: held by writer" "$DIR/table" || fail "$(cat "$DIR/table")"
run mempool-abba --variant atomic-reserve --threads 100 --rounds 20 --workload three
python3 - "$DIR/json" <<'END'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert len(rows) == 5 * 2 + 2, len(rows)
for row in rows[:-1]:
    where = (row["variant"], row["workload"], row["result"], row["note"])
    assert row["scenario"] == "mempool-abba" and row["from_allocator"] == 0, row
    assert row["p50_ns"] <= row["p99_ns"] <= row["max_ns"], row
    if row["variant"] == "one-by-one" or row["threads"] == 64:
        assert row["deadlock"] and row["result"] == "DEADLOCK", where
        assert "cycle: " in row["who"] and row["ops_per_s"] is None, row
        continue
    assert not row["livelock"] and not row["deadlock"] and row["check"] == "ok", where
    assert row["result"] == ("not lost" if row["variant"] == "sized" else "holds"), where
    objects = 1 if row["variant"] == "single-object" else 2 if row["workload"] == "two" else 3
    assert row["attempts"] > 0 and row["allocs"] == objects * row["attempts"], row
    assert row["reserve"] == (16 if row["variant"] == "sized" else 1), row
    assert row["variant"] == "sized" or row["waits"] > 0 and row["wait_ns"] > 0, row
assert rows[-1]["attempts"] == 100 * 20 and rows[-1]["held"], rows[-1]
END

for workload in two three; do
	timeout 200 "$RACE" curve mempool-abba --workload $workload --reserve 1,2,3 --threads 64 --seconds 2 \
		--svg "$DIR/$workload.svg" --json "$DIR/$workload.json" >"$DIR/table" || fail "curve: $(cat "$DIR/table")"
done
timeout 100 "$RACE" curve mempool-abba --variant ordered --reserve 1 --threads 4 --seconds 0.2 \
	--svg "$DIR/ordered.svg" --json - >"$DIR/ordered.json"
python3 - "$DIR" <<'END'
import json
import sys
import xml.etree.ElementTree as tree

for name, dots in ("two", 3), ("three", 3), ("ordered", 1):
    rows = [json.loads(line) for line in open(f"{sys.argv[1]}/{name}.json", encoding="utf-8")]
    assert len(rows) == dots, rows
    for row in rows:
        if name == "ordered":
            assert row["first_deadlock"] == 0 == row["possible_from"] and row["held"] == 4, row
        else:
            assert row["held"] < row["first_deadlock"] >= row["possible_from"] > 1, row
    root = tree.parse(f"{sys.argv[1]}/{name}.svg").getroot()
    assert root.tag.endswith("}svg"), root.tag
    marks = [e for e in root.iter() if e.tag.endswith("}circle")]
    assert len(marks) == dots, len(marks)
    for mark in marks:
        assert 0 < float(mark.get("cx")) < 720 and 0 < float(mark.get("cy")) < 460, mark.attrib
    text = "".join(root.itertext())
    assert "mbfs-race curve mempool-abba --variant" in text and "--reserve 1" in text, text
END

: >"$DIR/json"
run mempool-depletion --variant all --pressure 0,100 --seconds 1
run mempool-depletion --variant kernel-order --pressure 100 --reserve 4 --threads 8 --rounds 10
python3 - "$DIR/json" <<'END'
import json
import sys

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert [(r["variant"], r["pressure"]) for r in rows[:4]] == [
    ("kernel-order", 0), ("kernel-order", 100), ("patient-order", 0), ("patient-order", 100)], rows
for row in rows[:4]:
    got = row["from_allocator"] + row["from_reserve"] + row["from_wait"]
    assert got == row["allocs"] == row["attempts"] > 0 and row["check"] == "ok", row
    if row["pressure"] == 0:
        assert row["reserve_percent"] == 0 and row["empty_ns"] is None and row["reclaims"] == 0, row
calm, kernel, _, patient = rows[:4]
assert kernel["reserve_percent"] > 10 and kernel["result"] == "loses", kernel
assert kernel["empty_ns"] is not None and kernel["reclaim_ns"] is None, kernel
assert patient["reserve_percent"] < 1 and patient["result"] == "holds", patient
assert patient["reclaims"] > 0, patient
assert rows[4]["attempts"] == 8 * 10 and rows[4]["reserve"] == 4, rows[4]
END

refused "--variant claim-wait" run mempool-abba --variant claim-wait
refused "--threads 2" run mempool-abba --threads 1
refused "--mount: mempool-abba has no file system" run mempool-abba --mount
refused "--reserve 0" run mempool-abba --reserve 0
refused "--reserve x" run mempool-abba --reserve x
refused "--reserve: enospc has no reserve" run enospc --reserve 4
refused "--pressure: mempool-abba knows" run mempool-abba --pressure 5
refused "--pressure 101" run mempool-depletion --pressure 101
refused "--pressure 5,x" run mempool-depletion --pressure 5,x
refused "at most half may be reserved" run mempool-depletion --reserve 4000
refused "after 'curve'" curve
refused "curve enospc" curve enospc
refused "--reserve 0" curve mempool-abba --reserve 0
refused "--threads 1" curve mempool-abba --threads 1
refused "--seconds 0" curve mempool-abba --seconds 0
refused "unknown option '--bogus'" curve mempool-abba --bogus
refused "--svg /nowhere/x" curve mempool-abba --svg /nowhere/x
refused "--workload nope" curve mempool-abba --workload nope
