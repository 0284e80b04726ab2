// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_alloc.h"

#include <string.h>

struct mbfs_alloc *t_alloc(const char *variant, uint32_t block_bytes, uint64_t blks,
			   uint32_t per_grp, uint32_t first_blk, unsigned cpus)
{
	struct mbfs_alloc_shape shape = {
		.blk_nr = (blks ? blks : (64u << 20) / block_bytes) + first_blk,
		.first_blk = first_blk,
		.blks_per_grp = per_grp,
		.block_bytes = block_bytes,
	};
	struct mbfs_diag diag = { { 0 } };
	struct mbfs_alloc_tune tune;
	struct mbfs_alloc *a;
	int err;

	mbfs_alloc_tune_default(&tune);
	tune.enospc = variant;
	tune.cpus = cpus;
	err = mbfs_alloc_open_mem(&shape, &tune, &diag, &a);
	ck_assert_msg(err == 0, "%s", diag.text);
	return a;
}

void t_alloc_ok(struct mbfs_alloc *a)
{
	struct mbfs_diag diag = { { 0 } };
	int err = mbfs_alloc_check(a, &diag);

	ck_assert_msg(err == 0, "%s", diag.text);
}

void t_alloc_close(struct mbfs_alloc *a)
{
	t_alloc_ok(a);
	mbfs_alloc_close(a);
}

void t_file_open(struct mbfs_alloc *a, uint64_t id, struct t_file *out)
{
	memset(out, 0, sizeof(*out));
	ck_assert_int_eq(mbfs_alloc_file_open(a, id, &out->f), 0);
}

int t_file_grow(struct mbfs_alloc *a, struct t_file *f, uint32_t len, unsigned flags)
{
	struct mbfs_alloc_req req = {
		.lblk = (mbfs_lblk_t)f->blks,
		.len = len,
		.file_blks = f->blks,
		.flags = flags,
	};
	struct mbfs_run got;
	int err;

	if (f->run_nr > 0) {
		const struct mbfs_run *last = &f->runs[f->run_nr - 1];

		req.lleft = req.lblk - 1;
		req.pleft = last->start + last->len - 1;
		req.goal = req.pleft + 1;
	}
	err = mbfs_alloc_blocks(a, f->f, &req, NULL, &got);
	if (err)
		return err;
	ck_assert_uint_ge(got.len, 1);
	ck_assert_uint_le(got.len, len);
	if (f->run_nr == f->run_max) {
		f->run_max = f->run_max ? 2 * f->run_max : 16;
		f->runs = realloc(f->runs, f->run_max * sizeof(f->runs[0]));
		ck_assert_ptr_nonnull(f->runs);
	}
	f->runs[f->run_nr++] = got;
	f->blks += got.len;
	return 0;
}

void t_file_free(struct mbfs_alloc *a, struct t_file *f)
{
	mbfs_alloc_file_discard(f->f);
	for (unsigned i = 0; i < f->run_nr; i++)
		ck_assert_int_eq(mbfs_alloc_free(a, NULL, &f->runs[i]), 0);
	f->run_nr = 0;
	f->blks = 0;
}

void t_file_close(struct mbfs_alloc *a, struct t_file *f)
{
	t_file_free(a, f);
	mbfs_alloc_file_close(f->f);
	free(f->runs);
	memset(f, 0, sizeof(*f));
}
