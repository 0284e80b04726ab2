/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench-client.h - a client of a mount with many writes of 4 KiB in flight, through the kernel's
 * AIO calls or through io_uring.
 */
#ifndef TOOLS_BENCH_CLIENT_H
#define TOOLS_BENCH_CLIENT_H

#include "race/race.h"

enum { BENCH_IO_BYTES = 4096, BENCH_DEPTH_MAX = 1024 };

enum bench_engine { BENCH_LIBAIO, BENCH_URING, BENCH_ENGINE_NR };
const char *bench_engine_name(enum bench_engine e);

/* The blocks of all files have one numbering: block b is block b % blks_per_file of file b /
 * blks_per_file. */
struct bench_job {
	enum bench_engine engine;
	unsigned depth; /* writes in flight, 1..BENCH_DEPTH_MAX */
	const int *fds; /* open with O_DIRECT */
	uint32_t blks_per_file;
	const uint32_t *order; /* blocks in the order in which they are written */
	uint32_t nr;
	uint64_t limit_ns; /* nothing is submitted later */
	uint64_t stamp;    /* becomes part of each block */
};

struct bench_job_result {
	uint32_t nr;	      /* writes done: order[0..nr) */
	uint64_t ns;	      /* from the first submission to the last completion */
	struct race_hist lat; /* of single writes, from their submission to their reaping */
};

/*
 * bench_job_run - write
 * Errors: -ENOMEM; of the engine's set-up; -EIO a write was short; else of a write. Nothing is in
 * flight on return.
 */
int bench_job_run(const struct bench_job *job, struct bench_job_result *res);

/* Read @nr of the first @written blocks of the order back. Errors: -EILSEQ not what was written. */
int bench_job_verify(const struct bench_job *job, uint32_t written, uint32_t nr, uint64_t *seed);

/* What tells a block from others, into @buf. */
void bench_stamp_put(uint8_t *buf, uint64_t stamp, uint32_t blk);

/* Zeros into the first @bytes of a file; whole blocks, as O_DIRECT wants it. */
int bench_fill(int fd, uint64_t bytes);

#endif
