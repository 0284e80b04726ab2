// SPDX-License-Identifier: GPL-2.0-only
/*
 * The races of the end_io room (shared seed 002_a33e6dbc4e996b00; kernels of 2012 to 2025): writes
 * under way against who changes or frees what they write to.
 *
 * Equation, for truncate and flush: the number of a write is drawn after its place has announced
 * that no lower one will be there. So whoever looks at all places before a truncate or punch knows
 * a floor: what is read afterwards is zeros, or was written there by a write with that number or a
 * higher one. Anything else is stale: the disk's old bytes, another file's, an older write's.
 *
 * endio-truncate: writer 0 truncates a file to 0 and allocates it again while the others have
 *	O_DIRECT writes under way in it. The seed's deadlock: truncate holds the inode's lock and
 *	waits for them, their conversion needs that lock.
 * endio-flush: two files, whose writes are not direct. Writer 0 punches (or truncates) both and
 *	allocates them again in turn, so that their blocks change hands; a conversion that comes
 *	after that, because the flush missed it, makes blocks of the other file visible.
 * endio-uaf: every writer overwrites what is written, so there is nothing to convert, and unlinks
 *	and closes the file the moment it is answered. What is queued all the same finds its inode
 *	gone: the counter after_free.
 *
 * The free space of the image holds other bytes before the run. Concurrency: writers share
 * race_shared's atomics and the files.
 */
#include "race/site.h"
#include "race/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

const struct race_workload endio_truncate_workloads[] = {
	{ "truncate", "O_DIRECT writes against truncate to 0 and fallocate (the seed's)" },
	{ NULL, NULL },
};
const struct race_workload endio_flush_workloads[] = {
	{ "punch", "writes of two files against punch and fallocate, in turn" },
	{ "truncate", "the same with truncate to 0" },
	{ NULL, NULL },
};
const struct race_workload endio_uaf_workloads[] = {
	{ "unlink", "writes into written blocks, then unlink and close" },
	{ NULL, NULL },
};

enum {
	SPAN_BYTES = 1 << 20,
	RECORD_BYTES = 4096,
	DEPTH = RACE_DEPTH_MAX,
	FILES = 2,
	JUNK_PERCENT = 60,
	WAIT_MS = 100,
	PAUSE_NS = 2000000,
	BURST_PAUSE_NS = 1000000,
	SIZE_MIN_BYTES = 32 << 20,
};

enum endio_doing {
	DOING_OPEN = 1,
	DOING_START,
	DOING_WAIT,
	DOING_TRUNCATE,
	DOING_PUNCH,
	DOING_FALLOCATE,
	DOING_READ,
	DOING_UNLINK,
	DOING_CLOSE,
};

const char *endio_doing_name(uint32_t doing)
{
	static const char *const names[] = {
		[DOING_OPEN] = "open",
		[DOING_START] = "the start of a write",
		[DOING_WAIT] = "wait for writes",
		[DOING_TRUNCATE] = "truncate",
		[DOING_PUNCH] = "punch",
		[DOING_FALLOCATE] = "fallocate",
		[DOING_READ] = "read",
		[DOING_UNLINK] = "unlink",
		[DOING_CLOSE] = "close",
	};

	return doing < MBFS_ARRAY_SIZE(names) ? names[doing] : NULL;
}

/* What a writer has in its hands. */
struct hands {
	struct race_worker *w;
	const struct race_site_ops *ops;
	struct race_mount *m;
	struct site_file *files[FILES];
	unsigned file_nr;
	uint8_t *buf; /* DEPTH records */
};

static bool is(const struct race_config *cfg, const char *scenario)
{
	return strcmp(cfg->scenario->name, scenario) == 0;
}

static void doing(struct race_worker *w, enum endio_doing what)
{
	rt_u32_set(&w->slot->doing, what);
}

/* A change is over: counted, or the end of the run. False: stop. */
static bool changed(struct race_worker *w, const char *what, int err)
{
	if (err) {
		race_broke(w, what, err);
		return false;
	}
	w->slot->tally.changes++;
	race_progress(w);
	return true;
}

/* ---- writes ---- */

/* Writes of one file; the place's index is that of its buffer and of the slot's under_way. */
struct writes {
	struct hands *h;
	struct site_queue *q;
	uint64_t tag;
	struct race_aio_io io[DEPTH];
	uint64_t start_ns[DEPTH];
	bool busy[DEPTH];
	unsigned under_way;
};

