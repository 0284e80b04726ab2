// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bytes of a file: read, seek and map, limits and rights. file_write.c writes them,
 * file_size.c truncates, file_falloc.c has what else brings, takes and moves blocks, file_change.c
 * who may be where at the same time.
 *
 * Equation: a byte of a file is what its block has if the block is written and the byte lies below
 * i_size; else it is zero. Two rules keep what the disk held before from showing:
 *
 *  (1) A block is converted to written only after all of its bytes are down: what the writer does
 *      not give of a fresh block is written as zeros with it.
 *  (2) In a written block the bytes past i_size are zero on disk: a truncate makes them so, and
 *      whatever moves i_size over a gap does it again, for images that others have written.
 *
 * The size covers what is converted: a written block past i_size is damage.
 *
 * Locks: a range (12) for what is read, held across device I/O. No buffer is locked across I/O. The
 * table block is held from the start of a change, so that inode_dirty() cannot fail in the middle.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "inode/inode_priv.h"
#include "inode/transfer.h"
#include "rt/mem.h"

enum { DIRECT_BLKS = 12 };

/* ---- limits and rights ---- */

uint64_t file_size_max(const struct inode *in)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t ptrs = geo->block_bytes / 4, blks = UINT32_MAX;

	if (!in->tree.mapped) {
		uint64_t reach = DIRECT_BLKS + ptrs + ptrs * ptrs + ptrs * ptrs * ptrs;

		blks = reach < blks ? reach : blks;
	}
	/* Without huge_file i_blocks counts sectors in 32 bits. */
	if (!(geo->features & GEO_HUGE_FILE) && blks > UINT32_MAX >> (geo->block_bits - 9))
		blks = UINT32_MAX >> (geo->block_bits - 9);
	return blks << geo->block_bits;
}

unsigned file_alloc_flags(const struct inode *in, const struct mbfs_cred *cred)
{
	return MBFS_ALLOC_DATA | inode_root_flags(in->env, cred);
}

int file_change_check(const struct inode *in, bool grows)
{
	if (in->env->read_only)
		return -EROFS;
	if (!inode_is_reg(in))
		return inode_is_dir(in) ? -EISDIR : -EINVAL;
	return grows && !in->tree.mapped ? -EOPNOTSUPP : 0;
}

int file_alloc_open(struct inode *in)
{
	int err = 0;

	rt_write_lock(&in->tree.lock);
	if (!in->tree.file)
		err = mbfs_alloc_file_open(in->env->alloc, in->ino, &in->tree.file);
	rt_write_unlock(&in->tree.lock);
	return err;
}

void file_discard(struct inode *in)
{
	struct mbfs_alloc_file *file;

	rt_read_lock(&in->tree.lock);
	file = in->tree.file; /* stays, once it is there */
	rt_read_unlock(&in->tree.lock);
	if (file)
		mbfs_alloc_file_discard(file);
}

void file_size_set(struct inode *in, struct mbfs_tx *tx, uint64_t size_bytes)
{
	const struct inode_env *env = in->env;
	bool was_large, is_large = size_bytes > INT32_MAX;

	rt_mutex_lock(&in->fields);
	was_large = in->size_bytes > INT32_MAX;
	in->size_bytes = size_bytes;
	rt_mutex_unlock(&in->fields);
	if (is_large && !was_large && !(env->geo->features & GEO_LARGE_FILE))
		env->super_ops->need_large_file(env->super_ctx, tx);
}

int file_data_check(struct inode *in, const struct extent_map *map)
{
	if (!gdt_is_system(in->env->gdt, map->pblk, map->len))
		return 0;
	return inode_damaged(in->env, in->ino,
			     "blocks of the file system itself are mapped as its data", -EUCLEAN);
}

void file_dirty_held(struct inode *in, struct mbfs_tx *tx)
{
	int err = inode_dirty(in, tx);

	MBFS_ASSERT(!err);
}

/* ---- read ---- */

/* One read under way. The file is open until it is over. */
struct file_read {
	struct inode *in; /* [const] */
	struct io_lock range;
	struct transfers data;
	struct answer answer;
};

size_t file_read_bytes(void)
{
	return sizeof(struct file_read);
}

