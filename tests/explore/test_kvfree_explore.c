// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvfree under the explorer. Goal: whatever the schedule, no reader sees a freed object, none is
 * freed twice, none lies about or is left, and no cookie finds both bins taken. Method: small
 * scenarios: a reader, updaters who replace what it reads, in each context; memory is there or not
 * as the row says, or both (a choice at each try). A freed object is a use after free for the
 * explorer, one that is left a leak, a close that waits for ever a deadlock.
 */
#include "support/t.h"

#include <errno.h>

#include "explore/rows.h"
#include "reclaim/kvfree.h"
#include "rt/mem.h"
#include "rt/rcu.h"

enum memory { NONE, MAYBE, ALWAYS };

struct plan {
	const char *name;
	unsigned page_nr, high_water, cpus;
	enum memory memory;
	unsigned thread_nr;
	void (*fn[3])(void *state);
	int bound; /* of the search in preemptions; < 0: none */
};

struct obj {
	struct kvfree_head head;
	rt_u32 alive;
};

struct bed {
	struct rt_cpus cpus;
	struct kvfree *k;
	rt_ptr place;
	struct rt_spin lock;
	rt_u32 made, freed;
	unsigned of_others; /* of made: not b->k's */
	bool running; /* the set-up is over */
};

static const struct plan *plan(void)
{
	return explore_arg();
}

/* ---- memory ---- */

static void *backing_alloc(void *ctx, size_t bytes)
{
	struct bed *b = ctx;

	if (b->running &&
	    (plan()->memory == NONE || (plan()->memory == MAYBE && explore_choose(2))))
		return NULL;
	return rt_alloc(bytes);
}

static void backing_free(void *ctx, void *mem)
{
	(void)ctx;
	rt_free(mem);
}

static const struct kvfree_backing backing = { backing_alloc, backing_free };

static void objs_free(void *ctx, void *const *objs, unsigned nr)
{
	struct bed *b = ctx;

	for (unsigned i = 0; i < nr; i++)
		rt_free(objs[i]);
	rt_u32_add(&b->freed, nr);
}

static struct obj *make(struct bed *b)
{
	struct obj *o = rt_zalloc(sizeof(*o));

	explore_check(o != NULL);
	rt_u32_set(&o->alive, 1);
	rt_u32_add(&b->made, 1);
	return o;
}

static struct kvfree *start(struct bed *b)
{
	struct kvfree_config cfg = { .cpus = &b->cpus,
				     .free = objs_free,
				     .ctx = b,
				     .page_nr = plan()->page_nr,
				     .high_water = plan()->high_water,
				     .backing = &backing };
	struct kvfree *k;

	explore_check(kvfree_open(&cfg, &k) == 0);
	return k;
}

static void setup(void *state)
{
	struct bed *b = state;

	rt_cpus_init(&b->cpus, plan()->cpus);
	rt_spin_init(&b->lock, RANK_PA);
	b->k = start(b);
	rt_rcu_assign(&b->place, make(b));
	b->running = true;
}

static void check(void *state)
{
	struct bed *b = state;
	struct kvfree_stats st;

	/* All but the one in its place: nothing lies about. */
	explore_check(rt_u32_read(&b->freed) == rt_u32_read(&b->made) - 1);
	kvfree_rcu(b->k, rt_ptr_read(&b->place),
		   &((struct obj *)rt_ptr_read(&b->place))->head);
	kvfree_stats(b->k, &st);
	explore_check(st.queued == rt_u32_read(&b->made) - b->of_others);
	kvfree_close(b->k);
	explore_check(rt_u32_read(&b->freed) == rt_u32_read(&b->made));
	rt_spin_destroy(&b->lock);
}

/* ---- what threads do ---- */

static void look(void *state)
{
	struct bed *b = state;
	struct obj *o;

	rt_rcu_read_lock();
	o = rt_rcu_dereference(&b->place);
	explore_check(rt_u32_read(&o->alive) == 1);
	rt_rcu_read_unlock();
}

static void update_head(void *state)
{
	struct bed *b = state;
	struct obj *old = rt_ptr_xchg(&b->place, make(b));

	kvfree_rcu(b->k, old, &old->head);
}

static void update_head_twice(void *state)
{
	update_head(state);
	update_head(state);
}

