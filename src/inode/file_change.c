// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may touch which bytes of a file, and when. There is no lock of the whole: what is read,
 * written or changed is locked by its range (io, rank 12), so all of the below go on side by side
 * where their bytes differ.
 *
 *   who                     range of bytes                                      until
 *   read                    all it asks for, past the size too, shared          the data is read
 *   write within the size   its blocks, exclusively                             they are converted
 *   write past the size     from the size's block to infinity, exclusively      the size has grown
 *   truncate, and what      the same, or from the new size if that is smaller   it returns
 *   else moves the size
 *   fallocate, punch, zero  its blocks, exclusively                             it returns
 *   collapse, insert        from the first byte that moves to infinity; and rw  it returns
 *   seek, map               none; rw shared, for they would not stand a move    it returns
 *   fsync                   waits for those who have them now, blocks nobody
 *
 * A range outlives the call that took it, for the data may be under way. A conversion takes none:
 * its write has it.
 *
 * The size changes only under a range that reaches from it to infinity: who holds a range that lies
 * below it finds it there still. Who needs such a range looks at the size, locks, and looks again:
 * if it has shrunk meanwhile, once more.
 *
 * With rangelock=off every range is [0, infinity): one lock for each inode, as ext4 has. So is that
 * of a change with the variants of old, whose flush relies on it; and where the worker needs the
 * inode's lock, a change takes rw too.
 */
#include "inode/inode_priv.h"

#include "base/bits.h"
#include "base/check.h"

uint64_t file_size(struct inode *in)
{
	uint64_t size;

	rt_mutex_lock(&in->fields);
	size = in->size_bytes;
	rt_mutex_unlock(&in->fields);
	return size;
}

/* From the size, or @off if that is smaller, to infinity. */
static int lock_size(struct inode *in, struct io_lock *range, uint64_t off,
		     struct io_cancel *cancel)
{
	const uint64_t mask = in->env->geo->block_bytes - 1;

	for (;;) {
		uint64_t size = file_size(in), first = (size < off ? size : off) & ~mask;
		int err = io_tree_lock_range_intr(&in->io, range, first, IO_END, IO_EXCLUSIVE,
						  cancel);

		if (err || file_size(in) >= first)
			return err;
		io_tree_unlock_range(&in->io, range);
	}
}

int file_change_begin(struct inode *in, struct file_change *c, uint64_t off, uint64_t end,
		      unsigned how, struct io_cancel *cancel)
{
	const struct endio_variant *v = endio_env_variant(in->env->endio);
	const uint64_t mask = in->env->geo->block_bytes - 1;
	int err;

	if (v->early) {
		off = 0;
		how |= CHANGE_SIZE;
	}
	c->in = in;
	c->rw = (how & CHANGE_MOVES) || v->locks_inode;
	io_memory_init(&c->memory, in->env->io.states, IO_OP_NODES);
	io_memory_fill(&c->memory);
	if (c->rw)
		rt_write_lock(&in->rw);
	if (how & (CHANGE_SIZE | CHANGE_MOVES))
		err = lock_size(in, &c->range, off, cancel);
	else
		err = io_tree_lock_range_intr(&in->io, &c->range, off & ~mask, (end + mask) & ~mask,
					      IO_EXCLUSIVE, cancel);
	if (err)
		goto err_rw;
	err = endio_flush(&in->endio, c->range.start, c->range.end - 1, true);
	if (!err)
		err = table_hold(in, &c->table);
	if (err)
		goto err_unlock;
	if (how & (CHANGE_SIZE | CHANGE_MOVES))
		err = file_settle(in);
	if (!err)
		return 0;
	buf_put(c->table);
err_unlock:
	io_tree_unlock_range(&in->io, &c->range);
err_rw:
	if (c->rw)
		rt_write_unlock(&in->rw);
	io_memory_end(&c->memory);
	return err;
}

void file_change_gone(struct file_change *c, uint64_t start, uint64_t end)
{
	struct io_run run;

	if (start < end && io_tree_find_first(&c->in->io, start, IO_ERROR, &run) && run.start < end)
		io_tree_clear(&c->in->io, &c->memory, start, end, IO_ERROR, NULL);
}

void file_change_end(struct file_change *c)
{
	buf_put(c->table);
	io_tree_unlock_range(&c->in->io, &c->range);
	if (c->rw)
		rt_write_unlock(&c->in->rw);
	io_memory_end(&c->memory);
}
