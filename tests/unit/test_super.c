// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_image.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "disk/csum.h"
#include "support/t_super.h"

/* A message for a person: one line, something in it, no trace of formatting. */
static void is_one_line(const struct mbfs_diag *diag)
{
	ck_assert_msg(diag->text[0] && !strpbrk(diag->text, "\n\\"), "diag: '%s'", diag->text);
}

/* ---- what mkfs.ext4 makes ---- */

enum { LOADS, READ_ONLY, REFUSED };

static const struct image_row {
	const char *args;
	uint32_t mib;
	int expect;
	const char *name; /* of the feature that the message must name */
} images[] = {
	{ "", 16, LOADS, NULL },
	{ "", 600, LOADS, NULL },
	{ "-b 1024", 16, LOADS, NULL },
	{ "-b 1024 -N 16", 1, LOADS, NULL },
	{ "-b 2048", 16, LOADS, NULL },
	{ "-b 4096", 16, LOADS, NULL },
	{ "-b 65536", 64, LOADS, NULL },
	{ "-b 65536 -O ^has_journal", 240, LOADS, NULL },
	{ "-O ^has_journal", 16, LOADS, NULL },
	{ "-O ^64bit", 16, LOADS, NULL },
	{ "-O ^metadata_csum", 16, LOADS, NULL },
	{ "-O ^metadata_csum,^64bit,uninit_bg", 16, LOADS, NULL },
	{ "-O ^metadata_csum,^64bit,^uninit_bg", 16, LOADS, NULL },
	{ "-O metadata_csum_seed", 16, LOADS, NULL },
	{ "-O ^flex_bg", 16, LOADS, NULL },
	{ "-G 1 -g 1024", 64, LOADS, NULL },
	{ "-G 64 -g 1024", 64, LOADS, NULL },
	{ "-O ^sparse_super,^resize_inode", 200, LOADS, NULL },
	{ "-O sparse_super2", 200, LOADS, NULL },
	{ "-O ^resize_inode", 16, LOADS, NULL },
	{ "-O ^resize_inode,meta_bg", 64, LOADS, NULL },
	{ "-O ^resize_inode,meta_bg -b 1024", 64, LOADS, NULL },
	{ "-O ^extent,^64bit", 16, LOADS, NULL },
	{ "-O ^dir_index", 16, LOADS, NULL },
	{ "-O ^filetype", 16, LOADS, NULL },
	{ "-O ^huge_file,^dir_nlink,^extra_isize", 16, LOADS, NULL },
	{ "-I 128", 16, LOADS, NULL },
	{ "-I 512", 16, LOADS, NULL },
	{ "-I 1024 -b 1024", 16, LOADS, NULL },
	{ "-r 0 -O none", 16, LOADS, NULL },
	{ "-m 0", 16, LOADS, NULL },
	{ "-m 50", 16, LOADS, NULL },
	{ "-O quota", 16, READ_ONLY, "quota" },
	{ "-O quota,project", 16, READ_ONLY, "project" },
	{ "-O verity", 16, READ_ONLY, "verity" },
	{ "-O orphan_file", 16, READ_ONLY, "orphan_file" },
	{ "-O inline_data", 16, REFUSED, "inline_data" },
	{ "-O encrypt", 16, REFUSED, "encrypt" },
	{ "-O casefold", 16, REFUSED, "casefold" },
	{ "-O ea_inode", 16, REFUSED, "ea_inode" },
	{ "-O large_dir", 16, REFUSED, "large_dir" },
	{ "-O mmp", 16, REFUSED, "mmp" },
	{ "-O bigalloc", 16, REFUSED, "bigalloc" },
	{ "-O bigalloc -C 65536", 64, REFUSED, "bigalloc" },
	{ "-O journal_dev", 16, REFUSED, "journal_dev" },
	{ "-O encrypt,casefold,inline_data", 16, REFUSED, "inline_data encrypt casefold" },
};

/* The number behind @label in what debugfs prints of a superblock. */
static uint64_t stat_of(const char *stats, const char *label)
{
	const char *at = strstr(stats, label);

	return at ? strtoull(at + strlen(label), NULL, 0) : 0;
}

