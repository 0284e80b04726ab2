/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/work.h - threads: the contract.
 *
 *   rt_thread_start(fn, arg, name, &t)   0, -ENOMEM or -EAGAIN. All signals are blocked in it: they
 * are the main thread's business. rt_thread_join(t)                    waits for fn to return and
 * frees t
 */
#ifndef RT_WORK_H
#define RT_WORK_H

#include <rt_backend/work.h>

#endif
