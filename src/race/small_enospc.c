// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ENOSPC race, small: the allocator itself on one group of BLKS blocks, of which all are used
 * but a few, and those are hidden in a preallocation. There are as many as the threads ask for, so
 * that every claim succeeds and every ENOSPC is false; the allocator's own oracle must agree. What
 * happens while a writer looks for its block:
 *
 *   SWEEPS   nothing but other writers: the seed's race, and those of the fixes that followed
 *   DISCARD  the PA's file is closed and gives it back (window W2 of
 * shared/notes/mballoc-history.md) BUSY     the PA's file takes a block from it (W3) CAP another
 * file takes block after block, and keeps more than it asked for; only ENOSPC at the cap on passes
 * counts (W1), the other windows have scenarios of their own FREE     a block is freed; the writers
 * may come too early, when ENOSPC is true ABBA     as BUSY, and between taking the block and
 * marking it the file waits for I/O that the writer has plugged, as a commit does: submitted when
 * the writer sleeps or is done, not when it yields (8c80fb312d7a) ABBA_DISCARD  as DISCARD, and the
 * file waits in the same way before the blocks go back: a PA that stays on the list (70022da804f0)
 *
 * In the last two nothing is hidden, and ENOSPC is true:
 *
 *   FRAG     two blocks in one run are asked for, and only single ones are free
 *   LOST     the free blocks are in a group whose bitmap cannot be read
 *
 * In the check everything is given back, the equations must hold, and nothing may leak.
 */
#include "race/small.h"

#include <errno.h>

#include "base/bits.h"
#include "base/check.h"
#include "rt/sync.h"

enum { BLKS = 64, PA_BLKS = 32, CAP_TAKES = 3, TAKES_MAX = CAP_TAKES };

/* LOCKED is added to a shape: no looks without the group's lock. */
enum { SWEEPS, DISCARD, BUSY, CAP, FREE, ABBA, ABBA_DISCARD, FRAG, LOST, LOCKED = 64 };

struct writer {
	struct mbfs_alloc_file *file;
	struct mbfs_run run[TAKES_MAX];
	unsigned nr;
};

struct state {
	struct mbfs_alloc *a;
	struct mbfs_run rest;	       /* what fills the group */
	struct mbfs_alloc_file *owner; /* of the PA */
	struct mbfs_run owned;
	struct writer w[SMALL_THREADS_MAX];
	rt_u32 plugged;		/* [atomic] the writer has I/O that others may wait for */
	struct rt_event submitted;
};

static int shape(const struct small_run *r)
{
	return r->s->shape & ~LOCKED;
}

/* ---- plugs ---- */

static void submit(void *arg)
{
	struct state *s = arg;

	if (rt_u32_xchg(&s->plugged, 0))
		rt_event_signal(&s->submitted);
}

/* The file waits for the writer's I/O, in the middle of using or taking apart its PA. */
static void wait_for_io(void *arg, enum mbfs_alloc_point point)
{
	struct state *s = arg;
	uint32_t key;

	(void)point;
	for (;;) {
		key = rt_event_key(&s->submitted);
		if (!rt_u32_read_acquire(&s->plugged))
			return;
		rt_event_wait(&s->submitted, key);
	}
}

/* ---- set-up ---- */

/* Exactly @len blocks, for no file. */
static void fill(struct state *s, uint32_t len, struct mbfs_run *run)
{
	struct mbfs_alloc_req req = { .len = len, .flags = MBFS_ALLOC_CONTIG };
	int err = mbfs_alloc_blocks(s->a, NULL, &req, NULL, run);

	MBFS_ASSERT(err == 0 && run->len == len);
}

/* Blocks that are hidden in the PA. */
static uint32_t hidden_blks(const struct small_run *r)
{
	switch (shape(r)) {
	case CAP:
		return CAP_TAKES + r->s->threads - 1;
	case FREE:
		return r->s->threads - 2;
	default:
		return r->s->threads;
	}
}

