// SPDX-License-Identifier: GPL-2.0-only
/*
 * Depth-first search over decisions, by running the execution again from its start. One node per
 * decision: which threads could run, which have been tried, which are to be tried.
 *
 * Local: before an operation on an object that no two threads share (shared.c) nobody else is
 * tried; who starts a search begins it again if objects became shared that it had passed over.
 * Bounded: switching away from a thread that could go on costs 1 (with delay_bound: the distance in
 * round-robin order); giving way and blocking cost nothing. Cache (CHESS): a state is the
 * happens-before relation so far, as a hash, with the running thread and the fairness sets; reached
 * again with no more budget left than before, its subtree has been seen. Sleep sets (Godefroid): a
 * thread tried at a node need not run again below its siblings until an operation that depends on
 * its own has run. DPOR: a node first has one thread to try; races add others (dpor.c).
 *
 * How much of the tree is done: Knuth's estimator (1975) over the current path. What is below a
 * node is shared out among its choices, evenly without a bound; with one by the number of ways to
 * spend what is left of it, if each path had as many branching nodes as the current one. It is
 * biased where subtrees differ: too hopeful when races (dpor) add choices later, too gloomy when
 * the cache cuts more of what is to come than of what was seen.
 */
#include "search.h"

#include <errno.h>
#include <string.h>

enum { NODES_MAX = 1 << 20 };

static struct {
	struct ex_node *nodes;
	uint32_t nr;    /* nodes of the prefix */
	uint32_t base;  /* of those, fixed: this search has one part of the tree (split.c) */
	bool first;     /* no execution of this part yet */
	uint32_t depth; /* of this execution */
	uint32_t fresh; /* first node whose operation is not that of the last execution */
	struct ex_dfs_config cfg;
	struct ex_set cache;
	uint32_t sleep_now;
	int used;
	uint64_t left;
	bool exhausted;
	unsigned drop_rule;
} dfs;

int ex_dfs_start(const struct explore_options *opt, const struct ex_dfs_config *cfg)
{
	if (!dfs.nodes)
		dfs.nodes = ex_pages(NODES_MAX * sizeof(*dfs.nodes));
	ex_set_end(&dfs.cache);
	if (!dfs.nodes || (cfg->cache && ex_set_init(&dfs.cache, 1 << 12)))
		return -ENOMEM;
	dfs.nr = dfs.base = dfs.fresh = 0;
	dfs.first = true;
	dfs.cfg = *cfg;
	dfs.left = cfg->schedules;
	dfs.exhausted = false;
	dfs.drop_rule = opt->drop_rule;
	return cfg->dpor ? ex_dpor_start(opt) : 0;
}

/* The part of the tree below @nodes: a path with a choice made at each. */
void ex_dfs_part(const struct ex_node *nodes, uint32_t nr)
{
	ex_copy_raw(dfs.nodes, nodes, nr * sizeof(*nodes));
	dfs.nr = dfs.base = nr;
	dfs.first = true;
	dfs.exhausted = false;
}

void ex_dfs_end(void)
{
	ex_pages_free(dfs.nodes, NODES_MAX * sizeof(*dfs.nodes));
	dfs.nodes = NULL;
	ex_set_end(&dfs.cache);
	ex_dpor_end();
}

bool ex_dfs_exhausted(void)
{
	return dfs.exhausted;
}

static void dfs_begin(struct ex_world *w)
{
	(void)w;
	dfs.depth = 0;
	dfs.sleep_now = 0;
	dfs.used = 0;
	/* After a choice that is data the operation before it is looked at again. */
	dfs.fresh = dfs.nr > 0 && !dfs.first ? dfs.nr - 1 : 0;
	dfs.first = false;
	while (dfs.fresh > 0 && dfs.nodes[dfs.fresh].is_data)
		dfs.fresh--;
	if (dfs.cfg.dpor)
		ex_dpor_begin(dfs.fresh);
}

/* ---- budget ---- */

static inline int cost(const struct ex_node *n, unsigned tid)
{
	uint32_t bit = 1u << tid, between;

	if (dfs.cfg.deviations)
		return tid != n->dflt;
	if (n->is_data)
		return 0;
	if (n->lazy & bit && n->cand & ~n->lazy)
		return 1; /* time runs out although somebody could run */
	if (n->self < 0 || tid == (unsigned)n->self)
		return 0;
	if (!dfs.cfg.delay)
		return 1;
	/* candidates from self up to tid, round robin */
	between = n->cand & ~((1u << n->self) - 1);
	if (tid > (unsigned)n->self)
		return __builtin_popcount(between & (bit - 1));
	return __builtin_popcount(between) + __builtin_popcount(n->cand & (bit - 1));
}

static uint32_t affordable(const struct ex_node *n)
{
	uint32_t out = 0;

	if (dfs.cfg.bound < 0 || (dfs.used < dfs.cfg.bound && !dfs.cfg.delay))
		return n->cand; /* nothing costs more than 1 */
	for (uint32_t m = n->cand; m; m &= m - 1) {
		unsigned tid = (unsigned)__builtin_ctz(m);

		if (dfs.used + cost(n, tid) <= dfs.cfg.bound)
			out |= 1u << tid;
	}
	return out;
}

