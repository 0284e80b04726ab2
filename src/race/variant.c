// SPDX-License-Identifier: GPL-2.0-only
/* The families of variants: what the library's tables have in common. */
#include "race/variant.h"

#include <mbfs/alloc.h>
#include <mbfs/fs.h>

#include <string.h>

static bool enospc_at(unsigned idx, struct race_variant *out)
{
	const struct mbfs_alloc_variant *v = mbfs_alloc_variant_at(idx);

	if (!v)
		return false;
	*out = (struct race_variant){ v->name, v->kernel, v->commit, v->summary, v->holds };
	return true;
}

static bool endio_at(unsigned idx, struct race_variant *out)
{
	const struct mbfs_endio_variant *v = mbfs_endio_variant_at(idx);

	if (!v)
		return false;
	*out = (struct race_variant){ v->name, v->kernel, v->commit, v->summary, v->holds };
	return true;
}

const struct race_family race_enospc = { .what = "enospc", .ours = "claim-wait", .at = enospc_at };
const struct race_family race_endio = { .what = "endio", .ours = "mbfs", .at = endio_at };

bool race_variant_find(const struct race_family *fam, const char *name, struct race_variant *out)
{
	for (unsigned i = 0; fam->at(i, out); i++)
		if (strcmp(out->name, name) == 0)
			return true;
	return false;
}
