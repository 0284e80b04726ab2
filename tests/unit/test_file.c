// SPDX-License-Identifier: GPL-2.0-only
/* Bytes of files: limits, running out of blocks, old kinds of files, failing devices and memory. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "inode/inode_priv.h"
#include "rt/mem.h"
#include "support/t_fs.h"
#include "support/t_image.h"

static uint8_t *pattern(size_t bytes, uint8_t seed)
{
	uint8_t *buf = malloc(bytes);

	for (size_t i = 0; i < bytes; i++)
		buf[i] = (uint8_t)(seed + i % 97 + 1);
	return buf;
}

static void expect(struct inode *in, uint64_t off, const uint8_t *want, size_t bytes)
{
	uint8_t *got = malloc(bytes);
	ssize_t nr = file_read(in, got, bytes, off);

	if (nr != (ssize_t)bytes) /* a fault may strike here: once */
		nr = file_read(in, got, bytes, off);
	ck_assert_int_eq(nr, (ssize_t)bytes);
	for (size_t i = 0; i < bytes; i++)
		if (got[i] != (want ? want[i] : 0))
			ck_abort_msg("byte %" PRIu64 " is %#x, not %#x", off + i, got[i],
				     want ? want[i] : 0);
	free(got);
}

/* ---- limits ---- */

