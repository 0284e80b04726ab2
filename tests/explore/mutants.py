#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Seeded concurrency bugs in the allocator: each must be found by the explorer.

mutants.py [--quick] SOURCE WORK [NAME...]: copies SOURCE to WORK, builds mbfs-explore there, applies one mutant after the
other, and prints a Markdown table of who found it in how many schedules. Exit status 1 if one was not found, 77 if
nothing could be built. --quick: the first strategy that finds it is enough; for ctest. Each mutant is a text replaced once in one file; a text that is not there any more is an error.
"""
import json
import os
import shutil
import subprocess
import sys

A = "src/alloc/"
STRATEGIES = ["dfs", "pct", "pos", "random"]
QUICK = ["pct", "pos", "dfs"]
SCENARIOS = ["enospc-discard", "enospc-busy", "enospc", "enospc-3", "enospc-busy-3", "enospc-discard-3"]
MUTANTS = [
    # name, variant, file, old, new
    ("wake-up lost after use of a PA", "claim-wait", A + "prealloc.c",
     "alloc_notify(a); /* a sweep may have met it busy */", "/* none */;"),
    ("closing a file does not wait for who has its PA", "claim-wait", A + "prealloc.c",
     "		if (rt_u32_read_acquire(&f->pa_nr) == 0)\n			return;", "		if (true)\n			return;"),
    ("who closes a file is not woken", "claim-wait", A + "prealloc.c",
     "			rt_event_signal(&a->arrive);", "			(void)a;"),
    ("waiter not counted", "claim-wait", A + "enospc/claim_wait.c",
     "rt_u32_add_return(&a->waiters_nr, 1); /* pairs", "/* pairs"),
    ("key taken after the pass", "claim-wait", A + "enospc/claim_wait.c",
     "	start = rt_now_ns();\n", "	start = rt_now_ns();\n	ac->enospc.key = rt_event_key(&a->arrive);\n"),
    ("waits without looking again", "claim-wait", A + "enospc/claim_wait.c",
     "	if (!ac->enospc.waiting) {", "	if (!ac->enospc.waiting) {\n		ac->enospc.key = rt_event_key(&a->arrive);"
     "\n		rt_u32_add_return(&a->waiters_nr, 1);\n		ac->enospc.waiting = true;\n		rt_event_wait(&a->arrive,"
     " ac->enospc.key);\n		return true;\n	}\n	if (!ac->enospc.waiting) {"),
    ("busy PA is discarded", "claim-wait", A + "discard.c",
     "	else if (pa->busy > 0)\n		*busy = true;\n", ""),
    ("deleted PA is discarded again", "claim-wait", A + "discard.c",
     "	if (pa->deleted)\n		*busy |= policy->deleted_is_busy;\n	else if", "	if"),
    ("deleted is not set by a sweep", "claim-wait", A + "discard.c",
     "		mine = pa->deleted = true;", "		mine = true;"),
    ("blocks taken from a deleted PA", "claim-wait", A + "prealloc.c",
     "*len = pa->deleted ? 0 : file_pa_take(", "*len = file_pa_take("),
    ("user of a PA does not make it busy", "claim-wait", A + "prealloc.c",
     "		if (*len > 0)\n			pa->busy++;\n", "		if (*len > 0)\n			;\n"),
    ("new PA is not busy before it is in its container", "claim-wait", A + "prealloc.c",
     "	pa->busy = 1; /* until", "	pa->busy = 0; /* until"),
    ("group lock dropped early in a file's discard", "claim-wait", A + "discard.c",
     "	count_discarded(a, cpu, pa_blocks_free_locked(a, pa));\n	rt_spin_unlock(&g->lock);",
     "	rt_spin_unlock(&g->lock);\n	count_discarded(a, cpu, pa_blocks_free_locked(a, pa));"),
    ("group lock dropped early in a sweep", "claim-wait", A + "discard.c",
     "		if (!again || !policy->keep_detached)\n			detached_free_locked(ac, &detached, &empty);\n"
     "		rt_spin_unlock(&g->lock);",
     "		rt_spin_unlock(&g->lock);\n		if (!again || !policy->keep_detached)\n"
     "			detached_free_locked(ac, &detached, &empty);"),
    ("PA is looked at and deleted in two lock holds", "claim-wait", A + "discard.c",
     "			bump_begin(f->a, cpu);\n			pa->deleted = true;\n			found = pa;\n		}\n		rt_spin_unlock(&pa->lock);",
     "			found = pa;\n		}\n		rt_spin_unlock(&pa->lock);\n		if (found) {\n			rt_spin_lock(&pa->lock);\n"
     "			bump_begin(f->a, cpu);\n			pa->deleted = true;\n			rt_spin_unlock(&pa->lock);\n		}"),
    ("used-up PA is ended by two", "claim-wait", A + "prealloc.c",
     "	over = pa->busy == 0 && pa->free == 0 && !pa->deleted;\n	if (over)\n		pa->deleted = true;\n	rt_spin_unlock(&pa->lock);\n	if (over) {\n		TAILQ",
     "	over = pa->busy == 0 && !pa->deleted;\n	if (over)\n		pa->deleted = true;\n	rt_spin_unlock(&pa->lock);\n	if (over) {\n		TAILQ"),
    ("begin is left out in a sweep", "begin-end", A + "discard.c",
     "		bump_begin(ac->a, ac->cpu);\n		group_unlink_locked(g, pa);", "		group_unlink_locked(g, pa);"),
    ("end is bumped before the blocks are back", "begin-end", A + "discard.c",
     "	alloc_point(a, MBFS_POINT_DELETED_FREE);", "	bump_end(a, cpu);\n	alloc_point(a, MBFS_POINT_DELETED_FREE);"),
    ("busy is not asked", "begin-end", A + "enospc/begin_end.c", "	if (!busy && rt_counter", "	if (rt_counter"),
    ("gives up after the first pass", "begin-end", A + "enospc/begin_end.c",
     "	if (!busy && rt_counter_sum(&ac->a->begin) == ac->enospc.seq && ac->enospc.passes > 1)",
     "	if (!busy && ac->enospc.passes > 1)"),
    ("a deleted PA is not busy (6.0-fixed)", "6.0-fixed", A + "enospc/v6_0_fixed.c",
     "	.deleted_is_busy = true,\n", ""),
    ("busy means give up", "6.0-fixed", A + "enospc/v6_0_fixed.c", "	if (!busy || freed > 0)", "	if (true)"),
    ("PA published in a lock hold of its own", "6.0-fixed", A + "enospc/v6_0_fixed.c",
     "	.deleted_is_busy = true,\n", "	.deleted_is_busy = true,\n	.publish_late = true,\n"),
]


def build(work):
    return subprocess.run(["ninja", "-C", work + "/build", "bin/mbfs-explore"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


def search(work, variant, strategy):
    """(scenario, verdict, schedules) of the first scenario in which it is found, or None."""
    for scenario in SCENARIOS:
        argv = [work + "/build/bin/mbfs-explore", "run", scenario, "--variant", variant, "--explore", strategy,
                "--seconds", "10", "--json", "-"]
        if strategy != "dfs":
            argv += ["--schedules", "20000"]
        run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if run.returncode == 10:
            line = json.loads(run.stdout)
            return scenario, line["verdict"], line["first"]
        if run.returncode < 0:
            return scenario, "signal %d" % -run.returncode, 1
    return None


def main():
    quick = "--quick" in sys.argv
    argv = [a for a in sys.argv[1:] if a != "--quick"]
    source, work, names = os.path.abspath(argv[0]), os.path.abspath(argv[1]), argv[2:]
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work, ignore=shutil.ignore_patterns("build", ".git"))
    cmake = ["cmake", "-S", work, "-B", work + "/build", "-G", "Ninja", "-DMBFS_TESTS=OFF", "-DMBFS_WERROR=OFF"]
    if subprocess.run(cmake, stdout=subprocess.DEVNULL).returncode or build(work).returncode:
        print("cannot build in", work)
        sys.exit(77)
    missed = tried = 0
    columns = ["schedules"] if quick else STRATEGIES
    print("| mutant | variant | found in | as | " + " | ".join(columns) + " |")
    print("|---|---|---|---|" + "---|" * len(columns))
    for name, variant, file, old, new in MUTANTS:
        if names and name not in names:
            continue
        path = os.path.join(work, file)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if text.count(old) < 1:
            sys.exit(f"{name}: {file} has changed: the text to replace is not there")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new, 1))
        res = build(work)
        if res.returncode:
            sys.exit(f"{name}: does not build\n{res.stdout}")
        found = []
        for strategy in QUICK if quick else STRATEGIES:
            found.append(search(work, variant, strategy))
            if quick and found[-1]:
                break
        first = next((f for f in found if f), None)
        tried += 1
        missed += first is None
        print(f"| {name} | `{variant}` | {first[0] if first else '**not found**'} | {first[1] if first else '-'} | " +
              " | ".join(str(f[2]) if f else "-" for f in (found[-1:] if quick else found)) + " |", flush=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    build(work)  # the library as it should be: mutants_rt.py uses it
    print(f"{tried - missed} of {tried} seeded bugs found")
    sys.exit(1 if missed else 0)


main()
