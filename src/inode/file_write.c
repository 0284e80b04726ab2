// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing the bytes of a file. file.c's essay has the rules that keep the disk's old bytes from
 * showing; here is the way of one write, which may outlive its call:
 *
 *	on the caller's thread			afterwards, wherever the last transfer ends
 *	memory for all of the way
 *	the range of its blocks
 *	map; a hole becomes unwritten blocks
 *	times, if nothing else will change
 *	in flight; data to the device      ->   endio_complete(): convert, size, times (a handle)
 *						write_over(): not in flight; the range is let go;
 *						the answer
 *
 * What no write can do without, down to the places in the tree of states (extent/io_tree.h) that
 * its end will need, is taken in one step from pools with reserves, before it holds anything that
 * others may wait for. So a write waits for memory, but its end never does. What else may be short
 * of it (a handle, a node of the extent tree, many transfers) is an error or a short write before
 * data goes out.
 *
 * A write is one to a MiB of bytes, split into transfers where its blocks are not neighbours or a
 * block is fresh and not written whole: then zeros go down with it, from a bounce block. If any
 * transfer fails nothing is converted and the size stays. Blocks may run out midway: what is mapped
 * by then is written.
 *
 * A range of bytes that one write covers is mapped when its data goes out, and stays so while it
 * has the range, so conversion takes all of it: what was unwritten there has its data now.
 *
 * Pairs: writes of one file with each other where they do not overlap, and with reads; conversions
 * on the workqueue with everything but changes of the same bytes. Locks: range (12), then handles,
 * the tree (20), the allocator's, fields (28); transfers hold only the range.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "inode/inode_priv.h"
#include "inode/transfer.h"
#include "rt/mem.h"

enum { CHUNK_BYTES = 1 << 20, TICK_NS = 4000000 };

/* One write under way. The file is open until it is over, which keeps the inode. */
struct file_io {
	struct endio ei;
	struct inode *in; /* [const] */
	struct io_lock range;
	bool ranged; /* the range is held; let go once, by the thread that has it then */
	struct io_memory states;           /* for in flight and its end */
	uint8_t *bounce[FILE_BOUNCES_MAX]; /* a block each */
	unsigned bounce_nr, bounce_used;
	struct buf *table;  /* [const] held: inode_dirty() cannot fail */
	const uint8_t *buf; /* [const] */
	unsigned flags;     /* [const] for the allocator */
	uint64_t off, end;  /* [const] from the submission on: what is written */
	bool extends;       /* [const] past the size as it was */
	struct transfers data;
	struct answer answer;
};

/* ---- memory ---- */

size_t file_write_bytes(void)
{
	return sizeof(struct file_io);
}

/*
 * All that a write of [off, off + bytes) needs in any case. The variants of old mark the end of its
 * flight and that of its conversion one by one.
 */
static struct file_io *fio_new(struct inode *in, uint64_t off, size_t bytes, bool append)
{
	enum { OPS = 3 };
	struct inode_env *env = in->env;
	const uint64_t mask = env->geo->block_bytes - 1;
	unsigned ops = endio_env_variant(env->endio)->early ? OPS : OPS - 1;
	const struct mempool_want want[] = {
		{ env->writes, 1 },
		{ env->io.states, ops * IO_OP_NODES },
		{ env->bounces,
		  append ? FILE_BOUNCES_MAX : !!(off & mask) + !!((off + bytes) & mask) },
	};
	void *objs[1 + OPS * IO_OP_NODES + FILE_BOUNCES_MAX];
	struct file_io *fio;
	int err = mempool_reserve(env->memory, want, MBFS_ARRAY_SIZE(want), MEMPOOL_WAIT, objs);

	MBFS_ASSERT(!err);
	fio = memset(objs[0], 0, sizeof(*fio));
	fio->in = in;
	io_memory_init(&fio->states, env->io.states, want[1].nr);
	for (unsigned i = 0; i < want[1].nr; i++)
		io_memory_add(&fio->states, objs[1 + i]);
	fio->bounce_nr = want[2].nr;
	memcpy(fio->bounce, objs + 1 + want[1].nr, fio->bounce_nr * sizeof(fio->bounce[0]));
	return fio;
}

