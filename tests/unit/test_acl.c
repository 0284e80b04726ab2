/* SPDX-License-Identifier: GPL-2.0-only */
/* POSIX ACLs and the mode, on twins of the rooms below (t_bed). */
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "inode/acl.h"
#include "support/t_bed.h"

enum { FEATURES = GEO_FILETYPE | GEO_EXT_ATTR | GEO_CSUM, ENTRIES = 8 };

static const struct t_bed_opts small = { 1024, 4096, FEATURES, 256 };
static const struct mbfs_cred root_cred = { 0, 0, 077 }, user = { 1000, 100, 077 };

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};
struct acl {
	uint32_t version;
	struct entry e[ENTRIES];
};
#define NOBODY 0xffffffffu
#define OWNER(p) { 1, p, NOBODY }
#define USER(p, id) { 2, p, id }
#define GRP(p) { 4, p, NOBODY }
#define NAMED(p, id) { 8, p, id }
#define MASK(p) { 16, p, NOBODY }
#define OTHER(p) { 32, p, NOBODY }

static size_t acl_bytes(const struct acl *a)
{
	size_t nr = 0;

	while (nr < ENTRIES && a->e[nr].tag)
		nr++;
	return 4 + nr * sizeof(struct entry);
}

static const struct {
	struct acl acl;
	int err;
	mode_t mode; /* what a file of mode 02640 becomes; 0 bits of type */
	bool stored;
} rows[] = {
	{ { 2, { OWNER(7), GRP(5), OTHER(4) } }, 0, 02754, false },
	{ { 2, { OWNER(6), USER(7, 5), GRP(4), MASK(6), OTHER(0) } }, 0, 02660, true },
	{ { 2, { OWNER(6), GRP(4), NAMED(7, 5), NAMED(1, 6), MASK(1), OTHER(0) } }, 0, 02610,
	  true },
	{ { 2, { OWNER(6), GRP(4), MASK(7), OTHER(0) } }, 0, 02670, true },
	{ { 1, { OWNER(7), GRP(5), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(8), GRP(5), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), GRP(5) } }, -EINVAL, 0, false },
	{ { 2, { GRP(5), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), GRP(5), GRP(5), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), USER(5, 1), GRP(5), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), GRP(5), NAMED(5, 1), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), USER(5, NOBODY), GRP(5), MASK(7), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), GRP(5), USER(5, 1), MASK(7), OTHER(4) } }, -EINVAL, 0, false },
	{ { 2, { OWNER(7), GRP(5), OTHER(4), { 64, 0, NOBODY } } }, -EINVAL, 0, false },
};

static struct inode *make(struct inode *dir, const char *name, mode_t mode)
{
	struct inode *in;

	ck_assert_int_eq(namei_create(dir, &root_cred, name, mode, 0, NULL, &in), 0);
	return in;
}

/* Goal: the mode follows an ACL that is set; one that says no more is not stored; nonsense changes
 * nothing. Method: a table. */
START_TEST(mode_follows_acl)
{
	const struct acl *acl = &rows[_i].acl;
	uint8_t buf[128];
	struct inode *in;
	ssize_t bytes = (ssize_t)acl_bytes(acl);

	t_bed_open(&small);
	in = make(t_bed_inode(MBFS_ROOT_INO), "f", S_IFREG | 0600);
	in->mode = S_IFREG | 02640;
	ck_assert_int_eq(namei_set_acl(in, &root_cred, false, acl, (size_t)bytes), rows[_i].err);
	ck_assert_uint_eq(in->mode, S_IFREG | (rows[_i].err ? 02640 : rows[_i].mode));
	ck_assert_int_eq(xattr_get(in, ACL_ACCESS_NAME, buf, sizeof(buf)),
			 rows[_i].stored ? bytes : -ENODATA);
	if (rows[_i].stored)
		ck_assert_mem_eq(buf, acl, (size_t)bytes);
	/* Without one the mode stays. */
	ck_assert_int_eq(namei_set_acl(in, &root_cred, false, NULL, 0), 0);
	ck_assert_uint_eq(in->mode, S_IFREG | (rows[_i].err ? 02640 : rows[_i].mode));
	ck_assert_int_eq(xattr_get(in, ACL_ACCESS_NAME, buf, sizeof(buf)), -ENODATA);
	ck_assert_int_eq(namei_set_acl(in, &root_cred, true, acl, (size_t)bytes), -EACCES);
	t_bed_close();
}
END_TEST

