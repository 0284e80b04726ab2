#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: kvfree-nomem by real threads tells ways that hold from those that do not, and takes every fall-back of kvfree.
# Method: without memory give-up and wait-or-give lose objects, at-once frees them under readers, always-wait waits for
# itself for ever; with memory none of them does; mbfs holds, and what it counted says where objects were. Bad use is
# one line.
set -euo pipefail

# shellcheck source=tests/race/lib.sh
. "$(dirname "$0")/lib.sh"

# run ARG... - JSON to the end of $DIR/json; the exit status is 0: who is to hold held
run()
{
	timeout 200 "$RACE" run kvfree-nomem "$@" --json "$DIR/json" >"$DIR/table" ||
		fail "run kvfree-nomem $*: $(cat "$DIR/table")"
}

run --variant all --workload all --seconds 0.25
run --threads 32 --cpus 8 --workload all --seconds 0.25
run --threads 1 --cpus 1 --workload never --rounds 20
python3 - "$DIR/json" <<'END'
import json
import sys

PLACES = ("in_pages", "spared", "in_heads", "in_ones", "inline_waits", "refused", "floods")
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert len(rows) == 5 * 3 + 3 + 1, len(rows)
for row in rows:
    variant, out = row["variant"], row["workload"] != "never"
    assert row["scenario"] == "kvfree-nomem" and row["p50_ns"] <= row["p99_ns"] <= row["max_ns"], row
    assert row["twice"] == 0, row
    assert (row["lost"] > 0) == (out and variant in ("give-up", "wait-or-give")), row
    assert (row["read_freed"] > 0) == (out and variant == "at-once"), row
    assert row["deadlock"] == (out and variant == "always-wait"), row
    assert ("for themselves" in row["who"]) == row["deadlock"], row
    if row["deadlock"]:
        assert row["result"] == "DEADLOCK", row
        continue
    assert row["check"] == "ok" and not row["livelock"] and row["attempts"] > 0, row
    # Each round: all that was made is freed or lost.
    assert row["freed"] + row["lost"] == row["rounds"] * row["threads"] * 1024, row
    bad = row["lost"] or row["read_freed"]
    assert row["result"] == ("loses" if bad else "holds" if variant == "mbfs" else "not lost"), row
    if variant != "mbfs":
        assert row["in_pages"] == row["spared"] == row["refused"] == row["floods"] == 0, row
        continue
    kept = row["in_pages"] + row["in_heads"] + row["in_ones"] + row["inline_waits"]
    assert kept == row["freed"], row
    assert 0 < row["waiting_max"] <= row["threads"] * 1024, row
    taken = {place for place in PLACES if row[place] > 0}
    if row["workload"] == "always":
        assert taken == {"in_heads", "inline_waits", "refused"}, row
    elif row["workload"] == "often":
        assert taken == set(PLACES) or row["freed"] < 200000, row
    else:
        assert {"in_pages", "spared"} <= taken and not taken & {"in_ones", "inline_waits"}, row
assert rows[-1]["rounds"] == 20, rows[-1]
END

refused "--variant two-seq" run kvfree-nomem --variant two-seq
refused "--workload flood" run kvfree-nomem --workload flood
refused "--mount: kvfree-nomem has no file system" run kvfree-nomem --mount
