// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which group a new inode goes to: near what it will be used with, and directories apart from each
 * other, so that each has room for its files. After Orlov's allocator for BSD, over flex groups.
 *
 *   a directory in the root   the flex group with the fewest directories that has average room
 *   another directory         the parent's flex group while it has room, else the next that has
 *   anything else             the parent's group, its flex group, groups farther and farther away
 *
 * All of it is guessing from counters that others change meanwhile; only ialloc_try_group()
 * decides. A group that turns out damaged or unreadable is passed over; its error is given only if
 * nothing else is left. If all is in use a write-out may free numbers that wait for one.
 */
#include <errno.h>

#include "inode/inode_priv.h"

/* Somebody else may always be quicker at what a write-out has freed. */
enum { TRIES_MAX = 64 };

/* A search in progress. */
struct find {
	struct inode_env *env;
	struct mbfs_tx *tx;
	bool is_dir;
	int bad; /* the first error of a group */
	mbfs_ino_t ino;
};

static bool try_one(struct find *f, mbfs_grp_t grp)
{
	int err = ialloc_try_group(f->env, f->tx, grp, f->is_dir, &f->ino);

	if (err && err != -ENOSPC && !f->bad)
		f->bad = err;
	return !err;
}

/* @nr groups from @first on, around the end. */
static bool try_range(struct find *f, mbfs_grp_t first, mbfs_grp_t nr, mbfs_grp_t start)
{
	for (mbfs_grp_t i = 0; i < nr; i++)
		if (try_one(f, first + (start - first + i) % nr))
			return true;
	return false;
}

static bool try_all(struct find *f, mbfs_grp_t start)
{
	return try_range(f, 0, ialloc_grp_nr(f->env), start);
}

/* ---- flex groups; without the feature each has one group ---- */

struct flex {
	mbfs_grp_t first, nr;
	uint64_t free_inodes, free_blks, dirs;
};

static mbfs_grp_t flex_grps(const struct mbfs_geo *geo)
{
	return geo->log_grps_per_flex < 31 ? 1u << geo->log_grps_per_flex : 1u << 31;
}

static mbfs_grp_t flex_nr(const struct inode_env *env)
{
	const struct mbfs_geo *geo = env->geo;

	return (mbfs_grp_t)(((uint64_t)ialloc_grp_nr(env) + flex_grps(geo) - 1) >>
			    geo->log_grps_per_flex);
}

static void flex_bounds(const struct inode_env *env, mbfs_grp_t flex_idx, struct flex *out)
{
	const struct mbfs_geo *geo = env->geo;
	mbfs_grp_t left;

	out->first = flex_idx << geo->log_grps_per_flex;
	left = ialloc_grp_nr(env) - out->first;
	out->nr = left < flex_grps(geo) ? left : flex_grps(geo);
}

static void flex_read(struct inode_env *env, mbfs_grp_t flex_idx, struct flex *out)
{
	flex_bounds(env, flex_idx, out);
	out->free_inodes = out->free_blks = out->dirs = 0;
	for (mbfs_grp_t i = 0; i < out->nr; i++) {
		struct gdesc d;

		gdt_read(env->gdt, out->first + i, &d);
		out->free_inodes += d.free_inodes;
		out->free_blks += d.free_blks;
		out->dirs += d.used_dirs;
	}
}

/* The least loaded flex group with average room or more. */
static bool find_top_dir(struct find *f)
{
	uint64_t free_blks, free_inodes, dirs;
	mbfs_grp_t nr = flex_nr(f->env);
	struct flex best = { .dirs = UINT64_MAX };

	gdt_totals(f->env->gdt, &free_blks, &free_inodes, &dirs);
	for (mbfs_grp_t i = 0; i < nr; i++) {
		struct flex at;

		flex_read(f->env, i, &at);
		if (!at.free_inodes || at.free_inodes < free_inodes / nr / 2 ||
		    at.free_blks < free_blks / nr / 2)
			continue;
		if (at.dirs < best.dirs)
			best = at;
	}
	return best.dirs != UINT64_MAX && try_range(f, best.first, best.nr, best.first);
}

/* From the parent's flex group on, the first that is less than 7/8 full. */
static bool find_sub_dir(struct find *f, mbfs_grp_t parent)
{
	const struct mbfs_geo *geo = f->env->geo;
	mbfs_grp_t nr = flex_nr(f->env), idx = parent >> geo->log_grps_per_flex;

	for (mbfs_grp_t i = 0; i < nr; i++, idx = idx + 1 == nr ? 0 : idx + 1) {
		struct flex at;

		flex_read(f->env, idx, &at);
		if (at.free_inodes < (uint64_t)at.nr * geo->inodes_per_grp / 8 ||
		    at.free_blks < (uint64_t)at.nr * geo->blks_per_grp / 8)
			continue;
		if (try_range(f, at.first, at.nr, i ? at.first : parent))
			return true;
	}
	return false;
}

static bool find_file(struct find *f, const struct inode *parent, mbfs_grp_t parent_grp)
{
	const struct mbfs_geo *geo = f->env->geo;
	const mbfs_grp_t grps = ialloc_grp_nr(f->env);
	mbfs_grp_t grp;
	struct flex at;

	flex_bounds(f->env, parent_grp >> geo->log_grps_per_flex, &at);
	if (try_range(f, at.first, at.nr, parent_grp))
		return true;
	/* Files of different directories of one full group go different ways. */
	grp = (mbfs_grp_t)(((uint64_t)parent_grp + parent->ino) % grps);
	for (uint64_t step = 1; step < grps; step <<= 1) {
		struct gdesc d;

		grp = (mbfs_grp_t)((grp + step) % grps);
		gdt_read(f->env->gdt, grp, &d);
		if (d.free_inodes && d.free_blks && try_one(f, grp))
			return true;
	}
	return false;
}

static int find(struct inode_env *env, struct mbfs_tx *tx, const struct inode *parent, mode_t mode,
		mbfs_ino_t *out)
{
	struct find f = { .env = env, .tx = tx, .is_dir = S_ISDIR(mode) };
	mbfs_grp_t grp = ialloc_grp(env->geo, parent->ino);
	bool found;

	if (!f.is_dir)
		found = find_file(&f, parent, grp);
	else if (parent->ino == MBFS_ROOT_INO)
		found = find_top_dir(&f) || find_sub_dir(&f, grp);
	else
		found = find_sub_dir(&f, grp);
	if (!found && !try_all(&f, grp))
		return f.bad ? f.bad : -ENOSPC;
	*out = f.ino;
	return 0;
}

int ialloc_new(struct inode_env *env, struct mbfs_tx *tx, const struct inode *parent, mode_t mode,
	       mbfs_ino_t *out)
{
	uint32_t size_seen = alloc_grow_seen(env->alloc);
	int err = -ENOSPC;

	for (int i = 0; i < TRIES_MAX; i++) {
		uint64_t seen = tx_late_seen(tx);

		err = find(env, tx, parent, mode, out);
		if (err != -ENOSPC || !tx_late_release(tx, seen))
			break;
	}
	/* Inodes come with space that is added. */
	if (err == -ENOSPC && alloc_grew(env->alloc, size_seen))
		err = find(env, tx, parent, mode, out);
	return err;
}
