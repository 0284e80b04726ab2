// SPDX-License-Identifier: GPL-2.0-only
/*
 * resize-writers: writers allocate and free everywhere while groups are added, one by one, as fast
 * as it goes (shared seed 003_cf13f0bd3c5d7fa9: ext4's online resize against writes, until 5.6).
 *
 * The first writer grows it; the others hold at most half of what there was at first, so nobody may
 * be told of an error, ENOSPC least of all. When it has its size all give back what they hold, and
 * meet: the size is right, every block is free, the equations hold. Then the next round begins.
 *
 * Here: writers on the allocator, which is on memory. An array with the owner of each block tells
 * at once if a block is given twice. resize_mount.c has writers of files.
 *
 * A variant that loses takes its process with it (reclaim/table.c): that is the loss. How far it
 * came is counted in memory that stays.
 */
#include "race/resize.h"

#include <errno.h>
#include <string.h>

enum {
	BLKS_PER_GRP = 512,
	GROWTHS = 2000, /* of a round */
	HOLD_MAX = 64,	/* runs of a writer */
	WANT_MAX = 32,	/* blocks */
};

const struct race_workload resize_workloads[] = {
	{ "churn", "blocks and files come and go, wherever there is room" },
	{ NULL, NULL },
};

/* Block counts of a run: at first, and at the end of a round. */
static uint64_t first_blks(const struct race_config *cfg)
{
	return cfg->size_bytes / cfg->block_bytes;
}

static uint64_t last_blks(const struct race_config *cfg)
{
	return first_blks(cfg) + (uint64_t)GROWTHS * BLKS_PER_GRP;
}

static void say(struct race_shared *sh, const char *text)
{
	if (rt_u32_xchg(&sh->broken, 1) == 0)
		snprintf(sh->why, sizeof(sh->why), "%s", text);
	rt_u32_set(&sh->stop, 1);
}

/* ---- rounds ---- */

static int round_open(struct race_library *lib)
{
	const struct race_config *cfg = lib->cfg;
	const struct mbfs_alloc_shape shape = {
		.blk_nr = first_blks(cfg),
		.blks_per_grp = BLKS_PER_GRP,
		.block_bytes = cfg->block_bytes,
		.log_grps_per_flex = 4,
	};
	struct mbfs_diag diag = { "" };
	struct mbfs_alloc_tune tune;
	int err;

	mbfs_alloc_tune_default(&tune);
	tune.resize = cfg->variant.name;
	tune.cpus = cfg->cpus;
	memcpy(tune.widen_us, cfg->widen_us, sizeof(tune.widen_us));
	err = mbfs_alloc_open_mem(&shape, &tune, &diag, &lib->a);
	if (err)
		say(lib->sh, diag.text[0] ? diag.text : "cannot open the allocator");
	rt_u64_set(&lib->sh->grown, first_blks(cfg));
	rt_u32_set_release(&lib->sh->full, 0);
	return err;
}

/* Everything has been given back. */
static int round_close(struct race_library *lib)
{
	const uint64_t want = rt_u64_read(&lib->sh->grown);
	struct mbfs_diag diag = { "" };
	int err = mbfs_alloc_check(lib->a, &diag);

	mbfs_alloc_stats(lib->a, &lib->sh->stats);
	if (!err && (lib->sh->stats.blk_nr != want || lib->sh->stats.free_nr != want))
		err = diag_set(&diag, -EUCLEAN, "%llu blocks at the end, %llu free, not %llu",
			       (unsigned long long)lib->sh->stats.blk_nr,
			       (unsigned long long)lib->sh->stats.free_nr,
			       (unsigned long long)want);
	if (err)
		say(lib->sh, diag.text);
	mbfs_alloc_close(lib->a);
	return err;
}

static int library_start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct race_library *lib = ctx;
	int err;

	(void)workers, (void)nr;
	lib->owner = rt_zalloc(last_blks(lib->cfg) * sizeof(lib->owner[0]));
	if (!lib->owner)
		return -ENOMEM;
	err = round_open(lib);
	if (err)
		rt_free(lib->owner);
	return err;
}

static int library_end(void *ctx)
{
	struct race_library *lib = ctx;
	int err = round_close(lib);

	rt_free(lib->owner);
	return err;
}

