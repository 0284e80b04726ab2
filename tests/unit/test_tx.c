// SPDX-License-Identifier: GPL-2.0-only
/* Handles and write-out, with writes held up, failing and torn apart by changes. */
#include <errno.h>
#include <string.h>

#include "journal/journal.h"
#include "rt/work.h"
#include "support/t.h"
#include "support/t_gate.h"

enum { BLOCK = 4096, BLKS = 1024 };

static struct mbfs_bdev *mem;
static struct t_gate gate;
static struct buf_cache *cache;
static struct txlog *txlog;
static struct mbfs_tx *tx;

/* Puts the sum of all other bytes into the last one. */
static void seal(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk, uint8_t *data,
		 uint32_t bytes)
{
	uint8_t sum = 1;

	(void)ctx, (void)owner, (void)blk;
	for (uint32_t i = 0; i < bytes - 1; i++)
		sum = (uint8_t)(sum + data[i]);
	data[bytes - 1] = sum;
}

static const struct buf_kind sealed = { .name = "sealed", .seal = seal };
static const struct buf_kind plain = { .name = "plain" };

static void open_on(struct mbfs_bdev *dev)
{
	ck_assert_int_eq(buf_cache_open(dev, BLOCK, NULL, BLKS * BLOCK, &cache), 0);
	ck_assert_int_eq(txlog_open(cache, &txlog), 0);
	tx = NULL;
	if (!dev->read_only)
		ck_assert_int_eq(tx_start(txlog, 100, &tx), 0);
}

static void close_it(void)
{
	if (tx)
		tx_stop(tx);
	txlog_close(txlog);
	buf_cache_close(cache);
}

static void setup(void)
{
	ck_assert_int_eq(mbfs_bdev_open_mem((uint64_t)BLKS * BLOCK, &mem), 0);
	t_gate_open(&gate, mem, BLOCK);
	open_on(&gate.dev);
}

static void teardown(void)
{
	close_it();
	mbfs_bdev_close(mem);
}

static uint8_t on_disk(mbfs_blk_t blk)
{
	return mbfs_bdev_mem_bytes(mem)[blk * BLOCK];
}

static void put_byte(mbfs_blk_t blk, uint8_t byte)
{
	struct buf *b;

	ck_assert_int_eq(buf_get(cache, blk, &plain, NULL, &b), 0);
	buf_lock(b);
	memset(b->data, byte, BLOCK);
	tx_dirty(tx, b);
	buf_unlock(b);
	buf_put(b);
}

static rt_u32 writer_err, forgotten;

static void writer(void *arg)
{
	(void)arg;
	rt_u32_set(&writer_err, (uint32_t)tx_writeout(txlog));
}

static void forgetter(void *arg)
{
	buf_forget(cache, tx, *(mbfs_blk_t *)arg, 1);
	rt_u32_set_release(&forgotten, 1);
}

/* A write-out in a thread of its own that waits in the write of @blk. */
static struct rt_thread *hold_writeout_at(mbfs_blk_t blk)
{
	struct rt_thread *t;

	t_gate_hold(&gate, blk);
	ck_assert_int_eq(rt_thread_start(writer, NULL, "writer", &t), 0);
	t_gate_wait_held(&gate);
	return t;
}

/* Goal: checksums are put into the copy. Method: seal; compare device and memory. */
START_TEST(seal_goes_into_the_copy)
{
	struct buf *b;
	uint8_t want[BLOCK];

	ck_assert_int_eq(buf_get_new(cache, 5, &sealed, NULL, &b), 0);
	buf_lock(b);
	memset(b->data, 3, BLOCK);
	tx_dirty(tx, b);
	buf_unlock(b);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	memset(want, 3, BLOCK);
	ck_assert_mem_eq(b->data, want, BLOCK);
	seal(NULL, NULL, 5, want, BLOCK);
	ck_assert_mem_eq(mbfs_bdev_mem_bytes(mem) + 5 * BLOCK, want, BLOCK);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 0);
	ck_assert_uint_eq(rt_u64_read(&gate.flushes), 1);
	buf_put(b);
}
END_TEST

/* Goal: neighbours are written together, up to 1 MiB. Method: dirty 600 in falling order and a lone
 * one. */
START_TEST(neighbours_are_written_together)
{
	for (unsigned i = 600; i-- > 0;)
		put_byte(i, (uint8_t)i);
	put_byte(900, 9);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	/* 256 + 256 + 88, and the lone one */
	ck_assert_uint_eq(rt_u64_read(&gate.writes), 4);
	for (unsigned i = 0; i < 600; i++)
		ck_assert_uint_eq(on_disk(i), (uint8_t)i);
	ck_assert_uint_eq(on_disk(900), 9);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(rt_u64_read(&gate.writes), 4);
}
END_TEST

