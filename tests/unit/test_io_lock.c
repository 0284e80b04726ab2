// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: byte-range locks of extent/io_tree.h as their header says: who conflicts, first come first
 * served, one wake-up per waiter, cancelling. Method: each request that is to wait has a thread of
 * its own, started when the one before it is known to wait (its count is in the tree); after each
 * step the tree is checked, and who has entered, in which order, is compared with what should be.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "extent/io_tree.h"
#include "extent/io_tree_priv.h"
#include "rt/work.h"

enum { MIB = 1 << IO_REGION_BITS, USERS_MAX = 8 };

static struct io_env env;
static struct io_tree tree;

static void open_tree(void)
{
	memset(&env, 0, sizeof(env));
	io_tree_init(&tree, &env, RANK_FS_WRITER);
}

static void tree_ok(void)
{
	struct mbfs_diag diag = { "" };

	ck_assert_msg(io_tree_check(&tree, &diag) == 0, "%s", diag.text);
}

static void close_tree(void)
{
	tree_ok();
	ck_assert(io_locks_empty(&tree));
	io_tree_destroy(&tree);
}

/* ---- without waiting ---- */

static const struct {
	uint64_t start[2], end[2];
} pairs[] = {
	{ { 0, 0 }, { 1, 1 } },
	{ { 0, 1 }, { 1, 2 } },
	{ { 0, 1 }, { 2, 3 } },
	{ { 10, 0 }, { 20, 11 } },
	{ { 10, 0 }, { 20, 10 } },
	{ { 4096, 4096 }, { 8192, 4097 } },
	{ { 0, MIB }, { MIB, 2 * MIB } },
	{ { 0, MIB - 1 }, { MIB, MIB + 1 } },
	{ { MIB - 1, MIB }, { MIB + 1, MIB + 1 } },
	{ { MIB - 1, MIB + 1 }, { MIB + 1, MIB + 2 } },
	{ { 0, 7 * MIB }, { IO_END, 7 * MIB + 1 } },
	{ { 0, 5 }, { IO_END, IO_END } },
	{ { 5, 0 }, { IO_END, 5 } },
	{ { IO_END - 1, IO_END - 1 }, { IO_END, IO_END } },
	{ { IO_END - 2, IO_END - 1 }, { IO_END - 1, IO_END } },
	{ { INT64_MAX, 0 }, { IO_END, INT64_MAX } },
	{ { INT64_MAX, 0 }, { IO_END, (uint64_t)INT64_MAX + 1 } },
	{ { INT64_MAX - 1, INT64_MAX - 1 }, { INT64_MAX, INT64_MAX } },
	{ { 0, 3 * MIB }, { 4 * MIB, 9 * MIB } },
	{ { 0, 4 * MIB }, { 4 * MIB, 9 * MIB } },
};

/* Two requests conflict if they overlap and are not both shared; whichever is first. With one lock
 * for the whole file all overlap. */
START_TEST(who_conflicts)
{
	const uint64_t *start = pairs[_i].start, *end = pairs[_i].end;

	for (unsigned way = 0; way < 16; way++) {
		unsigned a = way & 1, b = !a;
		enum io_lock_mode ma = way & 2 ? IO_SHARED : IO_EXCLUSIVE;
		enum io_lock_mode mb = way & 4 ? IO_SHARED : IO_EXCLUSIVE;
		bool overlap = way & 8 || (start[0] < end[1] && start[1] < end[0]);
		bool fine = !overlap || (ma == IO_SHARED && mb == IO_SHARED);
		struct io_lock la, lb;

		open_tree();
		env.whole = way & 8;
		ck_assert(io_tree_try_lock_range(&tree, &la, start[a], end[a], ma));
		ck_assert_int_eq(io_tree_try_lock_range(&tree, &lb, start[b], end[b], mb), fine);
		tree_ok();
		io_tree_unlock_range(&tree, &la);
		if (fine)
			io_tree_unlock_range(&tree, &lb);
		ck_assert_int_eq(io_tree_wait_range(&tree, start[a], end[a], NULL), 0);
		ck_assert_uint_eq(rt_stat_read(&env.waits), 0);
		close_tree();
	}
}
END_TEST

/* Eight threads that share out a file in regions side by side, or a power of two apart, never meet
 * at a lock. */
START_TEST(regions_have_shards_of_their_own)
{
	unsigned seen = 0;
	struct io_lock l;

	open_tree();
	for (uint64_t i = 0; i < IO_SHARDS; i++) {
		uint64_t start = i << (IO_REGION_BITS + _i);

		ck_assert(io_tree_try_lock_range(&tree, &l, start, start + MIB, IO_EXCLUSIVE));
		seen |= 1u << l.shard;
		io_tree_unlock_range(&tree, &l);
	}
	ck_assert_uint_eq(seen, (1u << IO_SHARDS) - 1);
	close_tree();
}
END_TEST

