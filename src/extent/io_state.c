// SPDX-License-Identifier: GPL-2.0-only
/*
 * What state the bytes of a file are in.
 *
 * The states are a step function: the tree has the places where it changes, each with the bits from
 * there on. Before the first place the bits are 0, the last place's reach to IO_END. It is
 * canonical: neighbours differ, and the first place is not one for 0. So the same states are always
 * the same places, and
 *
 *	places <= 2 x runs of bytes with the same states other than 0
 *
 * for each place begins a run or ends one. Nothing set: no places.
 *
 * An operation on [start, end) changes the function at start, at end and at the places between. At
 * those between there is a place already: it gets other bits, or goes because its neighbours have
 * become equal. Only at start and at end may one be wanted where none is: two, however much lies
 * between.
 *
 * The places are in nodes of up to IO_PLACES, a red-black tree of them: a search of a large tree is
 * as fast as memory is, and a node is met where several places would be. A place more makes at most
 * one node more, for a full one is split; so two nodes at hand are enough for any operation, and it
 * cannot fail (io_memory.c). A node that a removal leaves with few is merged with a neighbour if
 * both have few enough: of two neighbours one has a quarter of its places in use, or more.
 *
 * walk_point() is told of each point in ascending order, and keeps the two sides apart: `wanted`, a
 * place that is to be but is not yet, and `spare`, one that is not wanted where it is. When one
 * follows the other with no place between them, the spare one becomes the wanted one. So who writes
 * in sequence moves a place, and adds and removes none.
 *
 * A hint is the node of the last place at or before the end of its user's last operation. A node
 * stays in its tree until it is removed, whatever its places are meanwhile: so the hint of a tree
 * from which no node has been removed since (gen counts them) is a node of it, and the place that
 *is searched for may be there or next to it. If not, the search begins at the root.
 *
 * Concurrency: t->lock for everything, nothing is taken inside. What an operation sets free, and
 * the user's memory does not keep, goes back to the pool after the lock is dropped. An operation
 * that removes k places holds the lock for k removals.
 */
#include "extent/io_state_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

enum {
	HINT_STEPS = 3, /* nodes from the hint, before the search begins at the root */
	PER_LINE = IO_STATE_ALIGN / sizeof(uint64_t),
};

/* Places that a node has room for. */
static unsigned room(const struct io_tree *t)
{
	return t->env->node_places ? t->env->node_places : IO_PLACES;
}

/* A node with fewer is merged if it can be. */
static unsigned thin(const struct io_tree *t)
{
	return room(t) < 8 ? 1 : room(t) / 4;
}

/* So that the next places do not split it again. */
static unsigned merged_max(const struct io_tree *t)
{
	return room(t) * 3 / 4;
}

static int state_cmp(const struct io_state *a, const struct io_state *b)
{
	return a->start[0] < b->start[0] ? -1 : a->start[0] > b->start[0];
}

RB_GENERATE_INTERNAL(io_state_tree, io_state, link, state_cmp, __attribute__((unused)) static)

size_t io_state_bytes(void)
{
	return sizeof(struct io_state);
}

/* ---- places ---- */

/* The idx-th of a node. No node: before the first, or after the last. */
struct place {
	struct io_state *node;
	unsigned idx;
};

static uint64_t place_start(struct place p)
{
	return p.node->start[p.idx];
}

/* From @p on; before the first they are none. */
static uint32_t place_bits(struct place p)
{
	return p.node ? p.node->bits[p.idx] : 0;
}

/* The next one; of none, the first. */
static struct place place_after(struct io_tree *t, struct place p)
{
	if (p.node && p.idx + 1 < p.node->nr)
		return (struct place){ p.node, p.idx + 1 };
	if (p.node)
		return (struct place){ RB_NEXT(io_state_tree, &t->states, p.node), 0 };
	return (struct place){ RB_MIN(io_state_tree, &t->states), 0 };
}

/* The last before @at of a node that has one. Its lines are asked for all at once. */
static struct place node_before(struct io_state *n, uint64_t at)
{
	unsigned idx = 0, nr = n->nr;

	for (unsigned i = PER_LINE; i < nr; i += PER_LINE)
		__builtin_prefetch(&n->start[i]);
	while (nr > 1) {
		unsigned half = nr / 2;

		idx += n->start[idx + half] < at ? half : 0;
		nr -= half;
	}
	return (struct place){ n, idx };
}

/* The last place before @at, or none. */
static struct place search(const struct io_tree *t, uint64_t at)
{
	struct io_state *n = RB_ROOT(&t->states), *last = NULL;

