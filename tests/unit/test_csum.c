// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every checksum of real images made by mkfs.ext4 and debugfs is found right, sealing it again
 * changes nothing, and a changed byte is seen. A few structures are frozen here as bytes, for
 * machines without e2fsprogs.
 */
#include "support/t_image.h"

#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/checksum.h"
#include "disk/csum.h"
#include "disk/format.h"
#include "disk/super.h"

enum kind {
	SUPER,
	GDESC,
	BLOCK_BITMAP,
	INODE_BITMAP,
	INODE,
	EXTENT,
	DIRBLK,
	DX_ROOT,
	DX_NODE,
	XATTR,
	KIND_NR
};
static const char *const kind_names[KIND_NR] = {
	"superblock",   "descriptor",      "block bitmap", "inode bitmap", "inode",
	"extent block", "directory block", "index root",   "index node",   "attribute block",
};

/* One structure in the image: where, and what its checksum depends on. */
struct piece {
	enum kind kind;
	uint8_t *data;
	uint32_t bytes;
	uint32_t seed;      /* EXTENT, DIRBLK, DX */
	uint64_t nr;        /* group, inode or block */
	uint32_t gen;       /* INODE */
	uint32_t slots_off; /* DX */
	uint32_t covered;   /* bytes that the checksum stands for */
};

struct walk {
	struct mbfs_geo geo;
	uint8_t *image;
	uint32_t seen[KIND_NR];
};

static bool piece_ok(const struct mbfs_geo *geo, const struct piece *p)
{
	switch (p->kind) {
	case SUPER:
		return csum_super_ok(p->data);
	case GDESC:
		return le16_get(((struct mbfs_gdesc_disk *)p->data)->checksum) ==
		       csum_gdesc(geo, (mbfs_grp_t)p->nr, p->data);
	case INODE:
		return csum_inode_ok(geo, (mbfs_ino_t)p->nr, p->gen, p->data);
	case EXTENT:
		return csum_extent_ok(geo, p->seed, p->data, p->bytes);
	case DIRBLK:
		return csum_dirblk_ok(geo, p->seed, p->data, p->bytes);
	case DX_ROOT:
	case DX_NODE:
		return csum_dx_ok(geo, p->seed, p->data, p->bytes, p->slots_off);
	default:
		return csum_xattr_ok(geo, p->nr, p->data, p->bytes);
	}
}

static void piece_set(const struct mbfs_geo *geo, const struct piece *p)
{
	switch (p->kind) {
	case SUPER:
		csum_super_set(p->data);
		break;
	case GDESC:
		((struct mbfs_gdesc_disk *)p->data)->checksum =
			le16_of(csum_gdesc(geo, (mbfs_grp_t)p->nr, p->data));
		break;
	case INODE:
		csum_inode_set(geo, (mbfs_ino_t)p->nr, p->gen, p->data);
		break;
	case EXTENT:
		csum_extent_set(geo, p->seed, p->data, p->bytes);
		break;
	case DIRBLK:
		csum_dirblk_set(geo, p->seed, p->data, p->bytes);
		break;
	case DX_ROOT:
	case DX_NODE:
		csum_dx_set(geo, p->seed, p->data, p->bytes, p->slots_off);
		break;
	default:
		csum_xattr_set(geo, p->nr, p->data, p->bytes);
	}
}

