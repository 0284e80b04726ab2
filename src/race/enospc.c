// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ENOSPC race of ext4's allocator (shared seed 000_74c0ad44fbb4eb92; kernel 5.8 and all that
 * followed).
 *
 * Equation: the files of all writers together take at most 80 % of the space, so a claim always
 * succeeds and *every* ENOSPC that a writer sees is false. What makes it happen is that blocks sit
 * in preallocations of others, or are on their way from one back to a buddy, when a writer has
 * looked everywhere and found nothing.
 *
 * fill, fill-write: all writers start a file each at a gate, fill it, close it (which discards its
 *	inode preallocation while others still search), meet, remove the files, meet, and start
 *	again. This is the seed's program. With 64 KiB blocks a locality group's preallocation is
 *	32 MiB, so that 8 virtual CPUs hide more than all of a 240 MB image.
 * pairs: no gate; each writer fills and frees its large file again and again, so that frees and
 *	searches of large runs overlap (xfstests generic/371). Even writers write, odd ones
 *	fallocate.
 * mixed: half of the writers append single blocks, the other half make large files, which need
 *	the blocks that the small ones' locality groups hide.
 *
 * Concurrency: writers share nothing here but the gate and race_shared's atomics.
 */
#include "race/race_priv.h"

#include <errno.h>

const struct race_workload enospc_workloads[] = {
	{ "fill-write", "every writer fills a file by small writes; together 75 % (the seed's)" },
	{ "fill", "the same by fallocate: even writers whole files, odd ones small pieces" },
	{ "pairs", "writers fill and free large files in turn; together 80 % at most" },
	{ "mixed", "half append single blocks (20 %), half make large files (55 %)" },
	{ NULL, NULL },
};

enum workload { FILL_WRITE, FILL, PAIRS, MIXED };

enum { FILL_PERCENT = 75, PAIRS_PERCENT = 80, SMALL_PERCENT = 20, LARGE_PERCENT = 55,
       SMALL_BLKS_MAX = 256 };

static enum workload workload_of(const struct race_config *cfg)
{
	return (enum workload)(cfg->workload - enospc_workloads);
}

/* Single-block writers of mixed are the even ones. */
static bool is_small(const struct race_config *cfg, unsigned idx)
{
	return workload_of(cfg) == MIXED && cfg->threads > 1 && idx % 2 == 0;
}

uint64_t enospc_file_blks(const struct race_config *cfg, uint64_t usable, unsigned idx)
{
	unsigned small_nr = cfg->threads > 1 ? (cfg->threads + 1) / 2 : 0;
	uint64_t blks;

	switch (workload_of(cfg)) {
	case FILL_WRITE:
	case FILL:
		return usable * FILL_PERCENT / 100 / cfg->threads;
	case PAIRS:
		return usable * PAIRS_PERCENT / 100 / (cfg->threads > 1 ? cfg->threads : 2);
	case MIXED:
		break;
	}
	if (!is_small(cfg, idx))
		return usable * LARGE_PERCENT / 100 / (cfg->threads - small_nr);
	blks = usable * SMALL_PERCENT / 100 / small_nr;
	return blks < SMALL_BLKS_MAX ? blks : SMALL_BLKS_MAX;
}

int enospc_plan_check(const struct race_config *cfg, uint64_t usable, struct mbfs_diag *diag)
{
	for (unsigned idx = 0; idx < 2 && idx < cfg->threads; idx++)
		if (enospc_file_blks(cfg, usable, idx) == 0)
			return diag_set(
				diag, -EINVAL,
				"%u writers on %llu blocks of %u bytes: not one block for each; "
				"use fewer --threads or a larger --size",
				cfg->threads, (unsigned long long)usable, cfg->block_bytes);
	return 0;
}

/* How many blocks the next request of a file asks for. */
static uint64_t piece_blks(struct race_worker *w, uint64_t whole, enum race_how how)
{
	uint64_t most = whole / 16 < 4 ? 4 : whole / 16;

	if (is_small(w->cfg, w->idx))
		return 1;
	switch (workload_of(w->cfg)) {
	case FILL:
		if (w->idx % 2 == 0)
			return whole;
		break;
	case FILL_WRITE:
		break;
	case PAIRS:
	case MIXED:
		return how == RACE_FALLOC ? whole : (whole + 7) / 8;
	}
	return 1 + rt_rand_below(&w->rand, most);
}

static enum race_how how_of(const struct race_worker *w)
{
	switch (workload_of(w->cfg)) {
	case FILL_WRITE:
		return RACE_WRITE;
	case FILL:
		return RACE_FALLOC;
	case PAIRS:
		return w->idx % 2 ? RACE_FALLOC : RACE_WRITE;
	case MIXED:
		break;
	}
	return w->idx % 4 == 3 ? RACE_FALLOC : RACE_WRITE;
}

