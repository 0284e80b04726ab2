// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: locks and states of one tree keep what the write path asks of them, together: who holds
 * bytes finds there no state of another's, who truncates finds none from there on, what is freed is
 * not touched. Method: writers take memory beforehand, lock a range (some are cancelled meanwhile),
 * set its states and hand it over to a thread that ends it, which converts, clears and unlocks, as
 * the end of an I/O does; readers lock shared, truncates from somewhere to infinity. What is in the
 * cells is plain, so that TSan sees a lock that does not order. Memory is a reserve for two writes,
 * and an allocator that fails every other time. At the end nothing is locked or set, and no place
 * is lost.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "base/containers.h"
#include "extent/io_tree.h"
#include "rt/mem.h"
#include "rt/work.h"

enum {
	CELLS = 64,
	CELL_BYTES = 1 << (IO_REGION_BITS - 3), /* a region has 8 */
	USERS = 5,
	ENDERS = 2,
	STEPS = 6000,
	OPS = 3,
	PLACES = OPS * IO_OP_NODES,
};

static const uint32_t states = IO_IN_FLIGHT | IO_UNWRITTEN | IO_DIRTY;

/* One write under way: freed when it is over. */
struct write {
	STAILQ_ENTRY(write) link; /* [lock] */
	struct io_lock range;
	struct io_memory memory;
	unsigned first, end;
	uint64_t value;
};

struct shared {
	struct rt_cpus cpus;
	struct mempool_domain *domain;
	struct mempool *pool;
	rt_u32 dry;    /* [atomic] the pool's reserve is filled */
	rt_u64 allocs; /* [atomic] */
	struct io_env env;
	struct io_tree t;
	uint64_t value[CELLS]; /* plain [range lock] */
	struct rt_mutex lock;
	struct rt_cond more;
	STAILQ_HEAD(, write) under_way;  /* [lock] */
	bool last;                       /* [lock] no more will come */
	struct io_cancel *cancel[USERS]; /* [lock] what ends each one's wait; NULL: nothing does */
	rt_u32 stop;                     /* [atomic] of who cancels */
	rt_u32 broken;                   /* [atomic] */
	char wrong[120];                 /* by who has set broken first */
};

struct user {
	struct shared *sh;
	struct rt_rand rand;
	unsigned idx;
	uint64_t cancelled, writes;
};

static uint64_t cell_start(unsigned cell)
{
	return cell == CELLS ? IO_END : (uint64_t)cell * CELL_BYTES;
}

static void wrong(struct shared *sh, const char *what, unsigned first, unsigned end)
{
	if (!rt_u32_xchg(&sh->broken, 1))
		snprintf(sh->wrong, sizeof(sh->wrong), "cells [%u, %u): %s", first, end, what);
}

/* ---- memory ---- */

static void *coin_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	struct shared *sh = ctx;

	(void)may_wait;
	if (rt_u32_read(&sh->dry) && rt_u64_add_return(&sh->allocs, 1) % 2)
		return NULL;
	return rt_zalloc_aligned(align, bytes);
}

static void coin_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

static const struct mempool_backing coin = { coin_alloc, coin_free };

/* ---- looks: the caller has the bytes ---- */

static bool is_clear(struct shared *sh, unsigned first, unsigned end)
{
	struct io_run run;

	return !io_tree_find_first(&sh->t, cell_start(first), states, &run) ||
	       run.start >= cell_start(end);
}

static void fill(struct shared *sh, unsigned first, unsigned end, uint64_t value)
{
	for (unsigned i = first; i < end; i++)
		sh->value[i] = value;
}

/* ---- the end of a write ---- */

static void write_end(struct shared *sh, struct write *w)
{
	uint64_t from = cell_start(w->first), to = cell_start(w->end);

	for (unsigned i = w->first; i < w->end; i++)
		if (sh->value[i] != w->value)
			wrong(sh, "another write was here", w->first, w->end);
	io_tree_convert(&sh->t, &w->memory, from, to, IO_IN_FLIGHT | IO_UNWRITTEN, IO_DIRTY, NULL);
	if (io_tree_test(&sh->t, from, to, IO_IN_FLIGHT, false) ||
	    !io_tree_test(&sh->t, from, to, IO_DIRTY, true))
		wrong(sh, "not converted", w->first, w->end);
	io_tree_clear(&sh->t, &w->memory, from, to, states, NULL);
	if (!is_clear(sh, w->first, w->end))
		wrong(sh, "not cleared", w->first, w->end);
	io_tree_unlock_range(&sh->t, &w->range);
	io_memory_end(&w->memory);
	rt_free(w);
}