/* Goal: more than one batch in a pass. Method: every block of the device, every second one twice.
 */
START_TEST(a_pass_takes_all_batches)
{
	for (unsigned i = 0; i < BLKS; i += 2)
		put_byte(i, 1);
	for (unsigned i = 0; i < BLKS; i++)
		put_byte(i, 2);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), BLKS * BLOCK);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	for (unsigned i = 0; i < BLKS; i++)
		ck_assert_uint_eq(on_disk(i), 2);
}
END_TEST

/* Goal: a change while the old content is being written is not lost. Method: hold the write,
 * change. */
START_TEST(change_during_write_is_written_next)
{
	struct rt_thread *t;

	put_byte(7, 1);
	t = hold_writeout_at(7);
	put_byte(7, 2);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), BLOCK);
	t_gate_release(&gate);
	rt_thread_join(t);
	ck_assert_uint_eq(on_disk(7), 1);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(on_disk(7), 2);
}
END_TEST

/* Goal: after forget returns, no old write lands. Method: hold the write, forget, write data as its
 * new owner. */
START_TEST(forget_waits_for_a_write_under_way)
{
	mbfs_blk_t blk = 7;
	uint8_t data[BLOCK];
	struct rt_thread *t, *f;

	put_byte(blk, 1);
	t = hold_writeout_at(blk);
	if (_i) /* also when it was changed again meanwhile */
		put_byte(blk, 2);
	rt_u32_set(&forgotten, 0);
	ck_assert_int_eq(rt_thread_start(forgetter, &blk, "forgetter", &f), 0);
	rt_sleep_ns(20000000);
	ck_assert_uint_eq(rt_u32_read_acquire(&forgotten), 0);
	t_gate_release(&gate);
	rt_thread_join(f);
	memset(data, 0xDD, BLOCK);
	ck_assert_int_eq(mbfs_bdev_write(&gate.dev, blk * BLOCK, data, BLOCK), 0);
	rt_thread_join(t);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(on_disk(blk), 0xDD);
}
END_TEST

/* Goal: a buffer forgotten while queued behind another's write is not written, and forget does not
 * wait. */
START_TEST(forget_of_a_queued_buffer_drops_it)
{
	struct rt_thread *t;
	struct buf *b;

	put_byte(7, 1);
	put_byte(20, 1);
	put_byte(21, 1);
	put_byte(22, 1);
	t = hold_writeout_at(7);
	buf_forget(cache, tx, 21, 1);
	ck_assert_int_eq(buf_get_new(cache, 21, &plain, NULL, &b), 0);
	memset(b->data, 5, BLOCK);
	tx_dirty(tx, b);
	buf_put(b);
	t_gate_release(&gate);
	rt_thread_join(t);
	ck_assert_uint_eq(on_disk(20), 1);
	ck_assert_uint_eq(on_disk(21), 0);
	ck_assert_uint_eq(on_disk(22), 1);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(on_disk(21), 5);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 0);
}
END_TEST

static struct mbfs_bdev *reopen_with(const struct mbfs_fault_plan *plan)
{
	struct mbfs_bdev *fault;

	close_it();
	ck_assert_int_eq(mbfs_bdev_open_fault(mem, plan, &fault), 0);
	open_on(fault);
	return fault;
}

/* Goal: a failed write stays dirty and takes no neighbour along. Method: fail the run, then one of
 * its blocks. */
START_TEST(failed_write_stays_dirty)
{
	/* Write 1 is the run of five; 2 to 6 its blocks; sticky from the first: all fail. */
	const struct mbfs_fault_plan plans[] = { { .fail_write_at = 1 },
						 { .fail_write_at = 1, .sticky = true } };
	struct mbfs_bdev *fault = reopen_with(&plans[_i]);

	for (unsigned i = 10; i < 15; i++)
		put_byte(i, 4);
	ck_assert_int_eq(tx_writeout(txlog), _i == 0 ? 0 : -EIO);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), _i == 0 ? 0 : 5 * BLOCK);
	for (unsigned i = 10; i < 15; i++)
		ck_assert_uint_eq(on_disk(i), _i == 0 ? 4 : 0);
	close_it();
	mbfs_bdev_close(fault);
	open_on(&gate.dev);
}
END_TEST

