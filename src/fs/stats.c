// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics as one JSON object on one line: {"mount":{...},"alloc":{...},"endio":{...},
 * "rangelock":{...},"mempool":{...},"buffers":{...},"reclaim":{...}}. Counters are read
 * one by one, not as a snapshot. The allocator's names are those of struct mbfs_alloc_stats,
 * endio's those of struct endio_stats, reclaim's those of struct kvfree_stats.
 */
#include "fs/fs_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "rt/mem.h"

enum { JSON_BYTES = 16384 };

/* Text being built in a buffer that is large enough by construction: asserted at the end. */
struct json {
	char *text;
	size_t len;
	bool comma;
};

static void MBFS_PRINTF(2, 3) json_put(struct json *j, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(j->text + j->len, JSON_BYTES - j->len, fmt, ap);
	va_end(ap);
	MBFS_ASSERT(n >= 0 && j->len + (size_t)n < JSON_BYTES);
	j->len += (size_t)n;
}

static void json_key(struct json *j, const char *name)
{
	json_put(j, "%s\"%s\":", j->comma ? "," : "", name);
	j->comma = true;
}

static void json_open(struct json *j, const char *name)
{
	json_key(j, name);
	json_put(j, "{");
	j->comma = false;
}

static void json_close(struct json *j)
{
	json_put(j, "}");
	j->comma = true;
}

static void json_u64(struct json *j, const char *name, uint64_t v)
{
	json_key(j, name);
	json_put(j, "%" PRIu64, v);
}

static void json_str(struct json *j, const char *name, const char *v)
{
	json_key(j, name);
	json_put(j, "\"%s\"", v);
}

static void json_array(struct json *j, const char *name, const uint64_t *v, unsigned nr)
{
	json_key(j, name);
	for (unsigned i = 0; i < nr; i++)
		json_put(j, "%c%" PRIu64, i ? ',' : '[', v[i]);
	json_put(j, "]");
}

static void put_mount(struct json *j, struct mbfs_fs *fs)
{
	const struct mbfs_geo *geo = &fs->super.geo;
	uint64_t blks, inodes, dirs;

	gdt_totals(fs->gdt, &blks, &inodes, &dirs);
	json_open(j, "mount");
	json_str(j, "version", MBFS_VERSION);
	json_str(j, "commit", MBFS_COMMIT);
	json_str(j, "enospc", fs->opts.tune.enospc);
	json_str(j, "endio", endio_env_variant(fs->env.endio)->pub.name);
	json_str(j, "io", mbfs_bdev_engine(fs->dev));
	json_u64(j, "direct", fs->dev->align_bytes > 0);
	json_u64(j, "cpus", fs->opts.tune.cpus);
	json_u64(j, "read_only", fs->read_only);
	json_u64(j, "damaged", rt_u32_read(&fs->damaged));
	json_u64(j, "block_bytes", geo->block_bytes);
	json_u64(j, "groups", geo_grp_nr(geo));
	json_u64(j, "inodes", geo_inode_nr(geo));
	json_u64(j, "inodes_free", inodes);
	json_u64(j, "directories", dirs);
	json_u64(j, "write_outs", rt_u64_read(&fs->sync_begun));
	json_close(j);
}

#define ALLOC_FIELD(name)                                         \
	{                                                         \
#name, offsetof(struct mbfs_alloc_stats, name), 1 \
	}
#define ALLOC_ARRAY(name, nr)                                      \
	{                                                          \
#name, offsetof(struct mbfs_alloc_stats, name), nr \
	}

