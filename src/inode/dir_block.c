/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes of one directory block. Pure functions: no buffers, no locks, no memory of their own.
 *
 * A leaf is a chain of records that covers it exactly. A record is in use when its inode is not 0,
 * and may be longer than its name needs: the rest is free room that the next insert can cut off. So
 * inserting and deleting never move an entry; only leaf_pack() and leaf_split() do.
 */
#include "inode/dir_priv.h"

#include <errno.h>
#include <sys/stat.h>
#include <dirent.h>
#include <stdlib.h>

#include "base/check.h"
#include "disk/csum.h"

/* ---- verify ---- */

static bool name_is_sound(const uint8_t *name, uint32_t len)
{
	return len && !memchr(name, '/', len) && !memchr(name, 0, len);
}

/* The record at @off is sound, and what is left of the block after it is nothing or room for a
 * record. */
static bool record_is_sound(const struct mbfs_geo *geo, const uint8_t *block, uint32_t off,
			    uint32_t end)
{
	const uint8_t *d = block + off;
	uint32_t rec, left;

	if (end - off < DIRENT_MIN_BYTES)
		return false;
	rec = dirent_rec_len(d, geo->block_bytes);
	if (rec < DIRENT_MIN_BYTES || rec % 4 || rec > end - off ||
	    rec < dirent_bytes(dirent_name_len(d)))
		return false;
	left = end - off - rec;
	if (left && left < DIRENT_MIN_BYTES)
		return false;
	if (!dirent_ino(d))
		return true;
	return dirent_ino(d) <= geo_inode_nr(geo) &&
	       name_is_sound(dirent_name(d), dirent_name_len(d));
}

static bool tail_is_sound(const struct mbfs_geo *geo, const uint8_t *block)
{
	const uint8_t *d = block + dirent_leaf_end(geo);

	if (!(geo->features & GEO_CSUM))
		return true;
	return !dirent_ino(d) && dirent_get16(d + 4) == DIRENT_TAIL_BYTES && !dirent_name_len(d) &&
	       dirent_type(d) == DIRENT_TAIL_TYPE;
}

int leaf_verify(const struct mbfs_geo *geo, const uint8_t *block)
{
	uint32_t end = dirent_leaf_end(geo), off = 0;

	if (!tail_is_sound(geo, block))
		return -EUCLEAN;
	while (off < end) {
		if (!record_is_sound(geo, block, off, end))
			return -EUCLEAN;
		off = leaf_next(geo, block, off);
	}
	return 0;
}

int dots_verify(const struct mbfs_geo *geo, const uint8_t *block, uint32_t *dotdot_off)
{
	uint32_t off = dirent_rec_len(block, geo->block_bytes);
	const uint8_t *d = block + off;

	if (dirent_name_len(block) != 1 || *dirent_name(block) != '.' || !dirent_ino(block) ||
	    off < DIRENT_MIN_BYTES || off % 4 || off > geo->block_bytes - DX_ROOT_SLOTS_OFF)
		return -EUCLEAN;
	if (dirent_name_len(d) != 2 || memcmp(dirent_name(d), "..", 2) || !dirent_ino(d) ||
	    dirent_ino(d) > geo_inode_nr(geo))
		return -EUCLEAN;
	*dotdot_off = off;
	return 0;
}

static int slots_verify(const struct mbfs_geo *geo, const uint8_t *block, uint32_t slots_off)
{
	const uint8_t *s = block + slots_off;
	uint32_t count = dx_count(s);

	if (dx_limit(s) != dx_slots_max(geo, slots_off) || !count || count > dx_limit(s))
		return -EUCLEAN;
	for (uint32_t at = 1; at < count; at++) {
		if (dx_hash(s, at) < dx_hash(s, at - 1))
			return -EUCLEAN;
	}
	return 0;
}

int dx_root_verify(const struct mbfs_geo *geo, const uint8_t *block)
{
	const uint8_t *info = block + DX_ROOT_INFO_OFF;
	uint32_t dotdot;

	if (dots_verify(geo, block, &dotdot) || dotdot != DIRENT_MIN_BYTES ||
	    dirent_rec_len(block + dotdot, geo->block_bytes) != geo->block_bytes - dotdot)
		return -EUCLEAN;
	if (dirent_get32(info) || dx_root_version(block) >= DIR_HASH_NR ||
	    info[5] != DX_ROOT_INFO_BYTES || dx_root_levels(block) >= DX_LEVELS_MAX || info[7] & 1)
		return -EUCLEAN;
	return slots_verify(geo, block, DX_ROOT_SLOTS_OFF);
}