static void fio_free(struct file_io *fio)
{
	struct inode_env *env = fio->in->env;

	transfers_drop(&fio->data, NULL);
	buf_put(fio->table);
	io_memory_end(&fio->states);
	for (unsigned i = 0; i < fio->bounce_nr; i++)
		mempool_free(env->bounces, fio->bounce[i]);
	mempool_free(env->writes, fio);
}

/* ---- a fresh block's zeros, the tail of the last block ---- */

int file_zero_part(struct inode *in, uint64_t from, uint64_t end)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint32_t skip = (uint32_t)(from & (geo->block_bytes - 1)), bytes = (uint32_t)(end - from);
	struct extent_map map;
	uint8_t *zeros;
	int err;

	MBFS_ASSERT(from < end && end - from <= geo->block_bytes - skip);
	err = extent_map(&in->tree, (mbfs_lblk_t)(from >> geo->block_bits), 1, &map);
	if (!err && map.state == EXTENT_WRITTEN)
		err = file_data_check(in, &map);
	if (err || map.state != EXTENT_WRITTEN)
		return err;
	zeros = rt_zalloc(bytes);
	if (!zeros)
		return -ENOMEM;
	err = mbfs_bdev_write(in->env->dev, (map.pblk << geo->block_bits) + skip, zeros, bytes);
	rt_free(zeros);
	return err;
}

int file_zero_tail(struct inode *in, uint64_t from)
{
	const uint64_t mask = in->env->geo->block_bytes - 1;

	return from & mask ? file_zero_part(in, from, (from | mask) + 1) : 0;
}

/* ---- transfers ---- */

/* A block of which only [skip, skip + bytes) comes from the caller, the rest zero. */
static int add_padded(struct file_io *fio, uint64_t at, uint32_t skip, const uint8_t *buf,
		      uint32_t bytes)
{
	const uint32_t block_bytes = fio->in->env->geo->block_bytes;
	uint8_t *bounce;

	MBFS_ASSERT(fio->bounce_used < fio->bounce_nr);
	bounce = fio->bounce[fio->bounce_used++];
	memset(bounce, 0, skip);
	memcpy(bounce + skip, buf, bytes);
	memset(bounce + skip + bytes, 0, block_bytes - skip - bytes);
	return transfers_add(&fio->data, at, bounce, block_bytes);
}

static int add_whole(struct file_io *fio, uint64_t at, const uint8_t *buf, size_t bytes)
{
	return transfers_add(&fio->data, at, (uint8_t *)buf, bytes);
}

/* All of the fresh blocks that [off, off + bytes) touches get written whole. */
static int add_fresh(struct file_io *fio, const struct extent_map *map, const uint8_t *buf,
		     size_t bytes, uint64_t off)
{
	const struct mbfs_geo *geo = fio->in->env->geo;
	uint32_t skip = (uint32_t)(off & (geo->block_bytes - 1)), part;
	uint64_t at = map->pblk << geo->block_bits;
	size_t whole;
	int err = 0;

	if (skip) {
		part = geo->block_bytes - skip;
		if (part > bytes)
			part = (uint32_t)bytes;
		err = add_padded(fio, at, skip, buf, part);
		at += geo->block_bytes;
		buf += part;
		bytes -= part;
	}
	whole = bytes >> geo->block_bits << geo->block_bits;
	if (!err && whole)
		err = add_whole(fio, at, buf, whole);
	if (!err && bytes > whole)
		err = add_padded(fio, at + whole, 0, buf + whole, (uint32_t)(bytes - whole));
	return err;
}

/* ---- mapping ---- */

/* A hole at the start of @map becomes unwritten blocks. */
static int map_allocate(struct file_io *fio, uint32_t len, struct extent_map *map)
{
	const struct mbfs_geo *geo = fio->in->env->geo;
	struct inode *in = fio->in;
	uint64_t size = file_size(in);
	mbfs_lblk_t lblk = map->lblk;
	struct mbfs_tx *tx;
	uint32_t blks;
	int err = file_alloc_open(in);

	if (!err)
		err = tx_start(in->env->log, EXTENT_CREDITS + 1, &tx);
	if (err)
		return err;
	if (fio->end > size)
		size = fio->end;
	err = extent_allocate(&in->tree, tx, lblk, len, div_up(size, geo->block_bytes), fio->flags,
			      map, &blks);
	if (!err) {
		inode_add_blocks(in, blks);
		file_dirty_held(in, tx);
	}
	tx_stop(tx);
	return err;
}

