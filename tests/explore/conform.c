// SPDX-License-Identifier: GPL-2.0-only
#include "explore/conform.h"

#include <string.h>

#include "base/check.h"
#include "rt/mem.h"
#include "rt/percpu.h"
#include "rt/rcu.h"
#include "rt/sync.h"
#include "rt/work.h"

/* ---- one thread: values ---- */

static void values(void *state)
{
	rt_u32 a;
	rt_u64 b;
	rt_ptr p;
	uint32_t old = 5;
	void *at = &a;

	(void)state;
	rt_u32_set(&a, 7);
	MBFS_ASSERT(rt_u32_read(&a) == 7 && rt_u32_read_acquire(&a) == 7);
	MBFS_ASSERT(!rt_u32_cas(&a, &old, 9) && old == 7);
	MBFS_ASSERT(rt_u32_cas(&a, &old, 9) && rt_u32_read(&a) == 9);
	MBFS_ASSERT(rt_u32_xchg(&a, 1) == 9);
	MBFS_ASSERT(rt_u32_add_return(&a, (uint32_t)-2) == UINT32_MAX);
	rt_u32_add(&a, 1);
	MBFS_ASSERT(rt_u32_read(&a) == 0);
	rt_u64_set_release(&b, 1ull << 40);
	MBFS_ASSERT(rt_u64_add_return(&b, 1) == (1ull << 40) + 1);
	rt_ptr_set(&p, NULL);
	MBFS_ASSERT(rt_ptr_xchg(&p, at) == NULL && rt_ptr_read(&p) == at);
	MBFS_ASSERT(rt_ptr_cas(&p, &at, NULL) && !rt_ptr_read_acquire(&p));
	rt_fence();
}

static void memory(void *state)
{
	uint8_t *p = rt_zalloc_aligned(256, 300);
	char *s = rt_strdup("text");

	(void)state;
	MBFS_ASSERT(p && (uintptr_t)p % 256 == 0 && s && !strcmp(s, "text"));
	for (unsigned i = 0; i < 300; i++)
		MBFS_ASSERT(p[i] == 0);
	rt_free(p);
	rt_free(s);
	rt_free(NULL);
	rt_mem_fail_at(2);
	p = rt_alloc(8);
	MBFS_ASSERT(p && !rt_mem_fail_struck());
	MBFS_ASSERT(!rt_zalloc(8) && rt_mem_fail_struck());
	rt_free(p);
	rt_mem_fail_at(0);
}

static void clock_and_rand(void *state)
{
	struct rt_rand a = { 42 }, b = { 42 };
	uint64_t start = rt_now_ns();
	uint32_t nsec;
	int64_t sec;

	(void)state;
	rt_sleep_ns(1000);
	rt_yield();
	MBFS_ASSERT(rt_now_ns() - start >= 1000);
	rt_wall(&sec, &nsec);
	MBFS_ASSERT(sec > 1700000000 && nsec < 1000000000);
	MBFS_ASSERT(rt_rand_next(&a) == rt_rand_next(&b) && rt_rand_below(&a, 7) < 7);
	MBFS_ASSERT(rt_rand_next(&(struct rt_rand){ 1 }) == 0x910A2DEC89025CC1ull);
	MBFS_ASSERT(rt_rand_seed() != rt_rand_seed());
}

/* ---- locks ---- */

struct locks {
	struct rt_mutex m;
	struct rt_spin s;
	struct rt_rwlock rw;
	struct rt_cond c;
	struct rt_event ev;
	unsigned under_m, under_s, under_rw; /* plain */
	unsigned goods;
	rt_u32 inside, flag, tried;
};

static void locks_setup(void *state)
{
	struct locks *l = state;

	rt_mutex_init(&l->m, RANK_GROUP);
	rt_spin_init(&l->s, RANK_PA);
	rt_rwlock_init(&l->rw, RANK_INODE);
	rt_cond_init(&l->c);
	rt_event_init(&l->ev);
}