	while (n) {
		/* Both ways, before it is known which. */
		__builtin_prefetch(RB_LEFT(n, link));
		__builtin_prefetch(RB_RIGHT(n, link));
		if (n->start[0] < at) {
			last = n;
			n = RB_RIGHT(n, link);
		} else {
			n = RB_LEFT(n, link);
		}
	}
	return last ? node_before(last, at) : (struct place){ NULL, 0 };
}

/* The same, beginning at a hint if it is good. */
static struct place search_from(const struct io_tree *t, uint64_t at, const struct io_hint *h)
{
	struct io_state *n = h && h->gen == t->gen ? h->at : NULL;

	for (unsigned i = 0; n && i < HINT_STEPS; i++) {
		struct io_state *next;

		if (n->start[0] >= at) {
			n = RB_PREV(io_state_tree, &t->states, n);
			if (!n)
				return (struct place){ NULL, 0 };
			continue;
		}
		if (n->start[n->nr - 1] >= at)
			return node_before(n, at);
		next = RB_NEXT(io_state_tree, &t->states, n);
		if (!next || next->start[0] >= at)
			return (struct place){ n, n->nr - 1 };
		n = next;
	}
	return search(t, at);
}

/* ---- nodes ---- */

/* @nr places, from @from_idx of one node to @to_idx of another, or the same. */
static void places_move(struct io_state *to, unsigned to_idx, const struct io_state *from,
			unsigned from_idx, unsigned nr)
{
	memmove(&to->start[to_idx], &from->start[from_idx], nr * sizeof(to->start[0]));
	memmove(&to->bits[to_idx], &from->bits[from_idx], nr * sizeof(to->bits[0]));
}

/* @n, which is not linked, becomes the one after @left; NULL: the first. */
static void node_link(struct io_tree *t, struct io_state *left, struct io_state *n)
{
	struct io_state *parent = left;

	if (left && !RB_RIGHT(left, link)) {
		RB_SET(n, parent, link);
		RB_RIGHT(parent, link) = n;
	} else {
		parent = place_after(t, (struct place){ left, left ? left->nr : 0 }).node;
		RB_SET(n, parent, link);
		if (parent)
			RB_LEFT(parent, link) = n;
		else
			RB_ROOT(&t->states) = n;
	}
	io_state_tree_RB_INSERT_COLOR(&t->states, n);
	t->node_nr++;
}

/*
 * One operation's way through the places, under the tree's lock. The function is done up to the
 * last point it was told of. wanted and spare are never both set.
 */
struct walk {
	struct io_tree *t;
	struct io_memory *m;
	struct io_state *gone; /* nodes removed, and more than m keeps */
	struct place last;     /* that is done, nearest to the point; or none */
	bool spare;            /* the one after it is to go, or to become another */
	bool wanted;           /* one is to be at wanted_at, after last */
	uint64_t wanted_at;
	uint32_t bits; /* left of the next point, as they are to be */
};

static void node_remove(struct walk *w, struct io_state *n)
{
	RB_REMOVE(io_state_tree, &w->t->states, n);
	w->t->node_nr--;
	w->t->gen++;
	if (w->m->nr < w->m->keep) {
		io_memory_give(w->m, n);
	} else {
		n->next = w->gone;
		w->gone = n;
	}
}

/* The places of @right, the node after @left, become @left's. */
static void node_merge(struct walk *w, struct io_state *left, struct io_state *right)
{
	places_move(left, left->nr, right, 0, right->nr);
	if (w->last.node == right)
		w->last = (struct place){ left, left->nr + w->last.idx };
	left->nr += right->nr;
	node_remove(w, right);
}

static void node_thin(struct walk *w, struct io_state *n)
{
	struct io_state *next = RB_NEXT(io_state_tree, &w->t->states, n);
	struct io_state *prev = RB_PREV(io_state_tree, &w->t->states, n);

	if (n->nr == 0)
		node_remove(w, n);
	else if (next && n->nr + next->nr <= merged_max(w->t))
		node_merge(w, n, next);
	else if (prev && prev->nr + n->nr <= merged_max(w->t))
		node_merge(w, prev, n);
}

/* Where one more may be put: @p, if its node has room, or that place after the node was split. */
static struct place make_room(struct walk *w, struct place p)
{
	struct io_state *n = p.node, *next, *fresh;

	if (n->nr < room(w->t))
		return p;
	next = p.idx == n->nr ? RB_NEXT(io_state_tree, &w->t->states, n) : NULL;
	if (next && next->nr < room(w->t))
		return (struct place){ next, 0 };
	/* At the end of all nothing moves: who writes in sequence leaves full nodes behind. */
	fresh = io_memory_take(w->m);
	fresh->nr = p.idx == n->nr && (!next || room(w->t) == 1) ? 0 : (n->nr + 1) / 2;
	n->nr -= fresh->nr;
	places_move(fresh, 0, n, n->nr, fresh->nr);
	node_link(w->t, n, fresh);
	if (fresh->nr && p.idx <= n->nr)
		return p;
	return (struct place){ fresh, p.idx - n->nr };
}

