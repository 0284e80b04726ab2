/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * t_gate.h - a device in front of another whose writes of one block can be held up, whose reads can
 * be slow, and that shows every write to the test before it is done.
 */
#ifndef TESTS_SUPPORT_T_GATE_H
#define TESTS_SUPPORT_T_GATE_H

#include <mbfs/blkdev.h>

#include "rt/sync.h"

#define T_GATE_NONE UINT64_MAX

struct t_gate {
	struct mbfs_bdev dev;
	struct mbfs_bdev *inner; /* not closed */
	uint32_t block_bytes;
	rt_u64 hold_blk; /* writes that begin at this block wait; T_GATE_NONE: none */
	rt_u64 read_delay_ns, write_delay_ns;
	rt_u32 held;           /* 1 while a write waits */
	struct rt_event moved; /* held or hold_blk changed */
	rt_u64 reads, writes, flushes;
	void (*on_write)(void *arg, mbfs_blk_t blk, const uint8_t *data, uint32_t blks);
	void *arg;
};

void t_gate_open(struct t_gate *g, struct mbfs_bdev *inner, uint32_t block_bytes);
void t_gate_hold(struct t_gate *g, mbfs_blk_t blk);
void t_gate_wait_held(struct t_gate *g); /* until a write waits */
void t_gate_release(struct t_gate *g);

#endif
