// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locking and unlocking bytes of one file: io_tree beside one reader-writer lock of the file, and
 * beside a list of ranges under one spinlock, as kernels have had it.
 *
 * Each kind has a loop of its own, which the compiler makes from one: no call through a pointer is
 * in what is measured.
 */
#include "race/measure.h"

#include "base/check.h"
#include "base/containers.h"
#include "extent/extent.h"
#include "rt/mem.h"
#include "rt/sync.h"

#include <errno.h>
#include <string.h>

enum {
	BATCH = 64,
	BLOCK = 4096,
	BLOCKS = 32,   /* of a thread, in turn */
	HELD_AT = 128, /* first block that is held all the while, of a region's 256 */
	HELD_MAX = 128,
};
#define REGION (1ull << IO_REGION_BITS)
#define SIZE   (RACE_BOUT_THREADS_MAX * REGION) /* of the file */

/* ---- the list ---- */

struct list_range {
	TAILQ_ENTRY(list_range) link;
	uint64_t start, end;
	bool exclusive;
	rt_u32 held; /* [atomic] */
};

struct list {
	struct rt_spin lock;
	TAILQ_HEAD(, list_range) ranges; /* [lock] held and waiting, in the order they came */
	struct rt_event moved;
};

static bool conflict(const struct list_range *a, const struct list_range *b)
{
	return a->start < b->end && b->start < a->end && (a->exclusive || b->exclusive);
}

/* Nothing that came before @r stands in its way. */
static bool may_enter(const struct list *l, const struct list_range *r)
{
	const struct list_range *before;

	TAILQ_FOREACH(before, &l->ranges, link) {
		if (before == r)
			break;
		if (conflict(before, r))
			return false;
	}
	return true;
}

static void list_lock(struct list *l, struct list_range *r, uint64_t start, uint64_t end,
		      bool exclusive)
{
	bool enter;
	uint32_t key;

	r->start = start;
	r->end = end;
	r->exclusive = exclusive;
	rt_spin_lock(&l->lock);
	TAILQ_INSERT_TAIL(&l->ranges, r, link);
	enter = may_enter(l, r);
	rt_u32_set(&r->held, enter);
	rt_spin_unlock(&l->lock);
	while (!enter) {
		key = rt_event_key(&l->moved);
		enter = rt_u32_read_acquire(&r->held);
		if (!enter)
			rt_event_wait(&l->moved, key);
	}
}

static void list_unlock(struct list *l, struct list_range *r)
{
	struct list_range *next;
	bool moved = false;

	rt_spin_lock(&l->lock);
	TAILQ_REMOVE(&l->ranges, r, link);
	TAILQ_FOREACH(next, &l->ranges, link) {
		if (rt_u32_read(&next->held) || !conflict(next, r) || !may_enter(l, next))
			continue;
		rt_u32_set_release(&next->held, 1);
		moved = true;
	}
	rt_spin_unlock(&l->lock);
	if (moved)
		rt_event_signal(&l->moved);
}

/* ---- one file under each of them ---- */

struct member {
	uint64_t base; /* of its blocks */
	unsigned turn;
	struct race_hist *waits; /* of the same block */
	uint8_t from[BLOCK], to[BLOCK];
} __attribute__((aligned(128)));

union held {
	struct io_lock lock;
	struct list_range range;
};

struct file {
	const struct race_range_load *load;
	struct io_env env;
	struct io_tree tree;
	struct rt_rwlock rw;
	struct list list;
	uint64_t clock_ns; /* what reading the clock costs */
	struct member *members;
	union held held[HELD_MAX];
};

static inline __attribute__((always_inline)) void lock(struct file *f, enum race_range_kind kind,
						       union held *h, uint64_t start, uint64_t end,
						       bool read)
{
	if (kind == RACE_RANGE_RWLOCK && read)
		rt_read_lock(&f->rw);
	else if (kind == RACE_RANGE_RWLOCK)
		rt_write_lock(&f->rw);
	else if (kind == RACE_RANGE_LIST)
		list_lock(&f->list, &h->range, start, end, !read);
	else
		io_tree_lock_range(&f->tree, &h->lock, start, end, read ? IO_SHARED : IO_EXCLUSIVE);
}

static inline __attribute__((always_inline)) void unlock(struct file *f, enum race_range_kind kind,
							 union held *h, bool read)
{
	if (kind == RACE_RANGE_RWLOCK && read)
		rt_read_unlock(&f->rw);
	else if (kind == RACE_RANGE_RWLOCK)
		rt_write_unlock(&f->rw);
	else if (kind == RACE_RANGE_LIST)
		list_unlock(&f->list, &h->range);
	else
		io_tree_unlock_range(&f->tree, &h->lock);
}

static inline __attribute__((always_inline)) bool due(unsigned every, unsigned turn)
{
	return every && turn % every == 0;
}

static inline __attribute__((always_inline)) bool batch(struct file *f, unsigned idx,
							enum race_range_kind kind)
{
	const struct race_range_load *l = f->load;
	struct member *m = &f->members[idx];
	union held h;

	for (unsigned i = 0; i < BATCH; i++) {
		unsigned turn = m->turn++;
		bool read = due(l->read_every, turn);
		uint64_t start = m->base + (uint64_t)(turn % BLOCKS) * BLOCK, end = start + BLOCK;

		if (due(l->extend_every, turn)) {
			start = SIZE;
			end = IO_END;
		}
		lock(f, kind, &h, start, end, read);
		if (l->copies)
			memcpy(m->to, m->from, BLOCK);
		unlock(f, kind, &h, read);
	}
	return true;
}