/* Right as it lies there; wrong with any bit changed; right again, byte for byte, once sealed. */
static void try_piece(struct walk *w, const struct piece *p)
{
	uint32_t step = p->covered / 29 + 1;
	uint8_t *copy = malloc(p->bytes);

	w->seen[p->kind]++;
	memcpy(copy, p->data, p->bytes);
	ck_assert_msg(piece_ok(&w->geo, p), "%s %" PRIu64, kind_names[p->kind], p->nr);
	piece_set(&w->geo, p);
	ck_assert_mem_eq(p->data, copy, p->bytes);
	for (uint32_t at = 0; at < p->covered && w->seen[p->kind] < 20; at += step) {
		p->data[at] ^= 4;
		ck_assert_msg(!piece_ok(&w->geo, p), "%s %" PRIu64 ": byte %u changed",
			      kind_names[p->kind], p->nr, at);
		/* Sealing hides the change; what sealing the original gives is the original. */
		if (p->kind != DIRBLK && p->kind != EXTENT && p->kind != DX_ROOT &&
		    p->kind != DX_NODE) {
			piece_set(&w->geo, p);
			ck_assert_msg(piece_ok(&w->geo, p), "%s %" PRIu64, kind_names[p->kind],
				      p->nr);
		}
		memcpy(p->data, copy, p->bytes);
	}
	free(copy);
}

/* ---- finding them ---- */

static uint8_t *block_of(struct walk *w, mbfs_blk_t blk)
{
	ck_assert_uint_lt(blk, w->geo.blk_nr);
	return w->image + blk * w->geo.block_bytes;
}

static struct mbfs_gdesc_disk *gdesc_of(struct walk *w, mbfs_grp_t grp)
{
	return (void *)(block_of(w, w->geo.first_blk + 1) + (uint64_t)grp * w->geo.desc_bytes);
}

static void try_dir_block(struct walk *w, struct piece p, bool indexed, bool first)
{
	const struct mbfs_dirent_disk *e = (const void *)p.data;

	p.kind = DIRBLK;
	p.covered = p.bytes;
	if (indexed && first) {
		p.kind = DX_ROOT;
		p.slots_off = 0x20;
	} else if (indexed && le32_get(e->inode) == 0 &&
		   le16_get(e->rec_len) == (uint16_t)p.bytes) {
		p.kind = DX_NODE;
		p.slots_off = 8;
	}
	if (p.kind != DIRBLK) {
		mbfs_le16 count;

		memcpy(&count, p.data + p.slots_off + 2, sizeof(count));
		p.covered = p.slots_off + 8 * le16_get(count);
	}
	try_piece(w, &p);
}

static void walk_node(struct walk *w, struct piece p, const uint8_t *node, uint32_t iflags)
{
	const struct mbfs_extent_head_disk *head = (const void *)node;
	const struct mbfs_extent_idx_disk *idx = (const void *)(head + 1);
	const struct mbfs_extent_leaf_disk *leaf = (const void *)(head + 1);

	ck_assert_uint_eq(le16_get(head->magic), MBFS_EXTENT_MAGIC);
	for (unsigned i = 0; i < le16_get(head->entries); i++) {
		if (le16_get(head->depth)) {
			p.kind = EXTENT;
			p.data = block_of(w, le32_get(idx[i].leaf_lo));
			p.bytes = p.covered = w->geo.block_bytes;
			try_piece(w, &p);
			walk_node(w, p, p.data, iflags);
			continue;
		}
		for (uint32_t k = 0; (iflags & 1) && k < le16_get(leaf[i].len); k++) {
			p.data = block_of(w, le32_get(leaf[i].start_lo) + k);
			p.bytes = w->geo.block_bytes;
			try_dir_block(w, p, iflags & 2, le32_get(leaf[i].block) + k == 0);
		}
	}
}

static void walk_inode(struct walk *w, mbfs_ino_t ino, uint8_t *raw)
{
	const struct mbfs_inode_disk *d = (const void *)raw;
	uint32_t flags = le32_get(d->flags), gen = le32_get(d->generation);
	bool dir = (le16_get(d->mode) & 0xf000) == 0x4000;
	struct piece p = { INODE, raw, w->geo.inode_bytes, 0, ino, gen, 0, w->geo.inode_bytes };

	try_piece(w, &p);
	p.seed = csum_inode_seed(&w->geo, ino, gen);
	if (flags & 0x80000)
		walk_node(w, p, d->block, (dir ? 1u : 0) | (flags & 0x1000 ? 2u : 0));
	if (le32_get(d->file_acl_lo)) {
		p = (struct piece){ .kind = XATTR, .nr = le32_get(d->file_acl_lo) };
		p.data = block_of(w, p.nr);
		p.bytes = p.covered = w->geo.block_bytes;
		try_piece(w, &p);
	}
}

