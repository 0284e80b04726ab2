/* SPDX-License-Identifier: GPL-2.0-only */
/* t_alloc.h - an allocator on plain memory, and files on it that remember their runs. */
#ifndef TESTS_SUPPORT_T_ALLOC_H
#define TESTS_SUPPORT_T_ALLOC_H

#include <mbfs/alloc.h>

#include "support/t.h"

struct t_file {
	struct mbfs_alloc_file *f;
	struct mbfs_run *runs;
	unsigned run_nr, run_max;
	uint64_t blks; /* allocated, from file block 0 on */
};

/* Never fails: ck_assert inside. @blks 0: the default of 64 MiB. */
struct mbfs_alloc *t_alloc(const char *variant, uint32_t block_bytes, uint64_t blks,
			   uint32_t per_grp, uint32_t first_blk, unsigned cpus);
void t_alloc_ok(struct mbfs_alloc *a);	  /* mbfs_alloc_check() */
void t_alloc_close(struct mbfs_alloc *a); /* checks first */

void t_file_open(struct mbfs_alloc *a, uint64_t id, struct t_file *out);
/* Up to @len blocks at the end of the file, as the file system asks; the error, or 0. */
int t_file_grow(struct mbfs_alloc *a, struct t_file *f, uint32_t len, unsigned flags);
void t_file_free(struct mbfs_alloc *a, struct t_file *f); /* its blocks; it stays open */
void t_file_close(struct mbfs_alloc *a, struct t_file *f);

#endif
