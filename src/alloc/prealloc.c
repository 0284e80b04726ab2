// SPDX-License-Identifier: GPL-2.0-only
/*
 * Preallocations in use: finding one that serves a request, making one from what a request leaves.
 *
 *   a file's PA    in the file's tree by lblk; serves [lblk, lblk + len) of that file, in any order
 *   a group PA     in one of a virtual CPU's lists by the order of what is left; serves small files
 * from its front
 *
 * Life: made before any lock is taken; its blocks are marked used and it goes on its group's list
 * in one hold of the group's lock; then into its owner's container. It ends when its last block is
 * taken (by the user that took it, once nobody is busy with it) or when it is discarded
 * (discard.c). Whoever sets deleted is the only one to take it out of the group's list, out of its
 * container, and to free it.
 *
 * Locks: container (LG or PA_TREE) -> pa; group -> pa. Never a container inside a group.
 */
#include "alloc/alloc_priv.h"

#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "rt/mem.h"

/* PAs that wait for readers, on one virtual CPU; pointers in a page of 512 bytes. */
enum { DEAD_MAX = 1024, DEAD_PAGE_NR = 60 };

static int pa_cmp(struct pa *a, struct pa *b)
{
	return a->lblk < b->lblk ? -1 : a->lblk > b->lblk;
}

/* libbsd's macros leave some of what they generate unused. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE(pa_tree, pa, owner_tree, pa_cmp)
#pragma GCC diagnostic pop

struct pa *pa_make(struct alloc_ctx *ac)
{
	size_t bits = ac->group_pa ? 0 : div_up(ac->want_len, 64) * 8;
	struct pa *pa = rt_zalloc(sizeof(*pa) + bits);

	if (!pa)
		return NULL;
	pa->a = ac->a;
	rt_spin_init(&pa->lock, RANK_PA);
	pa->kind = ac->group_pa ? PA_GROUP : PA_FILE;
	pa->file = ac->group_pa ? NULL : ac->file;
	pa->lg_cpu = ac->cpu;
	pa->lg_list = -1;
	return pa;
}

void pa_unmake(struct pa *pa)
{
	if (!pa)
		return;
	rt_spin_destroy(&pa->lock);
	rt_free(pa);
}

static void pas_unmake(void *ctx, void *const *objs, unsigned nr)
{
	(void)ctx;
	for (unsigned i = 0; i < nr; i++)
		pa_unmake(objs[i]);
}

int pa_graveyard_open(struct mbfs_alloc *a)
{
	struct kvfree_config cfg = { .cpus = &a->cpus,
				     .free = pas_unmake,
				     .page_nr = DEAD_PAGE_NR,
				     .high_water = DEAD_MAX };

	return kvfree_open(&cfg, &a->dead_pas);
}

/* ---- use ---- */

static unsigned lg_list_of(uint32_t free)
{
	unsigned order = order_floor(free);

	return order < LG_LIST_NR ? order : LG_LIST_NR - 1;
}

/* Take up to @len blocks from @off of a file's PA. Lock held; returns how many. */
static uint32_t file_pa_take(struct pa *pa, uint32_t off, uint32_t len)
{
	uint32_t end = pa->len - off < len ? pa->len : off + len;

	end = bits_next_set(pa->used, off, end);
	if (end > off) {
		bits_set(pa->used, off, end - off);
		pa->free -= end - off;
	}
	return end - off;
}

/* The PA that covers the request, with blocks of it taken and the PA busy; NULL: none. */
static struct pa *file_pa_use(struct alloc_ctx *ac, mbfs_clu_t *start, uint32_t *len)
{
	struct mbfs_alloc_file *f = ac->file;
	mbfs_lblk_t lblk = ac->req->lblk;
	struct pa *pa;

