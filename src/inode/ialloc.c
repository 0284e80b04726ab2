// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inode numbers: the inode bitmaps. Which group is asked is ialloc_find.c's business.
 *
 * Equation, per group: clear bits of the bitmap = free_inodes of the descriptor; every set bit lies
 * below inodes_per_grp - itable_unused, and table blocks below that have been written (or were
 * zeroed by mke2fs).
 *
 * A group's bitmap is read at first use, checked against its descriptor and kept (pinned in gdt,
 * which puts its checksum into the descriptor at write-out). A group with INODE_UNINIT has no
 * bitmap on disk: it is made in memory when the first number is taken, and the flag goes. A group
 * found damaged is fenced off: its error is kept and others are used.
 *
 * The lowest free number is taken: numbers that are in use stay together, so that few table blocks
 * are read, and e2fsck skips the unused rest. hint is a lower bound of it.
 *
 * A number that is freed stays in use until a write-out has ended (journal/late.c): an entry of a
 * directory, on the image, may still lead to it.
 *
 * Locks: one per group (24), held across the read of the bitmap and of table blocks; inside it the
 * descriptor's and the buffers'.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "inode/inode_priv.h"
#include "reclaim/table.h"
#include "rt/mem.h"

struct ialloc_group {
	struct rt_mutex lock; /* RANK_IALLOC */
	struct buf *bitmap;   /* [lock] referenced; NULL: not loaded */
	uint32_t hint;	      /* [lock] no free number below it */
	int err;	      /* [lock] fenced off */
};

struct ialloc {
	struct inode_env *env; /* [const] */
	struct table grps;    /* struct ialloc_group */
	rt_u64 late_nr; /* [racy: for statfs] numbers that ialloc_free_late() has yet to free */
};

/* Its checksum is in the descriptor: see bitmap_load(). */
static const struct buf_kind ibitmap_kind = { .name = "inode bitmap" };

static void groups_init(struct ialloc *ia, mbfs_grp_t from, mbfs_grp_t to)
{
	for (mbfs_grp_t grp = from; grp < to; grp++) {
		struct ialloc_group *g = table_new(&ia->grps, grp);

		rt_mutex_init(&g->lock, RANK_IALLOC);
	}
}

int ialloc_open(struct inode_env *env)
{
	const struct mbfs_geo *geo = env->geo;
	struct ialloc *ia = rt_zalloc(sizeof(*ia));
	struct ialloc_group *g;

	if (!ia)
		return -ENOMEM;
	ia->env = env;
	if (table_open(&ia->grps, geo->grp_nr, sizeof(struct ialloc_group))) {
		rt_free(ia);
		return -ENOMEM;
	}
	alloc_grow_past(alloc_tune(env->alloc), &ia->grps);
	groups_init(ia, 0, geo->grp_nr);
	/* Reserved inodes are never given, whatever the bitmap says. */
	g = table_new(&ia->grps, 0);
	g->hint = geo->first_ino - 1;
	env->ialloc = ia;
	return 0;
}

int ialloc_grow_ready(struct inode_env *env, mbfs_grp_t grp_nr)
{
	struct ialloc *ia = env->ialloc;
	int err = table_ready(&ia->grps, grp_nr);

	if (!err)
		groups_init(ia, table_nr(&ia->grps), grp_nr);
	return err;
}

void ialloc_grow(struct inode_env *env, struct kvfree *dead)
{
	table_grow(&env->ialloc->grps, dead);
}

void ialloc_grow_not(struct inode_env *env)
{
	struct ialloc *ia = env->ialloc;

	for (mbfs_grp_t grp = table_nr(&ia->grps); grp < table_size(&ia->grps); grp++) {
		struct ialloc_group *g = table_new(&ia->grps, grp);

		rt_mutex_destroy(&g->lock);
	}
	table_not(&ia->grps);
}

