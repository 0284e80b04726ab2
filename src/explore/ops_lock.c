// SPDX-License-Identifier: GPL-2.0-only
/*
 * Simulated locks, condition variables and event counts. Any waiter may win: a lock has no queue,
 * threads whose operation became possible are simply enabled. Ranks are checked as in the native
 * back end's test builds, before the scheduling point: a violation shows in every schedule.
 */
#include "world.h"

#include "rt/mark.h"

static enum lock_rank rank_top(const struct ex_thread *t)
{
	enum lock_rank top = RANK_NONE;

	for (unsigned i = 0; i < t->held_nr; i++)
		if (t->held[i].rank > top)
			top = t->held[i].rank;
	return top;
}

static _Noreturn void rank_violation(const struct ex_thread *t, const char *what,
				     enum lock_rank rank, const struct ex_site *site)
{
	char held[200] = "";
	size_t at = 0;

	for (unsigned i = 0; i < t->held_nr && at < sizeof(held) - 60; i++)
		at += (size_t)ex_print(held + at, sizeof(held) - at, "%s%s (%d, line %d)",
				       i ? ", " : "", t->held[i].site->what, t->held[i].rank,
				       t->held[i].site->line);
	ex_stop(EXPLORE_RANK, "%s: %s %s of rank %d at %s:%d while holding %s", t->name, what,
		site->what, rank, ex_short_file(site->file), site->line, at ? held : "nothing");
}

/* Freed memory is told before its rank, which is poison, is looked at. */
static void check_alive(struct ex_obj *o, enum ex_kind kind, const struct ex_site *site)
{
	const struct ex_op op = { .kind = (uint8_t)kind, .site = site, .o1 = o };

	ex_arena_check_access(ex_world, &op, o, NULL);
}

static void rank_check(const struct ex_thread *t, const void *lock, enum lock_rank rank,
		       bool nested, const struct ex_site *site)
{
	for (unsigned i = 0; i < t->held_nr; i++)
		if (t->held[i].lock == lock)
			ex_stop(EXPLORE_DEADLOCK, "%s: takes %s at %s:%d, which it took at %s:%d",
				t->name, site->what, ex_short_file(site->file), site->line,
				ex_short_file(t->held[i].site->file), t->held[i].site->line);
	if (rank != RANK_NONE && (nested ? rank < rank_top(t) : rank <= rank_top(t)))
		rank_violation(t, "takes", rank, site);
}

static void held_push(struct ex_thread *t, const void *lock, const struct ex_lock *l, bool nested,
		      bool read, const struct ex_site *site)
{
	if (t->held_nr == EX_HELD_MAX)
		ex_stop(EXPLORE_MISUSE, "%s holds more than %d locks", t->name, EX_HELD_MAX);
	t->held[t->held_nr++] = (struct ex_held){ lock, site, l->rank, l->made, nested, read };
}

static void held_pop(struct ex_thread *t, const void *lock, enum lock_rank rank,
		     const struct ex_site *site)
{
	for (unsigned i = t->held_nr; i-- > 0;) {
		if (t->held[i].lock != lock)
			continue;
		for (unsigned j = i + 1; j < t->held_nr; j++)
			t->held[j - 1] = t->held[j];
		t->held_nr--;
		return;
	}
	rank_violation(t, "releases what it does not hold:", rank, site);
}

void ex_rank_assert_below(enum lock_rank rank, const struct ex_site *site)
{
	const struct ex_thread *t = ex_world->cur;

	if (rank_top(t) >= rank)
		rank_violation(t, "must hold nothing from", rank, site);
}

/* ---- what is waited for like a lock ---- */

void ex_dep_enter(const void *key, const struct ex_site *site)
{
	const struct ex_lock as = { .made = key };

	held_push(ex_world->cur, key, &as, false, false, site);
}

void ex_dep_leave(const void *key, const struct ex_site *site)
{
	held_pop(ex_world->cur, key, RANK_NONE, site);
}

void ex_dep_wait(const void *key, const struct ex_site *site)
{
	ex_order_wanted(ex_world->cur, key, false, false, site);
}

/* ---- mutex and spinlock ---- */

void ex_lock_init(struct ex_lock *l, enum lock_rank rank, const struct ex_site *site)
{
	*l = (struct ex_lock){ .rank = rank, .made = site };
}

void ex_rwlock_init(struct rt_rwlock *l, enum lock_rank rank, const struct ex_site *site)
{
	l->readers = 0;
	ex_lock_init(&l->l, rank, site);
}