int dx_node_verify(const struct mbfs_geo *geo, const uint8_t *block)
{
	if (dirent_ino(block) || dirent_rec_len(block, geo->block_bytes) != geo->block_bytes)
		return -EUCLEAN;
	return slots_verify(geo, block, DX_NODE_SLOTS_OFF);
}

/* ---- buffer kinds ---- */

static int leaf_kind_verify(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
			    const uint8_t *data, uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;

	(void)blk;
	MBFS_ASSERT(bytes == geo->block_bytes);
	if (!csum_dirblk_ok(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes))
		return -EBADMSG;
	return leaf_verify(geo, data);
}

static void leaf_kind_seal(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
			   uint8_t *data, uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;

	(void)blk;
	csum_dirblk_set(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes);
}

/* The content first: the checksum's place depends on the limit in the block. */
static int root_kind_verify(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
			    const uint8_t *data, uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;
	int err = dx_root_verify(geo, data);

	(void)blk;
	if (err)
		return err;
	return csum_dx_ok(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes,
			  DX_ROOT_SLOTS_OFF) ? 0 : -EBADMSG;
}

static void root_kind_seal(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
			   uint8_t *data, uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;

	(void)blk;
	csum_dx_set(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes,
		    DX_ROOT_SLOTS_OFF);
}

static int node_kind_verify(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
			    const uint8_t *data, uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;
	int err = dx_node_verify(geo, data);

	(void)blk;
	if (err)
		return err;
	return csum_dx_ok(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes,
			  DX_NODE_SLOTS_OFF) ? 0 : -EBADMSG;
}

static void node_kind_seal(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
			   uint8_t *data, uint32_t bytes)
{
	const struct mbfs_geo *geo = ctx;

	(void)blk;
	csum_dx_set(geo, csum_inode_seed(geo, owner->ino, owner->gen), data, bytes,
		    DX_NODE_SLOTS_OFF);
}

const struct buf_kind dir_leaf_kind = { "directory block", leaf_kind_verify, leaf_kind_seal };
const struct buf_kind dir_root_kind = { "directory index root", root_kind_verify, root_kind_seal };
const struct buf_kind dir_node_kind = { "directory index node", node_kind_verify, node_kind_seal };

/* ---- leaves ---- */

void leaf_format(const struct mbfs_geo *geo, uint8_t *block)
{
	uint32_t end = dirent_leaf_end(geo);

	memset(block, 0, geo->block_bytes);
	dirent_set_rec_len(block, end);
	if (geo->features & GEO_CSUM) {
		dirent_set_rec_len(block + end, DIRENT_TAIL_BYTES);
		dirent_set_type(block + end, DIRENT_TAIL_TYPE);
	}
}

bool leaf_find(const struct mbfs_geo *geo, const uint8_t *block, const char *name, size_t len,
	       struct leaf_pos *out)
{
	uint32_t end = dirent_leaf_end(geo), prev = 0;

	for (uint32_t off = 0; off < end; prev = off, off = leaf_next(geo, block, off)) {
		const uint8_t *d = block + off;

		if (dirent_name_len(d) == len && dirent_ino(d) &&
		    !memcmp(dirent_name(d), name, len)) {
			*out = (struct leaf_pos){ off, prev };
			return true;
		}
	}
	return false;
}

static bool is_dot(const uint8_t *d)
{
	uint32_t len = dirent_name_len(d);

	return len <= 2 && !memcmp(dirent_name(d), "..", len);
}

bool leaf_is_empty(const struct mbfs_geo *geo, const uint8_t *block)
{
	uint32_t end = dirent_leaf_end(geo);

	for (uint32_t off = 0; off < end; off = leaf_next(geo, block, off)) {
		if (dirent_ino(block + off) && !is_dot(block + off))
			return false;
	}
	return true;
}

static uint32_t used_bytes(const uint8_t *d)
{
	return dirent_ino(d) ? dirent_bytes(dirent_name_len(d)) : 0;
}

