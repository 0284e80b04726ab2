// SPDX-License-Identifier: GPL-2.0-only
/*
 * Choosing a group and a run in it, by the kernel's five criteria:
 *
 *   CR_POWER2_ALIGNED   the want is 2^n, n >= mb_order2_req: a group with a chunk of order n
 *   CR_GOAL_LEN_FAST    a group whose free runs are on average as long as the want
 *   CR_BEST_AVAIL_LEN   data only: the want cut by up to 3 orders, but not below the request
 *   CR_GOAL_LEN_SLOW    any group that may have such a run, by its largest chunk
 *   CR_ANY_FREE         any free block; takes the longest run seen
 *
 * All but the last use the indexes (index.c); the kernel's CR_GOAL_LEN_SLOW walks all groups, which
 * took 32 ms on an aged 1 TiB.
 *
 * Before them the goal itself. Groups are gone through from the goal's to the end, then from the
 * start. A group that somebody has locked is passed over by all but the last criterion.
 *
 * What is found is marked used, and what the request leaves of it published as a PA, in one hold of
 * the group's lock (but see pa_publish_late()).
 */
#include "alloc/alloc_priv.h"

#include <errno.h>

#include "base/bits.h"
#include "base/check.h"

enum criterion {
	CR_POWER2_ALIGNED,
	CR_GOAL_LEN_FAST,
	CR_BEST_AVAIL_LEN,
	CR_GOAL_LEN_SLOW,
	CR_ANY_FREE
};

/* The best run seen so far by CR_ANY_FREE. */
struct best {
	struct group *grp;
	uint32_t len;
	uint32_t extents; /* looked at */
};

static mbfs_grp_t goal_group(const struct alloc_ctx *ac)
{
	mbfs_blk_t goal = ac->want_goal;

	if (goal < ac->a->shape.first_blk || goal >= blk_nr_of(ac->a))
		return 0;
	return (mbfs_grp_t)((goal - ac->a->shape.first_blk) / ac->a->shape.blks_per_grp);
}

/* [start, start + len) of a locked group is it. */
static void take_locked(struct alloc_ctx *ac, struct group *g, mbfs_clu_t start, uint32_t len)
{
	ac->grp = g;
	ac->start = start;
	ac->found = len;
	bump_buddy(ac->a, ac->cpu);
	buddy_mark(ac->a, g, start, len);
	pa_from_found(ac);
}

/*
 * A group whose largest chunk has order k has no run of 2^(k+2) - 1 blocks: wherever that lay, it
 * would hold an aligned chunk of order k + 1. So this is the least k for a run of @want blocks.
 */
static unsigned order_least(uint32_t want)
{
	unsigned order = order_ceil((uint64_t)want + 2);

	return order > 2 ? order - 2 : 0;
}

/* Runs around the chunks of one order of a locked group: the longest, or the first of @want. */
static void runs_look(struct alloc_ctx *ac, const struct group *g, unsigned order, uint32_t want,
		      uint32_t limit, mbfs_clu_t *start, uint32_t *len, uint32_t *extents)
{
	mbfs_clu_t chunk = 0, at, end;

	while (*len < want && (chunk = buddy_chunk_next(g, order, chunk)) < g->len) {
		if (++*extents > limit) {
			stat_add(ac->a, ac->cpu, STAT_BREAKS, 1);
			return;
		}
		at = bits_clear_since(g->bits, 0, chunk);
		end = bits_next_set(g->bits, chunk, g->len);
		if (end - at > *len) {
			*len = end - at;
			*start = at;
		}
		chunk = end; /* other chunks in it are the same run */
	}
}

/*
 * A run of @want blocks out of a locked group; one around its largest chunks if there is none and
 * @any.
 */
static bool run_find(struct alloc_ctx *ac, const struct group *g, uint32_t want, bool any,
		     mbfs_clu_t *start, uint32_t *len, struct best *best)
{
	const struct mbfs_alloc_tune *tune = &ac->a->tune;
	uint32_t limit = any && best->grp ? tune->min_to_scan : tune->max_to_scan, extents = 0;
	int order, least;

	if (g->largest < 0)
		return false;
	*len = want;
	if (buddy_take(ac->a, g, want, start))
		return true;
	/* Only runs that are not aligned may be long enough. They are around chunks. */
	*len = 0;
	order = g->largest;
	least = any ? order : (int)order_least(want);
	for (; order >= least && *len < want && extents <= limit; order--)
		runs_look(ac, g, (unsigned)order, want, limit, start, len, &extents);
	stat_add(ac->a, ac->cpu, STAT_EXTENTS, extents);
	best->extents += extents;
	if (*len == 0 || (*len < want && !any))
		return false;
	if (*len > want)
		*len = want;
	return true;
}

/* Look into one group. True: taken. With CR_ANY_FREE a shorter run is only remembered in *best. */
static bool group_try(struct alloc_ctx *ac, struct group *g, enum criterion cr, uint32_t want,
		      struct best *best)
{
	bool any = cr == CR_ANY_FREE, got = false;
	mbfs_clu_t start;
	uint32_t len;
	int err;