void ex_lock_destroy(struct ex_lock *l, const struct ex_site *site)
{
	if (l->owner)
		ex_stop(EXPLORE_MISUSE, "%s: destroys %s at %s:%d, which is held since %s:%d",
			ex_world->cur->name, site->what, ex_short_file(site->file), site->line,
			ex_short_file(l->taken->file), l->taken->line);
}

static void lock_got(struct ex_lock *l, bool spin, bool nested, const struct ex_site *site)
{
	struct ex_thread *t = ex_world->cur;

	l->owner = (uint32_t)ex_tid(ex_world, t) + 1;
	l->taken = site;
	held_push(t, l, l, nested, false, site);
	t->spin_depth += spin;
	ex_sync_acquire(l);
}

void ex_lock_take(struct ex_lock *l, bool spin, bool nested, const struct ex_site *site)
{
	if (ex_world->peeking)
		return;
	check_alive(&l->o, spin ? EX_SPIN_LOCK : EX_MUTEX_LOCK, site);
	rank_check(ex_world->cur, l, l->rank, nested, site);
	if (ex_world->cur->held_nr)
		ex_order_wanted(ex_world->cur, l->made, nested, false, site);
	ex_point(spin ? EX_SPIN_LOCK : EX_MUTEX_LOCK, &l->o, NULL, l, 0, site);
	lock_got(l, spin, nested, site);
}

bool ex_lock_try(struct ex_lock *l, bool spin, const struct ex_site *site)
{
	ex_point(spin ? EX_SPIN_TRYLOCK : EX_MUTEX_TRYLOCK, &l->o, NULL, l, 0, site);
	ex_value(l->owner == 0);
	if (l->owner)
		return false;
	lock_got(l, spin, false, site);
	return true;
}

void ex_lock_drop(struct ex_lock *l, bool spin, const struct ex_site *site)
{
	struct ex_thread *t = ex_world->cur;

	if (ex_world->peeking)
		return;
	if (ex_world->opt->drop_rule != RULE_UNLOCK_POINT)
		ex_point(spin ? EX_SPIN_UNLOCK : EX_MUTEX_UNLOCK, &l->o, NULL, l, 0, site);
	held_pop(t, l, l->rank, site);
	ex_sync_release(l);
	l->owner = 0;
	t->spin_depth -= spin;
}

bool rt_spin_held(void)
{
	return ex_world->cur->spin_depth > 0;
}

/*
 * ---- reader-writer lock ---- What readers release (at &l->readers, which is l) only writers
 * learn.
 */

void ex_read_lock(struct rt_rwlock *l, const struct ex_site *site)
{
	struct ex_thread *t = ex_world->cur;

	check_alive(&l->l.o, EX_READ_LOCK, site);
	rank_check(t, l, l->l.rank, false, site);
	if (t->held_nr)
		ex_order_wanted(t, l->l.made, false, true, site);
	ex_point(EX_READ_LOCK, &l->l.o, NULL, l, 0, site);
	l->readers |= 1u << ex_tid(ex_world, t);
	held_push(t, l, &l->l, false, true, site);
	ex_sync_acquire(&l->l);
}

void ex_read_unlock(struct rt_rwlock *l, const struct ex_site *site)
{
	struct ex_thread *t = ex_world->cur;

	ex_point(EX_READ_UNLOCK, &l->l.o, NULL, l, 0, site);
	held_pop(t, l, l->l.rank, site);
	ex_sync_release(&l->readers);
	l->readers &= ~(1u << ex_tid(ex_world, t));
}

void ex_write_lock(struct rt_rwlock *l, bool nested, const struct ex_site *site)
{
	struct ex_thread *t = ex_world->cur;

	check_alive(&l->l.o, EX_WRITE_LOCK, site);
	rank_check(t, l, l->l.rank, nested, site);
	ex_order_written(l->l.made, nested, site);
	if (t->held_nr)
		ex_order_wanted(t, l->l.made, nested, false, site);
	ex_point(EX_WRITE_LOCK, &l->l.o, NULL, l, 0, site);
	l->l.owner = (uint32_t)ex_tid(ex_world, t) + 1;
	l->l.taken = site;
	held_push(t, l, &l->l, nested, false, site);
	ex_sync_acquire(&l->l);
	ex_sync_acquire(&l->readers);
}

bool ex_write_try(struct rt_rwlock *l, const struct ex_site *site)
{
	bool free;

	ex_point(EX_MUTEX_TRYLOCK, &l->l.o, NULL, l, 0, site);
	free = !l->l.owner && !l->readers;
	ex_value(free);
	if (!free)
		return false;
	l->l.owner = (uint32_t)ex_tid(ex_world, ex_world->cur) + 1;
	l->l.taken = site;
	held_push(ex_world->cur, l, &l->l, false, false, site);
	ex_sync_acquire(&l->l);
	ex_sync_acquire(&l->readers);
	return true;
}