static void try_bitmap(struct walk *w, enum kind kind, uint8_t *bits, uint32_t bytes, uint32_t lo,
		       uint32_t hi)
{
	/* Without the second half of a descriptor there is room for 16 bits. */
	uint32_t mask = w->geo.desc_bytes > 32 ? ~0u : 0xffff, want = (lo | hi << 16) & mask;

	w->seen[kind]++;
	ck_assert_uint_eq(csum_bitmap(&w->geo, bits, bytes) & mask, want);
	bits[bytes / 2] ^= 1;
	ck_assert_uint_ne(csum_bitmap(&w->geo, bits, bytes) & mask, want);
	bits[bytes / 2] ^= 1;
}

static void walk_group(struct walk *w, mbfs_grp_t grp)
{
	struct mbfs_gdesc_disk d = { .flags = le16_of(0) };
	struct piece p = { GDESC, (void *)gdesc_of(w, grp), w->geo.desc_bytes, 0, grp, 0,
			   0,     w->geo.desc_bytes };
	uint32_t used;

	try_piece(w, &p);
	memcpy(&d, p.data, w->geo.desc_bytes < sizeof(d) ? w->geo.desc_bytes : sizeof(d));
	if ((w->geo.features & GEO_CSUM) && !(le16_get(d.flags) & 2))
		try_bitmap(w, BLOCK_BITMAP, block_of(w, le32_get(d.block_bitmap_lo)),
			   w->geo.blks_per_grp / 8, le16_get(d.block_bitmap_csum_lo),
			   le16_get(d.block_bitmap_csum_hi));
	if (!(w->geo.features & GEO_CSUM) || (le16_get(d.flags) & 1))
		return;
	try_bitmap(w, INODE_BITMAP, block_of(w, le32_get(d.inode_bitmap_lo)),
		   w->geo.inodes_per_grp / 8, le16_get(d.inode_bitmap_csum_lo),
		   le16_get(d.inode_bitmap_csum_hi));
	used = w->geo.inodes_per_grp - le16_get(d.itable_unused_lo);
	for (uint32_t i = 0; i < used; i++) {
		uint8_t *raw =
			block_of(w, le32_get(d.inode_table_lo)) + (uint64_t)i * w->geo.inode_bytes;

		if (le16_get(((struct mbfs_inode_disk *)raw)->mode))
			walk_inode(w, grp * w->geo.inodes_per_grp + i + 1, raw);
	}
}

enum {
	LEVELS = 1u << DX_NODE, /* so small blocks that the index has a second level */
	HOLES = 1u << EXTENT,   /* so small blocks that the sparse file has holes */
	BLOCKS = 1u << XATTR,   /* so small inodes that attributes go to a block */
};

static const struct {
	const char *args;
	uint32_t mib;
	bool csum;      /* metadata_csum */
	unsigned kinds; /* those that not all images have */
} rows[] = {
	{ "-b 1024", 48, true, LEVELS | HOLES | BLOCKS },
	{ "-b 1024 -g 2048", 48, true, LEVELS | HOLES | BLOCKS },
	{ "-b 4096", 64, true, HOLES | BLOCKS },
	{ "-b 65536 -N 4096", 64, true, BLOCKS },
	{ "-b 1024 -I 128", 48, true, LEVELS | HOLES | BLOCKS },
	{ "-b 1024 -I 1024", 48, true, LEVELS | HOLES },
	{ "-b 1024 -O ^64bit", 48, true, LEVELS | HOLES | BLOCKS },
	{ "-b 1024 -O metadata_csum_seed", 48, true, LEVELS | HOLES | BLOCKS },
	{ "-b 1024 -g 2048 -O ^metadata_csum,^64bit,uninit_bg", 48, false, 0 },
	{ "-b 1024 -g 2048 -O ^metadata_csum,64bit,uninit_bg", 48, false, 0 },
};

