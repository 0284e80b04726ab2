/* SPDX-License-Identifier: GPL-2.0-only */
/* Native back end of rt/mem.h: malloc, with a countdown that tests arm. */
#ifndef RT_BACKEND_MEM_H
#define RT_BACKEND_MEM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

void *rt_alloc(size_t bytes) __attribute__((malloc, warn_unused_result));
void *rt_zalloc(size_t bytes) __attribute__((malloc, warn_unused_result));
void *rt_zalloc_aligned(size_t align, size_t bytes) __attribute__((malloc, warn_unused_result));
char *rt_strdup(const char *s) __attribute__((malloc, warn_unused_result));

static inline void rt_free(void *p)
{
	free(p);
}

void rt_mem_fail_at(uint64_t n);
bool rt_mem_fail_struck(void);

#endif