	if (!g)
		return false; /* in the index, but not to be seen yet */
	stat_add(ac->a, ac->cpu, STAT_CR_CONSIDERED + cr, 1);
	/* Strict: a racy 0 may be a lie by the time it is read; look under the lock. */
	if (!ac->strict && !ac->a->tune.locked_checks &&
	    rt_u32_read(&g->free_nr) < (any ? 1 : want))
		return false;
	if (group_has(g, GROUP_BAD))
		return false;
	err = group_load(ac->a, g);
	if (err) {
		ac->load_err = err;
		return false;
	}
	if (any)
		rt_spin_lock(&g->lock);
	else if (!rt_spin_trylock(&g->lock))
		return false;
	stat_add(ac->a, ac->cpu, STAT_SCANNED, 1);
	if (run_find(ac, g, want, any, &start, &len, best)) {
		got = len >= want;
		if (got) {
			take_locked(ac, g, start, len);
		} else if (len > best->len) {
			best->grp = g;
			best->len = len;
		}
	}
	rt_spin_unlock(&g->lock);
	if (got)
		stat_add(ac->a, ac->cpu, STAT_CR_HITS + cr, 1);
	return got;
}

/* Exactly at the goal, as long as it goes. */
static bool goal_try(struct alloc_ctx *ac)
{
	struct mbfs_alloc *a = ac->a;
	bool contig = ac->req->flags & MBFS_ALLOC_CONTIG, got = false;
	bool only = ac->req->flags & MBFS_ALLOC_GOAL_ONLY;
	struct group *g;
	mbfs_clu_t start, end;
	int err;

	if (ac->want_goal < a->shape.first_blk || ac->want_goal >= blk_nr_of(a) ||
	    ac->want_goal == 0)
		return false;
	g = group_at(a, goal_group(ac));
	if (!g)
		return false;
	start = (mbfs_clu_t)(ac->want_goal - group_start(a, g));
	if (rt_u32_read(&g->free_nr) == 0)
		return false;
	err = group_load(a, g);
	if (err) {
		ac->load_err = err;
		return false;
	}
	rt_spin_lock(&g->lock);
	if (start < g->len && !bit_test(g->bits, start)) {
		uint32_t max = g->len - start < ac->want_len ? g->len - start : ac->want_len;

		end = bits_next_set(g->bits, start, start + max);
		/* Less than wanted only if it is as much as asked, or there is nowhere else to go.
		 */
		got = end - start >= ac->want_len ||
		      (!contig && (only || (end - start >= ac->len)));
		if (got)
			take_locked(ac, g, start, end - start);
	}
	rt_spin_unlock(&g->lock);
	if (got) {
		stat_add(a, ac->cpu, STAT_GOAL_HITS, 1);
		if (ac->found == ac->want_len)
			stat_add(a, ac->cpu, STAT_LEN_GOAL_HITS, 1);
	}
	return got;
}

/* Groups of one order of an index, from the goal's group around. */
static bool index_try(struct alloc_ctx *ac, const struct group_index *ix, unsigned order,
		      mbfs_grp_t from, enum criterion cr, uint32_t want, struct best *best)
{
	for (int half = 0; half < (from > 0 ? 2 : 1); half++) {
		mbfs_grp_t end = half ? from : INDEX_NONE;

		for (mbfs_grp_t i = index_next(ix, order, half ? 0 : from); i < end;
		     i = index_next(ix, order, i + 1))
			if (group_try(ac, group_at(ac->a, i), cr, want, best))
				return true;
	}
	return false;
}

/* The same for orders [@order, @end), from the least or from the greatest on. */
static bool orders_try(struct alloc_ctx *ac, const struct group_index *ix, unsigned order,
		       unsigned end, bool down, mbfs_grp_t from, enum criterion cr, uint32_t want,
		       struct best *best)
{
	uint64_t left = index_orders(ix, order, end);

	while (left) {
		order = down ? 63 - (unsigned)__builtin_clzll(left) :
			       (unsigned)__builtin_ctzll(left);
		left &= ~(1ull << order);
		if (index_try(ac, ix, order, from, cr, want, best))
			return true;
	}
	return false;
}

static bool criterion_try(struct alloc_ctx *ac, enum criterion cr, mbfs_grp_t from, uint32_t want,
			  struct best *best)
{
	struct mbfs_alloc *a = ac->a;
	unsigned least = order_ceil(want), nr = a->order_nr;

