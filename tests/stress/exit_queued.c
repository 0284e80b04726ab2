// SPDX-License-Identifier: GPL-2.0-only
/*
 * What exit.sh runs: objects are queued while a reader is inside who leaves late, and then
 *
 *	kvfree	    kvfree is closed: each object has been freed, and the reader has left before
 *	pending	    likewise, processed
 *	unmount	    a file system is, in whose readers' sight inodes and preallocations have ended
 *	open	    kvfree is not closed: LeakSanitizer is to tell
 *	lost	    what kvfree and pending have refused is forgotten: likewise
 *
 * All of it happens on a thread of its own, so that nothing is left on a stack.
 */
#include <mbfs/fs.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "reclaim/kvfree.h"
#include "reclaim/pending.h"
#include "rt/mem.h"
#include "rt/rcu.h"
#include "rt/work.h"

enum { OBJS = 3000, PAGE_NR = 64, FILES = 200 };
#define LATE_NS 50000000ull

struct obj {
	struct kvfree_head head;
	struct pending_link link;
};

static struct rt_cpus cpus;
static rt_u32 inside, told, left; /* [atomic] the reader; told: all is queued */
static rt_u32 ended;		  /* [atomic] objects */
static rt_u32 asked;		  /* [atomic] of memory */
static bool no_memory;
static const char *image;

/* ---- the reader ---- */

static void reader_main(void *arg)
{
	uint64_t until;

	(void)arg;
	rt_rcu_read_lock();
	rt_u32_set_release(&inside, 1);
	while (!rt_u32_read_acquire(&told))
		rt_yield();
	for (until = rt_now_ns() + LATE_NS; rt_now_ns() < until;)
		rt_yield();
	rt_u32_set_release(&left, 1);
	rt_rcu_read_unlock();
}

static struct rt_thread *reader_start(void)
{
	struct rt_thread *t;
	int err = rt_thread_start(reader_main, NULL, "reader", &t);

	MBFS_ASSERT(!err);
	while (!rt_u32_read_acquire(&inside))
		rt_yield();
	return t;
}

/* What was to be waited for has come. */
static void reader_end(struct rt_thread *t)
{
	MBFS_ASSERT(rt_u32_read_acquire(&left));
	rt_thread_join(t);
}

/* ---- objects ---- */

static void end_all(void *ctx, void *const *objs, unsigned nr)
{
	(void)ctx;
	for (unsigned i = 0; i < nr; i++)
		free(objs[i]);
	rt_u32_add(&ended, nr);
}

static void end_one(void *ctx, void *obj)
{
	end_all(ctx, &obj, 1);
}

/* One in three fails, so that some objects are in their heads and some in heads from memory. */
static void *memory_get(void *ctx, size_t bytes)
{
	(void)ctx;
	return no_memory || rt_u32_add_return(&asked, 1) % 3 == 0 ? NULL : malloc(bytes);
}

static void memory_put(void *ctx, void *mem)
{
	(void)ctx;
	free(mem);
}

static const struct kvfree_backing backing = { memory_get, memory_put };

static struct kvfree *kvfree_make(void)
{
	struct kvfree_config cfg = {
		.cpus = &cpus, .free = end_all, .page_nr = PAGE_NR, .backing = &backing
	};
	struct kvfree *k;
	int err = kvfree_open(&cfg, &k);

	MBFS_ASSERT(!err);
	return k;
}

static struct pending *pending_make(size_t link_offset)
{
	struct pending_config cfg = { .name = "pend",
				      .process = end_one,
				      .link_offset = link_offset,
				      .page_nr = PAGE_NR };
	struct pending *p;
	int err = pending_open(&cpus, &cfg, &p);

	MBFS_ASSERT(!err);
	return p;
}

static struct obj *make(void)
{
	struct obj *o = calloc(1, sizeof(*o));

	MBFS_ASSERT(o);
	return o;
}

/* Nobody waits: the giver is a reader himself. How many were kept. */
static unsigned give_all(struct kvfree *k)
{
	unsigned given = 0;

	rt_rcu_read_lock();
	for (unsigned i = 0; i < OBJS; i++) {
		struct obj *o = make();

		if (i % 2 || kvfree_rcu_mightsleep(k, o) != 0)
			kvfree_rcu(k, o, &o->head);
		given++;
	}
	rt_rcu_read_unlock();
	return given;
}

/* ---- what is run ---- */

