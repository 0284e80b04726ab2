/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * race.h - scenarios of mbfs-race, their runners, and what the tools need beside them.
 *
 * A scenario is one race: its workloads, its invariant and the variants it applies to. A run is one
 * scenario under one variant with one workload, in processes of its own: a variant that livelocks
 * is killed and reported, and never takes the tool with it.
 */
#ifndef RACE_RACE_H
#define RACE_RACE_H

#include <mbfs/alloc.h>

#include <stdio.h>

#include "race/variant.h"

enum {
	RACE_THREADS_MAX = 1024,
	RACE_CPUS_MAX = 1024,
	RACE_RESERVE_MAX = 65536,
	RACE_HIST_NR = 976,
	RACE_NOTE_BYTES = 960,
	RACE_STACKS_BYTES = 4096,
};

struct race_workload {
	const char *name, *summary;
};

struct race_kind;

struct race_scenario {
	const char *name, *summary;
	const struct race_family *family;
	const struct race_kind *kind; /* how it is run, and what its result looks like */
	const struct race_workload *workloads; /* ends with a NULL name; the first is the default */
};

/* Scenarios in the order in which they are listed; NULL past the end. */
const struct race_scenario *race_scenario_at(unsigned idx);
const struct race_scenario *race_scenario_find(const char *name);
const struct race_workload *race_workload_find(const struct race_scenario *s, const char *name);

/* Times of calls, in buckets of 1/16 of a power of two: percentiles are right to about 6 %. */
struct race_hist {
	uint64_t nr, max_ns;
	uint64_t count[RACE_HIST_NR];
};
void race_hist_add(struct race_hist *h, uint64_t ns);
void race_hist_merge(struct race_hist *into, const struct race_hist *from);
/* @per_mille: 500 is the median, 990 p99; 0 when nothing was measured. */
uint64_t race_hist_at(const struct race_hist *h, unsigned per_mille);

struct race_config {
	const struct race_scenario *scenario;
	const struct race_workload *workload;
	struct race_variant variant; /* of the scenario's family */
	unsigned threads, cpus;
	uint64_t run_ms; /* 0: until rounds are done */
	uint64_t rounds; /* 0: until run_ms has passed */
	uint64_t grace_ms; /* after the stop, before a call that has not returned is a livelock */
	bool mount;
	uint32_t block_bytes;
	uint64_t size_bytes;
	uint32_t widen_us[MBFS_POINT_NR];
	uint64_t seed;
	unsigned reserve;  /* objects in each mempool's reserve; 0: what the variant has */
	unsigned pressure; /* of mempool-depletion: percent */
	const char *dir;   /* where image and mount point go; NULL: chosen */
	const char *mbfsd; /* path of the daemon, for mount */
};
/*
 * What is best for @s: its first workload and our variant. For enospc that is the seed's: 80
 * writers, 8 virtual CPUs, 240 MiB, 64 KiB blocks, 10 s.
 */
void race_config_default(const struct race_scenario *s, struct race_config *cfg);

/* The scenario has a use for race_config.reserve, .pressure. */
bool race_takes_reserve(const struct race_scenario *s);
bool race_takes_pressure(const struct race_scenario *s);

/* What all writers of a run did, summed. */
struct race_tally {
	uint64_t attempts;   /* calls that allocate; of endio: writes answered */
	uint64_t changes;    /* of endio: truncate, punch, fallocate, unlink; of resize: growths */
	uint64_t looks, stale; /* of endio: blocks read, and those not written there since */
	uint64_t enospc;     /* of those, answered -ENOSPC: all false, for everything fits */
	uint64_t files;	     /* files finished or given up */
	uint64_t files_lost; /* given up for an ENOSPC */
	uint64_t blocks;     /* blocks got */
	struct race_hist lat;
};

/* What the end_io room counted: struct endio_stats of a mount. */
struct race_endio_stats {
	uint64_t in_flight_max, begun, queued, requeued, converted, merged, failed, flushes,
		flush_waits, flush_ns, after_free;
};

/* What mempools counted, all of a run together, and the memory behind them. */
struct race_pools {
	unsigned reserve; /* objects in the reserve of each */
	uint64_t allocs, from_allocator, from_reserve, from_wait, waits, wait_ns, wait_max_ns;
	/* Of mempool-depletion. Times: since the first allocation, or RACE_NEVER. */
	uint64_t reclaims, background; /* on somebody's behalf; in the background */
	uint64_t empty_ns, reclaim_ns, background_ns;
};
#define RACE_NEVER UINT64_MAX