/* Blocks that the owner of the PA has: its request is normalised to PA_BLKS. */
static uint32_t owner_blks(const struct small_run *r)
{
	return PA_BLKS - hidden_blks(r);
}

/* A file takes all that is left; what is hidden is in its PA. */
static void make_pa(struct small_run *r, struct state *s)
{
	struct mbfs_alloc_req req = { .len = owner_blks(r), .file_blks = owner_blks(r),
				      .flags = MBFS_ALLOC_DATA };
	struct mbfs_alloc_stats st;
	int err = mbfs_alloc_blocks(s->a, s->owner, &req, NULL, &s->owned);

	MBFS_ASSERT(err == 0);
	mbfs_alloc_stats(s->a, &st);
	MBFS_ASSERT(st.pa_blks == hidden_blks(r) && st.free_nr == hidden_blks(r));
}

/* Every second block of the last few is free. */
static void make_fragments(struct small_run *r, struct state *s)
{
	struct mbfs_run one = { .len = 1 };

	fill(s, BLKS, &s->rest);
	for (unsigned i = 0; i < 2 * r->s->threads; i++) {
		int err;

		one.start = BLKS - 1 - 2 * i;
		err = mbfs_alloc_free(s->a, NULL, &one);
		MBFS_ASSERT(err == 0);
	}
}

/* ---- a device of two groups: the first is full, the second has free blocks and a bad bitmap ----
 */

static int lost_grp_info(void *ctx, mbfs_grp_t grp, uint32_t *free_nr, bool *bad)
{
	const struct small_run *r = ctx;

	*free_nr = grp ? r->s->threads : 0;
	*bad = false;
	return 0;
}

static int lost_bitmap_load(void *ctx, mbfs_grp_t grp, uint8_t *bits)
{
	(void)ctx;
	bits_set(bits, 0, BLKS);
	return grp ? -EBADMSG : 0;
}

static void lost_bitmap_update(void *ctx, struct mbfs_tx *tx, mbfs_grp_t grp, mbfs_clu_t start,
			       uint32_t len, bool used)
{
	(void)ctx, (void)tx, (void)grp, (void)start, (void)len, (void)used;
	MBFS_ASSERT(!"nothing can be allocated here");
}

static const struct mbfs_alloc_store_ops lost_store = {
	.grp_info = lost_grp_info,
	.bitmap_load = lost_bitmap_load,
	.bitmap_update = lost_bitmap_update,
};

static int open_alloc(struct small_run *r, struct state *s)
{
	struct mbfs_alloc_shape sh = { .blk_nr = BLKS, .blks_per_grp = BLKS, .block_bytes = 4096 };
	struct mbfs_alloc_tune tune;

	mbfs_alloc_tune_default(&tune);
	tune.enospc = r->variant;
	tune.cpus = 8; /* each thread has one of its own */
	tune.group_prealloc = 8;
	tune.locked_checks = r->s->shape & LOCKED;
	tune.hook_arg = s;
	tune.before_wait = submit;
	if (shape(r) == ABBA || shape(r) == ABBA_DISCARD) {
		tune.at_point = wait_for_io;
		tune.widen_us[MBFS_POINT_PA_BUSY] = shape(r) == ABBA;
		tune.widen_us[MBFS_POINT_DELETED_FREE] = shape(r) == ABBA_DISCARD;
	}
	if (shape(r) != LOST)
		return mbfs_alloc_open_mem(&sh, &tune, NULL, &s->a);
	sh.blk_nr = 2 * BLKS;
	return mbfs_alloc_open(&sh, &tune, &lost_store, r, NULL, &s->a);
}

