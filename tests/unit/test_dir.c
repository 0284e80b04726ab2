/* SPDX-License-Identifier: GPL-2.0-only */
/* Directories on twins of the rooms below (t_bed): contents, growth, reading, faults, damage. */
#include "support/t.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "inode/dir_priv.h"
#include "rt/mem.h"
#include "support/t_bed.h"

enum {
	CSUM = GEO_CSUM,
	INDEX = GEO_DIR_INDEX,
	TYPED = GEO_FILETYPE | GEO_EXT_ATTR | GEO_DIR_NLINK
};

static const struct t_bed_opts beds[] = {
	{ 1024, 16384, TYPED | CSUM | INDEX, 256 }, { 1024, 16384, TYPED | INDEX, 128 },
	{ 1024, 16384, CSUM, 256 },		    { 4096, 8192, TYPED | CSUM | INDEX, 256 },
	{ 4096, 8192, TYPED, 256 },		    { 65536, 512, TYPED | CSUM | INDEX, 256 },
	{ 65536, 512, TYPED | INDEX, 256 },
};

/* ---- helpers ---- */

static struct inode *root(void)
{
	return t_bed_inode(MBFS_ROOT_INO);
}

static int add(struct inode *dir, const char *name, mbfs_ino_t ino)
{
	struct mbfs_tx *tx;
	int err = tx_start(bed.env.log, DIR_CREDITS, &tx);

	if (err)
		return err;
	rt_write_lock(&dir->rw);
	err = dir_add(dir, tx, name, strlen(name), ino, DT_REG, 0);
	rt_write_unlock(&dir->rw);
	tx_stop(tx);
	return err;
}

static int del(struct inode *dir, const char *name)
{
	struct mbfs_tx *tx;
	int err = tx_start(bed.env.log, DIR_CREDITS, &tx);

	if (err)
		return err;
	rt_write_lock(&dir->rw);
	err = dir_del(dir, tx, name, strlen(name));
	rt_write_unlock(&dir->rw);
	tx_stop(tx);
	return err;
}

static int find(struct inode *dir, const char *name, mbfs_ino_t *ino)
{
	uint8_t d_type;

	return dir_find(dir, name, strlen(name), ino, &d_type);
}

/* What one pass over a directory saw: how often each inode number; names carry the number. */
struct seen {
	uint32_t *times, max;
	uint32_t nr, dots, stop_after, since;
	uint64_t cookie;
};

static bool see(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
		uint64_t next)
{
	struct seen *s = arg;

	if (s->stop_after && s->since == s->stop_after)
		return false;
	(void)d_type;
	s->since++;
	ck_assert_uint_gt(next, s->cookie);
	s->cookie = next;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))) {
		s->dots++;
		return true;
	}
	ck_assert_uint_lt(ino, s->max);
	s->times[ino]++;
	s->nr++;
	return true;
}

/* One call of dir_iterate() as FUSE makes it: at most @stop_after entries. True if that was not the
 * end. */
static bool read_some(struct inode *dir, struct seen *s, uint32_t stop_after)
{
	uint64_t from = s->cookie;

	s->stop_after = stop_after;
	s->since = 0;
	ck_assert_int_eq(dir_iterate(dir, from, see, s), 0);
	return stop_after && s->since == stop_after;
}

static void name_of(char *buf, uint32_t n, uint32_t pad)
{
	int len = sprintf(buf, "n%u-", n);

	memset(buf + len, 'x', pad);
	buf[(uint32_t)len + pad] = 0;
}

/* ---- contents against a naive twin ---- */

enum { MODEL_NAMES = 700 };

static void check_against(struct inode *dir, const bool *have, const uint8_t *pad,
			  struct rt_rand *r)
{
	struct seen s = { .times = calloc(MODEL_NAMES + 20, 4), .max = MODEL_NAMES + 20 };
	uint32_t want = 0;
	char name[300];