static void ender_run(void *arg)
{
	struct shared *sh = arg;
	struct write *w;

	rt_mutex_lock(&sh->lock);
	while (!STAILQ_EMPTY(&sh->under_way) || !sh->last) {
		w = STAILQ_FIRST(&sh->under_way);
		if (!w) {
			rt_cond_wait(&sh->more, &sh->lock, 0);
			continue;
		}
		STAILQ_REMOVE_HEAD(&sh->under_way, link);
		rt_mutex_unlock(&sh->lock);
		write_end(sh, w);
		rt_mutex_lock(&sh->lock);
	}
	rt_mutex_unlock(&sh->lock);
}

/* ---- users ---- */

static void cancel_show(struct user *u, struct io_cancel *c)
{
	rt_mutex_lock(&u->sh->lock);
	u->sh->cancel[u->idx] = c;
	rt_mutex_unlock(&u->sh->lock);
}

/* False: a cancel came first. */
static bool lock(struct user *u, struct io_lock *l, unsigned first, unsigned end,
		 enum io_lock_mode mode)
{
	struct io_cancel *c = rt_rand_below(&u->rand, 3) ? NULL : rt_zalloc(sizeof(*c));
	int err;

	if (c) {
		io_cancel_init(c);
		cancel_show(u, c);
	}
	err = io_tree_lock_range_intr(&u->sh->t, l, cell_start(first), cell_start(end), mode, c);
	if (c) {
		cancel_show(u, NULL);
		rt_free(c); /* ASan sees who still uses it */
	}
	u->cancelled += err == -EINTR;
	return !err;
}

static void write_start(struct user *u, unsigned first, unsigned end)
{
	struct shared *sh = u->sh;
	struct write *w = rt_zalloc(sizeof(*w));

	if (!w) {
		wrong(sh, "no memory for a write", first, end);
		return;
	}
	w->first = first;
	w->end = end;
	w->value = rt_rand_next(&u->rand);
	io_memory_init(&w->memory, sh->pool, PLACES);
	io_memory_fill(&w->memory);
	if (!lock(u, &w->range, first, end, IO_EXCLUSIVE)) {
		io_memory_end(&w->memory);
		rt_free(w);
		return;
	}
	if (!is_clear(sh, first, end))
		wrong(sh, "a write finds states of another", first, end);
	fill(sh, first, end, w->value);
	io_tree_set(&sh->t, &w->memory, cell_start(first), cell_start(end),
		    IO_IN_FLIGHT | IO_UNWRITTEN, NULL);
	u->writes++;
	rt_mutex_lock(&sh->lock);
	STAILQ_INSERT_TAIL(&sh->under_way, w, link);
	rt_cond_signal(&sh->more);
	rt_mutex_unlock(&sh->lock);
}

static void read_cells(struct user *u, unsigned first, unsigned end)
{
	struct io_lock l;
	uint64_t sum = 0, again = 0;

	if (!lock(u, &l, first, end, IO_SHARED))
		return;
	if (!is_clear(u->sh, first, end))
		wrong(u->sh, "a read finds states of a write", first, end);
	for (unsigned i = first; i < end; i++)
		sum += u->sh->value[i];
	rt_yield();
	for (unsigned i = first; i < end; i++)
		again += u->sh->value[i];
	if (sum != again)
		wrong(u->sh, "changes while it is read", first, end);
	io_tree_unlock_range(&u->sh->t, &l);
}

static void truncate(struct user *u, unsigned from)
{
	struct io_lock l;

	if (!lock(u, &l, from, CELLS, IO_EXCLUSIVE))
		return;
	if (!is_clear(u->sh, from, CELLS))
		wrong(u->sh, "a truncate finds states of a write", from, CELLS);
	fill(u->sh, from, CELLS, 0);
	io_tree_unlock_range(&u->sh->t, &l);
}

static void user_run(void *arg)
{
	struct user *u = arg;

	for (unsigned step = 0; step < STEPS && !rt_u32_read(&u->sh->broken); step++) {
		unsigned first = (unsigned)rt_rand_below(&u->rand, CELLS);
		unsigned most = rt_rand_below(&u->rand, 4) ? 3 : CELLS;
		unsigned end = first + 1 + (unsigned)rt_rand_below(&u->rand, most);
		unsigned what = (unsigned)rt_rand_below(&u->rand, 16);

		end = end < CELLS ? end : CELLS;
		if (what < 10)
			write_start(u, first, end);
		else if (what < 14)
			read_cells(u, first, end);
		else if (what == 14)
			truncate(u, first);
		else if (io_tree_wait_range(&u->sh->t, cell_start(first), cell_start(end), NULL) <
			 0)
			wrong(u->sh, "a wait that nobody cancels ends", first, end);
	}
}