/* The first record with @need free bytes, or the end. */
static uint32_t find_room(const struct mbfs_geo *geo, const uint8_t *block, uint32_t need)
{
	uint32_t end = dirent_leaf_end(geo), off = 0;

	while (off < end) {
		uint32_t next = leaf_next(geo, block, off);

		if (next - off - used_bytes(block + off) >= need)
			return off;
		off = next;
	}
	return end;
}

bool leaf_has_room(const struct mbfs_geo *geo, const uint8_t *block, size_t len)
{
	return find_room(geo, block, dirent_bytes((uint32_t)len)) < dirent_leaf_end(geo);
}

bool leaf_insert(const struct mbfs_geo *geo, uint8_t *block, const char *name, size_t len,
		 mbfs_ino_t ino, uint8_t type)
{
	uint32_t off = find_room(geo, block, dirent_bytes((uint32_t)len)), used, rec;

	MBFS_ASSERT(len >= 1 && len <= DIRENT_NAME_MAX && ino);
	if (off == dirent_leaf_end(geo))
		return false;
	used = used_bytes(block + off);
	rec = dirent_rec_len(block + off, geo->block_bytes);
	if (used) {
		dirent_set_rec_len(block + off, used);
		off += used;
		dirent_set_rec_len(block + off, rec - used);
	}
	dirent_fill(block + off, ino, type, name, (uint8_t)len);
	MBFS_ASSERT_SLOW(!leaf_verify(geo, block));
	return true;
}

void leaf_delete(const struct mbfs_geo *geo, uint8_t *block, const struct leaf_pos *pos)
{
	uint8_t *d = block + pos->off;
	uint32_t rec = dirent_rec_len(d, geo->block_bytes);

	if (pos->off != pos->prev_off) {
		uint8_t *prev = block + pos->prev_off;

		MBFS_ASSERT(leaf_next(geo, block, pos->prev_off) == pos->off);
		dirent_set_rec_len(prev, pos->off - pos->prev_off + rec);
		memset(d, 0, dirent_bytes(dirent_name_len(d)));
	} else {
		/* The first record has nobody to give its room to. The name goes too: it may be a
		 * secret. */
		memset(d + DIRENT_HEAD_BYTES, 0, dirent_name_len(d));
		dirent_fill(d, 0, 0, "", 0);
	}
	MBFS_ASSERT_SLOW(!leaf_verify(geo, block));
}

uint32_t leaf_live_bytes(const struct mbfs_geo *geo, const uint8_t *block)
{
	uint32_t end = dirent_leaf_end(geo), sum = 0;

	for (uint32_t off = 0; off < end; off = leaf_next(geo, block, off))
		sum += used_bytes(block + off);
	return sum;
}

/* Copy the entries at @items, one after the other, into @block as its whole content. */
static void leaf_fill(const struct mbfs_geo *geo, uint8_t *block, const uint8_t *from,
		      const struct leaf_item *items, uint32_t nr)
{
	uint32_t off = 0, last = 0;

	leaf_format(geo, block);
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t bytes = used_bytes(from + items[i].off);

		memcpy(block + off, from + items[i].off, bytes);
		dirent_set_rec_len(block + off, bytes);
		last = off;
		off += bytes;
	}
	MBFS_ASSERT(off <= dirent_leaf_end(geo));
	dirent_set_rec_len(block + last, dirent_leaf_end(geo) - last);
	MBFS_ASSERT_SLOW(!leaf_verify(geo, block));
}

void leaf_pack(const struct mbfs_geo *geo, const uint8_t *from, uint8_t *to)
{
	uint32_t end = dirent_leaf_end(geo), at = 0, last = 0;

	leaf_format(geo, to);
	for (uint32_t off = 0; off < end; off = leaf_next(geo, from, off)) {
		uint32_t bytes = used_bytes(from + off);

		if (!bytes)
			continue;
		memcpy(to + at, from + off, bytes);
		dirent_set_rec_len(to + at, bytes);
		last = at;
		at += bytes;
	}
	dirent_set_rec_len(to + last, end - last);
	MBFS_ASSERT_SLOW(!leaf_verify(geo, to));
}