/* The transfers of a run of blocks in one state at @off; the bytes that they write. */
static ssize_t map_run(struct file_io *fio, uint64_t off)
{
	const struct mbfs_geo *geo = fio->in->env->geo;
	uint32_t skip = (uint32_t)(off & (geo->block_bytes - 1)), len;
	const uint8_t *buf = fio->buf + (off - fio->off);
	size_t bytes = (size_t)(fio->end - off);
	struct extent_map map;
	uint64_t run;
	int err;

	len = (uint32_t)div_up(skip + bytes, geo->block_bytes);
	err = extent_map(&fio->in->tree, (mbfs_lblk_t)(off >> geo->block_bits), len, &map);
	if (!err && map.state == EXTENT_HOLE)
		err = map_allocate(fio, map.len, &map);
	if (!err)
		err = file_data_check(fio->in, &map);
	if (err)
		return err;
	run = ((uint64_t)map.len << geo->block_bits) - skip;
	if (run < bytes)
		bytes = (size_t)run;
	if (map.state == EXTENT_WRITTEN) {
		err = add_whole(fio, (map.pblk << geo->block_bits) + skip, buf, bytes);
	} else {
		fio->ei.converts = true;
		err = add_fresh(fio, &map, buf, bytes, off);
	}
	return err ? err : (ssize_t)bytes;
}

/* All transfers; what cannot be mapped is left out, from the first error on. */
static int map_all(struct file_io *fio)
{
	uint64_t at = fio->off;

	while (at < fio->end) {
		struct transfer *before = fio->data.first;
		ssize_t got = map_run(fio, at);

		if (got >= 0) {
			at += (uint64_t)got;
			continue;
		}
		transfers_drop(&fio->data, before); /* of a run that is not complete */
		if (at == fio->off)
			return (int)got;
		fio->end = at;
	}
	return 0;
}

/* ---- the end of a write ---- */

static struct file_io *fio_of(struct endio *ei)
{
	return container_of(ei, struct file_io, ei);
}

static struct inode *inode_of(struct endio_file *f)
{
	return container_of(f, struct inode, endio);
}

static void range_let_go(struct file_io *fio)
{
	if (fio->ranged)
		io_tree_unlock_range(&fio->in->io, &fio->range);
	fio->ranged = false;
}

/*
 * What was in flight is so no more. If it has failed that is remembered, in the places that the
 * flight has in the tree: but not if others may wait for memory.
 */
static void flight_over(struct file_io *fio, bool failed)
{
	struct io_tree *io = &fio->in->io;
	const uint32_t flight = IO_IN_FLIGHT | IO_UNWRITTEN;
	const struct endio *ei = &fio->ei;

	if (failed && !mempool_is_low(fio->in->env->io.states))
		io_tree_convert(io, &fio->states, ei->first, ei->last + 1, flight, IO_ERROR, NULL);
	else
		io_tree_clear(io, &fio->states, ei->first, ei->last + 1, flight | IO_ERROR, NULL);
}

static void write_over(struct endio *ei)
{
	struct file_io *fio = fio_of(ei);
	mbfs_io_done done;
	ssize_t put;
	void *arg;

	flight_over(fio, ei->err);
	if (ei->err && !fio->answer.put)
		fio->answer.put = ei->err;
	range_let_go(fio);
	if (!answer_late(&fio->answer))
		return;
	/* Once it is answered its file may be closed, and the mount gone. */
	done = fio->answer.done;
	arg = fio->answer.arg;
	put = fio->answer.put;
	fio_free(fio);
	done(arg, put);
}

static void data_down(struct endio *ei)
{
	struct file_io *fio = fio_of(ei);

	if (fio->extends)
		return;
	io_tree_clear(&fio->in->io, &fio->states, ei->first, ei->last + 1, IO_IN_FLIGHT, NULL);
	range_let_go(fio);
}

/* ---- conversion ---- */

/*
 * Times move in ticks, as the kernel's do: what many writes a second have in common is written
 * once. True if it is time; @set: and they are set.
 */