/* Goal: chmod changes the three entries that the mode shows; setgid goes if somebody from outside
 * the group sets an ACL. Method: look at both. */
START_TEST(acl_follows_chmod)
{
	static const struct acl acl = { 2, { OWNER(6), USER(7, 5), GRP(4), MASK(6), OTHER(0) } };
	static const struct acl want = { 2, { OWNER(7), USER(7, 5), GRP(4), MASK(1), OTHER(3) } };
	struct mbfs_attr attr = { .mode = 02713 };
	struct inode *in;
	uint8_t buf[128];

	t_bed_open(&small);
	in = make(t_bed_inode(MBFS_ROOT_INO), "f", S_IFREG | 0600);
	ck_assert_int_eq(namei_set_acl(in, &root_cred, false, &acl, acl_bytes(&acl)), 0);
	ck_assert_int_eq(namei_setattr(in, MBFS_SET_MODE, &attr), 0);
	ck_assert_uint_eq(in->mode, S_IFREG | 02713);
	ck_assert_int_eq(xattr_get(in, ACL_ACCESS_NAME, buf, sizeof(buf)),
			 (ssize_t)acl_bytes(&want));
	ck_assert_mem_eq(buf, &want, acl_bytes(&want));
	ck_assert_int_eq(namei_set_acl(in, &user, false, &acl, acl_bytes(&acl)), 0);
	ck_assert_uint_eq(in->mode, S_IFREG | 0660);
	t_bed_close();
}
END_TEST

/* Goal: a default ACL replaces the umask and is inherited; any call that fails leaves no inode.
 * Method: files and a directory; then the n-th call below fails. */
START_TEST(default_acl_is_inherited)
{
	static const struct acl dflt = { 2, { OWNER(7), USER(7, 5), GRP(7), MASK(7), OTHER(5) } };
	static const struct acl file = { 2, { OWNER(6), USER(7, 5), GRP(7), MASK(4), OTHER(4) } };
	struct inode *dir, *in;
	uint8_t buf[128];
	uint32_t used;
	int err = 0;

	t_bed_open(&small);
	dir = make(t_bed_inode(MBFS_ROOT_INO), "d", S_IFDIR | 0755);
	ck_assert_int_eq(namei_set_acl(dir, &root_cred, true, &dflt, acl_bytes(&dflt)), 0);
	ck_assert_uint_eq(dir->mode, S_IFDIR | 0700);
	in = make(dir, "f", S_IFREG | 0644);
	ck_assert_uint_eq(in->mode, S_IFREG | 0644);
	ck_assert_int_eq(xattr_get(in, ACL_ACCESS_NAME, buf, sizeof(buf)),
			 (ssize_t)acl_bytes(&file));
	ck_assert_mem_eq(buf, &file, acl_bytes(&file));
	ck_assert_int_eq(xattr_get(in, ACL_DEFAULT_NAME, NULL, 0), -ENODATA);
	in = make(dir, "sub", S_IFDIR | 0777);
	ck_assert_uint_eq(in->mode, S_IFDIR | 0775);
	ck_assert_int_eq(xattr_get(in, ACL_DEFAULT_NAME, buf, sizeof(buf)),
			 (ssize_t)acl_bytes(&dflt));
	ck_assert_mem_eq(buf, &dflt, acl_bytes(&dflt));
	used = t_bed_inodes_used();
	for (uint64_t n = 1; n < 1000; n++) {
		t_bed_fail_at(n, -EIO);
		err = namei_create(dir, &root_cred, "faulty", S_IFDIR | 0777, 0, NULL, &in);
		if (!t_bed_fail_struck())
			break;
		ck_assert_msg(err || t_bed_inodes_used() == used + 1, "call %u", (unsigned)n);
		if (!err)
			break;
		ck_assert_uint_eq(t_bed_inodes_used(), used);
	}
	t_bed_fail_at(0, 0);
	ck_assert_int_eq(err, 0);
	t_bed_close();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("acl");
	TCase *tc = tcase_create("acl");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, mode_follows_acl, 0, MBFS_ARRAY_SIZE(rows));
	tcase_add_test(tc, acl_follows_chmod);
	tcase_add_test(tc, default_acl_is_inherited);
	suite_add_tcase(s, tc);
	return s;
}
T_MAIN(suite)
