/* SPDX-License-Identifier: GPL-2.0-only */
/* Native back end of rt/percpu.h. */
#ifndef RT_BACKEND_PERCPU_H
#define RT_BACKEND_PERCPU_H

#ifndef _GNU_SOURCE
#error "build with -D_GNU_SOURCE"
#endif
#include <sched.h>

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

static inline unsigned rt_cpu(const struct rt_cpus *c)
{
	int cpu;

	if (c->is_virtual)
		return rt_thread_ordinal() % c->nr;
	cpu = sched_getcpu();
	if (__builtin_expect(cpu >= 0 && (unsigned)cpu < c->nr, 1))
		return (unsigned)cpu;
	return cpu < 0 ? 0 : (unsigned)cpu % c->nr;
}

struct rt_counter {
	struct rt_counter_slot {
		rt_u64 v;
	} __attribute__((aligned(RT_SLOT_BYTES))) *slots;
	unsigned nr;
};

static inline int rt_counter_init(struct rt_counter *k, const struct rt_cpus *c)
{
	k->nr = c->nr;
	k->slots = rt_zalloc_aligned(RT_SLOT_BYTES, sizeof(*k->slots) * c->nr);
	return k->slots ? 0 : -12; /* ENOMEM */
}
static inline void rt_counter_destroy(struct rt_counter *k)
{
	rt_free(k->slots);
	k->slots = NULL;
}
static inline void rt_counter_add(struct rt_counter *k, unsigned cpu, uint64_t n)
{
	rt_u64_add(&k->slots[cpu].v, n);
}
static inline void rt_counter_add_ordered(struct rt_counter *k, unsigned cpu, uint64_t n)
{
	rt_u64_add_return(&k->slots[cpu].v, n);
}
static inline uint64_t rt_counter_read(const struct rt_counter *k, unsigned cpu)
{
	return rt_u64_read(&k->slots[cpu].v);
}
static inline uint64_t rt_counter_sum(const struct rt_counter *k)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < k->nr; i++)
		sum += rt_u64_read_acquire(&k->slots[i].v);
	return sum;
}

#endif