/* Goal: the last byte can be written, nothing past it. Method: at the limit of each block size. */
START_TEST(limits_are_the_formats)
{
	static const struct {
		const char *args;
		uint32_t block;
	} rows[] = {
		{ "-b 1024", 1024 },
		{ "-b 4096", 4096 },
		{ "-b 65536", 65536 },
	};
	struct mbfs_bdev *mem = t_image_mem(rows[_i].args, 128 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0600);
	uint64_t max = (uint64_t)rows[_i].block * UINT32_MAX;
	uint8_t bytes[2] = { 1, 2 };

	ck_assert_uint_eq(file_size_max(in), max);
	ck_assert_int_eq(file_write(in, &t_fs_root, bytes, 2, max, 0), -EFBIG);
	ck_assert_int_eq(file_write(in, &t_fs_root, bytes, 2, max - 1, 0), 1);
	ck_assert_uint_eq(in->size_bytes, max);
	expect(in, max - 1, bytes, 1);
	ck_assert_int_eq(file_write(in, &t_fs_root, bytes, 1, 0, FILE_APPEND), -EFBIG);
	ck_assert_int_eq(file_truncate(in, max + 1), -EFBIG);
	ck_assert_int_eq(file_truncate(in, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(file_fallocate(in, &t_fs_root, 0, max, 1, NULL), -EFBIG);
	ck_assert_int_eq(file_fallocate(in, &t_fs_root, 0, UINT64_MAX, 2, NULL), -EFBIG);
	ck_assert_int_eq(file_fallocate(in, &t_fs_root, 0, 1, 0, NULL), -EINVAL);
	ck_assert_int_eq(file_fallocate(in, &t_fs_root, FALLOC_FL_PUNCH_HOLE, 0, 1, NULL),
			 -EOPNOTSUPP);
	ck_assert_int_eq(file_fallocate(in, &t_fs_root, 0, max - 1, 1, NULL), 0);
	ck_assert_int_eq(file_seek(in, 0, SEEK_DATA), (int64_t)(max - rows[_i].block));
	ck_assert_int_eq(file_seek(in, max - 1, SEEK_HOLE), (int64_t)max);
	ck_assert_int_eq(file_seek(in, max, SEEK_DATA), -ENXIO);
	inode_put(in);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: only regular files have bytes. Method: a directory and a pipe. */
START_TEST(other_kinds_have_no_bytes)
{
	struct mbfs_bdev *mem = t_image_mem("", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in =
		_i ? t_fs_create(fs, "p", S_IFIFO | 0600) : t_fs_create(fs, "d", S_IFDIR | 0700);
	int err = _i ? -EINVAL : -EISDIR;
	uint8_t byte = 0;

	ck_assert_int_eq(file_read(in, &byte, 1, 0), err);
	ck_assert_int_eq(file_write(in, &t_fs_root, &byte, 1, 0, 0), err);
	ck_assert_int_eq(file_truncate(in, 0), err);
	ck_assert_int_eq(file_fallocate(in, &t_fs_root, 0, 0, 1, NULL), err);
	ck_assert_int_eq(file_seek(in, 0, SEEK_DATA), -EINVAL);
	inode_put(in);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- no blocks left ---- */

/* Goal: a write that runs out says how much is down. Method: fill the image, as user, then as root.
 */
START_TEST(a_full_image_takes_what_fits)
{
	struct mbfs_bdev *mem = t_image_mem("-m 10", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0666);
	uint8_t *buf = pattern(3 << 20, 3);
	uint64_t blks = t_fs_free_blks(fs), total = 0;
	ssize_t put;

	while ((put = file_write(in, &t_fs_user, buf, 3 << 20, total, 0)) > 0)
		total += (uint64_t)put;
	ck_assert_int_eq(put, -ENOSPC);
	ck_assert_uint_eq(in->size_bytes, total);
	ck_assert_uint_ge(t_fs_free_blks(fs), fs->super.geo.resv_blk_nr - 8);
	while ((put = file_write(in, &t_fs_root, buf, 3 << 20, total, 0)) > 0)
		total += (uint64_t)put;
	ck_assert_int_eq(put, -ENOSPC);
	ck_assert_uint_eq(in->size_bytes, total);
	ck_assert_uint_le(t_fs_free_blks(fs), 8);
	ck_assert_int_eq(file_truncate(in, 0), 0);
	ck_assert_uint_eq(in->blocks_512, 0);
	ck_assert_uint_eq(t_fs_free_blks(fs), blks);
	free(buf);
	inode_put(in);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: a fallocate that runs out keeps what it got, and size follows unless kept. Method: ask for
 * too much. */
START_TEST(a_failed_fallocate_keeps_its_blocks)
{
	struct mbfs_bdev *mem = t_image_mem("-m 0", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0666);
	uint64_t blks = t_fs_free_blks(fs);

	ck_assert_int_eq(
		file_fallocate(in, &t_fs_user, _i ? FALLOC_FL_KEEP_SIZE : 0, 0, 64 << 20, NULL),
		-ENOSPC);
	ck_assert_uint_lt(t_fs_free_blks(fs), blks / 8);
	if (_i)
		ck_assert_uint_eq(in->size_bytes, 0);
	else
		ck_assert_uint_gt(in->size_bytes, 8 << 20);
	ck_assert_int_eq(file_truncate(in, 0), 0);
	ck_assert_uint_eq(in->blocks_512, 0);
	inode_put(in);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- what other systems left ---- */

/* Goal: bytes that lie past the end of a file never show. Method: put some there, extend in each
 * way. */
START_TEST(junk_past_the_end_never_shows)
{
	struct mbfs_bdev *mem = t_image_mem("-b 4096", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	struct inode *in = t_fs_create(fs, "f", S_IFREG | 0600);
	uint8_t *buf = pattern(4096, 1);
	struct extent_map map;

	ck_assert_int_eq(file_write(in, &t_fs_root, buf, 100, 0, 0), 100);
	ck_assert_int_eq(extent_map(&in->tree, 0, 1, &map), 0);
	ck_assert_int_eq(map.state, EXTENT_WRITTEN);
	memset(mbfs_bdev_mem_bytes(mem) + map.pblk * 4096 + 100, 0xA5, 3996);
	if (_i == 0)
		ck_assert_int_eq(file_truncate(in, 9000), 0);
	else if (_i == 1)
		ck_assert_int_eq(file_write(in, &t_fs_root, buf, 1, 8999, 0), 1);
	else
		ck_assert_int_eq(file_fallocate(in, &t_fs_root, 0, 8000, 1000, NULL), 0);
	ck_assert_uint_eq(in->size_bytes, 9000);
	expect(in, 0, buf, 100);
	expect(in, 100, NULL, 8899);
	free(buf);
	inode_put(in);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: files with block pointers are read, cut and freed, not extended. Method: one made by
 * debugfs. */
START_TEST(block_mapped_files_are_read_and_freed)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024 -O ^extents,^64bit,^metadata_csum", 32 << 20);
	struct t_fs *fs;
	struct inode *dir, *in;
	uint8_t buf[21000], want[21000];
	uint64_t inodes, blks;

	t_image_populate(mem, T_IMAGE_TREE | T_IMAGE_EXTENTS);
	fs = t_fs_open(mem, NULL);
	dir = t_fs_find(fs, "d1");
	ck_assert_int_eq(namei_lookup(dir, "f7", &in), 0);
	inodes = t_fs_free_inodes(fs);
	blks = t_fs_free_blks(fs);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = t_image_byte(i);
	expect(in, 0, want, sizeof(want));
	ck_assert_int_eq(file_write(in, &t_fs_root, buf, 10, 30000, 0), -EOPNOTSUPP);
	ck_assert_int_eq(file_fallocate(in, &t_fs_root, 0, 0, 10, NULL), -EOPNOTSUPP);
	ck_assert_int_eq(file_truncate(in, 13500), 0);
	expect(in, 0, want, 13500);
	ck_assert_int_eq(file_truncate(in, 14500), 0);
	expect(in, 13500, NULL, 1000);
	ck_assert_int_eq(namei_unlink(dir, "f7"), 0);
	inode_put(in);
	inode_put(dir);
	ck_assert_uint_eq(t_fs_free_inodes(fs), inodes + 1);
	ck_assert_uint_eq(t_fs_free_blks(fs), blks + 22); /* 21 of data, one of pointers */
	t_fs_unlink(fs, "sparse");
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

/* ---- faults ---- */

enum { FAULT_READ, FAULT_WRITE, FAULT_MEM, FAULT_KINDS };

/* What a run of the scenario left in the file, as far as calls said so. */
struct outcome {
	uint64_t size;
	bool sure; /* no truncate failed half way */
	uint8_t *bytes;
};
enum { SCENE_BYTES = 200000 };

static void scene_write(struct inode *in, struct outcome *o, const uint8_t *buf, size_t bytes,
			uint64_t off)
{
	ssize_t put = file_write(in, &t_fs_root, buf, bytes, off, 0);

	/* Fewer bytes, or none: what was there may be overwritten in part, but fresh bytes read as
	 * zeros. */
	if (put < (ssize_t)bytes && off < o->size)
		o->sure = false;
	if (put <= 0)
		return;
	memcpy(o->bytes + off, buf, (size_t)put);
	if (off + (uint64_t)put > o->size)
		o->size = off + (uint64_t)put;
}

static void scene_truncate(struct inode *in, struct outcome *o, uint64_t size)
{
	int err = file_truncate(in, size);
	struct mbfs_attr a;

	inode_attr(in, &a);
	if (err && a.size_bytes == o->size) {
		o->sure = o->sure && size >= o->size;
		return;
	}
	ck_assert_uint_eq(a.size_bytes, size); /* all of it or nothing */
	if (size < o->size)
		memset(o->bytes + size, 0, SCENE_BYTES - size);
	o->size = size;
}

/* A short life of a file. Errors are what the test is about; the file must be what was said. */
static void scene(struct t_fs *fs, const uint8_t *buf, struct outcome *o)
{
	struct inode *in;
	struct inode *root;
	int err;

	if (inode_get(&fs->env, MBFS_ROOT_INO, &root))
		return;
	err = namei_create(root, &t_fs_root, "f", S_IFREG | 0600, 0, NULL, &in);
	if (!err) {
		scene_write(in, o, buf, 20000, 0);
		scene_write(in, o, buf + 7, 9000, 15000);
		scene_write(in, o, buf + 3, 30000, 70001);
		(void)file_fallocate(in, &t_fs_root, FALLOC_FL_KEEP_SIZE, 30000, 20000, NULL);
		scene_write(in, o, buf + 9, 5000, 33333);
		scene_truncate(in, o, 80000);
		scene_truncate(in, o, 90000);
		scene_write(in, o, buf, 4096, 94208);
		scene_truncate(in, o, 1234);
		scene_write(in, o, buf + 5, 60000, 120000);
		inode_put(in);
	}
	if (!namei_create(root, &t_fs_root, "gone", S_IFREG | 0600, 0, NULL, &in)) {
		(void)file_write(in, &t_fs_root, buf, 50000, 0, 0);
		(void)namei_unlink(root, "gone");
		inode_put(in);
	}
	inode_put(root);
}

static void scene_check(struct t_fs *fs, const struct outcome *o)
{
	struct inode *root = t_fs_root_dir(fs), *in;
	int err = namei_lookup(root, "f", &in);

	if (err == -EIO) /* it was struck here */
		err = namei_lookup(root, "f", &in);
	inode_put(root);
	ck_assert(err == 0 || err == -ENOENT);
	if (err) {
		ck_assert_uint_eq(o->size, 0);
		return;
	}
	ck_assert_uint_eq(in->size_bytes, o->size);
	if (o->sure)
		expect(in, 0, o->bytes, (size_t)o->size);
	inode_put(in);
}

/* Run it with the @nth call of @kind failing; false: there were fewer. */
static bool scene_with_fault(const uint8_t *base, struct mbfs_bdev *mem, int kind, uint64_t nth,
			     bool fsck)
{
	struct mbfs_fault_plan plan = { .fail_read_at = kind == FAULT_READ ? nth : 0,
					.fail_write_at = kind == FAULT_WRITE ? nth : 0 };
	struct outcome o = { .sure = true, .bytes = calloc(1, SCENE_BYTES) };
	uint8_t *buf = pattern(70000, (uint8_t)nth);
	struct mbfs_fault_counts counts;
	struct t_fs *fs;
	bool struck;
	int err;

	memcpy(mbfs_bdev_mem_bytes(mem), base, mem->size_bytes);
	err = t_fs_try_open(mem, &(struct t_fs_opts){ .plan = &plan }, &fs);
	if (err) { /* the fault was in opening: not this test's */
		ck_assert_int_eq(err, -EIO);
		free(o.bytes);
		free(buf);
		return true;
	}
	if (kind == FAULT_MEM)
		rt_mem_fail_at(nth);
	scene(fs, buf, &o);
	struck = kind == FAULT_MEM && rt_mem_fail_struck();
	rt_mem_fail_at(0);
	scene_check(fs, &o);
	ck_assert(!t_fs_sync(fs) || kind == FAULT_WRITE);
	mbfs_bdev_fault_counts(fs->dev, &counts);
	struck |= counts.faults;
	ck_assert_int_eq(t_fs_close(fs), 0);
	fs = t_fs_open(mem, NULL);
	scene_check(fs, &o);
	ck_assert_int_eq(t_fs_close(fs), 0);
	if (fsck)
		ck_assert_msg(!t_image_fsck(mem), "fault kind %d, call %" PRIu64, kind, nth);
	free(o.bytes);
	free(buf);
	return struck;
}

/* Goal: any one failure leaves a sound image and true sizes. Method: each read, write, allocation
 * in turn. */
START_TEST(any_one_failure_is_survived)
{
	struct mbfs_bdev *mem = t_image_mem("-b 1024 -N 64 -O ^has_journal,^resize_inode", 3 << 20);
	uint8_t *base;
	uint64_t nth = 1;

	t_fs_poison(mem, 0xA5);
	base = malloc(mem->size_bytes);
	memcpy(base, mbfs_bdev_mem_bytes(mem), mem->size_bytes);
	while (scene_with_fault(base, mem, _i, nth, nth % 4 == 0))
		ck_assert_uint_lt(nth++, 5000);
	printf("%" PRIu64 " calls failed, one at a time\n", nth - 1);
	ck_assert_uint_gt(nth, 10);
	free(base);
	mbfs_bdev_close(mem);
}
END_TEST

/* Goal: what a failed truncate could not free does not come back. Method: fail each allocation. */
START_TEST(a_failed_truncate_hides_what_it_cut)
{
	enum { BLOCK = 1024, EXTENTS = 300 };
	struct mbfs_bdev *mem = t_image_mem("-b 1024", 16 << 20);
	struct t_fs *fs = t_fs_open(mem, NULL);
	uint8_t *buf = pattern(BLOCK, 1);
	uint64_t blks = t_fs_free_blks(fs);
	bool struck = true;

	for (uint64_t nth = 1; struck; nth++) {
		struct inode *in = t_fs_create(fs, "f", S_IFREG | 0600);
		int err;

		for (uint64_t i = 0; i < EXTENTS; i++)
			ck_assert_int_eq(file_write(in, &t_fs_root, buf, BLOCK, i * 2 * BLOCK, 0),
					 BLOCK);
		rt_mem_fail_at(nth);
		err = file_truncate(in, BLOCK / 2);
		struck = rt_mem_fail_struck();
		rt_mem_fail_at(0);
		ck_assert(err == 0 || struck);
		if (in->size_bytes == BLOCK / 2) {
			ck_assert_int_eq(file_truncate(in, EXTENTS * 2 * BLOCK), 0);
			expect(in, 0, buf, BLOCK / 2);
			expect(in, BLOCK / 2, NULL, EXTENTS * 2 * BLOCK - BLOCK / 2);
		}
		if (nth % 2) /* the list lets go of it, or the put does */
			ck_assert_int_eq(file_truncate(in, 0), 0);
		t_fs_unlink(fs, "f");
		inode_put(in);
		ck_assert_uint_eq(fs->orphan_head, 0);
		ck_assert_uint_eq(t_fs_free_blks(fs), blks);
	}
	free(buf);
	t_fs_close_clean(fs);
	mbfs_bdev_close(mem);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("file");
	TCase *tc = tcase_create("file");

	tcase_add_loop_test(tc, limits_are_the_formats, 0, 3);
	tcase_add_loop_test(tc, other_kinds_have_no_bytes, 0, 2);
	tcase_add_test(tc, a_full_image_takes_what_fits);
	tcase_add_loop_test(tc, a_failed_fallocate_keeps_its_blocks, 0, 2);
	tcase_add_loop_test(tc, junk_past_the_end_never_shows, 0, 3);
	tcase_add_test(tc, block_mapped_files_are_read_and_freed);
	tcase_add_test(tc, a_failed_truncate_hides_what_it_cut);
	tcase_add_loop_test(tc, any_one_failure_is_survived, 0, FAULT_KINDS);
	suite_add_tcase(s, tc);
	return s;
}

T_IMAGE_MAIN(suite)
