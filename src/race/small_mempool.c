// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations that need an object of two or of three mempools, small: one operation a thread, one
 * object in each reserve (two with `sized`), no memory beside. The seed's ABBA is two threads. In
 * diagrams threads and pools have the same letters: "A has" B? is thread A, which waits for pool B.
 */
#include "race/pools.h"
#include "race/small.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

struct state {
	struct pools pools;
	struct pools_hand hand[SMALL_THREADS_MAX];
	rt_u32 user[POOLS_MAX]; /* [atomic] who has the object of this pool, + 1; reserve 1 only */
};

static unsigned reserve_of(const struct small_run *r)
{
	return strcmp(r->variant, "sized") == 0 ? 2 : 1;
}

static void setup(struct small_run *r)
{
	static const char *const names[] = { "user of A", "user of B", "user of C" };
	struct state *s = r->state;
	int err = pools_open(&s->pools, r->variant, (unsigned)r->s->shape, reserve_of(r), 1);

	MBFS_ASSERT(!err);
	for (unsigned i = 0; i < s->pools.pool_nr; i++)
		small_name(r, &s->user[i], names[i]);
}

static void thread(struct small_run *r, unsigned me)
{
	struct state *s = r->state;
	void *objs[POOLS_MAX];
	bool alone = reserve_of(r) == 1;

	pools_take(&s->pools, me, &s->hand[me], objs);
	for (unsigned i = 0; alone && i < s->pools.pool_nr; i++)
		if (rt_u32_xchg(&s->user[i], me + 1))
			small_fail(r, "one object of pool %s is two threads'", pools_name(i));
	for (unsigned i = 0; alone && i < s->pools.pool_nr; i++)
		rt_u32_set(&s->user[i], 0);
	pools_give(&s->pools, &s->hand[me], objs);
}

/* "A B?": holds A, waits for B. */
static void has(struct small_run *r, unsigned me, char *to)
{
	struct state *s = r->state;
	uint32_t holds = rt_u32_read(&s->hand[me].holds), wants = rt_u32_read(&s->hand[me].wants);
	size_t at = 0;

	snprintf(to, SMALL_TEXT_BYTES, "-");
	for (unsigned i = 0; i < POOLS_MAX; i++)
		if ((holds | wants) >> i & 1)
			at += (size_t)snprintf(to + at, SMALL_TEXT_BYTES - at, "%s%s",
					       pools_name(i), wants >> i & 1 ? "?" : "");
}

static void check(struct small_run *r)
{
	struct state *s = r->state;
	struct mempool_stats st;

	for (unsigned i = 0; i < s->pools.pool_nr; i++) {
		mempool_stats(s->pools.pool[i], &st);
		if (st.in_reserve != st.min_nr || st.allocs != st.frees ||
		    st.allocs != r->s->threads)
			small_fail(r, "pool %s: %u of %u in the reserve, %llu given out, %llu "
				      "taken back",
				   pools_name(i), st.in_reserve, st.min_nr,
				   (unsigned long long)st.allocs, (unsigned long long)st.frees);
	}
	pools_close(&s->pools);
}

/* shape: how many objects an operation needs. */
#define ROW(name_, threads_, needs_, summary_)                                              \
	{ .name = name_, .summary = summary_, .family = &race_mempool, .threads = threads_, \
	  .shape = needs_, .state_bytes = sizeof(struct state), .setup = setup,             \
	  .thread = thread, .has = has, .check = check }

const struct small_scenario small_mempool[] = {
	ROW("mempool-abba", 2, 2, "two operations need two pools in opposite order: the seed's"),
	ROW("mempool-abba-3", 3, 3, "three operations need three pools, each from another on"),
	ROW("mempool-abba-2-3", 3, 2, "three operations need two pools"),
	{ .name = NULL },
};
