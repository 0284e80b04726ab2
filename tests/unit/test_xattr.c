/* SPDX-License-Identifier: GPL-2.0-only */
/* Extended attributes on twins of the rooms below (t_bed): sizes, places, sharing, faults, damage.
 */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "inode/xattr_priv.h"
#include "rt/mem.h"
#include "support/t_bed.h"

static const struct t_bed_opts beds[] = {
	{ 1024, 256, GEO_CSUM | GEO_EXT_ATTR, 256 },
	{ 4096, 64, GEO_EXT_ATTR, 256 },
	{ 4096, 64, GEO_CSUM | GEO_EXT_ATTR, 128 }, /* no room in the inode */
	{ 65536, 64, GEO_CSUM | GEO_EXT_ATTR, 1024 },
};

static int set(struct inode *in, const char *name, const void *value, size_t bytes, unsigned flags)
{
	struct mbfs_tx *tx;
	int err = tx_start(bed.env.log, XATTR_CREDITS, &tx);

	if (err)
		return err;
	err = xattr_set(in, tx, name, value, bytes, flags, 0);
	tx_stop(tx);
	return err;
}

static void check_value(struct inode *in, const char *name, const uint8_t *value, ssize_t bytes)
{
	uint8_t *buf = malloc(65536);

	ck_assert_int_eq(xattr_get(in, name, NULL, 0), bytes);
	ck_assert_int_eq(xattr_get(in, name, buf, 65536), bytes);
	if (bytes > 0)
		ck_assert_mem_eq(buf, value, (size_t)bytes);
	if (bytes > 1)
		ck_assert_int_eq(xattr_get(in, name, buf, (size_t)bytes - 1), -ERANGE);
	free(buf);
}

/* Goal: every size that fits is kept, the first that does not is -ENOSPC and changes nothing.
 * Method: one attribute of growing size, read back from the device. */
START_TEST(every_size_up_to_the_block_is_kept)
{
	uint8_t *value = malloc(70000);
	size_t bytes, step = beds[_i].block_bytes / 512;
	struct inode *in;
	int err;

	for (unsigned i = 0; i < 70000; i++)
		value[i] = (uint8_t)(i * 7 + i / 256);
	t_bed_open(&beds[_i]);
	in = t_bed_make(S_IFREG | 0644);
	for (bytes = 0;; bytes += step) {
		err = set(in, "user.x", value, bytes, 0);
		if (err)
			break;
		if (bytes % (8 * step) == 0)
			t_bed_reopen(NULL);
		check_value(in, "user.x", value, (ssize_t)bytes);
		t_bed_check();
	}
	ck_assert_int_eq(err, -ENOSPC);
	check_value(in, "user.x", value, (ssize_t)(bytes - step));
	ck_assert_uint_ge(bytes - step, beds[_i].block_bytes - 32 - 4 - 20 - step);
	ck_assert_int_eq(set(in, "user.x", NULL, 0, 0), 0);
	check_value(in, "user.x", value, -ENODATA);
	ck_assert_uint_eq(in->xattr_blk, 0);
	t_bed_check();
	t_bed_close();
	free(value);
}
END_TEST

/* ---- model ---- */

enum { NAMES = 24 };
static const char *const prefix[] = { "user.", "trusted.", "security." };

static void name_of(char *buf, unsigned n)
{
	int len = sprintf(buf, "%s", prefix[n % 3]);

	memset(buf + len, 'a' + (int)n, 1 + n * n % 40);
	buf[(unsigned)len + 1 + n * n % 40] = 0;
}

static void check_list(struct inode *in, const bool *have)
{
	char buf[NAMES * 60], name[64], small[4];
	ssize_t need = xattr_list(in, NULL, 0), got = xattr_list(in, buf, sizeof(buf));
	unsigned nr = 0, want = 0;

	ck_assert_int_eq(need, got);
	for (ssize_t at = 0; at < got; at += (ssize_t)strlen(buf + at) + 1)
		nr++;
	for (unsigned n = 0; n < NAMES; n++) {
		bool listed = false;

		name_of(name, n);
		for (ssize_t at = 0; at < got; at += (ssize_t)strlen(buf + at) + 1)
			listed |= !strcmp(buf + at, name);
		ck_assert_int_eq(listed, have[n]);
		want += have[n];
	}
	ck_assert_uint_eq(nr, want);
	if (got > (ssize_t)sizeof(small))
		ck_assert_int_eq(xattr_list(in, small, sizeof(small)), -ERANGE);
}

/* In a block the kernel searches in order and knows equal blocks by their hash: both must be right.
 */