/* All are at the gate, with nothing in their hands. */
static void round_over(struct race_worker *w)
{
	struct race_shared *sh = w->sh;

	if (!race_stopped(w))
		rt_u64_add(&sh->rounds, 1);
	if (race_stopped(w) || (w->cfg->rounds && rt_u64_read(&sh->rounds) >= w->cfg->rounds) ||
	    round_close(w->ctx)) {
		rt_u32_set(&sh->quit, 1);
		return;
	}
	if (round_open(w->ctx))
		rt_u32_set(&sh->quit, 1);
}

/* ---- who grows it ---- */

static void grow_all(struct race_worker *w)
{
	struct race_library *lib = w->ctx;
	uint64_t nr = first_blks(w->cfg);
	struct mbfs_diag diag = { "" };

	while (nr < last_blks(w->cfg) && !race_stopped(w)) {
		nr += BLKS_PER_GRP;
		if (mbfs_alloc_grow(lib->a, nr, 0, &diag)) {
			say(w->sh, diag.text);
			break;
		}
		rt_u64_set(&w->sh->grown, nr);
		w->slot->tally.changes++;
		race_progress(w);
		rt_yield();
	}
	rt_u32_set_release(&w->sh->full, 1);
}

/* ---- who writes ---- */

struct hands {
	struct race_worker *w;
	struct race_library *lib;
	struct mbfs_alloc_file *file;
	mbfs_lblk_t lblk; /* next of the file */
	uint64_t blks, blks_max;
	unsigned nr;
	struct mbfs_run run[HOLD_MAX];
};

/* False: somebody has a block of it already, or there is no such block. */
static bool own(struct hands *h, const struct mbfs_run *run)
{
	if (run->len == 0 || run->start + run->len > last_blks(h->lib->cfg))
		return false;
	for (uint32_t i = 0; i < run->len; i++) {
		uint32_t none = 0;

		if (!rt_u32_cas(&h->lib->owner[run->start + i], &none, h->w->idx + 1))
			return false;
	}
	return true;
}

static void give_back(struct hands *h, unsigned at)
{
	const struct mbfs_run run = h->run[at];
	int err;

	h->run[at] = h->run[--h->nr];
	h->blks -= run.len;
	for (uint32_t i = 0; i < run.len; i++)
		rt_u32_set(&h->lib->owner[run.start + i], 0);
	err = mbfs_alloc_free(h->lib->a, NULL, &run);
	if (err)
		race_broke(h->w, "free", err);
}

/* A goal anywhere: every other time near the end, where it grows. */
static mbfs_blk_t goal(struct hands *h)
{
	const uint64_t nr = rt_u64_read(&h->w->sh->grown);

	if (rt_rand_below(&h->w->rand, 2))
		return nr - rt_rand_below(&h->w->rand, 2 * BLKS_PER_GRP);
	return rt_rand_below(&h->w->rand, nr + BLKS_PER_GRP);
}

/* A file's next blocks, normalised; or a few of nobody's, exactly. */
static void take(struct hands *h)
{
	const bool of_file = rt_rand_below(&h->w->rand, 2);
	struct mbfs_alloc_req req = {
		.lblk = of_file ? h->lblk : 0,
		.file_blks = of_file ? h->lblk : 0,
		.len = 1,
		.goal = goal(h),
		.flags = of_file ? MBFS_ALLOC_DATA : MBFS_ALLOC_NO_PREALLOC,
	};
	uint64_t from = rt_now_ns();
	struct mbfs_run got;
	int err;

	if (rt_rand_below(&h->w->rand, 4) == 0)
		req.len += (uint32_t)rt_rand_below(&h->w->rand, WANT_MAX);
	err = mbfs_alloc_blocks(h->lib->a, of_file ? h->file : NULL, &req, NULL, &got);
	race_count_call(h->w, rt_now_ns() - from, err);
	if (err && err != -ENOSPC) {
		race_broke(h->w, "allocate", err);
	} else if (!err && !own(h, &got)) {
		race_broke(h->w, "a block was given twice, or is past the end", -EUCLEAN);
	} else if (!err) {
		h->w->slot->tally.blocks += got.len;
		h->run[h->nr++] = got;
		h->blks += got.len;
		h->lblk += of_file ? got.len : 0;
	}
}

