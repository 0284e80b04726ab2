/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inode/table_hold.h - keep the table block of an inode in memory.
 *
 * While the block is referenced, inode_dirty() needs no I/O and no memory, so it cannot fail: an
 * operation takes this before it changes anything, and reports every failure while it still can
 * undo.
 */
#ifndef INODE_TABLE_HOLD_H
#define INODE_TABLE_HOLD_H

#include "inode/inode.h"

/* Errors: those of buf_get(). Release with buf_put(). */
static inline int table_hold_ino(struct inode_env *env, mbfs_ino_t ino, struct buf **out)
{
	const struct buf_owner nobody = { 0 };
	uint32_t off;
	mbfs_blk_t blk;
	int err = ialloc_locate(env, ino, &blk, &off);

	return err ? err : buf_get(env->bufs, blk, &itable_kind, &nobody, out);
}

static inline int table_hold(struct inode *in, struct buf **out)
{
	return table_hold_ino(in->env, in->ino, out);
}

#endif
