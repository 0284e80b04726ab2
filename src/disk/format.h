/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/format.h - the structures of an ext4 image, little-endian, as they lie on disk. Only codecs
 * read them. Fields nobody here looks at are grouped as reserved. Source:
 * Documentation/filesystems/ext4.
 */
#ifndef DISK_FORMAT_H
#define DISK_FORMAT_H

#include <stddef.h>

#include "base/endian.h"

enum {
	MBFS_SUPER_MAGIC = 0xEF53,
	MBFS_SUPER_OFF_BYTES = 1024,
	MBFS_SUPER_BYTES = 1024,
	MBFS_EXTENT_MAGIC = 0xF30A,
	MBFS_XATTR_MAGIC = 0xEA020000,
	MBFS_INODE_OLD_BYTES = 128,
	MBFS_DIRENT_TAIL_FTYPE = 0xDE,
};

enum { MBFS_STATE_VALID = 1, MBFS_STATE_ERROR = 2, MBFS_STATE_ORPHAN = 4 };

enum {
	MBFS_COMPAT_HAS_JOURNAL = 0x4,
	MBFS_COMPAT_EXT_ATTR = 0x8,
	MBFS_COMPAT_RESIZE_INODE = 0x10,
	MBFS_COMPAT_DIR_INDEX = 0x20,
	MBFS_COMPAT_SPARSE_SUPER2 = 0x200,
	MBFS_COMPAT_ORPHAN_FILE = 0x1000,

	MBFS_INCOMPAT_FILETYPE = 0x2,
	MBFS_INCOMPAT_RECOVER = 0x4,
	MBFS_INCOMPAT_META_BG = 0x10,
	MBFS_INCOMPAT_EXTENTS = 0x40,
	MBFS_INCOMPAT_64BIT = 0x80,
	MBFS_INCOMPAT_FLEX_BG = 0x200,
	MBFS_INCOMPAT_CSUM_SEED = 0x2000,

	MBFS_RO_COMPAT_SPARSE_SUPER = 0x1,
	MBFS_RO_COMPAT_LARGE_FILE = 0x2,
	MBFS_RO_COMPAT_HUGE_FILE = 0x8,
	MBFS_RO_COMPAT_GDT_CSUM = 0x10,
	MBFS_RO_COMPAT_DIR_NLINK = 0x20,
	MBFS_RO_COMPAT_EXTRA_ISIZE = 0x40,
	MBFS_RO_COMPAT_BIGALLOC = 0x200,
	MBFS_RO_COMPAT_METADATA_CSUM = 0x400,
};

/* The superblock. Source: "Super Block". */
struct mbfs_super_disk {
	mbfs_le32 inodes_count;
	mbfs_le32 blocks_count_lo;
	mbfs_le32 r_blocks_count_lo;
	mbfs_le32 free_blocks_count_lo;
	mbfs_le32 free_inodes_count;
	mbfs_le32 first_data_block;
	mbfs_le32 log_block_size; /* 2 ^ (10 + this) bytes */
	mbfs_le32 log_cluster_size;
	mbfs_le32 blocks_per_group;
	mbfs_le32 clusters_per_group;
	mbfs_le32 inodes_per_group;
	mbfs_le32 mtime;
	mbfs_le32 wtime;
	mbfs_le16 mnt_count;
	mbfs_le16 max_mnt_count;
	mbfs_le16 magic;
	mbfs_le16 state; /* MBFS_STATE_* */
	mbfs_le16 errors;
	mbfs_le16 minor_rev_level;
	mbfs_le32 lastcheck;
	mbfs_le32 checkinterval;
	mbfs_le32 creator_os;
	mbfs_le32 rev_level;
	mbfs_le16 def_resuid;
	mbfs_le16 def_resgid;
	mbfs_le32 first_ino;
	mbfs_le16 inode_size;
	mbfs_le16 block_group_nr;
	mbfs_le32 feature_compat;
	mbfs_le32 feature_incompat;
	mbfs_le32 feature_ro_compat;
	uint8_t uuid[16];
	char volume_name[16];
	char last_mounted[64];
	mbfs_le32 algorithm_usage_bitmap;
	uint8_t prealloc_blocks;
	uint8_t prealloc_dir_blocks;
	mbfs_le16 reserved_gdt_blocks;
	uint8_t journal_uuid[16];
	mbfs_le32 journal_inum;
	mbfs_le32 journal_dev;
	mbfs_le32 last_orphan;
	mbfs_le32 hash_seed[4];
	uint8_t def_hash_version;
	uint8_t jnl_backup_type;
	mbfs_le16 desc_size;
	mbfs_le32 default_mount_opts;
	mbfs_le32 first_meta_bg;
	mbfs_le32 mkfs_time;
	mbfs_le32 jnl_blocks[17];
	mbfs_le32 blocks_count_hi;
	mbfs_le32 r_blocks_count_hi;
	mbfs_le32 free_blocks_count_hi;
	mbfs_le16 min_extra_isize;
	mbfs_le16 want_extra_isize;
	mbfs_le32 flags; /* 1 signed, 2 unsigned directory hash */
	mbfs_le16 raid_stride;
	mbfs_le16 mmp_update_interval;
	mbfs_le64 mmp_block;
	mbfs_le32 raid_stripe_width;
	uint8_t log_groups_per_flex;
	uint8_t checksum_type; /* 1: crc32c */
	mbfs_le16 reserved_pad;
	mbfs_le64 kbytes_written;
	uint8_t reserved_snapshot[20];
	mbfs_le32 error_count;
	uint8_t reserved_errors[104];
	uint8_t mount_opts[64];
	mbfs_le32 usr_quota_inum;
	mbfs_le32 grp_quota_inum;
	mbfs_le32 overhead_clusters;
	mbfs_le32 backup_bgs[2];
	uint8_t encrypt_algos[4];
	uint8_t encrypt_pw_salt[16];
	mbfs_le32 lpf_ino;
	mbfs_le32 prj_quota_inum;
	mbfs_le32 checksum_seed;
	uint8_t wtime_hi;
	uint8_t mtime_hi;
	uint8_t mkfs_time_hi;
	uint8_t reserved_tail[389];
	mbfs_le32 checksum;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_super_disk, 1024);
