#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: a losing variant loses when the race is stretched, and claim-wait does not, in every workload.
# Method: the seed's geometry with 40 writers on 8 virtual CPUs; exit status and JSON say who lost.
set -euo pipefail

RACE=${MBFS_BUILD:?}/bin/mbfs-race
WIDEN=(--widen detach-free=2000 --widen deleted-free=2000 --widen mark-publish=2000)

# enospc ARG... - the number of false ENOSPC of one run
enospc()
{
	"$RACE" run enospc --threads 40 --cpus 8 --json - "$@" | sed 's/.*"enospc":\([0-9]*\),.*/\1/'
}

lost=$(enospc --variant pre-5.8 --seconds 3 "${WIDEN[@]}")
[ "$lost" -gt 0 ] || { echo "pre-5.8 lost nothing in 3 s with the points widened" >&2; exit 1; }

for block in 65536 4096; do
	"$RACE" run enospc --variant claim-wait --workload all --threads 40 --cpus 8 --seconds 2 \
		--block-size $block "${WIDEN[@]}" || { echo "claim-wait lost, widened" >&2; exit 1; }
	"$RACE" run enospc --variant claim-wait --workload all --threads 40 --cpus 8 --seconds 2 \
		--block-size $block || { echo "claim-wait lost" >&2; exit 1; }
done
"$RACE" run enospc --variant claim-wait --threads 1 --cpus 64 --rounds 3
echo "pre-5.8 lost $lost times, claim-wait never"