static void run_kvfree(void)
{
	struct rt_thread *t = reader_start();
	struct kvfree *k = kvfree_make();
	struct kvfree_stats st;
	unsigned given = give_all(k);

	kvfree_stats(k, &st);
	MBFS_ASSERT(st.pages && st.in_heads && st.freed == 0);
	rt_u32_set_release(&told, 1);
	kvfree_close(k);
	MBFS_ASSERT(rt_u32_read(&ended) == given);
	reader_end(t);
}

static void run_pending(void)
{
	struct rt_thread *t = reader_start();
	struct pending *by_link = pending_make(offsetof(struct obj, link));
	struct pending *by_page = pending_make(PENDING_NO_LINK);

	for (unsigned i = 0; i < OBJS; i++) {
		pending_add(by_page, make());
		if (i % 5 == 0)
			rt_mem_fail_at(1);
		pending_add(by_link, make());
		rt_mem_fail_at(0);
	}
	MBFS_ASSERT(rt_u32_read(&ended) == 0);
	rt_u32_set_release(&told, 1);
	pending_close(by_link);
	pending_close(by_page);
	MBFS_ASSERT(rt_u32_read(&ended) == 2 * OBJS);
	reader_end(t);
}

static mbfs_ino_t file_make(struct mbfs_fs *fs, const char *name)
{
	static const struct mbfs_cred root = { 0, 0, 022 };
	static const char data[10000];
	struct mbfs_attr attr;
	struct mbfs_file *f;
	int err = mbfs_fs_mknod(fs, &root, MBFS_ROOT_INO, name, S_IFREG | 0644, 0, &attr);
	ssize_t put;

	MBFS_ASSERT(!err);
	err = mbfs_file_open(fs, attr.ino, O_RDWR, &f);
	MBFS_ASSERT(!err);
	put = mbfs_file_write(f, &root, data, sizeof(data), 0);
	MBFS_ASSERT(put == sizeof(data));
	mbfs_file_release(f); /* its preallocation ends */
	return attr.ino;
}

static void run_unmount(void)
{
	struct mbfs_mount_opts opts;
	struct mbfs_diag diag, notes;
	struct mbfs_bdev *dev;
	struct rt_thread *t;
	struct mbfs_fs *fs;
	int err = mbfs_bdev_open_file(image, 0, 0, &diag, &dev);

	MBFS_ASSERT(!err);
	mbfs_mount_opts_default(&opts);
	err = mbfs_fs_mount(dev, &opts, &diag, &notes, &fs);
	MBFS_ASSERT(!err);
	t = reader_start();
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];
		mbfs_ino_t ino;

		snprintf(name, sizeof(name), "f%u", i);
		ino = file_make(fs, name);
		err = i % 2 ? mbfs_fs_unlink(fs, MBFS_ROOT_INO, name) : 0;
		MBFS_ASSERT(!err);
		mbfs_fs_forget(fs, ino, 1);
	}
	rt_u32_set_release(&told, 1);
	err = mbfs_fs_unmount(fs);
	MBFS_ASSERT(!err);
	mbfs_bdev_close(dev);
	reader_end(t);
}

static void run_open(void)
{
	struct kvfree *k = kvfree_make();

	give_all(k);
	kvfree_flush(k);
	rt_rcu_barrier(); /* nor does RCU's queue know of it */
	rt_rcu_barrier();
}

static void run_lost(void)
{
	struct kvfree *k = kvfree_make();
	struct pending *p = pending_make(PENDING_NO_LINK);
	bool kept;

	no_memory = true;
	rt_rcu_read_lock();
	kept = kvfree_rcu_mightsleep(k, make()) == 0;
	MBFS_ASSERT(!kept);
	kept = pending_add_atomic(p, make());
	MBFS_ASSERT(!kept);
	rt_rcu_read_unlock();
	kvfree_close(k);
	pending_close(p);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "kvfree", run_kvfree }, { "pending", run_pending }, { "unmount", run_unmount },
	{ "open", run_open },	  { "lost", run_lost },
};

static void case_main(void *arg)
{
	const unsigned *idx = arg;

	cases[*idx].run();
}

int main(int argc, char **argv)
{
	struct rt_thread *t;
	unsigned idx = 0;

	while (argc < 2 || strcmp(cases[idx].name, argv[1]) != 0)
		if (argc < 2 || ++idx == MBFS_ARRAY_SIZE(cases)) {
			fputs("exit_queued: which of its cases?\n", stderr);
			return 2;
		}
	image = argv[2];
	rt_cpus_init(&cpus, 2);
	if (rt_rcu_worker_start() || rt_thread_start(case_main, &idx, "case", &t))
		return 2;
	rt_thread_join(t);
	rt_rcu_worker_stop();
	return 0;
}
