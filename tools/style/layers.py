#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Who may include whom. The table is src/README.md's: a folder includes only folders above it."""
import re

import files

# folder: folders it may include directly; what those may include comes with it
ABOVE = {
    "base": [],
    "rt": ["base"],
    "explore": ["rt"],
    "reclaim": ["rt"],
    "disk": ["base", "rt"],
    "journal": ["disk", "reclaim"],
    "alloc": ["journal"],
    "extent": ["alloc"],
    "inode": ["extent"],
    "fs": ["inode"],
    "race": ["fs", "explore"],
}
# outside src/: (may include <mbfs/...>, folders of src/)
OUTSIDE = {"fuse": ["rt"], "tools": ["race"]}
OPEN = {"base", "rt", "disk", "reclaim"}  # any header of theirs; of others only <folder>/<folder>.h
OPEN_TO = {("tools", "race")}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def above(folder):
    seen = set()
    todo = list(ABOVE[folder])
    while todo:
        f = todo.pop()
        if f not in seen:
            seen.add(f)
            todo += ABOVE[f]
    return seen


def room_of(name):
    parts = name.split("/")
    return parts[1] if parts[0] == "src" else parts[0]


def check_include(name, room, allowed, path):
    """What is wrong with including @path from @name, or None."""
    first = path.split("/")[0]
    if first == "mbfs":
        return None
    if first == "rt_backend":
        return None if room == "rt" else "rt's back end is included through rt/*.h only"
    if first not in ABOVE or "/" not in path:
        return None  # the system's, or its own folder's
    if first == room:
        return None
    if first not in allowed:
        return f"{room} may not include {first} (src/README.md)"
    if path.endswith("_priv.h"):
        return f"{path} is private to {first}"
    if first in OPEN or (room, first) in OPEN_TO or path == f"{first}/{first}.h":
        return None
    return f"of {first} only {first}/{first}.h may be included from outside"


def main():
    problems = []
    for name in files.c_files("src", "include", "fuse", "tools"):
        room = room_of(name)
        if name.startswith("include/"):
            allowed = set()
        elif room in ABOVE:
            allowed = above(room)
        elif room in OUTSIDE:
            allowed = set(OUTSIDE[room])
        else:
            problems.append(f"{name}: folder {room} is not in the table of tools/style/layers.py")
            continue
        text = files.read(name)
        for m in INCLUDE.finditer(text):
            wrong = check_include(name, room, allowed, m.group(2))
            if wrong:
                line = text.count("\n", 0, m.start()) + 1
                problems.append(f"{name}:{line}: {wrong}")
    files.finish(problems, "layers")


main()