void ialloc_close(struct inode_env *env)
{
	struct ialloc *ia = env->ialloc;

	if (!ia)
		return;
	for (mbfs_grp_t grp = 0; grp < table_size(&ia->grps); grp++) {
		struct ialloc_group *g = table_new(&ia->grps, grp);

		buf_put(g->bitmap);
		rt_mutex_destroy(&g->lock);
	}
	table_close(&ia->grps);
	rt_free(ia);
	env->ialloc = NULL;
}

mbfs_grp_t ialloc_grp_nr(const struct inode_env *env)
{
	return table_nr(&env->ialloc->grps);
}

/* NULL: it is not there yet. */
static struct ialloc_group *group_at(const struct inode_env *env, mbfs_grp_t grp)
{
	return table_at(&env->ialloc->grps, grp);
}

int ialloc_locate(struct inode_env *env, mbfs_ino_t ino, mbfs_blk_t *blk, uint32_t *off_bytes)
{
	const struct mbfs_geo *geo = env->geo;
	struct gdesc d;
	uint64_t off;

	if (!ino || ino > geo_inode_nr(geo))
		return -EUCLEAN;
	gdt_read(env->gdt, ialloc_grp(geo, ino), &d);
	off = (uint64_t)((ino - 1) % geo->inodes_per_grp) * geo->inode_bytes;
	*blk = d.inode_table + (off >> geo->block_bits);
	*off_bytes = (uint32_t)(off & (geo->block_bytes - 1));
	return 0;
}

/* ---- one group; its lock is held ---- */

static int fence(struct inode_env *env, struct ialloc_group *g, mbfs_grp_t grp, const char *what,
		 int err)
{
	log_err("inode bitmap of group %u: %s; no inode of it is taken or freed; run e2fsck -f on "
		"the image",
		grp, what);
	g->err = err;
	inode_note_damage(env, err); /* other groups are used instead: nobody is told */
	return err;
}

/* Contents against the descriptor, once. */
static int bitmap_verify(struct inode_env *env, mbfs_grp_t grp, struct ialloc_group *g,
			 const struct gdesc *d, const uint8_t *bits)
{
	const struct mbfs_geo *geo = env->geo;
	uint32_t used_end = geo->inodes_per_grp - d->itable_unused;

	if (!gdt_inode_bitmap_csum_ok(env->gdt, grp, bits))
		return fence(env, g, grp, "its checksum is wrong", -EBADMSG);
	if (bits_count_clear(bits, 0, geo->inodes_per_grp) != d->free_inodes)
		return fence(env, g, grp, "the descriptor counts other free inodes", -EUCLEAN);
	if (grp == 0 && !bits_all_set(bits, 0, geo->first_ino - 1))
		return fence(env, g, grp, "reserved inodes are marked free", -EUCLEAN);
	if (!bits_all_clear(bits, used_end, d->itable_unused))
		return fence(env, g, grp, "inodes are in use in the unused part of the table",
			     -EUCLEAN);
	return 0;
}

/* The bitmap of a group that has none on disk. */
static int bitmap_make(struct inode_env *env, mbfs_grp_t grp, struct ialloc_group *g,
		       const struct gdesc *d, struct buf **out)
{
	const struct buf_owner nobody = { 0 };
	uint32_t ipg = env->geo->inodes_per_grp;
	int err;

	if (d->free_inodes != ipg || d->used_dirs || grp == 0)
		return fence(env, g, grp, "it is marked unused, but inodes are in use", -EUCLEAN);
	err = buf_get_new(env->bufs, d->inode_bitmap, &ibitmap_kind, &nobody, out);
	if (err)
		return err;
	buf_lock(*out);
	bits_set((*out)->data, ipg, env->geo->block_bytes * 8 - ipg);
	buf_unlock(*out);
	return 0;
}

static int bitmap_read(struct inode_env *env, mbfs_grp_t grp, struct ialloc_group *g,
		       const struct gdesc *d, struct buf **out)
{
	const struct buf_owner nobody = { 0 };
	int err = buf_get(env->bufs, d->inode_bitmap, &ibitmap_kind, &nobody, out);

	if (err)
		return err;
	err = bitmap_verify(env, grp, g, d, (*out)->data);
	if (err)
		buf_put(*out);
	return err;
}

