// SPDX-License-Identifier: GPL-2.0-only
/* Simulated atomics, per-CPU counters, clock, random numbers and threads. */
#include "world.h"

#include <errno.h>

#include "rt/percpu.h"
#include "rt/work.h"

/* ---- atomics: sequentially consistent, or weak.c; orders matter to it, clocks and TSan ---- */

#define AS_OBJ(p) ((struct ex_obj *)(uintptr_t) & (p)->o)

#define WORD(v) ((uint64_t)(uintptr_t)(v))
#define UPDATE(p, to, ordered)                                            \
	do {                                                              \
		if (__builtin_expect(ex_weak_on, 0))                      \
			ex_weak_update(p, WORD((p)->v), WORD(to), ordered); \
		else                                                      \
			ex_sync_update(p, ordered);                       \
	} while (0)

#define ATOMIC_FUNCS(name, ctype)                                                             \
	ctype ex_##name##_read(const rt_##name *p, bool acquire, const struct ex_site *site)  \
	{                                                                                     \
		ex_point(EX_READ, AS_OBJ(p), NULL, p, 0, site);                               \
		ctype v = p->v;                                                               \
                                                                                              \
		if (__builtin_expect(ex_weak_on, 0))                                          \
			v = (ctype)(uintptr_t)ex_weak_load(p, WORD(v), acquire);              \
		else                                                                          \
			ex_sync_load(p, acquire);                                             \
		ex_value(WORD(v));                                                            \
		return v;                                                                     \
	}                                                                                     \
	void ex_##name##_set(rt_##name *p, ctype v, bool release, const struct ex_site *site) \
	{                                                                                     \
		ex_point(EX_SET, &p->o, NULL, p, 0, site);                                    \
		ex_value(WORD(v));                                                            \
		if (__builtin_expect(ex_weak_on, 0))                                          \
			ex_weak_store(p, WORD(p->v), WORD(v), release);                       \
		else                                                                          \
			ex_sync_store(p, release);                                            \
		p->v = v;                                                                     \
	}                                                                                     \
	bool ex_##name##_cas(rt_##name *p, ctype *old, ctype v, const struct ex_site *site)   \
	{                                                                                     \
		ex_point(EX_CAS, &p->o, NULL, p, 0, site);                                    \
		ex_value((uint64_t)(uintptr_t)p->v);                                          \
		if (p->v != *old) {                                                           \
			if (__builtin_expect(ex_weak_on, 0))                                  \
				ex_weak_failed(p, WORD(p->v));                                \
			else                                                                  \
				ex_sync_load(p, true);                                        \
			*old = p->v;                                                          \
			return false;                                                         \
		}                                                                             \
		UPDATE(p, v, true);                                                           \
		p->v = v;                                                                     \
		return true;                                                                  \
	}                                                                                     \
	ctype ex_##name##_xchg(rt_##name *p, ctype v, const struct ex_site *site)             \
	{                                                                                     \
		ctype old;                                                                    \
                                                                                              \
		ex_point(EX_XCHG, &p->o, NULL, p, 0, site);                                   \
		UPDATE(p, v, true);                                                           \
		old = p->v;                                                                   \
		ex_value((uint64_t)(uintptr_t)old);                                           \
		p->v = v;                                                                     \
		return old;                                                                   \
	}
#define ARITH_FUNCS(name, ctype)                                                        \
	void ex_##name##_add(rt_##name *p, ctype n, const struct ex_site *site)         \
	{                                                                               \
		ex_point(EX_ADD, &p->o, NULL, p, 0, site);                              \
		UPDATE(p, p->v + n, false);                                             \
		p->v += n;                                                              \
		ex_value(p->v);                                                         \
	}                                                                               \
	ctype ex_##name##_add_return(rt_##name *p, ctype n, const struct ex_site *site) \
	{                                                                               \
		ex_point(EX_ADD, &p->o, NULL, p, 0, site);                              \
		UPDATE(p, p->v + n, true);                                              \
		p->v += n;                                                              \
		ex_value(p->v);                                                         \
		return p->v;                                                            \
	}

ATOMIC_FUNCS(u32, uint32_t)
ATOMIC_FUNCS(u64, uint64_t)
ATOMIC_FUNCS(ptr, void *)
ARITH_FUNCS(u32, uint32_t)
ARITH_FUNCS(u64, uint64_t)

