// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocator benchmarks in memory: no FUSE, no disk, no file system.
 *
 * latency: allocations and frees of n blocks in a steady state (a ring of live runs, the oldest is
 *	freed), on an empty device or on one that is aged: filled with extents of 4 KiB to 2 MiB
 *	(log-uniform) and freed extent by extent down to 90 %. Three kinds of request: "data"
 *	appends to a file and may use preallocations; "run" asks for up to n blocks; "contig" for
 *	all in one run. The median cost of reading the clock is subtracted and printed.
 * scaling: each thread does a fixed number of operations on a file of its own.
 * ageing: Ceph's recipe: fill to 90 %, free to 70 %, three times; how many allocations came in
 *	pieces, and the free-space score (0 best, 1 worst): a chunk of 2X is worth 1.1 times two
 *	of X, score = (ideal - actual) / (ideal - worst).
 */
#include "bench.h"
#include "race/team.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 4096, GROUP_BLKS = 32768, RING_NR = 1024, LATENCY_OPS = 20000,
       SCALE_OPS = 400000, SCALE_RING = 64, AGE_ORDERS = 10, FALLOC2_FILES = 2000 };

struct runs {
	struct mbfs_run *run;
	size_t nr, max;
};

static int runs_add(struct runs *r, const struct mbfs_run *run)
{
	struct mbfs_run *more;

	if (r->nr == r->max) {
		r->max = r->max ? r->max * 2 : 4096;
		more = realloc(r->run, r->max * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->run = more;
	}
	r->run[r->nr++] = *run;
	return 0;
}

/* Remove a random one. */
static struct mbfs_run runs_take(struct runs *r, uint64_t *seed)
{
	size_t at = (size_t)(race_rand(seed) % r->nr);
	struct mbfs_run run = r->run[at];

	r->run[at] = r->run[--r->nr];
	return run;
}

static int open_alloc(const struct bench_args *args, uint64_t bytes, struct mbfs_alloc **out)
{
	struct mbfs_alloc_shape shape = {
		.blk_nr = bytes / BLOCK_BYTES,
		.blks_per_grp = GROUP_BLKS,
		.block_bytes = BLOCK_BYTES,
		.log_grps_per_flex = 4,
	};
	struct mbfs_alloc_tune tune;
	struct mbfs_diag diag = { "" };
	int err;

	mbfs_alloc_tune_default(&tune);
	if (args->variant)
		tune.enospc = args->variant;
	err = mbfs_alloc_open_mem(&shape, &tune, &diag, out);
	if (err)
		fprintf(stderr, "mbfs-bench: cannot open %llu bytes: %s\n",
			(unsigned long long)bytes, diag.text[0] ? diag.text : strerror(-err));
	return err;
}

/* One request that may come in several runs; how many, or a negative errno. */
static int take_all(struct mbfs_alloc *a, uint32_t len, unsigned flags, mbfs_blk_t goal,
		    struct runs *live)
{
	struct mbfs_alloc_req req = { .len = len, .goal = goal, .flags = flags };
	struct mbfs_run got;
	int err, pieces = 0;

	for (; len > 0; pieces++) {
		req.len = len;
		err = mbfs_alloc_blocks(a, NULL, &req, NULL, &got);
		if (!err)
			err = runs_add(live, &got);
		if (err)
			return err;
		req.goal = got.start + got.len;
		len -= got.len;
	}
	return pieces;
}

static int free_down_to(struct mbfs_alloc *a, uint64_t free_nr, struct runs *live, uint64_t *seed)
{
	struct mbfs_run run;
	int err = 0;

	while (!err && live->nr && mbfs_alloc_free_nr(a) < free_nr) {
		run = runs_take(live, seed);
		err = mbfs_alloc_free(a, NULL, &run);
	}
	return err;
}

/* Fill until at most @free_nr blocks are left; counts requests, those in pieces, and pieces. */
static int fill_up_to(struct mbfs_alloc *a, uint64_t free_nr, struct runs *live, uint64_t *seed,
		      uint64_t count[3])
{
	uint64_t left;
	uint32_t len;
	int pieces;

	while ((left = mbfs_alloc_avail_nr(a)) > free_nr) {
		len = 1u << race_rand(seed) % AGE_ORDERS;
		if (len > left)
			len = (uint32_t)left;
		pieces = take_all(a, len, MBFS_ALLOC_NO_PREALLOC, 0, live);
		if (pieces < 0)
			return pieces;
		count[0]++;
		count[1] += pieces > 1;
		count[2] += (unsigned)pieces;
	}
	return 0;
}

static uint64_t less(uint64_t ns, uint64_t cost)
{
	return ns > cost ? ns - cost : 0;
}

/* ---- latency ---- */

struct latency {
	struct mbfs_alloc *a;
	struct mbfs_alloc_file *file; /* for "data" */
	uint32_t blks;
	unsigned flags;
	struct race_hist take, give;
	uint64_t failed, runs;
	uint64_t clock_ns;
};

/* Blocks of one slot of the ring. */
static int latency_give(struct latency *l, struct mbfs_run *slot)
{
	uint64_t from = race_now_ns();
	int err = slot->len ? mbfs_alloc_free(l->a, NULL, slot) : 0;

	if (slot->len)
		race_hist_add(&l->give, less(race_now_ns() - from, l->clock_ns));
	slot->len = 0;
	return err;
}

static int latency_loop(struct latency *l)
{
	struct mbfs_run *ring = calloc(RING_NR, sizeof(*ring)), got;
	struct mbfs_alloc_req req = { .len = l->blks, .flags = l->flags };
	uint64_t from;
	int err = ring ? 0 : -ENOMEM;

	for (unsigned i = 0; !err && i < LATENCY_OPS; i++) {
		struct mbfs_run *slot = &ring[i % RING_NR];

		err = latency_give(l, slot);
		if (err)
			break;
		from = race_now_ns();
		err = mbfs_alloc_blocks(l->a, l->file, &req, NULL, &got);
		race_hist_add(&l->take, less(race_now_ns() - from, l->clock_ns));
		if (err == -ENOSPC && (l->flags & MBFS_ALLOC_CONTIG)) {
			l->failed++;
			err = 0;
			continue;
		}
		if (err)
			break;
		*slot = got;
		l->runs++;
		req.goal = got.start + got.len;
		if (!l->file)
			continue;
		req.lblk += got.len;
		req.file_blks = req.lblk;
		req.lleft = req.lblk - 1;
		req.pleft = req.goal - 1;
	}
	for (unsigned i = 0; !err && i < RING_NR; i++)
		err = latency_give(l, &ring[i]);
	free(ring);
	return err;
}

static void latency_print(const struct bench_args *args, const char *name, const struct latency *l)
{
	char ns[4][16];

	printf("%-34s alloc p50 %9s p99 %9s   free p50 %9s p99 %9s", name,
	       race_human_ns(ns[0], race_hist_at(&l->take, 500)),
	       race_human_ns(ns[1], race_hist_at(&l->take, 990)),
	       race_human_ns(ns[2], race_hist_at(&l->give, 500)),
	       race_human_ns(ns[3], race_hist_at(&l->give, 990)));
	if (l->failed)
		printf("   no such run: %llu of %u", (unsigned long long)l->failed, LATENCY_OPS);
	putchar('\n');
	fflush(stdout);
	if (args->json)
		fprintf(args->json,
			"{\"bench\":\"alloc\",\"case\":\"%s\",\"p50_ns\":%llu,"
			"\"p99_ns\":%llu,\"free_p50_ns\":%llu,\"free_p99_ns\":%llu,"
			"\"clock_ns\":%llu,\"no_such_run\":%llu,\"ops\":%u}\n",
			name, (unsigned long long)race_hist_at(&l->take, 500),
			(unsigned long long)race_hist_at(&l->take, 990),
			(unsigned long long)race_hist_at(&l->give, 500),
			(unsigned long long)race_hist_at(&l->give, 990),
			(unsigned long long)l->clock_ns, (unsigned long long)l->failed,
			LATENCY_OPS);
}

static void latency_name(char name[64], const char *state, const char *kind, uint32_t blks)
{
	snprintf(name, 64, "%s %s %u blk", state, kind, blks);
}

static int latency_case(const struct bench_args *args, struct mbfs_alloc *a, const char *state,
			const char *kind, uint32_t blks)
{
	static const struct {
		const char *name;
		unsigned flags;
	} kinds[] = {
		{ "data", MBFS_ALLOC_DATA },
		{ "run", MBFS_ALLOC_NO_PREALLOC },
		{ "contig", MBFS_ALLOC_NO_PREALLOC | MBFS_ALLOC_CONTIG },
	};
	struct latency *l;
	char name[64];
	int err = 0;

	latency_name(name, state, kind, blks);
	if (!bench_wanted(args, name))
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->a = a;
	l->blks = blks;
	l->clock_ns = bench_clock_cost_ns();
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, kind) == 0)
			l->flags = kinds[i].flags;
	if (l->flags == MBFS_ALLOC_DATA)
		err = mbfs_alloc_file_open(a, 12, &l->file);
	if (!err)
		err = latency_loop(l);
	if (l->file)
		mbfs_alloc_file_close(l->file);
	if (!err)
		latency_print(args, name, l);
	free(l);
	return err;
}

