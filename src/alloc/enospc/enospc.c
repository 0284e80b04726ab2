// SPDX-License-Identifier: GPL-2.0-only
/* The table of variants, in the order of shared/DESIGN.md, and what several of them share. */
#include "alloc/alloc_priv.h"

#include <string.h>

#include "base/check.h"

static const struct enospc_policy *const policies[] = {
	&enospc_pre_5_8, &enospc_bb_free, &enospc_rfc_2020,  &enospc_5_8,	&enospc_5_10,
	&enospc_5_17,	 &enospc_6_0,	  &enospc_6_0_fixed, &enospc_begin_end, &enospc_claim_wait,
};

const struct enospc_policy *enospc_find(const char *name)
{
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(policies); i++)
		if (strcmp(policies[i]->pub.name, name) == 0)
			return policies[i];
	return NULL;
}

const struct mbfs_alloc_variant *mbfs_alloc_variant_at(unsigned idx)
{
	return idx < MBFS_ARRAY_SIZE(policies) ? &policies[idx]->pub : NULL;
}

const struct mbfs_alloc_variant *mbfs_alloc_variant_find(const char *name)
{
	const struct enospc_policy *policy = enospc_find(name);

	return policy ? &policy->pub : NULL;
}

/* This CPU's counter only, to be cheap; the compare is against the sum. Only before the first pass.
 */
void enospc_sample_seq(struct alloc_ctx *ac)
{
	if (ac->enospc.passes == 1)
		ac->enospc.seq = rt_counter_read(&ac->a->seq, ac->cpu);
}

/*
 * 993778306e79: the first failure always retries, strictly, from a fresh sum; later ones if the sum
 * moved. So the sample of one CPU never decides anything.
 */
bool enospc_retry_strict(struct alloc_ctx *ac, uint32_t freed, bool busy)
{
	uint64_t sum;

	(void)busy;
	if (freed > 0)
		return true;
	sum = rt_counter_sum(&ac->a->seq);
	if (ac->strict && sum == ac->enospc.seq)
		return false;
	if (ac->strict)
		stat_add(ac->a, ac->cpu, STAT_SEQ_MISMATCHES, 1);
	ac->strict = true;
	ac->enospc.seq = sum;
	rt_yield();
	return true;
}
