/* SPDX-License-Identifier: GPL-2.0-only */
/* Explorer's back end of rt/work.h: simulated threads. */
#ifndef RT_BACKEND_WORK_H
#define RT_BACKEND_WORK_H

#include "explore/model.h"

struct rt_thread;

int ex_thread_start(void (*fn)(void *arg), void *arg, const char *name, struct rt_thread **out,
		    const struct ex_site *site);
void ex_thread_join(struct rt_thread *t, const struct ex_site *site);
const void *rt_thread_self(void);
#define rt_thread_start(fn, arg, name, out) ex_thread_start(fn, arg, name, out, EX_SITE(#fn))
#define rt_thread_join(t)                   ex_thread_join(t, EX_SITE(#t))

#endif