/* Goal: debugfs and we see the same file system. */
static void agrees_with_debugfs(struct mbfs_bdev *dev, const struct mbfs_geo *g)
{
	char *stats = t_image_ask(dev, "show_super_stats -h");

	ck_assert_uint_eq(g->blk_nr, stat_of(stats, "\nBlock count:"));
	ck_assert_uint_eq(g->resv_blk_nr, stat_of(stats, "\nReserved block count:"));
	ck_assert_uint_eq(g->inode_nr, stat_of(stats, "\nInode count:"));
	ck_assert_uint_eq(g->first_blk, stat_of(stats, "\nFirst block:"));
	ck_assert_uint_eq(g->block_bytes, stat_of(stats, "\nBlock size:"));
	ck_assert_uint_eq(g->blks_per_grp, stat_of(stats, "\nBlocks per group:"));
	ck_assert_uint_eq(g->inodes_per_grp, stat_of(stats, "\nInodes per group:"));
	ck_assert_uint_eq(g->resv_gdt_blks, stat_of(stats, "\nReserved GDT blocks:"));
	ck_assert_uint_eq(g->first_meta_bg, stat_of(stats, "\nFirst meta block group:"));
	ck_assert_uint_eq(1u << g->log_grps_per_flex,
			  stat_of(stats, "\nFlex block group size:") ?: 1);
	if (strstr(stats, "\nFirst inode:"))
		ck_assert_uint_eq(g->first_ino, stat_of(stats, "\nFirst inode:"));
	if (strstr(stats, "\nInode size:"))
		ck_assert_uint_eq(g->inode_bytes, stat_of(stats, "\nInode size:"));
	if (g->features & GEO_64BIT)
		ck_assert_uint_eq(g->desc_bytes, stat_of(stats, "\nGroup descriptor size:"));
	ck_assert_int_eq(!!(g->features & GEO_CSUM), strstr(stats, " metadata_csum") != NULL);
	ck_assert_int_eq(!!(g->features & GEO_EXTENTS), strstr(stats, " extent") != NULL);
	free(stats);
}

/* Goal: each kind of image is taken, taken for reading only, or refused by name. Method: row _i. */
START_TEST(images_of_mkfs)
{
	const struct image_row *row = &images[_i];
	struct mbfs_bdev *dev = t_image_mem_try(row->args, (uint64_t)row->mib << 20);
	struct mbfs_diag diag = { "" }, notes = { "" };
	struct super s;
	bool ro = true;
	int err;

	if (!dev) {
		printf("this mkfs.ext4 does not know: %s\n", row->args);
		return;
	}
	err = super_load(dev, &s, &diag);
	if (row->expect == REFUSED) {
		ck_assert_int_eq(err, -EOPNOTSUPP);
		is_one_line(&diag);
		ck_assert_msg(strstr(diag.text, row->name), "'%s' names no %s", diag.text,
			      row->name);
		mbfs_bdev_close(dev);
		return;
	}
	ck_assert_msg(err == 0, "%s: %d %s", row->args, err, diag.text);
	ck_assert_str_eq(diag.text, "");
	ck_assert_msg(!t_geo_fault(&s.geo, dev->size_bytes), "%s: %s", row->args,
		      t_geo_fault(&s.geo, dev->size_bytes));
	agrees_with_debugfs(dev, &s.geo);
	ck_assert_int_eq(super_mount_check(&s, true, false, false, &ro, &diag, &notes), 0);
	ck_assert_int_eq(ro, row->expect == READ_ONLY);
	if (row->expect == READ_ONLY) {
		is_one_line(&notes);
		ck_assert_msg(strstr(notes.text, row->name), "'%s' names no %s", notes.text,
			      row->name);
	} else {
		ck_assert_str_eq(notes.text, "");
	}
	mbfs_bdev_close(dev);
}
END_TEST

/* ---- images that are none ---- */

