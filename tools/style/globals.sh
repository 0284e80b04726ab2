#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# globals.sh ARCHIVE... - no mutable globals outside src/rt: nothing of our objects in .data or .bss.
# (Constant tables with pointers are in .data.rel.ro: read-only once relocated.)
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: globals.sh ARCHIVE..." >&2; exit 2; }
ROOT=$(cd "$(dirname "$0")/../.." && pwd)

# Names of the objects that rt is made of: an archive keeps no folders.
rt_objects=" $(cd "$ROOT/src/rt" && find . -name '*.c' -printf '%f.o ')"
bad=0
for archive in "$@"; do
	[ -f "$archive" ] || { echo "globals.sh: $archive is not there" >&2; exit 2; }
	found=$(objdump -t "$archive" | awk -v rt="$rt_objects" '
		/^[^ ]+:     file format/ { obj = $1; sub(/:$/, "", obj); next }
		index(rt, " " obj " ") { next }
		# address, flags, section, size, name: the flags may be blank
		/ O [.](data|bss|tdata|tbss)/ {
			section = ""; for (i = 1; i <= NF; i++) if ($i ~ /^[.](data|bss|tdata|tbss)/) section = $i
			if (section ~ /^[.]data[.]rel[.]ro/) next
			if ($NF ~ /^(__odr_asan|_*asan|__sancov|[.]L)/) next
			print obj ": " $NF " in " section
		}')
	if [ -n "$found" ]; then
		echo "$found"
		bad=1
	fi
done
[ $bad = 0 ] || echo "globals: mutable data outside src/rt"
exit $bad
