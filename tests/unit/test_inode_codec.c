// SPDX-License-Identifier: GPL-2.0-only
/* The bytes of an inode: against debugfs, around the limits of each field, and nonsense. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "disk/format.h"
#include "disk/inode_codec.h"
#include "inode/inode_priv.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum { FEATURES = GEO_64BIT | GEO_HUGE_FILE | GEO_EXTENTS | GEO_EXTRA_ISIZE };

static struct mbfs_geo geo_of(uint32_t inode_bytes, uint32_t features)
{
	return (struct mbfs_geo){ .features = features, .block_bytes = 4096, .block_bits = 12,
				  .blk_nr = 1ull << 40, .inode_bytes = inode_bytes };
}

static struct inode_image image_of(uint32_t extra_isize)
{
	return (struct inode_image){ .mode = S_IFREG | 0644,
				     .nlink = 1,
				     .extra_isize = extra_isize };
}

/* Encode and decode again. */
static struct inode_image round_trip(const struct mbfs_geo *geo, const struct inode_image *img)
{
	uint8_t raw[256] = { 0 };
	struct inode_image out;

	inode_image_encode(geo, img, raw);
	ck_assert_int_eq(inode_image_decode(geo, raw, &out), 0);
	return out;
}

/* Goal: times keep 34 bits and nanoseconds, or 32 bits; what does not fit is clamped. Method: a
 * table. */
START_TEST(times_fit_or_are_clamped)
{
	static const struct {
		uint32_t extra;
		int64_t sec;
		uint32_t nsec;
		int64_t want_sec;
		uint32_t want_nsec;
	} rows[] = {
		{ 32, 0, 0, 0, 0 },
		{ 32, 1700000000, 999999999, 1700000000, 999999999 },
		{ 32, -1, 5, -1, 5 },
		{ 32, -2147483648ll, 1, -2147483648ll, 1 },
		{ 32, -2147483649ll, 1, -2147483648ll, 0 },
		{ 32, 2147483648ll, 7, 2147483648ll, 7 },
		{ 32, 4294967296ll, 7, 4294967296ll, 7 },
		{ 32, INODE_TIME_MAX, 3, INODE_TIME_MAX, 3 },
		{ 32, INODE_TIME_MAX + 1, 3, INODE_TIME_MAX, 0 },
		{ 0, 2147483647, 9, 2147483647, 0 },
		{ 0, 2147483648ll, 9, 2147483647, 0 },
		{ 0, -5, 9, -5, 0 },
	};
	struct mbfs_geo geo = geo_of(rows[_i].extra ? 256 : 128, FEATURES);
	struct inode_image img = image_of(rows[_i].extra), out;

	img.mtime = img.atime = img.ctime = img.btime =
		(struct timespec){ rows[_i].sec, rows[_i].nsec };
	out = round_trip(&geo, &img);
	ck_assert_int_eq(out.mtime.tv_sec, rows[_i].want_sec);
	ck_assert_uint_eq(out.mtime.tv_nsec, rows[_i].want_nsec);
	ck_assert(!memcmp(&out.mtime, &out.atime, sizeof(out.mtime)));
	ck_assert(!memcmp(&out.mtime, &out.ctime, sizeof(out.mtime)));
	ck_assert_int_eq(out.btime.tv_sec, rows[_i].extra ? rows[_i].want_sec : 0);
}
END_TEST

/* Goal: a field behind extra_isize is not there. Method: every extra_isize; bytes behind it stay.
 */
