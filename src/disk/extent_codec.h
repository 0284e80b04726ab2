/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * disk/extent_codec.h - the bytes of an extent node: a head, then entries of 12 bytes, leaves' or
 * index's. A node is bytes here: the 60 of an inode's root or a block. Nothing is checked beyond
 * what extent_node_ok() checks; it comes first.
 */
#ifndef DISK_EXTENT_CODEC_H
#define DISK_EXTENT_CODEC_H

#include <mbfs/types.h>

#include "disk/format.h"
#include "disk/geo.h"

enum { EXTENT_DEPTH_MAX = 5, EXTENT_LEN_UNWRITTEN = 32768 };

/* One extent, decoded: [lblk, lblk + len) lies at [pblk, pblk + len). */
struct extent_leaf {
	mbfs_lblk_t lblk;
	uint32_t len;
	mbfs_blk_t pblk;
	bool unwritten;
};

static inline struct mbfs_extent_head_disk *node_head(uint8_t *node)
{
	return (struct mbfs_extent_head_disk *)node;
}
static inline uint32_t node_entries(const uint8_t *node)
{
	return le16_get(((const struct mbfs_extent_head_disk *)node)->entries);
}
static inline uint32_t node_max(const uint8_t *node)
{
	return le16_get(((const struct mbfs_extent_head_disk *)node)->max);
}
static inline uint32_t node_depth(const uint8_t *node)
{
	return le16_get(((const struct mbfs_extent_head_disk *)node)->depth);
}
static inline void node_set_entries(uint8_t *node, uint32_t nr)
{
	node_head(node)->entries = le16_of((uint16_t)nr);
}
static inline void node_set_depth(uint8_t *node, uint32_t depth)
{
	node_head(node)->depth = le16_of((uint16_t)depth);
}
/* Where entry @i lies. Leaf and index entries have the same size, and both start with their key. */
static inline uint8_t *node_entry(const uint8_t *node, uint32_t i)
{
	return (uint8_t *)(uintptr_t)node + sizeof(struct mbfs_extent_head_disk) +
	       i * sizeof(struct mbfs_extent_leaf_disk);
}
static inline mbfs_lblk_t node_key(const uint8_t *node, uint32_t i)
{
	return le32_get(((const struct mbfs_extent_idx_disk *)node_entry(node, i))->block);
}
static inline void node_set_key(uint8_t *node, uint32_t i, mbfs_lblk_t key)
{
	((struct mbfs_extent_idx_disk *)node_entry(node, i))->block = le32_of(key);
}
static inline mbfs_blk_t node_child(const uint8_t *node, uint32_t i)
{
	const struct mbfs_extent_idx_disk *e = (const void *)node_entry(node, i);

	return (mbfs_blk_t)le16_get(e->leaf_hi) << 32 | le32_get(e->leaf_lo);
}
static inline void node_put_idx(uint8_t *node, uint32_t i, mbfs_lblk_t key, mbfs_blk_t child)
{
	*(struct mbfs_extent_idx_disk *)node_entry(node, i) = (struct mbfs_extent_idx_disk){
		.block = le32_of(key),
		.leaf_lo = le32_of((uint32_t)child),
		.leaf_hi = le16_of((uint16_t)(child >> 32)),
	};
}
static inline struct extent_leaf node_leaf(const uint8_t *node, uint32_t i)
{
	const struct mbfs_extent_leaf_disk *e = (const void *)node_entry(node, i);
	uint32_t len = le16_get(e->len);
	bool unwritten = len > EXTENT_LEN_UNWRITTEN;

	return (struct extent_leaf){
		.lblk = le32_get(e->block),
		.len = unwritten ? len - EXTENT_LEN_UNWRITTEN : len,
		.pblk = (mbfs_blk_t)le16_get(e->start_hi) << 32 | le32_get(e->start_lo),
		.unwritten = unwritten,
	};
}
static inline void node_put_leaf(uint8_t *node, uint32_t i, const struct extent_leaf *l)
{
	*(struct mbfs_extent_leaf_disk *)node_entry(node, i) = (struct mbfs_extent_leaf_disk){
		.block = le32_of(l->lblk),
		.len = le16_of((uint16_t)(l->len + (l->unwritten ? EXTENT_LEN_UNWRITTEN : 0))),
		.start_hi = le16_of((uint16_t)(l->pblk >> 32)),
		.start_lo = le32_of((uint32_t)l->pblk),
	};
}

/* The most entries a node of @bytes can hold; the checksum tail fits behind them in a block. */
uint32_t node_room(uint32_t bytes);
void node_format(uint8_t *node, uint32_t bytes, uint32_t depth);
/* Head, order, lengths and places of all entries make sense. */
bool extent_node_ok(const struct mbfs_geo *geo, const uint8_t *node, uint32_t bytes);
/* Make room for one entry at @i, or take one out; moves those behind. */
void node_shift_up(uint8_t *node, uint32_t i);
void node_shift_down(uint8_t *node, uint32_t i);

#endif