static int latency_device(const struct bench_args *args, uint64_t bytes, const char *size,
			  bool aged)
{
	static const char *const kinds[] = { "data", "run", "contig" };
	static const uint32_t lens[] = { 1, 16, 256 };
	uint64_t count[3] = { 0 }, seed = args->seed;
	struct runs live = { NULL, 0, 0 };
	struct mbfs_alloc *a;
	char state[32], name[64];
	bool wanted = false;
	int err;

	snprintf(state, sizeof(state), "%s %s", size, aged ? "aged" : "empty");
	for (unsigned i = 0; i < 9; i++) {
		latency_name(name, state, kinds[i % 3], lens[i / 3]);
		wanted = wanted || bench_wanted(args, name);
	}
	if (!wanted)
		return 0;
	err = open_alloc(args, bytes, &a);
	if (err)
		return err;
	if (aged) {
		err = fill_up_to(a, 0, &live, &seed, count);
		if (!err)
			err = free_down_to(a, bytes / BLOCK_BYTES / 10, &live, &seed);
	}
	for (unsigned l = 0; l < 3; l++)
		for (unsigned k = 0; !err && k < 3; k++)
			err = latency_case(args, a, state, kinds[k], lens[l]);
	mbfs_alloc_close(a);
	free(live.run);
	return err;
}