/* What /proc/fs/ext4/DEVICE/mb_groups shows, of one group. */
static void look(struct hands *h)
{
	struct mbfs_alloc_group_info info;
	uint64_t nr = rt_u64_read(&h->w->sh->grown) / BLKS_PER_GRP;
	mbfs_grp_t grp = (mbfs_grp_t)rt_rand_below(&h->w->rand, nr);

	if (mbfs_alloc_group_info(h->lib->a, grp, &info))
		race_broke(h->w, "a group is lost", -ERANGE);
}

static void write_until_full(struct race_worker *w)
{
	struct hands h = { .w = w, .lib = w->ctx };
	int err = mbfs_alloc_file_open(h.lib->a, w->idx + 11, &h.file);

	if (err) {
		race_broke(w, "cannot make a file", err);
		return;
	}
	h.blks_max = first_blks(w->cfg) / 2 / w->cfg->threads;
	while (!race_stopped(w) && !rt_u32_read_acquire(&w->sh->full)) {
		const bool room = h.nr < HOLD_MAX && h.blks + WANT_MAX <= h.blks_max;

		if (h.nr && (!room || rt_rand_below(&w->rand, 2)))
			give_back(&h, (unsigned)rt_rand_below(&w->rand, h.nr));
		else
			take(&h);
		look(&h);
	}
	while (h.nr)
		give_back(&h, h.nr - 1);
	mbfs_alloc_file_close(h.file);
}

static void worker(struct race_worker *w)
{
	if (w->cfg->mount) {
		resize_mount_worker(w);
		return;
	}
	do {
		if (w->idx == 0)
			grow_all(w);
		else
			write_until_full(w);
	} while (race_gate_pass(w, round_over));
}

/* ---- the kind ---- */

static int plan_check(const struct race_config *cfg, uint64_t usable, struct mbfs_diag *diag)
{
	(void)usable;
	if (cfg->threads < 2)
		return diag_set(diag, -EINVAL, "--threads %u: one grows it, so two are the least",
				cfg->threads);
	if (cfg->mount && cfg->size_bytes % resize_grp_bytes(cfg))
		return diag_set(diag, -EINVAL, "--size: with --mount, a multiple of %llu KiB",
				(unsigned long long)resize_grp_bytes(cfg) >> 10);
	if (first_blks(cfg) / 2 / cfg->threads < WANT_MAX ||
	    (cfg->mount && resize_places(cfg) < RESIZE_DEPTH))
		return diag_set(diag, -EINVAL,
				"%u writers on %llu blocks: use fewer --threads or a larger --size",
				cfg->threads, (unsigned long long)first_blks(cfg));
	return 0;
}

static void daemon_options(const struct race_config *cfg, char *buf, size_t bytes)
{
	const struct mbfs_resize_variant *v = mbfs_resize_variant_find(cfg->variant.name);
	size_t at;

	at = (size_t)snprintf(buf, bytes, "resize=%s,cpus=%u,max_threads=%u", v->name, cfg->cpus,
			      cfg->threads * RESIZE_DEPTH + 16);
	if (!v->holds && cfg->widen_us[v->window])
		snprintf(buf + at, bytes - at, ",widen=%s:%u", mbfs_alloc_point_name(v->window),
			 cfg->widen_us[v->window]);
}

static bool held(const struct race_result *res)
{
	return !res->died && res->sum.enospc == 0 && res->sum.stale == 0;
}

static const struct race_backend library = { .start = library_start, .end = library_end };

/* Small groups, so that there are many. */
static const char *const mkfs[] = { "-g", "1024", NULL };

const struct race_kind resize_kind = {
	.dies = true,
	.mkfs = mkfs,
	.defaults = {
		.threads = 9,
		.cpus = 8,
		.run_ms = 10000,
		.grace_ms = 30000,
		.block_bytes = 1024,
		.size_bytes = 32ull << 20,
	},
	.plan_check = plan_check,
	.worker = worker,
	.library = &library,
	.mount = &resize_mount_backend,
	.daemon_options = daemon_options,
	.held = held,
	.report = &resize_report,
};
