// SPDX-License-Identifier: GPL-2.0-only
#include "support/t.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "extent/extent.h"
#include "rt/mem.h"
#include "rt/work.h"

enum { BLOCK = 4096, WRITES = 48, THREADS = 6, ROUNDS = 300, FILES = 3 };

/* A host that converts nothing, but counts, and whose conversions wait for a gate. */
struct host_file {
	struct endio_file endio;
	struct rt_rwlock rw;
	struct io_tree io;
	rt_u32 pins; /* [atomic] */
};

struct write {
	struct endio ei;
	struct io_lock range;
	bool ranged; /* nobody else had its bytes when it began: they are its own */
	unsigned nr;
	uint32_t downs, converts; /* [who has the write] */
	struct note *note;        /* outlives it */
};

/* What the test knows of a write when it is gone. */
struct note {
	rt_u32 overs, converts; /* [atomic] */
	int err;                /* read when over */
	const void *converted_by;
};

/* Set before threads start; reset by each test, which is a process of its own. */
static struct {
	rt_u32 open;   /* [atomic] */
	rt_u32 inside; /* [atomic] conversions that wait */
	struct rt_event moved;
	int err;                         /* of conversions */
	unsigned batches, batch[WRITES]; /* only where one thread converts */
	unsigned order[WRITES], converted;
} gate;

/* Of locks only: no states are set. */
static struct io_env io_env;

static struct write *write_of(struct endio *ei)
{
	return container_of(ei, struct write, ei);
}

static struct host_file *file_of(struct endio_file *f)
{
	return container_of(f, struct host_file, endio);
}

static void gate_wait(void)
{
	uint32_t key;

	rt_u32_add(&gate.inside, 1);
	rt_event_signal(&gate.moved);
	for (;;) {
		key = rt_event_key(&gate.moved);
		if (rt_u32_read_acquire(&gate.open))
			break;
		rt_event_wait(&gate.moved, key);
	}
	rt_u32_add(&gate.inside, -1u);
}

static void gate_open(void)
{
	rt_u32_set_release(&gate.open, 1);
	rt_event_signal(&gate.moved);
}

static void wait_inside(void)
{
	uint32_t key;

	for (;;) {
		key = rt_event_key(&gate.moved);
		if (rt_u32_read_acquire(&gate.inside))
			return;
		rt_event_wait(&gate.moved, key);
	}
}

static void host_convert(struct endio_file *f, struct endio **batch, unsigned nr)
{
	(void)f;
	gate_wait();
	for (unsigned i = 0; i < nr; i++) {
		struct write *w = write_of(batch[i]);

		ck_assert_uint_eq(w->converts++, 0);
		w->note->converted_by = rt_thread_self();
		rt_u32_add(&w->note->converts, 1);
		w->ei.err = gate.err;
	}
}

/* As host_convert(), for one worker: what comes in which batch. */
static void host_convert_noting(struct endio_file *f, struct endio **batch, unsigned nr)
{
	gate.batch[gate.batches++] = nr;
	for (unsigned i = 0; i < nr; i++)
		gate.order[gate.converted++] = write_of(batch[i])->nr;
	host_convert(f, batch, nr);
}

static void let_go(struct write *w)
{
	if (w->ranged)
		io_tree_unlock_range(&file_of(w->ei.file)->io, &w->range);
	w->ranged = false;
}

static void host_over(struct endio *ei)
{
	struct write *w = write_of(ei);

	let_go(w);
	w->note->err = ei->err;
	rt_u32_add(&w->note->overs, 1);
	rt_free(w);
}

static void host_data_down(struct endio *ei)
{
	ck_assert_uint_eq(write_of(ei)->downs++, 0);
	let_go(write_of(ei));
}

static bool host_wait(struct endio_file *f, uint64_t first, uint64_t last)
{
	uint64_t end = last == UINT64_MAX ? IO_END : last + 1;

	return io_tree_wait_range(&file_of(f)->io, first, end, NULL) > 0;
}

static void host_pin(struct endio_file *f)
{
	rt_u32_add(&file_of(f)->pins, 1);
}

static void host_unpin(struct endio_file *f)
{
	rt_u32_add(&file_of(f)->pins, -1u);
}

static bool host_trylock(struct endio_file *f)
{
	return rt_write_trylock(&file_of(f)->rw);
}

static void host_unlock(struct endio_file *f)
{
	rt_write_unlock(&file_of(f)->rw);
}