static void locks_end(struct locks *l)
{
	rt_cond_destroy(&l->c);
	rt_rwlock_destroy(&l->rw);
	rt_spin_destroy(&l->s);
	rt_mutex_destroy(&l->m);
}

static void lock_all(void *state)
{
	struct locks *l = state;

	rt_write_lock(&l->rw);
	l->under_rw += 2;
	rt_mutex_lock(&l->m);
	l->under_m++;
	MBFS_ASSERT(!rt_spin_held());
	rt_spin_lock(&l->s);
	MBFS_ASSERT(rt_spin_held());
	l->under_s++;
	rt_rank_assert_below(RANK_CLAIM);
	rt_spin_unlock(&l->s);
	MBFS_ASSERT(!rt_spin_held());
	rt_mutex_unlock(&l->m);
	rt_write_unlock(&l->rw);
}

static void lock_all_check(void *state)
{
	struct locks *l = state;

	MBFS_ASSERT(l->under_m == 2 && l->under_s == 2 && l->under_rw == 4);
	locks_end(l);
}

static void try_all(void *state)
{
	struct locks *l = state;

	if (rt_mutex_trylock(&l->m)) {
		MBFS_ASSERT(rt_u32_add_return(&l->inside, 1) == 1);
		if (rt_spin_trylock(&l->s)) {
			MBFS_ASSERT(rt_spin_held());
			rt_u32_add(&l->tried, 1);
			rt_spin_unlock(&l->s);
		}
		MBFS_ASSERT(!rt_spin_held());
		rt_u32_add(&l->inside, (uint32_t)-1);
		rt_mutex_unlock(&l->m);
	}
}

static void try_check(void *state)
{
	struct locks *l = state;

	MBFS_ASSERT(rt_u32_read(&l->tried) >= 1);
	MBFS_ASSERT(rt_mutex_trylock(&l->m));
	rt_mutex_unlock(&l->m);
	locks_end(l);
}

static void rw_reader(void *state)
{
	struct locks *l = state;

	rt_read_lock(&l->rw);
	MBFS_ASSERT(l->under_rw % 2 == 0);
	rt_read_unlock(&l->rw);
}

static void rw_writer(void *state)
{
	struct locks *l = state;

	rt_write_lock(&l->rw);
	l->under_rw++;
	l->under_rw++;
	rt_write_unlock(&l->rw);
}

static void just_end(void *state)
{
	locks_end(state);
}

static void cond_give(void *state)
{
	struct locks *l = state;

	rt_mutex_lock(&l->m);
	l->goods++;
	rt_cond_broadcast(&l->c);
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

static void cond_timeout(void *state)
{
	struct locks *l = state;
	uint64_t start = rt_now_ns();

	rt_mutex_lock(&l->m);
	while (rt_cond_wait(&l->c, &l->m, 50000))
		;
	MBFS_ASSERT(rt_now_ns() - start >= 50000);
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
			break;
		rt_event_wait(&l->ev, key);
		MBFS_ASSERT(rt_event_changed(&l->ev, key));
	}
}

static void count_up(void *state)
{
	struct locks *l = state;
	uint32_t old = rt_u32_read(&l->inside);

	rt_u32_add(&l->tried, 1);
	while (!rt_u32_cas(&l->inside, &old, old + 1))
		;
}

static void count_check(void *state)
{
	struct locks *l = state;

	MBFS_ASSERT(rt_u32_read(&l->tried) == 3 && rt_u32_read(&l->inside) == 3);
	locks_end(l);
}

/* ---- per-CPU ---- */

struct spread {
	struct rt_cpus cpus;
	struct rt_counter k;
};

static void spread_setup(void *state)
{
	struct spread *s = state;
	int err;

	rt_cpus_init(&s->cpus, 3);
	err = rt_counter_init(&s->k, &s->cpus);
	MBFS_ASSERT(err == 0 && rt_cpus_nr(&s->cpus) == 3);
}