static const struct {
	const char *name;
	size_t off;
	unsigned nr;
} alloc_fields[] = {
	ALLOC_FIELD(blk_nr),
	ALLOC_FIELD(free_nr),
	ALLOC_FIELD(claimed_nr),
	ALLOC_FIELD(pa_nr),
	ALLOC_FIELD(pa_blks),
	ALLOC_FIELD(groups_loaded),
	ALLOC_FIELD(reqs),
	ALLOC_FIELD(success),
	ALLOC_FIELD(blocks_allocated),
	ALLOC_FIELD(frees),
	ALLOC_FIELD(blocks_freed),
	ALLOC_FIELD(groups_scanned),
	ALLOC_ARRAY(groups_considered, MBFS_CR_NR),
	ALLOC_ARRAY(cr_hits, MBFS_CR_NR),
	ALLOC_ARRAY(cr_useless, MBFS_CR_NR),
	ALLOC_FIELD(extents_scanned),
	ALLOC_FIELD(goal_hits),
	ALLOC_FIELD(stream_goal_hits),
	ALLOC_FIELD(len_goal_hits),
	ALLOC_FIELD(pow2_hits),
	ALLOC_FIELD(breaks),
	ALLOC_FIELD(lost),
	ALLOC_FIELD(buddies_generated),
	ALLOC_FIELD(preallocated),
	ALLOC_FIELD(discarded),
	ALLOC_FIELD(pa_hits_inode),
	ALLOC_FIELD(pa_hits_group),
	ALLOC_FIELD(enospc),
	ALLOC_FIELD(false_enospc),
	ALLOC_FIELD(claim_failed),
	ALLOC_FIELD(passes),
	ALLOC_FIELD(sweeps),
	ALLOC_FIELD(retries),
	ALLOC_FIELD(cap_hits),
	ALLOC_FIELD(seq_mismatches),
	ALLOC_FIELD(barriers),
	ALLOC_FIELD(barrier_ns),
	ALLOC_FIELD(barrier_max_ns),
	ALLOC_FIELD(waits),
	ALLOC_FIELD(wait_ns),
	ALLOC_FIELD(slow_calls),
	ALLOC_FIELD(slow_max_ns),
	ALLOC_ARRAY(slow_hist, MBFS_HIST_NR),
};

static void put_alloc(struct json *j, struct mbfs_fs *fs)
{
	struct mbfs_alloc_stats stats;

	mbfs_alloc_stats(fs->alloc, &stats);
	json_open(j, "alloc");
	for (size_t i = 0; i < MBFS_ARRAY_SIZE(alloc_fields); i++) {
		const void *at = (const char *)&stats + alloc_fields[i].off;

		if (alloc_fields[i].nr == 1)
			json_u64(j, alloc_fields[i].name, *(const uint64_t *)at);
		else
			json_array(j, alloc_fields[i].name, at, alloc_fields[i].nr);
	}
	json_close(j);
}

static void put_endio(struct json *j, struct mbfs_fs *fs)
{
	struct endio_stats stats;

	endio_env_stats(fs->env.endio, &stats);
	json_open(j, "endio");
	json_u64(j, "in_flight", stats.in_flight);
	json_u64(j, "in_flight_max", stats.in_flight_max);
	json_u64(j, "begun", stats.begun);
	json_u64(j, "queued", stats.queued);
	json_u64(j, "requeued", stats.requeued);
	json_u64(j, "converted", stats.converted);
	json_u64(j, "merged", stats.merged);
	json_u64(j, "failed", stats.failed);
	json_u64(j, "flushes", stats.flushes);
	json_u64(j, "flush_waits", stats.flush_waits);
	json_u64(j, "flush_ns", stats.flush_ns);
	json_u64(j, "after_free", stats.after_free);
	json_close(j);
}

static void put_locks(struct json *j, struct mbfs_fs *fs)
{
	const struct io_env *io = &fs->env.io;

	json_open(j, "rangelock");
	json_str(j, "mode", io->whole ? "off" : "on");
	json_u64(j, "waits", rt_stat_read(&io->waits));
	json_u64(j, "wait_ns", rt_stat_read(&io->wait_ns));
	json_u64(j, "cancelled", rt_stat_read(&io->cancelled));
	json_u64(j, "wide", rt_stat_read(&io->wide));
	json_close(j);
}

