#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: each losing variant loses when its window is widened, and claim-wait does not with all of them
# widened, in every workload.
# Method: the seed's geometry with 40 writers on 8 virtual CPUs; exit status and JSON say who lost.
# MBFS_LONG=1: for longer.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
WIDEN=(--widen auto=3000)
EACH=0.5
[ -z "${MBFS_LONG:-}" ] || EACH=3

# enospc ARG... - the number of false ENOSPC of one run
enospc()
{
	"$RACE" run enospc --threads 40 --cpus 8 --json - "$@" | sed 's/.*"enospc":\([0-9]*\),.*/\1/'
}

for variant in pre-5.8 bb-free rfc-2020 5.10 5.17 6.0; do
	lost=$(enospc --threads 80 --cpus 16 --variant $variant --seconds 0.4 "${WIDEN[@]}")
	[ "$lost" -gt 0 ] || { echo "$variant lost nothing in 0.4 s with its window widened" >&2; exit 1; }
	echo "$variant lost $lost times"
done

for block in 65536 4096; do
	"$RACE" run enospc --variant claim-wait --workload all --threads 40 --cpus 8 --seconds "$EACH" \
		--block-size $block "${WIDEN[@]}" || { echo "claim-wait lost, widened" >&2; exit 1; }
	"$RACE" run enospc --variant claim-wait --workload all --threads 40 --cpus 8 --seconds "$EACH" \
		--block-size $block || { echo "claim-wait lost" >&2; exit 1; }
done
"$RACE" run enospc --variant claim-wait --threads 1 --cpus 64 --rounds 3
echo "claim-wait never"
