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
 * between. So an operation cannot fail for who has two at hand (io_memory.c).
 *
 *	                     places
 *	set in a gap         2 more
 *	clear of a run       2 less
 *	set or clear at the  none: the place moves
 *	end of a run
 *
 * walk_point() is told of each point in ascending order, and keeps the two sides apart: `wanted`,
 * where a place is to be but is none yet, and `spare`, one that is not wanted where it is. When one
 * follows the other with no place between them, the spare one moves to where one is wanted: it
 * stays in the tree, at the same node, for its order there does not change. So who writes in
 * sequence moves one node, and removes and inserts none. Otherwise the spare one is removed, the
 * wanted one inserted beside the place before it, without a search.
 *
 * A hint is the node of the last place at or before the end of its user's last operation. A node
 * stays a place of its tree until it is removed, wherever it has moved meanwhile: so the hint of a
 * tree from which nothing has been removed since (gen counts removals) is a place of it, and a few
 * steps from there may lead to the one that is searched for. If not, the search begins at the root.
 *
 * Concurrency: t->lock for everything, nothing is taken inside. What an operation sets free, and
 * the user's memory does not keep, goes back to the pool after the lock is dropped. An operation
 * that removes k places holds the lock for k removals.
 */
#include "extent/io_state_priv.h"

#include <errno.h>

#include "base/check.h"

enum { HINT_STEPS = 3 }; /* from the hint, before the search begins at the root */