	if (rt_u32_read(&f->pa_nr) == 0)
		return NULL;
	rt_spin_lock(&f->lock);
	pa = RB_ROOT(&f->pas);
	while (pa && !(lblk >= pa->lblk && lblk - pa->lblk < pa->len))
		pa = lblk < pa->lblk ? RB_LEFT(pa, owner_tree) : RB_RIGHT(pa, owner_tree);
	if (pa) {
		rt_spin_lock(&pa->lock);
		*len = pa->deleted ? 0 : file_pa_take(pa, lblk - pa->lblk, ac->len);
		*start = pa->start + (lblk - pa->lblk);
		if (*len > 0)
			pa->busy++;
		rt_spin_unlock(&pa->lock);
		if (*len == 0)
			pa = NULL;
	}
	rt_spin_unlock(&f->lock);
	return pa;
}

void lg_move_locked(struct locality_group *lg, struct pa *pa, int8_t to)
{
	if (pa->lg_list == to)
		return;
	if (pa->lg_list >= 0) {
		TAILQ_REMOVE(&lg->lists[pa->lg_list], pa, owner_list);
		lg->nr[pa->lg_list]--;
	}
	if (to >= 0) {
		TAILQ_INSERT_HEAD(&lg->lists[to], pa, owner_list);
		lg->nr[to]++;
	}
	pa->lg_list = to;
}

static uint64_t distance(const struct alloc_ctx *ac, const struct pa *pa)
{
	mbfs_blk_t at = group_start(ac->a, pa->grp) + pa->start, goal = ac->req->goal;

	return goal == 0 ? 0 : at > goal ? at - goal : goal - at;
}

/* The nearest PA of one list with enough left, taken from and busy. Lock of the locality group
 * held. */
static struct pa *lg_list_use(struct alloc_ctx *ac, struct locality_group *lg, unsigned list,
			      mbfs_clu_t *start)
{
	struct pa *pa, *best = NULL;
	uint64_t best_at = UINT64_MAX;

	TAILQ_FOREACH(pa, &lg->lists[list], owner_list) {
		uint64_t at;

		rt_spin_lock(&pa->lock);
		at = pa->deleted || pa->free < ac->len ? UINT64_MAX : distance(ac, pa);
		rt_spin_unlock(&pa->lock);
		if (at < best_at) {
			best = pa;
			best_at = at;
			if (at == 0)
				break;
		}
	}
	if (!best)
		return NULL;
	rt_spin_lock(&best->lock);
	if (best->deleted || best->free < ac->len) { /* discarded meanwhile */
		rt_spin_unlock(&best->lock);
		return NULL;
	}
	*start = best->start;
	best->start += ac->len;
	best->len -= ac->len;
	best->free -= ac->len;
	best->busy++;
	lg_move_locked(lg, best, best->free ? (int8_t)lg_list_of(best->free) : -1);
	best->unlinked = best->free == 0;
	rt_spin_unlock(&best->lock);
	return best;
}

static struct pa *group_pa_use(struct alloc_ctx *ac, mbfs_clu_t *start)
{
	struct locality_group *lg = &ac->a->lgs[ac->cpu];
	struct pa *pa = NULL;

	rt_spin_lock(&lg->lock);
	for (unsigned i = lg_list_of(ac->len); i < LG_LIST_NR && !pa; i++)
		if (lg->nr[i] > 0)
			pa = lg_list_use(ac, lg, i, start);
	rt_spin_unlock(&lg->lock);
	return pa;
}

/* Mark the blocks taken from a busy PA on disk; a PA with nothing left goes. */
static void pa_commit(struct alloc_ctx *ac, struct pa *pa, mbfs_clu_t start, uint32_t len)
{
	struct mbfs_alloc *a = ac->a;
	struct group *g = pa->grp;
	bool over;

	alloc_point(a, MBFS_POINT_PA_BUSY);
	rt_spin_lock(&g->lock);
	a->store->bitmap_update(a->store_ctx, ac->tx, g->idx, start, len, true);
	rt_spin_lock(&pa->lock);
	pa->busy--;
	over = pa->busy == 0 && pa->free == 0 && !pa->deleted;
	if (over)
		pa->deleted = true;
	rt_spin_unlock(&pa->lock);
	if (over) {
		TAILQ_REMOVE(&g->pas, pa, group_link);
		rt_u32_set(&g->pa_nr, rt_u32_read(&g->pa_nr) - 1);
	}
	rt_spin_unlock(&g->lock);
	stat_add(a, ac->cpu, STAT_PA_BLKS, -(uint64_t)len);
	if (over) {
		stat_add(a, ac->cpu, STAT_PA_NR, (uint64_t)-1);
		pa_container_del(pa);
	} else {
		alloc_notify(a); /* a sweep may have met it busy */
	}
}

