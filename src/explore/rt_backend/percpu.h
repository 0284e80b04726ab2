/* SPDX-License-Identifier: GPL-2.0-only */
/* Explorer's back end of rt/percpu.h: virtual CPU = ordinal of the simulated thread % n,
 * and what migrations add to it. */
#ifndef RT_BACKEND_PERCPU_H
#define RT_BACKEND_PERCPU_H

#include "rt/mem.h"
#include "rt/sync.h"

enum { RT_CPUS_MAX = 1024, RT_SLOT_BYTES = 128 };

struct rt_cpus {
	unsigned nr;
	bool is_virtual;
};

void rt_cpus_init(struct rt_cpus *c, unsigned nr);
unsigned rt_thread_ordinal(void);

static inline unsigned rt_cpus_nr(const struct rt_cpus *c)
{
	return c->nr;
}

unsigned rt_cpu(const struct rt_cpus *c);

/* Slots are packed: padding would only make a reset slower. */
struct rt_counter {
	struct rt_counter_slot {
		rt_u64 v;
	} * slots;
	unsigned nr;
};

uint64_t ex_counter_sum(const struct rt_counter *k, const struct ex_site *site);

static inline int rt_counter_init(struct rt_counter *k, const struct rt_cpus *c)
{
	k->nr = c->nr;
	k->slots = rt_zalloc(sizeof(*k->slots) * c->nr);
	return k->slots ? 0 : -12; /* ENOMEM */
}
static inline void rt_counter_destroy(struct rt_counter *k)
{
	rt_free(k->slots);
	k->slots = NULL;
}
#define rt_counter_add(k, cpu, n) ex_u64_add(&(k)->slots[cpu].v, n, EX_SITE(#k))
#define rt_counter_add_ordered(k, cpu, n) \
	((void)ex_u64_add_return(&(k)->slots[cpu].v, n, EX_SITE(#k)))
#define rt_counter_read(k, cpu) ex_u64_read(&(k)->slots[cpu].v, false, EX_SITE(#k))
#define rt_counter_sum(k)       ex_counter_sum(k, EX_SITE(#k))

#endif