MBFS_DISK_OFFSET(struct mbfs_super_disk, magic, 0x38);
MBFS_DISK_OFFSET(struct mbfs_super_disk, feature_compat, 0x5C);
MBFS_DISK_OFFSET(struct mbfs_super_disk, reserved_gdt_blocks, 0xCE);
MBFS_DISK_OFFSET(struct mbfs_super_disk, last_orphan, 0xE8);
MBFS_DISK_OFFSET(struct mbfs_super_disk, desc_size, 0xFE);
MBFS_DISK_OFFSET(struct mbfs_super_disk, blocks_count_hi, 0x150);
MBFS_DISK_OFFSET(struct mbfs_super_disk, want_extra_isize, 0x15E);
MBFS_DISK_OFFSET(struct mbfs_super_disk, log_groups_per_flex, 0x174);
MBFS_DISK_OFFSET(struct mbfs_super_disk, error_count, 0x194);
MBFS_DISK_OFFSET(struct mbfs_super_disk, mount_opts, 0x200);
MBFS_DISK_OFFSET(struct mbfs_super_disk, checksum_seed, 0x270);
MBFS_DISK_OFFSET(struct mbfs_super_disk, checksum, 0x3FC);

/* A group descriptor; the second half exists with the 64bit feature. Source: "Block Group
 * Descriptors". */
struct mbfs_gdesc_disk {
	mbfs_le32 block_bitmap_lo;
	mbfs_le32 inode_bitmap_lo;
	mbfs_le32 inode_table_lo;
	mbfs_le16 free_blocks_lo;
	mbfs_le16 free_inodes_lo;
	mbfs_le16 used_dirs_lo;
	mbfs_le16 flags;
	mbfs_le32 exclude_bitmap_lo;
	mbfs_le16 block_bitmap_csum_lo;
	mbfs_le16 inode_bitmap_csum_lo;
	mbfs_le16 itable_unused_lo;
	mbfs_le16 checksum;
	mbfs_le32 block_bitmap_hi;
	mbfs_le32 inode_bitmap_hi;
	mbfs_le32 inode_table_hi;
	mbfs_le16 free_blocks_hi;
	mbfs_le16 free_inodes_hi;
	mbfs_le16 used_dirs_hi;
	mbfs_le16 itable_unused_hi;
	mbfs_le32 exclude_bitmap_hi;
	mbfs_le16 block_bitmap_csum_hi;
	mbfs_le16 inode_bitmap_csum_hi;
	mbfs_le32 reserved;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_gdesc_disk, 64);
MBFS_DISK_OFFSET(struct mbfs_gdesc_disk, checksum, 0x1E);
MBFS_DISK_OFFSET(struct mbfs_gdesc_disk, block_bitmap_csum_hi, 0x38);
enum { MBFS_GDESC_OLD_BYTES = 32 };