/* The seed is what counts from then on, not the UUID it was made from. */
static struct mbfs_bdev *with_new_uuid(struct mbfs_bdev *dev)
{
	char *path = t_temp();

	t_image_save(dev, path);
	mbfs_bdev_close(dev);
	free(t_runf("tune2fs -U 00000000-1111-4222-8333-444444444444 %s", path));
	dev = t_image_load(path);
	unlink(path);
	free(path);
	return dev;
}

/* Goal: all sums of a real image are understood. Method: walk all of it; try_piece() on each
 * structure. */
START_TEST(real_images_are_sealed)
{
	struct mbfs_bdev *dev = t_image_mem(rows[_i].args, (uint64_t)rows[_i].mib << 20);
	struct walk w = { .seen = { 0 } };
	struct mbfs_diag diag;
	struct super s;

	t_image_populate(dev, T_IMAGE_ALL);
	if (strstr(rows[_i].args, "metadata_csum_seed"))
		dev = with_new_uuid(dev);
	ck_assert_int_eq(super_load(dev, &s, &diag), 0);
	w.geo = s.geo;
	w.image = mbfs_bdev_mem_bytes(dev);
	if (rows[_i].csum) {
		struct piece p = { SUPER, w.image + 1024, 1024, 0, 0, 0, 0, 1020 };

		try_piece(&w, &p);
	}
	for (mbfs_grp_t grp = 0; grp < w.geo.grp_nr; grp++)
		walk_group(&w, grp);
	for (int k = 0; k < KIND_NR; k++) {
		bool always = !((LEVELS | HOLES | BLOCKS) >> k & 1);
		bool due = k == GDESC || (rows[_i].csum && (always || (rows[_i].kinds >> k & 1)));

		ck_assert_msg(!!w.seen[k] == due, "%s: %u seen", kind_names[k], w.seen[k]);
	}
	ck_assert_int_eq(t_image_fsck(dev), 0);
	mbfs_bdev_close(dev);
}
END_TEST

/* ---- frozen bytes: mkfs.ext4 1.47.0 -b 1024 -O ^has_journal, 4 MiB ---- */

static const uint8_t frozen_uuid[16] = { 0x6d, 0x62, 0x66, 0x73, 0x74, 0x65, 0x43, 0x74,
					 0x84, 0x69, 0x6d, 0x61, 0x67, 0x65, 0x00, 0x01 };

static struct mbfs_geo frozen_geo(uint32_t features, uint32_t desc_bytes)
{
	struct mbfs_geo geo = { .features = features,
				.block_bytes = 1024,
				.desc_bytes = desc_bytes,
				.inode_bytes = 256,
				.csum_seed = crc32c(~0u, frozen_uuid, sizeof(frozen_uuid)) };

	memcpy(geo.uuid, frozen_uuid, sizeof(geo.uuid));
	return geo;
}

