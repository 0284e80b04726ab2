// SPDX-License-Identifier: GPL-2.0-only
#include "race/race_priv.h"

#include <string.h>

static const struct race_scenario scenarios[] = {
	{ "enospc",
	  "ENOSPC although there is room: preallocations discarded by several writers at once",
	  &race_enospc, &enospc_kind, enospc_workloads },
	{ "endio-truncate",
	  "truncate waits for writes under way, whose conversion waits for truncate",
	  &race_endio, &endio_kind, endio_truncate_workloads },
	{ "endio-flush", "a flush returns before a write is converted: the disk's old bytes show",
	  &race_endio, &endio_kind, endio_flush_workloads },
	{ "endio-uaf", "work for a write with nothing to convert outlives its inode",
	  &race_endio, &endio_kind, endio_uaf_workloads },
	{ "mempool-abba",
	  "operations that need an object of several mempools wait for each other for ever",
	  &race_mempool, &mempool_kind, mempool_workloads },
	{ "mempool-depletion", "a mempool's reserve is empty before memory is reclaimed at all",
	  &race_mempool_order, &depletion_kind, depletion_workloads },
	{ "extent-state-nofail",
	  "operations on the states of bytes when memory is out, against a naive twin",
	  &race_state, &state_kind, state_workloads },
	{ "pending-one-seq",
	  "objects wait for grace periods in two lists, which have one sequence number",
	  &race_pending, &pending_kind, pending_workloads },
	{ "kvfree-nomem",
	  "objects that readers may see are given to be freed, while memory is out",
	  &race_kvfree, &kvfree_kind, kvfree_workloads },
	{ "resize-writers", "writers allocate and free while groups are added one by one",
	  &race_resize, &resize_kind, resize_workloads },
	{ "rcu-barrier-cost",
	  "many callers wait at once until all RCU callbacks have run: how long, how much CPU",
	  &race_barrier, &barrier_kind, barrier_workloads },
};

const struct race_scenario *race_scenario_at(unsigned idx)
{
	return idx < MBFS_ARRAY_SIZE(scenarios) ? &scenarios[idx] : NULL;
}

const struct race_scenario *race_scenario_find(const char *name)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(scenarios); i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

const struct race_workload *race_workload_find(const struct race_scenario *s, const char *name)
{
	for (const struct race_workload *w = s->workloads; w->name; w++)
		if (strcmp(w->name, name) == 0)
			return w;
	return NULL;
}

void race_config_default(const struct race_scenario *s, struct race_config *cfg)
{
	*cfg = s->kind->defaults;
	cfg->scenario = s;
	cfg->workload = s->workloads;
	if (!race_variant_find(s->family, s->family->ours, &cfg->variant))
		MBFS_ASSERT(false);
}

bool race_takes_reserve(const struct race_scenario *s)
{
	return s->kind->takes & RACE_TAKES_RESERVE;
}

bool race_takes_pressure(const struct race_scenario *s)
{
	return s->kind->takes & RACE_TAKES_PRESSURE;
}

uint64_t race_fresh_seed(void)
{
	return rt_rand_seed();
}

bool race_held(const struct race_config *cfg, const struct race_result *res)
{
	return res->sum.attempts > 0 && !res->livelock && res->check_ok &&
	       (!res->fsck_run || res->fsck_ok) && cfg->scenario->kind->held(res);
}
