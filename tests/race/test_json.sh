#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: --json is one valid object a line with the promised keys. Method: a short run of every variant
# and workload, read by python3's parser.
set -euo pipefail

command -v python3 >/dev/null || { echo "python3 is not installed: skipped"; exit 77; }
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

"${MBFS_BUILD:?}/bin/mbfs-race" run enospc --variant all --workload all --threads 8 --cpus 4 \
	--seconds 0.1 --grace 20 --widen detach-free=50 --json "$OUT/json" >"$OUT/table"
"$MBFS_BUILD/bin/mbfs-race" run enospc --variant claim-wait --rounds 2 --threads 4 --json - >"$OUT/stdout"
cat "$OUT/stdout" >>"$OUT/json"
python3 - "$OUT/json" <<'END'
import json
import sys

want = """scenario variant workload threads cpus seconds attempts enospc false_enospc passes sweeps
barriers p50_ns p99_ns max_ns barrier_ns retries waits block_size size_bytes mount widen rounds
ops_per_s check fsck held""".split()
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert len(rows) == 10 * 4 + 1, len(rows)
for row in rows:
    missing = [k for k in want if k not in row]
    assert not missing, missing
    assert row["scenario"] == "enospc" and row["attempts"] > 0, row
    assert row["p50_ns"] <= row["p99_ns"] <= row["max_ns"], row
    assert row["livelock"] or row["check"] == "ok", row
assert all(row["widen"] == {"detach-free": 50} for row in rows[:-1])
assert rows[-1]["rounds"] == 2 and rows[-1]["widen"] == {}
END
