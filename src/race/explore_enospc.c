// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ENOSPC race for the schedule explorer: the allocator itself, on one small group.
 *
 * Set-up: a group of BLKS blocks of which all are used but a few, and these are in preallocations.
 * Each thread asks for one block. There are as many blocks as threads, so that a claim always
 * succeeds and every ENOSPC is false; the allocator's own oracle must agree.
 *
 *   enospc          2 (or 3) writers; the free blocks are in the PA of a file that nobody uses:
 *                   the seed's race, and those of the fixes that followed
 *   enospc-discard  a writer, and a file that is closed and so gives back its PA (window W2
 *                   of shared/notes/mballoc-history.md); also 3 threads
 *   enospc-busy     a writer, and a file that takes blocks from its PA (W3)
 *
 * In the check everything is given back, the equations must hold, and nothing may leak.
 */
#include "race/explore_race.h"

#include <mbfs/alloc.h>

#include <errno.h>

#include "base/check.h"
#include "rt/sync.h"

enum { BLKS = 64, THREADS_MAX = 3, PA_BLKS = 32 };

enum shape { SWEEPS, DISCARD, BUSY };

struct setting {
	const char *variant;
	enum shape shape;
	unsigned threads;
};

struct writer {
	struct mbfs_alloc_file *file;
	struct mbfs_run run;
	int err;
};

struct state {
	struct mbfs_alloc *a;
	struct mbfs_run rest;	   /* what fills the group */
	struct mbfs_alloc_file *owner; /* of the PA */
	struct mbfs_run owned;
	struct writer w[THREADS_MAX];
};

static const struct setting *setting(void)
{
	return explore_arg();
}

/* Exactly @len blocks, for no file. */
static void fill(struct mbfs_alloc *a, uint32_t len, struct mbfs_run *run)
{
	struct mbfs_alloc_req req = { .len = len, .flags = MBFS_ALLOC_CONTIG };
	int err = mbfs_alloc_blocks(a, NULL, &req, NULL, run);

	MBFS_ASSERT(err == 0 && run->len == len);
}

/* Blocks that the owner of the PA has: the request is normalised to PA_BLKS. */
static uint32_t owner_blks(void)
{
	return PA_BLKS - setting()->threads;
}

/* A file takes all that is left; @free_nr blocks of that are in its PA. */
static void make_pa(struct state *s, unsigned free_nr)
{
	struct mbfs_alloc_req req = { .len = owner_blks(), .file_blks = owner_blks(),
				      .flags = MBFS_ALLOC_DATA };
	struct mbfs_alloc_stats st;
	int err = mbfs_alloc_blocks(s->a, s->owner, &req, NULL, &s->owned);

	MBFS_ASSERT(err == 0);
	mbfs_alloc_stats(s->a, &st);
	MBFS_ASSERT(st.pa_nr == 1 && st.pa_blks == free_nr && st.free_nr == free_nr);
}

static void setup(void *state)
{
	const struct setting *set = setting();
	struct mbfs_alloc_shape shape = { .blk_nr = BLKS, .blks_per_grp = BLKS,
					  .block_bytes = 4096 };
	struct mbfs_alloc_tune tune;
	struct state *s = state;
	int err;

	mbfs_alloc_tune_default(&tune);
	tune.enospc = set->variant;
	tune.cpus = EXPLORE_THREADS_MAX; /* each thread has one of its own */
	tune.group_prealloc = 8;
	err = mbfs_alloc_open_mem(&shape, &tune, NULL, &s->a);
	MBFS_ASSERT(err == 0);
	err = mbfs_alloc_file_open(s->a, 1, &s->owner);
	for (unsigned i = 0; i < set->threads && !err; i++)
		err = mbfs_alloc_file_open(s->a, 2 + i, &s->w[i].file);
	MBFS_ASSERT(err == 0);
	fill(s->a, BLKS - PA_BLKS, &s->rest);
	make_pa(s, set->threads);
	explore_name(s->a, "alloc");
}

static void lost(struct state *s, const char *who)
{
	struct mbfs_alloc_group_info g;
	struct mbfs_alloc_stats st;

	mbfs_alloc_stats(s->a, &st);
	if (mbfs_alloc_group_info(s->a, 0, &g))
		g.free_nr = 0;
	explore_fail("false ENOSPC for %s: %llu blocks are free, %u of them in the buddy, %llu in "
		     "%llu PAs, the rest on the way",
		     who, (unsigned long long)st.free_nr, g.free_nr,
		     (unsigned long long)st.pa_blks, (unsigned long long)st.pa_nr);
}

