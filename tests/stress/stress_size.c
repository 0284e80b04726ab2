// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: operations on one file that meet at its size, or move it, come out as if they had been made
 * one after the other: none is lost, none is seen half done, no byte shows that nobody wrote.
 * Method: rounds. In each a few threads make a few operations side by side, most of them about the
 * size; then the file is read. There must be an order of the operations, in which those that did
 * not overlap in time are as they were, that gives each of them its result and the file its bytes:
 * it is searched for with a naive twin. The device takes a while, and watches that who writes a
 * block, or a part of it, is alone with it: direct I/O relies on that. e2fsck at the end.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <mbfs/fs.h>

#include "base/check.h"
#include "base/containers.h"
#include "rt/work.h"
#include "rt/wq.h"
#include "support/t_fs.h"
#include "support/t_image.h"

enum {
	THREADS = 3,
	OPS = 2, /* of one thread in a round */
	NR = THREADS * OPS,
	ROUNDS = 3000,
	REACH = 20000, /* where operations begin */
	IO_MAX = 3000,
	SIZE_MAX_BYTES = REACH + (NR + 1) * (IO_MAX + 4096),
	DELAY_MAX_NS = 40000,
	POISON = 0xEE,
};

/* ---- the device ---- */
struct watch {
	struct mbfs_bdev dev;
	struct mbfs_bdev *mem;
	uint32_t block;
	rt_u64 delay_ns;
	rt_u32 *hands; /* for each block: so many read it, or HAND_WRITES */
};
#define HAND_WRITES (1u << 16)

/* Each block of the transfer is in one more hand: @by. */
static void hands_add(struct watch *w, uint64_t off, size_t len, uint32_t by)
{
	for (uint64_t blk = off / w->block; blk <= (off + len - 1) / w->block; blk++) {
		uint32_t now = rt_u32_add_return(&w->hands[blk], by);

		if ((by == HAND_WRITES && now != by) || (by == 1 && now >= HAND_WRITES))
			ck_abort_msg("block %llu is written while somebody else has it",
				     (unsigned long long)blk);
	}
}

static int watch_read(struct mbfs_bdev *dev, uint64_t off, void *to, size_t len)
{
	struct watch *w = container_of(dev, struct watch, dev);
	int err;

	hands_add(w, off, len, 1);
	err = mbfs_bdev_read(w->mem, off, to, len);
	hands_add(w, off, len, -1u);
	return err;
}

static int watch_write(struct mbfs_bdev *dev, uint64_t off, const void *from, size_t len)
{
	struct watch *w = container_of(dev, struct watch, dev);
	int err;

	hands_add(w, off, len, HAND_WRITES);
	if (rt_u64_read(&w->delay_ns))
		rt_sleep_ns(rt_u64_read(&w->delay_ns));
	err = mbfs_bdev_write(w->mem, off, from, len);
	hands_add(w, off, len, -HAND_WRITES);
	return err;
}

static int watch_flush(struct mbfs_bdev *dev)
{
	return mbfs_bdev_flush(container_of(dev, struct watch, dev)->mem);
}

static void watch_close(struct mbfs_bdev *dev)
{
	free(container_of(dev, struct watch, dev)->hands);
}

static const struct mbfs_bdev_ops watch_ops = {
	.read = watch_read,
	.write = watch_write,
	.flush = watch_flush,
	.close = watch_close,
};

static void watch_open(struct watch *w, struct mbfs_bdev *mem, uint32_t block)
{
	*w = (struct watch){ .dev = { .ops = &watch_ops, .size_bytes = mem->size_bytes },
			     .mem = mem,
			     .block = block };
	w->hands = calloc(mem->size_bytes / block, sizeof(w->hands[0]));
}

/* ---- operations ---- */
enum kind { APPEND, WRITE, TRUNCATE, ALLOCATE, READ, STAT, FSYNC, KIND_NR };
static const char *const kind_names[] = { "append", "write", "truncate", "fallocate",
					  "read",   "stat",  "fsync" };

static const int modes[] = {
	0,
	FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_ZERO_RANGE,
	FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	FALLOC_FL_COLLAPSE_RANGE,
	FALLOC_FL_INSERT_RANGE,
};