/* A device with one superblock in it, made from @from's; size as @from's, all else zero. */
static void super_load_bytes(struct mbfs_bdev *mem, const uint8_t *raw, struct super *s, int *err)
{
	struct mbfs_diag diag = { "" };

	memcpy(mbfs_bdev_mem_bytes(mem) + MBFS_SUPER_OFF_BYTES, raw, MBFS_SUPER_BYTES);
	*err = super_load(mem, s, &diag);
	ck_assert_int_le(*err, 0);
	if (*err)
		is_one_line(&diag);
	else
		ck_assert_str_eq(diag.text, "");
}

/* Accepted or not, the answer must be one that the rest can live with. */
static void try_flip(struct mbfs_bdev *mem, const uint8_t *good, size_t at, uint8_t value)
{
	uint8_t raw[MBFS_SUPER_BYTES];
	struct mbfs_diag diag, notes;
	const char *fault;
	struct super s;
	bool ro;
	int err;

	memcpy(raw, good, sizeof(raw));
	raw[at] = value;
	csum_super_set(raw);
	super_load_bytes(mem, raw, &s, &err);
	if (err) {
		ck_assert_msg(err == -EINVAL || err == -EOPNOTSUPP || err == -EBADMSG,
			      "byte %zu: %d", at, err);
		return;
	}
	fault = t_geo_fault(&s.geo, mem->size_bytes);
	ck_assert_msg(!fault, "byte %#zx = %#x accepted: %s", at, value, fault);
	err = super_mount_check(&s, true, false, false, &ro, &diag, &notes);
	ck_assert_msg(err == 0 || err == -EROFS || err == -EUCLEAN, "byte %zu: %d", at, err);
}

static const struct {
	const char *args;
	uint32_t mib;
} flip_images[] = {
	{ "", 16 },
	{ "-b 1024", 16 },
	{ "-b 65536", 64 },
	{ "-O ^64bit,^metadata_csum", 16 },
	{ "-I 128", 16 },
	{ "-g 1024", 64 },
	{ "-O ^resize_inode,meta_bg", 64 },
	{ "-r 0 -O none", 16 },
};

/* Goal: no single wrong byte crashes or passes as nonsense. Method: each byte, several values,
 * sealed. */
