// SPDX-License-Identifier: GPL-2.0-only
#include "rt/mem.h"
#include "rt/sync.h"

#include <string.h>

static rt_u64 fail_left;   /* allocations until the one that fails; 0: none is to fail */
static rt_u32 fail_struck; /* 1 once it has failed */

static bool alloc_may(void)
{
	uint64_t left = rt_u64_read(&fail_left);

	while (left > 0) {
		if (!rt_u64_cas(&fail_left, &left, left - 1))
			continue;
		if (left > 1)
			return true;
		rt_u32_set(&fail_struck, 1);
		return false;
	}
	return true;
}

void rt_mem_fail_at(uint64_t n)
{
	rt_u32_set(&fail_struck, 0);
	rt_u64_set(&fail_left, n);
}

bool rt_mem_fail_struck(void)
{
	return rt_u32_read(&fail_struck) != 0;
}

void *rt_alloc(size_t bytes)
{
	return alloc_may() ? malloc(bytes) : NULL;
}

void *rt_zalloc(size_t bytes)
{
	return alloc_may() ? calloc(1, bytes) : NULL;
}

void *rt_zalloc_aligned(size_t align, size_t bytes)
{
	void *p = NULL;

	if (!alloc_may() || posix_memalign(&p, align, bytes))
		return NULL;
	memset(p, 0, bytes);
	return p;
}

char *rt_strdup(const char *s)
{
	return alloc_may() ? strdup(s) : NULL;
}