/* ---- set, clear, convert ---- */

static void walk_insert(struct walk *w)
{
	struct place p = { w->last.node, w->last.idx + 1 };

	if (!p.node)
		p = place_after(w->t, p);
	if (p.node) {
		p = make_room(w, p);
	} else {
		p.node = io_memory_take(w->m);
		p.node->nr = 0;
		node_link(w->t, NULL, p.node);
	}
	places_move(p.node, p.idx + 1, p.node, p.idx, p.node->nr - p.idx);
	p.node->start[p.idx] = w->wanted_at;
	p.node->bits[p.idx] = w->bits;
	p.node->nr++;
	w->t->state_nr++;
	w->last = p;
	w->wanted = false;
}

static void walk_remove(struct walk *w)
{
	struct place p = place_after(w->t, w->last);

	p.node->nr--;
	places_move(p.node, p.idx, p.node, p.idx + 1, p.node->nr - p.idx);
	w->t->state_nr--;
	w->spare = false;
	if (p.node->nr < thin(w->t))
		node_thin(w, p.node);
}

static void walk_flush(struct walk *w)
{
	if (w->wanted)
		walk_insert(w);
	if (w->spare)
		walk_remove(w);
}

/* The one after the last becomes one at @at with the walk's bits, and is done. */
static void walk_keep(struct walk *w, uint64_t at)
{
	w->last = place_after(w->t, w->last);
	w->last.node->start[w->last.idx] = at;
	w->last.node->bits[w->last.idx] = w->bits;
}

/* The place at the point, or the next one after it: not done yet, nor spare. */
static struct place walk_place(const struct walk *w)
{
	struct place p = place_after(w->t, w->last);

	return w->spare ? place_after(w->t, p) : p;
}

/* From @at on the function is to be @bits; @there: walk_place() is there. */
static void walk_point(struct walk *w, uint64_t at, bool there, uint32_t bits)
{
	if (bits == w->bits) {
		if (there && w->wanted) {
			walk_keep(w, w->wanted_at);
			w->wanted = false;
		} else if (there) {
			walk_flush(w);
			w->spare = true;
		}
		return;
	}
	if (!there && w->spare) {
		there = true;
		w->spare = false;
	}
	walk_flush(w);
	w->bits = bits;
	if (there) {
		walk_keep(w, at);
	} else {
		w->wanted = true;
		w->wanted_at = at;
	}
}

void io_tree_convert(struct io_tree *t, struct io_memory *m, uint64_t start, uint64_t end,
		     uint32_t clear, uint32_t set, struct io_hint *h)
{
	struct walk w = { .t = t, .m = m };
	struct place p;
	uint32_t old;

	MBFS_ASSERT(start < end && m->nr >= IO_OP_NODES && !((clear | set) & IO_LOCKED));
	rt_spin_lock(&t->lock);
	w.last = search_from(t, start, h);
	w.bits = old = place_bits(w.last);
	p = place_after(t, w.last);
	if (!p.node || place_start(p) != start)
		walk_point(&w, start, false, (old & ~clear) | set);
	while ((p = walk_place(&w)).node && place_start(p) < end) {
		old = place_bits(p);
		walk_point(&w, place_start(p), true, (old & ~clear) | set);
	}
	if (p.node && place_start(p) == end)
		walk_point(&w, end, true, place_bits(p));
	else if (end != IO_END)
		walk_point(&w, end, false, old);
	walk_flush(&w);
	if (h)
		*h = (struct io_hint){ .at = w.last.node, .gen = t->gen };
	rt_spin_unlock(&t->lock);
	io_memory_put(m->pool, w.gone);
}

void io_tree_set(struct io_tree *t, struct io_memory *m, uint64_t start, uint64_t end,
		 uint32_t bits, struct io_hint *h)
{
	io_tree_convert(t, m, start, end, 0, bits, h);
}

void io_tree_clear(struct io_tree *t, struct io_memory *m, uint64_t start, uint64_t end,
		   uint32_t bits, struct io_hint *h)
{
	io_tree_convert(t, m, start, end, bits, 0, h);
}

/* ---- test and find ---- */

bool io_states_test(struct io_tree *t, uint64_t start, uint64_t end, uint32_t bits, bool all)
{
	struct place p;
	bool has;

	rt_spin_lock(&t->lock);
	p = search(t, start + 1);
	has = (place_bits(p) & bits) == bits;
	/* Until one is otherwise: without it for all, with it for any. */
	while (has == all) {
		p = place_after(t, p);
		if (!p.node || place_start(p) >= end)
			break;
		has = (place_bits(p) & bits) == bits;
	}
	rt_spin_unlock(&t->lock);
	return has;
}