static int writes_open(struct hands *h, struct site_file *f, uint64_t tag, struct writes *ws)
{
	*ws = (struct writes){ .h = h, .tag = tag };
	for (unsigned i = 0; i < DEPTH; i++) {
		ws->io[i].is_write = true;
		ws->io[i].buf = h->buf + (size_t)i * RECORD_BYTES;
		ws->io[i].bytes = RECORD_BYTES;
	}
	return h->ops->queue_open(f, DEPTH, &ws->q);
}

static void write_answered(struct writes *ws, struct race_aio_io *io)
{
	struct race_worker *w = ws->h->w;
	unsigned i = (unsigned)(io - ws->io);

	ws->busy[i] = false;
	ws->under_way--;
	rt_u64_set(&w->slot->under_way[i], 0);
	if (io->result != RECORD_BYTES)
		race_broke(w, "a write was not carried out",
			   io->result < 0 ? (int)io->result : -EIO);
	race_count_call(w, rt_now_ns() - ws->start_ns[i], 0);
}

/* Into a free place. */
static void write_start(struct writes *ws, uint64_t off)
{
	struct race_worker *w = ws->h->w;
	unsigned i = 0;
	uint64_t seq;
	int err;

	while (ws->busy[i])
		i++;
	/* Announced before it is drawn: pairs with floor_now(). */
	rt_u64_set(&w->slot->under_way[i], rt_u64_read(&w->sh->seq) + 1);
	rt_fence();
	seq = rt_u64_add_return(&w->sh->seq, 1);
	ws->io[i].off_bytes = off;
	stamp_fill(ws->io[i].buf, RECORD_BYTES, off, ws->tag, seq);
	ws->busy[i] = true;
	ws->under_way++;
	ws->start_ns[i] = rt_now_ns();
	doing(w, DOING_START);
	err = ws->h->ops->start(ws->q, &ws->io[i]);
	if (err) {
		ws->io[i].result = err;
		write_answered(ws, &ws->io[i]);
	}
}

/* One at least, and what else is over. */
static void writes_wait(struct writes *ws)
{
	struct race_aio_io *io;
	int err;

	doing(ws->h->w, DOING_WAIT);
	err = ws->h->ops->wait(ws->q, WAIT_MS, &io);
	while (!err) {
		write_answered(ws, io);
		err = ws->under_way ? ws->h->ops->wait(ws->q, 0, &io) : -EAGAIN;
	}
	if (err != -EAGAIN)
		race_broke(ws->h->w, "waiting for writes", err);
}

static void writes_close(struct writes *ws)
{
	while (ws->under_way)
		writes_wait(ws);
	ws->h->ops->queue_close(ws->q);
}

static void write_loop(struct hands *h)
{
	struct race_worker *w = h->w;
	unsigned mine = w->idx % h->file_nr;
	struct writes ws;
	int err = writes_open(h, h->files[mine], mine + 1, &ws);

	if (err) {
		race_broke(w, "no room for writes under way", err);
		return;
	}
	while (!race_stopped(w)) {
		while (ws.under_way < DEPTH)
			write_start(&ws, rt_rand_below(&w->rand, SPAN_BYTES / RECORD_BYTES) *
						 RECORD_BYTES);
		writes_wait(&ws);
		/* In bursts, else the changer is never quick enough after one of them. */
		while (h->file_nr == FILES && ws.under_way)
			writes_wait(&ws);
		if (h->file_nr == FILES)
			rt_sleep_ns(rt_rand_below(&w->rand, BURST_PAUSE_NS));
	}
	writes_close(&ws);
}

/* ---- changes ---- */

/* No write that is answered from now on has a lower number, unless it was answered by now. */
static uint64_t floor_now(struct race_worker *w)
{
	uint64_t low = rt_u64_read(&w->sh->seq) + 1, at;

	rt_fence();
	for (unsigned i = 0; i < w->cfg->threads; i++)
		for (unsigned d = 0; d < DEPTH; d++) {
			at = rt_u64_read(&w->sh->slot[i].under_way[d]);
			if (at && at < low)
				low = at;
		}
	return low;
}