struct op {
	enum kind kind;
	int mode; /* of a fallocate */
	uint64_t off, bytes;
	uint8_t fill;
	unsigned pause;      /* yields before it */
	uint64_t begin, end; /* when it was called, when it returned */
	int64_t got;
	bool midway; /* a stat while a fallocate moved the size, which it does block by block */
	uint8_t back[IO_MAX];
};

/* ---- the twin ---- */
struct twin {
	uint64_t size;
	uint8_t bytes[SIZE_MAX_BYTES];
};

static void twin_resize(struct twin *t, uint64_t size)
{
	ck_assert_uint_le(size, SIZE_MAX_BYTES);
	if (size > t->size)
		memset(t->bytes + t->size, 0, size - t->size);
	t->size = size;
}

static void twin_grow(struct twin *t, uint64_t size)
{
	if (size > t->size)
		twin_resize(t, size);
}

static int64_t twin_write(struct twin *t, const struct op *op, uint64_t off)
{
	twin_grow(t, off + op->bytes);
	memset(t->bytes + off, op->fill, op->bytes);
	return (int64_t)op->bytes;
}

static void twin_zero(struct twin *t, uint64_t off, uint64_t end)
{
	if (end > t->size)
		end = t->size;
	if (off < end)
		memset(t->bytes + off, 0, end - off);
}

static int64_t twin_collapse(struct twin *t, uint64_t off, uint64_t end)
{
	if (end >= t->size)
		return -EINVAL;
	memmove(t->bytes + off, t->bytes + end, t->size - end);
	t->size -= end - off;
	return 0;
}

static int64_t twin_insert(struct twin *t, uint64_t off, uint64_t end)
{
	uint64_t size = t->size;

	if (off >= size)
		return -EINVAL;
	twin_resize(t, size + (end - off));
	memmove(t->bytes + end, t->bytes + off, size - off);
	memset(t->bytes + off, 0, end - off);
	return 0;
}

