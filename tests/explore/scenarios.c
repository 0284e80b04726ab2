// SPDX-License-Identifier: GPL-2.0-only
#include "explore/scenarios.h"

#include <string.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/percpu.h"
#include "rt/rcu.h"
#include "rt/sync.h"
#include "rt/work.h"

/* ---- points that depend on nothing: C(a + b, a) schedules, one class ---- */

static void points3(void *state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		explore_point();
}

static void points4(void *state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		explore_point();
}

/* ---- one shared word ---- */

struct word {
	rt_u32 a, b, c;
};

static void word_add(void *state)
{
	struct word *w = state;

	rt_u32_add(&w->a, 1);
	rt_u32_add(&w->a, 1);
}

static void word_lossy_add(void *state)
{
	struct word *w = state;

	rt_u32_set(&w->a, rt_u32_read(&w->a) + 1);
}

static void word_cas_add(void *state)
{
	struct word *w = state;
	uint32_t old = rt_u32_read(&w->a);

	while (!rt_u32_cas(&w->a, &old, old + 1))
		;
}

static void word_check2(void *state)
{
	struct word *w = state;

	explore_check(rt_u32_read(&w->a) == 2);
}

static void word_read2(void *state)
{
	struct word *w = state;

	(void)rt_u32_read(&w->a);
	(void)rt_u32_read(&w->a);
}

static void word_write(void *state)
{
	struct word *w = state;

	rt_u32_set(&w->a, 1);
}

/* store buffering: under sequential consistency not both read 0 */
static void sb_left(void *state)
{
	struct word *w = state;

	rt_u32_set(&w->a, 1);
	if (!rt_u32_read(&w->b))
		rt_u32_add(&w->c, 1);
}

static void sb_right(void *state)
{
	struct word *w = state;

	rt_u32_set(&w->b, 1);
	if (!rt_u32_read(&w->a))
		rt_u32_add(&w->c, 1);
}

static void sb_check(void *state)
{
	struct word *w = state;

	explore_check(rt_u32_read(&w->c) < 2);
}

/* message passing, flag before data: wrong */
static void mp_writer(void *state)
{
	struct word *w = state;

	rt_u32_set_release(&w->b, 1);
	rt_u32_set(&w->a, 1);
}

static void mp_reader(void *state)
{
	struct word *w = state;

	if (rt_u32_read_acquire(&w->b) && !rt_u32_read(&w->a))
		explore_fail("flag without data");
}

/* ---- locks ---- */

struct locks {
	struct rt_mutex m, n;
	struct rt_spin s;
	struct rt_rwlock rw;
	struct rt_cond c;
	struct rt_event ev;
	unsigned count; /* plain */
	unsigned goods;
	rt_u32 flag, seen;
};

static void locks_setup(void *state)
{
	struct locks *l = state;

	rt_mutex_init(&l->m, RANK_NONE);
	rt_mutex_init(&l->n, RANK_NONE);
	rt_spin_init(&l->s, RANK_NONE);
	rt_rwlock_init(&l->rw, RANK_NONE);
	rt_cond_init(&l->c);
	rt_event_init(&l->ev);
}

static void lock_once(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->m);
	l->count++;
	rt_mutex_unlock(&l->m);
}

static void lock_try(void *state)
{
	struct locks *l = state;

	if (!rt_mutex_trylock(&l->m))
		explore_fail("busy");
	else
		rt_mutex_unlock(&l->m);
}

static void lock_mn(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->m);
	rt_mutex_lock(&l->n);
	rt_mutex_unlock(&l->n);
	rt_mutex_unlock(&l->m);
}

static void lock_nm(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->n);
	rt_mutex_lock(&l->m);
	rt_mutex_unlock(&l->m);
	rt_mutex_unlock(&l->n);
}

static void rw_read(void *state)
{
	struct locks *l = state;

	rt_read_lock(&l->rw);
	(void)l->count;
	rt_read_unlock(&l->rw);
}

static void rw_write(void *state)
{
	struct locks *l = state;

	rt_write_lock(&l->rw);
	l->count++;
	rt_write_unlock(&l->rw);
}

/* Two locked halves of one addition. */
static void halves(void *state)
{
	struct locks *l = state;
	unsigned was;

	rt_mutex_lock(&l->m);
	was = l->count;
	rt_mutex_unlock(&l->m);
	rt_mutex_lock(&l->m);
	l->count = was + 1;
	rt_mutex_unlock(&l->m);
}

