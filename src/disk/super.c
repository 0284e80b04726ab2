// SPDX-License-Identifier: GPL-2.0-only
/*
 * The superblock is the first thing read from an image that may be anything. Whatever passes here
 * is used for arithmetic everywhere else without further checks: sizes are powers of two in range,
 * counts agree with each other, and the device is at least as long as the file system.
 */
#include "disk/super.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/checksum.h"
#include "disk/csum.h"
#include "disk/features.h"

enum {
	INCOMPAT_SUPPORTED = MBFS_INCOMPAT_FILETYPE | MBFS_INCOMPAT_RECOVER |
			     MBFS_INCOMPAT_META_BG | MBFS_INCOMPAT_EXTENTS | MBFS_INCOMPAT_64BIT |
			     MBFS_INCOMPAT_FLEX_BG | MBFS_INCOMPAT_CSUM_SEED,
	RO_COMPAT_SUPPORTED = MBFS_RO_COMPAT_SPARSE_SUPER | MBFS_RO_COMPAT_LARGE_FILE |
			      MBFS_RO_COMPAT_HUGE_FILE | MBFS_RO_COMPAT_GDT_CSUM |
			      MBFS_RO_COMPAT_DIR_NLINK | MBFS_RO_COMPAT_EXTRA_ISIZE |
			      MBFS_RO_COMPAT_METADATA_CSUM,
	BLOCK_BITS_MIN = 10,
	BLOCK_BITS_MAX = 16,
};

static const struct {
	enum feature_set set;
	uint32_t bit;
	uint32_t geo;
} feature_map[] = {
	{ FEATURE_COMPAT, MBFS_COMPAT_HAS_JOURNAL, GEO_JOURNAL },
	{ FEATURE_COMPAT, MBFS_COMPAT_EXT_ATTR, GEO_EXT_ATTR },
	{ FEATURE_COMPAT, MBFS_COMPAT_RESIZE_INODE, GEO_RESIZE_INODE },
	{ FEATURE_COMPAT, MBFS_COMPAT_DIR_INDEX, GEO_DIR_INDEX },
	{ FEATURE_COMPAT, MBFS_COMPAT_SPARSE_SUPER2, GEO_SPARSE_SUPER2 },
	{ FEATURE_INCOMPAT, MBFS_INCOMPAT_FILETYPE, GEO_FILETYPE },
	{ FEATURE_INCOMPAT, MBFS_INCOMPAT_META_BG, GEO_META_BG },
	{ FEATURE_INCOMPAT, MBFS_INCOMPAT_EXTENTS, GEO_EXTENTS },
	{ FEATURE_INCOMPAT, MBFS_INCOMPAT_64BIT, GEO_64BIT },
	{ FEATURE_INCOMPAT, MBFS_INCOMPAT_FLEX_BG, GEO_FLEX_BG },
	{ FEATURE_RO_COMPAT, MBFS_RO_COMPAT_SPARSE_SUPER, GEO_SPARSE_SUPER },
	{ FEATURE_RO_COMPAT, MBFS_RO_COMPAT_LARGE_FILE, GEO_LARGE_FILE },
	{ FEATURE_RO_COMPAT, MBFS_RO_COMPAT_HUGE_FILE, GEO_HUGE_FILE },
	{ FEATURE_RO_COMPAT, MBFS_RO_COMPAT_DIR_NLINK, GEO_DIR_NLINK },
	{ FEATURE_RO_COMPAT, MBFS_RO_COMPAT_EXTRA_ISIZE, GEO_EXTRA_ISIZE },
	{ FEATURE_RO_COMPAT, MBFS_RO_COMPAT_METADATA_CSUM, GEO_CSUM },
};

static struct mbfs_super_disk *disk_of(struct super *s)
{
	return (struct mbfs_super_disk *)s->raw;
}

static int nonsense(struct mbfs_diag *diag, const char *what, unsigned long long value)
{
	return diag_set(
		diag, -EINVAL,
		"superblock: %s is %llu, which cannot be; try a backup superblock: e2fsck -b 32768",
		what, value);
}

