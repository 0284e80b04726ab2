// SPDX-License-Identifier: GPL-2.0-only
/* The buffer cache on a device in memory. */
#include <errno.h>
#include <string.h>

#include "journal/journal.h"
#include "rt/mem.h"
#include "rt/work.h"
#include "support/t.h"
#include "support/t_gate.h"

enum { BLOCK = 1024, BLKS = 256, BAD_BLK = 7, TORN_BLK = 8, THREADS = 8 };

static struct mbfs_bdev *mem;
static struct t_gate gate;
static struct buf_cache *cache;
static struct txlog *txlog;

static int verify(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
		  const uint8_t *data, uint32_t bytes)
{
	(void)ctx, (void)owner, (void)bytes;
	if (blk == BAD_BLK)
		return -EBADMSG;
	return blk == TORN_BLK && data[0] ? -EUCLEAN : 0;
}

static const struct buf_kind red = { .name = "red", .verify = verify };
static const struct buf_kind blue = { .name = "blue" };

static void open_with(uint64_t max_bytes)
{
	ck_assert_int_eq(mbfs_bdev_open_mem((uint64_t)BLKS * BLOCK, &mem), 0);
	for (unsigned i = 0; i < BLKS; i++)
		memset(mbfs_bdev_mem_bytes(mem) + i * BLOCK, (int)(i & 0x7f), BLOCK);
	t_gate_open(&gate, mem, BLOCK);
	ck_assert_int_eq(buf_cache_open(&gate.dev, BLOCK, NULL, max_bytes, &cache), 0);
	ck_assert_int_eq(txlog_open(cache, &txlog), 0);
}

static void setup(void)
{
	open_with(BLKS * BLOCK);
}

static void teardown(void)
{
	txlog_close(txlog);
	buf_cache_close(cache);
	mbfs_bdev_close(mem);
}

static struct buf *get(mbfs_blk_t blk, const struct buf_kind *kind)
{
	struct buf *b = NULL;

	ck_assert_int_eq(buf_get(cache, blk, kind, NULL, &b), 0);
	ck_assert_uint_eq(b->blk, blk);
	return b;
}

static struct mbfs_tx *start(void)
{
	struct mbfs_tx *tx = NULL;

	ck_assert_int_eq(tx_start(txlog, 1, &tx), 0);
	return tx;
}

/* Goal: a block is read once and then found. Method: get it again after the last put; count reads.
 */
START_TEST(second_get_does_not_read)
{
	struct buf *a = get(3, &red), *b;
	struct buf_stats st;

	ck_assert_uint_eq(a->data[BLOCK - 1], 3);
	ck_assert_uint_eq((uintptr_t)a->data % 64, 0);
	b = get(3, &red);
	ck_assert_ptr_eq(a, b);
	buf_put(a);
	buf_put(b);
	b = get(3, &red);
	buf_put(b);
	buf_put(NULL);
	ck_assert_uint_eq(rt_u64_read(&gate.reads), 1);
	buf_cache_stats(cache, &st);
	ck_assert_uint_eq(st.hits, 2);
	ck_assert_uint_eq(st.misses, 1);
	ck_assert_uint_eq(st.cached, 1);
}
END_TEST

static rt_u32 go;
static rt_u32 got_wrong;

static void getter(void *arg)
{
	struct buf *b;

	(void)arg;
	while (!rt_u32_read_acquire(&go))
		rt_yield();
	if (buf_get(cache, 5, &red, NULL, &b)) {
		rt_u32_add(&got_wrong, 1);
		return;
	}
	if (b->data[0] != 5 || b->data[BLOCK - 1] != 5)
		rt_u32_add(&got_wrong, 1);
	buf_put(b);
}

static void run_threads(void (*fn)(void *), unsigned nr)
{
	struct rt_thread *t[THREADS];

	rt_u32_set(&go, 0);
	rt_u32_set(&got_wrong, 0);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_int_eq(rt_thread_start(fn, (void *)(uintptr_t)i, "t", &t[i]), 0);
	rt_u32_set_release(&go, 1);
	for (unsigned i = 0; i < nr; i++)
		rt_thread_join(t[i]);
}