static int bitmap_load(struct inode_env *env, mbfs_grp_t grp, struct ialloc_group *g)
{
	struct gdesc d;
	struct buf *b;
	int err;

	if (g->err || g->bitmap)
		return g->err;
	gdt_read(env->gdt, grp, &d);
	if (d.flags & GDESC_INODE_UNINIT)
		err = bitmap_make(env, grp, g, &d, &b);
	else
		err = bitmap_read(env, grp, g, &d, &b);
	if (err)
		return err;
	gdt_pin_inode_bitmap(env->gdt, grp, b);
	g->bitmap = b;
	return 0;
}

/* Table blocks from the first that was never written up to that of inode @idx become zero. */
static int table_extend(struct inode_env *env, struct mbfs_tx *tx, const struct gdesc *d,
			uint32_t idx)
{
	const struct buf_owner nobody = { 0 };
	const struct mbfs_geo *geo = env->geo;
	uint64_t used_bytes = (uint64_t)(geo->inodes_per_grp - d->itable_unused) * geo->inode_bytes;
	uint64_t last = (uint64_t)idx * geo->inode_bytes >> geo->block_bits;

	if (d->flags & GDESC_INODE_ZEROED)
		return 0;
	for (uint64_t i = div_up(used_bytes, geo->block_bytes); i <= last; i++) {
		struct buf *b;
		int err = buf_wipe(env->bufs, d->inode_table + i, 1);

		if (!err)
			err = buf_get_new(env->bufs, d->inode_table + i, &itable_kind, &nobody, &b);
		if (err)
			return err;
		tx_dirty(tx, b);
		buf_put(b);
	}
	return 0;
}

static void bit_change(struct inode_env *env, struct mbfs_tx *tx, struct ialloc_group *g,
		       mbfs_grp_t grp, uint32_t idx, const struct gdesc_delta *delta)
{
	buf_lock(g->bitmap);
	if (delta->free_inodes < 0)
		bit_set(g->bitmap->data, idx);
	else
		bit_clear(g->bitmap->data, idx);
	tx_dirty(tx, g->bitmap);
	buf_unlock(g->bitmap);
	/* After the bit: whoever seals the descriptor then sees both. */
	gdt_update(env->gdt, tx, grp, delta);
}

static int take_lowest(struct inode_env *env, struct mbfs_tx *tx, mbfs_grp_t grp,
		       struct ialloc_group *g, bool is_dir, mbfs_ino_t *out)
{
	const struct mbfs_geo *geo = env->geo;
	struct gdesc_delta delta = { .free_inodes = -1, .used_dirs = is_dir };
	uint32_t idx = bits_next_clear(g->bitmap->data, g->hint, geo->inodes_per_grp);
	struct gdesc d;
	int err;

	g->hint = idx;
	if (idx == geo->inodes_per_grp)
		return -ENOSPC;
	gdt_read(env->gdt, grp, &d);
	if (idx >= geo->inodes_per_grp - d.itable_unused) {
		err = table_extend(env, tx, &d, idx);
		if (err)
			return err;
		delta.set_itable_unused = true;
		delta.itable_unused = geo->inodes_per_grp - idx - 1;
	}
	delta.clear_flags = d.flags & GDESC_INODE_UNINIT;
	bit_change(env, tx, g, grp, idx, &delta);
	g->hint = idx + 1;
	*out = grp * geo->inodes_per_grp + idx + 1;
	return 0;
}