static void halves_check(void *state)
{
	const struct locks *l = state;

	explore_check(l->count == 2);
}

static void cond_give(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->m);
	l->goods++;
	rt_cond_signal(&l->c);
	rt_mutex_unlock(&l->m);
}

static void cond_take(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->m);
	while (l->goods == 0)
		rt_cond_wait(&l->c, &l->m, 0);
	l->goods--;
	rt_mutex_unlock(&l->m);
}

/* The look at goods and the wait are not one: the wake-up in between is lost. */
static void cond_take_late(void *state)
{
	struct locks *l = state;
	bool none;

	rt_mutex_lock(&l->m);
	none = l->goods == 0;
	rt_mutex_unlock(&l->m);
	rt_mutex_lock(&l->m);
	if (none)
		rt_cond_wait(&l->c, &l->m, 0);
	rt_mutex_unlock(&l->m);
}

static void event_give(void *state)
{
	struct locks *l = state;

	rt_u32_set_release(&l->flag, 1);
	rt_event_signal(&l->ev);
}

static void event_take(void *state)
{
	struct locks *l = state;

	for (;;) {
		uint32_t key = rt_event_key(&l->ev);

		if (rt_u32_read_acquire(&l->flag))
			return;
		rt_event_wait(&l->ev, key);
	}
}

/* The key is taken after the look: wrong. */
static void event_take_late(void *state)
{
	struct locks *l = state;

	while (!rt_u32_read_acquire(&l->flag))
		rt_event_wait(&l->ev, rt_event_key(&l->ev));
}

static void spin_until_flag(void *state)
{
	struct locks *l = state;

	while (!rt_u32_read(&l->flag))
		rt_yield();
}

/* Takes a lock in each round: the flag's writer needs it (CHESS's D sets). */
static void spin_with_lock(void *state)
{
	struct locks *l = state;

	for (;;) {
		unsigned goods;

		rt_mutex_lock(&l->m);
		goods = l->goods;
		rt_mutex_unlock(&l->m);
		if (goods)
			return;
		rt_yield();
	}
}

static void give_locked(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->m);
	l->goods = 1;
	rt_mutex_unlock(&l->m);
}

static void set_flag(void *state)
{
	struct locks *l = state;

	rt_u32_set(&l->flag, 1);
}

/* ---- memory and RCU ---- */

struct box {
	struct rt_rcu_head head;
	rt_u32 v;
};

struct boxes {
	rt_ptr box;
	rt_u32 ran;
};

static void boxes_setup(void *state)
{
	struct boxes *b = state;
	struct box *box = rt_zalloc(sizeof(*box));

	rt_ptr_set(&b->box, box);
}

static void box_freed(struct rt_rcu_head *head)
{
	rt_free(container_of(head, struct box, head));
}

static void box_read_rcu(void *state)
{
	struct boxes *b = state;
	struct box *box;

	rt_rcu_read_lock();
	box = rt_rcu_dereference(&b->box);
	if (box)
		rt_u32_add(&box->v, 1);
	rt_rcu_read_unlock();
}

static void box_read_bare(void *state)
{
	struct boxes *b = state;
	struct box *box = rt_ptr_read_acquire(&b->box);

	if (box)
		rt_u32_add(&box->v, 1);
}

static void box_drop_now(void *state)
{
	struct boxes *b = state;

	rt_free(rt_ptr_xchg(&b->box, NULL));
}

static void box_drop_twice(void *state)
{
	struct boxes *b = state;

	rt_free(rt_ptr_read(&b->box));
}

static void box_drop_call(void *state)
{
	struct boxes *b = state;
	struct box *box = rt_ptr_xchg(&b->box, NULL);

	rt_rcu_call(&box->head, box_freed);
}

static void box_drop_sync(void *state)
{
	struct boxes *b = state;
	struct box *box = rt_ptr_xchg(&b->box, NULL);

	rt_rcu_synchronize();
	rt_free(box);
}

static void box_drop_barrier(void *state)
{
	box_drop_call(state);
	rt_rcu_barrier();
}

static void box_forget(void *state)
{
	struct boxes *b = state;

	rt_ptr_set(&b->box, NULL);
}