/* ---- cache ---- */

static uint64_t state_key(const struct ex_world *w, const struct ex_node *n)
{
	uint64_t key = 0;

	for (unsigned i = 0; i < w->sim.thread_nr; i++)
		key += ex_mix(w->sim.th[i].hash, i);
	if (dfs.cfg.bound >= 0 && dfs.drop_rule != RULE_CACHE_THREAD)
		key = ex_mix(key, (uint64_t)(dfs.cfg.deviations ? n->dflt : n->self) + 100);
	for (uint32_t m = w->sim.yielders; m; m &= m - 1) {
		const struct ex_thread *t = &w->sim.th[__builtin_ctz(m)];

		key = ex_mix(key, (uint64_t)t->fair_e << 32 | t->fair_d);
		key = ex_mix(key, (uint64_t)t->fair_s << 32 | t->fair_p);
		key = ex_mix(key, m);
	}
	return key;
}

static bool seen(const struct ex_world *w, const struct ex_node *n)
{
	int64_t left = dfs.cfg.bound < 0 ? INT32_MAX : dfs.cfg.bound - dfs.used;
	struct ex_set_slot *slot;
	bool was_new;

	slot = ex_set_get(&dfs.cache, state_key(w, n), &was_new);
	if (!slot)
		return false;
	if (!was_new && (slot->value >= left || dfs.drop_rule == RULE_CACHE_BUDGET))
		return true;
	slot->value = left;
	return false;
}

/* ---- choosing ---- */

static int follow(struct ex_world *w, uint32_t cand)
{
	struct ex_node *n = &dfs.nodes[dfs.depth];

	if (n->cand != cand)
		ex_stop(EXPLORE_NONDET, "step %u: threads %#x could run, %#x the first time",
			w->step, cand, n->cand);
	dfs.depth++;
	if (dfs.cfg.bound >= 0)
		dfs.used += cost(n, n->chosen);
	return n->chosen;
}

static struct ex_node *node_add(struct ex_world *w, uint32_t cand)
{
	struct ex_node *n = &dfs.nodes[dfs.depth];

	if (dfs.depth + 1 >= NODES_MAX)
		ex_stop(EXPLORE_LIVELOCK, "%u decisions: too many to search", w->step);
	*n = (struct ex_node){ .cand = cand, .self = -1 };
	return n;
}

static int node_take(struct ex_node *n, unsigned tid)
{
	n->chosen = (uint8_t)tid;
	n->done |= 1u << tid;
	dfs.used += cost(n, tid);
	dfs.nr = ++dfs.depth;
	return (int)tid;
}

static int dfs_pick(struct ex_world *w, const struct ex_choice *c)
{
	unsigned first = (unsigned)c->dflt;
	struct ex_node *n;
	uint32_t may;

	if (dfs.depth < dfs.nr)
		return follow(w, c->cand);
	n = node_add(w, c->cand);
	n->dflt = (uint8_t)c->dflt;
	n->self = c->yielded ? -1 : (int8_t)c->self;
	n->lazy = c->lazy;
	n->sleep = dfs.cfg.sleep ? dfs.sleep_now : 0;
	if (dfs.cfg.local && n->self >= 0 && ex_shared_local(&w->sim.th[n->self].op)) {
		n->todo = 1u << n->self;
		return node_take(n, (unsigned)n->self);
	}
	may = affordable(n) & ~n->sleep;
	if (!may || (dfs.cfg.cache && seen(w, n)))
		return EX_PRUNE;
	n->todo = may;
	if (!(may & 1u << first))
		first = (unsigned)__builtin_ctz(may);
	if (dfs.cfg.dpor)
		n->todo = 1u << first;
	return node_take(n, first);
}

static int dfs_data(struct ex_world *w, unsigned n_values)
{
	uint32_t cand = n_values >= 32 ? ~0u : (1u << n_values) - 1;
	struct ex_node *n;

	if (dfs.depth < dfs.nr)
		return follow(w, cand);
	n = node_add(w, cand);
	n->is_data = true;
	n->todo = affordable(n);
	return node_take(n, 0);
}

static bool dfs_next(struct ex_world *w)
{
	(void)w;
	if (dfs.left > 0 && --dfs.left == 0)
		return false;
	while (dfs.nr > dfs.base) {
		struct ex_node *n = &dfs.nodes[dfs.nr - 1];
		uint32_t rest = n->todo & ~n->done & ~n->sleep;

		if (rest) {
			n->chosen = (uint8_t)__builtin_ctz(rest);
			n->done |= 1u << n->chosen;
			return true;
		}
		dfs.nr--;
	}
	dfs.exhausted = true;
	return false;
}

/* ---- how much is left ---- */

static uint32_t options(const struct ex_node *n)
{
	return n->todo & ~n->sleep;
}

static bool branches(const struct ex_node *n)
{
	return options(n) & (options(n) - 1);
}