static void spread_add(void *state)
{
	struct spread *s = state;
	unsigned cpu = rt_cpu(&s->cpus);

	MBFS_ASSERT(cpu < 3 && rt_cpu(&s->cpus) == cpu);
	rt_counter_add(&s->k, cpu, 3);
	rt_counter_add_ordered(&s->k, cpu, (uint64_t)-1);
}

static void spread_check(void *state)
{
	struct spread *s = state;
	uint64_t sum = 0;

	for (unsigned i = 0; i < 3; i++)
		sum += rt_counter_read(&s->k, i);
	MBFS_ASSERT(sum == 4 && rt_counter_sum(&s->k) == 4);
	rt_counter_destroy(&s->k);
}

/* ---- RCU ---- */

struct thing {
	struct rt_rcu_head head;
	struct things *all;
	rt_u32 gone;
	unsigned nr;
};

struct things {
	rt_ptr p;
	rt_u32 ran, order;
	struct thing a, b;
};

static void thing_gone(struct rt_rcu_head *head)
{
	struct thing *t = container_of(head, struct thing, head);

	rt_u32_set(&t->gone, 1);
	MBFS_ASSERT(!rt_rcu_in_reader());
	MBFS_ASSERT(rt_u32_add_return(&t->all->ran, 1) == t->nr);
}

static void things_setup(void *state)
{
	struct things *t = state;
	int err = rt_rcu_worker_start();

	MBFS_ASSERT(err == 0);
	t->a.all = t->b.all = t;
	t->a.nr = 1;
	t->b.nr = 2;
	rt_ptr_set(&t->p, &t->a);
}

static void things_read(void *state)
{
	struct things *t = state;
	struct thing *seen;

	MBFS_ASSERT(!rt_rcu_in_reader());
	rt_rcu_read_lock();
	rt_rcu_read_lock();
	seen = rt_rcu_dereference(&t->p);
	rt_rcu_read_unlock();
	MBFS_ASSERT(rt_rcu_in_reader());
	MBFS_ASSERT(!seen || !rt_u32_read(&seen->gone));
	rt_rcu_read_unlock();
}

static void things_drop(void *state)
{
	struct things *t = state;

	rt_rcu_assign(&t->p, NULL);
	rt_rcu_call(&t->a.head, thing_gone);
	rt_rcu_read_lock();
	rt_rcu_call(&t->b.head, thing_gone); /* from a reader too */
	rt_rcu_read_unlock();
	rt_rcu_barrier();
	MBFS_ASSERT(rt_u32_read(&t->ran) == 2);
}

static void things_sync(void *state)
{
	struct things *t = state;

	rt_rcu_assign(&t->p, NULL);
	rt_rcu_synchronize();
	rt_u32_set(&t->a.gone, 1);
	rt_rcu_barrier(); /* nothing queued */
}

static void things_check(void *state)
{
	(void)state;
	rt_rcu_worker_stop();
}

/* ---- polled grace periods ---- */

static void poll_drop(void *state)
{
	struct rt_rcu_cookie cookie;
	struct things *t = state;

	MBFS_ASSERT(rt_rcu_poll_state((struct rt_rcu_cookie){ 0 }));
	rt_rcu_start_poll(); /* perhaps going on when the next is asked for */
	rt_rcu_assign(&t->p, NULL);
	cookie = rt_rcu_start_poll();
	while (!rt_rcu_poll_state(cookie))
		rt_sleep_ns(100000);
	rt_u32_set(&t->a.gone, 1);
	MBFS_ASSERT(rt_rcu_poll_state(cookie));
	rt_rcu_cond_sync(cookie);
}

static void poll_cond_sync(void *state)
{
	struct rt_rcu_cookie cookie;
	struct things *t = state;

	rt_rcu_assign(&t->p, NULL);
	cookie = rt_rcu_get_state();
	rt_rcu_cond_sync(cookie);
	rt_u32_set(&t->a.gone, 1);
	MBFS_ASSERT(rt_rcu_poll_state(cookie));
}

