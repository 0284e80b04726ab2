/* SPDX-License-Identifier: GPL-2.0-only */
/* The bytes of extended attributes. Pure functions: no buffers, no locks, no memory of their own.
 */
#include "inode/xattr_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "disk/csum.h"

/* ---- verify ---- */

int xattr_area_verify(const struct xattr_area *a)
{
	uint32_t off = a->first, values = a->bytes;

	for (;;) {
		struct xattr_entry e;
		const uint8_t *p = a->base + off;
		uint32_t value_off;

		if (a->bytes - off < XATTR_END_BYTES)
			return -EUCLEAN;
		if (xattr_is_end(p))
			break;
		/* The end marker must fit behind the entry. */
		if (a->bytes - off < XATTR_ENTRY_BYTES + XATTR_END_BYTES ||
		    a->bytes - off - XATTR_END_BYTES < xattr_entry_bytes(p[0]))
			return -EUCLEAN;
		xattr_entry_get(p, &e);
		off += xattr_entry_bytes(e.name_len);
		if (memchr(e.name, 0, e.name_len))
			return -EUCLEAN;
		if (e.value_inum || !e.value_bytes)
			continue;
		value_off = xattr_value_off(p);
		if (value_off > a->bytes || e.value_bytes > a->bytes - value_off ||
		    xattr_round(e.value_bytes) > a->bytes - value_off)
			return -EUCLEAN;
		if (value_off < values)
			values = value_off;
	}
	return values < off + XATTR_END_BYTES ? -EUCLEAN : 0;
}

int xattr_block_verify(const uint8_t *block, uint32_t bytes)
{
	/* The area is only read. */
	struct xattr_area a = { (uint8_t *)(uintptr_t)block, XATTR_HEAD_BYTES, bytes, true };

	if (xattr_get32(block) != XATTR_MAGIC || xattr_head_blocks(block) != 1 ||
	    !xattr_head_refs(block))
		return -EUCLEAN;
	return xattr_area_verify(&a);
}

static int kind_verify(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk,
		       const uint8_t *data, uint32_t bytes)
{
	(void)owner;
	if (!csum_xattr_ok(ctx, blk, data, bytes))
		return -EBADMSG;
	return xattr_block_verify(data, bytes);
}

static void kind_seal(const void *ctx, const struct buf_owner *owner, mbfs_blk_t blk, uint8_t *data,
		      uint32_t bytes)
{
	(void)owner;
	csum_xattr_set(ctx, blk, data, bytes);
}

const struct buf_kind xattr_block_kind = { "extended attribute block", kind_verify, kind_seal };

/* ---- areas and lists ---- */

uint32_t xattr_area_count(const struct xattr_area *a)
{
	uint32_t nr = 0;

	for (uint32_t off = a->first; !xattr_is_end(a->base + off);
	     off += xattr_entry_bytes(a->base[off]))
		nr++;
	return nr;
}

void xattr_area_read(const struct xattr_area *a, struct xattr_list *list)
{
	for (uint32_t off = a->first; !xattr_is_end(a->base + off);
	     off += xattr_entry_bytes(a->base[off])) {
		struct xattr_entry *e = &list->entry[list->nr++];

		MBFS_ASSERT(list->nr <= list->room);
		xattr_entry_get(a->base + off, e);
		if (!e->value_inum)
			e->value = a->base + (e->value_bytes ? xattr_value_off(a->base + off) : 0);
	}
}

static uint32_t value_room(const struct xattr_entry *e)
{
	return e->value_inum ? 0 : xattr_round(e->value_bytes);
}

bool xattr_area_fits(const struct xattr_area *a, const struct xattr_list *list)
{
	uint64_t need = (uint64_t)a->first + XATTR_END_BYTES;

	for (uint32_t i = 0; i < list->nr; i++)
		need += (uint64_t)xattr_entry_bytes(list->entry[i].name_len) +
			value_room(&list->entry[i]);
	return need <= a->bytes;
}

/* The order in a block. */
static int entry_cmp(const void *a, const void *b)
{
	const struct xattr_entry *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (x->name_len != y->name_len)
		return x->name_len < y->name_len ? -1 : 1;
	return memcmp(x->name, y->name, x->name_len);
}

/* Of name and padded value. Source: attributes.rst and the format's first implementation. */
static uint32_t entry_hash(const struct xattr_entry *e, const uint8_t *value)
{
	uint32_t hash = 0;

	for (uint32_t i = 0; i < e->name_len; i++)
		hash = hash << 5 ^ hash >> 27 ^ e->name[i];
	for (uint32_t i = 0; i < value_room(e); i += 4)
		hash = hash << 16 ^ hash >> 16 ^ xattr_get32(value + i);
	return hash;
}

uint32_t xattr_list_hash(const struct xattr_list *list)
{
	uint32_t hash = 0;

	for (uint32_t i = 0; i < list->nr; i++) {
		if (!list->entry[i].hash)
			return 0;
		hash = hash << 16 ^ hash >> 16 ^ list->entry[i].hash;
	}
	return hash;
}