static int64_t twin_allocate(struct twin *t, const struct op *op)
{
	uint64_t end = op->off + op->bytes;

	if (op->mode == FALLOC_FL_COLLAPSE_RANGE)
		return twin_collapse(t, op->off, end);
	if (op->mode == FALLOC_FL_INSERT_RANGE)
		return twin_insert(t, op->off, end);
	if (op->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		twin_zero(t, op->off, end);
	if (!(op->mode & FALLOC_FL_KEEP_SIZE))
		twin_grow(t, end);
	return 0;
}

static bool twin_read(const struct twin *t, const struct op *op)
{
	uint64_t there = op->off < t->size ? t->size - op->off : 0;
	uint64_t bytes = there < op->bytes ? there : op->bytes;

	return op->got == (int64_t)bytes && !memcmp(op->back, t->bytes + op->off, bytes);
}

/* Make it; true if it comes out as it did. */
static bool twin_apply(struct twin *t, const struct op *op)
{
	switch (op->kind) {
	case APPEND:
		return twin_write(t, op, t->size) == op->got;
	case WRITE:
		return twin_write(t, op, op->off) == op->got;
	case TRUNCATE:
		twin_resize(t, op->off);
		return !op->got;
	case ALLOCATE:
		return twin_allocate(t, op) == op->got;
	case READ:
		return twin_read(t, op);
	case STAT:
		return op->midway || op->got == (int64_t)t->size;
	default:
		return !op->got;
	}
}

/* ---- the search for an order ---- */
struct search {
	struct op *ops[NR]; /* by their end: mostly that is the order */
	struct twin at[NR + 1];
	unsigned next[NR + 1], chosen[NR];
};

/* Nothing that is left was over before it began. */
static bool may_be_next(const struct search *s, unsigned i, unsigned done)
{
	for (unsigned j = 0; j < NR; j++)
		if (!(done >> j & 1) && s->ops[j]->end < s->ops[i]->begin)
			return false;
	return !(done >> i & 1);
}

static void twin_copy(struct twin *to, const struct twin *from)
{
	to->size = from->size;
	memcpy(to->bytes, from->bytes, from->size);
}

static bool twins_equal(const struct twin *a, const struct twin *b)
{
	return a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

/* Is there an order that leads from at[0] to @end? */
static bool search(struct search *s, const struct twin *end)
{
	unsigned level = 0, done = 0, i;

	s->next[0] = 0;
	for (;;) {
		if (level == NR && twins_equal(&s->at[NR], end))
			return true;
		if (level == NR || s->next[level] == NR) {
			if (!level)
				return false;
			done &= ~(1u << s->chosen[--level]);
			continue;
		}
		i = s->next[level]++;
		if (!may_be_next(s, i, done))
			continue;
		twin_copy(&s->at[level + 1], &s->at[level]);
		if (!twin_apply(&s->at[level + 1], s->ops[i]))
			continue;
		s->chosen[level++] = i;
		done |= 1u << i;
		s->next[level] = 0;
	}
}

/* ---- threads ---- */
struct team {
	struct mbfs_fs *fs;
	struct mbfs_file *file, *appender;
	bool early; /* bytes are let go unconverted: a read would see half a write */
	rt_u64 clock;
	bool stop; /* [go] */
	struct rt_completion over;
};

struct worker {
	struct team *team;
	struct rt_thread *thread;
	struct rt_completion go;
	struct op ops[OPS];
};

static const struct mbfs_cred root_cred;

static int64_t size_of(struct team *team)
{
	struct mbfs_attr attr;

	ck_assert_int_eq(mbfs_fs_getattr(team->fs, mbfs_file_ino(team->file), &attr), 0);
	return (int64_t)attr.size_bytes;
}

static int64_t perform(struct team *team, struct op *op)
{
	switch (op->kind) {
	case APPEND:
		memset(op->back, op->fill, op->bytes);
		return mbfs_file_write(team->appender, &root_cred, op->back, op->bytes, 0);
	case WRITE:
		memset(op->back, op->fill, op->bytes);
		return mbfs_file_write(team->file, &root_cred, op->back, op->bytes, op->off);
	case TRUNCATE:
		return mbfs_file_truncate(team->file, op->off);
	case ALLOCATE:
		return mbfs_file_fallocate(team->file, &root_cred, op->mode, op->off, op->bytes,
					   NULL);
	case READ:
		return mbfs_file_read(team->file, op->back, op->bytes, op->off);
	case STAT:
		return size_of(team);
	default:
		return mbfs_file_fsync(team->file, false);
	}
}

static void work(void *arg)
{
	struct worker *w = arg;
	struct team *team = w->team;

	for (;;) {
		rt_completion_wait(&w->go);
		if (team->stop)
			return;
		for (unsigned i = 0; i < OPS; i++) {
			struct op *op = &w->ops[i];

			for (unsigned n = 0; n < op->pause; n++)
				rt_yield();
			op->begin = rt_u64_add_return(&team->clock, 1);
			op->got = perform(team, op);
			op->end = rt_u64_add_return(&team->clock, 1);
		}
		rt_complete(&team->over);
	}
}

/* ---- a round ---- */

/* Where a round's operations meet. */
struct spots {
	uint64_t size, other;
};

/* Most places are near the size, or near another that the operations have in common. */
static uint64_t place(struct rt_rand *r, const struct spots *at)
{
	uint64_t near = rt_rand_below(r, 2) ? IO_MAX : IO_MAX / 10, off = rt_rand_below(r, REACH);

	if (rt_rand_below(r, 4))
		off = (rt_rand_below(r, 2) ? at->size : at->other) + rt_rand_below(r, 2 * near);
	else
		return off;
	return off < near ? 0 : off - near;
}

static void op_draw(struct op *op, struct rt_rand *r, const struct spots *at, uint32_t block,
		    uint8_t fill)
{
	static const uint8_t kinds[] = { APPEND,   APPEND,   APPEND,   WRITE,    WRITE,    WRITE,
					 TRUNCATE, TRUNCATE, TRUNCATE, ALLOCATE, ALLOCATE, ALLOCATE,
					 READ,     READ,     READ,     STAT,     FSYNC };

	op->kind = kinds[rt_rand_below(r, sizeof(kinds))];
	op->mode = modes[rt_rand_below(r, MBFS_ARRAY_SIZE(modes))];
	op->off = place(r, at);
	op->bytes = 1 + rt_rand_below(r, IO_MAX);
	if (op->kind != TRUNCATE && rt_rand_below(r, 2) && op->off > op->bytes)
		op->off -= op->bytes;
	op->fill = fill;
	op->pause = rt_rand_below(r, 3);
	if (op->kind == ALLOCATE &&
	    (op->mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))) {
		op->off -= op->off % block;
		op->bytes = block;
	}
}

static void print_round(const struct search *s, const struct twin *end, uint64_t round)
{
	printf("round %llu: size %llu before, %llu after\n", (unsigned long long)round,
	       (unsigned long long)s->at[0].size, (unsigned long long)end->size);
	for (unsigned i = 0; i < NR; i++) {
		const struct op *op = s->ops[i];

		printf("%4llu to %4llu: %s mode %#x, %llu bytes at %llu, fill %#x: %lld\n",
		       (unsigned long long)op->begin, (unsigned long long)op->end,
		       kind_names[op->kind], op->kind == ALLOCATE ? op->mode : 0,
		       (unsigned long long)op->bytes, (unsigned long long)op->off, op->fill,
		       (long long)op->got);
	}
	for (uint64_t i = 0, from = 0; i < end->size; i++)
		if (i + 1 == end->size || end->bytes[i + 1] != end->bytes[from]) {
			printf("%llu to %llu: %#x\n", (unsigned long long)from,
			       (unsigned long long)i + 1, end->bytes[from]);
			from = i + 1;
		}
	fflush(stdout);
}

static int by_end(const void *x, const void *y)
{
	const struct op *a = *(struct op *const *)x, *b = *(struct op *const *)y;

	return a->end < b->end ? -1 : a->end > b->end;
}

static bool grows(const struct op *op)
{
	return op->kind == ALLOCATE && (!op->mode || op->mode == FALLOC_FL_ZERO_RANGE);
}

/* As in ext4 it moves it with each run of blocks that it gets. */
static void note_midway(struct op **ops, uint32_t block)
{
	for (unsigned i = 0; i < NR; i++) {
		struct op *op = ops[i];

		op->midway = false;
		for (unsigned j = 0; op->kind == STAT && j < NR; j++)
			op->midway |= grows(ops[j]) && ops[j]->begin < op->end &&
				      op->begin < ops[j]->end && op->got % block == 0 &&
				      op->got < (int64_t)(ops[j]->off + ops[j]->bytes);
	}
}

static void look(struct team *team, struct twin *t)
{
	ssize_t got = mbfs_file_read(team->file, t->bytes, sizeof(t->bytes), 0);

	ck_assert_int_ge(got, 0);
	ck_assert_int_eq(got, size_of(team));
	t->size = (uint64_t)got;
}

static void round_run(struct team *team, struct worker *w, struct search *s, struct rt_rand *r,
		      uint32_t block, uint64_t round)
{
	static struct twin end;
	struct spots at;
	unsigned nr = 0;

	if (s->at[0].size > REACH) {
		ck_assert_int_eq(mbfs_file_truncate(team->file, IO_MAX), 0);
		twin_resize(&s->at[0], IO_MAX);
	}
	at = (struct spots){ s->at[0].size, rt_rand_below(r, REACH) };
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned j = 0; j < OPS; j++, nr++) {
			s->ops[nr] = &w[i].ops[j];
			op_draw(s->ops[nr], r, &at, block, (uint8_t)(1 + (round * NR + nr) % 200));
			if (team->early && s->ops[nr]->kind == READ)
				s->ops[nr]->kind = STAT;
		}
	for (unsigned i = 0; i < THREADS; i++)
		rt_complete(&w[i].go);
	for (unsigned i = 0; i < THREADS; i++)
		rt_completion_wait(&team->over);
	look(team, &end);
	qsort(s->ops, NR, sizeof(s->ops[0]), by_end);
	note_midway(s->ops, block);
	if (!search(s, &end)) {
		print_round(s, &end, round);
		ck_abort_msg("no order of these gives their results");
	}
	twin_copy(&s->at[0], &end);
}

