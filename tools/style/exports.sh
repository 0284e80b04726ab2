#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# exports.sh ARCHIVE - MBFS_API in include/mbfs, tests/exports and what the library exports are one list.
set -euo pipefail

[ $# = 1 ] || { echo "usage: exports.sh ARCHIVE" >&2; exit 2; }
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
export LC_ALL=C

# A declaration may span lines: from MBFS_API to the first "name(" that is no macro of ours.
cat "$ROOT"/include/mbfs/*.h | tr '\n\t' '  ' | grep -o 'MBFS_API [^;]*;' |
	sed 's/MBFS_MUST_CHECK//; s/MBFS_PRINTF([^)]*)//; s/(.*//; s/.*[ *]//' | grep '^mbfs_' | sort >"$TMP/headers"
grep -v '^#' "$ROOT/tests/exports" | sort >"$TMP/list"
readelf -sW "$1" 2>/dev/null |
	awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" { print $8 }' |
	sort -u >"$TMP/library"

bad=0
diff -u --label tests/exports "$TMP/list" --label include/mbfs "$TMP/headers" || bad=1
diff -u --label tests/exports "$TMP/list" --label "$(basename "$1")" "$TMP/library" || bad=1
[ $bad = 0 ] || echo "exports: the lists differ"
exit $bad