	while (read_some(dir, &s, 1 + (uint32_t)rt_rand_below(r, 60)))
		;
	ck_assert_uint_eq(s.dots, 2);
	for (uint32_t n = 0; n < MODEL_NAMES; n++) {
		mbfs_ino_t ino = 0;
		int err;

		name_of(name, n, pad[n]);
		err = find(dir, name, &ino);
		ck_assert_int_eq(err, have[n] ? 0 : -ENOENT);
		ck_assert_uint_eq(ino, have[n] ? n + 11 : 0);
		ck_assert_uint_eq(s.times[n + 11], have[n]);
		want += have[n];
	}
	ck_assert_uint_eq(s.nr, want);
	free(s.times);
}

/* Goal: add, del, find, iterate agree with a set. Method: random operations, all shapes and
 * geometries; the whole is read back from the device, checksums and all, now and then. */
START_TEST(random_operations_agree_with_a_set)
{
	struct rt_rand r = { t_seed() };
	bool have[MODEL_NAMES] = { 0 };
	uint8_t pad[MODEL_NAMES];
	char name[300];

	t_bed_open(&beds[_i]);
	for (uint32_t n = 0; n < MODEL_NAMES; n++)
		pad[n] = (uint8_t)rt_rand_below(&r, rt_rand_below(&r, 4) ? 30 : 240);
	for (unsigned step = 0; step < 6000; step++) {
		uint32_t n = (uint32_t)rt_rand_below(&r, MODEL_NAMES);
		bool more = step < 2500 || (step > 4000 && step < 5000);

		name_of(name, n, pad[n]);
		if (rt_rand_below(&r, 10) < (more ? 7 : 3)) {
			ck_assert_int_eq(add(root(), name, n + 11), have[n] ? -EEXIST : 0);
			have[n] = true;
		} else {
			ck_assert_int_eq(del(root(), name), have[n] ? 0 : -ENOENT);
			have[n] = false;
		}
		if (step % 1000 == 999) {
			t_bed_reopen(NULL);
			check_against(root(), have, pad, &r);
			t_bed_check();
		}
	}
	if (beds[_i].features & INDEX && beds[_i].block_bytes < 65536)
		ck_assert(dir_is_indexed(root()));
	t_bed_close();
}
END_TEST

/* ---- many ---- */

/* Goal: 100,000 names stay findable through index splits and deletes. Method: add, delete every
 * second. */
START_TEST(hundred_thousand_names_two_levels)
{
	enum { NR = 100000 };
	const struct t_bed_opts opts = { 1024, 65536, TYPED | CSUM | INDEX, 256 };
	struct seen s = { .times = calloc(NR + 20, 4), .max = NR + 20 };
	char name[64];
	struct buf *b;

	t_bed_open(&opts);
	for (uint32_t n = 0; n < NR; n++) {
		name_of(name, n, 0);
		ck_assert_int_eq(add(root(), name, n + 11), 0);
	}
	ck_assert_int_eq(dir_block0(root(), &b), 0);
	ck_assert_uint_eq(dx_root_levels(b->data), 1);
	buf_put(b);
	for (uint32_t n = 0; n < NR; n += 2) {
		name_of(name, n, 0);
		ck_assert_int_eq(del(root(), name), 0);
	}
	t_bed_reopen(NULL);
	while (read_some(root(), &s, 1000))
		;
	for (uint32_t n = 0; n < NR; n++) {
		mbfs_ino_t ino;

		name_of(name, n, 0);
		ck_assert_int_eq(find(root(), name, &ino), n % 2 ? 0 : -ENOENT);
		ck_assert_uint_eq(s.times[n + 11], n % 2);
	}
	t_bed_check();
	t_bed_close();
	free(s.times);
}
END_TEST

/* Goal: both levels full is -ENOSPC and changes nothing. Method: long names in 1 KiB blocks. */
START_TEST(a_full_index_says_no_space)
{
	const struct t_bed_opts opts = { 1024, 65536, TYPED | CSUM | INDEX, 256 };
	uint64_t size;
	char name[300];
	uint32_t n = 0;
	int err;

	t_bed_open(&opts);
	do {
		name_of(name, n, 240);
		err = add(root(), name, 11);
	} while (!err && ++n < 60000);
	ck_assert_int_eq(err, -ENOSPC);
	size = root()->size_bytes;
	ck_assert_int_eq(add(root(), name, 11), -ENOSPC);
	ck_assert_uint_eq(root()->size_bytes, size);
	ck_assert_uint_gt(n, 20000);
	t_bed_check();
	t_bed_close();
}
END_TEST

