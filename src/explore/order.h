/* SPDX-License-Identifier: GPL-2.0-only */
/* order.h - which locks are taken while which are held: order.c. */
#ifndef EXPLORE_ORDER_H
#define EXPLORE_ORDER_H

#include <stdbool.h>

struct ex_site;
struct ex_thread;
struct ex_world;

void ex_order_begin(void);     /* a search */
void ex_order_execution(void); /* an execution */
void ex_order_written(const void *key, bool nested, const struct ex_site *site);
/* @t, holding what it holds, is about to wait for a lock of this class. */
void ex_order_wanted(const struct ex_thread *t, const void *key, bool nested, bool read,
		     const struct ex_site *site);
void ex_order_check(struct ex_world *w);

#endif