static bool times_due(struct inode *in, bool set)
{
	struct timespec now;
	bool due;

	inode_now(&now);
	rt_mutex_lock(&in->fields);
	due = now.tv_sec != in->mtime.tv_sec ||
	      now.tv_nsec / TICK_NS != in->mtime.tv_nsec / TICK_NS ||
	      in->ctime.tv_sec != in->mtime.tv_sec || in->ctime.tv_nsec != in->mtime.tv_nsec;
	if (due && set)
		in->mtime = in->ctime = now;
	rt_mutex_unlock(&in->fields);
	return due;
}

/* The inode has something of its tree to put down. Both locks, as inode_dirty(), which clears it.
 */
static bool tree_dirty(struct inode *in)
{
	bool dirty;

	rt_read_lock(&in->tree.lock);
	rt_mutex_lock(&in->fields);
	dirty = in->tree.root_dirty || in->tree.meta_blks;
	rt_mutex_unlock(&in->fields);
	rt_read_unlock(&in->tree.lock);
	return dirty;
}

/* Times and, if the file has grown, its size. */
static void mark(struct inode *in, struct mbfs_tx *tx, uint64_t end)
{
	bool changed = end > file_size(in);

	if (changed)
		file_size_set(in, tx, end);
	changed |= times_due(in, true);
	if (changed || tree_dirty(in))
		file_dirty_held(in, tx);
}

/* How far from @off the bytes are written: after a conversion that failed midway. */
static uint64_t written_to(struct inode *in, uint64_t off, uint64_t end)
{
	const struct mbfs_geo *geo = in->env->geo;
	mbfs_lblk_t lblk = (mbfs_lblk_t)(off >> geo->block_bits);
	uint64_t at = (uint64_t)lblk << geo->block_bits;

	while (at < end) {
		struct extent_map map;

		lblk = (mbfs_lblk_t)(at >> geo->block_bits);
		if (extent_map(&in->tree, lblk, (uint32_t)div_up(end - at, geo->block_bytes),
			       &map) ||
		    map.state != EXTENT_WRITTEN)
			break;
		at += (uint64_t)map.len << geo->block_bits;
	}
	return at < off ? off : at > end ? end : at;
}

/*
 * The blocks of writes batch[0..nr), which are neighbours. *size: [in, out] what the file's size
 * has to be at least, for a written block past it is damage.
 */
static int convert_run(struct inode *in, struct mbfs_tx *tx, struct endio **batch, unsigned nr,
		       uint64_t *size)
{
	const struct mbfs_geo *geo = in->env->geo;
	uint64_t off = fio_of(batch[0])->off, end = off;
	mbfs_lblk_t lblk = (mbfs_lblk_t)(off >> geo->block_bits);
	int err;

	for (unsigned i = 0; i < nr; i++)
		if (fio_of(batch[i])->end > end)
			end = fio_of(batch[i])->end;
	err = extent_convert(&in->tree, tx, lblk, (uint32_t)(div_up(end, geo->block_bytes) - lblk));
	if (err)
		end = written_to(in, off, end);
	/* Else the size may have shrunk: early variants. */
	if (fio_of(batch[nr - 1])->extends && end > off && end > *size)
		*size = end;
	return err;
}

/* What is converted counts, though the rest could not be. */
static void convert_failed(struct inode *in, struct endio *ei)
{
	struct file_io *fio = fio_of(ei);
	uint64_t to = written_to(in, fio->off, fio->end);

	fio->answer.put = to > fio->off && to <= file_size(in) ? (ssize_t)(to - fio->off) : 0;
	rt_u32_add(&in->io_errs, 1);
	log_err("inode %u: %llu bytes at %llu were written, but cannot be made part of it: %s",
		in->ino, (unsigned long long)(fio->end - fio->off), (unsigned long long)fio->off,
		strerror(-ei->err));
}

static int cmp_off(const void *x, const void *y)
{
	const struct endio *a = *(struct endio *const *)x, *b = *(struct endio *const *)y;

	return a->first < b->first ? -1 : a->first > b->first;
}