/* Where everything is sequentially consistent: no scheduling point. */
void ex_fence_at(const struct ex_site *site)
{
	if (ex_weak_on)
		ex_point(EX_FENCE, &ex_world->sim.fences, NULL, NULL, 0, site);
	if (ex_clocks_on)
		ex_clocks_fence(ex_weak_on);
}

/* ---- virtual CPUs ---- */

void rt_cpus_init(struct rt_cpus *c, unsigned nr)
{
	unsigned dflt = ex_world->opt->cpus;

	MBFS_ASSERT(nr <= RT_CPUS_MAX);
	c->is_virtual = true;
	c->nr = nr ? nr : dflt ? dflt : 2;
}

unsigned rt_thread_ordinal(void)
{
	int tid = ex_tid(ex_world, ex_world->cur);

	return tid < EX_FIRST ? 0 : (unsigned)tid - EX_FIRST;
}

/* No scheduling point, but a choice as long as migrations are left. */
unsigned rt_cpu(const struct rt_cpus *c)
{
	struct ex_world *w = ex_world;
	unsigned by = 0;

	if (w->sim.migrations > 0 && w->phase == EX_EXPLORE && !w->peeking)
		by = ex_data(c->nr);
	if (by) {
		w->sim.migrations--;
		w->cur->cpu_shift += by;
		explore_note("moves to cpu %u", (rt_thread_ordinal() + w->cur->cpu_shift) % c->nr);
	}
	return (rt_thread_ordinal() + w->cur->cpu_shift) % c->nr;
}

uint64_t ex_counter_sum(const struct rt_counter *k, const struct ex_site *site)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < k->nr; i++)
		sum += ex_u64_read(&k->slots[i].v, true, site);
	return sum;
}

/* ---- clock and random ---- */

enum { START_S = 1700000001 };

/* No scheduling point, but what was slept before belongs to what led here. */
uint64_t ex_now_ns(const struct ex_site *site)
{
	struct ex_world *w = ex_world;

	(void)site;
	if (w->sim.clock.wr)
		w->cur->hash = ex_mix(w->cur->hash, w->sim.clock.wr);
	return 1000000000 + w->sim.now_ns;
}

void rt_wall(int64_t *sec, uint32_t *nsec)
{
	uint64_t ns = ex_world->sim.now_ns;

	*sec = START_S + (int64_t)(ns / 1000000000);
	*nsec = (uint32_t)(ns % 1000000000);
}

void ex_sleep_ns(uint64_t ns, const struct ex_site *site)
{
	struct ex_world *w = ex_world;

	ex_point(EX_SLEEP, &w->sim.clock, NULL, &w->sim.clock, 0, site);
	w->sim.now_ns += ns;
	ex_value(ns);
}

void ex_yield(const struct ex_site *site)
{
	ex_point(EX_YIELD, NULL, NULL, NULL, 0, site);
}

uint64_t rt_rand_seed(void)
{
	struct ex_world *w = ex_world;

	return ex_mix((uint64_t)ex_tid(w, w->cur) + 1, ++w->cur->seeds);
}

/* ---- threads ---- */

struct rt_thread {
	int tid;
};

int ex_thread_start(void (*fn)(void *arg), void *arg, const char *name, struct rt_thread **out,
		    const struct ex_site *site)
{
	struct rt_thread *t = ex_alloc(16, sizeof(*t), true, site);

	if (!t)
		return -ENOMEM;
	ex_point(EX_SPAWN, NULL, NULL, NULL, 0, site);
	*out = t;
	t->tid = (int)ex_world->sim.thread_nr;
	if (ex_spawn(fn, arg, name) < 0) {
		*out = NULL;
		ex_free(t, site);
		return -EAGAIN;
	}
	return 0;
}

void ex_thread_join(struct rt_thread *t, const struct ex_site *site)
{
	struct ex_thread *th = &ex_world->sim.th[t->tid];

	ex_point(EX_JOIN, &th->life, NULL, NULL, (uint64_t)t->tid, site);
	ex_sync_acquire(th);
	ex_free(t, site);
}

const void *rt_thread_self(void)
{
	return ex_world->cur;
}
