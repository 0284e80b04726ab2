// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on the states of one file's bytes, in a tree that keeps its size.
 *
 * Every 8 KiB are one stretch: half of it has bit A, so it adds two places where the bits change.
 *
 *	bytes		0   1K  2K  3K  4K             8K
 *	at rest		A---------------|--------------|
 *	B is set	A---AB------A---|--------------|
 *
 * Some stretches have B all the while. Sets give it to the next ones, clears take it from those
 * that have had it for longest: by turns at random places, a thousand of each in order. Each
 * measurement counts the operations of one kind; the other restores the tree. Convert (A to C and
 * back) and test leave the places as they are.
 */
#include "race/measure.h"

#include "race/team.h"

#include "base/check.h"
#include "extent/extent.h"
#include "rt/mem.h"

#include <errno.h>
#include <malloc.h>

enum {
	STRETCH = 8192,
	HALF = STRETCH / 2,
	PART = HALF / 4,
	CHANGED_MAX = 65536,
	PHASE = 1024,
	BATCH = 16,
	KEEP = 64,
	MAGAZINE = 64
};
#define BIT_A IO_USER(0)
#define BIT_B IO_USER(1)
#define BIT_C IO_USER(2)

struct race_state_tree {
	struct rt_cpus cpus;
	struct mempool_domain *domain;
	struct mempool *pool;
	struct io_env env;
	struct io_tree *tree;
	struct io_memory memory;
	uint32_t *order; /* of the stretches */
	unsigned stretches;
	double grown_bytes;
	uint64_t seed;
};

/* What the heap has given out; 0 where it does not say, as under sanitizers. */
static double heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return (double)m.uordblks + (double)m.hblkhd;
}

static void shuffle(struct race_state_tree *s)
{
	for (unsigned i = 0; i < s->stretches; i++)
		s->order[i] = i;
	for (unsigned i = s->stretches; i > 1; i--) {
		unsigned j = (unsigned)(race_rand(&s->seed) % i);
		uint32_t was = s->order[j];

		s->order[j] = s->order[i - 1];
		s->order[i - 1] = was;
	}
}

static int memory_open(struct race_state_tree *s)
{
	const struct mempool_config cfg = {
		.name = "states",
		.bytes = io_state_bytes(),
		.align = IO_STATE_ALIGN,
		.min_nr = KEEP,
		.magazine_nr = MAGAZINE,
		.order = MEMPOOL_KERNEL,
	};
	int err;

	rt_cpus_init(&s->cpus, 0);
	err = mempool_domain_open(&s->cpus, &s->domain);
	if (!err)
		err = mempool_open(s->domain, &cfg, &s->pool);
	if (err)
		return err;
	s->env.states = s->pool;
	io_memory_init(&s->memory, s->pool, KEEP);
	return 0;
}

static void fill(struct race_state_tree *s, bool shuffled)
{
	double before = heap_bytes();

	if (shuffled)
		shuffle(s);
	for (unsigned i = 0; i < s->stretches; i++) {
		uint64_t start = (uint64_t)(shuffled ? s->order[i] : i) * STRETCH;

		io_memory_fill(&s->memory);
		io_tree_set(s->tree, &s->memory, start, start + HALF, BIT_A, NULL);
	}
	s->grown_bytes = heap_bytes() - before;
	io_memory_fill(&s->memory);
	MBFS_ASSERT(s->tree->state_nr == 2ull * s->stretches);
}

int race_state_tree_open(unsigned nr, bool shuffled, uint64_t seed, struct race_state_tree **out)
{
	struct race_state_tree *s = rt_zalloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->stretches = nr / 2;
	s->seed = seed;
	MBFS_ASSERT(s->stretches >= 4 * BATCH);
	s->order = rt_zalloc(s->stretches * sizeof(*s->order));
	err = s->order ? memory_open(s) : -ENOMEM;
	if (!err)
		s->tree = rt_zalloc_aligned(128, sizeof(*s->tree));
	if (!err && !s->tree)
		err = -ENOMEM;
	if (err) {
		race_state_tree_close(s);
		return err;
	}
	io_tree_init(s->tree, &s->env, RANK_INODE_RANGE);
	fill(s, shuffled);
	*out = s;
	return 0;
}

