// SPDX-License-Identifier: GPL-2.0-only
#include "race/seqs.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "rt/mem.h"

enum how { ONE_SEQ, LATE, BARRIER, TWO_SEQ, OURS };

/* The distance of two cookies, which is none of the patch's business: 4 in the kernel. */
enum { STEP = 2 };

static const struct race_variant ways[] = {
	[ONE_SEQ] = { "one-seq", "2024-06", "3bb5d34d6d6e",
		      "one sequence number for two lists, the "
		      "list by arithmetic on it: the patch",
		      false },
	[LATE] = { "two-seq-late", NULL, NULL,
		   "a number for each list, but still taken after the "
		   "sweep",
		   false },
	[BARRIER] = { "two-seq-barrier", NULL, NULL,
		      "the review's proposal; exit as it says: a flag "
		      "and a barrier",
		      false },
	[TWO_SEQ] = { "two-seq", NULL, NULL,
		      "the review's proposal: the number before the sweep; "
		      "exit also waits for both numbers",
		      true },
	[OURS] = { "mbfs", NULL, NULL,
		   "the same, and a worker processes outside the lock: "
		   "reclaim/pending",
		   true },
};

static bool way_at(unsigned idx, struct race_variant *out)
{
	if (idx >= MBFS_ARRAY_SIZE(ways))
		return false;
	*out = ways[idx];
	return true;
}

const struct race_family race_pending = { .what = "pending", .ours = "mbfs", .at = way_at };

static enum how how_of(const char *variant)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(ways); i++)
		if (strcmp(ways[i].name, variant) == 0)
			return (enum how)i;
	MBFS_ASSERT(!"no such variant");
	return OURS;
}

bool seqs_tally_is_clean(const struct seqs_tally *t)
{
	return !(t->past_end || t->bug_on || t->no_list || t->early || t->lost || t->late);
}

/* ---- what the patch has for each CPU ---- */

struct list {
	struct seqs_obj *first, *last;
	uint64_t nr;
};

struct seqs_cpu {
	struct seqs *s;
	struct rt_spin lock;                  /* the patch's, with interrupts off */
	uint64_t locked_at;                   /* 0: nobody measures [lock] */
	bool armed;                           /* [lock] a callback is queued */
	bool exiting;                         /* [lock] it is not queued again */
	bool gone;                            /* [lock] it must not come any more */
	struct rt_rcu_cookie seq[SEQS_LISTS]; /* [lock] one-seq: of objs[0], in the first */
	struct list objs[SEQS_LISTS];         /* [lock] */
	struct list aside;                    /* [lock] there was no list for them */
	struct rt_rcu_head rcu;
	struct seqs_tally seen; /* [lock] */
} __attribute__((aligned(RT_SLOT_BYTES)));

static void list_add(struct list *l, struct seqs_obj *obj)
{
	obj->next = NULL;
	if (l->first)
		l->last->next = obj;
	else
		l->first = obj;
	l->last = obj;
	l->nr++;
}

static void cpu_lock(struct seqs_cpu *c)
{
	rt_spin_lock(&c->lock);
	c->locked_at = rt_u32_read(&c->s->timed) ? rt_now_ns() : 0;
}

static void cpu_unlock(struct seqs_cpu *c)
{
	uint64_t ns = c->locked_at ? rt_now_ns() - c->locked_at : 0;

	if (ns > c->seen.lock_max_ns)
		c->seen.lock_max_ns = ns;
	rt_spin_unlock(&c->lock);
}

static void process_one(struct seqs *s, struct seqs_obj *obj)
{
	if (!rt_rcu_poll_state(obj->cookie))
		rt_u64_add(&s->early, 1);
	s->env.process(s->env.ctx, obj);
}

static void process_list(struct seqs *s, struct list *l)
{
	struct seqs_obj *obj = l->first, *next;

	*l = (struct list){ 0 };
	for (; obj; obj = next) {
		next = obj->next;
		process_one(s, obj);
	}
}