static int item_cmp(const void *a, const void *b)
{
	const struct leaf_item *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

uint32_t leaf_split(const struct mbfs_geo *geo, const struct dir_hasher *hasher,
		    const uint8_t *from, uint32_t start, uint8_t *low, uint8_t *high,
		    struct leaf_item *items)
{
	uint32_t end = dirent_leaf_end(geo), nr = 0, keep = 0, sum = 0, half = 0;

	for (uint32_t off = start; off < end; off = leaf_next(geo, from, off)) {
		const uint8_t *d = from + off;
		uint32_t hash;

		if (!dirent_ino(d))
			continue;
		hash = dir_hash(hasher, dirent_name(d), dirent_name_len(d), NULL);
		items[nr++] = (struct leaf_item){ hash, off };
		half += used_bytes(d);
	}
	half /= 2;
	MBFS_ASSERT(nr >= 2 && nr <= leaf_items_max(geo));
	qsort(items, nr, sizeof(*items), item_cmp);
	/* Cut where both halves are nearest to each other: then any name fits in either. */
	while (keep < nr - 1) {
		uint32_t bytes = used_bytes(from + items[keep].off);

		if (keep && sum + bytes / 2 >= half)
			break;
		sum += bytes;
		keep++;
	}
	leaf_fill(geo, low, from, items, keep);
	leaf_fill(geo, high, from, items + keep, nr - keep);
	return items[keep].hash + (items[keep].hash == items[keep - 1].hash);
}

/* ---- index blocks ---- */

void dx_root_format(const struct mbfs_geo *geo, uint8_t *block, mbfs_ino_t self, mbfs_ino_t parent,
		    uint8_t version, mbfs_lblk_t child)
{
	uint8_t type = dirent_type_of(geo, DT_DIR), *s = block + DX_ROOT_SLOTS_OFF;

	memset(block, 0, geo->block_bytes);
	dirent_fill(block, self, type, ".", 1);
	dirent_set_rec_len(block, DIRENT_MIN_BYTES);
	dirent_fill(block + DIRENT_MIN_BYTES, parent, type, "..", 2);
	dirent_set_rec_len(block + DIRENT_MIN_BYTES, geo->block_bytes - DIRENT_MIN_BYTES);
	dx_root_set_info(block, version, 0);
	dx_set_limit(s, dx_slots_max(geo, DX_ROOT_SLOTS_OFF));
	dx_set_count(s, 1);
	dx_set_block(s, 0, child);
	MBFS_ASSERT_SLOW(!dx_root_verify(geo, block));
}

void dx_node_format(const struct mbfs_geo *geo, uint8_t *block)
{
	uint8_t *s = block + DX_NODE_SLOTS_OFF;

	memset(block, 0, geo->block_bytes);
	dirent_set_rec_len(block, geo->block_bytes);
	dx_set_limit(s, dx_slots_max(geo, DX_NODE_SLOTS_OFF));
}

void dx_insert(uint8_t *slots, uint32_t at, uint32_t hash, mbfs_lblk_t child)
{
	uint32_t count = dx_count(slots);
	uint8_t *to = slots + (at + 1) * DX_SLOT_BYTES;

	MBFS_ASSERT(at < count && count < dx_limit(slots));
	memmove(to + DX_SLOT_BYTES, to, (count - at - 1) * DX_SLOT_BYTES);
	dx_set_hash(slots, at + 1, hash);
	dx_set_block(slots, at + 1, child);
	dx_set_count(slots, count + 1);
}

uint32_t dx_search(const uint8_t *slots, uint32_t hash)
{
	uint32_t low = 0, high = dx_count(slots); /* slot low <= hash < slot high */

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (dx_hash(slots, mid) <= hash)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* ---- file types ---- */

static const uint8_t d_types[] = { DT_UNKNOWN, DT_REG,  DT_DIR,  DT_CHR,
				   DT_BLK,     DT_FIFO, DT_SOCK, DT_LNK };

uint8_t dirent_type_of(const struct mbfs_geo *geo, uint8_t d_type)
{
	if (geo->features & GEO_FILETYPE) {
		for (uint8_t t = 1; t < MBFS_ARRAY_SIZE(d_types); t++) {
			if (d_types[t] == d_type)
				return t;
		}
	}
	return 0;
}

uint8_t dirent_type_to_d(const struct mbfs_geo *geo, uint8_t type)
{
	if (!(geo->features & GEO_FILETYPE) || type >= MBFS_ARRAY_SIZE(d_types))
		return DT_UNKNOWN;
	return d_types[type];
}
