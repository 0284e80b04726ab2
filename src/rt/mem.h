/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rt/mem.h - memory: the contract.
 *
 *   rt_alloc(n)  rt_zalloc(n)  rt_zalloc_aligned(align, n)  rt_strdup(s)  rt_free(p; NULL is fine)
 *
 * They return NULL when there is no memory, and every caller handles it. For tests:
 *   rt_mem_fail_at(n)    the n-th allocation from now on fails (n from 1; 0: none), process-wide
 *   rt_mem_fail_struck() whether it has happened
 */
#ifndef RT_MEM_H
#define RT_MEM_H

#include <rt_backend/mem.h>

#endif