/* An inode: 128 bytes, then extra_isize more, then attributes. Source: "Index Nodes". */
struct mbfs_inode_disk {
	mbfs_le16 mode;
	mbfs_le16 uid_lo;
	mbfs_le32 size_lo;
	mbfs_le32 atime;
	mbfs_le32 ctime;
	mbfs_le32 mtime;
	mbfs_le32 dtime; /* of an orphan: the next one */
	mbfs_le16 gid_lo;
	mbfs_le16 links_count;
	mbfs_le32 blocks_lo;
	mbfs_le32 flags;
	mbfs_le32 version_lo;
	uint8_t block[60];
	mbfs_le32 generation;
	mbfs_le32 file_acl_lo;
	mbfs_le32 size_hi;
	mbfs_le32 obso_faddr;
	mbfs_le16 blocks_hi;
	mbfs_le16 file_acl_hi;
	mbfs_le16 uid_hi;
	mbfs_le16 gid_hi;
	mbfs_le16 checksum_lo;
	mbfs_le16 reserved;
	mbfs_le16 extra_isize;
	mbfs_le16 checksum_hi;
	mbfs_le32 ctime_extra; /* bits 0-1: epoch, bits 2-31: nanoseconds */
	mbfs_le32 mtime_extra;
	mbfs_le32 atime_extra;
	mbfs_le32 crtime;
	mbfs_le32 crtime_extra;
	mbfs_le32 version_hi;
	mbfs_le32 projid;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_inode_disk, 160);
MBFS_DISK_OFFSET(struct mbfs_inode_disk, block, 0x28);
MBFS_DISK_OFFSET(struct mbfs_inode_disk, checksum_lo, 0x7C);
MBFS_DISK_OFFSET(struct mbfs_inode_disk, extra_isize, 0x80);
MBFS_DISK_OFFSET(struct mbfs_inode_disk, crtime, 0x90);

/* Head of every extent node. Source: "Extent Tree". */
struct mbfs_extent_head_disk {
	mbfs_le16 magic;
	mbfs_le16 entries;    /* in use, <= max */
	mbfs_le16 max;        /* entries that fit in this node */
	mbfs_le16 depth;      /* 0 = leaf, at most 5 */
	mbfs_le32 generation; /* preserved, not interpreted */
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_extent_head_disk, 12);

struct mbfs_extent_idx_disk {
	mbfs_le32 block; /* first file block of the child */
	mbfs_le32 leaf_lo;
	mbfs_le16 leaf_hi;
	mbfs_le16 unused;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_extent_idx_disk, 12);

struct mbfs_extent_leaf_disk {
	mbfs_le32 block; /* first file block */
	mbfs_le16 len;   /* above 32768: unwritten, less 32768 */
	mbfs_le16 start_hi;
	mbfs_le32 start_lo;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_extent_leaf_disk, 12);

struct mbfs_extent_tail_disk {
	mbfs_le32 checksum;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_extent_tail_disk, 4);

/* Head of a directory entry; the name follows. Source: "Directory Entries". */
struct mbfs_dirent_disk {
	mbfs_le32 inode;
	mbfs_le16 rec_len;
	uint8_t name_len;
	uint8_t ftype;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_dirent_disk, 8);

struct mbfs_dirent_tail_disk {
	mbfs_le32 zero;
	mbfs_le16 rec_len; /* 12 */
	uint8_t name_len;  /* 0 */
	uint8_t ftype;     /* MBFS_DIRENT_TAIL_FTYPE */
	mbfs_le32 checksum;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_dirent_tail_disk, 12);

/* An index entry of a hashed directory; slot 0 is the limit/count pair and a block. */
struct mbfs_dx_entry_disk {
	mbfs_le32 hash;
	mbfs_le32 block;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_dx_entry_disk, 8);

struct mbfs_dx_tail_disk {
	mbfs_le32 reserved;
	mbfs_le32 checksum;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_dx_tail_disk, 8);

/* Head of an attribute block. Source: "Extended Attributes". */
struct mbfs_xattr_head_disk {
	mbfs_le32 magic;
	mbfs_le32 refcount;
	mbfs_le32 blocks;
	mbfs_le32 hash;
	mbfs_le32 checksum;
	mbfs_le32 reserved[3];
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_xattr_head_disk, 32);

struct mbfs_xattr_entry_disk {
	uint8_t name_len;
	uint8_t name_index;
	mbfs_le16 value_off;
	mbfs_le32 value_inum;
	mbfs_le32 value_size;
	mbfs_le32 hash;
} __attribute__((packed));
MBFS_DISK_SIZE(struct mbfs_xattr_entry_disk, 16);

#endif