START_TEST(fields_past_extra_isize_are_not_touched)
{
	struct mbfs_geo geo = geo_of(256, FEATURES);

	for (uint32_t extra = 0; extra <= 128; extra += 4) {
		struct inode_image img = image_of(extra), out;
		uint8_t raw[256];

		memset(raw, 0x5A, sizeof(raw));
		img.mtime = img.atime = img.ctime = img.btime =
			(struct timespec){ 5000000000ll, 123 };
		inode_image_encode(&geo, &img, raw);
		for (uint32_t i = 128 + (extra < 4 ? 4 : extra); i < 256; i++)
			ck_assert_msg(raw[i] == 0x5A, "extra_isize %u, byte %u", extra, i);
		ck_assert_int_eq(inode_image_decode(&geo, raw, &out), 0);
		ck_assert_int_eq(out.mtime.tv_sec, extra >= 12 ? 5000000000ll : INODE_TIME_OLD_MAX);
	}
}
END_TEST

/* Goal: counts of sectors use 32 bits, 48 bits, or file-system blocks. Method: around the limits.
 */
START_TEST(block_counts_use_what_the_image_has)
{
	static const uint64_t rows[] = {
		0, 8, 0xfffffff8, 0x100000000, 0xfffffffffff8, 0x1000000000000, 0x7ffffffffff8 << 1
	};
	struct mbfs_geo geo = geo_of(256, FEATURES),
			old = geo_of(256, FEATURES & ~(uint32_t)GEO_HUGE_FILE);
	struct inode_image img = image_of(32);
	uint8_t raw[256] = { 0 };

	img.blocks_512 = rows[_i];
	ck_assert_uint_eq(round_trip(&geo, &img).blocks_512, rows[_i]);
	ck_assert_uint_eq(round_trip(&old, &img).blocks_512,
			  rows[_i] > UINT32_MAX ? UINT32_MAX : rows[_i]);
	inode_image_encode(&geo, &img, raw);
	ck_assert_int_eq(!!(le32_get(((struct mbfs_inode_disk *)raw)->flags) & 0x40000),
			 rows[_i] >> 48 != 0);
}
END_TEST

/* Goal: owners, devices and sizes come back. Method: large values. */
START_TEST(large_values_come_back)
{
	static const dev_t devs[] = { 0, 1, 255, 256, 65536, 1048575 };
	struct mbfs_geo geo = geo_of(256, FEATURES);
	struct inode_image img = image_of(32), out;

	img.uid = 4000000000u;
	img.gid = 70000;
	img.size_bytes = 17ull << 40 >> 4;
	img.xattr_blk = 0x00ab12345678;
	img.gen = 0xdeadbeef;
	out = round_trip(&geo, &img);
	ck_assert_uint_eq(out.uid, img.uid);
	ck_assert_uint_eq(out.gid, img.gid);
	ck_assert_uint_eq(out.size_bytes, img.size_bytes);
	ck_assert_uint_eq(out.xattr_blk, img.xattr_blk);
	ck_assert_uint_eq(out.gen, img.gen);
	for (size_t i = 0; i < sizeof(devs) / sizeof(devs[0]); i++) {
		img.mode = S_IFBLK | 0600;
		img.size_bytes = 0;
		img.rdev = makedev(devs[i] % 4096, devs[i]);
		ck_assert_uint_eq(round_trip(&geo, &img).rdev, img.rdev);
	}
}
END_TEST

/* Goal: nonsense is refused. Method: one field at a time. */
START_TEST(nonsense_is_refused)
{
	struct mbfs_geo geo = geo_of(256, FEATURES);
	struct inode_image img = image_of(32), out;
	struct mbfs_inode_disk *d;
	uint8_t raw[256] = { 0 };

	inode_image_encode(&geo, &img, raw);
	d = (struct mbfs_inode_disk *)raw;
	switch (_i) {
	case 0:
		d->mode = le16_of(0);
		break;
	case 1:
		d->mode = le16_of(0x3000);
		break;
	case 2:
		d->flags = le32_of(0x10000000); /* inline_data */
		break;
	case 3:
		d->flags = le32_of(0x800); /* encrypt */
		break;
	case 4:
		d->flags = le32_of(0x200000); /* ea_inode */
		break;
	case 5:
		d->size_hi = le32_of(0x1000);
		break;
	case 6:
		d->extra_isize = le16_of(132);
		break;
	case 7:
		d->extra_isize = le16_of(30);
		break;
	case 8:
		d->file_acl_hi = le16_of(0x200);
		break;
	}
	ck_assert_int_eq(inode_image_decode(&geo, raw, &out), -EUCLEAN);
}
END_TEST