static void read_free(struct file_read *r)
{
	transfers_drop(&r->data, NULL);
	mempool_free(r->in->env->reads, r);
}

static void read_over(struct transfers *data, bool here)
{
	struct file_read *r = container_of(data, struct file_read, data);
	int err = transfers_error(data);
	mbfs_io_done done;
	ssize_t put;
	void *arg;

	(void)here;
	if (err)
		r->answer.put = err;
	io_tree_unlock_range(&r->in->io, &r->range);
	if (!answer_late(&r->answer))
		return;
	/* Once it is answered its file may be closed, and the mount gone. */
	done = r->answer.done;
	arg = r->answer.arg;
	put = r->answer.put;
	read_free(r);
	done(arg, put);
}

/* The transfers for [off, end); bytes of holes are zero at once. The bytes up to the first error.
 */
static ssize_t read_map(struct file_read *r, uint8_t *buf, uint64_t off, uint64_t end)
{
	const struct mbfs_geo *geo = r->in->env->geo;
	uint64_t at = off;

	while (at < end) {
		mbfs_lblk_t lblk = (mbfs_lblk_t)(at >> geo->block_bits);
		uint64_t skip = at & (geo->block_bytes - 1), bytes;
		struct extent_map map;
		int err = extent_map(&r->in->tree, lblk,
				     (uint32_t)(div_up(end, geo->block_bytes) - lblk), &map);

		if (!err) {
			bytes = ((uint64_t)map.len << geo->block_bits) - skip;
			bytes = bytes < end - at ? bytes : end - at;
			if (map.state == EXTENT_WRITTEN)
				err = transfers_add(&r->data, (map.pblk << geo->block_bits) + skip,
						    buf + (at - off), (size_t)bytes);
			else
				memset(buf + (at - off), 0, (size_t)bytes);
		}
		if (err)
			return at > off ? (ssize_t)(at - off) : err;
		at += bytes;
	}
	return (ssize_t)(at - off);
}

/*
 * All that is asked for is locked, though the file may end before: so a write that moves the size
 * into it is read whole or not at all. Only who begins past the size does not wait.
 */
static ssize_t read_begin(struct file_read *r, uint8_t *buf, size_t bytes, uint64_t off,
			  struct io_cancel *cancel)
{
	struct inode *in = r->in;
	uint64_t max = file_size_max(in), size, end;
	ssize_t got;

	if (off >= file_size(in))
		return 0;
	end = bytes < max - off ? off + bytes : max;
	got = io_tree_lock_range_intr(&in->io, &r->range, off, end, IO_SHARED, cancel);
	if (got)
		return got;
	size = file_size(in);
	if (off < size)
		got = read_map(r, buf, off, end < size ? end : size);
	if (got <= 0)
		io_tree_unlock_range(&in->io, &r->range);
	return got;
}

ssize_t file_read_start(struct inode *in, void *buf, size_t bytes, uint64_t off,
			struct io_cancel *cancel, mbfs_io_done done, void *arg)
{
	struct file_read *r;
	ssize_t got;

	if (!inode_is_reg(in))
		return inode_is_dir(in) ? -EISDIR : -EINVAL;
	if (bytes > SSIZE_MAX)
		bytes = SSIZE_MAX;
	if (!bytes || off > file_size_max(in))
		return 0;
	r = mempool_alloc(in->env->reads, MEMPOOL_WAIT);
	memset(r, 0, sizeof(*r));
	r->in = in;
	r->data.dev = in->env->dev;
	r->data.over = read_over;
	r->answer.done = done;
	r->answer.arg = arg;
	got = read_begin(r, buf, bytes, off, cancel);
	if (got > 0) {
		r->answer.put = got;
		transfers_submit(&r->data);
		got = answer_take(&r->answer);
		if (got == -EINPROGRESS)
			return got;
	}
	read_free(r);
	return got;
}

ssize_t file_read(struct inode *in, void *buf, size_t bytes, uint64_t off)
{
	struct answer_wait w;

	answer_wait_init(&w);
	return answer_wait(&w, file_read_start(in, buf, bytes, off, NULL, answer_wake, &w));
}

/* ---- seek ---- */

/*
 * Does [*at, end) begin with data? *at moves to where that changes at the latest. Unwritten blocks
 * are a hole, but where a write is under way.
 */