static int check_features(const struct mbfs_super_disk *d, struct mbfs_diag *diag)
{
	uint32_t incompat = le32_get(d->feature_incompat) & ~(uint32_t)INCOMPAT_SUPPORTED;
	char names[200];

	if (le32_get(d->rev_level) > 1)
		return nonsense(diag, "rev_level", le32_get(d->rev_level));

	if (incompat) {
		feature_names(FEATURE_INCOMPAT, incompat, names, sizeof(names));
		return diag_set(
			diag, -EOPNOTSUPP,
			"image has features mbfs does not support: %s; mount it with the kernel, "
			"or make one without them (mkfs.ext4 -O ^FEATURE)",
			names);
	}
	if (le32_get(d->feature_ro_compat) & MBFS_RO_COMPAT_BIGALLOC)
		return diag_set(
			diag, -EOPNOTSUPP,
			"image has features mbfs does not support: bigalloc; mount it with the "
			"kernel, or make one without it (mkfs.ext4 -O ^bigalloc)");
	return 0;
}

static void fill_features(const struct mbfs_super_disk *d, struct mbfs_geo *geo)
{
	uint32_t words[3] = {
		[FEATURE_COMPAT] = le32_get(d->feature_compat),
		[FEATURE_INCOMPAT] = le32_get(d->feature_incompat),
		[FEATURE_RO_COMPAT] = le32_get(d->feature_ro_compat),
	};

	geo->features = 0;
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(feature_map); i++)
		if (words[feature_map[i].set] & feature_map[i].bit)
			geo->features |= feature_map[i].geo;
	if ((words[FEATURE_RO_COMPAT] & MBFS_RO_COMPAT_GDT_CSUM) && !(geo->features & GEO_CSUM))
		geo->features |= GEO_GDT_CSUM;
}

static int fill_blocks(const struct mbfs_super_disk *d, struct mbfs_geo *geo,
		       struct mbfs_diag *diag)
{
	uint32_t log = le32_get(d->log_block_size);

	if (log > BLOCK_BITS_MAX - BLOCK_BITS_MIN)
		return nonsense(diag, "log_block_size", log);
	geo->block_bits = BLOCK_BITS_MIN + log;
	geo->block_bytes = 1u << geo->block_bits;
	geo->blk_nr = le32_get(d->blocks_count_lo);
	if (geo->features & GEO_64BIT)
		geo->blk_nr |= (mbfs_blk_t)le32_get(d->blocks_count_hi) << 32;
	if (geo->blk_nr < 8 || geo->blk_nr >> 48)
		return nonsense(diag, "blocks_count", geo->blk_nr);
	geo->first_blk = le32_get(d->first_data_block);
	if (geo->first_blk != (geo->block_bits == BLOCK_BITS_MIN))
		return nonsense(diag, "first_data_block", geo->first_blk);
	geo->blks_per_grp = le32_get(d->blocks_per_group);
	if (geo->blks_per_grp < 256 || geo->blks_per_grp > 8 * geo->block_bytes ||
	    geo->blks_per_grp % 8)
		return nonsense(diag, "blocks_per_group", geo->blks_per_grp);
	if (le32_get(d->log_cluster_size) != log ||
	    le32_get(d->clusters_per_group) != geo->blks_per_grp)
		return nonsense(diag, "clusters_per_group", le32_get(d->clusters_per_group));
	if (div_up(geo->blk_nr - geo->first_blk, geo->blks_per_grp) > UINT32_MAX / geo->block_bytes)
		return nonsense(diag, "blocks_count", geo->blk_nr);
	geo->grp_nr = (mbfs_grp_t)div_up(geo->blk_nr - geo->first_blk, geo->blks_per_grp);
	geo->resv_blk_nr = le32_get(d->r_blocks_count_lo);
	if (geo->features & GEO_64BIT)
		geo->resv_blk_nr |= (uint64_t)le32_get(d->r_blocks_count_hi) << 32;
	if (geo->resv_blk_nr > geo->blk_nr / 2)
		return nonsense(diag, "r_blocks_count", geo->resv_blk_nr);
	geo->resv_uid = le16_get(d->def_resuid);
	geo->resv_gid = le16_get(d->def_resgid);
	return 0;
}

static int fill_inodes(const struct mbfs_super_disk *d, struct mbfs_geo *geo,
		       struct mbfs_diag *diag)
{
	bool rev0 = le32_get(d->rev_level) == 0;
	uint64_t all;

