// SPDX-License-Identifier: GPL-2.0-only
/*
 * Inodes and their bytes: loading with suspicion, encoding, attributes.
 *
 * inode_dirty() puts everything into the table block at once: the fields, the root of the tree, the
 * count of the tree's own blocks. Lock path: tree.lock (20) shared, fields (28), the buffer (66).
 * root_dirty and meta_blks are changed by the tree under its lock held exclusively and here under
 * both, so nobody meets.
 */
#include "inode/inode_priv.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "disk/csum.h"
#include "disk/inode_codec.h"
#include "rt/mem.h"

/* Each inode has its own checksum: nothing to verify or seal for the block. */
const struct buf_kind itable_kind = { .name = "inode table block" };

int inode_damaged(struct inode_env *env, mbfs_ino_t ino, const char *what, int err)
{
	rt_u32 *slot = &env->cache->logged[rt_hash_mix(ino) % INODE_LOGGED_NR];

	if (rt_u32_xchg(slot, ino) != ino)
		log_err("inode %u: %s; run e2fsck -f on the image", ino, what);
	return err;
}

/* ---- load ---- */

static int raw_copy(struct inode_env *env, mbfs_ino_t ino, uint8_t *raw)
{
	const struct buf_owner nobody = { 0 };
	struct buf *b;
	uint32_t off;
	mbfs_blk_t blk;
	int err = ialloc_locate(env, ino, &blk, &off);

	if (!err)
		err = buf_get(env->bufs, blk, &itable_kind, &nobody, &b);
	if (err)
		return err;
	buf_lock(b);
	memcpy(raw, b->data + off, env->geo->inode_bytes);
	buf_unlock(b);
	buf_put(b);
	return 0;
}

int inode_raw_read(struct inode_env *env, mbfs_ino_t ino, uint8_t *raw)
{
	int err = raw_copy(env, ino, raw);

	if (err)
		return err;
	if (!csum_inode_ok(env->geo, ino, inode_raw_gen(raw), raw))
		return inode_damaged(env, ino, "its checksum is wrong", -EBADMSG);
	return 0;
}

/* Where an empty file's first block is wanted: the inode's group, or its flex group's. */
static mbfs_blk_t goal_of(const struct mbfs_geo *geo, mbfs_ino_t ino, mode_t mode)
{
	mbfs_grp_t grp = ialloc_grp(geo, ino);

	/* With large flex groups the first group is left to directories, as the kernel does. */
	if (geo->log_grps_per_flex >= 2) {
		grp &= ~((1u << geo->log_grps_per_flex) - 1);
		if (S_ISREG(mode) && grp + 1 < geo_grp_nr(geo))
			grp++;
	}
	return geo_grp_start(geo, grp);
}

/* Is i_block a map of blocks? Else it is a device number or the text of a link. */
static bool root_is_tree(const struct inode *in)
{
	return inode_is_reg(in) || inode_is_dir(in) || (in->flags & INODE_FL_EXTENTS);
}

static void fields_from(struct inode *in, const struct inode_image *img)
{
	in->gen = in->tree.gen = img->gen;
	in->mode = img->mode;
	in->type = img->mode & S_IFMT;
	in->nlink = img->nlink;
	in->uid = img->uid;
	in->gid = img->gid;
	in->flags = img->flags;
	in->size_bytes = img->size_bytes;
	in->blocks_512 = img->blocks_512;
	in->rdev = img->rdev;
	in->atime = img->atime;
	in->mtime = img->mtime;
	in->ctime = img->ctime;
	in->btime = img->btime;
	in->xattr_blk = img->xattr_blk;
	in->extra_isize = img->extra_isize;
	memcpy(in->tree.root, img->block, EXTENT_ROOT_BYTES);
	in->tree.mapped = img->flags & INODE_FL_EXTENTS;
	in->tree.is_data = !S_ISDIR(img->mode);
	in->tree.goal = goal_of(in->env->geo, in->ino, img->mode);
}

int inode_load(struct inode *in, bool unlinked_ok)
{
	struct inode_env *env = in->env;
	struct inode_image img;
	int err = raw_copy(env, in->ino, in->raw);

	if (err)
		return err;
	/* A free inode need not have a good checksum: the table may never have been written. */
	if (!inode_raw_links(in->raw) && !unlinked_ok)
		return -ESTALE;
	if (!csum_inode_ok(env->geo, in->ino, inode_raw_gen(in->raw), in->raw))
		return inode_damaged(env, in->ino, "its checksum is wrong", -EBADMSG);
	if (inode_image_decode(env->geo, in->raw, &img))
		return inode_damaged(env, in->ino, "its fields make no sense", -EUCLEAN);
	rt_mutex_lock(&in->fields);
	fields_from(in, &img);
	rt_mutex_unlock(&in->fields);
	if ((in->flags & INODE_FL_EXTENTS) && !inode_is_reg(in) && !inode_is_dir(in) &&
	    !inode_is_link(in))
		return inode_damaged(env, in->ino, "a device with extents", -EUCLEAN);
	if (inode_is_reg(in) && in->size_bytes > file_size_max(in))
		return inode_damaged(env, in->ino, "its size is past what its block map can hold",
				     -EUCLEAN);
	if (root_is_tree(in) && extent_tree_verify_root(&in->tree))
		return inode_damaged(env, in->ino, "the root of its extents makes no sense",
				     -EUCLEAN);
	return 0;
}