static int seek_run(struct inode *in, uint64_t *at, uint64_t end, bool *is_data)
{
	const struct mbfs_geo *geo = in->env->geo;
	mbfs_lblk_t lblk = (mbfs_lblk_t)(*at >> geo->block_bits);
	struct extent_map map;
	struct io_run run;
	int err =
		extent_map(&in->tree, lblk, (uint32_t)(div_up(end, geo->block_bytes) - lblk), &map);

	if (err)
		return err;
	end = ((uint64_t)lblk + map.len) << geo->block_bits;
	*is_data = map.state == EXTENT_WRITTEN;
	if (map.state == EXTENT_UNWRITTEN &&
	    io_tree_find_first(&in->io, *at, IO_IN_FLIGHT | IO_UNWRITTEN, &run) &&
	    run.start < end) {
		*is_data = run.start <= *at;
		end = !*is_data ? run.start : run.end < end ? run.end : end;
	}
	*at = end;
	return 0;
}

static int64_t seek_locked(struct inode *in, uint64_t off, bool want_data)
{
	uint64_t size = file_size(in), at = off;

	if (off >= size)
		return -ENXIO;
	while (at < size) {
		uint64_t run = at;
		bool is_data;
		int err = seek_run(in, &at, size, &is_data);

		if (err)
			return err;
		if (is_data == want_data)
			return (int64_t)run;
	}
	return want_data ? -ENXIO : (int64_t)size;
}

int64_t file_seek(struct inode *in, uint64_t off, int whence)
{
	int64_t at;

	if (!inode_is_reg(in) || (whence != SEEK_DATA && whence != SEEK_HOLE))
		return -EINVAL;
	rt_read_lock(&in->rw);
	at = seek_locked(in, off, whence == SEEK_DATA);
	rt_read_unlock(&in->rw);
	return at;
}

/* ---- map ---- */

static void extent_of(const struct inode *in, const struct extent_map *map, struct mbfs_extent *out)
{
	const struct mbfs_geo *geo = in->env->geo;

	*out = (struct mbfs_extent){
		.off_bytes = (uint64_t)map->lblk << geo->block_bits,
		.dev_bytes = map->pblk << geo->block_bits,
		.len_bytes = (uint64_t)map->len << geo->block_bits,
		.flags = (map->state == EXTENT_UNWRITTEN ? MBFS_EXTENT_UNWRITTEN : 0) |
			 (in->tree.mapped ? 0 : MBFS_EXTENT_MERGED),
	};
}

static int map_locked(struct inode *in, uint64_t off, struct mbfs_extent *out, unsigned max)
{
	const struct mbfs_geo *geo = in->env->geo;
	/* Only extents go on past the size. */
	uint64_t end = in->tree.mapped ? UINT32_MAX : div_up(file_size(in), geo->block_bytes);
	uint64_t at = off >> geo->block_bits;
	unsigned nr = 0;

	while (at < end) {
		struct extent_map map;
		int err = extent_map(&in->tree, (mbfs_lblk_t)at, (uint32_t)(end - at), &map);

		if (err)
			return err;
		at += map.len;
		if (map.state == EXTENT_HOLE)
			continue;
		if (nr == max) /* there is one more: the last is not the last */
			return (int)nr;
		extent_of(in, &map, &out[nr++]);
	}
	if (nr)
		out[nr - 1].flags |= MBFS_EXTENT_LAST;
	return (int)nr;
}

int file_map(struct inode *in, uint64_t off, struct mbfs_extent *out, unsigned max)
{
	int nr;

	if (!inode_is_reg(in) && !inode_is_dir(in))
		return -EINVAL;
	rt_read_lock(&in->rw);
	nr = map_locked(in, off, out, max);
	rt_read_unlock(&in->rw);
	return nr;
}

/* ---- what failed ---- */

void file_log_errors(struct inode *in)
{
	enum { LINES_MAX = 4 };
	struct io_run run = { 0 };

	for (int i = 0; i < LINES_MAX && io_tree_find_first(&in->io, run.end, IO_ERROR, &run); i++)
		log_err("inode %u: bytes %llu to %llu could not be written", in->ino,
			(unsigned long long)run.start, (unsigned long long)run.end - 1);
}
