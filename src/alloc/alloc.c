// SPDX-License-Identifier: GPL-2.0-only
/*
 * The multi-block allocator: entry, opening and closing.
 *
 * Three numbers describe every block that no file has:
 *
 *   free in the counter     clear in the disk bitmap; claim.c
 *   free in the buddy       can be found by scan.c
 *   in a PA                 free in the counter, used in the buddy: prealloc.c
 *
 *   (1) per group: buddy used bits = disk bitmap + unused blocks of PAs
 *   (2) whole: free counter = clear bits of the disk bitmaps; claimable = free counter - claimed
 *   (3) a PA's blocks are free to everyone but hidden
 *
 *   operation            counter      buddy       PAs
 *   claim n              claimed +n   -           -
 *   take from the buddy  free -n      -n-k        +k (k: kept for the next request)
 *   take from a PA       free -n      -           -n
 *   discard a PA         -            +k          -k
 *   free n               free +n      +n          -        (buddy first, then claimable)
 *
 * So a claim can succeed while every buddy is empty: the blocks are in PAs, or on their way between
 * a PA and a buddy. What happens then is the ENOSPC variant's decision (enospc/): sweep PAs, retry,
 * give up, wait. A claim is exact, so giving up after one is always a lie, and is counted as
 * false_enospc.
 *
 * A call: claim -> PA? -> normalise -> scan (criteria; marks used and publishes the rest as a PA in
 * one lock hold) -> or discard and again -> give the unused part of the claim back.
 *
 * Who runs with whom: everything with everything. Two users of one group: its lock. Users and
 * discarders of one PA: busy and deleted under its lock. Readers of counters and indexes look
 * without a lock and look again under it. Lock paths: LG -> PA; PA_TREE -> PA; GROUP_LOAD ->
 * (store); GROUP -> PA; GROUP -> (store: GDESC, BUF, CACHE). No lock is common to all groups on
 * this path; near full the claim counter is one atomic. No lock is held while waiting, nor at a
 * widen point that sleeps.
 */
#include "alloc/alloc_priv.h"

#include <errno.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/bits.h"
#include "base/check.h"
#include "rt/mem.h"

static const char *const point_names[MBFS_POINT_NR] = {
	[MBFS_POINT_CLAIM_SCAN] = "claim-scan",
	[MBFS_POINT_MARK_PUBLISH] = "mark-publish",
	[MBFS_POINT_PA_BUSY] = "pa-busy",
	[MBFS_POINT_SCAN_DISCARD] = "scan-discard",
	[MBFS_POINT_DETACH_FREE] = "detach-free",
	[MBFS_POINT_DELETED_FREE] = "deleted-free",
	[MBFS_POINT_GROW_FILL] = "grow-fill",
	[MBFS_POINT_FIND_USE] = "find-use",
};

const char *mbfs_alloc_point_name(enum mbfs_alloc_point point)
{
	return (unsigned)point < MBFS_POINT_NR ? point_names[point] : NULL;
}

void alloc_point_held(struct mbfs_alloc *a, enum mbfs_alloc_point point)
{
	if (a->tune.at_point)
		a->tune.at_point(a->tune.hook_arg, point);
	else
		rt_sleep_ns(a->tune.widen_us[point] * 1000ull);
}

/*
 * The change that made blocks available came before, the look at waiters_nr comes after; the fence
 * between pairs with the waiter's seq_cst increment of waiters_nr before it takes its key and looks
 * again. One of the two sees the other.
 */
void alloc_notify(struct mbfs_alloc *a)
{
	rt_fence();
	if (rt_u32_read(&a->waiters_nr) > 0)
		rt_event_signal(&a->arrive);
}

/* ---- one call ---- */

static bool keeps_rest(const struct alloc_ctx *ac)
{
	return ac->want_len > ac->len;
}

/* One pass over PAs and groups. 0, -ENOSPC, -ENOMEM. */
static int alloc_pass(struct alloc_ctx *ac)
{
	int err;

	stat_add(ac->a, ac->cpu, STAT_PASSES, 1);
	if (pa_use(ac))
		return 0;
	normalize(ac);
	if (keeps_rest(ac)) {
		ac->new_pa = pa_make(ac);
		if (!ac->new_pa)
			return -ENOMEM;
	}
	err = scan(ac);
	if (!err && ac->found > ac->got.len) {
		pa_publish_late(ac);
		pa_container_add(ac);
	}
	pa_unmake(ac->new_pa);
	ac->new_pa = NULL;
	return err;
}