static void setup(struct small_run *r)
{
	struct state *s = r->state;
	int err;

	rt_event_init(&s->submitted);
	err = open_alloc(r, s);
	MBFS_ASSERT(err == 0);
	err = mbfs_alloc_file_open(s->a, 1, &s->owner);
	for (unsigned i = 0; i < r->s->threads && !err; i++)
		err = mbfs_alloc_file_open(s->a, 2 + i, &s->w[i].file);
	MBFS_ASSERT(err == 0);
	small_name(r, s->a, "alloc");
	if (shape(r) == LOST)
		return;
	if (shape(r) == FRAG) {
		make_fragments(r, s);
		return;
	}
	fill(s, BLKS - PA_BLKS, &s->rest);
	make_pa(r, s);
	/* From here on: in the set-up it was one's own. */
	rt_u32_set(&s->plugged, shape(r) == ABBA || shape(r) == ABBA_DISCARD);
}

/* ---- threads ---- */

static void lost_the_race(struct small_run *r, unsigned me)
{
	char where[SMALL_TEXT_BYTES];

	small_look(r, true);
	small_where(r, where);
	small_look(r, false);
	small_fail(r, "false ENOSPC for %c: %s", 'A' + (int)me, where);
}

static struct mbfs_alloc *alloc(struct small_run *r)
{
	return ((struct state *)r->state)->a;
}

/* An ENOSPC that this scenario does not count. */
static bool not_ours(struct small_run *r)
{
	struct state *s = r->state;
	struct mbfs_alloc_stats st;

	small_look(r, true);
	mbfs_alloc_stats(s->a, &st);
	small_look(r, false);
	if (shape(r) == FREE) /* it may be true */
		return st.claim_failed > 0 && st.false_enospc == 0;
	return shape(r) == CAP && st.cap_hits == 0;
}

static void answered(struct small_run *r, unsigned me, int err)
{
	bool none = shape(r) == FRAG || shape(r) == LOST;

	if (none && err == 0)
		small_fail(r, "%c has got blocks that nobody can have", 'A' + (int)me);
	else if (shape(r) == LOST && (err == -EBADMSG || err == -ENOSPC))
		return;
	else if (err == -ENOSPC && !none && !not_ours(r))
		lost_the_race(r, me);
	else if (err && err != -ENOSPC && !(r->faults && err == -ENOMEM))
		small_fail(r, "an error that has no cause: %d", err);
}

static void ask(struct small_run *r, unsigned me, struct mbfs_alloc_file *f, uint32_t lblk,
		uint64_t file_blks)
{
	bool pair = shape(r) == FRAG;
	struct mbfs_alloc_req req = { .lblk = lblk,
				      .len = pair ? 2 : 1,
				      .file_blks = file_blks,
				      .flags = pair ? MBFS_ALLOC_DATA | MBFS_ALLOC_CONTIG :
						      MBFS_ALLOC_DATA };
	struct state *s = r->state;
	struct writer *w = &s->w[me];
	int err = mbfs_alloc_blocks(s->a, f, &req, NULL, &w->run[w->nr]);

	w->nr += err == 0;
	answered(r, me, err);
}

/* The first thread, where it is not a writer like the others. */
static void other_side(struct small_run *r)
{
	struct state *s = r->state;
	struct mbfs_run one = { .start = s->rest.start, .len = 1 };

	switch (shape(r)) {
	case DISCARD:
	case ABBA_DISCARD:
		mbfs_alloc_file_close(s->owner);
		s->owner = NULL;
		return;
	case BUSY:
	case ABBA:
		ask(r, 0, s->owner, owner_blks(r), owner_blks(r));
		return;
	case FREE:
		if (mbfs_alloc_free(s->a, NULL, &one))
			small_fail(r, "a block cannot be freed");
		return;
	default: /* CAP */
		for (unsigned i = 0; i < CAP_TAKES; i++)
			ask(r, 0, s->w[0].file, i, i);
	}
}

static void thread(struct small_run *r, unsigned me)
{
	const int sh = shape(r);

	if (me == 0 && sh != SWEEPS && sh != FRAG && sh != LOST) {
		other_side(r);
		return;
	}
	ask(r, me, ((struct state *)r->state)->w[me].file, 0, 0);
	submit(r->state);
}

/* ---- check ---- */

