// SPDX-License-Identifier: GPL-2.0-only
#include "disk/csum.h"

#include <string.h>

#include "base/checksum.h"
#include "base/endian.h"
#include "disk/format.h"

static uint16_t get16(const uint8_t *p)
{
	mbfs_le16 v;

	memcpy(&v, p, sizeof(v));
	return le16_get(v);
}

static uint32_t get32(const uint8_t *p)
{
	mbfs_le32 v;

	memcpy(&v, p, sizeof(v));
	return le32_get(v);
}

static void put16(uint8_t *p, uint16_t n)
{
	mbfs_le16 v = le16_of(n);

	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t n)
{
	mbfs_le32 v = le32_of(n);

	memcpy(p, &v, sizeof(v));
}

uint32_t csum_inode_seed(const struct mbfs_geo *geo, mbfs_ino_t ino, uint32_t gen)
{
	mbfs_le32 in[2] = { le32_of(ino), le32_of(gen) };

	return crc32c(geo->csum_seed, in, sizeof(in));
}

/* Feeds [0, bytes) with the field [skip, skip + len) taken as zeros. */
static uint32_t crc_skipping(uint32_t crc, const uint8_t *p, size_t bytes, size_t skip, size_t len)
{
	static const uint8_t zeros[4];

	crc = crc32c(crc, p, skip);
	crc = crc32c(crc, zeros, len);
	return crc32c(crc, p + skip + len, bytes - skip - len);
}

enum {
	INODE_CSUM_LO_OFF = offsetof(struct mbfs_inode_disk, checksum_lo),
	INODE_CSUM_HI_OFF = offsetof(struct mbfs_inode_disk, checksum_hi),
	INODE_EXTRA_OFF = offsetof(struct mbfs_inode_disk, extra_isize),
};

/* The high half exists if the inode's extra part reaches over it. */
static bool inode_has_hi(const struct mbfs_geo *geo, const uint8_t *raw)
{
	return geo->inode_bytes > MBFS_INODE_OLD_BYTES &&
	       get16(raw + INODE_EXTRA_OFF) >= INODE_CSUM_HI_OFF + 2 - MBFS_INODE_OLD_BYTES;
}

static uint32_t inode_crc(const struct mbfs_geo *geo, mbfs_ino_t ino, uint32_t gen,
			  const uint8_t *raw)
{
	uint32_t crc = csum_inode_seed(geo, ino, gen);
	uint32_t rest = geo->inode_bytes - MBFS_INODE_OLD_BYTES;

	crc = crc_skipping(crc, raw, MBFS_INODE_OLD_BYTES, INODE_CSUM_LO_OFF, 2);
	if (rest == 0)
		return crc;
	raw += MBFS_INODE_OLD_BYTES;
	if (inode_has_hi(geo, raw - MBFS_INODE_OLD_BYTES))
		return crc_skipping(crc, raw, rest, INODE_CSUM_HI_OFF - MBFS_INODE_OLD_BYTES, 2);
	return crc32c(crc, raw, rest);
}

bool csum_inode_ok(const struct mbfs_geo *geo, mbfs_ino_t ino, uint32_t gen, const uint8_t *raw)
{
	uint32_t crc;

	if (!(geo->features & GEO_CSUM))
		return true;
	crc = inode_crc(geo, ino, gen, raw);
	if (get16(raw + INODE_CSUM_LO_OFF) != (crc & 0xffff))
		return false;
	return !inode_has_hi(geo, raw) || get16(raw + INODE_CSUM_HI_OFF) == crc >> 16;
}

void csum_inode_set(const struct mbfs_geo *geo, mbfs_ino_t ino, uint32_t gen, uint8_t *raw)
{
	uint32_t crc;

	if (!(geo->features & GEO_CSUM))
		return;
	crc = inode_crc(geo, ino, gen, raw);
	put16(raw + INODE_CSUM_LO_OFF, crc & 0xffff);
	if (inode_has_hi(geo, raw))
		put16(raw + INODE_CSUM_HI_OFF, (uint16_t)(crc >> 16));
}

/* Where the tail of an extent block lies; 0 if the head's max leaves no room for it. */
static uint32_t extent_tail_off(const uint8_t *data, uint32_t bytes)
{
	uint32_t max = get16(data + offsetof(struct mbfs_extent_head_disk, max));
	uint32_t off = (uint32_t)sizeof(struct mbfs_extent_head_disk) +
		       max * (uint32_t)sizeof(struct mbfs_extent_leaf_disk);

	return off + sizeof(struct mbfs_extent_tail_disk) <= bytes ? off : 0;
}

bool csum_extent_ok(const struct mbfs_geo *geo, uint32_t seed, const uint8_t *data, uint32_t bytes)
{
	uint32_t off;

	if (!(geo->features & GEO_CSUM))
		return true;
	off = extent_tail_off(data, bytes);
	return off && get32(data + off) == crc32c(seed, data, off);
}

void csum_extent_set(const struct mbfs_geo *geo, uint32_t seed, uint8_t *data, uint32_t bytes)
{
	uint32_t off;

	if (!(geo->features & GEO_CSUM))
		return;
	off = extent_tail_off(data, bytes);
	if (off)
		put32(data + off, crc32c(seed, data, off));
}

static bool dirblk_has_tail(const uint8_t *data, uint32_t bytes)
{
	struct mbfs_dirent_tail_disk tail;

	memcpy(&tail, data + bytes - sizeof(tail), sizeof(tail));
	return le32_get(tail.zero) == 0 && le16_get(tail.rec_len) == sizeof(tail) &&
	       tail.name_len == 0 && tail.ftype == MBFS_DIRENT_TAIL_FTYPE;
}