START_TEST(every_byte_of_the_superblock_wrong)
{
	struct mbfs_bdev *dev =
		t_image_mem(flip_images[_i].args, (uint64_t)flip_images[_i].mib << 20);
	uint8_t good[MBFS_SUPER_BYTES];
	struct super s;
	int err;

	memcpy(good, mbfs_bdev_mem_bytes(dev) + MBFS_SUPER_OFF_BYTES, sizeof(good));
	for (size_t at = 0; at < sizeof(good); at++) {
		for (unsigned bit = 0; bit < 8; bit++)
			try_flip(dev, good, at, good[at] ^ (uint8_t)(1u << bit));
		try_flip(dev, good, at, 0);
		try_flip(dev, good, at, 0xff);
		try_flip(dev, good, at, (uint8_t)(good[at] + 1));
		try_flip(dev, good, at, (uint8_t)(good[at] - 1));
	}
	super_load_bytes(dev, good, &s, &err);
	ck_assert_int_eq(err, 0); /* the twin of all rows above: untouched, it loads */
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: with metadata_csum no unsealed change passes. Method: one bit of each byte. */
START_TEST(checksum_sees_every_byte)
{
	struct mbfs_bdev *dev = t_image_mem("", 16 << 20);
	uint8_t *raw = mbfs_bdev_mem_bytes(dev) + MBFS_SUPER_OFF_BYTES;
	struct mbfs_diag diag;
	struct super s;

	for (size_t at = 0; at < MBFS_SUPER_BYTES; at++) {
		raw[at] ^= 0x10;
		/* In no byte is this the bit that says there is a checksum. */
		ck_assert_msg(super_load(dev, &s, &diag) < 0, "byte %#zx changed", at);
		raw[at] ^= 0x10;
	}
	ck_assert_int_eq(super_load(dev, &s, &diag), 0);
	raw[0x10] ^= 1; /* free inodes: nothing but the checksum looks at it */
	ck_assert_int_eq(super_load(dev, &s, &diag), -EBADMSG);
	is_one_line(&diag);
	mbfs_bdev_close(dev);
}
END_TEST

static void put32(uint8_t *raw, size_t off, uint32_t n)
{
	mbfs_le32 v = le32_of(n);

	memcpy(raw + off, &v, sizeof(v));
}

/* Goal: fields that cannot be together are refused. Method: the words of row _i, sealed. */
START_TEST(impossible_geometry_is_refused)
{
	static const struct {
		const char *what;
		struct {
			size_t off;
			uint32_t value;
		} set[3];
	} rows[] = {
		{ "block size 2^31", { { 0x18, 21 } } },
		{ "block size 128 KiB", { { 0x18, 7 }, { 0x1c, 7 } } },
		{ "no blocks", { { 0x04, 0 } } },
		{ "blocks past 2^48", { { 0x150, 0x10000 } } },
		{ "first block 1 with 4 KiB blocks", { { 0x14, 1 } } },
		{ "no blocks in a group", { { 0x20, 0 }, { 0x24, 0 } } },
		{ "blocks in a group not times 8", { { 0x20, 32767 }, { 0x24, 32767 } } },
		{ "more blocks than bits in a bitmap", { { 0x20, 32776 }, { 0x24, 32776 } } },
		{ "clusters are not blocks", { { 0x1c, 4 } } },
		{ "no inodes in a group", { { 0x28, 0 }, { 0x00, 0 } } },
		{ "more inodes than bits in a bitmap", { { 0x28, 32776 }, { 0x00, 32776 } } },
		{ "inode table fills the group",
		  { { 0x28, 32768 }, { 0x00, 32768 }, { 0x58, 4096 } } },
		{ "inode count disagrees", { { 0x00, 4097 } } },
		{ "inode size 200", { { 0x58, 200 } } },
		{ "inode size 8192", { { 0x58, 8192 } } },
		{ "first inode 3", { { 0x54, 3 } } },
		{ "first inode behind the last", { { 0x54, 0xffffffff } } },
		{ "revision 2", { { 0x4c, 2 } } },
		{ "more reserved blocks than blocks", { { 0x08, 0x7fffffff } } },
	};
	struct mbfs_bdev *dev = t_image_mem("-b 4096", 16 << 20);
	uint8_t *raw = mbfs_bdev_mem_bytes(dev) + MBFS_SUPER_OFF_BYTES;
	struct mbfs_diag diag = { "" };
	struct super s;
	int err;

	for (size_t i = 0; i < MBFS_ARRAY_SIZE(rows); i++) {
		uint8_t good[MBFS_SUPER_BYTES];

		memcpy(good, raw, sizeof(good));
		for (int k = 0; k < 3 && (k == 0 || rows[i].set[k].off); k++)
			put32(raw, rows[i].set[k].off, rows[i].set[k].value);
		csum_super_set(raw);
		err = super_load(dev, &s, &diag);
		ck_assert_msg(err == -EINVAL, "%s: %d %s", rows[i].what, err, err ? diag.text : "");
		is_one_line(&diag);
		memcpy(raw, good, sizeof(good));
	}
	ck_assert_int_eq(super_load(dev, &s, &diag), 0);
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: an image cut short is refused, with both sizes. Method: cut in many places. */
START_TEST(truncated_image_is_refused)
{
	struct mbfs_bdev *dev = t_image_mem("", 16 << 20), *cut;
	struct mbfs_diag diag;
	struct super s;

	for (uint64_t size = dev->size_bytes - 1; size >= 2048; size = size * 3 / 4) {
		char number[32];

		ck_assert_int_eq(mbfs_bdev_open_mem(size, &cut), 0);
		memcpy(mbfs_bdev_mem_bytes(cut), mbfs_bdev_mem_bytes(dev), 2048);
		ck_assert_int_eq(super_load(cut, &s, &diag), -EINVAL);
		is_one_line(&diag);
		snprintf(number, sizeof(number), " %" PRIu64, size);
		ck_assert_msg(strstr(diag.text, number) && strstr(diag.text, " 16777216 "), "%s",
			      diag.text);
		mbfs_bdev_close(cut);
	}
	/* One whole block beyond the end is no fault. */
	ck_assert_int_eq(mbfs_bdev_open_mem(dev->size_bytes + 4096, &cut), 0);
	memcpy(mbfs_bdev_mem_bytes(cut), mbfs_bdev_mem_bytes(dev), 2048);
	ck_assert_int_eq(super_load(cut, &s, &diag), 0);
	mbfs_bdev_close(cut);
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: what is no ext4 at all is refused. Method: zeros and noise of all small sizes. */
START_TEST(garbage_is_refused)
{
	struct rt_rand r = { t_seed() };
	struct mbfs_diag diag;
	struct mbfs_bdev *dev;
	struct super s;

	for (uint64_t size = 1; size < 5000; size += 1 + rt_rand_below(&r, 97)) {
		ck_assert_int_eq(mbfs_bdev_open_mem(size, &dev), 0);
		ck_assert_int_eq(super_load(dev, &s, &diag), -EINVAL);
		is_one_line(&diag);
		for (uint64_t i = 0; i < size; i++)
			mbfs_bdev_mem_bytes(dev)[i] = (uint8_t)rt_rand_next(&r);
		ck_assert_int_lt(super_load(dev, &s, &diag), 0);
		is_one_line(&diag);
		mbfs_bdev_close(dev);
	}
}
END_TEST

/* ---- may it be mounted ---- */

/* Goal: state, recovery and options decide as ext4 users expect. Method: table, on a real image. */
START_TEST(state_decides_the_mount)
{
	static const struct {
		uint16_t state;
		bool recovery, want_write, norecovery, errors_ok;
		int err;
		bool ro;
	} rows[] = {
		{ MBFS_STATE_VALID, false, true, false, false, 0, false },
		{ MBFS_STATE_VALID, false, false, false, false, 0, true },
		{ MBFS_STATE_VALID, false, true, true, true, 0, false },
		{ 0, false, true, false, false, -EROFS, false },
		{ 0, false, true, true, true, -EROFS, false },
		{ 0, false, false, false, false, 0, true },
		{ MBFS_STATE_VALID, true, true, false, false, -EROFS, false },
		{ MBFS_STATE_VALID, true, true, true, false, -EROFS, false },
		{ MBFS_STATE_VALID, true, false, false, false, -EROFS, false },
		{ MBFS_STATE_VALID, true, false, true, false, 0, true },
		{ MBFS_STATE_VALID | MBFS_STATE_ERROR, false, true, false, false, -EUCLEAN, false },
		{ MBFS_STATE_VALID | MBFS_STATE_ERROR, false, true, false, true, -EUCLEAN, false },
		{ MBFS_STATE_VALID | MBFS_STATE_ERROR, false, false, false, false, -EUCLEAN,
		  false },
		{ MBFS_STATE_VALID | MBFS_STATE_ERROR, false, false, false, true, 0, true },
	};
	struct mbfs_bdev *dev = t_image_mem("", 16 << 20);

	for (size_t i = 0; i < MBFS_ARRAY_SIZE(rows); i++) {
		struct mbfs_diag diag = { "" }, notes = { "" };
		struct super s;
		bool ro = false;
		int err;

		ck_assert_int_eq(super_load(dev, &s, &diag), 0);
		super_set_state(&s, rows[i].state);
		((struct mbfs_super_disk *)s.raw)->feature_incompat =
			le32_of(0x2c2u | (rows[i].recovery ? MBFS_INCOMPAT_RECOVER : 0));
		ck_assert_int_eq(super_write(dev, &s), 0);
		ck_assert_int_eq(super_load(dev, &s, &diag), 0);
		ck_assert_uint_eq(s.state, rows[i].state);
		ck_assert_int_eq(s.needs_recovery, rows[i].recovery);
		err = super_mount_check(&s, rows[i].want_write, rows[i].norecovery,
					rows[i].errors_ok, &ro, &diag, &notes);
		ck_assert_msg(err == rows[i].err, "row %zu: %d %s", i, err, diag.text);
		if (err) {
			is_one_line(&diag);
			ck_assert_ptr_nonnull(strstr(diag.text, "e2fsck -fy"));
		} else {
			ck_assert_int_eq(ro, rows[i].ro);
		}
	}
	mbfs_bdev_close(dev);
}
END_TEST

/* ---- writing ---- */

/* Goal: what the setters write, debugfs reads, and the rest stays. Method: set all, write, ask. */
START_TEST(setters_are_understood)
{
	static const char *const args[] = { "-L some-label",
					    "-O ^metadata_csum,^64bit -L some-label" };
	struct mbfs_bdev *dev = t_image_mem(args[_i], 16 << 20);
	uint8_t before[MBFS_SUPER_BYTES];
	struct mbfs_diag diag;
	struct super s, again;
	uint32_t changed = 0;
	char *stats;

	ck_assert_int_eq(super_load(dev, &s, &diag), 0);
	ck_assert_str_eq(s.label, "some-label");
	memcpy(before, s.raw, sizeof(before));
	ck_assert_int_eq(super_write(dev, &s), 0);
	ck_assert_mem_eq(mbfs_bdev_mem_bytes(dev) + MBFS_SUPER_OFF_BYTES, before, sizeof(before));
	super_set_state(&s, MBFS_STATE_VALID | MBFS_STATE_ERROR);
	super_set_free(&s, 777, 333);
	super_set_last_orphan(&s, 12);
	super_set_large_file(&s);
	super_count_mount(&s, 0x123456789);
	super_set_write_time(&s, 0x100000002);
	ck_assert_int_eq(super_write(dev, &s), 0);
	ck_assert_int_eq(super_load(dev, &again, &diag), 0);
	ck_assert_uint_eq(again.last_orphan, 12);
	ck_assert_uint_eq(again.state, MBFS_STATE_VALID | MBFS_STATE_ERROR);
	ck_assert(again.geo.features & GEO_LARGE_FILE);
	stats = t_image_ask(dev, "show_super_stats -h");
	ck_assert_uint_eq(stat_of(stats, "\nFree blocks:"), 777);
	ck_assert_uint_eq(stat_of(stats, "\nFree inodes:"), 333);
	ck_assert_uint_eq(stat_of(stats, "\nMount count:"), 1);
	ck_assert_uint_eq(stat_of(stats, "\nFirst orphan inode:"), 12);
	ck_assert_msg(strstr(stats, "clean with errors"), "%s", stats);
	free(stats);
	for (size_t i = 0; i < sizeof(before); i++)
		changed += before[i] != s.raw[i];
	ck_assert_uint_le(changed, 2 + 8 + 4 + 4 + 1 + 2 + 5 + 5 + 4);
	mbfs_bdev_close(dev);
}
END_TEST

/* Goal: the device's errors come through, with a message. Method: fail the read, the write. */
START_TEST(device_errors_come_through)
{
	const struct mbfs_fault_plan plan = { .fail_read_at = 2, .fail_write_at = 1 };
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20), *dev;
	struct mbfs_diag diag = { "" };
	struct super s;

	ck_assert_int_eq(mbfs_bdev_open_fault(mem, &plan, &dev), 0);
	ck_assert_int_eq(super_load(dev, &s, &diag), 0);
	ck_assert_int_eq(super_write(dev, &s), -EIO);
	ck_assert_int_eq(super_load(dev, &s, &diag), -EIO);
	is_one_line(&diag);
	mbfs_bdev_close(dev);
	ck_assert_int_eq(t_image_fsck(mem), 0);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("super");
	TCase *tc = tcase_create("super");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, images_of_mkfs, 0, MBFS_ARRAY_SIZE(images));
	tcase_add_loop_test(tc, every_byte_of_the_superblock_wrong, 0,
			    MBFS_ARRAY_SIZE(flip_images));
	tcase_add_test(tc, checksum_sees_every_byte);
	tcase_add_test(tc, impossible_geometry_is_refused);
	tcase_add_test(tc, truncated_image_is_refused);
	tcase_add_test(tc, garbage_is_refused);
	tcase_add_test(tc, state_decides_the_mount);
	tcase_add_loop_test(tc, setters_are_understood, 0, 2);
	tcase_add_test(tc, device_errors_come_through);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