static const struct endio_host_ops host = {
	.convert = host_convert,
	.over = host_over,
	.data_down = host_data_down,
	.wait = host_wait,
	.pin = host_pin,
	.unpin = host_unpin,
	.trylock = host_trylock,
	.unlock = host_unlock,
};

/* ---- fixture ---- */

static struct endio_env *env_open(const char *variant, unsigned workers, bool open)
{
	struct endio_env *env;

	rt_event_init(&gate.moved);
	rt_u32_set(&gate.open, open);
	ck_assert_int_eq(endio_env_open(variant, workers, &host, &env), 0);
	return env;
}

static void file_init(struct host_file *f, struct endio_env *env)
{
	memset(f, 0, sizeof(*f));
	rt_rwlock_init(&f->rw, RANK_INODE);
	io_tree_init(&f->io, &io_env, RANK_INODE_RANGE);
	endio_file_init(&f->endio, env);
}

static void file_end(struct host_file *f)
{
	ck_assert_uint_eq(rt_u32_read(&f->pins), 0);
	ck_assert_uint_eq(rt_u32_read(&f->endio.unwritten), 0);
	endio_file_retire(&f->endio);
	endio_file_end(&f->endio);
	io_tree_destroy(&f->io);
	rt_rwlock_destroy(&f->rw);
}

static struct endio *begin(struct host_file *f, unsigned nr, uint64_t block, bool converts,
			   struct note *note)
{
	struct write *w = rt_zalloc(sizeof(*w));

	ck_assert_ptr_nonnull(w);
	w->nr = nr;
	w->note = note;
	w->ei.first = block * BLOCK;
	w->ei.last = block * BLOCK + BLOCK - 1;
	w->ei.converts = converts;
	w->ranged = io_tree_try_lock_range(&f->io, &w->range, w->ei.first, w->ei.last + 1,
					   IO_EXCLUSIVE);
	endio_begin(&f->endio, &w->ei);
	return &w->ei;
}

static struct endio_stats stats(struct endio_env *env)
{
	struct endio_stats st;

	endio_env_stats(env, &st);
	return st;
}

/* ---- cases ---- */

/* Goal: names are looked up, unknown ones refused. Method: the whole table, and one name more. */
START_TEST(variants_are_found_by_name)
{
	const struct mbfs_endio_variant *v;
	struct endio_env *env;
	unsigned nr = 0;

	for (; (v = mbfs_endio_variant_at(nr)); nr++) {
		ck_assert_ptr_eq(mbfs_endio_variant_find(v->name), v);
		ck_assert(v->kernel && v->commit && v->summary);
	}
	ck_assert_uint_eq(nr, 5);
	ck_assert_ptr_null(mbfs_endio_variant_find("no"));
	ck_assert_int_eq(endio_env_open("no", 1, &host, &env), -EINVAL);
}
END_TEST

/* Goal: what has nothing to convert is over at once; who may sleep converts on its own thread.
 * Method: direct writes under each variant, no worker's help. */
START_TEST(the_submitter_converts)
{
	struct endio_env *env = env_open(mbfs_endio_variant_at((unsigned)_i)->name, 1, true);
	struct note note[2] = { { .err = 1 }, { .err = 1 } };
	struct host_file f;
	struct endio *ei;

	file_init(&f, env);
	for (unsigned i = 0; i < 2; i++) {
		ei = begin(&f, i, i, i, &note[i]);
		ei->direct = true;
		endio_complete(ei, true);
		ck_assert_uint_eq(rt_u32_read(&note[i].overs), 1);
		ck_assert_uint_eq(rt_u32_read(&note[i].converts), i);
		ck_assert_int_eq(note[i].err, 0);
	}
	ck_assert_ptr_eq(note[1].converted_by, rt_thread_self());
	ck_assert_uint_eq(stats(env).queued, 0);
	file_end(&f);
	endio_env_close(env);
}
END_TEST

/* Goal: the worker takes them as they came, as many as fit into a batch. Method: the first one
 * holds the worker up until all are on the list. */
