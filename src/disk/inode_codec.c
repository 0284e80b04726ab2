// SPDX-License-Identifier: GPL-2.0-only
/* Inodes from and to bytes. Fields past 128 bytes exist only as far as extra_isize says. */
#include "disk/inode_codec.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/check.h"
#include "disk/format.h"

enum {
	FL_ENCRYPT = 0x800,
	FL_HUGE_FILE = 0x40000,
	FL_EXTENTS = 0x80000,
	FL_EA_INODE = 0x200000,
	FL_INLINE_DATA = 0x10000000,
	FL_CASEFOLD = 0x40000000,
	FL_REFUSED = FL_ENCRYPT | FL_EA_INODE | FL_INLINE_DATA | FL_CASEFOLD,
	NSEC_MAX = 999999999,
};

static const struct mbfs_inode_disk *disk_of(const uint8_t *raw)
{
	return (const struct mbfs_inode_disk *)raw;
}

uint32_t inode_raw_links(const uint8_t *raw)
{
	return le16_get(disk_of(raw)->links_count);
}

uint32_t inode_raw_gen(const uint8_t *raw)
{
	return le32_get(disk_of(raw)->generation);
}

/* Does the inode have this field? */
#define HAS(extra_isize, field)                  \
	(MBFS_INODE_OLD_BYTES + (extra_isize) >= \
	 offsetof(struct mbfs_inode_disk, field) + sizeof(((struct mbfs_inode_disk *)0)->field))

/* ---- times ---- */

static struct timespec time_get(mbfs_le32 lo, bool has_extra, mbfs_le32 extra_disk)
{
	uint32_t extra = has_extra ? le32_get(extra_disk) : 0, nsec = extra >> 2;

	return (struct timespec){
		.tv_sec = (int64_t)(int32_t)le32_get(lo) + ((int64_t)(extra & 3) << 32),
		.tv_nsec = nsec > NSEC_MAX ? NSEC_MAX : nsec,
	};
}

/* The nearest time that the fields can hold. */
static void time_fit(struct timespec *ts, bool has_extra)
{
	const int64_t max = has_extra ? INODE_TIME_MAX : INODE_TIME_OLD_MAX;

	if (ts->tv_sec < INODE_TIME_MIN || ts->tv_sec > max)
		*ts = (struct timespec){ .tv_sec = ts->tv_sec > max ? max : INODE_TIME_MIN };
	if (!has_extra)
		ts->tv_nsec = 0;
}

void inode_image_fit_times(struct inode_image *in)
{
	uint32_t extra = in->extra_isize;

	time_fit(&in->atime, HAS(extra, atime_extra));
	time_fit(&in->mtime, HAS(extra, mtime_extra));
	time_fit(&in->ctime, HAS(extra, ctime_extra));
	if (HAS(extra, crtime))
		time_fit(&in->btime, HAS(extra, crtime_extra));
}

static void time_put(const struct timespec *ts, bool has_extra, mbfs_le32 *lo, mbfs_le32 *extra)
{
	const int64_t max = has_extra ? INODE_TIME_MAX : INODE_TIME_OLD_MAX;
	int64_t sec = ts->tv_sec;
	uint32_t nsec = (uint32_t)ts->tv_nsec;

	if (sec < INODE_TIME_MIN || sec > max) {
		sec = sec > max ? max : INODE_TIME_MIN;
		nsec = 0;
	}
	*lo = le32_of((uint32_t)sec);
	if (has_extra)
		*extra = le32_of((uint32_t)((sec - (int32_t)sec) >> 32 & 3) | nsec << 2);
}

/* ---- device numbers ---- the old form holds 8 bits each, the new one 12 and 20 */

static uint32_t word_get(const uint8_t *block, unsigned i)
{
	mbfs_le32 v;

	memcpy(&v, block + i * sizeof(v), sizeof(v));
	return le32_get(v);
}