/* Goal: one bad write is tried again by the next pass. Method: a lone block, failed once. */
START_TEST(failed_write_is_tried_again)
{
	const struct mbfs_fault_plan plan = { .fail_write_at = 1 };
	struct mbfs_bdev *fault = reopen_with(&plan);

	put_byte(10, 4);
	ck_assert_int_eq(tx_writeout(txlog), -EIO);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), BLOCK);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(on_disk(10), 4);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 0);
	close_it();
	mbfs_bdev_close(fault);
	open_on(&gate.dev);
}
END_TEST

/* Goal: after a failed flush everything of the pass is written again. Method: lose it on the device
 * meanwhile. */
START_TEST(failed_flush_makes_all_dirty_again)
{
	const struct mbfs_fault_plan plan = { .fail_flush_at = 1 };
	struct mbfs_bdev *fault = reopen_with(&plan);

	for (unsigned i = 0; i < 50; i++)
		put_byte(i * 3, 6);
	ck_assert_int_eq(tx_writeout(txlog), -EIO);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 50 * BLOCK);
	memset(mbfs_bdev_mem_bytes(mem), 0, 200 * BLOCK);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	for (unsigned i = 0; i < 50; i++)
		ck_assert_uint_eq(on_disk(i * 3), 6);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(tx_dirty_bytes(txlog), 0);
	close_it();
	mbfs_bdev_close(fault);
	open_on(&gate.dev);
}
END_TEST

/* Goal: read-only means no handle and no write. Method: by the device, and by the flag with
 * something dirty. */
START_TEST(read_only_refuses_handles)
{
	struct mbfs_tx *more = NULL;

	if (_i) {
		close_it();
		gate.dev.read_only = true;
		open_on(&gate.dev);
	} else {
		put_byte(3, 1);
		txlog_set_read_only(txlog);
	}
	ck_assert_int_eq(tx_start(txlog, 1, &more), -EROFS);
	ck_assert_ptr_null(more);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(rt_u64_read(&gate.writes), 0);
}
END_TEST

static void hook_dirties(void *arg, struct mbfs_tx *hook_tx)
{
	struct buf *b = arg;

	buf_lock(b);
	b->data[0]++;
	tx_dirty(hook_tx, b);
	buf_unlock(b);
}

/* Goal: what hooks dirty goes out in the same pass, in the order they were added. */
START_TEST(hooks_run_before_the_write)
{
	struct txlog_hook a = { .pre_write = hook_dirties }, b = a;
	struct buf *buf;

	ck_assert_int_eq(buf_get(cache, 40, &plain, NULL, &buf), 0);
	a.arg = b.arg = buf;
	txlog_hook_add(txlog, &a);
	txlog_hook_add(txlog, &b);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(on_disk(40), 2);
	ck_assert_int_eq(tx_writeout(txlog), 0);
	ck_assert_uint_eq(on_disk(40), 4);
	buf_put(buf);
}
END_TEST

static rt_u32 stop;

static void dirtier(void *arg)
{
	uint8_t byte = 0;

	(void)arg;
	while (!rt_u32_read(&stop))
		for (unsigned i = 0; i < 16; i++)
			put_byte(i * 2, byte++);
}

/* Goal: a pass ends while others go on dirtying. Method: dirty without pause, write out twenty
 * times. */
START_TEST(a_pass_ends_under_load)
{
	struct rt_thread *t;

	rt_u32_set(&stop, 0);
	ck_assert_int_eq(rt_thread_start(dirtier, NULL, "dirtier", &t), 0);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(tx_writeout(txlog), 0);
	rt_u32_set(&stop, 1);
	rt_thread_join(t);
	ck_assert_uint_le(rt_u64_read(&gate.writes), 20 * 16);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tx");
	TCase *t = tcase_create("write-out");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, seal_goes_into_the_copy);
	tcase_add_test(t, neighbours_are_written_together);
	tcase_add_test(t, a_pass_takes_all_batches);
	tcase_add_test(t, change_during_write_is_written_next);
	tcase_add_loop_test(t, forget_waits_for_a_write_under_way, 0, 2);
	tcase_add_test(t, forget_of_a_queued_buffer_drops_it);
	tcase_add_loop_test(t, failed_write_stays_dirty, 0, 2);
	tcase_add_test(t, failed_write_is_tried_again);
	tcase_add_test(t, failed_flush_makes_all_dirty_again);
	tcase_add_loop_test(t, read_only_refuses_handles, 0, 2);
	tcase_add_test(t, hooks_run_before_the_write);
	tcase_add_test(t, a_pass_ends_under_load);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(suite)