/* ---- scaling ---- */

struct scale {
	struct mbfs_alloc *a;
	bool falloc2; /* append 2 blocks up to 256, free all; else 1 block at a time */
	unsigned failed[64];
};

/* A file's life by pieces of 8 KiB, as will-it-scale's fallocate2. Calls made, or negative. */
static int falloc2_file(struct scale *s, struct mbfs_alloc_file *f)
{
	struct mbfs_run runs[256];
	struct mbfs_alloc_req req = { .flags = MBFS_ALLOC_DATA | MBFS_ALLOC_FALLOC };
	unsigned nr = 0;
	int err;

	while (req.lblk < 256) {
		req.len = req.lblk % 2 ? 1 : 2;
		err = mbfs_alloc_blocks(s->a, f, &req, NULL, &runs[nr]);
		if (err)
			return err;
		req.lblk += runs[nr].len;
		req.file_blks = req.lblk;
		req.goal = runs[nr].start + runs[nr].len;
		req.lleft = req.lblk - 1;
		req.pleft = req.goal - 1;
		nr++;
	}
	for (unsigned i = 0; i < nr; i++) {
		err = mbfs_alloc_free(s->a, NULL, &runs[i]);
		if (err)
			return err;
	}
	return 0;
}

static int single_blocks(struct scale *s, struct mbfs_alloc_file *f)
{
	struct mbfs_run ring[SCALE_RING] = { { 0, 0 } };
	struct mbfs_alloc_req req = { .len = 1, .flags = MBFS_ALLOC_DATA };
	struct mbfs_run *slot;
	int err = 0;

	for (unsigned i = 0; !err && i < SCALE_OPS; i++) {
		slot = &ring[i % SCALE_RING];
		if (slot->len)
			err = mbfs_alloc_free(s->a, NULL, slot);
		if (!err)
			err = mbfs_alloc_blocks(s->a, f, &req, NULL, slot);
		req.lblk++;
		req.file_blks = req.lblk;
		req.goal = slot->start + 1;
	}
	for (unsigned i = 0; !err && i < SCALE_RING; i++)
		err = mbfs_alloc_free(s->a, NULL, &ring[i]);
	return err;
}

static void scale_member(void *arg, unsigned idx)
{
	struct scale *s = arg;
	struct mbfs_alloc_file *f;
	int err = mbfs_alloc_file_open(s->a, 100 + idx, &f);

	if (!err) {
		for (unsigned i = 0; !err && s->falloc2 && i < FALLOC2_FILES; i++)
			err = falloc2_file(s, f);
		if (!s->falloc2)
			err = single_blocks(s, f);
		mbfs_alloc_file_close(f);
	}
	s->failed[idx] = err != 0;
}

static int scale_one(const struct bench_args *args, const char *name, bool falloc2,
		     unsigned threads, double *first)
{
	double per_thread = falloc2 ? 128.0 * FALLOC2_FILES : SCALE_OPS, ops, best = 0;
	struct scale s = { .falloc2 = falloc2 };
	uint64_t ns;
	int err = 0;

	for (unsigned i = 0; !err && i < args->times; i++) {
		err = open_alloc(args, 16ull << 30, &s.a);
		if (err)
			return err;
		err = race_team_run(threads, scale_member, &s, &ns);
		for (unsigned t = 0; !err && t < threads; t++)
			err = s.failed[t] ? -EIO : 0;
		mbfs_alloc_close(s.a);
		ops = per_thread * threads * 1e9 / (double)(ns ? ns : 1);
		best = ops > best ? ops : best;
	}
	if (err)
		return err;
	if (threads == 1)
		*first = best;
	printf("%-24s %u thread%s %10.0f allocations/s (%.2f of one thread)\n", name, threads,
	       threads == 1 ? " " : "s", best, *first > 0 ? best / *first : 0);
	fflush(stdout);
	if (args->json)
		fprintf(args->json, "{\"bench\":\"alloc\",\"case\":\"%s\",\"threads\":%u,"
				    "\"allocs_per_s\":%.0f}\n", name, threads, best);
	return 0;
}

