// SPDX-License-Identifier: GPL-2.0-only
#include "race/small.h"

#include <fnmatch.h>
#include <string.h>

#include "base/check.h"

const struct small_scenario *small_at(unsigned idx)
{
	static const struct small_scenario *const tables[] = {
		small_enospc, small_fs, small_endio, small_mount, small_mempool, small_state,
		small_kvfree, small_pending, small_resize,
	};

	for (unsigned t = 0; t < MBFS_ARRAY_SIZE(tables); t++) {
		const struct small_scenario *s = tables[t];

		for (; s->name; s++, idx--)
			if (idx == 0)
				return s;
	}
	return NULL;
}

static bool means(const char *pattern, const char *name)
{
	static const char *const windows[] = { "enospc-cap", "enospc-discard", "enospc-busy" };

	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(windows); i++)
		if (strcmp(pattern, "enospc-windows") == 0 && strcmp(name, windows[i]) == 0)
			return true;
	return fnmatch(pattern, name, 0) == 0;
}

const struct small_scenario *small_match(const char *pattern, unsigned idx)
{
	const struct small_scenario *s;

	for (unsigned i = 0; (s = small_at(i)); i++)
		if (means(pattern, s->name) && idx-- == 0)
			return s;
	return NULL;
}
