/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * load.h - a file under many asynchronous reads and writes, whose content is known all the while:
 * what aio-stress did in the bug report that the end_io room goes back to, with stamps (stamp.h)
 * for its bytes.
 */
#ifndef RACE_LOAD_H
#define RACE_LOAD_H

#include "race/aio.h"
#include "race/race.h"

#include <sys/types.h>

enum { LOAD_SUBMITTERS_MAX = 256, LOAD_DEPTH_MAX = 4096, LOAD_EXIT_STUCK = 3 };

struct load_config {
	const char *path;
	enum race_aio_engine engine;
	uint64_t iterations;        /* reads and writes of all submitters; 0: until run_ms */
	uint64_t run_ms;            /* 0: until the iterations are done */
	uint64_t span_bytes;        /* of the file, from its start */
	uint32_t record_bytes;      /* of one read or write; a multiple of STAMP_BYTES */
	unsigned submitters, depth; /* threads, and how many each has under way */
	unsigned read_percent;
	bool buffered; /* else O_DIRECT */
	bool shared; /* others change the file too: zeros may be where we wrote, and its end move */
	uint64_t tag; /* of the stamps */
	uint64_t seed;
	uint64_t grace_ms; /* nothing is answered for so long: stuck */
	pid_t daemon;      /* whose stacks are printed then; 0: none */
};

struct load_result {
	uint64_t reads, writes, bytes; /* answered */
	uint64_t unanswered;
	uint64_t failed, cut_short;
	uint64_t blocks_zero, blocks_ours,
		blocks_wrong; /* that were read, by reads and at the end */
	uint64_t elapsed_ns;
	struct race_hist read_lat, write_lat;
	char note[RACE_NOTE_BYTES]; /* the first that went wrong; empty: nothing */
};

void load_config_default(struct load_config *cfg);
/*
 * load_run - all of it, and unless the file is shared a check of every block at the end
 * @res: [out] always filled
 * Errors: -EINVAL and others: it could not begin, @diag says why. A load that is stuck does not
 * return: its threads are in the kernel, so it prints all stacks and leaves the process with
 * LOAD_EXIT_STUCK.
 */
int load_run(const struct load_config *cfg, struct load_result *res, struct mbfs_diag *diag);
/* Reads all of the file and says of what kind its blocks are. Errors: as open(2) and read(2). */
int load_check(const struct load_config *cfg, struct load_result *res, struct mbfs_diag *diag);
/* Everything was answered in full, and nothing that was read was wrong. */
bool load_held(const struct load_result *res);

#endif
