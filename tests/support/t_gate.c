// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_gate.h"

#include "base/check.h"

static struct t_gate *gate_of(struct mbfs_bdev *dev)
{
	return container_of(dev, struct t_gate, dev);
}

static int gate_read(struct mbfs_bdev *dev, uint64_t off, void *dst, size_t len)
{
	struct t_gate *g = gate_of(dev);

	rt_u64_add(&g->reads, 1);
	if (rt_u64_read(&g->read_delay_ns))
		rt_sleep_ns(rt_u64_read(&g->read_delay_ns));
	return mbfs_bdev_read(g->inner, off, dst, len);
}

static int gate_write(struct mbfs_bdev *dev, uint64_t off, const void *src, size_t len)
{
	struct t_gate *g = gate_of(dev);
	mbfs_blk_t blk = off / g->block_bytes;

	rt_u64_add(&g->writes, 1);
	for (;;) {
		uint32_t key = rt_event_key(&g->moved);

		if (rt_u64_read_acquire(&g->hold_blk) != blk)
			break;
		if (rt_u32_xchg(&g->held, 1) == 0) {
			rt_event_signal(&g->moved);
			continue;
		}
		rt_event_wait(&g->moved, key);
	}
	if (rt_u64_read(&g->write_delay_ns))
		rt_sleep_ns(rt_u64_read(&g->write_delay_ns));
	if (g->on_write)
		g->on_write(g->arg, blk, src, (uint32_t)(len / g->block_bytes));
	return mbfs_bdev_write(g->inner, off, src, len);
}

static int gate_flush(struct mbfs_bdev *dev)
{
	struct t_gate *g = gate_of(dev);

	rt_u64_add(&g->flushes, 1);
	return mbfs_bdev_flush(g->inner);
}

static void gate_close(struct mbfs_bdev *dev)
{
	(void)dev; /* the test's, on its stack */
}

static const struct mbfs_bdev_ops gate_ops = {
	.read = gate_read,
	.write = gate_write,
	.flush = gate_flush,
	.close = gate_close,
};

void t_gate_open(struct t_gate *g, struct mbfs_bdev *inner, uint32_t block_bytes)
{
	*g = (struct t_gate){ .dev = { .ops = &gate_ops, .size_bytes = inner->size_bytes },
			      .inner = inner,
			      .block_bytes = block_bytes };
	rt_u64_set(&g->hold_blk, T_GATE_NONE);
	rt_event_init(&g->moved);
}

void t_gate_hold(struct t_gate *g, mbfs_blk_t blk)
{
	rt_u32_set(&g->held, 0);
	rt_u64_set_release(&g->hold_blk, blk);
}

void t_gate_wait_held(struct t_gate *g)
{
	for (;;) {
		uint32_t key = rt_event_key(&g->moved);

		if (rt_u32_read_acquire(&g->held))
			return;
		rt_event_wait(&g->moved, key);
	}
}

void t_gate_release(struct t_gate *g)
{
	rt_u64_set_release(&g->hold_blk, T_GATE_NONE);
	rt_event_signal(&g->moved);
}
