// SPDX-License-Identifier: GPL-2.0-only
/*
 * Discarding preallocations: their unused blocks go back to the buddy.
 *
 *   a sweep over groups (discard_all)  when a request finds nothing: PAs of anybody that nobody is
 * busy with one file's (discard_file)          when its last writer closes it, or it is cut one
 * list of a locality group       when it has grown too long
 *
 * The variants differ in the sweep (enospc/): whether it waits for busy PAs, and if the blocks of
 * those it has detached are in the buddy or on a private list when the group's lock is dropped for
 * that; what it counts. The other two set deleted first and free the blocks in a later lock
 * hold: a sweep in between meets a PA that gives nothing (window W2 of
 * shared/notes/mballoc-history.md, open in mainline).
 */
#include "alloc/alloc_priv.h"

#include "base/bits.h"
#include "base/check.h"

/* ---- giving blocks back ---- */

static void bump_begin(struct mbfs_alloc *a, unsigned cpu)
{
	if (a->policy->bump & BUMP_BEGIN_END)
		rt_counter_add_ordered(&a->begin, cpu, 1);
}

static void bump_end(struct mbfs_alloc *a, unsigned cpu)
{
	if (a->policy->bump & BUMP_BEGIN_END)
		rt_counter_add_ordered(&a->end, cpu, 1);
}

uint32_t pa_blocks_free_locked(struct mbfs_alloc *a, struct pa *pa)
{
	uint32_t freed = 0, at = 0, end;

	if (pa->kind == PA_GROUP) {
		if (pa->len > 0)
			buddy_free(a, pa->grp, pa->start, pa->len);
		return pa->len;
	}
	while ((at = bits_next_clear(pa->used, at, pa->len)) < pa->len) {
		end = bits_next_set(pa->used, at, pa->len);
		buddy_free(a, pa->grp, pa->start + at, end - at);
		freed += end - at;
		at = end;
	}
	MBFS_ASSERT(freed == pa->free);
	return freed;
}

static void group_unlink_locked(struct group *g, struct pa *pa)
{
	TAILQ_REMOVE(&g->pas, pa, group_link);
	rt_u32_set(&g->pa_nr, rt_u32_read(&g->pa_nr) - 1);
}

static void count_discarded(struct mbfs_alloc *a, unsigned cpu, uint32_t freed)
{
	stat_add(a, cpu, STAT_DISCARDED, freed);
	stat_add(a, cpu, STAT_PA_NR, (uint64_t)-1);
	stat_add(a, cpu, STAT_PA_BLKS, -(uint64_t)freed);
}

/* ---- sweep ---- */

/* Claim a PA for discarding; false: somebody has it. Group lock held. */
static bool pa_claim(const struct enospc_policy *policy, struct pa *pa, bool *busy)
{
	bool mine = false;

	rt_spin_lock(&pa->lock);
	if (pa->deleted)
		*busy |= policy->deleted_is_busy;
	else if (pa->busy > 0)
		*busy = true;
	else
		mine = pa->deleted = true;
	rt_spin_unlock(&pa->lock);
	return mine;
}

/* All PAs of the group that nobody has go on the private list @detached. Group lock held. */
static uint32_t detach_locked(struct alloc_ctx *ac, struct group *g, struct pa_list *detached,
			      bool *busy)
{
	const struct enospc_policy *policy = ac->a->policy;
	uint32_t detached_blks = 0;
	bool found = false;
	struct pa *pa, *next;

	TAILQ_FOREACH_SAFE(pa, &g->pas, group_link, next) {
		if (!pa_claim(policy, pa, busy))
			continue;
		if (!found && (policy->bump & BUMP_DISCARD_FOUND))
			rt_counter_add_ordered(&ac->a->seq, ac->cpu, 1);
		found = true;
		bump_begin(ac->a, ac->cpu);
		group_unlink_locked(g, pa);
		detached_blks += pa->free;
		/* deleted is ours: nobody else uses this link (see pa_container_del() for the
		 * lists). */
		TAILQ_INSERT_TAIL(detached, pa, group_link);
	}
	return detached_blks;
}

/* The blocks of detached PAs go into the buddy; the PAs go to @empty. Group lock held. */
static void detached_free_locked(struct alloc_ctx *ac, struct pa_list *detached,
				 struct pa_list *empty)
{
	struct mbfs_alloc *a = ac->a;
	struct pa *pa;

	if (!TAILQ_EMPTY(detached))
		alloc_point_locked(a, MBFS_POINT_DETACH_FREE);
	while ((pa = TAILQ_FIRST(detached))) {
		bump_buddy(a, ac->cpu);
		count_discarded(a, ac->cpu, pa_blocks_free_locked(a, pa));
		bump_end(a, ac->cpu);
		TAILQ_REMOVE(detached, pa, group_link);
		TAILQ_INSERT_TAIL(empty, pa, group_link);
	}
}

static void containers_leave(struct mbfs_alloc *a, struct pa_list *empty)
{
	struct pa *pa;

	if (TAILQ_EMPTY(empty))
		return;
	alloc_notify(a);
	while ((pa = TAILQ_FIRST(empty))) {
		TAILQ_REMOVE(empty, pa, group_link);
		pa_container_del(pa);
	}
}

