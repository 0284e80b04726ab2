#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The figures of src/race/README.md and src/explore/README.md that need many runs. Not a test.

figures.py seeds BUILD        enospc/pre-5.8 by each strategy, 100 seeds each: found, within a second, in how many schedules
figures.py holds BUILD        claim-wait by each drawing strategy, 10,000 seeds of 100 schedules: nothing may be found
figures.py replay BUILD...    1,000 tokens made by the first build, repeated in each: the same text every time
figures.py short BUILD        lines of the minimised diagram, each losing variant in each small scenario
BUILD is a build directory; MBFS_SEEDS=N for fewer seeds.
"""
import json
import os
import subprocess
import sys

SEEDS = int(os.environ.get("MBFS_SEEDS", "0"))
DRAWN = ["random", "pct", "pos"]


def explore(build, *args):
    run = subprocess.run([build + "/bin/mbfs-race", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode not in (0, 3, 10):
        sys.exit(f"{args}: status {run.returncode}: {run.stderr}")
    return run


def search(build, scenario, variant, strategy, *args):
    run = explore(build, "run", scenario, "--variant", variant, "--explore", strategy, "--json", "-", *args)
    return json.loads(run.stdout)


def seeds(build):
    for strategy in ["portfolio", "dfs", "dpor", "sleep", *DRAWN]:
        times, firsts = [], []
        nr = (SEEDS or 100) if strategy in DRAWN + ["portfolio"] else 1
        for seed in range(1, nr + 1):
            line = search(build, "enospc", "pre-5.8", strategy, "--seed", str(seed), "--seconds", "20",
                          "--schedules", "10000000")
            if line["result"] == "found":
                times.append(line["seconds"])
                firsts.append(line["first"])
        firsts.sort()
        quick = sum(t < 1 for t in times)
        print(f"{strategy:10} {len(times)} of {nr} found, {quick} in less than 1 s; schedules: median "
              f"{firsts[len(firsts) // 2] if firsts else '-'}, most {firsts[-1] if firsts else '-'}; "
              f"longest {max(times, default=0):.2f} s", flush=True)


def holds(build):
    nr = SEEDS or 10000
    for scenario in ["enospc", "enospc-3", "enospc-cap", "enospc-discard", "enospc-busy", "enospc-abba"]:
        for strategy in DRAWN:
            schedules = 0
            for seed in range(1, nr + 1):
                line = search(build, scenario, "claim-wait", strategy, "--seed", str(seed), "--schedules", "100")
                schedules += line["schedules"]
                if line["result"] == "found":
                    sys.exit(f"{scenario} {strategy} seed {seed}: {line}")
            print(f"{scenario:16} {strategy:8} {nr} seeds, {schedules} schedules: nothing found", flush=True)


def replay(builds):
    same = bad = 0
    for seed in range(1, (SEEDS or 1000) + 1):
        strategy = DRAWN[seed % len(DRAWN)]
        variant = ["pre-5.8", "bb-free", "rfc-2020", "5.17", "6.0"][seed % 5]
        scenario = ["enospc", "enospc-busy"][seed % 2]
        line = search(builds[0], scenario, variant, strategy, "--seed", str(seed), "--schedules", "1000000")
        if line["result"] != "found":
            continue
        texts = {explore(b, "replay", line["token"], "--quiet").stdout.split("\n", 1)[1] for b in builds}
        same += len(texts) == 1
        bad += len(texts) != 1
    print(f"{same} tokens repeated the same in {len(builds)} builds, {bad} did not")
    sys.exit(bad != 0)


def short(build):
    for scenario in ["enospc", "enospc-cap", "enospc-discard", "enospc-busy", "enospc-abba", "enospc-abba-discard",
                     "enospc-frag", "enospc-lost-locked"]:
        for variant in ["pre-5.8", "bb-free", "rfc-2020", "5.8", "5.10", "5.17", "6.0"]:
            run = explore(build, "run", scenario, "--variant", variant, "--explore", "portfolio", "--seconds", "5")
            if run.returncode != 10:
                continue
            lines = run.stdout.split("\n\n", 1)[1].strip("\n").split("\n")
            print(f"{scenario:20} {variant:10} {len(lines):3} lines, widest {max(map(len, lines))}", flush=True)


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("seeds", "holds", "replay", "short"):
        sys.exit(__doc__)
    if sys.argv[1] == "replay":
        replay(sys.argv[2:])
    else:
        globals()[sys.argv[1]](sys.argv[2])


main()