int ialloc_try_group(struct inode_env *env, struct mbfs_tx *tx, mbfs_grp_t grp, bool is_dir,
		     mbfs_ino_t *out)
{
	struct ialloc_group *g = group_at(env, grp);
	struct gdesc d;
	int err;

	if (!g)
		return -ENOSPC; /* is being added */
	gdt_read(env->gdt, grp, &d);
	if (!d.free_inodes)
		return -ENOSPC;
	rt_mutex_lock(&g->lock);
	err = bitmap_load(env, grp, g);
	if (!err)
		err = take_lowest(env, tx, grp, g, is_dir, out);
	rt_mutex_unlock(&g->lock);
	return err;
}

/* ---- any inode ---- */

int ialloc_free(struct inode_env *env, struct mbfs_tx *tx, mbfs_ino_t ino, bool is_dir)
{
	const struct gdesc_delta delta = { .free_inodes = 1, .used_dirs = -(int32_t)is_dir };
	const struct mbfs_geo *geo = env->geo;
	struct ialloc_group *g;
	mbfs_grp_t grp;
	uint32_t idx;
	int err;

	if (ino < geo->first_ino || ino > geo_inode_nr(geo))
		return -EUCLEAN;
	grp = ialloc_grp(geo, ino);
	idx = (ino - 1) % geo->inodes_per_grp;
	g = group_at(env, grp);
	if (!g)
		return -EUCLEAN;
	rt_mutex_lock(&g->lock);
	err = bitmap_load(env, grp, g);
	if (!err && !bit_test(g->bitmap->data, idx))
		err = -EUCLEAN;
	if (!err) {
		bit_change(env, tx, g, grp, idx, &delta);
		if (idx < g->hint)
			g->hint = idx;
	}
	rt_mutex_unlock(&g->lock);
	return err;
}

/* ---- late ---- */

static int run_late(struct inode_env *env, struct mbfs_tx *tx, uint64_t start, uint32_t len,
		    bool is_dir)
{
	int first_err = 0;

	for (uint32_t i = 0; i < len; i++) {
		int err = ialloc_free(env, tx, (mbfs_ino_t)(start + i), is_dir);

		rt_u64_add(&env->ialloc->late_nr, (uint64_t)-1);
		if (err && !first_err)
			first_err = err;
		if (err)
			log_err("inode %u is lost: run e2fsck -f on the image",
				(mbfs_ino_t)(start + i));
	}
	return first_err;
}

static int run_late_dir(void *env, struct mbfs_tx *tx, uint64_t start, uint32_t len)
{
	return run_late(env, tx, start, len, true);
}

static int run_late_other(void *env, struct mbfs_tx *tx, uint64_t start, uint32_t len)
{
	return run_late(env, tx, start, len, false);
}

void ialloc_free_late(struct inode_env *env, struct mbfs_tx *tx, mbfs_ino_t ino, bool is_dir)
{
	const struct tx_late late = {
		.run = is_dir ? run_late_dir : run_late_other,
		.ctx = env,
		.start = ino,
		.len = 1,
	};

	rt_u64_add(&env->ialloc->late_nr, 1);
	tx_late(tx, &late);
}

uint64_t ialloc_late_nr(struct inode_env *env)
{
	return rt_u64_read(&env->ialloc->late_nr);
}

int ialloc_in_use(struct inode_env *env, mbfs_ino_t ino, bool *out)
{
	const struct mbfs_geo *geo = env->geo;
	struct ialloc_group *g;
	struct gdesc d;
	int err = 0;

	if (!ino || ino > geo_inode_nr(geo))
		return -EUCLEAN;
	*out = false;
	g = group_at(env, ialloc_grp(geo, ino));
	if (!g)
		return 0;
	rt_mutex_lock(&g->lock);
	gdt_read(env->gdt, ialloc_grp(geo, ino), &d);
	/* A group that was never used needs no bitmap to say so. */
	if (!(d.flags & GDESC_INODE_UNINIT)) {
		err = bitmap_load(env, ialloc_grp(geo, ino), g);
		if (!err)
			*out = bit_test(g->bitmap->data, (ino - 1) % geo->inodes_per_grp);
	}
	rt_mutex_unlock(&g->lock);
	return err;
}