void ex_write_unlock(struct rt_rwlock *l, const struct ex_site *site)
{
	ex_point(EX_WRITE_UNLOCK, &l->l.o, NULL, l, 0, site);
	held_pop(ex_world->cur, l, l->l.rank, site);
	ex_sync_release(&l->l);
	l->l.owner = 0;
}

/* ---- condition variable ---- */

static void time_ran_out(uint64_t timeout_ns)
{
	struct ex_world *w = ex_world;

	w->sim.now_ns += timeout_ns;
	w->sim.clock.wr = ex_mix(w->sim.clock.wr, w->cur->hash);
}

/* Not signalled: did it wake for no reason, or has its time run out? */
static bool for_no_reason(bool timed)
{
	struct ex_world *w = ex_world;

	if (w->phase != EX_EXPLORE || !w->sim.spurious || (timed && !ex_data(2)))
		return false;
	w->sim.spurious--;
	return true;
}

/* One operation releases the mutex and starts to wait, one wakes and has it again. */
bool ex_cond_wait(struct rt_cond *c, struct rt_mutex *m, uint64_t timeout_ns,
		  const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	struct ex_thread *t = w->cur;
	struct ex_lock *l = &m->l;
	uint32_t bit = 1u << ex_tid(w, t);
	bool woken;

	if (l->owner != (uint32_t)ex_tid(w, t) + 1)
		ex_stop(EXPLORE_MISUSE, "%s: waits on %s at %s:%d without its mutex", t->name,
			site->what, ex_short_file(site->file), site->line);
	ex_point(EX_COND_WAIT, &c->o, &l->o, c, 0, site);
	held_pop(t, l, l->rank, site);
	ex_sync_release(l);
	l->owner = 0;
	c->waiters |= bit;
	t->signalled = false;
	ex_point_wake(&c->o, l, c, timeout_ns > 0, site);
	woken = t->signalled || for_no_reason(timeout_ns > 0);
	c->waiters &= ~bit;
	t->signalled = false;
	lock_got(l, false, false, site);
	if (!woken)
		time_ran_out(timeout_ns);
	ex_value(woken);
	return woken;
}

void ex_cond_wake(struct rt_cond *c, bool all, const struct ex_site *site)
{
	struct ex_world *w = ex_world;
	uint32_t m;

	ex_point(all ? EX_COND_BROADCAST : EX_COND_SIGNAL, &c->o, NULL, c, 0, site);
	m = c->waiters;
	ex_value((uint64_t)__builtin_popcount(m));
	if (!all && m) { /* any of them */
		for (unsigned skip = ex_data((unsigned)__builtin_popcount(m)); skip > 0; skip--)
			m &= m - 1;
		m &= -m;
	}
	c->waiters &= ~m;
	for (; m; m &= m - 1)
		w->sim.th[__builtin_ctz(m)].signalled = true;
}

void ex_cond_destroy(struct rt_cond *c, const struct ex_site *site)
{
	if (c->waiters)
		ex_stop(EXPLORE_MISUSE, "%s: destroys %s at %s:%d, which threads wait on",
			ex_world->cur->name, site->what, ex_short_file(site->file), site->line);
}

/* ---- event count ---- */

uint32_t ex_event_key(const struct rt_event *ev, const struct ex_site *site)
{
	struct ex_obj *o = (struct ex_obj *)(uintptr_t)&ev->o;

	ex_point(EX_EVENT_KEY, o, NULL, ev, 0, site);
	ex_value(ev->seq);
	ex_sync_acquire(ev);
	return ev->seq;
}

void ex_event_signal(struct rt_event *ev, const struct ex_site *site)
{
	ex_point(EX_EVENT_SIGNAL, &ev->o, NULL, ev, 0, site);
	ev->seq++;
	ex_value(ev->seq);
	ex_sync_release(ev);
}

bool ex_event_wait(struct rt_event *ev, uint32_t key, uint64_t timeout_ns,
		   const struct ex_site *site)
{
	if (timeout_ns)
		ex_point_timed(EX_EVENT_WAIT, &ev->o, ev, key, site);
	else
		ex_point(EX_EVENT_WAIT, &ev->o, NULL, ev, key, site);
	ex_value(ev->seq);
	if (ev->seq == key) {
		time_ran_out(timeout_ns);
		return false;
	}
	ex_sync_acquire(ev);
	return true;
}