/* Goal: many threads wanting one block read it once. Method: a slow device. */
START_TEST(concurrent_gets_read_once)
{
	rt_u64_set(&gate.read_delay_ns, 20000000);
	run_threads(getter, THREADS);
	ck_assert_uint_eq(rt_u32_read(&got_wrong), 0);
	ck_assert_uint_eq(rt_u64_read(&gate.reads), 1);
}
END_TEST

/* Goal: a made block is zero and not read. Method: count reads. */
START_TEST(new_buffer_is_zero_and_not_read)
{
	static const uint8_t zeros[BLOCK];
	struct buf *b;

	ck_assert_int_eq(buf_get_new(cache, 9, &blue, NULL, &b), 0);
	ck_assert_mem_eq(b->data, zeros, BLOCK);
	buf_put(b);
	ck_assert_uint_eq(rt_u64_read(&gate.reads), 0);
}
END_TEST

/* Goal: the cache keeps to its size, and what it drops comes back right. Method: walk all blocks
 * twice. */
START_TEST(eviction_keeps_to_the_limit)
{
	struct buf_stats st;
	struct buf *held;

	teardown();
	open_with(16 * BLOCK);
	held = get(200, &blue);
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 10; i < 110; i++) {
			struct buf *b = get(i, &blue);

			ck_assert_uint_eq(b->data[1], i & 0x7f);
			buf_put(b);
		}
	buf_cache_stats(cache, &st);
	ck_assert_uint_le(st.cached, 18);
	ck_assert_uint_ge(st.evicted, 180);
	ck_assert_uint_eq(held->data[0], 200 & 0x7f);
	ck_assert_ptr_eq(get(200, &blue), held);
	buf_put(held);
	buf_put(held);
}
END_TEST

static bool all_bytes(const struct buf *b, uint8_t value)
{
	unsigned nr = 0;

	while (nr < BLOCK && b->data[nr] == value)
		nr++;
	return nr == BLOCK;
}

/* Goal: a buffer that was evicted is used again, and nothing of the old block shows: neither bytes
 * nor a failed read. Method: many misses, some of which fail, and a new block now and then; what is
 * not taken is little. */
START_TEST(evicted_buffers_are_used_again)
{
	struct pending_stats st;
	struct rt_cpus cpus;
	uint64_t left;

	teardown();
	open_with(16 * BLOCK);
	rt_cpus_init(&cpus, 0);
	for (unsigned i = 0; i < 4000; i++) {
		mbfs_blk_t blk = i * 7 % (BLKS - 16);
		struct buf *b;
		int err = buf_get(cache, blk, &red, NULL, &b);

		ck_assert_int_eq(err, blk == BAD_BLK ? -EBADMSG : blk == TORN_BLK ? -EUCLEAN : 0);
		if (err)
			continue;
		ck_assert(all_bytes(b, blk & 0x7f));
		buf_put(b);
		if (i % 50)
			continue;
		ck_assert_int_eq(buf_get_new(cache, BLKS - 1 - i / 50 % 16, &blue, NULL, &b), 0);
		ck_assert(all_bytes(b, 0));
		buf_put(b);
	}
	buf_cache_dead_stats(cache, &st);
	left = st.added - st.taken - st.processed;
	ck_assert_uint_gt(st.taken, st.added / 2);
	ck_assert_uint_le(left, 13 * rt_cpus_nr(&cpus));
}
END_TEST

/* Goal: dirty buffers are not evicted. Method: dirty more than fit, read others, write out, look at
 * the device. */
START_TEST(dirty_buffers_survive_eviction)
{
	struct mbfs_tx *tx;
	struct buf_stats st;

	teardown();
	open_with(8 * BLOCK);
	tx = start();
	for (unsigned i = 0; i < 40; i++) {
		struct buf *b = get(i + 10, &blue);

		buf_lock(b);
		b->data[0] = 0xEE;
		tx_dirty(tx, b);
		buf_unlock(b);
		buf_put(b);
	}
	tx_stop(tx);
	for (unsigned i = 100; i < 200; i++)
		buf_put(get(i, &blue));
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 40 * BLOCK);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	for (unsigned i = 10; i < 50; i++)
		ck_assert_uint_eq(mbfs_bdev_mem_bytes(mem)[i * BLOCK], 0xEE);
	for (unsigned i = 100; i < 200; i++)
		buf_put(get(i, &blue));
	buf_cache_stats(cache, &st);
	ck_assert_uint_le(st.cached, 10);
}
END_TEST

