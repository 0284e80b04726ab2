/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * race_priv.h - one run from the inside.
 *
 * The parent maps a struct race_shared, forks one process (library) or a few (mount), and each
 * process starts its part of the writers. A writer owns one slot of the shared block and writes its
 * counts there directly, so that they survive the process when it has to be killed.
 */
#ifndef RACE_RACE_PRIV_H
#define RACE_RACE_PRIV_H

#include "race/race.h"

#include "base/check.h"
#include "rt/mem.h"
#include "rt/sync.h"
#include "rt/work.h"

enum { RACE_PROCS_MAX = 4, RACE_DEPTH_MAX = 16 };

struct race_slot {
	rt_u64 progress; /* [atomic] steps of the writer: one that stands still is stuck */
	rt_u32 left;	 /* [atomic] the writer has ended */
	rt_u32 doing;	 /* [atomic] of endio: enum endio_doing */
	rt_u64 under_way[RACE_DEPTH_MAX]; /* [atomic] of endio: no write of this place has a lower
					     number; 0: none */
	struct race_tally tally; /* written by its writer only; read when the process is gone */
};

/*
 * Shared by all processes of a run (MAP_SHARED). Locks and event counts of rt are private to a
 * process, so processes meet here through atomics only.
 */
struct race_shared {
	rt_u32 stop;	    /* [atomic] set by the parent: finish and leave */
	rt_u32 broken;	    /* [atomic] a writer met what should not happen; why[] is its */
	rt_u32 procs_at;    /* [atomic] processes at the gate */
	rt_u32 gate_gen;    /* [atomic] times the gate has opened */
	rt_u32 quit;	    /* written by the gate's leader before it opens the gate */
	rt_u32 round_lost;  /* [atomic] a writer has met ENOSPC in this round */
	rt_u64 rounds, rounds_lost;
	uint64_t usable_blks; /* [const once forked] blocks that the plan may use */
	rt_u32 preparing;     /* [atomic] of endio: the files are not there yet */
	rt_u64 seq;	      /* [atomic] of endio: writes so far */
	rt_u64 grown;	      /* [atomic] of resize: blocks now */
	rt_u32 full;	      /* [atomic] likewise: it has its size, give everything back */
	struct mbfs_alloc_stats stats; /* library: copied here again and again by the process */
	struct race_endio_stats endio; /* the same */
	bool have_endio;
	char why[RACE_NOTE_BYTES];
	struct race_slot slot[];
};

struct race_file;
struct race_worker;

enum race_how { RACE_WRITE, RACE_FALLOC };

/* Where the writers' files are: the library or a mount. Errors are negative errnos. */
struct race_backend {
	/* Once in each process, before its writers start and after they have ended. */
	int (*start)(struct race_worker *workers, unsigned nr, void *ctx);
	int (*end)(void *ctx);
	/* Called now and then by the process's main thread while writers run. May be NULL. */
	void (*tick)(void *ctx);
	/* @max_blks: the file will not grow beyond it */
	int (*file_open)(struct race_worker *w, uint64_t max_blks, struct race_file **out);
	/* Append @blks blocks; counts and times each call that allocates. */
	int (*file_grow)(struct race_worker *w, struct race_file *f, uint64_t blks,
			 enum race_how how);
	/* The last writer closes it. */
	int (*file_settle)(struct race_worker *w, struct race_file *f);
	/* Gone, with its blocks, before this returns. */
	int (*file_remove)(struct race_worker *w, struct race_file *f);
	/* All blocks of removed files are free again (called by one, when no writer is at work). */
	void (*drained)(struct race_worker *w);
};

/* Where the writers of one process wait for each other and for those of other processes. */
struct race_gate {
	struct rt_mutex lock;
	struct rt_cond opened;
	unsigned here, members; /* [lock] */
	uint64_t gen;		/* [lock] times opened */
};

struct race_worker {
	const struct race_config *cfg;
	struct race_shared *sh;
	struct race_slot *slot;
	struct race_gate *gate;
	const struct race_backend *be;
	void *ctx;	      /* the backend's */
	unsigned idx;	      /* of all writers of the run */
	unsigned procs;
	struct rt_rand rand;
};

enum { RACE_TAKES_RESERVE = 1, RACE_TAKES_PRESSURE = 2 };

/* What a run has counted, in each of the forms. */
struct race_report {
	void (*table_head)(FILE *out);
	void (*table_row)(FILE *out, const struct race_config *cfg, const struct race_result *res);
	/* What it counted, as members of a JSON object that ends with a comma. */
	void (*json)(FILE *out, const struct race_config *cfg, const struct race_result *res);
	void (*markdown_head)(FILE *out);
	void (*markdown_row)(FILE *out, const struct race_config *cfg,
			     const struct race_result *res);
};

