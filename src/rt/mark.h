/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/mark.h - marked accesses to plain variables, for the explorer's eyes: the contract.
 * @x is an lvalue with an address (no bit field), evaluated once.
 *
 *   rt_plain_read(x), rt_plain_write(x, v)
 *       A plain access, the same instruction. The explorer checks that the marked accesses to @x
 *       are ordered by happens-before (verdict: data race); it is no scheduling point.
 *   rt_racy_read(x), rt_racy_write(x, v)
 *       Meant to race, with other rt_racy_ ones: a relaxed atomic access to a scalar of at most
 *       8 bytes, and a scheduling point.
 *   rt_dep_enter(key, name), rt_dep_leave(key), rt_dep_wait(key, name)
 *       For what is waited for like a lock: this thread is at it; ends; waits for who is. It takes
 *       part in the order of locks. key: an address for its class; name: a literal.
 */
#ifndef RT_MARK_H
#define RT_MARK_H

#include <rt_backend/mark.h>

#endif
