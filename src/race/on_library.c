// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writers on the library: a file is an mbfs_alloc_file and the runs it owns. Requests look like
 * those of a file system: appended blocks, the goal after the last run, the file's size so far
 * (which decides between locality group and inode preallocation), the left neighbour.
 *
 * An array with the owner of each block catches a block that is given twice, and a free of a block
 * that is not ours, at the moment it happens.
 */
#include "race/race_priv.h"

#include <errno.h>
#include <string.h>

struct race_file {
	struct mbfs_alloc_file *af;
	uint64_t blks;	  /* appended so far */
	unsigned run_nr;
	unsigned run_max; /* of runs[] */
	struct mbfs_run runs[];
};

/* mke2fs makes no larger group than this, whatever the block size. */
enum { GROUP_BLKS_MAX = 65528 };

static void shape_of(const struct race_config *cfg, struct mbfs_alloc_shape *s)
{
	uint32_t most = cfg->block_bytes * 8;

	*s = (struct mbfs_alloc_shape){
		.blk_nr = cfg->size_bytes / cfg->block_bytes,
		.first_blk = cfg->block_bytes == 1024,
		.blks_per_grp = most < GROUP_BLKS_MAX ? most : GROUP_BLKS_MAX,
		.block_bytes = cfg->block_bytes,
		.log_grps_per_flex = 4,
	};
}

uint64_t race_library_usable(const struct race_config *cfg)
{
	struct mbfs_alloc_shape s;

	shape_of(cfg, &s);
	return s.blk_nr - s.first_blk;
}

static int library_start(struct race_worker *workers, unsigned nr, void *ctx)
{
	struct race_library *lib = ctx;
	struct mbfs_diag diag = { "" };
	struct mbfs_alloc_shape shape;
	struct mbfs_alloc_tune tune;
	int err;

	(void)nr;
	shape_of(lib->cfg, &shape);
	mbfs_alloc_tune_default(&tune);
	tune.enospc = lib->cfg->variant.name;
	tune.cpus = lib->cfg->cpus;
	for (unsigned i = 0; i < MBFS_POINT_NR; i++)
		tune.widen_us[i] = lib->cfg->widen_us[i];
	lib->owner = rt_zalloc(shape.blk_nr * sizeof(lib->owner[0]));
	if (!lib->owner)
		return -ENOMEM;
	err = mbfs_alloc_open_mem(&shape, &tune, &diag, &lib->a);
	if (err) {
		race_broke(&workers[0], diag.text[0] ? diag.text : "cannot open the allocator",
			   err);
		rt_free(lib->owner);
	}
	return err;
}

static void library_tick(void *ctx)
{
	struct race_library *lib = ctx;

	mbfs_alloc_stats(lib->a, &lib->sh->stats);
}

static void say_first(struct race_library *lib, const char *text)
{
	if (rt_u32_xchg(&lib->sh->broken, 1) == 0)
		snprintf(lib->sh->why, sizeof(lib->sh->why), "%s", text);
}

/* All files are gone: the equations hold and every block is free. */
static int library_end(void *ctx)
{
	struct race_library *lib = ctx;
	struct mbfs_diag diag = { "" };
	uint64_t free_nr = mbfs_alloc_free_nr(lib->a);
	int err;

	err = mbfs_alloc_check(lib->a, &diag);
	if (err)
		say_first(lib, diag.text[0] ? diag.text : "mbfs_alloc_check() failed");
	if (!err && free_nr != race_library_usable(lib->cfg)) {
		err = diag_set(&diag, -EUCLEAN, "%llu blocks free at the end instead of %llu",
			       (unsigned long long)free_nr,
			       (unsigned long long)race_library_usable(lib->cfg));
		say_first(lib, diag.text);
	}
	mbfs_alloc_stats(lib->a, &lib->sh->stats);
	mbfs_alloc_close(lib->a);
	rt_free(lib->owner);
	return err;
}