static void block_look(struct hands *h, unsigned file, uint64_t off, const uint8_t *block,
		       uint64_t floor)
{
	struct race_worker *w = h->w;
	uint64_t seq = 0;
	enum stamp_kind kind = stamp_look(block, off, file + 1, &seq);

	w->slot->tally.looks++;
	if (kind == STAMP_ZERO || (kind == STAMP_OURS && seq >= floor))
		return;
	w->slot->tally.stale++;
}

static void look(struct hands *h, uint64_t floor)
{
	for (unsigned f = 0; f < h->file_nr; f++) {
		for (uint64_t off = 0; off < SPAN_BYTES; off += DEPTH * RECORD_BYTES) {
			ssize_t got;

			doing(h->w, DOING_READ);
			got = h->ops->read(h->files[f], h->buf, DEPTH * RECORD_BYTES, off);
			if (got < 0)
				race_broke(h->w, "a file could not be read", (int)got);
			for (ssize_t at = 0; at + STAMP_BYTES <= got; at += STAMP_BYTES)
				block_look(h, f, off + (uint64_t)at, h->buf + at, floor);
			race_progress(h->w);
		}
	}
}

/* All that is in the files goes. */
static bool empty_all(struct hands *h, bool punch)
{
	int err;

	for (unsigned f = 0; f < h->file_nr; f++) {
		if (punch) {
			doing(h->w, DOING_PUNCH);
			err = h->ops->fallocate(h->files[f],
						FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
						SPAN_BYTES);
		} else {
			doing(h->w, DOING_TRUNCATE);
			err = h->ops->truncate(h->files[f], 0);
		}
		if (!changed(h->w, punch ? "punch" : "truncate", err))
			return false;
	}
	return true;
}

/* The one that is first gets the blocks that the other had. */
static bool allocate_all(struct hands *h, unsigned first)
{
	for (unsigned n = 0; n < h->file_nr; n++) {
		int err;

		doing(h->w, DOING_FALLOCATE);
		err = h->ops->fallocate(h->files[(first + n) % h->file_nr], 0, 0, SPAN_BYTES);
		if (!changed(h->w, "fallocate", err))
			return false;
	}
	return true;
}

static void change_loop(struct hands *h)
{
	struct race_worker *w = h->w;
	bool punch = strcmp(w->cfg->workload->name, "punch") == 0;
	uint64_t floor = 0;

	for (unsigned round = 0; !race_stopped(w); round++) {
		rt_sleep_ns(rt_rand_below(&w->rand, PAUSE_NS));
		look(h, floor);
		floor = floor_now(w);
		if (!empty_all(h, punch) || !allocate_all(h, round + 1))
			break;
		look(h, floor);
		rt_u64_add(&w->sh->rounds, 1);
		if (w->cfg->rounds && rt_u64_read(&w->sh->rounds) >= w->cfg->rounds)
			rt_u32_set(&w->sh->stop, 1);
	}
}

/* ---- files that come and go ---- */

static void uaf_file(struct hands *h, const char *name)
{
	struct race_worker *w = h->w;
	struct site_file *f;
	struct writes ws;
	int err;

	doing(w, DOING_OPEN);
	err = h->ops->open(h->m, name, true, false, &f);
	if (!err) {
		err = writes_open(h, f, w->idx + 1, &ws);
		if (err)
			h->ops->close(f);
	}
	if (err) {
		race_broke(w, "cannot make a file", err);
		return;
	}
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < DEPTH; i++)
			write_start(&ws, (uint64_t)i * RECORD_BYTES);
		while (ws.under_way)
			writes_wait(&ws);
	}
	doing(w, DOING_UNLINK);
	err = h->ops->unlink(h->m, name);
	writes_close(&ws);
	doing(w, DOING_CLOSE);
	h->ops->close(f);
	changed(w, "unlink", err);
}

static void uaf_loop(struct hands *h)
{
	struct race_worker *w = h->w;
	char name[48];

	for (uint64_t n = 0; !race_stopped(w) && (!w->cfg->rounds || n < w->cfg->rounds); n++) {
		snprintf(name, sizeof(name), "u%u-%llu", w->idx, (unsigned long long)n);
		uaf_file(h, name);
	}
}

/* ---- a writer ---- */

static const char *const file_names[FILES] = { "a", "b" };