/* ---- the test ---- */
static const struct row {
	const char *mkfs;
	uint32_t block;
	bool pool, off;
	const char *endio;
} rows[] = {
	{ "-b 1024", 1024, true, false, "mbfs" },     { "-b 1024", 1024, false, false, "mbfs" },
	{ "-b 4096", 4096, true, false, "mbfs" },     { "-b 1024", 1024, true, true, "mbfs" },
	{ "-b 4096", 4096, false, true, "mbfs" },     { "-b 1024", 1024, true, false, "6.16" },
	{ "-b 1024", 1024, true, false, "3.7-wait" },
};

static void team_start(struct team *team, struct worker *w)
{
	rt_completion_init(&team->over);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i].team = team;
		rt_completion_init(&w[i].go);
		ck_assert_int_eq(rt_thread_start(work, &w[i], "size", &w[i].thread), 0);
	}
}

static void team_end(struct team *team, struct worker *w)
{
	team->stop = true;
	for (unsigned i = 0; i < THREADS; i++)
		rt_complete(&w[i].go);
	for (unsigned i = 0; i < THREADS; i++) {
		rt_thread_join(w[i].thread);
		rt_completion_destroy(&w[i].go);
	}
	rt_completion_destroy(&team->over);
}

static void files_open(struct team *team)
{
	struct mbfs_attr attr;

	ck_assert_int_eq(
		mbfs_fs_mknod(team->fs, &root_cred, MBFS_ROOT_INO, "f", S_IFREG | 0644, 0, &attr),
		0);
	ck_assert_int_eq(mbfs_file_open(team->fs, attr.ino, O_RDWR, &team->file), 0);
	ck_assert_int_eq(mbfs_file_open(team->fs, attr.ino, O_WRONLY | O_APPEND, &team->appender),
			 0);
	mbfs_fs_forget(team->fs, attr.ino, 1);
}

