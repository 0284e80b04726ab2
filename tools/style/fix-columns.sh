#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# fix-columns.sh FILE... - clang-format only the lines that are too long, and the comments they are in.
set -euo pipefail

for file in "$@"; do
	for _ in 1 2 3 4; do # a reflowed comment can push its next line over
		mapfile -t lines < <(expand -t 8 "$file" | awk 'length > 100 { print "--lines=" NR ":" NR }')
		[ ${#lines[@]} != 0 ] || break
		clang-format -i --style=file "${lines[@]}" "$file"
	done
done
