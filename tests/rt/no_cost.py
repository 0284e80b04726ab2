#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Goal: the second back end costs the native build nothing: rt compiles to what one would write without it.

no_cost.py CC: compiles the allocator at -O2, once through rt, once with each call spelt as the pthread or C11 call
(bare/rt_backend/sync.h), and compares the functions' instructions. gcc's inliner weighs calls when it decides by
itself, so it may inline only what the sources ask for. A call that does cost (lock ranks) must be seen.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ALLOC = os.path.join(ROOT, "src/alloc")
SHIM, BARE = os.path.join(ROOT, "src/rt/native"), os.path.join(ROOT, "tests/rt/bare")
FLAGS = ["-std=gnu11", "-O2", "-DNDEBUG", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", '-DMBFS_VERSION="0"',
         '-DMBFS_COMMIT="0"', "-fno-strict-aliasing", "-fno-inline-functions", "-fno-inline-small-functions",
         "-fno-inline-functions-called-once"]
# Registers and blocks are chosen otherwise; they run when a group is first used and when the device gets full.
OTHER_ORDER = {"go_exact", "group_fill"}


def functions(backend, source, *more):
    """{function: its instructions, jumps relative to it}"""
    with tempfile.NamedTemporaryFile(suffix=".o") as obj:
        subprocess.run([sys.argv[1], *FLAGS, *more, "-I" + backend, "-I" + SHIM, "-I" + ROOT + "/src",
                        "-I" + ROOT + "/include", "-c", source, "-o", obj.name], check=True)
        text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", obj.name], check=True, stdout=subprocess.PIPE,
                              text=True).stdout
    out, now = {}, None
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+ <(.+)>:$", line)
        if head:
            now = out.setdefault(head.group(1), [])
        elif now is not None and line.strip():
            line = re.sub(r"^\s*[0-9a-f]+:\s*", "", line)
            now.append(re.sub(r"\b[0-9a-f]+ (<[^>]+>)", r"\1", line))
    return out


def main():
    if not shutil.which("objdump"):
        print("objdump is not installed: skipped")
        sys.exit(77)
    if "clang" in subprocess.run([sys.argv[1], "--version"], stdout=subprocess.PIPE, text=True).stdout:
        print("clang inlines as it likes: skipped")
        sys.exit(77)
    same = costs = 0
    for folder in (ALLOC, ALLOC + "/enospc"):
        for name in sorted(n for n in os.listdir(folder) if n.endswith(".c")):
            shim, bare = (functions(b, os.path.join(folder, name)) for b in (SHIM, BARE))
            for fn in sorted(shim.keys() | bare.keys()):
                if shim.get(fn) == bare.get(fn):
                    same += len(shim[fn])
                elif fn not in OTHER_ORDER:
                    costs += 1
                    print(f"{name}: {fn}: {len(bare.get(fn, []))} instructions without rt, "
                          f"{len(shim.get(fn, []))} with it")
    if functions(SHIM, ALLOC + "/free.c") == functions(SHIM, ALLOC + "/free.c", "-DMBFS_LOCKRANK"):
        print("lock ranks make no difference: this comparison sees nothing")
        costs += 1
    print(f"{same} instructions of the allocator are the same with and without rt")
    sys.exit(costs != 0)


main()