/* Goal: a failed read is reported and forgotten. Method: fail it once, read again. */
START_TEST(failed_read_leaves_nothing)
{
	struct mbfs_fault_plan plan = { .fail_read_at = 1 };
	struct mbfs_bdev *fault;
	struct buf_cache *c;
	struct buf_stats st;
	struct buf *b = NULL;

	ck_assert_int_eq(mbfs_bdev_open_fault(mem, &plan, &fault), 0);
	ck_assert_int_eq(buf_cache_open(fault, BLOCK, NULL, 0, &c), 0);
	ck_assert_int_eq(buf_get(c, 4, &red, NULL, &b), -EIO);
	ck_assert_ptr_null(b);
	buf_cache_stats(c, &st);
	ck_assert_uint_eq(st.cached, 0);
	ck_assert_int_eq(buf_get(c, 4, &red, NULL, &b), 0);
	ck_assert_uint_eq(b->data[0], 4);
	buf_put(b);
	buf_cache_close(c);
	mbfs_bdev_close(fault);
}
END_TEST

/* Goal: what verify says is what get answers; nothing is kept. Method: a bad block, then repaired.
 */
START_TEST(failed_verify_leaves_nothing)
{
	struct buf_stats st;
	struct buf *b = NULL;

	ck_assert_int_eq(buf_get(cache, BAD_BLK, &red, NULL, &b), -EBADMSG);
	ck_assert_int_eq(buf_get(cache, TORN_BLK, &red, NULL, &b), -EUCLEAN);
	buf_cache_stats(cache, &st);
	ck_assert_uint_eq(st.cached, 0);
	mbfs_bdev_mem_bytes(mem)[TORN_BLK * BLOCK] = 0;
	buf_put(get(TORN_BLK, &red));
}
END_TEST

static void bad_getter(void *arg)
{
	struct buf *b;

	(void)arg;
	while (!rt_u32_read_acquire(&go))
		rt_yield();
	if (buf_get(cache, BAD_BLK, &red, NULL, &b) != -EBADMSG)
		rt_u32_add(&got_wrong, 1);
}

/* Goal: all who wait for a read that fails get its error. Method: a slow device, a bad block. */
START_TEST(waiters_share_a_failure)
{
	rt_u64_set(&gate.read_delay_ns, 5000000);
	run_threads(bad_getter, THREADS);
	ck_assert_uint_eq(rt_u32_read(&got_wrong), 0);
}
END_TEST

/* Goal: two structures that claim one block are found out; an idle buffer makes room. */
START_TEST(kind_mismatch_is_corruption_while_in_use)
{
	const struct buf_owner someone = { 12, 34 };
	struct buf *b = get(20, &red), *c = NULL;

	ck_assert_int_eq(buf_get(cache, 20, &blue, NULL, &c), -EUCLEAN);
	ck_assert_int_eq(buf_get(cache, 20, &red, &someone, &c), -EUCLEAN);
	buf_put(b);
	b = get(20, &blue);
	ck_assert_ptr_eq(b->kind, &blue);
	buf_put(b);
	ck_assert_int_eq(buf_get(cache, 20, &blue, &someone, &c), 0);
	ck_assert_uint_eq(c->owner.ino, 12);
	buf_put(c);
}
END_TEST

/* Goal: blocks outside the device are damage, not a crash. Method: table of block numbers. */
START_TEST(block_past_the_end_is_damage)
{
	static const mbfs_blk_t rows[] = { BLKS, BLKS + 1, 1ull << 54, UINT64_MAX };
	struct buf *b;

	ck_assert_int_eq(buf_get(cache, rows[_i], &red, NULL, &b), -EUCLEAN);
	ck_assert_int_eq(buf_get_new(cache, rows[_i], &red, NULL, &b), -EUCLEAN);
	buf_forget(cache, NULL, rows[_i], 1);
}
END_TEST