static void check_block(struct inode *in)
{
	const uint8_t *block = mbfs_bdev_mem_bytes(bed.mem) + in->xattr_blk * bed.geo.block_bytes;
	struct xattr_area a = { (uint8_t *)(uintptr_t)block, XATTR_HEAD_BYTES, bed.geo.block_bytes,
				true };
	struct xattr_entry e[64];
	struct xattr_list list = { 0, 64, e };

	if (!in->xattr_blk)
		return;
	ck_assert_int_eq(xattr_block_verify(block, bed.geo.block_bytes), 0);
	xattr_area_read(&a, &list);
	ck_assert_uint_gt(list.nr, 0);
	ck_assert_uint_eq(xattr_get32(block + 12), xattr_list_hash(&list));
	for (uint32_t i = 1; i < list.nr; i++) {
		ck_assert(e[i - 1].index < e[i].index ||
			  (e[i - 1].index == e[i].index &&
			   (e[i - 1].name_len < e[i].name_len ||
			    (e[i - 1].name_len == e[i].name_len &&
			     memcmp(e[i - 1].name, e[i].name, e[i].name_len) < 0))));
	}
}

/* Goal: set, replace, remove and list agree with an array; flags are honoured. Method: random
 * operations. */
START_TEST(random_operations_agree_with_an_array)
{
	struct rt_rand r = { t_seed() };
	static uint8_t value[NAMES][512];
	size_t bytes[NAMES] = { 0 };
	bool have[NAMES] = { 0 };
	struct inode *in;
	char name[64];

	t_bed_open(&beds[_i]);
	in = t_bed_make(S_IFREG | 0644);
	for (unsigned step = 0; step < 3000; step++) {
		unsigned n = (unsigned)rt_rand_below(&r, NAMES),
			 flags = (unsigned)rt_rand_below(&r, 3);
		size_t len = rt_rand_below(&r, rt_rand_below(&r, 3) ? 60 : 500);
		uint8_t fresh[512];
		int err;

		name_of(name, n);
		if (rt_rand_below(&r, 4) == 0) {
			ck_assert_int_eq(set(in, name, NULL, 0, 0), have[n] ? 0 : -ENODATA);
			have[n] = false;
		} else {
			for (size_t i = 0; i < len; i++)
				fresh[i] = (uint8_t)rt_rand_next(&r);
			err = set(in, name, fresh, len, flags);
			if (have[n] && flags == MBFS_XATTR_CREATE) {
				ck_assert_int_eq(err, -EEXIST);
			} else if (!have[n] && flags == MBFS_XATTR_REPLACE) {
				ck_assert_int_eq(err, -ENODATA);
			} else if (err) {
				ck_assert_int_eq(err, -ENOSPC);
			} else {
				memcpy(value[n], fresh, len);
				bytes[n] = len;
				have[n] = true;
			}
		}
		check_value(in, name, value[n], have[n] ? (ssize_t)bytes[n] : -ENODATA);
		if (step % 50)
			continue;
		t_bed_reopen(NULL);
		check_block(in);
		check_list(in, have);
		for (n = 0; n < NAMES; n++) {
			name_of(name, n);
			check_value(in, name, value[n], have[n] ? (ssize_t)bytes[n] : -ENODATA);
		}
		t_bed_check();
	}
	t_bed_close();
}
END_TEST

/* ---- names ---- */

/* Goal: which names are kept. Method: table. */
START_TEST(names_that_are_not_kept_are_refused)
{
	static const struct {
		const char *name;
		int err;
	} table[] = {
		{ "user.", -EINVAL },	     { "user", -EOPNOTSUPP },
		{ "system.x", -EOPNOTSUPP }, { "system.posix_acl_access", -EINVAL },
		{ "lustre.x", -EOPNOTSUPP }, { "", -EOPNOTSUPP },
		{ "trusted.", -EINVAL },     { "security.x", 0 },
	};
	char name[300] = "user.";
	struct inode *in;

	t_bed_open(&beds[0]);
	in = t_bed_make(S_IFREG | 0644);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(table); i++)
		ck_assert_int_eq(set(in, table[i].name, "v", 1, 0), table[i].err);
	memset(name + 5, 'n', 255);
	ck_assert_int_eq(set(in, name, "v", 1, 0), 0);
	name[5 + 255] = 'n';
	ck_assert_int_eq(set(in, name, "v", 1, 0), -ERANGE);
	bed.geo.features &= ~(uint32_t)GEO_EXT_ATTR;
	ck_assert_int_eq(set(in, "user.y", "v", 1, 0), -EOPNOTSUPP);
	t_bed_close();
}
END_TEST