static void word_put(uint8_t *block, unsigned i, uint32_t n)
{
	mbfs_le32 v = le32_of(n);

	memcpy(block + i * sizeof(v), &v, sizeof(v));
}

static dev_t rdev_get(const uint8_t *block)
{
	uint32_t old = word_get(block, 0), dev = word_get(block, 1);

	if (old)
		return makedev(old >> 8 & 0xff, old & 0xff);
	return makedev(dev >> 8 & 0xfff, (dev & 0xff) | (dev >> 12 & 0xfff00));
}

static void rdev_put(uint8_t *block, dev_t rdev)
{
	uint32_t maj = major(rdev), min = minor(rdev);
	bool old = maj < 256 && min < 256;

	word_put(block, 0, old ? maj << 8 | min : 0);
	word_put(block, 1, old ? 0 : (min & 0xff) | (maj & 0xfff) << 8 | (min & 0xfff00) << 12);
}

/* ---- decode ---- */

static bool mode_ok(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	}
	return false;
}

static uint64_t blocks_get(const struct mbfs_geo *geo, const struct mbfs_inode_disk *d)
{
	uint64_t n = le32_get(d->blocks_lo);

	if (!(geo->features & GEO_HUGE_FILE))
		return n;
	n |= (uint64_t)le16_get(d->blocks_hi) << 32;
	return le32_get(d->flags) & FL_HUGE_FILE ? n << (geo->block_bits - 9) : n;
}

static void times_get(const struct mbfs_inode_disk *d, struct inode_image *out)
{
	uint32_t extra = out->extra_isize;

	out->atime = time_get(d->atime, HAS(extra, atime_extra), d->atime_extra);
	out->mtime = time_get(d->mtime, HAS(extra, mtime_extra), d->mtime_extra);
	out->ctime = time_get(d->ctime, HAS(extra, ctime_extra), d->ctime_extra);
	if (HAS(extra, crtime))
		out->btime = time_get(d->crtime, HAS(extra, crtime_extra), d->crtime_extra);
}

static int image_verify(const struct mbfs_geo *geo, const struct inode_image *in)
{
	if (!mode_ok(in->mode) || (in->flags & FL_REFUSED) || in->xattr_blk >= geo_blk_nr(geo))
		return -EUCLEAN;
	if ((in->flags & FL_EXTENTS) && !(geo->features & GEO_EXTENTS))
		return -EUCLEAN;
	return in->size_bytes > (uint64_t)UINT32_MAX << geo->block_bits ? -EUCLEAN : 0;
}

int inode_image_decode(const struct mbfs_geo *geo, const uint8_t *raw, struct inode_image *out)
{
	/* Read through a copy of full length: the extra fields of a 128-byte inode are then zero.
	 */
	struct mbfs_inode_disk d = { 0 };
	size_t bytes = geo->inode_bytes < sizeof(d) ? geo->inode_bytes : sizeof(d);

	memcpy(&d, raw, bytes);
	memset(out, 0, sizeof(*out));
	if (geo->inode_bytes > MBFS_INODE_OLD_BYTES) {
		out->extra_isize = le16_get(d.extra_isize);
		if (out->extra_isize > geo->inode_bytes - MBFS_INODE_OLD_BYTES ||
		    out->extra_isize % 4)
			return -EUCLEAN;
	}
	out->mode = le16_get(d.mode);
	out->uid = le16_get(d.uid_lo) | (uint32_t)le16_get(d.uid_hi) << 16;
	out->gid = le16_get(d.gid_lo) | (uint32_t)le16_get(d.gid_hi) << 16;
	out->nlink = le16_get(d.links_count);
	out->gen = le32_get(d.generation);
	out->flags = le32_get(d.flags) & ~(uint32_t)FL_HUGE_FILE;
	out->size_bytes = le32_get(d.size_lo);
	if (S_ISREG(out->mode))
		out->size_bytes |= (uint64_t)le32_get(d.size_hi) << 32;
	out->blocks_512 = blocks_get(geo, &d);
	out->dtime = le32_get(d.dtime);
	out->xattr_blk = le32_get(d.file_acl_lo);
	if (geo->features & GEO_64BIT)
		out->xattr_blk |= (uint64_t)le16_get(d.file_acl_hi) << 32;
	memcpy(out->block, d.block, sizeof(out->block));
	if (S_ISCHR(out->mode) || S_ISBLK(out->mode))
		out->rdev = rdev_get(out->block);
	times_get(&d, out);
	return image_verify(geo, out);
}