/* What is locked, as the states' half asks for IO_LOCKED: neighbours are one run. */
START_TEST(locked_bytes)
{
	struct io_lock l[4];
	uint64_t start = 1, end = 2;

	open_tree();
	ck_assert(!io_locks_next(&tree, 0, &start, &end));
	ck_assert(start == 1 && end == 2);
	io_tree_lock_range(&tree, &l[0], 10, 20, IO_SHARED);
	io_tree_lock_range(&tree, &l[1], 15, 3 * MIB, IO_SHARED);
	io_tree_lock_range(&tree, &l[2], 3 * MIB, 3 * MIB + 5, IO_EXCLUSIVE);
	io_tree_lock_range(&tree, &l[3], 3 * MIB + 6, IO_END, IO_EXCLUSIVE);
	ck_assert(io_locks_next(&tree, 0, &start, &end));
	ck_assert(start == 10 && end == 3 * MIB + 5);
	ck_assert(io_locks_next(&tree, 17, &start, &end));
	ck_assert(start == 17 && end == 3 * MIB + 5);
	ck_assert(io_locks_next(&tree, end, &start, &end));
	ck_assert(start == 3 * MIB + 6 && end == IO_END);
	for (unsigned i = 0; i < 4; i++)
		io_tree_unlock_range(&tree, &l[i]);
	close_tree();
}
END_TEST

/* ---- with waiting ---- */

/* One request: made on a thread of its own, held until it is told. */
struct user {
	uint64_t start, end;
	enum io_lock_mode mode;
	struct io_lock l;
	struct io_cancel c;
	struct rt_thread *thread;
	struct rt_event told;
	rt_u32 go;
	bool plain; /* without io_cancel */
	int err;
	rt_u32 entered; /* in which turn, from 1; 0: not yet */
	rt_u32 done;
};
static struct user users[USERS_MAX];
static unsigned user_nr;
static rt_u32 turn;

static void user_run(void *arg)
{
	struct user *u = arg;
	struct io_cancel *c = u->plain ? NULL : &u->c;

	if (u->mode == IO_PASSIVE)
		u->err = io_tree_wait_range(&tree, u->start, u->end, c);
	else
		u->err = io_tree_lock_range_intr(&tree, &u->l, u->start, u->end, u->mode, c);
	if (!u->err)
		rt_u32_set_release(&u->entered, rt_u32_add_return(&turn, 1));
	while (!u->err && u->mode != IO_PASSIVE) {
		uint32_t key = rt_event_key(&u->told);

		if (rt_u32_read_acquire(&u->go))
			break;
		rt_event_wait(&u->told, key);
	}
	if (!u->err && u->mode != IO_PASSIVE)
		io_tree_unlock_range(&tree, &u->l);
	rt_u32_set_release(&u->done, 1);
}

static void until(const rt_u32 *flag)
{
	while (!rt_u32_read_acquire(flag))
		rt_sleep_ns(100000);
}

/* A thread that makes the request; returns when it has entered or waits. */
static struct user *user_start(uint64_t start, uint64_t end, enum io_lock_mode mode, bool plain)
{
	uint64_t waits = rt_stat_read(&env.waits);
	struct user *u = &users[user_nr++];

	ck_assert_uint_le(user_nr, USERS_MAX);
	memset(u, 0, sizeof(*u));
	*u = (struct user){ .start = start, .end = end, .mode = mode, .plain = plain };
	io_cancel_init(&u->c);
	rt_event_init(&u->told);
	ck_assert_int_eq(rt_thread_start(user_run, u, "user", &u->thread), 0);
	/* A waiter counts itself after it has been linked. */
	while (!rt_u32_read_acquire(&u->entered) && rt_stat_read(&env.waits) == waits)
		rt_sleep_ns(100000);
	tree_ok();
	return u;
}

static void user_let_go(struct user *u)
{
	until(&u->entered);
	rt_u32_set_release(&u->go, 1);
	rt_event_signal(&u->told);
	until(&u->done);
	tree_ok();
}

static void users_open(void)
{
	open_tree();
	user_nr = 0;
	rt_u32_set(&turn, 0);
}

static void users_close(void)
{
	for (unsigned i = 0; i < user_nr; i++)
		rt_thread_join(users[i].thread);
	close_tree();
}

