// SPDX-License-Identifier: GPL-2.0-only
#include "disk/features.h"

#include <stdio.h>

#include "base/check.h"

static const struct {
	enum feature_set set;
	uint32_t bit;
	const char *name;
} features[] = {
	{ FEATURE_COMPAT, 0x1, "dir_prealloc" },
	{ FEATURE_COMPAT, 0x2, "imagic_inodes" },
	{ FEATURE_COMPAT, 0x4, "has_journal" },
	{ FEATURE_COMPAT, 0x8, "ext_attr" },
	{ FEATURE_COMPAT, 0x10, "resize_inode" },
	{ FEATURE_COMPAT, 0x20, "dir_index" },
	{ FEATURE_COMPAT, 0x200, "sparse_super2" },
	{ FEATURE_COMPAT, 0x400, "fast_commit" },
	{ FEATURE_COMPAT, 0x800, "stable_inodes" },
	{ FEATURE_COMPAT, 0x1000, "orphan_file" },
	{ FEATURE_INCOMPAT, 0x1, "compression" },
	{ FEATURE_INCOMPAT, 0x2, "filetype" },
	{ FEATURE_INCOMPAT, 0x4, "needs_recovery" },
	{ FEATURE_INCOMPAT, 0x8, "journal_dev" },
	{ FEATURE_INCOMPAT, 0x10, "meta_bg" },
	{ FEATURE_INCOMPAT, 0x40, "extent" },
	{ FEATURE_INCOMPAT, 0x80, "64bit" },
	{ FEATURE_INCOMPAT, 0x100, "mmp" },
	{ FEATURE_INCOMPAT, 0x200, "flex_bg" },
	{ FEATURE_INCOMPAT, 0x400, "ea_inode" },
	{ FEATURE_INCOMPAT, 0x1000, "dirdata" },
	{ FEATURE_INCOMPAT, 0x2000, "metadata_csum_seed" },
	{ FEATURE_INCOMPAT, 0x4000, "large_dir" },
	{ FEATURE_INCOMPAT, 0x8000, "inline_data" },
	{ FEATURE_INCOMPAT, 0x10000, "encrypt" },
	{ FEATURE_INCOMPAT, 0x20000, "casefold" },
	{ FEATURE_RO_COMPAT, 0x1, "sparse_super" },
	{ FEATURE_RO_COMPAT, 0x2, "large_file" },
	{ FEATURE_RO_COMPAT, 0x4, "btree_dir" },
	{ FEATURE_RO_COMPAT, 0x8, "huge_file" },
	{ FEATURE_RO_COMPAT, 0x10, "uninit_bg" },
	{ FEATURE_RO_COMPAT, 0x20, "dir_nlink" },
	{ FEATURE_RO_COMPAT, 0x40, "extra_isize" },
	{ FEATURE_RO_COMPAT, 0x80, "snapshot" },
	{ FEATURE_RO_COMPAT, 0x100, "quota" },
	{ FEATURE_RO_COMPAT, 0x200, "bigalloc" },
	{ FEATURE_RO_COMPAT, 0x400, "metadata_csum" },
	{ FEATURE_RO_COMPAT, 0x800, "replica" },
	{ FEATURE_RO_COMPAT, 0x1000, "read-only" },
	{ FEATURE_RO_COMPAT, 0x2000, "project" },
	{ FEATURE_RO_COMPAT, 0x4000, "shared_blocks" },
	{ FEATURE_RO_COMPAT, 0x8000, "verity" },
	{ FEATURE_RO_COMPAT, 0x10000, "orphan_present" },
};

static const char *name_of(enum feature_set set, uint32_t bit)
{
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(features); i++)
		if (features[i].set == set && features[i].bit == bit)
			return features[i].name;
	return NULL;
}

void feature_names(enum feature_set set, uint32_t bits, char *buf, size_t bytes)
{
	size_t at = 0;

	buf[0] = 0;
	for (unsigned n = 0; n < 32 && at < bytes; n++) {
		const char *name = name_of(set, 1u << n);

		if (!(bits & 1u << n))
			continue;
		if (name)
			at += (size_t)snprintf(buf + at, bytes - at, "%s%s", at ? " " : "", name);
		else
			at += (size_t)snprintf(buf + at, bytes - at, "%sFEATURE_%c%u",
					       at ? " " : "", "CIR"[set], n);
	}
}
