// SPDX-License-Identifier: GPL-2.0-only
#include "disk/extent_codec.h"

#include <string.h>

#include "base/check.h"

enum { ENTRY_BYTES = sizeof(struct mbfs_extent_leaf_disk) };

uint32_t node_room(uint32_t bytes)
{
	return (bytes - (uint32_t)sizeof(struct mbfs_extent_head_disk)) / ENTRY_BYTES;
}

void node_format(uint8_t *node, uint32_t bytes, uint32_t depth)
{
	memset(node, 0, bytes);
	node_head(node)->magic = le16_of(MBFS_EXTENT_MAGIC);
	node_head(node)->max = le16_of((uint16_t)node_room(bytes));
	node_set_depth(node, depth);
}

static bool in_device(const struct mbfs_geo *geo, mbfs_blk_t start, uint32_t len)
{
	return start > geo->first_blk && start < geo_blk_nr(geo) && len <= geo_blk_nr(geo) - start;
}

static bool leaf_ok(const struct mbfs_geo *geo, const uint8_t *node, uint32_t nr)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct extent_leaf l = node_leaf(node, i);

		if (l.len == 0 || (i > 0 && l.lblk < end) || !in_device(geo, l.pblk, l.len))
			return false;
		end = (uint64_t)l.lblk + l.len;
		if (end > UINT32_MAX)
			return false;
	}
	return true;
}

static bool index_ok(const struct mbfs_geo *geo, const uint8_t *node, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		if (i > 0 && node_key(node, i) <= node_key(node, i - 1))
			return false;
		if (!in_device(geo, node_child(node, i), 1))
			return false;
	}
	return nr > 0;
}

bool extent_node_ok(const struct mbfs_geo *geo, const uint8_t *node, uint32_t bytes)
{
	uint32_t nr = node_entries(node), max = node_max(node), depth = node_depth(node);

	if (le16_get(((const struct mbfs_extent_head_disk *)node)->magic) != MBFS_EXTENT_MAGIC ||
	    max == 0 || max > node_room(bytes) || nr > max || depth > EXTENT_DEPTH_MAX)
		return false;
	return depth ? index_ok(geo, node, nr) : leaf_ok(geo, node, nr);
}

void node_shift_up(uint8_t *node, uint32_t i)
{
	uint32_t nr = node_entries(node);

	MBFS_ASSERT(nr < node_max(node) && i <= nr);
	memmove(node_entry(node, i + 1), node_entry(node, i), (size_t)(nr - i) * ENTRY_BYTES);
	node_set_entries(node, nr + 1);
}

void node_shift_down(uint8_t *node, uint32_t i)
{
	uint32_t nr = node_entries(node);

	MBFS_ASSERT(i < nr);
	memmove(node_entry(node, i), node_entry(node, i + 1), (size_t)(nr - i - 1) * ENTRY_BYTES);
	node_set_entries(node, nr - 1);
}
