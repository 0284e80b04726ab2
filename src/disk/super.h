/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/super.h - the superblock: reading it with suspicion, and the few fields that change at run
 * time. No locks: mount is single-threaded, and later its owner (src/fs) serialises the setters.
 */
#ifndef DISK_SUPER_H
#define DISK_SUPER_H

#include "disk/format.h"
#include "disk/geo.h"

struct super {
	uint8_t raw[MBFS_SUPER_BYTES];
	struct mbfs_geo geo;
	uint16_t state; /* MBFS_STATE_* as found */
	bool needs_recovery;
	bool ro_compat_unknown; /* named in a note by super_mount_check() */
	mbfs_ino_t last_orphan;
	char label[17];
};

/*
 * super_load - read and verify the superblock of a device
 * @out: [out] raw, geo and the rest; undefined on error
 * Errors: -EINVAL no ext4, nonsense inside, or the device is shorter than the file system
 * (truncated); -EBADMSG checksum; -EOPNOTSUPP a feature, named as mkfs.ext4 names it; -EIO. @diag
 * says which and the remedy.
 */
int super_load(struct mbfs_bdev *dev, struct super *out, struct mbfs_diag *diag);

/*
 * super_mount_check - may it be mounted, and how
 * @read_only: [out] true if it may only be read: asked for, or unknown ro_compat features (a note)
 * Errors: -EROFS the journal needs recovery, or it was not unmounted cleanly; -EUCLEAN marked with
 * errors.
 */
int super_mount_check(const struct super *s, bool want_write, bool norecovery, bool errors_ok,
		      bool *read_only, struct mbfs_diag *diag, struct mbfs_diag *notes);

/* Blocks that hold no data, as mke2fs counted them (with the journal); 0: it did not. */
static inline uint32_t super_overhead_blks(const struct super *s)
{
	return le32_get(((const struct mbfs_super_disk *)s->raw)->overhead_clusters);
}

void super_set_state(struct super *s, uint16_t state);
void super_set_free(struct super *s, uint64_t blks, uint64_t inodes);
void super_set_last_orphan(struct super *s, mbfs_ino_t ino);
void super_set_large_file(struct super *s);
void super_count_mount(struct super *s, int64_t now_sec); /* mount time and count */
void super_set_write_time(struct super *s, int64_t now_sec);

/* All that a growth changes but the counts of what is free. @own_blks: of the new blocks those that
 * can never hold data. The geo stays: see geo_set_size(). */
void super_set_size(struct super *s, const struct mbfs_geo *size, uint64_t own_blks);
void super_unset_size(struct super *s, const struct super *before); /* and the counts */
/* Make of it the copy that group @grp has. */
void super_backup(struct super *s, mbfs_grp_t grp);

/* Seals the checksum and writes the primary superblock. Errors: -EIO. */
int super_write(struct mbfs_bdev *dev, struct super *s);

#endif