static bool inside(struct user *u)
{
	return rt_u32_read_acquire(&u->entered);
}

/* So long that one that could enter would have. */
static void settle(void)
{
	rt_sleep_ns(20000000);
}

/* Narrow, over two regions, and to the end of all; mixed. */
static const struct {
	uint64_t start, end;
} spots[] = { { 0, 10 }, { MIB - 5, MIB + 5 }, { 100, IO_END }, { IO_END - 1, IO_END } };

/* Readers do not overtake a writer that waits; those behind it run together. */
START_TEST(a_waiting_writer_is_not_overtaken)
{
	uint64_t start = spots[_i].start, end = spots[_i].end;
	struct user *r1, *r2, *w, *r3, *r4;

	users_open();
	r1 = user_start(start, end, IO_SHARED, true);
	r2 = user_start(start, end, IO_SHARED, true);
	ck_assert(inside(r1) && inside(r2));
	w = user_start(start, end, IO_EXCLUSIVE, true);
	r3 = user_start(start, end, IO_SHARED, true);
	r4 = user_start(0, IO_END, IO_SHARED, true);
	user_let_go(r1);
	settle();
	ck_assert(!inside(w) && !inside(r3) && !inside(r4));
	user_let_go(r2);
	until(&w->entered);
	settle();
	ck_assert(!inside(r3) && !inside(r4));
	user_let_go(w);
	until(&r3->entered);
	until(&r4->entered); /* together: none has let go */
	user_let_go(r4);
	user_let_go(r3);
	users_close();
}
END_TEST

/* Writers of the same bytes enter in the order they came, and each is woken once. */
START_TEST(first_come_first_served)
{
	struct user *u[USERS_MAX];

	users_open();
	for (unsigned i = 0; i < USERS_MAX; i++) {
		unsigned s = (unsigned)(_i + i) % 3; /* all have MIB - 1 */

		u[i] = user_start(spots[s].start, s == 0 ? MIB : spots[s].end, IO_EXCLUSIVE, true);
	}
	for (unsigned i = 0; i < USERS_MAX; i++) {
		user_let_go(u[i]);
		ck_assert_uint_eq(rt_u32_read(&u[i]->entered), i + 1);
		/* The key of a fresh event counts its signals. */
		ck_assert_uint_eq(rt_event_key(&u[i]->l.own_ev), i > 0);
	}
	ck_assert_uint_eq(rt_stat_read(&env.waits), USERS_MAX - 1);
	users_close();
}
END_TEST

/* One that waits for several is woken by the last of them, once. */
START_TEST(woken_once_by_the_last)
{
	struct user *u[5], *w;

	users_open();
	for (unsigned i = 0; i < 5; i++) /* in different shards, but for two */
		u[i] = user_start(i * (MIB / 2 + MIB * (i > 1)), i * (MIB / 2 + MIB * (i > 1)) + 9,
				  i & 1 ? IO_SHARED : IO_EXCLUSIVE, true);
	w = user_start(0, IO_END, IO_EXCLUSIVE, true);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert(!inside(w));
		ck_assert_uint_eq(rt_event_key(&w->l.own_ev), 0);
		user_let_go(u[i]);
	}
	until(&w->entered);
	ck_assert_uint_eq(rt_event_key(&w->l.own_ev), 1);
	user_let_go(w);
	ck_assert_uint_eq(rt_stat_read(&env.waits), 1);
	ck_assert_uint_eq(rt_stat_read(&env.wide), 1);
	users_close();
}
END_TEST

/* A passive one waits for writers, before it and waiting too, not for readers, and nobody for it.
 */
START_TEST(passive)
{
	uint64_t start = spots[_i].start, end = spots[_i].end;
	struct user *r, *w, *p, *p2, *later;

	users_open();
	r = user_start(start, end, IO_SHARED, true);
	ck_assert_int_eq(io_tree_wait_range(&tree, 0, IO_END, NULL), 0);
	w = user_start(start, end, IO_EXCLUSIVE, true);
	p = user_start(end - 1, end, IO_PASSIVE, true);
	p2 = user_start(0, IO_END, IO_PASSIVE, false);
	user_let_go(r);
	until(&w->entered);
	settle();
	ck_assert(!inside(p) && !inside(p2));
	later = user_start(start ? 0 : end, start ? start : end + 1, IO_EXCLUSIVE, true);
	ck_assert(inside(later)); /* in bytes of p2 */
	user_let_go(w);
	until(&p->done);
	until(&p2->done); /* later came after it and is still inside */
	ck_assert(p->err == 1 && p2->err == 1);
	user_let_go(later);
	users_close();
}
END_TEST

