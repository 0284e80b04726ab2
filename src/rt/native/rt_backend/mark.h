/* SPDX-License-Identifier: GPL-2.0-only */
/* Native back end of rt/mark.h. */
#ifndef RT_BACKEND_MARK_H
#define RT_BACKEND_MARK_H

#define rt_plain_read(x)     (x)
#define rt_plain_write(x, v) ((x) = (v))
#define rt_racy_read(x)      __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define rt_racy_write(x, v)  __atomic_store_n(&(x), v, __ATOMIC_RELAXED)

#define rt_dep_enter(key, name) ((void)(key))
#define rt_dep_leave(key)       ((void)(key))
#define rt_dep_wait(key, name)  ((void)(key))

#endif
