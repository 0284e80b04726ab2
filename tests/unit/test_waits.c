// SPDX-License-Identifier: GPL-2.0-only
/*
 * Goal: a write under way is waited for by who touches its bytes, and by nobody else. Method: a
 * mounted image whose device holds one write back, on a thread of a pool; one call at a time is
 * made meanwhile. Those that must not wait are made on this thread: if they wait the test hangs and
 * fails. The others, on a thread of their own, must not have returned until the write is let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbfs/fs.h>

#include "rt/work.h"
#include "rt/wq.h"
#include "support/t_gate.h"
#include "support/t_image.h"

enum { BLOCK = 4096, BLKS = 64, HELD = 10, WAIT_NS = 30000000 };

static struct mbfs_bdev *mem, *pool;
static struct t_gate gate;
static struct mbfs_fs *fs;
static struct mbfs_file *file;
static mbfs_blk_t first_blk; /* the file's block 0 on the device */
static struct rt_completion landed;
static ssize_t put;
static uint8_t data[BLOCK], back[BLOCK];

static const struct mbfs_cred root_cred;

static void note_blk(void *arg, mbfs_blk_t blk, const uint8_t *bytes, uint32_t blks)
{
	(void)blks;
	if (bytes[0] == 0xD1)
		*(mbfs_blk_t *)arg = blk;
}

static void land(void *arg, ssize_t n)
{
	(void)arg;
	put = n;
	rt_complete(&landed);
}

static void setup(void)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag;
	struct mbfs_attr attr;

	mem = t_image_mem("-b 4096", 16 << 20);
	t_gate_open(&gate, mem, BLOCK);
	gate.on_write = note_blk;
	gate.arg = &first_blk;
	ck_assert_int_eq(mbfs_bdev_open_pool(&gate.dev, 2, &pool), 0);
	mbfs_mount_opts_default(&opts);
	opts.commit_s = 1000; /* nothing but the test writes */
	ck_assert_int_eq(mbfs_fs_mount(pool, &opts, &diag, NULL, &fs), 0);
	ck_assert_int_eq(
		mbfs_fs_mknod(fs, &root_cred, MBFS_ROOT_INO, "f", S_IFREG | 0644, 0, &attr), 0);
	ck_assert_int_eq(mbfs_file_open(fs, attr.ino, O_RDWR, &file), 0);
	mbfs_fs_forget(fs, attr.ino, 1);
	ck_assert_int_eq(mbfs_file_fallocate(file, &root_cred, 0, 0, BLKS * BLOCK, NULL), 0);
	memset(data, 0xD1, BLOCK);
	ck_assert_int_eq(mbfs_file_write(file, &root_cred, data, BLOCK, 0), BLOCK);
	gate.on_write = NULL;
	/* From here on one write of block HELD of the file is with the device, and stays there. */
	rt_completion_init(&landed);
	t_gate_hold(&gate, first_blk + HELD);
	ck_assert_int_eq(mbfs_file_write_start(file, &root_cred, data, BLOCK, HELD * BLOCK, NULL,
					       land, NULL),
			 -EINPROGRESS);
	t_gate_wait_held(&gate);
}

static void end(void)
{
	if (file)
		mbfs_file_release(file);
	if (fs)
		ck_assert_int_eq(mbfs_fs_unmount(fs), 0);
	ck_assert_int_eq(t_image_fsck(mem), 0);
	rt_completion_destroy(&landed);
	mbfs_bdev_close(pool);
	mbfs_bdev_close(mem);
}

static void let_go(void)
{
	t_gate_release(&gate);
	rt_completion_wait(&landed);
	ck_assert_int_eq(put, BLOCK);
}

/* ---- calls: 0 or a count that is what it should be, else -1 ---- */
static int is(ssize_t got, ssize_t want)
{
	return got == want ? 0 : -1;
}
static int read_at(unsigned blk)
{
	return is(mbfs_file_read(file, back, BLOCK, blk * BLOCK), BLOCK);
}
static int write_at(unsigned blk)
{
	return is(mbfs_file_write(file, &root_cred, data, BLOCK, blk * BLOCK), BLOCK);
}
static int reserve(unsigned blk, unsigned blks)
{
	return mbfs_file_fallocate(file, &root_cred, FALLOC_FL_KEEP_SIZE, blk * BLOCK, blks * BLOCK,
				   NULL);
}
static int punch(unsigned blk, unsigned blks)
{
	return mbfs_file_fallocate(file, &root_cred, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				   blk * BLOCK, blks * BLOCK, NULL);
}

