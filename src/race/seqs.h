/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * seqs.h - a container of objects that wait for grace periods, in each variant of pending-one-seq:
 * as the patch of the shared seed 004_29e27739770e18d8 has it, as its review wants it, and ours
 * (reclaim/pending.h). Compiled against both back ends of rt.
 *
 * Two things differ from the patch. Lists stand for its arrays, so memory plays no part. And an
 * object for which there is no list is counted and put aside, where the kernel would write past the
 * end of an array or stop at a BUG_ON.
 */
#ifndef RACE_SEQS_H
#define RACE_SEQS_H

#include "race/variant.h"
#include "reclaim/pending.h"
#include "rt/rcu.h"
#include "rt/sync.h"

enum { SEQS_LISTS = 2 };

struct seqs_obj {
	struct pending_link link;
	struct seqs_obj *next;
	struct rt_rcu_cookie cookie; /* taken before it was added */
};

struct seqs_env {
	/* Its grace period has passed, as the variant thinks. Under the patch's lock, or not. */
	void (*process)(void *ctx, struct seqs_obj *obj);
	/* After seqs_close(): it was lost, or put aside, and nobody sees it. */
	void (*drop)(void *ctx, struct seqs_obj *obj);
	void *ctx;
	uint64_t nap_ns; /* between sweep and cookie: the review's preempted virtual CPU */
	unsigned page_nr;
};

/* What went wrong, and how long a lock was held. */
struct seqs_tally {
	uint64_t past_end;    /* objs[2]: BUG_ON(idx > ARRAY_SIZE(objs)) lets it pass */
	uint64_t bug_on;      /* objs[3] and more */
	uint64_t no_list;     /* of variants with two cookies: neither equal nor empty */
	uint64_t early;       /* processed before their grace period had passed */
	uint64_t lost;        /* never processed */
	uint64_t late;        /* callbacks after the container was gone */
	uint64_t lock_max_ns; /* while timed */
};
bool seqs_tally_is_clean(const struct seqs_tally *t);

struct seqs_cpu;

struct seqs {
	unsigned how; /* [const] */
	struct seqs_env env;
	const struct rt_cpus *cpus;
	struct seqs_cpu *of; /* [const] by virtual CPU; NULL: ours */
	struct pending *ours;
	rt_u64 early;
	rt_u32 timed; /* [atomic] */
};

/* Errors: -ENOMEM, -EAGAIN. */
int seqs_open(struct seqs *s, const char *variant, const struct rt_cpus *cpus,
	      const struct seqs_env *env);
/* Context: as pending_add(). Sets obj->cookie. */
void seqs_add(struct seqs *s, struct seqs_obj *obj);
/* From now on lock_max_ns is measured. */
void seqs_time_locks(struct seqs *s);
/* All that was added and not put aside has been processed. Nobody adds meanwhile. */
void seqs_settle(struct seqs *s);
/* The exit that the variant has; then what it has left behind is counted and cleared away. */
void seqs_close(struct seqs *s, struct seqs_tally *out);

#endif
