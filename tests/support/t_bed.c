/* SPDX-License-Identifier: GPL-2.0-only */
#include "support/t_bed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "rt/mem.h"

/* What the twins know of one inode; the table on disk is this array. */
struct bed_inode {
	struct inode *in; /* NULL: not in use */
	mbfs_blk_t *map;
	bool *written;
	uint32_t map_nr;
	bool orphan;
};

struct t_bed bed;
static struct bed_inode inodes[T_BED_INODES];
static uint8_t *used; /* a byte per block */
static uint64_t fail_countdown;
static int fail_err;
static bool fail_struck;

/* Fuzz targets run without Check: a failure is an abort everywhere. */
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __LINE__))

static _Noreturn void must_failed(const char *cond, int line)
{
	fprintf(stderr, "t_bed.c:%d: not so: %s\n", line, cond);
	abort();
}

static int may_fail(void)
{
	if (!fail_countdown || --fail_countdown)
		return 0;
	fail_struck = true;
	return fail_err;
}

void t_bed_fail_at(uint64_t n, int err)
{
	fail_countdown = n;
	fail_err = err;
	fail_struck = false;
}

bool t_bed_fail_struck(void)
{
	return fail_struck;
}

/* ---- allocator ---- */

int mbfs_alloc_blocks(struct mbfs_alloc *a, struct mbfs_alloc_file *f,
		      const struct mbfs_alloc_req *req, struct mbfs_tx *tx, struct mbfs_run *got)
{
	int err = may_fail();

	(void)a, (void)f, (void)req, (void)tx;
	if (err)
		return err;
	for (mbfs_blk_t b = 16; b < bed.geo.blk_nr; b++) {
		if (!used[b]) {
			used[b] = 1;
			*got = (struct mbfs_run){ b, 1 };
			return 0;
		}
	}
	return -ENOSPC;
}

int mbfs_alloc_free(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run)
{
	int err = may_fail();

	(void)a, (void)tx;
	if (err)
		return err;
	for (uint32_t i = 0; i < run->len; i++) {
		if (run->start + i >= bed.geo.blk_nr || !used[run->start + i])
			return -EUCLEAN;
		used[run->start + i] = 0;
	}
	return 0;
}

/* What is freed late is free at once here: nothing crashes. */
int alloc_blocks(struct mbfs_alloc *a, struct mbfs_alloc_file *f, const struct mbfs_alloc_req *req,
		 struct mbfs_tx *tx, struct mbfs_run *got)
{
	return mbfs_alloc_blocks(a, f, req, tx, got);
}

int alloc_free_late_ready(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run)
{
	(void)a, (void)tx;
	for (uint32_t i = 0; i < run->len; i++)
		if (run->start + i >= bed.geo.blk_nr || !used[run->start + i])
			return -EUCLEAN;
	return may_fail();
}

void alloc_free_late(struct mbfs_alloc *a, struct mbfs_tx *tx, const struct mbfs_run *run,
		     bool is_meta)
{
	uint64_t countdown = fail_countdown;

	if (is_meta)
		buf_forget(bed.env.bufs, tx, run->start, run->len);
	fail_countdown = 0;
	must(!mbfs_alloc_free(a, tx, run));
	fail_countdown = countdown;
}

uint64_t t_bed_free_blks(void)
{
	uint64_t n = 0;

	for (mbfs_blk_t b = 16; b < bed.geo.blk_nr; b++)
		n += !used[b];
	return n;
}

/* ---- extents ---- */

static struct bed_inode *of_tree(const struct extent_tree *t)
{
	return &inodes[t->ino];
}

void t_bed_map(struct inode *in, mbfs_lblk_t lblk, mbfs_blk_t blk)
{
	struct bed_inode *b = &inodes[in->ino];

	if (lblk >= b->map_nr) {
		uint32_t nr = (lblk + 1) * 2;

		b->map = realloc(b->map, nr * sizeof(*b->map));
		b->written = realloc(b->written, nr * sizeof(*b->written));
		for (uint32_t i = b->map_nr; i < nr; i++)
			b->map[i] = 0, b->written[i] = false;
		b->map_nr = nr;
	}
	b->map[lblk] = blk;
	b->written[lblk] = blk != 0;
}

