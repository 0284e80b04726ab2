// SPDX-License-Identifier: GPL-2.0-only
/*
 * Byte-range locks of an io_tree: who comes counts those before him that are in his way, who goes
 * takes himself off the counts of those behind. io_tree.c's essay says why that is enough.
 */
#include "extent/io_tree_priv.h"

#include <errno.h>

#include "base/check.h"

/* ---- a tree of requests by start, with the highest end below each ---- */

static uint64_t max_end_of(const struct io_lock *n)
{
	const struct io_lock *left = RB_LEFT(n, link), *right = RB_RIGHT(n, link);
	uint64_t max = n->end;

	if (left && left->max_end > max)
		max = left->max_end;
	if (right && right->max_end > max)
		max = right->max_end;
	return max;
}

static int lock_cmp(const struct io_lock *a, const struct io_lock *b)
{
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->seq < b->seq ? -1 : 1; /* no two of a tree have one number */
}

/* Called for what a rotation turns; of the other ancestors only the removal of a node with two
 * children takes care. */
#undef RB_AUGMENT
#define RB_AUGMENT(n) ((n)->max_end = max_end_of(n))
RB_GENERATE_INTERNAL(io_lock_tree, io_lock, link, lock_cmp, __attribute__((unused)) static)

static void tree_insert(struct io_lock_tree *tree, struct io_lock *l)
{
	l->max_end = l->end;
	RB_INSERT(io_lock_tree, tree, l);
	for (struct io_lock *up = RB_PARENT(l, link); up; up = RB_PARENT(up, link))
		if (up->max_end < l->end)
			up->max_end = l->end;
}

static void tree_remove(struct io_lock_tree *tree, struct io_lock *l)
{
	bool two = RB_LEFT(l, link) && RB_RIGHT(l, link);
	struct io_lock *up = two ? NULL : RB_PARENT(l, link);

	RB_REMOVE(io_lock_tree, tree, l);
	for (; up; up = RB_PARENT(up, link))
		up->max_end = max_end_of(up);
}

static bool reaches(const struct io_lock *n, uint64_t start)
{
	return n && n->max_end > start;
}

/*
 * The leftmost of @n's subtree that overlaps [start, end). If one at the left ends after @start,
 * then it overlaps, or it and all at its right start too late.
 */
static struct io_lock *leftmost(struct io_lock *n, uint64_t start, uint64_t end)
{
	while (reaches(n, start)) {
		if (reaches(RB_LEFT(n, link), start))
			n = RB_LEFT(n, link);
		else if (n->end > start)
			return n->start < end ? n : NULL;
		else
			n = RB_RIGHT(n, link);
	}
	return NULL;
}

static struct io_lock *next(struct io_lock *n, uint64_t start, uint64_t end)
{
	while (!reaches(RB_RIGHT(n, link), start)) {
		const struct io_lock *child;

		do {
			child = n;
			n = RB_PARENT(n, link);
		} while (n && child == RB_RIGHT(n, link));
		if (!n || n->start >= end)
			return NULL;
		if (n->end > start)
			return n;
	}
	return leftmost(RB_RIGHT(n, link), start, end);
}

/* Each @x of @tree that overlaps [start, end), by start. */
#define FOR_EACH_OVERLAP(x, tree, start, end) \
	for (x = leftmost(RB_ROOT(tree), start, end); x; x = next(x, start, end))

/* ---- the shards of a request ---- */

struct span {
	unsigned first, nr;
};
static const struct span all_shards = { 0, IO_SHARDS };

/*
 * A region's number folded to three bits: eight regions side by side, or a power of two apart, are
 * in eight shards, for threads share out files like that.
 */
static unsigned shard_of(uint64_t start, uint64_t end)
{
	uint64_t region = start >> IO_REGION_BITS;

	if ((end - 1) >> IO_REGION_BITS != region)
		return IO_SHARDS;
	for (unsigned by = 24; by >= 3; by /= 2)
		region ^= region >> by;
	return region % IO_SHARDS;
}