/* ---- new ---- */

int inode_init_new(struct inode *in, mode_t mode)
{
	const struct mbfs_geo *geo = in->env->geo;
	int err = raw_copy(in->env, in->ino, in->raw);

	if (err)
		return err;
	if (inode_raw_links(in->raw))
		return inode_damaged(in->env, in->ino, "it has links, but is free in its bitmap",
				     -EUCLEAN);
	memset(in->raw, 0, geo->inode_bytes);
	in->mode = mode;
	in->type = mode & S_IFMT;
	in->tree.is_data = !S_ISDIR(mode);
	if (geo->inode_bytes > 128) {
		uint32_t room = geo->inode_bytes - 128;

		in->extra_isize = geo->want_extra_isize < room ? geo->want_extra_isize & ~3u : room;
	}
	in->tree.goal = goal_of(geo, in->ino, mode);
	if ((geo->features & GEO_EXTENTS) && (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode))) {
		rt_write_lock(&in->tree.lock);
		extent_tree_format(&in->tree);
		rt_write_unlock(&in->tree.lock);
		in->flags = INODE_FL_EXTENTS;
	}
	return 0;
}

/* ---- encode ---- */

static void image_of(const struct inode *in, struct inode_image *img)
{
	*img = (struct inode_image){
		.mode = in->mode,
		.uid = in->uid,
		.gid = in->gid,
		.nlink = in->nlink,
		.gen = in->gen,
		.flags = in->flags,
		.size_bytes = in->size_bytes,
		.blocks_512 = in->blocks_512,
		.dtime = in->on_orphan_list ? in->orphan_next : in->dtime,
		.rdev = in->rdev,
		.atime = in->atime,
		.mtime = in->mtime,
		.ctime = in->ctime,
		.btime = in->btime,
		.xattr_blk = in->xattr_blk,
		.extra_isize = in->extra_isize,
	};
	memcpy(img->block, in->tree.root, EXTENT_ROOT_BYTES);
}

static void blocks_add_locked(struct inode *in, int64_t blks)
{
	int64_t sectors = blks * (int64_t)(in->env->geo->block_bytes / 512);

	if (!sectors)
		return;
	/* A damaged image may have counted too few. */
	if (sectors < 0 && in->blocks_512 < (uint64_t)-sectors)
		in->blocks_512 = 0;
	else
		in->blocks_512 += (uint64_t)sectors;
}

void inode_add_blocks(struct inode *in, int64_t blks)
{
	rt_mutex_lock(&in->fields);
	blocks_add_locked(in, blks);
	rt_mutex_unlock(&in->fields);
}

int inode_dirty(struct inode *in, struct mbfs_tx *tx)
{
	const struct mbfs_geo *geo = in->env->geo;
	const struct buf_owner nobody = { 0 };
	struct inode_image img;
	struct buf *b;
	uint32_t off;
	mbfs_blk_t blk;
	int err = ialloc_locate(in->env, in->ino, &blk, &off);

	if (!err)
		err = buf_get(in->env->bufs, blk, &itable_kind, &nobody, &b);
	if (err)
		return err;
	rt_read_lock(&in->tree.lock);
	rt_mutex_lock(&in->fields);
	blocks_add_locked(in, in->tree.meta_blks);
	in->tree.meta_blks = 0;
	in->tree.root_dirty = false;
	image_of(in, &img);
	/* What is shown now is what a later mount will show. */
	inode_image_fit_times(&img);
	in->atime = img.atime;
	in->mtime = img.mtime;
	in->ctime = img.ctime;
	in->btime = img.btime;
	inode_image_encode(geo, &img, in->raw);
	csum_inode_set(geo, in->ino, in->gen, in->raw);
	buf_lock(b);
	memcpy(b->data + off, in->raw, geo->inode_bytes);
	tx_dirty(tx, b);
	buf_unlock(b);
	rt_mutex_unlock(&in->fields);
	rt_read_unlock(&in->tree.lock);
	buf_put(b);
	return 0;
}

/* ---- attributes ---- */

void inode_attr(struct inode *in, struct mbfs_attr *out)
{
	rt_mutex_lock(&in->fields);
	*out = (struct mbfs_attr){
		.ino = in->ino,
		.gen = in->gen,
		.mode = in->mode,
		.nlink = in->nlink,
		.uid = in->uid,
		.gid = in->gid,
		.rdev = in->rdev,
		.size_bytes = in->size_bytes,
		.blocks_512 = in->blocks_512,
		.block_bytes = in->env->geo->block_bytes,
		.flags = in->flags,
		.atime = in->atime,
		.mtime = in->mtime,
		.ctime = in->ctime,
		.btime = in->btime,
	};
	rt_mutex_unlock(&in->fields);
}

void inode_now(struct timespec *ts)
{
	uint32_t nsec;
	int64_t sec;

	rt_wall(&sec, &nsec);
	*ts = (struct timespec){ .tv_sec = sec, .tv_nsec = nsec };
}
