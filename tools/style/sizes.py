#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Lengths of lines, functions and files; the licence line. Exceptions: tools/size-exceptions."""
import re

import files

COLUMNS, FUNCTION, SOURCE, HEADER = 100, 70, 900, 300
EXCEPTIONS = "tools/size-exceptions"


def width(line):
    return len(line.expandtabs(8))


def functions(lines):
    """(name, first line, length) of each body that starts with '{' in the first column."""
    start = None
    for nr, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = nr
        elif line.startswith("}") and start:
            yield function_name(lines, start), start, nr - start + 1
            start = None


def function_name(lines, start):
    head = " ".join(lines[max(0, start - 8):start - 1])
    found = re.findall(r"(\w+)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*$", head)
    return found[-1] if found else "?"


def limits_for(name, exceptions):
    """{what: limit} of one file; what is 'file', 'columns' or a function's name."""
    return {e[0]: int(e[1]) for e in exceptions.get(name, [])}


def check_c(name, lines, limits):
    most = limits.get("file", HEADER if name.endswith(".h") else SOURCE)
    if len(lines) > most:
        yield f"{name}: {len(lines)} lines; the limit is {most}"
    for func, start, length in functions(lines):
        most = limits.get(func, FUNCTION)
        if length > most:
            yield f"{name}:{start}: {func}() has {length} lines; the limit is {most}"


def has_licence(name, lines):
    head = lines[:2] if lines and lines[0].startswith("#!") else lines[:1]
    mark = r"(/\*|//)" if name.endswith((".c", ".h")) else "#"
    form = re.compile(mark + " SPDX-License-Identifier: GPL-2.0-only")
    return any(form.match(line) for line in head)


def main():
    problems = []
    exceptions = files.allowances(EXCEPTIONS)
    for name in files.all_files():
        is_c = name.endswith((".c", ".h"))
        is_script = name.endswith((".sh", ".py", ".cmake", "CMakeLists.txt"))
        if not is_c and not is_script:
            if not files.read(name).startswith("#!"):
                continue
        lines = files.read(name).rstrip("\n").split("\n")
        limits = limits_for(name, exceptions)
        if not has_licence(name, lines):
            problems.append(f"{name}:1: the licence line is missing or not in its form")
        if is_c:
            problems += check_c(name, lines, limits)
        most = limits.get("columns", COLUMNS)
        for nr, line in enumerate(lines, 1):
            if is_c and width(line) > most:
                problems.append(f"{name}:{nr}: {width(line)} columns; the limit is {most}")
            if line != line.rstrip():
                problems.append(f"{name}:{nr}: blanks at the end of the line")
    for name in exceptions:
        if name not in files.all_files():
            problems.append(f"{EXCEPTIONS}: {name} does not exist")
    files.finish(problems, "sizes")


main()
