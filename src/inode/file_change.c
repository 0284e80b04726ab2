// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may touch which bytes of a file, and when.
 *
 *   who                     rw (10)     range of bytes                      until
 *   read                    shared      its bytes, shared                   the data is read
 *   write within the size   shared      its blocks, exclusively             they are converted
 *   write past the size     shared      from the size's block to the end    the size has grown
 *   truncate, fallocate,    exclusive   its blocks, exclusively; to the end it returns
 *   punch, zero, ...                    if the size or what follows moves
 *
 * rw is let go when the call returns; a range outlives the call that took it, for the data may be
 * under way. So who holds rw exclusively knows that no new transfer begins, and who has the range
 * as well that none is under way there. A conversion needs neither: its write has the range.
 *
 * The size changes only under a range that reaches from it to the end: who holds a range that lies
 * below it finds it there still.
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

void file_read_lock(struct inode *in, struct rt_range *range, uint64_t first, uint64_t last)
{
	bool patient = !endio_env_variant(in->env->endio)->locks_inode;

	rt_read_lock(&in->rw);
	if (patient) {
		rt_range_lock(&in->ranges, range, first, last, false);
		return;
	}
	while (!rt_range_trylock(&in->ranges, range, first, last, false)) {
		rt_read_unlock(&in->rw);
		rt_range_lock(&in->ranges, range, first, last, false);
		rt_range_unlock(&in->ranges, range);
		rt_read_lock(&in->rw);
	}
}

int file_change_begin(struct inode *in, struct file_change *c, uint64_t off, uint64_t end,
		      bool moves_size)
{
	const uint64_t mask = in->env->geo->block_bytes - 1;
	uint64_t first = off, last = (end + mask) & ~mask;
	int err;

	c->in = in;
	rt_write_lock(&in->rw);
	if (moves_size) {
		uint64_t size = file_size(in);

		first = size < off ? size : off;
		last = 0;
	}
	rt_range_lock(&in->ranges, &c->range, first & ~mask, last - 1, true); /* 0 - 1: the end */
	err = endio_flush(&in->endio, c->range.first, c->range.last);
	if (!err)
		err = table_hold(in, &c->table);
	if (err)
		goto err_unlock;
	err = file_settle(in);
	if (!err)
		return 0;
	buf_put(c->table);
err_unlock:
	rt_range_unlock(&in->ranges, &c->range);
	rt_write_unlock(&in->rw);
	return err;
}

void file_change_end(struct file_change *c)
{
	buf_put(c->table);
	rt_range_unlock(&c->in->ranges, &c->range);
	rt_write_unlock(&c->in->rw);
}
