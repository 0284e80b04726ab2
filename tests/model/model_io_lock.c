// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: whatever comes and goes in whatever order, a byte-range lock is held exactly when nothing
 * that came before it and conflicts is left, and its waiter is woken exactly once. Method: random
 * requests (that wait, or try), unlocks and cancels against a naive twin, a list in the order of
 * arrival. No threads: io_lock_queue() is the part of a lock before its wait. Ranges are narrow,
 * wide, at the limits of regions, of off_t and of all; or of a few bytes, so that many overlap.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "extent/io_tree_priv.h"

enum { MIB = 1 << IO_REGION_BITS, NODES = 48, PHASES = 40, STEPS = 250 };

struct twin {
	struct io_lock l;
	uint64_t start, end;
	enum io_lock_mode mode;
	bool waited, held;
	uint64_t came; /* 0: not in use */
};

struct model {
	struct io_env env;
	struct io_tree t;
	struct twin node[NODES];
	struct rt_rand rand;
	uint64_t now;
	unsigned queued, held, woken, cancelled; /* how often */
};

static uint64_t place(struct rt_rand *rand)
{
	static const uint64_t limits[] = { 0,
					   MIB,
					   2 * MIB,
					   9 * MIB,
					   (uint64_t)1 << 32,
					   (uint64_t)INT64_MAX - MIB + 1,
					   INT64_MAX,
					   (uint64_t)INT64_MAX + 1,
					   IO_END - MIB + 1,
					   IO_END };
	uint64_t at = limits[rt_rand_below(rand, MBFS_ARRAY_SIZE(limits))];
	uint64_t by = rt_rand_below(rand, 3);

	if (rt_rand_below(rand, 2))
		return at >= by ? at - by : 0;
	return at <= IO_END - by ? at + by : IO_END;
}

/* Half of them within a few bytes of three regions. */
static void range(struct rt_rand *rand, uint64_t *start, uint64_t *end)
{
	if (rt_rand_below(rand, 2)) {
		*start = rt_rand_below(rand, 3) * MIB + rt_rand_below(rand, 40);
		*end = *start + 1 + rt_rand_below(rand, 20);
		return;
	}
	do {
		*start = place(rand);
		*end = place(rand);
	} while (*start >= *end);
}

static bool stands_before(const struct model *m, const struct twin *a, const struct twin *b)
{
	if (!a->came || a->came >= b->came || a->mode == IO_PASSIVE)
		return false;
	if (!m->env.whole && (a->start >= b->end || b->start >= a->end))
		return false;
	return a->mode == IO_EXCLUSIVE || b->mode == IO_EXCLUSIVE;
}

static bool may_enter(const struct model *m, const struct twin *n)
{
	for (unsigned i = 0; i < NODES; i++)
		if (stands_before(m, &m->node[i], n))
			return false;
	return true;
}

/* All that may enter now have been let in, by one signal; nobody else by any. */
static void compare(struct model *m)
{
	struct mbfs_diag diag = { "" };

	ck_assert_msg(io_tree_check(&m->t, &diag) == 0, "%s", diag.text);
	for (unsigned i = 0; i < NODES; i++) {
		struct twin *n = &m->node[i];

		if (!n->came)
			continue;
		m->woken += !n->held && may_enter(m, n);
		n->held = n->held || may_enter(m, n);
		ck_assert_msg(rt_u32_read(&n->l.held) == n->held,
			      "%" PRIx64 "..%" PRIx64 ": held %u, should be %u", n->start, n->end,
			      rt_u32_read(&n->l.held), n->held);
		ck_assert_uint_eq(rt_event_key(&n->l.own_ev), n->waited && n->held);
	}
}

static void come(struct model *m, struct twin *n)
{
	bool try = !rt_rand_below(&m->rand, 3), held;

	range(&m->rand, &n->start, &n->end);
	n->mode = (enum io_lock_mode)rt_rand_below(&m->rand, 3);
	try = try && n->mode != IO_PASSIVE;
	n->came = ++m->now;
	n->held = may_enter(m, n);
	if (try)
		held = io_tree_try_lock_range(&m->t, &n->l, n->start, n->end, n->mode);
	else
		held = io_lock_queue(&m->t, &n->l, n->start, n->end, n->mode, NULL);
	ck_assert_int_eq(held, n->held);
	n->waited = !n->held;
	m->queued += n->waited && !try;
	m->held += n->held;
	/* Nothing is linked of a try that failed, nor of a passive one that has nothing to wait
	 * for. */
	if (n->held ? n->mode == IO_PASSIVE : try)
		n->came = 0;
}

static void go(struct model *m, struct twin *n)
{
	if (!n->held) {
		ck_assert_int_eq(io_lock_cancel(&m->t, &n->l), -EINTR);
		m->cancelled++;
	} else {
		if (!rt_rand_below(&m->rand, 8)) /* too late */
			ck_assert_int_eq(io_lock_cancel(&m->t, &n->l), 0);
		io_tree_unlock_range(&m->t, &n->l);
	}
	memset(&n->l, 0xA5, sizeof(n->l)); /* nobody needs it any more */
	n->came = 0;
}

static void all_go(struct model *m)
{
	for (unsigned i = 0; i < NODES; i++) {
		if (m->node[i].came)
			go(m, &m->node[i]);
		compare(m);
	}
}

START_TEST(random_requests_match_the_twin)
{
	static struct model m;

	memset(&m, 0, sizeof(m));
	m.rand.state = t_seed();
	m.env.whole = _i;
	io_tree_init(&m.t, &m.env, RANK_FS_WRITER);
	for (unsigned phase = 0; phase < PHASES; phase++) {
		unsigned used = phase % 2 ? NODES : 5; /* now many, now few at once */

		for (unsigned step = 0; step < STEPS; step++) {
			struct twin *n = &m.node[rt_rand_below(&m.rand, used)];

			if (!n->came)
				come(&m, n);
			else if (n->held || !rt_rand_below(&m.rand, 4))
				go(&m, n);
			compare(&m);
		}
		all_go(&m);
	}
	ck_assert(io_locks_empty(&m.t));
	io_tree_destroy(&m.t);
	printf("%u held at once, %u waited: %u were let in, %u cancelled\n", m.held, m.queued,
	       m.woken, m.cancelled);
	ck_assert_uint_gt(m.held, 500); /* else it has not looked */
	ck_assert_uint_gt(m.woken, 500);
	ck_assert_uint_gt(m.cancelled, 500);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("model_io_lock");
	TCase *tc = tcase_create("twin");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, random_requests_match_the_twin, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