/* What the threads of extent-state-nofail saw. */
struct race_state_tally {
	uint64_t failed;   /* operations that were not done, or not all of it */
	uint64_t compared; /* pieces whose states were compared with the twin's */
	uint64_t differ;   /* of those, unlike it */
};

/* What became of the objects of pending-one-seq, all rounds together. */
struct race_pending_tally {
	uint64_t processed;
	uint64_t past_end, bug_on, no_list; /* there was no list: see seqs.h */
	uint64_t early;	      /* processed before their grace period had passed */
	uint64_t lost;	      /* at exit */
	uint64_t late;	      /* callbacks after it */
	uint64_t unaccounted; /* none of the above: 0, or it wraps */
	/* Of flood, while it is processed: the longest that a lock was held in a round; the median
	 * of all rounds, and the longest. */
	uint64_t lock_ns, lock_max_ns;
};

/* What became of the objects of kvfree-nomem, and where they were kept, as in reclaim/kvfree.h. */
struct race_kvfree_tally {
	uint64_t freed;
	uint64_t lost, twice; /* never freed; freed again */
	uint64_t read_freed;  /* looks of readers at objects that were freed */
	uint64_t in_pages, spared, in_heads, in_ones, inline_waits, refused, floods;
	uint64_t waiting_max; /* the most objects that were given and not freed */
};

/* Of rcu-barrier-cost. */
struct race_barriers {
	uint64_t runs;	  /* of the barrier that is behind them */
	uint64_t not_run; /* callbacks that should have */
	uint64_t cpu_ns;  /* of the whole process */
};

struct race_result {
	struct race_tally sum;
	struct race_pools pools; /* of mempool-*, extent-state-nofail */
	struct race_state_tally states; /* of extent-state-nofail */
	struct race_pending_tally pending; /* of pending-one-seq */
	struct race_kvfree_tally kvfree;   /* of kvfree-nomem */
	struct race_barriers barriers;	   /* of rcu-barrier-cost */
	struct race_endio_stats endio; /* of endio, if have_stats */
	uint64_t rounds, rounds_lost; /* of the fill workloads: all writers together, once */
	uint64_t elapsed_ns;
	struct mbfs_alloc_stats stats; /* the allocator's own */
	bool have_stats;
	bool livelock;		  /* a call did not return in time; the run was killed */
	bool deadlock;		  /* and each waits for what others hold: none ever will */
	bool died; /* a variant that is expected to lose has crashed; the note says how */
	bool interrupted;	  /* SIGINT or SIGTERM */
	bool check_ok;		  /* the allocator's equations hold at the end */
	bool fsck_run, fsck_ok;	  /* e2fsck -fn, for mounts */
	bool counts_differ;	  /* the allocator's oracle and the writers' count disagree */
	char note[RACE_NOTE_BYTES]; /* what went wrong, one line; empty: nothing */
	char stacks[RACE_STACKS_BYTES]; /* of a livelock: where threads were, "; " between */
	char who[RACE_STACKS_BYTES]; /* likewise: who holds and who waits for what */
};

/*
 * race_run - one run, in child processes
 * @res: [out] always filled
 * Errors: -EINVAL the configuration cannot run (@diag says why); -errno the run could not be set
 * up; 0 also when the variant lost, hung or left a damaged image: @res says so. Context: the caller
 * has no threads.
 */
int race_run(const struct race_config *cfg, struct race_result *res, struct mbfs_diag *diag);

/* A seed that no run had before. */
uint64_t race_fresh_seed(void);

/* There were calls, none of them lost, no livelock, and nothing is damaged. */
bool race_held(const struct race_config *cfg, const struct race_result *res);

/* ---- report.c ---- */
void race_table_head(FILE *out, const struct race_scenario *s);
void race_table_row(FILE *out, const struct race_config *cfg, const struct race_result *res);
/* One JSON object and a newline. */
void race_json_line(FILE *out, const struct race_config *cfg, const struct race_result *res);
/* One row of the table of README.md (and its head). */
void race_markdown_head(FILE *out, const struct race_scenario *s);
void race_markdown_row(FILE *out, const struct race_config *cfg, const struct race_result *res);
/* 1234567 as "1.23M"; @buf has at least 16 bytes. */
const char *race_human_nr(char *buf, double nr);
/* 1234567 as "1.23 ms"; @buf has at least 16 bytes. */
const char *race_human_ns(char *buf, uint64_t ns);

#endif