static void canceller_run(void *arg)
{
	struct shared *sh = arg;

	for (unsigned next = 0; !rt_u32_read(&sh->stop); next++) {
		rt_mutex_lock(&sh->lock);
		if (sh->cancel[next % USERS])
			io_cancel(sh->cancel[next % USERS]);
		rt_mutex_unlock(&sh->lock);
		if (next % 16 == 0)
			rt_sleep_ns(20000);
	}
}

/* ---- the test ---- */

static void shared_open(struct shared *sh)
{
	struct mempool_config cfg = {
		.name = "states",
		.bytes = io_state_bytes(),
		.align = IO_STATE_ALIGN,
		.min_nr = 2 * PLACES,
		.magazine_nr = 4,
		.retry_ns = 1000000,
		.backing = &coin,
		.ctx = sh,
	};

	rt_cpus_init(&sh->cpus, USERS);
	ck_assert_int_eq(mempool_domain_open(&sh->cpus, &sh->domain), 0);
	ck_assert_int_eq(mempool_open(sh->domain, &cfg, &sh->pool), 0);
	rt_u32_set(&sh->dry, 1);
	sh->env.states = sh->pool;
	io_tree_init(&sh->t, &sh->env, RANK_INODE_RANGE);
	rt_mutex_init(&sh->lock, RANK_NONE);
	rt_cond_init(&sh->more);
	STAILQ_INIT(&sh->under_way);
}

static void shared_close(struct shared *sh)
{
	struct mbfs_diag diag = { "" };
	struct mempool_stats st;

	ck_assert_msg(io_tree_check(&sh->t, &diag) == 0, "%s", diag.text);
	ck_assert_uint_eq(sh->t.state_nr, 0);
	ck_assert(!io_tree_test(&sh->t, 0, IO_END, IO_LOCKED, false));
	io_tree_destroy(&sh->t);
	mempool_stats(sh->pool, &st);
	ck_assert_uint_eq(st.in_use, 0);
	ck_assert_uint_eq(st.in_reserve, 2 * PLACES);
	mempool_close(sh->pool);
	mempool_domain_close(sh->domain);
	rt_cond_destroy(&sh->more);
	rt_mutex_destroy(&sh->lock);
}

START_TEST(write_path_under_cancels_and_without_memory)
{
	static struct shared sh;
	struct user u[USERS];
	struct rt_thread *users[USERS], *enders[ENDERS], *canceller;
	uint64_t seed = t_seed(), writes = 0, cancelled = 0;

	shared_open(&sh);
	for (unsigned i = 0; i < ENDERS; i++)
		ck_assert_int_eq(rt_thread_start(ender_run, &sh, "ender", &enders[i]), 0);
	ck_assert_int_eq(rt_thread_start(canceller_run, &sh, "canceller", &canceller), 0);
	for (unsigned i = 0; i < USERS; i++) {
		u[i] = (struct user){ .sh = &sh, .idx = i, .rand = { seed + i } };
		ck_assert_int_eq(rt_thread_start(user_run, &u[i], "user", &users[i]), 0);
	}
	for (unsigned i = 0; i < USERS; i++) {
		rt_thread_join(users[i]);
		writes += u[i].writes;
		cancelled += u[i].cancelled;
	}
	rt_u32_set(&sh.stop, 1);
	rt_thread_join(canceller);
	rt_mutex_lock(&sh.lock);
	sh.last = true;
	rt_cond_broadcast(&sh.more);
	rt_mutex_unlock(&sh.lock);
	for (unsigned i = 0; i < ENDERS; i++)
		rt_thread_join(enders[i]);
	ck_assert_msg(!rt_u32_read(&sh.broken), "%s", sh.wrong);
	ck_assert_uint_gt(writes, 0);
	ck_assert_uint_gt(cancelled, 0);
	shared_close(&sh);
}
END_TEST

static Suite *stress_io_tree(void)
{
	Suite *s = suite_create("stress_io_tree");
	TCase *tc = tcase_create("write_path");

	tcase_add_test(tc, write_path_under_cancels_and_without_memory);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(stress_io_tree)