START_TEST(batches_in_order)
{
	struct endio_host_ops noting = host;
	struct note note[WRITES] = { { .err = 1 } };
	struct endio_env *env;
	struct host_file f;

	noting.convert = host_convert_noting;
	rt_event_init(&gate.moved);
	ck_assert_int_eq(endio_env_open("mbfs", 1, &noting, &env), 0);
	file_init(&f, env);
	for (unsigned i = 0; i < WRITES; i++) {
		endio_complete(begin(&f, i, WRITES - i, true, &note[i]), false);
		if (i == 0)
			wait_inside();
	}
	gate_open();
	endio_env_drain(env);
	ck_assert_uint_eq(gate.batches, 3);
	ck_assert_uint_eq(gate.batch[0], 1);
	ck_assert_uint_eq(gate.batch[1], ENDIO_BATCH_MAX);
	ck_assert_uint_eq(gate.batch[2], WRITES - 1 - ENDIO_BATCH_MAX);
	for (unsigned i = 0; i < WRITES; i++) {
		ck_assert_uint_eq(gate.order[i], i);
		ck_assert_uint_eq(rt_u32_read(&note[i].overs), 1);
	}
	endio_note_merged(&f.endio, 7);
	ck_assert_uint_eq(stats(env).merged, 7);
	ck_assert_uint_eq(stats(env).queued, 1); /* by the first; the worker goes on for the rest */
	ck_assert_uint_eq(stats(env).converted, WRITES);
	ck_assert_uint_eq(stats(env).in_flight_max, WRITES);
	file_end(&f);
	endio_env_close(env);
}
END_TEST

/* A thread that waits for, or flushes, one block. */
struct waiter {
	struct host_file *f;
	bool flush, ranged;
	int err;
	rt_u32 started, back; /* [atomic] */
};

static void waiter_main(void *arg)
{
	struct waiter *w = arg;

	rt_u32_set_release(&w->started, 1);
	if (w->flush)
		w->err = endio_flush(&w->f->endio, 0, BLOCK - 1, w->ranged);
	else
		host_wait(&w->f->endio, 0, BLOCK - 1);
	rt_u32_set_release(&w->back, 1);
}

static struct rt_thread *wait_begin(struct waiter *w)
{
	struct rt_thread *t;

	ck_assert_int_eq(rt_thread_start(waiter_main, w, "waiter", &t), 0);
	while (!rt_u32_read_acquire(&w->started))
		rt_yield();
	rt_sleep_ns(20000000); /* it has looked by now, or the test proves less */
	return t;
}

/* Goal: a flush waits for the writes of its own bytes that began before it; who has the bytes to
 * himself waits for nobody. Method: writes beside it and after it stay under way until it is back.
 */
START_TEST(waits_for_its_own)
{
	struct endio_env *env = env_open("mbfs", 1, true);
	struct note note[3] = { { .err = 1 } };
	struct endio *beside, *before, *after;
	struct waiter w = { .flush = true };
	struct rt_thread *t;
	struct host_file f;

	file_init(&f, env);
	w.f = &f;
	beside = begin(&f, 0, 1, true, &note[0]);
	ck_assert_int_eq(endio_flush(&f.endio, 0, BLOCK - 1, false), 0);
	ck_assert_int_eq(endio_flush(&f.endio, 2 * BLOCK, UINT64_MAX, false), 0);
	before = begin(&f, 1, 0, true, &note[1]);
	ck_assert_int_eq(endio_flush(&f.endio, 0, UINT64_MAX, true), 0);
	t = wait_begin(&w);
	ck_assert_uint_eq(rt_u32_read(&w.back), 0);
	after = begin(&f, 2, 0, true, &note[2]);
	endio_complete(before, true);
	rt_thread_join(t);
	ck_assert_uint_eq(rt_u32_read(&note[0].overs) + rt_u32_read(&note[2].overs), 0);
	ck_assert_uint_eq(stats(env).flush_waits, 1);
	ck_assert_uint_gt(stats(env).flush_ns, 0);
	endio_complete(after, true);
	endio_complete(beside, true);
	file_end(&f);
	endio_env_close(env);
}
END_TEST

/* Goal: who waits in a flush while the worker is slow, and who does not: Jan Kara's question.
 * Method: the worker has the write on its own list when the flush begins. */
START_TEST(flush_and_a_slow_worker)
{
	static const struct {
		const char *variant;
		bool waits;
	} rows[] = {
		{ "2012-v4", false }, { "3.7-wait", true }, { "6.16", true }, { "mbfs", true }
	};
	struct endio_env *env = env_open(rows[_i].variant, 1, false);
	struct note note = { .err = 1 };
	struct waiter w = { .flush = true };
	struct rt_thread *t;
	struct host_file f;

	file_init(&f, env);
	w.f = &f;
	endio_complete(begin(&f, 0, 0, true, &note), false);
	wait_inside();
	t = wait_begin(&w);
	if (!rows[_i].waits)
		rt_thread_join(t);
	ck_assert_uint_eq(rt_u32_read(&w.back), !rows[_i].waits);
	ck_assert_uint_eq(rt_u32_read(&note.overs), 0);
	gate_open();
	if (rows[_i].waits)
		rt_thread_join(t);
	if (rows[_i].waits)
		ck_assert_uint_eq(rt_u32_read(&note.converts), 1);
	endio_env_drain(env);
	ck_assert_uint_eq(rt_u32_read(&note.overs), 1);
	ck_assert_uint_eq(rt_u32_read(&note.converts), 1);
	ck_assert_uint_eq(stats(env).flushes, 1);
	file_end(&f);
	endio_env_close(env);
}
END_TEST

