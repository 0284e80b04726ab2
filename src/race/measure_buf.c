// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers that come and go: a cache in which few blocks have room, over a device in memory. Each
 * thread reads its own blocks one after the other, and by the time that it comes to a block again
 * that has long been evicted. An operation is to get a buffer, which is a miss, and to put it.
 */
#include "race/measure.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/check.h"
#include "journal/journal.h"

enum { BATCH = 16, KEPT_BYTES = 1 << 20, KEPT_MIN = 64 };

struct load {
	struct buf_cache *cache;
	unsigned blks; /* of a thread: twice as many as have room */
	rt_stat batches;
	struct {
		unsigned next;
	} __attribute__((aligned(128))) at[RACE_BOUT_THREADS_MAX];
};

static bool miss(void *arg, unsigned idx)
{
	static const struct buf_kind kind = { .name = "measured" };
	struct load *l = arg;

	for (unsigned i = 0; i < BATCH; i++) {
		mbfs_blk_t blk = (mbfs_blk_t)idx * l->blks + l->at[idx].next++ % l->blks;
		struct buf *b;
		int err = buf_get(l->cache, blk, &kind, NULL, &b);

		MBFS_ASSERT(!err);
		buf_put(b);
	}
	rt_stat_add(&l->batches, 1);
	return true;
}

static double cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

/* Nearly all were misses. */
static int look(struct load *l)
{
	struct buf_stats st;

	buf_cache_stats(l->cache, &st);
	return st.hits * 100 < st.misses ? 0 : -EILSEQ;
}

int race_buf_measure(unsigned block_bytes, unsigned threads, uint64_t run_ns, struct race_pace *out)
{
	unsigned kept = KEPT_BYTES / block_bytes > KEPT_MIN ? KEPT_BYTES / block_bytes : KEPT_MIN;
	struct load l = { .blks = 2 * kept };
	struct race_bout bout = {
		.threads = threads, .run_ns = run_ns, .ops = BATCH, .batch = miss, .arg = &l
	};
	struct mbfs_bdev *dev;
	double from;
	int err;

	err = mbfs_bdev_open_mem((uint64_t)threads * l.blks * block_bytes, &dev);
	if (err)
		return err;
	err = rt_rcu_worker_start();
	if (err)
		goto err_dev;
	err = buf_cache_open(dev, block_bytes, NULL, (uint64_t)kept * block_bytes, &l.cache);
	if (err)
		goto err_worker;
	from = cpu_ns();
	err = race_bout_run(&bout, out);
	if (!err)
		err = look(&l);
	buf_cache_close(l.cache);
	if (!err)
		out->cpu_ns = (cpu_ns() - from) / ((double)rt_stat_read(&l.batches) * BATCH);
err_worker:
	rt_rcu_worker_stop();
err_dev:
	mbfs_bdev_close(dev);
	return err;
}
