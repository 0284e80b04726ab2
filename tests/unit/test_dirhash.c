/* SPDX-License-Identifier: GPL-2.0-only */
/* Hashes of directory names, against known values and against e2fsprogs' debugfs. */
#include "support/t.h"

#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "inode/dirhash.h"

/* Goal: fixed answers need no tool. Method: values that debugfs 1.47.0 printed, default seed. */
START_TEST(known_names_have_known_hashes)
{
	static const struct {
		uint8_t version;
		bool is_unsigned;
		const char *name;
		uint32_t major, minor;
	} known[] = {
		{ DIR_HASH_LEGACY, false, "hello", 0x32252546, 0 },
		{ DIR_HASH_HALF_MD4, false, "hello", 0x1746da32, 0x420013b5 },
		{ DIR_HASH_TEA, false, "hello", 0x6f5bb1a8, 0x231917c2 },
		{ DIR_HASH_LEGACY, false, "k\xc3\xb6ln-\xc3\xbf\xc3\x9f\xc3\xbc", 0x9cab1068, 0 },
		{ DIR_HASH_HALF_MD4, false, "k\xc3\xb6ln-\xc3\xbf\xc3\x9f\xc3\xbc", 0xcd4d3c3e,
		  0xbb483c29 },
		{ DIR_HASH_TEA, false, "k\xc3\xb6ln-\xc3\xbf\xc3\x9f\xc3\xbc", 0x8faa0532,
		  0x2819ec21 },
	};

	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(known); i++) {
		struct dir_hasher h = { .version = known[i].version,
					.is_unsigned = known[i].is_unsigned };
		uint32_t minor;

		ck_assert_uint_eq(dir_hash(&h, known[i].name, strlen(known[i].name), &minor),
				  known[i].major);
		ck_assert_uint_eq(minor, known[i].minor);
	}
}
END_TEST

/* debugfs' numbers of the versions: ours, + 3 for unsigned characters. */
enum { NAMES_NR = 1500, NAME_MAX_BYTES = 255 };

struct sample {
	struct dir_hasher h;
	char name[NAME_MAX_BYTES + 1];
};

/* Letters, digits and bytes above 127: nothing that debugfs' command line reads otherwise. */
static void sample_make(struct rt_rand *r, struct sample *s, unsigned i)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
	size_t len = i < NAME_MAX_BYTES ? i + 1 : 1 + rt_rand_below(r, NAME_MAX_BYTES);

	s->h.version = (uint8_t)rt_rand_below(r, DIR_HASH_NR);
	s->h.is_unsigned = rt_rand_below(r, 2);
	for (unsigned k = 0; k < 4; k++)
		s->h.seed[k] = (uint32_t)rt_rand_next(r);
	if (rt_rand_below(r, 4) == 0)
		memset(s->h.seed, 0, sizeof(s->h.seed));
	for (size_t k = 0; k < len; k++)
		s->name[k] = rt_rand_below(r, 3) ? plain[rt_rand_below(r, sizeof(plain) - 1)] :
						   (char)(128 + rt_rand_below(r, 128));
	s->name[len] = 0;
	s->name[0] = 'n';
}

static void command_write(FILE *f, const struct sample *s)
{
	uint8_t b[16];

	for (unsigned i = 0; i < 16; i++)
		b[i] = (uint8_t)(s->h.seed[i / 4] >> i % 4 * 8);
	fprintf(f, "dx_hash -h %u -s ", s->h.version + (s->h.is_unsigned ? 3 : 0));
	for (unsigned i = 0; i < 16; i++)
		fprintf(f, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
	fprintf(f, " %s\n", s->name);
}

/* Goal: every version, sign, seed and length. Method: one debugfs run over random names; compare.
 */
START_TEST(random_names_hash_as_debugfs_hashes_them)
{
	struct rt_rand r = { t_seed() };
	struct sample *s = calloc(NAMES_NR, sizeof(*s));
	char path[] = "/tmp/mbfs-dirhash-XXXXXX", cmd[128], line[1024];
	unsigned at = 0;
	FILE *f;

	if (system("command -v debugfs >/dev/null 2>&1")) {
		printf("skipped: no debugfs\n");
		free(s);
		return;
	}
	f = fdopen(mkstemp(path), "w");
	ck_assert_ptr_nonnull(f);
	for (unsigned i = 0; i < NAMES_NR; i++) {
		sample_make(&r, &s[i], i);
		command_write(f, &s[i]);
	}
	fclose(f);
	snprintf(cmd, sizeof(cmd), "debugfs -f %s 2>&1", path);
	f = popen(cmd, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		const char *is = strstr(line, " is 0x");
		uint32_t major, minor, got_major, got_minor;

		if (strncmp(line, "Hash of ", 8) || !is)
			continue;
		ck_assert_uint_lt(at, NAMES_NR);
		ck_assert_int_eq(sscanf(is, " is 0x%x (minor 0x%x)", &major, &minor), 2);
		got_major = dir_hash(&s[at].h, s[at].name, strlen(s[at].name), &got_minor);
		ck_assert_msg(got_major == major && got_minor == minor, "name %u version %u: %s",
			      at, s[at].h.version, line);
		at++;
	}
	pclose(f);
	unlink(path);
	free(s);
	ck_assert_uint_eq(at, NAMES_NR);
}
END_TEST

/* Goal: bit 0 is free for the index and the end mark never appears. Method: many names. */
START_TEST(hashes_are_even_and_never_the_end)
{
	struct rt_rand r = { t_seed() };
	struct sample s;

	for (unsigned i = 0; i < 20000; i++) {
		uint32_t major;

		sample_make(&r, &s, i);
		major = dir_hash(&s.h, s.name, strlen(s.name), NULL);
		ck_assert_uint_eq(major & 1, 0);
		ck_assert_uint_ne(major, 0xfffffffe);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("dirhash");
	TCase *tc = tcase_create("dirhash");

	tcase_add_test(tc, known_names_have_known_hashes);
	tcase_add_test(tc, random_names_hash_as_debugfs_hashes_them);
	tcase_add_test(tc, hashes_are_even_and_never_the_end);
	suite_add_tcase(s, tc);
	return s;
}
T_MAIN(suite)
