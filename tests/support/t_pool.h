/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_pool.h - a backing for mempools that says what it was asked and has as much memory as the test
 * lets it have.
 */
#ifndef TESTS_SUPPORT_T_POOL_H
#define TESTS_SUPPORT_T_POOL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reclaim/mempool.h"
#include "rt/sync.h"

struct t_backing {
	rt_u32 left, left_waiting; /* tries that succeed: those that may not wait, and may */
	rt_u32 out;                /* objects out */
	char log[256];             /* with log_it: n or w, capital if it had none; f: freed */
	bool log_it;
};

static inline void t_backing_log(struct t_backing *b, char c)
{
	size_t n = strlen(b->log);

	if (b->log_it && n + 1 < sizeof(b->log)) {
		b->log[n] = c;
		b->log[n + 1] = '\0';
	}
}

static inline void *t_backing_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct t_backing *b = ctx;
	rt_u32 *left = may_wait ? &b->left_waiting : &b->left;
	uint32_t n = rt_u32_read(left);

	(void)align;
	while (n && !rt_u32_cas(left, &n, n - 1))
		;
	t_backing_log(b, "nNwW"[2 * may_wait + !n]);
	if (!n)
		return NULL;
	rt_u32_add_return(&b->out, 1);
	return malloc(bytes);
}

static inline void t_backing_free(void *ctx, void *obj)
{
	struct t_backing *b = ctx;

	t_backing_log(b, 'f');
	rt_u32_add_return(&b->out, (uint32_t)-1);
	free(obj);
}

static const struct mempool_backing t_backing_ops = { t_backing_alloc, t_backing_free };

/* So many tries succeed from now on. */
static inline void t_backing_set(struct t_backing *b, uint32_t left, uint32_t left_waiting)
{
	rt_u32_set(&b->left, left);
	rt_u32_set(&b->left_waiting, left_waiting);
	b->log[0] = '\0';
}

#endif