struct polled {
	struct rt_rcu_head head;
	struct rt_rcu_cookie before;
	rt_u32 ran;
};

static void polled_ran(struct rt_rcu_head *head)
{
	struct polled *p = container_of(head, struct polled, head);

	MBFS_ASSERT(rt_rcu_poll_state(p->before));
	rt_u32_add(&p->ran, 1);
}

/* A callback knows that cookies taken before it was queued have expired. */
static void poll_callback(void *state)
{
	struct polled *p = state;

	p->before = rt_rcu_start_poll();
	rt_rcu_call(&p->head, polled_ran);
	rt_rcu_barrier();
	MBFS_ASSERT(rt_u32_read(&p->ran) == 1);
}

static void poll_reader(void *state)
{
	(void)state;
	rt_rcu_read_lock();
	rt_rcu_read_unlock();
}

/* Two slots are enough for all cookies that have not expired. */
static void poll_slots(void *state)
{
	struct rt_rcu_cookie slot[RT_RCU_POLL_ACTIVE] = { { 0 } }, cookie;
	unsigned at;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		cookie = rt_rcu_start_poll();
		for (at = 0; at < RT_RCU_POLL_ACTIVE; at++)
			if (rt_rcu_same_state(slot[at], cookie) || rt_rcu_poll_state(slot[at]))
				break;
		MBFS_ASSERT(at < RT_RCU_POLL_ACTIVE);
		slot[at] = cookie;
	}
}

static void poll_setup(void *state)
{
	int err = rt_rcu_worker_start();

	(void)state;
	MBFS_ASSERT(err == 0);
}

/* ---- hash ---- */

struct entry {
	struct rt_hash_node node;
	uint64_t key;
};

struct table {
	struct rt_hash h;
	struct entry e[3];
	rt_u32 won, lost, deleted;
};

static int same_key(struct rt_hash_node *node, const void *arg)
{
	return container_of(node, struct entry, node)->key == *(const uint64_t *)arg;
}

static void table_setup(void *state)
{
	struct table *t = state;
	int err = rt_hash_init(&t->h, 4);

	MBFS_ASSERT(err == 0);
	for (unsigned i = 0; i < 3; i++)
		t->e[i].key = i == 2 ? 8 : 7; /* two of one key */
}

static void table_add(struct table *t, unsigned i)
{
	struct rt_hash_node *now;

	rt_rcu_read_lock();
	now = rt_hash_add_unique(&t->h, rt_hash_mix(t->e[i].key), same_key, &t->e[i].key,
				 &t->e[i].node);
	rt_u32_add(now == &t->e[i].node ? &t->won : &t->lost, 1);
	MBFS_ASSERT(container_of(now, struct entry, node)->key == t->e[i].key);
	rt_rcu_read_unlock();
}

static void table_del7(struct table *t)
{
	uint64_t key = 7;
	struct rt_hash_node *n;

	rt_rcu_read_lock();
	n = rt_hash_find(&t->h, rt_hash_mix(key), same_key, &key);
	if (n && rt_hash_del(&t->h, n))
		rt_u32_add(&t->deleted, 1);
	rt_rcu_read_unlock();
}

static void table_left(void *state)
{
	table_add(state, 0);
	table_del7(state);
}

static void table_right(void *state)
{
	table_add(state, 1);
	table_add(state, 2);
}

static bool table_stop(struct rt_hash_node *node, void *arg)
{
	(void)node;
	++*(unsigned *)arg;
	return false;
}

static bool table_empty(struct rt_hash_node *node, void *arg)
{
	rt_hash_del(arg, node);
	return true;
}

