/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * giving.h - an object that readers may still see is given to be freed, and memory may be out: the
 * ways that the mails of the shared seed 003_cf13f0bd3c5d7fa9 weigh, and ours. The variants of
 * kvfree-nomem, by real threads (kvfree_nomem.c) and under the explorer (small_kvfree.c).
 *
 * give-up	a head is attached dynamically; no memory: the object is forgotten. "What to do
 *		when GFP_ATOMIC gets failed in atomic context?"
 * at-once	the same; no memory: it is freed at once, under the readers.
 * always-wait	the same; no memory: the giver waits for readers, wherever he is. In a reader he
 *		waits for himself.
 * wait-or-give	the seed's: wait where that is possible; elsewhere use a head, and without memory
 *		for it give up.
 * mbfs		src/reclaim/kvfree: where he may not wait the giver is told, keeps the object, and
 *		gives it when he may.
 *
 * An object that has a head is never a question: all of them use it.
 */
#ifndef RACE_GIVING_H
#define RACE_GIVING_H

#include "race/variant.h"
#include "reclaim/kvfree.h"
#include "rt/rcu.h"
#include "rt/sync.h"

/* In an object; both are its head. */
struct giving_obj {
	struct rt_rcu_head rcu;
	struct kvfree_head head;
	struct giving *by;
};

struct giving_env {
	/* No reader sees it any more, as the variant thinks. */
	void (*ended)(void *ctx, struct giving_obj *obj);
	/* Waits for readers; called where the variant does, which may be in a reader. */
	void (*wait)(void *ctx);
	/* Memory of heads and pages; NULL: there is none. */
	void *(*get)(void *ctx, size_t bytes);
	void (*put)(void *ctx, void *mem);
	void *ctx;
	unsigned page_nr, high_water; /* of struct kvfree_config */
};

struct giving {
	unsigned how; /* [const] row of the variant */
	struct giving_env env;
	struct kvfree *ours;
	rt_stat heads, ones, waits; /* of the others: as in struct kvfree_stats */
};

/* Errors: -ENOMEM. */
int giving_open(struct giving *g, const char *variant, const struct rt_cpus *cpus,
		const struct giving_env *env);
/*
 * giving_give - @obj is out of readers' reach: no new reader finds it
 * False: it remains the caller's; never so with a head, or where the caller may sleep.
 * Context: any; may sleep where the variant does.
 */
bool giving_give(struct giving *g, struct giving_obj *obj, bool has_head);
/* Where objects were kept; numbers that the variant has none of are 0. */
void giving_stats(const struct giving *g, struct kvfree_stats *out);
/* All that was given has been freed, but for what is lost. Nobody is in a call. */
void giving_close(struct giving *g);

#endif