static void ask(struct state *s, struct mbfs_alloc_file *f, uint32_t lblk, uint64_t file_blks,
		struct mbfs_run *run, int *err)
{
	static const char *const names[] = { "A", "B", "C" };
	struct mbfs_alloc_req req = { .lblk = lblk, .len = 1, .file_blks = file_blks,
				      .flags = MBFS_ALLOC_DATA };

	*err = mbfs_alloc_blocks(s->a, f, &req, NULL, run);
	if (*err == -ENOSPC)
		lost(s, names[explore_thread() % THREADS_MAX]);
	else if (*err)
		explore_fail("an error that has no cause: %d", *err);
}

static void write_one(void *state)
{
	struct state *s = state;
	struct writer *w = &s->w[explore_thread()];

	ask(s, w->file, 0, 0, &w->run, &w->err);
}

/* The owner of the PA: its last writer closes it, or it takes one block more. */
static void owner_acts(void *state)
{
	struct state *s = state;
	struct writer *w = &s->w[explore_thread()];

	if (setting()->shape == DISCARD) {
		mbfs_alloc_file_close(s->owner);
		s->owner = NULL;
		w->err = -ECANCELED; /* has no block */
	} else {
		ask(s, s->owner, owner_blks(), owner_blks(), &w->run, &w->err);
	}
}

static void check(void *state)
{
	struct mbfs_diag diag = { "" };
	struct state *s = state;
	int err = mbfs_alloc_check(s->a, &diag);

	if (err)
		explore_fail("the equations do not hold: %s", diag.text);
	if (s->owner)
		mbfs_alloc_file_close(s->owner);
	for (unsigned i = 0; i < setting()->threads; i++) {
		mbfs_alloc_file_close(s->w[i].file);
		if (s->w[i].err == 0 && s->w[i].run.len)
			err = err ? err : mbfs_alloc_free(s->a, NULL, &s->w[i].run);
	}
	err = err ? err : mbfs_alloc_free(s->a, NULL, &s->owned);
	err = err ? err : mbfs_alloc_free(s->a, NULL, &s->rest);
	if (err || mbfs_alloc_free_nr(s->a) != BLKS)
		explore_fail("%llu of %d blocks are free when all were given back: %d",
			     (unsigned long long)mbfs_alloc_free_nr(s->a), BLKS, err);
	mbfs_alloc_close(s->a);
}

/* ---- the table ---- */

static const struct {
	const char *name, *summary;
	enum shape shape;
	unsigned threads;
} rows[] = {
	{ "enospc", "2 writers, the blocks in another file's PA: the seed", SWEEPS, 2 },
	{ "enospc-3", "the same with 3 writers", SWEEPS, 3 },
	{ "enospc-discard", "a writer, and a file that is closed, with its PA: window W2", DISCARD,
	  2 },
	{ "enospc-discard-3", "the same with 2 writers", DISCARD, 3 },
	{ "enospc-busy", "a writer, and a file that uses its PA: window W3", BUSY, 2 },
	{ "enospc-busy-3", "the same with 2 writers", BUSY, 3 },
};

const char *explore_race_name(unsigned idx, const char **summary)
{
	if (idx >= sizeof(rows) / sizeof(rows[0]))
		return NULL;
	if (summary)
		*summary = rows[idx].summary;
	return rows[idx].name;
}

bool explore_race_find(const char *name, const char *variant, struct explore_race *out)
{
	const struct mbfs_alloc_variant *v = mbfs_alloc_variant_find(variant);
	struct setting *set = (struct setting *)out->room;

	_Static_assert(sizeof(struct setting) <= sizeof(out->room), "room for a setting");
	for (unsigned i = 0; v && i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		*set = (struct setting){ v->name, rows[i].shape, rows[i].threads };
		out->s = (struct explore_scenario){
			.name = rows[i].name,
			.variant = v->name,
			.state_bytes = sizeof(struct state),
			.arg = set,
			.setup = setup,
			.thread_nr = rows[i].threads,
			.check = check,
		};
		for (unsigned t = 0; t < rows[i].threads; t++)
			out->s.threads[t].fn = write_one;
		if (rows[i].shape != SWEEPS)
			out->s.threads[0].fn = owner_acts;
		return true;
	}
	return false;
}