/* Nothing found: discard, and ask the variant. */
static bool should_retry(struct alloc_ctx *ac)
{
	const struct enospc_policy *policy = ac->a->policy;
	uint32_t freed = 0;
	bool busy;

	if (ac->req->flags & MBFS_ALLOC_GOAL_ONLY)
		return false;
	ac->waited = true;
	if (policy->passes_max && ac->enospc.passes >= policy->passes_max) {
		stat_add(ac->a, ac->cpu, STAT_CAP_HITS, 1);
		return false;
	}
	alloc_point(ac->a, MBFS_POINT_SCAN_DISCARD);
	for (unsigned i = 0; i < policy->sweeps_max && freed == 0; i++) {
		busy = false;
		freed = discard_all(ac, ac->len, &busy);
		if (!busy)
			break;
	}
	/* A run of all of it: what was freed may be enough, or fragments; no claim promises it.
	 * The historic variants do not know such requests and decide as for any. */
	if ((ac->req->flags & MBFS_ALLOC_CONTIG) && policy->pub.holds)
		return freed > 0;
	if (!policy->retry(ac, freed, busy))
		return false;
	stat_add(ac->a, ac->cpu, STAT_RETRIES, 1);
	return true;
}

static int alloc_claimed(struct alloc_ctx *ac)
{
	const struct enospc_policy *policy = ac->a->policy;
	int err;

	alloc_point(ac->a, MBFS_POINT_CLAIM_SCAN);
	do {
		ac->load_err = 0;
		ac->enospc.passes++;
		if (policy->sample)
			policy->sample(ac);
		err = alloc_pass(ac);
	} while (err == -ENOSPC && should_retry(ac));
	if (policy->done)
		policy->done(ac);
	/* Nothing in the groups that can be read: the one that cannot is the reason. */
	if (err == -ENOSPC && ac->load_err)
		err = ac->load_err;
	return err;
}

/* As much as can be claimed, halving; 0: not one block. */
static uint32_t claim_most(struct alloc_ctx *ac)
{
	bool root = ac->req->flags & MBFS_ALLOC_ROOT;
	uint32_t len = ac->req->len;

	if (len > ac->a->shape.blks_per_grp)
		len = ac->a->shape.blks_per_grp;
	while (len > 0 && !claim_take(ac->a, ac->cpu, len, root))
		len = ac->req->flags & MBFS_ALLOC_CONTIG ? 0 : len / 2;
	return len;
}

static void count_slow(struct alloc_ctx *ac, uint64_t ns)
{
	struct mbfs_alloc *a = ac->a;
	unsigned bucket = ns ? order_floor(ns) : 0;
	uint64_t max = rt_u64_read(&a->slow_max_ns);

	stat_add(a, ac->cpu, STAT_SLOW, 1);
	stat_add(a, ac->cpu, STAT_SLOW_HIST + (bucket < MBFS_HIST_NR ? bucket : MBFS_HIST_NR - 1),
		 1);
	while (ns > max && !rt_u64_cas(&a->slow_max_ns, &max, ns))
		;
}

static void count_enospc(struct alloc_ctx *ac)
{
	struct mbfs_alloc *a = ac->a;
	bool own_limit = ac->req->flags & (MBFS_ALLOC_CONTIG | MBFS_ALLOC_GOAL_ONLY);

	stat_add(a, ac->cpu, STAT_ENOSPC, 1);
	/* The oracle: the claim was exact, so the blocks are there. Only a request's own limits, or
	 * blocks lost with a fenced group, make it true. */
	if (ac->len > 0 && !own_limit && rt_u32_read(&a->bad_nr) == 0)
		stat_add(a, ac->cpu, STAT_FALSE_ENOSPC, 1);
}

/* One claim, and what comes of it. */
static int alloc_once(struct alloc_ctx *ac, struct mbfs_run *got)
{
	const struct mbfs_alloc_req *req = ac->req;
	struct mbfs_alloc *a = ac->a;
	uint64_t start_ns = 0;
	int err;

	if ((req->flags & MBFS_ALLOC_CONTIG) && req->len > a->shape.blks_per_grp)
		err = -ENOSPC;
	else
		err = (ac->len = claim_most(ac)) > 0 ? 0 : -ENOSPC;
	if (err) {
		stat_add(a, ac->cpu, STAT_CLAIM_FAILED, 1);
		return err;
	}
	if (rt_u32_read(&a->claim.mode) != 0 || a->tune.widen_us[MBFS_POINT_CLAIM_SCAN])
		start_ns =
			rt_now_ns(); /* far from full nothing is slow, and the clock is not free */
	err = alloc_claimed(ac);
	rt_counter_add(&a->claim.claimed, ac->cpu, -(uint64_t)ac->len);
	if (err) {
		claim_give(a, ac->cpu, ac->len);
	} else {
		MBFS_ASSERT(ac->got.len > 0 && ac->got.len <= ac->len);
		claim_give(a, ac->cpu, ac->len - ac->got.len);
		stat_add(a, ac->cpu, STAT_SUCCESS, 1);
		stat_add(a, ac->cpu, STAT_BLOCKS, ac->got.len);
		*got = ac->got;
	}
	if (start_ns && ac->waited)
		count_slow(ac, rt_now_ns() - start_ns);
	return err;
}