static int library_file_open(struct race_worker *w, uint64_t max_blks, struct race_file **out)
{
	struct race_library *lib = w->ctx;
	struct race_file *f;
	int err;

	MBFS_ASSERT(max_blks <= UINT32_MAX);
	f = rt_alloc(sizeof(*f) + max_blks * sizeof(f->runs[0]));
	if (!f)
		return -ENOMEM;
	f->blks = 0;
	f->run_nr = 0;
	f->run_max = (unsigned)max_blks; /* no run is shorter than one block */
	err = mbfs_alloc_file_open(lib->a, (uint64_t)w->idx + 11, &f->af);
	if (err) {
		rt_free(f);
		return err;
	}
	*out = f;
	return 0;
}

/* The run is ours from now on; false when a block of it is somebody's already. */
static bool own(struct race_library *lib, const struct race_worker *w, const struct mbfs_run *run)
{
	uint32_t old;

	if (run->start + run->len > lib->cfg->size_bytes / lib->cfg->block_bytes)
		return false;
	for (uint32_t i = 0; i < run->len; i++) {
		old = 0;
		if (!rt_u32_cas(&lib->owner[run->start + i], &old, w->idx + 1))
			return false;
	}
	return true;
}

static void request_init(const struct race_file *f, uint32_t len, enum race_how how,
			 struct mbfs_alloc_req *req)
{
	const struct mbfs_run *last = f->run_nr ? &f->runs[f->run_nr - 1] : NULL;

	*req = (struct mbfs_alloc_req){
		.lblk = (mbfs_lblk_t)f->blks,
		.len = len,
		.file_blks = f->blks,
		.flags = MBFS_ALLOC_DATA | (how == RACE_FALLOC ? MBFS_ALLOC_FALLOC : 0),
	};
	if (last) {
		req->goal = last->start + last->len;
		req->lleft = (mbfs_lblk_t)f->blks - 1;
		req->pleft = last->start + last->len - 1;
	}
}

static void append_run(struct race_file *f, const struct mbfs_run *got)
{
	struct mbfs_run *last = f->run_nr ? &f->runs[f->run_nr - 1] : NULL;

	f->blks += got->len;
	if (last && last->start + last->len == got->start) {
		last->len += got->len;
		return;
	}
	MBFS_ASSERT(f->run_nr < f->run_max);
	f->runs[f->run_nr++] = *got;
}

static int library_file_grow(struct race_worker *w, struct race_file *f, uint64_t blks,
			     enum race_how how)
{
	struct race_library *lib = w->ctx;
	struct mbfs_alloc_req req;
	struct mbfs_run got;
	uint64_t from;
	int err;

	while (blks > 0) {
		if (race_stopped(w))
			return -EINTR;
		request_init(f, (uint32_t)blks, how, &req);
		from = rt_now_ns();
		err = mbfs_alloc_blocks(lib->a, f->af, &req, NULL, &got);
		race_count_call(w, rt_now_ns() - from, err);
		if (err)
			return err;
		if (got.len == 0 || got.len > blks || !own(lib, w, &got)) {
			race_broke(w, "a block was given twice, or a run is out of bounds",
				   -EUCLEAN);
			return -EUCLEAN;
		}
		append_run(f, &got);
		w->slot->tally.blocks += got.len;
		blks -= got.len;
	}
	return 0;
}

static int library_file_settle(struct race_worker *w, struct race_file *f)
{
	(void)w;
	mbfs_alloc_file_discard(f->af);
	return 0;
}

static int library_file_remove(struct race_worker *w, struct race_file *f)
{
	struct race_library *lib = w->ctx;
	int err = 0, err_run;

	mbfs_alloc_file_close(f->af);
	for (unsigned i = 0; i < f->run_nr; i++) {
		for (uint32_t b = 0; b < f->runs[i].len; b++)
			rt_u32_set(&lib->owner[f->runs[i].start + b], 0);
		err_run = mbfs_alloc_free(lib->a, NULL, &f->runs[i]);
		if (!err)
			err = err_run;
		race_progress(w);
	}
	rt_free(f);
	return err;
}

const struct race_backend race_library_backend = {
	.start = library_start,
	.end = library_end,
	.tick = library_tick,
	.file_open = library_file_open,
	.file_grow = library_file_grow,
	.file_settle = library_file_settle,
	.file_remove = library_file_remove,
};