static int scaling(const struct bench_args *args)
{
	static const unsigned threads[] = { 1, 2, 4, 8 };
	static const char *const names[] = { "scaling single blocks", "scaling fallocate2" };
	double first = 0;
	int err = 0;

	for (unsigned kind = 0; kind < 2; kind++) {
		if (!bench_wanted(args, names[kind]))
			continue;
		for (unsigned t = 0; !err && t < 4; t++)
			err = scale_one(args, names[kind], kind == 1, threads[t], &first);
	}
	return err;
}

/* ---- ageing ---- */

/* Worth of a chunk of @blks: between powers of two, linear. */
static double chunk_worth(uint64_t blks)
{
	unsigned order = 63 - (unsigned)__builtin_clzll(blks);
	uint64_t low = 1ull << order;
	double x = (double)(blks - low) / (double)low, scale = 1;

	for (unsigned i = 0; i < order; i++)
		scale *= 1.1;
	return (double)low * scale * (1 - x) + 2 * (double)low * scale * 1.1 * x;
}

static int by_start(const void *a, const void *b)
{
	const struct mbfs_run *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* What lies between the live runs is free. */
static double free_space_score(struct runs *live, uint64_t blk_nr)
{
	uint64_t at = 0, sum = 0, gap;
	double actual = 0, ideal;

	qsort(live->run, live->nr, sizeof(live->run[0]), by_start);
	for (size_t i = 0; i <= live->nr; i++) {
		gap = (i < live->nr ? live->run[i].start : blk_nr) - at;
		if (gap) {
			actual += chunk_worth(gap);
			sum += gap;
		}
		if (i < live->nr)
			at = live->run[i].start + live->run[i].len;
	}
	if (sum < 2)
		return 0;
	ideal = chunk_worth(sum);
	return (ideal - actual) / (ideal - (double)sum);
}

static int ageing(const struct bench_args *args)
{
	static const char name[] = "ageing 512 GiB";
	const uint64_t blk_nr = (512ull << 30) / BLOCK_BYTES;
	uint64_t count[3] = { 0 }, seed = args->seed, ns;
	struct runs live = { NULL, 0, 0 };
	struct mbfs_alloc *a;
	double score = 0;
	int err;

	if (!bench_wanted(args, name))
		return 0;
	err = open_alloc(args, 512ull << 30, &a);
	if (err)
		return err;
	ns = race_now_ns();
	for (unsigned i = 0; !err && i < 3; i++) {
		memset(count, 0, sizeof(count));
		err = fill_up_to(a, blk_nr / 10, &live, &seed, count);
		if (!err)
			err = free_down_to(a, blk_nr * 3 / 10, &live, &seed);
	}
	ns = race_now_ns() - ns;
	if (!err) {
		score = free_space_score(&live, blk_nr);
		printf("%-34s in pieces %.2f %%, %.3f pieces each, free-space score %.3f (%.1f "
		       "s)\n",
		       name, 100.0 * (double)count[1] / (double)count[0],
		       (double)count[2] / (double)count[0], score, (double)ns / 1e9);
		if (args->json)
			fprintf(args->json,
				"{\"bench\":\"alloc\",\"case\":\"%s\",\"fragmented\":%.5f,"
				"\"fragments\":%.4f,\"score\":%.4f}\n",
				name, (double)count[1] / (double)count[0],
				(double)count[2] / (double)count[0], score);
	}
	mbfs_alloc_close(a);
	free(live.run);
	return err;
}

int bench_alloc(const struct bench_args *args)
{
	static const struct {
		uint64_t bytes;
		const char *name;
	} sizes[] = { { 16ull << 30, "16 GiB" }, { 1ull << 40, "1 TiB" } };
	int err = 0;

	printf("clock: %llu ns are subtracted from each time\n",
	       (unsigned long long)bench_clock_cost_ns());
	for (unsigned i = 0; i < 2; i++)
		for (unsigned aged = 0; !err && aged < 2; aged++)
			err = latency_device(args, sizes[i].bytes, sizes[i].name, aged != 0);
	if (!err)
		err = scaling(args);
	if (!err)
		err = ageing(args);
	if (err)
		fprintf(stderr, "mbfs-bench: alloc: %s\n", strerror(-err));
	return err ? 1 : 0;
}