/* Goal: both kinds of descriptor sum. Method: known bytes, and a wrong group number. */
START_TEST(frozen_descriptors)
{
	static const uint8_t crc32[64] = {
		0x22, 0x00, 0x00, 0x00, 0x32, 0x00, 0x00, 0x00, 0x42,        0x00, 0x00, 0x00,
		0xce, 0x0e, 0xf5, 0x03, 0x02, 0x00, 0x04, 0x00, 0x00,        0x00, 0x00, 0x00,
		0x10, 0xd7, 0xc9, 0xf4, 0xf5, 0x03, 0x75, 0x37, [56] = 0x8f, 0x7d, 0xc0, 0x95,
	};
	static const uint8_t crc_16[32] = {
		0x12, 0x00, 0x00, 0x00, 0x22, 0x00, 0x00, 0x00, 0x32, 0x00, 0x00,
		0x00, 0xde, 0x0e, 0xf5, 0x03, 0x02, 0x00, 0x04, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf5, 0x03, 0x94, 0xb0,
	};
	struct mbfs_geo geo = frozen_geo(GEO_CSUM | GEO_64BIT, 64);

	ck_assert_uint_eq(csum_gdesc(&geo, 0, crc32), 0x3775);
	ck_assert_uint_ne(csum_gdesc(&geo, 1, crc32), 0x3775);
	geo = frozen_geo(GEO_GDT_CSUM, 32);
	ck_assert_uint_eq(csum_gdesc(&geo, 0, crc_16), 0xb094);
	ck_assert_uint_ne(csum_gdesc(&geo, 1, crc_16), 0xb094);
	geo = frozen_geo(0, 32);
	ck_assert_uint_eq(csum_gdesc(&geo, 0, crc_16), 0);
}
END_TEST

/* Goal: both halves of the inode sum. Method: known bytes, wrong number and generation. */
START_TEST(frozen_root_inode)
{
	uint8_t
		raw[256] = {
			0xed, 0x41, 0x00, 0x00,         0x00, 0x04,         0x00, 0x00,
			0x00, 0xf1, 0x53, 0x65,         0x00, 0xf1,         0x53, 0x65,
			0x00, 0xf1, 0x53, 0x65,         0x00, 0x00,         0x00, 0x00,
			0x00, 0x00, 0x03, 0x00,         0x02, 0x00,         0x00, 0x00,
			0x00, 0x00, 0x08, 0x00,         0x00, 0x00,         0x00, 0x00,
			0x0a, 0xf3, 0x01, 0x00,         0x04, 0x00,         0x00, 0x00,
			0x00, 0x00, 0x00, 0x00,         0x00, 0x00,         0x00, 0x00,
			0x01, 0x00, 0x00, 0x00,         0x23, [124] = 0x9a, 0xc8, [128] = 0x20,
			0x00, 0x1b, 0x6f, [144] = 0x00, 0xf1, 0x53,         0x65,
		};
	struct mbfs_geo geo = frozen_geo(GEO_CSUM, 64);

	ck_assert(csum_inode_ok(&geo, 2, 0, raw));
	ck_assert(!csum_inode_ok(&geo, 3, 0, raw));
	ck_assert(!csum_inode_ok(&geo, 2, 1, raw));
	raw[130] ^= 1; /* the high half alone */
	ck_assert(!csum_inode_ok(&geo, 2, 0, raw));
	csum_inode_set(&geo, 2, 0, raw);
	ck_assert_uint_eq(raw[130], 0x1b);
}
END_TEST

/* Goal: the tail of a directory block. Method: known bytes, with and without tail. */
START_TEST(frozen_root_directory)
{
	uint8_t blk[1024] = {
		0x02, 0x00, 0x00,          0x00,          0x0c, 0x00, 0x01, 0x02, 0x2e, 0x00,
		0x00, 0x00, 0x02,          0x00,          0x00, 0x00, 0x0c, 0x00, 0x02, 0x02,
		0x2e, 0x2e, 0x00,          0x00,          0x0b, 0x00, 0x00, 0x00, 0xdc, 0x03,
		0x0a, 0x02, 0x6c,          0x6f,          0x73, 0x74, 0x2b, 0x66, 0x6f, 0x75,
		0x6e, 0x64, [1016] = 0x0c, [1019] = 0xde, 0x81, 0xf6, 0x39, 0x44,
	};
	struct mbfs_geo geo = frozen_geo(GEO_CSUM, 64);
	uint32_t seed = csum_inode_seed(&geo, 2, 0);

	ck_assert(csum_dirblk_ok(&geo, seed, blk, sizeof(blk)));
	ck_assert(!csum_dirblk_ok(&geo, csum_inode_seed(&geo, 2, 1), blk, sizeof(blk)));
	memset(blk + 1020, 0, 4);
	csum_dirblk_set(&geo, seed, blk, sizeof(blk));
	ck_assert(csum_dirblk_ok(&geo, seed, blk, sizeof(blk)));
	ck_assert_uint_eq(blk[1020], 0x81);
	blk[1019] = 0; /* no tail: nothing to check, and nothing written */
	ck_assert(!csum_dirblk_ok(&geo, seed, blk, sizeof(blk)));
	memset(blk + 1020, 0, 4);
	csum_dirblk_set(&geo, seed, blk, sizeof(blk));
	ck_assert_uint_eq(blk[1020], 0);
}
END_TEST