static struct io_run run_from(struct io_tree *t, struct place p, uint64_t from)
{
	struct place next = place_after(t, p);

	return (struct io_run){ .start = p.node && place_start(p) > from ? place_start(p) : from,
				.end = next.node ? place_start(next) : IO_END,
				.bits = place_bits(p) };
}

bool io_states_find(struct io_tree *t, uint64_t from, uint32_t bits, struct io_run *out)
{
	struct place p;

	rt_spin_lock(&t->lock);
	p = search(t, from + 1);
	while (!(place_bits(p) & bits)) {
		p = place_after(t, p);
		if (!p.node)
			break;
	}
	if (p.node)
		*out = run_from(t, p, from);
	rt_spin_unlock(&t->lock);
	return p.node != NULL;
}

void io_states_at(struct io_tree *t, uint64_t at, struct io_run *out)
{
	rt_spin_lock(&t->lock);
	*out = run_from(t, search(t, at + 1), at);
	rt_spin_unlock(&t->lock);
}

/* ---- the end, and the check ---- */

void io_states_drop(struct io_tree *t)
{
	struct io_state *n, *gone = NULL;

	rt_spin_lock(&t->lock);
	while ((n = RB_ROOT(&t->states))) {
		RB_REMOVE(io_state_tree, &t->states, n);
		n->next = gone;
		gone = n;
	}
	t->state_nr = t->node_nr = 0;
	t->gen++;
	rt_spin_unlock(&t->lock);
	io_memory_put(t->env->states, gone);
}

/* Black nodes from the root to where a child of @n is missing: the same for all such. 0: a red one
 * has a red parent. */
static unsigned black_depth(struct io_state *n)
{
	unsigned nr = 0;

	for (; n; n = RB_PARENT(n, link)) {
		struct io_state *parent = RB_PARENT(n, link);

		if (RB_COLOR(n, link) == RB_BLACK)
			nr++;
		else if (!parent || RB_COLOR(parent, link) == RB_RED)
			return 0;
	}
	return nr;
}

/* Of nodes: number of places, balance. @prev: the node before, or NULL. */
static int nodes_check(struct io_tree *t, struct mbfs_diag *diag)
{
	struct io_state *n, *prev = NULL;
	uint64_t nr = 0, places = 0;
	unsigned black = 0;

	RB_FOREACH(n, io_state_tree, &t->states) {
		unsigned depth = !RB_LEFT(n, link) || !RB_RIGHT(n, link) ? black_depth(n) : black;

		if (n->nr < 1 || n->nr > room(t) || (prev && prev->nr < thin(t) && n->nr < thin(t)))
			return diag_set(diag, -EUCLEAN, "node at %#llx: %u places, before it %u",
					(unsigned long long)n->start[0], n->nr,
					prev ? prev->nr : 0);
		if (!depth || (black && depth != black))
			return diag_set(diag, -EUCLEAN, "node at %#llx: out of balance",
					(unsigned long long)n->start[0]);
		black = depth;
		prev = n;
		places += n->nr;
		nr++;
	}
	if (nr != t->node_nr || places != t->state_nr)
		return diag_set(diag, -EUCLEAN, "%llu places in %llu nodes, not %llu in %llu",
				(unsigned long long)places, (unsigned long long)nr,
				(unsigned long long)t->state_nr, (unsigned long long)t->node_nr);
	return 0;
}

static int places_check(struct io_tree *t, struct mbfs_diag *diag)
{
	struct place p = { NULL, 0 }, last = p;

	while ((p = place_after(t, last)).node) {
		if (last.node && place_start(p) <= place_start(last))
			return diag_set(diag, -EUCLEAN, "states at %#llx are not after %#llx",
					(unsigned long long)place_start(p),
					(unsigned long long)place_start(last));
		if (place_bits(p) == place_bits(last))
			return diag_set(diag, -EUCLEAN, "states at %#llx do not change: %#x",
					(unsigned long long)place_start(p), place_bits(p));
		if (place_start(p) == IO_END || (place_bits(p) & IO_LOCKED))
			return diag_set(diag, -EUCLEAN, "states at %#llx cannot be %#x",
					(unsigned long long)place_start(p), place_bits(p));
		last = p;
	}
	return 0;
}

int io_states_check(struct io_tree *t, struct mbfs_diag *diag)
{
	int err;

	rt_spin_lock(&t->lock);
	err = nodes_check(t, diag);
	if (!err)
		err = places_check(t, diag);
	rt_spin_unlock(&t->lock);
	return err;
}