static bool has_items(const struct seqs_cpu *c)
{
	return c->objs[0].nr || c->objs[1].nr;
}

static void sweep_one_seq(struct seqs_cpu *c)
{
	while (has_items(c) && rt_rcu_poll_state(c->seq[0])) {
		process_list(c->s, &c->objs[0]);
		c->objs[0] = c->objs[1];
		c->objs[1] = (struct list){ 0 };
		c->seq[0].opaque += STEP;
	}
}

/* All with the lock held, as the patch has it. */
static void sweep(struct seqs_cpu *c)
{
	if (c->s->how == ONE_SEQ) {
		sweep_one_seq(c);
		return;
	}
	for (unsigned i = 0; i < SEQS_LISTS; i++)
		if (c->objs[i].nr && rt_rcu_poll_state(c->seq[i]))
			process_list(c->s, &c->objs[i]);
}

static struct list *list_one_seq(struct seqs_cpu *c, struct rt_rcu_cookie seq)
{
	uint64_t idx;

	if (!has_items(c))
		c->seq[0] = seq;
	idx = (seq.opaque - c->seq[0].opaque) / STEP;
	if (idx < SEQS_LISTS)
		return &c->objs[idx];
	if (idx > SEQS_LISTS)
		c->seen.bug_on++;
	else
		c->seen.past_end++;
	return &c->aside;
}

static struct list *list_two_seq(struct seqs_cpu *c, struct rt_rcu_cookie seq)
{
	for (unsigned i = 0; i < SEQS_LISTS; i++)
		if (c->objs[i].nr && rt_rcu_same_state(c->seq[i], seq))
			return &c->objs[i];
	for (unsigned i = 0; i < SEQS_LISTS; i++)
		if (!c->objs[i].nr) {
			c->seq[i] = seq;
			return &c->objs[i];
		}
	c->seen.no_list++;
	return &c->aside;
}

static void nap(const struct seqs_cpu *c)
{
	uint64_t until = c->s->env.nap_ns ? rt_now_ns() + c->s->env.nap_ns : 0;

	while (until && rt_now_ns() < until)
		;
}

static void callback(struct rt_rcu_head *head)
{
	struct seqs_cpu *c = container_of(head, struct seqs_cpu, rcu);

	cpu_lock(c);
	c->seen.late += c->gone;
	sweep(c);
	c->armed = has_items(c) && !c->exiting;
	if (c->armed)
		rt_rcu_call(&c->rcu, callback);
	cpu_unlock(c);
}

static void cpu_add(struct seqs_cpu *c, struct seqs_obj *obj)
{
	bool late = c->s->how == ONE_SEQ || c->s->how == LATE;
	struct rt_rcu_cookie seq;

	cpu_lock(c);
	if (late) {
		sweep(c);
		nap(c);
		seq = rt_rcu_start_poll();
	} else {
		seq = rt_rcu_start_poll();
		nap(c);
		sweep(c);
	}
	list_add(c->s->how == ONE_SEQ ? list_one_seq(c, seq) : list_two_seq(c, seq), obj);
	if (!c->armed)
		rt_rcu_call(&c->rcu, callback);
	c->armed = true;
	cpu_unlock(c);
}

static void cpu_exit(struct seqs_cpu *c)
{
	enum how how = c->s->how;

	cpu_lock(c);
	c->exiting = how == BARRIER || how == TWO_SEQ;
	c->gone = !c->exiting;
	if (c->gone) /* the patch frees its arrays */
		for (unsigned i = 0; i < SEQS_LISTS; i++) {
			struct seqs_obj *obj = c->objs[i].first, *next;

			c->seen.lost += c->objs[i].nr;
			c->objs[i] = (struct list){ 0 };
			for (; obj; obj = next) {
				next = obj->next;
				list_add(&c->aside, obj);
			}
		}
	cpu_unlock(c);
	rt_rcu_barrier(); /* of `gone`: for us alone, that late is counted */
	for (unsigned i = 0; c->exiting && i < SEQS_LISTS; i++) {
		if (how == TWO_SEQ)
			rt_rcu_cond_sync(c->seq[i]);
		process_list(c->s, &c->objs[i]);
	}
}

