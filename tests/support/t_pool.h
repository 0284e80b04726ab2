/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_pool.h - a backing for mempools that says what it was asked and has as much memory as the test
 * lets it have.
 */
#ifndef TESTS_SUPPORT_T_POOL_H
#define TESTS_SUPPORT_T_POOL_H

#include <stdlib.h>

#include "reclaim/mempool.h"
#include "rt/sync.h"

struct t_backing {
	rt_u32 left, left_waiting;  /* tries that succeed: those that may not wait, and may */
	rt_u32 out;                 /* objects out */
	rt_u32 asked[16], asked_nr; /* with log_it; letters, see t_backing_asked() */
	bool log_it;
};

static inline void t_backing_log(struct t_backing *b, char c)
{
	uint32_t n = b->log_it ? rt_u32_add_return(&b->asked_nr, 1) : 0;

	if (n && n <= 16)
		rt_u32_set(&b->asked[n - 1], (unsigned char)c);
}

/* What it was asked since t_backing_set(), the first 16: n, w: for memory, waiting not or allowed,
 * capital if it had none; f: to free. Valid until the next call. */
static inline const char *t_backing_asked(const struct t_backing *b)
{
	static char text[17];
	uint32_t nr = rt_u32_read(&b->asked_nr);

	for (uint32_t i = 0; i < 16; i++)
		text[i] = i < nr ? (char)rt_u32_read(&b->asked[i]) : '\0';
	return text;
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
	rt_u32_set(&b->asked_nr, 0);
}

#endif