START_TEST(all_is_as_in_some_order)
{
	const struct row *row = &rows[_i];
	struct mbfs_bdev *mem = t_image_mem(row->mkfs, 16 << 20), *dev;
	struct worker *w = calloc(THREADS, sizeof(*w));
	struct search *s = calloc(1, sizeof(*s));
	struct rt_rand r = { t_seed() };
	struct team team = { .early = !strcmp(row->endio, "3.7-wait") };
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag;
	struct watch watch;

	t_fs_poison(mem, POISON);
	watch_open(&watch, mem, row->block);
	dev = &watch.dev;
	if (row->pool)
		ck_assert_int_eq(mbfs_bdev_open_pool(&watch.dev, 3, &dev), 0);
	mbfs_mount_opts_default(&opts);
	opts.tune.cpus = 4;
	opts.rangelock_off = row->off;
	opts.endio = row->endio;
	ck_assert_int_eq(mbfs_fs_mount(dev, &opts, &diag, NULL, &team.fs), 0);
	files_open(&team);
	team_start(&team, w);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		rt_u64_set(&watch.delay_ns, rt_rand_below(&r, 2) * rt_rand_below(&r, DELAY_MAX_NS));
		round_run(&team, w, s, &r, row->block, i);
	}
	team_end(&team, w);
	mbfs_file_release(team.file);
	mbfs_file_release(team.appender);
	ck_assert_msg(!mbfs_fs_check(team.fs, &diag), "%s", diag.text);
	ck_assert_int_eq(mbfs_fs_unmount(team.fs), 0);
	ck_assert_int_eq(t_image_fsck(mem), 0);
	mbfs_bdev_close(dev);
	if (row->pool)
		mbfs_bdev_close(&watch.dev);
	mbfs_bdev_close(mem);
	free(w);
	free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stress_size");
	TCase *tc = tcase_create("size");

	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, all_is_as_in_some_order, 0, MBFS_ARRAY_SIZE(rows));
	suite_add_tcase(s, tc);
	return s;
}
T_IMAGE_MAIN(suite)