/* ---- equal hashes ---- */

struct hashed {
	uint32_t hash, n;
};

static int hashed_cmp(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* Goal: names of one hash on both sides of a border. Method: legacy hash; pairs found by sorting
 * 300,000 names; each pair with two others of higher hash, long enough that the leaf splits between
 * the pair. */
START_TEST(equal_hashes_across_two_leaves)
{
	enum { NR = 300000, PAD = 235 };
	const struct t_bed_opts opts = { 1024, 65536, TYPED | CSUM | INDEX, 256 };
	struct hashed *h = calloc(NR, sizeof(*h));
	struct dir_hasher hasher;
	unsigned pairs = 0, borders = 0;
	char name[300];

	t_bed_open(&opts);
	bed.geo.def_hash_version = DIR_HASH_LEGACY;
	dir_default_hasher(&bed.geo, &hasher);
	for (uint32_t n = 0; n < NR; n++) {
		name_of(name, n, PAD);
		h[n] = (struct hashed){ dir_hash(&hasher, name, strlen(name), NULL), n };
	}
	qsort(h, NR, sizeof(*h), hashed_cmp);
	for (uint32_t i = 0; i + 4 < NR && pairs < 40; i++) {
		struct inode *dir;
		struct seen s = { .max = NR + 20 };
		struct mbfs_tx *tx;
		struct dx_path path;
		uint32_t next;

		if (h[i].hash != h[i + 1].hash)
			continue;
		pairs++;
		s.times = calloc(NR + 20, 4);
		dir = t_bed_make(S_IFDIR | 0755);
		ck_assert_int_eq(tx_start(bed.env.log, 100, &tx), 0);
		ck_assert_int_eq(dir_init(dir, tx, MBFS_ROOT_INO, 0), 0);
		tx_stop(tx);
		for (unsigned k = 0; k < 5; k++) {
			name_of(name, h[i + k].n, PAD);
			ck_assert_int_eq(add(dir, name, h[i + k].n + 11), 0);
		}
		for (unsigned k = 0; k < 5; k++) {
			mbfs_ino_t ino;

			name_of(name, h[i + k].n, PAD);
			ck_assert_int_eq(find(dir, name, &ino), 0);
			ck_assert_uint_eq(ino, h[i + k].n + 11);
		}
		while (read_some(dir, &s, 1))
			;
		ck_assert_uint_eq(s.nr, 5);
		for (unsigned k = 0; k < 5; k++)
			ck_assert_uint_eq(s.times[h[i + k].n + 11], 1);
		ck_assert_int_eq(dx_open(dir, &path), 0);
		ck_assert_int_eq(dx_descend(dir, &path, 0), 0);
		while (dx_path_peek(&path, &next)) {
			borders += next & 1;
			ck_assert_int_eq(dx_path_next(dir, &path), 0);
		}
		dx_path_put(&path);
		free(s.times);
	}
	ck_assert_uint_gt(pairs, 5);
	ck_assert_uint_gt(borders, 0);
	t_bed_check();
	t_bed_close();
	free(h);
}
END_TEST

/* ---- reading while it changes ---- */

/* Goal: what exists throughout is seen exactly once. Method: between small reads, others come and
 * go by the hundred, so leaves pack, split and the small directory becomes indexed. */
START_TEST(reading_sees_what_stays_exactly_once)
{
	enum { NR = 6000 };
	struct rt_rand r = { t_seed() };

	for (unsigned round = 0; round < 2; round++) {
		static bool have[NR];
		struct seen s = { .times = calloc(NR + 20, 4), .max = NR + 20 };
		bool linear = !(beds[_i].features & INDEX);
		uint32_t stays = round % 2 ? 10 : linear ? 200 : 800;
		char name[300];

		t_bed_open(&beds[_i]);
		memset(have, 0, sizeof(have));
		for (uint32_t n = 0; n < stays; n++) {
			name_of(name, n, n % 40);
			ck_assert_int_eq(add(root(), name, n + 11), 0);
		}
		while (read_some(root(), &s, 1 + (uint32_t)rt_rand_below(&r, 20))) {
			for (unsigned k = 0; k < (linear ? 10 : 60); k++) {
				uint32_t n = stays +
					     (uint32_t)rt_rand_below(&r, linear ? 300 : NR - stays);

				name_of(name, n, n % 40);
				ck_assert_int_eq(
					have[n] ? del(root(), name) : add(root(), name, n + 11), 0);
				have[n] = !have[n];
			}
		}
		for (uint32_t n = 0; n < stays; n++)
			ck_assert_uint_eq(s.times[n + 11], 1);
		ck_assert_uint_eq(s.dots, 2);
		t_bed_close();
		free(s.times);
	}
}
END_TEST

/* ---- faults ---- */

enum fault { FAULT_MEMORY, FAULT_TWIN, FAULT_READ, FAULT_NR };

static void fault_arm(enum fault f, uint64_t n)
{
	struct mbfs_fault_plan plan = { .fail_read_at = f == FAULT_READ ? n : 0 };

	/* Cold caches, so that there is something to read. */
	t_bed_reopen(&plan);
	rt_mem_fail_at(f == FAULT_MEMORY ? n : 0);
	t_bed_fail_at(f == FAULT_TWIN ? n : 0, -EIO);
}

static bool fault_disarm(enum fault f)
{
	struct mbfs_fault_counts counts;
	bool struck;

	mbfs_bdev_fault_counts(bed.dev, &counts);
	struck = f == FAULT_MEMORY ? rt_mem_fail_struck() : f == FAULT_TWIN ? t_bed_fail_struck() :
									      counts.faults > 0;
	rt_mem_fail_at(0);
	t_bed_fail_at(0, 0);
	return struck;
}

/* Goal: an add that fails changes nothing, one that works is whole. Method: fill a directory;
 * before each add that will need a new block, every allocation, twin call and read fails once, in
 * turn. */
START_TEST(an_add_that_fails_changes_nothing)
{
	char name[300];
	uint32_t next = 0;
	unsigned grown = 0;

	t_bed_open(&beds[_i]);
	while (grown < 4 && next < 1500) {
		uint64_t start = root()->size_bytes, size;
		mbfs_ino_t ino;

		for (enum fault f = 0; f < FAULT_NR; f++) {
			for (uint64_t n = 1;; n++) {
				bool struck;
				int err;

				name_of(name, next, 200);
				size = root()->size_bytes;
				fault_arm(f, n);
				err = add(root(), name, 11);
				struck = fault_disarm(f);
				t_bed_check();
				if (!err) {
					next++;
					ck_assert_int_eq(find(root(), name, &ino), 0);
				} else {
					ck_assert_int_eq(find(root(), name, &ino), -ENOENT);
					ck_assert_uint_eq(root()->size_bytes, size);
				}
				if (!struck || !err)
					break;
			}
		}
		if (root()->size_bytes != start)
			grown++;
	}
	t_bed_reopen(NULL);
	for (uint32_t n = 0; n < next; n++) {
		mbfs_ino_t ino;

		name_of(name, n, 200);
		ck_assert_int_eq(find(root(), name, &ino), 0);
	}
	t_bed_close();
}
END_TEST

/* ---- damage ---- */

static bool count_only(void *arg, const char *name, size_t len, mbfs_ino_t ino, uint8_t d_type,
		       uint64_t next)
{
	uint32_t *nr = arg;

	(void)name, (void)len, (void)ino, (void)d_type, (void)next;
	return ++*nr < 100000;
}

static void reseal(const struct inode *dir, const struct buf_kind *kind, mbfs_blk_t blk,
		   uint8_t *data)
{
	struct buf_owner owner = { dir->ino, dir->gen };

	kind->seal(&bed.geo, &owner, blk, data, bed.geo.block_bytes);
}

static bool is_expected(int err)
{
	return !err || err == -EUCLEAN || err == -EBADMSG || err == -ENOENT || err == -ENOSPC ||
	       err == -EEXIST;
}

/* Everything that reads or changes a directory, on whatever is there. */
static void exercise(struct inode *dir)
{
	uint32_t nr = 0;
	mbfs_ino_t ino;
	bool empty;
	char name[300];

	ck_assert(is_expected(dir_iterate(dir, 0, count_only, &nr)));
	ck_assert(is_expected(dir_is_empty(dir, &empty)));
	ck_assert(is_expected(dir_parent(dir, &ino)));
	for (uint32_t n = 0; n < 60; n += 7) {
		name_of(name, n, 100);
		ck_assert(is_expected(find(dir, name, &ino)));
		ck_assert(is_expected(del(dir, name)));
	}
	for (uint32_t n = 100; n < 112; n++) {
		name_of(name, n, 200);
		ck_assert(is_expected(add(dir, name, 11)));
	}
}

/* Goal: no damage leads astray. Method: each byte of each block gets other values, checksum put
 * right (and once not); then everything is done with the directory. Under ASan and UBSan. */
START_TEST(damaged_blocks_are_refused_or_harmless)
{
	const struct t_bed_opts opts = { 1024, 700, TYPED | INDEX | (_i & 1 ? CSUM : 0), 256 };
	static const uint8_t with[] = { 0x01, 0x80, 0xff };
	uint32_t blocks, names = _i < 2 ? 6 : 1100; /* small; two levels */
	char name[300];
	uint8_t *mem;

	t_bed_open(&opts);
	for (uint32_t n = 0; n < names; n++) {
		name_of(name, n, _i < 2 ? 100 : 230);
		ck_assert_int_eq(add(root(), name, n + 11), 0);
	}
	t_bed_reopen(NULL);
	mem = malloc(bed.mem->size_bytes);
	memcpy(mem, mbfs_bdev_mem_bytes(bed.mem), bed.mem->size_bytes);
	blocks = dir_blk_nr(root());
	for (mbfs_lblk_t lblk = 0; lblk < blocks; lblk += lblk < 3 ? 1 : blocks / 3) {
		mbfs_blk_t blk = t_bed_blk(root(), lblk);
		uint8_t *data = mbfs_bdev_mem_bytes(bed.mem) + blk * 1024;
		const struct buf_kind *kind = &dir_leaf_kind;

		if (lblk == 0 && dir_is_indexed(root()))
			kind = &dir_root_kind;
		else if (!dirent_ino(data) && dirent_rec_len(data, 1024) == 1024)
			kind = &dir_node_kind;
		for (uint32_t at = 0; at < 1024; at += lblk == 0 ? 1 : 9) {
			uint64_t size = root()->size_bytes;
			uint32_t flags = root()->flags;
			struct mbfs_tx *tx;
			uint64_t next, freed;

			data[at] ^= with[at / 4 % MBFS_ARRAY_SIZE(with)];
			if (at % 5)
				reseal(root(), kind, blk, data);
			exercise(root());
			/* As it was, for the next. */
			ck_assert_int_eq(tx_start(bed.env.log, 100, &tx), 0);
			ck_assert_int_eq(extent_remove(&root()->tree, tx, blocks, 1ull << 32, &next,
						       &freed), 0);
			inode_add_blocks(root(), -(int64_t)freed);
			tx_stop(tx);
			root()->size_bytes = size;
			root()->flags = flags;
			t_bed_reopen(NULL);
			memcpy(mbfs_bdev_mem_bytes(bed.mem), mem, bed.mem->size_bytes);
		}
	}
	free(mem);
	t_bed_close();
}
END_TEST

static void add_case(Suite *s, const char *name, const TTest *test, int nr)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 240);
	_tcase_add_test(tc, test, 0, 0, 0, nr);
	suite_add_tcase(s, tc);
}

static Suite *suite(void)
{
	Suite *s = suite_create("dir");
	int nr = MBFS_ARRAY_SIZE(beds);

	add_case(s, "model", random_operations_agree_with_a_set, nr);
	add_case(s, "many", hundred_thousand_names_two_levels, 1);
	add_case(s, "full", a_full_index_says_no_space, 1);
	add_case(s, "equal", equal_hashes_across_two_leaves, 1);
	add_case(s, "reading", reading_sees_what_stays_exactly_once, nr);
	add_case(s, "faults", an_add_that_fails_changes_nothing, nr);
	add_case(s, "damage", damaged_blocks_are_refused_or_harmless, 4);
	return s;
}
T_MAIN(suite)
