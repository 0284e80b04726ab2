/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef RT_BACKEND_WORK_H
#define RT_BACKEND_WORK_H

struct rt_thread;

int rt_thread_start(void (*fn)(void *arg), void *arg, const char *name, struct rt_thread **out);
void rt_thread_join(struct rt_thread *t);
const void *rt_thread_self(void);

#endif