mbfs_blk_t t_bed_blk(const struct inode *in, mbfs_lblk_t lblk)
{
	const struct bed_inode *b = &inodes[in->ino];

	return lblk < b->map_nr ? b->map[lblk] : 0;
}

int extent_map(struct extent_tree *t, mbfs_lblk_t lblk, uint32_t max_len, struct extent_map *out)
{
	const struct bed_inode *b = of_tree(t);
	mbfs_blk_t blk = lblk < b->map_nr ? b->map[lblk] : 0;
	int err = may_fail();

	(void)max_len;
	if (err)
		return err;
	*out = (struct extent_map){ lblk, 1, blk,
				    !blk               ? EXTENT_HOLE
				    : b->written[lblk] ? EXTENT_WRITTEN
						       : EXTENT_UNWRITTEN };
	return 0;
}

int extent_allocate(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t max_len,
		    uint64_t file_blks, unsigned flags, struct extent_map *out, uint32_t *blks)
{
	struct mbfs_run run;
	int err = extent_map(t, lblk, max_len, out);

	(void)file_blks, (void)flags;
	*blks = 0;
	if (err || out->state != EXTENT_HOLE)
		return err;
	err = mbfs_alloc_blocks(NULL, NULL, NULL, tx, &run);
	if (err)
		return err;
	t_bed_map(inodes[t->ino].in, lblk, run.start);
	inodes[t->ino].written[lblk] = false;
	*blks = 1;
	*out = (struct extent_map){ lblk, 1, run.start, EXTENT_UNWRITTEN };
	return 0;
}

int extent_convert(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint32_t len)
{
	int err = may_fail();

	(void)tx;
	for (uint32_t i = 0; i < len && !err; i++)
		of_tree(t)->written[lblk + i] = true;
	return err;
}

int extent_remove(struct extent_tree *t, struct mbfs_tx *tx, mbfs_lblk_t lblk, uint64_t end,
		  uint64_t *next, uint64_t *freed_blks)
{
	struct bed_inode *b = of_tree(t);

	*freed_blks = 0;
	for (*next = lblk; *next < end && *next < b->map_nr; ++*next) {
		struct mbfs_run run = { b->map[*next], 1 };
		int err;

		if (!run.start)
			continue;
		buf_forget(bed.env.bufs, tx, run.start, 1);
		err = mbfs_alloc_free(NULL, tx, &run);
		if (err)
			return err;
		b->map[*next] = 0;
		++*freed_blks;
	}
	*next = end;
	return 0;
}

/* ---- inodes ---- */

static int table_verify(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
			const uint8_t *data, uint32_t bytes)
{
	(void)ctx, (void)owner, (void)blk, (void)data, (void)bytes;
	return 0;
}
const struct buf_kind itable_kind = { "inode table block", table_verify, NULL };

/* All inodes are in block 1, as far as anyone can tell. */
int ialloc_locate(struct inode_env *env, mbfs_ino_t ino, mbfs_blk_t *blk, uint32_t *off_bytes)
{
	(void)env, (void)ino;
	*blk = 1;
	*off_bytes = 0;
	return 0;
}

/* As the real one: it fails only if the table block is not in memory. */
int inode_dirty(struct inode *in, struct mbfs_tx *tx)
{
	const struct buf_owner nobody = { 0 };
	struct buf *b;
	int err = buf_get(bed.env.bufs, 1, &itable_kind, &nobody, &b);

	(void)in;
	if (err)
		return err;
	tx_dirty(tx, b);
	buf_put(b);
	return 0;
}

void inode_add_blocks(struct inode *in, int64_t blks)
{
	rt_mutex_lock(&in->fields);
	in->blocks_512 += (uint64_t)(blks * (int64_t)(bed.geo.block_bytes / 512));
	rt_mutex_unlock(&in->fields);
}

void inode_now(struct timespec *ts)
{
	uint32_t nsec;
	int64_t sec;

	rt_wall(&sec, &nsec);
	*ts = (struct timespec){ sec, nsec };
}

