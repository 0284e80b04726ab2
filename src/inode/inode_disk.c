// SPDX-License-Identifier: GPL-2.0-only
/* An inode's bytes: to fields and back. Source: Documentation/filesystems/ext4, "Index Nodes". */
#include "inode/inode_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/check.h"

enum { EPOCH_BITS = 2, EPOCH_MASK = 3 };

/* Does the extra part of the inode reach over this field? */
#define HAS_EXTRA(in, field)                                                                       \
	((in)->extra_isize >= offsetof(struct mbfs_inode_disk, field) +                            \
				      sizeof(((struct mbfs_inode_disk *)0)->field) -               \
				      MBFS_INODE_OLD_BYTES)

/* 32 signed bits of seconds, two more above them and the nanoseconds in the extra field. */
static struct timespec time_get(mbfs_le32 sec, uint32_t extra)
{
	struct timespec ts = { .tv_sec = (int32_t)le32_get(sec), .tv_nsec = extra >> EPOCH_BITS };

	ts.tv_sec += (time_t)((uint64_t)(extra & EPOCH_MASK) << 32);
	if (ts.tv_nsec >= 1000000000)
		ts.tv_nsec = 0;
	return ts;
}

static mbfs_le32 time_put(const struct timespec *ts, bool has_extra, mbfs_le32 *extra)
{
	const int64_t lo = INT32_MIN, hi = INT32_MAX + (has_extra ? (int64_t)EPOCH_MASK << 32 : 0);
	int64_t sec = ts->tv_sec < lo ? lo : ts->tv_sec > hi ? hi : ts->tv_sec;

	if (has_extra) {
		uint32_t epoch = (uint32_t)((uint64_t)(sec - (int32_t)sec) >> 32) & EPOCH_MASK;

		*extra = le32_of((uint32_t)ts->tv_nsec << EPOCH_BITS | epoch);
	}
	return le32_of((uint32_t)sec);
}

static uint64_t blocks_get(const struct inode *in, const struct mbfs_inode_disk *d)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t nr = le32_get(d->blocks_lo);

	if (geo->features & GEO_HUGE_FILE) {
		nr |= (uint64_t)le16_get(d->blocks_hi) << 32;
		if (in->flags & INODE_FL_HUGE_FILE)
			nr <<= geo->block_bits - 9;
	}
	return nr;
}

/* Device numbers: the old 8:8 form in the first word of the block map, or the new one in the second. */
static dev_t rdev_get(const uint8_t *block)
{
	mbfs_le32 w[2];
	uint32_t v;

	memcpy(w, block, sizeof(w));
	v = le32_get(w[0]);
	if (v)
		return makedev(v >> 8 & 0xff, v & 0xff);
	v = le32_get(w[1]);
	return makedev((v & 0xfff00) >> 8, (v & 0xff) | (v >> 12 & 0xfff00));
}

static void rdev_put(uint8_t *block, dev_t rdev)
{
	uint32_t maj = major(rdev), min = minor(rdev);
	mbfs_le32 w[3] = { { 0 } };

	if (maj < 256 && min < 256)
		w[0] = le32_of(maj << 8 | min);
	else
		w[1] = le32_of((min & 0xff) | (maj & 0xfff) << 8 | (min & ~0xffu) << 12);
	memcpy(block, w, sizeof(w));
}

static bool mode_ok(mode_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
	       S_ISFIFO(mode) || S_ISSOCK(mode);
}

static void decode_extra(struct inode *in, const struct mbfs_inode_disk *d)
{
	uint32_t a = 0, c = 0, m = 0;

	if (HAS_EXTRA(in, ctime_extra))
		c = le32_get(d->ctime_extra);
	if (HAS_EXTRA(in, mtime_extra))
		m = le32_get(d->mtime_extra);
	if (HAS_EXTRA(in, atime_extra))
		a = le32_get(d->atime_extra);
	in->atime = time_get(d->atime, a);
	in->ctime = time_get(d->ctime, c);
	in->mtime = time_get(d->mtime, m);
	in->btime = (struct timespec){ 0 };
	if (HAS_EXTRA(in, crtime))
		in->btime = time_get(d->crtime,
				     HAS_EXTRA(in, crtime_extra) ? le32_get(d->crtime_extra) : 0);
}

static int decode_check(const struct inode *in)
{
	const uint32_t unknown = INODE_FL_INLINE_DATA | INODE_FL_EA_INODE | 0x800 /* encrypted */;
	const struct mbfs_geo *geo = in->env->geo;

	if (!mode_ok(in->mode) || (in->flags & unknown) || in->size_bytes > file_size_max(in))
		return -EUCLEAN;
	if (in->xattr_blk >= geo->blk_nr || (in->xattr_blk && in->xattr_blk <= geo->first_blk))
		return -EUCLEAN;
	if (S_ISDIR(in->mode) && (in->size_bytes == 0 || in->size_bytes % geo->block_bytes))
		return -EUCLEAN;
	if (S_ISLNK(in->mode) && in->size_bytes > geo->block_bytes)
		return -EUCLEAN;
	return extent_tree_verify_root(&in->tree);
}

