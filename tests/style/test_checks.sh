#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: the style checks find what they are for. Method: a small tree with one fault for each.
set -euo pipefail

HERE=$(cd "$(dirname "$0")/../.." && pwd)
TREE=$(mktemp -d)
trap 'rm -rf "$TREE"' EXIT
mkdir -p "$TREE/tools/style" "$TREE/src/disk" "$TREE/src/alloc" "$TREE/fuse"
cp "$HERE"/tools/style/*.py "$TREE/tools/style/"
: >"$TREE/tools/style/names-allow"
: >"$TREE/tools/size-exceptions"

# expect CHECK TEXT - it fails and says TEXT
expect()
{
	local out
	if out=$(python3 "$TREE/tools/style/$1.py" 2>&1); then
		echo "$1.py passed where it should say: $2" >&2
		exit 1
	fi
	case $out in
	*"$2"*) ;;
	*)
		printf '%s.py should say: %s\nbut said:\n%s\n' "$1" "$2" "$out" >&2
		exit 1 ;;
	esac
}

licence='// SPDX-License-Identifier: GPL-2.0-only'
for check in layers names sizes; do
	python3 "$TREE/tools/style/$check.py" # the empty tree is clean
done

printf '%s\n#include "alloc/alloc.h"\n' "$licence" >"$TREE/src/disk/up.c"
expect layers "src/disk/up.c:2: disk may not include alloc"
printf '%s\n#include "journal/handle.h"\n' "$licence" >"$TREE/src/alloc/deep.c"
expect layers "only journal/journal.h may be included"
printf '%s\n#include "alloc/alloc.h"\n' "$licence" >"$TREE/fuse/up.c"
expect layers "fuse may not include alloc"

printf '%s\n/* pthread_join is fine here */\nint f(void) { return pthread_self(); }\n' "$licence" \
	>"$TREE/src/disk/thread.c"
expect names "src/disk/thread.c:3: pthread_self"
printf '%s\nvoid *f(void) { return malloc(1); }\n' "$licence" >"$TREE/src/disk/mem.c"
expect names "src/disk/mem.c:2: malloc"
echo "src/disk/mem.c malloc" >"$TREE/tools/style/names-allow"
expect names "needs a reason"

{
	printf '%s\nint f(int a)\n{\n' "$licence"
	for i in $(seq 80); do echo "	a += $i;"; done
	printf '	return a;\n}\n'
} >"$TREE/src/disk/long.c"
expect sizes "f() has 83 lines"
printf 'int x;\n' >"$TREE/src/disk/free.c"
expect sizes "src/disk/free.c:1: the licence line"
printf '%s\n/* %0100d */\n' "$licence" 0 >"$TREE/src/disk/wide.c"
expect sizes "src/disk/wide.c:2: 106 columns"
echo "style checks find their faults"