/* Goal: a forgotten buffer is never written, whoever still has it. Method: dirty, forget, dirty,
 * write. */
START_TEST(forgotten_buffer_is_not_written)
{
	struct mbfs_tx *tx = start();
	struct buf *old = get(30, &red), *new;

	buf_lock(old);
	old->data[0] = 0xAA;
	tx_dirty(tx, old);
	buf_unlock(old);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), BLOCK);
	buf_forget(cache, tx, 29, 3);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 0);
	tx_dirty(tx, old);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 0);
	ck_assert_int_eq(buf_get_new(cache, 30, &blue, NULL, &new), 0);
	ck_assert_ptr_ne(old, new);
	ck_assert_uint_eq(old->data[0], 0xAA);
	buf_put(old);
	buf_lock(new);
	new->data[0] = 0xBB;
	tx_dirty(tx, new);
	buf_unlock(new);
	buf_put(new);
	tx_stop(tx);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(mbfs_bdev_mem_bytes(mem)[30 * BLOCK], 0xBB);
	ck_assert_uint_eq(rt_u64_read(&gate.writes), 1);
}
END_TEST

/* Goal: a buffer made over one in use and dirty takes its place. Method: get_new without a forget.
 */
START_TEST(new_buffer_replaces_an_old_one)
{
	struct mbfs_tx *tx = start();
	struct buf *old = get(31, &red), *new;

	tx_dirty(tx, old);
	ck_assert_int_eq(buf_get_new(cache, 31, &blue, NULL, &new), 0);
	ck_assert_ptr_ne(old, new);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 0);
	ck_assert_uint_eq(old->data[0], 31);
	ck_assert_ptr_eq(get(31, &blue), new);
	buf_put(old);
	buf_put(new);
	buf_put(new);
	tx_stop(tx);
}
END_TEST

static int everything(void)
{
	struct buf_cache *c = NULL;
	struct txlog *log = NULL;
	struct mbfs_tx *tx = NULL;
	struct buf *a = NULL, *b = NULL;
	int err = buf_cache_open(mem, BLOCK, NULL, 0, &c);

	if (!err)
		err = txlog_open(c, &log);
	if (!err)
		err = tx_start(log, 4, &tx);
	if (!err)
		err = buf_get(c, 1, &red, NULL, &a);
	if (!err)
		err = buf_get_new(c, 2, &red, NULL, &b);
	if (!err)
		tx_dirty(tx, b);
	buf_put(a);
	buf_put(b);
	if (tx)
		tx_stop(tx);
	if (!err)
		err = tx_writeout(log);
	txlog_close(log);
	buf_cache_close(c);
	return err;
}

/* Goal: no memory is an error, never a crash or a leak. Method: fail each allocation once. */
START_TEST(each_allocation_may_fail)
{
	unsigned nth;

	for (nth = 1; nth < 100; nth++) {
		int err;

		rt_mem_fail_at(nth);
		err = everything();
		if (!rt_mem_fail_struck()) {
			ck_assert_int_eq(err, 0);
			break;
		}
		ck_assert_int_eq(err, -ENOMEM);
	}
	rt_mem_fail_at(0);
	ck_assert_uint_ge(nth, 7);
	ck_assert_uint_lt(nth, 100);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("cache");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, second_get_does_not_read);
	tcase_add_test(t, concurrent_gets_read_once);
	tcase_add_test(t, new_buffer_is_zero_and_not_read);
	tcase_add_test(t, eviction_keeps_to_the_limit);
	tcase_add_test(t, evicted_buffers_are_used_again);
	tcase_add_test(t, dirty_buffers_survive_eviction);
	tcase_add_test(t, failed_read_leaves_nothing);
	tcase_add_test(t, failed_verify_leaves_nothing);
	tcase_add_test(t, waiters_share_a_failure);
	tcase_add_test(t, kind_mismatch_is_corruption_while_in_use);
	tcase_add_loop_test(t, block_past_the_end_is_damage, 0, 4);
	tcase_add_test(t, forgotten_buffer_is_not_written);
	tcase_add_test(t, new_buffer_replaces_an_old_one);
	tcase_add_test(t, each_allocation_may_fail);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(suite)