static void update(void *state)
{
	struct bed *b = state;

	explore_check(kvfree_rcu_mightsleep(b->k, rt_ptr_xchg(&b->place, make(b))) == 0);
}

static void update_twice(void *state)
{
	update(state);
	update(state);
}

/* Refused, it is given once more when the reader is left. */
static void update_in_reader(void *state)
{
	struct bed *b = state;
	struct obj *new = make(b), *old;
	int err;

	rt_rcu_read_lock();
	old = rt_ptr_xchg(&b->place, new);
	err = kvfree_rcu_mightsleep(b->k, old);
	explore_check(rt_u32_read(&new->alive) == 1);
	rt_rcu_read_unlock();
	if (err)
		explore_check(kvfree_rcu_mightsleep(b->k, old) == 0);
}

/* A reader takes the lock that is held while kvfree is called: it must not wait there. */
static void update_locked(void *state)
{
	struct bed *b = state;
	struct obj *new = make(b), *old;

	rt_spin_lock(&b->lock);
	old = rt_ptr_xchg(&b->place, new);
	kvfree_rcu(b->k, old, &old->head);
	rt_spin_unlock(&b->lock);
}

static void look_locked(void *state)
{
	struct bed *b = state;

	rt_rcu_read_lock();
	rt_spin_lock(&b->lock);
	rt_spin_unlock(&b->lock);
	rt_rcu_read_unlock();
}

static void flush(void *state)
{
	struct bed *b = state;

	kvfree_flush(b->k);
}

/* One that is closed while its monitor may still be about. */
static void life(void *state)
{
	struct bed *b = state;
	struct kvfree *k = start(b);

	for (unsigned i = 0; i < 2; i++) {
		struct obj *o = make(b);

		kvfree_rcu(k, o, &o->head);
		b->of_others++;
	}
	kvfree_close(k);
}

/* Grace periods of others: what is given before and after has different cookies. */
static void others(void *state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		rt_rcu_cond_sync(rt_rcu_get_state());
}

static const struct plan plans[] = {
	{ "a head, pages", 2, 4, 1, ALWAYS, 2, { look, update_head }, -1 },
	{ "a head, no memory", 2, 4, 1, NONE, 2, { look, update_head }, -1 },
	{ "no head, no memory", 2, 4, 1, NONE, 2, { look, update }, -1 },
	{ "no head, maybe", 2, 4, 1, MAYBE, 2, { look, update_twice }, 1 },
	{ "in a reader", 2, 4, 1, MAYBE, 2, { update_in_reader, update }, 1 },
	{ "under a lock", 2, 1, 1, MAYBE, 2, { look_locked, update_locked }, 2 },
	{ "flood", 1, 1, 1, ALWAYS, 2, { look, update_twice }, 1 },
	{ "two CPUs", 1, 2, 2, ALWAYS, 3, { look, update, update_head }, 1 },
	{ "one CPU, pages of one", 1, 4, 1, MAYBE, 3, { look, update_head, update_head }, 1 },
	{ "flush", 2, 4, 1, ALWAYS, 3, { look, update_head_twice, flush }, 1 },
	{ "bins", 1, 8, 1, ALWAYS, 3, { others, update_head_twice, update_head_twice }, 0 },
	{ "close", 4, 8, 2, ALWAYS, 1, { life }, 3 },
};

static struct explore_scenario scenario_of(const struct plan *p)
{
	struct explore_scenario s = { .name = p->name,
				      .state_bytes = sizeof(struct bed),
				      .arg = p,
				      .setup = setup,
				      .thread_nr = p->thread_nr,
				      .check = check };

	for (unsigned i = 0; i < p->thread_nr; i++)
		s.threads[i].fn = p->fn[i];
	return s;
}

START_TEST(all_schedules)
{
	const struct explore_scenario s = scenario_of(&plans[_i]);

	search_all(&s, plans[_i].bound, 0);
}
END_TEST

START_TEST(far_schedules)
{
	const struct explore_scenario s = scenario_of(&plans[_i]);

	search_far(&s, (uint64_t)_i + 1, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("kvfree-explore");
	TCase *tc = tcase_create("kvfree-explore");
	const int nr = sizeof(plans) / sizeof(plans[0]);

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, all_schedules, 0, nr);
	tcase_add_loop_test(tc, far_schedules, 0, nr);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