/* All in one handle; what fails with its neighbours is tried alone. */
static void convert_all(struct endio_file *f, struct mbfs_tx *tx, struct endio **batch, unsigned nr)
{
	struct inode *in = inode_of(f);
	unsigned at = 0, run;
	uint64_t size = 0;

	for (; at < nr; at += run) {
		int err;

		run = 1;
		while (at + run < nr && batch[at + run]->first == batch[at + run - 1]->last + 1 &&
		       !fio_of(batch[at + run - 1])->extends)
			run++;
		err = convert_run(in, tx, batch + at, run, &size);
		for (unsigned i = at; err && i < at + run; i++)
			batch[i]->err = run > 1 ? convert_run(in, tx, batch + i, 1, &size) : err;
		endio_note_merged(f, run - 1);
	}
	mark(in, tx, size);
}

static void write_convert(struct endio_file *f, struct endio **batch, unsigned nr)
{
	struct inode *in = inode_of(f);
	struct mbfs_tx *tx;
	int err = tx_start(in->env->log, nr * EXTENT_CREDITS + 1, &tx);

	for (unsigned i = 0; err && i < nr; i++)
		batch[i]->err = err;
	if (nr > 1)
		qsort(batch, nr, sizeof(batch[0]), cmp_off);
	if (!err) {
		convert_all(f, tx, batch, nr);
		tx_stop(tx);
	}
	for (unsigned i = 0; i < nr; i++)
		if (batch[i]->err)
			convert_failed(in, batch[i]);
}

static bool host_wait(struct endio_file *f, uint64_t first, uint64_t last)
{
	uint64_t end = last == UINT64_MAX ? IO_END : last + 1;

	return io_tree_wait_range(&inode_of(f)->io, first, end, NULL) > 0;
}

static void host_pin(struct endio_file *f)
{
	inode_hold(inode_of(f));
}

static void host_unpin(struct endio_file *f)
{
	inode_put(inode_of(f));
}

static bool host_trylock(struct endio_file *f)
{
	return rt_write_trylock(&inode_of(f)->rw);
}

static void host_unlock(struct endio_file *f)
{
	rt_write_unlock(&inode_of(f)->rw);
}

const struct endio_host_ops file_endio_ops = {
	.convert = write_convert,
	.over = write_over,
	.data_down = data_down,
	.wait = host_wait,
	.pin = host_pin,
	.unpin = host_unpin,
	.trylock = host_trylock,
	.unlock = host_unlock,
};

/* ---- submission ---- */

static void data_over(struct transfers *data, bool here)
{
	struct file_io *fio = container_of(data, struct file_io, data);
	int err = transfers_error(data);

	if (err) {
		rt_u32_add(&fio->in->io_errs, 1);
		endio_cancel(&fio->ei, err);
		return;
	}
	fio->answer.put = (ssize_t)(fio->end - fio->off);
	endio_complete(&fio->ei, here);
}

/* Where the write begins and ends if the size is this; false: past all that a file can have. */
static bool place(struct file_io *fio, uint64_t size, size_t bytes, bool append)
{
	const uint64_t max = file_size_max(fio->in);

	if (append)
		fio->off = size;
	if (fio->off >= max)
		return false;
	fio->end = bytes < max - fio->off ? fio->off + bytes : max;
	fio->extends = append || fio->end > size;
	return true;
}

/*
 * The range, off, end and extends follow from the size. Another may move it between the look at it
 * and the lock: then the range must do all the same, or it starts over.
 */
static int lock_bytes(struct file_io *fio, size_t bytes, bool append, struct io_cancel *cancel)
{
	struct inode *in = fio->in;
	const uint64_t mask = in->env->geo->block_bytes - 1;
	int err;

	for (;;) {
		uint64_t size = file_size(in), first, end;

		if (!place(fio, size, bytes, append))
			return -EFBIG;
		first = (fio->extends && size < fio->off ? size : fio->off) & ~mask;
		end = fio->extends ? IO_END : (fio->end + mask) & ~mask;
		err = io_tree_lock_range_intr(&in->io, &fio->range, first, end, IO_EXCLUSIVE,
					      cancel);
		if (err)
			return err;
		fio->ranged = true;
		size = file_size(in);
		if (!place(fio, size, bytes, append)) {
			range_let_go(fio);
			return -EFBIG;
		}
		if (!fio->extends || (end == IO_END && size >= first))
			return 0;
		range_let_go(fio);
	}
}

