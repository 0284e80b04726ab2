// SPDX-License-Identifier: GPL-2.0-only
/*
 * Objects that wait for grace periods, small. Each thread adds one or two objects, and at the end
 * all have been processed, each after its grace period. In pending-bug-on one thread adds two, and
 * the other, who has nothing to do with them, waits for grace periods: only what the patch's BUG_ON
 * catches counts. In pending-exit one thread adds two and closes the container; the other reads the
 * second.
 */
#include "race/seqs.h"
#include "race/small.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum shape { ADD, ADD_TWO, BUSY, EXIT };
enum { OBJECTS_MAX = 6 };

struct state {
	struct rt_cpus cpus;
	struct seqs seqs;
	struct seqs_obj obj[OBJECTS_MAX];
	rt_u32 processed[OBJECTS_MAX]; /* [atomic] times */
	rt_u32 dropped;
	rt_ptr published; /* in EXIT: an object, to the reader */
	struct seqs_tally seen;
	bool closed;
};

static unsigned objects(const struct small_run *r)
{
	switch ((enum shape)r->s->shape) {
	case ADD:
		return r->s->threads;
	case ADD_TWO:
		return 2 * r->s->threads;
	default:
		return 2;
	}
}

static void process(void *ctx, struct seqs_obj *obj)
{
	struct state *s = ctx;

	rt_u32_add(&s->processed[obj - s->obj], 1);
}

static void drop(void *ctx, struct seqs_obj *obj)
{
	struct state *s = ctx;

	(void)obj;
	rt_u32_add(&s->dropped, 1);
}

static void setup(struct small_run *r)
{
	struct state *s = r->state;
	const struct seqs_env env = { .process = process, .drop = drop, .ctx = s, .page_nr = 2 };
	int err;

	rt_cpus_init(&s->cpus, 1);
	err = seqs_open(&s->seqs, r->variant, &s->cpus, &env);
	MBFS_ASSERT(!err);
	rt_ptr_set_release(&s->published, &s->obj[1]);
}

/* In words of the patch. */
static void complain(struct small_run *r, const struct seqs_tally *t)
{
	if (t->past_end && r->s->shape != BUSY)
		small_fail(r, "objs[2] of 2 is written to: BUG_ON(idx > ARRAY_SIZE(objs)) lets it "
			      "pass");
	else if (t->bug_on)
		small_fail(r, "BUG_ON(idx > ARRAY_SIZE(objs))");
	else if (t->no_list)
		small_fail(r, "both lists have objects that wait for other grace periods");
	else if (t->early)
		small_fail(r, "%llu objects are processed before their grace period has passed",
			   (unsigned long long)t->early);
	else if (t->late)
		small_fail(r, "a callback finds that the container is gone");
	else if (t->lost)
		small_fail(r, "%llu objects are lost at exit", (unsigned long long)t->lost);
}

static void close_it(struct small_run *r)
{
	struct state *s = r->state;

	seqs_close(&s->seqs, &s->seen);
	s->closed = true;
	complain(r, &s->seen);
}

static void reader(struct small_run *r)
{
	struct state *s = r->state;
	struct seqs_obj *obj;

	rt_rcu_read_lock();
	obj = rt_rcu_dereference(&s->published);
	if (obj && rt_u32_read(&s->processed[obj - s->obj]))
		small_fail(r, "a reader finds an object that is processed already");
	rt_rcu_read_unlock();
}

static void add_and_exit(struct small_run *r)
{
	struct state *s = r->state;

	seqs_add(&s->seqs, &s->obj[0]);
	rt_rcu_assign(&s->published, NULL);
	seqs_add(&s->seqs, &s->obj[1]);
	close_it(r);
}

static void thread(struct small_run *r, unsigned me)
{
	struct state *s = r->state;

	if (r->s->shape == EXIT) {
		if (me == 0)
			add_and_exit(r);
		else
			reader(r);
	} else if (r->s->shape == BUSY && me == 1) {
		for (unsigned i = 0; i < 3; i++)
			rt_rcu_cond_sync(rt_rcu_get_state());
	} else {
		for (unsigned i = me; i < objects(r); i += r->s->shape == BUSY ? 1 : r->s->threads)
			seqs_add(&s->seqs, &s->obj[i]);
	}
}

static void check(struct small_run *r)
{
	struct state *s = r->state;

	if (!s->closed) {
		seqs_settle(&s->seqs);
		close_it(r);
	}
	for (unsigned i = 0; i < objects(r); i++)
		if (seqs_tally_is_clean(&s->seen) && rt_u32_read(&s->processed[i]) != 1)
			small_fail(r, "object %u is processed %u times", i,
				   rt_u32_read(&s->processed[i]));
}

#define ROW(name_, threads_, shape_, summary_)                                                    \
	{                                                                                         \
		.name = name_, .summary = summary_, .family = &race_pending, .threads = threads_, \
		.shape = shape_, .state_bytes = sizeof(struct state), .setup = setup,             \
		.thread = thread, .check = check                                                  \
	}

const struct small_scenario small_pending[] = {
	ROW("pending-one-seq", 3, ADD, "three threads add an object each, while grace periods end"),
	ROW("pending-one-seq-2", 2, ADD_TWO, "two threads add two objects each"),
	ROW("pending-bug-on", 2, BUSY, "one adds two objects, another waits for grace periods"),
	ROW("pending-exit", 2, EXIT, "exit with objects queued, one of which a reader still has"),
	{ .name = NULL },
};