static bool is_wide(const struct io_lock *l)
{
	return l->shard == IO_SHARDS;
}

static struct span span_of(const struct io_lock *l)
{
	return is_wide(l) ? all_shards : (struct span){ l->shard, 1 };
}

static void span_lock(struct io_tree *t, struct span s)
{
	rt_spin_lock(&t->shard[s.first].lock);
	for (unsigned i = 1; i < s.nr; i++)
		rt_spin_lock_nested(&t->shard[s.first + i].lock); /* ascending */
}

static void span_unlock(struct io_tree *t, struct span s)
{
	for (unsigned i = s.nr; i-- > 0;)
		rt_spin_unlock(&t->shard[s.first + i].lock);
}

/* ---- who waits for whom ---- */

static bool stands_in_way(const struct io_lock *earlier, const struct io_lock *later)
{
	return earlier->mode == IO_EXCLUSIVE ||
	       (earlier->mode == IO_SHARED && later->mode == IO_EXCLUSIVE);
}

static uint32_t blockers_in(struct io_lock_tree *tree, const struct io_lock *l)
{
	struct io_lock *x;
	uint32_t nr = 0;

	FOR_EACH_OVERLAP(x, tree, l->start, l->end)
	nr += stands_in_way(x, l);
	return nr;
}

/* Of those that are there, when @l is not yet: all came before it. */
static uint32_t blockers_of(struct io_tree *t, const struct io_lock *l, struct span s)
{
	uint32_t nr = 0;

	for (unsigned i = 0; i < s.nr; i++)
		nr += blockers_in(&t->shard[s.first + i].locks, l);
	if (!RB_EMPTY(&t->wide))
		nr += blockers_in(&t->wide, l);
	return nr;
}

static void let_in(struct io_lock *l)
{
	rt_u32_set_release(&l->held, 1); /* pairs with request_wait() */
	rt_event_signal(l->ev);
}

static void unblock_in(struct io_lock_tree *tree, const struct io_lock *gone)
{
	struct io_lock *x;

	FOR_EACH_OVERLAP(x, tree, gone->start, gone->end)
	if (x->seq > gone->seq && stands_in_way(gone, x) &&
	    rt_u32_add_return(&x->blockers, -1u) == 0)
		let_in(x);
}

static struct io_lock_tree *tree_of(struct io_tree *t, const struct io_lock *l)
{
	return is_wide(l) ? &t->wide : &t->shard[l->shard].locks;
}

/* Its shards are locked. */
static void request_leave(struct io_tree *t, struct io_lock *l, struct span s)
{
	tree_remove(tree_of(t, l), l);
	for (unsigned i = 0; i < s.nr; i++)
		unblock_in(&t->shard[s.first + i].locks, l);
	if (!RB_EMPTY(&t->wide))
		unblock_in(&t->wide, l);
}

/* ---- a request's way ---- */

static void request_set(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
			enum io_lock_mode mode, struct io_cancel *c)
{
	const bool whole = t->env->whole;

	MBFS_ASSERT(start < end);
	l->start = whole ? 0 : start;
	l->end = whole ? IO_END : end;
	l->mode = mode;
	l->shard = whole ? 0 : shard_of(start, end);
	l->ev = c ? &c->ev : &l->own_ev;
	rt_event_init(&l->own_ev);
	if (is_wide(l))
		rt_stat_add(&t->env->wide, 1);
}

/* The highest number of its shards and one, which none of them has given out. */
static void request_number(struct io_tree *t, struct io_lock *l, struct span s)
{
	l->seq = 0;
	for (unsigned i = 0; i < s.nr; i++)
		if (t->shard[s.first + i].seq > l->seq)
			l->seq = t->shard[s.first + i].seq;
	l->seq++;
	for (unsigned i = 0; i < s.nr; i++)
		t->shard[s.first + i].seq = l->seq;
}

/*
 * True: nothing is in its way. It is linked then, and so it is if it is to wait; but a passive one
 * only if it has to.
 */
