// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocation while the device becomes longer: threads that get a block and give an old one back,
 * each for a file of its own, on 16 GiB in memory, alone and beside one that adds groups. Only
 * getting is timed; the thread that adds groups takes its CPU time like any other.
 */
#include "race/measure.h"

#include <errno.h>

#include "rt/mem.h"
#include "rt/sync.h"
#include "rt/work.h"

enum { GROUP_BLKS = 32768, GROUPS = 128, RING = 64, PACE_NS = 1000000 };
/* A device that is not longer than a file system can be, however long it is measured. */
static const mbfs_blk_t blks_max = 1ull << 40;

struct member {
	struct mbfs_alloc_file *file;
	struct mbfs_run ring[RING];
	unsigned at;
	struct mbfs_alloc_req next;
	int err;
} __attribute__((aligned(128)));

struct growing {
	struct mbfs_alloc *a;
	struct member *members;
	uint64_t pause_ns;
	uint64_t grown; /* groups */
	rt_u32 stop;
	int err;
};

/* Give the oldest block back, or get one: that counts. */
static bool give_or_take(void *arg, unsigned idx)
{
	struct growing *g = arg;
	struct member *m = &g->members[idx];
	struct mbfs_run *slot = &m->ring[m->at];
	int err;

	if (slot->len) {
		err = mbfs_alloc_free(g->a, NULL, slot);
		slot->len = 0;
	} else {
		err = mbfs_alloc_blocks(g->a, m->file, &m->next, NULL, slot);
		m->at = (m->at + 1) % RING;
		m->next.lblk++;
		m->next.file_blks = m->next.lblk;
		m->next.goal = slot->start + 1;
	}
	m->err = m->err ? m->err : err;
	return slot->len > 0;
}

static void grower_main(void *arg)
{
	struct growing *g = arg;
	mbfs_blk_t blk_nr = (mbfs_blk_t)GROUPS * GROUP_BLKS;
	uint64_t due = rt_now_ns();
	struct mbfs_diag diag;

	while (!g->err && !rt_u32_read(&g->stop) && blk_nr < blks_max) {
		uint64_t now = rt_now_ns();

		if (now < due) {
			rt_sleep_ns(due - now);
			continue;
		}
		due += g->pause_ns;
		blk_nr += GROUP_BLKS;
		g->err = mbfs_alloc_grow(g->a, blk_nr, 0, &diag);
		g->grown++;
	}
}

static int files_open(struct growing *g, unsigned nr)
{
	int err = 0;

	for (unsigned i = 0; !err && i < nr; i++) {
		g->members[i].next = (struct mbfs_alloc_req){ .len = 1, .flags = MBFS_ALLOC_DATA };
		err = mbfs_alloc_file_open(g->a, 100 + i, &g->members[i].file);
	}
	return err;
}

/* What each holds is given back; the first error of all. */
static int files_close(struct growing *g, unsigned nr)
{
	int err = g->err;

	for (unsigned i = 0; i < nr; i++) {
		struct member *m = &g->members[i];

		for (unsigned k = 0; !m->err && k < RING; k++)
			if (m->ring[k].len)
				m->err = mbfs_alloc_free(g->a, NULL, &m->ring[k]);
		if (m->file)
			mbfs_alloc_file_close(m->file);
		err = err ? err : m->err;
	}
	return err;
}

static int bout(struct growing *g, enum race_growth how, unsigned threads, uint64_t run_ns,
		struct race_pace *out)
{
	const struct race_bout b = {
		.threads = threads, .run_ns = run_ns, .ops = 1, .batch = give_or_take, .arg = g
	};
	struct rt_thread *t = NULL;
	uint64_t from = rt_now_ns();
	int err = 0;

	if (how != RACE_GROWTH_NONE)
		err = rt_thread_start(grower_main, g, "grower", &t);
	if (err)
		return err;
	err = race_bout_run(&b, out);
	rt_u32_set(&g->stop, 1);
	if (t)
		rt_thread_join(t);
	out->grown_per_s = (double)g->grown * 1e9 / (double)(rt_now_ns() - from);
	return err;
}

int race_growth_measure(enum race_growth how, unsigned threads, uint64_t run_ns,
			struct race_pace *out)
{
	const struct mbfs_alloc_shape shape = {
		.blk_nr = (mbfs_blk_t)GROUPS * GROUP_BLKS, .blks_per_grp = GROUP_BLKS,
		.block_bytes = 4096, .log_grps_per_flex = 4,
	};
	struct growing g = { .pause_ns = how == RACE_GROWTH_PACED ? PACE_NS : 0 };
	struct mbfs_alloc_tune tune;
	struct mbfs_diag diag;
	int err, closed;

	mbfs_alloc_tune_default(&tune);
	g.members = rt_zalloc_aligned(128, threads * sizeof(*g.members));
	err = g.members ? mbfs_alloc_open_mem(&shape, &tune, &diag, &g.a) : -ENOMEM;
	if (!err) {
		err = files_open(&g, threads);
		if (!err)
			err = bout(&g, how, threads, run_ns, out);
		closed = files_close(&g, threads);
		err = err ? err : closed;
		mbfs_alloc_close(g.a);
	}
	rt_free(g.members);
	if (!err && how != RACE_GROWTH_NONE && !g.grown)
		err = -EILSEQ;
	return err;
}
