#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# nm.sh ARCHIVE - no object of the explorer build reaches for real threads, liburcu, clocks or malloc.
set -euo pipefail

[ $# = 1 ] || { echo "usage: nm.sh ARCHIVE" >&2; exit 2; }
undefined=$(nm -A --undefined-only "$1" | sed 's/@.*//')
[ -n "$undefined" ] || { echo "nm.sh: nothing read from $1" >&2; exit 2; }
# isa-l's crc is pure; the engine's own memory is mmap's
bad=$(grep -E ' U (pthread_|urcu_|rcu_|cds_|__atomic_|__sync_|sem_|futex|syscall$|sched_|clock_|gettimeofday|time$|nanosleep|usleep|sleep$|malloc$|calloc$|realloc$|free$|posix_memalign|aligned_alloc|strdup$|rand$|random$|getrandom|getpid)' <<<"$undefined" || true)
if [ -n "$bad" ]; then
	echo "$bad"
	echo "nm.sh: the explorer would not see these"
	exit 1
fi