/*
 * ---- the toy of explorer.md 5.1, V1: preallocations go to a local list under the group's lock and
 * come back later; whoever looks in between is told ENOSPC. Nidhugg counts 22, 648 and 27,312
 * classes for 2, 3 and 4 threads that take one block each; the notes' prototype 864 for 3 with a
 * goal of 2.
 */
struct grp {
	struct rt_mutex lock;
	unsigned free_nr, pa_nr; /* [lock] blocks */
};

static const unsigned goal_1 = 1, goal_2 = 2;

static void grp_setup(void *state)
{
	struct grp *g = state;

	rt_mutex_init(&g->lock, RANK_NONE);
	g->pa_nr = 3;
}

static bool grp_take(struct grp *g)
{
	unsigned goal = *(const unsigned *)explore_arg(), take;

	rt_mutex_lock(&g->lock);
	take = g->free_nr < goal ? g->free_nr : goal;
	g->free_nr -= take;
	g->pa_nr += take > 1 ? take - 1 : 0; /* what it did not need */
	rt_mutex_unlock(&g->lock);
	return take > 0;
}

static bool grp_discard(struct grp *g)
{
	unsigned nr;

	rt_mutex_lock(&g->lock);
	nr = g->pa_nr;
	g->pa_nr = 0;
	rt_mutex_unlock(&g->lock);
	if (!nr)
		return false;
	rt_mutex_lock(&g->lock);
	g->free_nr += nr;
	rt_mutex_unlock(&g->lock);
	return true;
}

static void grp_alloc(void *state)
{
	while (!grp_take(state))
		if (!grp_discard(state)) {
			explore_fail("ENOSPC");
			return;
		}
}

static void choose_both(void *state)
{
	struct word *w = state;

	if (explore_choose(3) == 2 && rt_u32_read(&w->a) == 1)
		explore_fail("2 and then 1");
}

static void child(void *arg)
{
	word_add(arg);
}

static void start_child(void *state)
{
	struct rt_thread *t;
	int err = rt_thread_start(child, state, "child", &t);

	MBFS_ASSERT(err == 0);
	word_add(state);
	rt_thread_join(t);
}

#define T(n)            \
	{               \
		NULL, n \
	}
#define TOY(n, st, set, chk, nr, ...)      \
	.s = { .name = n,                  \
	       .state_bytes = sizeof(st),  \
	       .setup = set,               \
	       .thread_nr = nr,            \
	       .threads = { __VA_ARGS__ }, \
	       .check = chk }