/* ---- cancelling ---- */

/* A waiter in the middle leaves; who waited for it alone goes on, who waits for others waits. */
START_TEST(cancel_in_the_middle)
{
	uint64_t start = spots[_i].start, end = spots[_i].end;
	struct user *r, *w, *r2, *w2;

	users_open();
	r = user_start(start, end, IO_SHARED, true);
	w = user_start(start, end, IO_EXCLUSIVE, false);
	r2 = user_start(start, end, IO_SHARED, false);
	w2 = user_start(start, end, IO_EXCLUSIVE, false);
	ck_assert(!inside(r2));
	io_cancel(&w->c);
	until(&w->done);
	ck_assert_int_eq(w->err, -EINTR);
	until(&r2->entered);
	settle();
	ck_assert(!inside(w2));
	user_let_go(r);
	user_let_go(r2);
	user_let_go(w2);
	ck_assert_uint_eq(rt_stat_read(&env.cancelled), 1);
	users_close();
}
END_TEST

/* Before: what need not wait is had, what must is not. After: a held lock stays. Passive: as well.
 */
START_TEST(cancel_before_and_after)
{
	uint64_t start = spots[_i].start, end = spots[_i].end;
	struct io_cancel c;
	struct io_lock l, l2;
	struct user *p;

	users_open();
	io_cancel_init(&c);
	ck_assert_int_eq(io_tree_lock_range_intr(&tree, &l, start, end, IO_EXCLUSIVE, &c), 0);
	io_cancel(&c);
	ck_assert(!io_tree_try_lock_range(&tree, &l2, start, end, IO_SHARED));
	ck_assert_int_eq(io_tree_lock_range_intr(&tree, &l2, start, end, IO_SHARED, &c), -EINTR);
	tree_ok();
	ck_assert_int_eq(io_tree_wait_range(&tree, start, end, &c), -EINTR);
	tree_ok();
	p = user_start(start, end, IO_PASSIVE, false);
	io_cancel(&p->c);
	until(&p->done);
	ck_assert_int_eq(p->err, -EINTR);
	ck_assert_uint_eq(rt_stat_read(&env.cancelled), 3);
	io_tree_unlock_range(&tree, &l);
	ck_assert_int_eq(io_tree_lock_range_intr(&tree, &l, start, end, IO_SHARED, &c), 0);
	ck_assert_int_eq(io_tree_wait_range(&tree, start, end, &c), 0);
	io_tree_unlock_range(&tree, &l);
	users_close();
}
END_TEST

/* All waits with one holder end by one cancel each, in no order; then the holder is alone. */
START_TEST(cancel_all_but_the_first)
{
	struct user *u[USERS_MAX];

	users_open();
	for (unsigned i = 0; i < USERS_MAX; i++)
		u[i] = user_start(spots[i % 3].start, i % 3 ? spots[i % 3].end : MIB,
				  i & 4 ? IO_SHARED : IO_EXCLUSIVE, false);
	for (unsigned i = 1; i < USERS_MAX; i++) {
		unsigned n = 1 + (i * 5 + (unsigned)_i) % (USERS_MAX - 1);

		io_cancel(&u[n]->c);
		until(&u[n]->done);
		ck_assert_int_eq(u[n]->err, -EINTR);
		tree_ok();
	}
	user_let_go(u[0]);
	ck_assert_uint_eq(rt_stat_read(&env.cancelled), USERS_MAX - 1);
	ck_assert_uint_gt(rt_stat_read(&env.wait_ns), 0);
	users_close();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("io_lock");
	TCase *tc = tcase_create("io_lock");
	const int spot_nr = (int)MBFS_ARRAY_SIZE(spots);

	tcase_add_loop_test(tc, who_conflicts, 0, (int)MBFS_ARRAY_SIZE(pairs));
	tcase_add_loop_test(tc, regions_have_shards_of_their_own, 0, 64 - IO_REGION_BITS - 2);
	tcase_add_test(tc, locked_bytes);
	tcase_add_loop_test(tc, a_waiting_writer_is_not_overtaken, 0, spot_nr);
	tcase_add_loop_test(tc, first_come_first_served, 0, 3);
	tcase_add_test(tc, woken_once_by_the_last);
	tcase_add_loop_test(tc, passive, 0, spot_nr - 1);
	tcase_add_loop_test(tc, cancel_in_the_middle, 0, spot_nr);
	tcase_add_loop_test(tc, cancel_before_and_after, 0, spot_nr);
	tcase_add_loop_test(tc, cancel_all_but_the_first, 0, 3);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
