// SPDX-License-Identifier: GPL-2.0-only
/*
 * Magazines: what is done with all of a pool's. The fast path is mempool_priv.h's.
 *
 * Alloc and free never wait for a magazine. Who must have it (statistics, shrinking) yields until
 * its holder, who has a few instructions to go, is done.
 */
#include "reclaim/mempool_priv.h"

#include <errno.h>

#include "rt/mem.h"

int mempool_slots_open(struct mempool *p)
{
	size_t bytes = sizeof(struct mempool_slot) + sizeof(void *) * p->magazine_nr;

	p->slot_bytes = (bytes + RT_SLOT_BYTES - 1) / RT_SLOT_BYTES * RT_SLOT_BYTES;
	p->slots = rt_zalloc_aligned(RT_SLOT_BYTES, p->slot_bytes * rt_cpus_nr(p->cpus));
	return p->slots ? 0 : -ENOMEM;
}

static void slot_lock(struct mempool_slot *s)
{
	while (!mempool_slot_try(s))
		rt_yield();
}

unsigned mempool_magazines_steal(struct mempool *p, void **objs, unsigned nr)
{
	unsigned got = 0;

	for (unsigned cpu = 0; p->magazine_nr && cpu < rt_cpus_nr(p->cpus) && got < nr; cpu++) {
		struct mempool_slot *s = mempool_slot(p, cpu);

		if (!mempool_slot_try(s))
			continue;
		for (; got < nr && rt_plain_read(s->nr); s->gets++) {
			objs[got++] = s->objs[s->nr - 1];
			rt_plain_write(s->nr, s->nr - 1);
		}
		mempool_slot_release(s);
	}
	return got;
}

void mempool_slots_stats(const struct mempool *p, struct mempool_stats *out)
{
	for (unsigned cpu = 0; cpu < rt_cpus_nr(p->cpus); cpu++) {
		struct mempool_slot *s = mempool_slot(p, cpu);

		slot_lock(s);
		out->from_magazine += s->gets;
		out->frees += s->puts;
		out->in_magazines += rt_plain_read(s->nr);
		mempool_slot_release(s);
		out->from_magazine += rt_stat_read(&s->from_magazine);
		out->from_allocator += rt_stat_read(&s->from_allocator);
		out->frees += rt_stat_read(&s->frees);
	}
}

void mempool_shrink(struct mempool *p)
{
	for (unsigned cpu = 0; cpu < rt_cpus_nr(p->cpus); cpu++) {
		struct mempool_slot *s = mempool_slot(p, cpu);
		void *obj;

		do {
			slot_lock(s);
			obj = rt_plain_read(s->nr) ? s->objs[s->nr - 1] : NULL;
			if (obj)
				rt_plain_write(s->nr, s->nr - 1);
			mempool_slot_release(s);
			if (obj)
				mempool_put_back(p, obj);
		} while (obj);
	}
}
