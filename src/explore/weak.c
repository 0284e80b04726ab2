// SPDX-License-Identifier: GPL-2.0-only
/*
 * Weak memory, as an option: each atomic keeps its last stores, in the order in which the execution
 * made them, and a load may return any that coherence allows, a choice of the search. A store hides
 * all older ones from a thread that knows (by clocks.c) that somebody has seen it. Release,
 * acquire, read-modify-writes and fences pass on what is known, as in C11; a read-modify-write
 * takes the newest store; fences also pass it on among each other, in their order.
 *
 * Not produced: loads from stores yet to come (load buffering), stores of two threads to one
 * location in another order than executed, a failing cas that reads an old value, more than
 * HISTORY_MAX stores of a past. Locks, waits and RCU are as strong as ever.
 *
 * TSan is told of each atomic, as where it is strong, but not of each store: who acquires an old
 * one knows, to TSan, what was released since. It misses races so, and reports none that there is
 * not.
 */
#include "world.h"

#include <errno.h>

enum { HISTORY_MAX = 8 };

bool ex_weak_on;

struct store {
	uint64_t value;
	uint32_t sync[EX_THREADS_MAX]; /* what who acquires it learns */
	uint32_t seen[EX_THREADS_MAX]; /* when a thread first read or wrote it; 0: not yet */
};

struct location {
	unsigned nr; /* stores; 0: never touched in this execution */
	struct store st[HISTORY_MAX];
};

static struct ex_map locations = { .rec_bytes = sizeof(struct location) };

/* Takes its memory, not on a fiber. */
int ex_weak_init(void)
{
	bool was_new;

	return ex_map_get(&locations, &locations, &was_new) ? 0 : -ENOMEM;
}

void ex_weak_begin(bool on)
{
	ex_weak_on = on;
	if (on)
		ex_map_clear(&locations);
}

void ex_weak_end(void)
{
	ex_map_end(&locations);
}

static struct location *location_of(const void *obj, uint64_t now)
{
	bool was_new;
	struct location *l = ex_map_get(&locations, obj, &was_new);

	if (!l)
		ex_stop(EXPLORE_MISUSE, "too many atomics for weak memory");
	if (was_new) {
		l->nr = 1;
		l->st[0].value = now; /* before everything */
	}
	return l;
}

static bool known(const struct store *s)
{
	const uint32_t *now = ex_clocks_now();

	for (unsigned u = 0; u < ex_world->sim.thread_nr; u++)
		if (s->seen[u] && s->seen[u] <= now[u])
			return true;
	return false;
}

static void see(struct store *s)
{
	int tid = ex_tid(ex_world, ex_world->cur);

	if (!s->seen[tid])
		s->seen[tid] = ex_clocks_now()[tid];
}

static struct store *newest(struct location *l)
{
	return &l->st[l->nr - 1];
}

static struct store *append(struct location *l, uint64_t value)
{
	if (l->nr == HISTORY_MAX) {
		for (unsigned i = 1; i < l->nr; i++) /* TSan looks into a memmove() */
			ex_copy_raw(&l->st[i - 1], &l->st[i], sizeof(l->st[i]));
		l->nr--;
	}
	l->st[l->nr] = (struct store){ .value = value };
	return &l->st[l->nr++];
}

uint64_t ex_weak_load(const void *obj, uint64_t now, bool acquire)
{
	struct location *l = location_of(obj, now);
	unsigned oldest = l->nr - 1, back;
	struct store *s;

	while (oldest > 0 && !known(&l->st[oldest]))
		oldest--;
	back = ex_data(l->nr - oldest);
	s = &l->st[l->nr - 1 - back];
	see(s);
	ex_clocks_learn(s->sync, acquire);
	if (acquire)
		ex_tsan_acquire(obj);
	return s->value;
}

/* A cas that fails. */
void ex_weak_failed(const void *obj, uint64_t now)
{
	struct store *s = newest(location_of(obj, now));

	see(s);
	ex_clocks_learn(s->sync, true);
	ex_tsan_acquire(obj);
}

void ex_weak_store(const void *obj, uint64_t now, uint64_t value, bool release)
{
	struct store *s = append(location_of(obj, now), value);

	see(s);
	ex_clocks_teach(s->sync, release);
	if (release)
		ex_tsan_release(obj);
}

void ex_weak_update(const void *obj, uint64_t now, uint64_t value, bool ordered)
{
	struct location *l = location_of(obj, now);
	struct store was = *newest(l), *s;

	see(newest(l));
	ex_clocks_learn(was.sync, ordered);
	s = append(l, value);
	ex_copy_raw(s->sync, was.sync, sizeof(s->sync)); /* the release sequence goes on */
	see(s);
	ex_clocks_teach(s->sync, ordered);
	if (ordered) {
		ex_tsan_acquire(obj);
		ex_tsan_release(obj);
	}
}