	geo->inode_bytes = rev0 ? MBFS_INODE_OLD_BYTES : le16_get(d->inode_size);
	geo->first_ino = rev0 ? 11 : le32_get(d->first_ino);
	if (geo->inode_bytes < MBFS_INODE_OLD_BYTES || geo->inode_bytes > geo->block_bytes ||
	    (geo->inode_bytes & (geo->inode_bytes - 1)))
		return nonsense(diag, "inode_size", geo->inode_bytes);
	geo->inodes_per_grp = le32_get(d->inodes_per_group);
	if (geo->inodes_per_grp == 0 || geo->inodes_per_grp > 8 * geo->block_bytes ||
	    geo->inodes_per_grp % 8 ||
	    div_up((uint64_t)geo->inodes_per_grp * geo->inode_bytes, geo->block_bytes) >=
		    geo->blks_per_grp)
		return nonsense(diag, "inodes_per_group", geo->inodes_per_grp);
	all = (uint64_t)geo->inodes_per_grp * geo->grp_nr;
	geo->inode_nr = le32_get(d->inodes_count);
	if (geo->inode_nr != all)
		return nonsense(diag, "inodes_count", geo->inode_nr);
	if (geo->first_ino < 11 || geo->first_ino > geo->inodes_per_grp)
		return nonsense(diag, "first_ino", geo->first_ino);
	if (geo->inode_bytes > MBFS_INODE_OLD_BYTES) {
		uint32_t room = geo->inode_bytes - MBFS_INODE_OLD_BYTES;
		uint32_t ours = sizeof(struct mbfs_inode_disk) - MBFS_INODE_OLD_BYTES;

		geo->want_extra_isize = le16_get(d->want_extra_isize);
		if (geo->want_extra_isize > room || geo->want_extra_isize % 4)
			return nonsense(diag, "want_extra_isize", geo->want_extra_isize);
		if (geo->want_extra_isize < ours)
			geo->want_extra_isize = ours < room ? ours : room;
	}
	return 0;
}

static int fill_table(const struct mbfs_super_disk *d, struct mbfs_geo *geo, struct mbfs_diag *diag)
{
	uint32_t per_blk;

	geo->desc_bytes = MBFS_GDESC_OLD_BYTES;
	if (geo->features & GEO_64BIT) {
		geo->desc_bytes = le16_get(d->desc_size);
		if (geo->desc_bytes < sizeof(struct mbfs_gdesc_disk) ||
		    geo->desc_bytes > geo->block_bytes || (geo->desc_bytes & (geo->desc_bytes - 1)))
			return nonsense(diag, "desc_size", geo->desc_bytes);
	}
	per_blk = geo->block_bytes / geo->desc_bytes;
	geo->desc_blk_nr = (uint32_t)div_up(geo->grp_nr, per_blk);
	geo->resv_gdt_blks = le16_get(d->reserved_gdt_blocks);
	if (geo->resv_gdt_blks > geo->block_bytes / 4)
		return nonsense(diag, "reserved_gdt_blocks", geo->resv_gdt_blks);
	geo->first_meta_bg = le32_get(d->first_meta_bg);
	if ((geo->features & GEO_META_BG) && geo->first_meta_bg > geo->desc_blk_nr)
		return nonsense(diag, "first_meta_bg", geo->first_meta_bg);
	/* The superblock, the table and what is kept for its growth lie one after the other in
	 * group 0. */
	if (!(geo->features & GEO_META_BG) &&
	    1ull + geo->desc_blk_nr + geo->resv_gdt_blks >= geo_grp_len(geo, 0))
		return nonsense(diag, "reserved_gdt_blocks", geo->resv_gdt_blks);
	geo->log_grps_per_flex = geo->features & GEO_FLEX_BG ? d->log_groups_per_flex : 0;
	if (geo->log_grps_per_flex > 31)
		return nonsense(diag, "log_groups_per_flex", geo->log_grps_per_flex);
	geo->backup_grp[0] = le32_get(d->backup_bgs[0]);
	geo->backup_grp[1] = le32_get(d->backup_bgs[1]);
	return 0;
}

static int fill_seeds(const struct mbfs_super_disk *d, struct mbfs_geo *geo, struct mbfs_diag *diag)
{
	memcpy(geo->uuid, d->uuid, sizeof(geo->uuid));
	if ((geo->features & GEO_CSUM) && d->checksum_type != 1)
		return nonsense(diag, "checksum_type", d->checksum_type);
	geo->csum_seed = crc32c(~0u, d->uuid, sizeof(d->uuid));
	if (le32_get(d->feature_incompat) & MBFS_INCOMPAT_CSUM_SEED)
		geo->csum_seed = le32_get(d->checksum_seed);
	for (int i = 0; i < 4; i++)
		geo->hash_seed[i] = le32_get(d->hash_seed[i]);
	geo->def_hash_version = d->def_hash_version;
	if (geo->def_hash_version > 2)
		return nonsense(diag, "def_hash_version", geo->def_hash_version);
	geo->hash_unsigned = le32_get(d->flags) & 2;
	return 0;
}