/* ---- encode ---- */

static void blocks_put(const struct mbfs_geo *geo, const struct inode_image *in,
		       struct mbfs_inode_disk *d)
{
	uint64_t n = in->blocks_512;
	uint32_t flags = in->flags & ~(uint32_t)FL_HUGE_FILE;

	if (!(geo->features & GEO_HUGE_FILE)) {
		/* The size limit of such images keeps it below, but for an image that was damaged.
		 */
		d->blocks_lo = le32_of(n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
		d->flags = le32_of(flags);
		return;
	}
	if (n >> 48) {
		n >>= geo->block_bits - 9;
		flags |= FL_HUGE_FILE;
	}
	d->blocks_lo = le32_of((uint32_t)n);
	d->blocks_hi = le16_of((uint16_t)(n >> 32));
	d->flags = le32_of(flags);
}

static void times_put(const struct inode_image *in, struct mbfs_inode_disk *d)
{
	uint32_t extra = in->extra_isize;

	time_put(&in->atime, HAS(extra, atime_extra), &d->atime, &d->atime_extra);
	time_put(&in->mtime, HAS(extra, mtime_extra), &d->mtime, &d->mtime_extra);
	time_put(&in->ctime, HAS(extra, ctime_extra), &d->ctime, &d->ctime_extra);
	if (HAS(extra, crtime))
		time_put(&in->btime, HAS(extra, crtime_extra), &d->crtime, &d->crtime_extra);
}

void inode_image_encode(const struct mbfs_geo *geo, const struct inode_image *in, uint8_t *raw)
{
	struct mbfs_inode_disk d = { 0 };
	size_t bytes = geo->inode_bytes < sizeof(d) ? geo->inode_bytes : sizeof(d);

	MBFS_ASSERT(in->extra_isize + MBFS_INODE_OLD_BYTES <= geo->inode_bytes);
	memcpy(&d, raw, bytes);
	d.mode = le16_of((uint16_t)in->mode);
	d.uid_lo = le16_of((uint16_t)in->uid);
	d.uid_hi = le16_of((uint16_t)(in->uid >> 16));
	d.gid_lo = le16_of((uint16_t)in->gid);
	d.gid_hi = le16_of((uint16_t)(in->gid >> 16));
	d.links_count = le16_of((uint16_t)in->nlink);
	d.generation = le32_of(in->gen);
	d.size_lo = le32_of((uint32_t)in->size_bytes);
	if (S_ISREG(in->mode))
		d.size_hi = le32_of((uint32_t)(in->size_bytes >> 32));
	d.dtime = le32_of(in->dtime);
	d.file_acl_lo = le32_of((uint32_t)in->xattr_blk);
	if (geo->features & GEO_64BIT)
		d.file_acl_hi = le16_of((uint16_t)(in->xattr_blk >> 32));
	memcpy(d.block, in->block, sizeof(d.block));
	if ((S_ISCHR(in->mode) || S_ISBLK(in->mode)) && rdev_get(d.block) != in->rdev)
		rdev_put(d.block, in->rdev);
	blocks_put(geo, in, &d);
	if (geo->inode_bytes > MBFS_INODE_OLD_BYTES)
		d.extra_isize = le16_of((uint16_t)in->extra_isize);
	times_put(in, &d);
	memcpy(raw, &d, bytes);
}