static void inode_fresh(struct inode *in, mbfs_ino_t ino, mode_t mode)
{
	in->env = &bed.env;
	in->ino = ino;
	in->mode = mode;
	in->type = mode & S_IFMT;
	in->gen = ino * 7;
	in->tree.ino = ino;
	in->tree.mapped = true;
	in->extra_isize = bed.geo.inode_bytes > 128 ? 32 : 0;
	in->flags = S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) ? INODE_FL_EXTENTS : 0;
	rt_rwlock_init(&in->rw, RANK_INODE);
	rt_mutex_init(&in->fields, RANK_INODE_FIELDS);
	rt_mutex_init(&in->xattr_lock, RANK_XATTR);
	rt_rwlock_init(&in->tree.lock, RANK_EXTENT);
	rt_u32_set(&in->ref, 1);
}

int inode_new(struct inode_env *env, mbfs_ino_t ino, mode_t mode, struct inode **out)
{
	struct inode *in = calloc(1, sizeof(*in));
	int err = may_fail();

	(void)env;
	if (err) {
		free(in);
		return err;
	}
	in->raw = calloc(1, bed.geo.inode_bytes);
	inode_fresh(in, ino, mode);
	inodes[ino].in = in;
	*out = in;
	return 0;
}

int inode_get(struct inode_env *env, mbfs_ino_t ino, struct inode **out)
{
	int err = may_fail();

	(void)env;
	if (err)
		return err;
	if (ino >= T_BED_INODES || !inodes[ino].in)
		return -ESTALE;
	inode_hold(inodes[ino].in);
	*out = inodes[ino].in;
	return 0;
}

void inode_hold(struct inode *in)
{
	rt_u32_add(&in->ref, 1);
}

static void inode_free(struct inode *in)
{
	mbfs_ino_t ino = in->ino;

	rt_rwlock_destroy(&in->rw);
	rt_mutex_destroy(&in->fields);
	rt_mutex_destroy(&in->xattr_lock);
	rt_rwlock_destroy(&in->tree.lock);
	free(in->raw);
	free(in);
	free(inodes[ino].map);
	free(inodes[ino].written);
	inodes[ino] = (struct bed_inode){ 0 };
}

void inode_put(struct inode *in)
{
	uint64_t next, freed, countdown = fail_countdown;
	struct mbfs_tx *tx;

	if (rt_u32_add_return(&in->ref, UINT32_MAX) || in->nlink)
		return;
	/* What frees an unlinked inode is not under test; a planned fault strikes it once at most.
	 */
	fail_countdown = 0;
	if (tx_start(bed.env.log, 50, &tx))
		must(!tx_start(bed.env.log, 50, &tx));
	must(!extent_remove(&in->tree, tx, 0, 1ull << 32, &next, &freed));
	if (xattr_free_all(in, tx))
		must(!xattr_free_all(in, tx));
	tx_stop(tx);
	inode_free(in);
	fail_countdown = countdown;
}

int ialloc_new(struct inode_env *env, struct mbfs_tx *tx, const struct inode *parent, mode_t mode,
	       mbfs_ino_t *out)
{
	int err = may_fail();

	(void)env, (void)tx, (void)parent, (void)mode;
	if (err)
		return err;
	for (mbfs_ino_t ino = 11; ino < T_BED_INODES; ino++) {
		if (!inodes[ino].in) {
			*out = ino;
			return 0;
		}
	}
	return -ENOSPC;
}

int ialloc_free(struct inode_env *env, struct mbfs_tx *tx, mbfs_ino_t ino, bool is_dir)
{
	(void)env, (void)tx, (void)ino, (void)is_dir;
	return 0;
}

/* For who is on the list it cannot fail. */
int orphan_add(struct inode *in, struct mbfs_tx *tx)
{
	int err = inodes[in->ino].orphan ? 0 : may_fail();

	(void)tx;
	if (!err)
		inodes[in->ino].orphan = true;
	return err;
}

int file_truncate(struct inode *in, uint64_t size_bytes)
{
	in->size_bytes = size_bytes;
	return 0;
}