/* Goal: an ACL on disk is shown as getfacl reads it. Method: known bytes. */
START_TEST(acls_are_translated)
{
	static const uint8_t disk[] = { 1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 4, 0, 0xe8, 3, 0, 0,
					4, 0, 4, 0, 0x10, 0, 4, 0, 0x20, 0, 4, 0 };
	static const uint8_t user[] = { 2,   0,   0,   0,    1,   0,    6,    0,   255, 255, 255,
					255, 2,   0,   4,    0,   0xe8, 3,    0,   0,   4,   0,
					4,   0,   255, 255,  255, 255,  0x10, 0,   4,   0,   255,
					255, 255, 255, 0x20, 0,   4,    0,    255, 255, 255, 255 };
	uint8_t out[64];

	ck_assert_int_eq(xattr_acl_to_user(disk, sizeof(disk), NULL, 0), sizeof(user));
	ck_assert_int_eq(xattr_acl_to_user(disk, sizeof(disk), out, sizeof(out)), sizeof(user));
	ck_assert_mem_eq(out, user, sizeof(user));
	ck_assert_int_eq(xattr_acl_to_user(disk, sizeof(disk), out, sizeof(user) - 1), -ERANGE);
	ck_assert_int_eq(xattr_acl_to_user(disk, sizeof(disk) - 1, out, sizeof(out)), -EUCLEAN);
	ck_assert_int_eq(xattr_acl_to_user(disk, 14, out, sizeof(out)), -EUCLEAN);
	ck_assert_int_eq(xattr_acl_to_user(user, sizeof(user), out, sizeof(out)), -EUCLEAN);
}
END_TEST

/* ---- sharing ---- */

/* Goal: changing one of two inodes that share a block leaves the other's; the last one frees it.
 * Method: share by hand. */
START_TEST(a_shared_block_is_copied_on_write)
{
	struct inode *a, *b;
	uint8_t value[300];
	uint64_t free_before;
	mbfs_blk_t shared;

	memset(value, 'v', sizeof(value));
	t_bed_open(&beds[0]);
	free_before = t_bed_free_blks();
	a = t_bed_make(S_IFREG | 0644);
	b = t_bed_make(S_IFREG | 0644);
	ck_assert_int_eq(set(a, "user.x", value, sizeof(value), 0), 0);
	shared = a->xattr_blk;
	ck_assert_uint_ne(shared, 0);
	t_bed_reopen(NULL);
	xattr_head_set_refs(mbfs_bdev_mem_bytes(bed.mem) + shared * 1024, 2);
	xattr_block_kind.seal(&bed.geo, NULL, shared, mbfs_bdev_mem_bytes(bed.mem) + shared * 1024,
			      1024);
	b->xattr_blk = shared;
	b->blocks_512 += 2;
	ck_assert_int_eq(set(b, "user.y", value, 200, 0), 0);
	ck_assert_uint_ne(b->xattr_blk, shared);
	ck_assert_uint_eq(a->xattr_blk, shared);
	check_value(a, "user.x", value, sizeof(value));
	check_value(a, "user.y", value, -ENODATA);
	check_value(b, "user.x", value, sizeof(value));
	t_bed_reopen(NULL);
	check_block(a);
	ck_assert_uint_eq(xattr_head_refs(mbfs_bdev_mem_bytes(bed.mem) + shared * 1024), 1);
	t_bed_check();
	ck_assert_int_eq(set(a, "user.x", NULL, 0, 0), 0);
	ck_assert_uint_eq(a->xattr_blk, 0);
	a->nlink = b->nlink = 0;
	inode_put(a);
	inode_put(b);
	t_bed_check();
	ck_assert_uint_eq(t_bed_free_blks(), free_before);
	t_bed_close();
}
END_TEST

/* ---- faults and damage ---- */

enum fault { FAULT_MEMORY, FAULT_TWIN, FAULT_READ, FAULT_NR };

/* Goal: a set that fails changes nothing. Method: growing, shrinking, sharing; each allocation,
 * twin call and read fails once, in turn. */