bool csum_dirblk_ok(const struct mbfs_geo *geo, uint32_t seed, const uint8_t *data, uint32_t bytes)
{
	uint32_t end = bytes - (uint32_t)sizeof(struct mbfs_dirent_tail_disk);

	if (!(geo->features & GEO_CSUM))
		return true;
	return dirblk_has_tail(data, bytes) &&
	       get32(data + end + offsetof(struct mbfs_dirent_tail_disk, checksum)) ==
		       crc32c(seed, data, end);
}

void csum_dirblk_set(const struct mbfs_geo *geo, uint32_t seed, uint8_t *data, uint32_t bytes)
{
	uint32_t end = bytes - (uint32_t)sizeof(struct mbfs_dirent_tail_disk);

	if ((geo->features & GEO_CSUM) && dirblk_has_tail(data, bytes))
		put32(data + end + offsetof(struct mbfs_dirent_tail_disk, checksum),
		      crc32c(seed, data, end));
}

/*
 * Checksum of an index block: its bytes up to the last entry in use, then the tail with its own
 * checksum as zero. *@tail_off is where the tail lies.
 */
static bool dx_crc(uint32_t seed, const uint8_t *data, uint32_t bytes, uint32_t slots_off,
		   uint32_t *crc, uint32_t *tail_off)
{
	uint32_t limit = get16(data + slots_off), nr = get16(data + slots_off + 2);
	uint32_t slot = sizeof(struct mbfs_dx_entry_disk);

	*tail_off = slots_off + limit * slot;
	if (nr > limit || *tail_off + sizeof(struct mbfs_dx_tail_disk) > bytes)
		return false;
	*crc = crc32c(seed, data, slots_off + nr * slot);
	*crc = crc_skipping(*crc, data + *tail_off, sizeof(struct mbfs_dx_tail_disk),
			    offsetof(struct mbfs_dx_tail_disk, checksum), 4);
	return true;
}

bool csum_dx_ok(const struct mbfs_geo *geo, uint32_t seed, const uint8_t *data, uint32_t bytes,
		uint32_t slots_off)
{
	uint32_t crc, off;

	if (!(geo->features & GEO_CSUM))
		return true;
	return dx_crc(seed, data, bytes, slots_off, &crc, &off) &&
	       get32(data + off + offsetof(struct mbfs_dx_tail_disk, checksum)) == crc;
}

void csum_dx_set(const struct mbfs_geo *geo, uint32_t seed, uint8_t *data, uint32_t bytes,
		 uint32_t slots_off)
{
	uint32_t crc, off;

	if ((geo->features & GEO_CSUM) && dx_crc(seed, data, bytes, slots_off, &crc, &off))
		put32(data + off + offsetof(struct mbfs_dx_tail_disk, checksum), crc);
}

static uint32_t xattr_crc(const struct mbfs_geo *geo, mbfs_blk_t blk, const uint8_t *data,
			  uint32_t bytes)
{
	mbfs_le64 where = le64_of(blk);

	return crc_skipping(crc32c(geo->csum_seed, &where, sizeof(where)), data, bytes,
			    offsetof(struct mbfs_xattr_head_disk, checksum), 4);
}

bool csum_xattr_ok(const struct mbfs_geo *geo, mbfs_blk_t blk, const uint8_t *data, uint32_t bytes)
{
	return !(geo->features & GEO_CSUM) ||
	       get32(data + offsetof(struct mbfs_xattr_head_disk, checksum)) ==
		       xattr_crc(geo, blk, data, bytes);
}

void csum_xattr_set(const struct mbfs_geo *geo, mbfs_blk_t blk, uint8_t *data, uint32_t bytes)
{
	if (geo->features & GEO_CSUM)
		put32(data + offsetof(struct mbfs_xattr_head_disk, checksum),
		      xattr_crc(geo, blk, data, bytes));
}

uint32_t csum_bitmap(const struct mbfs_geo *geo, const uint8_t *bits, uint32_t bytes)
{
	return crc32c(geo->csum_seed, bits, bytes);
}

uint16_t csum_gdesc(const struct mbfs_geo *geo, mbfs_grp_t grp, const uint8_t *desc)
{
	enum { OFF = offsetof(struct mbfs_gdesc_disk, checksum) };
	mbfs_le32 le_grp = le32_of(grp);
	uint16_t crc;

	if (geo->features & GEO_CSUM)
		return crc_skipping(crc32c(geo->csum_seed, &le_grp, sizeof(le_grp)), desc,
				    geo->desc_bytes, OFF, 2) &
		       0xffff;
	if (!(geo->features & GEO_GDT_CSUM))
		return 0;
	/* crc16 leaves the field out instead of taking it as zero. */
	crc = crc16(0xffff, geo->uuid, sizeof(geo->uuid));
	crc = crc16(crc, &le_grp, sizeof(le_grp));
	crc = crc16(crc, desc, OFF);
	if (geo->desc_bytes > OFF + 2)
		crc = crc16(crc, desc + OFF + 2, geo->desc_bytes - OFF - 2);
	return crc;
}

static bool super_has_csum(const uint8_t *raw)
{
	return get32(raw + offsetof(struct mbfs_super_disk, feature_ro_compat)) &
	       MBFS_RO_COMPAT_METADATA_CSUM;
}

bool csum_super_ok(const uint8_t *raw)
{
	enum { OFF = offsetof(struct mbfs_super_disk, checksum) };

	return !super_has_csum(raw) || get32(raw + OFF) == crc32c(~0u, raw, OFF);
}

void csum_super_set(uint8_t *raw)
{
	enum { OFF = offsetof(struct mbfs_super_disk, checksum) };

	if (super_has_csum(raw))
		put32(raw + OFF, crc32c(~0u, raw, OFF));
}
