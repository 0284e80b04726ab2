// SPDX-License-Identifier: GPL-2.0-only
/*
 * States of bytes when memory is out, small. Each thread does what a write does to its bytes: in
 * flight, converted, cleared; the bits are user bits of its own, so each knows what to find. There
 * are as many places as one thread can need whatever the other does, and no more.
 *
 *   APART     the ranges have nothing to do with each other
 *   TOUCH     they follow one another, and the bits are the same: places are merged and split
 *   OVERLAP   they overlap, each with bits of its own: what one splits the other changes
 *   SHORT     the same without the conversion, so short that every schedule can be tried
 */
#include "race/small.h"

#include "base/check.h"
#include "race/state.h"
#include "rt/mem.h"

enum { APART, TOUCH, OVERLAP, SHORT };

struct state {
	const struct state_way *way;
	bool dry; /* [const] the reserve is filled, and memory is out */
	struct rt_cpus cpus;
	struct mempool_domain *domain;
	struct mempool *pool;
	struct io_env env;
	struct io_tree tree;
} __attribute__((aligned(64)));

struct range {
	uint64_t start, end;
	uint32_t a, b; /* bits */
};

static unsigned ops_nr(int shape)
{
	return shape == SHORT ? 2 : 3;
}

static struct range range_of(int shape, unsigned me)
{
	unsigned bit = shape == TOUCH ? 0 : 2 * me;
	struct range r = { .a = IO_USER(bit), .b = IO_USER(bit + 1) };

	r.start = me * (shape == APART ? 20 : shape == TOUCH ? 10 : 4);
	r.end = r.start + 10;
	return r;
}

/* ---- memory ---- */

static void *backing_alloc(void *ctx, size_t bytes, size_t align, bool may_wait)
{
	const struct state *s = ctx;

	(void)may_wait;
	return s->dry ? NULL : rt_zalloc_aligned(align, bytes);
}

static void backing_free(void *ctx, void *obj)
{
	(void)ctx;
	rt_free(obj);
}

static const struct mempool_backing backing = { .alloc = backing_alloc, .free = backing_free };

/* ---- set-up ---- */

static void setup(struct small_run *r)
{
	struct state *s = r->state;
	struct mempool_config cfg = {
		.name = "states",
		.bytes = io_state_bytes(),
		.align = IO_STATE_ALIGN,
		.min_nr = ops_nr(r->s->shape) * IO_OP_NODES,
		.order = MEMPOOL_KERNEL,
		.backing = &backing,
		.ctx = s,
	};
	int err;

	s->way = state_way_find(r->variant);
	rt_cpus_init(&s->cpus, 1);
	err = mempool_domain_open(&s->cpus, &s->domain);
	if (!err)
		err = mempool_open(s->domain, &cfg, &s->pool);
	MBFS_ASSERT(s->way && !err);
	s->dry = true;
	s->env.states = s->pool;
	s->env.node_places = 1; /* each takes memory, as the kernel's do */
	io_tree_init(&s->tree, &s->env, RANK_INODE_RANGE);
	small_name(r, &s->tree.lock, "states");
	small_name(r, s->domain, "pool");
}

/* ---- threads ---- */

static void step(struct small_run *r, struct state_batch *b, const struct range *at, uint32_t clear,
		 uint32_t set)
{
	if (!state_change(b, at->start, at->end, clear, set))
		small_fail(r, "an operation on the states of [%llu, %llu) was not done: no memory",
			   (unsigned long long)at->start, (unsigned long long)at->end);
	else if (!state_is(b->tree, at->start, at->end, at->a | at->b, set))
		small_fail(r, "the states of [%llu, %llu) are not what was set",
			   (unsigned long long)at->start, (unsigned long long)at->end);
}

static void thread(struct small_run *r, unsigned me)
{
	struct state *s = r->state;
	struct range at = range_of(r->s->shape, me);
	struct state_batch b;

	state_begin(&b, s->way, &s->tree, ops_nr(r->s->shape));
	step(r, &b, &at, 0, at.a);
	if (r->s->shape != SHORT)
		step(r, &b, &at, at.a, at.b);
	step(r, &b, &at, at.a | at.b, 0);
	state_end(&b);
}

/* ---- check ---- */

static void check(struct small_run *r)
{
	struct state *s = r->state;
	struct mbfs_diag diag = { "" };
	struct mempool_stats st;

	if (io_tree_check(&s->tree, &diag))
		small_fail(r, "%s", diag.text);
	if (s->tree.state_nr)
		small_fail(r, "states are left in the tree");
	io_tree_destroy(&s->tree);
	mempool_stats(s->pool, &st);
	if (st.in_use)
		small_fail(r, "%u places are not back in the pool", st.in_use);
	mempool_close(s->pool);
	mempool_domain_close(s->domain);
}

/* ---- the table ---- */

#define ROW(name_, threads_, shape_, summary_)                                                  \
	{                                                                                       \
		.name = name_, .summary = summary_, .family = &race_state, .threads = threads_, \
		.shape = shape_, .state_bytes = sizeof(struct state), .setup = setup,           \
		.thread = thread, .check = check                                                \
	}

const struct small_scenario small_state[] = {
	ROW("state-apart", 2, APART, "states of ranges that have nothing to do with each other"),
	ROW("state-touch", 2, TOUCH, "states of ranges that follow one another, same bits"),
	ROW("state-overlap", 2, OVERLAP, "states of ranges that overlap, bits of their own"),
	ROW("state-short", 2, SHORT, "the same, set and cleared, and no more"),
	ROW("state-overlap-3", 3, OVERLAP, "states of ranges that overlap, three threads"),
	{ .name = NULL },
};