/* Goal: data that failed is not converted, and says so once. Method: cancelled under each variant;
 * a flush, which counts what is unconverted in 3.7, comes back. */
START_TEST(cancel_converts_nothing)
{
	struct endio_env *env = env_open(mbfs_endio_variant_at((unsigned)_i)->name, 1, true);
	struct note note = { .err = 1 };
	struct host_file f;

	file_init(&f, env);
	endio_cancel(begin(&f, 0, 0, true, &note), -EIO);
	ck_assert_uint_eq(rt_u32_read(&note.overs), 1);
	ck_assert_uint_eq(rt_u32_read(&note.converts), 0);
	ck_assert_int_eq(note.err, -EIO);
	ck_assert_int_eq(endio_flush(&f.endio, 0, UINT64_MAX, false), 0);
	ck_assert_uint_eq(stats(env).failed, 1);
	ck_assert_uint_eq(stats(env).in_flight, 0);
	file_end(&f);
	endio_env_close(env);
}
END_TEST

/* Goal: a conversion that fails ends its write with its error, and nothing hangs. Method: ENOMEM,
 * EIO under each variant; the submitter's, then the worker's. */
START_TEST(a_failed_conversion_is_told)
{
	static const int errs[] = { -ENOMEM, -EIO };
	struct endio_env *env = env_open(mbfs_endio_variant_at((unsigned)_i / 2)->name, 1, true);
	struct note note[2] = { { .err = 1 }, { .err = 1 } };
	struct host_file f;
	struct endio *ei;

	gate.err = errs[_i % 2];
	file_init(&f, env);
	ei = begin(&f, 0, 0, true, &note[0]);
	ei->direct = true;
	endio_complete(ei, true);
	endio_complete(begin(&f, 1, 1, true, &note[1]), false);
	endio_env_drain(env);
	ck_assert_int_eq(note[0].err, gate.err);
	ck_assert_int_eq(note[1].err, gate.err);
	file_end(&f);
	endio_env_close(env);
}
END_TEST

/* Goal: a flush that converts itself returns the conversion's error; the write is over once all the
 * same. Method: the only worker is held up by another file. */
START_TEST(a_flush_that_converts_fails)
{
	static const char *const names[] = { "2012-mutex-trylock", "2012-v4", "3.7-wait" };
	struct endio_env *env = env_open(names[_i], 1, false);
	struct note note[2] = { { .err = 1 }, { .err = 1 } };
	struct host_file f[2];
	struct waiter w = { .f = &f[1], .flush = true };
	struct rt_thread *t;

	file_init(&f[0], env);
	file_init(&f[1], env);
	endio_complete(begin(&f[0], 0, 0, true, &note[0]), false);
	wait_inside();
	gate.err = -EIO;
	endio_complete(begin(&f[1], 1, 0, true, &note[1]), false);
	t = wait_begin(&w);
	gate_open();
	rt_thread_join(t);
	ck_assert_int_eq(w.err, -EIO);
	ck_assert_uint_eq(rt_u32_read(&note[1].converts), 1);
	endio_env_drain(env);
	ck_assert_uint_eq(rt_u32_read(&note[1].overs), 1);
	file_end(&f[0]);
	file_end(&f[1]);
	endio_env_close(env);
}
END_TEST

/* Goal: 6.16's work that outlives its file is seen and taken out; ours leaves none. Method: the
 * only worker is held up by another file when a write with nothing to convert is over. */
START_TEST(work_that_outlives_its_file)
{
	static const char *const names[] = { "6.16", "mbfs" };
	struct endio_env *env = env_open(names[_i], 1, false);
	struct host_file other, *f = rt_zalloc_aligned(_Alignof(struct host_file), sizeof(*f));
	struct note note[2] = { { .err = 1 }, { .err = 1 } };

	file_init(&other, env);
	file_init(f, env);
	endio_complete(begin(&other, 0, 0, true, &note[0]), false);
	wait_inside();
	endio_complete(begin(f, 1, 0, false, &note[1]), false);
	ck_assert_uint_eq(rt_u32_read(&note[1].overs), 1);
	file_end(f);
	rt_free(f);
	gate_open();
	endio_env_drain(env);
	ck_assert_uint_eq(stats(env).after_free, _i == 0);
	file_end(&other);
	endio_env_close(env);
}
END_TEST