bool pa_use(struct alloc_ctx *ac)
{
	struct mbfs_alloc *a = ac->a;
	struct pa *pa = NULL;
	mbfs_clu_t start = 0;
	uint32_t len = ac->len;

	if (!ac->file || !(ac->req->flags & MBFS_ALLOC_DATA) ||
	    (ac->req->flags & (MBFS_ALLOC_CONTIG | MBFS_ALLOC_GOAL_ONLY)))
		return false;
	pa = file_pa_use(ac, &start, &len);
	if (pa) {
		stat_add(a, ac->cpu, STAT_PA_INODE, 1);
	} else if (request_is_small(ac) && !(ac->req->flags & MBFS_ALLOC_NO_PREALLOC)) {
		len = ac->len;
		pa = group_pa_use(ac, &start);
		if (pa)
			stat_add(a, ac->cpu, STAT_PA_GROUP, 1);
	}
	if (!pa)
		return false;
	ac->got = (struct mbfs_run){ .start = group_start(a, pa->grp) + start, .len = len };
	pa_commit(ac, pa, start, len);
	return true;
}

/* ---- make ---- */

/* Which part of the found run serves the request, and what the PA covers. */
static void found_split(struct alloc_ctx *ac, uint32_t *use_off, uint32_t *use_len)
{
	const struct mbfs_alloc_req *req = ac->req;

	*use_off = 0;
	/* Shorter than wanted: begin with the request, so that it is covered. */
	if (ac->found >= ac->want_len && !ac->group_pa)
		*use_off = req->lblk - ac->want_lblk;
	*use_len = ac->found - *use_off < ac->len ? ac->found - *use_off : ac->len;
}

static void pa_publish_locked(struct alloc_ctx *ac, struct pa *pa)
{
	struct group *g = ac->grp;

	if (ac->a->policy->bump & BUMP_NEW_PA)
		rt_counter_add_ordered(&ac->a->seq, ac->cpu, 1);
	TAILQ_INSERT_TAIL(&g->pas, pa, group_link);
	rt_u32_set(&g->pa_nr, rt_u32_read(&g->pa_nr) + 1);
}

void pa_from_found(struct alloc_ctx *ac)
{
	struct mbfs_alloc *a = ac->a;
	struct pa *pa = ac->new_pa;
	uint32_t off, len;

	found_split(ac, &off, &len);
	a->store->bitmap_update(a->store_ctx, ac->tx, ac->grp->idx, ac->start + off, len, true);
	ac->got =
		(struct mbfs_run){ .start = group_start(a, ac->grp) + ac->start + off, .len = len };
	if (len == ac->found)
		return; /* nothing is left to keep: the caller frees new_pa */
	MBFS_ASSERT(pa);
	pa->grp = ac->grp;
	pa->busy = 1; /* until it is in its container: who discards it takes it out of there */
	if (pa->kind == PA_GROUP) {
		pa->start = ac->start + len;
		pa->len = pa->free = ac->found - len;
	} else {
		pa->lblk = ac->found >= ac->want_len ? ac->want_lblk : ac->req->lblk;
		pa->start = ac->start;
		pa->len = ac->found;
		pa->free = ac->found - len;
		bits_set(pa->used, off, len);
	}
	if (!a->policy->publish_late)
		pa_publish_locked(ac, pa);
}