/* ---- hostile blocks ---- */

/* Goal: no byte outside the block is touched. Method: noise in blocks of exact size, under ASan. */
START_TEST(noise_stays_inside)
{
	struct mbfs_geo geo = frozen_geo(GEO_CSUM, 64), plain = frozen_geo(0, 64);
	struct rt_rand r = { t_seed() };
	uint8_t *blk = malloc(1024), *copy = malloc(1024);

	for (int i = 0; i < 20000; i++) {
		uint32_t slots_off = rt_rand_next(&r) & 1 ? 8 : 0x20;

		for (int k = 0; k < 40; k++)
			blk[k] = (uint8_t)(rt_rand_next(&r) >> (rt_rand_next(&r) % 9));
		csum_extent_set(&geo, 1, blk, 1024);
		csum_dirblk_set(&geo, 1, blk, 1024);
		csum_dx_set(&geo, 1, blk, 1024, slots_off);
		(void)csum_dirblk_ok(&geo, 1, blk, 1024);
		/* What was not sealed because nothing fits is not right either. */
		csum_extent_set(&geo, 1, blk, 1024);
		if (csum_extent_ok(&geo, 1, blk, 1024))
			ck_assert_uint_le(12 + 12 * (blk[4] | blk[5] << 8) + 4, 1024);
		csum_dx_set(&geo, 1, blk, 1024, slots_off);
		if (csum_dx_ok(&geo, 1, blk, 1024, slots_off))
			ck_assert_uint_le((blk[slots_off] | blk[slots_off + 1] << 8) * 8u, 1024);
		csum_inode_set(&geo, 1, 2, blk);
		ck_assert(csum_inode_ok(&geo, 1, 2, blk));
		/* Without the feature all is right and nothing is written. */
		memcpy(copy, blk, 1024);
		csum_extent_set(&plain, 1, blk, 1024);
		csum_dirblk_set(&plain, 1, blk, 1024);
		csum_dx_set(&plain, 1, blk, 1024, slots_off);
		csum_inode_set(&plain, 1, 2, blk);
		csum_xattr_set(&plain, 9, blk, 1024);
		ck_assert_mem_eq(blk, copy, 1024);
		ck_assert(csum_extent_ok(&plain, 1, blk, 1024) &&
			  csum_dirblk_ok(&plain, 1, blk, 1024) &&
			  csum_dx_ok(&plain, 1, blk, 1024, slots_off) &&
			  csum_inode_ok(&plain, 1, 2, blk) && csum_xattr_ok(&plain, 9, blk, 1024));
	}
	free(copy);
	free(blk);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("csum");
	TCase *tc = tcase_create("csum");

	tcase_set_timeout(tc, 120);
	if (t_image_have())
		tcase_add_loop_test(tc, real_images_are_sealed, 0, MBFS_ARRAY_SIZE(rows));
	tcase_add_test(tc, frozen_descriptors);
	tcase_add_test(tc, frozen_root_inode);
	tcase_add_test(tc, frozen_root_directory);
	tcase_add_test(tc, noise_stays_inside);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