/* ---- many threads ---- */

struct storm {
	struct endio_env *env;
	struct host_file f[FILES];
	struct note note[THREADS][ROUNDS];
	uint64_t seed;
	rt_u32 idx; /* [atomic] of the next thread */
};

static void storm_round(struct storm *s, struct rt_rand *rand, unsigned me, unsigned i)
{
	struct host_file *f = &s->f[rt_rand_below(rand, FILES)];
	uint64_t block = rt_rand_below(rand, 16);
	bool converts = rt_rand_below(rand, 4), fails = rt_rand_below(rand, 16) == 0, ranged;
	struct endio *ei = begin(f, i, block, converts, &s->note[me][i]);

	ranged = write_of(ei)->ranged && !endio_env_variant(s->env)->early;
	ei->direct = rt_rand_below(rand, 2);
	if (fails)
		endio_cancel(ei, -EIO);
	else
		endio_complete(ei, rt_rand_below(rand, 3) == 0);
	switch (rt_rand_below(rand, 8)) {
	case 0:
		rt_write_lock(&f->rw);
		ck_assert_int_eq(endio_flush(&f->endio, 0, 8 * BLOCK, false), 0);
		rt_write_unlock(&f->rw);
		break;
	case 1:
		host_wait(&f->endio, block * BLOCK, block * BLOCK);
		if (ranged)
			ck_assert_uint_eq(rt_u32_read(&s->note[me][i].converts),
					  converts && !fails);
		break;
	default:
		break;
	}
}

static void storm_main(void *arg)
{
	struct storm *s = arg;
	unsigned me = rt_u32_add_return(&s->idx, 1) - 1;
	struct rt_rand rand = { s->seed + me };

	for (unsigned i = 0; i < ROUNDS; i++)
		storm_round(s, &rand, me, i);
}

/* Goal: each write is over once, and converted at most once, whoever meets whom. Method: threads
 * begin, complete, cancel, flush and wait under each variant, with all workers; TSan, ASan.
 */
START_TEST(storm)
{
	struct storm *s = rt_zalloc_aligned(_Alignof(struct storm), sizeof(*s));
	struct rt_thread *t[THREADS];
	struct endio_stats st;

	ck_assert_ptr_nonnull(s);
	s->env = env_open(mbfs_endio_variant_at((unsigned)_i)->name, ENDIO_WORKERS, true);
	s->seed = t_seed();
	for (unsigned i = 0; i < FILES; i++)
		file_init(&s->f[i], s->env);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(rt_thread_start(storm_main, s, "storm", &t[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		rt_thread_join(t[i]);
	endio_env_drain(s->env);
	for (unsigned i = 0; i < THREADS * ROUNDS; i++) {
		struct note *n = &s->note[i / ROUNDS][i % ROUNDS];

		ck_assert_uint_eq(rt_u32_read(&n->overs), 1);
		ck_assert_uint_le(rt_u32_read(&n->converts), n->err ? 0 : 1);
	}
	st = stats(s->env);
	ck_assert_uint_eq(st.begun, THREADS * ROUNDS);
	ck_assert_uint_eq(st.in_flight, 0);
	ck_assert_uint_eq(st.after_free, 0); /* drained before the files go */
	for (unsigned i = 0; i < FILES; i++)
		file_end(&s->f[i]);
	endio_env_close(s->env);
	rt_free(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("endio");
	TCase *tc = tcase_create("endio");

	tcase_add_test(tc, variants_are_found_by_name);
	tcase_add_loop_test(tc, the_submitter_converts, 0, 5);
	tcase_add_test(tc, batches_in_order);
	tcase_add_test(tc, waits_for_its_own);
	tcase_add_loop_test(tc, flush_and_a_slow_worker, 0, 4);
	tcase_add_loop_test(tc, cancel_converts_nothing, 0, 5);
	tcase_add_loop_test(tc, a_failed_conversion_is_told, 0, 10);
	tcase_add_loop_test(tc, a_flush_that_converts_fails, 0, 3);
	tcase_add_loop_test(tc, work_that_outlives_its_file, 0, 2);
	tcase_add_loop_test(tc, storm, 0, 5);
	suite_add_tcase(s, tc);
	return s;
}

T_MAIN(suite)
