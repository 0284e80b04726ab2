# SPDX-License-Identifier: GPL-2.0-only
"""What the style checks share: the files of the checkout, and C without comments and strings."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def all_files():
    """Paths of all files that are tracked or could be, relative to the root."""
    try:
        out = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"],
            check=True, capture_output=True).stdout
        names = [n for n in out.decode().split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = []  # no git, or a tarball
        for top, dirs, files in os.walk(ROOT):
            dirs[:] = [d for d in dirs if d != ".git" and not d.startswith("build")]
            names += [os.path.relpath(os.path.join(top, f), ROOT) for f in files]
    return sorted(n for n in set(names) if os.path.isfile(os.path.join(ROOT, n)))


def c_files(*tops):
    return [n for n in all_files()
            if n.endswith((".c", ".h")) and n.split("/")[0] in tops]


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as f:
        return f.read()


_NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """Comments and the insides of strings become blanks; line numbers stay. #include lines stay."""
    def blank(m):
        s = m.group(0)
        if s[0] in "\"'":
            return s[0] + " " * (len(s) - 2) + s[0]
        return re.sub(r"[^\n]", " ", s)
    return _NOT_CODE.sub(blank, text)


def allowances(name):
    """Lines 'PATH WORD...  # reason' of an exceptions file; a reason is a must."""
    found = {}
    for nr, line in enumerate(read(name).split("\n"), 1):
        entry, _, reason = line.partition("#")
        if not entry.strip():
            continue
        if not reason.strip():
            sys.exit(f"{name}:{nr}: an exception needs a reason after '#'")
        path, *words = entry.split()
        found.setdefault(path, []).append(words)
    return found


def finish(problems, what):
    for p in problems:
        print(p)
    if problems:
        print(f"{what}: {len(problems)} problem(s)")
    sys.exit(1 if problems else 0)