/* Goal: what mbfs does not know stays. Method: decode and encode real inodes: the same bytes. */
START_TEST(real_inodes_come_back_byte_by_byte)
{
	struct mbfs_bdev *mem = t_image_mem(_i ? "-I 128 -O ^metadata_csum" : "", 16 << 20);
	struct t_fs *fs;

	t_image_populate(mem, T_IMAGE_TREE | T_IMAGE_LINKS | T_IMAGE_XATTRS | T_IMAGE_EXTENTS);
	fs = t_fs_open(mem, &(struct t_fs_opts){ .read_only = true });
	for (mbfs_ino_t ino = 2; ino < 50; ino++) {
		uint8_t raw[256], was[256];
		struct inode_image img;

		ck_assert_int_eq(inode_raw_read(&fs->env, ino, raw), 0);
		if (!inode_raw_links(raw))
			continue;
		memcpy(was, raw, sizeof(was));
		ck_assert_int_eq(inode_image_decode(fs->env.geo, raw, &img), 0);
		inode_image_encode(fs->env.geo, &img, raw);
		ck_assert_msg(!memcmp(raw, was, fs->env.geo->inode_bytes), "inode %u", ino);
	}
	ck_assert_int_eq(t_fs_close(fs), 0);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: fields mean what e2fsprogs says. Method: set by debugfs, read here. */
START_TEST(fields_agree_with_debugfs)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs;
	struct inode *in;
	struct mbfs_attr a;

	t_image_populate(mem, T_IMAGE_TREE);
	t_image_debugfs(mem, "set_inode_field /d0/f1 uid 70000\n"
			     "set_inode_field /d0/f1 gid 131073\n"
			     "set_inode_field /d0/f1 mtime @5000000000\n"
			     "set_inode_field /d0/f1 mtime_extra 0x5\n"
			     "set_inode_field /d0/f1 generation 77\n"
			     "mknod nod b 8 1\n"
			     "set_inode_field nod block[0] 0\n"
			     "set_inode_field nod block[1] 0x11112c70\n");
	fs = t_fs_open(mem, NULL);
	in = t_fs_find(fs, "d0");
	{
		struct inode *dir = in;

		ck_assert_int_eq(namei_lookup(dir, "f1", &in), 0);
		inode_put(dir);
	}
	inode_attr(in, &a);
	ck_assert_uint_eq(a.uid, 70000);
	ck_assert_uint_eq(a.gid, 131073);
	ck_assert_uint_eq(a.gen, 77);
	ck_assert_int_eq(a.mtime.tv_sec, 5000000000ll);
	ck_assert_int_eq(a.mtime.tv_nsec, 1);
	ck_assert_uint_eq(a.size_bytes, 3000);
	inode_put(in);
	in = t_fs_find(fs, "nod");
	inode_attr(in, &a);
	ck_assert_uint_eq(a.rdev, makedev(300, 70000));
	inode_put(in);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("inode_codec");
	TCase *tc = tcase_create("codec");

	tcase_add_loop_test(tc, times_fit_or_are_clamped, 0, 12);
	tcase_add_test(tc, fields_past_extra_isize_are_not_touched);
	tcase_add_loop_test(tc, block_counts_use_what_the_image_has, 0, 7);
	tcase_add_test(tc, large_values_come_back);
	tcase_add_loop_test(tc, nonsense_is_refused, 0, 9);
	tcase_add_loop_test(tc, real_inodes_come_back_byte_by_byte, 0, 2);
	tcase_add_test(tc, fields_agree_with_debugfs);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
