#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Threads, atomics, clocks, random numbers and memory only through src/rt (and src/explore)."""
import re

import files

ALLOW = "tools/style/names-allow"
EVERYWHERE = re.compile(
    r"\b(pthread_\w+|pthread\.h|threads\.h|stdatomic\.h|_Atomic|atomic_\w+|__atomic_\w+|__sync_\w+|urcu\w*|"
    r"clock_gettime|clock_nanosleep|gettimeofday|nanosleep|usleep|sleep(?=\s*\()|"
    r"time(?=\s*\()|rand(?=\s*\()|srand(?=\s*\()|random(?=\s*\()|getrandom|sched_getcpu|"
    r"thrd_\w+|mtx_\w+|liburcu)\b")
IN_SRC = re.compile(r"\b(malloc|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|strdup|"
                    r"strndup|asprintf|free)(?=\s*\()")


def main():
    problems = []
    allow = files.allowances(ALLOW)
    used = set()
    for name in files.c_files("src", "include", "fuse", "tools"):
        if name.startswith(("src/rt/", "src/explore/")):
            continue
        words = {w for entry in allow.get(name, []) for w in entry}
        text = files.code_only(files.read(name))
        rules = [EVERYWHERE] + ([IN_SRC] if name.startswith("src/") else [])
        for rule in rules:
            for m in rule.finditer(text):
                word = m.group(1)
                if word in words:
                    used.add((name, word))
                    continue
                line = text.count("\n", 0, m.start()) + 1
                problems.append(f"{name}:{line}: {word}: only src/rt may use it")
    for name, entries in allow.items():
        for word in (w for e in entries for w in e):
            if (name, word) not in used:
                problems.append(f"{ALLOW}: {name} {word}: no longer needed")
    files.finish(problems, "names")


main()
