// SPDX-License-Identifier: GPL-2.0-only
/*
 * Growing under who looks for groups (shared seed 003_cf13f0bd3c5d7fa9), small. One thread adds a
 * group, and another: the second time an array goes that was published, and that a reader may have.
 *
 *   ARRAY    the others look for both, one after the other, in a table (reclaim/table.h)
 *   WRITERS  the other allocates a block in the first of them, and frees it; the allocator itself,
 *	      on memory
 *
 * Each slot must hold the thing that belongs there. In the check the size is right, everything is
 * free and the equations hold. A variant that hands out what was freed is stopped by the explorer,
 * which fills freed memory; real threads find what reclaim/table.c has put there.
 */
#include "race/small.h"

#include <errno.h>

#include "alloc/alloc.h"
#include "base/check.h"
#include "reclaim/table.h"

static bool resize_at(unsigned idx, struct race_variant *out)
{
	const struct mbfs_resize_variant *v = mbfs_resize_variant_at(idx);

	if (!v)
		return false;
	*out = (struct race_variant){ v->name, v->kernel, v->commit, v->summary, v->holds };
	return true;
}

const struct race_family race_resize = { .what = "resize", .ours = "mbfs", .at = resize_at };

enum { ARRAY, WRITERS };
enum { GROUPS = 3, GRP_BLKS = 8, LOOKS = 2 };

struct thing {
	uint32_t idx;
};

struct state {
	struct table t;
	struct thing *made[GROUPS]; /* what belongs in each slot; set before it is published */
	struct mbfs_alloc *a;
};

/* ---- a table ---- */

static void thing_make(struct state *s, uint32_t idx)
{
	s->made[idx] = table_new(&s->t, idx);
	s->made[idx]->idx = idx;
}

static void array_setup(struct small_run *r)
{
	const struct mbfs_alloc_tune tune = { .resize = r->variant };
	struct state *s = r->state;
	int err = table_open(&s->t, 1, sizeof(struct thing));

	MBFS_ASSERT(!err);
	alloc_grow_past(&tune, &s->t);
	thing_make(s, 0);
}

static void array_grow(struct small_run *r)
{
	struct state *s = r->state;

	for (uint32_t nr = 2; nr <= GROUPS; nr++) {
		if (table_ready(&s->t, nr)) {
			if (!r->faults)
				small_fail(r, "no memory");
			return;
		}
		thing_make(s, nr - 1);
		table_grow(&s->t, NULL);
	}
}

static void array_look(struct small_run *r)
{
	struct state *s = r->state;

	for (unsigned i = 0; i < LOOKS; i++)
		for (uint32_t idx = 1; idx < GROUPS; idx++) {
			const struct thing *thing = table_at(&s->t, idx);

			if (thing && thing != s->made[idx])
				small_fail(r, "the slot of group %u holds %p, not the group",
					   idx, (const void *)thing);
		}
}

static void array_check(struct small_run *r)
{
	struct state *s = r->state;
	const uint32_t nr = table_nr(&s->t);

	if (nr != GROUPS && !r->faults)
		small_fail(r, "%u groups at the end, not %u", nr, GROUPS);
	for (uint32_t idx = 0; idx < nr; idx++)
		if (table_at(&s->t, idx) != s->made[idx])
			small_fail(r, "group %u is lost", idx);
	table_close(&s->t);
	rt_rcu_barrier();
}

/* ---- an allocator ---- */

static void writers_setup(struct small_run *r)
{
	const struct mbfs_alloc_shape shape = {
		.blk_nr = GRP_BLKS, .blks_per_grp = GRP_BLKS, .block_bytes = 1024,
	};
	struct mbfs_diag diag = { "" };
	struct state *s = r->state;
	struct mbfs_alloc_tune tune;
	int err;

	mbfs_alloc_tune_default(&tune);
	tune.resize = r->variant;
	tune.cpus = 1;
	err = mbfs_alloc_open_mem(&shape, &tune, &diag, &s->a);
	MBFS_ASSERT(!err);
}

static void writers_grow(struct small_run *r)
{
	struct state *s = r->state;
	struct mbfs_diag diag = { "" };

	for (unsigned nr = 2; nr <= GROUPS; nr++)
		if (mbfs_alloc_grow(s->a, nr * GRP_BLKS, 0, &diag) && !r->faults)
			small_fail(r, "does not grow: %s", diag.text);
}

/* One block in the first group that is added, if it is there. */
static void writers_write(struct small_run *r)
{
	struct state *s = r->state;
	const struct mbfs_alloc_req req = { .len = 1, .goal = GRP_BLKS + 1 };
	struct mbfs_run got;
	int err;

	err = mbfs_alloc_blocks(s->a, NULL, &req, NULL, &got);
	if (!err)
		err = mbfs_alloc_free(s->a, NULL, &got);
	if (err && !r->faults)
		small_fail(r, "a writer is told %s",
			   err == -ENOSPC ? "ENOSPC although there is room" : "of an error");
}

static void writers_check(struct small_run *r)
{
	struct state *s = r->state;
	struct mbfs_diag diag = { "" };
	struct mbfs_alloc_stats st;

	mbfs_alloc_stats(s->a, &st);
	if (!r->faults && (st.blk_nr != GROUPS * GRP_BLKS || st.free_nr != st.blk_nr))
		small_fail(r, "%llu blocks at the end, %llu of them free, not %u",
			   (unsigned long long)st.blk_nr, (unsigned long long)st.free_nr,
			   GROUPS * GRP_BLKS);
	if (mbfs_alloc_check(s->a, &diag) && !r->faults)
		small_fail(r, "the equations do not hold: %s", diag.text);
	mbfs_alloc_close(s->a);
}

/* ---- both ---- */

static void setup(struct small_run *r)
{
	if (r->s->shape == ARRAY)
		array_setup(r);
	else
		writers_setup(r);
}

static void thread(struct small_run *r, unsigned me)
{
	static void (*const does[][2])(struct small_run * r) = {
		[ARRAY] = { array_grow, array_look },
		[WRITERS] = { writers_grow, writers_write },
	};

	does[r->s->shape][me > 0](r);
}

static void check(struct small_run *r)
{
	if (r->s->shape == ARRAY)
		array_check(r);
	else
		writers_check(r);
}

#define ROW(name_, threads_, shape_, summary_)                                                    \
	{                                                                                         \
		.name = name_, .summary = summary_, .family = &race_resize, .threads = threads_,  \
		.shape = shape_, .state_bytes = sizeof(struct state), .setup = setup,             \
		.thread = thread, .check = check                                                  \
	}

const struct small_scenario small_resize[] = {
	ROW("resize-array", 2, ARRAY, "an array grows twice, and one looks for what is in it"),
	ROW("resize-array-3", 3, ARRAY, "the same, and two look"),
	ROW("resize-writers", 2, WRITERS, "two groups are added, and one writes to the first"),
	{ .name = NULL },
};