int alloc_claim_and_find(struct mbfs_alloc *a, struct mbfs_alloc_file *f,
			 const struct mbfs_alloc_req *req, struct mbfs_tx *tx, struct mbfs_run *got,
			 bool *claimed)
{
	const uint32_t seen = alloc_grow_seen(a);
	const unsigned cpu = rt_cpu(&a->cpus);
	struct alloc_ctx ac;
	bool again = false;
	int err;

	MBFS_ASSERT(req->len > 0 && (uint64_t)req->lblk + req->len <= 1ull << 32);
	rt_rank_assert_below(RANK_LG);
	stat_add(a, cpu, STAT_REQS, 1);
	do { /* again, once, if space has been added meanwhile */
		ac = (struct alloc_ctx){ .a = a, .file = f, .req = req, .tx = tx, .cpu = cpu };
		err = alloc_once(&ac, got);
	} while (err == -ENOSPC && !again && !(req->flags & MBFS_ALLOC_GOAL_ONLY) &&
		 (again = alloc_grew(a, seen)));
	if (err == -ENOSPC)
		count_enospc(&ac);
	*claimed = ac.len > 0;
	return err;
}

int mbfs_alloc_blocks(struct mbfs_alloc *a, struct mbfs_alloc_file *f,
		      const struct mbfs_alloc_req *req, struct mbfs_tx *tx, struct mbfs_run *got)
{
	bool claimed;

	return alloc_claim_and_find(a, f, req, tx, got, &claimed);
}

/* ---- files ---- */

