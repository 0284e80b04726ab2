/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/sync.h - atomics, locks, waiting, clock, random numbers: the contract both back ends keep.
 * The back end is chosen by include path: src/rt/native (pthreads, C11) or src/explore (simulated).
 *
 * Atomics: rt_u32, rt_u64, rt_ptr are structs; every access is a call. Orders are C11's.
 *   rt_u64_read, rt_u64_set                     relaxed
 *   rt_u64_read_acquire, rt_u64_set_release     acquire, release
 *   rt_u64_add(p, n)                            relaxed, no result
 *   rt_u64_add_return(p, n)                     seq_cst; the new value
 *   rt_u64_cas(p, &old, new)                    seq_cst; false: *old is what was there
 *   rt_u64_xchg(p, v)                           seq_cst; the old value
 *   rt_fence()                                  seq_cst fence
 * rt_u32 and rt_ptr (no add) likewise. Subtracting is adding the two's complement.
 *
 *   rt_read_once(x), rt_write_once(x, v)        relaxed, on a plain integer: what one thread
 *                                               changes now and then while others look. No
 *                                               scheduling point: only for numbers of which the old
 *                                               one does as well.
 *
 * Statistics: rt_stat_add(p, n), rt_stat_read(p) on an rt_stat: a number that no decision depends
 * on while threads run. Relaxed, and no scheduling point of the explorer.
 *
 * Locks carry a rank (src/LOCKING.md). With MBFS_LOCKRANK a thread may take only locks of a higher
 * rank than all it holds; equal rank only through the _nested calls, which name the order's reason.
 *   rt_mutex    may sleep while held; across device I/O only if LOCKING.md says so for its rank
 *   rt_spin     holder never sleeps, waits, allocates or does I/O
 *   rt_rwlock   as rt_mutex, with shared holders; not recursive
 *   rt_spin_held()  Whether the calling thread holds an rt_spin. Exact in every build, a load.
 *
 * Waiting:
 *   rt_event    An event count. key = rt_event_key(ev); then look for work; then
 *               rt_event_wait(ev, key) returns at once if rt_event_signal() was called since the
 *               key was taken, else sleeps until it is. A signal wakes all, is an atomic increment
 *               when nobody waits, may be given in any context, and is never lost.
 *               rt_event_wait_ns(ev, key, ns) sleeps at most ns (> 0): false if there was none.
 *   rt_cond     Condition variable on an rt_mutex. rt_cond_wait(c, m, ns): at most ns, 0 is no
 *               limit; false when the time ran out. It may wake for no reason: re-check in a loop.
 *
 * Clock: rt_now_ns() monotonic; rt_wall(&sec, &nsec) for time stamps; rt_sleep_ns(); rt_yield().
 * Random: struct rt_rand, seeded by the caller: same seed, same numbers; rt_rand_seed() for a fresh
 * one.
 */
#ifndef RT_SYNC_H
#define RT_SYNC_H

#include "rt/lockrank.h"
#include <rt_backend/sync.h>

#define rt_read_once(x)	    __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define rt_write_once(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

#endif
