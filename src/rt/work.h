/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/work.h - threads: the contract.
 *
 *   rt_thread_start(fn, arg, name, &t)
 *       0, -ENOMEM or -EAGAIN. All signals are blocked in it: they are the main thread's business.
 *   rt_thread_join(t)
 *       Waits for fn to return and frees t.
 *   rt_thread_self()
 *       An address that no other living thread has; to compare, never to follow. Not NULL.
 */
#ifndef RT_WORK_H
#define RT_WORK_H

#include <rt_backend/work.h>

#endif