uint32_t t_bed_inodes_used(void)
{
	uint32_t n = 0;

	for (mbfs_ino_t ino = 0; ino < T_BED_INODES; ino++)
		n += inodes[ino].in != NULL;
	return n;
}

struct inode *t_bed_inode(mbfs_ino_t ino)
{
	return ino < T_BED_INODES ? inodes[ino].in : NULL;
}

/* ---- the bed ---- */

static void caches_open(const struct mbfs_fault_plan *plan)
{
	static const struct mbfs_fault_plan none;

	must(!mbfs_bdev_open_fault(bed.mem, plan ? plan : &none, &bed.dev));
	must(!buf_cache_open(bed.dev, bed.geo.block_bytes, &bed.geo, 1 << 20, &bed.env.bufs));
	must(!txlog_open(bed.env.bufs, &bed.env.log));
	bed.env.dev = bed.dev;
}

static void caches_close(void)
{
	txlog_close(bed.env.log);
	buf_cache_close(bed.env.bufs);
	mbfs_bdev_close(bed.dev);
}

void t_bed_reopen(const struct mbfs_fault_plan *plan)
{
	/* A planned fault that nothing has hit yet may hit this; it strikes once. */
	if (tx_writeout(bed.env.log))
		must(!tx_writeout(bed.env.log));
	caches_close();
	caches_open(plan);
}

struct inode *t_bed_make(mode_t mode)
{
	struct inode *in;
	mbfs_ino_t ino;

	must(!ialloc_new(&bed.env, NULL, NULL, mode, &ino));
	must(!inode_new(&bed.env, ino, mode, &in));
	in->nlink = S_ISDIR(mode) ? 2 : 1;
	return in;
}

void t_bed_open(const struct t_bed_opts *opts)
{
	struct inode *root;
	struct mbfs_tx *tx;

	bed.geo = (struct mbfs_geo){
		.features = opts->features,
		.block_bytes = opts->block_bytes,
		.block_bits = (uint32_t)__builtin_ctz(opts->block_bytes),
		.blk_nr = opts->blk_nr,
		.blks_per_grp = 8 * opts->block_bytes,
		.inode_nr = 1u << 24,
		.inode_bytes = opts->inode_bytes,
		.csum_seed = 0x12345678,
		.hash_seed = { 1, 2, 3, 4 },
		.def_hash_version = 1,
	};
	bed.env = (struct inode_env){ .geo = &bed.geo };
	used = calloc(1, opts->blk_nr);
	must(!mbfs_bdev_open_mem((uint64_t)opts->blk_nr * opts->block_bytes, &bed.mem));
	caches_open(NULL);
	must(!inode_new(&bed.env, MBFS_ROOT_INO, S_IFDIR | 0755, &root));
	root->nlink = 2;
	must(!tx_start(bed.env.log, 100, &tx));
	must(!dir_init(root, tx, MBFS_ROOT_INO, 0));
	tx_stop(tx);
}

void t_bed_close(void)
{
	for (mbfs_ino_t ino = 0; ino < T_BED_INODES; ino++) {
		if (inodes[ino].in)
			inode_free(inodes[ino].in);
	}
	caches_close();
	mbfs_bdev_close(bed.mem);
	free(used);
	used = NULL;
}

void t_bed_check(void)
{
	uint64_t held = 0;
	uint8_t *seen = calloc(1, bed.geo.blk_nr);

	for (mbfs_ino_t ino = 0; ino < T_BED_INODES; ino++) {
		const struct bed_inode *b = &inodes[ino];
		uint64_t mine = 0;

		if (!b->in)
			continue;
		for (uint32_t i = 0; i < b->map_nr; i++)
			mine += b->map[i] != 0;
		if (b->in->xattr_blk && !seen[b->in->xattr_blk]++)
			held++;
		held += mine;
		mine += b->in->xattr_blk != 0;
		must(b->in->blocks_512 == mine * (bed.geo.block_bytes / 512));
	}
	free(seen);
	must(bed.geo.blk_nr - 16 - t_bed_free_blks() == held);
}