void race_state_tree_close(struct race_state_tree *s)
{
	if (s->tree)
		io_tree_destroy(s->tree);
	rt_free(s->tree);
	if (s->pool)
		io_memory_end(&s->memory);
	mempool_close(s->pool);
	if (s->domain)
		mempool_domain_close(s->domain);
	rt_free(s->order);
	rt_free(s);
}

void race_state_tree_bytes(const struct race_state_tree *s, double *asked, double *grown)
{
	*asked = (double)(s->tree->node_nr * io_state_bytes()) / (2.0 * s->stretches);
	*grown = s->grown_bytes / (2.0 * s->stretches);
}

/* ---- measuring ---- */

enum { CHANGE, RESTORE, WAY_NR };

struct walk {
	struct race_state_tree *s;
	enum race_state_op op;
	bool in_order;
	unsigned phase, batch; /* operations of one way in a row; timed together */
	unsigned way, done;    /* which, and how many of the phase */
	uint64_t at[WAY_NR];   /* of so many changed, so many restored */
	struct io_hint hints[WAY_NR];
	bool gives_hints;
	uint32_t found; /* keeps a test from being left out */
};

static void one(struct walk *w, unsigned way)
{
	struct race_state_tree *s = w->s;
	unsigned at = (unsigned)(w->at[way]++ % s->stretches);
	uint64_t start = (uint64_t)(w->in_order ? at : s->order[at]) * STRETCH, end = start + HALF;
	struct io_hint *hint = w->gives_hints ? &w->hints[way] : NULL;

	switch (w->op) {
	case RACE_STATE_SET:
	case RACE_STATE_CLEAR:
		start += PART;
		end -= PART;
		if (way == CHANGE)
			io_tree_set(s->tree, &s->memory, start, end, BIT_B, hint);
		else
			io_tree_clear(s->tree, &s->memory, start, end, BIT_B, hint);
		break;
	case RACE_STATE_CONVERT:
		io_tree_convert(s->tree, &s->memory, start, end, way == CHANGE ? BIT_A : BIT_C,
				way == CHANGE ? BIT_C : BIT_A, hint);
		break;
	default: /* RACE_STATE_TEST */
		w->found += io_tree_test(s->tree, start, end, BIT_A, true);
		break;
	}
}

static void some(struct walk *w, unsigned way, uint64_t nr)
{
	while (nr-- > 0) {
		if (w->s->memory.nr < IO_OP_NODES)
			io_memory_fill(&w->s->memory);
		one(w, way);
	}
}

/*
 * At random each operation is timed by itself: its misses of the cache are its own. In order they
 * are timed in batches. A set may need nodes and a clear set some free, which are kept up to
 * KEEP: in a long phase some come from the pool, and some go back to it.
 */
static bool walk_batch(void *arg, unsigned idx)
{
	struct walk *w = arg;
	unsigned way = w->way;

	(void)idx;
	some(w, way, w->batch);
	w->done += w->batch;
	if (w->done >= w->phase) {
		w->way = !way;
		w->done = 0;
	}
	return w->op == RACE_STATE_SET     ? way == CHANGE
	       : w->op == RACE_STATE_CLEAR ? way == RESTORE
					   : true;
}

int race_state_tree_measure(struct race_state_tree *s, enum race_state_op op, bool in_order,
			    bool hint, uint64_t run_ns, struct race_pace *out)
{
	struct walk w = {
		.s = s,
		.op = op,
		.in_order = in_order,
		.phase = in_order ? PHASE / BATCH * BATCH : 1,
		.batch = in_order ? BATCH : 1,
		.gives_hints = hint,
	};
	struct race_bout bout = {
		.threads = 1, .run_ns = run_ns, .ops = w.batch, .batch = walk_batch, .arg = &w
	};
	int err;

	shuffle(s);
	some(&w, CHANGE, s->stretches / 4 < CHANGED_MAX ? s->stretches / 4 : CHANGED_MAX);
	err = race_bout_run(&bout, out);
	some(&w, RESTORE, w.at[CHANGE] - w.at[RESTORE]);
	io_memory_fill(&s->memory);
	MBFS_ASSERT(s->tree->state_nr == 2ull * s->stretches);
	return err;
}
