// SPDX-License-Identifier: GPL-2.0-only
/*
 * What to go for: the request, made larger where a file will probably want more.
 *
 *   file so far and request together      goes for
 *   up to mb_stream_req blocks            what it asks, from a group PA of mb_group_prealloc blocks
 *   up to 1 MiB                           the next power of two, at least 16 KiB
 *   up to 4 MiB, 8 MiB                    the aligned 2 MiB, 4 MiB around it
 *   more, the request up to 8 MiB         the aligned 8 MiB around it
 *   more                                  exactly what it asks
 *
 * The result is clipped to the file's other blocks and PAs and to a group. It always contains the
 * request.
 *
 * fallocate (MBFS_ALLOC_FALLOC) says itself how much there will be: small requests share the group
 * PA as all small ones do (so did the kernel's when the seed of enospc/ was reported), larger ones
 * are taken exactly. Source: fs/ext4/mballoc.c, ext4_mb_normalize_request(),
 * ext4_mb_group_or_file().
 */
#include "alloc/alloc_priv.h"

#include "base/bits.h"
#include "base/check.h"

#define LBLK_END 0xFFFFFFFFull

uint64_t request_end(const struct alloc_ctx *ac)
{
	uint64_t end = (uint64_t)ac->req->lblk + ac->len;

	return end > ac->req->file_blks ? end : ac->req->file_blks;
}

bool request_is_small(const struct alloc_ctx *ac)
{
	return request_end(ac) <= ac->a->tune.stream_req;
}

/* The size to go for, in blocks, and what its start is aligned to. */
static void want_size(const struct alloc_ctx *ac, uint64_t *size, uint64_t *align)
{
	static const struct {
		uint32_t up_to_kib, size_kib;
	} steps[] = { { 4096, 2048 }, { 8192, 4096 } };
	const uint64_t per_mib = (1u << 20) / ac->a->shape.block_bytes;
	uint64_t end = request_end(ac), kib = end * (ac->a->shape.block_bytes / 1024);

	if (kib <= 1024) {
		uint64_t min = 16384 / ac->a->shape.block_bytes;

		*size = 1ull << order_ceil(end);
		*size = *size < min ? min : *size;
		*align = *size;
		return;
	}
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(steps); i++) {
		if (kib <= steps[i].up_to_kib) {
			*size = *align = per_mib * steps[i].size_kib / 1024;
			return;
		}
	}
	if (ac->len <= 8 * per_mib) {
		*size = *align = 8 * per_mib;
		return;
	}
	*size = ac->len;
	*align = 1;
}

/* Keep [*start, *end), which contains the request, off the file's PAs; they do not overlap the
 * request. */
static void clip_to_pas(struct mbfs_alloc_file *f, uint64_t req_start, uint64_t req_end,
			uint64_t *start, uint64_t *end)
{
	struct pa *pa;

	rt_spin_lock(&f->lock);
	pa = RB_ROOT(&f->pas);
	while (pa) {
		uint64_t pa_end = (uint64_t)pa->lblk + pa->len;

		if (pa_end <= req_start) {
			if (pa_end > *start)
				*start = pa_end;
			pa = RB_RIGHT(pa, owner_tree);
		} else if (pa->lblk >= req_end) {
			if (pa->lblk < *end)
				*end = pa->lblk;
			pa = RB_LEFT(pa, owner_tree);
		} else {
			/* It covers part of the request, being taken apart: keep to the request. */
			*start = req_start;
			*end = req_end;
			break;
		}
	}
	rt_spin_unlock(&f->lock);
}

static void want_goal(struct alloc_ctx *ac, uint64_t start, uint64_t end)
{
	const struct mbfs_alloc_req *req = ac->req;
	uint64_t before = req->lblk - start;

	if (req->pleft && (uint64_t)req->lleft + 1 == start)
		ac->want_goal = req->pleft + 1;
	else if (req->pright && req->lright == end && req->pright > end - start)
		ac->want_goal = req->pright - (end - start);
	else
		ac->want_goal = req->goal > before ? req->goal - before : req->goal;
}

void normalize(struct alloc_ctx *ac)
{
	const struct mbfs_alloc_req *req = ac->req;
	uint64_t req_end = (uint64_t)req->lblk + ac->len, size, align, start, end;

	ac->want_lblk = req->lblk;
	ac->want_len = ac->len;
	ac->want_goal = req->goal;
	ac->group_pa = false;
	if (ac->no_hoard || !ac->file || !(req->flags & MBFS_ALLOC_DATA) ||
	    (req->flags & (MBFS_ALLOC_NO_PREALLOC | MBFS_ALLOC_CONTIG | MBFS_ALLOC_GOAL_ONLY)))
		return;
	if (request_is_small(ac)) {
		ac->group_pa = true;
		if (ac->want_len < ac->a->tune.group_prealloc)
			ac->want_len = ac->a->tune.group_prealloc;
		if (ac->want_len > ac->a->shape.blks_per_grp)
			ac->want_len = ac->a->shape.blks_per_grp;
		return;
	}
	if (req->flags & MBFS_ALLOC_FALLOC)
		return;
	want_size(ac, &size, &align);
	start = req->lblk / align * align;
	end = start + size;
	if (end < req_end)
		end = req_end;
	if (end > LBLK_END)
		end = LBLK_END;
	if (req->pleft && req->lleft >= start)
		start = (uint64_t)req->lleft + 1;
	if (req->pright && req->lright < end)
		end = req->lright;
	clip_to_pas(ac->file, req->lblk, req_end, &start, &end);
	if (start > req->lblk || end < req_end)
		return; /* the caller's neighbours overlap its request: take it as it is */
	if (end - start > ac->a->shape.blks_per_grp) {
		start = req->lblk;
		end = start +
		      (ac->len > ac->a->shape.blks_per_grp ? ac->a->shape.blks_per_grp : ac->len);
	}
	ac->want_lblk = (mbfs_lblk_t)start;
	ac->want_len = (uint32_t)(end - start);
	want_goal(ac, start, end);
}