void xattr_area_write(const struct xattr_area *a, struct xattr_list *list)
{
	uint32_t off = a->first, values = a->bytes;

	MBFS_ASSERT(xattr_area_fits(a, list));
	if (a->in_block && list->nr)
		qsort(list->entry, list->nr, sizeof(*list->entry), entry_cmp);
	memset(a->base + off, 0, a->bytes - off);
	for (uint32_t i = 0; i < list->nr; i++) {
		struct xattr_entry *e = &list->entry[i];
		uint32_t room = value_room(e);

		values -= room;
		if (room)
			memcpy(a->base + values, e->value, e->value_bytes);
		if (!e->value_inum)
			e->hash = a->in_block ? entry_hash(e, a->base + values) : 0;
		xattr_entry_put(a->base + off, e, room ? values : 0);
		off += xattr_entry_bytes(e->name_len);
	}
	MBFS_ASSERT_SLOW(!xattr_area_verify(a));
}

struct xattr_entry *xattr_list_find(const struct xattr_list *list, uint8_t index, const char *name,
				    size_t len)
{
	for (uint32_t i = 0; i < list->nr; i++) {
		struct xattr_entry *e = &list->entry[i];

		if (e->index == index && e->name_len == len && !memcmp(e->name, name, len))
			return e;
	}
	return NULL;
}

void xattr_list_del(struct xattr_list *list, struct xattr_entry *e)
{
	uint32_t at = (uint32_t)(e - list->entry);

	MBFS_ASSERT(at < list->nr);
	memmove(e, e + 1, (list->nr - at - 1) * sizeof(*e));
	list->nr--;
}

/* ---- names ---- */

static const struct {
	uint8_t index;
	bool whole; /* the prefix is all of the name */
	const char *prefix;
} prefixes[] = {
	{ XATTR_INDEX_USER, false, "user." },
	{ XATTR_INDEX_TRUSTED, false, "trusted." },
	{ XATTR_INDEX_SECURITY, false, "security." },
	{ XATTR_INDEX_ACL_ACCESS, true, "system.posix_acl_access" },
	{ XATTR_INDEX_ACL_DEFAULT, true, "system.posix_acl_default" },
};

int xattr_name_parse(const char *name, uint8_t *index, const char **rest, size_t *len)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(prefixes); i++) {
		size_t n = strlen(prefixes[i].prefix);

		if (strncmp(name, prefixes[i].prefix, n) || (prefixes[i].whole && name[n]))
			continue;
		if (!prefixes[i].whole && !name[n])
			return -EINVAL;
		*index = prefixes[i].index;
		*rest = name + n;
		*len = strlen(name + n);
		return *len > XATTR_SUFFIX_MAX ? -ERANGE : 0;
	}
	return -EOPNOTSUPP;
}

const char *xattr_prefix(uint8_t index)
{
	for (unsigned i = 0; i < MBFS_ARRAY_SIZE(prefixes); i++) {
		if (prefixes[i].index == index)
			return prefixes[i].prefix;
	}
	return NULL;
}

/* ---- ACLs ---- */

enum {
	ACL_DISK_VERSION = 1,
	ACL_USER_VERSION = 2,
	ACL_HEAD_BYTES = 4,
	ACL_SHORT_BYTES = 4, /* tag le16, permissions le16 */
	ACL_LONG_BYTES = 8,  /* and an id le32 */
	ACL_TAG_USER = 2,
	ACL_TAG_GROUP = 8,
};

ssize_t xattr_acl_to_user(const uint8_t *value, uint32_t bytes, uint8_t *out, size_t room)
{
	size_t to = ACL_HEAD_BYTES;

	if (bytes < ACL_HEAD_BYTES || xattr_get32(value) != ACL_DISK_VERSION)
		return -EUCLEAN;
	if (out && room < to)
		return -ERANGE;
	if (out)
		xattr_put32(out, ACL_USER_VERSION);
	for (uint32_t at = ACL_HEAD_BYTES; at < bytes; to += ACL_LONG_BYTES) {
		uint32_t left = bytes - at, id = UINT32_MAX, tag, size = ACL_SHORT_BYTES;

		if (left < ACL_SHORT_BYTES)
			return -EUCLEAN;
		tag = value[at] | (uint32_t)value[at + 1] << 8;
		if (tag == ACL_TAG_USER || tag == ACL_TAG_GROUP) {
			size = ACL_LONG_BYTES;
			if (left < size)
				return -EUCLEAN;
			id = xattr_get32(value + at + ACL_SHORT_BYTES);
		}
		if (out && room - to < ACL_LONG_BYTES)
			return -ERANGE;
		if (out) {
			memcpy(out + to, value + at, ACL_SHORT_BYTES);
			xattr_put32(out + to + ACL_SHORT_BYTES, id);
		}
		at += size;
	}
	return (ssize_t)to;
}

ssize_t xattr_acl_from_user(const uint8_t *value, size_t bytes, uint8_t *out)
{
	size_t to = ACL_HEAD_BYTES;

	if (bytes < ACL_HEAD_BYTES || (bytes - ACL_HEAD_BYTES) % ACL_LONG_BYTES ||
	    xattr_get32(value) != ACL_USER_VERSION)
		return -EINVAL;
	xattr_put32(out, ACL_DISK_VERSION);
	for (size_t at = ACL_HEAD_BYTES; at < bytes; at += ACL_LONG_BYTES) {
		uint32_t tag = value[at] | (uint32_t)value[at + 1] << 8;
		bool has_id = tag == ACL_TAG_USER || tag == ACL_TAG_GROUP;
		size_t size = has_id ? ACL_LONG_BYTES : ACL_SHORT_BYTES;

		memcpy(out + to, value + at, size);
		to += size;
	}
	return (ssize_t)to;
}