int inode_decode(struct inode *in)
{
	const struct mbfs_inode_disk *d = inode_raw(in);
	const struct mbfs_geo *geo = in->env->geo;

	in->extra_isize = 0;
	if (geo->inode_bytes > MBFS_INODE_OLD_BYTES) {
		in->extra_isize = le16_get(d->extra_isize);
		if (in->extra_isize > geo->inode_bytes - MBFS_INODE_OLD_BYTES || in->extra_isize % 4)
			return -EUCLEAN;
	}
	in->gen = le32_get(d->generation);
	in->mode = le16_get(d->mode);
	in->nlink = le16_get(d->links_count);
	in->uid = le16_get(d->uid_lo) | (uint32_t)le16_get(d->uid_hi) << 16;
	in->gid = le16_get(d->gid_lo) | (uint32_t)le16_get(d->gid_hi) << 16;
	in->flags = le32_get(d->flags);
	in->size_bytes = le32_get(d->size_lo) | (uint64_t)le32_get(d->size_hi) << 32;
	in->blocks_512 = blocks_get(in, d);
	in->xattr_blk = le32_get(d->file_acl_lo) | (mbfs_blk_t)le16_get(d->file_acl_hi) << 32;
	in->orphan_next = le32_get(d->dtime);
	decode_extra(in, d);
	memcpy(in->tree.root, d->block, EXTENT_ROOT_BYTES);
	in->tree.ino = in->ino;
	in->tree.gen = in->gen;
	in->tree.mapped = in->flags & INODE_FL_EXTENTS;
	in->tree.is_data = !S_ISDIR(in->mode);
	in->tree.goal = geo_grp_start(geo, (in->ino - 1) / geo->inodes_per_grp);
	if (S_ISCHR(in->mode) || S_ISBLK(in->mode))
		in->rdev = rdev_get(d->block);
	return decode_check(in);
}

static void encode_blocks(struct inode *in, struct mbfs_inode_disk *d)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t nr = in->blocks_512;

	in->flags &= ~(uint32_t)INODE_FL_HUGE_FILE;
	if ((geo->features & GEO_HUGE_FILE) && nr >> 48) {
		in->flags |= INODE_FL_HUGE_FILE;
		nr >>= geo->block_bits - 9;
	}
	d->blocks_lo = le32_of((uint32_t)nr);
	if (geo->features & GEO_HUGE_FILE)
		d->blocks_hi = le16_of((uint16_t)(nr >> 32));
}

void inode_encode(struct inode *in)
{
	struct mbfs_inode_disk *d = inode_raw(in);
	mbfs_le32 none;

	d->mode = le16_of((uint16_t)in->mode);
	d->links_count = le16_of((uint16_t)in->nlink);
	d->uid_lo = le16_of((uint16_t)in->uid);
	d->uid_hi = le16_of((uint16_t)(in->uid >> 16));
	d->gid_lo = le16_of((uint16_t)in->gid);
	d->gid_hi = le16_of((uint16_t)(in->gid >> 16));
	d->size_lo = le32_of((uint32_t)in->size_bytes);
	d->size_hi = le32_of((uint32_t)(in->size_bytes >> 32));
	encode_blocks(in, d); /* may change flags */
	d->flags = le32_of(in->flags);
	d->generation = le32_of(in->gen);
	d->file_acl_lo = le32_of((uint32_t)in->xattr_blk);
	d->file_acl_hi = le16_of((uint16_t)(in->xattr_blk >> 32));
	if (in->env->geo->inode_bytes > MBFS_INODE_OLD_BYTES)
		d->extra_isize = le16_of((uint16_t)in->extra_isize);
	d->atime = time_put(&in->atime, HAS_EXTRA(in, atime_extra),
			    HAS_EXTRA(in, atime_extra) ? &d->atime_extra : &none);
	d->ctime = time_put(&in->ctime, HAS_EXTRA(in, ctime_extra),
			    HAS_EXTRA(in, ctime_extra) ? &d->ctime_extra : &none);
	d->mtime = time_put(&in->mtime, HAS_EXTRA(in, mtime_extra),
			    HAS_EXTRA(in, mtime_extra) ? &d->mtime_extra : &none);
	if (HAS_EXTRA(in, crtime))
		d->crtime = time_put(&in->btime, HAS_EXTRA(in, crtime_extra),
				     HAS_EXTRA(in, crtime_extra) ? &d->crtime_extra : &none);
	memcpy(d->block, in->tree.root, EXTENT_ROOT_BYTES);
	if (S_ISCHR(in->mode) || S_ISBLK(in->mode))
		rdev_put(d->block, in->rdev);
	in->tree.root_dirty = false;
}