void pa_publish_late(struct alloc_ctx *ac)
{
	if (!ac->a->policy->publish_late)
		return;
	alloc_point(ac->a, MBFS_POINT_MARK_PUBLISH);
	rt_spin_lock(&ac->grp->lock);
	pa_publish_locked(ac, ac->new_pa);
	rt_spin_unlock(&ac->grp->lock);
}

static bool file_pa_add(struct mbfs_alloc_file *f, struct pa *pa)
{
	struct pa *clash;

	rt_spin_lock(&f->lock);
	clash = RB_INSERT(pa_tree, &f->pas, pa);
	if (!clash)
		rt_u32_add_return(&f->pa_nr, 1);
	rt_spin_unlock(&f->lock);
	return !clash;
}

/* A PA without blocks, which the caller has marked deleted, goes. No lock held. */
static void pa_end_used_up(struct alloc_ctx *ac, struct pa *pa)
{
	struct group *g = pa->grp;

	rt_spin_lock(&g->lock);
	TAILQ_REMOVE(&g->pas, pa, group_link);
	rt_u32_set(&g->pa_nr, rt_u32_read(&g->pa_nr) - 1);
	rt_spin_unlock(&g->lock);
	stat_add(ac->a, ac->cpu, STAT_PA_NR, (uint64_t)-1);
	pa_container_del(pa);
}

void pa_container_add(struct alloc_ctx *ac)
{
	struct mbfs_alloc *a = ac->a;
	struct pa *pa = ac->new_pa;
	struct locality_group *lg = &a->lgs[pa->lg_cpu];
	bool placed = true, trim = false, over;
	unsigned list = 0;

	stat_add(a, ac->cpu, STAT_PREALLOCATED, pa->free);
	stat_add(a, ac->cpu, STAT_PA_NR, 1);
	stat_add(a, ac->cpu, STAT_PA_BLKS, pa->free);
	if (pa->kind == PA_FILE) {
		placed = file_pa_add(pa->file, pa);
	} else {
		rt_spin_lock(&lg->lock);
		list = lg_list_of(pa->free);
		lg_move_locked(lg, pa, (int8_t)list);
		trim = lg->nr[list] > LG_TRIM_ABOVE;
		rt_spin_unlock(&lg->lock);
	}
	rt_spin_lock(&pa->lock);
	/* Two threads made PAs of the same blocks of one file: this one is only good to be
	 * discarded. */
	pa->unlinked = !placed;
	pa->busy--;
	/* Others may have used it up since it is in its container, and left its end to us. */
	over = pa->busy == 0 && pa->free == 0 && !pa->deleted;
	if (over)
		pa->deleted = true;
	rt_spin_unlock(&pa->lock);
	ac->new_pa = NULL;
	if (over)
		pa_end_used_up(ac, pa);
	alloc_notify(a);
	if (trim)
		discard_lg(a, pa->lg_cpu, list, LG_TRIM_TO);
}

/* ---- end ---- */

void pa_container_del(struct pa *pa)
{
	struct mbfs_alloc_file *f = pa->file;
	struct mbfs_alloc *a = pa->a;
	struct locality_group *lg = &a->lgs[pa->lg_cpu];

	if (pa->kind == PA_GROUP) {
		rt_spin_lock(&lg->lock);
		lg_move_locked(lg, pa, -1);
		rt_spin_unlock(&lg->lock);
	} else if (!pa->unlinked) {
		rt_spin_lock(&f->lock);
		RB_REMOVE(pa_tree, &f->pas, pa);
		rt_spin_unlock(&f->lock);
		/* The last touch of the file: who closes it waits for this. */
		if (rt_u32_add_return(&f->pa_nr, (uint32_t)-1) == 0)
			rt_event_signal(&a->arrive);
	}
	kvfree_rcu(a->dead_pas, pa, &pa->dead);
}

void pa_owner_wait(struct mbfs_alloc_file *f)
{
	for (;;) {
		uint32_t key = rt_event_key(&f->a->arrive);

		if (rt_u32_read_acquire(&f->pa_nr) == 0)
			return;
		rt_event_wait(&f->a->arrive, key);
	}
}