static bool request_arrive(struct io_tree *t, struct io_lock *l, bool may_wait)
{
	const struct span s = span_of(l);
	uint32_t blockers;

	span_lock(t, s);
	blockers = blockers_of(t, l, s);
	if (blockers ? may_wait : l->mode != IO_PASSIVE) {
		rt_u32_set(&l->blockers, blockers);
		rt_u32_set(&l->held, blockers == 0);
		request_number(t, l, s);
		tree_insert(tree_of(t, l), l);
	}
	span_unlock(t, s);
	return blockers == 0;
}

bool io_lock_queue(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
		   enum io_lock_mode mode, struct io_cancel *c)
{
	request_set(t, l, start, end, mode, c);
	return request_arrive(t, l, true);
}

int io_lock_cancel(struct io_tree *t, struct io_lock *l)
{
	const struct span s = span_of(l);
	int err = 0;

	span_lock(t, s);
	if (!rt_u32_read(&l->held)) {
		request_leave(t, l, s);
		err = -EINTR;
	}
	span_unlock(t, s);
	return err;
}

static int request_wait(struct io_tree *t, struct io_lock *l, struct io_cancel *c)
{
	const uint64_t from = rt_now_ns();
	int err = 0;

	rt_stat_add(&t->env->waits, 1);
	for (;;) {
		uint32_t key = rt_event_key(l->ev);

		if (rt_u32_read_acquire(&l->held))
			break;
		if (c && rt_u32_read_acquire(&c->cancelled)) {
			err = io_lock_cancel(t, l);
			break;
		}
		rt_event_wait(l->ev, key);
	}
	if (err)
		rt_stat_add(&t->env->cancelled, 1);
	rt_stat_add(&t->env->wait_ns, rt_now_ns() - from);
	return err;
}

void io_tree_lock_range(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
			enum io_lock_mode mode)
{
	(void)io_tree_lock_range_intr(t, l, start, end, mode, NULL);
}

/*
 * Who lets @l in does so under a shard lock that unlocking takes too, so @l outlives his signal.
 * @c need not: its user waits for the signal's end here.
 */
int io_tree_lock_range_intr(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
			    enum io_lock_mode mode, struct io_cancel *c)
{
	int err;

	MBFS_ASSERT(mode != IO_PASSIVE);
	rt_rank_assert_below(t->rank);
	if (io_lock_queue(t, l, start, end, mode, c))
		return 0;
	err = request_wait(t, l, c);
	if (c && !err) {
		span_lock(t, span_of(l));
		span_unlock(t, span_of(l));
	}
	return err;
}

bool io_tree_try_lock_range(struct io_tree *t, struct io_lock *l, uint64_t start, uint64_t end,
			    enum io_lock_mode mode)
{
	MBFS_ASSERT(mode != IO_PASSIVE);
	request_set(t, l, start, end, mode, NULL);
	return request_arrive(t, l, false);
}

void io_tree_unlock_range(struct io_tree *t, struct io_lock *l)
{
	const struct span s = span_of(l);

	span_lock(t, s);
	MBFS_ASSERT(rt_u32_read(&l->held));
	request_leave(t, l, s);
	rt_u32_set(&l->held, 0); /* a second unlock is caught */
	span_unlock(t, s);
}

int io_tree_wait_range(struct io_tree *t, uint64_t start, uint64_t end, struct io_cancel *c)
{
	struct io_lock l;
	int err;

	rt_rank_assert_below(t->rank);
	if (io_lock_queue(t, &l, start, end, IO_PASSIVE, c))
		return 0;
	err = request_wait(t, &l, c);
	if (err)
		return err;
	io_tree_unlock_range(t, &l);
	return 1;
}

void io_cancel_init(struct io_cancel *c)
{
	rt_u32_set(&c->cancelled, 0);
	rt_event_init(&c->ev);
}

void io_cancel(struct io_cancel *c)
{
	rt_u32_set_release(&c->cancelled, 1); /* pairs with request_wait() */
	rt_event_signal(&c->ev);
}

