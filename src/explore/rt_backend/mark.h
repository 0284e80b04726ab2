/* SPDX-License-Identifier: GPL-2.0-only */
/* Explorer's back end of rt/mark.h: clocks.c. */
#ifndef RT_BACKEND_MARK_H
#define RT_BACKEND_MARK_H

#include "explore/model.h"

void ex_plain(const void *addr, bool write, const struct ex_site *site);
void ex_racy(const void *addr, bool write, const struct ex_site *site);
/* The value first: what it takes to compute it comes before the write. */
#define EX_MARKED_READ(x, fn, read)             \
	({                                      \
		__typeof__(x) *ex_at_ = &(x);   \
		fn(ex_at_, false, EX_SITE(#x)); \
		read;                           \
	})
#define EX_MARKED_WRITE(x, v, fn, write)       \
	({                                     \
		__typeof__(x) ex_v_ = (v);     \
		__typeof__(x) *ex_to_ = &(x);  \
		fn(ex_to_, true, EX_SITE(#x)); \
		write;                         \
	})
#define rt_plain_read(x)     EX_MARKED_READ(x, ex_plain, *ex_at_)
#define rt_plain_write(x, v) EX_MARKED_WRITE(x, v, ex_plain, *ex_to_ = ex_v_)
#define rt_racy_read(x)      EX_MARKED_READ(x, ex_racy, __atomic_load_n(ex_at_, __ATOMIC_RELAXED))
#define rt_racy_write(x, v) \
	EX_MARKED_WRITE(x, v, ex_racy, __atomic_store_n(ex_to_, ex_v_, __ATOMIC_RELAXED))

/* ---- what is waited for like a lock (order.c); key: an address that stands for its class ---- */
void ex_dep_enter(const void *key, const struct ex_site *site);
void ex_dep_leave(const void *key, const struct ex_site *site);
void ex_dep_wait(const void *key, const struct ex_site *site);
#define rt_dep_enter(key, name) ex_dep_enter(key, EX_SITE(name))
#define rt_dep_leave(key)       ex_dep_leave(key, EX_SITE(""))
#define rt_dep_wait(key, name)  ex_dep_wait(key, EX_SITE(name))

#endif