static int read_before(void)
{
	return read_at(HELD - 1);
}
static int read_same(void)
{
	return read_at(HELD) || memcmp(data, back, BLOCK);
}
static int write_after(void)
{
	return write_at(HELD + 1);
}
static int write_same(void)
{
	return write_at(HELD);
}
static int append(void)
{
	return write_at(BLKS);
}
static int reserve_after(void)
{
	return reserve(HELD + 1, 2 * BLKS);
}
static int reserve_same(void)
{
	return reserve(HELD - 1, 2);
}
static int punch_before(void)
{
	return punch(0, HELD);
}
static int punch_after(void)
{
	return punch(HELD + 1, 3);
}
static int punch_same(void)
{
	return punch(HELD, 1);
}
static int truncate_behind(void)
{
	return mbfs_file_truncate(file, (HELD + 1) * BLOCK);
}
static int truncate_up(void)
{
	return mbfs_file_truncate(file, 2 * BLKS * BLOCK);
}
static int truncate_inside(void)
{
	return mbfs_file_truncate(file, HELD * BLOCK + 1);
}
static int truncate_all(void)
{
	return mbfs_file_truncate(file, 0);
}
static int sync_file(void)
{
	return mbfs_file_fsync(file, false);
}
static int sync_all(void)
{
	return mbfs_fs_sync(fs);
}
static int unlink_name(void)
{
	return mbfs_fs_unlink(fs, MBFS_ROOT_INO, "f");
}
static int seek_data(void)
{
	return is(mbfs_file_seek(file, BLOCK, SEEK_DATA), HELD * BLOCK) ||
	       is(mbfs_file_seek(file, HELD * BLOCK, SEEK_HOLE), (HELD + 1) * BLOCK);
}
static int attributes(void)
{
	struct mbfs_attr attr;

	return mbfs_fs_getattr(fs, mbfs_file_ino(file), &attr);
}

static int (*const free_calls[])(void) = {
	read_before, write_after,     append,   reserve_after, punch_before, punch_after,
	truncate_up, truncate_behind, sync_all, unlink_name,   seek_data,    attributes,
};
static int (*const waiting_calls[])(void) = {
	read_same, write_same, reserve_same, punch_same, truncate_inside, truncate_all, sync_file,
};

/* Goal: I/O elsewhere in the file, and names, go on. */
START_TEST(others_do_not_wait)
{
	ck_assert_int_eq(free_calls[_i](), 0);
	let_go();
	ck_assert_int_eq(read_same(), 0);
}
END_TEST

struct caller {
	int (*call)(void);
	int result;
	rt_u32 returned;
};

static void caller_main(void *arg)
{
	struct caller *c = arg;

	c->result = c->call();
	rt_u32_set_release(&c->returned, 1);
}

/* Goal: who needs the bytes waits for them. */
START_TEST(who_touches_the_bytes_waits)
{
	struct caller c = { .call = waiting_calls[_i] };
	struct rt_thread *thread;

	ck_assert_int_eq(rt_thread_start(caller_main, &c, "caller", &thread), 0);
	rt_sleep_ns(WAIT_NS);
	ck_assert_uint_eq(rt_u32_read_acquire(&c.returned), 0);
	let_go();
	rt_thread_join(thread);
	ck_assert_int_eq(c.result, 0);
}
END_TEST

/* ---- at the size ---- */
enum { TAIL = 100, GROWTH = 2000 };

/* The file ends TAIL bytes into block HELD, and the next write there will be held. */
static void shorten(void)
{
	let_go();
	ck_assert_int_eq(mbfs_file_truncate(file, HELD * BLOCK + TAIL), 0);
	t_gate_hold(&gate, first_blk + HELD);
}

static void hold_growth(void)
{
	shorten();
	ck_assert_int_eq(mbfs_file_write_start(file, &root_cred, data, GROWTH, HELD * BLOCK + TAIL,
					       NULL, land, NULL),
			 -EINPROGRESS);
	t_gate_wait_held(&gate);
}

static int read_at_size(void)
{
	return is(mbfs_file_read(file, back, BLOCK, HELD * BLOCK), TAIL + GROWTH) ||
	       memcmp(data, back + TAIL, GROWTH);
}

/* Goal: a read across the size never has a part of a write that moves it. Method: it finds the old
 * size, waits for the write, and must give all of it. */
START_TEST(read_has_all_of_an_append)
{
	struct caller c = { .call = read_at_size };
	struct rt_thread *thread;

	hold_growth();
	ck_assert_int_eq(rt_thread_start(caller_main, &c, "caller", &thread), 0);
	rt_sleep_ns(WAIT_NS);
	ck_assert_uint_eq(rt_u32_read_acquire(&c.returned), 0);
	t_gate_release(&gate);
	rt_completion_wait(&landed);
	rt_thread_join(thread);
	ck_assert_int_eq(c.result, 0);
}
END_TEST

static void unmount_main(void *arg)
{
	struct caller *c = arg;

	c->result = mbfs_fs_unmount(fs);
	rt_u32_set_release(&c->returned, 1);
}

/* Goal: an unmount that is forced, with the file open, loses nothing that is under way. */
START_TEST(unmount_waits_for_what_is_under_way)
{
	struct caller c = { 0 };
	struct rt_thread *thread;

	ck_assert_int_eq(rt_thread_start(unmount_main, &c, "unmount", &thread), 0);
	rt_sleep_ns(WAIT_NS);
	ck_assert_uint_eq(rt_u32_read_acquire(&c.returned), 0);
	let_go();
	rt_thread_join(thread);
	ck_assert_int_eq(c.result, 0);
	fs = NULL;
	file = NULL;
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("waits");
	TCase *tc = tcase_create("waits");

	tcase_add_checked_fixture(tc, setup, end);
	tcase_add_loop_test(tc, others_do_not_wait, 0, sizeof(free_calls) / sizeof(*free_calls));
	tcase_add_loop_test(tc, who_touches_the_bytes_waits, 0,
			    sizeof(waiting_calls) / sizeof(*waiting_calls));
	tcase_add_test(tc, read_has_all_of_an_append);
	tcase_add_test(tc, unmount_waits_for_what_is_under_way);
	suite_add_tcase(s, tc);
	return s;
}
T_IMAGE_MAIN(suite)