static int state_cmp(const struct io_state *a, const struct io_state *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

RB_GENERATE_INTERNAL(io_state_tree, io_state, link, state_cmp, __attribute__((unused)) static)

size_t io_state_bytes(void)
{
	return sizeof(struct io_state);
}

/* ---- search ---- */

/* The last place at or before @at; NULL: none. */
static struct io_state *state_search(const struct io_tree *t, uint64_t at)
{
	struct io_state *s = RB_ROOT(&t->states), *floor = NULL;

	while (s) {
		if (s->start <= at) {
			floor = s;
			s = RB_RIGHT(s, link);
		} else {
			s = RB_LEFT(s, link);
		}
	}
	return floor;
}

/* The same, beginning at a hint if it is good. */
static struct io_state *state_floor(const struct io_tree *t, uint64_t at, const struct io_hint *h)
{
	struct io_state *s = h && h->gen == t->gen ? h->at : NULL;

	for (unsigned i = 0; s && i < HINT_STEPS; i++) {
		struct io_state *next;

		if (s->start > at) {
			s = RB_PREV(io_state_tree, &t->states, s);
			if (!s)
				return NULL;
			continue;
		}
		next = RB_NEXT(io_state_tree, &t->states, s);
		if (!next || next->start > at)
			return s;
		s = next;
	}
	return state_search(t, at);
}

static struct io_state *state_after(struct io_tree *t, struct io_state *s)
{
	return s ? RB_NEXT(io_state_tree, &t->states, s) : RB_MIN(io_state_tree, &t->states);
}

/* ---- set, clear, convert ---- */

/*
 * One operation's way through the places, under the tree's lock. The function is done up to the
 * last point it was told of. wanted and spare are never both there.
 */
struct walk {
	struct io_tree *t;
	struct io_memory *m;
	struct io_state *last;  /* place that is done, nearest to the point; NULL: none */
	struct io_state *spare; /* place after it that is to go, or to move; or NULL */
	struct io_state *gone;  /* removed, and more than m keeps */
	bool wanted;            /* one is to be at wanted_at, after last */
	uint64_t wanted_at;
	uint32_t bits; /* left of the next point, as they are to be */
};

/* A new place beside the last one: where it is in the tree is known. */
static void walk_insert(struct walk *w)
{
	struct io_state_tree *tree = &w->t->states;
	struct io_state *s = io_memory_take(w->m), *parent = w->last;

	s->start = w->wanted_at;
	s->bits = w->bits;
	if (parent && !RB_RIGHT(parent, link)) {
		RB_SET(s, parent, link);
		RB_RIGHT(parent, link) = s;
	} else {
		parent = state_after(w->t, parent);
		RB_SET(s, parent, link);
		if (parent)
			RB_LEFT(parent, link) = s;
		else
			RB_ROOT(tree) = s;
	}
	io_state_tree_RB_INSERT_COLOR(tree, s);
	w->t->state_nr++;
	w->last = s;
	w->wanted = false;
}

static void walk_remove(struct walk *w)
{
	struct io_state *s = w->spare;

	RB_REMOVE(io_state_tree, &w->t->states, s);
	w->t->state_nr--;
	w->t->gen++;
	w->spare = NULL;
	if (w->m->nr < w->m->keep) {
		io_memory_give(w->m, s);
	} else {
		s->next = w->gone;
		w->gone = s;
	}
}

static void walk_flush(struct walk *w)
{
	if (w->wanted)
		walk_insert(w);
	if (w->spare)
		walk_remove(w);
}

/* From @at on the function is to be @bits; @s: the place that is there now, or NULL. */
static void walk_point(struct walk *w, uint64_t at, struct io_state *s, uint32_t bits)
{
	if (bits == w->bits) {
		if (s && w->wanted) {
			s->start = w->wanted_at;
			s->bits = w->bits;
			w->last = s;
			w->wanted = false;
		} else if (s) {
			walk_flush(w);
			w->spare = s;
		}
		return;
	}
	if (!s && w->spare) {
		s = w->spare;
		s->start = at;
		w->spare = NULL;
	}
	walk_flush(w);
	w->bits = bits;
	if (s) {
		s->bits = bits;
		w->last = s;
	} else {
		w->wanted = true;
		w->wanted_at = at;
	}
}

void io_tree_convert(struct io_tree *t, struct io_memory *m, uint64_t start, uint64_t end,
		     uint32_t clear, uint32_t set, struct io_hint *h)
{
	struct walk w = { .t = t, .m = m };
	struct io_state *s, *next;
	uint32_t old;

	MBFS_ASSERT(start < end && m->nr >= IO_OP_NODES && !((clear | set) & IO_LOCKED));
	rt_spin_lock(&t->lock);
	w.last = state_floor(t, start, h);
	s = w.last;
	if (s && s->start == start)
		w.last = RB_PREV(io_state_tree, &t->states, s);
	else
		s = state_after(t, s);
	w.bits = old = w.last ? w.last->bits : 0;
	if (!s || s->start != start)
		walk_point(&w, start, NULL, (old & ~clear) | set);
	for (; s && s->start < end; s = next) {
		next = RB_NEXT(io_state_tree, &t->states, s);
		old = s->bits;
		walk_point(&w, s->start, s, (old & ~clear) | set);
	}
	if (s && s->start == end)
		walk_point(&w, end, s, s->bits);
	else if (end != IO_END)
		walk_point(&w, end, NULL, old);
	walk_flush(&w);
	if (h)
		*h = (struct io_hint){ .at = w.last, .gen = t->gen };
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
	struct io_state *s;
	bool has;

	rt_spin_lock(&t->lock);
	s = state_search(t, start);
	has = ((s ? s->bits : 0) & bits) == bits;
	/* Until one is otherwise: without it for all, with it for any. */
	while (has == all) {
		s = state_after(t, s);
		if (!s || s->start >= end)
			break;
		has = (s->bits & bits) == bits;
	}
	rt_spin_unlock(&t->lock);
	return has;
}

static uint64_t state_end(struct io_tree *t, struct io_state *s)
{
	struct io_state *next = state_after(t, s);

	return next ? next->start : IO_END;
}

bool io_states_find(struct io_tree *t, uint64_t from, uint32_t bits, struct io_run *out)
{
	struct io_state *s;

	rt_spin_lock(&t->lock);
	s = state_search(t, from);
	if (!s)
		s = state_after(t, s);
	while (s && !(s->bits & bits))
		s = state_after(t, s);
	if (s)
		*out = (struct io_run){ .start = s->start < from ? from : s->start,
					.end = state_end(t, s),
					.bits = s->bits };
	rt_spin_unlock(&t->lock);
	return s != NULL;
}

void io_states_at(struct io_tree *t, uint64_t at, struct io_run *out)
{
	struct io_state *s;

	rt_spin_lock(&t->lock);
	s = state_search(t, at);
	*out = (struct io_run){ .start = at, .end = state_end(t, s), .bits = s ? s->bits : 0 };
	rt_spin_unlock(&t->lock);
}

/* ---- the end, and the check ---- */

void io_states_drop(struct io_tree *t)
{
	struct io_state *s, *gone = NULL;

	rt_spin_lock(&t->lock);
	while ((s = RB_ROOT(&t->states))) {
		RB_REMOVE(io_state_tree, &t->states, s);
		s->next = gone;
		gone = s;
	}
	t->state_nr = 0;
	t->gen++;
	rt_spin_unlock(&t->lock);
	io_memory_put(t->env->states, gone);
}

/* Black nodes from the root to where a child of @s is missing: the same for all such. 0: a red one
 * has a red parent. */
static unsigned black_depth(struct io_state *s)
{
	unsigned nr = 0;

	for (; s; s = RB_PARENT(s, link)) {
		struct io_state *parent = RB_PARENT(s, link);

		if (RB_COLOR(s, link) == RB_BLACK)
			nr++;
		else if (!parent || RB_COLOR(parent, link) == RB_RED)
			return 0;
	}
	return nr;
}

int io_states_check(struct io_tree *t, struct mbfs_diag *diag)
{
	struct io_state *s, *last = NULL;
	unsigned black = 0;
	uint64_t nr = 0;
	int err = 0;

	rt_spin_lock(&t->lock);
	RB_FOREACH(s, io_state_tree, &t->states) {
		if (last && s->start <= last->start)
			err = diag_set(diag, -EUCLEAN, "states at %#llx are not after %#llx",
				       (unsigned long long)s->start,
				       (unsigned long long)last->start);
		else if (s->bits == (last ? last->bits : 0))
			err = diag_set(diag, -EUCLEAN, "states at %#llx do not change: %#x",
				       (unsigned long long)s->start, s->bits);
		else if (s->start == IO_END || (s->bits & IO_LOCKED))
			err = diag_set(diag, -EUCLEAN, "states at %#llx cannot be %#x",
				       (unsigned long long)s->start, s->bits);
		if (!err && (!RB_LEFT(s, link) || !RB_RIGHT(s, link))) {
			unsigned depth = black_depth(s);

			if (!depth || (black && depth != black))
				err = diag_set(diag, -EUCLEAN, "states at %#llx: out of balance",
					       (unsigned long long)s->start);
			black = depth;
		}
		if (err)
			break;
		last = s;
		nr++;
	}
	if (!err && nr != t->state_nr)
		err = diag_set(diag, -EUCLEAN, "%llu places, not %llu", (unsigned long long)nr,
			       (unsigned long long)t->state_nr);
	rt_spin_unlock(&t->lock);
	return err;
}