int mbfs_alloc_file_open(struct mbfs_alloc *a, uint64_t id, struct mbfs_alloc_file **out)
{
	struct mbfs_alloc_file *f = rt_zalloc(sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->a = a;
	f->id = id;
	RB_INIT(&f->pas);
	rt_spin_init(&f->lock, RANK_PA_TREE);
	*out = f;
	return 0;
}

void mbfs_alloc_file_discard(struct mbfs_alloc_file *f)
{
	discard_file(f);
}

void mbfs_alloc_file_close(struct mbfs_alloc_file *f)
{
	discard_file(f);
	pa_owner_wait(f); /* others may be taking PAs of it apart */
	rt_spin_destroy(&f->lock);
	rt_free(f);
}

/* ---- open and close ---- */

void mbfs_alloc_tune_default(struct mbfs_alloc_tune *tune)
{
	*tune = (struct mbfs_alloc_tune){
		.enospc = "claim-wait",
		.group_prealloc = 512,
		.stream_req = 16,
		.order2_req = 2,
		.max_to_scan = 200,
		.min_to_scan = 10,
		.best_avail_max_trim_order = 3,
	};
}

static int shape_check(const struct mbfs_alloc_shape *s, struct mbfs_diag *diag)
{
	if (s->block_bytes < 1024 || s->block_bytes > 65536 ||
	    (s->block_bytes & (s->block_bytes - 1)))
		return diag_set(diag, -EINVAL,
				"block size %u: use a power of two from 1024 to 65536",
				s->block_bytes);
	if (s->blks_per_grp < 8 || s->blks_per_grp % 8 || s->blks_per_grp > 8 * s->block_bytes)
		return diag_set(diag, -EINVAL, "%u blocks per group: use a multiple of 8 up to %u",
				s->blks_per_grp, 8 * s->block_bytes);
	if (s->blk_nr <= s->first_blk || s->first_blk > 1 || s->blk_nr >> 48)
		return diag_set(diag, -EINVAL, "%llu blocks from block %u on: no such device",
				(unsigned long long)s->blk_nr, s->first_blk);
	if (div_up(s->blk_nr - s->first_blk, s->blks_per_grp) > UINT32_MAX)
		return diag_set(diag, -EINVAL, "more than 2^32 groups");
	return 0;
}

static int tune_check(const struct mbfs_alloc_tune *t, struct mbfs_diag *diag)
{
	if (!t->enospc || !enospc_find(t->enospc))
		return diag_set(diag, -EINVAL,
				"enospc=%s: no such variant; mbfs-race list shows them",
				t->enospc ? t->enospc : "");
	if (t->resize && !mbfs_resize_variant_find(t->resize))
		return diag_set(diag, -EINVAL,
				"resize=%s: no such variant; mbfs-race list shows them", t->resize);
	if (t->cpus > RT_CPUS_MAX)
		return diag_set(diag, -EINVAL, "cpus=%u: use 0 (the real ones) to %d", t->cpus,
				RT_CPUS_MAX);
	if (t->group_prealloc == 0)
		return diag_set(diag, -EINVAL, "mb_group_prealloc=0: use at least 1");
	if (t->order2_req > ORDER_MAX || t->best_avail_max_trim_order > ORDER_MAX)
		return diag_set(diag, -EINVAL,
				"mb_order2_req, mb_best_avail_max_trim_order: use 0 to %d",
				ORDER_MAX);
	return 0;
}

static void alloc_release(struct mbfs_alloc *a)
{
	kvfree_close(a->dead_pas);
	rt_counter_destroy(&a->seq);
	rt_counter_destroy(&a->begin);
	rt_counter_destroy(&a->end);
	groups_close(a);
	rt_free(a->lgs);
	rt_free(a->stats);
	rt_free(a);
}

static int per_cpu_open(struct mbfs_alloc *a)
{
	unsigned nr = rt_cpus_nr(&a->cpus);

	a->stats = rt_zalloc_aligned(RT_SLOT_BYTES, nr * sizeof(*a->stats));
	a->lgs = rt_zalloc_aligned(RT_SLOT_BYTES, nr * sizeof(*a->lgs));
	if (!a->stats || !a->lgs || rt_counter_init(&a->seq, &a->cpus) ||
	    rt_counter_init(&a->begin, &a->cpus) || rt_counter_init(&a->end, &a->cpus))
		return -ENOMEM;
	for (unsigned i = 0; i < nr; i++) {
		rt_spin_init(&a->lgs[i].lock, RANK_LG);
		for (unsigned k = 0; k < LG_LIST_NR; k++)
			TAILQ_INIT(&a->lgs[i].lists[k]);
	}
	return 0;
}

/* 6.17: min(CPUs, groups / 4) goals, of the groups that there are at first. */
static unsigned stream_nr(const struct mbfs_alloc *a)
{
	const struct mbfs_alloc_shape *s = &a->shape;
	uint64_t nr = div_up(s->blk_nr - s->first_blk, s->blks_per_grp) / 4;

	if (rt_cpus_nr(&a->cpus) < nr)
		nr = rt_cpus_nr(&a->cpus);
	return nr < 1 ? 1 : nr > STREAM_GOAL_MAX ? STREAM_GOAL_MAX : (unsigned)nr;
}

int mbfs_alloc_open(const struct mbfs_alloc_shape *shape, const struct mbfs_alloc_tune *tune,
		    const struct mbfs_alloc_store_ops *store, void *store_ctx,
		    struct mbfs_diag *diag, struct mbfs_alloc **out)
{
	struct mbfs_alloc *a;
	int err = shape_check(shape, diag);

	if (!err)
		err = tune_check(tune, diag);
	if (err)
		return err;
	a = rt_zalloc_aligned(__alignof__(*a), sizeof(*a));
	if (!a)
		return diag_set(diag, -ENOMEM, "out of memory");
	a->shape = *shape;
	a->tune = *tune;
	a->policy = enospc_find(tune->enospc);
	a->tune.enospc = a->policy->pub.name;
	a->store = store;
	a->store_ctx = store_ctx;
	a->order_nr = order_floor(shape->block_bytes) + 2;
	rt_cpus_init(&a->cpus, tune->cpus);
	rt_event_init(&a->arrive);
	rt_event_init(&a->grow.ended);
	a->stream_nr = stream_nr(a);
	err = per_cpu_open(a);
	if (!err)
		err = pa_graveyard_open(a);
	if (!err)
		err = groups_open(a);
	if (!err)
		err = rt_rcu_worker_start(); /* frees PAs that lie about */
	if (err) {
		alloc_release(a);
		return diag_set(diag, err, "%s%s",
				err == -EAGAIN ? "no thread could be started: " : "",
				err == -ENOMEM ? "out of memory" : strerror(-err));
	}
	*out = a;
	return 0;
}

void mbfs_alloc_close(struct mbfs_alloc *a)
{
	if (!a)
		return;
	for (unsigned i = 0; i < rt_cpus_nr(&a->cpus); i++)
		for (unsigned k = 0; k < LG_LIST_NR; k++)
			discard_lg(a, i, k, 0);
	rt_rcu_worker_stop();
	if (a->store_close)
		a->store_close(a->store_ctx);
	alloc_release(a);
}