static int check_device(const struct mbfs_geo *geo, const struct mbfs_bdev *dev,
			struct mbfs_diag *diag)
{
	if (geo->blk_nr <= dev->size_bytes >> geo->block_bits)
		return 0;
	return diag_set(
		diag, -EINVAL,
		"image is truncated: the file system has %llu bytes, the device only %llu; restore "
		"it, or extend it with truncate(1) and run e2fsck -f",
		(unsigned long long)geo->blk_nr << geo->block_bits,
		(unsigned long long)dev->size_bytes);
}

int super_load(struct mbfs_bdev *dev, struct super *out, struct mbfs_diag *diag)
{
	struct mbfs_super_disk *d = disk_of(out);
	struct mbfs_geo *geo = &out->geo;
	int err;

	memset(out, 0, sizeof(*out));
	if (dev->size_bytes < MBFS_SUPER_OFF_BYTES + MBFS_SUPER_BYTES)
		return diag_set(diag, -EINVAL, "no ext4 file system: only %llu bytes long",
				(unsigned long long)dev->size_bytes);
	err = mbfs_bdev_read(dev, MBFS_SUPER_OFF_BYTES, out->raw, sizeof(out->raw));
	if (err)
		return diag_set(diag, err, "cannot read the superblock: %s", strerror(-err));
	if (le16_get(d->magic) != MBFS_SUPER_MAGIC)
		return diag_set(diag, -EINVAL,
				"no ext4 file system found (bad magic); is offset= right? "
				"mkfs.ext4 makes one");
	err = check_features(d, diag);
	if (err)
		return err;
	if (!csum_super_ok(out->raw))
		return diag_set(diag, -EBADMSG,
				"superblock has a wrong checksum; repair the image with e2fsck -f");
	fill_features(d, geo);
	err = fill_blocks(d, geo, diag);
	if (!err)
		err = fill_inodes(d, geo, diag);
	if (!err)
		err = fill_table(d, geo, diag);
	if (!err)
		err = fill_seeds(d, geo, diag);
	if (!err)
		err = check_device(geo, dev, diag);
	if (err)
		return err;
	out->state = le16_get(d->state);
	out->needs_recovery = le32_get(d->feature_incompat) & MBFS_INCOMPAT_RECOVER;
	out->ro_compat_unknown = le32_get(d->feature_ro_compat) & ~(uint32_t)RO_COMPAT_SUPPORTED;
	/* The compatible feature orphan_file names a file of orphans that mbfs does not keep. */
	if (le32_get(d->feature_compat) & MBFS_COMPAT_ORPHAN_FILE)
		out->ro_compat_unknown = true;
	out->last_orphan = le32_get(d->last_orphan);
	memcpy(out->label, d->volume_name, 16);
	return 0;
}

static void note_read_only(const struct mbfs_super_disk *d, struct mbfs_diag *notes)
{
	char names[200], compat[40];
	uint32_t ro = le32_get(d->feature_ro_compat) & ~(uint32_t)RO_COMPAT_SUPPORTED;

	feature_names(FEATURE_RO_COMPAT, ro, names, sizeof(names));
	feature_names(FEATURE_COMPAT, le32_get(d->feature_compat) & MBFS_COMPAT_ORPHAN_FILE, compat,
		      sizeof(compat));
	diag_set(notes, 0, "mounted read-only: image has features mbfs cannot write: %s%s%s", names,
		 names[0] && compat[0] ? " " : "", compat);
}

int super_mount_check(const struct super *s, bool want_write, bool norecovery, bool errors_ok,
		      bool *read_only, struct mbfs_diag *diag, struct mbfs_diag *notes)
{
	bool ro = !want_write || s->ro_compat_unknown;

	if (s->needs_recovery && !(norecovery && ro))
		return diag_set(
			diag, -EROFS,
			"the journal needs recovery: run e2fsck -fy IMAGE first, or read it as it "
			"is with -o ro,norecovery");
	if ((s->state & MBFS_STATE_ERROR) && !(errors_ok && ro))
		return diag_set(
			diag, -EUCLEAN,
			"the file system is marked with errors: run e2fsck -fy IMAGE first, or "
			"read it as it is with -o ro,errors=continue");
	if (!(s->state & MBFS_STATE_VALID) && !ro)
		return diag_set(
			diag, -EROFS,
			"the file system was not cleanly unmounted: run e2fsck -fy IMAGE first, or "
			"read it with -o ro");
	if (s->ro_compat_unknown && want_write)
		note_read_only((const struct mbfs_super_disk *)s->raw, notes);
	*read_only = ro;
	return 0;
}