/* Ways to spend at most @budget at @nr branching nodes. */
static double ways(uint32_t nr, int budget)
{
	double sum = 0, choose = 1;

	for (int k = 0; k <= budget && (uint32_t)k <= nr && sum < 1e300; k++) {
		sum += choose;
		choose = choose * (nr - (uint32_t)k) / (k + 1);
	}
	return sum;
}

/* What lies below choice @tid of @n, @used spent before and @nr branching nodes after it. */
static double below(const struct ex_node *n, unsigned tid, int used, uint32_t nr)
{
	return dfs.cfg.bound < 0 ? 1 : ways(nr, dfs.cfg.bound - used - cost(n, tid));
}

/* The part of @n's subtree that is below the choices @some. */
static double share_of(const struct ex_node *n, uint32_t some, int used, uint32_t nr)
{
	double all = 0, sum = 0;

	for (uint32_t m = options(n) | some; m; m &= m - 1) {
		double one = below(n, (unsigned)__builtin_ctz(m), used, nr);

		all += one;
		if (some & 1u << __builtin_ctz(m))
			sum += one;
	}
	return all > 0 ? sum / all : 0;
}

static uint32_t branching(uint32_t from, uint32_t to)
{
	uint32_t nr = 0;

	for (uint32_t i = from; i < to; i++)
		nr += branches(&dfs.nodes[i]);
	return nr;
}

double ex_dfs_done(void)
{
	uint32_t left = branching(dfs.base, dfs.nr);
	double done = 0, share = 1;
	int used = 0;

	if (dfs.exhausted)
		return 1;
	for (uint32_t i = 0; i < dfs.nr; i++) {
		const struct ex_node *n = &dfs.nodes[i];
		uint32_t chosen = 1u << n->chosen;

		if (i >= dfs.base && branches(n)) {
			left--;
			done += share * share_of(n, n->done & ~chosen, used, left);
			share *= share_of(n, chosen, used, left);
		}
		used += cost(n, n->chosen);
	}
	return done;
}

/* ---- parts, for split.c ---- */

/* Of the last execution: the first node from the fixed ones on that branches; false: none. */
bool ex_dfs_branch(uint32_t *at)
{
	for (*at = dfs.base; *at < dfs.nr; ++*at)
		if (branches(&dfs.nodes[*at]))
			return true;
	return false;
}

const struct ex_node *ex_dfs_nodes(void)
{
	return dfs.nodes;
}

/* Choice number @idx at node @at of the last execution, in the order of the search. */
bool ex_dfs_choice(uint32_t at, unsigned idx, struct ex_node *out, double *share)
{
	const struct ex_node *n = &dfs.nodes[at];
	uint32_t rest = options(n) & ~(1u << n->chosen), done = 1u << n->chosen;
	int used = 0;

	for (uint32_t i = 0; i < at; i++)
		used += cost(&dfs.nodes[i], dfs.nodes[i].chosen);
	*out = *n;
	for (unsigned i = 0; i < idx; i++, rest &= rest - 1) {
		if (!rest)
			return false;
		out->chosen = (uint8_t)__builtin_ctz(rest);
		done |= 1u << out->chosen;
	}
	out->done = done;
	*share = share_of(n, 1u << out->chosen, used, branching(at + 1, dfs.nr));
	return true;
}

/* ---- reductions ---- */

static void dfs_commit(struct ex_world *w, struct ex_thread *t)
{
	const struct ex_node *n = &dfs.nodes[dfs.depth - 1];
	uint32_t pool = (n->sleep | n->done) & ~(1u << n->chosen) & w->sim.live, next = 0;

	if (dfs.depth <= dfs.fresh)
		return;
	for (uint32_t m = pool; m; m &= m - 1) {
		int u = __builtin_ctz(m);

		if (dfs.drop_rule == RULE_SLEEP_WAKE || !ex_ops_dependent(&t->op, &w->sim.th[u].op))
			next |= 1u << u;
	}
	dfs.sleep_now = next;
	if (dfs.cfg.dpor)
		ex_dpor_commit(w, t, dfs.depth - 1);
}

static void dfs_commit_plain(struct ex_world *w, struct ex_thread *t)
{
	if (dfs.cfg.local)
		ex_shared_note(w, t);
}

static void dfs_state(struct ex_world *w)
{
	if (dfs.cfg.dpor && dfs.depth > dfs.fresh)
		ex_dpor_state(w, dfs.depth);
	w->born = 0;
}

bool ex_dfs_backtrack(uint32_t node, uint32_t initials, int prefer)
{
	struct ex_node *n = &dfs.nodes[node];

	initials &= n->cand;
	if (!initials)
		return false;
	/* One that sleeps here has been tried with all that follows. */
	if (!(initials & n->todo))
		n->todo |= initials & 1u << prefer ? 1u << prefer : initials & -initials;
	return true;
}

const struct ex_strategy ex_strategy_dfs = {
	.begin = dfs_begin,
	.pick = dfs_pick,
	.data = dfs_data,
	.commit = dfs_commit_plain,
	.next = dfs_next,
};
const struct ex_strategy ex_strategy_dpor = {
	.begin = dfs_begin,
	.pick = dfs_pick,
	.data = dfs_data,
	.next = dfs_next,
	.commit = dfs_commit,
	.state = dfs_state,
};