/*
 * Where bytes are let go before they are converted, a block may be unwritten to its map though it
 * has another's data: a part of it is not written, with zeros to the rest, until it is converted.
 */
static void wait_converted(struct file_io *fio)
{
	struct inode *in = fio->in;
	const uint64_t mask = in->env->geo->block_bytes - 1;

	if (!endio_env_variant(in->env->endio)->early || !((fio->off | fio->end) & mask))
		return;
	while (io_tree_test(&in->io, fio->off & ~mask, (fio->end + mask) & ~mask, IO_UNWRITTEN,
			    false)) {
		(void)endio_flush(&in->endio, fio->off, fio->end - 1, true); /* theirs: reported */
		rt_yield();
	}
}

/* Everything up to the data; the range is held. */
static int ready(struct file_io *fio)
{
	struct inode *in = fio->in;
	uint64_t size = file_size(in);
	struct mbfs_tx *tx;
	int err = table_hold(in, &fio->table);

	if (!err && fio->extends)
		err = file_settle(in);
	if (!err && fio->off > size)
		err = file_zero_tail(in, size);
	if (!err) {
		wait_converted(fio);
		err = map_all(fio);
	}
	if (err)
		return err;
	fio->extends = fio->end > size;
	fio->ei.first = fio->off & ~(uint64_t)(in->env->geo->block_bytes - 1);
	fio->ei.last = ((fio->end - 1) | (in->env->geo->block_bytes - 1));
	if (fio->extends)
		fio->ei.converts = true;
	if (fio->ei.converts || !times_due(in, false))
		return 0;
	err = tx_start(in->env->log, 1, &tx);
	if (err)
		return err;
	mark(in, tx, 0);
	tx_stop(tx);
	return 0;
}

ssize_t file_write_start(struct inode *in, const struct mbfs_cred *cred, const void *buf,
			 size_t bytes, uint64_t off, unsigned how, struct io_cancel *cancel,
			 mbfs_io_done done, void *arg)
{
	struct file_io *fio;
	ssize_t put;
	int err = file_change_check(in, true);

	if (err || !bytes)
		return err;
	if (bytes > CHUNK_BYTES)
		bytes = CHUNK_BYTES;
	fio = fio_new(in, off, bytes, how & FILE_APPEND);
	fio->buf = buf;
	fio->off = off;
	fio->flags = file_alloc_flags(in, cred);
	fio->ei.direct = how & FILE_DIRECT;
	fio->data.dev = in->env->dev;
	fio->data.is_write = true;
	fio->data.over = data_over;
	fio->answer.done = done;
	fio->answer.arg = arg;
	err = lock_bytes(fio, bytes, how & FILE_APPEND, cancel);
	if (!err)
		err = ready(fio);
	if (err) {
		range_let_go(fio);
		fio_free(fio);
		return err;
	}
	io_tree_set(&in->io, &fio->states, fio->ei.first, fio->ei.last + 1,
		    IO_IN_FLIGHT | (fio->ei.converts ? IO_UNWRITTEN : 0), NULL);
	endio_begin(&in->endio, &fio->ei);
	transfers_submit(&fio->data);
	put = answer_take(&fio->answer);
	if (put != -EINPROGRESS)
		fio_free(fio);
	return put;
}

/* ---- a write that is waited for ---- */

static ssize_t write_piece(struct inode *in, const struct mbfs_cred *cred, const void *buf,
			   size_t bytes, uint64_t off, unsigned how)
{
	struct answer_wait w;

	answer_wait_init(&w);
	return answer_wait(&w,
			   file_write_start(in, cred, buf, bytes, off, how, NULL, answer_wake, &w));
}

ssize_t file_write(struct inode *in, const struct mbfs_cred *cred, const void *buf, size_t bytes,
		   uint64_t off, unsigned how)
{
	const uint8_t *from = buf;
	size_t done = 0;

	if (bytes > SSIZE_MAX)
		bytes = SSIZE_MAX;
	do {
		ssize_t put = write_piece(in, cred, from + done, bytes - done, off + done, how);

		if (put <= 0)
			return done ? (ssize_t)done : put;
		done += (size_t)put;
	} while (done < bytes);
	return (ssize_t)done;
}