START_TEST(a_set_that_fails_changes_nothing)
{
	static const size_t sizes[] = { 20, 400, 30, 500, 600, 0, 700 };
	struct inode *in, *other;
	uint8_t value[700];

	t_bed_open(&beds[0]);
	in = t_bed_make(S_IFREG | 0644);
	other = t_bed_make(S_IFREG | 0644);
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(sizes) * FAULT_NR * 2; i++) {
		enum fault f = i % FAULT_NR;
		ssize_t old = xattr_get(in, "user.x", NULL, 0);
		size_t size = sizes[i / FAULT_NR % MBFS_ARRAY_SIZE(sizes)];
		bool share = i >= MBFS_ARRAY_SIZE(sizes) * FAULT_NR && in->xattr_blk &&
			     !other->xattr_blk;
		int err = 1;

		if (share) {
			t_bed_reopen(NULL);
			xattr_head_set_refs(mbfs_bdev_mem_bytes(bed.mem) + in->xattr_blk * 1024, 2);
			xattr_block_kind.seal(&bed.geo, NULL, in->xattr_blk,
					      mbfs_bdev_mem_bytes(bed.mem) + in->xattr_blk * 1024,
					      1024);
			other->xattr_blk = in->xattr_blk;
			other->blocks_512 = 2;
		}
		for (uint64_t n = 1; err; n++) {
			struct mbfs_fault_plan plan = { .fail_read_at = f == FAULT_READ ? n : 0 };

			memset(value, (int)i + 1, sizeof(value));
			t_bed_reopen(&plan);
			rt_mem_fail_at(f == FAULT_MEMORY ? n : 0);
			t_bed_fail_at(f == FAULT_TWIN ? n : 0, -EIO);
			err = set(in, "user.x", size ? value : NULL, size, 0);
			rt_mem_fail_at(0);
			t_bed_fail_at(0, 0);
			t_bed_check();
			if (!err || err == -ENODATA)
				break;
			ck_assert(err == -EIO || err == -ENOMEM);
			t_bed_reopen(NULL);
			memset(value, (int)i, sizeof(value));
			ck_assert_int_eq(xattr_get(in, "user.x", NULL, 0), old);
		}
		t_bed_reopen(NULL);
		check_value(in, "user.x", value, size ? (ssize_t)size : -ENODATA);
	}
	t_bed_close();
}
END_TEST

static bool is_expected(ssize_t ret)
{
	return ret >= 0 || ret == -EUCLEAN || ret == -EBADMSG || ret == -ENODATA ||
	       ret == -ENOSPC || ret == -EOPNOTSUPP || ret == -ERANGE;
}

/* Goal: no damage leads astray. Method: each byte of the block and of the place in the inode gets
 * other values, checksum put right; then get, list, set. Under ASan and UBSan. */
START_TEST(damaged_attributes_are_refused_or_harmless)
{
	static const uint8_t with[] = { 0x01, 0x04, 0x80, 0xff };
	uint8_t value[400], block[1024], raw[256], buf[1024], *data;
	struct inode *in;

	memset(value, 'v', sizeof(value));
	t_bed_open(&beds[0]);
	in = t_bed_make(S_IFREG | 0644);
	ck_assert_int_eq(set(in, "user.small", value, 20, 0), 0);
	ck_assert_int_eq(set(in, "user.large", value, 400, 0), 0);
	ck_assert_int_eq(set(in, "security.more", value, 90, 0), 0);
	t_bed_reopen(NULL);
	data = mbfs_bdev_mem_bytes(bed.mem) + in->xattr_blk * 1024;
	memcpy(block, data, sizeof(block));
	memcpy(raw, in->raw, sizeof(raw));
	for (unsigned at = 0; at < 1024 + 96; at++) {
		for (unsigned k = 0; k < MBFS_ARRAY_SIZE(with); k++) {
			mbfs_blk_t blk = in->xattr_blk;

			memcpy(data, block, sizeof(block));
			if (at < 1024)
				data[at] ^= with[k];
			else
				in->raw[160 + at - 1024] ^= with[k];
			xattr_block_kind.seal(&bed.geo, NULL, blk, data, 1024);
			ck_assert(is_expected(xattr_get(in, "user.large", buf, sizeof(buf))));
			ck_assert(is_expected(xattr_get(in, "user.small", buf, sizeof(buf))));
			ck_assert(is_expected(xattr_list(in, (char *)buf, sizeof(buf))));
			ck_assert(is_expected(set(in, "user.small", value, 30, 0)));
			ck_assert(is_expected(set(in, "user.large", value, 10, 0)));
			/* As it was, for the next: the block may have been given up. */
			t_bed_close();
			t_bed_open(&beds[0]);
			in = t_bed_make(S_IFREG | 0644);
			memcpy(in->raw, raw, sizeof(raw));
			t_bed_map(t_bed_inode(MBFS_ROOT_INO), 5, blk);
			in->xattr_blk = blk;
			data = mbfs_bdev_mem_bytes(bed.mem) + blk * 1024;
		}
	}
	t_bed_close();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("xattr");
	TCase *tc = tcase_create("xattr");
	int nr = MBFS_ARRAY_SIZE(beds);

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, every_size_up_to_the_block_is_kept, 0, nr);
	tcase_add_loop_test(tc, random_operations_agree_with_an_array, 0, nr);
	tcase_add_test(tc, names_that_are_not_kept_are_refused);
	tcase_add_test(tc, acls_are_translated);
	tcase_add_test(tc, a_shared_block_is_copied_on_write);
	tcase_add_test(tc, a_set_that_fails_changes_nothing);
	tcase_add_test(tc, damaged_attributes_are_refused_or_harmless);
	suite_add_tcase(s, tc);
	return s;
}
T_MAIN(suite)
