/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/percpu.h - virtual CPUs and data of one slot per virtual CPU: the contract.
 *
 *   struct rt_cpus       How many virtual CPUs there are and which one a thread is on.
 *   rt_cpus_init(c, n)   n = 0: the real CPUs, by the number the thread runs on now. n > 0: n
 *                        virtual CPUs; threads are spread over them in the order in which they
 *                        first ask.
 *   rt_cpus_nr(c)        1..RT_CPUS_MAX
 *   rt_cpu(c)            The calling thread's virtual CPU, 0..nr-1: a hint that may be stale at
 *                        once, so a slot is shared data: atomics or a lock.
 *
 *   struct rt_counter    A 64-bit counter of one padded slot per virtual CPU.
 *   rt_counter_init(&k, cpus)   0 or -ENOMEM
 *   rt_counter_destroy(&k)
 *   rt_counter_add(&k, cpu, n)  relaxed, this slot only; rt_counter_add_ordered: seq_cst
 *   rt_counter_read(&k, cpu)    one slot, relaxed
 *   rt_counter_sum(&k)          all slots; no snapshot: only "did anything change" (acquire loads)
 */
#ifndef RT_PERCPU_H
#define RT_PERCPU_H

#include <rt_backend/percpu.h>

#endif