static void hands_init(struct race_worker *w, struct hands *h)
{
	*h = (struct hands){
		.w = w,
		.m = w->ctx,
		.ops = w->cfg->mount ? &site_mount : &site_library,
		.file_nr = is(w->cfg, "endio-flush")      ? 2
			   : is(w->cfg, "endio-truncate") ? 1
							  : 0,
	};
	h->buf = rt_zalloc_aligned(STAMP_BYTES, DEPTH * RECORD_BYTES);
	if (!h->buf)
		race_broke(w, "no memory", -ENOMEM);
}

static bool hands_open(struct hands *h, bool fresh)
{
	bool direct = is(h->w->cfg, "endio-truncate");
	int err = 0;

	doing(h->w, DOING_OPEN);
	for (unsigned f = 0; !err && f < h->file_nr; f++)
		err = h->ops->open(h->m, file_names[f], fresh, direct, &h->files[f]);
	if (err)
		race_broke(h->w, "cannot open a file", err);
	return !err;
}

static void hands_close(struct hands *h)
{
	doing(h->w, DOING_CLOSE);
	for (unsigned f = 0; f < h->file_nr; f++)
		if (h->files[f])
			h->ops->close(h->files[f]);
	rt_free(h->buf);
}

/* Most of the image's free blocks get bytes that are nobody's. */
static int fill_with_junk(struct hands *h)
{
	uint64_t bytes = h->w->cfg->size_bytes / 100 * JUNK_PERCENT;
	struct site_file *f;
	struct writes ws;
	int err = h->ops->open(h->m, "junk", true, true, &f);

	if (err)
		return err;
	err = h->ops->fallocate(f, 0, 0, bytes);
	if (!err)
		err = writes_open(h, f, 0, &ws);
	for (uint64_t off = 0; !err && off + RECORD_BYTES <= bytes; off += RECORD_BYTES) {
		while (ws.under_way == DEPTH)
			writes_wait(&ws);
		write_start(&ws, off);
		if (race_stopped(h->w))
			break;
	}
	if (!err) {
		writes_close(&ws);
		err = h->ops->unlink(h->m, "junk");
	}
	h->ops->close(f);
	return err;
}

/* Once, before all: the junk, and the files. */
static void leader(struct race_worker *w)
{
	struct hands h;
	int err;

	hands_init(w, &h);
	if (!h.buf)
		return;
	err = fill_with_junk(&h);
	if (err)
		race_broke(w, "cannot fill the image", err);
	else if (hands_open(&h, true))
		allocate_all(&h, 0);
	hands_close(&h);
	memset(&w->slot->tally, 0, sizeof(w->slot->tally));
	rt_u32_set(&w->sh->preparing, 0);
}

static void endio_worker(struct race_worker *w)
{
	struct hands h;

	race_gate_pass(w, leader);
	if (race_stopped(w))
		return;
	hands_init(w, &h);
	if (h.buf && hands_open(&h, false)) {
		if (h.file_nr == 0)
			uaf_loop(&h);
		else if (w->idx == 0)
			change_loop(&h);
		else
			write_loop(&h);
	}
	hands_close(&h);
}

/* ---- the kind ---- */

static int plan_check(const struct race_config *cfg, uint64_t usable, struct mbfs_diag *diag)
{
	(void)usable;
	if (cfg->threads < 2)
		return diag_set(diag, -EINVAL,
				"one writer has nobody to race with; use --threads 2");
	if (cfg->size_bytes < SIZE_MIN_BYTES)
		return diag_set(diag, -EINVAL, "--size: at least %dM is wanted",
				SIZE_MIN_BYTES >> 20);
	return 0;
}

static void daemon_options(const struct race_config *cfg, char *buf, size_t bytes)
{
	snprintf(buf, bytes, "endio=%s,io=uring,max_threads=%u", cfg->variant.name,
		 cfg->threads * DEPTH + 16);
}

static bool held(const struct race_result *res)
{
	return res->sum.stale == 0 && res->endio.after_free == 0;
}

const struct race_kind endio_kind = {
	.image = true,
	.defaults = {
		.threads = 5,
		.cpus = 8,
		.run_ms = 5000,
		.grace_ms = 5000,
		.block_bytes = 4096,
		.size_bytes = 64 << 20,
	},
	.plan_check = plan_check,
	.worker = endio_worker,
	.library = &site_library_backend,
	.mount = &site_mount_backend,
	.daemon_options = daemon_options,
	.held = held,
	.report = &endio_report,
};