const struct toy toys[] = {
	{ TOY("points", struct word, NULL, NULL, 2, T(points3), T(points4)), 1, 0, 35 },
	{ TOY("adds", struct word, NULL, NULL, 2, T(word_add), T(word_add)), 6, 0, 6 },
	{ TOY("adds3", struct word, NULL, NULL, 3, T(word_add), T(word_add), T(word_write)), 30, 0,
	  30 },
	{ TOY("lossy", struct word, NULL, word_check2, 2, T(word_lossy_add), T(word_lossy_add)), 4,
	  2, 6, EXPLORE_FAIL },
	{ TOY("cas", struct word, NULL, word_check2, 2, T(word_cas_add), T(word_cas_add)), 4, 0,
	  6 },
	{ TOY("reads", struct word, NULL, NULL, 3, T(word_read2), T(word_read2), T(word_write)), 9,
	  0, 30 },
	{ TOY("sb", struct word, NULL, sb_check, 2, T(sb_left), T(sb_right)), 3, 0, 10 },
	{ TOY("mp", struct word, NULL, NULL, 2, T(mp_writer), T(mp_reader)), 3, 1, 4,
	  EXPLORE_FAIL },
	{ TOY("lock", struct locks, locks_setup, NULL, 2, T(lock_once), T(lock_once)), 2, 0, 2 },
	{ TOY("lock3", struct locks, locks_setup, NULL, 3, T(lock_once), T(lock_once),
	      T(lock_once)),
	  6, 0, 6 },
	{ TOY("trylock", struct locks, locks_setup, NULL, 2, T(lock_once), T(lock_try)), 3, 1, 3,
	  EXPLORE_FAIL },
	{ TOY("abba", struct locks, locks_setup, NULL, 2, T(lock_mn), T(lock_nm)), 3, 1, 6,
	  EXPLORE_DEADLOCK },
	{ TOY("rwlock", struct locks, locks_setup, NULL, 3, T(rw_read), T(rw_read), T(rw_write)), 4,
	  0, 14 },
	{ TOY("halves", struct locks, locks_setup, halves_check, 2, T(halves), T(halves)), 6, 4, 6,
	  EXPLORE_FAIL },
	{ TOY("cond", struct locks, locks_setup, NULL, 2, T(cond_give), T(cond_take)), 2, 0, 2 },
	{ TOY("cond3", struct locks, locks_setup, NULL, 3, T(cond_give), T(cond_take),
	      T(cond_take)),
	  10, 10, 10, EXPLORE_DEADLOCK },
	{ TOY("lost-wakeup", struct locks, locks_setup, NULL, 2, T(cond_give), T(cond_take_late)),
	  3, 1, 3, EXPLORE_DEADLOCK },
	{ TOY("event", struct locks, locks_setup, NULL, 2, T(event_give), T(event_take)), 3, 0, 6 },
	{ TOY("event-late", struct locks, locks_setup, NULL, 2, T(event_give), T(event_take_late)),
	  3, 1, 5, EXPLORE_DEADLOCK },
	{ TOY("rcu-call", struct boxes, boxes_setup, NULL, 2, T(box_read_rcu), T(box_drop_call)),
	  10, 0, 32 },
	{ TOY("rcu-sync", struct boxes, boxes_setup, NULL, 2, T(box_read_rcu), T(box_drop_sync)), 7,
	  0, 22 },
	{ TOY("rcu-barrier", struct boxes, boxes_setup, NULL, 2, T(box_read_rcu),
	      T(box_drop_barrier)),
	  54, 0, 261 },
	{ TOY("choose", struct word, NULL, NULL, 2, T(choose_both), T(word_write)), 4, 1, 4,
	  EXPLORE_FAIL },
	{ TOY("child", struct word, NULL, NULL, 1, T(start_child)), 6, 0, 10 },
#define V1(n, nr, goal)                           \
	.s = { .name = n,                         \
	       .state_bytes = sizeof(struct grp), \
	       .arg = &(goal),                    \
	       .setup = grp_setup,                \
	       .thread_nr = nr,                   \
	       .threads = { T(grp_alloc), T(grp_alloc), T(grp_alloc), T(grp_alloc) } }
	{ V1("v1-2", 2, goal_1), 22, 18, 22, EXPLORE_FAIL },
	{ V1("v1-2-goal2", 2, goal_2), 22, 12, 22, EXPLORE_FAIL },
	{ V1("v1-3", 3, goal_1), 648, 630, 0, EXPLORE_FAIL },
	{ V1("v1-3-goal2", 3, goal_2), 864, 630, 0, EXPLORE_FAIL },
	{ V1("v1-4", 4, goal_1), 27312, 27312, 0, EXPLORE_FAIL },
	/* found, not counted: yields, or an execution that stops in the middle */
	{ TOY("free-now", struct boxes, boxes_setup, NULL, 2, T(box_read_rcu), T(box_drop_now)), 0,
	  0, 0, EXPLORE_UAF },
	{ TOY("no-reader", struct boxes, boxes_setup, NULL, 2, T(box_read_bare), T(box_drop_call)),
	  0, 0, 0, EXPLORE_UAF },
	{ TOY("double-free", struct boxes, boxes_setup, NULL, 2, T(box_drop_twice),
	      T(box_drop_twice)),
	  0, 0, 0, EXPLORE_DOUBLE_FREE },
	{ TOY("leak", struct boxes, boxes_setup, NULL, 2, T(box_forget), T(box_read_rcu)), 0, 0, 0,
	  EXPLORE_LEAK },
	{ TOY("spin-flag", struct locks, locks_setup, NULL, 2, T(spin_until_flag), T(set_flag)), 3,
	  0, 5 },
	{ TOY("spin-lock", struct locks, locks_setup, NULL, 2, T(spin_with_lock), T(give_locked)),
	  3, 0, 7 },
	{ TOY("livelock", struct locks, locks_setup, NULL, 2, T(spin_until_flag), T(lock_once)), 0,
	  0, 0, EXPLORE_LIVELOCK },
};
const unsigned toy_nr = sizeof(toys) / sizeof(toys[0]);

const struct toy *toy_find(const char *name)
{
	for (unsigned i = 0; i < toy_nr; i++)
		if (strcmp(toys[i].s.name, name) == 0)
			return &toys[i];
	return NULL;
}