void super_set_state(struct super *s, uint16_t state)
{
	disk_of(s)->state = le16_of(state);
}

void super_set_free(struct super *s, uint64_t blks, uint64_t inodes)
{
	disk_of(s)->free_blocks_count_lo = le32_of((uint32_t)blks);
	if (s->geo.features & GEO_64BIT)
		disk_of(s)->free_blocks_count_hi = le32_of((uint32_t)(blks >> 32));
	disk_of(s)->free_inodes_count = le32_of((uint32_t)inodes);
}

void super_set_last_orphan(struct super *s, mbfs_ino_t ino)
{
	disk_of(s)->last_orphan = le32_of(ino);
}

void super_set_large_file(struct super *s)
{
	struct mbfs_super_disk *d = disk_of(s);

	d->feature_ro_compat = le32_of(le32_get(d->feature_ro_compat) | MBFS_RO_COMPAT_LARGE_FILE);
}

void super_count_mount(struct super *s, int64_t now_sec)
{
	struct mbfs_super_disk *d = disk_of(s);

	d->mnt_count = le16_of((uint16_t)(le16_get(d->mnt_count) + 1));
	d->mtime = le32_of((uint32_t)now_sec);
	d->mtime_hi = (uint8_t)((uint64_t)now_sec >> 32);
}

void super_set_write_time(struct super *s, int64_t now_sec)
{
	disk_of(s)->wtime = le32_of((uint32_t)now_sec);
	disk_of(s)->wtime_hi = (uint8_t)((uint64_t)now_sec >> 32);
}

void super_set_size(struct super *s, const struct mbfs_geo *size, uint64_t own_blks)
{
	struct mbfs_super_disk *d = disk_of(s);
	uint32_t own = le32_get(d->overhead_clusters);

	d->inodes_count = le32_of(size->inode_nr);
	d->blocks_count_lo = le32_of((uint32_t)size->blk_nr);
	d->r_blocks_count_lo = le32_of((uint32_t)size->resv_blk_nr);
	if (s->geo.features & GEO_64BIT) {
		d->blocks_count_hi = le32_of((uint32_t)(size->blk_nr >> 32));
		d->r_blocks_count_hi = le32_of((uint32_t)(size->resv_blk_nr >> 32));
	}
	d->reserved_gdt_blocks = le16_of((uint16_t)size->resv_gdt_blks);
	/* 0: nobody has counted them; more than fit: nobody shall take it for the number. */
	if (own && own_blks <= UINT32_MAX - own)
		d->overhead_clusters = le32_of(own + (uint32_t)own_blks);
	else
		d->overhead_clusters = le32_of(0);
}

void super_unset_size(struct super *s, const struct super *before)
{
	struct mbfs_super_disk *d = disk_of(s);
	const struct mbfs_super_disk *b = (const struct mbfs_super_disk *)before->raw;

	d->inodes_count = b->inodes_count;
	d->blocks_count_lo = b->blocks_count_lo;
	d->blocks_count_hi = b->blocks_count_hi;
	d->r_blocks_count_lo = b->r_blocks_count_lo;
	d->r_blocks_count_hi = b->r_blocks_count_hi;
	d->reserved_gdt_blocks = b->reserved_gdt_blocks;
	d->overhead_clusters = b->overhead_clusters;
	d->free_blocks_count_lo = b->free_blocks_count_lo;
	d->free_blocks_count_hi = b->free_blocks_count_hi;
	d->free_inodes_count = b->free_inodes_count;
}

void super_backup(struct super *s, mbfs_grp_t grp)
{
	struct mbfs_super_disk *d = disk_of(s);

	d->block_group_nr = le16_of((uint16_t)grp);
	d->state = le16_of((uint16_t)(le16_get(d->state) & ~MBFS_STATE_VALID));
	csum_super_set(s->raw);
}

int super_write(struct mbfs_bdev *dev, struct super *s)
{
	MBFS_ASSERT(le16_get(disk_of(s)->magic) == MBFS_SUPER_MAGIC);
	csum_super_set(s->raw);
	return mbfs_bdev_write(dev, MBFS_SUPER_OFF_BYTES, s->raw, sizeof(s->raw));
}