/* Nobody sees these objects any more. */
static void cpu_clear(struct seqs_cpu *c)
{
	struct seqs_obj *obj = c->aside.first, *next;

	if (obj)
		rt_rcu_cond_sync(rt_rcu_get_state());
	for (; obj; obj = next) {
		next = obj->next;
		c->s->env.drop(c->s->env.ctx, obj);
	}
	rt_spin_destroy(&c->lock);
}

/* ---- all variants ---- */

static void process_ours(void *ctx, void *obj)
{
	process_one(ctx, obj);
}

static int open_ours(struct seqs *s)
{
	struct pending_config cfg = { .name = "pending",
				      .process = process_ours,
				      .ctx = s,
				      .link_offset = offsetof(struct seqs_obj, link),
				      .page_nr = s->env.page_nr };

	return pending_open(s->cpus, &cfg, &s->ours);
}

int seqs_open(struct seqs *s, const char *variant, const struct rt_cpus *cpus,
	      const struct seqs_env *env)
{
	*s = (struct seqs){ .how = how_of(variant), .env = *env, .cpus = cpus };
	if (s->how == OURS)
		return open_ours(s);
	s->of = rt_zalloc_aligned(RT_SLOT_BYTES, rt_cpus_nr(cpus) * sizeof(s->of[0]));
	if (!s->of)
		return -ENOMEM;
	for (unsigned i = 0; i < rt_cpus_nr(cpus); i++) {
		s->of[i].s = s;
		rt_spin_init(&s->of[i].lock, RANK_NONE);
	}
	return 0;
}

void seqs_add(struct seqs *s, struct seqs_obj *obj)
{
	obj->cookie = rt_rcu_get_state();
	if (s->how == OURS)
		pending_add(s->ours, obj);
	else
		cpu_add(&s->of[rt_cpu(s->cpus)], obj);
}

void seqs_time_locks(struct seqs *s)
{
	if (s->how == OURS)
		pending_timed(s->ours, true);
	else
		rt_u32_set(&s->timed, 1);
}

void seqs_settle(struct seqs *s)
{
	bool armed;

	if (s->how == OURS) {
		pending_flush(s->ours);
		return;
	}
	do {
		armed = false;
		rt_rcu_barrier();
		for (unsigned i = 0; i < rt_cpus_nr(s->cpus); i++) {
			cpu_lock(&s->of[i]);
			armed |= s->of[i].armed;
			cpu_unlock(&s->of[i]);
		}
	} while (armed);
}

static void tally_add(struct seqs_tally *to, const struct seqs_tally *t)
{
	to->past_end += t->past_end;
	to->bug_on += t->bug_on;
	to->no_list += t->no_list;
	to->early += t->early;
	to->lost += t->lost;
	to->late += t->late;
	if (t->lock_max_ns > to->lock_max_ns)
		to->lock_max_ns = t->lock_max_ns;
}

void seqs_close(struct seqs *s, struct seqs_tally *out)
{
	*out = (struct seqs_tally){ 0 };
	if (s->how == OURS) {
		struct pending_stats st;

		pending_flush(s->ours);
		pending_stats(s->ours, &st);
		out->lock_max_ns = st.lock_max_ns;
		pending_close(s->ours);
	} else {
		for (unsigned i = 0; i < rt_cpus_nr(s->cpus); i++)
			cpu_exit(&s->of[i]);
		for (unsigned i = 0; i < rt_cpus_nr(s->cpus); i++) {
			tally_add(out, &s->of[i].seen);
			cpu_clear(&s->of[i]);
		}
		rt_free(s->of);
	}
	out->early = rt_u64_read(&s->early);
}