/* All want the same block: each wait is measured. */
static inline __attribute__((always_inline)) bool batch_same(struct file *f, unsigned idx,
							     enum race_range_kind kind)
{
	struct member *m = &f->members[idx];
	bool read = due(f->load->read_every, m->turn++);
	uint64_t from = rt_now_ns(), ns;
	union held h;

	lock(f, kind, &h, 0, BLOCK, read);
	ns = rt_now_ns() - from;
	race_hist_add(m->waits, ns > f->clock_ns ? ns - f->clock_ns : 0);
	if (f->load->copies)
		memcpy(m->to, m->from, BLOCK);
	unlock(f, kind, &h, read);
	return true;
}

#define LOOPS(name, kind)                                \
	static bool name(void *arg, unsigned idx)        \
	{                                                \
		return batch(arg, idx, kind);            \
	}                                                \
	static bool name##_same(void *arg, unsigned idx) \
	{                                                \
		return batch_same(arg, idx, kind);       \
	}
LOOPS(tree, RACE_RANGE_TREE)
LOOPS(rwlock, RACE_RANGE_RWLOCK)
LOOPS(list, RACE_RANGE_LIST)

static const struct {
	bool (*apart)(void *arg, unsigned idx);
	bool (*same)(void *arg, unsigned idx);
} loops[RACE_RANGE_NR] = {
	[RACE_RANGE_TREE] = { tree, tree_same },
	[RACE_RANGE_WHOLE] = { tree, tree_same },
	[RACE_RANGE_RWLOCK] = { rwlock, rwlock_same },
	[RACE_RANGE_LIST] = { list, list_same },
};

/* ---- measuring ---- */

static void hold(struct file *f, enum race_range_kind kind, bool held)
{
	for (unsigned i = 0; i < f->load->held; i++) {
		uint64_t start = (uint64_t)(HELD_AT + i) * BLOCK;

		if (held)
			lock(f, kind, &f->held[i], start, start + BLOCK, false);
		else
			unlock(f, kind, &f->held[i], false);
	}
}

static void file_close(struct file *f)
{
	for (unsigned i = 0; f->members && i < f->load->threads; i++)
		rt_free(f->members[i].waits);
	rt_free(f->members);
	io_tree_destroy(&f->tree);
	rt_rwlock_destroy(&f->rw);
	rt_spin_destroy(&f->list.lock);
	rt_free(f);
}

static int file_open(const struct race_range_load *l, enum race_range_kind kind, struct file **out)
{
	uint64_t apart = l->place == RACE_PLACE_REGION ? (uint64_t)BLOCKS * BLOCK : REGION;
	struct file *f = rt_zalloc_aligned(128, sizeof(*f));
	int err = 0;

	if (!f)
		return -ENOMEM;
	f->load = l;
	f->clock_ns = (uint64_t)race_clock_cost_ns();
	f->env.whole = kind == RACE_RANGE_WHOLE;
	io_tree_init(&f->tree, &f->env, RANK_INODE_RANGE);
	rt_rwlock_init(&f->rw, RANK_NONE);
	rt_spin_init(&f->list.lock, RANK_NONE);
	TAILQ_INIT(&f->list.ranges);
	rt_event_init(&f->list.moved);
	f->members = rt_zalloc_aligned(128, l->threads * sizeof(*f->members));
	for (unsigned i = 0; f->members && i < l->threads; i++) {
		f->members[i].base = i * apart;
		f->members[i].turn = i; /* not all at the same point of a pattern */
		f->members[i].waits = rt_zalloc(sizeof(*f->members[i].waits));
		if (!f->members[i].waits)
			err = -ENOMEM;
	}
	if (err || !f->members) {
		file_close(f);
		return -ENOMEM;
	}
	*out = f;
	return 0;
}

/* Of the same block the waits count, not what is done under the lock. */
static int waits_of(const struct file *f, struct race_pace *out)
{
	struct race_hist *all = rt_zalloc(sizeof(*all));

	if (!all)
		return -ENOMEM;
	for (unsigned i = 0; i < f->load->threads; i++)
		race_hist_merge(all, f->members[i].waits);
	out->p50_ns = (double)race_hist_at(all, 500);
	out->p99_ns = (double)race_hist_at(all, 990);
	out->max_ns = (double)all->max_ns;
	rt_free(all);
	return 0;
}

int race_range_measure(enum race_range_kind kind, const struct race_range_load *l, uint64_t run_ns,
		       struct race_pace *out)
{
	bool same = l->place == RACE_PLACE_SAME;
	struct race_bout bout = {
		.threads = l->threads,
		.run_ns = run_ns,
		.ops = same ? 1 : BATCH,
		.batch = same ? loops[kind].same : loops[kind].apart,
	};
	struct file *f;
	int err;

	MBFS_ASSERT(l->held <= HELD_MAX && l->threads <= RACE_BOUT_THREADS_MAX);
	if (l->held && kind != RACE_RANGE_TREE && kind != RACE_RANGE_LIST)
		return -ENOTSUP; /* the file can be locked once only */
	err = file_open(l, kind, &f);
	if (err)
		return err;
	bout.arg = f;
	hold(f, kind, true);
	err = race_bout_run(&bout, out);
	hold(f, kind, false);
	if (!err && same)
		err = waits_of(f, out);
	file_close(f);
	return err;
}