/* ---- looking at them ---- */

/* The first of a tree that is, or wants to be, a lock on a byte of [start, end). */
static struct io_lock *first_lock(struct io_lock_tree *tree, uint64_t start, uint64_t end)
{
	struct io_lock *x;

	FOR_EACH_OVERLAP(x, tree, start, end)
	if (x->mode != IO_PASSIVE)
		return x;
	return NULL;
}

static struct io_lock *first_lock_of_all(struct io_tree *t, uint64_t start, uint64_t end)
{
	struct io_lock *first = first_lock(&t->wide, start, end), *x;

	for (unsigned i = 0; i < IO_SHARDS; i++) {
		x = first_lock(&t->shard[i].locks, start, end);
		if (x && (!first || x->start < first->start))
			first = x;
	}
	return first;
}

bool io_locks_next(struct io_tree *t, uint64_t from, uint64_t *start, uint64_t *end)
{
	struct io_lock *x;
	bool found;

	span_lock(t, all_shards);
	x = first_lock_of_all(t, from, IO_END);
	found = x;
	if (x) {
		*start = x->start > from ? x->start : from;
		*end = x->end;
	}
	while (x && *end < IO_END) {
		x = first_lock_of_all(t, *end, *end + 1);
		if (x)
			*end = x->end;
	}
	span_unlock(t, all_shards);
	return found;
}

bool io_locks_empty(const struct io_tree *t)
{
	for (unsigned i = 0; i < IO_SHARDS; i++)
		if (!RB_EMPTY(&t->shard[i].locks))
			return false;
	return RB_EMPTY(&t->wide);
}

static uint32_t blockers_before(struct io_lock_tree *tree, const struct io_lock *l)
{
	struct io_lock *x;
	uint32_t nr = 0;

	RB_FOREACH(x, io_lock_tree, tree)
		nr += x->seq < l->seq && x->start < l->end && l->start < x->end &&
		      stands_in_way(x, l);
	return nr;
}

/* One tree: that of shard @idx, or the wide one. */
static int tree_check(struct io_tree *t, struct io_lock_tree *tree, unsigned idx,
		      struct mbfs_diag *diag)
{
	struct io_lock *l, *prev = NULL;

	RB_FOREACH(l, io_lock_tree, tree) {
		const struct span s = span_of(l);
		uint32_t nr = blockers_before(&t->wide, l);

		for (unsigned i = 0; i < s.nr; i++)
			nr += blockers_before(&t->shard[s.first + i].locks, l);
		if (l->start >= l->end || (prev && lock_cmp(prev, l) > 0) ||
		    l->max_end != max_end_of(l))
			return diag_set(diag, -EUCLEAN, "lock %#llx..%#llx: tree out of order",
					(unsigned long long)l->start, (unsigned long long)l->end);
		if (l->shard != idx || (!t->env->whole && shard_of(l->start, l->end) != idx))
			return diag_set(diag, -EUCLEAN, "lock %#llx..%#llx: in the wrong shard %u",
					(unsigned long long)l->start, (unsigned long long)l->end,
					idx);
		if (rt_u32_read(&l->blockers) != nr || rt_u32_read(&l->held) != (nr == 0))
			return diag_set(diag, -EUCLEAN,
					"lock %#llx..%#llx: held %u, counts %u in its way, not %u",
					(unsigned long long)l->start, (unsigned long long)l->end,
					rt_u32_read(&l->held), rt_u32_read(&l->blockers), nr);
		prev = l;
	}
	return 0;
}

int io_locks_check(struct io_tree *t, struct mbfs_diag *diag)
{
	int err;

	span_lock(t, all_shards);
	err = tree_check(t, &t->wide, IO_SHARDS, diag);
	for (unsigned i = 0; i < IO_SHARDS && !err; i++)
		err = tree_check(t, &t->shard[i].locks, i, diag);
	span_unlock(t, all_shards);
	return err;
}