/* What scenarios of one kind share. */
struct race_kind {
	bool image; /* the library needs an image, too */
	bool dies;  /* a variant that loses crashes: that is the loss, not a fault of the run */
	const char *const *mkfs; /* more options of mkfs.ext4; ends with NULL. NULL: none */
	unsigned takes; /* RACE_TAKES_* */
	/*
	 * Of kinds that need neither allocator nor image: bytes of a zeroed room, and more for each
	 * writer, that is the backend's ctx, and that the parent sees too. 0: the backend has
	 * another ctx.
	 */
	size_t room_bytes, room_bytes_each;
	/* Nobody moves: is it for ever, each waiting for what another holds? May be NULL. */
	bool (*deadlocked)(const struct race_config *cfg, const void *room);
	/* Who holds what, who waits for what: "; " between lines. May be NULL. */
	void (*who)(const struct race_config *cfg, const void *room, char *buf, size_t bytes);
	/* The run is over. */
	void (*collect)(const struct race_config *cfg, const void *room, struct race_result *res);
	struct race_config defaults; /* its numbers */
	/* -EINVAL when the numbers do not suit the scenario. NULL: they all do. */
	int (*plan_check)(const struct race_config *cfg, uint64_t usable_blks,
			  struct mbfs_diag *diag);
	/* The life of one writer. */
	void (*worker)(struct race_worker *w);
	const struct race_backend *library, *mount;
	/* The daemon's -o, as far as it depends on the variant. */
	void (*daemon_options)(const struct race_config *cfg, char *buf, size_t bytes);
	bool (*held)(const struct race_result *res);
	const struct race_report *report;
};

/* ---- report.c, for the kinds ---- */
const char *race_verdict(const struct race_config *cfg, const struct race_result *res);
/* What the check at the end said, in a word or two. */
const char *race_check_word(const struct race_config *cfg, const struct race_result *res);
/* Calls a second. */
double race_per_second(uint64_t nr, const struct race_result *res);
void race_json_u64(FILE *out, const char *key, uint64_t value);
/* The text after "name": in @json; NULL when there is no such key. */
const char *race_json_value(const char *json, const char *name);

/* ---- endio.c ---- */
extern const struct race_kind endio_kind;
extern const struct race_workload endio_truncate_workloads[], endio_flush_workloads[],
	endio_uaf_workloads[];
/* What a writer does, for the report of a run that hangs. */
const char *endio_doing_name(uint32_t doing);
/* Reads the object "endio" of a mount's statistics; false: there is none. */
bool endio_stats_parse(const char *json, struct race_endio_stats *out);
/* report_endio.c */
extern const struct race_report endio_report;

/* ---- mempool.c, depletion.c ---- */
extern const struct race_kind mempool_kind, depletion_kind;
extern const struct race_workload mempool_workloads[], depletion_workloads[];
/* report_mempool.c */
struct mempool;
void race_pools_add(struct race_pools *sum, const struct mempool *pool);
extern const struct race_report mempool_report;
extern const struct race_report depletion_report;

/* ---- barrier_cost.c ---- */
extern const struct race_kind barrier_kind;
extern const struct race_workload barrier_workloads[];

/* ---- pending.c ---- */
extern const struct race_kind pending_kind;
extern const struct race_workload pending_workloads[];
/* report_pending.c */
extern const struct race_report pending_report;

/* ---- kvfree_nomem.c ---- */
extern const struct race_kind kvfree_kind;
extern const struct race_workload kvfree_workloads[];
/* report_kvfree.c */
extern const struct race_report kvfree_report;

/* ---- resize.c ---- */
extern const struct race_kind resize_kind;
extern const struct race_workload resize_workloads[];

/* ---- state_nofail.c ---- */
extern const struct race_kind state_kind;
extern const struct race_workload state_workloads[];
/* report_state.c */
extern const struct race_report state_report;

/* ---- enospc.c ---- */
extern const struct race_kind enospc_kind;
extern const struct race_workload enospc_workloads[];
/* report_enospc.c */
extern const struct race_report enospc_report;
/* -EINVAL when the size is too small for so many writers. */
int enospc_plan_check(const struct race_config *cfg, uint64_t usable_blks, struct mbfs_diag *diag);
/* Blocks of one file of writer @idx; of all writers together at most 80 % of @usable. */
uint64_t enospc_file_blks(const struct race_config *cfg, uint64_t usable, unsigned idx);
/* ---- run.c ---- */
static inline void race_progress(struct race_worker *w)
{
	rt_u64_add(&w->slot->progress, 1);
}
bool race_stopped(const struct race_worker *w);
/* Something that is neither success nor ENOSPC: remembered once, and everybody stops. */
void race_broke(struct race_worker *w, const char *what, int err);
/*
 * All writers of the run meet. One of them, when all are there, runs leader(w), which may set
 * sh->quit; then all go on. Returns false when sh->quit is set.
 */
bool race_gate_pass(struct race_worker *w, void (*leader)(struct race_worker *w));
/* Where leaders end a round: the last one, if the run is stopped or has had enough of them. */
void race_round_over(struct race_worker *w);
/* Account one call that took @ns and answered @err (0 or -ENOSPC). */
void race_count_call(struct race_worker *w, uint64_t ns, int err);

/* ---- on_library.c ---- */
struct race_library {
	const struct race_config *cfg;
	struct race_shared *sh;
	struct mbfs_alloc *a; /* [const while writers run] */
	rt_u32 *owner;	      /* [atomic] of each block: the writer that has it, + 1 */
};
extern const struct race_backend race_library_backend; /* ctx: struct race_library * */
uint64_t race_library_usable(const struct race_config *cfg);

/* ---- on_mount.c ---- */
extern const struct race_backend race_mount_backend; /* ctx: struct race_mount * */

/* ---- report_enospc.c ---- */

/* Fields of struct mbfs_alloc_stats that go through JSON, by name; NULL past the end. */
struct race_stat_field {
	const char *name;
	size_t off;
};
const struct race_stat_field *race_stat_field_at(unsigned idx);
/* Reads what @json has of them; how many it found. */
unsigned race_stats_parse(const char *json, struct mbfs_alloc_stats *out);

#endif
