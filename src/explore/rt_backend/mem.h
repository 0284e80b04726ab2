/* SPDX-License-Identifier: GPL-2.0-only */
/* Explorer's back end of rt/mem.h: the arena of the execution (arena.c). */
#ifndef RT_BACKEND_MEM_H
#define RT_BACKEND_MEM_H

#include "explore/model.h"

void *ex_alloc(size_t align, size_t bytes, bool zero, const struct ex_site *site)
	__attribute__((malloc, warn_unused_result));
char *ex_strdup(const char *s, const struct ex_site *site)
	__attribute__((malloc, warn_unused_result));
void ex_free(void *p, const struct ex_site *site);

#define rt_alloc(n)                 ex_alloc(16, n, false, EX_SITE(#n))
#define rt_zalloc(n)                ex_alloc(16, n, true, EX_SITE(#n))
#define rt_zalloc_aligned(align, n) ex_alloc(align, n, true, EX_SITE(#n))
#define rt_strdup(s)                ex_strdup(s, EX_SITE(#s))
#define rt_free(p)                  ex_free(p, EX_SITE(#p))

void rt_mem_fail_at(uint64_t n);
bool rt_mem_fail_struck(void);

#endif