static void put_pool(struct json *j, const struct mempool *p)
{
	struct mempool_stats s;

	mempool_stats(p, &s);
	json_open(j, mempool_name(p));
	json_u64(j, "allocs", s.allocs);
	json_u64(j, "frees", s.frees);
	json_u64(j, "in_use", s.in_use);
	json_u64(j, "from_magazine", s.from_magazine);
	json_u64(j, "from_allocator", s.from_allocator);
	json_u64(j, "from_reserve", s.from_reserve);
	json_u64(j, "from_wait", s.from_wait);
	json_u64(j, "waits", s.waits);
	json_u64(j, "wait_ns", s.wait_ns);
	json_u64(j, "retries", s.retries);
	json_u64(j, "reserve", s.min_nr);
	json_u64(j, "low_water", s.low_water);
	json_close(j);
}

static void put_pools(struct json *j, struct mbfs_fs *fs)
{
	const struct inode_env *env = &fs->env;

	json_open(j, "mempool");
	put_pool(j, env->writes);
	put_pool(j, env->reads);
	put_pool(j, env->io.states);
	put_pool(j, env->bounces);
	json_close(j);
}

static void put_buffers(struct json *j, struct mbfs_fs *fs)
{
	struct buf_stats stats;

	buf_cache_stats(fs->bufs, &stats);
	json_open(j, "buffers");
	json_u64(j, "hits", stats.hits);
	json_u64(j, "misses", stats.misses);
	json_u64(j, "writes", stats.writes);
	json_u64(j, "evicted", stats.evicted);
	json_u64(j, "cached", stats.cached);
	json_u64(j, "dirty", stats.dirty);
	json_u64(j, "dirty_bytes", tx_dirty_bytes(fs->log));
	json_close(j);
}

static void put_kvfree(struct json *j, const char *name, const struct kvfree_stats *s)
{
	json_open(j, name);
	json_u64(j, "queued", s->queued);
	json_u64(j, "freed", s->freed);
	json_u64(j, "in_heads", s->in_heads);
	json_u64(j, "in_ones", s->in_ones);
	json_u64(j, "inline_waits", s->inline_waits);
	json_u64(j, "refused", s->refused);
	json_u64(j, "floods", s->floods);
	json_u64(j, "pages", s->pages);
	json_u64(j, "page_fails", s->page_fails);
	json_u64(j, "waiting_max", s->waiting_max);
	json_close(j);
}

/* What readers might still see. */
static void put_reclaim(struct json *j, struct mbfs_fs *fs)
{
	struct kvfree_stats pas, inodes;
	struct pending_stats bufs;

	alloc_dead_stats(fs->alloc, &pas);
	inode_cache_dead_stats(fs->env.cache, &inodes);
	buf_cache_dead_stats(fs->bufs, &bufs);
	json_open(j, "reclaim");
	put_kvfree(j, "pas", &pas);
	put_kvfree(j, "inodes", &inodes);
	json_open(j, "buffers");
	json_u64(j, "queued", bufs.added);
	json_u64(j, "freed", bufs.processed);
	json_u64(j, "taken", bufs.taken);
	json_u64(j, "waiting", bufs.added - bufs.processed - bufs.taken);
	json_u64(j, "throttled", bufs.throttled);
	json_u64(j, "second", bufs.second);
	json_u64(j, "passes", bufs.passes);
	json_close(j);
	json_close(j);
}

char *mbfs_fs_stats_json(struct mbfs_fs *fs)
{
	struct json j = { .text = rt_alloc(JSON_BYTES) };

	if (!j.text)
		return NULL;
	json_put(&j, "{");
	put_mount(&j, fs);
	put_alloc(&j, fs);
	put_endio(&j, fs);
	put_locks(&j, fs);
	put_pools(&j, fs);
	put_buffers(&j, fs);
	put_reclaim(&j, fs);
	json_put(&j, "}");
	return j.text;
}

void mbfs_fs_string_free(char *s)
{
	rt_free(s);
}
