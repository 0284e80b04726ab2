/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * explore-merge.h - result lines of searches: written as JSON, read back, and those of the shards
 * of one search put together.
 */
#ifndef TOOLS_EXPLORE_MERGE_H
#define TOOLS_EXPLORE_MERGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { EXIT_EXHAUSTED = 0, EXIT_USE = 2, EXIT_BUDGET = 3, EXIT_FOUND = 10 };
enum { MERGE_WHY_BYTES = 512 };

/* One line: as explore_result and explore_options name them. */
struct merge_row {
	char scenario[64], variant[64], strategy[16], commit[48];
	char result[16], verdict[64], token[4096];
	int64_t max_bound, bound; /* asked for; reached, -1: none */
	uint64_t seed;
	uint32_t shard, shards, jobs, steps, switches;
	uint64_t schedules, traces, first, estimate;
	uint64_t shared; /* which objects were taken for shared, as one number */
	double seconds, unseen;
	bool traces_exact; /* false: shards may have some in common */
	const char *file;
	unsigned line;
};

void merge_write(FILE *out, const struct merge_row *row);

/*
 * merge_files - mbfs-race merge [--json FILE] FILE.json...
 * @why: [out] with EXIT_USE: what is wrong, one line
 * Returns an exit status: that of the worst of the searches that the files hold.
 */
int merge_files(int argc, char **argv, char *why, size_t why_bytes);

#endif