/* Grow @f to @whole blocks. 0, -ENOSPC, or -EINTR when the run is over. */
static int fill_file(struct race_worker *w, struct race_file *f, uint64_t whole)
{
	enum race_how how = how_of(w);
	uint64_t have = 0, piece;
	int err = 0;

	while (have < whole && !err) {
		if (race_stopped(w))
			return -EINTR;
		piece = piece_blks(w, whole, how);
		if (piece > whole - have)
			piece = whole - have;
		err = w->be->file_grow(w, f, piece, how);
		have += piece;
	}
	return err;
}

/* One file from open to close; it stays for the caller to remove. NULL if there is none. */
static void make_file(struct race_worker *w, struct race_file **out)
{
	uint64_t whole = enospc_file_blks(w->cfg, w->sh->usable_blks, w->idx);
	struct race_tally *t = &w->slot->tally;
	struct race_file *f;
	int err, err_settle;

	*out = NULL;
	err = w->be->file_open(w, whole, &f);
	if (err) {
		race_broke(w, "cannot make a file", err);
		return;
	}
	*out = f;
	err = fill_file(w, f, whole);
	err_settle = w->be->file_settle(w, f);
	if (!err)
		err = err_settle;
	if (err == -EINTR)
		return;
	t->files++;
	if (err == -ENOSPC) {
		t->files_lost++;
		rt_u32_set(&w->sh->round_lost, 1);
	} else if (err) {
		race_broke(w, "a file could not be grown", err);
	}
}

static void drop_file(struct race_worker *w, struct race_file *f)
{
	int err = f ? w->be->file_remove(w, f) : 0;

	if (err)
		race_broke(w, "a file could not be removed", err);
}

/* All files are made: nobody is at work. */
static void round_made(struct race_worker *w)
{
	struct race_shared *sh = w->sh;

	if (race_stopped(w))
		return; /* a round cut short is none */
	rt_u64_add(&sh->rounds, 1);
	if (rt_u32_read(&sh->round_lost))
		rt_u64_add(&sh->rounds_lost, 1);
}

/* All files are gone: decide whether there is another round. */
static void round_over(struct race_worker *w)
{
	struct race_shared *sh = w->sh;

	rt_u32_set(&sh->round_lost, 0);
	if (w->be->drained)
		w->be->drained(w);
	if (race_stopped(w) || (w->cfg->rounds && rt_u64_read(&sh->rounds) >= w->cfg->rounds))
		rt_u32_set(&sh->quit, 1);
}

static void fill_loop(struct race_worker *w)
{
	struct race_file *f;

	while (race_gate_pass(w, round_over)) {
		make_file(w, &f);
		race_gate_pass(w, round_made);
		drop_file(w, f);
	}
}

static void churn_loop(struct race_worker *w)
{
	struct race_file *f;

	for (uint64_t n = 0; !race_stopped(w) && (!w->cfg->rounds || n < w->cfg->rounds); n++) {
		make_file(w, &f);
		drop_file(w, f);
	}
}

static void enospc_worker(struct race_worker *w)
{
	if (workload_of(w->cfg) == FILL || workload_of(w->cfg) == FILL_WRITE)
		fill_loop(w);
	else
		churn_loop(w);
}

/* As many requests at once as there are writers, and room for the kernel's own. */
static void daemon_options(const struct race_config *cfg, char *buf, size_t bytes)
{
	size_t at;

	at = (size_t)snprintf(buf, bytes, "enospc=%s,cpus=%u,max_threads=%u", cfg->variant.name,
			      cfg->cpus, cfg->threads + 16);
	for (unsigned i = 0; i < MBFS_POINT_NR && at < bytes; i++)
		if (cfg->widen_us[i])
			at += (size_t)snprintf(buf + at, bytes - at, ",widen=%s:%u",
					       mbfs_alloc_point_name((enum mbfs_alloc_point)i),
					       cfg->widen_us[i]);
}

static bool held(const struct race_result *res)
{
	return res->sum.enospc == 0 && (!res->have_stats || res->stats.false_enospc == 0);
}

const struct race_kind enospc_kind = {
	.defaults = {
		.threads = 80,
		.cpus = 8,
		.run_ms = 10000,
		.grace_ms = 30000,
		.block_bytes = 65536,
		.size_bytes = 240ull << 20,
	},
	.plan_check = enospc_plan_check,
	.worker = enospc_worker,
	.library = &race_library_backend,
	.mount = &race_mount_backend,
	.daemon_options = daemon_options,
	.held = held,
	.report = &enospc_report,
};