static int give_back(struct small_run *r, struct state *s)
{
	struct mbfs_run rest = s->rest;
	int err = 0;

	for (unsigned i = 0; i < r->s->threads; i++)
		for (unsigned k = 0; k < s->w[i].nr && !err; k++)
			err = mbfs_alloc_free(s->a, NULL, &s->w[i].run[k]);
	if (shape(r) == FREE) { /* its first block is free, or somebody has it */
		rest.start++;
		rest.len--;
	}
	if (shape(r) == FRAG)
		rest.len = BLKS - 4 * r->s->threads + 1;
	if (rest.len && !err)
		err = mbfs_alloc_free(s->a, NULL, &rest);
	for (unsigned i = 0; shape(r) == FRAG && i < 2 * r->s->threads - 1 && !err; i++)
		err = mbfs_alloc_free(s->a, NULL,
				      &(struct mbfs_run){ .start = BLKS - 2 - 2 * i, .len = 1 });
	if (s->owned.len && !err)
		err = mbfs_alloc_free(s->a, NULL, &s->owned);
	return err;
}

static void check(struct small_run *r)
{
	struct mbfs_diag diag = { "" };
	struct state *s = r->state;
	uint64_t all = shape(r) == LOST ? 0 : BLKS;
	int err = mbfs_alloc_check(s->a, &diag);

	if (err)
		small_fail(r, "the equations do not hold: %s", diag.text);
	if (s->owner)
		mbfs_alloc_file_close(s->owner);
	for (unsigned i = 0; i < r->s->threads; i++)
		mbfs_alloc_file_close(s->w[i].file);
	err = err ? err : give_back(r, s);
	if (err || mbfs_alloc_free_nr(s->a) != all)
		small_fail(r, "%llu of %llu blocks are free when all were given back: %d",
			   (unsigned long long)mbfs_alloc_free_nr(s->a), (unsigned long long)all,
			   err);
	mbfs_alloc_close(s->a);
}

/* ---- the table ---- */

#define ROW(name_, threads_, shape_, summary_)                                           \
	{ .name = name_, .summary = summary_, .family = &race_enospc,                    \
	  .threads = threads_, .shape = shape_, .state_bytes = sizeof(struct state),     \
	  .setup = setup, .thread = thread, .alloc = alloc, .check = check }

const struct small_scenario small_enospc[] = {
	ROW("enospc", 2, SWEEPS, "2 writers, the blocks in another file's PA: the seed"),
	ROW("enospc-3", 3, SWEEPS, "the same with 3 writers"),
	ROW("enospc-locked", 2, SWEEPS | LOCKED, "2 writers that look under the group's lock only"),
	ROW("enospc-locked-3", 3, SWEEPS | LOCKED, "the same with 3 writers"),
	ROW("enospc-cap", 2, CAP, "W1: a writer loses 3 races to a file that takes 3 blocks"),
	ROW("enospc-discard", 2, DISCARD, "W2: a writer, and a file that is closed, with its PA"),
	ROW("enospc-discard-3", 3, DISCARD, "the same with 2 writers"),
	ROW("enospc-busy", 2, BUSY, "W3: a writer, and a file that uses its PA"),
	ROW("enospc-busy-3", 3, BUSY, "the same with 2 writers"),
	ROW("enospc-free", 2, FREE, "a writer, and a block that is freed"),
	ROW("enospc-free-3", 3, FREE, "2 writers, a block in a PA, and one that is freed"),
	ROW("enospc-abba", 2, ABBA, "a file waits, its PA in use, for I/O the writer has plugged"),
	ROW("enospc-abba-discard", 2, ABBA_DISCARD, "the same while it takes its PA apart"),
	ROW("enospc-frag", 2, FRAG, "2 blocks in a row, where only single ones are free: true"),
	ROW("enospc-lost", 2, LOST, "the free blocks are in a group that cannot be read: true"),
	ROW("enospc-lost-locked", 2, LOST | LOCKED, "the same, looks under the lock only"),
	{ .name = NULL },
};
