// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree of a depth-first search cut into parts: a part is all that lies below a path of fixed
 * choices. Again and again the part with the largest share of the tree (by the estimator of
 * search_dfs.c) is replaced by one for each choice at its first branching node, in the order of
 * the search. The cut depends on the scenario, the bound and the number of parts wanted, not on
 * who works on it: shards of one search agree about it without talking.
 *
 * Why nothing is lost or done twice:
 * - no reduction: each schedule is below exactly one part;
 * - sleep sets: a fixed node remembers which choices came before, as if they were done. Somebody
 *   else does them, and a sleep set may rely on that as soon as all parts are done;
 * - cache: nodes above a part are never looked up, so what a process has cached lies in parts that
 *   it has done or is doing;
 * - dpor: races add choices to nodes, also to fixed ones that another part shares, which would have
 *   to be told. So fixed nodes have all choices from the start, each in some part: the set of all
 *   enabled threads is persistent, and sleep sets remain right. Parts that bring nothing new end in
 *   a sleep set at once. Below the fixed nodes all is as in one process.
 */
#include "search.h"

static void measure(struct ex_world *w, struct ex_plan *plan, struct ex_part *part)
{
	uint32_t at;

	ex_dfs_part(plan->pool + part->at, part->fixed);
	ex_step_limit(w);
	ex_world_run(w);
	part->leaf = !ex_dfs_branch(&at);
	if (part->leaf)
		return;
	part->nr = at + 1;
	if (plan->pool_nr + part->nr > EX_PLAN_NODES) {
		part->leaf = true; /* no room: not split any more */
		return;
	}
	part->at = plan->pool_nr;
	ex_copy_raw(plan->pool + part->at, ex_dfs_nodes(), part->nr * sizeof(*plan->pool));
	plan->pool_nr += part->nr;
}

/* The part with the largest share that can be split; plan->nr: none. */
static uint32_t largest(const struct ex_plan *plan)
{
	uint32_t best = plan->nr;

	for (uint32_t i = 0; i < plan->nr; i++)
		if (!plan->part[i].leaf &&
		    (best == plan->nr || plan->part[i].share > plan->part[best].share))
			best = i;
	return best;
}

/* Its choices take its place. */
static bool split(struct ex_world *w, struct ex_plan *plan, uint32_t i)
{
	struct ex_part old = plan->part[i], child[32];
	unsigned nr = 0;
	struct ex_node choice;
	double share;

	/* Run it again: what the shares are measured by is the execution that led here. */
	ex_dfs_part(plan->pool + old.at, old.fixed);
	ex_step_limit(w);
	ex_world_run(w);
	for (; nr < 32 && ex_dfs_choice(old.nr - 1, nr, &choice, &share); nr++) {
		if (plan->pool_nr + old.nr > EX_PLAN_NODES)
			return false;
		child[nr] = (struct ex_part){ .at = plan->pool_nr,
					      .fixed = old.nr,
					      .share = old.share * share };
		ex_copy_raw(plan->pool + plan->pool_nr, plan->pool + old.at,
			    (old.nr - 1) * sizeof(choice));
		plan->pool[plan->pool_nr + old.nr - 1] = choice;
		plan->pool_nr += old.nr;
	}
	if (plan->nr + nr > EX_PARTS_MAX)
		return false;
	for (uint32_t k = plan->nr; k-- > i + 1;)
		plan->part[k + nr - 1] = plan->part[k];
	for (unsigned k = 0; k < nr; k++)
		plan->part[i + k] = child[k];
	plan->nr += nr - 1;
	for (unsigned k = 0; k < nr; k++)
		measure(w, plan, &plan->part[i + k]);
	return true;
}

/* At least @want parts, if the tree has so many; -ENOMEM. Runs executions of its own. */
int ex_plan(struct ex_world *w, const struct ex_dfs_config *cfg, uint32_t want,
	    struct ex_plan *plan)
{
	struct ex_dfs_config all = *cfg;
	int err;

	all.cache = all.dpor = false;
	err = ex_dfs_start(w->opt, &all);
	if (err)
		return err;
	w->strat = all.sleep ? &ex_strategy_dpor : &ex_strategy_dfs;
	plan->nr = 1;
	plan->pool_nr = 0;
	plan->part[0] = (struct ex_part){ .share = 1 };
	measure(w, plan, &plan->part[0]);
	while (plan->nr < want) {
		uint32_t i = largest(plan);

		if (i == plan->nr || !split(w, plan, i))
			break;
	}
	return 0;
}