static bool list_is_empty(struct alloc_ctx *ac, struct group *g)
{
	/* As the kernel: the look at the list before the lock is taken is a race that it accepts.
	 */
	return rt_u32_read(&g->pa_nr) == 0 && !ac->a->tune.locked_checks &&
	       (!ac->strict || !ac->a->policy->deleted_is_busy);
}

/*
 * The kernel's ext4_mb_discard_group_preallocations(): all PAs that nobody has, whatever @need is;
 * with busy_wait again while that is not enough and some are busy. keep_detached: the blocks of
 * those found so far stay on the private list meanwhile.
 */
uint32_t discard_group(struct alloc_ctx *ac, struct group *g, uint32_t need, bool *busy)
{
	const struct enospc_policy *policy = ac->a->policy;
	struct pa_list detached = TAILQ_HEAD_INITIALIZER(detached);
	struct pa_list empty = TAILQ_HEAD_INITIALIZER(empty);
	uint32_t freed = 0;
	bool again;

	if (!g || !group_has(g, GROUP_LOADED) || list_is_empty(ac, g))
		return 0;
	do {
		bool met_busy = false;

		rt_spin_lock(&g->lock);
		if (policy->bump & BUMP_DISCARD_NONEMPTY)
			rt_counter_add_ordered(&ac->a->seq, ac->cpu, 1);
		freed += detach_locked(ac, g, &detached, &met_busy);
		again = policy->busy_wait && met_busy && freed < need;
		if (!again || !policy->keep_detached)
			detached_free_locked(ac, &detached, &empty);
		rt_spin_unlock(&g->lock);
		*busy |= met_busy;
		if (again) {
			if (!TAILQ_EMPTY(&detached))
				alloc_point(ac->a, MBFS_POINT_DETACH_FREE);
			rt_yield();
		}
	} while (again);
	containers_leave(ac->a, &empty);
	return freed;
}

uint32_t discard_all(struct alloc_ctx *ac, uint32_t need, bool *busy)
{
	uint32_t freed = 0;

	stat_add(ac->a, ac->cpu, STAT_SWEEPS, 1);
	for (mbfs_grp_t i = 0, nr = grp_nr_of(ac->a); i < nr && freed < need; i++)
		freed += discard_group(ac, group_at(ac->a, i), need - freed, busy);
	return freed;
}

/* ---- one owner's ---- */

/* Blocks of a PA whose deleted flag the caller has set come back. No lock held. */
static void deleted_free(struct mbfs_alloc *a, struct pa *pa, unsigned cpu)
{
	struct group *g = pa->grp;

	alloc_point(a, MBFS_POINT_DELETED_FREE);
	rt_spin_lock(&g->lock);
	group_unlink_locked(g, pa);
	bump_buddy(a, cpu); /* in the kernel's order: for a moment neither list nor counter tell */
	count_discarded(a, cpu, pa_blocks_free_locked(a, pa));
	rt_spin_unlock(&g->lock);
	bump_end(a, cpu);
	alloc_notify(a);
	pa_container_del(pa);
}

/* A PA of the file that can be deleted, deleted; NULL: none. *busy: some are in use by others. */
static struct pa *file_pa_delete(struct mbfs_alloc_file *f, unsigned cpu, bool *busy)
{
	struct pa *pa, *found = NULL;

	rt_spin_lock(&f->lock);
	RB_FOREACH(pa, pa_tree, &f->pas) {
		rt_spin_lock(&pa->lock);
		if (pa->busy > 0 && !pa->deleted)
			*busy = true;
		if (pa->busy == 0 && !pa->deleted) {
			bump_begin(f->a, cpu);
			pa->deleted = true;
			found = pa;
		}
		rt_spin_unlock(&pa->lock);
		if (found)
			break;
	}
	rt_spin_unlock(&f->lock);
	return found;
}

void discard_file(struct mbfs_alloc_file *f)
{
	unsigned cpu = rt_cpu(&f->a->cpus);
	bool busy;

	if (rt_u32_read(&f->pa_nr) == 0)
		return;
	do {
		struct pa *pa;

		busy = false;
		while ((pa = file_pa_delete(f, cpu, &busy)))
			deleted_free(f->a, pa, cpu);
		if (busy)
			rt_yield();
	} while (busy);
}

void discard_lg(struct mbfs_alloc *a, unsigned cpu, unsigned list, unsigned keep)
{
	struct locality_group *lg = &a->lgs[cpu];

	for (;;) {
		struct pa *pa, *found = NULL;

		rt_spin_lock(&lg->lock);
		if (lg->nr[list] > keep) {
			TAILQ_FOREACH_REVERSE(pa, &lg->lists[list], pa_list, owner_list) {
				rt_spin_lock(&pa->lock);
				if (pa->busy == 0 && !pa->deleted) {
					bump_begin(a, cpu);
					pa->deleted = true;
					found = pa;
				}
				rt_spin_unlock(&pa->lock);
				if (found)
					break;
			}
			if (found)
				lg_move_locked(lg, found, -1);
		}
		rt_spin_unlock(&lg->lock);
		if (!found)
			return;
		deleted_free(a, found, cpu);
	}
}