static void table_check(void *state)
{
	struct table *t = state;
	uint64_t key = 8;
	unsigned nr = 0;

	MBFS_ASSERT(rt_u32_read(&t->won) + rt_u32_read(&t->lost) == 3);
	MBFS_ASSERT(rt_u32_read(&t->deleted) == 1);
	rt_rcu_read_lock();
	MBFS_ASSERT(rt_hash_find(&t->h, rt_hash_mix(key), same_key, &key) == &t->e[2].node);
	rt_hash_for_each(&t->h, table_stop, &nr);
	MBFS_ASSERT(nr == 1);
	rt_hash_for_each(&t->h, table_empty, &t->h);
	MBFS_ASSERT(!rt_hash_find(&t->h, rt_hash_mix(key), same_key, &key));
	rt_rcu_read_unlock();
	rt_rcu_synchronize();
	rt_hash_destroy(&t->h);
}

/* ---- threads ---- */

struct family {
	rt_u32 born;
	unsigned grown; /* plain: the join orders it */
};

static void family_child(void *arg)
{
	struct family *f = arg;

	rt_u32_add(&f->born, 1);
	f->grown = 1;
}

static void family_parent(void *state)
{
	struct family *f = state;
	struct rt_thread *t;
	int err = rt_thread_start(family_child, f, "a-name-longer-than-15", &t);

	MBFS_ASSERT(err == 0);
	rt_thread_join(t);
	MBFS_ASSERT(f->grown == 1 && rt_u32_read(&f->born) == 1);
}

#define L sizeof(struct locks), locks_setup
static const struct conform_case cases[] = {
	{ "values", 1, NULL, 1, { values }, NULL },
	{ "memory", 1, NULL, 1, { memory }, NULL },
	{ "clock", 1, NULL, 1, { clock_and_rand }, NULL },
	{ "locks", L, 2, { lock_all, lock_all }, lock_all_check },
	{ "trylock", L, 2, { try_all, try_all }, try_check },
	{ "rwlock", L, 3, { rw_reader, rw_reader, rw_writer }, just_end },
	{ "cond", L, 3, { cond_give, cond_give, cond_take }, just_end },
	{ "cond-timeout", L, 2, { cond_timeout, cond_give }, just_end },
	{ "event", L, 3, { event_give, event_take, event_take }, just_end },
	{ "count", L, 3, { count_up, count_up, count_up }, count_check },
	{ "percpu",
	  sizeof(struct spread),
	  spread_setup,
	  2,
	  { spread_add, spread_add },
	  spread_check },
	{ "rcu-call",
	  sizeof(struct things),
	  things_setup,
	  2,
	  { things_read, things_drop },
	  things_check },
	{ "rcu-sync",
	  sizeof(struct things),
	  things_setup,
	  3,
	  { things_read, things_sync, things_read },
	  things_check },
	{ "rcu-poll",
	  sizeof(struct things),
	  things_setup,
	  2,
	  { things_read, poll_drop },
	  things_check },
	{ "rcu-cond-sync",
	  sizeof(struct things),
	  things_setup,
	  3,
	  { things_read, poll_cond_sync, things_read },
	  things_check },
	{ "rcu-poll-call",
	  sizeof(struct polled),
	  poll_setup,
	  2,
	  { poll_reader, poll_callback },
	  things_check },
	{ "rcu-poll-slots",
	  sizeof(struct polled),
	  poll_setup,
	  3,
	  { poll_slots, poll_slots, poll_reader },
	  things_check },
	{ "hash", sizeof(struct table), table_setup, 2, { table_left, table_right }, table_check },
	{ "thread", sizeof(struct family), NULL, 1, { family_parent }, NULL },
};

unsigned conform_nr(void)
{
	return MBFS_ARRAY_SIZE(cases) + conform_wq_nr;
}

const struct conform_case *conform_case(unsigned i)
{
	if (i < MBFS_ARRAY_SIZE(cases))
		return &cases[i];
	return &conform_wq[i - MBFS_ARRAY_SIZE(cases)];
}
