/* SPDX-License-Identifier: GPL-2.0-only */
/* Small scenarios (small.h) for the explorer. */
#ifndef RACE_SMALL_EXPLORE_H
#define RACE_SMALL_EXPLORE_H

#include "explore/explore.h"
#include "race/small.h"

struct small_explore {
	struct explore_scenario s;
	const struct small_scenario *small;
	const char *variant; /* of small->family */
	const void *image;
	bool faults; /* explore_options.alloc_fails */
	/* NULL, or shown the image after each unmount: true if it is damaged, and how. */
	bool (*damaged)(const void *bytes, size_t nr, char *wrong, size_t wrong_bytes);
};

/*
 * Fills @out->s, which must stay where it is while the scenario runs; image and fsck are the
 * caller's. @image: small->image_bytes, if small->mkfs.
 */
void small_explore_make(const struct small_scenario *small, const char *variant,
			struct small_explore *out);

#endif