	switch (cr) {
	case CR_POWER2_ALIGNED:
		return orders_try(ac, &a->by_order, least, nr, false, from, cr, want, best);
	case CR_GOAL_LEN_FAST:
		return orders_try(ac, &a->by_frag, order_floor(want), nr, false, from, cr, want,
				  best);
	case CR_BEST_AVAIL_LEN:
		/* A group of short runs on average may still have a chunk that is large enough. */
		return orders_try(ac, &a->by_frag, order_floor(want), nr, false, from, cr, want,
				  best) ||
		       orders_try(ac, &a->by_order, least, nr, false, from, cr, want, best);
	case CR_GOAL_LEN_SLOW:
		/* Those that surely have a run so long, then those that may have one. */
		return orders_try(ac, &a->by_order, least, nr, false, from, cr, want, best) ||
		       orders_try(ac, &a->by_order, order_least(want), least < nr ? least : nr,
				  true, from, cr, want, best);
	case CR_ANY_FREE:
		break;
	}
	/* Not by the table: it has a new group before the device has its blocks, which could not
	 * be given back. */
	for (mbfs_grp_t i = 0, grps = grps_for(a, blk_nr_of(a)); i < grps; i++) {
		mbfs_grp_t grp = (mbfs_grp_t)(((uint64_t)from + i) % grps);

		if (group_try(ac, group_at(a, grp), cr, want, best))
			return true;
		/* Long enough a search for what is anyway less than wanted. */
		if (best->grp && best->extents > a->tune.max_to_scan)
			break;
	}
	return false;
}

/* Take the best that CR_ANY_FREE saw, or what is left of its group: false if that has nothing any
 * more. */
static bool best_take(struct alloc_ctx *ac, struct best *best)
{
	struct group *g = best->grp;
	struct best ignored = { 0 };
	bool got = false;
	mbfs_clu_t start;
	uint32_t len;

	rt_spin_lock(&g->lock);
	if (run_find(ac, g, best->len, true, &start, &len, &ignored)) {
		take_locked(ac, g, start, len);
		got = true;
	}
	rt_spin_unlock(&g->lock);
	stat_add(ac->a, ac->cpu, got ? STAT_CR_HITS + CR_ANY_FREE : STAT_LOST, 1);
	return got;
}

static bool cr_applies(const struct alloc_ctx *ac, enum criterion cr)
{
	bool pow2 = (ac->want_len & (ac->want_len - 1)) == 0;

	switch (cr) {
	case CR_POWER2_ALIGNED:
		return pow2 && order_floor(ac->want_len) >= ac->a->tune.order2_req &&
		       order_floor(ac->want_len) < ac->a->order_nr;
	case CR_BEST_AVAIL_LEN:
		return (ac->req->flags & MBFS_ALLOC_DATA) && ac->want_len > ac->len;
	case CR_ANY_FREE:
		return !(ac->req->flags & MBFS_ALLOC_CONTIG);
	default:
		return true;
	}
}

/* CR_BEST_AVAIL_LEN: shorter and shorter, down to the request. */
static bool trimmed_try(struct alloc_ctx *ac, mbfs_grp_t from, struct best *best)
{
	uint32_t want = ac->want_len;

	for (uint32_t i = 0; i < ac->a->tune.best_avail_max_trim_order; i++) {
		want = 1u << (order_ceil(want) - 1);
		if (want < ac->len)
			want = ac->len;
		if (criterion_try(ac, CR_BEST_AVAIL_LEN, from, want, best))
			return true;
		if (want == ac->len || want == 1)
			break;
	}
	return false;
}

static rt_u64 *stream_goal(struct alloc_ctx *ac)
{
	bool large = ac->file && (ac->req->flags & MBFS_ALLOC_DATA) && !request_is_small(ac);

	return large ? &ac->a->stream_goal[ac->file->id % ac->a->stream_nr] : NULL;
}

int scan(struct alloc_ctx *ac)
{
	rt_u64 *stream = stream_goal(ac);
	mbfs_grp_t from = goal_group(ac);

	if (goal_try(ac))
		return 0;
	if (ac->req->flags & MBFS_ALLOC_GOAL_ONLY)
		return -ENOSPC;
	/* A large file whose goal is taken goes on where the last large one did. */
	if (stream && !ac->req->pleft) {
		from = (mbfs_grp_t)(rt_u64_read(stream) % grp_nr_of(ac->a));
		stat_add(ac->a, ac->cpu, STAT_STREAM_GOAL_HITS, 1);
	}
	for (enum criterion cr = CR_POWER2_ALIGNED; cr <= CR_ANY_FREE; cr++) {
		struct best best = { 0 };
		bool got;

		if (!cr_applies(ac, cr))
			continue;
		got = cr == CR_BEST_AVAIL_LEN ? trimmed_try(ac, from, &best) :
						criterion_try(ac, cr, from, ac->want_len, &best);
		/* The best may be taken meanwhile; then look for the next best until there is none.
		 */
		while (!got && best.grp) {
			got = best_take(ac, &best);
			if (!got) {
				best = (struct best){ 0 };
				got = criterion_try(ac, cr, from, ac->want_len, &best);
			}
		}
		if (got) {
			if (cr == CR_POWER2_ALIGNED)
				stat_add(ac->a, ac->cpu, STAT_POW2_HITS, 1);
			if (stream)
				rt_u64_set(stream, ac->grp->idx);
			return 0;
		}
		stat_add(ac->a, ac->cpu, STAT_CR_USELESS + cr, 1);
	}
	return -ENOSPC;
}
