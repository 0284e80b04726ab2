// SPDX-License-Identifier: GPL-2.0-only
#include "race/pools.h"

#include <string.h>

#include "base/check.h"
#include "rt/mem.h"

enum how { ONE_BY_ONE, SIZED, ORDERED, SINGLE, ATOMIC };
enum { OBJECT_BYTES = 64, RESERVE = 1, RESERVE_SIZED = 16 };

static const struct race_variant ways[] = {
	[ONE_BY_ONE] = { "one-by-one", "2011-11", "07/99", "each object when it is needed, in the "
			 "order in which it is needed: the patch", false },
	[SIZED] = { "sized", "2011-12", "07/99", "the same from bigger reserves: what the patch's "
		    "author hoped would do", false },
	[ORDERED] = { "ordered", NULL, NULL, "one by one, but the pools in one order for "
		      "everybody", true },
	[SINGLE] = { "single-object", NULL, NULL, "never more than one: an object that contains "
		     "what the operation needs", true },
	[ATOMIC] = { "atomic-reserve", NULL, NULL, "all at once, or wait with nothing in hand: "
		     "mempool_reserve()", true },
};

static bool way_at(unsigned idx, struct race_variant *out)
{
	if (idx >= MBFS_ARRAY_SIZE(ways))
		return false;
	*out = ways[idx];
	return true;
}

const struct race_family race_mempool = {
	.what = "mempool", .ours = "atomic-reserve", .at = way_at
};

static enum how how_of(const char *variant)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(ways); i++)
		if (strcmp(ways[i].name, variant) == 0)
			return (enum how)i;
	MBFS_ASSERT(!"no such variant");
	return ATOMIC;
}

unsigned pools_reserve_default(const char *variant)
{
	return how_of(variant) == SIZED ? RESERVE_SIZED : RESERVE;
}

unsigned pools_nr(const char *variant, unsigned need_nr)
{
	return how_of(variant) == SINGLE ? 1 : need_nr;
}

const char *pools_name(unsigned pool)
{
	static const char *const names[POOLS_MAX] = { "A", "B", "C" };

	MBFS_ASSERT(pool < POOLS_MAX);
	return names[pool];
}

/* ---- the allocator: fills the reserves, and then has nothing ---- */

static void *dry_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	const struct pools *p = ctx;

	(void)align, (void)may_wait;
	return rt_u32_read(&p->dry) ? NULL : rt_alloc(bytes);
}

static void dry_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

static const struct mempool_backing backing = { .alloc = dry_alloc, .free = dry_free };

int pools_open(struct pools *p, const char *variant, unsigned need_nr, unsigned reserve,
	       unsigned cpus)
{
	struct mempool_config cfg = { .min_nr = reserve,
				      .order = MEMPOOL_KERNEL,
				      .backing = &backing,
				      .ctx = p };
	int err;

	MBFS_ASSERT(need_nr >= 2 && need_nr <= POOLS_MAX);
	memset(p, 0, sizeof(*p));
	p->how = how_of(variant);
	p->need_nr = need_nr;
	p->pool_nr = pools_nr(variant, need_nr);
	cfg.bytes = p->how == SINGLE ? need_nr * OBJECT_BYTES : OBJECT_BYTES;
	rt_cpus_init(&p->cpus, cpus);
	err = mempool_domain_open(&p->cpus, &p->domain);
	for (unsigned i = 0; !err && i < p->pool_nr; i++) {
		cfg.name = pools_name(i);
		err = mempool_open(p->domain, &cfg, &p->pool[i]);
	}
	if (err)
		pools_close(p);
	rt_u32_set(&p->dry, 1);
	return err;
}

void pools_close(struct pools *p)
{
	for (unsigned i = 0; i < p->pool_nr; i++)
		mempool_close(p->pool[i]);
	if (p->domain)
		mempool_domain_close(p->domain);
}

/* ---- hands ---- */

static void hand_wants(struct pools_hand *h, uint32_t what)
{
	if (h->timed)
		rt_u64_set(&h->wants_at_ns, rt_now_ns());
	rt_u32_set(&h->wants, what);
}

static void hand_got(struct pools_hand *h, uint32_t what)
{
	uint64_t now = h->timed ? rt_now_ns() : 0;

	for (unsigned i = 0; h->timed && i < POOLS_MAX; i++)
		if (what >> i & 1)
			rt_u64_set(&h->held_at_ns[i], now);
	rt_u32_set(&h->holds, rt_u32_read(&h->holds) | what);
	rt_u32_set(&h->wants, 0);
}

/* ---- operations ---- */

static void take_one(struct pools *p, unsigned pool, struct pools_hand *hand,
		     void *objs[POOLS_MAX])
{
	hand_wants(hand, 1u << pool);
	objs[pool] = mempool_alloc(p->pool[pool], MEMPOOL_WAIT);
	hand_got(hand, 1u << pool);
}

static void take_all(struct pools *p, struct pools_hand *hand, void *objs[POOLS_MAX])
{
	struct mempool_want want[POOLS_MAX];
	uint32_t all = (1u << p->pool_nr) - 1;
	int err;

	for (unsigned i = 0; i < p->pool_nr; i++)
		want[i] = (struct mempool_want){ .pool = p->pool[i], .nr = 1 };
	hand_wants(hand, all);
	err = mempool_reserve(p->domain, want, p->pool_nr, MEMPOOL_WAIT, objs);
	MBFS_ASSERT(!err);
	hand_got(hand, all);
}

void pools_take(struct pools *p, unsigned me, struct pools_hand *hand, void *objs[POOLS_MAX])
{
	switch ((enum how)p->how) {
	case ATOMIC:
		take_all(p, hand, objs);
		return;
	case ORDERED:
	case SINGLE:
		me = 0;
		break;
	case ONE_BY_ONE:
	case SIZED:
		break;
	}
	for (unsigned i = 0; i < p->pool_nr; i++)
		take_one(p, (me + i) % p->pool_nr, hand, objs);
}

void pools_give(struct pools *p, struct pools_hand *hand, void *objs[POOLS_MAX])
{
	rt_u32_set(&hand->holds, 0);
	for (unsigned i = 0; i < p->pool_nr; i++)
		mempool_free(p->pool[i], objs[i]);
}
