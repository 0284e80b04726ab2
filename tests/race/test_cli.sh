#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: bad use of mbfs-race is refused by name with exit status 2, and --help, --version, list work.
# Method: a table of bad command lines and what the message must contain.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
fails=0

# refused TEXT ARG... - exit status 2, TEXT on stderr, nothing run
refused()
{
	local text=$1 out status=0
	shift
	out=$("$RACE" "$@" 2>&1 >/dev/null) || status=$?
	if [ $status != 2 ] || [[ $out != *"$text"* ]]; then
		printf 'mbfs-race %s: status %d, should be 2 and say "%s":\n%s\n' "$*" "$status" "$text" \
			"$out" >&2
		fails=$((fails + 1))
	fi
}

refused "list, run or matrix"
refused "unknown command 'jump'" jump
refused "unexpected argument 'more'" list more
refused "scenario is wanted" run
refused "no such scenario: 'deadlock'" run deadlock
refused "unexpected argument 'twice'" run enospc twice
refused "unknown option '--bogus'" run enospc --bogus
refused "--variant nope" run enospc --variant nope
refused "--variant nope" run enospc --variant claim-wait,nope
refused "--workload nope" run enospc --workload nope
refused "--threads 0" run enospc --threads 0
refused "--threads 2000" run enospc --threads 2000
refused "--threads 1,2" run enospc --threads 1,2
refused "--threads x" run enospc --threads x
refused "--cpus -1" run enospc --cpus -1
refused "--seconds 0" run enospc --seconds 0
refused "--seconds soon" run enospc --seconds soon
refused "--seconds needs a value" run enospc --seconds
refused "--rounds 0" run enospc --rounds 0
refused "--block-size 512" run enospc --block-size 512
refused "--size 1Q" run enospc --size 1Q
refused "--size 10" run enospc --size 10
refused "--widen here=5" run enospc --widen here=5
refused "--widen claim-scan" run enospc --widen claim-scan
refused "--widen auto=x" run enospc --widen auto=x
refused "--widen claim-scan=x" run enospc --widen claim-scan=x
refused "--json /nowhere/x" run enospc --json /nowhere/x
refused "--daemon /nowhere/mbfs" run enospc --mount --daemon /nowhere/mbfs
refused "not one block for each" run enospc --size 1M --threads 80

for args in --help --version list "run --help"; do
	# shellcheck disable=SC2086
	"$RACE" $args >/dev/null || {
		echo "mbfs-race $args failed" >&2
		fails=$((fails + 1))
	}
done
list=$("$RACE" list)
for word in pre-5.8 bb-free rfc-2020 5.8 5.10 5.17 6.0 6.0-fixed begin-end claim-wait enospc-discard enospc-busy fill fill-write pairs mixed \
	claim-scan mark-publish pa-busy scan-discard detach-free deleted-free; do
	grep -qE "^ *(workload )?$word( |\$)" <<<"$list" || {
		echo "mbfs-race list does not show $word" >&2
		fails=$((fails + 1))
	}
done
exit $((fails > 0))
